"""Cuts are found where they are, and shots cover the whole video."""

import itertools

import cv2
import numpy as np
import pytest

from pipeline.faces.shots import ShotDetector


def _shot(seed: int, frames: int, *, height: int = 120, width: int = 160) -> list[np.ndarray]:
    """A picture of its own that moves a little."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    picture = cv2.resize(noise, (width + 20, height), interpolation=cv2.INTER_NEAREST)
    to_and_fro = [abs(i % 38 - 19) for i in range(frames)]
    return [picture[:, x : x + width] for x in to_and_fro]


def _scenes(*shots: list[np.ndarray]) -> list[tuple[int, int]]:
    detector = ShotDetector(frame_rate=25)
    for frame in itertools.chain(*shots):
        detector.feed(frame)
    return detector.scenes()


def test_cuts_are_found_exactly() -> None:
    """Four shots of known lengths come out with their very first frames."""
    lengths = [40, 23, 77, 31]
    shots = _scenes(*(_shot(seed, length) for seed, length in enumerate(lengths)))
    edges = [0, *itertools.accumulate(lengths)]
    assert shots == list(itertools.pairwise(edges))


def test_without_a_cut_there_is_one_shot() -> None:
    """A moving picture is one shot."""
    assert _scenes(_shot(1, 90)) == [(0, 90)]


@pytest.mark.parametrize("frames", [1, 2, 14])
def test_very_short_videos_are_one_shot(frames: int) -> None:
    """No video is too short to be a shot."""
    assert _scenes(_shot(1, frames)) == [(0, frames)]


def test_no_frames_no_shots() -> None:
    """Nothing in, nothing out."""
    assert _scenes() == []


def test_shots_cover_everything_in_order() -> None:
    """Whatever is found, shots follow each other from 0 to the end without gaps."""
    rng = np.random.default_rng(3)
    lengths = rng.integers(3, 40, 12).tolist()  # some are shorter than the detector's minimum
    shots = _scenes(*(_shot(seed, length) for seed, length in enumerate(lengths)))
    assert shots[0][0] == 0 and shots[-1][1] == sum(lengths)
    assert all(a[1] == b[0] and a[0] < a[1] for a, b in itertools.pairwise(shots))
    assert len(shots) > 3


def test_size_and_shape_do_not_matter() -> None:
    """A tall, large picture is cut at the same frame as a small one."""
    large = _scenes(
        _shot(5, 30, height=900, width=500),
        _shot(6, 30, height=900, width=500),
    )
    assert large == [(0, 30), (30, 60)]


def test_two_cuts_within_fifteen_frames_are_one() -> None:
    """A shot shorter than the detector's minimum belongs to the next one."""
    assert _scenes(_shot(0, 40), _shot(1, 13), _shot(2, 40)) == [(0, 40), (40, 93)]
    assert _scenes(_shot(0, 40), _shot(1, 16), _shot(2, 40)) == [(0, 40), (40, 56), (56, 96)]


def test_light_that_changes_a_little_is_no_cut() -> None:
    """50 levels of grey are a lamp that goes on, 110 are another picture."""
    dark, lit, white = ([np.full((120, 160, 3), grey, np.uint8)] * 30 for grey in (90, 140, 200))
    assert _scenes(dark, lit) == [(0, 60)]
    assert _scenes(dark, white) == [(0, 30), (30, 60)]


def _checked(width: int, height: int) -> list[list[np.ndarray]]:
    """Black and white pixel by pixel, for a second, and then the other way round."""
    board = 255 * (np.indices((height, width)).sum(axis=0) % 2).astype(np.uint8)
    board = np.repeat(board[..., None], 3, axis=2)
    return [[board] * 25, [255 - board] * 25]


@pytest.mark.parametrize("upright", [False, True])
def test_pictures_are_compared_at_256_pixels_of_their_longer_side(upright: bool) -> None:
    """What is finer than that is grey, and grain that changes is no cut."""
    for long, short, shots in ((256, 128, [(0, 25), (25, 50)]), (320, 160, [(0, 50)])):
        assert _scenes(*_checked(*((short, long) if upright else (long, short)))) == shots
