"""Measures the edge of new mouths, changes outside of them, and the cost of the stage.

    python -m tests.benchmarks.dub_seam [--data_dir TRACKS] [--checkpoint FILE] [--minutes 1 5]

Tracks that run_pipeline.py has left get the sound of another video. Across the mask's edge, and
where it is half transparent, the mean absolute gradient of the new frame is divided by that of the
untouched one. Cost and memory are those of the real script on the bundled sample, looped to 720p;
the published program's cost was measured on 10 s of 720p, one thread. OMP_NUM_THREADS=1 compares.
"""

import argparse
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from models import folding, weights
from models.device import torch_device
from models.files import sha256
from models.wav2lip import Wav2Lip
from pipeline.dubbing import blend, driving_audio
from pipeline.dubbing.face_path import FacePath, Pads, Region
from pipeline.dubbing.generate import DubTrack, Generator, regenerated
from pipeline.dubbing.stage import Source, find_source
from pipeline.faces.options import FaceOptions
from pipeline.faces.stage import find_faces
from pipeline.faces.tracks import Track, smooth
from pipeline.media import decode, yuv
from pipeline.store.files import write_json
from pipeline.store.workspace import FOLDERS, Workspace
from tests.benchmarks import peak_memory, report
from tests.benchmarks.peak_memory import HEIGHT_PX, MIB, RATIO_BAR, WIDTH_PX

FRAMES = 100  # of a track
RING_PX = 2  # to both sides of an edge
SEAM_BAR = 1.2
PUBLISHED_S, PUBLISHED_CPU_S = 10, 960  # of picture; what Wav2Lip's own inference takes for it
CPU_BAR_S = PUBLISHED_CPU_S / 30
SAMPLE = report.ROOT / "data" / "example.mp4"


@dataclass(frozen=True)
class Seam:
    """Figures of new mouths on one track.

    Attributes:
        reference, track: which.
        edge: gradient across the mask's edge, new by untouched.
        half: the same where the mask is half transparent.
        outside: share of the pixels outside the mask that are not what they were.
    """

    reference: str
    track: int
    edge: float
    half: float
    outside: float


def build_parser() -> argparse.ArgumentParser:
    """Flags of the script."""
    parser = report.parser(__doc__)
    # fmt: off
    add = parser.add_argument
    add("--data_dir", type=Path, help="tracks; unset: those of the bundled sample")
    add("--checkpoint", default="auto", help="generator")
    add("--tracks", type=int, default=20, help="at most so many are looked at")
    add("--no_cpu", action="store_true", help="leave out the cost of a published-size generator")
    add("--minutes", type=float, nargs="*", default=[1.0, 5.0], help="lengths, shortest first")
    add("--work", type=Path, help="existing folder for passing files; unset: the system's")
    add("--device", default="auto", help="auto, cpu, cuda, mps")
    # fmt: on
    return parser


