"""Structure and fine contrast of pictures: what mouths are judged by, and can learn from.

Structural similarity is that of "Image quality assessment" (Wang et al., 2004), with its Gaussian
window of 1.5 pixels; fine contrast is the Laplacian's, the usual measure of focus.
"""

import functools

import torch

SIGMA_PX = 1.5
RADIUS_PX = 5  # the paper's window is 11 pixels wide
C1, C2 = 0.01**2, 0.03**2  # of values in 0..1
GREY_OF_BGR = (0.114, 0.587, 0.299)  # BT.601, as cv2.cvtColor
TINY = 1e-8  # keeps the root's slope finite


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


def fine_contrast(pictures: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Root mean square of the Laplacian of grey pictures.

    Args:
        pictures: (N, 3, H, W) BGR.
        weight: (H, W), how much each pixel counts; those at the edge never do.

    Returns:
        (N,), in units of the pictures.
    """
    grey = (pictures * pictures.new_tensor(GREY_OF_BGR).view(3, 1, 1)).sum(dim=1)
    beside = grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:] + grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1]
    squares = (beside - 4 * grey[:, 1:-1, 1:-1]) ** 2
    weight_inside = weight[1:-1, 1:-1]
    mean = (squares * weight_inside).sum(dim=(1, 2)) / weight_inside.sum()
    return (mean + TINY).sqrt()


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
    indices = (torch.arange(size)[:, None] + steps).clamp(0, size - 1)
    rows = (window / window.sum()).expand(size, -1)
    return torch.zeros(size, size).double().scatter_add(1, indices, rows).to(device, dtype)
