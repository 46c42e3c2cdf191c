"""Media files to frames and samples: probe, decode, normalise.

Pixels are read through a raw pipe, because that is identical from one ffmpeg version to the next
and a re-encoded file is not. Rates are converted by the `fps` filter: `-r 25` into AVI stores
repeated frames as empty packets that readers drop, and the picture then runs away from the sound.
"""

import contextlib
import re
import subprocess
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np

from models.features import FRAME_RATE, SAMPLE_RATE
from pipeline.errors import InputError, PipelineError
from pipeline.planes import buffer_bytes
from pipeline.process import PIPE, Process, arguments, last_line, open_input
from pipeline.writers import PICTURE_QUALITY, encoded

PIPED_SOUND = "nut"  # ffmpeg's own container: keeps time stamps, knows no largest size
# Formats that name other files, or turn any text into a picture.
REFUSED_FORMATS = {"hls", "concat", "concatf", "dash", "imf", "tty", "webm_dash_manifest"}


@dataclass(frozen=True)
class Colour:
    """How brightness and colour difference stand for colours.

    Attributes:
        matrix: bt601, bt709 or bt2020.
        primaries, transfer: ffmpeg's names of what the file says, None where it says nothing.
        tagged: whether the file names its matrix; else it is guessed by height, as players do.
    """

    matrix: str = "bt601"
    primaries: str | None = None
    transfer: str | None = None
    tagged: bool = False


@dataclass(frozen=True)
class MediaInfo:
    """What a file says about itself, and the size its first frame really decodes to.

    Attributes:
        format_name: ffmpeg's demuxer, e.g. "mov,mp4,m4a,3gp,3g2,mj2".
        duration_s: the header's claim, None where there is none; good for progress bars only.
        frame_rate: the header's claim, None where there is none.
        width_px, height_px: of the upright first frame; 0 without a video stream.
        has_audio: there is at least one sound stream ffmpeg can decode.
        sample_rate, channels: of the first one, as it starts; more than two channels count as 2.
    """

    format_name: str
    duration_s: float | None
    frame_rate: float | None
    width_px: int
    height_px: int
    has_audio: bool
    sample_rate: int
    channels: int
    sar: Fraction = Fraction(1)
    colour: Colour = Colour()


