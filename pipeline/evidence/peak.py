"""The search of five seconds: the offset that stands out, and by how much.

The mean over few windows scatters more than that over many, and the larger an offset the fewer
windows have sound at it. So each offset is weighed by the root of its windows first. Then the lead
of the best one over every other, in robust deviations, tells sure from unsure.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.evidence.blocks import Evidence
from pipeline.evidence.limits import (
    FEWEST_SURE_WINDOWS,
    LEAD_PER_WINDOW,
    MANY_WINDOWS,
    RELIABLE_LEAD,
)
from pipeline.sync.offset import FRAME_MS

FEWEST_WINDOWS = 50  # an offset needs to be compared at all
NEIGHBOURS = 3  # frames: so near the best offset another is the same answer
FEWEST_OFFSETS = 20  # to know how they scatter
MAD_TO_DEVIATION = 1.4826  # of a normal distribution


@dataclass(frozen=True)
class Peak:
    """The offset that stands out most.

    Attributes:
        offset_frames: by how many frames the sound leads (> 0) or lags (< 0).
        offset_ms: the same below a frame's resolution, when the video is played.
        lead: over every offset that is not its neighbour, in robust deviations.
        height: over the median offset, in the same.
        windows: with sound at it.
    """

    offset_frames: int
    offset_ms: float
    lead: float
    height: float
    windows: int

    @property
    def reliable(self) -> bool:
        """Hardly any track with somebody else's sound leads by so much."""
        return self.leads_by(RELIABLE_LEAD)

    @property
    def lead_of_many(self) -> float:
        """Its lead, less what an offset over few windows leads by more by chance."""
        return self.lead - LEAD_PER_WINDOW * max(0, MANY_WINDOWS - self.windows)

    def leads_by(self, lead: float) -> bool:
        """Whether it leads by so much, over many windows, and by more over few."""
        return self.windows >= FEWEST_SURE_WINDOWS and self.lead_of_many >= lead


def peak(evidence: Evidence) -> Peak | None:
    """The offset that stands out most; None where too few windows have sound."""
    nearness, windows = _totals(evidence)
    score = heights(nearness, windows)
    if score is None:
        return None
    return _at(evidence, nearness, windows, score, column=int(np.nanargmax(score)))


def peak_at(evidence: Evidence, offset_frames: int) -> Peak | None:
    """The same of one offset, or the one beside it: its lead is below 0 where another leads.

    Args:
        evidence: of a clip.
        offset_frames: the offset.

    Returns:
        None where too few windows have sound at it, or at others.
    """
    nearness, windows = _totals(evidence)
    score = heights(nearness, windows)
    column = evidence.largest + offset_frames
    beside = slice(max(0, column - 1), column + 2)
    if score is None or np.isnan(score[beside]).all():
        return None
    best = beside.start + int(np.nanargmax(score[beside]))
    return _at(evidence, nearness, windows, score, column=best)


def _totals(evidence: Evidence) -> tuple[np.ndarray, np.ndarray]:
    """(offsets,) nearness and windows of all blocks together."""
    nearness = evidence.nearness.sum(axis=0, dtype=np.float64)
    return nearness, evidence.windows.sum(axis=0, dtype=np.int64)


def _at(
    evidence: Evidence,
    nearness: np.ndarray,
    windows: np.ndarray,
    score: np.ndarray,
    *,
    column: int,
) -> Peak | None:
    """What one column says; None where there is no other to compare it with."""
    others = score[np.abs(np.arange(len(score)) - column) > NEIGHBOURS]
    if np.isnan(others).all():
        return None
    offset_frames = column - evidence.largest
    within = subframe(nearness / np.maximum(windows, 1), near=column) - column
    late_ms = np.average(evidence.late_ms, weights=evidence.windows[:, column])
    return Peak(
        offset_frames=offset_frames,
        offset_ms=float((offset_frames + within) * FRAME_MS - late_ms),
        lead=float(score[column] - np.nanmax(others)),
        height=float(score[column]),
        windows=int(windows[column]),
    )


def heights(nearness: np.ndarray, windows: np.ndarray) -> np.ndarray | None:
    """How far each offset stands out, in robust deviations.

    Args:
        nearness: (offsets,) summed over windows.
        windows: (offsets,) how many.

    Returns:
        (offsets,) float64, NaN where fewer than `FEWEST_WINDOWS` have sound; None where that is
        so nearly everywhere.
    """
    enough = windows >= FEWEST_WINDOWS
    if np.count_nonzero(enough) < FEWEST_OFFSETS:
        return None
    mean = np.where(enough, nearness / np.maximum(windows, 1), np.nan)
    score = (mean - np.nanmedian(mean)) * np.sqrt(windows)
    deviation = MAD_TO_DEVIATION * np.nanmedian(np.abs(score))
    return np.asarray(score / deviation) if deviation > 0 else None


def subframe(mean: np.ndarray, *, near: int) -> float:
    """The vertex of the parabola through the value at `near` and its neighbours; an index."""
    if not 0 < near < len(mean) - 1:
        return float(near)
    left, middle, right = mean[near - 1 : near + 2]
    curvature = left - 2 * middle + right
    if not curvature < -1e-9:
        return float(near)
    return float(near + np.clip(0.5 * (left - right) / curvature, -0.5, 0.5))
