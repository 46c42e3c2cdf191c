"""Boxes to tracks: exact limits, numbers, gaps, smoothing."""

import numpy as np
import pytest

from pipeline.faces.tracks import (
    Box,
    CropPath,
    Face,
    Track,
    Tracking,
    build_tracks,
    iou,
    smooth,
)

Faces = list[list[Face]]


def _faces(frames: int, *boxes: Box, missing: tuple[int, ...] = ()) -> Faces:
    """The same boxes in every frame but the missing ones."""
    return [
        [] if index in missing else [Face(box, 0.99) for box in boxes] for index in range(frames)
    ]


def _tracked(
    faces: Faces,
    scenes: list[tuple[int, int]] | None = None,
    *,
    min_track: int = 5,
    num_failed_det: int = 3,
    min_face_size: float = 10,
) -> Tracking:
    return build_tracks(
        faces,
        scenes or [(0, len(faces))],
        min_track=min_track,
        num_failed_det=num_failed_det,
        min_face_size=min_face_size,
    )


LEFT: Box = (10.0, 10.0, 60.0, 70.0)
RIGHT: Box = (200.0, 20.0, 260.0, 90.0)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ((0.0, 0.0, 10.0, 10.0), 1.0),
        ((5.0, 0.0, 15.0, 10.0), 1 / 3),
        ((0.0, 0.0, 10.0, 5.0), 0.5),
        ((10.0, 0.0, 20.0, 10.0), 0.0),
        ((-30.0, -30.0, -20.0, -20.0), 0.0),
    ],
)
def test_iou(other: Box, expected: float) -> None:
    """Known overlaps of squares, both ways round."""
    square: Box = (0.0, 0.0, 10.0, 10.0)
    assert iou(square, other) == iou(other, square) == pytest.approx(expected)


@pytest.mark.parametrize(("height", "joined"), [(50.0, False), (50.01, True), (49.9, False)])
def test_a_face_joins_only_above_half_overlap(height: float, joined: bool) -> None:
    """An IoU of exactly 0.5 is not enough."""
    first, second = (0.0, 0.0, 100.0, 100.0), (0.0, 0.0, 100.0, height)
    faces = _faces(6, first) + _faces(6, second)
    lengths = [len(track.frames) for track in _tracked(faces).tracks]
    assert lengths == ([12] if joined else [6, 6])


@pytest.mark.parametrize(("gap", "joined"), [(1, True), (3, True), (4, False)])
def test_a_gap_of_num_failed_det_frames_is_bridged_and_one_more_is_not(
    gap: int, joined: bool
) -> None:
    """The next face may be num_failed_det frames after the last, as in the demo."""
    missing = tuple(range(10, 10 + gap - 1))
    tracks = _tracked(_faces(30, LEFT, missing=missing)).tracks
    expected = [(0, 29)] if joined else [(0, 9), (10 + gap - 1, 29)]
    assert [(track.frames[0], track.frames[-1]) for track in tracks] == expected


@pytest.mark.parametrize(("detections", "expected_tracks"), [(5, 0), (6, 1)])
def test_a_track_needs_more_detections_than_min_track(
    detections: int, expected_tracks: int
) -> None:
    """Exactly min_track detections are too few; the result names the limit."""
    faces = _faces(detections, LEFT) + _faces(10)
    tracks = _tracked(faces, num_failed_det=1)
    assert len(tracks.tracks) == expected_tracks
    assert tracks.longest_short == (0 if expected_tracks else 5)


def test_detections_count_not_frames() -> None:
    """Ten frames with five detections are not a track of more than five."""
    faces = _faces(11, LEFT, missing=tuple(range(1, 11, 2)))
    assert len(_tracked(faces, min_track=6).tracks) == 0
    assert len(_tracked(faces, min_track=5).tracks[0].frames) == 11


@pytest.mark.parametrize(("size", "expected_tracks"), [(40.0, 0), (40.001, 1)])
def test_a_face_must_be_larger_than_min_face_size(size: float, expected_tracks: int) -> None:
    """The larger of mean width and height counts; equal is too small; the result says so."""
    faces = _faces(10, (0.0, 0.0, size / 2, size))
    tracks = _tracked(faces, min_face_size=40)
    assert len(tracks.tracks) == expected_tracks
    assert tracks.largest_small_px == pytest.approx(0 if expected_tracks else size)


def test_missing_frames_are_interpolated() -> None:
    """Boxes between detections lie on the straight line; frames are consecutive int64."""
    boxes = {
        0: (0.0, 0.0, 100.0, 100.0),
        2: (10.0, 4.0, 110.0, 108.0),
        3: (12.0, 4.0, 112.0, 104.0),
    }
    faces = [[Face(boxes[i], 1.0)] if i in boxes else [] for i in range(4)]
    (track,) = _tracked(faces, min_track=2).tracks
    assert track.frames.dtype == np.int64 and track.frames.tolist() == [0, 1, 2, 3]
    assert track.boxes.dtype == np.float64 and track.boxes.shape == (4, 4)
    np.testing.assert_allclose(track.boxes[1], [5, 2, 105, 104])
    np.testing.assert_allclose(track.boxes[[0, 2, 3]], list(boxes.values()))


def test_two_faces_give_two_whole_tracks_whatever_their_order() -> None:
    """The detector's order changes from frame to frame; tracks do not."""
    rng = np.random.default_rng(0)
    faces: Faces = []
    for index in range(80):
        both = [
            Face((box[0] + index * 0.3, box[1], box[2] + index * 0.3, box[3]), 0.95)
            for box in (LEFT, RIGHT)
        ]
        faces.append(both if rng.random() < 0.5 else both[::-1])
    tracks = _tracked(faces, min_track=79).tracks
    assert [track.frames.tolist() for track in tracks] == [list(range(80))] * 2
    lefts = sorted(track.boxes[:, 0].max() for track in tracks)
    assert lefts[0] < 40 and all(np.ptp(track.boxes[:, 0]) < 24 for track in tracks)


