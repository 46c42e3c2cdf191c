"""Measures whether memory grows with the length of a video.

    python -m tests.benchmarks.peak_memory [--minutes 1 10] [--stages]
    python -m tests.benchmarks.peak_memory --minutes 10 40 --size 160x90 --seamless --stages
    python -m tests.benchmarks.peak_memory --minutes 0.2 --grid 8x5 --size 1920x1080

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

from pipeline.media import process
from pipeline.store.files import write_json
from tests.benchmarks import report

SIZE_PX = WIDTH_PX, HEIGHT_PX = 1280, 720
FACE_SHARE = 100 / HEIGHT_PX  # of the height: the smallest face looked for
POLL_S = 0.05
RATIO_BAR = 1.2
CROWD_BAR_MIB = 1.2 * 1000**3 / 2**20
MIB = 1 << 20
PROC = Path("/proc")


def build_parser() -> argparse.ArgumentParser:
    """Flags of the script."""
    parser = report.parser(__doc__)
    # fmt: off
    add = parser.add_argument
    add("--source", type=Path, default=Path("data") / "example.mp4", help="video that is looped")
    add("--minutes", type=float, nargs="+", default=[1.0, 10.0], help="lengths, shortest first")
    add("--size", type=_pair, default=SIZE_PX, metavar="WxH", help="of the videos, pixels")
    add("--grid", type=_pair, default=(1, 1), metavar="CxR", help="the source so often in it")
    add("--seamless", action="store_true", help="forwards and backwards: one track however long")
    add("--stages", action="store_true", help="also measure run_syncnet.py and run_visualise.py")
    add("--work", type=Path, help="existing folder for passing files; unset: the system's")
    # fmt: on
    return parser


def _pair(text: str) -> tuple[int, int]:
    """The value of a flag like 1280x720."""
    first, _, second = text.partition("x")
    return int(first), int(second)


def make_unit(
    source: Path,
    path: Path,
    *,
    size_px: tuple[int, int] = SIZE_PX,
    grid: tuple[int, int] = (1, 1),
    seamless: bool = False,
) -> None:
    """Writes the video that is looped: the source in every cell of the grid."""
    columns, rows = grid
    width, height = size_px[0] // columns // 2 * 2, size_px[1] // rows // 2 * 2
    source_stream = ffmpeg.input(f"file:{source}")
    picture = source_stream["v:0"].filter("scale", width, height).filter("setsar", 1)
    if columns * rows > 1:
        cells = picture.filter_multi_output("split", columns * rows)
        positions = [f"{c * width}_{r * height}" for r in range(rows) for c in range(columns)]
        picture = ffmpeg.filter(
            [cells[i] for i in range(columns * rows)],
            "xstack",
            inputs=columns * rows,
            layout="|".join(positions),
        )
    sound = source_stream["a:0"]
    if seamless:
        split, sounds = picture.filter_multi_output("split", 2), sound.asplit()
        picture = ffmpeg.concat(split[0], split[1].filter("reverse"))
        sound = ffmpeg.concat(sounds[0], sounds[1], v=0, a=1)
    codecs = {"vcodec": "libx264", "preset": "ultrafast", "pix_fmt": "yuv420p", "acodec": "aac"}
    stream = ffmpeg.output(picture, sound, f"file:{path}", **codecs)
    subprocess.run(process.arguments(stream), stdin=subprocess.DEVNULL, check=True)


def make_video(unit: Path, path: Path, *, minutes: float) -> None:
    """Loops what `make_unit` made to a length, without encoding it again."""
    looped = ffmpeg.input(f"file:{unit}", stream_loop=-1)
    stream = ffmpeg.output(looped, f"file:{path}", t=60 * minutes, c="copy")
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
        peak, stop = 0, threading.Event()

        def poll() -> None:
            nonlocal peak
            while not stop.wait(POLL_S):
                peak = max(peak, tree_rss(process.pid))

        watcher = threading.Thread(target=poll, daemon=True)
        if PROC.is_dir():
            watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        stop.set()
        if PROC.is_dir():
            watcher.join()
        # What the system keeps is exact, if only for the largest process: no short peak is lost.
        peak = max(peak, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
        if process.returncode:
            messages.seek(0)
            text = messages.read().decode(errors="replace")
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{text}")
    return peak, time.monotonic() - started


def stage_commands(
    video: Path, data_dir: Path, *, face_px: int, stages: bool
) -> dict[str, list[str]]:
    """The command line of every stage measured."""
    results = ["--data_dir", str(data_dir), "--reference", "looped"]
    pipeline = ["--videofile", str(video), "--min_face_size", str(face_px)]
    extra = {"run_pipeline": pipeline}
    if stages:
        extra |= {"run_syncnet": [], "run_visualise": []}
    return {
        name: [sys.executable, str(report.ROOT / f"{name}.py"), *results, *flags]
        for name, flags in extra.items()
    }


def measure(args: argparse.Namespace, minutes: float) -> dict[str, tuple[int, float]]:
    """Peak bytes and seconds of every stage on one looped video; removes its files."""
    with tempfile.TemporaryDirectory(dir=args.work) as name:
        folder = Path(name).resolve()
        unit, video = folder / "unit.mp4", folder / "looped.mp4"
        make_unit(args.source, unit, size_px=args.size, grid=args.grid, seamless=args.seamless)
        make_video(unit, video, minutes=minutes)
        commands = stage_commands(
            video,
            folder / "work",
            face_px=max(1, int(FACE_SHARE * args.size[1] / args.grid[1])),
            stages=args.stages,
        )
        peaks = {stage: peak_rss(command) for stage, command in commands.items()}
        tracks = len(list((folder / "work" / "pycrop" / "looped").iterdir()))
        print(f"{minutes:g} minutes: {tracks} tracks", flush=True)
        return peaks


def main(argv: list[str] | None = None) -> int:
    """Measures, prints, and fails when a bar is missed."""
    args = build_parser().parse_args(argv)
    runs = {minutes: measure(args, minutes) for minutes in args.minutes}
    rows = [
        [stage, f"{minutes:g}", peak / MIB, seconds]
        for minutes, run in runs.items()
        for stage, (peak, seconds) in run.items()
    ]
    report.print_table(["stage", "minutes", "peak MiB", "seconds"], rows)
    print()
    first, last = runs[args.minutes[0]], runs[args.minutes[-1]]
    ratios = {stage: last[stage][0] / first[stage][0] for stage in first}
    hours = (args.minutes[-1] - args.minutes[0]) / 60
    for stage in first if hours else ():
        print(f"{stage}: {(last[stage][0] - first[stage][0]) / MIB / hours:.0f} MiB an hour")
    met = [
        report.verdict(f"{stage}, longest to shortest", ratio, RATIO_BAR, at_most=True)
        for stage, ratio in ratios.items()
    ] + [
        report.verdict(f"{stage}, MiB", peak / MIB, CROWD_BAR_MIB, at_most=True)
        for stage, (peak, _) in last.items()
    ]
    if args.json:
        keys = ("stage", "minutes", "peak_mib", "seconds")
        table_rows = [dict(zip(keys, row, strict=True)) for row in rows]
        write_json(args.json, {"rows": table_rows, "ratios": ratios, "met": all(met)})
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
