"""Decoded sound moved to its time: hand-made samples, known places."""

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.correction import mux
from pipeline.correction.container import CONTAINERS, Encoder, Encoding
from pipeline.correction.plan import Move, Plan
from pipeline.correction.sound import Decoded
from pipeline.correction.streams import Stream
from pipeline.errors import PipelineError
from pipeline.media import clock, probe
from pipeline.media.yuv import Colour

RATE = 1000


def _placed(folder: Path, samples: np.ndarray, rows: list[tuple[int, int]]) -> clock.Sound:
    raw = folder / "raw.s16"
    samples.astype("<i2").tofile(raw)
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    return clock._placed(raw, rows, zero_s=0.1, sample_rate=RATE, channels=channels)


def test_a_gap_is_silence_and_is_told_from_its_start_to_its_end(tmp_path: Path) -> None:
    """Silence at the beginning, too; a fifth of a second is the shortest that is told."""
    ones = np.ones(400)
    sound = _placed(tmp_path, ones, [(350, 200), (750, 100), (1049, 100)])
    assert sound.missing_s == ((0.0, 0.25), (0.45, 0.65))
    expected = np.zeros(1049)
    for start, length in ((250, 200), (650, 100), (949, 100)):
        expected[start : start + length] = 1
    np.testing.assert_array_equal(sound.mono(), expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sound.s16"]


def test_long_pieces_are_moved_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Block by block, however many channels there are."""
    monkeypatch.setattr(clock, "BLOCK_SAMPLES", 7)
    samples = np.random.default_rng(0).integers(1, 30_000, (50, 2))
    sound = _placed(tmp_path, samples, [(105, 30), (200, 20)])
    assert sound.samples == 120
    written = np.concatenate(list(sound.blocks()))
    np.testing.assert_array_equal(written[5:35], samples[:30])
    np.testing.assert_array_equal(written[100:], samples[30:])
    assert not written[:5].any() and not written[35:100].any()


def test_two_milliseconds_are_rounding_and_more_is_a_gap(tmp_path: Path) -> None:
    near = _placed(tmp_path, np.ones(100), [(100, 50), (152, 50)])
    far = _placed(tmp_path, np.ones(100), [(100, 50), (153, 50)])
    assert (near.samples, far.samples) == (100, 103)


def test_a_stretched_sound_is_as_long_as_what_is_left_of_it(tmp_path: Path) -> None:
    """Without what an encoder adds before it, where the file cannot mark that."""
    wav = tmp_path / "sound.wav"
    np.arange(1000, dtype="<i2").tofile(wav)
    sound = Decoded(wav, b"", np.dtype("<i2"), 1, RATE, ((0, 0, 1000),))
    encoding = Encoding("mp2", Encoder("mp2", 128, 481), 128)
    stream = Stream(1, "Audio", "mp2", "mp2, 1000 Hz, s16")
    for suffix, samples in ((".avi", 519), (".ts", 1000)):
        job: Any = SimpleNamespace(container=CONTAINERS[suffix], folder=tmp_path)
        plan = Plan((Move(0.0, 0.0),), speed=1.01)
        moved = mux._moved(job, plan, stream, sound, encoding, zero_s=0.0)
        assert moved.filters.endswith(f"apad=whole_len={samples},atrim=end_sample={samples}")


@pytest.mark.parametrize(
    ("sides", "heard"),
    [((1.0, -1.0), 0), ((0.95, -1.0), 1), ((0.85, -1.0), None), ((1.0, -0.5), None)],
)
def test_the_louder_side_is_heard_only_where_both_cancel(
    sides: tuple[float, float], heard: int | None, tmp_path: Path
) -> None:
    """A mix a tenth as loud as it would be without its other side is none."""
    wave = 10_000 * np.sin(np.arange(600))
    sound = _placed(tmp_path, np.stack([side * wave for side in sides], axis=1), [(100, 600)])
    assert sound.channel == heard
    expected = wave * (sum(sides) / 2 if heard is None else sides[heard])
    np.testing.assert_allclose(sound.mono(), expected, atol=2)


def test_stereo_keeps_two_sides_and_mixes_more(tmp_path: Path) -> None:
    samples = np.arange(60).reshape(20, 3) * 100
    for channels, expected in (
        (1, samples[5:9, [0, 0]]),
        (2, samples[5:9, :2]),
        (3, samples[5:9].mean(axis=1, keepdims=True).repeat(2, axis=1)),
    ):
        file = tmp_path / f"{channels}.s16"
        samples[:, :channels].astype("<i2").tofile(file)
        sound = clock.Sound(file, RATE, channels, 20, (), None)
        np.testing.assert_array_equal(sound.stereo(5, 9), expected)


@pytest.mark.parametrize("what", ["picture", "sound"])
def test_a_jump_of_more_than_ten_minutes_is_refused(what: str) -> None:
    """A pause of ten is long but may be; the sentence says where it begins."""
    clock._check_gaps(Path("a.mkv"), what, np.array([0.0, 1.0, 601.0]))
    with pytest.raises(PipelineError, match=rf"time of its {what} jumps by 601 s at 1\.00 s"):
        clock._check_gaps(Path("a.mkv"), what, np.array([0.0, 1.0, 602.0]))


def _times(folder: Path, *rows: str) -> tuple[list[float], list[float]]:
    path = folder / "packets.txt"
    path.write_text("\n".join(["#tb 0: 1/50", *rows, ""]), encoding="ascii")
    info = probe.MediaInfo(
        *("mov", None, 25.0, 64, 48, Fraction(1), Colour()),
        first_picture_us=100_000,
        zero_us=100_000,
        audio_streams=(),
        audio_stream=None,
    )
    starts_s, ends_s = clock._packet_times_s(path, info)
    return np.round(starts_s, 6).tolist(), np.round(ends_s, 6).tolist()


def test_pictures_are_shown_when_their_packets_say(tmp_path: Path) -> None:
    """Not when they are decoded, except where nothing says more; each ends after its time."""
    packets = ("0, 1, 5, 2, 900, 0x1", "0, 3, 9, 2, 90, 0x2", "0, 5, 7, 3, 90, 0x3")
    assert _times(tmp_path, *packets) == ([0.0, 0.08, 0.04], [0.04, 0.12, 0.1])
    unknown = "0, 7, -9223372036854775808, 2, 90, 0x4"
    assert _times(tmp_path, *packets, unknown)[0] == [-0.08, -0.04, 0.0, 0.04]
