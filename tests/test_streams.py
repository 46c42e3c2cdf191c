"""Streams as ffmpeg's header describes them, read from its words."""

from pathlib import Path

import pytest

from pipeline.correction import streams
from pipeline.correction.streams import Stream, read_header

HEADER = """\
  Metadata:
    major_brand     : isom
    Title           : My talk
    title-deu       : Mein Vortrag
    com.apple.quicktime.make: Phone
  Duration: 00:00:03.00, start: 0.000000, bitrate: 300 kb/s
  Stream #0:0[0x1](und): Video: h264 (High) (avc1 / 0x31637661), yuv420p, 96x64, 25 fps (default)
    Metadata:
      handler_name    : VideoHandler
    Side data:
      displaymatrix: rotation of -90.00 degrees
  Stream #0:1[0x2](eng): Audio: aac (LC) (mp4a / 0x6134706D), 48000 Hz, stereo, fltp, 128 kb/s
  Stream #0:2[0x3](eng): Data: bin_data (text / 0x74786574)
  Stream #0:3: Video: mjpeg (Baseline), yuvj420p(pc), 64x64, 90k tbr (attached pic)
  Stream #0:4[0x4]: Audio: [0][0][0][0] / 0x0000, 0 Hz, 2 channels
"""


def _audio(text: str) -> Stream:
    return Stream(1, "Audio", "aac", text)


def test_a_header_becomes_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its turn, its tags without languages, its sounds, and what each stream is."""
    monkeypatch.setattr(streams, "describe", lambda path: ("mov", HEADER))
    header = read_header(Path("talk.mp4"))
    assert [(one.index, one.kind, one.codec) for one in header.streams] == [
        (0, "Video", "h264"),
        (1, "Audio", "aac"),
        (2, "Data", "bin_data"),
        (3, "Video", "mjpeg"),
        (4, "Audio", "none"),
    ]
    assert header.turned == "rotation of -90.00 degrees"
    assert header.tags == ("major_brand", "title", "title", "com.apple.quicktime.make")
    assert [one.index for one in header.sounds] == [1, 4]
    assert [one.is_cover for one in header.streams] == [False, False, False, True, False]
    assert [one.is_remade for one in header.streams] == [False, False, True, False, False]
    older = HEADER.replace("displaymatrix", "Display Matrix").replace(
        "  Metadata:\n    m", "  m", 1
    )
    monkeypatch.setattr(streams, "describe", lambda path: ("mov", older))
    assert read_header(Path("talk.mp4")).turned == "rotation of -90.00 degrees"
    upright = HEADER.replace("      displaymatrix: rotation of -90.00 degrees\n", "")
    monkeypatch.setattr(streams, "describe", lambda path: ("mov", upright))
    assert read_header(Path("talk.mp4")).turned is None


def test_only_time_codes_and_titles_of_chapters_are_made_anew() -> None:
    """Other data, and a subtitle of the same name, are copied."""
    for kind, text, remade in (
        ("Data", "none (tmcd / 0x64636D74)", True),
        ("Data", "bin_data (text / 0x74786574), 0 kb/s", True),
        ("Data", "none (gpmd / 0x646D7067)", False),
        ("Subtitle", "mov_text (text / 0x74786574)", False),
    ):
        assert Stream(0, kind, "none", text).is_remade == remade, text


def test_uses_are_ffmpegs_flags() -> None:
    text = "aac, 48000 Hz, mono, fltp (default) (hearing impaired) (clean effects) (unknown)"
    assert _audio(text).dispositions == ("default", "hearing_impaired", "clean_effects")
    assert _audio("aac, 48000 Hz, mono, fltp").dispositions == ()


@pytest.mark.parametrize(
    ("text", "rate", "layout", "sample_format", "kbps"),
    [
        ("aac (LC), 44100 Hz, 5.1(side), fltp, 384 kb/s", 44_100, "5.1(side)", "flt", 384),
        ("pcm_s24le, 48000 Hz, stereo, s32 (24 bit), 2304 kb/s", 48_000, "stereo", "s32", 2304),
        ("pcm_s16le, 8000 Hz, 3 channels, s16, 384 kb/s", 8000, None, "s16", 384),
        ("flac, 96000 Hz, mono, s16p", 96_000, "mono", "s16", None),
        ("pcm_u8, 8000 Hz, mono, u8, 64 kb/s", 8000, "mono", "u8", 64),
        ("pcm_f64le, 8000 Hz, mono, dbl, 0 kb/s", 8000, "mono", "dbl", None),
        ("aac, 0 Hz, mono", None, "mono", "flt", None),
        ("[0][0][0][0]", None, None, "flt", None),
    ],
)
def test_a_sound_is_what_its_description_says(
    text: str, rate: int | None, layout: str | None, sample_format: str, kbps: int | None
) -> None:
    """Rate, layout where its channels have names, how it is stored, and its bit rate."""
    sound = _audio(text)
    assert (sound.sample_rate, sound.layout) == (rate, layout)
    assert (sound.sample_format, sound.bit_rate_kbps) == (sample_format, kbps)
