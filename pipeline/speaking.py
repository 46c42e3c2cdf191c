"""When each face speaks, from the confidence of its frames."""

import numpy as np
from scipy.ndimage import uniform_filter1d

from models.features import FRAME_RATE
from pipeline import sync

STEADY_S = 1.0  # a face speaks or not over stretches as long, not frame by frame
SPEAKING_SHARE = 0.5  # of the confidence from which an offset is reliable
SHORTEST_S = 0.4  # a shorter pause or burst is part of what surrounds it


def speaking(
    dists: np.ndarray, *, frames: int, reliable_confidence: float, frame_rate: int = FRAME_RATE
) -> np.ndarray:
    """Which frames of a track the face speaks on.

    Args:
        dists: (windows, shifts) of the track, as in activesd.pckl.
        frames: length of the track.
        reliable_confidence: of the network that made the distances.
        frame_rate: of the track.

    Returns:
        (frames,) bool.
    """
    confidence = sync.confidence_per_frame(dists, frames=frames, frame_rate=frame_rate)
    steady = uniform_filter1d(confidence, max(1, round(STEADY_S * frame_rate)), mode="nearest")
    return without_short(
        steady >= SPEAKING_SHARE * reliable_confidence, round(SHORTEST_S * frame_rate)
    )


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
