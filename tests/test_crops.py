"""Face clips: the square of the SyncNet demo, the frames and the samples of the track."""

import hashlib
import os
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import wavfile

from models.features import SAMPLE_RATE, SAMPLES_PER_FRAME
from pipeline.errors import PipelineError
from pipeline.faces import crops
from pipeline.faces.crops import crop_face, crop_passes, frames_needed, track_sound, write_crops
from pipeline.faces.tracks import CropPath, Track
from pipeline.media import decode, encode
from pipeline.store.workspace import FOLDERS, Workspace
from tests.synthetic import frame_count

HEIGHT_PX, WIDTH_PX = 90, 120


def _demo_crop(frame: np.ndarray, x: float, y: float, s: float, crop_scale: float) -> np.ndarray:
    """The demo's crop: pad the whole frame, then cut."""
    pad = int(s * (1 + 2 * crop_scale))
    padded = np.pad(frame, ((pad, pad), (pad, pad), (0, 0)), constant_values=110)
    my, mx = y + pad, x + pad
    square = padded[
        int(my - s) : int(my + s * (1 + 2 * crop_scale)),
        int(mx - s * (1 + crop_scale)) : int(mx + s * (1 + crop_scale)),
    ]
    return cv2.resize(square, (224, 224))


def _noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT_PX, WIDTH_PX, 3), np.uint8)


@pytest.mark.parametrize("crop_scale", [0.0, 0.25, 0.4, 1.0])
def test_crop_is_the_demos_crop(crop_scale: float) -> None:
    """Random faces inside, across and around the frame's edges give the demo's pixels."""
    rng = np.random.default_rng(7)
    frame = _noise(0)
    outside = 0
    for _ in range(150):
        s = rng.uniform(3, 80)
        x, y = rng.uniform(0, WIDTH_PX), rng.uniform(0, HEIGHT_PX)
        expected = _demo_crop(frame, x, y, s, crop_scale)
        np.testing.assert_array_equal(
            crop_face(frame, x=x, y=y, s=s, crop_scale=crop_scale), expected
        )
        outside += bool((expected == 110).all(axis=2).mean() > 0.05)
    assert 20 < outside < 150


def test_crop_of_a_face_outside_the_frame_is_grey() -> None:
    """A box that has left the picture gives a plain clip, not an error."""
    for x, y in ((-500.0, 40.0), (900.0, 40.0), (60.0, -400.0), (60.0, 800.0)):
        crop = crop_face(_noise(1), x=x, y=y, s=20, crop_scale=0.4)
        np.testing.assert_array_equal(crop, np.full((224, 224, 3), 110))


def test_crop_of_a_tiny_face_is_made() -> None:
    """Sizes that round to nothing still give a clip of the right size."""
    assert crop_face(_noise(2), x=50, y=50, s=0.2, crop_scale=0.4).shape == (224, 224, 3)


def _track(first: int, frames: int) -> Track:
    return Track(np.arange(first, first + frames), np.tile([20.0, 20.0, 60.0, 60.0], (frames, 1)))


def _path(track: Track, *, x: float = 40.0) -> CropPath:
    same = np.ones(len(track.frames))
    return CropPath(x * same, 40.0 * same, 20.0 * same)


@pytest.mark.parametrize(("first", "frames"), [(0, 394), (7, 30), (90, 25), (200, 10)])
def test_track_sound_is_640_samples_a_frame(first: int, frames: int) -> None:
    """The track's own samples, silence where the sound has ended."""
    samples = np.arange(1, 100 * SAMPLES_PER_FRAME + 1, dtype=np.int64).astype(np.int16)
    cut = track_sound(samples, _track(first, frames).frames, frame_rate=25)
    assert cut.shape == (frames * SAMPLES_PER_FRAME,) and cut.dtype == np.int16
    there = samples[first * SAMPLES_PER_FRAME : (first + frames) * SAMPLES_PER_FRAME]
    np.testing.assert_array_equal(cut[: len(there)], there)
    assert not cut[len(there) :].any()


