"""What says how the head is turned: everything above the mouth, nothing of the mouth itself."""

import cv2
import numpy as np
import pytest

from models.wav2lip import FACE_PX
from pipeline.texture import align

MOUTH = np.array([[34.0, 70, 1], [62, 70, 1], [48, 80, 1]]).T  # corners and lower lip, of 96 px


def _spots(seed: int, contrast: float) -> np.ndarray:
    """Soft spots of their own."""
    noise = np.random.default_rng(seed).normal(0, 1, (FACE_PX, FACE_PX)).astype(np.float32)
    return 130 + contrast * cv2.GaussianBlur(noise, (0, 0), 2)


def _face(lifted_px: int) -> np.ndarray:
    """Faint skin around lips of strong contrast, which are lifted up to below the nose."""
    down, across = np.indices((FACE_PX, FACE_PX)) - np.array([72, 47.5])[:, None, None]
    lips = cv2.GaussianBlur((np.hypot(across / 26, down / 22) < 1).astype(np.float32), (0, 0), 1)
    drawn = np.roll(_spots(100, 700), -lifted_px, axis=0)
    mixed = _spots(0, 60) * (1 - lips) + drawn * lips
    return np.clip(mixed, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("lifted_px", [2, 4, 6])
def test_lips_that_are_lifted_do_not_lift_the_head(lifted_px: int) -> None:
    """However much more contrast they have than the skin above them."""
    found = align.similarity(_face(0), _face(lifted_px))
    assert np.abs(found @ MOUTH - MOUTH).max() < 0.7
