"""What hides a part of a face: masks, dark glasses, hands and held things, lettering.

Photographs show few of these, and footage of people who talk many. Pictures are uint8 BGR (H, W, 3)
and are drawn on in place; boxes are (n, 4) x1 y1 x2 y2 in pixels. A hand or a mask beside every
face is drawn now and then, so that neither becomes the sign of one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from training.drawn.heads import SKINS

COVERED = 0.2  # chance of a face to be covered
ELSEWHERE = 0.1  # chance of a picture to have such a thing where no face is
LETTERED = 0.1  # chance of a picture to have lettering across it
LEAST_FACE_PX = 16  # of the longer side; on a smaller one nothing would be left to see
FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789    !?.,:-"
MASK_COLOURS = ((235, 235, 235), (220, 190, 140), (40, 40, 40), (190, 170, 120))  # cloth and paper

Cover = Callable[[np.ndarray, np.ndarray, np.random.Generator], None]


@dataclass(frozen=True)
class Leaning:
    """A face's box that leans a little, to draw on by shares of its width and height.

    Attributes:
        corner: (2,) pixels of the share (0, 0).
        across: (2,) pixels from there to (1, 0).
        down: (2,) pixels from there to (0, 1).
    """

    corner: np.ndarray
    across: np.ndarray
    down: np.ndarray

    def pixels(self, shares: np.ndarray | list) -> np.ndarray:
        """(n, 2) int32 of points (n, 2) in shares."""
        points = np.asarray(shares, float)
        pixels = self.corner + points[:, :1] * self.across + points[:, 1:] * self.down
        return pixels.round().astype(np.int32)


def cover(image: np.ndarray, boxes: np.ndarray, rng: np.random.Generator) -> None:
    """Covers some faces, draws a cover elsewhere, letters the picture: each by its chance."""
    kinds = list(COVERS)
    for box in boxes:
        if (box[2:] - box[:2]).max() >= LEAST_FACE_PX and rng.random() < COVERED:
            kinds[rng.integers(len(kinds))](image, box, rng)
    if rng.random() < ELSEWHERE:
        place = _free_place(image, boxes, rng)
        if place is not None:
            kinds[rng.integers(len(kinds))](image, place, rng)
    if rng.random() < LETTERED:
        letter(image, rng)


def mask(image: np.ndarray, box: np.ndarray, rng: np.random.Generator) -> None:
    """A mask from the bridge of the nose to the chin, its folds and its straps."""
    face = _leaning(box, rng, jitter=0.05)
    top, sides, chin = rng.uniform(0.42, 0.58), rng.uniform(0.0, 0.1), rng.uniform(0.95, 1.05)
    outline = np.array(
        [
            (sides, top + 0.08),
            (0.5, top - rng.uniform(0.0, 0.08)),
            (1 - sides, top + 0.08),
            (1 - sides - 0.03, 0.8),
            (0.68, chin),
            (0.32, chin),
            (sides + 0.03, 0.8),
        ]
    )
    colour = _shaded(MASK_COLOURS[rng.integers(len(MASK_COLOURS))], rng)
    if rng.random() < 0.3:
        colour = _colour(rng)
    line_px = max(1, round(0.02 * (box[2] - box[0])))
    for edge, ear in ((0, 0.0), (2, 1.0)):
        ends = face.pixels([outline[edge], (ear, 0.3)])
        cv2.line(image, ends[0], ends[1], colour, line_px, cv2.LINE_AA)
    cv2.fillPoly(image, [face.pixels(outline)], colour, cv2.LINE_AA)
    for height in np.linspace(top + 0.15, 0.85, int(rng.integers(0, 4))):
        fold = face.pixels([(sides + 0.08, height), (0.92 - sides, height)])
        cv2.line(image, fold[0], fold[1], _shaded(colour, rng), line_px, cv2.LINE_AA)


def dark_glasses(image: np.ndarray, box: np.ndarray, rng: np.random.Generator) -> None:
    """Two dark lenses and what joins them."""
    face = _leaning(box, rng, jitter=0.04)
    height, half, tall = rng.uniform(0.34, 0.44), rng.uniform(0.14, 0.2), rng.uniform(0.08, 0.13)
    colour = _shaded((30, 25, 25), rng)
    line_px = max(1, round(0.03 * (box[2] - box[0])))
    ends = face.pixels([(0.0, height - 0.03), (1.0, height - 0.03)])
    cv2.line(image, ends[0], ends[1], colour, line_px, cv2.LINE_AA)
    for centre in (0.27, 0.73):
        angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        lens = np.stack([centre + half * np.cos(angles), height + tall * np.sin(angles)], axis=1)
        cv2.fillPoly(image, [face.pixels(lens)], colour, cv2.LINE_AA)


def hand(image: np.ndarray, box: np.ndarray, rng: np.random.Generator) -> None:
    """Fingers that come from one side over a part of the face, and the back of the hand."""
    centre, side = (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).max())
    towards = rng.uniform(0, 2 * np.pi)
    way = np.array([np.cos(towards), np.sin(towards)])
    beside = np.array([-way[1], way[0]])
    root = centre - way * side * rng.uniform(0.45, 0.7)
    skin = _shaded(SKINS[rng.integers(len(SKINS))], rng)
    edge = tuple(0.75 * value for value in skin)
    wide = side * rng.uniform(0.07, 0.11)
    fingers, length = int(rng.integers(1, 5)), side * rng.uniform(0.35, 0.7)
    palm = side * rng.uniform(0.18, 0.26)
    _blob(image, root - way * palm, palm, skin)
    for finger in range(fingers):
        start = root + beside * (finger - (fingers - 1) / 2) * 1.05 * 2 * wide
        tip = start + way * length * rng.uniform(0.75, 1.0) + beside * rng.normal(0, 0.03) * side
        _stroke(image, start, tip, wide * 1.08, edge)
        _stroke(image, start, tip, wide, skin)


def held_thing(image: np.ndarray, box: np.ndarray, rng: np.random.Generator) -> None:
    """A microphone, a cup, a sheet of paper: something before mouth and chin."""
    side = float((box[2:] - box[:2]).max())
    at = np.array([box[0], box[1]]) + (box[2:] - box[:2]) * rng.uniform((0.2, 0.7), (0.8, 1.0))
    colour = _shaded((45, 45, 45), rng) if rng.random() < 0.5 else _colour(rng)
    if rng.random() < 0.6:
        size = side * rng.uniform(0.1, 0.2)
        below = at + np.array([rng.uniform(-0.5, 0.5), 1.0]) * side
        _stroke(image, at, below, size * 0.6, _shaded((60, 60, 60), rng))
        _blob(image, at, size, colour)
    else:
        sheet = side * rng.uniform(0.15, 0.3, 2)
        corners = np.array([(-1, -1), (1, -1), (0.8, 1), (-0.8, 1)]) * sheet + at
        cv2.fillPoly(image, [corners.round().astype(np.int32)], colour, cv2.LINE_AA)


COVERS: tuple[Cover, ...] = (mask, mask, dark_glasses, hand, hand, held_thing)


def letter(image: np.ndarray, rng: np.random.Generator) -> None:
    """One or two lines of lettering anywhere, sometimes on a band of their own."""
    height, width = image.shape[:2]
    size = float(np.exp(rng.uniform(np.log(0.3), np.log(2.0))))
    weight, font = max(1, round(size * rng.uniform(1, 2.5))), FONTS[rng.integers(len(FONTS))]
    ink = _colour(rng) if rng.random() < 0.4 else (255.0, 255.0, 255.0)
    top = rng.integers(0, height)
    for line in range(int(rng.integers(1, 3))):
        text = "".join(rng.choice(list(LETTERS), rng.integers(2, 30)))
        baseline = int(top + line * 34 * size)
        left = int(rng.integers(-width // 4, width // 2))
        if rng.random() < 0.3:
            band = (0, baseline - int(26 * size)), (width, baseline + int(8 * size))
            cv2.rectangle(image, *band, _colour(rng), cv2.FILLED)
        at = (left, baseline)
        if rng.random() < 0.6:
            cv2.putText(image, text, at, font, size, (0, 0, 0), weight + 2, cv2.LINE_AA)
        cv2.putText(image, text, at, font, size, ink, weight, cv2.LINE_AA)


def _free_place(
    image: np.ndarray, boxes: np.ndarray, rng: np.random.Generator
) -> np.ndarray | None:
    """A square that touches no face; None where ten tries give none."""
    height, width = image.shape[:2]
    for _ in range(10):
        side = rng.uniform(0.1, 0.4) * min(height, width)
        x, y = rng.uniform(0, width - side), rng.uniform(0, height - side)
        reach = 0.8 * side  # a hand reaches out of its place
        apart = (
            (boxes[:, 2] < x - reach)
            | (boxes[:, 0] > x + side + reach)
            | (boxes[:, 3] < y - reach)
            | (boxes[:, 1] > y + side + reach)
        )
        if apart.all():
            return np.array([x, y, x + side, y + side])
    return None


def _leaning(box: np.ndarray, rng: np.random.Generator, *, jitter: float) -> Leaning:
    """The box, leant and moved by chance; `jitter` is a share of its size."""
    size = box[2:] - box[:2]
    lean = rng.normal(0, 0.12)
    middle = box[:2] + size / 2 + size * rng.normal(0, jitter, 2)
    across = np.array([np.cos(lean), np.sin(lean)]) * size[0]
    down = np.array([-np.sin(lean), np.cos(lean)]) * size[1]
    return Leaning(middle - across / 2 - down / 2, across, down)


def _stroke(
    image: np.ndarray, start: np.ndarray, end: np.ndarray, half: float, colour: tuple
) -> None:
    """A line with round ends, `half` pixels to either side."""
    points = [tuple(point.round().astype(int).tolist()) for point in (start, end)]
    cv2.line(image, points[0], points[1], colour, max(1, round(2 * half)), cv2.LINE_AA)


def _blob(image: np.ndarray, centre: np.ndarray, radius: float, colour: tuple) -> None:
    at = tuple(centre.round().astype(int).tolist())
    cv2.circle(image, at, max(1, round(radius)), colour, cv2.FILLED, cv2.LINE_AA)


def _colour(rng: np.random.Generator) -> tuple[float, float, float]:
    blue, green, red = rng.uniform(0, 255, 3).tolist()
    return blue, green, red


def _shaded(colour: tuple, rng: np.random.Generator) -> tuple[float, float, float]:
    light = rng.uniform(0.6, 1.05)
    blue, green, red = (float(min(255.0, value * light)) for value in colour)
    return blue, green, red
