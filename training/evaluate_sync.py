"""Sync accuracy without knowing the true lag: do the pieces of a clip agree?

    python -m training.evaluate_sync --data VAL_TRACKS [--weights FILE]

A track is cut into pieces, each piece's sound is moved by a known random number of frames, and the
offset found is compared, less that number, with what the clip's other pieces say. An untrained
network scores 2 to 5 %.
"""

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models import weights
from models.features import FRAME_RATE
from models.syncnet import SyncNet
from pipeline import cli
from pipeline.workspace import write_json
from training import samples, syncnet
from training.samples import Clip

PIECE_LENGTHS_S = (2, 5, 10)
REFERENCE_LENGTH_S = 5  # of the pieces whose median is the clip's own offset
FEWEST_OTHERS = 3
LARGEST_SHIFT = 8  # frames, either way
TOLERANCE = 1  # frames
RELIABLE_SHARE = 0.99  # of the offsets called reliable must be right


@dataclass(frozen=True)
class Piece:
    """One scored piece: where it is, its offset less the known shift, and its confidence."""

    clip: str
    track: str
    length_s: int
    first: int
    offset: int
    confidence: float
    reliable: bool

    def overlaps(self, other: "Piece") -> bool:
        """The two show some of the same frames."""
        return (
            self.track == other.track
            and self.first < other.first + other.length_s * FRAME_RATE
            and other.first < self.first + self.length_s * FRAME_RATE
        )


@dataclass(frozen=True)
class Agreement:
    """Judged pieces: (piece, True where it agrees with the clip's others)."""

    judged: list[tuple[Piece, bool]]

    def summary(self, *, without: frozenset[str] = frozenset()) -> dict[str, Any]:
        """Share right and number of pieces per length, leaving clips out by name."""
        rows: dict[str, Any] = {}
        for length_s in PIECE_LENGTHS_S:
            right = [
                ok for p, ok in self.judged if p.length_s == length_s and p.clip not in without
            ]
            rows[f"{length_s}s"] = round(float(np.mean(right)), 4) if right else None
            rows[f"{length_s}s_pieces"] = len(right)
        five = [
            (piece.reliable, ok)
            for piece, ok in self.judged
            if piece.length_s == REFERENCE_LENGTH_S and piece.clip not in without
        ]
        trusted = [ok for reliable, ok in five if reliable]
        rows["5s_reliable"] = round(len(trusted) / len(five), 4) if five else None
        rows["5s_reliable_right"] = round(float(np.mean(trusted)), 4) if trusted else None
        return rows

    def by_clip(self) -> dict[str, dict[str, Any]]:
        """Per clip: share right per length, median offset and confidence of its 5 s pieces."""
        groups: dict[str, list[tuple[Piece, bool]]] = defaultdict(list)
        for piece, ok in self.judged:
            groups[piece.clip].append((piece, ok))
        table = {}
        for clip, pieces in sorted(groups.items()):
            five = [p for p, _ in pieces if p.length_s == REFERENCE_LENGTH_S]
            table[clip] = Agreement(pieces).summary() | {
                "offset": float(np.median([p.offset for p in five])),
                "confidence": round(float(np.median([p.confidence for p in five])), 2),
            }
        return table


def agreement(model: SyncNet, clips: list[Clip], *, device: torch.device, seed: int) -> Agreement:
    """Cuts, moves, scores and compares.

    Args:
        model: in eval mode on `device`.
        clips: tracks named DATA_DIR/REFERENCE/track; those of one reference belong together.
        device: where the model is.
        seed: of the shifts.
    """
    rng = np.random.default_rng(seed)
    pieces: dict[str, list[Piece]] = defaultdict(list)
    for clip in clips:
        for length_s in PIECE_LENGTHS_S:
            frames = length_s * FRAME_RATE
            for first in range(0, clip.frames - frames + 1, frames):
                lead = int(rng.integers(-LARGEST_SHIFT, LARGEST_SHIFT + 1))
                found = syncnet.score_piece(
                    model, clip, first=first, frames=frames, lead_frames=lead, device=device
                )
                assert found is not None, "pieces are longer than a window"
                reference = clip.name.rpartition("/")[0]
                pieces[reference].append(
                    Piece(
                        reference,
                        clip.name,
                        length_s,
                        first,
                        found.offset_frames - lead,
                        found.confidence,
                        found.reliable,
                    )
                )
    return Agreement([judged for group in pieces.values() for judged in _judged(group)])


def _judged(pieces: list[Piece]) -> list[tuple[Piece, bool]]:
    reference = [piece for piece in pieces if piece.length_s == REFERENCE_LENGTH_S]
    judged = []
    for piece in pieces:
        others = [other.offset for other in reference if not piece.overlaps(other)]
        if len(others) >= FEWEST_OTHERS:
            judged.append((piece, abs(piece.offset - np.median(others)) <= TOLERANCE))
    return judged


def reliable_confidence(result: Agreement) -> float:
    """The confidence from which 5 s pieces have been right at least 99 times in 100.

    Args:
        result: judged pieces, some of them wrong.
    """
    five = sorted(
        (
            (piece.confidence, ok)
            for piece, ok in result.judged
            if piece.length_s == REFERENCE_LENGTH_S
        ),
        reverse=True,
    )
    right = np.cumsum([ok for _, ok in five]) / np.arange(1, len(five) + 1)
    trusted = np.flatnonzero(right >= RELIABLE_SHARE)
    return float(five[trusted[-1]][0]) if len(trusted) else float("inf")


def main(argv: list[str] | None = None) -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description="Sync accuracy of any weights on tracks cut by run_pipeline.py.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="data_dirs")
    parser.add_argument("--weights", default="auto", help="SyncNet weights file")
    parser.add_argument("--without", nargs="*", default=[], help="references to leave out, too")
    parser.add_argument("--cache", type=Path, help="decoded clips; unset: a passing folder")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file for the figures")
    args = parser.parse_args(argv)
    device = cli.torch_device(args.device)
    model, used = weights.load_syncnet(args.weights, device=device)
    with tempfile.TemporaryDirectory() as passing:
        clips = samples.load_clips(
            args.data, model.config, cache=args.cache or Path(passing), margin=False
        )
    result = agreement(model, clips, device=device, seed=args.seed)
    for clip, row in result.by_clip().items():
        print(clip, row)
    without = frozenset(
        name for name in result.by_clip() if name.rpartition("/")[2] in args.without
    )
    figures = {
        "weights": used.file,
        "all": result.summary(),
        "left_out": sorted(without),
        "speaker_on_screen": result.summary(without=without),
        "clips": result.by_clip(),
    }
    print(json.dumps({key: figures[key] for key in ("weights", "all", "speaker_on_screen")}))
    if args.json:
        write_json(args.json, figures)
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
