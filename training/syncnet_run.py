"""A whole training run of a SyncNet: data checked, steps made, reported, saved, exported."""

from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from models import weights
from models.options import check_choice, check_fields
from models.syncnet import SMALL, SyncNet, SyncNetConfig
from pipeline import cli
from pipeline.errors import InputError
from training import apart, excerpts, judging, loop, samples, selection
from training.agreement import agreement, can_be_judged
from training.ahead import timed
from training.card import export
from training.distributed import (
    Processes,
    averaged,
    leader_first,
    processes,
    share_batch_statistics,
    wrapped,
)
from training.excerpts import Draw
from training.journal import Journal
from training.objectives import OBJECTIVES, Negatives
from training.samples import Clip
from training.syncnet import Run, new_run, still_guessing, train_step

DRAWN_FRAMES = 200  # of each drawn clip
GUESSING_STEPS = 400  # by then every healthy run is past a guess


@dataclass(frozen=True)
class TrainOptions:
    """Flags of train_syncnet.py, by name; its --help says what each is."""

    data: list[Path]
    run: Path
    val: list[Path]
    val_without: list[str]
    min_confidence: float
    max_offset: float
    drawn: int
    cache: Path | None
    cache_gb: float
    grey: float
    workers: int
    init: str | None
    export: Path | None
    device: str
    seed: int
    log_every: int
    save_every: int
    eval_every: int
    patience: int
    steps: int
    objective: str
    negatives: Negatives
    refine_at: list[int]
    excerpts: int
    lr: float
    warmup: int
    average: float
    dropout: float | None
    weight_decay: float
    bf16: bool

    def __post_init__(self) -> None:
        check_fields(self)
        check_choice("objective", self.objective, OBJECTIVES)
        cli.check_device(self.device)


@dataclass(frozen=True)
class Data:
    """What a run trains on and is judged by.

    Attributes:
        real: clips long enough for an excerpt, with their known offsets.
        drawn: drawn heads.
        unseen: clips of other people.
        left_out: names of those not used, with reasons.
    """

    real: list[Clip]
    drawn: list[Clip]
    unseen: list[Clip]
    left_out: dict[str, str]


def check_options(options: TrainOptions, group: Processes) -> None:
    """Refuses, with InputError, what no run can be made with: before anything is read."""
    loop.check_flags(
        options,
        at_least_one=("steps", "excerpts", "log_every", "save_every", "eval_every"),
        not_negative=("drawn", "workers", "warmup", "patience", "cache_gb", "lr", "weight_decay"),
    )
    if not (0 <= options.average < 1 and 0 <= options.grey <= 1):
        raise InputError("--average and --grey are shares of 0 to 1; see --help.")
    if options.dropout is not None and not 0 <= options.dropout < 1:
        raise InputError("--dropout is a share of 0 to 1; see --help.")
    share, rest = divmod(options.excerpts, group.world)
    if rest or (share < 2 and options.negatives != "same"):
        raise InputError(
            f"--excerpts {options.excerpts} cannot be shared by {group.world} processes; give a "
            "multiple of their number, and two for each where --negatives is not same."
        )
    if options.patience and not options.val:
        raise InputError("--patience counts reports on --val; give --val, too.")
    apart.check(options.data, options.val)


def load_data(options: TrainOptions, config: SyncNetConfig, group: Processes) -> Data:
    """Selects, decodes and checks everything before the first step.

    Raises:
        InputError: nothing is left to train on; the sentence says why.
    """
    cache = options.cache or options.run / "cache"
    files = samples.clip_files(options.data)
    known = selection.known_offsets(files)
    chosen, left_out = selection.select(
        files, known, min_confidence=options.min_confidence, max_offset=options.max_offset
    )
    with leader_first(group):
        loaded = samples.load_clips(
            chosen, config, cache=cache, margin=True, cache_gb=options.cache_gb
        )
    shortest = excerpts.excerpt_frames(config)
    real = [clip for clip in loaded.clips if clip.frames >= shortest]
    short = {c.name: f"too short ({c.frames} frames)" for c in loaded.clips if c.frames < shortest}
    left_out |= loaded.left_out | short
    if group.leads:
        print(f"{len(real)} of {len(files)} clips, {samples.minutes(real):.1f} minutes")
        print(selection.in_words(left_out) or "no clip left out", flush=True)
    if not real:
        raise InputError(f"No clip has the {shortest} frames of an excerpt; give longer videos.")
    unseen = _unseen(options, config, group) if options.val else []
    real = selection.with_people(selection.aligned(real, known), options.data)
    frames = min(DRAWN_FRAMES, max(clip.frames for clip in real))
    drawn = samples.drawn_clips(real, config, count=options.drawn, frames=frames, seed=options.seed)
    return Data(real, list(drawn), unseen, left_out)


def _unseen(options: TrainOptions, config: SyncNetConfig, group: Processes) -> list[Clip]:
    files = samples.clip_files(options.val)
    cache = options.cache or options.run / "cache"
    with leader_first(group):
        loaded = samples.load_clips(
            files, config, cache=cache, margin=False, cache_gb=options.cache_gb
        )
    if group.leads:
        if loaded.left_out:
            print(f"of --val: {selection.in_words(loaded.left_out)}")
        if not can_be_judged(loaded.clips):
            print("--val is too short to report on: it takes four pieces of 5 s of one video.")
    return loaded.clips


