"""A whole training run of a SyncNet: data checked, steps made, reported, saved, exported."""

import math
from collections import deque
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from models import weights
from models.options import check_choice, check_fields
from models.precision import Precision
from models.syncnet import SMALL, SyncNet, SyncNetConfig
from pipeline import cli
from pipeline.errors import InputError
from training import apart, excerpts, judging, loop, resume, samples, selection
from training.agreement import agreement, can_be_judged
from training.ahead import timed
from training.card import export
from training.distributed import (
    Processes,
    averaged,
    largest,
    leader_first,
    processes,
    share_batch_statistics,
    wrapped,
)
from training.excerpts import Draw
from training.journal import Beginning, Journal
from training.objectives import OBJECTIVES, Negatives
from training.resume import Origin
from training.samples import Clip
from training.stopping import Stop, make_steps
from training.syncnet import Run, new_run, still_guessing, train_step

DRAWN_FRAMES = 200  # of each drawn clip
NEEDED = ("lesson", "optimizer", "average", "config", "offsets_ms", "dropped", "step", "best")
GUESSING_STEPS = 400  # by then every healthy run is past a guess


@dataclass(frozen=True)
class TrainOptions:
    """Flags of train_syncnet.py, by name; its --help says what each is."""

    data: list[Path] = resume.clip_folders()
    run: Path = resume.own_folder()
    val: list[Path] = resume.fixed_once_given()
    val_without: list[str] = resume.free()
    min_confidence: float = resume.fixed()
    max_offset: float = resume.fixed()
    drawn: int = resume.fixed()
    cache: Path | None = resume.free()
    cache_gb: float = resume.free()
    grey: float = resume.fixed()
    workers: int = resume.free()
    init: str | None = resume.fixed()
    export: Path | None = resume.free()
    device: str = resume.free()
    seed: int = resume.fixed()
    log_every: int = resume.free()
    save_every: int = resume.free()
    eval_every: int = resume.free()
    patience: int = resume.free()
    steps: int = resume.free()
    objective: str = resume.fixed()
    negatives: Negatives = resume.fixed()
    refine_at: list[int] = resume.fixed()
    excerpts: int = resume.fixed()
    lr: float = resume.fixed()
    warmup: int = resume.fixed()
    average: float = resume.fixed()
    dropout: float | None = resume.fixed()
    weight_decay: float = resume.fixed()
    precision: Precision = resume.free()

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
        not_negative=(
            *("drawn", "workers", "warmup", "patience", "cache_gb", "lr", "weight_decay"),
            *("seed", "max_offset"),
        ),
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
    if options.drawn and group.leads:
        print(f"{options.drawn} drawn heads; those that the cache lacks are drawn now", flush=True)
    with leader_first(group), cli.progress("heads drawn", options.drawn, unit=" heads") as bar:
        room = samples.Room(cache, limit_bytes=int(options.cache_gb * 1e9))
        drawn = []
        for clip in samples.drawn_clips(
            real, config, count=options.drawn, frames=frames, seed=options.seed, room=room
        ):
            drawn.append(clip)
            bar.update(1)
    return Data(real, drawn, unseen, left_out)


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
            print("--val is too short to report on: it takes 2 s of one video.")
    return loaded.clips


def start(options: TrainOptions, group: Processes) -> tuple[Run, Data]:
    """A new run, or the one whose checkpoint is there, with its data.

    Raises:
        InputError: the data, the weights to start from, or the checkpoint are of no use.
    """
    made_of = _origin(options)
    checkpoint = options.run / "checkpoint.pt"
    state = loop.load_checkpoint(checkpoint)
    torch.manual_seed(options.seed)
    model = SyncNet(SMALL)
    if options.init:
        model, used = weights.load_syncnet(options.init, device=torch.device("cpu"))
        model.requires_grad_(True)
        if group.leads:
            print(f"starts from {used.file}")
    if options.dropout is not None:
        model.config = replace(model.config, dropout=options.dropout)
    if state:
        _check_checkpoint(state, made_of, options, model.config, say=group.leads)
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
    run.origin = made_of
    if state:
        if state["lesson"].keys() != run.lesson.state_dict().keys():
            raise InputError(f"{checkpoint} is of another objective; use another --run.")
        run.restore(state)
        if group.leads:
            print(f"resumed at step {run.step} with {len(run.clips)} clips")
    return run, data


def _origin(options: TrainOptions) -> Origin:
    """What the run is made of; data folders and weights are found missing here, early."""
    described = {}
    if options.val:
        sizes = resume.clip_sizes(options.val)
        described["val"] = resume.described_folders(options.val, sizes)
    if options.init:
        described["init"] = resume.described_weights(weights.syncnet_used(options.init))
    return resume.origin(options, resume.clip_sizes(options.data), described)


