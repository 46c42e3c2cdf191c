"""Evidence as log likelihood: what a constant offset, a step and a drift are compared in."""

import numpy as np

from pipeline.evidence.blocks import Evidence
from pipeline.evidence.peak import MAD_TO_DEVIATION

PIECE_WINDOWS = 250  # ten seconds


def log_likelihood(evidence: Evidence) -> np.ndarray:
    """By how much more probable each offset is than none, block by block.

    A true offset adds a mean to what else is noise; a sum of nearness is worth that mean by the
    variance of the noise.

    Args:
        evidence: of a clip or a video.

    Returns:
        (blocks, offsets) float32, up to a constant of the block.
    """
    windows = evidence.windows.sum(axis=0, dtype=np.int64)
    variance = _variance(evidence.nearness.sum(axis=0, dtype=np.float64), windows)
    return evidence.nearness * np.float32(_true_mean(evidence) / variance)


def _variance(nearness: np.ndarray, windows: np.ndarray) -> float:
    """Of the nearness of one window at a wrong offset, as sums of many scatter."""
    enough = windows >= max(1, windows.max(initial=0) // 4)
    score = nearness[enough] / np.sqrt(np.maximum(windows[enough], 1))
    deviation = MAD_TO_DEVIATION * np.median(np.abs(score - np.median(score)))
    return max(float(deviation), 1e-6) ** 2


def _true_mean(evidence: Evidence) -> float:
    """Nearness of one window at its true offset: the median over pieces of ten seconds.

    Pieces, because an offset that changes stands out nowhere in the whole.
    """
    counted = np.cumsum(evidence.windows.max(axis=1).astype(np.int64))
    piece = np.minimum(counted // PIECE_WINDOWS, max(0, counted[-1] // PIECE_WINDOWS - 1))
    starts = np.searchsorted(piece, np.unique(piece))
    windows = np.add.reduceat(evidence.windows, starts, axis=0, dtype=np.int64)
    means = np.add.reduceat(evidence.nearness, starts, axis=0) / np.maximum(windows, 1)
    enough = windows >= windows.max(axis=1, keepdims=True) // 2
    return float(np.median(np.where(enough, means, -np.inf).max(axis=1)))
