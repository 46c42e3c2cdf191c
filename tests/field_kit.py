"""Every leaf of a JSON file compared with a truth, by the file's own keys."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.media import process
from pipeline.store import provenance

CPU = torch.device("cpu")
Truth = dict[str, Any]


def flat(value: Any, name: str = "") -> Truth:
    """Every leaf of a JSON value by the path to it; lists without objects are leaves."""
    if isinstance(value, dict) and value:
        pairs = [(f"{name}.{key}" if name else key, inner) for key, inner in value.items()]
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        pairs = [(f"{name}[{number}]", inner) for number, inner in enumerate(value)]
    else:
        return {name: value}
    return {path: leaf for key, inner in pairs for path, leaf in flat(inner, key).items()}


def check(content: Any, truth: Truth) -> None:
    """All leaves, none more and none less; numbers to a thousandth, and of the same kind."""
    leaves = flat(content)
    assert sorted(leaves) == sorted(truth), sorted(leaves.keys() ^ truth.keys())
    for name, expected in truth.items():
        value = leaves[name]
        if isinstance(expected, float):
            assert isinstance(value, float), name
            assert value == pytest.approx(expected, abs=1e-3), name
        else:
            assert (value, type(value)) == (expected, type(expected)), name


def digest(path: Path) -> str:
    """Hexadecimal SHA-256, without the program's own function."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def versions() -> Truth:
    """What every file says of the programs behind it."""
    return {
        "versions.toolkit": provenance.TOOLKIT_VERSION,
        "versions.torch": str(torch.__version__),
        "versions.ffmpeg": process.ffmpeg_version(),
    }
