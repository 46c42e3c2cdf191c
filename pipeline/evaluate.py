"""LSE-D and LSE-C of a folder of videos: how well lips and sound agree, in the literature's terms.

    python -m pipeline.evaluate --data_root VIDEOS

From "A Lip Sync Expert Is All You Need for Speech to Lip Generation In the Wild" (Prajwal et al.,
2020). LSE-D is the mean of min dist, LSE-C that of confidence. There are two routes to them:
`whole` shrinks every frame to 224x224, which is meant for datasets of cut-out faces such as LRS2;
`crops` finds and follows the faces first and scores every track, which is meant for real videos.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from models import published, weights
from models.weights import WeightsUsed
from pipeline import cli, media, workspace
from pipeline.clip_scores import ClipScore, check_options, load_scorer, score_clip
from pipeline.crop_scores import check_output
from pipeline.errors import InputError, PipelineError
from pipeline.prepare import PipelineOptions, prepare
from pipeline.workspace import Workspace

ROUTES = ("whole", "crops")
VIDEO_SUFFIXES = (
    *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov"),
    *(".mp4", ".mpeg", ".mpg", ".mts", ".ts", ".webm", ".wmv"),
)
INCOMPARABLE = (
    "The two routes show the network different pictures: "
    "figures of one cannot be compared with figures of the other."
)
NOT_THE_LITERATURES = (
    "These are not the LSE-D and LSE-C of the literature, which are syncnet_v2.model's "
    "(./download_model.sh fetches it): other weights have a scale of their own."
)

Score = Callable[[Path], ClipScore]


@dataclass(frozen=True)
class Row:
    """One scored file or track, or a file that could not be scored.

    Attributes:
        file: relative to the folder.
        route: one of `ROUTES`.
        track: number of the track; None for whole frames and where nothing was scored.
        lse_d, lse_c: min dist and confidence; None where nothing was scored.
        offset_frames: by how many frames of 40 ms the sound leads.
        note: why nothing was scored, or what else to know.
    """

    file: str
    route: str
    track: int | None = None
    lse_d: float | None = None
    lse_c: float | None = None
    offset_frames: int | None = None
    note: str | None = None


@dataclass(frozen=True)
class Mean:
    """What one route comes to.

    Attributes:
        lse_d, lse_c: means over all scored files or tracks; None where there is none.
        scored: how many those are.
        files_scored, files: in how many files of how many.
    """

    lse_d: float | None
    lse_c: float | None
    scored: int
    files_scored: int
    files: int


def find_videos(folder: Path) -> dict[str, Path]:
    """The videos in a folder and the folders in it, told by their suffix; hidden ones not.

    Returns:
        Paths by their name relative to the folder, sorted.

    Raises:
        InputError: there is no such folder, or no video in it.
    """
    if not folder.is_dir():
        raise InputError(f"--data_root {folder} is not a folder; give one that holds videos.")
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts)
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file() and not hidden:
            found[name.as_posix()] = path
    if not found:
        raise InputError(
            f"--data_root {folder} holds no video ({' '.join(VIDEO_SUFFIXES)}); "
            "give a folder that does."
        )
    return found


def evaluate(
    videos: dict[str, Path],
    routes: tuple[str, ...],
    score: Score,
    options: PipelineOptions,
    *,
    device: torch.device,
    tmp_dir: Path | None = None,
    report: Callable[[Row], object],
) -> list[Row]:
    """Scores every video by every route; one that cannot be scored is a row that says why.

    Args:
        videos: by the name they get in the rows.
        routes: of `ROUTES`.
        score: scores a clip.
        options: of run_pipeline.py, for route "crops".
        device: where faces are detected.
        tmp_dir: where passing files go, one video's at a time; None for the system's folder.
        report: called with each row.
    """
    rows: list[Row] = []
    with cli.progress("videos scored", len(videos), unit=" videos") as bar:
        for name, video in videos.items():
            for route in routes:
                try:
                    with _passing(route, tmp_dir) as data_dir:
                        found = _score_video(video, name, score, options, data_dir, device)
                except PipelineError as error:
                    found = [Row(name, route, note=str(error))]
                rows += found
                for row in found:
                    report(row)
            bar.update(1)
    return rows


@contextmanager
def _passing(route: str, tmp_dir: Path | None) -> Iterator[Path | None]:
    if route == "whole":
        yield None
        return
    with tempfile.TemporaryDirectory(dir=tmp_dir, prefix="evaluate_") as folder:
        yield Path(folder)


def _score_video(
    video: Path,
    name: str,
    score: Score,
    options: PipelineOptions,
    data_dir: Path | None,
    device: torch.device,
) -> list[Row]:
    info = media.probe(video)
    if not info.width_px or not info.has_audio:
        lacking = "sound" if info.width_px else "picture"
        raise InputError(f"{video} has no {lacking}: there is nothing to compare.")
    if data_dir is None:
        return [_row(name, "whole", None, score(video))]
    place = Workspace(data_dir, "video")
    prepared = prepare(video, place, options, device=device)
    if not prepared.tracks:
        raise PipelineError(" ".join(prepared.notices))
    return [_row(name, "crops", int(clip.stem), score(clip)) for clip in place.crops()]


def _row(name: str, route: str, track: int | None, score: ClipScore) -> Row:
    found = score.sync
    if not found:
        return Row(name, route, track, note=score.warning)
    return Row(
        name, route, track, found.min_dist, found.confidence, found.offset_frames, score.warning
    )


def mean(rows: list[Row], route: str) -> Mean:
    """What the rows of one route come to."""
    own = [row for row in rows if row.route == route]
    pairs = [
        (row.lse_d, row.lse_c) for row in own if row.lse_d is not None and row.lse_c is not None
    ]
    return Mean(
        lse_d=sum(d for d, _ in pairs) / len(pairs) if pairs else None,
        lse_c=sum(c for _, c in pairs) / len(pairs) if pairs else None,
        scored=len(pairs),
        files_scored=len({row.file for row in own if row.lse_d is not None}),
        files=len({row.file for row in own}),
    )


def table_line(row: Row, *, width: int) -> str:
    """A row of the table whose first column has `width` letters."""
    start = f"{row.file:<{width}}  {row.route:<5}"
    track = "-" if row.track is None else row.track
    if row.lse_d is None or row.lse_c is None:
        return f"{start}  {track:>5}  not scored: {row.note}"
    return f"{start}  {track:>5}  {row.lse_d:7.3f}  {row.lse_c:7.3f}  {row.offset_frames:+6d}"


def closing_words(
    means: dict[str, Mean], used: WeightsUsed, detector: WeightsUsed | None = None
) -> str:
    """The means, in the published scripts' words, and what they may be compared with."""
    lines = []
    for route, found in means.items():
        tracks = f"{found.scored} tracks in " if route == "crops" else ""
        lines.append(f"\n{route}: {tracks}{found.files_scored} of {found.files} files")
        if found.lse_d is not None:
            lines.append(f"Average Confidence: {found.lse_c:.4f}")
            lines.append(f"Average Minimum Distance: {found.lse_d:.4f}")
    lines.append(f"\nWeights: {used.file}, sha256 {used.sha256}")
    if detector:
        lines.append(f"Faces by: {detector.file}, sha256 {detector.sha256}")
    return "\n".join(lines + caveats(tuple(means), used))


