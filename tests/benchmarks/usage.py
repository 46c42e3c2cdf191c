"""CPU, wall time, memory and bytes written by a command and its whole process tree."""

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.errors import PipelineError
from tests.benchmarks import report
from tests.benchmarks.peak_memory import POLL_S, PROC, tree_rss

BLOCK_BYTES = 512  # what Linux counts output in
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)


@dataclass(frozen=True)
class Usage:
    """What a command and all processes below it used.

    Attributes:
        cpu_s: user and system time.
        wall_s: from start to end.
        peak_bytes: largest sum of resident memory, looked at every 50 ms, or the largest that the
            command's own process ever was, whichever is more: the first may miss a short peak,
            the second sees no other process. Without /proc, the largest single process.
        written_bytes: to files on disks, pipes not included; 0 where the system does not count.
    """

    cpu_s: float
    wall_s: float
    peak_bytes: int
    written_bytes: int


@contextlib.contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Processes started meanwhile may use so many cores.

    Not every library has a variable for its threads, ffmpeg least of all, but all ask how many
    cores they have been given.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[-threads:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def high_water(pid: int) -> int:
    """The most resident bytes a process ever had since it started its program; 0 once it ended."""
    with contextlib.suppress(OSError):
        for line in (PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def measured(command: list[str], *, threads: int, task: str) -> Usage:
    """Runs a command to its end.

    Args:
        command: program and arguments; runs in the repository's root.
        threads: it may use.
        task: what an error says was done.

    Raises:
        PipelineError: it failed; the sentence ends with its last line of output.
    """
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
    with tempfile.TemporaryFile() as messages:
        started = time.monotonic()
        with pinned(threads):
            child = subprocess.Popen(
                command,
                cwd=report.ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=messages,
            )
        peak, stop = 0, threading.Event()

        def poll() -> None:
            nonlocal peak
            while not stop.wait(POLL_S):
                peak = max(peak, tree_rss(child.pid), high_water(child.pid))

        watcher = threading.Thread(target=poll, daemon=True)
        if PROC.is_dir():
            watcher.start()
        # Unlike RUSAGE_CHILDREN this is of one child, and of all that it has waited for.
        _, status, resources = os.wait4(child.pid, 0)
        wall_s = time.monotonic() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        stop.set()
        if PROC.is_dir():
            watcher.join()
        if child.returncode:
            messages.seek(0)
            lines = messages.read().decode(errors="replace").strip().splitlines()
            message = lines[-1] if lines else "no message"
            raise PipelineError(f"{task} failed with exit code {child.returncode}: {message}")
    if not PROC.is_dir():  # else not: Linux counts what this process had when it forked
        peak = resources.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    written_bytes = resources.ru_oublock * BLOCK_BYTES if sys.platform == "linux" else 0
    return Usage(resources.ru_utime + resources.ru_stime, wall_s, peak, written_bytes)
