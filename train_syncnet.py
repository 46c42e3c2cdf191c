"""Trains a small SyncNet on face clips that run_pipeline.py has cut.

    for f in CORPUS/train/*.mp4; do python run_pipeline.py --videofile $f --data_dir TRACKS \
        --min_track 50 --min_face_size 60; done
    python train_syncnet.py --data TRACKS --run RUN --export syncnet.safetensors

Contrastive over the positions within a clip. Half-way the network drops clips whose lips do not
follow their sound (voice-over, dubbing, listeners) and takes constant lags out, by its own
judgement. Resumes from RUN when started again.
"""

import argparse
import math
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models import weights
from models.syncnet import SMALL, SyncNet
from pipeline import cli
from pipeline.errors import InputError
from training import loop, samples, syncnet
from training.evaluate_sync import Agreement, agreement, reliable_confidence

DRAWN_FRAMES = 200  # of each drawn clip
AVERAGE_DECAY = 0.996


def build_parser() -> argparse.ArgumentParser:
    """Flags of the script."""
    parser = argparse.ArgumentParser(
        description="Trains a small SyncNet on face clips that run_pipeline.py has cut.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    # fmt: off
    add = parser.add_argument
    # Data
    add("--data", type=Path, nargs="+", required=True, help="data_dirs of run_pipeline.py")
    add("--val", type=Path, nargs="*", default=[], help="data_dirs of other people, to report on")
    add("--cache", type=Path, help="decoded clips; unset: RUN/cache")
    add("--drawn", type=int, default=60, help="drawn talking heads added")
    # Run
    add("--run", type=Path, required=True, help="checkpoint and train.jsonl")
    add("--export", type=Path, help="safetensors file to write at the end")
    add("--device", default="auto", help="auto, cpu, cuda, mps")
    add("--seed", type=int, default=1)
    add("--eval_every", type=int, default=-1, help="steps between reports, -1 = at the end")
    add("--save_every", type=int, default=100, help="steps between checkpoints")
    # Optimisation
    add("--steps", type=int, default=2000)
    add("--refine_at", type=int, nargs="*", default=[600, 1100],
        help="steps at which the clips are judged by the network itself")
    add("--excerpts", type=int, default=16, help="per step, each of 31 windows")
    add("--lr", type=float, default=1e-3)
    add("--bf16", action=argparse.BooleanOptionalAction, default=True, help="mixed precision")
    # fmt: on
    return parser


def load_data(args: argparse.Namespace) -> tuple[list[samples.Clip], list[samples.Clip]]:
    """Real clips long enough for an excerpt, and drawn ones."""
    cache = args.cache or args.run / "cache"
    found = samples.load_clips(args.data, SMALL, cache=cache, margin=True)
    real = [clip for clip in found if clip.frames >= SMALL.context_frames]
    if not real:
        raise InputError(
            f"None of {len(found)} face clips with sound is as long as {SMALL.context_s} s; "
            "give longer videos."
        )
    longest = max(clip.frames for clip in real)
    drawn = list(
        samples.drawn_clips(
            real, SMALL, count=args.drawn, frames=min(DRAWN_FRAMES, longest), seed=args.seed
        )
    )
    print(
        f"{len(real)} clips, {samples.minutes(real):.1f} minutes; {len(found) - len(real)} "
        f"shorter than {SMALL.context_s} s left out; {len(drawn)} drawn clips"
    )
    return real, drawn


@dataclass
class Run:
    """Everything that changes while training, and that a checkpoint holds.

    Attributes:
        model, objective, optimizer: what is trained, and how.
        average: the averaged network, which is what is exported.
        clips: those trained on, with the lags known so far.
        dropped: names of clips left out by the network's own judgement.
        step: optimiser steps made.
        seconds: spent in earlier sessions.
    """

    model: SyncNet
    objective: syncnet.Objective
    optimizer: torch.optim.Optimizer
    average: loop.AveragedWeights[SyncNet]
    clips: list[samples.Clip]
    dropped: list[str] = field(default_factory=list)
    step: int = 0
    seconds: float = 0.0

    def state(self, seconds: float) -> dict[str, Any]:
        """What a checkpoint holds: tensors and plain values."""
        return {
            "model": self.model.state_dict(),
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.model.state_dict(),
            "offsets": {clip.name: clip.offset_frames for clip in self.clips},
            "dropped": self.dropped,
            "step": self.step,
            "seconds": seconds,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`; the clips must be loaded."""
        self.model.load_state_dict(state["model"])
        self.objective.load_state_dict(state["objective"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.model.load_state_dict(state["average"])
        by_name = {clip.name: clip for clip in self.clips}
        self.clips = [
            replace(by_name[name], offset_frames=offset)
            for name, offset in state["offsets"].items()
        ]
        self.dropped, self.step = state["dropped"], state["step"]
        self.seconds = state["seconds"]


def start(args: argparse.Namespace, clips: list[samples.Clip], *, device: torch.device) -> Run:
    """A new run, or the one whose checkpoint is there."""
    torch.manual_seed(args.seed)
    model = SyncNet(SMALL).to(device)
    objective = syncnet.Objective().to(device)
    optimizer = torch.optim.AdamW(
        [
            {"params": model.parameters(), "weight_decay": 0.02},
            {"params": objective.parameters(), "weight_decay": 0.0},
        ],
        lr=args.lr,
    )
    average = loop.AveragedWeights(model, decay=AVERAGE_DECAY)
    run = Run(model, objective, optimizer, average, clips)
    if state := loop.load_checkpoint(args.run / "checkpoint.pt"):
        run.restore(state)
        print(f"resumed at step {run.step} with {len(run.clips)} clips")
    return run


def advance(
    run: Run, args: argparse.Namespace, drawn: list[samples.Clip], *, device: torch.device
) -> dict[str, float]:
    """One step; everything random hangs on seed and step, so a resumed run sees the same."""
    run.model.train()
    rng = np.random.default_rng((args.seed, run.step))
    torch.manual_seed(args.seed * 1_000_003 + run.step)
    pool = run.clips + drawn
    batch = syncnet.excerpt_batch(
        pool, rng, SMALL, excerpts=args.excerpts, chances=syncnet.chances(pool)
    )
    for group in run.optimizer.param_groups:
        group["lr"] = loop.learning_rate(
            run.step, peak=args.lr, warmup_steps=50, total_steps=args.steps
        )
    losses = syncnet.train_step(
        run.model,
        run.objective,
        run.optimizer,
        batch,
        excerpts=args.excerpts,
        device=device,
        bf16=args.bf16,
    )
    run.average.update(run.model, run.step)
    run.step += 1
    return losses


def main(argv: list[str] | None = None) -> int:
    """Trains, reports, exports."""
    args = build_parser().parse_args(argv)
    device = cli.torch_device(args.device)
    args.run.mkdir(parents=True, exist_ok=True)
    log = args.run / "train.jsonl"
    everything, drawn = load_data(args)
    run = start(args, everything, device=device)
    started = time.monotonic() - run.seconds
    while run.step < args.steps:
        if run.step in args.refine_at:  # a checkpoint of this step is from before it
            run.clips, run.dropped = syncnet.refine(run.average.model, everything, device=device)
            row = {"step": run.step, "kept": len(run.clips), "left_out": run.dropped}
            loop.log_line(log, row)
        losses = advance(run, args, drawn, device=device)
        seconds = time.monotonic() - started
        if run.step % 20 == 0:
            loop.log_line(log, {"step": run.step, "seconds": round(seconds, 1)} | losses)
        if run.step % args.save_every == 0 or run.step == args.steps:
            loop.save_checkpoint(args.run / "checkpoint.pt", run.state(seconds))
        if args.val and args.eval_every > 0 and run.step % args.eval_every == 0:
            judged = unseen_agreement(run.average.model, args, device=device)
            loop.log_line(log, {"step": run.step} | judged.summary())
    if args.export:
        export(run, args, minutes=(time.monotonic() - started) / 60, device=device)
    return 0


def unseen_agreement(
    model: SyncNet, args: argparse.Namespace, *, device: torch.device
) -> Agreement:
    """Sync accuracy on people the network has not seen."""
    cache = args.cache or args.run / "cache"
    unseen = samples.load_clips(args.val, SMALL, cache=cache, margin=False)
    return agreement(model.eval(), unseen, device=device, seed=args.seed)


def export(run: Run, args: argparse.Namespace, *, minutes: float, device: torch.device) -> None:
    """Writes the averaged weights and their model card."""
    model = run.average.model
    judged = None
    if args.val:
        least = reliable_confidence(unseen_agreement(model, args, device=device))
        if 0 < least < float("inf"):
            # Confidence grows with the scale, and nothing else changes: 3 shall mean what users
            # of the published network take it to mean, an offset to rely on.
            scale = model.config.embedding_scale * model.config.reliable_confidence / least
            model.config = replace(model.config, embedding_scale=float(math.floor(scale)))
        judged = unseen_agreement(model, args, device=device)
    weights.write_own(model, args.export, config=model.config)
    card = {
        "network": "SyncNet, small configuration (models/syncnet.py SMALL)",
        "parameters": sum(p.numel() for p in model.parameters()),
        "data": {
            "clips": "corpus/train, cut by run_pipeline.py --min_track 50 --min_face_size 60",
            "kept": len(run.clips),
            "minutes": round(samples.minutes(run.clips), 1),
            "left_out_by_own_judgement": run.dropped,
            "drawn": f"{args.drawn} drawn heads with sound of the clips (training/drawn.py)",
        },
        "command": "python train_syncnet.py --data TRACKS --val VAL_TRACKS --run RUN "
        f"--steps {args.steps} --refine_at {' '.join(map(str, args.refine_at))} "
        f"--excerpts {args.excerpts} --seed {args.seed} "
        "--export models/weights/syncnet_small.safetensors",
        "minutes": round(minutes, 1),
        "reliable_confidence": model.config.reliable_confidence,
        "calibrated_on": "the unseen people below" if args.val else None,
        "sync_accuracy_on_unseen_people": judged.summary() if judged else None,
        "by_clip": judged.by_clip() if judged else None,
        "licence": "MIT, as the repository; no training picture or sound is part of it",
        "sha256": weights.sha256(args.export),
    }
    loop.write_model_card(args.export.with_suffix(".json"), card)
    print(card)


if __name__ == "__main__":
    sys.exit(cli.run(main))
