"""A whole training run of one of Wav2Lip's networks: data, steps, reports, checkpoints, export."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
import torch

from models import weights
from models.options import check_fields
from models.wav2lip import (
    SyncNetColor,
    Wav2Lip,
    Wav2LipConfig,
    Wav2LipDiscriminator,
    to_uint8,
    without_mouths,
)
from pipeline import cli
from pipeline.errors import InputError
from training import apart, loop, samples, teacher, wav2lip
from training.ahead import made_ahead, timed
from training.distributed import (
    Processes,
    averaged,
    leader_first,
    processes,
    share_batch_statistics,
)
from training.expert_excerpts import EXCERPT_FRAMES, EXCERPT_WINDOWS, expert_batch
from training.face_batches import LEAST_FRAMES, FaceBatch, face_batch
from training.face_data import FaceSource, Teacher, load_faces
from training.faces import FaceClip
from training.journal import Journal
from training.preprocessed import listed_videos
from training.wav2lip import AnyBatch, Lesson, Run
from training.wav2lip_objectives import LossWeights, draw

Stage = Literal["expert", "generator", "gan"]
STAGES: tuple[str, ...] = get_args(Stage)
UNSEEN_BATCHES = 12  # of --val, always the same
UNSEEN_SEED = 20200823
SHOWN_WINDOWS = 8  # in a picture of samples


@dataclass(frozen=True)
class TrainOptions:
    """Flags of train_wav2lip.py, by name; its --help says what each is."""

    data: list[Path]
    val: list[Path]
    min_confidence: float
    max_offset: float
    filelists: Path | None
    cache: Path | None
    cache_gb: float
    workers: int
    stage: Stage
    run: Path
    teacher: str
    taught_steps: int
    expert: Path | None
    init: Path | None
    export: Path | None
    device: str
    seed: int
    log_every: int
    save_every: int
    eval_every: int
    width: float
    steps: int
    batch_size: int
    lr: float
    warmup: int
    average: float
    weight_decay: float
    sync_weight: float
    sync_from: float
    sync_at: int
    adversarial_weight: float
    mouth_weight: float
    structure_weight: float
    detail_weight: float
    taught_weight: float
    bf16: bool

    def __post_init__(self) -> None:
        check_fields(self)
        cli.check_device(self.device)


@dataclass(frozen=True)
class Data:
    """Clips to train on, and the fixed batches of other people a run is judged by."""

    clips: list[FaceClip]
    unseen: list[AnyBatch]

    @property
    def taught_size(self) -> int:
        """Of the vectors of the expert's teacher; 0 without one."""
        return self.clips[0].taught_at(np.array([0])).shape[2]


def check_options(options: TrainOptions, group: Processes) -> None:
    """Refuses, with InputError, what no run can be made with: before anything is read."""
    loop.check_flags(
        options,
        at_least_one=("steps", "batch_size", "log_every", "save_every", "eval_every"),
        not_negative=("workers", "warmup", "cache_gb", "lr", "weight_decay", "seed"),
    )
    if not (0 < options.width <= 4 and 0 <= options.average < 1):
        raise InputError("--width is above 0 and at most 4, --average 0 to below 1; see --help.")
    parts = options.sync_weight, options.adversarial_weight
    if min(parts) < 0 or sum(parts) > 1:
        raise InputError("--sync_weight and --adversarial_weight are shares of 1; see --help.")
    one = EXCERPT_WINDOWS if options.stage == "expert" else 1
    if group.world > 1 and options.batch_size % (group.world * one):
        raise InputError(
            f"--batch_size {options.batch_size} cannot be shared by {group.world} processes; "
            f"give a multiple of {group.world * one}."
        )
    for file in (options.init, options.expert):
        if file and str(file) != "auto" and not file.is_file():
            raise InputError(f"{file} is not a file; give a checkpoint.")
    apart.check(options.data, options.val, options.filelists)


def load_data(options: TrainOptions, *, say: bool) -> Data:
    """Decodes, or finds decoded, what --data and --val name.

    Raises:
        InputError: nothing is left to train on; the sentence says why.
    """
    cache = options.cache or options.run / "cache"
    expert = options.stage == "expert"

    def load(folders: list[Path], part: str, *, say: bool) -> list[FaceClip]:
        source = FaceSource(
            cache=cache,
            cache_gb=options.cache_gb,
            min_confidence=options.min_confidence,
            max_offset=options.max_offset,
            least_frames=EXCERPT_FRAMES if expert else LEAST_FRAMES,
            listed=listed_videos(options.filelists / part) if options.filelists else None,
        )
        return load_faces(folders, source, teacher=_teacher(options, cache), say=say)

    clips = load(options.data, "train.txt", say=say)
    val = options.val or (options.data if options.filelists else [])
    if not val:
        return Data(clips, [])
    strangers = load(val, "val.txt", say=False)
    unseen = [
        _batch(options, strangers, seed=UNSEEN_SEED, step=step, augmented=False)
        for step in range(UNSEEN_BATCHES)
    ]
    return Data(clips, unseen)


