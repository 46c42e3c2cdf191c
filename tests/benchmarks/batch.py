"""A folder of videos through run_batch.py against a loop over the scripts: cost and results.

    python -m tests.benchmarks.batch CORPUS/val --every 3
    python -m tests.benchmarks.batch CORPUS/val --parts crops none --json batch.json
    python -m tests.benchmarks.batch CORPUS/val --scaling     # on two cores that do nothing else

The unit is the CPU-second with one thread, of whole process trees (see cost). `loop` is
run_pipeline.py, run_syncnet.py and run_visualise.py per video. With --keep crops all rows must be
those of the loop; with none, whose lips are not encoded in between, offsets to the frame and what
is reliable, and the other figures are reported.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from pipeline.batch.manifest import read_lines
from pipeline.batch.videos import find_videos
from pipeline.store.files import write_json
from pipeline.store.workspace import Workspace
from tests.benchmarks import report
from tests.benchmarks.cost import machine
from tests.benchmarks.usage import Usage, measured

PARTS = ("loop", "crops", "none", "all")
BARS = {"crops": 0.7, "none": 0.55}  # of the loop's CPU-seconds
SCALING_BAR = 1.6  # wall time of one worker by that of two
FLAGS = ("--min_track", "50", "--min_face_size", "60")
COMPARED = ("offset_ms", "min_dist", "confidence", "probability")
Rows = dict[tuple[str, int], dict[str, Any]]  # of offsets.json, by reference and track


def build_parser() -> argparse.ArgumentParser:
    """Flags of the script."""
    parser = report.parser(__doc__)
    # fmt: off
    add = parser.add_argument
    add("videos", help="folder or list")
    add("--every", type=int, default=1, help="only every so many-th video")
    add("--parts", nargs="+", choices=PARTS, default=("loop", "crops", "none"),
        help="to measure; the others are compared with the first")
    add("--scaling", action="store_true",
        help="instead: the wall time of two workers by that of one, with --keep none")
    add("--work", type=Path, help="existing folder for results; unset: the system's")
    # fmt: on
    return parser


def loop(videos: dict[str, str], data_dir: Path) -> tuple[Usage, dict[str, float], Rows]:
    """The scripts on each video: the sum, CPU-seconds by script, and the rows."""
    spent: list[Usage] = []
    by_script: dict[str, float] = {}
    for reference, video in videos.items():
        where = ["--data_dir", str(data_dir), "--reference", reference]
        for script, flags in (
            ("run_pipeline.py", ["--videofile", video, "--keep_frames", "no", *FLAGS]),
            ("run_syncnet.py", []),
            ("run_visualise.py", []),
        ):
            command = [sys.executable, str(report.ROOT / script), *where, *flags]
            spent.append(measured(command, threads=1, task=f"{script} on {video}"))
            by_script[script] = by_script.get(script, 0.0) + spent[-1].cpu_s
    total = Usage(
        sum(used.cpu_s for used in spent),
        sum(used.wall_s for used in spent),
        max(used.peak_bytes for used in spent),
        sum(used.written_bytes for used in spent),
    )
    rows = {
        (reference, row["track"]): row
        for reference in videos
        for row in Workspace(data_dir, reference).read_offsets()
    }
    return total, by_script, rows


def batch(
    videos: dict[str, str], data_dir: Path, keep: str, *, workers: int = 1
) -> tuple[Usage, Rows]:
    """run_batch.py on all of them, with a core for each worker."""
    listed = data_dir.with_suffix(".txt")
    listed.write_text("\n".join(videos.values()))
    command = [sys.executable, str(report.ROOT / "run_batch.py"), "--videos", str(listed)]
    command += ["--data_dir", str(data_dir), "--keep", keep, "--workers", str(workers), *FLAGS]
    used = measured(command, threads=workers, task=f"run_batch.py --keep {keep}")
    rows = {
        (line["reference"], row["track"]): row
        for line in read_lines(data_dir / "batch.jsonl")
        for row in line["tracks"]
    }
    return used, rows


def scaling(videos: dict[str, str], work: Path) -> bool:
    """Whether two workers are as much faster than one as they should be."""
    wall_s = []
    for workers in (1, 2):
        used, _ = batch(videos, work / str(workers), "none", workers=workers)
        wall_s.append(used.wall_s)
        print(f"{workers} workers: {used.wall_s:.1f} s, {used.cpu_s:.1f} CPU-s", flush=True)
    return report.verdict("one by two", wall_s[0] / wall_s[1], SCALING_BAR, at_most=False)


def differences(one: Rows, other: Rows) -> dict[str, Any]:
    """How far apart two sets of rows are; what is alike in all is 0."""
    both = one.keys() & other.keys()
    apart: dict[str, Any] = {
        "tracks": len(both),
        "missing": len(one.keys() ^ other.keys()),
        "other rows": sum(_bare(one[key]) != _bare(other[key]) for key in both),
        "other frame": sum(
            one[key]["offset_frames"] != other[key]["offset_frames"] for key in both
        ),
        "other decision": sum(one[key]["reliable"] != other[key]["reliable"] for key in both),
        "other reliable frame": sum(
            one[key]["offset_frames"] != other[key]["offset_frames"]
            for key in both
            if one[key]["reliable"] or other[key]["reliable"]
        ),
    }
    for name in COMPARED:
        pairs = [(one[key][name], other[key][name]) for key in both]
        apart[f"largest {name} apart"] = max(
            (abs(a - b) for a, b in pairs if a is not None and b is not None), default=0.0
        )
    reliable = [key for key in both if one[key]["reliable"]]
    apart["largest offset_ms apart, reliable"] = max(
        (abs(one[key]["offset_ms"] - other[key]["offset_ms"]) for key in reliable), default=0.0
    )
    return apart


def _bare(row: dict[str, Any]) -> dict[str, Any]:
    """A row without how it was made."""
    return json.loads(json.dumps({key: row[key] for key in row if key != "settings"}))


def main(argv: list[str] | None = None) -> int:
    """Measures, prints, compares."""
    args = build_parser().parse_args(argv)
    chosen = find_videos([args.videos])[:: args.every]
    videos = {video.reference: video.video for video in chosen}
    used: dict[str, Usage] = {}
    rows: dict[str, Rows] = {}
    by_script: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=args.work) as name:
        if args.scaling:
            return 0 if scaling(videos, Path(name).resolve()) else 1
        for part in args.parts:
            data_dir = Path(name).resolve() / part
            data_dir.mkdir()
            if part == "loop":
                used[part], by_script, rows[part] = loop(videos, data_dir)
            else:
                used[part], rows[part] = batch(videos, data_dir, part)
            print(f"{part}: {used[part].cpu_s:.1f} CPU-s", flush=True)
            shutil.rmtree(data_dir)
    header = ["part", "CPU s", "per video", "wall s", "peak MiB", "written MB"]
    report.print_table(
        header,
        [
            [part, u.cpu_s, u.cpu_s / len(videos), u.wall_s, u.peak_bytes / 2**20,
             u.written_bytes / 1e6]
            for part, u in used.items()
        ],
    )  # fmt: skip
    print(f"loop by script: { {name: round(cpu_s, 1) for name, cpu_s in by_script.items()} }")
    base = args.parts[0]
    compared = {part: differences(rows[base], rows[part]) for part in rows if part != base}
    met = [
        report.verdict(f"{part} by loop", used[part].cpu_s / used["loop"].cpu_s, bar, at_most=True)
        for part, bar in BARS.items()
        if part in compared and base == "loop"
    ]
    for part, apart in compared.items():
        print(f"{part} against {base}: {apart}")
        wrong = apart["missing"] + apart["other decision"] + apart["other reliable frame"]
        wrong += apart["other rows"] if part != "none" else 0
        met.append(report.verdict(f"{part}: rows that differ", wrong, 0, at_most=True))
    if args.json:
        figures = {part: vars(u) for part, u in used.items()}
        write_json(
            args.json,
            {"machine": machine(), "used": figures, "loop": by_script, "compared": compared},
        )
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
