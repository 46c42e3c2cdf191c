"""Learning rate schedule, averaged weights and checkpoints of all training scripts."""

import contextlib
import copy
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from models.files import partial_path
from pipeline.errors import InputError, PipelineError

Network = TypeVar("Network", bound=nn.Module)


def learning_rate(step: int, *, peak: float, warmup_steps: int, total_steps: int) -> float:
    """Linear warm-up to `peak`, then half a cosine down to 1 % of it."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


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


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path that replaces `path` at the end, or is removed after an error.

    Raises:
        PipelineError: the disk is full, for example; the earlier file stays.
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
        f"{path} cannot be written ({reason}); free some space and run the same command "
        "again, which goes on from the last checkpoint."
    )


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes tensors and plain values; a killed save leaves the previous checkpoint.

    Raises:
        PipelineError: it cannot be written.
    """
    with replacing(path) as partial:
        torch.save(state, partial)


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
