"""Drawn heads: where they are put, what moves, and what is heard."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.features import SAMPLES_PER_FRAME
from pipeline.media import decode
from training import drawn_tracks
from training.drawn.face import draw_head, face_box
from training.drawn.heads import (
    DrawnHead,
    Pose,
    drawn_clip,
    drawn_scene,
    idle_motion,
    mouth_motion,
    random_head,
)

POSE = Pose(200.0, 180.0, 120.0, mouth_open=0.0)


@pytest.fixture(scope="module")
def head() -> DrawnHead:
    """A bald man without beard or glasses, evenly lit."""
    return replace(
        random_head(np.random.default_rng(1)),
        bald=True,
        beard=0.0,
        moustache=0.0,
        glasses=0,
        light=0.0,
        skin=(150.0, 185.0, 230.0),
        face_width=0.76,
        jaw=0.9,
    )


def _drawn(head: DrawnHead, pose: Pose) -> np.ndarray:
    image = np.full((520, 400, 3), 90, np.uint8)
    draw_head(image, head, pose)
    return image.astype(float)


def _change(head: DrawnHead, one: Pose, other: Pose) -> np.ndarray:
    """(n, 2): x, y of the pixels that are clearly other ones, from the head's centre, upright."""
    changed = np.abs(_drawn(head, one) - _drawn(head, other)).sum(axis=2) > 60
    places = np.argwhere(changed)[:, ::-1] - (one.centre_x, one.centre_y)
    angle = math.radians(one.tilt_deg)
    back = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return np.asarray(places @ back.T / one.height)


def test_the_box_of_a_face_is_from_hairline_to_chin_and_cheek_to_cheek(head: DrawnHead) -> None:
    """The jaw drops with the mouth; a head tilted clockwise has its wide forehead on the right."""
    box = face_box(head, POSE)
    assert box == pytest.approx((200 - 45.6, 120, 200 + 45.6, 240), abs=0.01)
    opened = face_box(head, replace(POSE, mouth_open=1.0))
    assert opened == pytest.approx((*box[:3], 240 + 0.045 * 120), abs=0.01)
    x1, _, x2, _ = face_box(head, replace(POSE, tilt_deg=25.0))
    assert (x1 + x2) / 2 > 202 and x2 - x1 > 100


@pytest.mark.parametrize("tilt_deg", [0.0, 30.0])
def test_a_mouth_opens_where_mouths_are(head: DrawnHead, tilt_deg: float) -> None:
    """0.28 of the face's height below its middle, also on a tilted head."""
    pose = replace(POSE, tilt_deg=tilt_deg)
    around = _change(head, pose, replace(pose, mouth_open=1.0))
    inner = around[np.abs(around[:, 1] - 0.3) < 0.15]
    assert len(inner) > 100
    assert np.median(inner, axis=0) == pytest.approx([0, 0.31], abs=0.04)


def test_lids_close_over_the_eyes_alone(head: DrawnHead) -> None:
    around = _change(head, POSE, replace(POSE, blink=1.0))
    assert len(around) > 30
    assert np.abs(around[:, 1] + 0.1).max() < 0.06
    assert np.abs(np.abs(around[:, 0]) - 0.155).max() < 0.12


def test_light_comes_from_the_side_that_is_said(head: DrawnHead) -> None:
    """-1 is the left, 1 the right of the picture."""
    for light in (-1.0, 1.0):
        picture = _drawn(replace(head, light=light), POSE)[180:215]
        left, right = picture[:, 160:180].mean(), picture[:, 221:241].mean()
        assert (right - left) * light > 10


def test_features_of_a_turning_head_move_to_its_side(head: DrawnHead) -> None:
    """The dark of an open mouth, which is in the middle of the face."""
    columns = []
    for turn in (-1.0, 1.0):
        picture = _drawn(head, replace(POSE, mouth_open=1.0, turn=turn))
        columns.append(np.argwhere(picture[190:235, 160:240].max(axis=2) < 55)[:, 1].mean())
    assert columns[1] - columns[0] == pytest.approx(0.14 * 120, abs=3)


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_eyes_look_where_the_head_turns(head: DrawnHead, side: float) -> None:
    """More white is on the other side of the iris: counted along the middle of an eye."""
    dark = replace(head, iris=(30.0, 30.0, 30.0))
    for turn in (-1.0, 1.0):
        picture = _drawn(dark, replace(POSE, height=240.0, turn=turn))
        middle = 200 + round(240 * (side * 0.155 * head.eye_gap + 0.07 * turn))
        row = picture[180 - 24, middle - 24 : middle + 24]
        iris = np.flatnonzero(row.max(axis=1) < 60).mean()
        white = np.flatnonzero(row.min(axis=1) > 205)
        left, right = np.count_nonzero(white < iris), np.count_nonzero(white > iris)
        assert (left - right) * turn >= 3


def test_a_head_at_the_edge_is_the_same_head_cut_off() -> None:
    """Also where the picture begins right of and below its middle."""
    person = random_head(np.random.default_rng(3))
    whole = np.random.default_rng(0).integers(0, 255, (420, 400, 3)).astype(np.uint8)
    part = whole[150:300, 170:330].copy()
    pose = Pose(160.0, 140.0, 90.0, tilt_deg=10.0, mouth_open=0.5)
    draw_head(whole, person, pose)
    draw_head(part, person, replace(pose, centre_x=-10.0, centre_y=-10.0))
    difference = np.abs(part.astype(int) - whole[150:300, 170:330])
    assert (difference > 3).mean() < 0.005


