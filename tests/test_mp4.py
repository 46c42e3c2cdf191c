"""The MP4: every frame, sounds at their times and levels, the right colours, whole or not there."""

import re
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import wavfile

from models.features import SAMPLE_RATE
from pipeline.errors import InputError, PipelineError
from pipeline.media import clock, decode
from pipeline.media.mp4 import Mp4Writer, Sound
from tests.synthetic import H264_AAC, beeps, ffmpeg, frame_count, sound_onsets

SIZE_PX = (64, 48)
TONE_LEVEL = 8000


def _tone(path: Path, *, hz: float = 440, seconds: float = 1.0, rate: int = SAMPLE_RATE) -> Path:
    """A mono wav of one loud tone from its first sample to its last."""
    t = np.arange(round(seconds * rate)) / rate
    wavfile.write(path, rate, (TONE_LEVEL * np.sin(2 * np.pi * hz * t)).astype(np.int16))
    return path


def _write(
    path: Path,
    sounds: list[Sound],
    *,
    frames: int = 50,
    rate: float = 25,
    size_px: tuple[int, int] = SIZE_PX,
) -> str:
    """Writes frames of rising brightness and gives what ffmpeg says of the file."""
    with Mp4Writer(path, size_px=size_px, frame_rate=rate, sounds=sounds) as writer:
        for index in range(frames):
            writer.write(np.full((*size_px[::-1], 3), (40 + 3 * index) % 256, np.uint8))
    return ffmpeg("-i", path, "-map", "0:v", "-c", "copy", "-f", "null", "-")


def _seconds(path: Path, stream: str) -> float:
    """How long a stream plays, decoded."""
    log_filter = "showinfo" if stream == "v" else "ashowinfo"
    log = ffmpeg(
        "-i", path, "-map", f"0:{stream}", f"-filter:{stream}", log_filter, "-f", "null", "-"
    )
    last = re.findall(r"pts_time:(\S+).*?(?:nb_samples:(\d+))?$", log, re.MULTILINE)
    times = [float(match) for match, _ in last]
    if stream == "v":
        return times[-1] + float(np.median(np.diff(times)))
    samples = re.findall(r"nb_samples:(\d+)", log)
    return times[-1] + int(samples[-1]) / 48_000


def _loudness(samples: np.ndarray, start_s: float, end_s: float) -> float:
    cut = samples[round(start_s * SAMPLE_RATE) : round(end_s * SAMPLE_RATE)].astype(float)
    return float(np.sqrt(2 * (cut**2).mean()))


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30_000, 1001), Fraction(24_000, 1001)])
@pytest.mark.parametrize("sound_s", [0.7, 2.0, 9.0], ids=["shorter", "about equal", "longer"])
def test_picture_and_sound_are_as_long_as_the_frames(
    tmp_path: Path, rate: Fraction, sound_s: float
) -> None:
    """Every frame at its rate, and the sound cut or filled to them, to a frame."""
    path = tmp_path / "out.mp4"
    log = _write(path, [Sound(_tone(tmp_path / "tone.wav", seconds=sound_s))], rate=float(rate))
    assert frame_count(path) == 50
    match = re.search(r"([\d.]+) fps", log)
    assert match and float(match[1]) == pytest.approx(float(rate), abs=0.006)
    frame_s = float(1 / rate)
    assert _seconds(path, "v") == pytest.approx(50 * frame_s, abs=0.002)
    assert _seconds(path, "a") == pytest.approx(50 * frame_s, abs=frame_s)
    samples = decode.read_audio(path)
    end_of_sound_s = np.flatnonzero(np.abs(samples) > TONE_LEVEL / 2)[-1] / SAMPLE_RATE
    assert end_of_sound_s == pytest.approx(min(sound_s, 50 * frame_s), abs=frame_s)


def test_a_browser_can_play_it(tmp_path: Path) -> None:
    """H.264 in 4:2:0 and AAC, colours named, table of contents first."""
    path = tmp_path / "out.mp4"
    log = _write(path, [Sound(_tone(tmp_path / "tone.wav"))])
    assert re.search(r"Video: h264 \(High\).*yuv420p\(tv, bt709(, progressive)?\), 64x48", log)
    content = path.read_bytes()
    assert content[4:8] == b"ftyp" and 0 < content.index(b"moov") < content.index(b"mdat")
    log = ffmpeg("-i", path, "-f", "null", "-")
    assert "Audio: aac (LC)" in log and "48000 Hz, stereo" in log
    assert [file.name for file in tmp_path.iterdir() if file.suffix != ".wav"] == ["out.mp4"]
    assert len(list(tmp_path.iterdir())) == 2, "passing files are left"


def test_slow_frames_change_nothing(tmp_path: Path) -> None:
    """The sound does not run ahead and away while the networks are at work."""
    path = tmp_path / "out.mp4"
    sounds = [Sound(_tone(tmp_path / "tone.wav", seconds=40))]
    with Mp4Writer(path, size_px=SIZE_PX, frame_rate=25, sounds=sounds) as writer:
        for index in range(40):
            if index in (0, 20):
                time.sleep(1)
            writer.write(np.full((*SIZE_PX[::-1], 3), 100, np.uint8))
    assert frame_count(path) == 40 and _seconds(path, "a") == pytest.approx(1.6, abs=0.04)


