"""Which source frame is shown when: exactly as many frames as asked for, and never a jump."""

import functools
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from models.features import FRAME_RATE
from models.options import check_choice
from pipeline.errors import PipelineError
from pipeline.media import decode

Fit = Literal["video", "audio", "loop"]
FITS: tuple[str, ...] = get_args(Fit)
# Of frames on the disk, to be played backwards: 43 s of 1080p at 30 frames per second. Longer
# ones are decoded again from the start for each such piece.
KEPT_BYTES = 4 << 30
LEAST_KEPT_FRAMES = 100

# What ffmpeg rounds in its messages to two digits.
NTSC_RATES = {
    11.99: 12_000 / 1001,
    14.99: 15_000 / 1001,
    23.98: 24_000 / 1001,
    29.97: 30_000 / 1001,
    47.95: 48_000 / 1001,
    59.94: 60_000 / 1001,
    119.88: 120_000 / 1001,
}


def exact_rate(rounded: float) -> float:
    """The frame rate behind the one ffmpeg shows: 23.98 stands for 24000/1001."""
    return NTSC_RATES.get(round(rounded, 2), rounded)


# Usual rates, for sources whose own varies.
OUTPUT_RATES = (
    Fraction(15),
    Fraction(24_000, 1001),
    Fraction(24),
    Fraction(25),
    Fraction(30_000, 1001),
    Fraction(30),
    Fraction(48),
    Fraction(50),
    Fraction(60_000, 1001),
    Fraction(60),
    Fraction(100),
    Fraction(120),
)
TIME_TOLERANCE_S = 0.0011  # Matroska and others store times in whole milliseconds
# One late frame of a thousand is no reason to draw all mouths twice as often.
DROPPED_SHARE = 0.001
# Up to this factor a higher rate is taken if it loses fewer frames or moves them less: 30 and
# 29.97 are kept apart.
NEARBY = 1.05


def output_rate(times_s: np.ndarray, *, stated_rate: float | None = None) -> Fraction:
    """The constant frame rate at which every frame of a source is shown.

    A source at a constant rate keeps it. One whose rate varies gets the lowest rate (a usual one,
    or that of its shortest intervals) at which no two of its frames fall on the same place: the
    average, which headers state, would drop frames wherever it runs faster.

    Args:
        times_s: (frames,) float64, ascending, when each is shown; the first at 0.
        stated_rate: the header's; taken where the times agree with it to their rounding.

    Returns:
        At most 120 unless the rate is constant; 25 where a single frame tells nothing.
    """
    own = [Fraction(stated_rate).limit_denominator(1001)] if stated_rate else []
    if len(times_s) < 2 or times_s[-1] <= 0:
        return [*own, Fraction(FRAME_RATE)][0]
    average = Fraction((len(times_s) - 1) / float(times_s[-1])).limit_denominator(1001)
    for rate in (*own, *OUTPUT_RATES, average):
        if rate and _fits(times_s, rate):
            return rate
    own.append(_fastest(times_s))
    usual = sorted({*OUTPUT_RATES, *(r for r in own if OUTPUT_RATES[0] < r < OUTPUT_RATES[-1])})
    dropped = {rate: _dropped(times_s, rate) for rate in usual}
    most = dropped[usual[-1]] + DROPPED_SHARE * len(times_s)
    lowest = next(rate for rate in usual if dropped[rate] <= most)
    nearby = [rate for rate in usual if lowest <= rate <= lowest * NEARBY]
    return min(nearby, key=lambda rate: (dropped[rate], _moved_s(times_s, rate)))


def _fits(times_s: np.ndarray, rate: Fraction) -> bool:
    """Every frame is where a constant rate has it, none is missing."""
    regular_s = np.arange(len(times_s)) / float(rate)
    return bool(np.abs(times_s - regular_s).max() <= TIME_TOLERANCE_S)


def _fastest(times_s: np.ndarray) -> Fraction:
    """The rate of the shortest intervals, where a constant rate has lost some of its frames."""
    intervals_s = np.diff(times_s)
    intervals_s = intervals_s[intervals_s > TIME_TOLERANCE_S]
    if not len(intervals_s):
        return OUTPUT_RATES[-1]
    shortest_s = intervals_s[intervals_s < 1.25 * np.percentile(intervals_s, 5)].mean()
    return Fraction(1 / float(shortest_s)).limit_denominator(1001)


def _moved_s(times_s: np.ndarray, rate: Fraction) -> float:
    """How far frames are from their places in the mean."""
    positions = np.floor(times_s * float(rate) + 0.5)
    return float(np.abs(positions / float(rate) - times_s).mean())


def _dropped(times_s: np.ndarray, rate: Fraction) -> int:
    """How many frames share their place with another, however half a place is rounded."""
    positions = [
        np.floor((times_s + lead_s) * float(rate) + 0.5) for lead_s in (0.0, TIME_TOLERANCE_S)
    ]
    return max(len(times_s) - len(np.unique(workspace)) for workspace in positions)


