"""Which clips are trained on: by the offsets of run_syncnet.py or of the network itself."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

from models.features import FRAME_RATE
from pipeline.errors import InputError
from training.data import people
from training.data.samples import Clip, clip_name

FRAME_MS = 1000 / FRAME_RATE


def known_offsets(files: list[Path]) -> dict[str, tuple[float, float]]:
    """Offsets and confidences from offsets.json, or else offsets.txt.

    Args:
        files: `DATA_DIR/pycrop/REFERENCE/track.avi`, of any number of references.

    Returns:
        Name to (offset in ms, confidence), for the clips that have been scored; a clip that could
        not be scored, or whose offset lies on the search edge, has confidence minus infinity.

    Raises:
        InputError: a table is not in its format.
    """
    offsets: dict[str, tuple[float, float]] = {}
    for crops in dict.fromkeys(file.parent for file in files):
        pywork = crops.parents[1] / "pywork" / crops.name
        if (pywork / "offsets.json").is_file():
            rows = _rows_of_json(pywork / "offsets.json")
        elif (pywork / "offsets.txt").is_file():
            rows = _rows_of_text(pywork / "offsets.txt")
        else:
            continue
        offsets |= {clip_name(crops / name): values for name, values in rows.items()}
    return offsets


def _rows_of_json(path: Path) -> dict[str, tuple[float, float]]:
    never = (0.0, float("-inf"))
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return {
            row["file"]: (float(row["offset_ms"]), float(row["confidence"]))
            if row["confidence"] is not None and not row["at_search_edge"]
            else never
            for row in rows
        }
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} has another format; run run_syncnet.py again.") from error


def _rows_of_text(path: Path) -> dict[str, tuple[float, float]]:
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    try:
        cells = [line.split("\t") for line in lines if line.strip()]
        return {file: (int(offset) * FRAME_MS, float(conf)) for file, offset, conf in cells}
    except ValueError as error:
        raise InputError(f"{path} has another format; run run_syncnet.py again.") from error


def select(
    files: list[Path],
    offsets: dict[str, tuple[float, float]],
    *,
    min_confidence: float,
    max_offset: float,
) -> tuple[list[Path], dict[str, str]]:
    """Selects clips by offset and confidence, where these are known.

    Args:
        files: face clips.
        offsets: of `known_offsets`; a clip that is not in it is kept.
        min_confidence: least confidence.
        max_offset: largest offset either way, frames of 40 ms.

    Returns:
        Files to load, and the reason of each that is left out, by name.

    Raises:
        InputError: none is left; the sentence says why.
    """
    chosen, left_out = [], {}
    for file in files:
        name = clip_name(file)
        offset_ms, confidence = offsets.get(name, (0.0, float("inf")))
        if confidence == float("-inf"):
            left_out[name] = "no offset within the search range"
        elif confidence < min_confidence:
            left_out[name] = f"low confidence ({confidence:.1f})"
        elif abs(offset_ms) > max_offset * FRAME_MS:
            left_out[name] = f"too far apart ({offset_ms:.0f} ms)"
        else:
            chosen.append(file)
    if not chosen:
        raise InputError(
            f"No clip is left of {len(files)}: {in_words(left_out)}; "
            "lower --min_confidence or raise --max_offset."
        )
    return chosen, left_out


def aligned(clips: list[Clip], offsets: dict[str, tuple[float, float]]) -> list[Clip]:
    """The clips with their known offsets."""
    return [replace(clip, offset_ms=offsets.get(clip.name, (0.0, 0.0))[0]) for clip in clips]


def with_people(clips: list[Clip], data_dirs: list[Path]) -> list[Clip]:
    """The clips with who is on them, as far as a people.csv in their folder says."""
    persons = people.read(data_dirs)
    return [replace(clip, person=persons.get(clip.reference, "")) for clip in clips]


def in_words(left_out: dict[str, str], *, most: int = 3) -> str:
    """One line that counts the clips left out, by reason; empty without any."""
    if not left_out:
        return ""
    kinds = Counter(reason.partition(" (")[0] for reason in left_out.values())
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    names = ", ".join(f"{name}: {reason}" for name, reason in list(left_out.items())[:most])
    return f"{len(left_out)} clips left out ({counts}): {names}" + (
        f", and {len(left_out) - most} more" if len(left_out) > most else ""
    )
