"""Structural similarity: the numbers of its paper, and a loss that falls where it should."""

import cv2
import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from models.wav2lip import FACE_PX
from training.objectives import wav2lip_objectives as objectives
from training.objectives.structure import fine_contrast, ssim


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
    expected = (2 * x * y + c1) * (2 * shared + c2) / ((x**2 + y**2 + c1) * (var_x + var_y + c2))
    result = ssim(torch.from_numpy(one), torch.from_numpy(other)).numpy()
    np.testing.assert_allclose(result, expected, atol=1e-10)


def test_a_picture_is_itself_and_not_its_negative() -> None:
    """One for the same, well below nought for the opposite."""
    one = torch.from_numpy(_pictures(1, 1, 20, 20))
    assert torch.allclose(ssim(one, one), torch.ones(()).double())
    assert ssim(one, 1 - one).mean() < -0.5


def test_a_smooth_mouth_costs_more_than_an_uneven_forehead() -> None:
    """The mouth counts more than the forehead; L1 alone would weigh both errors alike."""
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


def test_fine_contrast_is_that_of_the_evaluation() -> None:
    """The root of what `evaluate_mouths.sharpness` means: OpenCV's Laplacian of OpenCV's grey."""
    pictures = np.random.default_rng(6).integers(0, 256, (4, 40, 30, 3)).astype(np.uint8)
    grey = [cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) for picture in pictures]
    inner = [cv2.Laplacian(one, cv2.CV_64F)[1:-1, 1:-1] for one in grey]
    expected = np.sqrt([(one**2).mean() for one in inner])
    result = fine_contrast(
        torch.from_numpy(pictures).permute(0, 3, 1, 2).float(), torch.ones(40, 30)
    )
    np.testing.assert_allclose(result, expected, rtol=0.01)


def test_a_blurred_mouth_lacks_detail_and_a_moved_one_does_not() -> None:
    """Where it is does not matter, nor what is no mouth; too much is as bad as too little."""
    target = torch.from_numpy(_pictures(1, 5, 3, FACE_PX, FACE_PX)).float()
    half = 0.5 + (target - 0.5) / 2
    assert objectives.detail_loss(target, target).item() < 1e-5
    assert abs(objectives.detail_loss(half, target).item() - 0.5) < 1e-3
    assert abs(objectives.detail_loss(target, half).item() - 1.0) < 1e-3
    assert objectives.detail_loss(target.roll(1, dims=4), target).item() < 0.03
    upper = target.clone()
    upper[..., : FACE_PX // 2 - 2, :] = 0.5
    assert objectives.detail_loss(upper, target).item() < 1e-3
