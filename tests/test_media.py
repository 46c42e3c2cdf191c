"""Media: one clock for picture and sound, equal frame counts, upright pictures, errors."""

import itertools
import re
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.io import wavfile

from models.features import SAMPLE_RATE, SAMPLES_PER_FRAME
from pipeline.errors import InputError, PipelineError
from pipeline.faces import crops, tracks
from pipeline.faces.options import FaceOptions
from pipeline.faces.stage import find_faces
from pipeline.labelling import label
from pipeline.media import decode, encode, normalise
from pipeline.store.workspace import Workspace
from tests.synthetic import (
    FLASHING,
    H264_PCM,
    Flashing,
    beeps,
    ffmpeg,
    frame_count,
    picture_levels,
    picture_onsets,
    rises,
    sound_onsets,
    turn,
)

SKEW_S = 0.020 + 0.0005  # half a frame, and the clock of a Matroska file
CROP_START = 12  # first frame of the hand-made track


@pytest.fixture(scope="module", params=FLASHING, ids=lambda clip: clip.name)
def flashing(request: pytest.FixtureRequest, clips: Path) -> tuple[Flashing, Path]:
    """A flash-and-beep clip and its file."""
    clip: Flashing = request.param
    return clip, clip.make(clips)


@pytest.fixture(scope="module")
def onsets(
    flashing: tuple[Flashing, Path], tmp_path_factory: pytest.TempPathFactory, cpu: torch.device
) -> dict[str, np.ndarray]:
    """Where flashes and beeps start in the input and in everything made from it, seconds."""
    _, source = flashing
    work = Workspace(tmp_path_factory.mktemp("clock"), "flash")
    find_faces(source, work, FaceOptions(), device=cpu)
    levels = [picture.mean() for picture in _pictures(work)]
    # Time zero of everything made is the first picture.
    first_s = picture_levels(source)[0][0]
    onset_times_s = {
        "input picture": picture_onsets(source) - first_s,
        "input sound": sound_onsets(source) - first_s,
        "video.avi picture": picture_onsets(work.video),
        "video.avi sound": sound_onsets(work.video),
        "pyframes": rises(np.arange(len(levels)) / 25, np.array(levels)),
        "audio.wav": beeps(wavfile.read(work.audio)[1], rate=SAMPLE_RATE),
    }
    track = _still_track(range(CROP_START, len(levels) - 3), box=(20, 8, 60, 48))
    path = tracks.smooth(track)
    work.scratch.mkdir()
    crops.write_crops(
        work,
        lambda: _frames_of(source),
        [track],
        [path],
        crop_scale=0.4,
        frame_rate=25,
    )
    onset_times_s["crop picture"] = picture_onsets(work.crop(0)) + CROP_START / 25
    onset_times_s["crop sound"] = sound_onsets(work.crop(0)) + CROP_START / 25
    work.write_tracks([track], [path])
    work.write_distances([np.ones((len(track.frames) - 5, 31), np.float32)])
    assert label(work) == len(levels) == frame_count(work.labelled_video)
    onset_times_s["video_out.avi picture"] = picture_onsets(work.labelled_video)
    onset_times_s["video_out.avi sound"] = sound_onsets(work.labelled_video)
    return onset_times_s


def _frames_of(video: Path) -> Generator[np.ndarray]:
    yield from decode.read_frames(video)


def _pictures(work: Workspace) -> Iterator[np.ndarray]:
    for index in itertools.count():
        if not work.frame(index).exists():
            return
        picture = cv2.imread(str(work.frame(index)))
        assert picture is not None
        yield picture


def _still_track(frames: range, *, box: tracks.Box) -> tracks.Track:
    return tracks.Track(np.array(frames, np.int64), np.tile(np.array(box, float), (len(frames), 1)))


def test_flash_and_beep_stay_together_everywhere(
    onsets: dict[str, np.ndarray], flashing: tuple[Flashing, Path]
) -> None:
    """No two of input, video.avi, frames, audio.wav, crops, video_out.avi are 20 ms apart."""
    clip, source = flashing
    truth = np.array(clip.onsets_s) - picture_levels(source)[0][0]
    assert {name: len(times_s) for name, times_s in onsets.items()} == dict.fromkeys(onsets, 6)
    np.testing.assert_allclose(onsets["input picture"], truth, atol=0.001)
    np.testing.assert_allclose(onsets["input sound"], truth, atol=0.001)
    skews = {
        (one, other): float(np.abs(onsets[one] - onsets[other]).max())
        for one, other in itertools.combinations(onsets, 2)
    }
    assert {pair: skew for pair, skew in skews.items() if skew > SKEW_S} == {}
    for name in onsets:
        if "sound" in name or name == "audio.wav":
            np.testing.assert_allclose(onsets[name], truth, atol=0.002, err_msg=name)