def near(area: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ring along the edge of an area, and the direction across it.

    Args:
        area: (H, W) bool.

    Returns:
        (H, W) bool, and (2, H, W) float32 unit vectors, down and right.
    """
    inside, outside = (
        cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, 5) for part in (area, ~area)
    )
    down, right = np.gradient(inside - outside)
    length = np.maximum(np.hypot(down, right), 1e-6)
    return np.maximum(inside, outside) <= RING_PX, np.stack([down, right]) / length


def across(frame: np.ndarray, ring: np.ndarray, direction: np.ndarray) -> float:
    """Mean absolute gradient of a (H, W, 3) frame's brightness across a ring, grey levels."""
    down, right = np.gradient(frame.astype(np.float32).mean(axis=2))
    return float(np.abs(down * direction[0] + right * direction[1])[ring].mean())


def colours(buffer: np.ndarray, source: Source) -> np.ndarray:
    """A stored frame as (H, W, 3) uint8 BGR."""
    width, height = source.size_px
    picture = yuv.picture(buffer, size_px=source.size_px)
    return yuv.cut_bgr(picture, slice(0, height), slice(0, width), matrix=source.colour.matrix)


def full_mask(region: Region, frame: np.ndarray) -> np.ndarray:
    """The mask of one face on the whole frame, (H, W) float32."""
    mask = np.zeros(frame.shape[:2], np.float32)
    visible = region.inside(frame)
    of_face = blend.mouth_mask(*region.size_px)[
        visible.top - region.top : visible.bottom - region.top,
        visible.left - region.left : visible.right - region.left,
    ]
    visible.cut(mask)[:] = of_face
    return mask


def seam_of(work: Workspace, number: int, sound: Path, generator: Generator) -> Seam:
    """Gives the first seconds of one track the sound of another video and measures the result."""
    track, source = work.read_tracks()[number][0], find_source(work)[0]
    path = FacePath(
        track, frame_rate=work.read_frame_rate(), pads=Pads(), frame_size_px=source.size_px
    )
    part = DubTrack(number, path, driving_audio.read_voice(sound), np.ones(len(track.frames), bool))
    first, end = (round(time_s * source.frame_rate) for time_s in (path.start_s, path.end_s))
    frame_range = range(first, min(first + FRAMES, end))
    untouched: dict[int, np.ndarray] = {}

    def source_frames() -> Iterator[tuple[int, np.ndarray]]:
        frames = decode.read_planes(
            source.path, size_px=source.size_px, frame_rate=source.frame_rate
        )
        for index, buffer in enumerate(frames):
            if index >= frame_range.stop:
                return
            if index in frame_range:
                untouched[index] = buffer
                yield index, buffer.copy()

    dubbed = regenerated(
        source_frames(),
        [part],
        generator,
        size_px=source.size_px,
        frame_rate=source.frame_rate,
        matrix=source.colour.matrix,
        blended=True,
    )
    sums = np.zeros((2, 2))  # edge and half; new and untouched
    changed = pixels = 0
    for index, (buffer, _) in zip(frame_range, dubbed, strict=False):
        stored, region = untouched.pop(index), part.region(index / source.frame_rate)
        if region is None:
            continue
        frame, before = (colours(levels, source) for levels in (buffer, stored))
        mask = full_mask(region, frame)
        for row, level in enumerate((0.0, 0.5)):
            ring, direction = near(mask > level)
            sums[row] += [across(picture, ring, direction) for picture in (frame, before)]
        differs = yuv.picture(buffer != stored, size_px=source.size_px).y
        changed += int(differs[mask == 0].sum())
        pixels += int((mask == 0).sum())
    edge, half = sums[:, 0] / np.maximum(sums[:, 1], 1e-6)
    return Seam(work.reference, number, float(edge), float(half), changed / max(pixels, 1))


def seams(data_dir: Path, generator: Generator, *, most: int) -> list[Seam]:
    """Figures of up to `most` tracks, each with the sound of the next video."""
    named = sorted(folder.name for folder in (data_dir / "pywork").iterdir())
    workspaces = [Workspace(data_dir, name) for name in named]
    sounds = [
        source.path if (source := find_source(work)[0]).audio_stream is not None else SAMPLE
        for work in workspaces
    ]
    seam_list: list[Seam] = []
    with tqdm(desc="tracks", total=most, unit=" tracks", disable=None, leave=False) as bar:
        for work, sound in zip(workspaces, [*sounds[1:], *sounds[:1]], strict=True):
            for number in range(min(len(work.read_tracks()), most - len(seam_list))):
                seam_list.append(seam_of(work, number, sound, generator))
                bar.update(1)
    return seam_list


def looped(sample: Workspace, folder: Path, *, minutes: float) -> Workspace:
    """The sample looped at 720p, with its tracks, as results of run_pipeline.py."""
    folder.mkdir()
    video, work = folder / "looped.mp4", Workspace(folder / "work", "looped")
    unit = video.with_name("unit.mp4")
    peak_memory.make_unit(SAMPLE, unit)
    peak_memory.make_video(unit, video, minutes=minutes)
    for name in FOLDERS:
        work.folder(name).mkdir(parents=True)
    info, frames = decode.probe(SAMPLE), sum(1 for _ in decode.read_frames(SAMPLE))
    scale = np.array([WIDTH_PX / info.width_px, HEIGHT_PX / info.height_px] * 2)
    tracks = [
        Track(track.frames + frames * turn, track.boxes * scale)
        for turn in range(int(minutes * 60 * 25 / frames) + 1)
        for track, _ in sample.read_tracks()
    ]
    work.write_tracks(tracks, [smooth(track) for track in tracks])
    identity = {"sha256": sha256(video), "bytes": video.stat().st_size}
    write_json(work.record, {"file": str(video), "input": identity})
    return work


def cost(work: Workspace, checkpoint: str, device: str) -> tuple[int, float]:
    """Runs the real script.

    Returns:
        Peak bytes of its process tree, and seconds of processor time.
    """

    def used_s() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before_s = used_s()
    peak, _ = peak_memory.peak_rss(
        [
            *(sys.executable, str(report.ROOT / "run_wav2lip.py")),
            *("--data_dir", str(work.data_dir), "--reference", work.reference),
            *("--checkpoint", checkpoint, "--device", device),
        ]
    )
    return peak, used_s() - before_s


def write_published_size(path: Path) -> Path:
    """Random weights of the published size: they cost the same.

    Every layer keeps the size of what passes through it: numbers that vanish are slower.
    """
    torch.manual_seed(0)
    model = Wav2Lip()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=(2 / parameter[0].numel()) ** 0.5)
    torch.save(model.state_dict(), path)
    return path


