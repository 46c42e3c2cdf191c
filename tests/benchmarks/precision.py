"""Compares scores computed in bfloat16 with those in float32, clip by clip.

    python -m tests.benchmarks.precision --data_dir TRACKS [--initial_model FILE]

TRACKS is what run_pipeline.py has cut. Clips without windows, silent ones say, are left out.
"""

import sys
from pathlib import Path
from typing import Any

import torch

from pipeline import cli
from pipeline.errors import InputError
from pipeline.store import workspace
from pipeline.sync.scorer import load_scorer, score_clip
from tests.benchmarks import report
from training.data.samples import clip_files, clip_name

BATCH_WINDOWS, VSHIFT = 20, 15  # as run_syncnet.py has them
EQUAL_BAR = 100.0  # percent of clips with the same offset
APART_BAR = 1.0  # percent, largest change of a clip's min dist


def compare(files: list[Path], initial_model: str, *, device: torch.device) -> list[dict[str, Any]]:
    """One row per clip with windows: offsets in frames and min dists, float32's first."""
    models = [
        load_scorer(initial_model, device=device, precision=precision)[0]
        for precision in ("fp32", "bf16")
    ]
    rows = []
    with cli.progress("clips", len(files)) as bar:
        for file in files:
            scores = [
                score_clip(file, model, batch_size=BATCH_WINDOWS, vshift=VSHIFT, device=device)
                for model in models
            ]
            bar.update(1)
            # Whether there are windows is the clip's matter, not the arithmetic's.
            if found := [score.sync for score in scores if score.sync]:
                rows.append(
                    {
                        "clip": clip_name(file),
                        "offsets": [one.offset_frames for one in found],
                        "min_dists": [one.min_dist for one in found],
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
    device = cli.torch_device(args.device)
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
        workspace.write_json(args.json, {"clips": rows})
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(cli.run(main))
