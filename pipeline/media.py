"""The only room that talks to ffmpeg: find it, probe, decode, encode, mux.

Commands are built by ffmpeg-python and run here as argument lists, never through a shell. Pixels
are read through a raw pipe, because that is identical from one ffmpeg version to the next and a
re-encoded file is not. Rates are converted by the `fps` filter: `-r 25` into AVI stores repeated
frames as empty packets that readers drop, and the picture then runs away from the sound.
"""

import contextlib
import functools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import ffmpeg
import imageio_ffmpeg
import numpy as np

from models.features import FRAME_RATE, SAMPLE_RATE
from pipeline.errors import InputError, PipelineError

# Formats that name other files, or turn any text into a picture.
REFUSED_FORMATS = {"hls", "concat", "concatf", "dash", "imf", "tty", "webm_dash_manifest"}
MPEG4_QUALITY = 2  # -q:v of every MPEG-4 and JPEG the toolkit writes; 2 is the best the scale has


@dataclass(frozen=True)
class MediaInfo:
    """What a file says about itself, and the size its first frame really decodes to.

    Attributes:
        format_name: ffmpeg's demuxer, e.g. "mov,mp4,m4a,3gp,3g2,mj2".
        duration_s: the header's claim, None where there is none; good for progress bars only.
        frame_rate: the header's claim, None where there is none.
        width_px, height_px: of the upright first frame; 0 without a video stream.
        has_audio: there is at least one sound stream ffmpeg can decode.
    """

    format_name: str
    duration_s: float | None
    frame_rate: float | None
    width_px: int
    height_px: int
    has_audio: bool


@functools.lru_cache(maxsize=1)
def find_ffmpeg() -> str:
    """Path of the ffmpeg to use: $FFMPEG_BINARY, then PATH, then the one imageio-ffmpeg brings.

    Raises:
        InputError: $FFMPEG_BINARY names no program, or there is no ffmpeg at all.
    """
    named = os.environ.get("FFMPEG_BINARY")
    if named:
        found = shutil.which(named)
        if not found:
            raise InputError(f"FFMPEG_BINARY={named} is not a program; correct or unset it.")
        return found
    found = shutil.which("ffmpeg")
    if found:
        return found
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise InputError(
            "There is no ffmpeg: install it (apt install ffmpeg, brew install ffmpeg) "
            "or pip install imageio-ffmpeg."
        ) from error


