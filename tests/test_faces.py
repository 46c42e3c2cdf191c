"""Which frames are detected, the faces in between, and the detector's options."""

import itertools
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models import weights
from models.device import native_precision
from pipeline.faces import sampling
from pipeline.faces.detector import FaceStream, largest_scale
from pipeline.faces.sampling import FrameSampler
from pipeline.faces.tracks import Face, iou
from pipeline.media import decode
from tests.score_kit import stream_of

SIDE_PX = 40  # of the pictures

Faces = list[list[Face]]


def _picture(index: int, shade: int = 100) -> np.ndarray:
    """A plain picture that carries its number in two pixels."""
    picture = np.full((SIDE_PX, SIDE_PX, 3), shade, np.uint8)
    picture[0, 0], picture[0, 1] = index // 256, index % 256
    return picture


class _Detector:
    """A detector that knows the faces of every picture and records the calls."""

    def __init__(self, truth: Faces) -> None:
        self.truth = truth
        self.indices: list[int] = []

    def __call__(self, pictures: list[np.ndarray]) -> Faces:
        indices = [int(p[0, 0, 0]) * 256 + int(p[0, 1, 0]) for p in pictures]
        self.indices += indices
        return [self.truth[index] for index in indices]


def _sampled(
    truth: Faces, *, every: int, shades: list[int] | None = None
) -> tuple[Faces, _Detector]:
    detector = _Detector(truth)
    sampler = FrameSampler(detector, every=every)
    for index in range(len(truth)):
        sampler.feed(_picture(index, shades[index] if shades else 100))
    faces = sampler.faces()
    assert len(detector.indices) == len(set(detector.indices)) == sampler.detected_frames
    return faces, detector


def _face(x: float, y: float = 50.0, side: float = 50.0, confidence: float = 0.95) -> Face:
    return Face((x, y, x + side, y + side), confidence)


def _same(result: Faces, truth: Faces) -> None:
    assert [len(faces) for faces in result] == [len(faces) for faces in truth]
    for faces, expected in zip(result, truth, strict=True):
        for one, other in zip(faces, expected, strict=True):
            np.testing.assert_allclose(one.box, other.box, atol=1e-9)
            assert one.confidence == pytest.approx(other.confidence)


def test_steady_motion_needs_every_fifth_frame() -> None:
    """A face that changes evenly is exact on every frame from 21 detections."""
    truth = [[_face(2.0 * i, 50 + i, 50 + 0.5 * i, 0.91 + i / 2000)] for i in range(101)]
    sampled, detector = _sampled(truth, every=5)
    assert sorted(detector.indices) == list(range(0, 101, 5))
    _same(sampled, truth)


def test_no_face_is_agreement() -> None:
    """Without any face no extra frame is detected."""
    sampled, detector = _sampled([[] for _ in range(101)], every=10)
    assert sampled == [[]] * 101 and len(detector.indices) == 11


@pytest.mark.parametrize("every", [2, 5, 8, 25])
def test_faces_come_and_go_at_their_frame(every: int) -> None:
    """First and last frame of a second face are found by bisection."""
    truth = [
        [_face(10.0), _face(200.0, confidence=0.93)] if 33 <= i < 62 else [_face(10.0)]
        for i in range(120)
    ]
    sampled, detector = _sampled(truth, every=every)
    _same(sampled, truth)
    assert len(detector.indices) <= 120 / every + 2 + 2 * np.ceil(np.log2(every))


def test_of_faces_in_between_the_surest_comes_first() -> None:
    """As a detector gives them: two exchange their places halfway."""
    truth = [
        [_face(10.0, confidence=0.99), _face(200.0, confidence=0.91)],
        *[[]] * 5,
        [_face(200.0, confidence=0.99), _face(10.0, confidence=0.91)],
    ]
    first, *between, last = faces_of = _sampled(truth, every=6)[0]
    assert [len(faces) for faces in faces_of] == [2] * 7 and (first, last) == (truth[0], truth[6])
    assert [faces[0].box[0] for faces in between if faces[0] != faces[1]][:2] == [10.0, 10.0]
    assert [faces[0].box[0] for faces in between][-2:] == [200.0, 200.0]
    for faces in between:
        assert faces[0].confidence >= faces[1].confidence


