"""What a media file is: its streams, its first picture, and the time at which that is shown."""

import functools
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg

from models.features import SAMPLE_RATE
from pipeline.errors import InputError
from pipeline.media.process import (
    Process,
    arguments,
    decodable_codecs,
    demuxers,
    every_frame,
    last_line,
    open_input,
)
from pipeline.media.yuv import Colour, colour_of_log

# Formats that name other files, or turn any text into a picture.
REFUSED_FORMATS = {
    *("hls", "concat", "concatf", "dash", "webm_dash_manifest", "imf", "sdp", "rtsp"),
    *("svg_pipe", "tty", "lavfi"),
}
# Of files that are taken for videos where a folder is given.
VIDEO_SUFFIXES = (
    *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov"),
    *(".mp4", ".mpeg", ".mpg", ".mts", ".ts", ".webm", ".wmv"),
)
LARGEST_SIDE_PX = 8192
STEREO = 2  # more channels than two are mixed to two
CLOCK_TICKS_PER_S = 1_000_000  # times of pictures are read in microseconds


@dataclass(frozen=True)
class AudioStream:
    """One sound stream as the header describes it.

    Attributes:
        codec: ffmpeg's name of it; "none" where it knows none.
        sample_rate: samples per second, as it starts.
        channels: as they are read: 1, 2, or more where no layout says what they are.
        default: the file marks it as the one to play.
        program: number of the broadcast programme it belongs to, None outside of broadcasts.
    """

    codec: str
    sample_rate: int
    channels: int
    default: bool
    program: int | None

    @property
    def decodable(self) -> bool:
        """ffmpeg has a decoder for it."""
        return self.codec in decodable_codecs()


@dataclass(frozen=True)
class MediaInfo:
    """What a file says about itself, and what its first picture really decodes to.

    Attributes:
        format_name: ffmpeg's demuxer, e.g. "mov,mp4,m4a,3gp,3g2,mj2".
        duration_s: the header's claim, None where there is none; good for progress bars only.
        frame_rate: the header's claim, None where there is none.
        width_px, height_px: of the upright first picture; 0 without a video stream.
        sar: width to height of one pixel.
        colour: how pixels stand for colours.
        first_picture_us: when the first decoded picture is shown, on the clock that ffmpeg gives
            this file while the picture and the chosen sound are both read (see clock.py).
        zero_us: the instant on that clock at which sample 0 is heard: the same, except in AVI.
            It stores no presentation times, and ffmpeg makes pictures late by as many frames as
            they are reordered, where players start both streams together.
        audio_streams: all of them.
        audio_stream: index of the chosen one among them; None where none can be decoded.
    """

    format_name: str
    duration_s: float | None
    frame_rate: float | None
    width_px: int
    height_px: int
    sar: Fraction
    colour: Colour
    first_picture_us: int
    zero_us: int
    audio_streams: tuple[AudioStream, ...]
    audio_stream: int | None

    @property
    def has_audio(self) -> bool:
        """There is a sound stream to read."""
        return self.audio_stream is not None

    @property
    def sound(self) -> AudioStream:
        """The chosen sound stream."""
        assert self.audio_stream is not None, "the file has no sound"
        return self.audio_streams[self.audio_stream]


@dataclass(frozen=True)
class _Header:
    """What ffmpeg prints of a file before it decodes anything."""

    format_name: str
    duration_s: float | None
    frame_rate: float | None
    size_px: tuple[int, int] | None
    program: int | None
    sounds: tuple[AudioStream, ...]

    @property
    def has_video(self) -> bool:
        return self.size_px is not None


def probe(path: Path, *, audio_stream: int | None = None) -> MediaInfo:
    """Reads a file's header and decodes its first picture; works without ffprobe.

    Args:
        path: a media file.
        audio_stream: index among its sound streams; None for the one marked default, else the
            first, of the picture's programme in broadcasts, that ffmpeg can decode.

    Raises:
        InputError: the file is absent, empty, no media, a playlist, has no such sound stream, or
            nothing in it decodes.
    """
    header = _header(path)
    stream = _chosen(path, header.sounds, header.program, index=audio_stream)
    if not header.has_video:
        return _media_info(header, stream, (0, 0), Fraction(1), Colour(), times_us=(0, 0))
    first = _first_picture(path, stream)
    described = re.search(
        rb"^(?:[^\n]*\r)?(?:frame=[^\n\[]*)?\[Parsed_showinfo_1 @ [^\]]*\] n: *0 pts: *(-?\d+) "
        rb".*? fmt:(\S+) .*?sar:(\d+)/(\d+) ",
        first.stderr,
        re.MULTILINE,
    )
    # PPM says its own size, after rotation, which no header says reliably.
    size = re.match(rb"P6\s+(\d+)\s+(\d+)\s+255\s", first.stdout)
    if not described or not size:
        raise InputError(
            f"{path} has a video stream, but no frame of it can be decoded "
            f"({last_line(first.stderr.decode(errors='replace'))})."
        )
    width_px, height_px = int(size[1]), int(size[2])
    sar = Fraction(1)
    if int(described[3]) and int(described[4]):
        sar = Fraction(int(described[3]), int(described[4]))
    first_us = zero_us = int(described[1])
    if first_us and header.format_name == "avi":
        zero_us = _first_packet_us(path)
    return _media_info(
        header,
        stream,
        (width_px, height_px),
        sar,
        colour_of_log(first.stderr, height_px=height_px),
        times_us=(first_us, zero_us),
    )


