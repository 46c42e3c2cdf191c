"""How an own mouth is moved, bent, lit and mixed in, on faces that are not as wide as high."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from models.wav2lip import FACE_PX
from pipeline.dubbing import blend
from pipeline.dubbing.face_path import Region
from pipeline.texture import compose
from pipeline.texture.compose import OwnFace, OwnMouth

MIDDLE = (48, 71)  # of a mouth, of 96 pixels
SPACING_PX, DOT_SIGMA_PX = 20, 4.5
SQUARE = Region(20, 116, 30, 126)  # a face of 96 pixels


def _grey(levels: np.ndarray) -> np.ndarray:
    """(96, 96, 3) uint8."""
    rounded = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return cv2.cvtColor(rounded, cv2.COLOR_GRAY2BGR)


def _from_middle(across: float = 0.0, down: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.meshgrid(np.arange(FACE_PX), np.arange(FACE_PX))
    return x - MIDDLE[0] - across, y - MIDDLE[1] - down


def _dots(across: float = 0.0, down: float = 0.0) -> np.ndarray:
    """A face of dark, soft dots, one of which is so far from the middle of the mouth."""
    x, y = (
        (axis + SPACING_PX / 2) % SPACING_PX - SPACING_PX / 2 for axis in _from_middle(across, down)
    )
    return _grey(170 - 110 * np.exp(-(x**2 + y**2) / (2 * DOT_SIGMA_PX**2)))


def _rough(seed: int) -> np.ndarray:
    """Levels of fine grain around 125."""
    noise = np.random.default_rng(seed).normal(0, 1, (FACE_PX, FACE_PX))
    soft = cv2.GaussianBlur(noise, (0, 0), 1)
    return np.asarray(125 + 25 * soft / soft.std())


def _frame(face: np.ndarray, region: Region) -> np.ndarray:
    """A frame that is the face, enlarged, and black around it."""
    frame = np.zeros((region.bottom + 20, region.right + 20, 3), np.float32)
    large = cv2.resize(face, region.size_px, interpolation=cv2.INTER_CUBIC)
    frame[region.rows, region.columns] = large
    return frame


def _own(face: np.ndarray, region: Region) -> OwnMouth:
    """The mouth of a face, which is laid where it was."""
    frame, mouth = _frame(face, region), blend.mouth_region(region)
    wide = Region(mouth.top - 12, mouth.bottom + 12, mouth.left - 8, mouth.right + 8).inside(frame)
    pixels = np.clip(wide.cut(frame), 0, 255).astype(np.uint8)
    return OwnMouth(pixels, wide, OwnFace(face, region, np.eye(3)))


def _put(face: np.ndarray, region: Region, own: OwnMouth, *, generated: np.ndarray) -> np.ndarray:
    """The frame of a face after it has got another mouth."""
    frame = _frame(face, region)
    compose.put(frame, region, own, generated=generated, original=face)
    return frame


def _dot(frame: np.ndarray, region: Region) -> np.ndarray:
    """How far the dot of the middle is from it, across and down, in pixels of 96."""
    scale = np.array(region.size_px) / FACE_PX
    start = [region.left, region.top] + (np.array(MIDDLE) + 0.5) * scale - 0.5
    grey, at = frame.mean(axis=2), start
    places = np.stack(np.meshgrid(*map(np.arange, grey.shape[::-1])), axis=2)
    for _ in range(20):
        near = (np.abs((places - at) / scale) < 6).all(axis=2)
        dark = np.clip(160 - grey, 0, None) * near
        at = (places * dark[..., None]).sum(axis=(0, 1)) / dark.sum()
    return np.asarray((at - start) / scale)


def _middle(frame: np.ndarray, region: Region) -> np.ndarray:
    """The middle of the mouth, where nothing of the frame is mixed in, as grey."""
    x, y = region.left + MIDDLE[0], region.top + MIDDLE[1]
    return np.asarray(frame[y - 9 : y + 9, x - 12 : x + 12].mean(axis=2, dtype=np.float64))


def test_an_own_face_is_seen_where_its_map_brings_it() -> None:
    """From a region of 96 pixels onto one twice as wide that lies elsewhere."""
    face = np.zeros((FACE_PX, FACE_PX, 3), np.uint8)
    cv2.circle(face, (40, 60), 3, (255, 255, 255), -1)  # on its frame at 60, 70
    map_ = np.array([[1.0, 0, 80], [0, 1, 45], [0, 0, 1]])  # now at 140, 115
    moved = OwnFace(face, Region(10, 106, 20, 116), map_).moved(Region(50, 146, 100, 292))
    rows, columns = np.nonzero(moved[..., 0] > 60)
    assert (columns.mean(), rows.mean()) == pytest.approx((19.75, 65), abs=0.3)


@pytest.mark.parametrize("region", [Region(30, 318, 10, 202), Region(10, 202, 30, 318)])
def test_a_mouth_is_bent_three_quarters_of_the_way_to_the_generators(region: Region) -> None:
    """In pixels of the face as it is on the frame, which is twice and thrice as large."""
    found = _put(_dots(), region, _own(_dots(), region), generated=_dots(2, 2))
    np.testing.assert_allclose(_dot(found, region), 1.5, atol=0.2)


def test_a_mouth_is_laid_where_its_map_brings_it() -> None:
    """It was filmed 6 pixels to the right and 4 below, and goes back."""
    own, map_ = _own(_dots(6, 4), SQUARE), np.eye(3)
    map_[:2, 2] = -6, -4
    found = _put(
        _dots(), SQUARE, replace(own, whole=replace(own.whole, map=map_)), generated=_dots()
    )
    np.testing.assert_allclose(_dot(found, SQUARE), 0, atol=0.3)


def test_a_part_of_a_frame_gets_what_the_whole_frame_does() -> None:
    """Of what is mixed in near a join, too."""
    part, map_ = Region(60, 130, 20, 120), np.eye(3)
    map_[:2, 2] = 2, 1
    other = OwnFace(_dots(1), SQUARE, map_)
    own = replace(_own(_dots(), SQUARE), other=other, share=0.5)
    whole = _put(_dots(), SQUARE, own, generated=_dots(1, 1))
    piece = part.cut(_frame(_dots(), SQUARE)).copy()
    there = SQUARE.seen_from(part)
    compose.put(piece, there, own.seen_from(part), generated=_dots(1, 1), original=_dots())
    np.testing.assert_allclose(piece, part.cut(whole), atol=0.1)


def test_near_a_join_a_mouth_goes_its_share_of_the_way_to_the_other() -> None:
    """The other, 4 pixels away, is bent to the generator's first: half of one pixel is left."""
    region = Region(30, 222, 10, 202)
    own = replace(_own(_dots(), region), other=OwnFace(_dots(4), region, np.eye(3)), share=0.5)
    found = _put(_dots(), region, own, generated=_dots())
    np.testing.assert_allclose(_dot(found, region), [0.5, 0], atol=0.2)