def _teacher(options: TrainOptions, cache: Path) -> Teacher | None:
    if options.teacher == "none":
        return None
    device = cli.torch_device(options.device)
    model, used = weights.load_syncnet(options.teacher, device=device)
    return partial(teacher.teach, model=model, digest=used.sha256, cache=cache, device=device)


def _batch(
    options: TrainOptions,
    clips: list[FaceClip],
    *,
    seed: int,
    step: int,
    augmented: bool = True,
    share: slice = slice(None),
) -> AnyBatch:
    made = expert_batch if options.stage == "expert" else face_batch
    return made(
        clips, seed=seed, step=step, size=options.batch_size, augmented=augmented, share=share
    )


def start(options: TrainOptions, group: Processes, *, taught_size: int = 0) -> Run:
    """A new run, or the one whose checkpoint is there.

    Raises:
        InputError: weights or checkpoint are of no use, or the checkpoint is another network's.
    """
    torch.manual_seed(options.seed)
    config = Wav2LipConfig(options.width)
    model: SyncNetColor | Wav2Lip
    model = SyncNetColor(config) if options.stage == "expert" else Wav2Lip(config)
    state = loop.load_checkpoint(options.run / "checkpoint.pt")
    if options.init and not state:
        weights.fill(model, options.init)
    expert = None
    if options.stage != "expert" and options.expert:
        expert = weights.load_expert(options.expert, device=group.device)[0]
    other = Wav2LipDiscriminator(config) if options.stage == "gan" else None
    lesson = Lesson(model, expert=expert, discriminator=other, taught_size=taught_size)
    # Convolutions of few channels are fastest with the channels last.
    lesson = lesson.to(group.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    share_batch_statistics(lesson, group)
    weighted = LossWeights(
        adversarial=options.adversarial_weight if other else 0.0,
        mouth=options.mouth_weight,
        structure=options.structure_weight,
        detail=options.detail_weight,
        taught=options.taught_weight,
    )
    run = wav2lip.new_run(
        lesson, decay=options.average, weight_decay=options.weight_decay, weighted=weighted
    )
    if state:
        fits = state.get("config") == config.to_json()
        if not (fits and _is_of(state, options.stage, taught_size=taught_size)):
            raise InputError(
                f"{options.run / 'checkpoint.pt'} is of another --stage, --width or --teacher; "
                "give those, or another --run."
            )
        run.restore(state)
    elif options.sync_at == 0:
        _switch_on(options, run, None)
    return run


def _is_of(state: dict[str, Any], stage: str, *, taught_size: int) -> bool:
    is_expert = any(key.startswith("face_encoder.") for key in state["state_dict"])
    taught = len(state["translation"]["bias"]) if state["translation"] else 0
    of_stage = is_expert == (stage == "expert") and bool(state["discriminator"]) == (stage == "gan")
    return of_stage and taught == taught_size


def train(options: TrainOptions) -> int:
    """Trains as the flags say; returns the exit code."""
    with processes(cli.torch_device(options.device)) as group:
        check_options(options, group)
        if group.leads and options.stage != "expert" and options.sync_weight:
            _say_without_expert(options)
        options.run.mkdir(parents=True, exist_ok=True)
        with leader_first(group):
            data = load_data(options, say=group.leads)
        run = start(options, group, taught_size=data.taught_size)
        journal = None
        if group.leads:
            if run.step:
                print(f"resumed at step {run.step}")
            journal = Journal(
                options.run, step=run.step, seconds=run.seconds, total_steps=options.steps
            )
        try:
            for batch, data_s in _batches(options, run, data, group):
                lr = loop.learning_rate(
                    run.step,
                    peak=options.lr,
                    warmup_steps=options.warmup,
                    total_steps=options.steps,
                )
                only_taught = data.taught_size > 0 and run.step < options.taught_steps
                run.weighted = replace(run.weighted, pairs=float(not only_taught))
                row = wav2lip.train_step(run, batch, lr=lr, group=group, bf16=options.bf16)
                row = averaged(row | {"lr": lr, "data_s": data_s}, group)
                _after_step(options, run, data, group, journal, row)
        finally:
            if journal:
                journal.close()
        if options.export and group.leads:
            _export(options, run, data, group)
    return 0


def _say_without_expert(options: TrainOptions) -> None:
    if not options.expert:
        print("no --expert: nothing tells the generator whether its lips fit the sound")
    elif options.sync_at < 0 and not (options.val or options.filelists):
        print("neither --val nor --sync_at: the expert's loss is never switched on")


def _batches(
    options: TrainOptions, run: Run, data: Data, group: Processes
) -> Iterator[tuple[AnyBatch, float]]:
    """The batches of the steps that are left, made ahead, with the seconds waited for each."""
    share = slice(group.rank, None, group.world)

    made = made_ahead(
        lambda step: _batch(options, data.clips, seed=options.seed, step=step, share=share),
        first_step=run.step,
        last_step=options.steps,
        workers=options.workers,
    )
    return timed(made)


def _after_step(
    options: TrainOptions,
    run: Run,
    data: Data,
    group: Processes,
    journal: Journal | None,
    row: dict[str, float],
) -> None:
    """Reports and saves where it is time to; switches the expert's loss on."""
    if journal and run.step % options.log_every == 0:
        rate = journal.steps_per_second(run.step) * options.batch_size
        journal.write(run.step, row | {"windows_per_s": rate})
    if data.unseen and run.step % options.eval_every == 0:
        judged = wav2lip.judge(run, data.unseen, group.device)
        if journal:
            journal.write(run.step, {f"unseen {name}": value for name, value in judged.items()})
            if isinstance(data.unseen[0], FaceBatch):
                picture = options.run / f"samples_{run.step:06d}.png"
                draw_samples(run.average.model, data.unseen[0], picture)
        if judged.get("sync", float("inf")) < options.sync_from:
            _switch_on(options, run, journal)
    if run.step == options.sync_at:
        _switch_on(options, run, journal)
    if journal and (run.step % options.save_every == 0 or run.step == options.steps):
        run.seconds = journal.seconds
        loop.save_checkpoint(options.run / "checkpoint.pt", run.state())
        journal.draw()


def _switch_on(options: TrainOptions, run: Run, journal: Journal | None) -> None:
    if run.lesson.expert is None or run.weighted.sync == options.sync_weight:
        return
    run.weighted = replace(run.weighted, sync=options.sync_weight)
    if journal:
        journal.write(run.step, {"sync_weight": options.sync_weight})


@torch.no_grad()
def draw_samples(model: Wav2Lip, batch: FaceBatch, path: Path) -> None:
    """A picture: per row reference, what is shown, drawn, target, of other people."""
    device = next(model.parameters()).device
    parts = (batch.target, batch.reference, batch.mels, batch.taught)
    part = FaceBatch(*(values[:SHOWN_WINDOWS] for values in parts)).to(device)
    drawn = draw(model, part)
    shown = (part.reference, without_mouths(part.target), drawn, part.target)
    columns = [to_uint8(faces[:, 0]) for faces in shown]
    rows = [np.hstack(faces) for faces in zip(*columns, strict=True)]
    cv2.imwrite(str(path), np.vstack(rows))


def _export(options: TrainOptions, run: Run, data: Data, group: Processes) -> None:
    """Writes the averaged weights and their model card."""
    assert options.export is not None
    options.export.parent.mkdir(parents=True, exist_ok=True)
    model = run.average.model
    weights.write_own(model, options.export, config=model.config, half=True)
    card = {
        "network": f"{type(model).__name__} (models/wav2lip.py), width {options.width}",
        "parameters": sum(p.numel() for p in model.parameters()),
        "data": {
            "tracks": len(data.clips),
            "minutes": round(samples.minutes([face.clip for face in data.clips]), 1),
            "data_dirs": [folder.name for folder in options.data],
        },
        "command": loop.command("train_wav2lip.py", options),
        "steps": run.step,
        "minutes": round(run.seconds / 60, 1),
        "unseen_people": wav2lip.judge(run, data.unseen, group.device) if data.unseen else None,
        "licence": "MIT, as the repository; no training picture or sound is part of it",
        "sha256": weights.sha256(options.export),
    }
    loop.write_model_card(options.export.with_suffix(".json"), card)
    print(f"{options.export} written")
