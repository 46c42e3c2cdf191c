"""Sound and picture stay together: in every container, at every rate, in every output."""

import random
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import PipelineError
from pipeline.media import clock, decode
from pipeline.media.process import encoders, older_than
from tests import clock_kit, output_clock_kit
from tests.clock_kit import AAC, FORMATS, H264, MP2, MPEG2, PCM, RATES, Format
from tests.synthetic import ffmpeg

TOLERANCE_S = 0.001


def _needs(kind: Format) -> None:
    lacking = {kind.video[1], kind.audio[1]} - encoders()
    if lacking:
        pytest.skip(f"this ffmpeg cannot write {', '.join(sorted(lacking))}")


@pytest.mark.parametrize("kind", FORMATS, ids=str)
def test_every_container_keeps_the_clock(kind: Format, tmp_path: Path) -> None:
    """Sound against picture as the file presents them, within a millisecond."""
    _needs(kind)
    clip = clock_kit.make(tmp_path, kind, Fraction(25))
    truth = clock_kit.skew_of_file_s(clip)
    assert clock_kit.skew_of_result_s(clip, tmp_path) == pytest.approx(truth, abs=TOLERANCE_S)
    if kind.suffix in (".mp4", ".mov", ".mkv", ".nut") and kind.audio != AAC:
        assert truth == pytest.approx(0, abs=TOLERANCE_S)


@pytest.mark.parametrize("rate", RATES)
def test_every_rate_keeps_the_clock(rate: str, tmp_path: Path) -> None:
    """Pictures are moved to the 25 fps grid; by how much is known."""
    clip = clock_kit.make(tmp_path, Format(".mkv", H264, ("-c:a", "pcm_s16le")), RATES[rate])
    truth = clock_kit.skew_of_file_s(clip)
    assert truth == pytest.approx(0, abs=TOLERANCE_S)
    assert clock_kit.skew_of_result_s(clip, tmp_path) == pytest.approx(truth, abs=TOLERANCE_S)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_variable_rate_keeps_the_clock(suffix: str, tmp_path: Path) -> None:
    """As phones and screen recorders write it."""
    clip = clock_kit.make(tmp_path, Format(suffix, H264, AAC), Fraction(30), irregular=True)
    intervals_s = np.diff(decode.frame_times_s(clip.path))
    assert intervals_s.max() > 1.9 * intervals_s.min(), "the clip is not irregular"
    truth = clock_kit.skew_of_file_s(clip)
    assert clock_kit.skew_of_result_s(clip, tmp_path) == pytest.approx(truth, abs=TOLERANCE_S)


@pytest.mark.parametrize("kind", clock_kit.MUXED, ids=str)
@pytest.mark.parametrize("muxer", clock_kit.MUXERS)
def test_streams_put_into_a_file_by_another_program_keep_the_clock(
    muxer: str, kind: Format, tmp_path: Path
) -> None:
    """Bare streams of 29.97 pictures a second, muxed by mkvmerge and MP4Box."""
    if shutil.which(muxer) is None:
        pytest.skip(f"{muxer} is not installed")
    clip = clock_kit.make(tmp_path, kind, RATES["29.97"])
    clip = clock_kit.muxed(clip, kind, muxer, tmp_path)
    truth = clock_kit.skew_of_file_s(clip)
    assert clock_kit.skew_of_result_s(clip, tmp_path) == pytest.approx(truth, abs=TOLERANCE_S)
    # Bare streams cannot mark priming samples; PCM has none.
    assert 0 <= truth < 0.025 and (kind.audio != PCM or truth == pytest.approx(0, abs=TOLERANCE_S))


@pytest.mark.parametrize("first", clock_kit.FIELDS)
@pytest.mark.parametrize("rate", ["25", "29.97"])
@pytest.mark.parametrize("kind", clock_kit.INTERLACED, ids=str)
def test_an_interlaced_picture_counts_at_its_first_field(
    kind: Format, rate: str, first: str, tmp_path: Path
) -> None:
    """Both fields stay in their picture, whose time is that of the one shown first."""
    clip = clock_kit.make(tmp_path, kind, RATES[rate], first_field=first)
    truth = clock_kit.skew_of_file_s(clip)
    assert truth == pytest.approx(0, abs=TOLERANCE_S)
    assert clock_kit.skew_of_result_s(clip, tmp_path) == pytest.approx(truth, abs=TOLERANCE_S)


