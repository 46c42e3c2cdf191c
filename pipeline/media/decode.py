"""Media files to frames and samples.

Pixels are read through a raw pipe, because that is identical from one ffmpeg version to the next
and a re-encoded file is not. Times and rates are clock.py's; what a file is, is probe.py's.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np

from models.features import FRAME_RATE, SAMPLE_RATE
from pipeline.errors import InputError
from pipeline.media import clock
from pipeline.media.probe import Colour, MediaInfo, beside, probe
from pipeline.media.process import (
    Process,
    arguments,
    every_frame,
    open_input,
)
from pipeline.media.yuv import buffer_bytes

__all__ = [
    "Colour",
    "MediaInfo",
    "frame_times_s",
    "picture_late_s",
    "probe",
    "read_audio",
    "read_frames",
    "read_planes",
    "read_sound",
]


def read_frames(
    path: Path,
    *,
    frame_rate: float | None = FRAME_RATE,
    size_px: tuple[int, int] | None = None,
    info: MediaInfo | None = None,
) -> Iterator[np.ndarray]:
    """Streams a video's frames; memory stays at one frame.

    Args:
        path: a video file.
        frame_rate: frames per second to convert to, None for the frames as they are stored.
        size_px: (width, height) to scale to, None for the size of the first frame.
        info: the file's probe, where there is one already.

    Yields:
        (H, W, 3) uint8 BGR; read-only views of the pipe's bytes.

    Raises:
        InputError: `path` has no video stream.
        PipelineError: ffmpeg stopped with an error.
    """
    info = _with_picture(path, info)
    width_px, height_px = size_px or (info.width_px, info.height_px)
    source, video, options = _stored(path, info, frame_rate=frame_rate)
    video = video.filter("scale", width_px, height_px, flags="area")
    shape = (height_px, width_px, 3)
    yield from _decoded(path, source, info, video, shape, pixels="bgr24", options=options)


def read_planes(
    path: Path,
    *,
    size_px: tuple[int, int] | None = None,
    frame_rate: float | None = None,
    info: MediaInfo | None = None,
) -> Iterator[np.ndarray]:
    """Streams a video's frames as they are stored, without conversion: see yuv.py.

    Args:
        path: a video file.
        size_px: (width, height) to scale to, None for the size of the first frame.
        frame_rate: frames per second to convert to, None for the frames as they are stored.
        info: the file's probe, where there is one already.

    Yields:
        (`yuv.buffer_bytes`,) uint8 yuv420p, brightness from 16 to 235, in the file's own
        colour matrix; read-only views of the pipe's bytes.

    Raises:
        InputError: `path` has no video stream.
        PipelineError: ffmpeg stopped with an error.
    """
    info = _with_picture(path, info)
    size_px = size_px or (info.width_px, info.height_px)
    source, video, options = _stored(path, info, frame_rate=frame_rate)
    video = video.filter("scale", *size_px, out_range="tv")
    shape = (buffer_bytes(size_px),)
    yield from _decoded(path, source, info, video, shape, pixels="yuv420p", options=options)


def _with_picture(path: Path, info: MediaInfo | None) -> MediaInfo:
    info = info or probe(path)
    if not info.width_px:
        raise InputError(f"{path} has no video stream; give a video.")
    return info


def _stored(
    path: Path, info: MediaInfo, *, frame_rate: float | None
) -> tuple[Any, Any, dict[str, str]]:
    """The input, its picture, and options of the output."""
    source = open_input(path)
    if frame_rate is None:
        return source, named_colour(source["V:0"], info.colour), every_frame()
    on_grid = clock.on_grid(source, info, frame_rate=frame_rate)
    return source, named_colour(on_grid, info.colour), {}


def named_colour(video: Any, colour: Colour) -> Any:
    """Says what players assume where the file is silent, so that the scaler does the same."""
    return video if colour.tagged else video.filter("setparams", colorspace=colour.matrix_name)


def _decoded(
    path: Path,
    source: Any,
    info: MediaInfo,
    video: Any,
    shape: tuple[int, ...],
    *,
    pixels: str,
    options: dict[str, str],
) -> Iterator[np.ndarray]:
    with Process(raw_frames(source, info, video, pixels=pixels, options=options)) as process:
        yield from process.frames(shape)
        process.check(f"Decoding {path}")


def raw_frames(
    source: Any, info: MediaInfo, video: Any, *, pixels: str, options: dict[str, str] | None = None
) -> list[str]:
    """The command that prints frames, while the sound is read beside them."""
    stream = ffmpeg.output(video, "pipe:1", format="rawvideo", pix_fmt=pixels, **(options or {}))
    return arguments(ffmpeg.merge_outputs(stream, *beside(source, info.audio_stream)))


def read_audio(
    path: Path, *, sample_rate: int = SAMPLE_RATE, info: MediaInfo | None = None
) -> np.ndarray:
    """The sound of a file as mono int16, sample 0 at the time of video frame 0.

    Args:
        path: a media file.
        sample_rate: samples per second to convert to.
        info: the file's probe, where there is one already.

    Returns:
        (n,) int16; empty when the file has no sound.

    Raises:
        PipelineError: ffmpeg could not read it.
    """
    return read_sound(path, sample_rate=sample_rate, info=info)[0]


def read_sound(
    path: Path, *, sample_rate: int = SAMPLE_RATE, info: MediaInfo | None = None
) -> tuple[np.ndarray, tuple[tuple[float, float], ...]]:
    """`read_audio`, and where in it the file has no sound.

    Returns:
        (n,) int16, and (start, end) in seconds of each stretch that was filled with silence.
    """
    info = info or probe(path)
    if not info.has_audio:
        return np.zeros(0, np.int16), ()
    with tempfile.TemporaryDirectory() as folder:
        sound = clock.read_contents(path, info, Path(folder), sample_rate=sample_rate).sound
        assert sound is not None
        return sound.mono(), sound.missing_s


def frame_times_s(path: Path, *, info: MediaInfo | None = None) -> np.ndarray:
    """When each stored frame is shown: (frames,) float64 seconds after the first, ascending.

    Raises:
        InputError: `path` has no video stream.
        PipelineError: ffmpeg stopped with an error.
    """
    info = _with_picture(path, info)
    with tempfile.TemporaryDirectory() as folder:
        return clock.read_packet_times(path, info, Path(folder))


def picture_late_s(path: Path, info: MediaInfo, *, frames: int) -> float:
    """By how much the frames that `read_frames` gives stand later than the file shows them.

    Args:
        path: the file.
        info: its probe.
        frames: how many frames it gives at `FRAME_RATE`.

    Returns:
        The mean, seconds; 0 for a file that has that rate itself.
    """
    if not frames or info.frame_rate == FRAME_RATE:
        return 0.0
    times_s = clock.grid_times_s(
        frame_times_s(path, info=info), frames=frames, frame_rate=FRAME_RATE
    )
    return float(np.mean(np.arange(frames) / FRAME_RATE - times_s))
