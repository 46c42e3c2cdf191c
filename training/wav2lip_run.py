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
from models.precision import Precision
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
from training import apart, loop, resume, samples, teacher, wav2lip
from training.ahead import made_ahead, timed
from training.distributed import (
    Processes,
    averaged,
    largest,
    leader_first,
    processes,
    share_batch_statistics,
)
from training.expert_excerpts import EXCERPT_FRAMES, EXCERPT_WINDOWS, expert_batch
from training.face_batches import LEAST_FRAMES, FaceBatch, face_batch
from training.face_data import FaceSource, Teacher, load_faces
from training.faces import FaceClip
from training.journal import Beginning, Journal
from training.preprocessed import listed_videos
from training.resume import Origin
from training.stopping import Stop, make_steps
from training.wav2lip import AnyBatch, Lesson, Run
from training.wav2lip_objectives import LossWeights, draw

Stage = Literal["expert", "generator", "gan"]
STAGES: tuple[str, ...] = get_args(Stage)
NEEDED = (
    "state_dict",
    "optimizer",
    "average",
    "config",
    "translation",
    "discriminator",
    "global_step",
)
UNSEEN_BATCHES = 12  # of --val, always the same
UNSEEN_SEED = 20200823
SHOWN_WINDOWS = 8  # in a picture of samples


@dataclass(frozen=True)
class TrainOptions:
    """Flags of train_wav2lip.py, by name; its --help says what each is."""

    data: list[Path] = resume.clip_folders()
    val: list[Path] = resume.fixed_once_given()
    min_confidence: float = resume.fixed()
    max_offset: float = resume.fixed()
    filelists: Path | None = resume.clip_folders()
    cache: Path | None = resume.free()
    cache_gb: float = resume.free()
    workers: int = resume.free()
    stage: Stage = resume.fixed()
    run: Path = resume.own_folder()
    teacher: str = resume.fixed()
    taught_steps: int = resume.fixed()
    expert: Path | None = resume.fixed()
    init: Path | None = resume.fixed()
    export: Path | None = resume.free()
    device: str = resume.free()
    seed: int = resume.fixed()
    log_every: int = resume.free()
    save_every: int = resume.free()
    eval_every: int = resume.free()
    width: float = resume.fixed()
    steps: int = resume.free()
    batch_size: int = resume.fixed()
    lr: float = resume.fixed()
    warmup: int = resume.fixed()
    average: float = resume.fixed()
    weight_decay: float = resume.fixed()
    sync_weight: float = resume.fixed()
    sync_from: float = resume.fixed()
    sync_at: int = resume.fixed()
    adversarial_weight: float = resume.fixed()
    mouth_weight: float = resume.fixed()
    structure_weight: float = resume.fixed()
    detail_weight: float = resume.fixed()
    taught_weight: float = resume.fixed()
    precision: Precision = resume.free()

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
        not_negative=(
            *("workers", "warmup", "cache_gb", "lr", "weight_decay", "seed", "max_offset"),
            *("taught_steps", "mouth_weight", "structure_weight", "detail_weight", "taught_weight"),
        ),
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


def check_weights(options: TrainOptions) -> None:
    """Refuses weights that do not fit, before anything is decoded for an hour.

    Raises:
        InputError: --init is of another --width.
        WeightsError: a file is no weights file, or another network's.
    """
    cpu = torch.device("cpu")
    if options.expert and options.stage != "expert":
        weights.load_expert(options.expert, device=cpu)
    if options.teacher != "none":
        weights.load_syncnet(options.teacher, device=cpu)
    if not options.init:
        return
    config = Wav2LipConfig(options.width)
    model = SyncNetColor(config) if options.stage == "expert" else Wav2Lip(config)
    try:
        weights.fill(model, options.init)
    except weights.WeightsError as error:
        if "has other shapes" not in str(error):
            raise
        text = weights.config_text(options.init)
        width = Wav2LipConfig.from_json(text).width if text else Wav2LipConfig().width
        raise InputError(
            f"--init {options.init} is not of --width {options.width:g}; give --width {width:g}, "
            f"of which {'it is' if text else 'published weights are'}."
        ) from error


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


