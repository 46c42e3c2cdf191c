"""Who is on which clip: so that people count, not videos, and nobody is on both sides.

A data folder may hold a people.csv with the columns reference and person. A video that no file
names is a person of its own.
"""

import csv
from pathlib import Path

from pipeline.errors import InputError
from training.data.samples import Clip

FILE = "people.csv"
COLUMNS = ("reference", "person")


def read(data_dirs: list[Path]) -> dict[str, str]:
    """The person of each reference (DATA_DIR/REFERENCE) that a people.csv names.

    Raises:
        InputError: a file lacks a column or names one video twice.
    """
    persons: dict[str, str] = {}
    for folder in data_dirs:
        file = folder / FILE
        if not file.is_file():
            continue
        with file.open(newline="", encoding="utf-8-sig") as opened:
            rows = csv.DictReader(opened)
            if not set(COLUMNS) <= set(rows.fieldnames or ()):
                raise InputError(f"{file} needs the columns {' and '.join(COLUMNS)} in its head.")
            for row in rows:
                name = f"{folder.absolute().name}/{row['reference']}"
                if persons.setdefault(name, row["person"]) != row["person"]:
                    raise InputError(f"{file} names two persons for {row['reference']}.")
    return persons


def person_of(clip: Clip, persons: dict[str, str]) -> str:
    """Who is on a clip; of a video that was not named, the video."""
    return persons.get(clip.reference, clip.reference)


def check_apart(clips: list[Clip], others: list[Clip], persons: dict[str, str]) -> None:
    """Refuses a person, or a file, on both sides.

    Raises:
        InputError: the first person who is.
    """
    both = {person_of(clip, persons) for clip in clips} & {
        person_of(clip, persons) for clip in others
    }
    if both:
        raise InputError(
            f"{min(both)} is in --data and in --val; figures on people who were learned from say "
            "nothing, so give other folders."
        )