@pytest.mark.parametrize("name", ["latesound48.mp4", "latepicture16.mkv", "vary44.mp4"])
def test_the_odd_clips_are_odd(name: str, clips: Path) -> None:
    """The clips of the test above really are late and irregular."""
    clip = next(clip for clip in FLASHING if clip.name == name)
    path = clip.make(clips)
    times, _ = picture_levels(path)
    if clip.irregular:
        assert np.diff(times).max() > 1.9 * np.diff(times).min()
    assert times[0] == pytest.approx(float(clip.video_late_frames / clip.rate), abs=0.002)
    log = ffmpeg("-i", path, "-map", "0:a", "-af", "ashowinfo", "-f", "null", "-")
    first = re.search(r"pts_time:(\S+)", log)
    assert first and float(first[1]) == pytest.approx(clip.audio_late_s, abs=0.025)


def test_read_audio_and_read_frames_share_the_clock(clips: Path) -> None:
    """The readers used on clips put a late stream where it belongs, as the normaliser does."""
    clip = next(clip for clip in FLASHING if clip.name == "latepicture16.mkv")
    path = clip.make(clips)
    truth = np.array(clip.onsets_s) - clip.video_late_frames / 25
    levels = np.array([frame.mean() for frame in decode.read_frames(path)])
    np.testing.assert_allclose(rises(np.arange(len(levels)) / 25, levels), truth, atol=0.02)
    np.testing.assert_allclose(beeps(decode.read_audio(path), rate=SAMPLE_RATE), truth, atol=0.002)


def test_sound_that_changes_midway_stays_on_the_clock(tmp_path: Path) -> None:
    """Broadcasts switch from stereo to mono between programmes; later beeps must not move."""
    path = tmp_path / "broadcast.ts"
    with path.open("wb") as file:
        for channels, start_s in (("2", "0"), ("1", "2")):
            part = tmp_path / f"part{channels}.ts"
            ffmpeg(
                *("-f", "lavfi", "-i", "color=s=64x64:r=25:d=2,format=yuv420p"),
                *("-f", "lavfi", "-i", "aevalsrc='if(gte(t,1)*lt(t,1.1),sin(6283*t),0)':d=2"),
                *("-ac", channels, "-c:v", "libx264", "-bf", "0", "-c:a", "mp2"),
                *("-output_ts_offset", start_s, part),
            )
            file.write(part.read_bytes())
    samples = decode.read_audio(path)
    assert len(samples) / SAMPLE_RATE == pytest.approx(4, abs=0.1)
    np.testing.assert_allclose(beeps(samples, rate=SAMPLE_RATE), [1, 3], atol=0.04)


def _source(folder: Path, name: str, filters: str, *codecs: str) -> Path:
    path = folder / name
    ffmpeg("-f", "lavfi", "-i", filters, *(codecs or ("-c:v", "libx264", "-crf", "20")), path)
    return path


def _size_change(folder: Path) -> Path:
    """Ten pictures of 160x120, then ten of 96x128, in one stream."""
    path = folder / "change.ts"
    with path.open("wb") as file:
        for size, start_s in (("160x120", "0"), ("96x128", "0.4")):
            source = f"testsrc2=s={size}:r=25:d=0.4,format=yuv420p"
            late = ("-c:v", "libx264", "-bf", "0", "-output_ts_offset", start_s)
            file.write(_source(folder, f"{size}.ts", source, *late).read_bytes())
    return path


def _rotated(folder: Path) -> Path:
    """A phone's upright video: stored lying down with a note to turn it."""
    stored = _source(
        folder, "stored.mp4", "testsrc2=s=160x120:r=30:d=1,format=yuv420p", "-c:v", "libx264"
    )
    path = folder / "rotated.mp4"
    turn(stored, path)
    return path


def _ten_bit(folder: Path) -> Path:
    """What phones record for bright screens: ten bits a sample."""
    source = "testsrc2=s=160x120:r=25:d=1,format=yuv420p10le"
    return _source(folder, "tenbit.mkv", source, "-c:v", "ffv1")


