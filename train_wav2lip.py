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
    parser = argparse.ArgumentParser(
        description="Trains Wav2Lip's networks on face clips that run_pipeline.py has cut.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    # fmt: off
    data = parser.add_argument_group("data").add_argument
    data("--data", type=Path, nargs="+", required=True, help="data_dirs or preprocessed_roots")
    data("--val", type=Path, nargs="*", default=[], help="data_dirs of other people, to report on")
    data("--min_confidence", type=float, default=1.0, help="of clips that run_syncnet.py scored")
    data("--max_offset", type=float, default=10, help="of such clips, frames; taken out")
    data("--filelists", type=Path, help="folder of train.txt, val.txt for a preprocessed_root")
    data("--cache", type=Path, help="decoded clips; unset: RUN/cache")
    data("--cache_gb", type=float, default=20.0, help="largest size of that cache")
    data("--workers", type=int, default=1, help="threads that prepare batches")
    run = parser.add_argument_group("run").add_argument
    run("--stage", choices=STAGES, required=True, help="gan: generator with a discriminator")
    run("--run", type=Path, required=True, help="folder of checkpoint, train.jsonl, samples")
    run("--teacher", default="auto", help="SyncNet weights to learn from first, or none")
    run("--taught_steps", type=int, default=300, help="first steps of an expert: teacher only")
    run("--expert", type=Path, help="weights of the expert, for generator and gan")
    run("--init", type=Path, help="weights to start from")
    run("--export", type=Path, help="safetensors file to write at the end, with a model card")
    run("--device", default="auto", help="auto, cpu, cuda, mps")
    run("--seed", type=int, default=1)
    run("--log_every", type=int, default=20, help="steps between log rows")
    run("--save_every", type=int, default=100, help="steps between checkpoints")
    run("--eval_every", type=int, default=500, help="steps between reports on --val, with samples")
    step = parser.add_argument_group("optimisation").add_argument
    step("--width", type=float, default=0.25, help="factor on the published channels")
    step("--steps", type=int, default=3000)
    step("--batch_size", type=int, default=16, help="windows of five frames, over all processes")
    step("--lr", type=float, default=1e-3, help="peak; warm-up, then cosine")
    step("--warmup", type=int, default=100, help="steps")
    step("--average", type=float, default=0.998, help="decay of the averaged weights")
    step("--weight_decay", type=float, default=0.01)
    step("--sync_weight", type=float, default=0.03, help="of the expert's loss, once switched on")
    step("--sync_from", type=float, default=0.75, help="on when its loss on --val is below")
    step("--sync_at", type=int, default=-1, help="or at this step; -1: never by step")
    step("--adversarial_weight", type=float, default=0.07, help="of the discriminator's, gan only")
    step("--mouth_weight", type=float, default=4.0, help="of mouth in L1, on top of 1; paper: 0")
    step("--structure_weight", type=float, default=0.2, help="of the mouth's 1 - SSIM; paper: 0")
    step("--detail_weight", type=float, default=0.012, help="of its fine contrast; paper: 0")
    step("--taught_weight", type=float, default=0.1, help="of what the teacher hears; paper: 0")
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
