"""Values of JSON files that a stranger may have written: of the expected type, or nothing."""

import json
import math
from pathlib import Path
from typing import Any

from pipeline.errors import InputError

Span = tuple[float, float]  # start and end, seconds of the video


def read_json(path: Path, kind: type) -> Any:
    """What a file of run_syncnet.py holds; None where there is no such file.

    Args:
        path: of the file.
        kind: list or dict, which it must hold.

    Raises:
        InputError: it is damaged or holds something else.
    """
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged; run run_syncnet.py again.") from error
    if not isinstance(content, kind):
        raise InputError(f"{path} has another format; run run_syncnet.py again.")
    return content


def number(value: Any) -> float | None:
    """A finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # of an integer with hundreds of digits
        return None


def integer(value: Any) -> int | None:
    """A whole number, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def text(value: Any) -> str | None:
    """Text that says something, else None."""
    return value if isinstance(value, str) and value.strip() else None


def flag(value: Any) -> bool | None:
    """True or false, else None."""
    return value if isinstance(value, bool) else None


def mapping(value: Any) -> dict[str, Any]:
    """An object, else an empty one."""
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> list[dict[str, Any]]:
    """The objects of a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def spans(value: Any) -> tuple[Span, ...]:
    """The [start, end] pairs of a list that are longer than nothing."""
    pairs = []
    for pair in value if isinstance(value, list) else ():
        ends = [number(end) for end in pair] if isinstance(pair, list) else []
        if len(ends) == 2 and ends[0] is not None and ends[1] is not None and ends[0] < ends[1]:
            pairs.append((ends[0], ends[1]))
    return tuple(pairs)
