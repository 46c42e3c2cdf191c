"""Faulty media: broken sound, wrong streams, odd names, colours, changing sizes."""

import json
import os
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

import run_pipeline
import run_syncnet
import run_visualise
import run_wav2lip
from models.features import SAMPLE_RATE
from pipeline import cli
from pipeline.media import decode, normalise
from pipeline.media.mp4 import Mp4Writer
from pipeline.store.workspace import Workspace
from tests.conftest import FACE_FLAGS
from tests.synthetic import H264_AAC, beeps, ffmpeg, picture_levels

PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=2,format=yuv420p")
SKIN_YUV = (150, 110, 155)
MATRIX_TAGS = {"bt601": "smpte170m", "bt709": "bt709", "bt2020": "bt2020nc"}


def _normalised(path: Path, *, audio_stream: int | None = None) -> normalise.Normalisation:
    """A finished pass over a file; what it writes lies beside it."""
    decoding = normalise.Normalisation(
        path,
        decode.probe(path, audio_stream=audio_stream),
        avi=path.with_name("v.avi"),
        wav=path.with_name("a.wav"),
        pictures=None,
    )
    for _ in decoding:
        pass
    return decoding


def _samples(path: Path) -> np.ndarray:
    """What `_normalised` wrote as sound, float."""
    return np.asarray(wavfile.read(path.with_name("a.wav"))[1].astype(float))


def _hz(samples: np.ndarray) -> float:
    """The loudest tone of a sound at 16 kHz."""
    levels = np.abs(np.fft.rfft(samples))
    return float(levels.argmax() * SAMPLE_RATE / len(samples))


def _tone(hz: int, *, seconds: float = 2, volume: float = 0.3) -> tuple[str, ...]:
    source = f"aevalsrc='{volume}*sin(2*PI*{hz}*t)':s=48000:d={seconds}"
    return ("-f", "lavfi", "-i", source)


# Sound that breaks off.


def _damage_adts(data: bytes, *, from_share: float) -> bytes:
    """AAC whose frames are noise from some place on; their headers stay."""
    damaged, at, rng = bytearray(data), 0, np.random.default_rng(1)
    while at + 7 <= len(data):
        length = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
        if at > from_share * len(data):
            damaged[at + 7 : at + length] = rng.bytes(len(damaged[at + 7 : at + length]))
        at += length
    return bytes(damaged)


def _with_damaged_sound(source: Path, folder: Path, *, seconds: float, from_share: float) -> Path:
    sound, path = folder / "sound.aac", folder / "broken.mkv"
    tone = ("-b:a", "96k", "-c:a", "aac")
    ffmpeg("-i", source, "-t", str(seconds), "-vn", *tone, sound)
    sound.write_bytes(_damage_adts(sound.read_bytes(), from_share=from_share))
    scaled = ("-vf", "scale=320:180", *H264_AAC[:4])
    ffmpeg(
        *("-i", source, "-i", sound, "-t", str(seconds), "-map", "0:v", "-map", "1:a"),
        *(*scaled, "-c:a", "copy", path),
    )
    return path


def test_damaged_sound_is_a_notice_with_its_time_and_not_scored(
    example: Path, tmp_path: Path
) -> None:
    """AAC packets of noise from the middle on: a notice, and their windows do not count."""
    path = _with_damaged_sound(example, tmp_path, seconds=4, from_share=0.5)
    where = ["--data_dir", str(tmp_path / "work"), "--reference", "x"]
    small = ["--min_face_size", "40", "--min_track", "10", "--keep_frames", "no"]
    assert cli.run(lambda: run_pipeline.main(["--videofile", str(path), *where, *small])) == 0
    work = Workspace(tmp_path / "work", "x")
    record = json.loads(work.record.read_text())
    (notice,) = record["notices"]
    (start_s, end_s) = record["sound"]["missing_s"][0]
    assert start_s == pytest.approx(2, abs=0.2) and end_s > start_s
    assert f"broken.mkv breaks off: there is none from {start_s:.2f} to {end_s:.2f} s" in notice
    assert cli.run(lambda: run_syncnet.main(where)) == 0
    (row,) = json.loads(work.offsets_json.read_text())
    # Windows without sound: about those of the second half.
    assert "windows have no sound and do not count" in row["warning"]
    silent, total = (int(word) for word in row["warning"].split() if word.isdecimal())
    assert total == 95 and 30 <= silent <= 60
    assert row["offset_frames"] == pytest.approx(3, abs=1)


