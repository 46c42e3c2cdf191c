"""Compares scores computed in bfloat16 with those in float32, clip by clip.

    python -m tests.benchmarks.precision --data_dir TRACKS [--initial_model FILE]

TRACKS is what run_pipeline.py has cut. Clips without windows, silent ones say, are left out.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from models.device import torch_device
from pipeline import cli
from pipeline.errors import InputError
from pipeline.store.files import write_json
from pipeline.sync.scorer import SyncOptions, SyncScorer
from tests.benchmarks import report
from training.data.samples import clip_files, clip_name

EQUAL_BAR = 100.0  # percent of clips with the same offset
APART_BAR = 1.0  # percent, largest change of a clip's min dist


def compare(files: list[Path], initial_model: str, *, device: torch.device) -> list[dict[str, Any]]:
    """One row per clip with windows: offsets in frames and min dists, float32's first."""
    scorers = [
        SyncScorer(SyncOptions(initial_model, precision="fp32"), device=device),
        SyncScorer(SyncOptions(initial_model, precision="bf16"), device=device),
    ]
    rows = []
    with tqdm(desc="clips", total=len(files), unit=" clips", disable=None, leave=False) as bar:
        for file in files:
            scores = [scorer.score(file) for scorer in scorers]
            bar.update(1)
            # Whether there are windows is the clip's matter, not the arithmetic's.
            if syncs := [score.sync for score in scores if score.sync]:
                rows.append(
                    {
                        "clip": clip_name(file),
                        "offsets": [one.offset_frames for one in syncs],
                        "min_dists": [one.min_dist for one in syncs],
                    }
                )
    return rows


def main(argv: list[str] | None = None) -> int:
    """Measures, prints, writes."""
    parser = report.parser(__doc__)
    parser.add_argument("--data_dir", type=Path, required=True, help="of run_pipeline.py")
    parser.add_argument("--initial_model", default="auto", help="as for run_syncnet.py")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps")
    args = parser.parse_args(argv)
    device = torch_device(args.device)
    rows = compare(clip_files([args.data_dir]), args.initial_model, device=device)
    if not rows:
        raise InputError(f"No clip in {args.data_dir} has sound and five frames.")
    equal = [row["offsets"][0] == row["offsets"][1] for row in rows]
    apart = [abs(row["min_dists"][1] / row["min_dists"][0] - 1) for row in rows]
    print(f"{len(rows)} clips")
    met = [
        report.verdict("same offset, %", 100 * sum(equal) / len(rows), EQUAL_BAR, at_most=False),
        report.verdict("largest change of min dist, %", 100 * max(apart), APART_BAR, at_most=True),
    ]
    for row, same in zip(rows, equal, strict=True):
        if not same:
            print(f"{row['clip']}: {row['offsets'][0]} and {row['offsets'][1]} frames")
    if args.json:
        write_json(args.json, {"clips": rows})
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(cli.run(main))
