"""One worker process under watch: it gets a video, and what comes of it is always a line.

A video may crash the process, hang, or need all memory. The worker and the ffmpeg processes below
it are a process group of their own, which is killed as a whole; nothing of it is left behind,
however the batch ends.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pipeline.batch.manifest import Line, failed_line
from pipeline.errors import InputError, PipelineError, ToolkitError
from pipeline.media.process import ends_with_us
from pipeline.store.files import json_text
from pipeline.store.workspace import Workspace

WORKER_MODULE = "pipeline.batch.worker"
LOOK_EVERY_S = 0.1  # at memory, time and whether to stop
START_LIMIT_S = 300.0  # for loading torch and the models
MOST_STARTS = 3  # of a worker that never gets ready
ATTEMPTS = 2  # a crash may have been another process's fault
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
ROOT = Path(__file__).resolve().parents[2]
PROC = Path("/proc")
SET_CHILD_SUBREAPER = 36  # of sys/prctl.h


class Stopped(Exception):
    """The batch ends before this video was done."""


class _Crashed(Exception):
    """The worker ended by itself; the text says how."""


class _OverLimit(Exception):
    """The worker was stopped; the text says why."""


@dataclass(frozen=True)
class Limits:
    """What one video may use.

    Attributes:
        time_s: from its beginning.
        memory_bytes: resident, of the worker and all processes below it.
    """

    time_s: float
    memory_bytes: int


class Supervisor:
    """A worker process, started again whenever it is gone; a context manager.

    Args:
        settings: of `BatchOptions.worker_settings`.
        limits: of a video.
        scratch: folder for what does not stay; made where it is not there.
        stop: ends the video that is worked on, with `Stopped`.
        module: of the worker.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        limits: Limits,
        *,
        scratch: Path,
        stop: threading.Event | None = None,
        module: str = WORKER_MODULE,
    ) -> None:
        self._settings, self._limits, self._module = settings, limits, module
        self._parent = scratch
        self._stop = stop or threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._messages: IO[bytes] | None = None
        self._scratch: Path | None = None
        self._unread = b""

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def line(self, key: dict[str, Any]) -> Line:
        """The line of a video, whatever happens to the worker.

        Args:
            key: of `Video.key`.

        Raises:
            ToolkitError: workers cannot be started: no video could be done.
            Stopped: `stop` was set.
        """
        crashes: list[str] = []
        while len(crashes) < ATTEMPTS:
            self._ready()
            try:
                return self._asked(key)
            except _OverLimit as reason:
                self._clear(key)
                return failed_line(key, f"{key['video']} {reason}")
            except _Crashed as crash:
                self._clear(key)
                crashes.append(str(crash))
        return failed_line(
            key, f"{key['video']} {crashes[-1]}, {ATTEMPTS} times; look at it, or leave it out."
        )

    def _clear(self, key: dict[str, Any]) -> None:
        """Removes what the killed worker had not finished."""
        with contextlib.suppress(ToolkitError):
            Workspace(Path(self._settings["data_dir"]), key["reference"]).discard_staging()

    def _asked(self, key: dict[str, Any]) -> Line:
        """One attempt; the worker is gone after an error."""
        try:
            self._send(key)
            return self._answer(self._limits.time_s)
        except BaseException:
            self._end()
            raise

    def _ready(self) -> None:
        """Starts the worker where there is none."""
        for attempt in range(1, MOST_STARTS + 1):
            if self._process is not None and self._process.poll() is None:
                return
            self._end()
            self._start()
            try:
                self._send(self._settings)
                answer = self._answer(START_LIMIT_S)
            except (_Crashed, _OverLimit) as error:
                message = self._last_words()
                self._end()
                if attempt == MOST_STARTS:
                    raise PipelineError(
                        f"No worker can be started: it {error} {message or 'without a word'}; see "
                        "that there is memory for --workers."
                    ) from error
                continue
            except BaseException:
                self._end()
                raise
            if "error" in answer:
                self._end()
                kind = InputError if answer["exit_code"] == InputError.exit_code else PipelineError
                raise kind(answer["error"])

    def _start(self) -> None:
        self._parent.mkdir(parents=True, exist_ok=True)
        self._scratch = Path(tempfile.mkdtemp(dir=self._parent, prefix="worker_"))
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115 - closed by _end
        threads = str(self._settings["threads"])
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [*ends_with_us(), sys.executable, "-m", self._module, str(self._scratch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
            env=os.environ
            | dict.fromkeys(THREAD_VARIABLES, threads)
            | {"PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # a group of its own; Ctrl-C of the terminal is not for it
        )
        self._unread = b""

    def _send(self, request: dict[str, Any]) -> None:
        process = self._running()
        assert process.stdin is not None
        try:
            process.stdin.write((json_text(request) + "\n").encode())
            process.stdin.flush()
        except BrokenPipeError as error:
            raise self._crash() from error

    def _answer(self, limit_s: float) -> Line:
        """The worker's next line, watched until it comes."""
        process, deadline = self._running(), time.monotonic() + limit_s
        assert process.stdout is not None
        pipe = process.stdout.fileno()
        while b"\n" not in self._unread:
            if self._stop.is_set():
                raise Stopped
            if select.select([pipe], [], [], LOOK_EVERY_S)[0]:
                data = os.read(pipe, 1 << 20)
                if not data:
                    raise self._crash()
                self._unread += data
            elif time.monotonic() > deadline:
                raise _OverLimit(
                    f"was not done after {limit_s:g} s and was stopped; raise --time_limit_s if "
                    "it may take longer."
                )
            if tree_bytes(process.pid) > self._limits.memory_bytes:
                raise _OverLimit(
                    f"needed more than {self._limits.memory_bytes / 1e9:.3g} GB of memory and was "
                    "stopped; raise --memory_gb, or start fewer --workers."
                )
        line, _, self._unread = self._unread.partition(b"\n")
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer

    def _crash(self) -> _Crashed:
        """How the worker ended; it is known to end by itself."""
        process = self._running()
        try:
            code = process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return _Crashed("closed its output and went on")
        if code == -signal.SIGKILL:
            return _Crashed("ended with its worker killed, as happens where memory runs out")
        if code < 0:
            return _Crashed(f"crashed its worker ({signal.Signals(-code).name})")
        message = self._last_words()
        return _Crashed(f"ended its worker with exit code {code}{message and f' ({message})'}")

    def _last_words(self) -> str:
        """The last line that the worker wrote to stderr."""
        assert self._messages is not None
        end = self._messages.seek(0, os.SEEK_END)
        self._messages.seek(max(0, end - 4096))
        lines = self._messages.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def _running(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "not started"
        return self._process

    def _end(self) -> None:
        """Kills the worker's whole group, waits for it, and removes what it left."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            process.wait()
            _reap(process.pid)
        if self._messages is not None:
            self._messages.close()
            self._messages = None
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None


def _reap(group: int) -> None:
    """Waits for those of a killed group that `adopted_orphans` made our own children."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-group, 0):
            pass


@contextlib.contextmanager
def adopted_orphans() -> Iterator[None]:
    """Makes Linux give us the processes that a killed worker leaves, so that none stays a zombie.

    In a container the first process often does not wait for what it is given.
    """
    _become_reaper(True)
    try:
        yield
    finally:
        _become_reaper(False)


def _become_reaper(on: bool) -> None:
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, int(on), 0, 0, 0)


def tree_bytes(pid: int) -> int:
    """Resident memory of a process and all below it; 0 where there is no /proc."""
    return sum(_resident_bytes(member) for member in _tree(pid))


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for children in (PROC / str(pid) / "task").glob("*/children"):
        with contextlib.suppress(OSError, ValueError):
            for child in children.read_text(encoding="ascii").split():
                yield from _tree(int(child))


def _resident_bytes(pid: int) -> int:
    try:
        pages = int((PROC / str(pid) / "statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
