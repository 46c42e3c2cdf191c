"""Running medians are SciPy's, ends included."""

import numpy as np
import pytest
from scipy.ndimage import generic_filter

from pipeline.faces.medians import running_median


@pytest.mark.parametrize(("edges", "mode"), [("edge", "nearest"), ("constant", "constant")])
@pytest.mark.parametrize("count", [1, 4, 9, 100])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_it_is_scipys(edges: str, mode: str, count: int, kind: type) -> None:
    """Bit by bit, for series shorter than the window too.

    Not `median_filter`'s: SciPy 1.15 has nothing but zeros for series shorter than half a window.
    """
    values: np.ndarray = np.random.default_rng(5).normal(size=count).astype(kind)
    for length in (3, 9, 13):
        medians = running_median(values, length, edges=edges)
        assert medians.dtype == kind
        expected = generic_filter(values, np.median, length, mode=mode)
        np.testing.assert_array_equal(medians, expected)
