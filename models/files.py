"""Names and digests of files that every layer needs; standard library only."""

import hashlib
from pathlib import Path

BLOCK_BYTES = 1 << 20  # read at a time


def partial_path(path: Path) -> Path:
    """The name beside `path` under which a file is written until it is complete."""
    return path.with_name(f".{path.name}.partial")


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
