"""Media files to frames and samples: decode, normalise.

Pixels are read through a raw pipe, because that is identical from one ffmpeg version to the next
and a re-encoded file is not. Times and rates are clock.py's; what a file is, is probe.py's.
"""

import contextlib
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np

from models.features import FRAME_RATE, SAMPLE_RATE
from pipeline.errors import InputError, PipelineError
from pipeline.media import clock
from pipeline.media.encode import PICTURE_QUALITY, encoded
from pipeline.media.planes import buffer_bytes
from pipeline.media.probe import Colour, MediaInfo, beside, probe
from pipeline.media.process import (
    Process,
    arguments,
    every_frame,
    file_name,
    last_line,
    open_input,
    require_encoders,
)

__all__ = [
    "Colour",
    "MediaInfo",
    "Normalisation",
    "SoundReport",
    "frame_times_s",
    "picture_late_s",
    "probe",
    "read_audio",
    "read_frames",
    "read_planes",
    "read_sound",
]

SHORT_S = 0.5  # a picture that ends so much before its packets do is damaged
MISSING_SHOWN = 3  # stretches without sound that a notice names


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
    """Streams a video's frames as they are stored, without conversion: see planes.py.

    Args:
        path: a video file.
        size_px: (width, height) to scale to, None for the size of the first frame.
        frame_rate: frames per second to convert to, None for the frames as they are stored.
        info: the file's probe, where there is one already.

    Yields:
        (`planes.buffer_bytes`,) uint8 yuv420p, brightness from 16 to 235, in the file's own
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
        return source, _named_colour(source["V:0"], info.colour), every_frame()
    on_grid = clock.on_grid(source, info, frame_rate=frame_rate)
    return source, _named_colour(on_grid, info.colour), {}


def _named_colour(video: Any, colour: Colour) -> Any:
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
    with Process(_raw_frames(source, info, video, pixels=pixels, options=options)) as process:
        yield from process.frames(shape)
        process.check(f"Decoding {path}")


def _raw_frames(
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
    shown_s = clock.grid_times_s(
        frame_times_s(path, info=info), frames=frames, frame_rate=FRAME_RATE
    )
    return float(np.mean(np.arange(frames) / FRAME_RATE - shown_s))


@dataclass(frozen=True)
class SoundReport:
    """Which sound was taken, and what is missing of it.

    Attributes:
        audio_stream: index among the file's sound streams.
        audio_streams: how many there are.
        channel: index of the channel that was taken alone, None where all were mixed.
        missing_s: (start, end) of stretches within the picture that have no sound, seconds.
    """

    audio_stream: int
    audio_streams: int
    channel: int | None
    missing_s: tuple[tuple[float, float], ...]

    def notices(self, path: Path) -> list[str]:
        """Sentences for the user."""
        sentences = []
        if self.audio_streams > 1:
            sentences.append(
                f"{path} has {self.audio_streams} sound streams; number {self.audio_stream} is "
                "used, --audio_stream chooses another."
            )
        if self.channel is not None:
            sentences.append(
                f"The channels of {path} cancel each other out when they are mixed; channel "
                f"{self.channel + 1} is used alone."
            )
        if self.missing_s:
            shown = ", ".join(f"{a:.2f} to {b:.2f} s" for a, b in self.missing_s[:MISSING_SHOWN])
            more = len(self.missing_s) - MISSING_SHOWN
            sentences.append(
                f"The sound of {path} breaks off: there is none from {shown}"
                f"{f' and {more} more times' if more > 0 else ''}; "
                "nothing is measured there."
            )
        return sentences


class Normalisation:
    """Decodes a video once and makes from that pass everything the later stages need.

    Iterating yields the frames, (H, W, 3) uint8 BGR, while `video.avi` (MPEG-4, pcm_s16le at the
    source's rate), the pictures `%06d.jpg` from 000001 where they are wanted and, where there is
    sound, a mono 16 kHz wav are written. All start at the same instant and share one clock.

    Args:
        path: the input video.
        info: its probe.
        avi, wav: files to write.
        pictures: an existing folder; None keeps no pictures.
        frame_rate: frames per second to convert to.

    Attributes:
        damage: after the iteration, one sentence when the file broke before its end, else None.
        sound: after the iteration, which sound stream was taken; None without any.
        audible: whether there was anything in it, and so a wav.
        frames: how many frames there were.
        total_frames: how many are expected, once the iteration has begun.
        times_s: after the iteration, (frames,) float64, when the source shows each of them.
    """

    def __init__(
        self,
        path: Path,
        info: MediaInfo,
        *,
        avi: Path,
        wav: Path,
        pictures: Path | None,
        frame_rate: int = FRAME_RATE,
    ) -> None:
        self._path, self._info, self._pictures = path, info, pictures
        self._avi, self._wav = avi.absolute(), wav.absolute()
        self._frame_rate = frame_rate
        self.damage: str | None = None
        self.sound: SoundReport | None = None
        self.audible = False
        self.frames = 0
        self.total_frames: int | None = None
        self.times_s = np.zeros(0)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Runs the pass.

        Raises:
            PipelineError: ffmpeg gave no frame, or could not write.
        """
        require_encoders("mpeg4", "mjpeg", "pcm_s16le")
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=self._avi.parent)))
            contents = clock.read_contents(self._path, self._info, folder)
            self.audible = contents.sound is not None and contents.sound.samples > 0
            self.total_frames = round(contents.picture_s * self._frame_rate) or None
            process = stack.enter_context(
                Process(
                    self._command(contents.sound if self.audible else None),
                    folder=folder,
                    files=[self._avi, self._wav],
                )
            )
            for frame in process.frames((self._info.height_px, self._info.width_px, 3)):
                self.frames += 1
                yield frame
            failed = process.wait() != 0
            reason, messages = process.reason(), process.messages()
            self._check_count(reason)
            shown_s = clock.read_picture_times(folder, self._info)
        self.times_s = clock.grid_times_s(shown_s, frames=self.frames, frame_rate=self._frame_rate)
        self.damage = self._damage(contents, messages, reason, failed=failed)
        if contents.sound is not None:
            self.sound = self._sound_report(contents.sound)

    def _check_count(self, reason: str) -> None:
        written = self.frames
        if self._pictures is not None:
            written = sum(1 for _ in self._pictures.glob("*.jpg"))
        if not self.frames or written != self.frames:
            raise PipelineError(f"Decoding {self._path} failed after {written} frames: {reason}.")

    def again(self) -> Generator[np.ndarray]:
        """The same frames a second time, decoded again, so without the loss of JPEG.

        Raises:
            PipelineError: ffmpeg gives fewer of them than before.
        """
        source = open_input(self._path)
        command = _raw_frames(source, self._info, self._clocked(source), pixels="bgr24")
        count = 0
        with Process(command) as process:
            for frame in process.frames((self._info.height_px, self._info.width_px, 3)):
                count += 1
                yield frame
            messages = process.messages()
        if count != self.frames:
            raise PipelineError(
                f"Decoding {self._path} gave {self.frames} frames first and {count} then "
                f"({last_line(messages)}); was it changed meanwhile?"
            )

    def _clocked(self, source: Any, *, times: bool = False) -> Any:
        """The picture, upright, in one size, on the grid."""
        video = clock.on_grid(source, self._info, frame_rate=self._frame_rate, times=times)
        video = _named_colour(video, self._info.colour)
        # A size that changes midway would shear every later frame of the raw pipe.
        size_px = self._info.width_px, self._info.height_px
        # Else the scaler takes the format of one output, and all others are converted from it.
        return video.filter("scale", *size_px, out_range="tv").filter("format", "yuv420p")

    def _command(self, sound: clock.Sound | None) -> list[str]:
        source = open_input(self._path)
        kept = self._pictures is not None
        clocked = self._clocked(source, times=True)
        split = clocked.filter_multi_output("split", 3 if kept else 2)
        outputs = [ffmpeg.output(split[0], "pipe:1", format="rawvideo", pix_fmt="bgr24")]
        quality = {"q:v": PICTURE_QUALITY}
        if self._pictures is not None:
            # Tables made for each picture would save a 25th of its bytes for an eighth of its time.
            jpeg = {"format": "image2", "pix_fmt": "yuvj420p", "huffman": "default"} | quality
            # image2 expands a % in the path, too.
            folder = file_name(self._pictures.absolute()).replace("%", "%%")
            outputs.append(ffmpeg.output(split[2], f"{folder}/%06d.jpg", **jpeg))
        outputs += self._with_sound(split[1], sound, encoded(self._frame_rate) | quality)
        outputs += beside(source, self._info.audio_stream)
        return arguments(ffmpeg.merge_outputs(*outputs))

    def _with_sound(
        self, video: Any, sound: clock.Sound | None, encoding: dict[str, Any]
    ) -> list[Any]:
        avi = file_name(self._avi)
        if sound is None:
            return [ffmpeg.output(video, avi, **encoding)]
        raw = {"format": "s16le", "ar": sound.sample_rate, "ac": sound.channels}
        heard = ffmpeg.input(file_name(sound.file), **raw)["a:0"]
        mono: dict[str, Any] = {"ac": 1}
        if sound.channel is not None:
            mono = {"af": f"pan=mono|c0=c{sound.channel}"}
        elif sound.channels > 2:  # without a layout ffmpeg does not know how to mix
            mix = "+".join(f"{1 / sound.channels:.6f}*c{i}" for i in range(sound.channels))
            mono = {"af": f"pan=mono|c0={mix}"}
        return [
            ffmpeg.output(video, heard, avi, acodec="copy", **encoding),
            ffmpeg.output(heard, file_name(self._wav), acodec="pcm_s16le", ar=SAMPLE_RATE, **mono),
        ]

    def _sound_report(self, sound: clock.Sound) -> SoundReport:
        """What of the sound is missing while there is a picture."""
        end_s = self.frames / self._frame_rate
        missing = [(start, min(end, end_s)) for start, end in sound.missing_s if start < end_s]
        last_s = sound.samples / sound.sample_rate
        if end_s - last_s >= clock.LEAST_MISSING_S:
            missing.append((last_s, end_s))
        assert self._info.audio_stream is not None
        return SoundReport(
            audio_stream=self._info.audio_stream,
            audio_streams=len(self._info.audio_streams),
            channel=sound.channel,
            missing_s=tuple((round(start, 3), round(end, 3)) for start, end in missing),
        )

    def _damage(
        self, contents: clock.Contents, messages: str, reason: str, *, failed: bool
    ) -> str | None:
        """One sentence where pictures are missing: of what the packets hold, or of the file's end.

        Decoders grumble about files that play well, and headers claim any length: only both
        together are damage.
        """
        seconds = self.frames / self._frame_rate
        sound_s = contents.sound.samples / contents.sound.sample_rate if contents.sound else 0.0
        end_s = max(contents.picture_s, sound_s)
        lost = seconds < contents.picture_s - SHORT_S and messages.strip()
        claimed_s = self._info.duration_s or 0.0
        cut = end_s < claimed_s - SHORT_S and (messages + contents.messages).strip()
        if not (failed or lost or cut):
            return None
        if not messages.strip():
            reason = last_line(contents.messages)
        return (
            f"{self._path} is damaged: it broke after {seconds:.2f} s "
            f"({reason}); what was good before is kept."
        )
