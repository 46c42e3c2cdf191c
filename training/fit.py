"""The one training loop: what happens in every run, whatever network is trained.

A `Task` (task.py) says what differs from one network to the next; `fit` makes the steps, reports,
saves, stops and exports.
"""

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from pipeline.errors import PipelineError
from training import card, loop
from training.ahead import made_ahead, timed
from training.distributed import (
    Processes,
    average_gradients,
    averaged,
    largest,
    share_batch_statistics,
)
from training.journal import Journal
from training.resume import Origin
from training.stopping import Stop, make_steps
from training.task import RunOptions, Task


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
        self.average: loop.AveragedWeights[Any] = loop.AveragedWeights(task.network, decay=decay)
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
        said = self.task.restore(state, self.origin)
        return f"resumed at step {self.step}{said}"

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


def fit(
    task: Task,
    options: RunOptions,
    group: Processes,
    *,
    origin: Origin | None = None,
    state: dict[str, Any] | None = None,
) -> int:
    """Trains a network from its first step, or from a checkpoint, to the end.

    Args:
        task: what is trained.
        options: how long, how fast, where to.
        group: the processes that share every step.
        origin: options and clips, for the checkpoints.
        state: a checkpoint to go on from; it is of this task.

    Returns:
        The exit code: 0, or that of the signal that ended the run.
    """
    run = Run(task, decay=options.average, origin=origin)
    for network in filter(None, task.networks.values()):
        share_batch_statistics(network, group)
    resumed = run.restore(state) if state else ""
    if resumed and group.leads:
        print(resumed)
    journal = None
    if group.leads:
        journal = Journal(
            options.run, step=run.step, seconds=run.seconds, total_steps=options.steps
        )
    stopped = make_steps(
        partial(_steps, run, options, group, journal),
        run,
        journal,
        total_steps=options.steps,
        say=group.leads,
    )
    if stopped or not group.leads:
        return stopped
    if options.export:
        network = run.average.model
        if run.best:
            network.load_state_dict(run.best["average"])
        made = card.Made(
            steps=run.best["step"] if run.best else run.step,
            minutes=round(run.seconds / 60, 1),
            weights_used=run.origin.weights() if run.origin else {},
            processes=group.world,
            device=str(group.device),
        )
        card.export(task, network, options.export, options=options, made=made)
    for line in task.ending(run.step):
        print(line, flush=True)
    return 0


def _steps(
    run: Run, options: RunOptions, group: Processes, journal: Journal | None, stop: Stop
) -> int:
    """Makes the steps that are left; returns the signal that ended them early, or 0."""
    task = run.task
    if journal and run.step < options.steps:
        for line in task.beginning(run.step):
            print(line, flush=True)
    while run.step < options.steps and not run.has_ended():
        if run.step in task.changes_at:  # a checkpoint of this step is from before it
            changed = task.change_clips(run.average.model)
            if journal:  # a run resumed here changes them again, and says so once
                journal.write(run.step + 1, changed)
        last = min(step for step in [*task.changes_at, options.steps] if step > run.step)
        batches = made_ahead(
            task.batch, first_step=run.step, last_step=last, workers=options.workers
        )
        for batch, data_s in timed(batches):
            lr = loop.learning_rate(
                run.step, peak=options.lr, warmup_steps=options.warmup, total_steps=options.steps
            )
            row = train_step(run, batch, lr=lr, group=group)
            row = averaged(row, group) | {"lr": lr, "data_s": data_s}
            ended_by = largest(stop.number, group)
            _after_step(run, options, journal, row, save=bool(ended_by))
            if ended_by:
                return ended_by
            if run.has_ended():
                break
    return 0


def train_step(run: Run, batch: Any, *, lr: float, group: Processes) -> dict[str, float]:
    """One step of every optimizer, and of the averaged weights.

    Args:
        run: changed in place.
        batch: of this step, this process's share.
        lr: of this step.
        group: the processes that share the step.

    Returns:
        The network's loss, the task's scalars and the norm of the network's gradient.

    Raises:
        PipelineError: the loss is no longer a number.
    """
    task = run.task
    losses, parts = task.losses(batch, run.step)
    norms = [
        descend(optimizer, losses[name], lr, group, largest=task.largest_gradient, step=run.step)
        for name, optimizer in task.optimizers.items()
        if optimizer
    ]
    run.average.update(task.network, run.step)
    run.step += 1
    row = {"loss": next(iter(losses.values())), **parts}
    return {name: float(value.detach()) for name, value in row.items()} | {"gradient": norms[0]}


def descend(
    optimizer: Optimizer,
    loss: torch.Tensor,
    lr: float,
    group: Processes,
    *,
    largest: float,
    step: int,
) -> float:
    """One step of one optimizer, gradients averaged over all processes; returns their norm."""
    parameters = [p for part in optimizer.param_groups for p in part["params"]]
    for part in optimizer.param_groups:
        part["lr"] = lr
    # Of these parameters alone: a generator's loss has left gradients in the discriminator.
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    average_gradients(parameters, group)
    norm = nn.utils.clip_grad_norm_(parameters, largest)
    if not torch.isfinite(norm):
        raise PipelineError(
            f"The loss at step {step} is not a number; go on from the last checkpoint "
            "with --precision fp32, or in another --run with a smaller --lr."
        )
    optimizer.step()
    return norm.item()


def _after_step(
    run: Run,
    options: RunOptions,
    journal: Journal | None,
    row: dict[str, float],
    *,
    save: bool,
) -> None:
    """Reports and saves where it is time, or told, to."""
    task = run.task
    if journal:
        run.seconds = journal.seconds
        journal.estimate(run.step)
        if run.step % options.log_every == 0:
            name, count = task.pace
            journal.write(run.step, row | {name: journal.steps_per_second(run.step) * count})
    report = task.report(run.average.model, run.step) if task.report_due(run.step) else None
    if report:
        if journal:
            journal.write(run.step, report.figures)
        run.keep_best(report.score)
    changed = task.after_step(run.step, row, report)
    if journal and changed:
        journal.write(run.step, changed)
    save |= run.step % options.save_every == 0 or run.step == options.steps or run.has_ended()
    if journal and save:
        loop.save_checkpoint(options.run / "checkpoint.pt", run.state())
        journal.draw()
