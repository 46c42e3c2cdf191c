"""The flags of train_syncnet.py, and which of them make no run."""

from dataclasses import dataclass
from typing import Literal, get_args

from models.options import check_choice
from pipeline.errors import InputError
from training.data import people
from training.loop import resume
from training.loop.distributed import Processes
from training.loop.options import ClipOptions, check_flags
from training.objectives.contrastive import OBJECTIVES, Negatives

Network = Literal["small", "siamese"]
NETWORKS: tuple[str, ...] = get_args(Network)


@dataclass(frozen=True)
class TrainOptions(ClipOptions):
    """Flags of train_syncnet.py, by name; its --help says what each is."""

    val_without: list[str] = resume.free()
    drawn: int | None = resume.fixed()
    grey: float = resume.fixed()
    init: str | None = resume.fixed()
    init_share: float = resume.free()  # nothing that is trained depends on it
    network: Network | None = resume.fixed()
    patience: int = resume.free()
    objective: str = resume.fixed()
    negatives: Negatives = resume.fixed()
    refine_at: list[int] = resume.fixed()
    excerpts: int = resume.fixed()
    refusal: float = resume.fixed()
    windows: int | None = resume.fixed()
    dropout: float | None = resume.fixed()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("objective", self.objective, OBJECTIVES)


def check_options(options: TrainOptions, group: Processes) -> None:
    """Validates options and files before anything is decoded; raises InputError."""
    check_flags(
        options,
        at_least_one=("excerpts", "eval_every"),
        not_negative=("patience", "cache_gb", "max_offset", "refusal"),
    )
    if not (0 <= options.average < 1 and 0 <= options.grey <= 1):
        raise InputError("--average and --grey are shares of 0 to 1; see --help.")
    if not 0 <= options.init_share < 1:
        raise InputError("--init_share is a share of 0 to 1, less than 1; see --help.")
    if options.init_share and not options.init:
        raise InputError("--init_share is of the weights of --init; give --init, too.")
    if options.drawn is not None and options.drawn < 0:
        raise InputError("--drawn must not be negative; see --help.")
    if options.dropout is not None and not 0 <= options.dropout < 1:
        raise InputError("--dropout is a share of 0 to 1; see --help.")
    if options.windows is not None and options.windows < 1 + (options.negatives == "same"):
        raise InputError(
            "--windows is at least 1, and 2 where wrong sound is of the same excerpt "
            "(--negatives same); see --help."
        )
    share, rest = divmod(options.excerpts, group.world)
    if rest or (share < 2 and (options.negatives != "same" or options.refusal)):
        raise InputError(
            f"--excerpts {options.excerpts} cannot be shared by {group.world} processes; give a "
            "multiple of their number, and two for each where --negatives is not same or "
            "--refusal is given."
        )
    if options.refusal and options.objective != "multiway":
        raise InputError("--refusal belongs to --objective multiway; leave one of them out.")
    if options.patience and not options.val:
        raise InputError("--patience counts reports on --val; give --val, too.")
    people.check_folders_apart(options.data, options.val)