def test_a_video_may_be_silent(tmp_path: Path) -> None:
    """No sound, no stream of it."""
    path = tmp_path / "out.mp4"
    _write(path, [])
    assert not decode.probe(path).has_audio and frame_count(path) == 50


@pytest.mark.parametrize("size_px", [(63, 48), (64, 47), (63, 47)])
def test_an_odd_side_gets_one_more_pixel_of_its_own(
    tmp_path: Path, size_px: tuple[int, int]
) -> None:
    """Not a black line: the outermost column or row again."""
    path = tmp_path / "out.mp4"
    _write(path, [], size_px=size_px, frames=3)
    frame = next(iter(decode.read_frames(path)))
    assert frame.shape == (48, 64, 3)
    assert np.abs(frame.astype(int) - 40).max() <= 4


@pytest.mark.parametrize("matrix", ["bt709", "bt601"])
def test_colours_are_those_of_the_frames(tmp_path: Path, matrix: str) -> None:
    """Read by what the file says of itself, and so by any player; not by another's guess."""
    path, colour = tmp_path / "out.mp4", (30, 60, 200)
    with Mp4Writer(path, size_px=SIZE_PX, frame_rate=25, sounds=[]) as writer:
        for _ in range(5):
            writer.write(np.full((*SIZE_PX[::-1], 3), colour, np.uint8))
    raw = tmp_path / "frame.raw"
    scale = f"scale=in_color_matrix={matrix},format=bgr24"
    ffmpeg("-i", path, "-vf", scale, "-frames:v", "1", "-f", "rawvideo", raw)
    pixel = np.fromfile(raw, np.uint8).reshape(-1, 3).mean(axis=0)
    assert (np.abs(pixel - colour).max() <= 4) == (matrix == "bt709")
    mean = next(iter(decode.read_frames(path))).reshape(-1, 3).mean(axis=0)
    np.testing.assert_allclose(mean, colour, atol=4)


def test_fine_detail_survives_the_encoder(tmp_path: Path) -> None:
    """Grey noise, the hardest of pictures: what is lost is 31 dB below white."""
    path, rng = tmp_path / "out.mp4", np.random.default_rng(0)
    pictures = [
        np.repeat(rng.integers(40, 216, (48, 64, 1), np.uint8), 3, axis=2) for _ in range(5)
    ]
    with Mp4Writer(path, size_px=SIZE_PX, frame_rate=25, sounds=[]) as writer:
        for picture in pictures:
            writer.write(picture)
    decoded = np.stack(list(decode.read_frames(path)))
    error = ((decoded.astype(float) - np.stack(pictures)) ** 2).mean()
    assert 10 * np.log10(255**2 / error) > 31


@pytest.mark.parametrize("delay_s", [0.0, 0.48, -0.36])
def test_sounds_come_at_their_times(tmp_path: Path, delay_s: float) -> None:
    """Later, or with their beginning cut."""
    t = np.arange(3 * 44_100) / 44_100
    beeping = 12_000 * np.sin(2 * np.pi * 1000 * t) * ((t % 1 >= 0.6) & (t % 1 < 0.7))
    wavfile.write(tmp_path / "beeps.wav", 44_100, beeping.astype(np.int16))
    path = tmp_path / "out.mp4"
    _write(path, [Sound(tmp_path / "beeps.wav", delay_s)], frames=70)
    np.testing.assert_allclose(
        sound_onsets(path), np.array([0.6, 1.6, 2.6])[: 2 + (delay_s < 0.1)] + delay_s, atol=0.006
    )