def playback(
    video: Path,
    *,
    frame_rate: float,
    frames: int | None,
    fit: Fit,
    frame_store: Path,
    read: Callable[..., Iterator[np.ndarray]] = decode.read_frames,
) -> Iterator[tuple[int, np.ndarray]]:
    """Source frames in the order they are shown, with the index each has in the source.

    Args:
        video: the source.
        frame_rate: of source and output.
        frames: of the output; None for all the source has.
        fit: what follows where the source ends too early: "loop" plays it backwards and forwards
            in turn, otherwise its last frame stands.
        frame_store: an existing empty folder, for frames that come again, `KEPT_BYTES` of them at
            most; emptied at the end.
        read: gives the source's frames, arrays of any kind, for its path and a `frame_rate`.

    Yields:
        Source index and frame, writable.

    Raises:
        InputError: there is no such `fit`.
        PipelineError: the source has no frame, or frames cannot be kept.
    """
    check_choice("fit", fit, FITS)
    source = functools.partial(read, video, frame_rate=frame_rate)
    count = 0
    last: np.ndarray | None = None
    capacity = 0
    for frame in source():
        if frames is not None and count == frames:
            return
        if last is None and fit == "loop" and frames is not None:
            capacity = _capacity_frames(frame_store, frame.nbytes)
        last = frame
        yield count, frame.copy()
        count += 1
    if last is None:
        raise PipelineError(f"{video} gave no frame; check that it plays.")
    if frames is not None and fit == "loop":
        again = _Again(video, source, count=count, frame_store=frame_store, capacity=capacity)
        yield from again.shown(count, frames)
    elif frames is not None:
        for _ in range(count, frames):
            yield count - 1, last.copy()


@dataclass(frozen=True)
class _Again:
    """A source once more: only when it has been read to its end are its frames known to be needed.

    Attributes:
        video: for the user.
        source: reads it from its start.
        count: frames it has.
        frame_store: folder for some of them.
        capacity: how many those may be.
    """

    video: Path
    source: Callable[[], Iterator[np.ndarray]]
    count: int
    frame_store: Path
    capacity: int

    def shown(self, position: int, end: int) -> Iterator[tuple[int, np.ndarray]]:
        """The frames of these output positions, back and forth."""
        order = [there_and_back(at, self.count) for at in range(position, end)]
        if order and max(order) - min(order) < self.capacity:
            self._keep(min(order), max(order) + 1)
            for index in order:
                yield index, _load(self._file(index))
            self._clear()
            return
        # Too many to keep. Forwards they come from the decoder. Backwards they are kept a piece
        # at a time, for each of which the source is decoded from its start: reading from the
        # middle is not exact to the frame.
        while order:
            backwards = len(order) > 1 and order[1] < order[0]
            turn = 0 if backwards else self.count - 1
            run = min(len(order), abs(turn - order[0]) + 1)
            if backwards:
                run = min(run, self.capacity)
                self._keep(order[run - 1], order[0] + 1)
                for index in order[:run]:
                    yield index, _load(self._file(index))
                    self._file(index).unlink()
            else:
                for index, frame in self._read(order[0], order[0] + run):
                    yield index, frame.copy()
            del order[:run]

    def _read(self, first: int, end: int) -> Iterator[tuple[int, np.ndarray]]:
        index = 0
        with closing(self.source()) as frames:  # type: ignore[type-var]
            for index, frame in enumerate(frames, start=1):
                if index > first:
                    yield index - 1, frame
                if index == end:
                    return
        raise PipelineError(
            f"{self.video} gave {self.count} frames first and {index} then; "
            "was it changed meanwhile?"
        )

    def _keep(self, first: int, end: int) -> None:
        for index, frame in self._read(first, end):
            _save(self._file(index), frame)

    def _file(self, index: int) -> Path:
        return self.frame_store / f"{index:06d}.npy"

    def _clear(self) -> None:
        for path in self.frame_store.glob("*.npy"):
            path.unlink()


def _capacity_frames(folder: Path, frame_bytes: int) -> int:
    """How many frames may be kept, at least `LEAST_KEPT_FRAMES`."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise PipelineError(f"{folder} cannot be written; is the disk full?") from error
    least_bytes = LEAST_KEPT_FRAMES * frame_bytes
    if free // 2 < least_bytes:
        raise PipelineError(
            f"--fit loop keeps up to {KEPT_BYTES >> 20} MiB of frames in {folder} to play them "
            f"backwards, and {2 * least_bytes >> 20} MiB must be free there, but "
            f"{free >> 20} MiB are; free some space or use --fit audio."
        )
    return max(LEAST_KEPT_FRAMES, min(KEPT_BYTES, free // 2) // frame_bytes)


def there_and_back(position: int, frames: int) -> int:
    """Index shown at a position when so many frames play forwards, backwards, forwards ..."""
    if frames == 1:
        return 0
    at = position % (2 * frames - 2)
    return min(at, 2 * frames - 2 - at)


def _save(path: Path, frame: np.ndarray) -> None:
    try:
        np.save(path, frame)
    except OSError as error:
        raise PipelineError(f"{path} cannot be written; is the disk full?") from error


def _load(path: Path) -> np.ndarray:
    try:
        return np.asarray(np.load(path))
    except (OSError, ValueError) as error:
        raise PipelineError(f"{path} cannot be read back; is the disk full?") from error