# Words that look like ffmpeg's own.

LINES = (
    "Stream mapping: see notes",
    "Duration: 00:00:01.00, start: 0.0",
    "a\nStream mapping:\n  Duration: 00:00:01.00\n  Stream #0:0: Audio: none\nOutput #0, x",
    "a\rStream mapping:\r  Stream #0:0: Video: none, 9x9",
    "a\n    Stream #0:0: Video: h264, yuv420p, 99999x99999, 25 fps",
    "Input #0, hls, from 'list.m3u8':",
)


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_metadata_that_looks_like_a_log_changes_nothing(
    suffix: str, line: str, tmp_path: Path
) -> None:
    """Title and comment are not parsed as ffmpeg's log."""
    plain, odd = tmp_path / f"plain{suffix}", tmp_path / f"odd{suffix}"
    ffmpeg(*PICTURE, *_tone(440), *H264_AAC, plain)
    metadata = [f"-metadata{of}" for of in ("", "", ":s:v", ":s:a")]
    keys = [f"{key}={line}" for key in ("title", "comment", "title", "title")]
    pairs = [word for pair in zip(metadata, keys, strict=True) for word in pair]
    ffmpeg("-i", plain, "-c", "copy", *pairs, odd)
    before, after = decode.probe(plain), decode.probe(odd)
    assert after.duration_s == pytest.approx(2, abs=0.1)
    # Copying alone changes the length by a hundredth in some containers.
    assert replace(after, duration_s=None) == replace(before, duration_s=None)


# Whole files.