def _media_info(
    header: _Header,
    stream: int | None,
    size_px: tuple[int, int],
    sar: Fraction,
    colour: Colour,
    *,
    times_us: tuple[int, int],
) -> MediaInfo:
    return MediaInfo(
        format_name=header.format_name,
        duration_s=header.duration_s,
        frame_rate=header.frame_rate,
        width_px=size_px[0],
        height_px=size_px[1],
        sar=sar,
        colour=colour,
        first_picture_us=times_us[0],
        zero_us=times_us[1],
        audio_streams=header.sounds,
        audio_stream=stream,
    )


def _header(path: Path) -> _Header:
    return _parsed(path, *describe(path))


def describe(path: Path) -> tuple[str, str]:
    """ffmpeg's name of a file's format, and what it says of the file after that.

    Raises:
        InputError: the file is absent, empty, no media or a playlist.
    """
    if not path.is_file():
        raise InputError(f"{path} is not a file; give the path of a video.")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty; give a video that was written completely.")
    # Without an output ffmpeg describes its input and stops.
    # Nothing of a refused format is read: some ffmpegs would follow a manifest to other machines.
    source = open_input(path, format_whitelist=_formats())
    command = arguments(ffmpeg.output(source, "-"), log_level="info")
    opened = command[: command.index("-i") + 2]
    log = _run(path, [*opened, "-hide_banner", "-nostdin", "-loglevel", "info"])
    text = log.stderr.decode(errors="replace")
    if "Format not on whitelist" in text:
        raise InputError(f"{path} is a playlist or drawing, not a video; give a video file.")
    named = re.search(r"^Input #0, (.+?), from ", text, re.MULTILINE)
    if not named:
        raise InputError(
            f"{path} is not a video ffmpeg can read ({last_line(text)}); "
            "it may be truncated or of another type."
        )
    if named[1] == "image2" and "%" in path.name:  # stands for all files of such names
        raise InputError(f"{path} is named like a series of pictures; give it a name without %.")
    return named[1], text[named.end() :]


@functools.lru_cache(maxsize=1)
def _formats() -> str:
    """What may be opened, as ffmpeg's option wants it."""
    names = (names for names in demuxers() if not REFUSED_FORMATS & set(names.split(",")))
    return ",".join(sorted(names))


def _run(path: Path, command: list[str]) -> "subprocess.CompletedProcess[bytes]":
    with Process(command) as process:
        printed = process.read()
        code = process.wait()
        if process.stopped:
            raise InputError(f"{path} may be damaged: {process.reason()} before the first frame.")
        log = process.messages().encode()
    return subprocess.CompletedProcess(command, code, printed, log)


def _parsed(path: Path, format_name: str, described: str) -> _Header:
    """Reads the streams off ffmpeg's description; metadata is indented and cannot look like it."""
    videos: list[tuple[str, int | None]] = []
    sounds = []
    for _, kind, text, program in described_streams(described):
        if kind == "Audio":
            sounds.append(_audio_stream(text, program))
        elif kind == "Video" and "(attached pic)" not in text:
            videos.append((text, program))
    size_px = frame_rate = None
    if videos and videos[0][0].startswith("svg"):
        raise InputError(f"{path} is a playlist or drawing, not a video; give a video file.")
    if videos:
        size = re.search(r", (\d+)x(\d+)[, ]", videos[0][0] + ",")
        size_px = (int(size[1]), int(size[2])) if size else (0, 0)
        if max(size_px) > LARGEST_SIDE_PX:
            raise InputError(
                f"{path} has pictures of {size_px[0]}x{size_px[1]} pixels; "
                f"give a video of at most {LARGEST_SIDE_PX}x{LARGEST_SIDE_PX}."
            )
        rate = re.search(r", ([\d.]+)(k?) fps", videos[0][0])
        frame_rate = float(rate[1]) * (1000 if rate[2] else 1) if rate else None
    duration = re.search(r"^  Duration: (\d+):(\d+):(\d+\.\d+)", described, re.MULTILINE)
    return _Header(
        format_name=format_name,
        duration_s=_clock_s(*duration.groups()) if duration else None,
        frame_rate=frame_rate or None,
        size_px=size_px,
        program=videos[0][1] if videos else None,
        sounds=tuple(sounds),
    )