def test_hissing_spreads_lips_and_dark_vowels_round_them() -> None:
    """A second of 300 Hz, then one of 2.6 kHz; samples of 16 bits are read as floats are."""
    seconds = np.arange(16_000) / 16_000
    tones = [0.3 * np.sin(2 * np.pi * hertz * seconds) for hertz in (300, 2600)]
    sound = np.concatenate(tones)
    spread = mouth_motion(sound, frames=50)[:, 1]
    assert spread[30:45].min() > spread[5:20].max() + 0.3
    whole = mouth_motion((sound * 32768).astype(np.int16), frames=50)
    np.testing.assert_allclose(whole, mouth_motion(sound, frames=50), atol=0.02)


def test_what_is_hardly_heard_opens_no_mouth() -> None:
    """Bursts of 2 of 32768 are below what opens one; without sound it stays shut, too."""
    bursts = np.tile(np.repeat([0, 2], 3200), 5) * np.sign(np.sin(np.arange(32_000) * 0.25))
    assert mouth_motion(bursts.astype(np.int16), frames=50)[:, 0].max() == 0
    assert mouth_motion(np.zeros(10, np.int16), frames=3).shape == (3, 2)


def test_heads_blink_now_and_then_and_turn_no_further_than_drawn() -> None:
    """A blink is five frames, shut in the third; the turn stays within -1 to 1."""
    for seed in range(5):
        motion = idle_motion(np.random.default_rng(seed), frames=400)
        shut = np.flatnonzero(motion[:, 4] == 1)
        assert 3 <= len(shut) <= 12 and np.diff(shut).min() >= 40
        assert motion[shut[0] - 2 : shut[0] + 3, 4] == pytest.approx([0.35, 0.9, 1, 0.7, 0.3])
        assert np.abs(motion[:, 3]).max() <= 1
        assert np.abs(motion[:, :2]).max() < 0.3


def test_a_clip_is_cut_as_face_tracks_are() -> None:
    """Nothing but the mouth follows the sound: it lies under the middle, in time with it."""
    sound = np.zeros(8 * SAMPLES_PER_FRAME)
    sound[4 * SAMPLES_PER_FRAME :] = 0.5 * np.sin(np.arange(4 * SAMPLES_PER_FRAME) * 0.25)
    places = []
    for seed in (1, 2):
        quiet, loud = (
            drawn_clip(np.random.default_rng(seed), samples, frames=8, size_px=96).astype(int)
            for samples in (np.zeros_like(sound), sound)
        )
        changed = np.abs(quiet - loud).sum(axis=3) > 40
        assert not changed[:2].any() and changed[6].any()
        places.append(np.median(np.argwhere(changed[5:].any(axis=0)), axis=0) / 96)
    # The box's middle is 1 / 2.8 down, and the mouth 0.3 of the face's height below it.
    assert np.mean(places, axis=0) == pytest.approx([1 / 2.8 + 0.3 / 1.4, 0.5], abs=0.06)


def test_heads_of_a_scene_leave_each_other_free() -> None:
    """Three boxes in the picture, hardly one over another."""
    shared = []
    for seed in range(4):
        image, boxes = drawn_scene(
            np.random.default_rng(seed), width_px=320, height_px=240, heads=3
        )
        assert image.shape == (240, 320, 3) and boxes.shape == (3, 4)
        assert (boxes[:, 2:] - boxes[:, :2]).max(axis=1).min() >= 17
        for one, other in ((0, 1), (0, 2), (1, 2)):
            sides = np.minimum(boxes[one, 2:], boxes[other, 2:]) - np.maximum(
                boxes[one, :2], boxes[other, :2]
            )
            shared.append(np.prod(np.maximum(sides, 0)))
    assert sum(area > 20 for area in shared) == 0


def test_every_clip_shows_and_hears_somebody_else(tmp_path: Path) -> None:
    """As loud as is said; all have progress told."""
    told: list[tuple[object, ...]] = []
    files = drawn_tracks.write_tracks(
        tmp_path, clips=2, seconds=0.4, seed=3, progress=lambda *words: told.append(words)
    )
    assert [file.relative_to(tmp_path).as_posix() for file in files] == [
        "pycrop/drawn000/00000.avi",
        "pycrop/drawn001/00000.avi",
    ]
    one, other = (decode.read_audio(file) for file in files)
    assert not np.array_equal(one, other)
    assert told == [("heads drawn", 1, 2), ("heads drawn", 2, 2)]


def test_babble_has_its_peak_and_no_clicks() -> None:
    """12,000 at most; syllables rise from nothing and fall to nothing."""
    sound = drawn_tracks.babble(np.random.default_rng(1), seconds=2)
    assert np.abs(sound.astype(int)).max() == pytest.approx(12_000, abs=40)
    ramped = drawn_tracks._ramped(np.ones(2000))
    assert ramped[0] < 0.01 and ramped[-1] < 0.01 and (np.diff(ramped[:400]) > 0).all()
    assert (ramped[400:1600] == 1).all() and ramped[::-1] == pytest.approx(ramped)