def test_a_bad_slice_before_longer_sound_is_no_damage(tmp_path: Path) -> None:
    """All pictures are there: decoder warnings and longer sound are no damage."""
    path = tmp_path / "slice.mkv"
    ffmpeg(*PICTURE, *_tone(440, seconds=5), *H264_AAC, "-g", "12", path)
    data = bytearray(path.read_bytes())
    raw = tmp_path / "raw.h264"
    ffmpeg("-i", path, "-c", "copy", "-bsf:v", "h264_mp4toannexb", raw)
    nals = raw.read_bytes().split(b"\0\0\1")
    # A slice of a picture that is no key frame, about the middle.
    slices = [nal.rstrip(b"\0") for nal in nals if nal and nal[0] & 31 == 1]
    victim = slices[len(slices) // 2]
    at = data.index(victim[: len(victim) // 2])
    noise = np.random.default_rng(1).bytes(len(victim) // 2 - 12)
    data[at + 12 : at + len(victim) // 2] = noise
    path.write_bytes(data)
    assert "error" in ffmpeg("-i", path, "-an", "-f", "null", "-").lower(), "nothing is damaged"
    decoding = _normalised(path)
    assert decoding.frames == 50 and decoding.damage is None


# Colours and shapes.


def _plain(folder: Path, *, size: str, pixels: str = "yuv420p", **tags: str) -> Path:
    """A picture of one colour, its numbers written as they are.

    Args:
        folder: where it goes.
        size: of the picture.
        pixels: its layout.
        tags: what the file says of its colours, named as ffmpeg's options.
    """
    path = folder / "plain.mkv"
    y, u, v = (value * (4 if pixels.endswith("10le") else 1) for value in SKIN_YUV)
    source = f"nullsrc=s={size}:r=25:d=0.2,format={pixels},geq=lum={y}:cb={u}:cr={v}"
    # Said of the pictures, too: else newer ffmpegs convert what is untagged to what is asked for.
    source += f",setparams={':'.join(f'{name}={value}' for name, value in tags.items())}" * bool(
        tags
    )
    options = [word for name, value in tags.items() for word in (f"-{name}", value)]
    ffmpeg("-f", "lavfi", "-i", source, "-c:v", "ffv1", *options, path)
    return path


def _mean_yuv(path: Path) -> np.ndarray:
    """Mean numbers of the planes of a 4:2:0 file, as they are stored."""
    raw = path.with_suffix(".yuv")
    ffmpeg("-i", path, "-frames:v", "1", "-pix_fmt", "yuv420p", "-f", "rawvideo", raw)
    data = np.fromfile(raw, np.uint8).astype(float)
    quarter = len(data) // 6
    return np.array([data[: 4 * quarter].mean(), *data[4 * quarter :].reshape(2, -1).mean(axis=1)])


def _as_bgr(yuv: tuple[int, int, int], *, matrix: str) -> np.ndarray:
    """By the formula of the standard: limited range to (3,) B, G, R."""
    kr, kb = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}[
        matrix
    ]
    y, u, v = (yuv[0] - 16) / 219, (yuv[1] - 128) / 224, (yuv[2] - 128) / 224
    red, blue = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    return 255 * np.array([blue, green, red])


@pytest.mark.parametrize(
    ("size", "tag", "matrix"),
    [
        *[("1280x720", None, "bt709"), ("640x360", None, "bt601")],
        *[("1280x720", name, name) for name in MATRIX_TAGS],
        ("640x360", "bt709", "bt709"),
    ],
)
def test_colours_are_read_as_players_do_and_kept(
    size: str, tag: str | None, matrix: str, tmp_path: Path
) -> None:
    """Untagged from 720 lines on is BT.709, what is tagged stays so, skin keeps its hue."""
    tags = {"colorspace": MATRIX_TAGS[tag]} if tag else {}
    path = _plain(tmp_path, size=size, **tags)
    info = decode.probe(path)
    assert (info.colour.matrix, info.colour.tagged) == (matrix, tag is not None)
    frame = next(iter(decode.read_frames(path, frame_rate=None)))
    expected = _as_bgr(SKIN_YUV, matrix=matrix)
    np.testing.assert_allclose(frame.reshape(-1, 3).mean(axis=0), expected, atol=2.5)
    size_px = info.width_px, info.height_px
    dubbed = tmp_path / "dubbed.mp4"
    with Mp4Writer(
        dubbed, size_px=size_px, frame_rate=25, sounds=[], pixels="yuv420p", colour=info.colour
    ) as writer:
        for planes in decode.read_planes(path):
            writer.write(planes)
    np.testing.assert_allclose(_mean_yuv(dubbed), SKIN_YUV, atol=1)
    assert decode.probe(dubbed).colour.matrix == matrix and decode.probe(dubbed).colour.tagged


def test_untagged_colours_read_as_frames_are_written_alike(tmp_path: Path) -> None:
    """720 lines, no tag, to colours and back: by one matrix, less ffmpeg's two roundings."""
    path, dubbed = _plain(tmp_path, size="1280x720"), tmp_path / "dubbed.mp4"
    with Mp4Writer(dubbed, size_px=(1280, 720), frame_rate=25, sounds=[]) as writer:
        for frame in decode.read_frames(path, frame_rate=None):
            writer.write(frame)
    np.testing.assert_allclose(_mean_yuv(dubbed), SKIN_YUV, atol=2)


@pytest.mark.parametrize(
    ("transfer", "name"), [(None, None), ("smpte2084", "PQ"), ("arib-std-b67", "HLG")]
)
def test_ten_bits_are_read_right_and_high_range_is_a_notice(
    transfer: str | None, name: str | None, tmp_path: Path
) -> None:
    """The picture is that of eight bits; PQ and HLG are one sentence in pipeline.json."""
    tags = {"colorspace": "bt2020nc", "color_primaries": "bt2020"}
    tags |= {"color_trc": transfer} if transfer else {}
    path = _plain(tmp_path, size="160x120", pixels="yuv420p10le", **tags)
    frame = next(iter(decode.read_frames(path)))
    expected = _as_bgr(SKIN_YUV, matrix="bt2020")
    np.testing.assert_allclose(frame.reshape(-1, 3).mean(axis=0), expected, atol=2.5)
    arguments = ["--videofile", str(path), "--data_dir", str(tmp_path), "--reference", "x"]
    assert cli.run(lambda: run_pipeline.main(arguments)) == 0
    notices = json.loads(Workspace(tmp_path, "x").record.read_text())["notices"]
    notice = [line for line in notices if " video: the pictures" in line]
    assert [f"is {name} video" in line for line in notice] == ([True] if name else [])


def test_the_shape_of_pixels_is_kept_everywhere(face_clip: Path, tmp_path: Path) -> None:
    """A widescreen DVD's pixels of 64:45 in each video that is written."""
    path = tmp_path / "wide.mp4"
    ffmpeg("-i", face_clip, "-vf", "setsar=64/45", *H264_AAC[:4], "-c:a", "copy", path)
    assert decode.probe(path).sar == Fraction(64, 45)
    where = ["--data_dir", str(tmp_path / "work"), "--reference", "x"]
    keep = [*FACE_FLAGS, "--keep_frames", "no"]
    assert cli.run(lambda: run_pipeline.main(["--videofile", str(path), *where, *keep])) == 0
    for main in (run_syncnet.main, run_visualise.main, run_wav2lip.main):
        assert cli.run(lambda main=main: main(where)) == 0  # type: ignore[misc]
    work = Workspace(tmp_path / "work", "x")
    for result in (work.video, work.labelled_video, work.labelled_copy, work.dubbed_video):
        shape = decode.probe(result).sar
        assert float(shape) == pytest.approx(64 / 45, rel=0.01), result.name


# Names.


@pytest.mark.skipif(os.name == "nt", reason="names there are text")
def test_a_name_that_is_not_utf_8(face_clip: Path, tmp_path: Path) -> None:
    """A file of an old disk, through all four scripts."""
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4"))
    try:
        shutil.copy(face_clip, path)
    except OSError:
        pytest.skip("this disk takes only names in UTF-8")
    where = ["--data_dir", str(tmp_path / "work"), "--reference", "cafe"]
    video = ["--videofile", str(path), *where]
    assert cli.run(lambda: run_pipeline.main([*video, *FACE_FLAGS, "--keep_frames", "no"])) == 0
    for main in (run_syncnet.main, run_visualise.main):
        assert cli.run(lambda main=main: main(where)) == 0  # type: ignore[misc]
    assert cli.run(lambda: run_wav2lip.main([*where, "--audio", str(path)])) == 0
    assert len(Workspace(tmp_path / "work", "cafe").crops()) == 1


# Which sound.


def _two_sounds(folder: Path, *, default: int | None, suffix: str = ".mkv") -> Path:
    """A picture with a tone of 500 Hz and one of 900 Hz."""
    path = folder / f"two{suffix}"
    marks = [
        word
        for stream in (0, 1)
        for word in (f"-disposition:a:{stream}", "default" if stream == default else "0")
    ]
    maps = ("-map", "0", "-map", "1", "-map", "2")
    codecs = ("-c:v", "mpeg4", "-c:a", "pcm_s16le")
    ffmpeg(*PICTURE, *_tone(500), *_tone(900), *maps, *codecs, *marks, path)
    return path


@pytest.mark.parametrize(
    ("default", "expected", "hz"), [(1, None, 900), (0, None, 500), (1, 0, 500), (0, 1, 900)]
)
def test_the_sound_that_players_take_or_the_one_asked_for(
    default: int, expected: int | None, hz: int, tmp_path: Path
) -> None:
    """The stream marked default, else what --audio_stream says; which one is told."""
    path = _two_sounds(tmp_path, default=default)
    decoding = _normalised(path, audio_stream=expected)
    assert _hz(_samples(path)) == pytest.approx(hz, abs=2)
    assert decoding.sound is not None
    (notice,) = decoding.sound.notices(path)
    assert (
        "2 sound streams" in notice
        and f"number {default if expected is None else expected}" in notice
    )


@pytest.mark.parametrize("number", ["2", "-1"])
def test_a_sound_stream_that_is_not_there(
    number: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence, exit code 2, nothing made."""
    path = _two_sounds(tmp_path, default=0)
    where = ["--data_dir", str(tmp_path / "work"), f"--audio_stream={number}"]
    assert cli.run(lambda: run_pipeline.main(["--videofile", str(path), *where])) == 2
    notice = capsys.readouterr().err
    assert notice.startswith("error: ") and notice.count("\n") == 1 and "counted from 0" in notice
    assert not list((tmp_path / "work").rglob("*.avi"))


def test_a_first_sound_of_an_unknown_codec_is_passed_over(tmp_path: Path) -> None:
    """The second stream is used, even where the first is marked default."""
    path = _two_sounds(tmp_path, default=0)
    data = path.read_bytes()
    assert data.count(b"A_PCM/INT/LIT") == 2
    path.write_bytes(data.replace(b"A_PCM/INT/LIT", b"A_XYZ/INT/LIT", 1))
    decoding = _normalised(path)
    assert decoding.sound is not None and decoding.sound.audio_stream == 1
    assert _hz(_samples(path)) == pytest.approx(900, abs=2)


def _channels(folder: Path, layout: str, *expressions: str, rate: int = 48_000) -> Path:
    path = folder / "channels.mkv"
    source = f"aevalsrc='{'|'.join(expressions)}':s={rate}:d=2:c={layout}"
    ffmpeg(*PICTURE, "-f", "lavfi", "-i", source, "-c:v", "mpeg4", "-c:a", "pcm_s16le", path)
    return path


def test_six_channels_are_mixed(tmp_path: Path) -> None:
    """The centre channel, which has the speech, is in the mix; there is no notice."""
    path = _channels(tmp_path, "5.1", "0", "0", "0.4*sin(2*PI*700*t)", "0", "0", "0")
    decoding = _normalised(path)
    sound = _samples(path)
    assert _hz(sound) == pytest.approx(700, abs=2) and np.abs(sound).max() > 1000
    assert decoding.sound is not None and decoding.sound.notices(path) == []


def test_one_silent_channel_is_no_fault(tmp_path: Path) -> None:
    """A microphone on one side: half as loud, without a notice."""
    path = _channels(tmp_path, "stereo", "0.4*sin(2*PI*700*t)", "0")
    decoding = _normalised(path)
    assert np.abs(_samples(path)).max() == pytest.approx(0.2 * 32_768, rel=0.05)
    assert decoding.sound is not None and decoding.sound.notices(path) == []


def test_channels_that_cancel_each_other(tmp_path: Path) -> None:
    """Channels of opposite phase: the louder one is used, with a notice."""
    path = _channels(tmp_path, "stereo", "0.3*sin(2*PI*700*t)", "-0.31*sin(2*PI*700*t)")
    decoding = _normalised(path)
    assert np.abs(_samples(path)).max() == pytest.approx(0.31 * 32_768, rel=0.03)
    assert np.abs(decode.read_audio(path)).max() == pytest.approx(0.31 * 32_768, rel=0.03)
    assert decoding.sound is not None and decoding.sound.channel == 1
    assert "cancel each other" in decoding.sound.notices(path)[0]


BEEPING = "if(between(mod(t\\,1)\\,0.5\\,0.6)\\,0.5*sin(2*PI*1000*t)\\,0)"


def test_a_telephone_s_sound_is_in_time(tmp_path: Path) -> None:
    """8 kHz comes out at 16 kHz, its beeps where they were."""
    path = _channels(tmp_path, "mono", BEEPING.replace("\\", ""), rate=8000)
    _normalised(path)
    sound = wavfile.read(path.with_name("a.wav"))[1]
    assert len(sound) == pytest.approx(2 * SAMPLE_RATE, abs=2)
    np.testing.assert_allclose(beeps(sound, rate=SAMPLE_RATE), [0.5, 1.5], atol=0.002)


def test_a_sample_rate_that_changes_midway_stays_on_the_clock(tmp_path: Path) -> None:
    """44.1 kHz and then 48 kHz in one transport stream: later beeps do not move."""
    path = tmp_path / "rates.ts"
    with path.open("wb") as file:
        for rate, start_s in (("44100", "0"), ("48000", "2")):
            part = tmp_path / f"{rate}.ts"
            sound = f"aevalsrc='{BEEPING}':s={rate}:d=2".replace("\\", "")
            ffmpeg(
                *(*PICTURE, "-f", "lavfi", "-i", sound, *H264_AAC[:4], "-bf", "0", "-c:a", "mp2"),
                *("-output_ts_offset", start_s, part),
            )
            file.write(part.read_bytes())
    first_s = picture_levels(path)[0][0]
    assert 0 <= first_s < 3
    _normalised(path)
    written_sound = wavfile.read(path.with_name("a.wav"))[1]
    np.testing.assert_allclose(
        beeps(written_sound, rate=SAMPLE_RATE), [0.5, 1.5, 2.5, 3.5], atol=0.05
    )
