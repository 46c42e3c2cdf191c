"""Medians along a series, with NumPy alone: SciPy's filters take longer to import than to run."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

AT_ONCE = 10_000  # windows


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
    windows = sliding_window_view(wide, length)
    medians = np.empty(len(values), values.dtype if values.dtype.kind == "f" else np.float64)
    for start in range(0, len(values), AT_ONCE):  # a median copies all of its windows
        medians[start : start + AT_ONCE] = np.median(windows[start : start + AT_ONCE], axis=1)
    return medians