def test_the_interval_begins_anew_where_faces_were_asked_for() -> None:
    """The picture they were asked at was detected, so that the next one can wait."""
    detector = _Detector([[_face(10.0)]] * 6)
    sampler = FrameSampler(detector, every=4)
    for index in range(6):
        sampler.feed(_picture(index))
        if index in (2, 5):
            assert len(sampler.faces()) == index + 1
    assert detector.indices == [0, 2, 5]


def test_fast_motion_is_followed() -> None:
    """Where a face jumps further than boxes overlap, every frame is detected, elsewhere few."""
    x = np.cumsum([30.0 if 40 <= i < 50 else 0.0 for i in range(100)])
    truth = [[_face(value)] for value in x.tolist()]
    sampled, detector = _sampled(truth, every=5)
    _same(sampled, truth)
    assert set(range(40, 50)) <= set(detector.indices) and len(detector.indices) < 35


def test_crossing_faces_keep_apart() -> None:
    """Two faces pass each other, one hidden for a while: no box is blended out of both."""
    truth: Faces = []
    for i in range(100):
        near, far = _face(3.0 * i, side=60, confidence=0.99), _face(300 - 3.0 * i)
        truth.append([near] if iou(near.box, far.box) > 0.1 else [near, far])
    assert 5 < [len(faces) for faces in truth].count(1) < 20
    sampled, detector = _sampled(truth, every=5)
    _same(sampled, truth)
    assert len(detector.indices) < 35


def test_a_cut_is_detected_from_the_pictures() -> None:
    """Boxes of two shots that overlap are not blended: the cut forces both of its sides."""
    truth = [[_face(10.0 if i < 47 else 20.0)] for i in range(100)]
    sampled, _ = _sampled(truth, every=5)
    with pytest.raises(AssertionError):
        _same(sampled, truth)
    sampled, detector = _sampled(
        truth, every=5, shades=[100 if i < 47 else 140 for i in range(100)]
    )
    _same(sampled, truth)
    assert {46, 47} <= set(detector.indices) and len(detector.indices) <= 23


@pytest.mark.parametrize(("step", "cut"), [(5, False), (12, True), (-12, True)])
def test_a_change_of_eight_grey_levels_may_be_a_cut(step: int, cut: bool) -> None:
    """Frames on both sides are detected; a smaller change counts as flicker."""
    shades = [100 if i < 47 else 100 + step for i in range(100)]
    _, detector = _sampled([[_face(10.0)]] * 100, every=5, shades=shades)
    assert ({46, 47} <= set(detector.indices)) == cut


def test_any_cuts_at_any_interval() -> None:
    """Shots of 1 frame or more, with 0 to 2 faces each, come out exactly."""
    rng = np.random.default_rng(5)
    for every, cut_length in itertools.product((1, 2, 3, 4, 7, 16), (1, 9, 100)):
        truth, shades = [], []
        for shot, length in enumerate(rng.integers(1, 20, 30).tolist()):
            jump = float(rng.uniform(0, 12))
            truth += [[_face(10 + jump), _face(200 + jump)][: shot % 3]] * length
            shades += [60 if shot % 2 else 160] * length
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sampling, "HELD_PIXELS", cut_length * SIDE_PX**2)
            sampled, _ = _sampled(truth, every=every, shades=shades)
        _same(sampled, truth)


def test_every_frame_is_the_detector_itself() -> None:
    """With 1 each frame is detected, in order, and answers are passed on untouched."""
    rng = np.random.default_rng(1)
    truth = [[_face(float(x)) for x in rng.uniform(0, 300, i % 3)] for i in range(70)]
    sampled, detector = _sampled(truth, every=1)
    assert detector.indices == list(range(70))
    assert all(one is other for one, other in zip(sampled, truth, strict=True))


@pytest.mark.parametrize("frames", range(13))
def test_the_end_is_detected_wherever_it_falls(frames: int) -> None:
    """Short streams and torn last intervals have faces for every frame."""
    truth = [[_face(3.0 * i)] for i in range(frames)]
    sampled, detector = _sampled(truth, every=5)
    _same(sampled, truth)
    assert frames == 0 or {0, frames - 1} <= set(detector.indices)