def main(argv: list[str] | None = None) -> int:
    """Measures, prints, and fails when a bar is missed."""
    args = build_parser().parse_args(argv)
    device = torch_device(args.device)
    model, weights_file = weights.load_wav2lip(args.checkpoint, device=device)
    generator = Generator(folding.fold_batch_norms(model), device, batch_size=16)
    with tempfile.TemporaryDirectory(dir=args.work) as name:
        folder = Path(name).resolve()
        sample = Workspace(folder / "sample", "sample")
        if args.minutes or not (args.no_cpu and args.data_dir):
            find_faces(SAMPLE, sample, FaceOptions(detector="small"), device=device)
        seam_list = seams(args.data_dir or sample.data_dir, generator, most=args.tracks)
        costs = {}
        for minutes in args.minutes:
            work = looped(sample, folder / f"{minutes:g}", minutes=minutes)
            costs[minutes] = cost(work, args.checkpoint, args.device)
            shutil.rmtree(folder / f"{minutes:g}")
        published_cpu_s = None
        if not args.no_cpu:
            work = looped(sample, folder / "published", minutes=PUBLISHED_S / 60)
            checkpoint = write_published_size(folder / "published_size.pth")
            _, published_cpu_s = cost(work, str(checkpoint), args.device)
    print(f"generator {weights_file.file}")
    report.print_table(
        ["track", "edge", "half", "changed outside"],
        [
            [f"{seam.reference}/{seam.track}", seam.edge, seam.half, seam.outside]
            for seam in seam_list
        ],
    )
    print()
    rows = [[f"{m:g}", peak / MIB, cpu_s / (60 * m)] for m, (peak, cpu_s) in costs.items()]
    if rows:
        report.print_table(["minutes", "peak MiB", "CPU s per video s"], rows)
        print()
    figures = {
        "seam at the edge": (float(np.mean([seam.edge for seam in seam_list])), SEAM_BAR),
        "seam at half": (float(np.mean([seam.half for seam in seam_list])), SEAM_BAR),
        "changed outside": (max(seam.outside for seam in seam_list), 0.0),
    }
    if published_cpu_s is not None:
        figures["CPU s for 10 s, published size"] = (published_cpu_s, CPU_BAR_S)
    if len(costs) > 1:
        peaks = [peak for peak, _ in costs.values()]
        figures["memory, longest to shortest"] = (peaks[-1] / peaks[0], RATIO_BAR)
    met = [report.verdict(name, value, bar, at_most=True) for name, (value, bar) in figures.items()]
    if args.json:
        table = {"tracks": [asdict(seam) for seam in seam_list], "costs": rows, "met": all(met)}
        values = {name: value for name, (value, _) in figures.items()}
        write_json(args.json, {"generator": asdict(weights_file), **values, **table})
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