def probe(path: Path) -> MediaInfo:
    """Reads a file's header and decodes its first frame; works without ffprobe.

    Raises:
        InputError: the file is absent, empty, no media, a playlist, or nothing in it decodes.
    """
    if not path.is_file():
        raise InputError(f"{path} is not a file; give the path of a video.")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty; give a video that was written completely.")
    # PPM says its own size, after rotation, which no header says reliably; eight bits, since
    # the encoder would take ten-bit video as sixteen.
    frame = ffmpeg.output(
        open_input(path)["V:0?"],
        "pipe:1",
        format="image2pipe",
        vcodec="ppm",
        pix_fmt="rgb24",
        vframes=1,
    )
    result = subprocess.run(
        arguments(frame, log_level="info"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    log = result.stderr.decode(errors="replace")
    header = re.search(r"^Input #0, (.+?), from ", log, re.MULTILINE)
    if not header:
        raise InputError(
            f"{path} is not a video ffmpeg can read ({last_line(log)}); "
            "it may be truncated or of another type."
        )
    if REFUSED_FORMATS & set(header[1].split(",")):
        raise InputError(f"{path} is a {header[1]} file, not a video; give a video file.")
    return _media_info(path, header[1], log, first_frame=result.stdout)


def _media_info(path: Path, format_name: str, log: str, *, first_frame: bytes) -> MediaInfo:
    described = log.partition("Stream mapping:")[0].partition("Output #0")[0]
    streams = re.findall(r"^ +Stream #0:\d+.*", described, re.MULTILINE)
    videos = [line for line in streams if ": Video:" in line and "(attached pic)" not in line]
    sounds = [line for line in streams if ": Audio:" in line and ": Audio: none" not in line]
    sound = re.search(r"(\d+) Hz, (\w+)", sounds[0]) if sounds else None
    # Without a video stream ffmpeg may have picked cover art on its own.
    size = re.match(rb"P6\s+(\d+)\s+(\d+)\s+255\s", first_frame) if videos else None
    if videos and not size:
        raise InputError(
            f"{path} has a video stream, but no frame of it can be decoded ({last_line(log)})."
        )
    duration = re.search(r"Duration: (\d+):(\d+):(\d+\.\d+)", described)
    rate = re.search(r"([\d.]+) fps", videos[0]) if videos else None
    return MediaInfo(
        format_name=format_name,
        duration_s=_clock_s(*duration.groups()) if duration else None,
        frame_rate=float(rate[1]) if rate else None,
        width_px=int(size[1]) if size else 0,
        height_px=int(size[2]) if size else 0,
        has_audio=bool(sounds),
        sample_rate=int(sound[1]) if sound else SAMPLE_RATE,
        channels=1 if sound and sound[2] == "mono" else 2,
        sar=_sar(videos[0]) if videos else Fraction(1),
        colour=_colour(videos[0], int(size[2])) if videos and size else Colour(),
    )


def _sar(described: str) -> Fraction:
    said = re.search(r"SAR (\d+):(\d+)", described)
    return Fraction(int(said[1]), int(said[2])) if said else Fraction(1)


def _colour(described: str, height_px: int) -> Colour:
    said = re.search(r"\((?:tv|pc), ([\w/-]+)", described)
    names = said[1].split("/") if said else ["unknown"]
    space, primaries, transfer = names if len(names) == 3 else names[:1] * 3
    matrices = {"smpte170m": "bt601", "bt470bg": "bt601", "bt709": "bt709", "bt2020nc": "bt2020"}
    guess = "bt709" if height_px >= 720 else "bt601"
    known = [None if name not in (*matrices, "bt2020") else name for name in (primaries, transfer)]
    return Colour(matrices.get(space, guess), known[0], known[1], tagged=space in matrices)


def _clock_s(hours: str, minutes: str, seconds: str) -> float:
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


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
    if size_px is None:
        info = info or probe(path)
        if not info.width_px:
            raise InputError(f"{path} has no video stream; give a video.")
        size_px = (info.width_px, info.height_px)
    video = open_input(path)["V:0"]
    if frame_rate is not None:
        video = video.filter("fps", fps=frame_rate, start_time=0)
    video = video.filter("scale", size_px[0], size_px[1], flags="area")
    rate = {"fps_mode": "passthrough"} if frame_rate is None else {}
    yield from _decoded(path, video, (size_px[1], size_px[0], 3), pixels="bgr24", **rate)


def frame_times_s(path: Path, *, info: MediaInfo | None = None) -> np.ndarray:
    """When each stored frame is shown: (frames,) float64 seconds after the first, ascending."""
    del info
    stream = ffmpeg.output(open_input(path)["V:0"], "pipe:1", format="framecrc", c="copy")
    with Process(arguments(stream)) as process:
        text = process.read().decode()
        process.check(f"Reading {path}")
    base = re.search(r"^#tb 0: (\d+)/(\d+)", text, re.MULTILINE)
    rows = [line.split(",") for line in text.splitlines() if not line.startswith("#")]
    times = np.array([[int(row[1]), int(row[2])] for row in rows], np.float64).reshape(-1, 2)
    # AVI and raw streams have no presentation times; without them the order of the file counts.
    ticks = np.sort(times[:, 0 if (times[:, 1] < -(2.0**62)).any() else 1])
    return (ticks - ticks[0]) * int(base[1]) / int(base[2]) if base else ticks


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
        size_px: its (width, height).

    Yields:
        (`planes.buffer_bytes`,) uint8 yuv420p; read-only views of the pipe's bytes.

    Raises:
        PipelineError: ffmpeg stopped with an error.
    """
    if size_px is None:
        info = info or probe(path)
        size_px = (info.width_px, info.height_px)
    video = open_input(path)["V:0"]
    if frame_rate is not None:
        video = video.filter("fps", fps=frame_rate, start_time=0)
    video = video.filter("scale", *size_px, out_range="tv")
    shape = (buffer_bytes(size_px),)
    rate = {"fps_mode": "passthrough"} if frame_rate is None else {}
    yield from _decoded(path, video, shape, pixels="yuv420p", **rate)


def _decoded(
    path: Path, video: Any, shape: tuple[int, ...], *, pixels: str, **rate: str
) -> Iterator[np.ndarray]:
    stream = ffmpeg.output(video, "pipe:1", format="rawvideo", pix_fmt=pixels, **rate)
    with Process(arguments(stream)) as process:
        yield from process.frames(shape)
        process.check(f"Decoding {path}")


def read_audio(
    path: Path, *, sample_rate: int = SAMPLE_RATE, info: MediaInfo | None = None
) -> np.ndarray:
    """The first sound stream as mono int16, sample 0 at the time of video frame 0.

    Args:
        path: a media file.
        sample_rate: samples per second to convert to.
        info: the file's probe, where there is one already.

    Returns:
        (n,) int16; empty when the file has no sound.

    Raises:
        PipelineError: ffmpeg could not read it.
    """
    info = info or probe(path)
    if not info.has_audio:
        return np.zeros(0, np.int16)
    with sound_on_video_clock(path, info, "pipe:1", format="s16le", ac=1, ar=sample_rate) as sound:
        samples = np.frombuffer(sound.read(), np.int16)
        sound.check(f"Reading the sound of {path}")
    return samples


@contextlib.contextmanager
def sound_on_video_clock(
    path: Path, info: MediaInfo, target: str, **options: object
) -> Iterator["Process"]:
    """A process that writes a file's sound so that sample 0 is at the time of video frame 0.

    Streams may start at different times, have gaps, and change their rate or channels midway
    (broadcasts do). The first ffmpeg makes rate and channels constant and keeps the time stamps;
    the second fills what is missing. In one process, the filter that fills would start over at
    every change.
    """
    steady = ffmpeg.output(
        open_input(path)["a:0"].filter("atrim", start=0),
        "pipe:1",
        format=PIPED_SOUND,
        acodec="pcm_s16le",
        ac=info.channels,
        ar=info.sample_rate,
    )
    filled = ffmpeg.input(PIPE, format=PIPED_SOUND, copyts=None).filter(
        "aresample", **{"async": 1, "first_pts": 0}
    )
    with (
        Process(arguments(steady)) as first,
        Process(arguments(ffmpeg.output(filled, target, **options)), stdin=first.stdout) as second,
    ):
        yield second


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
        frames: how many frames there were.
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
        self._frame_rate = frame_rate
        outputs = _normalised(
            self._clocked(),
            avi=avi.absolute(),
            wav=wav.absolute() if info.has_audio else None,
            pictures=pictures is not None,
            frame_rate=frame_rate,
        )
        self._command = arguments(ffmpeg.merge_outputs(*outputs))
        self.damage: str | None = None
        self.frames = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        """Runs the pass.

        Raises:
            PipelineError: ffmpeg gave no frame, or could not write.
        """
        with contextlib.ExitStack() as stack:
            sound = stack.enter_context(self._sound()) if self._info.has_audio else None
            # In that folder the pattern is a bare name: image2 would expand a % in its path.
            process = stack.enter_context(
                Process(
                    self._command,
                    folder=self._pictures,
                    stdin=sound.stdout if sound else subprocess.DEVNULL,
                )
            )
            for frame in process.frames((self._info.height_px, self._info.width_px, 3)):
                self.frames += 1
                yield frame
            failed = process.wait() != 0
            messages = process.messages()
            if sound and not failed:
                sound.check(f"Reading the sound of {self._path}")
        written = self.frames
        if self._pictures is not None:
            written = sum(1 for _ in self._pictures.glob("*.jpg"))
        if not self.frames and PIPE in messages:  # what ffmpeg could not open is the piped sound
            raise PipelineError(
                f"The sound of {self._path} cannot be decoded; give a copy with sound that can, "
                "or without any."
            )
        if not self.frames or written != self.frames:
            raise PipelineError(
                f"Decoding {self._path} failed after {written} frames: {last_line(messages)}."
            )
        self.damage = self._damage(messages, failed=failed)

    def again(self) -> Generator[np.ndarray]:
        """The same frames a second time, as good as they were: no picture file has been between.

        Raises:
            PipelineError: ffmpeg gives fewer of them than before.
        """
        raw = ffmpeg.output(self._clocked(), "pipe:1", format="rawvideo", pix_fmt="bgr24")
        count = 0
        with Process(arguments(raw)) as process:
            for frame in process.frames((self._info.height_px, self._info.width_px, 3)):
                count += 1
                yield frame
            messages = process.messages()
        if count != self.frames:
            raise PipelineError(
                f"Decoding {self._path} gave {self.frames} frames first and {count} then "
                f"({last_line(messages)}); was it changed meanwhile?"
            )

    def _sound(self) -> contextlib.AbstractContextManager[Process]:
        """Prints the sound for the process that writes it; a file would be as large again."""
        return sound_on_video_clock(
            self._path, self._info, "pipe:1", format=PIPED_SOUND, acodec="pcm_s16le"
        )

    def _clocked(self) -> Any:
        """The picture, upright, in one size, at the wanted rate."""
        return (
            open_input(self._path.absolute())["V:0"]
            .filter("fps", fps=self._frame_rate, start_time=0)
            # A size that changes midway would shear every later frame of the raw pipe.
            .filter("scale", self._info.width_px, self._info.height_px, out_range="tv")
            # Else the scaler takes the format of one output, and all others are converted from it.
            .filter("format", "yuv420p")
        )

    def _damage(self, messages: str, *, failed: bool) -> str | None:
        seconds = self.frames / self._frame_rate
        short = self._info.duration_s is not None and seconds < self._info.duration_s - 0.5
        # Decoders grumble about files that play well: only a grumble and missing time is damage.
        if not failed and not (short and messages.strip()):
            return None
        return (
            f"{self._path} is damaged: it broke after {seconds:.2f} s "
            f"({last_line(messages)}); what was good before is kept."
        )


def _normalised(
    clocked: Any, *, avi: Path, wav: Path | None, pictures: bool, frame_rate: int
) -> list[Any]:
    split = clocked.filter_multi_output("split", 3 if pictures else 2)
    outputs = [ffmpeg.output(split[0], "pipe:1", format="rawvideo", pix_fmt="bgr24")]
    quality = {"q:v": PICTURE_QUALITY}
    if pictures:
        # Tables made for each picture would save a 25th of its bytes for an eighth of its time.
        jpeg = {"format": "image2", "pix_fmt": "yuvj420p", "huffman": "default"} | quality
        outputs.append(ffmpeg.output(split[2], "%06d.jpg", **jpeg))
    encoding = encoded(frame_rate) | quality
    if wav is None:
        return [*outputs, ffmpeg.output(split[1], f"file:{avi}", **encoding)]
    heard = ffmpeg.input(PIPE, format=PIPED_SOUND)["a:0"]
    return [
        *outputs,
        ffmpeg.output(split[1], heard, f"file:{avi}", acodec="copy", **encoding),
        ffmpeg.output(heard, f"file:{wav}", acodec="pcm_s16le", ac=1, ar=SAMPLE_RATE),
    ]
