"""The search of five seconds: the offset that stands out, and by how much.

The mean over few windows scatters more than that over many, and the larger an offset the fewer
windows have sound at it. So each offset is weighed by the root of its windows first. Then the lead
of the best one over every other, in robust deviations, tells sure from unsure.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.evidence.blocks import Evidence
from pipeline.sync.offset import FRAME_MS

FEWEST_WINDOWS = 50  # an offset needs to be compared at all
FEWEST_SURE_WINDOWS = 75  # it needs to be relied on
NEIGHBOURS = 3  # frames: so near the best offset another is the same answer
FEWEST_OFFSETS = 20  # to know how they scatter
MAD_TO_DEVIATION = 1.4826  # of a normal distribution

# Of tracks with somebody else's sound, of people that the bundled network never saw, one in two
# hundred leads by more: `python -m tests.benchmarks.fit_answers` prints by how much at each length.
RELIABLE_LEAD = 2.0
MANY_WINDOWS = 110  # each one fewer takes so much more:
LEAD_PER_WINDOW = 0.03


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

    def leads_by(self, lead: float) -> bool:
        """Whether it leads by so much, over many windows, and by more over few."""
        lead += LEAD_PER_WINDOW * max(0, MANY_WINDOWS - self.windows)
        return self.windows >= FEWEST_SURE_WINDOWS and self.lead >= lead


def peak(evidence: Evidence) -> Peak | None:
    """The offset that stands out most; None where too few windows have sound."""
    nearness = evidence.nearness.sum(axis=0, dtype=np.float64)
    windows = evidence.windows.sum(axis=0, dtype=np.int64)
    score = heights(nearness, windows)
    if score is None:
        return None
    best = int(np.nanargmax(score))
    others = score[np.abs(np.arange(len(score)) - best) > NEIGHBOURS]
    if np.isnan(others).all():
        return None
    offset_frames = best - evidence.largest
    within = subframe(nearness / np.maximum(windows, 1), near=best) - best
    late_ms = np.average(evidence.late_ms, weights=evidence.windows[:, best])
    return Peak(
        offset_frames=offset_frames,
        offset_ms=float((offset_frames + within) * FRAME_MS - late_ms),
        lead=float(score[best] - np.nanmax(others)),
        height=float(score[best]),
        windows=int(windows[best]),
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