def _origin(options: TrainOptions) -> Origin:
    """What the run is made of; data folders, lists and weights are found missing here, early."""

    def sizes(folders: list[Path], part: str) -> dict[str, int]:
        lists = options.filelists
        return resume.clip_sizes(folders, listed_videos(lists / part) if lists else None)

    described = {}
    if options.val:
        described["val"] = resume.described_folders(options.val, sizes(options.val, "val.txt"))
    if options.init:
        used = weights.WeightsUsed(options.init.name, weights.sha256(options.init))
        described["init"] = resume.described_weights(used)
    if options.expert:
        described["expert"] = resume.described_weights(weights.expert_used(options.expert))
    if options.teacher != "none":
        described["teacher"] = resume.described_weights(weights.syncnet_used(options.teacher))
    return resume.origin(options, sizes(options.data, "train.txt"), described)


def read_checkpoint(options: TrainOptions, now: Origin, *, say: bool) -> dict[str, Any] | None:
    """The checkpoint of the run, if there is one and the run can go on from it.

    Args:
        options: of the run.
        now: what it is made of.
        say: print what has changed.

    Raises:
        InputError: the checkpoint is damaged, or another run's.
    """
    checkpoint = options.run / "checkpoint.pt"
    state = loop.load_checkpoint(checkpoint)
    if state is None:
        return None
    resume.go_on(state, now, options, checkpoint, needed=NEEDED, say=say)
    if state["config"] != Wav2LipConfig(options.width).to_json():
        raise _another(options)
    return state


def _another(options: TrainOptions) -> InputError:
    return InputError(
        f"{options.run / 'checkpoint.pt'} is of another --stage, --width or --teacher; "
        "give those, or another --run."
    )


def start(
    options: TrainOptions,
    group: Processes,
    *,
    taught_size: int = 0,
    state: dict[str, Any] | None = None,
    made_of: Origin | None = None,
) -> Run:
    """A new run, or the one whose checkpoint is given.

    Args:
        options: of the run.
        group: of the run.
        taught_size: of the vectors of the expert's teacher; 0 without one.
        state: a checkpoint to go on from.
        made_of: options and clips, for the checkpoints to come.

    Raises:
        InputError: weights or checkpoint are of no use, or the checkpoint is another network's.
    """
    torch.manual_seed(options.seed)
    config = Wav2LipConfig(options.width)
    model: SyncNetColor | Wav2Lip
    model = SyncNetColor(config) if options.stage == "expert" else Wav2Lip(config)
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
    run.origin = made_of
    if state:
        if not _is_of(state, options.stage, taught_size=taught_size):
            raise _another(options)
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
        made_of = _origin(options)
        state = read_checkpoint(options, made_of, say=group.leads)
        check_weights(options)
        options.run.mkdir(parents=True, exist_ok=True)
        with leader_first(group):
            data = load_data(options, say=group.leads)
        run = start(options, group, taught_size=data.taught_size, state=state, made_of=made_of)
        journal = None
        if group.leads:
            if run.step:
                print(f"resumed at step {run.step}")
            journal = Journal(
                options.run, step=run.step, seconds=run.seconds, total_steps=options.steps
            )
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
            _export(options, run, data, group)
        if group.leads:
            _say_end(options, run, data)
    return 0


