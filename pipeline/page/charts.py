"""Distances of a track to what its charts draw: offset over time, heat map, mean over all time."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import uniform_filter1d

from models.features import FRAME_RATE
from pipeline.page.results import TrackResult
from pipeline.sync.offset import FRAME_MS, WINDOW_CENTRE

CURVE_WINDOW_S = 2.0  # over which distances are averaged for one point of the curve
CURVE_STEP_S = 0.4
COLUMNS = 600  # at most so many points of a curve and columns of a heat map: about a chart's width
SURE_SHARE = 0.5  # of the confidence from which an offset is reliable: as for who speaks
HEAT_LEVELS = 255
BRIGHTEST_PERCENTILE = 99.5
LEAST_RANGE_MS = 200.0  # from 0, of the curve's axis


@dataclass(frozen=True)
class Curve:
    """The best offset at points in time.

    Attributes:
        times_s: (points,) seconds of the video.
        offsets_ms: (points,) milliseconds.
        sure: (points,) bool, whether it stands out there; chance does so, too, now and then, so
            that nothing is sure of a track that neither is reliable nor speaks at the time.
    """

    times_s: np.ndarray
    offsets_ms: np.ndarray
    sure: np.ndarray


def curve_of(track: TrackResult) -> Curve:
    """The offset over time, of means over `CURVE_WINDOW_S`; empty for a track without distances."""
    dists = track.dists
    if not len(dists):
        return Curve(np.zeros(0), np.zeros(0), np.zeros(0, bool))
    size = min(len(dists), round(CURVE_WINDOW_S * FRAME_RATE))
    step = max(round(CURVE_STEP_S * FRAME_RATE), -(-len(dists) // COLUMNS))
    centres = np.arange(size // 2, len(dists) - (size - 1) // 2, step)
    means = uniform_filter1d(dists, size, axis=0, mode="nearest")[centres].astype(np.float64)
    best = means.argmin(axis=1)
    confidence = np.median(means, axis=1) - means.min(axis=1)
    inside = (best > 0) & (best < dists.shape[1] - 1)
    least = (track.reliable_confidence or np.inf) * SURE_SHARE
    times_s = track.start_s + (centres + WINDOW_CENTRE) / FRAME_RATE
    counted = np.full(len(centres), track.reliable is True)
    for start_s, end_s in track.speech_s:
        counted |= (start_s <= times_s) & (times_s < end_s)
    # The near search knows nothing of an offset that only the wide one found.
    sure = inside & counted & (confidence >= least) & (not track.wide)
    return Curve(times_s, (track.vshift - best - _vertex(means, best)) * FRAME_MS, sure)


def _vertex(means: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Where in (-0.5, 0.5) of a shift the parabola through the best one and its neighbours ends."""
    rows, last = np.arange(len(means)), means.shape[1] - 1
    left, right = means[rows, np.maximum(best - 1, 0)], means[rows, np.minimum(best + 1, last)]
    curvature = left - 2 * means[rows, best] + right
    usable = (best > 0) & (best < last) & (curvature > 1e-9)
    vertex = 0.5 * (left - right) / np.where(usable, curvature, 1)
    vertices: np.ndarray = np.where(usable, vertex, 0).clip(-0.5, 0.5)
    return vertices


def nearness_of(dists: np.ndarray) -> np.ndarray:
    """How much nearer than usual at its time each offset is.

    Args:
        dists: (windows, shifts).

    Returns:
        (columns, shifts) float64, at most `COLUMNS` of them: median of a column's distances
        minus each of them; below 0 where an offset fits worse than most.
    """
    columns = min(len(dists), COLUMNS)
    if not columns:
        return np.zeros((0, dists.shape[1]))
    edges = np.linspace(0, len(dists), columns + 1).astype(int)[:-1]
    counts = np.diff([*edges, len(dists)])[:, None]
    means = np.add.reduceat(dists, edges, axis=0, dtype=np.float64) / counts
    nearness: np.ndarray = np.median(means, axis=1, keepdims=True) - means
    return nearness


def brightest_of(tracks: Sequence[TrackResult]) -> float:
    """The nearness that all heat maps of a page draw brightest, so that they can be compared."""
    strongest = [
        float(np.percentile(nearness_of(track.dists), BRIGHTEST_PERCENTILE))
        for track in tracks
        if len(track.dists)
    ]
    return max([1e-6, *strongest])


def mean_range_of(tracks: Sequence[TrackResult]) -> tuple[float, float] | None:
    """Smallest and largest mean distance of all tracks: one axis, so that dips can be compared."""
    means = [track.dists.mean(axis=0) for track in tracks if len(track.dists)]
    if not means:
        return None
    return min(float(mean.min()) for mean in means), max(float(mean.max()) for mean in means)


def heat_of(dists: np.ndarray, *, brightest: float) -> np.ndarray:
    """How well each offset fits at each time, for a picture.

    Args:
        dists: (windows, shifts).
        brightest: the nearness that is drawn brightest.

    Returns:
        (shifts, columns) uint8, the largest offset in the first row.
    """
    levels = np.rint(nearness_of(dists).clip(0, brightest) / brightest * HEAT_LEVELS)
    return np.ascontiguousarray(levels.astype(np.uint8).T)


def chart_data(track: TrackResult, *, brightest: float) -> dict[str, Any]:
    """What the page's script draws for a track: plain lists, and the heat map in base64."""
    curve, heat = curve_of(track), heat_of(track.dists, brightest=brightest)
    offsets_ms = np.round(curve.offsets_ms).astype(int).tolist()
    mean = track.dists.mean(axis=0) if len(track.dists) else np.zeros(0)
    return {
        "track": track.track,
        "start_s": round(track.start_s, 3),
        "end_s": round(track.end_s, 3),
        "offset_ms": track.offset_ms,
        "reliable": track.reliable is not False,
        "range_ms": _range_ms(track, curve),
        "times_s": np.round(curve.times_s, 2).tolist(),
        "offsets_ms": offsets_ms,
        "sure": curve.sure.astype(int).tolist(),
        "pieces": [
            [piece.start_s, piece.end_s, piece.offset_ms, piece.reliable]
            for piece in track.pieces
            if piece.offset_ms is not None
        ],
        "heat": {
            "levels": base64.b64encode(heat.tobytes()).decode("ascii"),
            "rows": heat.shape[0],
            "columns": heat.shape[1],
            "start_s": round(track.start_s + WINDOW_CENTRE / FRAME_RATE, 3),
            "end_s": round(track.start_s + (WINDOW_CENTRE + len(track.dists)) / FRAME_RATE, 3),
        },
        "mean": {
            "offsets_ms": [
                round((track.vshift - shift) * FRAME_MS) for shift in range(len(mean))[::-1]
            ],
            "dists": np.round(mean[::-1], 3).tolist(),
        },
    }


def _range_ms(track: TrackResult, curve: Curve) -> list[int]:
    """Lowest and highest offset of the curve's axis: all that is certain, and around 0."""
    offsets_ms = [*curve.offsets_ms[curve.sure].tolist(), -LEAST_RANGE_MS, LEAST_RANGE_MS]
    offsets_ms += [piece.offset_ms for piece in track.pieces if piece.offset_ms is not None]
    if track.reliable is not False and track.offset_ms is not None:
        offsets_ms.append(track.offset_ms)
    low_ms, high_ms = min(offsets_ms), max(offsets_ms)
    edge_ms = 0.1 * (high_ms - low_ms)
    return [round(low_ms - edge_ms), round(high_ms + edge_ms)]
