"""Every stream of a file as its header describes it: what a copy needs to know of it."""

import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.media.probe import describe, described_streams

# ffmpeg's words in a header to its flags. "default" and "dub" are the same in both.
DISPOSITIONS = (
    *("default", "dub", "original", "comment", "lyrics", "karaoke", "forced"),
    *("hearing impaired", "visual impaired", "clean effects", "captions", "descriptions"),
)


@dataclass(frozen=True)
class Stream:
    """One stream.

    Attributes:
        index: among all streams of the file.
        kind: Video, Audio, Subtitle, Data or Attachment.
        codec: ffmpeg's name of it; "none" where it knows none.
        text: the whole description.
    """

    index: int
    kind: str
    codec: str
    text: str

    @property
    def is_cover(self) -> bool:
        """It is a picture of the whole file, no video."""
        return "(attached pic)" in self.text

    @property
    def is_remade(self) -> bool:
        """Time code and titles of chapters: whoever writes the file makes their streams anew."""
        return self.kind == "Data" and bool(re.search(r"\((tmcd|text) / ", self.text))

    @property
    def dispositions(self) -> tuple[str, ...]:
        """What it is for, by ffmpeg's flags."""
        return tuple(word.replace(" ", "_") for word in DISPOSITIONS if f"({word})" in self.text)

    # Of a sound.

    @property
    def sample_rate(self) -> int | None:
        """Samples per second; None where the header does not say it."""
        match = re.search(r", (\d+) Hz", self.text)
        return int(match[1]) if match and int(match[1]) else None

    @property
    def layout(self) -> str | None:
        """Which channels there are, in ffmpeg's words; None where they have no names."""
        match = re.search(r" Hz, ([^,]+)", self.text)
        return match[1] if match and "channels" not in match[1] else None

    @property
    def sample_format(self) -> str:
        """How a decoded sample is stored: u8, s16, s32, s64, flt or dbl."""
        match = re.search(r", (u8|s16|s32|s64|flt|dbl)p?\b", self.text)
        return match[1] if match else "flt"

    @property
    def bit_rate_kbps(self) -> int | None:
        """Of a compressed sound; None where the header does not say it."""
        match = re.search(r", (\d+) kb/s", self.text)
        return int(match[1]) if match and int(match[1]) else None


@dataclass(frozen=True)
class Header:
    """What a file says of itself.

    Attributes:
        streams: all of them, in order.
        turned: how its picture is to be turned, in ffmpeg's words; None where it is not.
        tags: names of the file's metadata, in small letters and without languages.
    """

    streams: tuple[Stream, ...]
    turned: str | None
    tags: tuple[str, ...]

    @property
    def sounds(self) -> tuple[Stream, ...]:
        """Its sound streams."""
        return tuple(stream for stream in self.streams if stream.kind == "Audio")


def read_header(path: Path) -> Header:
    """Reads the streams of a file.

    Raises:
        InputError: it is absent, empty, no media or a playlist.
    """
    described = describe(path)[1]
    streams = []
    for index, kind, text, _ in described_streams(described):
        codec = re.match(r"\w+", text)
        streams.append(Stream(index, kind, codec[0] if codec else "none", text))
    turned = re.search(r"^ +display ?matrix: (.+)$", described, re.MULTILINE | re.IGNORECASE)
    tags: list[str] = []
    if block := re.search(r"^  Metadata:\n((?: {4}.*\n)*)", described, re.MULTILINE):
        tags = re.findall(r"^ {4}(\S[^:]*?) *:", block[1], re.MULTILINE)
    return Header(
        streams=tuple(streams),
        turned=turned[1].strip() if turned else None,
        tags=tuple(tag.partition("-")[0].lower() for tag in tags),
    )
