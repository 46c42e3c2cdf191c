"""Medians along a series, with NumPy alone: SciPy's filters take longer to import than to run."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def running_median(values: np.ndarray, length: int, *, edges: str) -> np.ndarray:
    """Median of the `length` values around each one.

    Args:
        values: (n,), at least one.
        length: odd.
        edges: what is beyond both ends, as in `numpy.pad`: "edge" repeats them, "constant" is 0.

    Returns:
        (n,), of the same type where that is a float.
    """
    assert length % 2, "a window has a middle"
    wide = np.pad(values, length // 2, mode=edges)  # type: ignore[call-overload]
    return np.asarray(np.median(sliding_window_view(wide, length), axis=1))
