"""Regions, masks and thresholds of a new mouth, against numbers made by hand."""

import math

import numpy as np
import pytest
from scipy.ndimage import correlate1d

from pipeline.dubbing import blend, driving_audio, face_path
from pipeline.dubbing.face_path import FacePath, Pads, Region
from pipeline.faces.tracks import Track
from pipeline.media import yuv

FACE = Region(0, 96, 0, 96)


def _edge(height: int, width: int = 96) -> np.ndarray:
    """40 above, 240 from three quarters of the height on, which is the middle of a mouth."""
    face = np.full((height, width, 3), 40, np.uint8)
    face[3 * height // 4 :] = 240
    return face


def _slope(height: int, width: int = 96, *, step: int) -> np.ndarray:
    """Each row is brighter than the one above it."""
    rows = step * np.arange(height, dtype=np.uint8)
    return np.tile(rows[:, None, None], (1, width, 3))


@pytest.mark.parametrize(("frame_rate", "peak"), [(25, 199), (50, 100)])
def test_boxes_are_steadied_over_eight_hundredths_of_a_second(frame_rate: int, peak: int) -> None:
    """Of a jump by 1000 pixels for one frame a Gaussian of 2 or of 4 frames leaves its peak."""
    boxes = np.tile([500.0, 50, 600, 150], (61, 1))
    boxes[30, [0, 2]] += 1000
    track = Track(np.arange(61), boxes)
    path = FacePath(track, frame_rate=frame_rate, pads=Pads(), frame_size_px=(2000, 200))
    region = path.at(30 / frame_rate)
    assert region and abs(region.left - 500 - peak) <= 1
    aside = path.at((30 + 4 * frame_rate // 25) / frame_rate)
    assert aside and abs(aside.left - 500 - peak * math.exp(-2)) <= 1


@pytest.mark.parametrize(
    ("left", "top", "there"),
    [
        *((192, 50, True), (193, 50, False), (50, 92, True), (50, 93, False)),
        *((-92, 50, True), (-93, 50, False), (50, -102, True), (50, -103, False)),  # 10 px of pads
    ],
)
def test_face_of_less_than_eight_pixels_inside_is_left(left: int, top: int, there: bool) -> None:
    box = np.tile([left, top, left + 100.0, top + 100.0], (10, 1))
    path = FacePath(Track(np.arange(10), box), frame_rate=25, pads=Pads(), frame_size_px=(200, 100))
    assert (path.at(0.2) is not None) == there


def test_a_face_is_not_drawn_to_where_its_track_ends() -> None:
    """Steadying knows nothing before the first frame, not even half a frame before it."""
    boxes = np.tile([40.0, 50, 140, 150], (40, 1))
    boxes[20:, [0, 2]] += 1000
    path = FacePath(
        Track(np.arange(40), boxes), frame_rate=25, pads=Pads(), frame_size_px=(2000, 200)
    )
    found = [path.at(frame / 25) for frame in (-0.45, 0, 39, 39.45)]
    assert [region and region.left for region in found] == [40, 40, 1040, 1040]


def test_a_time_belongs_to_the_nearest_frame_of_a_track() -> None:
    track = Track(np.arange(30, 40), np.tile([40.0, 50, 140, 150], (10, 1)))
    path = FacePath(track, frame_rate=25, pads=Pads(), frame_size_px=(200, 200))
    assert [path.position((30 + frame) / 25) for frame in (2.6, 3.0, 3.4)] == [3, 3, 3]


@pytest.mark.parametrize(
    ("matrix", "blue_green_red"), [("bt601", (42, 105, 159)), ("bt709", (38, 107, 164))]
)
def test_the_generator_sees_colours_of_the_videos_matrix(
    matrix: str, blue_green_red: tuple[int, int, int]
) -> None:
    """Levels 114, 92 and 156 by the standards' formulas."""
    picture = yuv.picture(np.empty(yuv.buffer_bytes((96, 96)), np.uint8), size_px=(96, 96))
    picture.y[:], picture.u[:], picture.v[:] = 114, 92, 156
    face = face_path.face_at(picture, FACE, matrix).astype(int)
    assert np.abs(face - blue_green_red).max() <= 1


def test_faces_that_are_small_one_way_grow_without_stairs_and_without_blur() -> None:
    """Of 40 rows and 200 columns: a slope stays one, an edge is steeper than between two lines."""
    slope = face_path.shrink(_slope(40, 200, step=5))[10:86, 50, 0].astype(int)
    assert set(np.diff(slope)) <= {1, 2, 3}
    edge = face_path.shrink(_edge(40, 200))[:, 50, 0].astype(int)
    assert 88 < np.diff(edge).max() < 110  # 84 where straight lines join the pixels


def test_the_mask_falls_off_over_a_third_of_an_ellipse() -> None:
    """Around (0.5, 0.74), 0.36 wide and 0.25 high, smoothly over the outer 0.35 of its radius."""
    expected = np.zeros((80, 100))
    for row in range(80):
        for column in range(100):
            x, y = (column + 0.5) / 100, (row + 0.5) / 80
            inwards = (1 - math.hypot((x - 0.5) / 0.36, (y - 0.74) / 0.25)) / 0.35
            inwards = min(max(inwards, 0), 1)
            expected[row, column] = inwards**2 * (3 - 2 * inwards)
    np.testing.assert_allclose(blend.mouth_mask(100, 80), expected, atol=1e-5)


def test_colour_around_a_mouth_reaches_twelve_pixels_into_it() -> None:
    """A left half that is to be 40 levels brighter: means around, weighted by a Gaussian."""
    generated = np.full((96, 96, 3), 100, np.uint8)
    original = generated.copy()
    original[:, :48] += 40
    around = np.repeat(1 - blend.mouth_mask(96, 96)[..., None], 2, axis=2)
    around[:48] = 0  # the upper half was shown
    around[:, 48:, 0] = 0
    weights = np.exp(-((np.arange(-48, 49) / 12) ** 2) / 2)
    for axis in (0, 1):
        around = correlate1d(around, weights / weights.sum(), axis=axis, mode="mirror")
    mouth = slice(60, 84), slice(20, 76)
    expected = 100 + 40 * (around[..., 0] / around[..., 1])[mouth]
    assert expected[:, 0].min() > 120 > 106 > expected[:, -1].max()
    matched = blend.match_colour(generated, original)[mouth]
    np.testing.assert_allclose(matched, np.repeat(expected[..., None], 3, axis=2), atol=0.1)


@pytest.mark.parametrize(
    ("around", "own", "drawn", "levels"), [(200, 230, 250, 255), (100, 70, 10, 0)]
)
def test_a_mouth_beyond_white_or_black_is_white_or_black(
    around: int, own: int, drawn: int, levels: int
) -> None:
    """Skin that is 30 levels off moves the mouth by 30; a frame of floats keeps what is beyond."""
    generated = np.full((96, 96, 3), around, np.uint8)
    generated[64:80, 36:60] = drawn
    original = np.full((96, 96, 3), own, np.uint8)
    for dtype, expected in ((np.uint8, levels), (np.float32, drawn + own - around)):
        frame = np.full((96, 96, 3), own, dtype)
        blend.blend(frame, FACE, generated, original)
        np.testing.assert_allclose(frame[68:76, 44:52], expected, atol=1e-3)


def test_a_frame_of_bytes_gets_the_nearest_levels() -> None:
    rng = np.random.default_rng(0)
    generated, original = rng.integers(100, 150, (2, 96, 96, 3), np.uint8)
    stored, exact = original.copy(), original.astype(np.float32)
    for frame in (stored, exact):
        blend.blend(frame, FACE, generated, original)
    assert (np.abs(exact - np.rint(exact)) > 0.3).mean() > 0.05
    np.testing.assert_array_equal(stored, np.rint(exact))


def _drawn(face: np.ndarray, width_px: int, height_px: int) -> np.ndarray:
    """The middle column of a drawn mouth on a frame of floats."""
    frame = np.full((height_px, width_px, 3), 100, np.float32)
    blend.blend(frame, Region(0, height_px, 0, width_px), face, face)
    rows = slice(round(0.63 * height_px), round(0.85 * height_px))
    return frame[rows, width_px // 2, 0]


def test_a_mouth_for_a_small_face_is_made_small_without_jags() -> None:
    """Lines on every fourth row become their mean."""
    lines = np.zeros((96, 96, 3), np.uint8)
    lines[::4] = 240
    np.testing.assert_allclose(_drawn(lines, 24, 24), 60, atol=0.01)


@pytest.mark.parametrize("width_px", [300, 60])
def test_a_mouth_for_a_high_face_has_neither_stairs_nor_blur(width_px: int) -> None:
    """Also where it is narrow: rows 3.125 times as many as were drawn."""
    slope = np.diff(_drawn(_slope(96, step=2), width_px, 300))
    np.testing.assert_allclose(slope, 2 / 3.125, atol=0.06)
    steepest = np.diff(_drawn(_edge(96), width_px, 300)).max()
    assert 70 < steepest < 80  # 64 where straight lines join the pixels


@pytest.mark.parametrize(
    ("loud_db", "pauses_db", "speech_from_db"),
    [
        (-10, -58, -45),  # a studio: what is 35 dB below speech is silence
        (-10, -45, -39),  # a room: 6 dB above its noise
        (-10, -22, -30),  # a street: what is 20 dB below speech is speech
        (-50, -58, -60),  # nothing below -60 dB is heard at all
        (-70, -80, -60),
    ],
)
def test_speech_stands_out_of_pauses_within_bounds(
    loud_db: float, pauses_db: float, speech_from_db: float
) -> None:
    level_db = np.array([pauses_db] * 50 + [loud_db] * 50, float)
    assert driving_audio._speech_from_db(level_db) == pytest.approx(speech_from_db, abs=1e-6)
