"""Pictures as video stores them, and marks on them: a third of the work of going through BGR.

yuv420p: one plane of brightness and two of colour at half the size, BT.601, 16 to 235.
"""

import functools
from dataclasses import dataclass

import cv2
import numpy as np

Point = tuple[int, int]  # x, y in pixels of the brightness
Colour = tuple[int, int, int]  # blue, green, red


@dataclass(frozen=True)
class Picture:
    """One picture; drawing changes its buffer.

    Attributes:
        buffer: (bytes,) uint8, the planes one after the other.
        y: (H, W) view of it, brightness.
        u, v: (H / 2, W / 2) views, rounded up: how blue, how red.
    """

    buffer: np.ndarray
    y: np.ndarray
    u: np.ndarray
    v: np.ndarray


def buffer_bytes(size_px: tuple[int, int]) -> int:
    """Of a picture of this (width, height)."""
    return size_px[0] * size_px[1] + 2 * -(-size_px[0] // 2) * -(-size_px[1] // 2)


def picture(buffer: np.ndarray, *, size_px: tuple[int, int]) -> Picture:
    """The planes of a (`buffer_bytes`,) uint8 buffer; views, nothing is copied."""
    width, height = size_px
    half = -(-height // 2), -(-width // 2)
    y, u, v = np.split(buffer, [width * height, width * height + half[0] * half[1]])
    return Picture(buffer, y.reshape(height, width), u.reshape(half), v.reshape(half))


def even_sides(stored: Picture) -> np.ndarray:
    """The buffer of a picture with one more column or row where a side is odd, the last one again.

    Encoders want even sides, and ffmpeg's filters leave a black line there. Colour has as many
    rows and columns as before: a picture of even sides is returned as it is.
    """
    bottom, right = stored.y.shape[0] % 2, stored.y.shape[1] % 2
    if not bottom and not right:
        return stored.buffer
    y = cv2.copyMakeBorder(stored.y, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    return np.concatenate([plane.ravel() for plane in (y, stored.u, stored.v)])


def rectangle(on: Picture, corner: Point, opposite: Point, colour: Colour, *, line_px: int) -> None:
    """Draws a frame; what is outside the picture is left out."""
    y, u, v = _levels(colour)
    cv2.rectangle(on.y, corner, opposite, y, line_px)
    for plane, level in ((on.u, u), (on.v, v)):
        cv2.rectangle(plane, _half(corner), _half(opposite), level, line_px // 2 + 1)


def text(
    on: Picture, words: str, corner: Point, colour: Colour, *, scale: float, line_px: int
) -> None:
    """Writes words whose lower left is `corner`; `scale` is OpenCV's."""
    font = cv2.FONT_HERSHEY_SIMPLEX
    y, u, v = _levels(colour)
    cv2.putText(on.y, words, corner, font, scale, y, line_px)
    for plane, level in ((on.u, u), (on.v, v)):
        cv2.putText(plane, words, _half(corner), font, scale / 2, level, line_px // 2 + 1)


def _half(point: Point) -> Point:
    return point[0] // 2, point[1] // 2


@functools.lru_cache(maxsize=1024)
def _levels(colour: Colour) -> tuple[int, int, int]:
    """Brightness and the two colour levels of one colour."""
    block = np.full((2, 2, 3), colour, np.uint8)
    stored = cv2.cvtColor(block, cv2.COLOR_BGR2YUV_I420).ravel()
    return int(stored[0]), int(stored[4]), int(stored[5])
