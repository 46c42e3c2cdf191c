"""Which source frame is shown when: exactly as many frames as asked for, and never a jump."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np

from models.options import check_choice
from pipeline import media
from pipeline.errors import PipelineError

Fit = Literal["video", "audio", "loop"]
FITS: tuple[str, ...] = get_args(Fit)
KEPT_COMPRESSION = 1  # of PNG, 0 to 9: 1 is nearly as small as 9 and ten times as fast

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


def exact_rate(shown: float) -> float:
    """The frame rate behind the one ffmpeg shows: 23.98 stands for 24000/1001."""
    return NTSC_RATES.get(round(shown, 2), shown)


def playback(
    video: Path, *, frame_rate: float, frames: int | None, fit: Fit, kept: Path
) -> Iterator[tuple[int, np.ndarray]]:
    """Source frames in the order they are shown, with the index each has in the source.

    Args:
        video: the source.
        frame_rate: of source and output.
        frames: of the output; None for all the source has.
        fit: what follows where the source ends too early: "loop" plays it backwards and forwards
            in turn, otherwise its last frame stands.
        kept: an existing empty folder, for frames to be shown again, without loss: about a
            megabyte each at 720p; emptied at the end.

    Yields:
        Source index and (H, W, 3) uint8 BGR frame, writable.

    Raises:
        InputError: there is no such `fit`.
        PipelineError: the source has no frame, or one cannot be kept.
    """
    check_choice("fit", fit, FITS)
    count = 0
    last: np.ndarray | None = None
    for frame in media.read_frames(video, frame_rate=frame_rate):
        if frames is not None and count == frames:
            return
        last = frame
        yield count, frame.copy()
        count += 1
    if last is None:
        raise PipelineError(f"{video} gave no frame; check that it plays.")
    if frames is not None and fit == "loop":
        order = [there_and_back(position, count) for position in range(count, frames)]
        yield from _again(video, order, frame_rate=frame_rate, kept=kept)
    elif frames is not None:
        for _ in range(count, frames):
            yield count - 1, last.copy()


def _again(
    video: Path, order: list[int], *, frame_rate: float, kept: Path
) -> Iterator[tuple[int, np.ndarray]]:
    """Frames in any order: only now is it known that they are needed, so they are read again."""
    needed = set(order)
    for index, frame in enumerate(media.read_frames(video, frame_rate=frame_rate)):
        if index in needed:
            _keep(kept / f"{index:06d}.png", frame)
    for index in order:
        yield index, _kept(kept / f"{index:06d}.png")
    for path in kept.glob("*.png"):
        path.unlink()


def there_and_back(position: int, frames: int) -> int:
    """Index shown at a position when so many frames play forwards, backwards, forwards ..."""
    if frames == 1:
        return 0
    at = position % (2 * frames - 2)
    return min(at, 2 * frames - 2 - at)


def _keep(path: Path, frame: np.ndarray) -> None:
    if not cv2.imwrite(str(path), frame, [cv2.IMWRITE_PNG_COMPRESSION, KEPT_COMPRESSION]):
        raise PipelineError(f"{path} cannot be written; is the disk full?")


def _kept(path: Path) -> np.ndarray:
    frame = cv2.imread(str(path))
    if frame is None:
        raise PipelineError(f"{path} cannot be read back; is the disk full?")
    return np.asarray(frame)
