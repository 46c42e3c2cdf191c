"""The dubbing stage on clips with known faces and beeps: the right mouth, the right frame.

The generator is replaced by one whose mouth is as bright as the first mel column it hears, so that
mouths can be read from the output as the beeps can be heard in it.
"""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import wavfile

from models.features import SAMPLE_RATE
from pipeline.dubbing import source_frames
from pipeline.dubbing.blend import mouth_mask
from pipeline.dubbing.stage import Dubbed
from pipeline.media import decode, yuv
from pipeline.media.mp4 import Mp4Writer
from tests.dub_kit import (
    GREY,
    LEFT,
    RIGHT,
    SIZE,
    Box,
    beeping,
    frames_of,
    make_film,
    make_wav,
    measured,
    mouth_levels,
    rate_of,
    run_dub,
    still_track,
    workspace_of,
)
from tests.synthetic import (
    ALL_FRAMES,
    FLASHING,
    H264_AAC,
    ffmpeg,
    picture_levels,
    rises,
    sound_onsets,
    turn,
)

pytestmark = pytest.mark.usefixtures("stub_generator")


# Time.

CLOCKS = {clip.name: clip for clip in FLASHING}
AAC_FRAME_S = 1024 / 48_000
SMALL: Box = (8, 2, 88, 56)  # on a picture of 96x64


