"""Batches of files whose names say what their worker does, see batch_worker.py."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from pipeline.batch.manifest import Line, read_lines
from pipeline.batch.options import BatchOptions
from pipeline.batch.run import Batch, run_batch
from tests.batch_worker import LOG

MODULE = "tests.batch_worker"


def videos(folder: Path, *names: str) -> Path:
    """A folder of files of these names, which only this worker reads."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.mp4").write_bytes(os.fsencode(name))
    return folder


def batch(folder: Path, data_dir: Path, **options: Any) -> Batch:
    """Runs a batch with this worker."""
    settings: dict[str, Any] = {"keep": "none", "workers": 2} | options
    return run_batch([str(folder)], data_dir, BatchOptions(**settings), worker_module=MODULE)


def lines(data_dir: Path, name: str = "batch.jsonl") -> dict[str, Line]:
    """The lines of a manifest by the stem of their video."""
    return {Path(line["video"]).stem: line for line in read_lines(data_dir / name)}


def begun(folder: Path) -> list[str]:
    """Stems of the videos that a worker has begun, as often as it did."""
    log = folder / LOG
    return log.read_text(encoding="utf-8").split() if log.exists() else []


def processes_of(data_dir: Path) -> list[int]:
    """Living processes whose command line names a folder."""
    processes = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue  # it has just ended
        if os.fsencode(data_dir) in command and state != "Z" and int(folder.name) != os.getpid():
            processes.append(int(folder.name))
    return processes


def driver(folder: Path, data_dir: Path, options: dict[str, Any]) -> list[str]:
    """A command that runs a batch with this worker in a process of its own."""
    code = (
        "import json, sys; from pathlib import Path; from pipeline import cli; "
        "from tests import batch_kit as kit; "
        "run = lambda: kit.batch(Path(sys.argv[1]), Path(sys.argv[2]), **json.loads(sys.argv[3]));"
        " sys.exit(cli.run(lambda: run() and 0))"
    )
    return [sys.executable, "-c", code, str(folder), str(data_dir), json.dumps(options)]
