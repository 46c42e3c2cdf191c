"""Covered faces for the detector: what is drawn, where, and how often."""

from collections.abc import Callable

import numpy as np
import pytest

from training.batches import covers

GREY = 128
BOX = np.array([60.0, 50.0, 110.0, 120.0], np.float32)  # x1 y1 x2 y2
TIMES = 40
NONE = np.zeros((0, 4), np.float32)


def _changed(draw: Callable[[np.ndarray, np.random.Generator], None], seed: int) -> np.ndarray:
    """(180, 180) bool of the pixels that are drawn on."""
    image = np.full((180, 180, 3), GREY, np.uint8)
    draw(image, np.random.default_rng(seed))
    return (image != GREY).any(axis=2)


def _shares(changed: np.ndarray) -> np.ndarray:
    """Of the rows of the face, top to bottom, how much of each is drawn on."""
    left, top, right, bottom = BOX.astype(int)
    return changed[top:bottom, left:right].mean(axis=1)


def test_masks_lie_on_nose_and_chin_and_leave_the_eyes() -> None:
    """The upper third stays but for straps; the lower part is mostly cloth."""
    for seed in range(TIMES):
        rows = _shares(_changed(lambda image, rng: covers.mask(image, BOX, rng), seed))
        third = len(rows) // 3
        assert rows[: third - 6].mean() < 0.1
        assert rows[-third:].mean() > 0.35 and rows[int(0.7 * len(rows)) : -15].min() > 0.5


def test_masks_lean_to_either_side_and_differ_in_colour() -> None:
    """No two pictures are the same."""
    pictures = []
    for seed in range(TIMES):
        image = np.full((180, 180, 3), GREY, np.uint8)
        covers.mask(image, BOX, np.random.default_rng(seed))
        pictures.append(image)
    colours = np.array([image[100, 85] for image in pictures], float)
    spread, brightest = np.ptp(colours, axis=1), colours.max(axis=1)
    white = ((spread < 12) & (brightest > 130)).mean()
    assert 0 < white < 0.5 and (brightest < 80).any() and (spread > 40).any()
    assert len({image.tobytes() for image in pictures}) == TIMES


def test_dark_glasses_lie_on_the_eyes_and_leave_the_mouth() -> None:
    """Two dark lenses side by side; nothing below the nose."""
    for seed in range(TIMES):
        image = np.full((180, 180, 3), GREY, np.uint8)
        covers.dark_glasses(image, BOX, np.random.default_rng(seed))
        changed = (image != GREY).any(axis=2)
        rows = _shares(changed)
        assert rows[int(0.7 * len(rows)) :].max() == 0
        assert rows[int(0.3 * len(rows)) : int(0.5 * len(rows))].max() > 0.45
        left, right = changed[:, 60:85].sum(), changed[:, 85:110].sum()
        assert 0.4 < left / right < 2.5
        assert image[changed].mean() < 60


@pytest.mark.parametrize("draw", [covers.hand, covers.held_thing])
def test_hands_and_held_things_hide_a_part_of_the_face(
    draw: Callable[[np.ndarray, np.ndarray, np.random.Generator], None],
) -> None:
    """Something of it in most cases, never all, and hands come from every side."""
    shares, middles = [], []
    for seed in range(TIMES):
        changed = _changed(lambda image, rng: draw(image, BOX, rng), seed)
        shares.append(_shares(changed).mean())
        middles.append(np.argwhere(changed).mean(axis=0) - (85, 85))
    assert np.median(shares) > 0.04 and max(shares) < 0.75
    rows, columns = np.array(middles).T
    assert columns.min() < 0 < columns.max()
    assert (rows.min() < -10 and rows.max() > 10) if draw is covers.hand else rows.mean() > 10


def test_lettering_is_somewhere_in_the_picture() -> None:
    """In upper and lower parts, of many sizes; some runs over the edge."""
    heights, tops = [], []
    for seed in range(TIMES):
        rows = np.flatnonzero(_changed(covers.letter, seed).any(axis=1))
        if len(rows):
            heights.append(int(np.ptp(rows)))
            tops.append(int(rows[0]))
    assert len(heights) > 0.6 * TIMES
    assert min(heights) < 20 and max(heights) > 40
    assert min(tops) < 60 and max(tops) > 120


def test_each_chance_draws_its_own_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faces of 16 pixels and more, places without a face, the whole picture; or nothing."""
    small = np.array([10, 10, 22, 25.9], np.float32)
    boxes = np.stack([BOX, small])

    def drawn(covered: float, elsewhere: float, lettered: float, seed: int) -> np.ndarray:
        for name, chance in zip(
            ("COVERED", "ELSEWHERE", "LETTERED"), (covered, elsewhere, lettered), strict=True
        ):
            monkeypatch.setattr(covers, name, chance)
        return _changed(lambda image, rng: covers.cover(image, boxes, rng), seed)

    lettered = 0
    for seed in range(20):
        assert not drawn(0, 0, 0, seed).any()
        face = drawn(1, 0, 0, seed)
        assert face[40:125, 55:115].any() and not face[10:25, 10:22].any()
        beside = drawn(0, 1, 0, seed)
        assert not beside[52:118, 62:108].any() and not beside[11:24, 11:21].any()
        lettered += int(drawn(0, 0, 1, seed).any())
    assert lettered > 10


def test_a_place_without_a_face_is_found_or_none_is_taken() -> None:
    """Its square keeps clear of every face by most of its side, and lies in the picture."""
    image = np.zeros((200, 300, 3), np.uint8)
    places = [
        covers._free_place(image, BOX[None], np.random.default_rng(seed)) for seed in range(TIMES)
    ]
    squares = np.stack([place for place in places if place is not None])
    assert len(squares) > 0.7 * TIMES
    assert squares.min() >= 0 and squares[:, 2].max() <= 300 and squares[:, 3].max() <= 200
    sides = squares[:, 2] - squares[:, 0]
    assert sides == pytest.approx(squares[:, 3] - squares[:, 1]) and np.ptp(sides) > 20
    for x1, y1, x2, y2 in squares:
        gap = max(BOX[0] - x2, x1 - BOX[2], BOX[1] - y2, y1 - BOX[3])
        assert gap >= 0.79 * (x2 - x1)
    everywhere = np.array([[0, 0, 300, 200]], np.float32)
    assert covers._free_place(image, everywhere, np.random.default_rng(1)) is None
    assert covers._free_place(image, NONE, np.random.default_rng(1)) is not None
