"""Structural similarity: the numbers of its paper, and a loss that falls where it should."""

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from models.wav2lip import FACE_PX
from training import wav2lip_objectives as objectives
from training.structure import ssim


def _pictures(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).random(shape)


def test_it_is_the_similarity_of_the_paper() -> None:
    """Against the formula with SciPy's Gaussian window of 11 pixels, edges included."""
    one = _pictures(2, 3, 30, 24)
    other = np.clip(one * 0.7 + 0.1 * _pictures(2, 3, 30, 24), 0, 1)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.asarray(gaussian_filter(values, (0, 0, 1.5, 1.5), truncate=3.5, mode="nearest"))

    x, y = mean(one), mean(other)
    var_x, var_y = mean(one**2) - x**2, mean(other**2) - y**2
    shared = mean(one * other) - x * y
    c1, c2 = 1e-4, 9e-4
    wanted = (2 * x * y + c1) * (2 * shared + c2) / ((x**2 + y**2 + c1) * (var_x + var_y + c2))
    found = ssim(torch.from_numpy(one), torch.from_numpy(other)).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-10)


def test_a_picture_is_itself_and_not_its_negative() -> None:
    """One for the same, well below nought for the opposite."""
    one = torch.from_numpy(_pictures(1, 1, 20, 20))
    assert torch.allclose(ssim(one, one), torch.ones(()).double())
    assert ssim(one, 1 - one).mean() < -0.5


def test_a_smooth_mouth_costs_more_than_an_uneven_forehead() -> None:
    """The loss sees what is drawn, where it is used; L1 alone would take both errors as equal."""
    target = torch.from_numpy(_pictures(1, 5, 3, FACE_PX, FACE_PX)).float()
    smooth, forehead = target.clone(), target.clone()
    smooth[..., 60:80, 36:60] = 0.5
    forehead[..., 10:30, 36:60] = 0.5
    assert objectives.structure_loss(target, target).item() < 1e-6
    assert objectives.structure_loss(forehead, target).item() < 1e-6
    smooth.requires_grad_()
    loss = objectives.structure_loss(smooth, target)
    loss.backward()
    assert loss.item() > 0.2
    step = smooth.detach() - 50 * smooth.grad  # type: ignore[operator]
    assert objectives.structure_loss(step, target) < loss
