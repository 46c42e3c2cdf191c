"""Measures whether memory grows with the length of a video.

    python -m tests.benchmarks.peak_memory [--minutes 1 10] [--stages]

Loops a source into videos of several lengths and runs the real scripts on each. What counts is
the largest sum of resident memory of Python and its ffmpeg children at one instant.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

import ffmpeg

from pipeline import media, process, workspace
from tests.benchmarks import report

MIN_FACE_PX = 100
WIDTH_PX, HEIGHT_PX = 1280, 720
POLL_S = 0.05
RATIO_BAR = 1.2
MIB = 1 << 20
PROC = Path("/proc")


def build_parser() -> argparse.ArgumentParser:
    """Flags of the script."""
    parser = report.parser(__doc__)
    # fmt: off
    add = parser.add_argument
    add("--source", type=Path, default=Path("data") / "example.mp4", help="video that is looped")
    add("--minutes", type=float, nargs="+", default=[1.0, 10.0], help="lengths, shortest first")
    add("--stages", action="store_true", help="also measure run_syncnet.py and run_visualise.py")
    add("--work", type=Path, help="existing folder for passing files; unset: the system's")
    # fmt: on
    return parser


def make_video(source: Path, path: Path, *, minutes: float) -> None:
    """Loops a source to a length, 720p, as quickly as x264 can."""
    looped = ffmpeg.input(f"file:{source}", stream_loop=-1)
    picture = looped["v:0"].filter("scale", WIDTH_PX, HEIGHT_PX).filter("setsar", 1)
    streams = [picture, looped["a:0"]] if media.probe(source).has_audio else [picture]
    stream = ffmpeg.output(
        *streams,
        f"file:{path}",
        t=60 * minutes,
        vcodec="libx264",
        preset="ultrafast",
        pix_fmt="yuv420p",
        acodec="aac",
    )
    subprocess.run(process.arguments(stream), stdin=subprocess.DEVNULL, check=True)


def tree_rss(root: int) -> int:
    """Resident bytes of a process and all its descendants, from /proc."""
    children: dict[int, list[int]] = defaultdict(list)
    for folder in PROC.iterdir():
        if not folder.name.isdigit():
            continue
        try:  # the name in brackets may hold anything, so fields count from the last bracket
            fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        children[int(fields[1])].append(int(folder.name))
    total, waiting = 0, [(root, b"")]
    while waiting:
        process, parent_command = waiting.pop()
        try:
            command = (PROC / str(process) / "cmdline").read_bytes()
            pages = int((PROC / str(process) / "statm").read_text().split()[1])
        except (OSError, IndexError):
            continue
        if command == parent_command:  # a fork that is not ffmpeg yet: its pages are the parent's
            continue
        total += pages * os.sysconf("SC_PAGE_SIZE")
        waiting += [(child, command) for child in children[process]]
    return total


def peak_rss(command: list[str]) -> tuple[int, float]:
    """Runs a command to its end.

    Without /proc it is the largest single process, which the system keeps for us.

    Returns:
        Peak bytes of its process tree, seconds.

    Raises:
        SystemExit: the command failed.
    """
    started = time.monotonic()
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(
            command, cwd=report.ROOT, stdout=subprocess.DEVNULL, stderr=messages
        )
        peak, ended = 0, threading.Event()

        def poll() -> None:
            nonlocal peak
            while not ended.wait(POLL_S):
                peak = max(peak, tree_rss(process.pid))

        watcher = threading.Thread(target=poll, daemon=True)
        if PROC.is_dir():
            watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        ended.set()
        if PROC.is_dir():
            watcher.join()
        # What the system keeps is exact, if only for the largest process: no short peak is lost.
        peak = max(peak, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
        if process.returncode:
            messages.seek(0)
            text = messages.read().decode(errors="replace")
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{text}")
    return peak, time.monotonic() - started


def stage_commands(video: Path, data_dir: Path, *, stages: bool) -> dict[str, list[str]]:
    """The command line of every stage measured."""
    results = ["--data_dir", str(data_dir), "--reference", "looped"]
    pipeline = ["--videofile", str(video), "--min_face_size", str(MIN_FACE_PX)]
    extra = {"run_pipeline": pipeline}
    if stages:
        extra |= {"run_syncnet": [], "run_visualise": []}
    return {
        name: [sys.executable, str(report.ROOT / f"{name}.py"), *results, *flags]
        for name, flags in extra.items()
    }


def measure(
    source: Path, minutes: float, *, stages: bool, work: Path | None
) -> dict[str, tuple[int, float]]:
    """Peak bytes and seconds of every stage on one looped video; its files are removed."""
    with tempfile.TemporaryDirectory(dir=work) as name:
        folder = Path(name).resolve()
        video = folder / "looped.mp4"
        make_video(source, video, minutes=minutes)
        commands = stage_commands(video, folder / "work", stages=stages)
        return {stage: peak_rss(command) for stage, command in commands.items()}


def main(argv: list[str] | None = None) -> int:
    """Measures, prints, and fails when a bar is missed."""
    args = build_parser().parse_args(argv)
    runs = {
        minutes: measure(args.source, minutes, stages=args.stages, work=args.work)
        for minutes in args.minutes
    }
    rows = [
        [stage, f"{minutes:g}", peak / MIB, seconds]
        for minutes, run in runs.items()
        for stage, (peak, seconds) in run.items()
    ]
    report.print_table(["stage", "minutes", "peak MiB", "seconds"], rows)
    print()
    first, last = runs[args.minutes[0]], runs[args.minutes[-1]]
    ratios = {stage: last[stage][0] / first[stage][0] for stage in first}
    met = [
        report.verdict(f"{stage}, longest to shortest", ratio, RATIO_BAR, at_most=True)
        for stage, ratio in ratios.items()
    ]
    if args.json:
        keys = ("stage", "minutes", "peak_mib", "seconds")
        listed = [dict(zip(keys, row, strict=True)) for row in rows]
        workspace.write_json(args.json, {"rows": listed, "ratios": ratios, "met": all(met)})
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
