"""Corrected files: sound moved by the sample in every container, everything else as it was."""

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from pipeline.correction import container
from pipeline.correction.container import encoding_of
from pipeline.correction.plan import Move, Plan
from pipeline.correction.sound import Decoded
from pipeline.correction.streams import Stream, read_header
from pipeline.errors import InputError
from pipeline.media import decode
from pipeline.media.probe import probe
from pipeline.media.process import older_than
from tests import clock_kit
from tests.clock_kit import FORMATS
from tests.correct_kit import copied, packets
from tests.synthetic import beeps, ffmpeg, turn

# Each with one of the moves.
CONTAINERS = dict.fromkeys(("mp4 libx264+aac", "mkv libx264+pcm_s16le", "ts mpeg2video+mp2"), True)
CONTAINERS |= dict.fromkeys(("flv libx264+aac", "avi libx264+libmp3lame"), False)
CONTAINERS |= dict.fromkeys(("webm libvpx+libopus", "m2ts libx264+ac3"), False)
PAL = Fraction(25)
LATER = Plan((Move(0.0, 0.2),))
EARLIER = Plan((Move(0.0, -0.137),))
STAYS = Plan((Move(0.0, 0.001),))


@pytest.mark.parametrize(("name", "later"), CONTAINERS.items())
def test_sound_is_moved_by_the_sample(name: str, later: bool, tmp_path: Path) -> None:
    """By the file's own time stamps; the picture's packets and the codecs are the source's."""
    kind = next(kind for kind in FORMATS if str(kind) == name)
    clip = clock_kit.make(tmp_path, kind, PAL)
    out, plan = tmp_path / f"out{kind.suffix}", LATER if later else EARLIER
    assert copied(clip.path, out, plan).notices == []
    was_s, now_s = clock_kit.skew_of_file_s(clip), clock_kit.skew_of_file_s(clip, path=out)
    # Up to 5.1 ffmpeg writes Opus 7 ms early into Matroska.
    tolerance_s = 0.008 if "libopus" in kind.audio and older_than(6, 0) else 0.001
    assert now_s - was_s == pytest.approx(plan.moves[0].delay_s, abs=tolerance_s)
    assert packets(out, "v") == packets(clip.path, "v")
    codecs = [stream.codec for stream in read_header(out).streams]
    assert codecs == [stream.codec for stream in read_header(clip.path).streams]


@pytest.mark.parametrize(("suffix", "other"), [(".ts", ".mp4"), (".mp4", ".mkv")])
def test_from_one_container_to_another(suffix: str, other: str, tmp_path: Path) -> None:
    kind = next(kind for kind in FORMATS if kind.suffix == suffix and "aac" in kind.audio)
    clip = clock_kit.make(tmp_path, kind, PAL)
    copied(clip.path, tmp_path / f"out{other}", LATER)
    moved_s = clock_kit.skew_of_file_s(clip, path=tmp_path / f"out{other}")
    assert moved_s == pytest.approx(0.2, abs=0.001)


def _tones(path: Path, *, codec: str, sound: str = "sin(2*PI*440*t)", late_s: str = "0") -> Path:
    """A clip of 3 s with one sound."""
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=s=64x64:r=25:d=3", "-itsoffset", late_s),
        *("-f", "lavfi", "-i", f"aevalsrc='{sound}':s=48000:d=3"),
        *("-pix_fmt", "yuv420p", "-c:v", "mpeg4", "-c:a", codec, path),
    )
    return path


def _samples(path: Path, codec: str = "pcm_s32le") -> np.ndarray:
    """(n, channels) of a file's sound as ffmpeg decodes it."""
    wav = path.with_name(f"{path.name}.wav")
    ffmpeg("-i", path, "-map", "0:a:0", "-c:a", codec, wav)
    samples = np.asarray(wavfile.read(wav)[1])
    return samples.reshape(len(samples), -1)


@pytest.mark.parametrize("codec", ["pcm_s24le", "flac"])
def test_what_was_without_loss_stays_so(codec: str, tmp_path: Path) -> None:
    """Every sample is there, so many places further on, and the sound is as long as it was."""
    source = _tones(tmp_path / "in.mkv", codec=codec, sound="0.3*sin(900*t*t)|0.2*cos(700*t)")
    before = _samples(source)
    for plan, places in ((LATER, 9600), (EARLIER, -6576)):
        copied(source, tmp_path / "out.mkv", plan)
        after = _samples(tmp_path / "out.mkv")
        assert after.shape == before.shape and read_header(source).sounds[0].codec == codec
        if places > 0:
            np.testing.assert_array_equal(after[places:], before[:-places])
            assert not after[:places].any()
        else:
            np.testing.assert_array_equal(after[:places], before[-places:])
            assert not after[places:].any()


