"""Evaluates a generator on people it was not trained on.

    python -m training.evaluate_mouths --data VAL_TRACKS [--checkpoint FILE] [--pictures FOLDER]

With the own sound and a reference at least a second away: L1, PSNR and SSIM of the mouth, how
sharp it is beside the real one, and FID where pytorch-fid is installed. With somebody else's sound,
blended into the clip as run_wav2lip.py does: LSE-D, LSE-C and offset by a SyncNet, beside the
real clip's. The pictures are a contact sheet, real above generated, and side_by_side.mp4, every
clip as it was and with the sound and mouth of another.

With --texture every long face is dubbed by run_wav2lip.py's own stage, and the video that comes out
is measured at the face's own size: sharpness, flicker, distance of the lower face from the real
one, lips against sound; with the own sound, likeness to the real mouths. --initial_model names the
SyncNet that judges: without it models/weights/judge_small.safetensors, which taught no other
network and chose no mouth; auto is that of run_syncnet.py, which chose: the table has its SHA-256,
and judge_chose_mouths says whether it is the same. The pictures are choices.png, pairs
of a real and a new face in random order, and choices_key.json, which says which is which.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from scipy.io import wavfile

from models import folding, weights
from models.device import torch_device
from models.features import FRAME_RATE, SAMPLE_RATE, SAMPLES_PER_FRAME
from models.syncnet import CROP_PX
from models.wav2lip import FACE_PX, face_tensor
from models.weights import WeightsFile
from pipeline import cli
from pipeline.dubbing import blend, face_path
from pipeline.dubbing.choose import TEXTURES
from pipeline.dubbing.face_path import Region
from pipeline.dubbing.generate import Generator
from pipeline.errors import InputError
from pipeline.media import decode
from pipeline.media.mp4 import Mp4Writer, Sound
from pipeline.sync.scorer import SyncOptions, SyncScorer
from training.batches.face_batches import LEAST_APART_FRAMES
from training.data import samples, selection
from training.data.face_data import box_aspect, with_voices
from training.data.faces import STORED_PER_CROP, VIEW, FaceClip, track_box
from training.evaluate import dubbed_mouths, fid, tables
from training.objectives.structure import ssim

OWN_FRAMES = 50  # drawn with the face's own sound, per clip
FOREIGN_S = 10  # of every clip that is as long, with somebody else's sound
LARGEST_CLIPS = 40
BATCH_FACES = 32
LEAST_SHARPNESS = 1.0  # of a real mouth; below it is codec noise


def mouth_box() -> tuple[slice, slice]:
    """Rows and columns of the mouth in a 96-pixel face: where a regenerated face is used."""
    rows, columns = np.nonzero(blend.mouth_mask(FACE_PX, FACE_PX))
    return slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)


@dataclass(frozen=True)
class Redrawn:
    """Some frames of one clip, drawn with their own sound.

    Attributes:
        real, generated: (N, 96, 96, 3) uint8 BGR.
        figures: of the mouth, by name.
    """

    real: np.ndarray
    generated: np.ndarray
    figures: dict[str, float]

    def strip(self) -> np.ndarray:
        """Some real faces above their drawn ones."""
        choice = slice(None, None, OWN_FRAMES // 5)
        both = zip(self.real[choice], self.generated[choice], strict=True)
        return np.hstack([np.vstack(pair) for pair in both])


def with_own_sound(face: FaceClip, generator: Generator, *, seed: int) -> Redrawn | None:
    """One clip drawn with its own sound, its look taken from at least a second away.

    Returns:
        None where the clip is too short for that.
    """
    starts = face.starts
    if len(starts) < OWN_FRAMES // 2 + LEAST_APART_FRAMES:
        return None
    rng = np.random.default_rng(seed)
    frames = starts[np.linspace(0, len(starts) - 1, OWN_FRAMES).astype(int)]
    far = [starts[np.abs(starts - frame) >= LEAST_APART_FRAMES] for frame in frames]
    others = np.array([rng.choice(choice) for choice in far])
    real, reference = face.faces(frames, face.box), face.faces(others, face.box)
    sound = heard_by(generator, face, frames)
    generated = generator.draw(real, sound, reference=reference)
    rows, columns = mouth_box()
    alike = ssim(*(face_tensor(faces).double() for faces in (generated, real)))[..., rows, columns]
    a, b = generated[:, rows, columns], real[:, rows, columns]
    error = a.astype(np.float64) - b
    figures = {
        "l1": float(np.abs(error).mean() / 255),
        "psnr_db": float(np.mean(10 * np.log10(255**2 / (error**2).mean(axis=(1, 2, 3))))),
        "ssim": float(alike.mean()),
        "sharpness": sharpness(a) / max(sharpness(b), LEAST_SHARPNESS),
    }
    return Redrawn(real, generated, figures)


def heard_by(generator: Generator, face: FaceClip, frames: np.ndarray) -> np.ndarray:
    """What a generator hears for some frames of a clip, as `Generator.draw` takes it."""
    hears_cepstra = generator.hears_cepstra
    return (face.sound_around(frames) if hears_cepstra else face.sound(frames)).numpy()


def sharpness(faces: np.ndarray) -> float:
    """Mean variance of the Laplacian of (N, h, w, 3) uint8 pictures in grey."""
    grey = [cv2.cvtColor(np.ascontiguousarray(face), cv2.COLOR_BGR2GRAY) for face in faces]
    return float(np.mean([cv2.Laplacian(picture, cv2.CV_64F).var() for picture in grey]))


def dubbed_crops(
    crops: list[np.ndarray], face: FaceClip, windows: np.ndarray, generator: Generator
) -> list[np.ndarray]:
    """The clip with new mouths, blended as run_wav2lip.py does.

    Args:
        crops: (224, 224, 3) uint8 each.
        face: of the clip.
        windows: (N, ...) sound of every frame, as the generator hears it.
        generator: draws.
    """
    cut = face.box
    top, left, _ = VIEW.lip_region_px
    edges = (cut.top, cut.bottom, cut.left, cut.right)
    y1, y2, x1, x2 = (round(edge / STORED_PER_CROP) for edge in edges)
    region = Region(top + y1, min(CROP_PX, top + y2), left + x1, min(CROP_PX, left + x2))
    originals = np.stack([face_path.shrink(region.cut(crop)) for crop in crops])
    faces = generator.draw(originals, windows)
    dubbed = [crop.copy() for crop in crops]
    for crop, generated, original in zip(dubbed, faces, originals, strict=True):
        blend.blend(crop, region, generated, original)
    return dubbed


@dataclass(frozen=True)
class Exchange:
    """A clip that gets the sound of another.

    Attributes:
        file, face: of the clip.
        windows: (N, ...) sound of every frame, as the generator hears it.
        sound: (640 N,) int16, the same to listen to.
    """

    file: Path
    face: FaceClip
    windows: np.ndarray
    sound: np.ndarray


def exchanges(
    faces: list[FaceClip], by_name: dict[str, Path], generator: Generator
) -> list[Exchange]:
    """Every clip that is long enough, with the sound of one far along the list."""
    frames = FOREIGN_S * FRAME_RATE
    long_enough = [face for face in faces if len(face.starts) >= frames][:LARGEST_CLIPS]
    result = []
    for number, face in enumerate(long_enough):
        stranger = long_enough[(number + len(long_enough) // 2) % len(long_enough)]
        if stranger.clip.reference == face.clip.reference:
            continue
        start = int(stranger.starts[0])
        windows = heard_by(generator, stranger, np.arange(start, start + frames))
        sound = samples.shifted_sound(
            stranger.clip, first=start, frames=frames, lead_ms=-stranger.clip.offset_ms
        )
        result.append(Exchange(by_name[face.clip.name], face, windows, sound))
    return result


def with_foreign_sound(
    exchange: Exchange, generator: Generator, scorer: SyncScorer
) -> tuple[dict[str, Any], list[np.ndarray], list[np.ndarray]]:
    """Scores of one clip as it is, and with the sound of another one.

    Returns:
        Figures, the clip's crops as they were, and the new ones.
    """
    frames = len(exchange.windows)
    crops = [f.copy() for f in islice(decode.read_frames(exchange.file, frame_rate=None), frames)]
    own = exchange.face.clip.samples[: len(crops) * SAMPLES_PER_FRAME]
    dubbed = dubbed_crops(crops, exchange.face, exchange.windows, generator)
    real, new = scorer.score_frames(crops, own), scorer.score_frames(dubbed, exchange.sound)
    assert real and new, f"clips of {FOREIGN_S} s have windows"
    figures = {
        "real_lse_c": real.confidence,
        "real_lse_d": real.min_dist,
        "lse_c": new.confidence,
        "lse_d": new.min_dist,
        "offset": new.offset_frames,
    }
    return figures, crops, dubbed


def evaluate(
    files: list[Path],
    generator: Generator,
    scorer: SyncScorer,
    *,
    cache: Path,
    pictures: Path | None,
    seed: int,
) -> dict[str, Any]:
    """The whole table; with `pictures`, a contact sheet and side_by_side.mp4 are left there.

    Raises:
        InputError: no clip is long enough.
    """
    offsets = selection.known_offsets(files)
    clips = samples.load_clips(files, VIEW, cache=cache, margin=False).clips
    by_name = {samples.clip_name(file): file for file in files}
    faces = [
        FaceClip(clip, track_box(box_aspect(by_name[clip.name])))
        for clip in selection.aligned(clips, offsets)
    ]
    if generator.model.config.separate_voice:
        faces = with_voices(faces, cache=cache)
    redrawn = [
        redrawn_clip
        for face in faces
        if (redrawn_clip := with_own_sound(face, generator, seed=seed))
    ]
    if not redrawn:
        raise InputError(
            f"No clip has the {OWN_FRAMES // 2 + LEAST_APART_FRAMES} frames with sound that it "
            "takes; give longer videos."
        )
    own = [one.figures for one in redrawn]
    distance = fid.distance(
        np.concatenate([one.real for one in redrawn]),
        np.concatenate([one.generated for one in redrawn]),
        device=scorer.device,
    )
    if pictures:
        cv2.imwrite(str(pictures / "own_sound.png"), np.vstack([one.strip() for one in redrawn]))
    foreign = {}
    pairs = exchanges(faces, by_name, generator)
    with ExitStack() as stack:
        writer = stack.enter_context(_side_by_side(pairs, pictures)) if pictures and pairs else None
        for pair in pairs:
            figures, crops, dubbed = with_foreign_sound(pair, generator, scorer)
            foreign[pair.face.clip.name] = figures
            if writer:
                for crop, new in zip(crops, dubbed, strict=True):
                    writer.write(np.hstack([crop, new]))
    return _table(own, foreign) | ({} if distance is None else {"fid": round(distance, 2)})


@contextmanager
def _side_by_side(pairs: list[Exchange], pictures: Path) -> Iterator[Mp4Writer]:
    with tempfile.TemporaryDirectory() as passing:
        wav = Path(passing) / "sound.wav"
        wavfile.write(wav, SAMPLE_RATE, np.concatenate([pair.sound for pair in pairs]))
        with Mp4Writer(
            pictures / "side_by_side.mp4",
            size_px=(2 * CROP_PX, CROP_PX),
            frame_rate=FRAME_RATE,
            sounds=[Sound(wav)],
        ) as writer:
            yield writer


def _table(own: list[dict[str, float]], foreign: dict[str, dict[str, Any]]) -> dict[str, Any]:
    rows = list(foreign.values())
    table: dict[str, Any] = {"own_sound_clips": len(own), "foreign_sound_clips": len(rows)}
    for name in own[0] if own else ():
        table[name] = round(float(np.mean([figures[name] for figures in own])), 4)
    if rows:
        for name in ("real_lse_c", "real_lse_d", "lse_c", "lse_d"):
            table[name] = round(float(np.mean([row[name] for row in rows])), 3)
        table["lse_c_share"] = round(table["lse_c"] / table["real_lse_c"], 3)
        near = [abs(row["offset"]) <= 1 for row in rows]
        table["offset_within_1"] = round(float(np.mean(near)), 3)
    return table | {"clips": foreign}


def load_generator(
    checkpoint: str | Path, *, device: torch.device
) -> tuple[Generator, WeightsFile]:
    """A generator of any kind, as run_wav2lip.py loads it."""
    model, weights_file = weights.load_wav2lip(checkpoint, device=device)
    generator = Generator(folding.fold_batch_norms(model), device, batch_size=BATCH_FACES)
    return generator, weights_file


def made_and_judged(
    generator: WeightsFile, judge: WeightsFile, *, chooser: WeightsFile | None
) -> dict[str, Any]:
    """Which networks a table is of; a judge that chose the mouths is no independent one.

    Args:
        generator: drew the mouths.
        judge: scored them.
        chooser: the SyncNet that chose own mouths; None where nothing was chosen.
    """
    networks: dict[str, Any] = {
        "generator": generator.file,
        "generator_sha256": generator.sha256,
        "syncnet": judge.file,
        "syncnet_sha256": judge.sha256,
    }
    if chooser:
        networks["judge_chose_mouths"] = judge.sha256 == chooser.sha256
    return networks


def build_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = tables.parser(__doc__)
    parser.add_argument("--checkpoint", default="auto", help="Generator weights.")
    parser.add_argument(
        "--initial_model", default="judge", help="SyncNet weights that judge; auto, or judge."
    )
    parser.add_argument("--pictures", type=Path, help="Folder for a contact sheet and clips.")
    parser.add_argument(
        "--texture",
        choices=TEXTURES,
        help="Dub whole videos, too, with own pixels or the generator's, and measure these.",
    )
    parser.add_argument("--seed", type=int, default=1, help="Seed of everything random.")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Prints the table."""
    args = build_parser().parse_args(argv)
    device = torch_device(args.device)
    generator, weights_file = load_generator(args.checkpoint, device=device)
    scorer = SyncScorer(SyncOptions(args.initial_model), device=device)
    if args.pictures:
        args.pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as passing:
        table = evaluate(
            samples.clip_files(args.data),
            generator,
            scorer,
            cache=args.cache or Path(passing),
            pictures=args.pictures,
            seed=args.seed,
        )
    if args.texture:
        table |= dubbed_mouths.evaluate(
            args.data,
            generator,
            scorer,
            checkpoint=args.checkpoint,
            texture=args.texture,
            pictures=args.pictures,
            seed=args.seed,
        )
    chooser = weights.syncnet_weights() if args.texture == "own" else None
    table = made_and_judged(weights_file, scorer.model.weights_file, chooser=chooser) | table
    tables.report(table, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