def _steps(
    options: TrainOptions,
    run: Run,
    data: Data,
    group: Processes,
    journal: Journal | None,
    stop: Stop,
) -> int:
    """Makes the steps that are left; returns the signal that ended them early, or 0."""
    arithmetic = loop.precision(options, group.device)
    if journal and run.step < options.steps:
        _say_beginning(options, run, data, group, arithmetic)
    for batch, data_s in _batches(options, run, data, group):
        lr = loop.learning_rate(
            run.step, peak=options.lr, warmup_steps=options.warmup, total_steps=options.steps
        )
        only_taught = data.taught_size > 0 and run.step < options.taught_steps
        run.weighted = replace(run.weighted, pairs=float(not only_taught))
        row = wav2lip.train_step(run, batch, lr=lr, group=group, bf16=arithmetic == "bf16")
        row = averaged(row | {"lr": lr, "data_s": data_s}, group)
        if journal:
            journal.estimate(run.step)
        ended_by = largest(stop.number, group)
        _after_step(options, run, data, group, journal, row, save=bool(ended_by))
        if ended_by:
            return ended_by
    return 0


def _say_beginning(
    options: TrainOptions, run: Run, data: Data, group: Processes, arithmetic: str
) -> None:
    """Everything about the run that is known before its first step."""
    clips = [face.clip for face in data.clips]
    named = {"expert": "expert", "generator": "generator", "gan": "generator and discriminator"}
    beginning = Beginning(
        network=f"{named[options.stage]} of width {options.width:g}",
        parameters=sum(p.numel() for p in run.lesson.parameters()),
        device=str(group.device),
        precision=arithmetic,
        clips=len(clips),
        videos={clip.reference for clip in clips},
        minutes=samples.minutes(clips),
    )
    for line in beginning.lines(options.run):
        print(line, flush=True)
    if options.stage == "expert" and data.taught_size and run.step < options.taught_steps:
        print(
            f"up to step {options.taught_steps} the expert learns from --teacher alone: accuracy "
            "is a coin's, 0.5, until pairs are asked"
        )
    if run.lesson.expert is not None and not run.weighted.sync:
        print("sync is the expert's loss: reported, and of no weight until it is switched on")


def _say_end(options: TrainOptions, run: Run, data: Data) -> None:
    """Where the weights are, what they are good for, and what comes next."""
    if options.stage == "expert" and data.taught_size and run.step <= options.taught_steps:
        print(
            f"WARNING: this expert has been asked about no pair: --steps {options.steps} ends "
            f"before --taught_steps {options.taught_steps} are over; go on with more --steps."
        )
    if options.stage == "expert":
        after = (
            "python train_wav2lip.py --stage generator --expert {file} --data TRACKS --run GEN, "
            "or python -m training.evaluate_expert --expert {file} --data OTHERS"
        )
        loop.say_where(options, after=after, script_flag="--expert of train_wav2lip.py")
        return
    after = (
        "python run_wav2lip.py --checkpoint {file} --reference NAME --audio SPEECH.wav, "
        "or python -m training.evaluate_mouths --checkpoint {file} --data OTHERS"
    )
    loop.say_where(options, after=after, script_flag="--checkpoint of run_wav2lip.py")


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
    *,
    save: bool,
) -> None:
    """Reports and saves where it is time, or told, to; switches the expert's loss on."""
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
    save |= run.step % options.save_every == 0 or run.step == options.steps
    if journal and save:
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
    weights.fill(model, options.export)  # what is reported is what is in the file
    card = {
        "network": f"{type(model).__name__} (models/wav2lip.py), width {options.width}",
        "parameters": sum(p.numel() for p in model.parameters()),
        "data": {
            "tracks": len(data.clips),
            "minutes": round(samples.minutes([face.clip for face in data.clips]), 1),
            "data_dirs": [folder.name for folder in options.data],
        },
        "command": loop.command("train_wav2lip.py", options),
        "precision": loop.precision(options, group.device),
        "weights_used": run.origin.weights() if run.origin else {},
        "steps": run.step,
        "minutes": round(run.seconds / 60, 1),
        "unseen_people": wav2lip.judge(run, data.unseen, group.device) if data.unseen else None,
        "licence": "MIT, as the repository; no training picture or sound is part of it",
        "sha256": weights.sha256(options.export),
    }
    loop.write_model_card(options.export.with_suffix(".json"), card)
