"""What every training script shares: schedule, averaged weights, checkpoints, checks of flags."""

import contextlib
import copy
import math
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import nn

from models import precision as precisions
from models.precision import Precision
from pipeline.errors import InputError, PipelineError
from pipeline.writers import partial_path

Network = TypeVar("Network", bound=nn.Module)


def learning_rate(step: int, *, peak: float, warmup_steps: int, total_steps: int) -> float:
    """Linear warm-up to `peak`, then half a cosine down to 1 % of it."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


class AveragedWeights(Generic[Network]):
    """Exponential moving average of a network's weights and buffers (Polyak averaging)."""

    def __init__(self, model: Network, *, decay: float) -> None:
        self.model: Network = copy.deepcopy(model).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Moves the average towards `model`; early steps forget the random start faster."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for average, current in zip(
            self.model.state_dict().values(), model.state_dict().values(), strict=True
        ):
            if average.is_floating_point():
                average.lerp_(current, 1 - decay)
            else:
                average.copy_(current)


class _RunFlags(Protocol):
    """What `check_flags` reads of any training script's options."""

    @property
    def run(self) -> Path: ...

    @property
    def export(self) -> Path | None: ...

    @property
    def cache(self) -> Path | None: ...


def check_flags(
    options: _RunFlags, *, at_least_one: tuple[str, ...], not_negative: tuple[str, ...]
) -> None:
    """Refuses, with InputError, what no training run can be made with.

    Args:
        options: of the run; its fields are named as the flags.
        at_least_one, not_negative: fields, and what they must be.
    """
    for name in at_least_one:
        if getattr(options, name) < 1:
            raise InputError(f"--{name} must be at least 1; see --help.")
    for name in not_negative:
        if not getattr(options, name) >= 0:
            raise InputError(f"--{name} must not be negative; see --help.")
    if options.export and options.export.suffix != ".safetensors":
        raise InputError(f"--export {options.export} must end in .safetensors; give such a name.")
    if options.run.exists() and not options.run.is_dir():
        raise InputError(f"--run {options.run} is a file; give a folder.")
    check_writable("run", options.run)
    if options.cache:
        check_writable("cache", options.cache)
    if options.export:
        check_writable("export", options.export.parent)


class _PrecisionFlag(Protocol):
    """What `precision` reads of a training script's options."""

    @property
    def precision(self) -> Precision: ...


def precision(options: _PrecisionFlag, device: torch.device) -> str:
    """The arithmetic of a run's steps, fp32 or bf16: "auto" is what the device itself computes in.

    Where bf16 is emulated, as on most CPUs, a step takes ten times as long as in fp32.
    """
    return precisions.chosen(options.precision, published=False, device=device)


@contextlib.contextmanager
def written(path: Path) -> Iterator[Path]:
    """Where to write what becomes `path` when all of it is there; nothing is left of a half.

    Raises:
        PipelineError: the disk is full, say; the file of before is kept.
    """
    partial = partial_path(path)
    try:
        yield partial
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # torch has no error of its own for a full disk
        raise unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def unwritable(path: Path, error: Exception) -> PipelineError:
    """The error of a file that a run could not write."""
    reason = getattr(error, "strerror", None) or "is the disk full?"
    return PipelineError(
        f"{path} cannot be written ({reason}); make room and run the same command again, which "
        "goes on from the last checkpoint."
    )


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes tensors and plain values; a killed save leaves the previous checkpoint.

    Raises:
        PipelineError: it cannot be written.
    """
    with written(path) as partial:
        torch.save(state, partial)


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


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The checkpoint at `path`, or None where there is none yet.

    Raises:
        InputError: the file is damaged.
    """
    if not path.exists():
        return None
    wrong = (
        f"{path} is no checkpoint of this program; remove it to start again, or use another --run."
    )
    try:
        with warnings.catch_warnings():  # torch remarks on pickles it then refuses
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types here, all of them the file's fault
        raise InputError(wrong) from error
    if not isinstance(state, dict):
        raise InputError(wrong)
    return state


def where(options: _RunFlags, *, after: str, script_flag: str) -> list[str]:
    """The last lines of a run: where the weights are, and what can be done with them.

    Args:
        options: of the run.
        after: a command, with {file} for the weights.
        script_flag: the script and flag that take them, in words.
    """
    if options.export:
        return [
            f"{options.export} written; the model card is {options.export.stem}.json beside it",
            f"next: {after.format(file=options.export)}",
        ]
    return [
        f"{options.run / 'checkpoint.pt'} holds the weights, and {script_flag} takes it; the same "
        "command with --export FILE.safetensors writes them alone, with a model card"
    ]
