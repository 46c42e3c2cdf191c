"""Running ffmpeg: which one, what it can do, and one process that always has an end.

Commands are built by ffmpeg-python and run as argument lists, never through a shell. Only the
modules that read and write media use this.
"""

import contextlib
import functools
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import ffmpeg
import imageio_ffmpeg
import numpy as np

from pipeline.errors import InputError, PipelineError

PIPE = "pipe:0"  # what a process is written to
STALL_S = 30.0  # a process that moves no byte for so long while it is waited for is stopped
WATCH_EVERY_S = 0.5
OUTPUT_SLACK_BYTES = 64 << 20  # what may be written beyond the pixels and samples that went through
# The largest block ffmpeg may allocate: a picture of 8192 x 8192 fits, a forged one does not.
LARGEST_BLOCK_BYTES = 256 << 20
# The most bytes of sound and times that one byte of a file holds: silence in FLAC is 1000.
MOST_EXPANSION = 5000
FILE_PREFIX = "file:"  # names with a colon or a leading dash mean nothing else after it


@functools.lru_cache(maxsize=1)
def find_ffmpeg() -> str:
    """Path of the ffmpeg to use: $FFMPEG_BINARY, then PATH, then the one imageio-ffmpeg brings.

    Raises:
        InputError: $FFMPEG_BINARY names no program, or there is no ffmpeg at all.
    """
    named = os.environ.get("FFMPEG_BINARY")
    if named:
        program = shutil.which(named)
        if not program:
            raise InputError(f"FFMPEG_BINARY={named} is not a program; correct or unset it.")
        return program
    program = shutil.which("ffmpeg")
    if program:
        return program
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
    return _ask("-version").partition("\n")[0].strip()


@functools.lru_cache(maxsize=1)
def every_frame() -> dict[str, str]:
    """Output options that keep each decoded frame once, whatever its time.

    The option's name changed in ffmpeg 5.1, and the old name is gone since 9.
    """
    return {"vsync": "0"} if older_than(5, 1) else {"fps_mode": "passthrough"}


def older_than(major: int, minor: int) -> bool:
    """Whether this is an ffmpeg before that release; development builds count as new."""
    number = re.search(r"version n?(\d+)\.(\d+)", ffmpeg_version())
    return number is not None and (int(number[1]), int(number[2])) < (major, minor)


@functools.lru_cache(maxsize=1)
def encoders() -> frozenset[str]:
    """Names of the encoders this ffmpeg was built with."""
    return frozenset(re.findall(r"^ [A-Z.]{6} (\S+)", _ask("-encoders"), re.MULTILINE))


@functools.lru_cache(maxsize=1)
def decodable_codecs() -> frozenset[str]:
    """Names of the codecs this ffmpeg can decode."""
    return frozenset(re.findall(r"^ D[A-Z.]{5} (\S+)", _ask("-codecs"), re.MULTILINE))


@functools.lru_cache(maxsize=1)
def ends_with_us() -> tuple[str, ...]:
    """A command before ffmpeg's that makes Linux end it when this program does, however it went.

    Empty where util-linux's setpriv is not there: then ffmpeg ends when it next uses its pipes.
    """
    program = shutil.which("setpriv")
    if not program:
        return ()
    words = (program, "--pdeathsig", "KILL")
    # Busybox has a setpriv, too, that knows no such option.
    tried = subprocess.run([*words, "true"], capture_output=True, check=False)
    return words if tried.returncode == 0 else ()


@functools.lru_cache(maxsize=1)
def demuxers() -> frozenset[str]:
    """Names of the formats this ffmpeg reads from files, each with its other names after commas."""
    return frozenset(re.findall(r"^ D[ E.] {1,2}(?! )(\S{2,}) ", _ask("-demuxers"), re.MULTILINE))


def require_encoders(*names: str) -> None:
    """Checks that this ffmpeg has the encoders.

    Raises:
        InputError: it lacks one.
    """
    for name in names:
        if name not in encoders():
            raise InputError(
                f"{find_ffmpeg()} was built without the encoder {name}; install a complete ffmpeg, "
                "or unset FFMPEG_BINARY and pip install imageio-ffmpeg."
            )


