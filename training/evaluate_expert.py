"""Evaluates an expert on people it was not trained on: right sound against wrong sound.

    python -m training.evaluate_expert --data VAL_TRACKS [--expert FILE] [--without v005]

Every window of five frames is compared twice: with its own sound and with wrong sound, at a
cosine of 0.5 as in training. Wrong sound is that of another time of the same clip, at least five
frames away, or of another clip; the figure to compare is the first, where nothing but timing helps.
"pairs" asks for no threshold: of all such sounds of the same clip, the share that scores less than
the window's own.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models import wav2lip, weights
from models.device import torch_device
from models.wav2lip import EXPERT_FRAMES, SyncNetColor
from pipeline import cli
from training.data.face_data import FaceSource, load_faces
from training.data.faces import FaceClip
from training.evaluate import tables
from training.evaluate_sync import area_under_roc

BATCH_WINDOWS = 64
THRESHOLD = 0.5  # of the cosine
SEED = 20200823


@torch.inference_mode()
def embed(
    expert: SyncNetColor, face: FaceClip, starts: np.ndarray, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (N, E) of sound and mouths of the windows that start at some frames."""
    sound, mouths = [], []
    for some in np.array_split(starts, -(-len(starts) // BATCH_WINDOWS)):
        frames = (some[:, None] + np.arange(EXPERT_FRAMES)).ravel()
        faces = wav2lip.face_tensor(face.faces(frames, face.box))
        inputs = wav2lip.expert_faces(faces.unflatten(0, (len(some), EXPERT_FRAMES)))
        a, v = expert(face.sound(some).to(device), inputs.to(device))
        sound.append(a.cpu().numpy())
        mouths.append(v.cpu().numpy())
    return np.concatenate(sound), np.concatenate(mouths)


def far_windows(starts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For every window the index of one at least five frames away; minus one where none is."""
    far = np.abs(starts[:, None] - starts) >= EXPERT_FRAMES
    ranks = np.where(far, rng.random(far.shape), -1.0)
    return np.where(far.any(axis=1), ranks.argmax(axis=1), -1)


def preferred(starts: np.ndarray, sound: np.ndarray, mouths: np.ndarray) -> np.ndarray:
    """Per window with sound at least five frames away the share of it that its own beats.

    Args:
        starts: (N,) frames.
        sound: (N, E) unit vectors.
        mouths: (N, E) unit vectors.

    Returns:
        (M,) shares, one half for what scores the same; M is N less the windows without any.
    """
    far = np.abs(starts[:, None] - starts) >= EXPERT_FRAMES
    cosine = mouths @ sound.T
    own = np.diag(cosine)[:, None]
    beaten = np.where(far, (cosine < own) + (cosine == own) / 2, 0.0)
    return beaten.sum(axis=1)[far.any(axis=1)] / far.sum(axis=1)[far.any(axis=1)]


def mean_share(shares: np.ndarray) -> float | None:
    """Rounded; None without any."""
    return round(float(shares.mean()), 4) if len(shares) else None


def separation(right: np.ndarray, wrong: np.ndarray) -> dict[str, float | None]:
    """Balanced accuracy at the threshold, and area under ROC.

    None for both where there is no wrong sound.
    """
    if not len(wrong):
        return {"accuracy": None, "roc_area": None}
    area = area_under_roc(right, wrong)
    accuracy = ((right > THRESHOLD).mean() + (wrong <= THRESHOLD).mean()) / 2
    return {"accuracy": round(float(accuracy), 4), "roc_area": round(area, 4)}


def evaluate(
    expert: SyncNetColor, faces: list[FaceClip], *, device: torch.device
) -> dict[str, Any]:
    """The table: all clips together, and each by name."""
    rng = np.random.default_rng(SEED)
    embedded = {}
    for face in faces:
        starts = face.starts[::EXPERT_FRAMES]
        embedded[face.clip.name] = (starts, *embed(expert, face, starts, device))
    right, near, far, shares, clips = [], [], [], [], {}
    names = list(embedded)
    for number, (name, (starts, sound, mouths)) in enumerate(embedded.items()):
        other = far_windows(starts, rng)
        own = (sound * mouths).sum(axis=1)
        late = (sound[other] * mouths).sum(axis=1)[other >= 0]
        beaten = preferred(starts, sound, mouths)
        figures = {"windows": len(starts), "pairs": mean_share(beaten)}
        clips[name] = figures | separation(own, late)
        shares.append(beaten)
        right.append(own)
        near.append(late)
        if len(names) > 1:
            stranger = embedded[names[(number + 1 + rng.integers(len(names) - 1)) % len(names)]][1]
            strangers = stranger[rng.integers(len(stranger), size=len(mouths))]
            far.append((strangers * mouths).sum(axis=1))
    own = np.concatenate(right)
    return {
        "windows": len(own),
        "pairs": mean_share(np.concatenate(shares)),
        "other_times": separation(own, np.concatenate(near)),
        "other_clips": separation(own, np.concatenate([np.zeros(0), *far])),
        "clips": clips,
    }


def build_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = tables.parser(__doc__)
    add = parser.add_argument
    add("--expert", default="auto", help="Expert weights.")
    add("--min_confidence", type=float, default=1.0, help="Scored clips need this confidence.")
    add("--max_offset", type=float, default=10, help="Scored clips may be this many frames off.")
    add("--without", nargs="*", default=[], help="References to leave out.")
    add("--cache_gb", type=float, default=20.0, help="Largest size of the cache.")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Prints the table."""
    args = build_parser().parse_args(argv)
    device = torch_device(args.device)
    expert, weights_file = weights.load_expert(args.expert, device=device)
    with tempfile.TemporaryDirectory() as passing:
        source = FaceSource(
            cache=args.cache or Path(passing),
            cache_gb=args.cache_gb,
            min_confidence=args.min_confidence,
            max_offset=args.max_offset,
            least_frames=2 * EXPERT_FRAMES,
            separate_voice=expert.config.separate_voice,
        )
        faces = [
            face
            for face in load_faces(args.data, source, say=True)
            if face.clip.reference.rpartition("/")[2] not in args.without
        ]
        table = {"expert": weights_file.file} | evaluate(expert, faces, device=device)
    tables.report(table, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
