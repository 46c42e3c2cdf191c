"""When one face speaks, from the distances of its lips to the sound alone.

For results without speaking.json, and to grade a network frame by frame; `decide` compares the
faces of a shot. A face may speak for part of its track only, so its offset is taken where it stands
out most; a face that stands out nowhere is a listener's.
"""

import numpy as np
from scipy.ndimage import uniform_filter1d

from models.features import FRAME_RATE
from pipeline.sync.offset import WINDOW_CENTRE, margin_of

STRETCH_S, STRETCH_STEP_S = 5.0, 1.0  # long enough to trust, short enough for a few sentences
STEADY_S = 1.0  # a face speaks or not over stretches as long, not frame by frame
SPEAKING_SHARE = 0.5  # of the confidence from which an offset is reliable
TRACK_WEIGHT = 2.0  # of a track's margin, beside its confidence in a second
SHORTEST_S = 0.4  # a shorter pause or burst is part of what surrounds it


def speaking(
    dists: np.ndarray,
    *,
    frames: int,
    reliable_confidence: float,
    reliable_margin: float = 0.0,
    frame_rate: int = FRAME_RATE,
) -> np.ndarray:
    """Which frames of a track the face speaks on.

    Args:
        dists: (windows, shifts) of the track, as in activesd.pckl.
        frames: length of the track.
        reliable_confidence, reliable_margin: of the network that made the distances.
        frame_rate: of the track; windows are always 40 ms apart.

    Returns:
        (frames,) bool.
    """
    mean = clearest_mean(dists)
    if mean is None or not _reliable(mean, reliable_confidence, reliable_margin):
        return np.zeros(frames, bool)
    steady = _steady(dists, mean, frames=frames, frame_rate=frame_rate)
    return without_short(
        steady >= SPEAKING_SHARE * reliable_confidence, round(SHORTEST_S * frame_rate)
    )


def _reliable(mean: np.ndarray, reliable_confidence: float, reliable_margin: float) -> bool:
    sure = np.median(mean) - mean.min() >= reliable_confidence
    return bool(sure and margin_of(mean) >= reliable_margin)


def speaking_score(dists: np.ndarray, *, frames: int, frame_rate: int = FRAME_RATE) -> np.ndarray:
    """How much speaks for each frame showing the speaker, to compare faces by.

    What a single second says is noisy: that the track as a whole follows the sound counts as well.

    Args:
        dists, frames, frame_rate: as for `speaking`.

    Returns:
        (frames,) float64; minus infinity where nothing could be measured.
    """
    mean = clearest_mean(dists)
    if mean is None:
        return np.full(frames, -np.inf)
    steady = _steady(dists, mean, frames=frames, frame_rate=frame_rate)
    return steady + TRACK_WEIGHT * margin_of(mean)


def _steady(dists: np.ndarray, mean: np.ndarray, *, frames: int, frame_rate: int) -> np.ndarray:
    """Confidence of every frame at the clearest offset, steadied; (frames,)."""
    confidence = np.median(mean) - dists[:, mean.argmin()]
    steady = uniform_filter1d(confidence, round(STEADY_S * FRAME_RATE), mode="nearest")
    at_25 = np.rint(np.arange(frames) * (FRAME_RATE / frame_rate)).astype(int)
    by_frame: np.ndarray = steady[np.clip(at_25 - WINDOW_CENTRE, 0, len(steady) - 1)]
    return by_frame


def clearest_mean(dists: np.ndarray) -> np.ndarray | None:
    """The mean distance per shift over the stretch of a track where one shift stands out most.

    Args:
        dists: (windows, shifts) float32.

    Returns:
        (shifts,) float64; None where there is no window, or the best shift of every stretch is the
        largest searched, which is no measurement.
    """
    if not len(dists):
        return None
    size = min(len(dists), round(STRETCH_S * FRAME_RATE))
    last = len(dists) - size
    starts = np.unique([*range(0, last, round(STRETCH_STEP_S * FRAME_RATE)), last])
    total = np.pad(np.cumsum(dists, axis=0, dtype=np.float64), ((1, 0), (0, 0)))
    means = (total[starts + size] - total[starts]) / size
    best = means.argmin(axis=1)
    means = means[(best > 0) & (best < dists.shape[1] - 1)]
    if not len(means):
        return None
    clearest: np.ndarray = means[(np.median(means, axis=1) - means.min(axis=1)).argmax()]
    return clearest


def stretches(values: np.ndarray) -> list[tuple[int, int]]:
    """The [start, end) of every run of True in a (n,) bool array."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], values, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def without_short(values: np.ndarray, shortest: int) -> np.ndarray:
    """Closes pauses, then drops bursts, of fewer than `shortest` values; ends are no pauses."""
    closed = values.copy()
    for start, end in stretches(~closed):
        if end - start < shortest and start > 0 and end < len(closed):
            closed[start:end] = True
    for start, end in stretches(closed):
        if end - start < shortest:
            closed[start:end] = False
    return closed
