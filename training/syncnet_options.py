"""The flags of train_syncnet.py, and which of them make no run."""

from dataclasses import dataclass
from pathlib import Path

from models.options import check_choice, check_fields
from models.precision import Precision
from pipeline import cli
from pipeline.errors import InputError
from training import apart, loop, resume
from training.distributed import Processes
from training.objectives import OBJECTIVES, Negatives


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