@pytest.mark.parametrize(
    ("suffix", "rate", "irregular"),
    [(".mp4", "29.97", False), (".ts", "50", False), (".mkv", "30", True)],
)
def test_every_file_that_is_written_keeps_the_clock(
    suffix: str, rate: str, irregular: bool, tmp_path: Path
) -> None:
    """video.avi, a crop that starts late, video_out.avi and the dubbed copy, within 1 ms."""
    kind = Format(suffix, H264, PCM if suffix == ".mkv" else AAC)
    clip = clock_kit.make(tmp_path, kind, RATES[rate], irregular=irregular)
    truth = clock_kit.skew_of_file_s(clip)
    skews_s = dict(output_clock_kit.skews_s(clip, tmp_path))
    assert list(skews_s) == ["video.avi", "00000.avi", "video_out.avi", "video_wav2lip.mp4"]
    assert skews_s == pytest.approx(dict.fromkeys(skews_s, truth), abs=TOLERANCE_S)


@pytest.mark.parametrize("late_s", [0.7, -0.7])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_stream_that_starts_late(suffix: str, late_s: float, tmp_path: Path) -> None:
    """Sound 0.7 s after the picture, and the picture 0.7 s after the sound."""
    clip = clock_kit.make(tmp_path, Format(suffix, H264, AAC), Fraction(25))
    late = tmp_path / f"late{suffix}"
    shift = ("-itsoffset", f"{abs(late_s)}", "-i", clip.path, "-i", clip.path)
    maps = ("-map", "1:v", "-map", "0:a") if late_s > 0 else ("-map", "0:v", "-map", "1:a")
    ffmpeg(*shift, *maps, "-c", "copy", late)
    truth = clock_kit.skew_of_file_s(clip, path=late)
    assert truth == pytest.approx(late_s, abs=0.08)
    skew_s = clock_kit.skew_of_result_s(clip, tmp_path, path=late)
    assert skew_s == pytest.approx(truth, abs=TOLERANCE_S)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("video", [H264, MPEG2], ids=["h264", "mpeg2"])