@functools.lru_cache(maxsize=1)
def ffmpeg_version() -> str:
    """First line of `ffmpeg -version`, for the record beside results."""
    result = subprocess.run(
        [find_ffmpeg(), "-version"], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return result.stdout.decode(errors="replace").partition("\n")[0].strip()


def open_input(path: Path) -> Any:
    """An ffmpeg-python input of a local file.

    The `file:` prefix keeps names with a colon or a leading dash from meaning something else.
    """
    return ffmpeg.input(f"file:{path}", protocol_whitelist="file,pipe")


def arguments(stream: Any, *, log_level: str = "error") -> list[str]:
    """The command line of an ffmpeg-python stream; overwrites, never reads the terminal."""
    stream = stream.global_args("-hide_banner", "-nostdin", "-loglevel", log_level)
    return list(stream.compile(cmd=find_ffmpeg(), overwrite_output=True))


def probe(path: Path) -> MediaInfo:
    """Reads a file's header and decodes its first frame; works without ffprobe.

    Raises:
        InputError: the file is absent, empty, no media, a playlist, or nothing in it decodes.
    """
    if not path.is_file():
        raise InputError(f"{path} is not a file; give the path of a video.")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty; give a video that was written completely.")
    # PPM says its own size, after rotation, which no header says reliably.
    frame = ffmpeg.output(
        open_input(path)["V:0?"], "pipe:1", format="image2pipe", vcodec="ppm", vframes=1
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
            f"{path} is not a video ffmpeg can read ({_last_line(log)}); "
            "it may be truncated or of another type."
        )
    if REFUSED_FORMATS & set(header[1].split(",")):
        raise InputError(f"{path} is a {header[1]} file, not a video; give a video file.")
    return _media_info(path, header[1], log, first_frame=result.stdout)


def _media_info(path: Path, format_name: str, log: str, *, first_frame: bytes) -> MediaInfo:
    described = log.partition("Stream mapping:")[0].partition("Output #0")[0]
    streams = re.findall(r"^ +Stream #0:\d+.*", described, re.MULTILINE)
    videos = [line for line in streams if ": Video:" in line and "(attached pic)" not in line]
    has_audio = any(": Audio:" in line and ": Audio: none" not in line for line in streams)
    size = re.match(rb"P6\s+(\d+)\s+(\d+)\s+255\s", first_frame)
    if videos and not size:
        raise InputError(
            f"{path} has a video stream, but no frame of it can be decoded ({_last_line(log)})."
        )
    duration = re.search(r"Duration: (\d+):(\d+):(\d+\.\d+)", described)
    rate = re.search(r"([\d.]+) fps", videos[0]) if videos else None
    return MediaInfo(
        format_name=format_name,
        duration_s=_clock_s(*duration.groups()) if duration else None,
        frame_rate=float(rate[1]) if rate else None,
        width_px=int(size[1]) if size else 0,
        height_px=int(size[2]) if size else 0,
        has_audio=has_audio,
    )


def _clock_s(hours: str, minutes: str, seconds: str) -> float:
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _last_line(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    telling = [line for line in lines if "At least one output" not in line]
    return re.sub(r"^\[[^]]*\] *", "", telling[-1]) if telling else "no message"


def read_frames(
    path: Path,
    *,
    frame_rate: float | None = FRAME_RATE,
    size_px: tuple[int, int] | None = None,
    grey: bool = False,
) -> Iterator[np.ndarray]:
    """Streams a video's frames; memory stays at one frame.

    Args:
        path: a video file.
        frame_rate: frames per second to convert to, None for the frames as they are stored.
        size_px: (width, height) to scale to, None for the size of the first frame.
        grey: one channel instead of BGR.

    Yields:
        (H, W, 3) uint8 BGR, or (H, W) uint8; read-only views of the pipe's bytes.

    Raises:
        InputError: `path` has no video stream.
        PipelineError: ffmpeg stopped with an error.
    """
    if size_px is None:
        info = probe(path)
        if not info.width_px:
            raise InputError(f"{path} has no video stream; give a video.")
        size_px = (info.width_px, info.height_px)
    video = open_input(path)["V:0"]
    if frame_rate is not None:
        video = video.filter("fps", fps=frame_rate, start_time=0)
    video = video.filter("scale", size_px[0], size_px[1], flags="area")
    pixel_format = "gray" if grey else "bgr24"
    rate = {"fps_mode": "passthrough"} if frame_rate is None else {}
    stream = ffmpeg.output(video, "pipe:1", format="rawvideo", pix_fmt=pixel_format, **rate)
    shape = (size_px[1], size_px[0]) if grey else (size_px[1], size_px[0], 3)
    with _Process(arguments(stream)) as process:
        yield from process.frames(shape)
        process.check(f"Decoding {path}")


def read_audio(path: Path, *, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """The first sound stream as mono int16, sample 0 at the time of video frame 0.

    Returns:
        (n,) int16; empty when the file has no sound.

    Raises:
        PipelineError: ffmpeg could not read it.
    """
    if not probe(path).has_audio:
        return np.zeros(0, np.int16)
    stream = ffmpeg.output(
        _audio_on_video_clock(open_input(path)),
        "pipe:1",
        format="s16le",
        ac=1,
        ar=sample_rate,
    )
    with _Process(arguments(stream)) as process:
        samples = np.frombuffer(process.read(), np.int16)
        process.check(f"Reading the sound of {path}")
    return samples


def _audio_on_video_clock(source: Any) -> Any:
    # Streams may start at different times; both are put on the file's own zero.
    return source["a:0"].filter("aresample", **{"async": 1, "first_pts": 0})


class Normalisation:
    """Decodes a video once and makes from that pass everything the later stages need.

    Iterating yields the frames, (H, W, 3) uint8 BGR, while `video.avi` (MPEG-4, pcm_s16le at the
    source's rate), the pictures `%06d.jpg` from 000001 and, where there is sound, a mono 16 kHz
    wav are written. All start at the same instant and share one clock.

    Args:
        path: the input video.
        info: its probe.
        avi, wav: files to write.
        pictures: an existing folder.
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
        pictures: Path,
        frame_rate: int = FRAME_RATE,
    ) -> None:
        self._path, self._info, self._pictures = path, info, pictures
        self._frame_rate = frame_rate
        self._command = arguments(
            ffmpeg.merge_outputs(
                *_normalised(path, info, avi=avi.absolute(), wav=wav.absolute(), rate=frame_rate)
            )
        )
        self.damage: str | None = None
        self.frames = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        """Runs the pass.

        Raises:
            PipelineError: ffmpeg gave no frame, or could not write.
        """
        # In that folder the pattern is a bare name: image2 would expand a % in its path.
        with _Process(self._command, folder=self._pictures) as process:
            for frame in process.frames((self._info.height_px, self._info.width_px, 3)):
                self.frames += 1
                yield frame
            failed = process.wait() != 0
            messages = process.messages()
        written = sum(1 for _ in self._pictures.glob("*.jpg"))
        if not self.frames or written != self.frames:
            raise PipelineError(
                f"Decoding {self._path} failed after {written} frames: {_last_line(messages)}."
            )
        self.damage = self._damage(messages, failed=failed)

    def _damage(self, messages: str, *, failed: bool) -> str | None:
        seconds = self.frames / self._frame_rate
        short = self._info.duration_s is not None and seconds < self._info.duration_s - 0.5
        # Decoders grumble about files that play well: only a grumble and missing time is damage.
        if not failed and not (short and messages.strip()):
            return None
        return (
            f"{self._path} is damaged: it broke after {seconds:.2f} s "
            f"({_last_line(messages)}); what was good before is kept."
        )


def _normalised(path: Path, info: MediaInfo, *, avi: Path, wav: Path, rate: int) -> list[Any]:
    source = open_input(path.absolute())
    split = (
        source["V:0"]
        .filter("fps", fps=rate, start_time=0)
        # A size that changes midway would shear every later frame of the raw pipe.
        .filter("scale", info.width_px, info.height_px)
        .filter_multi_output("split", 3)
    )
    raw, pictures, coded = split[0], split[1], split[2]
    outputs = [
        ffmpeg.output(raw, "pipe:1", format="rawvideo", pix_fmt="bgr24"),
        ffmpeg.output(
            pictures, "%06d.jpg", format="image2", pix_fmt="yuvj420p", **{"q:v": MPEG4_QUALITY}
        ),
    ]
    encoding = {"vcodec": "mpeg4", "pix_fmt": "yuv420p", "q:v": MPEG4_QUALITY}
    if not info.has_audio:
        return [*outputs, ffmpeg.output(coded, f"file:{avi}", **encoding)]
    sound = _audio_on_video_clock(source).filter_multi_output("asplit", 2)
    return [
        *outputs,
        ffmpeg.output(coded, sound[0], f"file:{avi}", acodec="pcm_s16le", **encoding),
        ffmpeg.output(sound[1], f"file:{wav}", acodec="pcm_s16le", ac=1, ar=SAMPLE_RATE),
    ]


class VideoWriter:
    """Encodes frames to MPEG-4 in AVI, with a sound file beside them; a context manager.

    Args:
        path: file to write; appears only when the context ends without an error.
        size_px: (width, height) of the frames.
        frame_rate: frames per second.
        audio: raw mono int16 samples at 16 kHz to carry as pcm_s16le, None for silence.
    """

    def __init__(
        self,
        path: Path,
        *,
        size_px: tuple[int, int],
        frame_rate: int = FRAME_RATE,
        audio: Path | None = None,
    ) -> None:
        self._path = path
        self._partial = partial_path(path)
        video = ffmpeg.input(
            "pipe:0",
            format="rawvideo",
            pix_fmt="bgr24",
            s=f"{size_px[0]}x{size_px[1]}",
            framerate=frame_rate,
        )
        options = {"vcodec": "mpeg4", "vtag": "XVID", "pix_fmt": "yuv420p", "q:v": MPEG4_QUALITY}
        streams = [video]
        if audio is not None:
            streams.append(ffmpeg.input(f"file:{audio}", format="s16le", ar=SAMPLE_RATE, ac=1))
            options |= {"acodec": "pcm_s16le"}
        output = ffmpeg.output(*streams, f"file:{self._partial}", format="avi", **options)
        self._process = _Process(arguments(output), stdin=subprocess.PIPE)

    def __enter__(self) -> "VideoWriter":
        self._process.__enter__()
        return self

    def write(self, frame: np.ndarray) -> None:
        """Appends one (H, W, 3) uint8 BGR frame."""
        self._process.write(np.ascontiguousarray(frame).data, f"Writing {self._path}")

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                self._process.check(f"Writing {self._path}")
                self._partial.replace(self._path)
        finally:
            self._process.__exit__(kind, *rest)
            self._partial.unlink(missing_ok=True)


def mux(video: Path, audio: Path | None, output: Path) -> None:
    """Puts a picture file and a sound file, if any, into one AVI without re-encoding either.

    Raises:
        PipelineError: ffmpeg refused.
    """
    partial = partial_path(output)
    streams = [open_input(video)["v:0"]]
    if audio is not None:
        streams.append(open_input(audio)["a:0"])
    stream = ffmpeg.output(*streams, f"file:{partial}", format="avi", codec="copy")
    try:
        with _Process(arguments(stream)) as process:
            process.check(f"Writing {output}")
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)


def partial_path(path: Path) -> Path:
    """Where a file is written before it is renamed to `path`: beside it, so renaming is atomic."""
    return path.with_name(f".{path.name}.partial")


class _Process:
    """One ffmpeg process; its messages go to a file, because an undrained pipe would stall it."""

    def __init__(
        self, command: list[str], *, folder: Path | None = None, stdin: int = subprocess.DEVNULL
    ) -> None:
        self._command = command
        self._folder = folder
        self._stdin = stdin
        self._messages: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "_Process":
        self._process = subprocess.Popen(
            self._command,
            cwd=self._folder,
            stdin=self._stdin,
            stdout=subprocess.DEVNULL if self._stdin == subprocess.PIPE else subprocess.PIPE,
            stderr=self._messages,
        )
        return self

    def __exit__(self, *error: object) -> None:
        process = self._running()
        if process.poll() is None:
            process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # killed before it took its last bytes
                    pipe.close()
        process.wait()
        self._messages.close()

    def _running(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "used outside its context"
        return self._process

    def read(self) -> bytes:
        """Everything the process prints."""
        pipe = self._running().stdout
        assert pipe is not None
        return pipe.read()

    def frames(self, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
        """Cuts the raw pipe into frames; a torn last frame is dropped."""
        pipe = self._running().stdout
        assert pipe is not None
        size = int(np.prod(shape))
        while len(data := pipe.read(size)) == size:
            yield np.frombuffer(data, np.uint8).reshape(shape)

    def write(self, data: memoryview, doing: str) -> None:
        """Feeds the process; its own reason is raised when it has gone."""
        pipe = self._running().stdin
        assert pipe is not None
        try:
            pipe.write(data)
        except BrokenPipeError:
            self.check(doing)
            raise PipelineError(f"{doing} failed: ffmpeg stopped early.") from None

    def wait(self) -> int:
        """Ends the input, waits for the process and gives its exit status."""
        process = self._running()
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it died early; its status says so
                process.stdin.close()
        return process.wait()

    def check(self, doing: str) -> None:
        """Waits for the process to end.

        Raises:
            PipelineError: it failed; the sentence ends with ffmpeg's last message.
        """
        if self.wait() != 0:
            raise PipelineError(f"{doing} failed: {_last_line(self.messages())}.")

    def messages(self) -> str:
        """What the process has written to stderr so far."""
        self._messages.seek(0)
        return self._messages.read().decode(errors="replace")