def test_the_best_overlap_wins() -> None:
    """Two boxes overlap a face enough; the closer one continues its track."""
    near, far = (2.0, 0.0, 102.0, 100.0), (25.0, 0.0, 125.0, 100.0)
    faces = [[Face((0.0, 0.0, 100.0, 100.0), 1.0)]]
    faces += [[Face(far, 0.99), Face(near, 0.95)] for _ in range(9)]
    first = _tracked(faces).tracks[0]
    assert len(first.frames) == 10 and first.boxes[-1, 0] == 2


def test_ids_continue_over_scenes_and_tracks_stop_at_cuts() -> None:
    """A face that stays where it is becomes a track per shot, numbered in order of time."""
    tracks = _tracked(_faces(60, LEFT, RIGHT), [(0, 25), (25, 60)]).tracks
    spans = [(int(track.frames[0]), int(track.frames[-1])) for track in tracks]
    assert spans == [(0, 24), (0, 24), (25, 59), (25, 59)]


@pytest.mark.parametrize(("length", "expected"), [(19, False), (20, False), (21, True)])
def test_scenes_shorter_than_min_track_are_not_used(length: int, expected: bool) -> None:
    """A shot of min_track frames is looked at but cannot hold a track; the next shot still can."""
    tracks = _tracked(_faces(length + 40, LEFT), [(0, length), (length, length + 40)], min_track=20)
    starts = [int(track.frames[0]) for track in tracks.tracks]
    assert starts == ([0, length] if expected else [length])


def test_no_faces_no_tracks() -> None:
    """Empty frames, and no frames at all, give an empty list."""
    assert _tracked(_faces(50)).tracks == []
    assert build_tracks([], []).tracks == []


def test_defaults_are_the_demos() -> None:
    """With 100 detections, or at 100 pixels, there is nothing; at 25 frames gap it goes on."""
    large = (0.0, 0.0, 100.5, 90.0)
    at_the_limit = (0.0, 0.0, 100.0, 90.0)
    assert not build_tracks(_faces(101, at_the_limit), [(0, 101)]).tracks
    assert not build_tracks(_faces(100, large), [(0, 100)]).tracks
    assert len(build_tracks(_faces(101, large), [(0, 101)]).tracks) == 1
    gap = _faces(150, large, missing=tuple(range(60, 84)))
    assert len(build_tracks(gap, [(0, 150)]).tracks[0].frames) == 150
    wider = _faces(150, large, missing=tuple(range(25, 50)))
    assert len(build_tracks(wider, [(0, 150)]).tracks) == 0


def _track(boxes: np.ndarray) -> Track:
    return Track(np.arange(len(boxes)), boxes)


def test_smoothing_is_a_median_of_13_that_repeats_the_edges() -> None:
    """Centre and half size follow a plain median with repeated ends, never pulled to zero."""
    rng = np.random.default_rng(1)
    corner = 200 + rng.normal(0, 5, (40, 2)).cumsum(axis=0)
    size = 90 + rng.normal(0, 4, (40, 2))
    path = smooth(_track(np.concatenate([corner, corner + size], axis=1)))
    centre = corner + size / 2
    expected = {"x": centre[:, 0], "y": centre[:, 1], "s": size.max(axis=1) / 2}
    for name, series in expected.items():
        padded = np.pad(series, 6, mode="edge")
        median = [np.median(padded[i : i + 13]) for i in range(40)]
        np.testing.assert_allclose(getattr(path, name), median, err_msg=name)


@pytest.mark.parametrize("length", [1, 2, 5, 12, 13])
def test_short_tracks_keep_their_position(length: int) -> None:
    """A still face stays where it is however short its track."""
    path = smooth(_track(np.tile([[100.0, 50.0, 180.0, 150.0]], (length, 1))))
    np.testing.assert_array_equal(path.x, np.full(length, 140.0))
    np.testing.assert_array_equal(path.y, np.full(length, 100.0))
    np.testing.assert_array_equal(path.s, np.full(length, 50.0))


def test_the_size_of_a_face_is_its_mean_over_the_track() -> None:
    """One close-up among nine small pictures does not make the face large."""
    faces = _faces(9, (0.0, 0.0, 40.0, 40.0)) + _faces(1, (0.0, 0.0, 50.0, 50.0))
    assert _tracked(faces, min_face_size=42).tracks == []
    assert _tracked(faces, min_face_size=42).largest_small_px == pytest.approx(41)
    assert _tracked(faces, min_face_size=40).tracks[0].size_px == pytest.approx(41)


def test_the_closest_misses_are_told_whatever_came_later() -> None:
    """Tracks that are too short or too small, a better one before a worse one."""
    short = _faces(5, LEFT) + _faces(5) + _faces(2, LEFT)
    assert _tracked(short).longest_short == 5
    small = [(0.0, 0.0, 30.0, 30.0), (100.0, 0.0, 120.0, 20.0)]
    missed = _tracked(_faces(10, *small), min_face_size=40)
    assert missed.tracks == [] and missed.largest_small_px == 30


def test_a_place_on_the_path_is_x_then_y_then_half_the_size() -> None:
    """Counted from the first frame of the track."""
    path = CropPath(np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array([5.0, 6.0]))
    assert path.at(1) == (2.0, 4.0, 6.0)
