"""The flags of train_wav2lip.py, and which of them make no run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from models import weights
from models.features import FRAME_RATE
from models.files import sha256
from models.speech2vid import Speech2Vid, Speech2VidConfig, generator_config
from models.wav2lip import EXPERT_FRAMES, SyncNetColor, Wav2Lip, Wav2LipConfig
from pipeline.errors import InputError
from training.batches.expert_excerpts import EXCERPT_WINDOWS
from training.data import people
from training.data.preprocessed import listed_videos
from training.loop import resume
from training.loop.distributed import Processes
from training.loop.options import ClipOptions, check_flags
from training.loop.resume import Origin

Stage = Literal["expert", "generator", "gan", "speech2vid"]
# From a window in the middle of an excerpt to either end, so that each has wrong sound.
LARGEST_SHIFT_S = (EXCERPT_WINDOWS // 2) * EXPERT_FRAMES / FRAME_RATE
STAGES: tuple[str, ...] = get_args(Stage)


@dataclass(frozen=True)
class TrainOptions(ClipOptions):
    """Flags of train_wav2lip.py, by name; its --help says what each is."""

    filelists: Path | None = resume.clip_folders()
    stage: Stage = resume.fixed()
    teacher: str = resume.fixed()
    taught_steps: int = resume.fixed()
    expert: Path | None = resume.fixed()
    init: Path | None = resume.fixed()
    width: float = resume.fixed()
    separate_voice: bool = resume.fixed()
    shift_s: float | None = resume.fixed()
    val_share: float | None = resume.fixed()
    batch_size: int = resume.fixed()
    sync_weight: float = resume.fixed()
    sync_from: float = resume.fixed()
    sync_at: int = resume.fixed()
    adversarial_weight: float = resume.fixed()
    mouth_weight: float = resume.fixed()
    structure_weight: float = resume.fixed()
    detail_weight: float = resume.fixed()
    taught_weight: float = resume.fixed()

    @property
    def config(self) -> Wav2LipConfig:
        """Of the network that is trained."""
        kind = Speech2VidConfig if self.stage == "speech2vid" else Wav2LipConfig
        return kind(self.width, self.separate_voice)


def new_network(options: TrainOptions) -> SyncNetColor | Wav2Lip | Speech2Vid:
    """The network to train, of random weights."""
    config = options.config
    if isinstance(config, Speech2VidConfig):
        return Speech2Vid(config)
    return SyncNetColor(config) if options.stage == "expert" else Wav2Lip(config)


def check_options(options: TrainOptions, group: Processes) -> None:
    """Validates options and files before anything is decoded; raises InputError."""
    check_flags(
        options,
        at_least_one=("batch_size", "eval_every"),
        not_negative=(
            *("cache_gb", "max_offset", "taught_steps"),
            *("mouth_weight", "structure_weight", "detail_weight", "taught_weight"),
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
    if options.stage == "speech2vid" and options.expert:
        raise InputError(
            "--expert judges Wav2Lip's frames; a speech2vid is judged by a SyncNet, --teacher."
        )
    for file in (options.init, options.expert):
        if file and str(file) != "auto" and not file.is_file():
            raise InputError(f"{file} is not a file; give a checkpoint.")
    if options.shift_s is not None and not 0 <= options.shift_s <= LARGEST_SHIFT_S:
        raise InputError(f"--shift_s is 0 to {LARGEST_SHIFT_S:g} seconds; see --help.")
    if options.val_share is not None:
        if not 0 < options.val_share < 1:
            raise InputError("--val_share is above 0 and below 1; see --help.")
        if options.val or options.filelists:
            raise InputError("--val_share keeps people of --data back; leave out --val for it.")
    people.check_folders_apart(options.data, options.val, options.filelists)


def check_weights(options: TrainOptions) -> None:
    """Refuses weights that do not fit, before clips are decoded.

    Raises:
        InputError: --init is of another --width.
        WeightsError: a file is no weights file, or another network's.
    """
    cpu = torch.device("cpu")
    if options.expert and options.stage != "expert":
        expert, _ = weights.load_expert(options.expert, device=cpu)
        _check_same_sound(options, expert.config)
    if options.teacher != "none":
        weights.load_syncnet(options.teacher, device=cpu)
    if not options.init:
        return
    try:
        weights.fill(new_network(options), options.init)
    except weights.WeightsError as error:
        if "has other shapes" not in str(error):
            raise
        text = weights.config_text(options.init)
        width = generator_config(text).width if text else Wav2LipConfig().width
        raise InputError(
            f"--init {options.init} is not of --width {options.width:g}; give --width {width:g}, "
            f"of which {'it is' if text else 'published weights are'}."
        ) from error


def origin_of(options: TrainOptions) -> Origin:
    """What the run is made of; data folders, lists and weights are found missing here, early."""

    def sizes(folders: list[Path], part: str) -> dict[str, int]:
        lists = options.filelists
        return resume.clip_sizes(folders, listed_videos(lists / part) if lists else None)

    described = {}
    if options.val:
        described["val"] = resume.described_folders(options.val, sizes(options.val, "val.txt"))
    if options.init:
        weights_file = weights.WeightsFile(options.init.name, sha256(options.init))
        described["init"] = resume.described_weights(weights_file)
    if options.expert:
        described["expert"] = resume.described_weights(weights.expert_weights(options.expert))
    if options.teacher != "none":
        described["teacher"] = resume.described_weights(weights.syncnet_weights(options.teacher))
    return resume.origin(options, sizes(options.data, "train.txt"), described)


def _check_same_sound(options: TrainOptions, config: Wav2LipConfig) -> None:
    """Refuses an expert that would hear other sound than it was trained on."""
    if config.separate_voice and not options.separate_voice:
        raise InputError(
            f"--expert {options.expert} was trained on separated voices; give --separate_voice, "
            "too, or another expert."
        )
    if options.separate_voice and not config.separate_voice:
        raise InputError(
            f"--expert {options.expert} was trained on whole sound; leave --separate_voice out, "
            "or train an expert with it first."
        )


def is_of(state: dict[str, Any], stage: str, *, taught_size: int) -> bool:
    """A checkpoint is of this stage, with a teacher of this size."""
    is_expert = any(key.startswith("face_encoder.") for key in state["state_dict"])
    taught = len(state["translation"]["bias"]) if state["translation"] else 0
    of_stage = is_expert == (stage == "expert") and bool(state["discriminator"]) == (stage == "gan")
    return of_stage and taught == taught_size


def same_config(described: object, config: Wav2LipConfig) -> bool:
    """The configuration of a checkpoint is this one; what an older one does not say is unset."""
    try:
        return generator_config(str(described)) == config
    except (TypeError, ValueError):
        return False


def another(options: TrainOptions) -> InputError:
    """The error of a checkpoint of another network."""
    return InputError(
        f"{options.run / 'checkpoint.pt'} is of another --stage, --width or --teacher; "
        "give those, or another --run."
    )


def say_without_expert(options: TrainOptions) -> None:
    """Prints that a generator is trained without a loss on sync, where it is."""
    needed = "teacher" if options.stage == "speech2vid" else "expert"
    if getattr(options, needed) in (None, "none"):
        print(f"no --{needed}: the generator is trained without a loss on sync")
    elif options.sync_at < 0 and not (options.val or options.filelists or options.val_share):
        print("neither --val nor --sync_at: the expert's loss is never switched on")
