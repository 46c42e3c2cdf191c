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

from pipeline import cli
from training.loop.options import add_clip_flags, add_run_flags
from training.objectives.contrastive import NEGATIVES, OBJECTIVES
from training.presets.preset import expanded
from training.presets.syncnet import PRESETS
from training.tasks.syncnet import train
from training.tasks.syncnet_options import NETWORKS, TrainOptions


def build_parser() -> argparse.ArgumentParser:
    """Flags of the script; every one is a field of `TrainOptions`."""
    parser = cli.plain_parser(__doc__)
    # fmt: off
    data = add_clip_flags(parser, data="Results folders of run_pipeline.py, or lists "
        "(.txt) of python -m pipeline.select.", presets=PRESETS)
    data("--val_without", nargs="*", default=[],
         help="References of --val that are reported on but not calibrated on.")
    data("--drawn", type=int, help="How many drawn talking heads are added. Without it, as many "
         "as clips, at most 60.")
    data("--grey", type=float, default=0.1, help="Chance that a colour clip is shown in grey.")
    run, step = add_run_flags(
        parser, steps=2000, lr=1e-3, warmup=50, average=0.996, weight_decay=0.02
    )
    run("--init", help="Weights to start from; auto takes those of run_syncnet.py.")
    run("--init_share", type=float, default=0.0,
        help="Share of the weights of --init in those that are reported on and exported; the rest "
        "are this run's. Between both, a network may know the new clips and unlearn less.")
    run("--network", choices=NETWORKS,
        help="What is trained, from nothing. Without it, the network of --init, or small.")
    run("--patience", type=int, default=0,
        help="Reports without a better one after which the run ends; 0 sets no limit.")
    step("--objective", choices=OBJECTIVES, default="multiway", help="The loss.")
    step("--negatives", choices=NEGATIVES, default="same",
         help="Where wrong sound comes from: the same excerpt or others.")
    step("--refine_at", type=int, nargs="*", default=[300, 800, 1400],
         help="Steps at which the network judges the clips and leaves out those out of sync.")
    step("--excerpts", type=int, default=16, help="Excerpts of a step, over all processes.")
    step("--refusal", type=float, default=0.0,
         help="Weight of a second question: which shift of a whole piece is right, or none, as "
         "with somebody else's sound (with --objective multiway).")
    step("--windows", type=int,
         help="Windows that are taken of each excerpt, at random. Without it, all of them.")
    step("--dropout", type=float,
         help="Share of the features that is left out. Without it, the network's own.")
    # fmt: on
    return parser


def main(argv: list[str] | None = None) -> int:
    """Trains, reports, exports."""
    args = build_parser().parse_args(expanded(argv, PRESETS))
    with cli.progress_bars() as progress:
        return train(TrainOptions(**vars(args)), progress=progress)


if __name__ == "__main__":
    sys.exit(cli.run(main))