def test_track_sound_at_another_rate_follows_the_clock() -> None:
    """At 30 frames a second successive tracks neither overlap nor leave samples out."""
    samples = np.arange(SAMPLE_RATE, dtype=np.int16)
    cuts = [track_sound(samples, _track(first, 7).frames, frame_rate=30) for first in (0, 7, 14)]
    np.testing.assert_array_equal(np.concatenate(cuts), samples[: 21 * SAMPLE_RATE // 30])


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    """A workspace with the sound of 40 frames."""
    work = Workspace(tmp_path, "crops")
    for name in FOLDERS:
        work.folder(name).mkdir(parents=True)
    work.scratch.mkdir(parents=True)
    wavfile.write(work.audio, SAMPLE_RATE, np.arange(40 * SAMPLES_PER_FRAME, dtype=np.int16))
    return work


def _write(work: Workspace, tracks: list[Track]) -> int:
    done: list[tuple[int, int | None]] = []
    paths = [_path(track) for track in tracks]
    write_crops(
        work,
        _levels,
        tracks,
        paths,
        crop_scale=0.4,
        frame_rate=25,
        progress=lambda _, *counted: done.append(counted),
    )
    total = frames_needed(tracks)
    assert done == [(number, total) for number in range(1, total + 1)]
    return len(done)


def _levels() -> Generator[np.ndarray]:
    """40 frames whose brightness is their number."""
    for index in range(40):
        yield np.full((HEIGHT_PX, WIDTH_PX, 3), 6 * index, np.uint8)


def test_overlapping_tracks_get_their_own_frames_and_sound(work: Workspace) -> None:
    """One pass cuts tracks that overlap, touch, or stand alone; passing files are removed."""
    spans = [(0, 20), (5, 30), (12, 3), (35, 5)]
    assert _write(work, [_track(*span) for span in spans]) == 40
    assert [path.name for path in work.crops()] == [f"{i:05d}.avi" for i in range(4)]
    for index, (first, frames) in enumerate(spans):
        clip = list(decode.read_frames(work.crop(index), frame_rate=None))
        assert len(clip) == frames == frame_count(work.crop(index))
        levels = [float(picture[:100, 60:160].mean()) for picture in clip]
        np.testing.assert_allclose(levels, 6 * np.arange(first, first + frames), atol=4)
        start = first * SAMPLES_PER_FRAME
        np.testing.assert_array_equal(
            decode.read_audio(work.crop(index)),
            np.arange(start, start + frames * SAMPLES_PER_FRAME, dtype=np.int16),
        )
    assert not list(work.scratch.iterdir())
    assert len(list(work.folder("pycrop").iterdir())) == 4


def test_without_sound_clips_are_silent(work: Workspace) -> None:
    """A silent video still gives clips."""
    work.audio.unlink()
    _write(work, [_track(3, 10)])
    assert frame_count(work.crop(0)) == 10
    assert decode.read_audio(work.crop(0)).size == 0


def test_clips_have_the_shape_of_the_videos_pixels(work: Workspace) -> None:
    """Of a widescreen DVD; a clip is a square of pixels, not of what is seen."""
    track, sar = _track(3, 4), Fraction(64, 45)
    write_crops(work, _levels, [track], [_path(track)], crop_scale=0.4, frame_rate=25, sar=sar)
    assert decode.probe(work.crop(0)).sar == sar


def test_a_video_that_breaks_leaves_no_clip(work: Workspace) -> None:
    """Where decoding fails midway no clip looks complete."""

    def broken() -> Generator[np.ndarray]:
        yield from np.zeros((8, HEIGHT_PX, WIDTH_PX, 3), np.uint8)
        raise PipelineError("broken")

    track = _track(0, 20)
    with pytest.raises(PipelineError, match="broken"):
        write_crops(work, broken, [track], [_path(track)], crop_scale=0.4, frame_rate=25)
    assert not list(work.folder("pycrop").iterdir())


def test_no_tracks_no_clips(work: Workspace) -> None:
    """Nothing to cut is no error."""
    assert _write(work, []) == 0
    assert work.crops() == []


# A crowd.


class _CountedWriter:
    """Replaces an encoder and counts how many are open."""

    open = most = frames = 0

    def __init__(self, path: Path, **_: object) -> None:
        pass

    def __enter__(self) -> "_CountedWriter":
        _CountedWriter.open += 1
        _CountedWriter.most = max(_CountedWriter.most, _CountedWriter.open)
        return self

    def write(self, _: np.ndarray) -> None:
        _CountedWriter.frames += 1

    def __exit__(self, *_: object) -> None:
        _CountedWriter.open -= 1


def test_a_crowd_is_cut_by_few_encoders(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """40 faces at once are cut in five passes, and no more than eight encoders are ever open."""
    monkeypatch.setattr(encode, "VideoWriter", _CountedWriter)
    tracks = [_track(n % 3, 6 + n % 4) for n in range(40)]
    assert len(crop_passes(tracks)) == 5 and _write(work, tracks) < 5 * 11  # frames
    assert _CountedWriter.most == crops.OPEN_CLIPS == 8 and _CountedWriter.open == 0
    assert _CountedWriter.frames == sum(len(track.frames) for track in tracks)


def _hashes(work: Workspace) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in work.crops()]


def test_passes_cut_what_one_pass_cuts(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many encoders may be open, the clips are the same to the byte."""
    tracks = [_track(2 * n, 12 - n) for n in range(5)]
    digests = []
    for limit in (2, 5):
        monkeypatch.setattr(crops, "OPEN_CLIPS", limit)
        _write(work, tracks)
        digests.append(_hashes(work))
    assert (
        digests[0] == digests[1] and len(set(digests[0])) == 5 and not list(work.scratch.iterdir())
    )


def test_each_encoder_has_one_thread(work: Workspace) -> None:
    """The same clips on one core as on all of them; by default MPEG-4 is cut in slices."""
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("this system cannot choose cores, or has only one")
    noise = [_noise(seed) for seed in range(5)]
    digests = []
    before = os.sched_getaffinity(0)
    for cores in (set(sorted(before)[:1]), before):
        os.sched_setaffinity(0, cores)
        try:
            track = _track(0, 5)
            write_crops(
                work,
                lambda: (frame for frame in noise),
                [track],
                [_path(track)],
                crop_scale=0.4,
                frame_rate=25,
            )
        finally:
            os.sched_setaffinity(0, before)
        digests += _hashes(work)
    assert digests[0] == digests[1]


@pytest.mark.parametrize("seed", range(20))
def test_passes_are_few_and_hold_every_track_once(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more tracks at once than allowed, and no more passes than that takes."""
    rng = np.random.default_rng(seed)
    limit = int(rng.integers(1, 6))
    monkeypatch.setattr(crops, "OPEN_CLIPS", limit)
    tracks = [
        _track(int(first), int(frames))
        for first, frames in zip(rng.integers(0, 60, 30), rng.integers(1, 30, 30), strict=True)
    ]
    passes = crop_passes(tracks)
    assert sorted(n for numbers in passes for n in numbers) == list(range(30))
    assert max(_at_once([tracks[n] for n in numbers]) for numbers in passes) <= limit
    assert len(passes) == -(-_at_once(tracks) // limit)


def _at_once(tracks: list[Track]) -> int:
    return int(np.bincount(np.concatenate([track.frames for track in tracks])).max())


def test_sound_is_copied_in_pieces(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """No sample is lost or doubled between pieces, also at rates that do not divide 16 kHz."""
    monkeypatch.setattr(crops, "SOUND_PIECE_FRAMES", 4)
    for rate in (25, 30):
        track, target = _track(3, 43), work.scratch / "sound.s16"
        crops.write_sound(work.audio, target, track, frame_rate=rate)
        whole_sound = track_sound(
            np.arange(40 * SAMPLES_PER_FRAME, dtype=np.int16), track.frames, frame_rate=rate
        )
        np.testing.assert_array_equal(np.fromfile(target, np.int16), whole_sound)
