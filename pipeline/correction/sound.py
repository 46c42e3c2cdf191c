"""A file's sounds decoded without loss, moved by the sample, and put in place by their times."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from pipeline.correction.plan import Plan
from pipeline.correction.streams import Header, Stream
from pipeline.errors import PipelineError
from pipeline.media import clock, process

# How decoded samples are stored, by ffmpeg's name of how they are decoded: nothing is rounded.
STORED_AS = {"u8": "s16", "s16": "s16", "s32": "s32", "s64": "f64", "flt": "f32", "dbl": "f64"}
DTYPES = {"s16": "<i2", "s32": "<i4", "f32": "<f4", "f64": "<f8"}
BLOCK_SAMPLES = 1 << 17  # of each channel in memory at once
FADE_S = 0.01  # from one move into the next
RESAMPLER_RATE = 1_000_000  # the highest that ffmpeg's resampler takes with uneven ratios
FILTER_TAPS = 64  # of the resampler


@dataclass(frozen=True)
class Decoded:
    """A decoded sound stream.

    Attributes:
        wav: its samples, in the order they were decoded.
        header: what comes before the samples in it.
        dtype: of a sample.
        channels: how many are interleaved.
        sample_rate: samples per second.
        stretches: (from, to, length) in samples: where unbroken parts of it are and go to, when
            sample 0 is heard at second 0 of the file.
    """

    wav: Path
    header: bytes
    dtype: np.dtype
    channels: int
    sample_rate: int
    stretches: tuple[tuple[int, int, int], ...]

    @property
    def samples(self) -> int:
        """Of each channel, from second 0 of the file to the end of the sound."""
        _, target, length = self.stretches[-1] if self.stretches else (0, 0, 0)
        return target + length

    def extent_s(self, zero_s: float) -> tuple[float, float]:
        """When it starts and ends, seconds after the first picture, which is shown at `zero_s`."""
        start = self.stretches[0][1] if self.stretches else 0
        return start / self.sample_rate - zero_s, self.samples / self.sample_rate - zero_s

    def read(self, start: int, end: int) -> np.ndarray:
        """(end - start, channels) samples; silence where there is no sound."""
        block = np.zeros((end - start, self.channels), self.dtype)
        frame_bytes = self.channels * self.dtype.itemsize
        for source, target, length in self.stretches:
            first, last = max(start, target), min(end, target + length)
            if first < last:
                values = np.fromfile(
                    self.wav,
                    self.dtype,
                    count=(last - first) * self.channels,
                    offset=len(self.header) + (source + first - target) * frame_bytes,
                ).reshape(-1, self.channels)
                block[first - start : first - start + len(values)] = values
        return block


def decode_sounds(
    path: Path, header: Header, sounds: list[Stream], folder: Path
) -> tuple[list[Decoded], float]:
    """Decodes sound streams side by side.

    All streams of the file are read, as they are when the copy is written: for transport streams
    ffmpeg counts time from the first of those that are read.

    Args:
        path: the file.
        header: its header.
        sounds: which of its streams.
        folder: an existing folder; the decoded sounds stay there.

    Returns:
        A sound for each stream, and when the first picture is shown, seconds of the file.

    Raises:
        PipelineError: ffmpeg failed, or a stream holds no sound.
    """
    words: list[str | Path] = [*process.input_words(path)]
    wavs = [folder / f"{stream.index}.wav" for stream in sounds]
    for stream, wav in zip(sounds, wavs, strict=True):
        mapping = ("-map", f"0:{stream.index}", "-c:a", f"pcm_{STORED_AS[stream.sample_format]}le")
        # Rate and channels may change midway, as in broadcasts: these are made constant.
        constant = {"sample_rates": stream.sample_rate, "channel_layouts": stream.layout}
        settings = ":".join(f"{name}={value}" for name, value in constant.items() if value)
        filters = ("-af", f"aformat={settings}") if settings else ()
        words += [*mapping, *filters, "-map_metadata", "-1", "-f", "wav", "-rf64", "auto", wav]
        words += [*mapping, *filters, "-f", "framecrc", _rows_file(wav)]
    first = folder / "first.txt"
    picture = ("-map", "0:V:0", "-frames:v", "1", "-c:v", "rawvideo", "-f", "framecrc")
    words += [*picture, first]
    words += other_streams(header, [stream.index for stream in sounds])
    process.run(words, f"Reading {path}", source=path, files=wavs)
    zero_s = _first_time_s(first)
    return [_decoded(path, wav, s) for wav, s in zip(wavs, sounds, strict=True)], zero_s


def other_streams(header: Header, read: list[int]) -> list[str | Path]:
    """Words that read all streams but some, and write nothing: see `decode_sounds`."""
    maps = [
        word
        for stream in header.streams
        if stream.index not in read and stream.kind != "Attachment"
        for word in ("-map", f"0:{stream.index}")
    ]
    return [*maps, "-c", "copy", "-f", "null", "-"] if maps else []


def _rows_file(wav: Path) -> Path:
    return wav.with_suffix(".txt")


def _first_time_s(rows_file: Path) -> float:
    text = rows_file.read_text("ascii", errors="replace") if rows_file.is_file() else ""
    base = re.search(r"^#tb 0: (\d+)/(\d+)", text, re.MULTILINE)
    row = re.search(r"^0, *-?\d+, *(-?\d+),", text, re.MULTILINE)
    return int(row[1]) * int(base[1]) / int(base[2]) if base and row else 0.0


def _decoded(path: Path, wav: Path, stream: Stream) -> Decoded:
    header, channels, sample_rate = _wav_header(wav)
    if not channels:
        raise PipelineError(
            f"Stream {stream.index} of {path} holds no sound that can be decoded; "
            "give a copy without it."
        )
    dtype = np.dtype(DTYPES[STORED_AS[stream.sample_format]])
    frame_bytes = channels * dtype.itemsize
    rows = clock.sound_rows(_rows_file(wav), frame_bytes=frame_bytes)
    available = (process.size_bytes(wav) - len(header)) // frame_bytes
    stretches = clock.segments(rows, zero=0, tolerance=round(clock.SOUND_TOLERANCE_S * sample_rate))
    return Decoded(
        wav=wav,
        header=header,
        dtype=dtype,
        channels=channels,
        sample_rate=sample_rate,
        stretches=tuple(
            (source, target, min(length, available - source))
            for source, target, length in stretches
            if source < available
        ),
    )


def _wav_header(wav: Path) -> tuple[bytes, int, int]:
    """What comes before the samples, and how many channels and samples per second there are."""
    channels = sample_rate = 0
    with wav.open("rb") as file:
        file.seek(12)  # RIFF, size, WAVE
        while len(chunk := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", chunk)
            if name == b"data":
                length = file.tell()
                file.seek(0)
                return file.read(length), channels, sample_rate
            content = file.read(size + size % 2)
            if name == b"fmt ":
                _, channels, sample_rate = struct.unpack("<HHI", content[:8])
    return b"", 0, 0


def write_moved(
    sound: Decoded, plan: Plan, target: Path, *, zero_s: float, skip_samples: int = 0
) -> None:
    """Writes a sound moved, as long as it was; `stretch_filters` plays it at the plan's speed.

    Where that is not 1 there is as much of it as that takes.

    Args:
        sound: decoded.
        plan: what is done with it.
        target: file to write, WAV; its header's lengths are those of the decoded file.
        zero_s: when the first picture is shown, seconds of the file.
        skip_samples: left out at the start: what an encoder adds and the file cannot mark.
    """
    with target.open("wb") as file:
        file.write(sound.header)
        for block in _moved(sound, plan, zero_s=zero_s, start=skip_samples):
            file.write(block.tobytes())


def _moved(sound: Decoded, plan: Plan, *, zero_s: float, start: int) -> Iterator[np.ndarray]:
    rate = sound.sample_rate
    # Played faster or slower about the first picture, not about second 0 of the file.
    delays = [round((move.delay_s - zero_s * (1 - plan.speed)) * rate) for move in plan.moves]
    starts = [round((move.start_s + zero_s) * rate) for move in plan.moves[1:]]
    # What is played faster needs more of it, and the filter looks ahead.
    end = sound.samples if plan.speed == 1 else round(sound.samples * plan.speed) + FILTER_TAPS
    edges = [start, *(min(max(edge, start), end) for edge in starts), end]
    half = round(FADE_S / 2 * rate)
    position = start
    for number, delay in enumerate(delays):
        last = number == len(delays) - 1
        edge = edges[number + 1]
        fade = 0 if last else max(0, min(half, edge - position, (edges[number + 2] - edge) // 2))
        for first in range(position, edge - fade, BLOCK_SAMPLES):
            block_end = min(first + BLOCK_SAMPLES, edge - fade)
            yield sound.read(first - delay, block_end - delay)
        if fade:
            yield _faded(sound, edge - fade, edge + fade, delay, delays[number + 1])
        position = max(position, edge + fade)


def _faded(sound: Decoded, start: int, end: int, delay: int, next_delay: int) -> np.ndarray:
    """(end - start, channels): from a sound moved by one delay into the same by another."""
    share = ((np.arange(end - start) + 0.5) / (end - start))[:, None]
    before = sound.read(start - delay, end - delay).astype(np.float64)
    after = sound.read(start - next_delay, end - next_delay).astype(np.float64)
    mixed = (1 - share) * before + share * after
    if np.issubdtype(sound.dtype, np.integer):
        mixed = np.rint(mixed)
    return mixed.astype(sound.dtype)


def stretch_filters(sound: Decoded, speed: float, *, samples: int) -> str:
    """ffmpeg's filters that play a sound at a speed, pitch and all, as long as it was.

    Two clocks that run differently are one sound recorded at a rate that is not quite what the
    file says; so it is resampled, which is exact, where changing the tempo alone would cut and
    repeat periods.
    """
    # Lengths of the sound before and after as whole numbers; the pitch follows from them.
    ratio = Fraction(1 / speed).limit_denominator(RESAMPLER_RATE)
    scale = max(1, RESAMPLER_RATE // ratio.denominator)
    return (
        f"asetrate={ratio.denominator * scale},"
        f"aresample={ratio.numerator * scale}:"
        f"internal_sample_fmt=dblp:filter_size={FILTER_TAPS}:linear_interp=1,"
        f"asetrate={sound.sample_rate},asetpts=N,"
        f"apad=whole_len={samples},atrim=end_sample={samples}"
    )