def _ask(option: str) -> str:
    result = subprocess.run(
        [find_ffmpeg(), "-hide_banner" if option != "-version" else "-nostdin", option],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        env=environment(),
        timeout=STALL_S,
    )
    return result.stdout.decode(errors="replace")


def environment() -> dict[str, str]:
    """Environment of every ffmpeg.

    Statically linked builds (imageio-ffmpeg 0.4 to 0.6 bring such) load the system's character
    set converters for the names of a transport stream's programs and crash; without a folder of
    converters they go on with the names as they are.
    """
    return os.environ | {"GCONV_PATH": os.devnull}


def file_name(path: Path) -> str:
    """A local file as an argument for ffmpeg-python, which stands only names that are UTF-8.

    `arguments` undoes the encoding: each byte of the name is one letter here.
    """
    return FILE_PREFIX + os.fsencode(path).decode("latin-1")


def open_input(path: Path, **options: object) -> Any:
    """An ffmpeg-python input of a local file; nothing else can be reached from it.

    Pictures that change size midway must not rebuild the filters: `fps` would start over.
    """
    local = {"protocol_whitelist": "file,pipe", "reinit_filter:v": 0}
    return ffmpeg.input(file_name(path.absolute()), **local, **options)


def arguments(stream: Any, *, log_level: str = "error") -> list[str]:
    """The command line of an ffmpeg-python stream; overwrites, never reads the terminal."""
    limits = ("-max_alloc", str(LARGEST_BLOCK_BYTES))
    stream = stream.global_args("-hide_banner", "-nostdin", *limits, "-loglevel", log_level)
    compiled = stream.compile(cmd=find_ffmpeg(), overwrite_output=True)
    return [_without_protocol(argument) for argument in compiled]


def run(words: Sequence[str | Path], doing: str, *, source: Path, files: Sequence[Path]) -> None:
    """Runs ffmpeg to its end by words of its command line; a `Path` among them is a local file.

    For what ffmpeg-python cannot say: it orders inputs as it likes, and metadata are copied by
    their numbers.

    Args:
        words: what follows the limits of every ffmpeg; inputs are `input_words`.
        doing: for the sentence of an error.
        source: what is read; its size bounds what may be written.
        files: what is written; they are watched for growth.

    Raises:
        PipelineError: it failed.
    """
    limits = ("-hide_banner", "-nostdin", "-max_alloc", str(LARGEST_BLOCK_BYTES), "-y")
    named = [f"{FILE_PREFIX}{word}" if isinstance(word, Path) else word for word in words]
    command = [find_ffmpeg(), *limits, "-loglevel", "error", *named]
    with Process(command, files=files, source=source) as process:
        process.check(doing)


def input_words(path: Path) -> tuple[str | Path, ...]:
    """A local file as an input of `run`; nothing else can be reached from it."""
    return ("-protocol_whitelist", "file,pipe", "-i", path.absolute())


def _without_protocol(argument: str) -> str:
    if not argument.startswith(FILE_PREFIX):
        return argument
    name = argument.removeprefix(FILE_PREFIX).encode("latin-1")
    return FILE_PREFIX + os.fsdecode(name)


