"""The one pass of run_pipeline.py: any video to frames, video.avi and audio.wav."""

import contextlib
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np

from models.features import FRAME_RATE, SAMPLE_RATE
from pipeline.errors import PipelineError
from pipeline.media import clock
from pipeline.media.decode import named_colour, raw_frames
from pipeline.media.encode import PICTURE_QUALITY, encoded
from pipeline.media.probe import MediaInfo, beside
from pipeline.media.process import (
    Process,
    arguments,
    file_name,
    last_line,
    open_input,
    require_encoders,
)

SHORT_S = 0.5  # a picture that ends so much before its packets do is damaged
MISSING_SHOWN = 3  # stretches without sound that a notice names


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
            stretches = ", ".join(
                f"{a:.2f} to {b:.2f} s" for a, b in self.missing_s[:MISSING_SHOWN]
            )
            more = len(self.missing_s) - MISSING_SHOWN
            sentences.append(
                f"The sound of {path} breaks off: there is none from {stretches}"
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
        avi, wav: files to write; without `avi`, the picture is only passed on.
        pictures: an existing folder; None keeps no pictures.
        frame_rate: frames per second to convert to.
        hold_bytes: of frames that are kept in memory for `again`; of a larger video none are.

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
        avi: Path | None,
        wav: Path,
        pictures: Path | None,
        frame_rate: int = FRAME_RATE,
        hold_bytes: int = 0,
    ) -> None:
        self._path, self._info, self._pictures = path, info, pictures
        self._avi, self._wav = avi.absolute() if avi else None, wav.absolute()
        self._frame_rate = frame_rate
        self._hold_bytes = hold_bytes
        self._held: list[np.ndarray] = []
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
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=self._wav.parent)))
            contents = clock.read_contents(self._path, self._info, folder)
            self.audible = contents.sound is not None and contents.sound.samples > 0
            self.total_frames = round(contents.picture_s * self._frame_rate) or None
            process = stack.enter_context(
                Process(
                    self._command(contents.sound if self.audible else None),
                    folder=folder,
                    files=[*([self._avi] if self._avi else []), self._wav],
                )
            )
            for frame in process.frames((self._info.height_px, self._info.width_px, 3)):
                self.frames += 1
                self._hold(frame)
                yield frame
            failed = process.wait() != 0
            reason, messages = process.reason(), process.messages()
            self._check_count(reason)
            times_s = clock.read_picture_times(folder, self._info)
        self.times_s = clock.grid_times_s(times_s, frames=self.frames, frame_rate=self._frame_rate)
        self.damage = self._damage(contents, messages, reason, failed=failed)
        if contents.sound is not None:
            self.sound = self._sound_report(contents.sound)

    def _check_count(self, reason: str) -> None:
        stored = self.frames
        if self._pictures is not None:
            stored = sum(1 for _ in self._pictures.glob("*.jpg"))
        if not self.frames or stored != self.frames:
            raise PipelineError(f"Decoding {self._path} failed after {stored} frames: {reason}.")

    def _hold(self, frame: np.ndarray) -> None:
        """Keeps a frame for `again`, as long as all of them fit."""
        if self.frames * frame.nbytes <= self._hold_bytes:
            self._held.append(frame)
        else:
            self._held.clear()

    def again(self) -> Generator[np.ndarray]:
        """The same frames a second time, without the loss of JPEG: held ones, or decoded again.

        Raises:
            PipelineError: ffmpeg gives fewer of them than before.
        """
        if self._held:
            yield from self._held
            return
        source = open_input(self._path)
        command = raw_frames(source, self._info, self._clocked(source), pixels="bgr24")
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
        video = named_colour(video, self._info.colour)
        # A size that changes midway would shear every later frame of the raw pipe.
        size_px = self._info.width_px, self._info.height_px
        # Else the scaler takes the format of one output, and all others are converted from it.
        return video.filter("scale", *size_px, out_range="tv").filter("format", "yuv420p")

    def _command(self, sound: clock.Sound | None) -> list[str]:
        source = open_input(self._path)
        with_pictures = self._pictures is not None
        clocked = self._clocked(source, times=True)
        branches = 1 + (self._avi is not None) + with_pictures
        split = clocked.filter_multi_output("split", branches) if branches > 1 else [clocked]
        outputs = [ffmpeg.output(split[0], "pipe:1", format="rawvideo", pix_fmt="bgr24")]
        quality = {"q:v": PICTURE_QUALITY}
        if self._pictures is not None:
            # Tables made for each picture would save a 25th of its bytes for an eighth of its time.
            jpeg = {"format": "image2", "pix_fmt": "yuvj420p", "huffman": "default"} | quality
            # image2 expands a % in the path, too.
            folder = file_name(self._pictures.absolute()).replace("%", "%%")
            outputs.append(ffmpeg.output(split[branches - 1], f"{folder}/%06d.jpg", **jpeg))
        audio, mono = self._sound_input(sound)
        if self._avi is not None:
            streams = [split[1]] if audio is None else [split[1], audio]
            encoding = encoded(self._frame_rate) | quality
            encoding |= {} if audio is None else {"acodec": "copy"}
            outputs.append(ffmpeg.output(*streams, file_name(self._avi), **encoding))
        if audio is not None:
            wav = {"acodec": "pcm_s16le", "ar": SAMPLE_RATE} | mono
            outputs.append(ffmpeg.output(audio, file_name(self._wav), **wav))
        outputs += beside(source, self._info.audio_stream)
        return arguments(ffmpeg.merge_outputs(*outputs))

    def _sound_input(self, sound: clock.Sound | None) -> tuple[Any, dict[str, Any]]:
        """The sound as an input, None without any, and the options that make one channel of it."""
        if sound is None:
            return None, {}
        raw = {"format": "s16le", "ar": sound.sample_rate, "ac": sound.channels}
        audio = ffmpeg.input(file_name(sound.file), **raw)["a:0"]
        if sound.channel is not None:
            return audio, {"af": f"pan=mono|c0=c{sound.channel}"}
        if sound.channels > 2:  # without a layout ffmpeg does not know how to mix
            mix = "+".join(f"{1 / sound.channels:.6f}*c{i}" for i in range(sound.channels))
            return audio, {"af": f"pan=mono|c0={mix}"}
        return audio, {"ac": 1}

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
        damaged = seconds < contents.picture_s - SHORT_S and messages.strip()
        claimed_s = self._info.duration_s or 0.0
        cut = end_s < claimed_s - SHORT_S and (messages + contents.messages).strip()
        if not (failed or damaged or cut):
            return None
        if not messages.strip():
            reason = last_line(contents.messages)
        return (
            f"{self._path} is damaged: it broke after {seconds:.2f} s "
            f"({reason}); what was good before is kept."
        )