def described_streams(described: str) -> Iterator[tuple[int, str, str, int | None]]:
    """Index, kind, description and programme of each stream, in the file's order.

    Older ffmpegs indent streams by four blanks, as they do metadata, whose names they pad; newer
    ones those of a group, like a picture and its time code.
    """
    group = re.compile(r"^  Stream group #.*\n((?:    .*\n?)*)", re.MULTILINE)
    described = group.sub(lambda match: re.sub("^  ", "", match[1], flags=re.MULTILINE), described)
    indent = "  " if re.search(r"^  Stream #0:", described, re.MULTILINE) else "    "
    line = re.compile(
        rf"^{indent}Stream #0:(\d+)(?:\[0x[0-9a-f]+\])?(?:\([^)]*\))?: "
        r"(Video|Audio|Subtitle|Data|Attachment): (.*)$"
        r"|^  Program (\d+) |^  No Program",
        re.MULTILINE,
    )
    program: int | None = None
    streams: dict[int, tuple[str, str, int | None]] = {}
    for match in line.finditer(described):
        if match[1] is None:
            program = int(match[4]) if match[4] else None
        else:
            streams.setdefault(int(match[1]), (match[2], match[3], program))
    return ((index, *streams[index]) for index in sorted(streams))


def _audio_stream(text: str, program: int | None) -> AudioStream:
    codec = re.match(r"\w+", text)
    described = re.search(r"(\d+) Hz, ([^,]+)", text)
    layout = described[2] if described else "stereo"
    unnamed = re.match(r"(\d+) channels", layout)
    return AudioStream(
        codec=codec[0] if codec else "none",
        sample_rate=int(described[1]) if described and int(described[1]) else SAMPLE_RATE,
        channels=int(unnamed[1]) if unnamed else 1 if layout == "mono" else STEREO,
        default="(default)" in text,
        program=program,
    )


def _chosen(
    path: Path, streams: tuple[AudioStream, ...], program: int | None, *, index: int | None
) -> int | None:
    if index is not None:
        if not 0 <= index < len(streams):
            raise InputError(
                f"{path} has no sound stream {index}; it has {len(streams)}, counted from 0."
            )
        return index
    own = [stream for stream in streams if stream.program == program] or list(streams)
    usable = [stream for stream in own if stream.codec not in ("none", "unknown")]
    if len(usable) > 1:
        usable = [stream for stream in usable if stream.decodable] or usable
    marked = [stream for stream in usable if stream.default] or usable
    return next(i for i, stream in enumerate(streams) if stream is marked[0]) if marked else None


def _first_picture(path: Path, audio_stream: int | None) -> "subprocess.CompletedProcess[bytes]":
    """Decodes the first picture, with its time, while the sound is read, too."""
    source = open_input(path)
    # Eight bits, since the encoder would take ten-bit video as sixteen.
    picture = ffmpeg.output(
        source["V:0"],
        "pipe:1",
        format="image2pipe",
        vcodec="ppm",
        pix_fmt="rgb24",
        vframes=1,
        **{"vf": f"settb=1/{CLOCK_TICKS_PER_S},showinfo"},
        **every_frame(),
    )
    outputs = [picture, *beside(source, audio_stream, packets=1)]
    return _run(path, arguments(ffmpeg.merge_outputs(*outputs), log_level="info"))


def _first_packet_us(path: Path) -> int:
    """When the first stored picture is decoded."""
    stream = ffmpeg.output(
        open_input(path)["V:0"], "pipe:1", format="framecrc", c="copy", **{"frames:v": 1}
    )
    rows = _run(path, arguments(stream)).stdout
    base = re.search(rb"^#tb 0: (\d+)/(\d+)", rows, re.MULTILINE)
    first = re.search(rb"^0, *(-?\d+),", rows, re.MULTILINE)
    if not base or not first:
        return 0
    return round(int(first[1]) * int(base[1]) / int(base[2]) * CLOCK_TICKS_PER_S)


def beside(source: Any, audio_stream: int | None, *, packets: int | None = None) -> list[Any]:
    """An output that reads the chosen sound and drops it, so that the file's clock stays the same.

    ffmpeg counts the time of transport and programme streams from the earliest start of the
    streams that are read: picture and sound each read alone would both start at 0.
    """
    if audio_stream is None:
        return []
    options: dict[str, Any] = {"format": "null", "c": "copy"}
    if packets is not None:
        options["frames:a"] = packets
    return [ffmpeg.output(source[f"a:{audio_stream}"], "-", **options)]


def _clock_s(hours: str, minutes: str, seconds: str) -> float:
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
