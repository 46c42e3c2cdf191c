"""Trains Wav2Lip's networks on face clips that run_pipeline.py has cut.

    python train_wav2lip.py --stage expert --data TRACKS --run EXPERT --export expert.safetensors
    python train_wav2lip.py --stage generator --data TRACKS --expert expert.safetensors --run GEN \\
        --export generator.safetensors

Offsets that run_syncnet.py found are taken out first. Started again with the same --run it goes on
where it was killed. Several processes: torchrun --nproc_per_node 2 train_wav2lip.py ...
"""

import argparse
import sys
from pathlib import Path

from pipeline import cli
from training.loop.options import add_clip_flags, add_run_flags
from training.presets.preset import expanded
from training.presets.wav2lip import PRESETS
from training.tasks.wav2lip import train
from training.tasks.wav2lip_options import STAGES, TrainOptions


def build_parser() -> argparse.ArgumentParser:
    """Flags of the script; every one is a field of `TrainOptions`."""
    parser = cli.plain_parser(__doc__)
    # fmt: off
    data = add_clip_flags(
        parser, data="Results folders of run_pipeline.py, lists (.txt) of "
        "python -m pipeline.select, or preprocessed_root folders of Wav2Lip.", presets=PRESETS
    )
    data("--val_share", type=float,
         help="Share of the people of --data that is kept back to report on, where there is no "
         "--val; 0.2 is one of five.")
    data("--filelists", type=Path,
         help="Folder of train.txt and val.txt, which choose from a preprocessed_root.")
    run, step = add_run_flags(
        parser, steps=3000, lr=1e-3, warmup=100, average=0.998, weight_decay=0.01,
        eval_help="Steps from one report on --val, with sample pictures, to the next."
    )
    run("--stage", choices=STAGES, required=True,
        help="The network to train; gan is the generator with a discriminator, speech2vid another "
        "generator, which --teacher judges.")
    run("--teacher", default="auto",
        help="SyncNet weights that an expert or a generator learns from, or that judge a "
        "speech2vid; none trains without.")
    run("--taught_steps", type=int, default=300,
        help="First steps in which an expert learns from its teacher only.")
    run("--expert", type=Path, help="Weights of the expert, for generator and gan.")
    run("--init", type=Path, help="Weights to start from.")
    step("--width", type=float, default=0.25, help="Factor on the published channels.")
    step("--separate_voice", action=argparse.BooleanOptionalAction, default=False,
         help="Take what plays behind voices out of what the network hears, now and later on.")
    step("--shift_s", type=float,
         help="Wrong sound of the same clip is at least so many seconds away from an expert's "
         "window. Without it, any other window's.")
    step("--batch_size", type=int, default=16,
         help="Windows of five frames in a step, over all processes.")
    step("--sync_weight", type=float, default=0.03,
         help="Weight of the expert's loss, once it is switched on.")
    step("--sync_from", type=float, default=0.75,
         help="The expert's loss on --val below which it is switched on.")
    step("--sync_at", type=int, default=-1,
         help="Step at which it is switched on in any case; -1 never does.")
    step("--adversarial_weight", type=float, default=0.07,
         help="Weight of the discriminator's loss, for gan only.")
    step("--mouth_weight", type=float, default=4.0,
         help="Weight of the mouth in L1, on top of 1; 0 is the paper's.")
    step("--structure_weight", type=float, default=0.2,
         help="Weight of the mouth's 1 - SSIM; 0 is the paper's.")
    step("--detail_weight", type=float, default=0.012,
         help="Weight of the mouth's fine contrast; 0 is the paper's.")
    step("--taught_weight", type=float, default=0.1,
         help="Weight of the teacher's embeddings of the sound; 0 is the paper's.")
    # fmt: on
    return parser


def main(argv: list[str] | None = None) -> int:
    """Trains, reports, exports."""
    args = build_parser().parse_args(expanded(argv, PRESETS))
    with cli.progress_bars() as progress:
        return train(TrainOptions(**vars(args)), progress=progress)


if __name__ == "__main__":
    sys.exit(cli.run(main))