@pytest.mark.parametrize("alike", [True, False])
def test_near_a_join_only_the_light_of_the_other_is_mixed_in(alike: bool) -> None:
    """Half of what its middle is brighter by; its grain, where it is another one, is not seen."""
    x, y = _from_middle()
    brighter = 40 * np.exp(-(x**2 + y**2) / (2 * 10**2))
    face = _grey(_rough(0))
    other = OwnFace(_grey(_rough(0 if alike else 5) + brighter), SQUARE, np.eye(3))
    own = replace(_own(face, SQUARE), other=other, share=0.5)
    before = _middle(_frame(face, SQUARE), SQUARE)
    after = _middle(_put(face, SQUARE, own, generated=face), SQUARE)
    expected = brighter[62:80, 36:60].mean() / 2
    assert (after - before).mean() == pytest.approx(expected, rel=0.35)
    detail = [cv2.Laplacian(one, cv2.CV_64F)[1:-1, 1:-1].var() for one in (before, after)]
    assert detail[1] > 0.75 * detail[0]


@pytest.mark.parametrize("region", [Region(20, 100, 30, 270), Region(20, 260, 30, 110)])
def test_only_the_ellipse_over_mouth_and_jaw_is_changed(region: Region) -> None:
    """To the bit beyond it, and well within it all."""
    (width, height), face = region.size_px, _grey(_rough(0))
    after = _put(face, region, _own(_grey(_rough(1)), region), generated=face)
    changed = np.abs(after - _frame(face, region))[region.rows, region.columns].mean(axis=2)
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    radius = np.hypot((x / width - 0.5) / 0.36, (y / height - 0.74) / 0.25)
    assert (changed[radius > 1.001] == 0).all()
    assert (changed[radius < 0.6] > 1).mean() > 0.9


def test_a_mouth_has_the_light_of_its_place_whatever_the_generators_light() -> None:
    """An own mouth and a generator's from the dark, on a bright face."""
    face, dark = _dots(), _grey(_dots()[..., 0] * 0.6)
    after = _put(face, SQUARE, _own(dark, SQUARE), generated=dark)
    assert abs(float((after - _frame(face, SQUARE))[80:104, 60:96].mean())) < 10


def test_beyond_its_cutting_the_last_pixels_of_a_mouth_go_on() -> None:
    """A mouth that is moved by a quarter of the face leaves no black stripe beside it."""
    plain = np.full((FACE_PX, FACE_PX, 3), 120, np.uint8)
    own, map_ = _own(plain, SQUARE), np.eye(3)
    map_[0, 2] = 24
    own = replace(own, whole=replace(own.whole, map=map_))
    after = _put(plain, SQUARE, own, generated=plain)
    np.testing.assert_allclose(after, _frame(plain, SQUARE), atol=1)


def test_a_sharpened_edge_overshoots_by_what_it_stands_out_from_its_surroundings() -> None:
    """One and a half times: beside an edge from 100 to 140 levels the blurred face has 124."""
    face = np.full((FACE_PX, FACE_PX, 3), 100, np.uint8)
    face[:, 48:] = 140
    sharp = compose.sharpened(face)[40, :, 0].astype(int)
    assert sharp[[47, 48]] == pytest.approx([100 - 1.5 * 16, 140 + 1.5 * 16], abs=1)
    assert (sharp[[20, 80]] == [100, 140]).all()
