"""Writes trained weights and the model card that makes them reproducible, whatever the network."""

import json
import platform
import shlex
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch import nn

from models import weights
from models.files import sha256
from pipeline.store import provenance
from pipeline.store.files import write_json
from training.loop.distributed import Processes
from training.loop.options import RunOptions
from training.loop.task import Run

REPOSITORY = Path(__file__).parents[1]
NO_EFFECT = ("cache", "workers", "log_every", "save_every", "json")  # on the bytes of the weights
NAMES_OF_FILES = ("init", "teacher", "expert", "weights")  # or words such as "auto"


def export(run: Run, options: RunOptions, group: Processes) -> None:
    """Writes the averaged weights, the best where there were reports to choose by, and their card.

    Args:
        run: that has ended; its averaged network is changed.
        options: of the run; `export` is the file.
        group: of the run.
    """
    assert options.export is not None
    task, file, average = run.task, options.export, run.average.model
    if run.best:
        average.load_state_dict(run.best["average"])
    network = task.finished(average)
    file.parent.mkdir(parents=True, exist_ok=True)
    config = network.config if hasattr(network.config, "to_json") else None  # known by file name
    weights.write_own(network, file, config=config, half=task.half)
    weights.fill(network, file)  # what is reported is what is in the file
    facts = {
        **task.facts(network),
        "weights_used": run.origin.weights() if run.origin else {},
        "precision": task.precision,
        "device": str(group.device),
        "processes": group.world,
        "steps": run.best["step"] if run.best else run.step,
        "minutes": round(run.seconds / 60, 1),
    }
    write(file, network, facts, script=task.script, options=options)


def write(
    file: Path, network: nn.Module, facts: dict[str, Any], *, script: str, options: object
) -> None:
    """Writes the model card of a weights file beside it.

    Args:
        file: the weights.
        network: that is in it.
        facts: data, settings and figures of this network.
        script: that wrote the file, as it is typed after python.
        options: of the script, fields named as the flags.
    """
    card = {
        **facts,
        "parameters": sum(p.numel() for p in network.parameters()),
        "command": command(script, options),
        "options": {name: _recorded(name, value) for name, value in vars(options).items()},
        "licence": "MIT, as the repository; no training picture or sound is part of it",
        "sha256": sha256(file),
        "versions": versions(),
        "commit": commit(REPOSITORY),
    }
    write_json(file.with_suffix(".json"), card)


def read(file: Path) -> dict[str, Any] | None:
    """The card beside a weights file; None without one, or where it is of another file."""
    try:
        card = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        return dict(card) if card["sha256"] == sha256(file) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def command(script: str, options: object) -> str:
    """The command line again, with everything that changes the weights.

    Args:
        script: as it is typed after python.
        options: fields named as the flags.
    """
    words = [f"python {script}"]
    for name, value in vars(options).items():
        if name in NO_EFFECT or value is None:
            continue
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no-{name}")
            continue
        value_text = _recorded(name, value)
        values = value_text if isinstance(value_text, list) else [value_text]
        words.append(" ".join([f"--{name}", *(shlex.quote(str(one)) for one in values)]))
    return " ".join(words)


def _recorded(name: str, value: Any) -> Any:
    """Files and folders by their last name: whose machine they were on says nothing."""
    if isinstance(value, list):
        return [_recorded(name, one) for one in value]
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
        process = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
        )
        return process.stdout.splitlines()

    try:
        root, revision = git("rev-parse", "--show-toplevel", "HEAD")
        if Path(root).resolve() != folder.resolve():  # installed inside another project
            return None
        changed = git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return revision + (" and changes" if changed else "")
