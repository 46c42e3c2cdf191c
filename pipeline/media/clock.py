"""One clock for a file: every picture and every sample by the time at which it is presented.

Time zero is the instant at which the first decoded picture is shown. `probe` reads that instant
off the decoder while the chosen sound is read beside it; each later process reads the same two
streams again, so that ffmpeg gives them the same clock (for transport and programme streams it
depends on the streams that are read), and takes the instant away. Discontinuities of a transport
stream are mended by ffmpeg, for both streams alike, because they are read by one process.

Pictures are put on a grid that starts at zero; how far each lies from its place is known
(`grid_times_s`). Sound is put in place by the sample (`read_contents`): what is missing is silence.
No other module converts times or rates.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np

from pipeline.errors import PipelineError
from pipeline.media.probe import CLOCK_TICKS_PER_S, MediaInfo, beside
from pipeline.media.process import Process, arguments, file_name, older_than, open_input, size_bytes

# The grid starts so much before the first picture that times which lie half way between two
# places, as every sixth of 30 a second does, fall to the same side in every container, although
# some round times to a millisecond.
GRID_LEAD_S = 0.001
# Sample times that differ from an unbroken sound by less are rounding.
SOUND_TOLERANCE_S = 0.002
LONGEST_GAP_S = 600.0  # between two pictures or sounds; more is a broken time stamp
LEAST_MISSING_S = 0.2  # silence that is filled in without a word
CANCELLED_DB = -20.0  # a mix so far below its louder channel is no mix to listen to
BLOCK_SAMPLES = 1 << 20  # of sound in memory at once, per channel
NO_TIME = -(2.0**62)  # ffmpeg's mark of a packet without a time lies below
TIMES_FILE = "picture.txt"  # presentation times of decoded pictures
KEY = "t"  # of metadata that makes ffmpeg print those times


# Pictures.


def on_grid(source: Any, info: MediaInfo, *, frame_rate: float, times: bool = False) -> Any:
    """The picture on a constant grid from time zero: an ffmpeg-python stream.

    Args:
        source: what `open_input` gives of the file.
        info: its probe.
        frame_rate: grid places per second.
        times: also write `TIMES_FILE` into the process's working directory, see `grid_times_s`.
    """
    stream = source["V:0"].filter("settb", f"1/{CLOCK_TICKS_PER_S}")
    if times:
        # Only pictures with metadata are printed; ffmpeg 4 adds none to pictures without any.
        if older_than(5, 1):
            stream = stream.filter("readvitc", scan_max=1)
        else:
            stream = stream.filter("metadata", mode="add", key=KEY, value=1)
        stream = stream.filter("metadata", mode="print", file=TIMES_FILE)
    start_s = info.first_picture_us / CLOCK_TICKS_PER_S - GRID_LEAD_S
    stream = stream.filter("fps", fps=frame_rate, start_time=f"{start_s:.6f}")
    # Counted from 0: what reads the stream further down takes its times as they are.
    stream = stream.filter("setpts", "N")
    if older_than(7, 1) and not older_than(7, 0):
        # It forgets the rate with that, takes 25 for it and drops what is too much. Others need no
        # second filter, and older ones repeat the last picture of a late stream in it.
        stream = stream.filter("fps", fps=frame_rate)
    return stream


def read_picture_times(folder: Path, info: MediaInfo) -> np.ndarray:
    """When each decoded picture is shown: (pictures,) float64 seconds after the first, ascending.

    Args:
        folder: working directory of a process whose stream is `on_grid(..., times=True)`.
        info: the file's probe.
    """
    ticks = []
    if (folder / TIMES_FILE).is_file():
        with (folder / TIMES_FILE).open(encoding="ascii", errors="replace") as lines:
            matches = (re.match(r"frame:\d+ +pts:(-?\d+)", line) for line in lines)
            ticks = [int(match[1]) for match in matches if match]
    return np.sort((np.array(ticks, np.float64) - info.first_picture_us) / CLOCK_TICKS_PER_S)


def grid_times_s(picture_times_s: np.ndarray, *, frames: int, frame_rate: float) -> np.ndarray:
    """When the picture that stands at each grid place is shown in the source.

    Args:
        picture_times_s: (pictures,) float64, ascending, see `read_picture_times`.
        frames: grid places.
        frame_rate: of the grid.

    Returns:
        (frames,) float64 seconds; place k itself is at k / frame_rate.
    """
    if not len(picture_times_s):
        return np.arange(frames) / frame_rate
    positions = np.floor((picture_times_s + GRID_LEAD_S) * frame_rate + 0.5)
    last = np.searchsorted(positions, np.arange(frames), side="right") - 1
    return np.asarray(picture_times_s[np.maximum(last, 0)])


# Packets and sound.


@dataclass(frozen=True)
class Sound:
    """A file's sound in place: sample 0 is heard when the first picture is shown.

    Attributes:
        file: raw interleaved little-endian int16; sample 0 first.
        sample_rate: samples per second.
        channels: how many are interleaved.
        samples: of each channel.
        missing_s: (start, end) of each stretch without sound before the last sample, seconds.
        channel: index of the one to listen to where mixing cancels them, else None.
    """

    file: Path
    sample_rate: int
    channels: int
    samples: int
    missing_s: tuple[tuple[float, float], ...]
    channel: int | None

    def blocks(self) -> Iterator[np.ndarray]:
        """(up to `BLOCK_SAMPLES`, channels) int16, in order."""
        # Read, not mapped: pages of a mapped file count as memory once they are read.
        for start in range(0, self.samples, BLOCK_SAMPLES):
            length = min(BLOCK_SAMPLES, self.samples - start)
            yield np.fromfile(
                self.file,
                "<i2",
                count=length * self.channels,
                offset=2 * start * self.channels,
            ).reshape(length, self.channels)

    def mono(self) -> np.ndarray:
        """(samples,) int16: the mean of the channels, or the one to listen to."""
        mono = np.empty(self.samples, np.int16)
        for number, block in enumerate(self.blocks()):
            start = number * BLOCK_SAMPLES
            mono[start : start + len(block)] = self.mixed(block)
        return mono

    def stereo(self, start: int, end: int) -> np.ndarray:
        """(end - start, 2) float32 samples; one channel on both sides, more than two mixed."""
        mapped = np.memmap(self.file, "<i2", mode="r", shape=(self.samples, self.channels))
        block = mapped[start:end].astype(np.float32)
        if self.channels > 2:
            block = block.mean(axis=1, keepdims=True)
        return np.broadcast_to(block, (end - start, 2))

    def mixed(self, block: np.ndarray) -> np.ndarray:
        """(n,) int16 of an (n, channels) block."""
        if self.channel is not None:
            return np.ascontiguousarray(block[:, self.channel])
        if self.channels == 1:
            return np.ascontiguousarray(block[:, 0])
        return np.rint(block.mean(axis=1, dtype=np.float32)).astype(np.int16)


@dataclass(frozen=True)
class Contents:
    """What one pass over a file's packets tells.

    Attributes:
        picture_s: when the last picture ends, seconds after time zero, by its packets; 0 without.
        sound: None without.
        messages: ffmpeg's log.
    """

    picture_s: float
    sound: Sound | None
    messages: str


def read_contents(
    path: Path, info: MediaInfo, folder: Path, *, sample_rate: int | None = None
) -> Contents:
    """Reads all packets of a file's picture and decodes its sound.

    Args:
        path: the file.
        info: its probe.
        folder: an existing folder for passing files; the sound stays there.
        sample_rate: of the sound, None for its own.

    Raises:
        PipelineError: a sound file cannot be decoded, or times jump by more than `LONGEST_GAP_S`.
    """
    source = open_input(path)
    outputs = []
    rate = sample_rate or (info.sound.sample_rate if info.has_audio else 0)
    raw, rows_file, packets_file = (
        folder / name for name in ("raw.s16", "rows.txt", "packets.txt")
    )
    if info.has_audio:
        stream = source[f"a:{info.audio_stream}"]
        # Rate and channels may change midway, as in broadcasts: these are made constant.
        steady = {"acodec": "pcm_s16le", "ac": info.sound.channels, "ar": rate}
        outputs.append(ffmpeg.output(stream, file_name(raw), format="s16le", **steady))
        outputs.append(ffmpeg.output(stream, file_name(rows_file), format="framecrc", **steady))
    if info.width_px:
        outputs.append(
            ffmpeg.output(source["V:0"], file_name(packets_file), format="framecrc", c="copy")
        )
    command = arguments(ffmpeg.merge_outputs(*outputs))
    with Process(command, files=[raw, rows_file, packets_file], source=path) as process:
        failed = process.wait() != 0
        if process.stopped:
            raise PipelineError(f"Reading {path} failed: {process.reason()}.")
        # Sound that breaks off or cannot be decoded at all shows in what there is of it.
        if failed and not info.width_px and not size_bytes(raw):
            raise PipelineError(
                f"The sound of {path} cannot be decoded ({process.reason()}); give a copy with "
                "sound that can."
            )
        messages = process.messages()
    starts_s, ends_s = _packet_times_s(packets_file, info)
    _check_gaps(path, "picture", _presented_s(starts_s))
    sound = None
    if info.has_audio:
        rows = sound_rows(rows_file, frame_bytes=2 * info.sound.channels)
        zero = info.zero_us / CLOCK_TICKS_PER_S if info.width_px else _start_s(rows, rate)
        _check_gaps(path, "sound", np.array([position / rate for position, _ in rows]) - zero)
        sound = _placed(raw, rows, zero_s=zero, sample_rate=rate, channels=info.sound.channels)
    return Contents(max(float(ends_s.max(initial=0.0)), 0.0), sound, messages)


def _start_s(rows: list[tuple[int, int]], sample_rate: int) -> float:
    return rows[0][0] / sample_rate if rows else 0.0


def read_packet_times(path: Path, info: MediaInfo, folder: Path) -> np.ndarray:
    """When each stored picture is shown, by its packets: (pictures,) float64, see `on_grid`.

    Args:
        path: the file.
        info: its probe; it has a picture.
        folder: an existing folder for passing files.

    Raises:
        PipelineError: ffmpeg failed.
    """
    source, packets_file = open_input(path), folder / "packets.txt"
    stream = ffmpeg.output(source["V:0"], file_name(packets_file), format="framecrc", c="copy")
    outputs = [stream, *beside(source, info.audio_stream)]
    command = arguments(ffmpeg.merge_outputs(*outputs))
    with Process(command, files=[packets_file], source=path) as process:
        process.check(f"Reading {path}")
    starts_s, _ = _packet_times_s(packets_file, info)
    return _presented_s(starts_s)


def _check_gaps(path: Path, what: str, times_s: np.ndarray) -> None:
    gaps_s = np.diff(times_s)
    if len(gaps_s) and gaps_s.max() > LONGEST_GAP_S:
        at = int(gaps_s.argmax())
        raise PipelineError(
            f"{path} cannot be used: the time of its {what} jumps by {gaps_s[at]:.0f} s at "
            f"{times_s[at]:.2f} s; write it anew, for example with ffmpeg -c copy."
        )


def _lines(path: Path) -> Iterator[list[str]]:
    """Fields of the rows framecrc writes: stream, dts, pts, duration, size, checksum, ..."""
    if path.is_file():
        with path.open(encoding="ascii", errors="replace") as file:
            for line in file:
                if not line.startswith("#"):
                    yield line.split(",", 5)


def _packet_times_s(path: Path, info: MediaInfo) -> tuple[np.ndarray, np.ndarray]:
    """Start and end of each picture packet, in the order of the file, after the first picture."""
    if not path.is_file():
        return np.zeros(0), np.zeros(0)
    with path.open(encoding="ascii", errors="replace") as file:
        base = re.search(r"^#tb 0: (\d+)/(\d+)", file.read(4096), re.MULTILINE)
    tick_s = int(base[1]) / int(base[2]) if base else 1.0
    fields = [(int(row[1]), int(row[2]), int(row[3])) for row in _lines(path) if len(row) > 4]
    decoded, presented, duration = np.array(fields, np.float64).reshape(-1, 3).T
    # AVI and raw streams store no presentation times; there the order of decoding has to do.
    starts = decoded if (presented < NO_TIME).any() else presented
    first_s = info.first_picture_us / CLOCK_TICKS_PER_S
    return starts * tick_s - first_s, (starts + duration) * tick_s - first_s


def _presented_s(starts_s: np.ndarray) -> np.ndarray:
    """Times of pictures, ascending, without those before the first that can be decoded."""
    times_s = np.sort(starts_s)
    return np.asarray(times_s[times_s > -GRID_LEAD_S])


def sound_rows(path: Path, *, frame_bytes: int) -> list[tuple[int, int]]:
    """Position and length in samples of each decoded piece, as framecrc wrote them."""
    return [(int(row[2]), int(row[4]) // frame_bytes) for row in _lines(path) if len(row) > 4]


def segments(
    rows: list[tuple[int, int]], *, zero: int, tolerance: int
) -> list[tuple[int, int, int]]:
    """Positions of the pieces of decoded sound, by their time stamps.

    Args:
        rows: (position, length) of each piece in samples, in the order they were decoded.
        zero: position of time zero.
        tolerance: a piece so near the end of the one before follows it without a break.

    Returns:
        (from, to, length) in samples: unbroken stretches of the decoded sound and the place in
        the output, at or after 0, each goes to. What would overlap is left out.
    """
    stretches: list[tuple[int, int, int]] = []
    total = 0  # samples of the decoded sound so far
    for position, length in rows:
        offset = position - zero
        if stretches:
            start, target, before = stretches[-1]
            end = target + before
            if abs(offset - end) <= tolerance and start + before == total:
                stretches[-1] = (start, target, before + length)
                total += length
                continue
            overlap = max(0, end - offset)
        else:
            overlap = max(0, -offset)
        if overlap < length:
            stretches.append((total + overlap, offset + overlap, length - overlap))
        total += length
    return stretches


def _placed(
    raw: Path, rows: list[tuple[int, int]], *, zero_s: float, sample_rate: int, channels: int
) -> Sound:
    """Moves decoded sound to its time; the file `raw` is used up."""
    frame_bytes = 2 * channels
    available = size_bytes(raw) // frame_bytes
    stretches = [
        (source, target, min(length, available - source))
        for source, target, length in segments(
            rows,
            zero=round(zero_s * sample_rate),
            tolerance=round(SOUND_TOLERANCE_S * sample_rate),
        )
        if source < available
    ]
    missing: list[tuple[float, float]] = []
    end = 0
    for _, target, length in stretches:
        if target - end >= LEAST_MISSING_S * sample_rate:
            missing.append((end / sample_rate, target / sample_rate))
        end = target + length
    placed = raw.with_name("sound.s16")
    if len(stretches) == 1 and stretches[0][:2] == (0, 0) and raw.is_file():
        raw.replace(placed)
    else:
        _copy_stretches(raw, placed, stretches, frame_bytes=frame_bytes)
        raw.unlink(missing_ok=True)
    sound = Sound(placed, sample_rate, channels, end, tuple(missing), None)
    return replace(sound, channel=_channel_to_hear(sound))


def _copy_stretches(
    raw: Path, placed: Path, stretches: list[tuple[int, int, int]], *, frame_bytes: int
) -> None:
    with placed.open("wb") as target_file:
        if not stretches:
            return
        with raw.open("rb") as source_file:
            for source, target, length in stretches:
                source_file.seek(source * frame_bytes)
                target_file.seek(target * frame_bytes)  # what is skipped reads as zeros: silence
                remaining = length * frame_bytes
                while remaining:
                    data = source_file.read(min(remaining, BLOCK_SAMPLES * frame_bytes))
                    if not data:
                        break
                    target_file.write(data)
                    remaining -= len(data)


def _channel_to_hear(sound: Sound) -> int | None:
    """The loudest channel where the mean of all is all but silent beside it, else None."""
    if sound.channels == 1 or not sound.samples:
        return None
    channels, mix = np.zeros(sound.channels), 0.0
    for block in sound.blocks():
        values = block.astype(np.float32)
        channels += np.einsum("ij,ij->j", values, values, dtype=np.float64)
        mean = values.mean(axis=1)
        mix += float(np.einsum("i,i->", mean, mean, dtype=np.float64))
    # Mixing all but one silent channel is no cancelling: then the mix is quieter by their number.
    quietest = channels.max() / sound.channels**2 * 10 ** (CANCELLED_DB / 10)
    return int(channels.argmax()) if mix < quietest and channels.max() > 0 else None
