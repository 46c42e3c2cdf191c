"""Drawing in face units: where a head is, and a pen that puts smooth shapes there.

The origin is the middle of the face, x runs right, y runs down, and one unit is the face height.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[float, float, float]
Floats = NDArray[np.float64]
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Pose:
    """Position of a head in pixels of the picture, and its expression (see the fields' ranges)."""

    centre_x: float
    centre_y: float
    height: float  # hairline to chin, pixels
    tilt_deg: float = 0.0
    mouth_open: float = 0.0  # 0 closed .. 1 wide open
    mouth_wide: float = 0.5  # 0 pursed .. 1 spread
    blink: float = 0.0
    turn: float = 0.0  # -1 .. 1
    smile: float = 0.0


def toned(colour: Colour, factor: float) -> Colour:
    """Return the colour, times a factor."""
    return (colour[0] * factor, colour[1] * factor, colour[2] * factor)


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """Return the colour a share (0..1) of the way from the first to the second."""
    b, g, r = (a + (c - a) * share for a, c in zip(first, second, strict=True))
    return (b, g, r)


class Pen:
    """Draws shapes given in face units onto a picture, and notes in a mask what it covered."""

    def __init__(self, image: Image, pose: Pose) -> None:
        self.image, self.height, self.turn = image, pose.height, pose.turn
        self.mask: Image = np.zeros(image.shape[:2], np.uint8)
        angle = math.radians(pose.tilt_deg)
        cos, sin = math.cos(angle) * pose.height, math.sin(angle) * pose.height
        self.matrix: Floats = np.array([[cos, -sin, pose.centre_x], [sin, cos, pose.centre_y]])

    def _fixed(self, points: Floats, feature: bool) -> NDArray[np.int32]:
        if feature:  # what lies near the middle of a turning head moves furthest
            shift = self.turn * 0.07 * (1 - (points[:, 0] / 0.45) ** 2)
            points = np.stack([points[:, 0] + shift, points[:, 1]], 1)
        placed = points @ self.matrix[:, :2].T + self.matrix[:, 2]
        return np.round(placed * 16).astype(np.int32)

    def fill(
        self, points: Floats, colour: Colour, *, feature: bool = True, covers: bool = False
    ) -> None:
        """Fills a polygon (n, 2); `covers` notes it in the mask."""
        fixed = [self._fixed(points, feature)]
        cv2.fillPoly(self.image, fixed, colour, cv2.LINE_AA, 4)
        if covers:
            cv2.fillPoly(self.mask, fixed, 255.0, cv2.LINE_8, 4)

    def line(
        self,
        points: Floats,
        colour: Colour,
        width: float,
        *,
        closed: bool = False,
        feature: bool = True,
    ) -> None:
        """Draws a line through (n, 2) points, `width` in face units."""
        thick = max(1, round(width * self.height))
        cv2.polylines(
            self.image, [self._fixed(points, feature)], closed, colour, thick, cv2.LINE_AA, 4
        )


def smooth(points: Floats | list[tuple[float, float]], *, closed: bool = True) -> Floats:
    """Round off a polygon by cutting its corners three times; the middle of each edge stays put."""
    curve = np.asarray(points, np.float64)
    for _ in range(3):
        after = np.roll(curve, -1, 0)
        cut = np.stack([0.75 * curve + 0.25 * after, 0.25 * curve + 0.75 * after], 1)
        cut = cut.reshape(-1, 2)
        curve = cut if closed else np.concatenate([curve[:1], cut[:-2], curve[-1:]])
    return curve


def mirrored(right: list[tuple[float, float]]) -> Floats:
    """The right half of an outline, from top to bottom, and its mirror image back up."""
    half = np.asarray(right, np.float64)
    return np.concatenate([half, half[::-1] * (-1, 1)])


def oval(x: float, y: float, rx: float, ry: float, points: int = 20) -> Floats:
    """An ellipse as a polygon (points, 2)."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], 1)
