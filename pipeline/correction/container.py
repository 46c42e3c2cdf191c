"""What the file that is written can hold: containers by their suffix, and encoders of sound.

Which streams a container takes is asked of ffmpeg itself: a second of the stream is written and
its header read again. Some muxers write what nobody can read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.correction.sound import Decoded
from pipeline.correction.streams import Header, Stream, read_header
from pipeline.errors import InputError, PipelineError
from pipeline.media import process

TRIED_S = "1"  # of a stream, to see whether a container takes it
# What MP4 has a place of its own for. Where there is more, all is kept by name, as QuickTime does.
QUICKTIME_TAGS = {
    *("major_brand", "minor_version", "compatible_brands", "creation_time", "encoder", "location"),
    *("title", "artist", "album_artist", "composer", "album", "date", "comment", "genre"),
    *("copyright", "grouping", "lyrics", "description", "synopsis", "show", "episode_id"),
    *("network", "keywords", "track", "disc", "compilation", "media_type", "hd_video"),
    *("timecode", "encoded_by", "duration"),
}


@dataclass(frozen=True)
class Container:
    """A kind of file.

    Attributes:
        format: ffmpeg's name of it.
        options: words for ffmpeg.
        sounds: codecs of sound in order of preference, where that of the source does not fit.
        titles: codecs of text subtitles, likewise.
        marks_lead: it can say that the first samples of an encoder are no sound, or start them
            before the picture.
    """

    format: str
    options: tuple[str, ...] = ()
    sounds: tuple[str, ...] = ("aac",)
    titles: tuple[str, ...] = ()
    marks_lead: bool = True

    def words(self, header: Header) -> tuple[str, ...]:
        """For ffmpeg, of a whole copy of a file with this header.

        A cover and metadata of any name exclude each other in MP4: the cover is what people see.
        """
        covered = any(stream.is_cover for stream in header.streams)
        if self.options == _QUICKTIME and not covered and set(header.tags) - QUICKTIME_TAGS:
            return ("-f", self.format, "-movflags", "+faststart+use_metadata_tags")
        return ("-f", self.format, *self.options)


_QUICKTIME = ("-movflags", "+faststart")  # the index at the start
_MP4 = Container("mp4", _QUICKTIME, titles=("mov_text",))
_TS = Container("mpegts")
_M2TS = Container("mpegts", ("-mpegts_m2ts_mode", "1"))
CONTAINERS = {
    ".mp4": _MP4,
    ".m4v": _MP4,
    ".mov": Container("mov", _QUICKTIME, titles=("mov_text",)),
    ".3gp": Container("3gp", titles=("mov_text",)),
    ".mkv": Container("matroska", sounds=("flac", "aac"), titles=("subrip", "ass")),
    ".webm": Container("webm", sounds=("opus", "vorbis"), titles=("webvtt",)),
    ".ts": _TS,
    ".m2ts": _M2TS,
    ".mts": _M2TS,
    ".flv": Container("flv"),
    ".avi": Container(
        "avi", ("-avoid_negative_ts", "disabled"), sounds=("pcm_s16le",), marks_lead=False
    ),
    ".nut": Container("nut", sounds=("pcm_s16le",)),
}


@dataclass(frozen=True)
class Encoder:
    """An encoder of sound.

    Attributes:
        name: ffmpeg's.
        least_kbps: per channel, below which it is heard that the sound was encoded twice; None
            where nothing is lost.
        lead_samples: it adds before the sound.
    """

    name: str
    least_kbps: int | None = None
    lead_samples: int = 0


ENCODERS = {
    "aac": Encoder("aac", 96, 1024),
    "mp3": Encoder("libmp3lame", 96, 1105),
    "mp2": Encoder("mp2", 128, 481),
    "ac3": Encoder("ac3", 80, 256),
    "eac3": Encoder("eac3", 80, 256),
    "opus": Encoder("libopus", 80, 312),
    "vorbis": Encoder("libvorbis", 96),
    "wmav2": Encoder("wmav2", 96),
    "flac": Encoder("flac"),
    "alac": Encoder("alac"),
    "wavpack": Encoder("wavpack"),
    "tta": Encoder("tta"),
}  # by codec; those of PCM have its name


def container_of(out: Path) -> Container:
    """The kind of file that a name stands for.

    Raises:
        InputError: it stands for none that a video can be copied into.
    """
    container = CONTAINERS.get(out.suffix.lower())
    if container is None:
        raise InputError(
            f"--correct {out} must end in one of {', '.join(CONTAINERS)}; give such a name."
        )
    return container


def encoder_of(codec: str) -> Encoder | None:
    """The encoder of a codec, None where this ffmpeg has none."""
    encoder = Encoder(codec) if codec.startswith("pcm_") else ENCODERS.get(codec)
    return encoder if encoder and encoder.name in process.encoders() else None


def takes(container: Container, source: Path, stream: Stream, folder: Path) -> str | None:
    """How a container holds a stream that is no sound.

    Args:
        container: to hold it.
        source: the stream's file.
        stream: of it.
        folder: for a passing file.

    Returns:
        The encoder: "copy", or another for text subtitles; None where it cannot be held.
    """
    titles = container.titles if stream.kind == "Subtitle" else ()
    limits = ("-t", TRIED_S)
    beside = ("-map_metadata", "-1")  # with it there may be a stream of time code
    if stream.kind == "Attachment":  # needs its name, and a stream beside it
        beside = ("-map", "0:V:0")
    if stream.kind in ("Subtitle", "Data"):  # whose first packet may come late
        limits = (f"-frames:{stream.kind[0].lower()}", "1")
    for encoder in ("copy", *titles):
        maps = (*beside, "-map", f"0:{stream.index}", "-c", encoder, *limits)
        trial = _tried(container, (*process.input_words(source), *maps), source, folder)
        codec = stream.codec if encoder == "copy" else encoder
        alike = (stream.kind, codec, stream.is_cover)
        if trial and (trial.kind, trial.codec, trial.is_cover) == alike:
            return encoder
    return None


@dataclass(frozen=True)
class Encoding:
    """How a sound is encoded.

    Attributes:
        codec: ffmpeg's name of what comes out.
        encoder: that makes it.
        kbps: bit rate; None where nothing is lost.
    """

    codec: str
    encoder: Encoder
    kbps: int | None

    def words(self, stream: int | str) -> tuple[str, ...]:
        """For ffmpeg, of an output's stream."""
        words = (f"-c:{stream}", self.encoder.name)
        return (*words, f"-b:{stream}", f"{self.kbps}k") if self.kbps else words


