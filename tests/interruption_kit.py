"""The four scripts on existing results: their working time and what they write."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import run_pipeline
import run_syncnet
import run_visualise
import run_wav2lip
from pipeline import cli
from pipeline.store.workspace import Workspace
from tests.conftest import REPO, snapshot

REFERENCE = "face"
MAINS: dict[str, Callable[[list[str] | None], int]] = {
    "run_pipeline.py": run_pipeline.main,
    "run_syncnet.py": run_syncnet.main,
    "run_visualise.py": run_visualise.main,
    "run_wav2lip.py": run_wav2lip.main,
}
Contents = dict[str, bytes]


@dataclass(frozen=True)
class Stage:
    """One script.

    Attributes:
        name: of its file.
        flags: without --data_dir and --reference.
        before: a DATA_DIR with older results, to be copied.
        old, new: its content before, and after an undisturbed run.
        work_s: for how long that run held the lock, and how long it took to end.
    """

    name: str
    flags: tuple[str, ...]
    before: Path
    old: Contents
    new: Contents
    work_s: float

    def arguments(self, data_dir: Path) -> list[str]:
        """Its command line."""
        return ["--data_dir", str(data_dir), "--reference", REFERENCE, *self.flags]


def contents(data_dir: Path) -> Contents:
    """Every file of a folder but locks; the commands on a page name the folder itself."""
    here = os.fsencode(data_dir)
    return {
        name: content.replace(here, b"DATA_DIR") if name.endswith("report.html") else content
        for name, (_, content) in snapshot(data_dir).items()
    }


def measured_stage(name: str, flags: tuple[str, ...], before: Path, passing: Path) -> Stage:
    """Runs a script undisturbed, in a copy of `before` at `passing`, to know what it makes."""
    shutil.copytree(before, passing)
    stage = Stage(name, flags, before, contents(before), {}, 0.0)
    running = start(stage, passing)
    started_s = time.monotonic()
    output = output_of(running)
    assert running.returncode == 0, output
    return Stage(
        name,
        flags,
        before,
        stage.old,
        contents(passing),
        max(0.05, time.monotonic() - started_s),
    )


def python(*arguments: str) -> "subprocess.Popen[str]":
    """Starts Python in the repository, in a session of its own; its output is read together."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=REPO,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # A shell that starts the tests in the background has SIGINT ignored in them.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def start(stage: Stage, data_dir: Path, *, until_working: bool = True) -> "subprocess.Popen[str]":
    """Starts a script in a session of its own, and waits until it has the lock."""
    lock = data_dir / "pytmp" / f".{REFERENCE}.lock"
    if until_working:
        lock.unlink(missing_ok=True)
    running = python(str(REPO / stage.name), *stage.arguments(data_dir))
    deadline = time.monotonic() + 120
    while until_working and not lock.exists():
        assert running.poll() is None, output_of(running)
        assert time.monotonic() < deadline, "it never started to work"
        time.sleep(0.002)
    return running


def output_of(running: "subprocess.Popen[str]") -> str:
    """Waits for a script and gives its output."""
    return running.communicate(timeout=300)[0]


def leaves_nobody(running: "subprocess.Popen[str]") -> bool:
    """No process of the script's session is alive 5 s after its end."""
    deadline = time.monotonic() + 5
    while _session(running.pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _session(number: int) -> list[int]:
    survivors = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if int(fields[3]) == number and fields[0] != "Z":
            survivors.append(int(folder.name))
    return survivors


def disturb(
    stage: Stage,
    folder: Path,
    how: Callable[["subprocess.Popen[str]", Path], object],
    *,
    at: float,
) -> tuple["subprocess.Popen[str]", str, Path]:
    """Does something to a script while it works.

    Args:
        stage: the script.
        folder: for its DATA_DIR.
        how: called with the process and DATA_DIR.
        at: the moment, as a part of the time the undisturbed run took from its lock to its end.
            Where the work was done by then, half of it is tried, and half of that.

    Returns:
        The process, its output, and DATA_DIR.
    """
    for attempt in range(6):
        data_dir = folder / f"work{attempt}"
        shutil.copytree(stage.before, data_dir)
        running = start(stage, data_dir)
        time.sleep(at * stage.work_s / 2**attempt)
        if _is_locked(data_dir):
            how(running, data_dir)
            return running, output_of(running), data_dir
        output_of(running)
    raise AssertionError(f"{stage.name} was never caught at work")


def _is_locked(data_dir: Path) -> bool:
    import fcntl  # Windows, where none of this runs, has none

    with (data_dir / "pytmp" / f".{REFERENCE}.lock").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def after_next_run(stage: Stage, data_dir: Path) -> Contents:
    """Content after the same command ran again, in this process, which is faster."""
    assert cli.run(lambda: MAINS[stage.name](stage.arguments(data_dir))) == 0
    return contents(data_dir)


def recovered(data_dir: Path) -> Contents:
    """Content after the recovery that the next stage starts with."""
    work = Workspace(data_dir, REFERENCE)
    with work.opened():
        work.discard_staging()
    return {
        name: content
        for name, content in contents(data_dir).items()
        # What a killed writer leaves beside its file is overwritten by the next.
        if not os.path.basename(name).startswith(".")
    }
