"""One SyncNet in training: the step, what a checkpoint holds, when it is worth a warning."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from models.syncnet import SyncNet
from pipeline.errors import PipelineError
from training import loop
from training.excerpts import Batch
from training.objectives import Objective
from training.resume import Origin
from training.samples import Clip

LARGEST_GRADIENT = 3.0  # norm


class Lesson(nn.Module):
    """Network and objective as one module: windows in, loss out.

    Dropout is drawn here, from each excerpt's own seed, so that it does not depend on how excerpts
    are spread over processes.
    """

    def __init__(self, model: SyncNet, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(
        self, lips: torch.Tensor, sound: torch.Tensor, seeds: list[int], bf16: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss and accuracy of a `Batch`, scalars.

        bf16 halves the time on processors that have it; the loss itself stays in float32.
        """
        excerpts, windows = lips.shape[:2]
        with torch.autocast(lips.device.type, dtype=torch.bfloat16, enabled=bf16):
            seen = self.model.forward_lipfeat(lips.flatten(0, 1))
            heard = self.model.forward_audfeat(sound.flatten(0, 1))
            if self.model.config.dropout:
                kept_seen, kept_heard = self._kept(seeds, windows, seen.shape[1], heard.shape[1])
                seen, heard = seen * kept_seen.to(seen), heard * kept_heard.to(heard)
            v, a = self.model.lip_head(seen), self.model.sound_head(heard)
        v, a = (x.float().unflatten(0, (excerpts, windows)) for x in (v, a))
        last = v.shape[2] - bool(self.model.config.embedding_scale)  # without the constant one
        generator = torch.Generator().manual_seed(seeds[0])
        loss, accuracy = self.objective(v[..., :last], a[..., :last], generator)
        return loss, accuracy.detach()

    def _kept(
        self, seeds: list[int], windows: int, seen: int, heard: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        share = 1 - self.model.config.dropout
        drawn = torch.cat(
            [
                torch.rand(windows, seen + heard, generator=torch.Generator().manual_seed(seed))
                for seed in seeds
            ]
        )
        kept = (drawn < share).float() / share
        return kept[:, :seen], kept[:, seen:]


@dataclass
class Run:
    """Everything that changes while training, and that a checkpoint holds.

    Attributes:
        lesson, optimizer: what is trained, and how.
        average: the averaged network, which is what is judged and exported.
        clips: those trained on, with the lags known so far.
        dropped: names of clips left out by the network's own judgement.
        step: optimiser steps made.
        seconds: spent so far.
        best: score and weights of the best averaged network on other people, if there are any.
        since_best: reports made since.
        origin: options and clips of the run.
    """

    lesson: Lesson
    optimizer: torch.optim.Optimizer
    average: loop.AveragedWeights[SyncNet]
    clips: list[Clip]
    dropped: list[str] = field(default_factory=list)
    step: int = 0
    seconds: float = 0.0
    best: dict[str, Any] | None = None
    since_best: int = 0
    origin: Origin | None = None

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds: tensors and plain values."""
        return {
            "lesson": self.lesson.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.model.state_dict(),
            "config": self.lesson.model.config.to_json(),
            "offsets_ms": {clip.name: clip.offset_ms for clip in self.clips},
            "drifts_ms_per_min": {clip.name: clip.drift_ms_per_min for clip in self.clips},
            "dropped": self.dropped,
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "since_best": self.since_best,
            **(self.origin.state() if self.origin else {}),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`; the clips must be loaded. New and changed ones join."""
        self.lesson.load_state_dict(state["lesson"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.model.load_state_dict(state["average"])
        earlier: dict[str, int] = state.get("clips", {})
        now = self.origin.clips if self.origin else {}
        changed = {name for name in earlier if name in now and now[name] != earlier[name]}
        by_name = {clip.name: clip for clip in self.clips}
        drifts = state.get("drifts_ms_per_min", {})  # checkpoints of before know of none
        known = {name: ms for name, ms in state["offsets_ms"].items() if name not in changed}
        self.dropped = [name for name in state["dropped"] if name not in changed]
        joining = [c for c in self.clips if c.name not in known and c.name not in self.dropped]
        self.clips = [
            *(
                replace(by_name[name], offset_ms=ms, drift_ms_per_min=drifts.get(name, 0.0))
                for name, ms in known.items()
                if name in by_name
            ),
            *joining,
        ]
        self.step, self.seconds = state["step"], state["seconds"]
        self.best, self.since_best = state["best"], state["since_best"]


def new_run(
    model: SyncNet,
    objective: Objective,
    clips: list[Clip],
    *,
    decay: float,
    weight_decay: float = 0.02,
) -> Run:
    """A run at step 0.

    Args:
        model, objective: on the device they are trained on.
        clips: to train on.
        decay: of the averaged weights.
        weight_decay: of the network.
    """
    optimizer = torch.optim.AdamW(
        [
            {"params": model.parameters(), "weight_decay": weight_decay},
            {"params": objective.parameters(), "weight_decay": 0.0},
        ]
    )
    average = loop.AveragedWeights(model, decay=decay)
    return Run(Lesson(model, objective), optimizer, average, clips)


def train_step(
    run: Run, called: nn.Module, batch: Batch, *, lr: float, device: torch.device, bf16: bool
) -> dict[str, float]:
    """One optimiser step.

    Args:
        run: changed in place.
        called: `run.lesson`, or what wraps it in a distributed run.
        batch: of this step.
        lr: of this step.
        device: where the network is.
        bf16: mixed precision.

    Returns:
        loss, accuracy and gradient norm of the batch.

    Raises:
        PipelineError: the loss is no longer a number.
    """
    run.lesson.train()
    for group in run.optimizer.param_groups:
        group["lr"] = lr
    pinned = (part.to(device, non_blocking=True) for part in (batch.lips, batch.sound))
    loss, accuracy = called(*pinned, batch.seeds, bf16)
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(run.lesson.parameters(), LARGEST_GRADIENT)
    if not torch.isfinite(norm):
        raise PipelineError(
            f"The loss at step {run.step} is not a number; go on from the last checkpoint "
            "with --precision fp32, or in another --run with a smaller --lr."
        )
    run.optimizer.step()
    run.average.update(run.lesson.model, run.step)
    run.step += 1
    return {"loss": loss.item(), "accuracy": accuracy.item(), "gradient": norm.item()}


def still_guessing(accuracies: list[float], chance: float) -> str | None:
    """Advice where a network has learned nothing; None where it has.

    Args:
        accuracies: of the last steps.
        chance: accuracy of a guess.
    """
    mean = sum(accuracies) / len(accuracies)
    if mean > chance + 0.25 * (1 - chance) * chance:
        return None
    return (
        f"WARNING: accuracy is still {mean:.3f}, a guess gives {chance:.3f}. Usual reasons: lips "
        "and sound of the clips do not belong together (run run_syncnet.py on them and use "
        "--min_confidence), too few people, or too high a --lr."
    )
