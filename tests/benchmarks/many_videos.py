"""Thousands of tiny videos through run_batch: all lines there, and is the driver's memory flat?

    python -m tests.benchmarks.many_videos --videos 5000
    python -m tests.benchmarks.many_videos --videos 5000 --decoded

Without --decoded the worker only answers (`tests/batch_worker.py`): what is measured is the driver.
With it each is a real video of five frames without a face.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from pipeline.batch.manifest import Line, read_lines
from pipeline.batch.options import BatchOptions
from pipeline.batch.run import run_batch
from pipeline.batch.supervisor import WORKER_MODULE
from pipeline.store.files import write_json
from tests import batch_kit
from tests.benchmarks import report
from tests.benchmarks.usage import PROC
from tests.synthetic import ffmpeg

GROWTH_BAR_MIB = 20.0  # from a tenth of the videos to all of them: names and places of lines


def build_parser() -> argparse.ArgumentParser:
    """Flags of the script."""
    parser = report.parser(__doc__)
    # fmt: off
    add = parser.add_argument
    add("--videos", type=int, default=5000, help="how many")
    add("--decoded", action="store_true", help="real videos, through the stages")
    add("--workers", type=int, default=2, help="as for run_batch.py")
    # fmt: on
    return parser


def make(folder: Path, count: int, *, decoded: bool) -> None:
    """The videos; each is another file, as the first is copied with bytes added."""
    if not decoded:
        batch_kit.videos(folder, *(f"fine_{number}" for number in range(count)))
        return
    folder.mkdir()
    first = folder / "0.mkv"
    picture = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.2")
    sound = ("-f", "lavfi", "-i", "sine=440:r=16000:d=0.2")
    ffmpeg(*picture, *sound, "-c:v", "mpeg4", "-c:a", "pcm_s16le", first)
    content = first.read_bytes()
    for number in range(1, count):
        (folder / f"{number}.mkv").write_bytes(content + number.to_bytes(4, "big"))


def own_mib() -> float:
    """Resident memory of this process, which is the driver."""
    pages = int((PROC / "self" / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main(argv: list[str] | None = None) -> int:
    """Runs, looks at the memory, counts the lines."""
    args = build_parser().parse_args(argv)
    mib_by_count: dict[int, float] = {}
    done = 0

    def each(_: Line) -> None:
        nonlocal done
        done += 1
        if done % max(1, args.videos // 10) == 0:
            mib_by_count[done] = own_mib()

    with tempfile.TemporaryDirectory() as name:
        folder, data_dir = Path(name) / "videos", Path(name) / "work"
        make(folder, args.videos, decoded=args.decoded)
        module = WORKER_MODULE if args.decoded else batch_kit.MODULE
        options = BatchOptions(keep="none", workers=args.workers)
        started = time.monotonic()
        batch = run_batch([str(folder)], data_dir, options, each=each, worker_module=module)
        wall_s = time.monotonic() - started
        lines = [line["status"] for line in read_lines(batch.files[0])]
    rows = [[count, mib] for count, mib in mib_by_count.items()]
    report.print_table(["videos done", "driver MiB"], rows)
    print(f"{len(lines)} lines, {lines.count('failed')} failed, {wall_s:.0f} s")
    growth = mib_by_count[max(mib_by_count)] - mib_by_count[min(mib_by_count)]
    met = [
        report.verdict("lines missing", float(args.videos - len(lines)), 0, at_most=True),
        report.verdict("driver grew, MiB", growth, GROWTH_BAR_MIB, at_most=True),
    ]
    if args.json:
        write_json(args.json, {"mib": mib_by_count, "lines": len(lines), "wall_s": wall_s})
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
