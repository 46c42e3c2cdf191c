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
    parser = cli.plain_parser(__doc__)
    # fmt: off
    data = parser.add_argument_group("data").add_argument
    data("--data", type=Path, nargs="+", required=True, help="Results folders of run_pipeline.py.")
    data("--val", type=Path, nargs="*", default=[],
         help="Results folders of other people, to report on.")
    data("--val_without", nargs="*", default=[],
         help="References of --val that are reported on but not calibrated on.")
    data("--min_confidence", type=float, default=1.0,
         help="Clips that run_syncnet.py scored need at least this confidence.")
    data("--max_offset", type=float, default=10,
         help="Clips that run_syncnet.py scored may be this many frames out of sync.")
    data("--drawn", type=int, help="How many drawn talking heads are added. Without it, as many "
         "as clips, at most 60.")
    data("--cache", type=Path, help="Folder of decoded clips. Without it, RUN/cache.")
    data("--cache_gb", type=float, default=20.0, help="Largest size of that folder.")
    data("--grey", type=float, default=0.1, help="Chance that a colour clip is shown in grey.")
    data("--workers", type=int, default=1, help="Threads that prepare batches.")
    run = parser.add_argument_group("run").add_argument
    run("--run", type=Path, required=True,
        help="Folder of the checkpoint, train.jsonl and curves.png.")
    run("--init", help="Weights to start from; auto takes those of run_syncnet.py.")
    run("--export", type=Path,
        help="Weights file (.safetensors) to write at the end, with a model card beside it.")
    cli.add_device(parser)
    run("--seed", type=int, default=1, help="Seed of everything random.")
    run("--log_every", type=int, default=20, help="Steps from one row of the log to the next.")
    run("--save_every", type=int, default=100, help="Steps from one checkpoint to the next.")
    run("--eval_every", type=int, default=500, help="Steps from one report on --val to the next.")
    run("--patience", type=int, default=0,
        help="Reports without a better one after which the run ends; 0 sets no limit.")
    step = parser.add_argument_group("optimisation").add_argument
    step("--steps", type=int, default=2000, help="Length of the run.")
    step("--objective", choices=OBJECTIVES, default="multiway", help="The loss.")
    step("--negatives", choices=NEGATIVES, default="same",
         help="Where wrong sound comes from: the same excerpt or others.")
    step("--refine_at", type=int, nargs="*", default=[300, 800, 1400],
         help="Steps at which the network judges the clips and leaves out those out of sync.")
    step("--excerpts", type=int, default=16, help="Excerpts of a step, over all processes.")
    step("--lr", type=float, default=1e-3, help="Peak of the learning rate.")
    step("--warmup", type=int, default=50, help="Steps until that peak; a cosine follows.")
    step("--average", type=float, default=0.996, help="Decay of the averaged weights.")
    step("--dropout", type=float,
         help="Share of the features that is left out. Without it, the network's own.")
    step("--weight_decay", type=float, default=0.02, help="Weight decay of AdamW.")
    step("--precision", choices=PRECISION_CHOICES, default="auto",
         help="Arithmetic of a step; auto is bf16 where the device computes in it, else fp32.")
    # fmt: on
    return parser


def main(argv: list[str] | None = None) -> int:
    """Trains, reports, exports."""
    args = build_parser().parse_args(argv)
    with cli.progress_bars() as progress:
        return train(TrainOptions(**vars(args)), progress=progress)


if __name__ == "__main__":
    sys.exit(cli.run(main))
