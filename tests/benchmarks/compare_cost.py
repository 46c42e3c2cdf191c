"""Compares two files of tests.benchmarks.cost: how many times as much the second one costs.

    python -m tests.benchmarks.compare_cost before.json after.json

Per second of video, so that clips of different length can be compared; peak memory is as it is.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from pipeline import cli
from pipeline.errors import InputError
from pipeline.store.files import write_json
from tests.benchmarks import report

PER_VIDEO_S = ("cpu_s", "wall_s", "written_mb", "left_mb")
HEADER = ("CPU s before", "after", "CPU ratio", "wall", "peak", "written", "left")


def build_parser() -> argparse.ArgumentParser:
    """Flags of the script."""
    parser = report.parser(__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    return parser


def read(path: Path) -> dict[str, Any]:
    """Reads a file of tests.benchmarks.cost.

    Raises:
        InputError: it is not that.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for clip in content["clips"]:
            clip["file"], clip["per_video_s"]["total"], clip["stages"]["total"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(
            f"{path} is not a file of tests.benchmarks.cost; write one with its --json."
        ) from error
    return content


def pairs(
    before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Clips of the same name; a single clip on each side is compared whatever its name.

    Raises:
        InputError: no clip is in both.
    """
    if len(before) == len(after) == 1:
        return [(before[0], after[0])]
    by_name = {clip["file"]: clip for clip in after}
    result = [(clip, by_name[clip["file"]]) for clip in before if clip["file"] in by_name]
    if not result:
        raise InputError("The two files have no clip in common; measure the same clips.")
    return result


def ratios(before: dict[str, Any], after: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    """After over before for every stage both have; None where there was nothing before.

    The total is left out where one of them has a stage more.
    """
    shared = [stage for stage in before["stages"] if stage in after["stages"]]
    if before["stages"].keys() != after["stages"].keys():
        shared.remove("total")
    result = {}
    for stage in shared:
        old, new = (clip["per_video_s"][stage] for clip in (before, after))
        row = {key: _ratio(old[key], new[key]) for key in PER_VIDEO_S}
        old, new = (clip["stages"][stage] for clip in (before, after))
        result[stage] = row | {"peak_mib": _ratio(old["peak_mib"], new["peak_mib"])}
    return result


def _ratio(old: float, new: float) -> float | None:
    return new / old if old else None


def table(
    before: dict[str, Any], after: dict[str, Any], result: dict[str, dict[str, float | None]]
) -> list[list[object]]:
    """A row per stage; CPU seconds are per second of video."""
    rows: list[list[object]] = []
    for stage, row in result.items():
        seconds = [clip["per_video_s"][stage]["cpu_s"] for clip in (before, after)]
        keys = ("cpu_s", "wall_s", "peak_mib", "written_mb", "left_mb")
        rows.append([stage, *seconds, *("-" if row[key] is None else row[key] for key in keys)])
    return rows


def differing(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Sentences about settings that differ, which may be meant, and machines, which are not."""
    return [
        f"{key}: {before[part][key]} before, {after[part].get(key)} after"
        for part in ("settings", "machine")
        for key in before[part]
        if key != "load_average" and before[part][key] != after[part].get(key)
    ]


def main(argv: list[str] | None = None) -> int:
    """Compares, prints, writes."""
    args = build_parser().parse_args(argv)
    before, after = read(args.before), read(args.after)
    clips = []
    for old, new in pairs(before["clips"], after["clips"]):
        result = ratios(old, new)
        names = sorted({old["file"], new["file"]})
        print(f"{' and '.join(names)}: {old['video_s']:.2f} s before, {new['video_s']:.2f} s after")
        report.print_table(["stage", *HEADER], table(old, new, result))
        print()
        clips.append({"before": old["file"], "after": new["file"], "ratios": result})
    for sentence in differing(before, after):
        print(sentence)
    if args.json:
        write_json(args.json, {"clips": clips})
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
