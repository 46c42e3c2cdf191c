"""Flags that every training script has, and which of them make no run."""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from models.device import PRECISION_CHOICES, Precision, resolve_precision
from models.options import check_device, check_fields
from pipeline.errors import InputError
from training.loop import resume
from training.presets.preset import Presets, in_words

AddFlag = Callable[..., argparse.Action]  # `add_argument` of a group


@dataclass(frozen=True)
class RunOptions:
    """Flags of every training script, by name; their --help says what each is."""

    run: Path = resume.own_folder()
    export: Path | None = resume.free()
    device: str = resume.free()
    seed: int = resume.fixed()
    workers: int = resume.free()
    log_every: int = resume.free()
    save_every: int = resume.free()
    eval_every: int = resume.free()
    steps: int = resume.free()
    lr: float = resume.fixed()
    warmup: int = resume.fixed()
    average: float = resume.fixed()
    weight_decay: float = resume.fixed()
    precision: Precision = resume.free()

    def __post_init__(self) -> None:
        check_fields(self)
        check_device(self.device)

    def arithmetic(self, device: torch.device) -> str:
        """Precision of the steps, fp32 or bf16: "auto" is what the device computes in natively.

        Where bf16 is emulated, as on most CPUs, a step takes ten times as long as in fp32.
        """
        return resolve_precision(self.precision, full=False, device=device)

    def where(self, *, after: str, script_flag: str) -> list[str]:
        """The last lines of a run: where the weights are, and what can be done with them.

        Args:
            after: a command, with {file} for the weights.
            script_flag: the script and flag that take them, in words.
        """
        if self.export:
            return [
                f"{self.export} written; the model card is {self.export.stem}.json beside it",
                f"next: {after.format(file=self.export)}",
            ]
        return [
            f"{self.run / 'checkpoint.pt'} holds the weights, and {script_flag} takes it; the same "
            "command with --export FILE.safetensors writes them alone, with a model card"
        ]


@dataclass(frozen=True)
class ClipOptions(RunOptions):
    """Flags of the scripts that learn from cropped tracks."""

    preset: str | None = resume.free()
    data: list[Path] = resume.clip_folders()
    val: list[Path] = resume.fixed_once_given()
    min_confidence: float = resume.fixed()
    max_offset: float = resume.fixed()
    cache: Path | None = resume.free()
    cache_gb: float = resume.free()

    @property
    def cache_folder(self) -> Path:
        """Where decoded clips and drawn heads are kept."""
        return self.cache or self.run / "cache"


def add_run_flags(
    parser: argparse.ArgumentParser,
    *,
    steps: int,
    lr: float,
    warmup: int,
    average: float,
    weight_decay: float,
    log_every: int = 20,
    eval_every: int = 500,
    eval_help: str = "Steps from one report on --val to the next.",
    device: str = "auto",
    precision: Precision = "auto",
) -> tuple[AddFlag, AddFlag]:
    """Adds the flags of `RunOptions`, with the defaults of a script.

    Returns:
        What adds flags of the script alone to the groups "run" and "optimisation".
    """
    # fmt: off
    run = parser.add_argument_group("run")
    add = run.add_argument
    add("--run", type=Path, required=True,
        help="Folder of the checkpoint, train.jsonl and pictures of the run.")
    add("--export", type=Path,
        help="Weights file (.safetensors) to write at the end, with a model card beside it.")
    add("--device", default=device, help="Where the network computes: auto, cpu, cuda, mps.")
    add("--workers", type=int, default=1, help="Threads that prepare batches.")
    add("--seed", type=int, default=1, help="Seed of everything random.")
    add("--log_every", type=int, default=log_every,
        help="Steps from one row of the log to the next.")
    add("--save_every", type=int, default=100, help="Steps from one checkpoint to the next.")
    add("--eval_every", type=int, default=eval_every, help=eval_help)
    step = parser.add_argument_group("optimisation")
    add = step.add_argument
    add("--steps", type=int, default=steps, help="Length of the run.")
    add("--lr", type=float, default=lr, help="Peak of the learning rate.")
    add("--warmup", type=int, default=warmup, help="Steps until that peak; a cosine follows.")
    add("--average", type=float, default=average, help="Decay of the averaged weights.")
    add("--weight_decay", type=float, default=weight_decay, help="Weight decay of AdamW.")
    add("--precision", choices=PRECISION_CHOICES, default=precision,
        help="Arithmetic of a step; auto is bf16 where the device computes in it, else fp32.")
    # fmt: on
    return run.add_argument, step.add_argument


def add_clip_flags(parser: argparse.ArgumentParser, *, data: str, presets: Presets) -> AddFlag:
    """Adds the flags of `ClipOptions` that `RunOptions` lacks.

    Args:
        parser: of the script.
        data: help of --data.
        presets: of the script.

    Returns:
        What adds flags of the script alone to the group "data".
    """
    # fmt: off
    parser.add_argument("--preset", choices=presets, help=in_words(presets))
    group = parser.add_argument_group("data")
    add = group.add_argument
    add("--data", type=Path, nargs="+", required=True, help=data)
    add("--val", type=Path, nargs="*", default=[],
        help="Such folders of other people, to report on.")
    add("--min_confidence", type=float, default=1.0,
        help="Clips that run_syncnet.py scored need at least this confidence.")
    add("--max_offset", type=float, default=10,
        help="Clips that run_syncnet.py scored may be this many frames out of sync.")
    add("--cache", type=Path, help="Folder of decoded clips. Without it, RUN/cache.")
    add("--cache_gb", type=float, default=20.0, help="Largest size of that folder.")
    # fmt: on
    return group.add_argument


def check_flags(
    options: RunOptions, *, at_least_one: tuple[str, ...] = (), not_negative: tuple[str, ...] = ()
) -> None:
    """Validates the options that all training scripts share; raises InputError.

    Args:
        options: of the run; its fields are named as the flags.
        at_least_one, not_negative: fields of the script alone, and what they must be.
    """
    for name in ("steps", "log_every", "save_every", *at_least_one):
        if getattr(options, name) < 1:
            raise InputError(f"--{name} must be at least 1; see --help.")
    for name in ("workers", "warmup", "lr", "weight_decay", "seed", *not_negative):
        if not getattr(options, name) >= 0:
            raise InputError(f"--{name} must not be negative; see --help.")
    if options.export and options.export.suffix != ".safetensors":
        raise InputError(f"--export {options.export} must end in .safetensors; give such a name.")
    if options.run.exists() and not options.run.is_dir():
        raise InputError(f"--run {options.run} is a file; give a folder.")
    check_writable("run", options.run)
    if cache := getattr(options, "cache", None):
        check_writable("cache", cache)
    if options.export:
        check_writable("export", options.export.parent)


def check_writable(flag: str, folder: Path) -> None:
    """Refuses a folder that could not be made or written, before anything is read.

    Args:
        flag: that names it.
        folder: need not be there, and is not made.

    Raises:
        InputError: of the flag.
    """
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise InputError(
            f"--{flag} {folder} cannot be written ({error.strerror}); choose another folder."
        ) from error
