"""The part of a training run that differs by network: the interface of the loop."""

from dataclasses import dataclass
from typing import Any

import torch

from training.loop import checkpoint as checkpoint_files
from training.loop.resume import Origin


@dataclass(frozen=True)
class Report:
    """Evaluation of the averaged network at some step.

    Attributes:
        figures: for the log.
        score: the higher the better, to choose the best network by; None: the last one is taken.
    """

    figures: dict[str, Any]
    score: float | None = None


class Task:
    """What differs from one network to the next.

    Attributes:
        script: that was run, as it is typed after python.
        network: the one that is averaged, evaluated and exported.
        networks, optimizers: trained and saved, by their names in a checkpoint; None: this run
            has none.
        step_name: of the number of steps in a checkpoint.
        largest_gradient: norm to which gradients are clipped.
        changes_at: steps before which `change_clips` is due; no batch is made ahead beyond them.
        pace: name in the log and number a step of what passes by in a second.
        patience: reports without a better one that end the run; 0: no limit.
        precision: arithmetic of the steps.
        half: the exported file holds float16.
    """

    script: str
    network: Any
    networks: dict[str, Any]
    optimizers: dict[str, Any]
    step_name = "step"
    largest_gradient = 5.0
    changes_at: list[int] = []  # noqa: RUF012 -- never changed
    pace: tuple[str, int]
    patience = 0
    precision: str
    half = True

    def beginning(self, step: int) -> list[str]:
        """Lines to print before the first step that is made."""
        raise NotImplementedError

    def batch(self, step: int) -> Any:
        """This process's share of a step's batch; everything random hangs on seed and step."""
        raise NotImplementedError

    def losses(
        self, batch: Any, step: int
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """One loss for each optimizer, by its name, and scalars for the log."""
        raise NotImplementedError

    def change_clips(self, average: Any) -> dict[str, Any]:
        """Judges the clips by the averaged network; returns a row of the log."""
        return {}

    def report_due(self, step: int) -> bool:
        """Whether `report` is to be asked after this step."""
        raise NotImplementedError

    def report(self, average: Any, step: int) -> Report:
        """Judges the averaged network."""
        raise NotImplementedError

    def after_step(self, step: int, row: dict[str, float], report: Report | None) -> dict[str, Any]:
        """What else is due after a step; returns a row of the log, or nothing."""
        return {}

    def state(self) -> dict[str, Any]:
        """Plain values that the checkpoint holds for this task alone."""
        return {}

    def restore(self, state: dict[str, Any], origin: Origin | None) -> str:
        """The inverse of `state`; returns what to say of it."""
        return ""

    def ending(self, step: int) -> list[str]:
        """Lines to print at the end: where the weights are, and what to do with them."""
        raise NotImplementedError

    def finished(self, average: Any) -> Any:
        """The network as it is exported: calibrated, folded."""
        return average

    def facts(self, network: Any) -> dict[str, Any]:
        """Network, data and figures of the model card."""
        raise NotImplementedError


class Run:
    """Everything that changes while training, and that a checkpoint holds.

    Attributes:
        task: what is trained.
        average: the averaged network, which is what is judged and exported.
        origin: options and clips of the run.
        step: steps made.
        seconds: spent so far.
        best: score, step and weights of the best averaged network, where reports have a score.
        since_best: reports made since.
    """

    def __init__(self, task: Task, *, decay: float, origin: Origin | None = None) -> None:
        """A run at step 0; `decay` is of the averaged weights."""
        self.task = task
        self.average: checkpoint_files.AveragedWeights[Any] = checkpoint_files.AveragedWeights(
            task.network, decay=decay
        )
        self.origin = origin
        self.step, self.seconds = 0, 0.0
        self.best: dict[str, Any] | None = None
        self.since_best = 0

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds: tensors and plain values."""
        saved = {**self.task.networks, **self.task.optimizers, "average": self.average.model}
        return {
            **{name: part.state_dict() if part else None for name, part in saved.items()},
            self.task.step_name: self.step,
            "seconds": self.seconds,
            "best": self.best,
            "since_best": self.since_best,
            **self.task.state(),
            **(self.origin.state() if self.origin else {}),
        }

    def restore(self, state: dict[str, Any]) -> str:
        """The inverse of `state`; returns what to say of it."""
        saved = {**self.task.networks, **self.task.optimizers, "average": self.average.model}
        for name, part in saved.items():
            if part:
                part.load_state_dict(state[name])
        self.step, self.seconds = state[self.task.step_name], state["seconds"]
        self.best, self.since_best = state.get("best"), state.get("since_best", 0)
        remark = self.task.restore(state, self.origin)
        return f"resumed at step {self.step}{remark}"

    def keep_best(self, score: float | None) -> None:
        """Remembers the averaged network where no report before had so high a score."""
        if score is None:
            return
        self.since_best += 1
        if self.best is None or score > self.best["score"]:
            weights = {k: v.clone() for k, v in self.average.model.state_dict().items()}
            self.best, self.since_best = {"score": score, "step": self.step, "average": weights}, 0

    def has_ended(self) -> bool:
        """No report has been better for as long as the run is to wait."""
        return bool(self.task.patience) and self.since_best >= self.task.patience
