"""Marks: which frame gets which confidence, in which colour, and the video as a whole."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import wavfile

import pipeline
from models.features import SAMPLE_RATE
from pipeline.errors import InputError
from pipeline.faces.tracks import CropPath, Track
from pipeline.labelling import Mark, draw, label, marks_by_frame
from pipeline.media import decode, encode, yuv
from pipeline.store.workspace import FOLDERS, Workspace
from tests.synthetic import frame_count

FRAMES = 40
BLACK = (16, 128, 128)  # brightness and colours as video stores them


def _path(frames: int, *, x: float) -> CropPath:
    same = np.ones(frames)
    return CropPath(x * same, 60 * same, 20 * same)


def _track(first: int, frames: int, *, x: float) -> tuple[Track, CropPath]:
    boxes = np.tile([x - 20, 40.0, x + 20, 80.0], (frames, 1))
    return Track(np.arange(first, first + frames), boxes), _path(frames, x=x)


def _black(width_px: int, height_px: int) -> yuv.Picture:
    size_px = width_px, height_px
    picture = yuv.picture(np.zeros(yuv.buffer_bytes(size_px), np.uint8), size_px=size_px)
    for plane, level in zip((picture.y, picture.u, picture.v), BLACK, strict=True):
        plane[:] = level
    return picture


def _dists(windows: int, *, confidence: float) -> np.ndarray:
    dists = np.full((windows, 31), 10.0, np.float32)
    dists[:, 15] -= confidence
    return dists


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    """40 grey frames with sound and two faces: a speaker and one who is silent."""
    work = Workspace(tmp_path, "marks")
    for name in FOLDERS:
        work.folder(name).mkdir(parents=True)
    with encode.VideoWriter(work.video, size_px=(200, 120)) as writer:
        for _ in range(FRAMES):
            writer.write(np.full((120, 200, 3), 128, np.uint8))
    wavfile.write(work.audio, SAMPLE_RATE, np.arange(FRAMES * 640, dtype=np.int16))
    faces = [_track(0, FRAMES, x=50), _track(10, 20, x=140)]
    work.write_tracks(*map(list, zip(*faces, strict=True)))
    work.write_distances([_dists(FRAMES - 5, confidence=8), _dists(15, confidence=0.5)])
    return work


def test_marks_follow_the_tracks(work: Workspace) -> None:
    """Every frame of a track is marked with its number and confidence, and no other."""
    marks = marks_by_frame(work)
    assert {index: [mark.track for mark in marks[index]] for index in marks} == {
        index: [0, 1] if 10 <= index < 30 else [0] for index in range(FRAMES)
    }
    for mark, confidence, x in zip(marks[12], (8, 0.5), (50, 140), strict=True):
        assert mark.confidence == pytest.approx(confidence)
        assert (mark.x, mark.y, mark.s) == (x, 60, 20)


def test_a_change_is_marked_on_the_frame_it_is_about(work: Workspace) -> None:
    """Window i tells about frame i + 2: lips that start to match at window 15 show at frame 17."""
    dists = _dists(FRAMES - 5, confidence=8)
    dists[:15, 15] = 10.0
    work.write_distances([dists, _dists(15, confidence=0.5)])
    marks = marks_by_frame(work)
    speaking = [marks[index][0].confidence > 4 for index in range(FRAMES)]
    assert speaking == [False] * 17 + [True] * 23


@pytest.mark.parametrize(("frame_rate", "first"), [(25, 17), (50, 33)])
def test_marks_follow_the_clock_of_the_video(frame_rate: int, first: int, work: Workspace) -> None:
    """Lips that match from window 15 on match from 0.68 s on, half a window earlier at 50."""
    dists = _dists(FRAMES - 5, confidence=8)
    dists[:15, 15] = 10.0
    work.write_distances([dists, _dists(15, confidence=0.5)])
    marks = marks_by_frame(work, frame_rate=frame_rate)
    matching = [index for index in range(FRAMES) if marks[index][0].confidence > 4]
    assert abs(matching[0] - first) <= 1 and matching[-1] == FRAMES - 1


def test_a_track_without_sound_is_marked_silent(work: Workspace) -> None:
    """No windows, no confidence: a red box, not an error."""
    work.write_distances([np.zeros((0, 31), np.float32), _dists(15, confidence=2)])
    assert {mark.confidence for index, [mark, *_] in marks_by_frame(work).items()} == {0.0}


@pytest.mark.parametrize(
    ("confidence", "colour"),
    [(-3.0, (0, 0, 255)), (0.0, (0, 0, 255)), (4.0, (0, 100, 155)), (30.0, (0, 255, 0))],
)
def test_box_and_colour_are_the_demos(confidence: float, colour: tuple[int, int, int]) -> None:
    """BGR (0, c, 255 - c) with c = 25 times the confidence, on the square around the centre."""
    picture = _black(200, 120)
    draw(picture, Mark(3, confidence, 100.0, 60.0, 30.0))
    frame = cv2.cvtColor(picture.buffer.reshape(-1, 200), cv2.COLOR_YUV2BGR_I420)
    for x, y in ((130, 60), (100, 90), (70, 75)):
        np.testing.assert_allclose(frame[y, x].astype(int), colour, atol=3)
    assert not frame[45:85, 80:120].any()
    assert (frame[15:40, 70:] > 250).all(axis=2).any(), "no white label at the corner"


def test_label_and_line_are_the_demos() -> None:
    """`Track 3, Conf 4.123` in white from the corner on, and a line three pixels wide."""
    picture, expected = _black(240, 160), _black(240, 160)
    draw(picture, Mark(3, 4.1234, 100.0, 80.0, 30.0))
    green = int(25 * 4.1234)
    colour = (0, green, 255 - green)
    yuv.rectangle(expected, (70, 50), (130, 110), colour, line_px=3)
    white = (255, 255, 255)
    yuv.text(expected, "Track 3, Conf 4.123", (70, 50), white, scale=0.5, line_px=2)
    np.testing.assert_array_equal(picture.buffer, expected.buffer)


def test_boxes_beyond_the_picture_are_no_error() -> None:
    """Faces may leave the frame."""
    picture = _black(80, 60)
    draw(picture, Mark(0, 5.0, -200.0, 500.0, 40.0))
    draw(picture, Mark(0, 5.0, 75.0, 30.0, 20.0))
    assert (picture.y > BLACK[0]).any()


def test_the_video_has_every_frame_and_the_sound(work: Workspace) -> None:
    """video_out.avi has the frames of video.avi and audio.wav, sample by sample."""
    assert label(work) == frame_count(work.labelled_video) == FRAMES
    np.testing.assert_array_equal(
        decode.read_audio(work.labelled_video), np.arange(FRAMES * 640, dtype=np.int16)
    )
    frames = list(decode.read_frames(work.labelled_video, frame_rate=None))
    speaker, silent = frames[20][60, 30].astype(int), frames[20][60, 120].astype(int)
    assert speaker[1] - speaker[2] > 60 and silent[2] - silent[1] > 100
    np.testing.assert_allclose(frames[5][60, 120], 128, atol=12)


def test_odd_sizes_keep_their_pixels(tmp_path: Path) -> None:
    """Colour has half the rows and columns, rounded up: what is read is what was written."""
    size_px = 75, 41
    shades = np.linspace(16, 235, yuv.buffer_bytes(size_px)).astype(np.uint8)
    picture = yuv.picture(shades, size_px=size_px)
    assert picture.y.shape == (41, 75) and picture.u.shape == picture.v.shape == (21, 38)
    picture.u[:], picture.v[:] = 90, 160
    path = tmp_path / "odd.avi"
    with encode.VideoWriter(path, size_px=size_px, pixels="yuv420p") as writer:
        for _ in range(3):
            writer.write(picture.buffer)
    [first, *others] = decode.read_planes(path, size_px=size_px)
    assert len(others) == 2
    np.testing.assert_allclose(first.astype(int), picture.buffer, atol=12)


@pytest.mark.parametrize("size_px", [(75, 41), (76, 41), (75, 42), (76, 42)])
def test_odd_sides_are_made_even_without_a_black_line(size_px: tuple[int, int]) -> None:
    """The last column and row stand twice, and colour is what it was."""
    levels = np.random.default_rng(0).integers(0, 256, yuv.buffer_bytes(size_px), np.uint8)
    odd = yuv.picture(levels, size_px=size_px)
    even = yuv.picture(yuv.even_sides(odd), size_px=(76, 42))
    np.testing.assert_array_equal(even.y[: size_px[1], : size_px[0]], odd.y)
    np.testing.assert_array_equal(even.y[-1], even.y[size_px[1] - 1])
    np.testing.assert_array_equal(even.y[:, -1], even.y[:, size_px[0] - 1])
    np.testing.assert_array_equal(even.u, odd.u)
    np.testing.assert_array_equal(even.v, odd.v)


def test_a_silent_video_is_labelled_too(work: Workspace) -> None:
    """Without audio.wav the labelled video has no sound."""
    work.audio.unlink()
    assert label(work) == frame_count(work.labelled_video)
    assert decode.read_audio(work.labelled_video).size == 0


def test_a_video_without_tracks_is_passed_on(work: Workspace) -> None:
    """The video is copied without marks."""
    work.write_tracks([], [])
    work.write_distances([])
    assert label(work) == FRAMES
    first = next(iter(decode.read_frames(work.labelled_video)))
    np.testing.assert_allclose(first, 128, atol=12)


def test_scores_of_another_run_are_refused(work: Workspace) -> None:
    """Two tracks with one score is an old activesd.pckl: the message says what to run."""
    work.write_distances([_dists(15, confidence=1)])
    with pytest.raises(InputError, match=r"run_syncnet\.py again"):
        label(work)
    assert not work.labelled_video.exists()


def test_a_removed_video_is_named(work: Workspace) -> None:
    """Frames come from pyavi/video.avi: pyframes/ may be cleared, this may not."""
    work.video.unlink()
    with pytest.raises(InputError, match=r"video\.avi is not there; run run_pipeline"):
        label(work)


def test_a_video_is_drawn_at_the_frame_rate_that_is_asked_for(work: Workspace) -> None:
    """From Python, of results that say none; their page too."""
    for frame_rate, seconds in ((50, 0.8), (None, 1.6)):
        made = pipeline.label(work, frame_rate=frame_rate)
        assert decode.probe(made).frame_rate == (frame_rate or 25)
        page = pipeline.report(work, frame_rate=frame_rate).read_text("utf-8")
        assert re.search(rf'"duration_s": ?{seconds}\b', page)
