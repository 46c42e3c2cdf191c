"""What the training loop asks of a network: everything that differs from one to the next."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from training import card
from training.resume import Origin


@dataclass(frozen=True)
class Report:
    """What the averaged network is worth at some step.

    Attributes:
        figures: for the log.
        score: the higher the better, to choose the best network by; None: the last one is taken.
    """

    figures: dict[str, Any]
    score: float | None = None


class Task(card.Exported, Protocol):
    """What differs from one network to the next.

    Attributes:
        networks, optimizers: trained and saved, by their names in a checkpoint; None: this run
            has none.
        step_name: of the number of steps in a checkpoint.
        largest_gradient: norm to which gradients are clipped.
        changes_at: steps before which `change_clips` is due; no batch is made ahead beyond them.
        pace: name in the log and number a step of what passes by in a second.
        patience: reports without a better one that end the run; 0: no limit.
    """

    networks: dict[str, Any]
    optimizers: dict[str, Any]
    step_name: str
    largest_gradient: float
    changes_at: list[int]
    pace: tuple[str, int]
    patience: int

    @property
    def network(self) -> nn.Module:
        """What is averaged, judged and exported."""

    def beginning(self, step: int) -> list[str]:
        """Lines to print before the first step that is made."""

    def batch(self, step: int) -> Any:
        """This process's share of a step's batch; everything random hangs on seed and step."""

    def losses(
        self, batch: Any, step: int
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """One loss for each optimizer, by its name, and scalars for the log."""

    def change_clips(self, average: Any) -> dict[str, Any]:
        """Judges the clips by the averaged network; returns a row of the log."""

    def report_due(self, step: int) -> bool:
        """Whether `report` is to be asked after this step."""

    def report(self, average: Any, step: int) -> Report:
        """Judges the averaged network."""

    def after_step(self, step: int, row: dict[str, float], report: Report | None) -> dict[str, Any]:
        """What else is due after a step; returns a row of the log, or nothing."""

    def state(self) -> dict[str, Any]:
        """Plain values that the checkpoint holds for this task alone."""

    def restore(self, state: dict[str, Any], origin: Origin | None) -> str:
        """The inverse of `state`; returns what to say of it."""

    def ending(self, step: int) -> list[str]:
        """Lines to print at the end: where the weights are, and what to do with them."""


class RunOptions(Protocol):
    """What the loop reads of a script's options; their --help says what each is."""

    @property
    def run(self) -> Path: ...
    @property
    def export(self) -> Path | None: ...
    @property
    def steps(self) -> int: ...
    @property
    def lr(self) -> float: ...
    @property
    def warmup(self) -> int: ...
    @property
    def average(self) -> float: ...
    @property
    def workers(self) -> int: ...
    @property
    def log_every(self) -> int: ...
    @property
    def save_every(self) -> int: ...
