"""Regions, masks and thresholds of a new mouth, against numbers made by hand."""

import math

import numpy as np
import pytest

from pipeline.dubbing import blend, driving_audio
from pipeline.dubbing.face_path import FacePath, Pads
from pipeline.faces.tracks import Track


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
    [(192, 50, True), (193, 50, False), (50, 92, True), (50, 93, False), (-92, 50, True)],
)
def test_face_of_less_than_eight_pixels_inside_is_left(left: int, top: int, there: bool) -> None:
    box = np.tile([left, top, left + 100.0, top + 100.0], (10, 1))
    path = FacePath(Track(np.arange(10), box), frame_rate=25, pads=Pads(), frame_size_px=(200, 100))
    assert (path.at(0.2) is not None) == there


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
