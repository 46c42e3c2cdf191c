"""Sync accuracy without knowing the true lag, from the agreement of a clip's pieces.

A track is cut into pieces, each piece's sound is moved by a known random number of frames, and the
measured offset, less that number, is compared with that of the clip's other pieces. An untrained
network scores 2 to 5 %.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.features import FRAME_RATE
from models.syncnet import SyncNet
from training.data.samples import Clip
from training.data.selection import FRAME_MS
from training.evaluate.judging import score_piece
from training.loop.distributed import Processes, gathered

PIECE_LENGTHS_S = (1, 2, 5, 10)
REFERENCE_LENGTH_S = 5  # of the pieces whose median is a video's own offset
# Where a video is too short for that: lengths, and how many others a piece is held against.
FEWEST_OTHERS = {REFERENCE_LENGTH_S: 3, 2: 2, 1: 1}
LARGEST_SHIFT = 8  # frames, either way
TOLERANCE = 1  # frames


@dataclass(frozen=True)
class Piece:
    """One scored piece: position, offset less the known shift, confidence."""

    clip: str
    track: str
    length_s: int
    first: int
    offset: int
    confidence: float
    margin: float
    reliable: bool
    at_search_edge: bool = False

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

    def without(self, clips: frozenset[str]) -> "Agreement":
        """The same, some clips left out by name."""
        return Agreement([(piece, ok) for piece, ok in self.judged if piece.clip not in clips])

    def share_right(self) -> float | None:
        """Of all pieces of all lengths: the one figure with the least noise; None without any."""
        return float(np.mean([right for _, right in self.judged])) if self.judged else None

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
        """Per clip: share right per length; median offset and confidence of what it is held to."""
        groups: dict[str, list[tuple[Piece, bool]]] = defaultdict(list)
        for piece, ok in self.judged:
            groups[piece.clip].append((piece, ok))
        table = {}
        for clip, pieces in sorted(groups.items()):
            longest = max(p.length_s for p, _ in pieces if p.length_s in FEWEST_OTHERS)
            judges = [p for p, _ in pieces if p.length_s == longest]
            table[clip] = Agreement(pieces).summary() | {
                "offset": float(np.median([p.offset for p in judges])),
                "confidence": round(float(np.median([p.confidence for p in judges])), 2),
            }
        return table


def can_be_judged(clips: list[Clip]) -> bool:
    """Some video has enough pieces, of 1 s if need be, to compare one with the others."""
    pieces: Counter[tuple[str, int]] = Counter()
    for clip in clips:
        for length_s in FEWEST_OTHERS:
            pieces[clip.reference, length_s] += clip.frames // (length_s * FRAME_RATE)
    return any(count > FEWEST_OTHERS[length_s] for (_, length_s), count in pieces.items())


def agreement(model: SyncNet, clips: list[Clip], group: Processes, *, seed: int) -> Agreement:
    """Cuts clips into pieces, shifts their sound, scores and compares them.

    Args:
        model: in eval mode on the group's device.
        clips: tracks named DATA_DIR/REFERENCE/track; those of one reference belong together.
        group: processes that share the work.
        seed: of the shifts.
    """
    rng = np.random.default_rng(seed)
    planned = [
        (clip, length_s, first, int(rng.integers(-LARGEST_SHIFT, LARGEST_SHIFT + 1)))
        for clip in clips
        for length_s in PIECE_LENGTHS_S
        for first in range(0, clip.frames - length_s * FRAME_RATE + 1, length_s * FRAME_RATE)
    ]
    own_pieces = [
        scored_piece(model, clip, group, length_s=length_s, first=first, lead=lead)
        for clip, length_s, first, lead in planned[group.rank :: group.world]
    ]
    pieces: dict[str, list[Piece]] = defaultdict(list)
    for part in gathered(own_pieces, group):
        for piece in part:
            pieces[piece.clip].append(piece)
    return Agreement([rated for _, of_clip in sorted(pieces.items()) for rated in _judged(of_clip)])


def scored_piece(
    model: SyncNet, clip: Clip, group: Processes, *, length_s: int, first: int, lead: int
) -> Piece:
    """One piece, its sound moved to lead by `lead` more frames."""
    sync = score_piece(
        model,
        clip,
        first=first,
        frames=length_s * FRAME_RATE,
        lead_ms=lead * FRAME_MS,
        device=group.device,
    )
    assert sync is not None, "pieces are longer than a window"
    return Piece(
        clip.reference,
        clip.name,
        length_s,
        first,
        sync.offset_frames - lead,
        sync.confidence,
        sync.margin,
        sync.reliable,
        sync.at_search_edge,
    )


def _judged(pieces: list[Piece]) -> list[tuple[Piece, bool]]:
    """The pieces of one video against its others of the longest reference length it allows."""
    for length_s, fewest in FEWEST_OTHERS.items():
        reference = [piece for piece in pieces if piece.length_s == length_s]
        if len(reference) <= fewest:
            continue
        judged = []
        for piece in pieces:
            others = [other.offset for other in reference if not piece.overlaps(other)]
            if len(others) >= fewest:
                judged.append((piece, abs(piece.offset - np.median(others)) <= TOLERANCE))
        return judged
    return []