@pytest.mark.parametrize("every", [1, 5, 60, 500])
def test_few_pictures_are_held(every: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of waiting pictures is bounded for any length and interval."""
    monkeypatch.setattr(sampling, "HELD_PIXELS", 30 * SIDE_PX**2)
    monkeypatch.setattr(sampling, "MOST_HELD_PIXELS", 80 * SIDE_PX**2)
    alive: weakref.WeakSet[_Counted] = weakref.WeakSet()
    sampler = FrameSampler(lambda pictures: [[_face(10.0)]] * len(pictures), every=every)
    most = 0
    for index in range(1000):
        picture = _picture(index).view(_Counted)
        alive.add(picture)
        sampler.feed(picture)
        del picture
        most = max(most, len(alive))
    assert 30 <= most <= 31 + min(every, 51)
    assert len(sampler.faces()) == 1000 and not alive


class _Counted(np.ndarray):
    """An array that can be counted."""

    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__


@pytest.fixture(scope="module")
def frames(face_clip: Path) -> list[np.ndarray]:
    """The 30 frames of one face."""
    return list(decode.read_frames(face_clip))


def _detected(frames: list[np.ndarray], cpu: torch.device, **options: Any) -> FaceStream:
    model, _ = weights.load_s3fd("small", device=cpu)
    detector = stream_of(model, facedet_scale=0.25, **options)
    for frame in frames:
        detector.feed(frame)
    assert len(detector.faces()) == len(frames)
    return detector


def _pairs(one: Faces, other: Faces) -> Iterator[tuple[Face, Face]]:
    assert [len(faces) for faces in one] == [len(faces) for faces in other]
    return zip(itertools.chain(*one), itertools.chain(*other), strict=True)


def test_real_frames_between_are_near(frames: list[np.ndarray], cpu: torch.device) -> None:
    """On a talking head a fifth of the frames gives the boxes of all."""
    all_frames = _detected(frames, cpu)
    few = _detected(frames, cpu, detect_every=5)
    assert all_frames.detected_frames == 30 and few.detected_frames == 7
    for one, other in _pairs(all_frames.faces(), few.faces()):
        assert iou(one.box, other.box) > 0.85


def test_bf16_finds_the_same_faces(frames: list[np.ndarray], cpu: torch.device) -> None:
    """Less precise arithmetic moves a box by less than a pixel at the detector's scale."""
    exact = _detected(frames, cpu)
    rough = _detected(frames, cpu, precision="bf16")
    changes_px = [
        np.abs(np.subtract(a.box, b.box)).max() for a, b in _pairs(exact.faces(), rough.faces())
    ]
    assert 0 < max(changes_px) < 4 and all(face.confidence > 0.9 for (face,) in rough.faces())


def test_precision_is_the_devices_own(monkeypatch: pytest.MonkeyPatch, cpu: torch.device) -> None:
    """bf16 is chosen only where it is computed in, not emulated."""
    for capability, expected in (("avx512_bf16", "bf16"), ("amx_bf16", "bf16"), ("avx2", "fp32")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda name=capability: {name: True})
        assert native_precision(cpu) == expected
    assert native_precision(torch.device("mps")) == "fp32"


@pytest.mark.parametrize("scale", [0.0001, 0.001])
def test_a_scale_that_leaves_less_than_a_pixel_still_scales(
    scale: float, cpu: torch.device
) -> None:
    """Frames are scaled, not only boxes, where the scale leaves less than a pixel."""
    model, _ = weights.load_s3fd("small", device=cpu)
    detector = stream_of(model, facedet_scale=scale)
    assert detector._scaled(np.zeros((270, 480, 3), np.uint8)).shape == (32, 32, 3)


def test_a_low_frame_goes_on_as_it_ends(cpu: torch.device) -> None:
    """A detector takes no less than 32 pixels; an edge to black would be one of the picture."""
    model, _ = weights.load_s3fd("small", device=cpu)
    frame = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    scaled = stream_of(model, facedet_scale=1.0)._scaled(frame)
    np.testing.assert_array_equal(scaled[:20, :30], frame)
    np.testing.assert_array_equal(scaled[20:, :30], np.repeat(frame[-1:], 12, axis=0))
    np.testing.assert_array_equal(scaled[:, 30:], np.repeat(scaled[:, 29:30], 2, axis=1))


@pytest.mark.parametrize(
    ("size_px", "scale"), [((3000, 3000), 1.0), ((1500, 1500), 2.0), ((12_000, 3000), 0.5)]
)
def test_the_largest_scale_makes_nine_million_pixels(
    size_px: tuple[int, int], scale: float
) -> None:
    """Of any frame: a side is scaled, and there are two of them."""
    assert largest_scale(size_px) == pytest.approx(scale)