def caveats(routes: tuple[str, ...], used: WeightsUsed) -> list[str]:
    """Sentences on what the figures must not be compared with."""
    literature = used.sha256 == published.table()["syncnet"].sha256
    both = len(routes) > 1
    return [INCOMPARABLE] * both + [NOT_THE_LITERATURES] * (not literature)


def build_parser() -> argparse.ArgumentParser:
    """Flags of the command; names and defaults are those of run_pipeline.py and run_syncnet.py."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.evaluate",
        description=(__doc__ or "").partition("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    # fmt: off
    add, default = parser.add_argument, PipelineOptions()
    add("--data_root", type=Path, required=True, help="folder of videos, and of folders of them")
    add("--route", choices=[*ROUTES, "both"], default="both",
        help="whole: every frame shrunk to 224x224; crops: every face track, by run_pipeline.py")
    add("--json", type=Path, metavar="FILE", help="file for everything, with notes on what is odd")
    add("--all_scores", type=Path, metavar="FILE", help="file for a line 'LSE-D LSE-C' per track")
    add("--initial_model", default="auto", help="weights file; auto: published one, else bundled")
    add("--batch_size", type=int, default=20, help="windows in one pass")
    add("--vshift", type=int, default=15, help="largest shift searched, frames")
    add("--min_track", type=int, default=default.min_track, help="detections a track must exceed")
    add("--min_face_size", type=int, default=default.min_face_size, help="pixels of the frame")
    add("--tmp_dir", type=Path, help="where passing files go; unset: the system's folder for them")
    add("--device", default="auto", help="auto, cpu, cuda, mps")
    # fmt: on
    return parser


def main(argv: list[str] | None = None) -> int:
    """Prints the table and the means, and writes the files that were asked for."""
    args = build_parser().parse_args(argv)
    routes = ROUTES if args.route == "both" else (args.route,)
    _check(args, routes)
    videos = find_videos(args.data_root)
    options = PipelineOptions(min_track=args.min_track, min_face_size=args.min_face_size)
    settings = {"batch_size": args.batch_size, "vshift": args.vshift}
    device = cli.torch_device(args.device)
    model, used = load_scorer(args.initial_model, device=device)
    detector = weights.load_s3fd(device=device)[1] if "crops" in routes else None
    width = max(map(len, videos))

    def tell(row: Row) -> None:
        tqdm.write(table_line(row, width=width))  # print would tear the progress bar
        sys.stdout.flush()

    print(f"{'file':<{width}}  route  track    LSE-D    LSE-C  offset", flush=True)
    rows = evaluate(
        videos,
        routes,
        partial(score_clip, model=model, device=device, **settings),
        options,
        device=device,
        tmp_dir=args.tmp_dir,
        report=tell,
    )
    means = {route: mean(rows, route) for route in routes}
    print(closing_words(means, used, detector))
    _write(args, rows, means, used, detector, settings | asdict(options))
    if not any(found.scored for found in means.values()):
        raise PipelineError(f"No video in {args.data_root} could be scored; the table says why.")
    return 0


def _check(args: argparse.Namespace, routes: tuple[str, ...]) -> None:
    check_options(batch_size=args.batch_size, vshift=args.vshift)
    if args.all_scores and "crops" not in routes:
        raise InputError("--all_scores is of face tracks; leave out --route whole.")
    if args.tmp_dir and not args.tmp_dir.is_dir():
        raise InputError(f"--tmp_dir {args.tmp_dir} is not a folder; make it or give another.")
    for flag in ("json", "all_scores"):
        if getattr(args, flag):
            check_output(getattr(args, flag), f"--{flag}")


def _write(
    args: argparse.Namespace,
    rows: list[Row],
    means: dict[str, Mean],
    used: WeightsUsed,
    detector: WeightsUsed | None,
    settings: dict[str, Any],
) -> None:
    if args.json:
        everything = {
            "data_root": str(args.data_root),
            "weights": asdict(used),
            "detector": asdict(detector) if detector else None,
            "settings": settings,
            "caveats": caveats(tuple(means), used),
            "mean": {route: asdict(found) for route, found in means.items()},
            "scores": [asdict(row) for row in rows],
        }
        workspace.write_json(args.json, everything)
    if args.all_scores:
        scored = [row for row in rows if row.route == "crops" and row.lse_d is not None]
        lines = [f"{row.lse_d:.6f} {row.lse_c:.6f}\n" for row in scored]
        workspace.write_text(args.all_scores, "".join(lines))


if __name__ == "__main__":
    sys.exit(cli.run(main))