SOURCES: dict[str, tuple[str | Callable[[Path], Path], tuple[int, int], int]] = {
    "odd": ("testsrc2=s=321x241:r=25:d=1,format=yuv444p", (321, 241), 25),
    "small43": ("testsrc2=s=320x240:r=15:d=1,format=yuv420p", (320, 240), 25),
    "tall": ("testsrc2=s=63x201:r=29.97:d=1,format=yuv444p", (63, 201), 25),
    "two": ("testsrc2=s=160x120:r=25:d=0.08,format=yuv420p", (160, 120), 2),
    "single": ("testsrc2=s=160x120:r=25:d=0.04,format=yuv420p", (160, 120), 1),
    "film": ("testsrc2=s=160x120:r=24000/1001:d=2,format=yuv420p", (160, 120), 50),
    "tenbit": (_ten_bit, (160, 120), 25),
    "grey": ("testsrc2=s=160x120:r=25:d=1,format=gray", (160, 120), 25),
    "rotated": (_rotated, (120, 160), 25),
    "change": (_size_change, (160, 120), 20),
}


def _grey(picture: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(int)


@pytest.mark.parametrize("name", SOURCES)
def test_every_reader_counts_the_same_frames(name: str, tmp_path: Path) -> None:
    """The raw pass, the pictures, video.avi and read_frames agree on number, size and content."""
    make, size_px, expected = SOURCES[name]
    path = _source(tmp_path, f"{name}.mkv", make) if isinstance(make, str) else make(tmp_path)
    info = decode.probe(path)
    assert (info.width_px, info.height_px) == size_px
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    avi = tmp_path / "video.avi"
    decoding = normalise.Normalisation(
        path, info, avi=avi, wav=tmp_path / "audio.wav", pictures=pictures
    )
    raw = [frame.copy() for frame in decoding]
    assert decoding.damage is None
    for frame, same in zip(raw, decoding.again(), strict=True):
        np.testing.assert_array_equal(frame, same)
    jpegs = sorted(pictures.iterdir())
    assert [jpeg.name for jpeg in jpegs] == [f"{i + 1:06d}.jpg" for i in range(len(raw))]
    assert len(raw) == expected
    assert len(raw) == decoding.frames == frame_count(avi)
    assert len(raw) == sum(1 for _ in decode.read_frames(avi, frame_rate=None))
    for frame, jpeg in zip(raw, jpegs, strict=True):
        picture = cv2.imread(str(jpeg))
        assert picture is not None and picture.shape == frame.shape == (*size_px[::-1], 3)
        assert np.abs(_grey(picture) - _grey(frame)).mean() < 3


def test_rotated_video_is_upright(tmp_path: Path) -> None:
    """A rotated picture is turned, not only its sides swapped."""
    left_white = "color=black:s=160x120:r=25:d=0.2,drawbox=w=80:h=120:color=white:t=fill"
    stored = _source(tmp_path, "stored.mp4", left_white + ",format=yuv420p", "-c:v", "libx264")
    turned = tmp_path / "turned.mp4"
    turn(stored, turned)
    first = next(iter(decode.read_frames(turned)))
    assert first.shape == (160, 120, 3)
    top, bottom = first[:70].mean(), first[90:].mean()
    assert {top > 200, bottom > 200} == {True, False}
    assert abs(float(first[:, :50].mean()) - float(first[:, 70:].mean())) < 5


def test_video_writer_keeps_sound_and_picture_and_appears_whole(tmp_path: Path) -> None:
    """A clip has as many frames as were written and its own samples, and nothing before the end."""
    frames = [np.full((32, 48, 3), 12 * i, np.uint8) for i in range(20)]
    samples = (np.arange(20 * SAMPLES_PER_FRAME) % 2000 - 1000).astype(np.int16)
    sound, path = tmp_path / "sound.s16", tmp_path / "clip.avi"
    samples.tofile(sound)
    with encode.VideoWriter(path, size_px=(48, 32), audio=sound) as writer:
        for frame in frames:
            writer.write(frame)
        assert not path.exists()
    read = list(decode.read_frames(path, frame_rate=None))
    assert len(read) == 20
    for index, frame in enumerate(read):
        assert frame.mean() == pytest.approx(12 * index, abs=4)
    np.testing.assert_array_equal(decode.read_audio(path), samples)
    log = ffmpeg("-i", path, "-f", "null", "-")
    assert "mpeg4" in log and "XVID" in log and "pcm_s16le" in log and "16000 Hz, mono" in log
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.avi", "sound.s16"]


def test_video_writer_leaves_nothing_after_an_error(tmp_path: Path) -> None:
    """An error while frames are written leaves neither a clip nor a part of one."""
    with (
        pytest.raises(ZeroDivisionError),
        encode.VideoWriter(tmp_path / "clip.avi", size_px=(640, 480)) as writer,
    ):
        for _ in range(50):
            writer.write(np.zeros((480, 640, 3), np.uint8))
        assert list(tmp_path.iterdir())  # ffmpeg has begun
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_video_writer_tells_why_it_cannot_write(tmp_path: Path) -> None:
    """Writing into a folder that is not there fails with the file's name in one sentence."""
    target = tmp_path / "absent" / "clip.avi"
    with (
        pytest.raises(PipelineError, match=r"clip\.avi"),
        encode.VideoWriter(target, size_px=(640, 480)) as writer,
    ):
        for _ in range(50):
            writer.write(np.zeros((480, 640, 3), np.uint8))


def test_read_audio_is_mono_int16_and_empty_without_sound(tmp_path: Path) -> None:
    """Stereo is mixed down to one int16 column; a silent video gives an empty array."""
    stereo = tmp_path / "stereo.mkv"
    tones = "aevalsrc='0.5*sin(2000*t)|0.5*sin(2000*t)':s=16000:d=1"
    ffmpeg(
        *("-f", "lavfi", "-i", "color=s=32x32:r=25:d=1", "-f", "lavfi", "-i", tones),
        *(*H264_PCM, stereo),
    )
    samples = decode.read_audio(stereo)
    assert samples.shape == (SAMPLE_RATE,) and samples.dtype == np.int16
    assert 15_000 < samples.max() < 17_500
    silent = _source(tmp_path, "silent.mkv", "color=s=32x32:r=25:d=0.2")
    assert decode.read_audio(silent).size == 0


def test_probe_reads_what_the_file_is(clips: Path, face_clip: Path) -> None:
    """Size, sound and rate of an ordinary file."""
    info = decode.probe(face_clip)
    assert (info.width_px, info.height_px, info.has_audio) == (640, 360, True)
    assert info.frame_rate == 25 and info.duration_s == pytest.approx(1.2, abs=0.1)


def test_reading_frames_of_sound_alone_is_refused(clips: Path) -> None:
    """A sound file has no frames, and the message says so."""
    path = clips / "alone.wav"
    ffmpeg("-f", "lavfi", "-i", "sine=440:r=16000:d=0.2", path)
    with pytest.raises(InputError, match="no video stream"):
        next(iter(decode.read_frames(path)))


def test_sound_without_a_sample_is_named(tmp_path: Path) -> None:
    """A stream that says it is sound and holds none: tracks are made, and the user is told."""
    path = tmp_path / "mute.mkv"
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=1"),
        *("-f", "lavfi", "-i", "sine=d=1", "-filter:a", "atrim=end=0"),
        *("-c:v", "libx264", "-c:a", "aac", path),
    )
    info = decode.probe(path)
    assert info.has_audio
    avi, wav = tmp_path / "a.avi", tmp_path / "a.wav"
    decoding = normalise.Normalisation(path, info, avi=avi, wav=wav, pictures=None)
    assert sum(1 for _ in decoding) == 25
    assert decoding.sound is not None and decoding.sound.missing_s == ((0.0, 1.0),)
    assert "none from 0.00 to 1.00 s" in decoding.sound.notices(path)[0]
    assert not wav.exists() and not decode.probe(avi).has_audio
    assert decode.read_audio(path).size == 0


@pytest.mark.parametrize("rate", [24, 30, 50])
def test_reading_at_another_rate_fills_the_grid(rate: int, tmp_path: Path) -> None:
    """Two seconds are two seconds: an ffmpeg that loses the rate takes 25 and drops the rest."""
    video = tmp_path / "video.mkv"
    ffmpeg("-f", "lavfi", "-i", f"color=s=32x32:r={rate}", "-t", "2", "-c:v", "ffv1", video)
    for frame_rate in (24.0, 25.0, 30.0, 50.0):
        assert sum(1 for _ in decode.read_planes(video, frame_rate=frame_rate)) == 2 * frame_rate
        assert sum(1 for _ in decode.read_frames(video, frame_rate=frame_rate)) == 2 * frame_rate
