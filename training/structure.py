"""Structural similarity of pictures: what the mouths are judged by, and can learn from.

"Image quality assessment" (Wang et al., 2004), with its Gaussian window of 1.5 pixels.
"""

import functools

import torch

SIGMA_PX = 1.5
RADIUS_PX = 5  # the paper's window is 11 pixels wide
C1, C2 = 0.01**2, 0.03**2  # of values in 0..1


def ssim(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Structural similarity of each pixel and channel; beyond the edges the edge repeats.

    Args:
        one, other: (N, C, H, W) float in 0..1. Not in half precision: a variance is the small
            difference of two large numbers.

    Returns:
        (N, C, H, W), -1 to 1.
    """
    mean_x, mean_y = _around(one), _around(other)
    var_x, var_y = _around(one * one) - mean_x**2, _around(other * other) - mean_y**2
    shared = _around(one * other) - mean_x * mean_y
    top = (2 * mean_x * mean_y + C1) * (2 * shared + C2)
    bottom = (mean_x**2 + mean_y**2 + C1) * (var_x + var_y + C2)
    return top / bottom


def _around(values: torch.Tensor) -> torch.Tensor:
    """Gaussian mean of each pixel's surroundings."""
    height, width = values.shape[-2:]
    down = _blur(height, values.dtype, values.device)
    across = _blur(width, values.dtype, values.device)
    return down @ values @ across.T


@functools.cache
def _blur(size: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """(size, size): row i weighs the neighbours of i. A product with it beats a convolution."""
    steps = torch.arange(-RADIUS_PX, RADIUS_PX + 1)
    window = torch.exp(-(steps.double() ** 2) / (2 * SIGMA_PX**2))
    places = (torch.arange(size)[:, None] + steps).clamp(0, size - 1)
    rows = (window / window.sum()).expand(size, -1)
    return torch.zeros(size, size).double().scatter_add(1, places, rows).to(device, dtype)
