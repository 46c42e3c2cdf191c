"""Writes trained weights and the model card that makes them reproducible, whatever the network."""

import platform
import shlex
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from torch import nn

from models import weights
from pipeline import provenance
from pipeline.workspace import write_json

REPOSITORY = Path(__file__).parent.parent
NO_EFFECT = ("cache", "workers", "log_every", "save_every")  # on the bytes of the weights
NAMES_OF_FILES = ("init", "teacher", "expert")  # or words; whose machine they were on says nothing


class Exported(Protocol):
    """What a card asks of the task that trained the network.

    Attributes:
        script: that was run, as it is typed after python.
        half: the file holds float16.
        precision: arithmetic of the steps.
    """

    script: str
    half: bool
    precision: str

    def finished(self, average: Any) -> nn.Module:
        """The network as it is written: calibrated, folded."""

    def facts(self, network: Any) -> dict[str, Any]:
        """What this network is, what it was made of and what it is worth."""


@dataclass(frozen=True)
class Made:
    """How the weights were made.

    Attributes:
        steps: of the weights that are exported.
        minutes: of the run.
        weights_used: name and digest of those it started or learned from, by flag.
        processes: that shared every step.
        device: it was trained on.
    """

    steps: int
    minutes: float
    weights_used: dict[str, str]
    processes: int
    device: str


def export(task: Exported, average: nn.Module, file: Path, *, options: object, made: Made) -> None:
    """Writes the weights, reads them back, and writes what they are worth beside them.

    Args:
        task: that trained them.
        average: the averaged network; may be changed.
        file: to write; the card is the JSON of the same name.
        options: of the run, a dataclass whose fields are named as the flags.
        made: how they were made.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    network: Any = task.finished(average)
    config = network.config if hasattr(network.config, "to_json") else None  # known by file name
    weights.write_own(network, file, config=config, half=task.half)
    weights.fill(network, file)  # what is reported is what is in the file
    card = {
        **task.facts(network),
        "parameters": sum(p.numel() for p in network.parameters()),
        "command": command(task.script, options),
        "options": {name: _shown(name, value) for name, value in vars(options).items()},
        "precision": task.precision,
        **asdict(made),
        "licence": "MIT, as the repository; no training picture or sound is part of it",
        "sha256": weights.sha256(file),
        "versions": versions(),
        "commit": commit(REPOSITORY),
    }
    write_json(file.with_suffix(".json"), card)


def command(script: str, options: object) -> str:
    """The command line again, with everything that changes the weights.

    Args:
        script: as it is typed after python.
        options: a dataclass whose fields are named as the flags.
    """
    words = [f"python {script}"]
    for name, value in vars(options).items():
        if name in NO_EFFECT or value is None:
            continue
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no-{name}")
            continue
        shown = _shown(name, value)
        listed = shown if isinstance(shown, list) else [shown]
        words.append(" ".join([f"--{name}", *(shlex.quote(str(one)) for one in listed)]))
    return " ".join(words)


def _shown(name: str, value: Any) -> Any:
    """Files and folders by their last name: whose machine they were on says nothing."""
    if isinstance(value, list):
        return [_shown(name, one) for one in value]
    if isinstance(value, Path) or (isinstance(value, str) and name in NAMES_OF_FILES):
        return Path(value).name
    return value


def versions() -> dict[str, str]:
    """Of everything that decodes, draws or computes."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "cv2": cv2.__version__,
        **provenance.versions(),
    }


def commit(folder: Path) -> str | None:
    """The commit of the code in `folder`, marked where files differ from it; None without git."""

    def git(*arguments: str) -> list[str]:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.splitlines()

    try:
        root, revision = git("rev-parse", "--show-toplevel", "HEAD")
        if Path(root).resolve() != folder.resolve():  # installed inside another project
            return None
        changed = git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return revision + (" and changes" if changed else "")