def encoding_of(
    container: Container, stream: Stream, sound: Decoded, folder: Path
) -> Encoding | None:
    """How a sound is encoded: as the source's where that can be, else as the container likes it.

    Args:
        container: to hold it.
        stream: of the source.
        sound: the same, decoded.
        folder: for a passing file.

    Returns:
        None where the container takes nothing that this ffmpeg can make.
    """
    for codec in (stream.codec, *container.sounds):
        encoder = encoder_of(codec)
        if encoder is None:
            continue
        kbps = None
        if encoder.least_kbps is not None:
            own_kbps = stream.bit_rate_kbps if codec == stream.codec else None
            kbps = max(own_kbps or 0, encoder.least_kbps * sound.channels)
        encoding = Encoding(codec, encoder, kbps)
        words = (*process.input_words(sound.wav), *encoding.words("a"), "-t", TRIED_S)
        trial = _tried(container, words, sound.wav, folder)
        if trial and (trial.kind, trial.codec) == ("Audio", codec):
            return encoding
    return None


def _tried(
    container: Container, words: Sequence[str | Path], source: Path, folder: Path
) -> Stream | None:
    """The last stream of a file that is written as a trial; None where it cannot be written."""
    trial = folder / "trial"
    try:
        kind = ("-map_chapters", "-1", "-f", container.format, *container.options)
        process.run((*words, *kind, trial), "Trying", source=source, files=[trial])
        streams = read_header(trial).streams
    except PipelineError:  # it cannot be written, or not be read
        return None
    finally:
        trial.unlink(missing_ok=True)
    return streams[-1] if streams else None
