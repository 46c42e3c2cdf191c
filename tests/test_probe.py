"""What ffmpeg says of a file, read off its words: times, rates, channels, programmes."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.media import probe

PICTURE = "Video: h264 (High), yuv420p(progressive), 640x360 [SAR 1:1 DAR 16:9], 25 fps, 25 tbr"
SPEECH = "Audio: pcm_s16le, 48000 Hz, stereo, s16, 1536 kb/s"
FILE = Path("talk.mkv")


def _told(*streams: str, duration: str = "00:00:02.00") -> str:
    """ffmpeg's description of a file with these streams."""
    lines = [f"  Duration: {duration}, start: 0.000000, bitrate: 100 kb/s"]
    lines += [f"  Stream #0:{number}: {stream}" for number, stream in enumerate(streams)]
    return "\n".join(["", *lines, ""])


def _sounds(*streams: str) -> tuple[probe.AudioStream, ...]:
    return probe._parsed(FILE, "matroska,webm", _told(*streams)).sounds


def test_a_duration_is_hours_minutes_and_seconds() -> None:
    header = probe._parsed(FILE, "matroska,webm", _told(PICTURE, duration="01:02:03.50"))
    assert header.duration_s == 3723.5
    unknown = probe._parsed(FILE, "matroska,webm", _told(PICTURE, duration="N/A"))
    assert unknown.duration_s is None


@pytest.mark.parametrize(
    ("words", "expected"), [("25 fps", 25.0), ("29.97 fps", 29.97), ("1k fps", 1000.0), ("", None)]
)
def test_a_rate_may_be_told_in_thousands(words: str, expected: float | None) -> None:
    header = probe._parsed(FILE, "matroska,webm", _told(PICTURE.replace("25 fps", words)))
    assert header.frame_rate == expected


@pytest.mark.parametrize(
    ("layout", "channels"), [("mono", 1), ("stereo", 2), ("5.1(side)", 2), ("3 channels", 3)]
)
def test_channels_without_a_layout_stay_as_many(layout: str, channels: int) -> None:
    """What has a layout is mixed to two; of what has none nobody knows how."""
    (sound,) = _sounds(SPEECH.replace("stereo", layout))
    assert (sound.channels, sound.sample_rate, sound.codec) == (channels, 48_000, "pcm_s16le")


def test_a_cover_is_no_video() -> None:
    """The picture that a sound file carries is not what is looked at."""
    cover = "Video: mjpeg (Baseline), yuvj420p(pc), 500x400, 90k tbr (attached pic)"
    assert not probe._parsed(FILE, "mp3", _told(SPEECH, cover)).has_video
    both = probe._parsed(FILE, "matroska,webm", _told(cover, PICTURE, SPEECH))
    assert both.size_px == (640, 360) and both.frame_rate == 25


def test_streams_of_a_broadcast_belong_to_their_programme() -> None:
    """The sound of the picture's programme is taken, although another comes first."""
    told = "\n".join(
        [
            "",
            "  Duration: 00:00:02.00, start: 1.400000, bitrate: 100 kb/s",
            "  Program 1 ",
            f"  Stream #0:0[0x100]: {SPEECH}",
            "  Program 2 ",
            f"  Stream #0:1[0x101]: {PICTURE}",
            f"  Stream #0:2[0x102](eng): {SPEECH}",
            "",
        ]
    )
    header = probe._parsed(FILE, "mpegts", told)
    assert [sound.program for sound in header.sounds] == [1, 2]
    assert header.program == 2
    assert probe._chosen(FILE, header.sounds, header.program, index=None) == 1


def test_the_pictures_of_a_group_are_streams() -> None:
    """ffmpeg lists a picture and its time code together, two blanks further in."""
    told = "\n".join(
        [
            "",
            "  Duration: 00:00:02.00, start: 0.000000, bitrate: 100 kb/s",
            "  Stream group #0:0[0x1]: Tile Grid: hevc, 640x360",
            f"    Stream #0:0[0x1]: {PICTURE}",
            f"  Stream #0:1[0x2]: {SPEECH}",
            "",
        ]
    )
    assert [kind for _, kind, _, _ in probe.described_streams(told)] == ["Video", "Audio"]


@pytest.mark.parametrize("size", ["8193x100", "100x8193"])
def test_either_side_may_be_too_long(size: str) -> None:
    with pytest.raises(InputError, match=f"pictures of {size} pixels"):
        probe._parsed(FILE, "matroska,webm", _told(PICTURE.replace("640x360", size)))


def test_a_name_that_stands_for_many_pictures_is_refused(tmp_path: Path) -> None:
    """ffmpeg would read picture0.jpg and picture1.jpg as one video."""
    path = tmp_path / "picture%d.jpg"
    for file in (path, tmp_path / "picture0.jpg"):
        file.write_bytes(cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    with pytest.raises(InputError, match="named like a series of pictures"):
        probe.probe(path)