def last_line(log: str) -> str:
    """Last line of ffmpeg's log without the [component] prefix."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    specific = [line for line in lines if "At least one output" not in line]
    return re.sub(r"^(\[[^]]*\] *)+", "", specific[-1]) if specific else "no message"


class Process:
    """One ffmpeg process; a context manager that never leaves it behind.

    Its messages go to a file, because an undrained pipe would stall it. While it is waited for, a
    thread watches it: where nothing moves for `STALL_S`, or where it writes more than what went
    through it explains, it is stopped, and `check` says so. Where this program is killed, Linux
    ends it; elsewhere its pipes break.

    Args:
        command: what `arguments` gives.
        folder: working directory.
        stdin: nothing, or a pipe for `write`.
        files: what it writes; they are watched for growth.
        source: what it reads, where nothing goes through its pipes that would explain `files`.
    """

    def __init__(
        self,
        command: list[str],
        *,
        folder: Path | None = None,
        stdin: int = subprocess.DEVNULL,
        files: Sequence[Path] = (),
        source: Path | None = None,
    ) -> None:
        self._command = command
        self._explained_bytes = MOST_EXPANSION * size_bytes(source) if source else 0
        self._folder = folder
        self._stdin = stdin
        self._files = files
        self._messages: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._watched, daemon=True)
        self._waiting_since: float | None = None
        self._passed_bytes = 0
        self._stopped_because = ""

    def __enter__(self) -> "Process":
        piped_in = self._stdin == subprocess.PIPE
        self._process = subprocess.Popen(
            [*ends_with_us(), *self._command],
            cwd=self._folder,
            stdin=self._stdin,
            stdout=subprocess.DEVNULL if piped_in else subprocess.PIPE,
            stderr=self._messages,
            env=environment(),
        )
        self._watch.start()
        return self

    def __exit__(self, *error: object) -> None:
        process = self._running()
        self._ended.set()
        if process.poll() is None:
            process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # killed before it took its last bytes
                    pipe.close()
        process.wait()
        self._watch.join()
        self._messages.close()

    def _running(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "used outside its context"
        return self._process

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[None]:
        """Marks that the caller is blocked until the process moves."""
        self._waiting_since = time.monotonic()
        try:
            yield
        finally:
            self._waiting_since = None

    def _watched(self) -> None:
        """Stops a process that stands still or writes without end; runs in a thread."""
        state: tuple[int, ...] = ()
        changed_s = time.monotonic()
        while not self._ended.wait(WATCH_EVERY_S):
            sizes = [size_bytes(path) for path in self._files]
            latest = (*sizes, *map(_changed_ns, self._files), self._passed_bytes)
            since = self._waiting_since
            if latest != state or since is None:
                state, changed_s = latest, time.monotonic()
            explained = self._passed_bytes + self._explained_bytes
            if explained and sum(sizes) > explained + OUTPUT_SLACK_BYTES:
                self._stop("wrote more than its input can explain")
            elif since is not None and time.monotonic() - max(since, changed_s) > STALL_S:
                self._stop(f"made no progress for {STALL_S:.0f} s")

    def _stop(self, reason: str) -> None:
        self._stopped_because = reason
        self._running().kill()
        self._ended.set()

    @property
    def stdout(self) -> IO[bytes]:
        """What the process prints."""
        pipe = self._running().stdout
        assert pipe is not None
        return pipe

    def read(self, size: int = -1) -> bytes:
        """So many bytes of what the process prints, all of it by default; fewer at its end."""
        with self._waiting():
            data = self.stdout.read(size)
        self._passed_bytes += len(data)
        return data

    def frames(self, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
        """Cuts the raw pipe into frames; a torn last frame is dropped."""
        size = int(np.prod(shape))
        while len(data := self.read(size)) == size:
            yield np.frombuffer(data, np.uint8).reshape(shape)

    def write(self, data: memoryview, task: str) -> None:
        """Feeds the process; its own reason is raised when it has gone."""
        pipe = self._running().stdin
        assert pipe is not None
        try:
            with self._waiting():
                pipe.write(data)
            self._passed_bytes += data.nbytes
        except BrokenPipeError:
            self.check(task)
            raise PipelineError(f"{task} failed: ffmpeg stopped early.") from None

    def wait(self) -> int:
        """Ends the input, waits for the process and gives its exit status."""
        process = self._running()
        with self._waiting():
            if process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):  # it died early; its status says so
                    process.stdin.close()
            return process.wait()

    def check(self, task: str) -> None:
        """Waits for the process to end.

        Raises:
            PipelineError: it failed; the sentence ends with ffmpeg's last message.
        """
        if self.wait() != 0:
            raise PipelineError(f"{task} failed: {self.reason()}.")

    @property
    def stopped(self) -> bool:
        """Whether it had to be stopped; `reason` says why."""
        return bool(self._stopped_because)

    def reason(self) -> str:
        """Why the process failed: why it was stopped, else the last line of its log."""
        if self._stopped_because:
            return f"ffmpeg {self._stopped_because} and was stopped"
        return last_line(self.messages())

    def messages(self) -> str:
        """What the process has written to stderr so far."""
        self._messages.seek(0)
        return self._messages.read().decode(errors="replace")


def size_bytes(path: Path) -> int:
    """Of a file; 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _changed_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
