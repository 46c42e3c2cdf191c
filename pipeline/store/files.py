"""Text and JSON files, written whole or not at all."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from models.files import partial_path
from pipeline.errors import InputError
from pipeline.readable import READABLE


def check_output(path: Path, flag: str, *, suffix: str = "") -> None:
    """Checks that a file can be written: before the work, not after it.

    Args:
        path: of the file.
        flag: that gave it.
        suffix: its name must end in this.

    Raises:
        InputError: its folder does not exist, or its name is another kind's.
    """
    if not path.parent.is_dir() or path.is_dir():
        raise InputError(f"{flag} {path} cannot be written; give a file in a folder that exists.")
    if not path.name.endswith(suffix):
        raise InputError(f"{flag} {path} must end in {suffix}; give such a name.")


def write_text(path: Path, text: str) -> None:
    """Writes a whole text file or none; lines end in LF."""
    partial = partial_path(path)
    with partial.open("w", encoding="utf-8", errors=READABLE, newline="\n") as file:
        file.write(text)
    partial.replace(path)


def write_json(path: Path, value: object) -> None:
    """Writes a whole JSON file or none."""
    write_text(path, json_text(value, indent=2) + "\n")


def json_text(value: object, *, indent: int | None = None) -> str:
    r"""JSON that any reader takes, of anything the toolkit records.

    A file name that is not UTF-8 keeps its bytes as \udcXX, from which `json.loads` makes the same
    path again; NaN and infinity, which JSON has not, become null.
    """
    text = json.dumps(
        _finite(value), indent=indent, ensure_ascii=False, allow_nan=False, default=_plain
    )
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: object) -> object:
    """A number of numpy as Python's, anything else, like a path, as text."""
    return _finite(value.item()) if isinstance(value, np.generic) else str(value)