def test_mono_and_stereo_keep_their_levels(tmp_path: Path) -> None:
    """One channel becomes two as loud as it was, two stay left and right."""
    mono, stereo, both = (tmp_path / name for name in ("mono.wav", "stereo.wav", "both.wav"))
    _tone(mono, hz=500)
    _, left_channel = wavfile.read(mono)
    wavfile.write(stereo, SAMPLE_RATE, np.stack([left_channel, left_channel // 4], axis=1))
    for source, levels in ((mono, (1.0, 1.0)), (stereo, (1.0, 0.25))):
        path = tmp_path / "out.mp4"
        _write(path, [Sound(source)])
        ffmpeg("-i", path, both)
        _, samples = wavfile.read(both)
        measured = np.sqrt(2 * (samples[4800:38_400].astype(float) ** 2).mean(axis=0))
        np.testing.assert_allclose(measured, np.array(levels) * TONE_LEVEL, rtol=0.06)


def test_sounds_are_mixed_at_their_levels_and_times(tmp_path: Path) -> None:
    """Each at its level and time, the same file twice too; none makes another quieter."""
    tone, path = _tone(tmp_path / "tone.wav", seconds=0.5), tmp_path / "out.mp4"
    _write(path, [Sound(tone), Sound(tone, 1.0, -12.0), Sound(tone, -0.25, 0.0), Sound(tone)])
    samples = decode.read_audio(path)
    assert _loudness(samples, 1.05, 1.45) == pytest.approx(TONE_LEVEL * 10**-0.6, rel=0.03)
    assert _loudness(samples, 0.3, 0.45) == pytest.approx(TONE_LEVEL, rel=0.03)
    # 0.25 s are 110 whole periods: the two add up.
    assert _loudness(samples, 0.05, 0.2) == pytest.approx(2 * TONE_LEVEL, rel=0.03)
    assert _loudness(samples, 0.6, 0.95) < 50


def test_noise_is_given_the_bits_it_needs(tmp_path: Path) -> None:
    """Near 192 kbit a second, at which AAC is hardly told from the source."""
    noise = np.random.default_rng(0).normal(0, 6000, (4 * 48_000, 2)).astype(np.int16)
    wavfile.write(tmp_path / "noise.wav", 48_000, noise)
    path = tmp_path / "out.mp4"
    _write(path, [Sound(tmp_path / "noise.wav")], frames=100)
    match = re.search(r"Audio: aac.* (\d+) kb/s", ffmpeg("-i", path, "-f", "null", "-"))
    assert match and 150 < int(match[1]) < 230


def test_a_sound_cut_to_nothing_is_silence(tmp_path: Path) -> None:
    """Alone and beside another sound; ffmpeg once waited for ever here."""
    tone, path = _tone(tmp_path / "tone.wav"), tmp_path / "out.mp4"
    _write(path, [Sound(tone, -3.0)])
    assert np.abs(decode.read_audio(path)).max() < 50
    _write(path, [Sound(tone, -3.0), Sound(tone, 0.5)])
    assert _loudness(decode.read_audio(path), 0.55, 1.4) == pytest.approx(TONE_LEVEL, rel=0.03)


def test_a_sound_that_changes_midway_stays_in_time_with_mouths(tmp_path: Path) -> None:
    """Broadcasts switch from stereo to mono; read_audio says where the beeps are."""
    broadcast = tmp_path / "broadcast.ts"
    with broadcast.open("wb") as file:
        for channels, start_s in (("2", "0"), ("1", "2")):
            part = tmp_path / f"part{channels}.ts"
            ffmpeg(
                *("-f", "lavfi", "-i", "color=s=64x64:r=25:d=2,format=yuv420p"),
                *("-f", "lavfi", "-i", "aevalsrc='if(gte(t,1)*lt(t,1.1),sin(6283*t),0)':d=2"),
                *("-ac", channels, *H264_AAC[:4], "-bf", "0", "-c:a", "mp2"),
                *("-output_ts_offset", start_s, part),
            )
            file.write(part.read_bytes())
    truth = beeps(decode.read_audio(broadcast), rate=SAMPLE_RATE)
    _write(tmp_path / "out.mp4", [Sound(broadcast)], frames=100)
    np.testing.assert_allclose(sound_onsets(tmp_path / "out.mp4"), truth, atol=0.005)


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    """The former file stays until the new one is whole, and nothing is left beside it."""
    path, tone = tmp_path / "out.mp4", _tone(tmp_path / "tone.wav")
    path.write_bytes(b"former")
    with (
        pytest.raises(ZeroDivisionError),
        Mp4Writer(path, size_px=SIZE_PX, frame_rate=25, sounds=[Sound(tone)]) as writer,
    ):
        writer.write(np.zeros((*SIZE_PX[::-1], 3), np.uint8))
        raise ZeroDivisionError
    assert path.read_bytes() == b"former"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.mp4", "tone.wav"]


def test_what_a_killed_run_has_left_goes(tmp_path: Path) -> None:
    """Also the sounds of a run that had more of them."""
    for name in (".out.mp4.partial", ".out.mp4.partial.3.wav", "other.wav"):
        (tmp_path / name).write_bytes(b"left")
    _write(tmp_path / "out.mp4", [], frames=2)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["other.wav", "out.mp4"]


def test_a_sound_that_cannot_be_read_is_an_error_before_anything_is_written(tmp_path: Path) -> None:
    """By its name."""
    (tmp_path / "text.wav").write_text("no sound\n" * 100)
    with pytest.raises(InputError, match=r"text\.wav"):
        _write(tmp_path / "out.mp4", [Sound(tmp_path / "text.wav")])
    assert [file.name for file in tmp_path.iterdir()] == ["text.wav"]


def test_a_sound_that_breaks_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the sounds before it either."""
    tones = [Sound(_tone(tmp_path / f"{hz}.wav", hz=hz)) for hz in (300, 400)]
    read = clock.read_contents

    def breaking(path: Path, *rest: Any, **options: Any) -> Any:
        if path.name == "400.wav":
            raise PipelineError("Reading the sound of 400.wav failed.")
        return read(path, *rest, **options)

    monkeypatch.setattr(clock, "read_contents", breaking)
    with pytest.raises(PipelineError, match=r"400\.wav"):
        _write(tmp_path / "out.mp4", tones)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["300.wav", "400.wav"]


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """One sentence with the file's name."""
    with pytest.raises(PipelineError, match=r"out\.mp4"):
        _write(tmp_path / "absent" / "out.mp4", [], frames=400)
