"""Distances to offset, confidence and speaking.

Row i of the distances holds the distance of window i's lips to the sound of windows i - vshift ..
i + vshift; the mean over all windows is smallest where sound and lips belong together. A positive
offset means that the sound leads.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.calibration import REFERENCE_WINDOWS, Calibration
from models.features import FRAME_RATE, SAMPLES_PER_FRAME, WINDOW_FRAMES
from pipeline.faces.medians import running_median
from pipeline.sync import reliability
from pipeline.sync.reliability import NEIGHBOUR_SHIFTS

FRAME_MS = 1000 / FRAME_RATE
CONFIDENCE_FRAMES = 9  # window of the median over framewise confidence
WINDOW_CENTRE = WINDOW_FRAMES // 2  # window i tells about frame i + 2
ROUNDING_S = 0.001  # of times that are written down
ROWS_AT_ONCE = 10_000  # of distances: bounds memory
DRIFT_PIECE_S = 5.0
DRIFT_PIECES = 4  # minimum number of pieces for a slope


@dataclass(frozen=True)
class Sync:
    """What one face clip says about its sound.

    Attributes:
        offset_frames: by how many frames the sound leads (> 0) or lags (< 0).
        offset_ms: the same below one frame's resolution, from shifts that stay within the clip.
        min_dist: smallest mean distance; small when lips and sound match.
        confidence: median minus smallest mean distance; large when one shift stands out.
        margin: gap to the second-best offset at least three frames away.
        framewise: (windows,) float32, confidence of each window at the clip's offset.
        at_search_edge: the offset is the largest that was tried, so the true one may be larger.
        reliable: the offset can be relied on: hardly any clip with somebody else's sound is called
            so.
        drift_ms_per_min: how the offset changes along the clip; None where it is too short
            or the offset not reliable.
        probability: that the offset is right within a frame, against somebody else's sound as often
            as not; None where the network was not calibrated.
    """

    offset_frames: int
    offset_ms: float
    min_dist: float
    confidence: float
    margin: float
    framewise: np.ndarray
    at_search_edge: bool
    reliable: bool
    drift_ms_per_min: float | None
    probability: float | None = None


def window_count(frames: int, samples: int) -> int:
    """Number of windows of a clip; the same count as the demo, one less than available."""
    return max(0, min(frames, samples // SAMPLES_PER_FRAME) - WINDOW_FRAMES)


def windows_with_sound(missing_s: Sequence[tuple[float, float]], windows: int) -> np.ndarray:
    """Which windows have sound to compare with; silence that was recorded is sound, too.

    Args:
        missing_s: (start, end) of stretches of the clip without sound, seconds.
        windows: how many the clip has.

    Returns:
        (windows,) bool, False where all of a window lies in such a stretch.
    """
    starts_s = np.arange(windows) / FRAME_RATE
    has_sound = np.ones(windows, bool)
    for start_s, end_s in missing_s:
        inside = starts_s + WINDOW_FRAMES / FRAME_RATE <= end_s + ROUNDING_S
        has_sound &= ~((starts_s >= start_s - ROUNDING_S) & inside)
    return has_sound


def judge(
    dists: np.ndarray,
    has_sound: np.ndarray | None = None,
    /,
    *,
    reliable_confidence: float,
    reliable_margin: float = 0.0,
    calibration: Calibration | None = None,
    audible_share: float = 1.0,
) -> Sync:
    """Offset and confidence from a distance matrix; numbers as the published program's.

    Args:
        dists: (windows, 2 vshift + 1) float32, at least one window.
        has_sound: (windows,) bool, False where there is no sound to compare with, see
            `windows_with_sound`: those windows do not count. At least one is True; None: all are.
        reliable_confidence: confidence from which an offset is called reliable.
        reliable_margin: and the margin that takes of a clip of 5 s; of shorter ones it takes more.
        calibration: decides instead of these two, where there is one.
        audible_share: share of the frames with audible sound, which the calibration weighs.
    """
    vshift = dists.shape[1] // 2
    has_sound = np.ones(len(dists), bool) if has_sound is None else has_sound
    mean = dists[has_sound].mean(axis=0)
    best = int(mean.argmin())
    confidence = float(np.median(mean) - mean[best])
    at_edge = best in (0, 2 * vshift)
    margin = margin_of(mean)
    if calibration is None:
        # The mean over fewer windows scatters more, as one by the root of their number.
        least = reliable_margin * max(1.0, REFERENCE_WINDOWS / np.count_nonzero(has_sound)) ** 0.5
        probability, sure = None, confidence >= reliable_confidence and margin >= least
    else:
        probability, sure = reliability.probability(
            dists[has_sound], calibration, audible_share=audible_share
        )
    reliable = bool(sure and not at_edge)
    return Sync(
        offset_frames=vshift - best,
        offset_ms=_subframe_offset(dists, near=best, has_sound=has_sound) * FRAME_MS,
        min_dist=float(mean[best]),
        confidence=confidence,
        margin=margin,
        framewise=running_median(
            np.where(has_sound, np.median(mean) - dists[:, best], 0).astype(np.float32),
            CONFIDENCE_FRAMES,
            edges="constant",
        ),
        at_search_edge=at_edge,
        reliable=reliable,
        drift_ms_per_min=_drift(dists, has_sound) if reliable else None,
        probability=probability,
    )


def margin_of(mean: np.ndarray) -> float:
    """How much further every other offset is than the best; its neighbours are no others.

    Args:
        mean: (shifts,) mean distance per shift.
    """
    best = int(mean.argmin())
    others = mean[np.abs(np.arange(len(mean)) - best) > NEIGHBOUR_SHIFTS]
    return float(others.min() - mean[best]) if len(others) else 0.0


def valid_mean(dists: np.ndarray, has_sound: np.ndarray | None = None) -> np.ndarray:
    """Mean distance per shift over the windows whose sound exists; NaN where none does."""
    windows, shifts = dists.shape
    vshift = shifts // 2
    counts, total = np.zeros(shifts, np.int64), np.zeros(shifts)
    for start in range(0, windows, ROWS_AT_ONCE):
        block = dists[start : start + ROWS_AT_ONCE]
        source = np.arange(start, start + len(block))[:, None] + np.arange(shifts) - vshift
        inside = (source >= 0) & (source < windows)
        if has_sound is not None:
            inside &= has_sound[source.clip(0, windows - 1)]
        counts += inside.sum(axis=0)
        total += np.where(inside, block, 0).sum(axis=0, dtype=np.float64)
    return np.where(counts > 0, total / np.maximum(counts, 1), np.nan)


def _subframe_offset(
    dists: np.ndarray, *, near: int | None = None, has_sound: np.ndarray | None = None
) -> float:
    """Offset in frames: the vertex of the parabola through the best shift and its neighbours."""
    mean = valid_mean(dists, has_sound)
    if near is None:
        near = int(np.nanargmin(mean))
    else:  # padding may have moved the published answer by a shift
        around = slice(max(0, near - 1), near + 2)
        if not np.isnan(mean[around]).all():
            near = around.start + int(np.nanargmin(mean[around]))
    vshift = len(mean) // 2
    if not 0 < near < len(mean) - 1:
        return float(vshift - near)
    left, middle, right = mean[near - 1 : near + 2]
    curvature = left - 2 * middle + right
    if not np.isfinite(curvature) or curvature <= 1e-9:
        return float(vshift - near)
    return float(vshift - near - np.clip(0.5 * (left - right) / curvature, -0.5, 0.5))


def _drift(dists: np.ndarray, has_sound: np.ndarray) -> float | None:
    """Slope of the offsets of successive pieces, by the median of all pairs (Theil-Sen)."""
    size = round(DRIFT_PIECE_S * FRAME_RATE)
    offsets = [
        _subframe_offset(dists[start : start + size])
        for start in range(0, len(dists) - size + 1, size)
        if has_sound[start : start + size].all()
    ]
    if len(offsets) < DRIFT_PIECES:
        return None
    later, earlier = np.triu_indices(len(offsets), 1)[::-1]
    slopes = (np.array(offsets)[later] - np.array(offsets)[earlier]) / (later - earlier)
    return float(np.median(slopes) * FRAME_MS * 60 / DRIFT_PIECE_S)


def confidence_per_frame(
    dists: np.ndarray, *, frames: int, frame_rate: int = FRAME_RATE
) -> np.ndarray:
    """Confidence of each frame of a track at the track's offset, for drawing and speaking.

    Window i tells about its middle frame, i + 2; frames before the first and after the last
    window take the nearest one's.

    Args:
        dists: (windows, shifts).
        frames: length of the track.
        frame_rate: of the track; windows are always 40 ms apart.

    Returns:
        (frames,) float32; zeros where there is no window at all.
    """
    if not len(dists):
        return np.zeros(frames, np.float32)
    mean = dists.mean(axis=0)
    windowed = np.median(mean) - dists[:, mean.argmin()]
    at_25 = np.rint(np.arange(frames) * (FRAME_RATE / frame_rate)).astype(int)
    nearest = np.clip(at_25 - WINDOW_CENTRE, 0, len(windowed) - 1)
    steady = running_median(windowed, CONFIDENCE_FRAMES, edges="edge")
    return steady[nearest].astype(np.float32)