def test_steps_are_corrected_where_they_are(tmp_path: Path) -> None:
    """In sync, then 200 ms late from second 1.5 on: beeps are heard at every half second again."""
    beep = "0.5*sin(2*PI*1000*t)*lt(mod(t{},0.5),0.1)"
    sound = f"if(lt(t,1.5),{beep.format('')},{beep.format('-0.2')}*gte(t,1.7))"
    source = _tones(tmp_path / "in.mkv", codec="pcm_s16le", sound=sound)
    assert beeps(decode.read_audio(source), rate=16000)[3:] == pytest.approx(
        [1.7, 2.2, 2.7], abs=0.002
    )
    copied(source, tmp_path / "out.mkv", Plan((Move(0, 0.0), Move(1.5, -0.2))))
    onsets_s = beeps(decode.read_audio(tmp_path / "out.mkv"), rate=16000)
    assert onsets_s == pytest.approx([0, 0.5, 1, 1.5, 2, 2.5], abs=0.006)  # half the fade is 5 ms
    # Before and after the fade it is the very sound.
    before, after = _samples(source)[:, 0], _samples(tmp_path / "out.mkv")[:, 0]
    np.testing.assert_array_equal(after[: 72000 - 240], before[: 72000 - 240])
    np.testing.assert_array_equal(after[72240:-9600], before[72240 + 9600 :])


@pytest.mark.parametrize("speed", [0.9995, 1.0000123])
def test_drift_is_resampled_exactly(speed: float, tmp_path: Path) -> None:
    """The sound that a sine of another pitch is, to 14 bits, at the end as at the start."""
    sound = "0.3*sin(2*PI*440*t)+0.2*sin(2*PI*5000*t)"
    source = _tones(tmp_path / "in.mkv", codec="pcm_s16le", sound=sound)
    copied(source, tmp_path / "out.mkv", Plan((Move(0, 0.1),), speed=speed))
    samples = _samples(tmp_path / "out.mkv", "pcm_f32le")[:, 0]
    assert len(samples) == 3 * 48000
    at_s = np.arange(len(samples)) / 48000 * speed - 0.1
    expected = 0.3 * np.sin(2 * np.pi * 440 * at_s) + 0.2 * np.sin(2 * np.pi * 5000 * at_s)
    inside = (at_s > 0.01) & (at_s < 2.98)
    assert np.abs(samples - expected)[inside].max() < 2**-13


