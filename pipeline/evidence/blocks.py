"""How well lips and sound agree at every offset within five seconds, in blocks of 0.4 s.

Blocks add up: over a track, and over the tracks and shots of a video. They are small, so the
embeddings of hours need not be kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from models.features import FRAME_RATE

BLOCK_WINDOWS = 10  # windows of a block: 0.4 s
BLOCK_S = BLOCK_WINDOWS / FRAME_RATE
LARGEST_OFFSET = 125  # frames: five seconds
BLOCKS_AT_ONCE = 25  # of the distance matrix: bounds memory


@dataclass(frozen=True)
class Evidence:
    """What blocks of windows say about each offset.

    Attributes:
        times_s: (blocks,) float64, the middle of each block, seconds of the video, ascending.
        nearness: (blocks, offsets) float32, summed over a block's windows: by how much less lips
            and sound differ at an offset than at all of them in the mean.
        windows: (blocks, offsets) uint8, how many of its windows have sound at an offset.
        late_ms: (blocks,) by how much pictures stand later than the video shows them.
        tracks: (blocks,) int64, whose they are.
    """

    times_s: np.ndarray
    nearness: np.ndarray
    windows: np.ndarray
    late_ms: np.ndarray
    tracks: np.ndarray

    def __len__(self) -> int:
        """Number of blocks."""
        return len(self.times_s)

    @property
    def largest(self) -> int:
        """The largest offset either way, frames; column c is of the offset `c - largest`."""
        return self.nearness.shape[1] // 2

    def part(self, chosen: slice | np.ndarray) -> "Evidence":
        """Some of the blocks."""
        return Evidence(
            self.times_s[chosen],
            self.nearness[chosen],
            self.windows[chosen],
            self.late_ms[chosen],
            self.tracks[chosen],
        )


def evidence_of(
    lips: torch.Tensor,
    sound: torch.Tensor,
    has_sound: np.ndarray,
    *,
    start_s: float = 0.0,
    late_s: float = 0.0,
    track: int = 0,
    largest: int = LARGEST_OFFSET,
) -> Evidence:
    """The evidence of one clip.

    Args:
        lips, sound: (windows, E), of the same windows.
        has_sound: (windows,) bool, which have sound to compare with.
        start_s: when the clip begins in the video.
        late_s: by how much its pictures stand later than the video shows them, in the mean.
        track: its number.
        largest: offset either way, frames.
    """
    count = len(lips)
    blocks = -(-count // BLOCK_WINDOWS)
    nearness = np.zeros((blocks, 2 * largest + 1), np.float32)
    windows = np.zeros((blocks, 2 * largest + 1), np.uint8)
    for first in range(0, blocks, BLOCKS_AT_ONCE):
        some = slice(first, first + BLOCKS_AT_ONCE)
        rows = slice(first * BLOCK_WINDOWS, (first + BLOCKS_AT_ONCE) * BLOCK_WINDOWS)
        nearness[some], windows[some] = _of_rows(lips, sound, has_sound, rows, largest=largest)
    middles_s = (np.arange(blocks) * BLOCK_WINDOWS + BLOCK_WINDOWS / 2) / FRAME_RATE
    return Evidence(
        times_s=start_s + middles_s,
        nearness=nearness,
        windows=windows,
        late_ms=np.full(blocks, 1000 * late_s),
        tracks=np.full(blocks, track),
    )


def _of_rows(
    lips: torch.Tensor, sound: torch.Tensor, has_sound: np.ndarray, rows: slice, *, largest: int
) -> tuple[np.ndarray, np.ndarray]:
    """`nearness` and `windows` of the blocks of some rows."""
    some = lips[rows]
    at = rows.start + np.arange(len(some))[:, None] + np.arange(largest, -largest - 1, -1)
    first, end = max(0, rows.start - largest), min(len(sound), rows.start + len(some) + largest)
    dists = torch.cdist(some, sound[first:end]).numpy()
    valid = (at >= 0) & (at < len(has_sound))
    valid &= has_sound[at.clip(0, len(has_sound) - 1)]
    matrix = np.take_along_axis(dists, (at - first).clip(0, end - first - 1), axis=1)
    matrix = np.where(valid, matrix, 0)
    counted = np.maximum(valid.sum(axis=1, keepdims=True), 1)
    nearer = np.where(valid, matrix.sum(axis=1, keepdims=True) / counted - matrix, 0)
    starts = np.arange(0, len(some), BLOCK_WINDOWS)
    summed = np.add.reduceat(nearer, starts, axis=0)
    return summed, np.add.reduceat(valid, starts, axis=0, dtype=np.uint8)


def joined(parts: Sequence[Evidence]) -> Evidence:
    """All blocks of some clips in the order of the video."""
    order = np.argsort(np.concatenate([part.times_s for part in parts]), kind="stable")
    return Evidence(
        times_s=np.concatenate([part.times_s for part in parts])[order],
        nearness=np.concatenate([part.nearness for part in parts])[order],
        windows=np.concatenate([part.windows for part in parts])[order],
        late_ms=np.concatenate([part.late_ms for part in parts])[order],
        tracks=np.concatenate([part.tracks for part in parts])[order],
    )
