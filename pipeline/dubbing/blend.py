"""A generated face back into its frame: only mouth and jaw, no visible edge."""

import functools
import math

import cv2
import numpy as np

from models.wav2lip import FACE_PX
from pipeline.dubbing.face_path import Region

# The changed area, in units of the face region: an ellipse over mouth and jaw.
CENTRE_X, CENTRE_Y = 0.5, 0.74
RADIUS_X, RADIUS_Y = 0.36, 0.25
FEATHER = 0.35  # of the radius, inwards from the ellipse's edge
COLOUR_SIGMA_PX = 12.0  # how far the surrounding's colour reaches into the mouth, of 96 px
GREY_LEVELS = 255


def mouth_mask(width_px: int, height_px: int) -> np.ndarray:
    """How much of each pixel of a face region is taken from the generated face.

    Args:
        width_px, height_px: of the region.

    Returns:
        (height, width) float32: 1 on the mouth, 0 outside the ellipse, smooth between; exactly 0
        outside, so that what is not mouth or jaw stays what it was.
    """
    return mask_part(width_px, height_px, slice(0, height_px), slice(0, width_px))


def mask_part(width_px: int, height_px: int, rows: slice, columns: slice) -> np.ndarray:
    """Some rows and columns of `mouth_mask`; only they are computed."""
    x = (np.arange(columns.start, columns.stop, dtype=np.float32) + 0.5) / width_px
    y = (np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5) / height_px
    radius = np.hypot((x[None] - CENTRE_X) / RADIUS_X, (y[:, None] - CENTRE_Y) / RADIUS_Y)
    inwards = np.clip((1 - radius) / FEATHER, 0, 1)
    return inwards * inwards * (3 - 2 * inwards)


def mouth_region(region: Region) -> Region:
    """The part of a face region that `blend` can change: the rectangle around the mask."""
    width, height = region.size_px
    return Region(
        region.top + math.floor((CENTRE_Y - RADIUS_Y) * height),
        region.top + math.ceil((CENTRE_Y + RADIUS_Y) * height),
        region.left + math.floor((CENTRE_X - RADIUS_X) * width),
        region.left + math.ceil((CENTRE_X + RADIUS_X) * width),
    )


def match_colour(generated: np.ndarray, original: np.ndarray) -> np.ndarray:
    """Gives a generated face the light of its surroundings.

    Around the mouth both faces show the same skin; what differs there is spread smoothly over the
    mouth and taken away, as a membrane fixed to the surrounding would.

    Args:
        generated: (96, 96, 3) uint8 or float32.
        original: (96, 96, 3) uint8.

    Returns:
        (96, 96, 3) float32, not clipped.
    """
    around, weight = _around_mouth()
    difference = (original.astype(np.float32) - generated) * around[..., None]
    spread = cv2.GaussianBlur(difference, (0, 0), COLOUR_SIGMA_PX)
    return generated + spread / np.maximum(weight, 1e-3)[..., None]


@functools.cache
def _around_mouth() -> tuple[np.ndarray, np.ndarray]:
    """Where both faces show the same skin, and how much of it is near each pixel: (96, 96) each."""
    around = 1 - mouth_mask(FACE_PX, FACE_PX)
    around[: FACE_PX // 2] = 0  # the upper half was shown to the generator
    return around, cv2.GaussianBlur(around, (0, 0), COLOUR_SIGMA_PX)


def blend(frame: np.ndarray, region: Region, generated: np.ndarray, original: np.ndarray) -> None:
    """Puts the mouth and jaw of a generated face into a frame, in place.

    Args:
        frame: (H, W, 3) uint8, writable; or float32, which is neither rounded nor clipped.
        region: of the face.
        generated: (96, 96, 3) uint8, what the generator made.
        original: (96, 96, 3) uint8, what it was shown.
    """
    visible = mouth_region(region).inside(frame)
    rows = slice(visible.top - region.top, visible.bottom - region.top)
    columns = slice(visible.left - region.left, visible.right - region.left)
    face = visible.cut(frame)
    generated_px = _enlarge(match_colour(generated, original), *region.size_px)[rows, columns]
    mask = mask_part(*region.size_px, rows, columns)[..., None]
    mixed = face + (generated_px - face) * mask  # where the mask is 0, exactly what it was
    face[:] = np.clip(np.rint(mixed), 0, GREY_LEVELS) if frame.dtype == np.uint8 else mixed


def paste(frame: np.ndarray, region: Region, generated: np.ndarray) -> None:
    """Puts the whole generated face into a frame, in place, as the published program does.

    Args:
        frame: (H, W, 3) uint8 or float32, writable.
        region: of the face, inside the frame.
        generated: (96, 96, 3) uint8.
    """
    region.cut(frame)[:] = cv2.resize(generated, region.size_px)


def _enlarge(face: np.ndarray, width_px: int, height_px: int) -> np.ndarray:
    smaller = width_px < FACE_PX and height_px < FACE_PX
    interpolation = cv2.INTER_AREA if smaller else cv2.INTER_LANCZOS4
    return cv2.resize(face, (width_px, height_px), interpolation=interpolation)
