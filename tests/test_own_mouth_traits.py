"""What is compared of faces, and how one is laid onto another, in pixels and in numbers."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from models.features import FRAME_RATE, MEL_LIMIT
from pipeline.dubbing.face_path import Region
from pipeline.texture import align, traits

STILL = np.full((96, 96), 120, np.uint8)


def _skin(seed: int = 0) -> np.ndarray:
    """A smooth face of many greys, (96, 96, 3) uint8."""
    noise = np.random.default_rng(seed).normal(0, 1, (96, 96)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    grey = np.clip(120 + 30 * smooth / smooth.std(), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(grey[..., None], 3, axis=2))


# What is compared.


def test_a_mouths_shape_does_not_depend_on_the_light() -> None:
    """Brighter by 20 levels it is the same shape; another mouth is another, and so is a colour."""
    face = _skin()
    brighter = face + np.uint8(20)
    shape = traits.mouth_shape(face)
    assert shape.shape == (960,) and shape.dtype == np.float32
    assert np.abs(traits.mouth_shape(brighter) - shape).max() < 5
    assert np.abs(traits.mouth_shape(_skin(1)) - shape).max() > 20
    redder = face.copy()
    redder[..., 2] = np.minimum(face[..., 2].astype(int) + 25, 255)
    assert np.abs(traits.mouth_shape(redder) - shape).mean() > 3
    above = face.copy()
    above[:44] = 0
    np.testing.assert_array_equal(traits.mouth_shape(above), shape)


def test_a_pose_does_not_depend_on_contrast_or_mouth() -> None:
    face = _skin()[..., 0]
    flat = (60 + face // 2).astype(np.uint8)
    pose = traits.pose(face)
    assert pose.shape == (336,) and pose.std() == pytest.approx(1, abs=0.01)
    assert np.abs(traits.pose(flat) - pose).max() < 0.1
    speaking = face.copy()
    speaking[56:] = 30
    np.testing.assert_array_equal(traits.pose(speaking), pose)
    assert np.isfinite(traits.pose(STILL)).all()


def test_surroundings_are_around_the_mouth_and_below_the_eyes() -> None:
    """Neither the middle of the mouth nor the upper half of the face is among them."""
    face = _skin()[..., 0]
    known = traits.surroundings(face)
    for rows, columns, changes in (
        (slice(0, 42), slice(0, 96), False),
        (slice(66, 74), slice(42, 54), False),
        (slice(54, 96), slice(0, 96), True),
    ):
        other = face.copy()
        other[rows, columns] = 255
        assert (np.abs(traits.surroundings(other) - known).max() > 20) == changes


def test_lips_move_beyond_the_head() -> None:
    """What moves all of a face alike, as a flash does, is no speech; lips alone are."""
    lit = STILL + np.uint8(30)
    spoken = STILL.copy()
    spoken[60:88, 30:66] = 150
    found = traits.motion(np.stack([STILL, lit, STILL, spoken]))
    assert found.shape == (3,)
    np.testing.assert_allclose(found[:2], 0, atol=0.1)
    assert 20 < found[2] <= 30
    blinking = STILL.copy()
    blinking[14:54, 10:86] = 150
    assert traits.motion(np.stack([STILL, blinking]))[0] < -20


def test_a_mouth_is_open_where_it_is_darker_than_half_of_the_skin() -> None:
    for level, is_open in ((100, False), (70, False), (50, True), (10, True)):
        face = STILL.copy()
        face[60:88, 32:64] = level
        assert (traits.opening(face) > 0.8) == is_open, level
        assert is_open or traits.opening(face) == 0
    half = STILL.copy()
    half[60:74, 32:64] = 10
    assert traits.opening(half) == pytest.approx(0.5, abs=0.08)


def test_detail_is_told_across_and_down() -> None:
    stripes = np.tile((np.arange(96) % 4 < 2) * 60 + 90, (96, 1)).astype(np.uint8)
    across, down = traits.detail(stripes)
    assert across > 10 * max(down, 1e-3)
    across, down = traits.detail(np.ascontiguousarray(stripes.T))
    assert down > 10 * max(across, 1e-3)
    below = stripes.copy()
    below[60:] = 0
    np.testing.assert_array_equal(traits.detail(below), traits.detail(stripes))


def test_only_the_middle_of_a_window_makes_a_pause() -> None:
    """Sound in columns 4 to 11 of 16, of any band, is heard; before and after it is not yet."""
    windows = np.full((16, 1, 80, 16), -MEL_LIMIT, np.float32)
    windows[np.arange(16), 0, 5 * np.arange(16), np.arange(16)] = -3.9
    expected = [True] * 4 + [False] * 8 + [True] * 4
    assert traits.gated_pauses(windows).tolist() == expected


def test_the_last_window_is_reached() -> None:
    """Nothing beyond the ends is made up, and the ends themselves are not lost."""
    rows = np.array([[1.0], [2.0], [4.0]], np.float32)
    times_s = (np.arange(7) + 0.0) / FRAME_RATE
    found = traits.at_times(rows, times_s)[:, 0]
    np.testing.assert_allclose(found, [1, 1, 1, 2, 4, 4, 4], atol=1e-5)
    assert traits.at_times(rows[:1], times_s).tolist() == [[1.0]] * 7


# Where it goes.


def test_pixel_centres_of_a_frame_are_found_on_the_face() -> None:
    """A region of half the size: its first pixel covers the first two of the face."""
    region = Region(top=30, bottom=78, left=10, right=34)
    to_face = align.to_face(region)
    np.testing.assert_allclose(to_face @ [10, 30, 1], [1.5, 0.5, 1])
    np.testing.assert_allclose(to_face @ [33, 77, 1], [93.5, 94.5, 1])
    same = align.to_face(Region(0, 96, 0, 96))
    np.testing.assert_allclose(same, np.eye(3))
    wide = Region(top=0, bottom=192, left=100, right=292)
    found = align.on_frames(np.eye(3), region, wide)
    np.testing.assert_allclose(found @ [10, 30, 1], [103.5, 1.5, 1])


def _moved(face: np.ndarray, across: float, down: float) -> np.ndarray:
    move = np.array([[1, 0, across], [0, 1, down]], np.float32)
    return cv2.warpAffine(face, move, (96, 96), borderMode=cv2.BORDER_REFLECT)


def test_flow_says_where_each_pixel_of_the_target_is_on_the_source() -> None:
    """Moved by 3 to the right and 2 up: to be looked for to the left and below, and found there."""
    source = _skin(4)
    target = _moved(source, 3, -2)
    inner = slice(20, 76), slice(20, 76)
    shift = align.flow(target, source)
    np.testing.assert_allclose(np.median(shift[inner], axis=(0, 1)), [-3, 2], atol=0.3)
    back = align.along(source, shift)
    assert np.abs(back[inner].astype(int) - target[inner]).mean() < 3
    exact = align.along(source, np.full((96, 96, 2), (-3, 2), np.float32))
    np.testing.assert_array_equal(exact[inner], target[inner])


def test_a_smoother_flow_is_smoother() -> None:
    source = _skin(4)
    target = source.copy()
    target[:48] = _moved(source, 2, 0)[:48]
    rough, usual, smooth = (
        np.abs(np.diff(flow[..., 0], axis=0)).max()
        for flow in (
            align.flow(target, source, sigma_px=0.5),
            align.flow(target, source),
            align.flow(target, source, sigma_px=12),
        )
    )
    assert smooth < 0.6 * usual < 0.6 * 0.8 * rough


def _turned(degrees: float) -> np.ndarray:
    return np.vstack([cv2.getRotationMatrix2D((48, 40), degrees, 1.0), [0, 0, 1]])


@pytest.mark.parametrize("spoiled", ["mouth", "blink"])
def test_neither_mouth_nor_a_blink_moves_a_head(spoiled: str) -> None:
    """What is above the mouth is believed, and of it what most of it says."""
    face = _skin(8)[..., 0]
    truth = _turned(4)
    target = cv2.warpAffine(face, truth[:2], (96, 96), borderMode=cv2.BORDER_REPLICATE)
    rows, columns = {
        "mouth": (slice(64, 96), slice(20, 76)),
        "blink": (slice(26, 34), slice(20, 40)),
    }[spoiled]
    target[rows, columns] = np.roll(target, 6, axis=1)[rows, columns]
    points = np.array([[20.0, 20, 1], [76, 20, 1], [48, 56, 1]]).T
    found = align.similarity(face, target)
    assert np.abs(found @ points - truth @ points).max() < 0.5


@pytest.mark.parametrize(
    ("motion", "kept"),
    [
        (lambda frames: np.sin(2 * np.pi * frames / 50), (0.97, 1.0)),  # a nod of two seconds
        (lambda frames: np.sin(2 * np.pi * frames / 12), (0.6, 0.85)),
        (lambda frames: (-1.0) ** frames, (0.0, 0.05)),  # a tremble from frame to frame
    ],
)
def test_a_nod_stays_and_a_tremble_goes(
    motion: Callable[[np.ndarray], np.ndarray], kept: tuple[float, float]
) -> None:
    frames = np.arange(150)
    maps = np.tile(np.eye(3), (150, 1, 1))
    maps[:, 1, 2] = motion(frames)
    steady = align.steadied(maps, [Region(0, 90, 0, 80)] * 150)
    inner = slice(20, -20)
    share = steady[inner, 1, 2].std() / maps[inner, 1, 2].std()
    assert kept[0] <= share <= kept[1]


def test_a_warped_face_goes_on_beyond_its_edge() -> None:
    face = _skin(2)
    move = np.eye(3)
    move[0, 2], move[1, 2] = 5, -3
    found = align.warped(face, move)
    np.testing.assert_array_equal(found[:90, 5:], face[3:93, :91])
    np.testing.assert_array_equal(found[10, :5], np.repeat(face[13, :1], 5, axis=0))