def start(options: TrainOptions, group: Processes) -> tuple[Run, Data]:
    """A new run, or the one whose checkpoint is there, with its data.

    Raises:
        InputError: the data, the weights to start from, or the checkpoint are of no use.
    """
    torch.manual_seed(options.seed)
    model = SyncNet(SMALL)
    if options.init:
        model, used = weights.load_syncnet(options.init, device=torch.device("cpu"))
        model.requires_grad_(True)
        if group.leads:
            print(f"starts from {used.file}")
    if options.dropout is not None:
        model.config = replace(model.config, dropout=options.dropout)
    data = load_data(options, model.config, group)
    objective = OBJECTIVES[options.objective](
        negatives=options.negatives, embedding_scale=model.config.embedding_scale
    )
    run = new_run(
        model.to(group.device),
        objective.to(group.device),
        data.real,
        decay=options.average,
        weight_decay=options.weight_decay,
    )
    share_batch_statistics(run.lesson, group)
    if state := loop.load_checkpoint(options.run / "checkpoint.pt"):
        if (
            state.get("config") != model.config.to_json()
            or state["lesson"].keys() != run.lesson.state_dict().keys()
        ):
            raise InputError(
                f"{options.run / 'checkpoint.pt'} is of another network or objective; use "
                "another --run."
            )
        run.restore(state)
        if not run.clips:
            raise InputError(
                f"{options.run / 'checkpoint.pt'} was trained on none of these clips; give its "
                "--data or another --run."
            )
        if group.leads:
            print(f"resumed at step {run.step} with {len(run.clips)} clips")
    return run, data


def train(options: TrainOptions) -> int:
    """Trains as the flags say; returns the exit code."""
    with processes(cli.torch_device(options.device)) as group:
        check_options(options, group)
        run, data = start(options, group)
        journal = _journal(options, run) if group.leads else None
        try:
            _steps(options, run, data, group, journal)
        finally:
            if journal:
                journal.close()
        if options.export and group.leads:
            export(run, options, data=data, group=group)
    return 0


def _journal(options: TrainOptions, run: Run) -> Journal:
    return Journal(options.run, step=run.step, seconds=run.seconds, total_steps=options.steps)


def _steps(
    options: TrainOptions, run: Run, data: Data, group: Processes, journal: Journal | None
) -> None:
    called = wrapped(run.lesson, group)
    recent: deque[float] = deque(maxlen=100)
    config = run.lesson.model.config
    across = options.negatives != "same"
    draw = Draw(options.seed, options.excerpts, options.grey, group.rank, group.world, across)
    while run.step < options.steps and not _finished(options, run):
        if run.step in options.refine_at:  # a checkpoint of this step is from before it
            _refine(run, data, group, journal)
        stop = min(step for step in [*options.refine_at, options.steps] if step > run.step)
        made = excerpts.batches(
            run.clips + data.drawn,
            config,
            draw,
            first_step=run.step,
            last_step=stop,
            workers=options.workers,
        )
        for batch, data_s in timed(made):
            lr = loop.learning_rate(
                run.step, peak=options.lr, warmup_steps=options.warmup, total_steps=options.steps
            )
            row = train_step(run, called, batch, lr=lr, device=group.device, bf16=options.bf16)
            row = averaged(row, group) | {"lr": lr, "data_s": data_s}
            recent.append(row["accuracy"])
            _after_step(options, run, data, group, journal, row, list(recent))
            if _finished(options, run):
                break


def _finished(options: TrainOptions, run: Run) -> bool:
    return bool(options.patience) and run.since_best >= options.patience


def _refine(run: Run, data: Data, group: Processes, journal: Journal | None) -> None:
    run.clips, run.dropped = judging.refine(run.average.model, data.real, group, current=run.clips)
    if journal:  # it is of the step to come: a run resumed here judges again, and says so once
        journal.write(run.step + 1, {"kept": len(run.clips), "left_out": run.dropped})


def _after_step(
    options: TrainOptions,
    run: Run,
    data: Data,
    group: Processes,
    journal: Journal | None,
    row: dict[str, float],
    recent: list[float],
) -> None:
    """Reports and saves where it is time to."""
    if journal:
        run.seconds = journal.seconds
        if run.step % options.log_every == 0:
            done_steps = journal.steps_per_second(run.step)
            journal.write(run.step, row | {"excerpts_per_s": done_steps * options.excerpts})
        if run.step == GUESSING_STEPS:
            chance = _chance(options, run, share=options.excerpts // group.world)
            print(still_guessing(recent, chance) or f"a guess gives {chance:.3f}", flush=True)
    if data.unseen and run.step % options.eval_every == 0:
        _judge_unseen(run, data, group, journal, seed=options.seed)
    ended = run.step == options.steps or _finished(options, run)
    if journal and (run.step % options.save_every == 0 or ended):
        loop.save_checkpoint(options.run / "checkpoint.pt", run.state())
        journal.draw()


def _chance(options: TrainOptions, run: Run, *, share: int) -> float:
    """Accuracy of a guess, with `share` excerpts a process: one of two for a pairwise objective."""
    if options.objective != "multiway":
        return 0.5
    windows = excerpts.window_count(run.lesson.model.config)
    choices = {
        "same": windows,
        "cross": windows * (share - 1) + 1,
        "both": windows * share,
    }
    return 1 / choices[options.negatives]


def _judge_unseen(
    run: Run, data: Data, group: Processes, journal: Journal | None, *, seed: int
) -> None:
    """Sync accuracy of the averaged network on other people; remembers the best."""
    found = agreement(run.average.model, data.unseen, group, seed=seed)
    summary, score = found.summary(), found.share_right()
    if journal:
        journal.write(run.step, {f"unseen {k}": v for k, v in summary.items() if v is not None})
    if score is None:
        return
    run.since_best += 1
    if run.best is None or score > run.best["score"]:
        state = {k: v.clone() for k, v in run.average.model.state_dict().items()}
        run.best, run.since_best = {"score": score, "step": run.step, "average": state}, 0