def test_a_capture_that_starts_anywhere(video: tuple[str, ...], seed: int, tmp_path: Path) -> None:
    """A transport stream cut at any byte: where its sound and picture begin differs by chance."""
    if video is H264 and older_than(5, 0):
        pytest.skip("ffmpeg 4 gives wrong times to pictures after ones it cannot decode")
    clip = clock_kit.make(tmp_path, Format(".ts", video, MP2), Fraction(25))
    data = clip.path.read_bytes()
    cut = tmp_path / "cut.ts"
    cut.write_bytes(data[random.Random(seed).randrange(len(data) // 3) :])
    skew_s = clock_kit.skew_of_result_s(clip, tmp_path, path=cut)
    assert skew_s == pytest.approx(clock_kit.skew_of_file_s(clip), abs=TOLERANCE_S)


def test_streams_copied_into_other_containers_say_the_same(tmp_path: Path) -> None:
    """MP2 has no priming, so nothing is to differ: mkv, ts, mov, mpg, nut, m2ts."""
    clip = clock_kit.make(tmp_path, Format(".mkv", MPEG2, MP2), Fraction(25))
    truth = clock_kit.skew_of_file_s(clip)
    # What ffmpeg 4 copies into MPEG programme streams has times that tremble by 10 ms.
    suffixes = (".ts", ".mov", ".nut", ".m2ts") + ((".mpg",) if not older_than(5, 0) else ())
    for suffix in suffixes:
        copy = tmp_path / f"copy{suffix}"
        ffmpeg("-i", clip.path, "-c", "copy", copy)
        skew_s = clock_kit.skew_of_result_s(clip, tmp_path, path=copy)
        assert skew_s == pytest.approx(truth, abs=TOLERANCE_S), suffix


@pytest.mark.parametrize("video", [H264, MPEG2], ids=["h264", "mpeg2"])
def test_joined_captures_and_times_that_wrap_around(video: tuple[str, ...], tmp_path: Path) -> None:
    """Two transport streams end to end, whose times jump back, and one that passes 26.5 hours."""
    clip = clock_kit.make(tmp_path, Format(".ts", video, MP2), Fraction(25))
    truth = clock_kit.skew_of_file_s(clip)
    wrapping, joined = tmp_path / "wraps.ts", tmp_path / "joined.ts"
    ffmpeg("-i", clip.path, "-c", "copy", "-output_ts_offset", "95441.5", wrapping)
    skew_s = clock_kit.skew_of_result_s(clip, tmp_path, path=wrapping)
    assert skew_s == pytest.approx(truth, abs=TOLERANCE_S)
    joined.write_bytes(2 * clip.path.read_bytes())
    decoding = clock_kit.one_pass(joined, tmp_path)
    picture_s = clock_kit.numbers(np.stack([f[..., 1] for f in decoding]) * (219 / 255) + 16) / 25
    samples = decode.read_audio(tmp_path / "video.avi")
    assert len(picture_s) == 200
    for half in (0, 1):
        late_s = np.median((decoding.times_s - picture_s)[100 * half + 5 : 100 * half + 95])
        sound_s = 4 * half + clock_kit.lag_s(samples[64_000 * half : 64_000 * (half + 1)])
        assert sound_s - late_s == pytest.approx(truth, abs=TOLERANCE_S)


def test_lost_sound_is_silence_of_the_right_length(tmp_path: Path) -> None:
    """Packets are missing in the middle: later sound stays in time, a notice names the gap."""
    clip = clock_kit.make(tmp_path, Format(".mkv", H264, MP2), Fraction(25))
    holed = tmp_path / "holed.mkv"
    dropped = "noise=drop='between(pts,800,1400)'"
    try:
        ffmpeg("-i", clip.path, "-c", "copy", "-bsf:a", dropped, holed)
    except AssertionError:
        pytest.skip("this ffmpeg cannot drop packets")
    samples = decode.read_audio(holed)
    first, last = (clock_kit.lag_s(samples, part=part) for part in ((0.05, 0.15), (0.4, 0.9)))
    assert first == pytest.approx(last, abs=TOLERANCE_S)
    decoding = clock_kit.one_pass(holed, tmp_path)
    assert sum(1 for _ in decoding) == 100
    assert decoding.sound is not None
    ((start_s, end_s),) = decoding.sound.missing_s
    assert start_s == pytest.approx(0.8, abs=0.03) and end_s == pytest.approx(1.42, abs=0.03)


def test_a_time_stamp_that_jumps_by_hours_is_refused(tmp_path: Path) -> None:
    """The gap is an error and is not filled with a million pictures."""
    clip = clock_kit.make(tmp_path, Format(".mkv", H264, MP2), Fraction(25))
    jumps = tmp_path / "jumps.mkv"
    late = "setts=ts='if(gte(PTS,2000),TS+36000000,TS)'"
    try:
        ffmpeg("-i", clip.path, "-c", "copy", "-bsf:v", late, jumps)
    except AssertionError:
        pytest.skip("this ffmpeg cannot move time stamps")
    decoding = clock_kit.one_pass(jumps, tmp_path)
    with pytest.raises(PipelineError, match=r"the time of its picture jumps by 360\d\d s at 1\.9"):
        next(iter(decoding))


def test_pieces_of_sound_are_placed_by_their_times() -> None:
    """Rounding makes no gap, a gap stays a gap, and overlapping samples are left out."""
    original = clock.segments
    assert original([(100, 50), (151, 50), (199, 50)], zero=100, tolerance=2) == [(0, 0, 150)]
    assert original([(100, 50), (180, 50)], zero=100, tolerance=2) == [(0, 0, 50), (50, 80, 50)]
    assert original([(70, 50), (120, 50)], zero=100, tolerance=2) == [(30, 0, 70)]
    assert original([(40, 50), (90, 50)], zero=100, tolerance=2) == [(60, 0, 40)]
    assert original([(130, 50)], zero=100, tolerance=2) == [(0, 30, 50)]
    assert original([(100, 50), (120, 50)], zero=100, tolerance=2) == [(0, 0, 50), (80, 50, 20)]


def test_the_picture_at_each_grid_point_is_known() -> None:
    """60 pictures a second on a grid of 25, and one picture that fills three grid points."""
    times_s = np.arange(12) / 60
    presented_s = clock.grid_times_s(times_s, frames=5, frame_rate=25)
    np.testing.assert_allclose(presented_s * 60, [1, 3, 5, 8, 10])
    lengthened_s = clock.grid_times_s(np.array([0, 0.04, 0.16]), frames=5, frame_rate=25)
    np.testing.assert_allclose(lengthened_s, [0, 0.04, 0.04, 0.04, 0.16])


def test_pictures_before_their_place_are_early_and_at_25_a_second_none_is_late(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """60 a second: the five places are filled 10 ms too early in the mean."""
    path = tmp_path / "clip.mkv"
    ffmpeg("-f", "lavfi", "-i", "color=s=32x32:r=60", "-t", "0.2", "-c:v", "ffv1", path)
    info = decode.probe(path)
    monkeypatch.setattr(decode, "frame_times_s", lambda *_, **__: np.arange(12) / 60)
    assert decode.picture_late_s(path, info, frames=5) == pytest.approx(-0.01)
    assert decode.picture_late_s(path, info, frames=0) == 0
    assert decode.picture_late_s(path, replace(info, frame_rate=25.0), frames=5) == 0


def test_frames_have_the_size_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    ffmpeg("-f", "lavfi", "-i", "color=s=32x32:r=25", "-t", "0.2", "-c:v", "ffv1", path)
    sizes = [next(decode.read_frames(path, size_px=size)).shape for size in ((48, 16), None)]
    assert sizes == [(16, 48, 3), (32, 32, 3)]
    assert next(decode.read_planes(path, size_px=(48, 16))).shape == (48 * 16 * 3 // 2,)
