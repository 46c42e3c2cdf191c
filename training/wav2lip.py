"""One of Wav2Lip's networks in training: the step, and what a checkpoint holds."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from models.wav2lip import (
    EMBEDDING_SIZE,
    SyncNetColor,
    Wav2Lip,
    Wav2LipDiscriminator,
)
from pipeline.errors import PipelineError
from training import loop
from training import wav2lip_objectives as objectives
from training.distributed import Processes, average_gradients
from training.expert_excerpts import ExpertBatch
from training.face_batches import FaceBatch
from training.resume import Origin
from training.wav2lip_objectives import LossWeights

LARGEST_GRADIENT = 5.0  # norm

AnyBatch = ExpertBatch | FaceBatch


class Lesson(nn.Module):
    """The network in training and what teaches it, as one module: a batch in, losses out."""

    def __init__(
        self,
        model: SyncNetColor | Wav2Lip,
        *,
        expert: SyncNetColor | None,
        discriminator: Wav2LipDiscriminator | None,
        taught_size: int = 0,
    ) -> None:
        super().__init__()
        self.model = model
        self.discriminator = discriminator
        size = model.config.channels(EMBEDDING_SIZE)
        self.translation = nn.Linear(size, taught_size) if taught_size else None
        # Not a submodule: the expert is no part of what is trained, averaged or saved.
        self._teacher = [expert.eval().requires_grad_(False)] if expert else []

    @property
    def expert(self) -> SyncNetColor | None:
        """Frozen, in eval mode."""
        return self._teacher[0] if self._teacher else None

    def forward(
        self, batch: AnyBatch, weighted: LossWeights, bf16: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None, dict[str, torch.Tensor]]:
        """Loss of the network, loss of the discriminator, and the parts to report.

        bf16 halves the time on processors that have it; the losses themselves stay in float32.
        """
        device = next(self.model.parameters()).device
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            if isinstance(self.model, SyncNetColor):
                assert isinstance(batch, ExpertBatch)
                loss, parts = objectives.expert_loss(
                    self.model, batch, translation=self.translation, pairs=weighted.pairs
                )
                return loss, None, parts
            assert isinstance(batch, FaceBatch)
            drawn = objectives.draw(self.model, batch)
            loss, parts = objectives.generator_loss(
                drawn,
                batch,
                weighted,
                expert=self.expert,
                discriminator=self.discriminator,
            )
            if self.translation is not None and weighted.taught:
                unlike, alike = objectives.taught_loss(self.model, batch, self.translation)
                loss = loss + weighted.taught * unlike
                parts["taught"] = alike
            other = None
            if self.discriminator is not None:
                other = objectives.discriminator_loss(self.discriminator, drawn, batch)
                parts["discriminator"] = other.detach()
        return loss, other, parts


@dataclass
class Run:
    """Everything that changes while training, and that a checkpoint holds.

    Attributes:
        lesson, optimizer: what is trained, and how.
        rival: optimizer of the discriminator, where there is one.
        average: the averaged network, which is what is judged and exported.
        weighted: parts of the generator's loss; the expert's is switched on later.
        step: optimiser steps made.
        seconds: spent so far.
        origin: options and clips of the run.
    """

    lesson: Lesson
    optimizer: torch.optim.Optimizer
    rival: torch.optim.Optimizer | None
    average: loop.AveragedWeights[Any]
    weighted: LossWeights = field(default_factory=LossWeights)
    step: int = 0
    seconds: float = 0.0
    origin: Origin | None = None

    def state(self) -> dict[str, Any]:
        """The published checkpoint's dict, and what else a resumed run needs."""
        other, translation = self.lesson.discriminator, self.lesson.translation
        return {
            "state_dict": self.lesson.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "global_step": self.step,
            "global_epoch": 0,
            "config": self.lesson.model.config.to_json(),
            "average": self.average.model.state_dict(),
            "translation": translation.state_dict() if translation else None,
            "discriminator": other.state_dict() if other else None,
            "rival": self.rival.state_dict() if self.rival else None,
            "sync_weight": self.weighted.sync,
            "seconds": self.seconds,
            **(self.origin.state() if self.origin else {}),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        self.lesson.model.load_state_dict(state["state_dict"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.model.load_state_dict(state["average"])
        if self.lesson.translation is not None and state["translation"]:
            self.lesson.translation.load_state_dict(state["translation"])
        if self.lesson.discriminator is not None and state["discriminator"]:
            self.lesson.discriminator.load_state_dict(state["discriminator"])
        if self.rival is not None and state["rival"]:
            self.rival.load_state_dict(state["rival"])
        self.weighted = replace(self.weighted, sync=state["sync_weight"])
        self.step, self.seconds = state["global_step"], state["seconds"]


def new_run(lesson: Lesson, *, decay: float, weight_decay: float, weighted: LossWeights) -> Run:
    """A run at step 0.

    Args:
        lesson: on the device it is trained on.
        decay: of the averaged weights.
        weight_decay: of the network.
        weighted: parts of the loss; the expert's is switched on later.
    """
    trained = [*lesson.model.parameters()]
    if lesson.translation is not None:
        trained += lesson.translation.parameters()
    optimizer = torch.optim.AdamW(trained, weight_decay=weight_decay)
    other = lesson.discriminator
    # A discriminator that remembers long follows the generator too slowly.
    rival = torch.optim.Adam(other.parameters(), betas=(0.5, 0.999)) if other else None
    average = loop.AveragedWeights(lesson.model, decay=decay)
    return Run(lesson, optimizer, rival, average, weighted)


def train_step(
    run: Run, batch: AnyBatch, *, lr: float, group: Processes, bf16: bool
) -> dict[str, float]:
    """One optimiser step of the network, and of the discriminator where there is one.

    Args:
        run: changed in place.
        batch: of this step, this process's share.
        lr: of this step.
        group: the processes that share the step.
        bf16: mixed precision.

    Returns:
        The losses and the gradient's norm.

    Raises:
        PipelineError: the loss is no longer a number.
    """
    run.lesson.train()
    if run.lesson.expert is not None:
        run.lesson.expert.eval()
    loss, other, parts = run.lesson(batch.to(group.device), run.weighted, bf16)
    row = {"loss": loss.item()} | {name: float(value) for name, value in parts.items()}
    row["gradient"] = _descend(run.optimizer, loss, lr, group, step=run.step)
    if other is not None and run.rival is not None:
        _descend(run.rival, other, lr, group, step=run.step)
    run.average.update(run.lesson.model, run.step)
    run.step += 1
    return row


def _descend(
    optimizer: torch.optim.Optimizer, loss: torch.Tensor, lr: float, group: Processes, *, step: int
) -> float:
    parameters = [p for part in optimizer.param_groups for p in part["params"]]
    for part in optimizer.param_groups:
        part["lr"] = lr
    # Of these parameters alone: the generator's loss has left gradients in the discriminator.
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    average_gradients(parameters, group)
    norm = nn.utils.clip_grad_norm_(parameters, LARGEST_GRADIENT)
    if not torch.isfinite(norm):
        raise PipelineError(
            f"The loss at step {step} is not a number; go on from the last checkpoint "
            "with --precision fp32, or in another --run with a smaller --lr."
        )
    optimizer.step()
    return norm.item()


@torch.no_grad()
def judge(run: Run, unseen: list[AnyBatch], device: torch.device) -> dict[str, float]:
    """Losses of the averaged network on other people."""
    lesson = Lesson(run.average.model, expert=run.lesson.expert, discriminator=None).eval()
    rows = []
    for batch in unseen:
        loss, _, parts = lesson(batch.to(device), LossWeights(), False)
        rows.append({"loss": loss.item()} | {name: float(value) for name, value in parts.items()})
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