@pytest.mark.parametrize(
    "name",
    ["film48.mp4", "pal44.mkv", "thirty16.avi", "vary48.mkv", "vary44.mp4", "latepicture16.mkv"],
)
def test_flash_beep_and_mouth_stay_together(name: str, clips: Path, tmp_path: Path) -> None:
    """At any rate and where it varies: within a frame of where the source has flash and beep."""
    source = CLOCKS[name].make(clips)
    work = workspace_of(tmp_path, source, still_track(SMALL, frames=173))
    done = run_dub(work)
    frames, rate = frames_of(done.video), rate_of(done.video)
    truth = np.array(CLOCKS[name].onsets_s) - picture_levels(source)[0][0]
    times_s = np.arange(len(frames)) / rate
    flashes = rises(times_s, frames[:, :3, :3].mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(flashes, truth, atol=0.51 / rate + 0.001)
    np.testing.assert_allclose(sound_onsets(done.video), truth, atol=0.006)
    mouths = rises(times_s, mouth_levels(frames, SMALL))
    np.testing.assert_allclose(mouths, truth, atol=1 / rate + 0.001)
    _has_its_length(done, source, frames, rate=float(CLOCKS[name].rate))
    exact = json.loads(work.dubbed_record.read_text())["frame_rate"]
    assert exact == pytest.approx(float(CLOCKS[name].rate), abs=1e-9)


def _has_its_length(done: Dubbed, source: Path, frames: np.ndarray, *, rate: float) -> None:
    assert rate_of(done.video) == rate and done.frames == len(frames)
    assert frames.shape[1:] == (64, 96, 3)
    stored = re.findall(r"pts_time:(\S+)", ffmpeg("-i", source, *_SHOW))
    length_s = float(stored[-1]) - float(stored[0]) + 1 / rate
    assert len(frames) / rate == pytest.approx(length_s, abs=1.01 / rate)
    sound_s = len(decode.read_audio(done.video)) / SAMPLE_RATE
    assert sound_s == pytest.approx(len(frames) / rate, abs=max(1 / rate, AAC_FRAME_S))


_SHOW = ("-map", "0:v:0", "-vf", "showinfo", *ALL_FRAMES, "-f", "null", "-")


def test_no_frame_of_the_faster_half_is_dropped(tmp_path: Path) -> None:
    """A second at 15 and one at 60 frames per second: each shade of grey is in the result."""
    film, levels = tmp_path / "film.mkv", 30 + 2 * np.arange(75)
    counting = f"color=black:s={SIZE},format=yuv420p,geq=lum='30+2*N':cb=128:cr=128"
    ffmpeg(
        *("-f", "lavfi", "-i", f"{counting},settb=1/60,setpts='if(lt(N,15),4*N,45+N)'"),
        *("-frames:v", "75", *ALL_FRAMES, "-enc_time_base", "1/60"),
        *("-c:v", "ffv1", film),
    )
    work = workspace_of(tmp_path, film, still_track(RIGHT, frames=50))
    done = run_dub(work, audio={None: make_wav(tmp_path / "a.wav", 0.4)})
    grey = np.stack([_planes(buffer).y[:, :80].mean() for buffer in _stored(done.video)])
    assert rate_of(done.video) == 60 and 120 <= len(grey) <= 121  # how long is the last one?
    source = np.abs(grey[:, None] - levels).argmin(axis=1)
    assert np.abs(grey - levels[source]).max() < 1
    np.testing.assert_array_equal(source[:120], [*np.arange(60) // 4, *range(15, 75)])


def test_a_rotated_video_is_dubbed_upright(clips: Path, tmp_path: Path) -> None:
    """Tracks are on the upright picture, and so is the output."""
    turned = tmp_path / "turned.mp4"
    stored = replace(CLOCKS["film48.mp4"], name="stored.mp4")
    turn(stored.make(clips, seconds=3), turned)
    box: Box = (2, 8, 62, 84)
    done = run_dub(workspace_of(tmp_path, turned, still_track(box)))
    frames = frames_of(done.video)
    assert frames.shape[1:] == (96, 64, 3)
    onsets = rises(np.arange(len(frames)) / rate_of(done.video), mouth_levels(frames, box))
    np.testing.assert_allclose(onsets, stored.onsets_s[:2], atol=1 / 23.9)


@pytest.mark.parametrize("rate", [25, 30])
def test_a_face_that_comes_late_and_is_interrupted(rate: int, tmp_path: Path) -> None:
    """Two tracks of one face: exactly their frames are changed, to the sound of their time."""
    film = make_film(tmp_path / "film.mkv", rate=str(rate))
    parts = [still_track(LEFT, 20, 17), still_track(LEFT, 51, 14)]
    audio = make_wav(tmp_path / "a.wav", 0.4, 1.2, 2.2)
    done = run_dub(workspace_of(tmp_path, film, *parts), audio={None: audio})
    mouth = mouth_levels(frames_of(done.video))
    at = np.arange(len(mouth)) * 25 / rate
    there = ((at >= 19.5) & (at < 36.5)) | ((at >= 50.5) & (at < 64.5))
    np.testing.assert_array_equal(np.abs(mouth - GREY) > 20, there)
    assert len(mouth) == 3 * rate and sum(done.regenerated.values()) == there.sum()
    onsets = rises(np.arange(len(mouth)) / rate, np.where(there, mouth, 0))
    np.testing.assert_allclose(onsets, [1.2, 2.2], atol=1 / rate + 0.001)


@pytest.mark.parametrize("frame_rate", [25, 50])
def test_tracks_are_placed_on_the_clock_of_the_workspace(frame_rate: int, tmp_path: Path) -> None:
    """Frames 20 to 39 of a workspace at 50 are the second fifth of a second, not the fourth."""
    film = make_film(tmp_path / "film.mkv", seconds=2)
    track = still_track(LEFT, 20, 20)
    work = workspace_of(tmp_path, film, track, frame_rate=frame_rate)
    done = run_dub(work, audio={None: make_wav(tmp_path / "a.wav", seconds=2)})
    changed = np.flatnonzero(np.abs(mouth_levels(frames_of(done.video)) - GREY) > 20)
    first, frames = 20 * 25 // frame_rate, 20 * 25 // frame_rate
    assert changed[0] == first and abs(len(changed) - frames) <= 1
    assert changed[-1] - changed[0] == len(changed) - 1


def test_two_mouths_follow_two_voices(tmp_path: Path) -> None:
    """In one shot, each its own file; the output has both."""
    film = make_film(tmp_path / "film.mkv", sound=(0.2,))
    work = workspace_of(tmp_path, film, still_track(LEFT), still_track(RIGHT))
    first, second = make_wav(tmp_path / "a.wav", 0.6, 2.0), make_wav(tmp_path / "b.wav", 1.3)
    done = run_dub(work, audio={0: first, 1: second})
    frames, times_s = frames_of(done.video), np.arange(75) / 25
    for box, truth in ((LEFT, [0.6, 2.0]), (RIGHT, [1.3])):
        mouth = mouth_levels(frames, box)
        np.testing.assert_allclose(rises(times_s, mouth), truth, atol=0.041)
        assert mouth.max() > 160 and mouth.min() < 20
    np.testing.assert_allclose(sound_onsets(done.video), [0.6, 1.3, 2.0], atol=0.006)
    assert done.regenerated == {0: 75, 1: 75}


@pytest.mark.parametrize("offset_ms", [120.0, -160.0])
def test_the_own_sound_is_corrected_by_its_measured_offset(
    offset_ms: float, tmp_path: Path
) -> None:
    """Early sound is delayed in the output and for the mouths; other tracks do not count."""
    film = make_film(tmp_path / "film.mkv", sound=(0.7, 1.7))
    work = workspace_of(tmp_path, film, still_track(LEFT), still_track(RIGHT), still_track(RIGHT))
    measured(work, (offset_ms, 5.0, True), (-400.0, 9.0, True), (600.0, 9.0, False))
    done = run_dub(work, tracks=(0, 2))
    truth = np.array([0.7, 1.7]) + offset_ms / 1000
    np.testing.assert_allclose(sound_onsets(done.video), truth, atol=0.006)
    frames = frames_of(done.video)
    onsets = rises(np.arange(75) / 25, mouth_levels(frames))
    np.testing.assert_allclose(onsets, truth, atol=0.041)
    assert np.abs(frames[:, 4:60, 120:180].astype(int) - GREY).max() < 8
    [sound] = json.loads(work.dubbed_record.read_text())["sounds"]
    assert sound == {
        "path": str(film),
        "delay_s": offset_ms / 1000,
        "volume_db": 0,
        "audio_stream": 0,
    }
    sentence = "120 ms later" if offset_ms > 0 else "160 ms earlier"
    assert done.notices == [f"The sound of {film} comes {sentence}, as its lips do."]


def test_a_track_with_another_sound_does_not_delay_the_own_sound(tmp_path: Path) -> None:
    """Of one track with the own sound and one with a file's only the first offset counts."""
    film = make_film(tmp_path / "film.mkv", sound=(0.7,))
    work = workspace_of(tmp_path, film, still_track(LEFT), still_track(RIGHT))
    measured(work, (80.0, 4.0, True), (-400.0, 9.0, True))
    done = run_dub(work, audio={1: make_wav(tmp_path / "b.wav", 1.9)})
    np.testing.assert_allclose(sound_onsets(done.video), [0.78, 1.9], atol=0.006)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("phone.wav", ("-ar", "8000")),
        ("stereo.wav", ("-ar", "44100", "-ac", "2")),
        ("music.mp3", ("-ar", "48000", "-ac", "2")),
        ("film.mp4", ("-f", "lavfi", "-i", "color=s=32x32:d=3", "-ar", "48000")),
    ],
)
def test_any_sound_file_will_do(name: str, options: tuple[str, ...], tmp_path: Path) -> None:
    """Of any rate, channels and container, also a video's."""
    if name == "film.mp4":
        audio = tmp_path / name
        ffmpeg(*options[:4], "-f", "lavfi", "-i", f"{beeping((0.5, 1.8))}:d=3", *H264_AAC, audio)
    else:
        audio = make_wav(tmp_path / name, 0.5, 1.8, options=options)
    done = run_dub(
        workspace_of(tmp_path, make_film(tmp_path / "f.mkv"), still_track(LEFT)),
        audio={None: audio},
    )
    onsets = rises(np.arange(75) / 25, mouth_levels(frames_of(done.video)))
    np.testing.assert_allclose(onsets, [0.5, 1.8], atol=0.041)


def test_all_but_new_mouths_is_the_source_before_encoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its own sound: every pixel outside the mask, and every frame without the face."""
    film = _busy(tmp_path / "busy.mkv")
    encoded: list[np.ndarray] = []
    write = Mp4Writer.write

    def checked(writer: Mp4Writer, frame: np.ndarray) -> None:
        encoded.append(frame.copy())
        write(writer, frame)

    monkeypatch.setattr(Mp4Writer, "write", checked)
    run_dub(workspace_of(tmp_path, film, still_track(LEFT, 20, 17)))
    truth = _stored(film)
    mask, blocks = _mouth()
    at = np.arange(len(truth)) * 25 / 30
    assert len(encoded) == len(truth) == 60
    for buffer, original, there in zip(encoded, truth, (at >= 19.5) & (at < 36.5), strict=True):
        differs = _planes(buffer != original)
        assert not differs.y[~mask].any() and not (differs.u | differs.v)[~blocks].any()
        assert differs.y.any() == differs.u.any() == differs.v.any() == there


def _busy(film: Path, *, size: str = SIZE, tags: str = "range=tv") -> Path:
    """Two seconds of saturated colours in motion, without loss, with a beep."""
    picture = f"testsrc2=s={size}:r=30:d=2,format=yuv420p,setparams={tags}"
    sound = ("-f", "lavfi", "-i", f"{beeping((0.9,))}:d=2", "-c:a", "pcm_s16le")
    ffmpeg("-f", "lavfi", "-i", picture, *sound, "-c:v", "ffv1", film)
    return film


def _stored(video: Path) -> list[np.ndarray]:
    """The buffers of all frames, as they are stored."""
    info = decode.probe(video)
    return list(decode.read_planes(video, size_px=(info.width_px, info.height_px)))


def _planes(buffer: np.ndarray, size: str = SIZE) -> yuv.Picture:
    width, height = map(int, size.split("x"))
    return yuv.picture(buffer, size_px=(width, height))


def _mouth(size: str = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of LEFT's mouth and jaw, and the blocks of 2x2 that have one of them."""
    width, height = map(int, size.split("x"))
    mask = np.zeros((height, width), bool)
    mask[4:94, 4:84] = (mouth_mask(80, 90) > 0)[: height - 4]
    blocks = mask.reshape(height // 2, 2, width // 2, 2)
    return mask, np.asarray(blocks.any(axis=(1, 3)))


@pytest.mark.parametrize(
    ("size", "tags"),
    [
        (SIZE, "range=tv"),
        (SIZE, "colorspace=bt709:color_primaries=bt709:color_trc=bt709"),
        ("320x720", "range=tv"),
        ("320x720", "colorspace=smpte170m"),
    ],
)
def test_colours_outside_the_mouth_stay_after_encoding(
    size: str, tags: str, tmp_path: Path
) -> None:
    """As stored, tagged or not, standard or high definition: within a level, patch by patch.

    An encoder changes busy pixels on its own; a patch of one colour comes through as it is.
    """
    film = tmp_path / "patches.mkv"
    levels = (
        "lum='60+20*mod(floor(X/16),8)':cb='80+24*mod(floor(X/16),5)':cr='90+16*mod(floor(Y/8),6)'"
    )
    picture = f"color=black:s={size}:r=30:d=1,format=yuv420p,geq={levels},setparams={tags}"
    sound = ("-f", "lavfi", "-i", f"{beeping((0.4,))}:d=1", "-c:a", "pcm_s16le")
    ffmpeg("-f", "lavfi", "-i", picture, *sound, "-c:v", "ffv1", film)
    done = run_dub(workspace_of(tmp_path, film, still_track(LEFT, 8, 12)))
    truth, pictures = _stored(film), _stored(done.video)
    assert len(truth) == len(pictures) == 30
    for original, buffer in zip(truth, pictures, strict=True):
        one, other = (_planes(frame.astype(int), size) for frame in (original, buffer))
        for before, after, side in ((one.y, other.y, 16), (one.u, other.u, 8), (one.v, other.v, 8)):
            right = 96 * side // 16  # of the face and the blocks its coding may reach into
            middle = slice(side // 2, None, side), slice(right + side // 2, None, side)
            assert np.abs(after - before)[middle].max() <= 1
    assert decode.probe(done.video).colour.matrix == decode.probe(film).colour.matrix


# Length.


@pytest.mark.parametrize(
    ("fit", "audio_s", "expected"),
    [
        ("video", 0.9, 36),
        ("video", 2.5, 36),
        ("audio", 0.9, 27),
        ("audio", 1.2, 36),
        ("audio", 2.5, 75),
        ("loop", 0.9, 27),
        ("loop", 2.5, 75),
    ],
)
def test_the_output_has_the_length_of_the_fit(
    fit: str, audio_s: float, expected: int, clips: Path, tmp_path: Path
) -> None:
    """To the frame; a video too short stands still or goes back and forth, and mouths go on."""
    film = clips / "counting.mkv"
    if not film.exists():
        grey = f"color=black:s={SIZE}:r=30,format=yuv420p,geq=lum='30+5*N':cb=128:cr=128"
        ffmpeg("-f", "lavfi", "-i", grey, "-frames:v", "36", "-c:v", "ffv1", film)
    beeps_s = (0.3, audio_s - 0.25)
    audio = make_wav(tmp_path / "a.wav", *beeps_s, seconds=audio_s)
    done = run_dub(
        workspace_of(tmp_path, film, still_track(LEFT, frames=30)), fit=fit, audio={None: audio}
    )
    frames = frames_of(done.video)
    assert len(frames) == done.frames == expected and rate_of(done.video) == 30
    sound_s = len(decode.read_audio(done.video)) / SAMPLE_RATE
    assert sound_s == pytest.approx(expected / 30, abs=1 / 30)
    levels = frames[:, :40, 90:110].mean(axis=(1, 2, 3))
    order = [
        source_frames.there_and_back(i, 36) if fit == "loop" else min(i, 35)
        for i in range(expected)
    ]
    np.testing.assert_allclose(levels, levels[order], atol=2)
    assert (np.diff(levels[: min(expected, 36)]) > 3).all()
    onsets = rises(np.arange(expected) / 30, mouth_levels(frames))
    visible = [beep for beep in beeps_s if beep < expected / 30]
    np.testing.assert_allclose(onsets, visible, atol=1 / 30 + 0.001)


def test_hardly_any_sound_gives_one_frame(tmp_path: Path) -> None:
    """A click of a few samples is enough."""
    wavfile.write(tmp_path / "click.wav", SAMPLE_RATE, np.full(100, 9000, np.int16))
    work = workspace_of(tmp_path, make_film(tmp_path / "film.mkv"), still_track(LEFT))
    assert run_dub(work, fit="audio", audio={None: tmp_path / "click.wav"}).frames == 1


# What is seen and heard.


def test_mouths_close_in_the_noise_of_a_room(tmp_path: Path) -> None:
    """The gate takes noise for silence; without it mouths follow the noise."""
    t = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    noise = np.random.default_rng(0).normal(0, 300, len(t))
    tone = 12_000 * np.sin(2 * np.pi * 900 * t) * ((t >= 1) & (t < 1.5))
    wavfile.write(tmp_path / "room.wav", SAMPLE_RATE, (tone + noise).astype(np.int16))
    work = workspace_of(tmp_path, make_film(tmp_path / "film.mkv"), still_track(LEFT))
    mouths = [
        mouth_levels(
            frames_of(run_dub(work, audio={None: tmp_path / "room.wav"}, silence_gate=gate).video)
        )
        for gate in (True, False)
    ]
    quiet = np.r_[0:20, 42:75]
    assert mouths[0][quiet].max() < 15 and mouths[1][quiet].min() > 40
    np.testing.assert_allclose(mouths[0][26:36], mouths[1][26:36], atol=4)
    assert mouths[0][26:36].min() > 140


def test_the_background_has_the_given_level(tmp_path: Path) -> None:
    """The own sound is mixed under other sound only."""
    film = make_film(tmp_path / "film.mkv", sound=(0.5,))
    work = workspace_of(tmp_path, film, still_track(LEFT))
    backgrounds: dict[str, dict[str, Any]] = {
        "alone": {"audio": {None: make_wav(tmp_path / "a.wav", 1.5)}},
        "under": {"audio": {None: tmp_path / "a.wav"}, "keep_background": -12.0},
        "same file": {"audio": {None: film}, "keep_background": -12.0},
        "own": {"keep_background": -12.0},
    }
    loudest = {}
    for name, options in backgrounds.items():
        samples = np.abs(decode.read_audio(run_dub(work, **options).video).astype(float))
        loudest[name] = [
            np.percentile(samples[int(s * 16_000) : int((s + 0.1) * 16_000)], 90) / 16_000
            for s in (0.55, 1.55)
        ]
    np.testing.assert_allclose(loudest["alone"], [0, 1], atol=0.07)
    np.testing.assert_allclose(loudest["under"], [0.25, 1], atol=0.07)
    np.testing.assert_allclose(loudest["same file"], [1.25, 0], atol=0.09)
    np.testing.assert_allclose(loudest["own"], [1, 0], atol=0.07)


def test_odd_pictures_and_unblended_faces(tmp_path: Path) -> None:
    """One more row and column, and with `--blend none` the whole face is the generator's."""
    film = make_film(tmp_path / "film.mkv", size="201x91", seconds=1)
    work = workspace_of(tmp_path, film, still_track((4, -6, 84, 70), frames=25))
    done = run_dub(work, audio={None: make_wav(tmp_path / "a.wav", 0.2)}, blend=False)
    frames = frames_of(done.video)
    assert frames.shape == (25, 92, 202, 3)
    mouth = mouth_levels(frames, (4, 0, 84, 70))
    assert mouth[7] > 150 and mouth[20] < 20
    assert np.abs(frames[:, :, 100:].astype(int) - GREY).max() < 8


def test_tracks_speaking_changes_only_the_speaker(tmp_path: Path) -> None:
    """`--tracks speaking` changes the speaker's sentences, not pauses and not the listener."""
    film = make_film(tmp_path / "film.mkv", seconds=20, sound=(1.0,))
    work = workspace_of(
        tmp_path, film, still_track(LEFT, frames=500), still_track(RIGHT, frames=500)
    )
    dists = np.random.default_rng(0).normal(12, 1, (2, 495, 31)).astype(np.float32)
    dists[0, 100:300, 15] -= 8
    dists[1, :, [10, 25]] -= 8  # at two offsets alike: at none
    work.write_distances(list(dists))
    measured(work, (0.0, 4.0, True), (0.0, 0.5, False), reliable_margin=1.0)
    done = run_dub(work, tracks="speaking")
    changed = np.abs(mouth_levels(frames_of(done.video)) - GREY) > 20
    starts = np.flatnonzero(np.diff(changed.astype(int)))
    assert list(done.regenerated) == [0] and changed.sum() == done.regenerated[0]
    np.testing.assert_allclose(starts, [102, 302], atol=10)
