"""The training loop of every network.

A `Task` (task.py) says what differs from one network to the next; `fit` makes the steps, reports,
saves, stops and exports.
"""

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from pipeline.errors import PipelineError
from training import card
from training.data.ahead import batches_ahead, timed
from training.loop import checkpoint as checkpoint_files
from training.loop.distributed import (
    Processes,
    average_gradients,
    averaged,
    largest,
    share_batch_statistics,
)
from training.loop.journal import Journal
from training.loop.options import RunOptions
from training.loop.resume import Origin
from training.loop.stopping import Stop, say_stopped, stopped_between_steps
from training.loop.task import Run, Task


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
    with stopped_between_steps(say=group.leads) as stop:
        journal = None
        if group.leads:
            journal = Journal(
                options.run, step=run.step, seconds=run.seconds, total_steps=options.steps
            )
        try:
            ended_by = _steps(run, options, group, journal, stop)
        finally:
            if journal:
                journal.close()
    if ended_by:
        if group.leads:
            say_stopped(run.step, options.steps)
        return 128 + ended_by
    if not group.leads:
        return 0
    if options.export:
        card.export(run, options, group)
    for line in task.ending(run.step):
        print(line, flush=True)
    return 0


def _steps(
    run: Run, options: RunOptions, group: Processes, journal: Journal | None, stop: Stop
) -> int:
    """Makes the steps that are left; returns the signal that ended them early, or 0."""
    task = run.task
    if journal and run.step < options.steps:
        if run.origin and run.origin.options.get("preset"):
            print(f"preset {run.origin.options['preset']}; train.jsonl holds what it stands for")
            journal.record(run.step, run.origin.options)
        for line in task.beginning(run.step):
            print(line, flush=True)
    while run.step < options.steps and not run.has_ended():
        if run.step in task.changes_at:  # a checkpoint of this step is from before it
            changed = task.change_clips(run.average.model)
            if journal:  # a run resumed here changes them again, and says so once
                journal.write(run.step + 1, changed)
        last = min(step for step in [*task.changes_at, options.steps] if step > run.step)
        batches = batches_ahead(
            task.batch, first_step=run.step, last_step=last, workers=options.workers
        )
        for batch, data_s in timed(batches):
            lr = checkpoint_files.learning_rate(
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
    """Reports and saves where it is due or requested."""
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
        checkpoint_files.save_checkpoint(options.run / "checkpoint.pt", run.state())
        journal.draw()
