"""Trains a SyncNet on face clips that run_pipeline.py has cut.

    python run_pipeline.py --videofile talk.mp4 --data_dir TRACKS     (for every video)
    python run_syncnet.py --reference talk --data_dir TRACKS          (optional: known offsets)
    python train_syncnet.py --data TRACKS --run RUN --export mine.safetensors

Started again with the same --run it goes on where it was killed. Several processes:

    torchrun --nproc_per_node 2 -- train_syncnet.py --data TRACKS --run RUN

(without the two dashes torchrun takes --run for a flag of its own).
"""

import argparse
import sys
from pathlib import Path

from models.device import PRECISION_CHOICES
from pipeline import cli
from training.objectives.contrastive import NEGATIVES, OBJECTIVES
from training.tasks.syncnet import train
from training.tasks.syncnet_options import TrainOptions


def build_parser() -> argparse.ArgumentParser:
    """Flags of the script; every one is a field of `TrainOptions`."""
    parser = argparse.ArgumentParser(
        description="Trains a SyncNet on face clips that run_pipeline.py has cut.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    # fmt: off
    data = parser.add_argument_group("data").add_argument
    data("--data", type=Path, nargs="+", required=True, help="data_dirs of run_pipeline.py")
    data("--val", type=Path, nargs="*", default=[], help="data_dirs of other people, to report on")
    data("--val_without", nargs="*", default=[], help="their references not to calibrate on")
    data("--min_confidence", type=float, default=1.0, help="of clips that run_syncnet.py scored")
    data("--max_offset", type=float, default=10, help="of such clips, frames; taken out")
    data("--drawn", type=int, help="drawn talking heads added; unset: as many as clips, at most 60")
    data("--cache", type=Path, help="decoded clips; unset: RUN/cache")
    data("--cache_gb", type=float, default=20.0, help="largest size of that cache")
    data("--grey", type=float, default=0.1, help="chance that a colour clip loses its colour")
    data("--workers", type=int, default=1, help="threads that prepare batches")
    run = parser.add_argument_group("run").add_argument
    run("--run", type=Path, required=True, help="folder of checkpoint, train.jsonl, curves.png")
    run("--init", help="weights to start from; auto: those run_syncnet.py would take")
    run("--export", type=Path, help="safetensors file to write at the end, with a model card")
    run("--device", default="auto", help="auto, cpu, cuda, mps")
    run("--seed", type=int, default=1)
    run("--log_every", type=int, default=20, help="steps between log rows")
    run("--save_every", type=int, default=100, help="steps between checkpoints")
    run("--eval_every", type=int, default=500, help="steps between reports on --val")
    run("--patience", type=int, default=0, help="reports without a better one; 0: no limit")
    step = parser.add_argument_group("optimisation").add_argument
    step("--steps", type=int, default=2000)
    step("--objective", choices=OBJECTIVES, default="multiway", help="what is asked")
    step("--negatives", choices=NEGATIVES, default="same", help="wrong sound")
    step("--refine_at", type=int, nargs="*", default=[300, 800, 1400], help="judge clips then")
    step("--excerpts", type=int, default=16, help="per step, over all processes")
    step("--lr", type=float, default=1e-3, help="peak; warm-up, then cosine")
    step("--warmup", type=int, default=50, help="steps")
    step("--average", type=float, default=0.996, help="decay of the averaged weights")
    step("--dropout", type=float, help="share of features left out; unset: the network's own")
    step("--weight_decay", type=float, default=0.02)
    step("--precision", choices=PRECISION_CHOICES, default="auto",
         help="arithmetic of the steps; auto: bf16 where the device computes in it, else fp32")
    # fmt: on
    return parser


def main(argv: list[str] | None = None) -> int:
    """Trains, reports, exports."""
    args = build_parser().parse_args(argv)
    with cli.progress_bars() as progress:
        return train(TrainOptions(**vars(args)), progress=progress)


if __name__ == "__main__":
    sys.exit(cli.run(main))
