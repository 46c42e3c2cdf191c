"""A batch on a Ray cluster of two nodes on this machine, one of which is killed half way.

    python -m tests.benchmarks.ray_nodes
    python -m tests.benchmarks.ray_nodes --videos VIDEOS --keep none

Without --videos, 24 files whose worker only waits (`tests/batch_worker.py`). Every video must have
one line at the end. Needs `pip install ray`; the cluster is started and stopped here.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.batch.manifest import Line, read_lines
from pipeline.batch.options import BatchOptions
from pipeline.batch.run import run_batch
from pipeline.batch.supervisor import WORKER_MODULE
from pipeline.batch.videos import find_videos
from tests import batch_kit
from tests.benchmarks import report

RAY = Path(sys.executable).with_name("ray")
PORT = 6399
WAITING = 24  # files


def build_parser() -> argparse.ArgumentParser:
    """Flags of the script."""
    parser = report.parser(__doc__)
    # fmt: off
    add = parser.add_argument
    add("--videos", help="folder; unset: files that nobody decodes")
    add("--keep", default="none", help="as for run_batch.py")
    add("--min_face_size", type=int, default=60, help="as for run_batch.py")
    add("--min_track", type=int, default=50, help="as for run_batch.py")
    # fmt: on
    return parser


def start_node(*arguments: str) -> int:
    """Starts a node of one core; gives the process of its raylet."""
    before = {pid for pid, _ in _ray_processes()}
    command = [str(RAY), "start", *arguments, "--num-cpus=1", "--disable-usage-stats"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    new = [pid for pid, command in _ray_processes() if pid not in before and b"/raylet" in command]
    return new[0]


def _ray_processes() -> Iterator[tuple[int, bytes]]:
    """Every process of Ray on this machine, with its command line."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes()
            if b"/site-packages/ray/" in command or command.startswith(b"ray::"):
                yield int(folder.name), command


@contextlib.contextmanager
def two_nodes() -> Iterator[int]:
    """A cluster on this machine; gives the process of its second node's raylet."""
    before = {pid for pid, _ in _ray_processes()}
    address = f"127.0.0.1:{PORT}"
    try:
        start_node(
            "--head", "--node-ip-address=127.0.0.1", f"--port={PORT}", "--include-dashboard=false"
        )
        yield start_node(f"--address={address}")
    finally:  # `ray stop` would stop clusters that are not ours, too
        for pid, _ in _ray_processes():
            if pid not in before:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def killed_midway(
    videos: str, data_dir: Path, options: BatchOptions, *, victim: int, module: str
) -> tuple[list[Line], float]:
    """Runs the batch, kills the victim once half of the videos are done; lines and seconds."""
    half, done = len(find_videos([videos])) // 2, 0

    def each(_: Line) -> None:
        nonlocal done
        done += 1
        if done == half:
            os.kill(victim, signal.SIGKILL)
            print(f"killed the second node after {done} videos", flush=True)

    started = time.monotonic()
    batch = run_batch([videos], data_dir, options, each=each, worker_module=module)
    return list(read_lines(batch.files[0])), time.monotonic() - started


def main(argv: list[str] | None = None) -> int:
    """Runs, counts, says whether all is there once."""
    args = build_parser().parse_args(argv)
    options = BatchOptions(keep=args.keep, workers=2, address=f"127.0.0.1:{PORT}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        videos, module = args.videos, WORKER_MODULE
        if videos is None:
            names = [f"wait_{number}" for number in range(WAITING)]
            videos, module = str(batch_kit.videos(folder / "videos", *names)), batch_kit.MODULE
        with two_nodes() as victim:
            lines, seconds = killed_midway(
                videos, folder / "work", options, victim=victim, module=module
            )
        names = [video.video for video in find_videos([videos])]
    recorded = [line["video"] for line in lines]
    failed = [line["reason"] for line in lines if line["status"] != "done"]
    print(*failed, sep="\n")
    print(f"{len(recorded)} lines of {len(names)} videos after {seconds:.0f} s")
    amiss = len(set(names) ^ set(recorded)) + len(recorded) - len(set(recorded))
    met = report.verdict("lines missing or double", amiss, 0, at_most=True)
    return 0 if met and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
