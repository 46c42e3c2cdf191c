"""The published weight files of models/published.tsv, and checks of a copy.

download_model.sh reads the same table, so no name, size or digest is written down twice.
"""

import csv
import functools
import logging
from dataclasses import dataclass
from pathlib import Path

from models.files import sha256

TABLE = Path(__file__).resolve().with_name("published.tsv")

UNKNOWN = "-"  # in the table: the size or digest was never published
PAGE_STARTS = (b"<!doctype html", b"<html")  # of what sites send instead of a file
PAGE_HEAD_BYTES = 512


@dataclass(frozen=True)
class PublishedFile:
    """One row of the table.

    Attributes:
        name: as --only of download_model.sh takes it.
        file: its name in data/.
        size_bytes: None where unknown.
        sha256: hexadecimal; None where unknown.
        urls: its addresses, tried in turn.
        licence: as its publisher states it.
    """

    name: str
    file: str
    size_bytes: int | None
    sha256: str | None
    urls: tuple[str, ...]
    licence: str


@functools.cache
def table() -> dict[str, PublishedFile]:
    """Every row of models/published.tsv by its name."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = [
            PublishedFile(
                name=row["name"],
                file=row["file"],
                size_bytes=None if row["bytes"] == UNKNOWN else int(row["bytes"]),
                sha256=None if row["sha256"] == UNKNOWN else row["sha256"],
                urls=tuple(row["urls"].split(" ")),
                licence=row["licence"],
            )
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        ]
    return {row.name: row for row in rows}


def published_as(path: Path) -> PublishedFile | None:
    """The row whose file name a path has, wherever it lies."""
    return next((row for row in table().values() if row.file == path.name), None)


def fault(path: Path) -> str:
    """Why a file that no reader takes is no weights file, and what to do, as the end of a sentence.

    Args:
        path: an existing file.
    """
    row = published_as(path)
    again = f"run ./download_model.sh --only {row.name}" if row else "download it again"
    try:
        with path.open("rb") as file:
            head = file.read(PAGE_HEAD_BYTES).lstrip().lower()
    except OSError as error:
        return f"it cannot be read ({error.strerror}); make it readable."
    if head.startswith(PAGE_STARTS):
        return f"it is an HTML page, as sites send instead of a file; {again}."
    size_bytes = path.stat().st_size
    if row and row.size_bytes and size_bytes < row.size_bytes:
        return f"it is truncated, {size_bytes} of {row.size_bytes} bytes; {again}."
    if row and row.sha256 and sha256(path) != row.sha256:
        return f"it is not the published file either (other SHA-256); {again}."
    return "it is damaged or of another kind; delete it and download it again."


def warn_if_changed(path: Path, digest: str) -> None:
    """Says on stderr that a file with a published name is not the published one, and is used.

    Args:
        path: weights that were loaded; a user's own fine-tune may well have that name.
        digest: its SHA-256.
    """
    row = published_as(path)
    if row and row.sha256 and digest != row.sha256:
        # Nobody needs to set up logging for this: Python prints warnings to stderr without it.
        logging.getLogger(__name__).warning(
            f"warning: {path} is used, but it is not the published file: its SHA-256 is {digest}, "
            f"not {row.sha256}."
        )
