"""Evaluates a SyncNet on people it was not trained on: the table of its model card.

    python -m training.evaluate_sync --data VAL_TRACKS [--weights FILE] [--without v005 ...]

Sync accuracy at 1, 2, 5 and 10 s; how many offsets are called reliable and how many of those are
right; how many pieces with somebody else's sound are called reliable all the same; by how many
milliseconds a fine shift is missed; how well frames with the face's own sound are told from frames
with somebody else's.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata

from models import weights
from models.device import torch_device
from models.features import FRAME_RATE, SAMPLE_RATE
from models.syncnet import SyncNet
from pipeline import cli
from pipeline.errors import InputError
from pipeline.speakers import one_face
from pipeline.store.files import write_json
from pipeline.sync import embeddings
from pipeline.sync.reliability import audible
from training.data import samples
from training.data.samples import Clip
from training.evaluate import tables
from training.evaluate.agreement import (
    FEWEST_OTHERS,
    REFERENCE_LENGTH_S,
    agreement,
    can_be_judged,
)
from training.evaluate.judging import embed_piece, score_piece
from training.loop.distributed import Processes

VSHIFT = 15  # frames
FINE_LENGTH_S = 10  # of the pieces that are moved by fractions of a frame
LARGEST_FINE_SHIFT_MS = 40


@dataclass(frozen=True)
class Pair:
    """A piece of a clip, and a stretch of sound of another clip as long."""

    clip: Clip
    first: int
    stranger: Clip
    stranger_first: int

    def with_strange_sound(self, frames: int) -> Clip:
        """The piece as a clip of its own, with the other clip's sound."""
        pictures = self.clip.pictures[self.first : self.first + frames]
        sound = samples.shifted_sound(self.stranger, first=self.stranger_first, frames=frames)
        return Clip(self.clip.name, pictures, sound)


def piece_frames(clips: list[Clip], *, length_s: int) -> int:
    """Frames of pieces of `length_s`, or of the next shorter length that half of the clips have."""
    shorter = [length for length in FEWEST_OTHERS if length < length_s]
    for length in (length_s, *shorter):
        long_enough = sum(clip.frames >= length * FRAME_RATE for clip in clips)
        if 2 * long_enough >= len(clips):
            return length * FRAME_RATE
    return FRAME_RATE


def pairs(clips: list[Clip], *, frames: int, seed: int) -> list[Pair]:
    """Every piece of every clip, each with sound of a random clip of another video."""
    rng = np.random.default_rng(seed)
    result = []
    for clip in clips:
        strangers = [c for c in clips if c.reference != clip.reference and c.frames >= frames]
        for first in range(0, clip.frames - frames + 1, frames) if strangers else ():
            stranger = strangers[rng.integers(len(strangers))]
            start = int(rng.integers(stranger.frames - frames + 1))
            result.append(Pair(clip, first, stranger, start))
    return result


def strangers_called_reliable(
    model: SyncNet, clips: list[Clip], *, seed: int, device: torch.device
) -> dict[str, Any]:
    """Share of 5 s pieces with foreign sound, or with none, whose offset is called reliable.

    Of shorter ones where most clips are shorter, as in the other figures.
    """
    frames = piece_frames(clips, length_s=REFERENCE_LENGTH_S)
    foreign: list[bool] = []
    silent: list[bool] = []
    for pair in pairs(clips, frames=frames, seed=seed):
        strange = pair.with_strange_sound(frames)
        mute = Clip(strange.name, strange.pictures, np.zeros_like(strange.samples))
        for clip, results in ((strange, foreign), (mute, silent)):
            sync = score_piece(model, clip, first=0, frames=frames, device=device)
            assert sync is not None, "pieces are longer than a window"
            results.append(sync.reliable)
    return {
        "foreign_length_s": frames / FRAME_RATE,
        "foreign_pieces": len(foreign),
        "foreign_called_reliable": _mean(foreign),
        "silent_called_reliable": _mean(silent),
    }


