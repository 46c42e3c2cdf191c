"""Offsets that change steadily: the line through all evidence, and how sure its slope is.

The evidence is moved along lines of every slope; where it adds up highest is the drift. How much
the pieces disagree about the slope says how sure it is (the sandwich variance of an M-estimator).
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.optimize import minimize
from scipy.stats import t as student

from pipeline.evidence.blocks import Evidence
from pipeline.evidence.peak import Peak, peak
from pipeline.sync.offset import FRAME_MS

LARGEST_SLOPE_MS_PER_MIN = 1500.0  # 2.5 %
BIN_S = 2.0
MOST_BINS = 240
FEWEST_BINS = 8
STEP_FRAMES = 0.5  # over the whole length, from slope to slope of the first search
SURE = 0.99  # confidence that a slope is not zero, to call it a drift
REPORTED = 0.95  # confidence of the interval that is written down
LEAST_CHANGE_MS = 40.0  # from the first block to the last: less is in the eye of nobody


@dataclass(frozen=True)
class Line:
    """An offset that changes steadily.

    Attributes:
        offset_ms_at_start: at second 0 of the video, when it is played.
        ms_per_min: its slope.
        interval_ms_per_min: lowest and highest slope, with 95 % confidence.
        is_sure: it is no constant: with 99 % confidence, and by what can be noticed.
        likelihood: log likelihood along it.
        peak: of the evidence straightened along it, at the middle of the video.
    """

    offset_ms_at_start: float
    ms_per_min: float
    interval_ms_per_min: tuple[float, float]
    is_sure: bool
    likelihood: float
    peak: Peak


def line_through(evidence: Evidence, likelihood: np.ndarray) -> Line | None:
    """The line that fits best.

    Args:
        evidence: of a clip or a video.
        likelihood: of it, see `likelihood.log_likelihood`.

    Returns:
        None where there is too little to tell.
    """
    middle_s = float(evidence.times_s[0] + evidence.times_s[-1]) / 2
    span_s = float(evidence.times_s[-1] - evidence.times_s[0])
    starts = _bins(evidence.times_s)
    if len(starts) < FEWEST_BINS:
        return None
    binned = np.add.reduceat(likelihood, starts, axis=0, dtype=np.float64)
    counts = np.diff([*starts, len(evidence)])
    times_s = np.add.reduceat(evidence.times_s, starts) / counts - middle_s
    start = _coarse(binned, times_s, span_s=span_s)
    curves = _Curves(binned)
    column, slope = _refined(curves, times_s, *start)
    deviation = _slope_deviation(curves, times_s, column, slope)
    straight = straightened(evidence, slope, middle_s=middle_s)
    best = peak(straight)
    if best is None or deviation is None:
        return None
    to_ms_per_min = FRAME_MS * 60
    ms_per_min, degrees = slope * to_ms_per_min, len(starts) - 2
    reported, sure = (
        deviation * to_ms_per_min * float(student.ppf((1 + level) / 2, degrees))
        for level in (REPORTED, SURE)
    )
    changes = abs(ms_per_min) * span_s / 60 >= LEAST_CHANGE_MS
    at_middle_ms = (column - evidence.largest) * FRAME_MS - float(evidence.late_ms.mean())
    return Line(
        offset_ms_at_start=at_middle_ms - ms_per_min * middle_s / 60,
        ms_per_min=ms_per_min,
        interval_ms_per_min=(ms_per_min - reported, ms_per_min + reported),
        is_sure=bool(changes and abs(ms_per_min) > sure),
        likelihood=float(curves.at(column + slope * times_s).sum()),
        peak=best,
    )


def straightened(evidence: Evidence, slope: float, *, middle_s: float) -> Evidence:
    """The evidence moved along a line, to a constant offset: that of the line at its middle.

    Args:
        evidence: of a clip or a video.
        slope: frames per second.
        middle_s: where nothing is moved.
    """
    moves = np.rint(slope * (evidence.times_s - middle_s)).astype(int)
    columns = np.arange(evidence.nearness.shape[1]) + moves[:, None]
    inside = (columns >= 0) & (columns < evidence.nearness.shape[1])
    columns = columns.clip(0, evidence.nearness.shape[1] - 1)
    return replace(
        evidence,
        nearness=np.where(inside, np.take_along_axis(evidence.nearness, columns, axis=1), 0),
        windows=np.where(inside, np.take_along_axis(evidence.windows, columns, axis=1), 0),
    )


def _bins(times_s: np.ndarray) -> np.ndarray:
    """The first block of each bin of at least `BIN_S`."""
    span_s = float(times_s[-1] - times_s[0])
    size_s = max(BIN_S, span_s / MOST_BINS)
    return np.unique(np.searchsorted(times_s, times_s[0] + np.arange(0, span_s, size_s)))


def _coarse(binned: np.ndarray, times_s: np.ndarray, *, span_s: float) -> tuple[float, float]:
    """The best column at the middle and slope in frames per second, of a grid of slopes."""
    offsets = binned.shape[1]
    steepest = min(LARGEST_SLOPE_MS_PER_MIN / (FRAME_MS * 60), offsets / 2 / span_s)
    step = STEP_FRAMES / span_s
    slopes = np.arange(-round(steepest / step), round(steepest / step) + 1) * step
    best, answer = -np.inf, (0.0, 0.0)
    rows = np.arange(len(binned))[:, None]
    for slope in slopes:
        columns = np.arange(offsets) + np.rint(slope * times_s).astype(int)[:, None]
        inside = (columns >= 0) & (columns < offsets)
        total = np.where(inside, binned[rows, columns.clip(0, offsets - 1)], 0).sum(axis=0)
        if total.max() > best:
            best, answer = total.max(), (float(total.argmax()), float(slope))
    return answer


class _Curves:
    """The log likelihood of every bin between offsets: cubic splines."""

    def __init__(self, binned: np.ndarray) -> None:
        self._coefficients = CubicSpline(np.arange(binned.shape[1]), binned, axis=1).c
        self._bins = np.arange(len(binned))

    def at(self, columns: np.ndarray, *, derivative: int = 0) -> np.ndarray:
        """(bins,) value or derivative of each bin at its own column."""
        last = self._coefficients.shape[1] - 1
        whole = np.floor(columns).astype(int).clip(0, last)
        cubic = self._coefficients[:, whole, self._bins]
        rest = np.clip(columns - whole, 0, 1)
        for _ in range(derivative):
            cubic = cubic[:-1] * np.arange(len(cubic) - 1, 0, -1)[:, None]
        return np.asarray(sum(c * rest**n for n, c in enumerate(cubic[::-1])))


def _refined(
    curves: _Curves, times_s: np.ndarray, column: float, slope: float
) -> tuple[float, float]:
    """The best line near the coarse one."""
    half_s = max(abs(times_s[0]), abs(times_s[-1]))

    def unlikelihood(values: np.ndarray) -> float:
        return -float(curves.at(values[0] + values[1] / half_s * times_s).sum())

    start = np.array([column, slope * half_s])
    simplex = start + np.array([[0, 0], [STEP_FRAMES, 0], [0, STEP_FRAMES]])
    best = minimize(
        unlikelihood,
        start,
        method="Nelder-Mead",
        options={"initial_simplex": simplex, "xatol": 1e-3, "fatol": 1e-3},
    ).x
    return float(best[0]), float(best[1] / half_s)


def _slope_deviation(
    curves: _Curves, times_s: np.ndarray, column: float, slope: float
) -> float | None:
    """Standard deviation of the slope, frames per second; None where there is no maximum."""
    columns = column + slope * times_s
    beside = np.stack([np.ones_like(times_s), times_s])
    pulls = beside * curves.at(columns, derivative=1)
    bend = (beside * curves.at(columns, derivative=2)) @ beside.T
    if bend[0, 0] >= 0 or np.linalg.det(bend) <= 0:
        return None
    inverse = np.linalg.inv(bend)
    return float(np.sqrt((inverse @ (pulls @ pulls.T) @ inverse)[1, 1]))
