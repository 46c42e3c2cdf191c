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

from models.device import PRECISION_CHOICES
from pipeline import cli
from training.tasks.wav2lip import train
from training.tasks.wav2lip_options import STAGES, TrainOptions


def build_parser() -> argparse.ArgumentParser:
    """Flags of the script; every one is a field of `TrainOptions`."""
    parser = cli.plain_parser(__doc__)
    # fmt: off
    data = parser.add_argument_group("data").add_argument
    data("--data", type=Path, nargs="+", required=True,
         help="Results folders of run_pipeline.py, or preprocessed_root folders of Wav2Lip.")
    data("--val", type=Path, nargs="*", default=[], help="Such folders of other people.")
    data("--min_confidence", type=float, default=1.0,
         help="Clips that run_syncnet.py scored need at least this confidence.")
    data("--max_offset", type=float, default=10,
         help="Clips that run_syncnet.py scored may be this many frames out of sync.")
    data("--filelists", type=Path,
         help="Folder of train.txt and val.txt, which choose from a preprocessed_root.")
    data("--cache", type=Path, help="Folder of decoded clips. Without it, RUN/cache.")
    data("--cache_gb", type=float, default=20.0, help="Largest size of that folder.")
    data("--workers", type=int, default=1, help="Threads that prepare batches.")
    run = parser.add_argument_group("run").add_argument
    run("--stage", choices=STAGES, required=True,
        help="The network to train; gan is the generator with a discriminator.")
    run("--run", type=Path, required=True,
        help="Folder of the checkpoint, train.jsonl and sample pictures.")
    run("--teacher", default="auto",
        help="SyncNet weights that an expert learns from first; none trains without.")
    run("--taught_steps", type=int, default=300,
        help="First steps in which an expert learns from its teacher only.")
    run("--expert", type=Path, help="Weights of the expert, for generator and gan.")
    run("--init", type=Path, help="Weights to start from.")
    run("--export", type=Path,
        help="Weights file (.safetensors) to write at the end, with a model card beside it.")
    cli.add_device(parser)
    run("--seed", type=int, default=1, help="Seed of everything random.")
    run("--log_every", type=int, default=20, help="Steps from one row of the log to the next.")
    run("--save_every", type=int, default=100, help="Steps from one checkpoint to the next.")
    run("--eval_every", type=int, default=500,
        help="Steps from one report on --val, with sample pictures, to the next.")
    step = parser.add_argument_group("optimisation").add_argument
    step("--width", type=float, default=0.25, help="Factor on the published channels.")
    step("--steps", type=int, default=3000, help="Length of the run.")
    step("--batch_size", type=int, default=16,
         help="Windows of five frames in a step, over all processes.")
    step("--lr", type=float, default=1e-3, help="Peak of the learning rate.")
    step("--warmup", type=int, default=100, help="Steps until that peak; a cosine follows.")
    step("--average", type=float, default=0.998, help="Decay of the averaged weights.")
    step("--weight_decay", type=float, default=0.01, help="Weight decay of AdamW.")
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