def fine_error_ms(
    model: SyncNet, clips: list[Clip], *, seed: int, device: torch.device
) -> dict[str, Any]:
    """By how much offset_ms misses a known shift of 0 to 40 ms, against the unshifted estimate.

    Only pieces whose unshifted offset is called reliable are counted: elsewhere there is no offset
    to move.
    """
    rng = np.random.default_rng(seed)
    frames = piece_frames(clips, length_s=FINE_LENGTH_S)
    errors_ms = []
    for clip in clips:
        for first in range(0, clip.frames - frames + 1, frames):
            moved_samples = int(rng.integers(LARGEST_FINE_SHIFT_MS * SAMPLE_RATE // 1000 + 1))
            shift_ms = moved_samples * 1000 / SAMPLE_RATE
            plain, shifted = (
                score_piece(model, clip, first=first, frames=frames, lead_ms=lead_ms, device=device)
                for lead_ms in (0.0, shift_ms)
            )
            assert plain is not None and shifted is not None, "pieces are longer than a window"
            if plain.reliable:
                errors_ms.append(abs(shifted.offset_ms - plain.offset_ms - shift_ms))
    return {"fine_pieces": len(errors_ms), "fine_error_ms": _mean(errors_ms)}


def speaking_auc(
    model: SyncNet, clips: list[Clip], *, seed: int, device: torch.device
) -> dict[str, Any]:
    """Area under ROC of the speaking score per frame: own sound against somebody else's.

    Pieces of 10 s; only frames in which the sound is audible count, since in silence there is no
    speaker to tell.
    """
    frames = piece_frames(clips, length_s=FINE_LENGTH_S)
    own: list[np.ndarray] = []
    strange: list[np.ndarray] = []
    for pair in pairs(clips, frames=frames, seed=seed):
        plain = Clip(
            pair.clip.name,
            pair.clip.pictures[pair.first : pair.first + frames],
            samples.shifted_sound(pair.clip, first=pair.first, frames=frames),
        )
        for clip, scores in ((plain, own), (pair.with_strange_sound(frames), strange)):
            lips, sound = embed_piece(model, clip, first=0, frames=frames, device=device)
            dists = embeddings.distances(lips, sound, vshift=VSHIFT)
            per_frame = one_face.speaking_score(dists, frames=frames)
            scores.append(per_frame[audible(clip.samples)])
    positive, negative = (np.concatenate([np.zeros(0), *scores]) for scores in (own, strange))
    if not (len(positive) and len(negative)):
        return {"speaking_frames": 0, "speaking_auc": None}
    return {
        "speaking_frames": len(positive) + len(negative),
        "speaking_auc": round(area_under_roc(positive, negative), 4),
    }


def area_under_roc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Chance that a random positive scores above a random negative; ties count half."""
    ranks = rankdata(np.concatenate([positive, negative]))[: len(positive)]
    above = ranks.sum() - len(positive) * (len(positive) + 1) / 2
    return float(above / (len(positive) * len(negative)))


def _mean(values: list[Any]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None


def figures(
    model: SyncNet, clips: list[Clip], *, without: frozenset[str], seed: int, device: torch.device
) -> dict[str, Any]:
    """The whole table.

    Args:
        model: in eval mode on `device`.
        clips: tracks of people it has not seen, without margin.
        without: references (DATA_DIR/REFERENCE) in which the speaker is not on screen.
        seed: of everything random.
        device: where the model is.
    """
    on_screen = [clip for clip in clips if clip.reference not in without]
    agreeing = agreement(model, clips, Processes(0, 1, device), seed=seed)
    return {
        "all": agreeing.summary(),
        "left_out": sorted(without),
        "speaker_on_screen": agreeing.summary(without=without)
        | strangers_called_reliable(model, on_screen, seed=seed, device=device)
        | fine_error_ms(model, on_screen, seed=seed, device=device)
        | speaking_auc(model, on_screen, seed=seed, device=device),
        "clips": agreeing.by_clip(),
    }


def build_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = tables.parser(__doc__)
    parser.add_argument("--weights", default="auto", help="SyncNet weights file.")
    parser.add_argument("--without", nargs="*", default=[], help="References to leave out, too.")
    parser.add_argument("--seed", type=int, default=1, help="Seed of everything random.")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Prints the table."""
    args = build_parser().parse_args(argv)
    device = torch_device(args.device)
    model, weights_file = weights.load_syncnet(args.weights, device=device)
    with tempfile.TemporaryDirectory() as passing, cli.progress_bars() as progress:
        cache = args.cache or Path(passing)
        clips = tables.tracks(args.data, model.config, cache=cache, progress=progress)
        if not can_be_judged(clips):
            raise InputError(
                f"No video in {', '.join(map(str, args.data))} has the 2 s that it takes to hold "
                "one piece against another; give longer ones."
            )
        without = frozenset(
            clip.reference for clip in clips if Path(clip.reference).name in args.without
        )
        table = figures(model, clips, without=without, seed=args.seed, device=device)
    for clip, row in table["clips"].items():
        print(clip, row)
    print(
        json.dumps(
            {"weights": weights_file.file} | {k: table[k] for k in ("all", "speaker_on_screen")}
        )
    )
    if args.json:
        write_json(args.json, {"weights": weights_file.file, "sha256": weights_file.sha256} | table)
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
