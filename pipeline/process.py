"""Running ffmpeg: which one, with which arguments, and one process with its pipes.

Commands are built by ffmpeg-python and run as argument lists, never through a shell. Only the
rooms that read and write media use this: media.py, writers.py and mp4.py.
"""

import contextlib
import functools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import ffmpeg
import imageio_ffmpeg
import numpy as np

from pipeline.errors import InputError, PipelineError

PIPE = "pipe:0"  # what a process is written to, or reads from another


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
    Pictures that change size midway must not rebuild the filters: `fps` would start over.
    """
    return ffmpeg.input(f"file:{path}", protocol_whitelist="file,pipe", **{"reinit_filter:v": 0})


def arguments(stream: Any, *, log_level: str = "error") -> list[str]:
    """The command line of an ffmpeg-python stream; overwrites, never reads the terminal."""
    stream = stream.global_args("-hide_banner", "-nostdin", "-loglevel", log_level)
    return list(stream.compile(cmd=find_ffmpeg(), overwrite_output=True))


def last_line(log: str) -> str:
    """The last thing ffmpeg said, without the part of it that spoke."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    telling = [line for line in lines if "At least one output" not in line]
    return re.sub(r"^\[[^]]*\] *", "", telling[-1]) if telling else "no message"


class Process:
    """One ffmpeg process; its messages go to a file, because an undrained pipe would stall it.

    A context manager that never leaves the process behind.

    Args:
        command: what `arguments` gives.
        folder: working directory.
        stdin: nothing, a pipe for `write`, or what another process prints.
    """

    def __init__(
        self,
        command: list[str],
        *,
        folder: Path | None = None,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
    ) -> None:
        self._command = command
        self._folder = folder
        self._stdin = stdin
        self._messages: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Process":
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

    @property
    def stdout(self) -> IO[bytes]:
        """What the process prints."""
        pipe = self._running().stdout
        assert pipe is not None
        return pipe

    def read(self) -> bytes:
        """Everything the process prints."""
        return self.stdout.read()

    def frames(self, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
        """Cuts the raw pipe into frames; a torn last frame is dropped."""
        size = int(np.prod(shape))
        while len(data := self.stdout.read(size)) == size:
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
            raise PipelineError(f"{doing} failed: {last_line(self.messages())}.")

    def messages(self) -> str:
        """What the process has written to stderr so far."""
        self._messages.seek(0)
        return self._messages.read().decode(errors="replace")
