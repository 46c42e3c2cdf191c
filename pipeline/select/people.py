"""Who is on which video: a data_dir's people.csv, with the columns reference and person."""

import csv
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import InputError

FILE = "people.csv"
COLUMNS = ("reference", "person")
READABLE_BY_ALL = 0o644  # a temporary file is its owner's alone


def read(data_dir: Path) -> dict[str, str]:
    """The person of each reference that the file names; nobody without a file.

    Raises:
        InputError: it lacks a column or names one video twice.
    """
    file = data_dir / FILE
    if not file.is_file():
        return {}
    persons: dict[str, str] = {}
    with file.open(newline="", encoding="utf-8-sig") as stream:
        rows = csv.DictReader(stream)
        if not set(COLUMNS) <= set(rows.fieldnames or ()):
            raise InputError(f"{file} needs the columns {' and '.join(COLUMNS)} in its head.")
        for row in rows:
            reference, person = (row[column] for column in COLUMNS)
            if persons.setdefault(reference, person) != person:
                raise InputError(f"{file} names two persons for {reference}.")
    return persons


def add(data_dir: Path, persons: Mapping[str, str]) -> None:
    """Names persons in the file; what it says already stays.

    Args:
        data_dir: an existing folder.
        persons: by reference; without any, no file is made.

    Raises:
        InputError: the file that is there is none.
    """
    known = read(data_dir)
    if persons.keys() <= known.keys():
        return
    # Jobs of an array may write it at the same moment: each a file of its own, all the same.
    with tempfile.NamedTemporaryFile(
        "w", dir=data_dir, prefix=f".{FILE}.", newline="", encoding="utf-8", delete=False
    ) as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        rows.writerows(sorted({**persons, **known}.items()))
    Path(file.name).chmod(READABLE_BY_ALL)
    Path(file.name).replace(data_dir / FILE)