def test_late_sound_starts_with_the_picture_and_is_moved(tmp_path: Path) -> None:
    """A file whose sound starts at 0.4 s: what was a late start is silence, for every player."""
    source = _tones(tmp_path / "in.mp4", codec="aac", late_s="0.4", sound="0.5*sin(6283*t)")
    copied(source, tmp_path / "out.mp4", LATER)
    samples = decode.read_audio(tmp_path / "out.mp4")
    assert beeps(samples, rate=16000)[0] == pytest.approx(0.6, abs=0.002)
    log = ffmpeg("-i", tmp_path / "out.mp4", "-map", "0:a", "-af", "ashowinfo", "-f", "null", "-")
    first = re.search(r"pts_time:(\S+)", log)
    assert first and float(first[1]) == 0


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A turned video with two sounds, a subtitle, chapters, a cover and metadata."""
    folder = tmp_path_factory.mktemp("rich")
    (folder / "s.srt").write_text("1\n00:00:00,500 --> 00:00:02,000\nHello\n")
    (folder / "m.txt").write_text(
        ";FFMETADATA1\ntitle=My talk\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1500\ntitle=One\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=1500\nEND=3000\ntitle=Two\n"
    )
    surround = "|".join(f"0.{n}*sin({n}00*t)" for n in range(1, 7))
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=s=96x64:r=25:d=3"),
        *("-f", "lavfi", "-i", f"{_beeping()}:s=48000:d=3"),
        *("-f", "lavfi", "-i", f"aevalsrc='{surround}':c=5.1:s=44100:d=3"),
        *("-i", folder / "s.srt", "-i", folder / "m.txt"),
        *("-f", "lavfi", "-i", "color=red:s=64x64:d=0.04", "-map_metadata", "4"),
        *(word for number in (0, 1, 2, 3, 5) for word in ("-map", str(number))),
        *("-c:v:0", "libx264", "-pix_fmt:v:0", "yuv420p", "-c:a", "aac", "-c:s", "mov_text"),
        *("-c:v:1", "mjpeg", "-pix_fmt:v:1", "yuvj420p", "-disposition:v:1", "attached_pic"),
        *("-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu"),
        *("-disposition:a:0", "default", "-disposition:a:1", "comment"),
        folder / "upright.mp4",
    )
    turn_all(folder / "upright.mp4", folder / "rich.mp4")
    return folder / "rich.mp4"


def turn_all(stored: Path, turned: Path) -> None:
    """`turn` with all streams."""
    whole = stored.with_name("turned_alone.mp4")
    turn(stored, whole)
    maps = ("-map", "1:v:0", "-map", "0:a", "-map", "0:s", "-map", "0:v:1")
    ffmpeg("-i", stored, "-i", whole, *maps, "-map_metadata", "0", "-c", "copy", turned)


def _beeping() -> str:
    return "aevalsrc='0.5*sin(6283*t)*lt(mod(t,1),0.1)'"


def test_everything_else_is_kept(rich: Path, tmp_path: Path) -> None:
    """Streams in their order with languages and uses, chapters, title, turn, subtitle, cover."""
    copied(rich, tmp_path / "out.mp4", LATER)
    before, after = read_header(rich), read_header(tmp_path / "out.mp4")
    streams, copies = (
        [(s.kind, s.codec, s.dispositions, s.is_cover) for s in header.streams if not s.is_remade]
        for header in (before, after)
    )
    assert copies == streams and len(streams) == 5
    assert [is_cover for *_, is_cover in streams].count(True) == 1
    assert after.turned == before.turned and after.turned is not None
    described = ffmpeg("-i", tmp_path / "out.mp4", "-f", "ffmetadata", tmp_path / "m.txt")
    for words in ("(eng): Audio", "(deu): Audio", "title           : My talk", ", 5.1, "):
        assert words in described, words
    assert re.findall(r"Chapter #0:\d+: start (\S+), end (\S+)", described)[:2] == [
        ("0.000000", "1.500000"),
        ("1.500000", "3.000000"),
    ]
    assert packets(tmp_path / "out.mp4", "v:0") == packets(rich, "v:0")
    assert packets(tmp_path / "out.mp4", "s:0") == packets(rich, "s:0")


def test_every_sound_is_moved_and_as_loud_as_before(rich: Path, tmp_path: Path) -> None:
    copied(rich, tmp_path / "out.mp4", LATER)
    for number, rate in ((0, 48000), (1, 44100)):
        levels = []
        for file in (rich, tmp_path / "out.mp4"):
            wav = tmp_path / "one.wav"
            ffmpeg("-i", file, "-map", f"0:a:{number}", "-c:a", "pcm_f32le", wav)
            levels.append(wavfile.read(wav)[1].astype(float).reshape(-1, (1, 6)[number]))
        before, after = levels
        places, part = round(0.2 * rate), slice(rate // 2, 2 * rate)
        moved = after[places:][part]
        assert abs(20 * np.log10(np.sqrt((moved**2).mean() / (before[part] ** 2).mean()))) < 0.5
        for channel in range(before.shape[1]):
            if before[part, channel].std() > 0.01:
                likeness = np.corrcoef(moved[:, channel], before[part, channel])[0, 1]
                assert likeness > 0.98, (number, channel, likeness)


def test_what_a_container_cannot_hold_is_said(rich: Path, tmp_path: Path) -> None:
    """A cover in mov is left out; a picture, or its turn, that cannot be kept is refused."""
    (notice,) = copied(rich, tmp_path / "out.mov", LATER).notices
    assert notice.startswith(".mov cannot hold stream") and notice.endswith("it is left out.")
    with pytest.raises(InputError, match=r"cannot say that the picture of .* is turned"):
        copied(rich, tmp_path / "out.ts", LATER)
    with pytest.raises(InputError, match=r"out\.webm cannot hold the picture of .* \(h264\)"):
        copied(rich, tmp_path / "out.webm", LATER)
    with pytest.raises(InputError, match=r"as AVI stores no times; give .* \.mp4"):
        copied(rich, tmp_path / "out.avi", LATER)
    with pytest.raises(InputError, match=r"must end in one of \.mp4, .*; give such a name"):
        copied(rich, tmp_path / "out.gif", LATER)


def test_attached_files_stay_in_matroska(tmp_path: Path) -> None:
    """As the fonts of subtitles are."""
    source, font = tmp_path / "in.mkv", tmp_path / "font.ttf"
    font.write_bytes(bytes(400))
    attached = ("-attach", font, "-metadata:s:t", "mimetype=application/x-truetype-font")
    plain = _tones(tmp_path / "plain.mkv", codec="aac")
    ffmpeg("-i", plain, *attached, "-c", "copy", source)
    assert copied(source, tmp_path / "out.mkv", LATER).notices == []
    kinds = [stream.kind for stream in read_header(tmp_path / "out.mkv").streams]
    assert kinds == ["Video", "Audio", "Attachment"]


def test_a_codec_that_does_not_fit_becomes_another(tmp_path: Path) -> None:
    source = _tones(tmp_path / "in.mkv", codec="flac", sound="0.5*sin(6283*t)*lt(mod(t,1),0.1)")
    (notice,) = copied(source, tmp_path / "out.mov", LATER).notices
    assert "(flac) becomes aac" in notice
    onsets_s = beeps(decode.read_audio(tmp_path / "out.mov"), rate=16000)
    assert onsets_s == pytest.approx([0.2, 1.2, 2.2], abs=0.002)


@pytest.mark.parametrize(
    ("channels", "own_kbps", "kbps"),
    [(1, 48, 96), (2, 64, 192), (2, 256, 256), (6, 384, 576), (2, None, 192)],
)
def test_sound_is_encoded_well_enough_to_be_encoded_twice(
    channels: int, own_kbps: int | None, kbps: int, tmp_path: Path
) -> None:
    """By the channel, and never worse than the source; what loses nothing has no rate."""
    wav = tmp_path / "a.wav"
    wavfile.write(wav, 48_000, np.zeros((480, channels), np.int16))
    sound = Decoded(wav, b"", np.dtype(np.int16), channels, 48_000, ())
    text = f"aac, 48000 Hz, fltp{'' if own_kbps is None else f', {own_kbps} kb/s'}"
    encoding = encoding_of(
        container.CONTAINERS[".mp4"], Stream(1, "Audio", "aac", text), sound, tmp_path
    )
    assert encoding is not None and (encoding.codec, encoding.kbps) == ("aac", kbps)
    flac = Stream(1, "Audio", "flac", "flac, 48000 Hz, s16, 700 kb/s")
    lossless = encoding_of(container.CONTAINERS[".mkv"], flac, sound, tmp_path)
    assert lossless is not None and (lossless.codec, lossless.kbps) == ("flac", None)


def test_sound_in_sync_is_copied(rich: Path, tmp_path: Path) -> None:
    """Not one packet is encoded again."""
    result = copied(rich, tmp_path / "out.mp4", STAYS)
    assert result.extents_s == {} and result.sounds == {0: 0, 1: 1}
    for stream in ("a:0", "a:1", "v:0"):
        assert packets(tmp_path / "out.mp4", stream) == packets(rich, stream)


def test_a_time_code_is_no_obstacle(rich: Path, tmp_path: Path) -> None:
    """Newer ffmpegs describe a picture with a time code as a group of streams."""
    coded = tmp_path / "coded.mov"
    maps = ("-map", "0:v:0", "-map", "0:a")
    ffmpeg(
        "-i", rich, *maps, "-c", "copy", "-map_chapters", "-1", "-timecode", "01:00:00:00", coded
    )
    info = probe(coded)
    assert (info.width_px, info.height_px, info.frame_rate) == (64, 96, 25)
    copied(coded, tmp_path / "out.mov", LATER)
    kinds = [stream.kind for stream in read_header(tmp_path / "out.mov").streams]
    assert kinds == ["Video", "Audio", "Audio", "Data"]
    log = ffmpeg("-i", tmp_path / "out.mov", "-f", "ffmetadata", tmp_path / "m.txt")
    assert "timecode        : 01:00:00:00" in log