def _check_checkpoint(
    state: dict[str, Any], now: Origin, options: TrainOptions, config: SyncNetConfig, *, say: bool
) -> None:
    checkpoint = options.run / "checkpoint.pt"
    resume.go_on(state, now, options, checkpoint, needed=NEEDED, say=say)
    if not _is_of(state["config"], config):
        raise InputError(f"{checkpoint} is of another network; use another --run.")


def _is_of(described: object, config: SyncNetConfig) -> bool:
    """The configuration of a checkpoint is this one; what an older one does not say is unset."""
    try:
        return SyncNetConfig.from_json(str(described)) == config
    except (TypeError, ValueError):
        return False


def train(options: TrainOptions) -> int:
    """Trains as the flags say; returns the exit code."""
    with processes(cli.torch_device(options.device)) as group:
        check_options(options, group)
        run, data = start(options, group)
        journal = _journal(options, run) if group.leads else None
        stopped = make_steps(
            partial(_steps, options, run, data, group, journal),
            run,
            journal,
            total_steps=options.steps,
            say=group.leads,
        )
        if stopped:
            return stopped
        if options.export and group.leads:
            export(run, options, data=data, group=group)
        if group.leads:
            loop.say_where(
                options,
                after="python run_syncnet.py --initial_model {file} --videofile VIDEO, "
                "or python -m training.evaluate_sync --weights {file} --data OTHERS",
                script_flag="--initial_model of run_syncnet.py",
            )
    return 0


def _journal(options: TrainOptions, run: Run) -> Journal:
    return Journal(options.run, step=run.step, seconds=run.seconds, total_steps=options.steps)


def _steps(
    options: TrainOptions,
    run: Run,
    data: Data,
    group: Processes,
    journal: Journal | None,
    stop: Stop,
) -> int:
    """Makes the steps that are left; returns the signal that ended them early, or 0."""
    called = wrapped(run.lesson, group)
    recent: deque[float] = deque(maxlen=100)
    config = run.lesson.model.config
    arithmetic = loop.precision(options, group.device)
    if journal and run.step < options.steps:
        _say_beginning(options, run, data, group, arithmetic)
    across = options.negatives != "same"
    draw = Draw(options.seed, options.excerpts, options.grey, group.rank, group.world, across)
    while run.step < options.steps and not _finished(options, run):
        if run.step in options.refine_at:  # a checkpoint of this step is from before it
            _refine(run, data, group, journal)
        last = min(step for step in [*options.refine_at, options.steps] if step > run.step)
        made = excerpts.batches(
            run.clips + data.drawn,
            config,
            draw,
            first_step=run.step,
            last_step=last,
            workers=options.workers,
        )
        for batch, data_s in timed(made):
            lr = loop.learning_rate(
                run.step, peak=options.lr, warmup_steps=options.warmup, total_steps=options.steps
            )
            row = train_step(
                run, called, batch, lr=lr, device=group.device, bf16=arithmetic == "bf16"
            )
            row = averaged(row, group) | {"lr": lr, "data_s": data_s}
            recent.append(row["accuracy"])
            if journal:
                journal.estimate(run.step)
            ended_by = largest(stop.number, group)
            _after_step(options, run, data, group, journal, row, list(recent), save=bool(ended_by))
            if ended_by:
                return ended_by
            if _finished(options, run):
                break
    return 0


def _say_beginning(
    options: TrainOptions, run: Run, data: Data, group: Processes, arithmetic: str
) -> None:
    """Everything about the run that is known before its first step."""
    model = run.lesson.model
    beginning = Beginning(
        network=f"SyncNet of {model.config.lip_size_px} px lips",
        parameters=sum(p.numel() for p in model.parameters()),
        device=str(group.device),
        precision=arithmetic,
        clips=len(run.clips),
        videos={clip.reference for clip in run.clips},
        minutes=samples.minutes(run.clips),
    )
    chance = _chance(options, run, share=options.excerpts // group.world)
    guess = f"a guess gives an accuracy of {chance:.3f}"
    if options.objective == "multiway":
        guess += f" and a loss of {-math.log(chance):.2f}"
    for line in [*beginning.lines(options.run), guess]:
        print(line, flush=True)


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
    *,
    save: bool = False,
) -> None:
    """Reports and saves where it is time to; saves in any case where told to."""
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
    save |= run.step % options.save_every == 0 or run.step == options.steps
    if journal and (save or _finished(options, run)):
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
