"""How results were made, in the same words in every record; and which file is an input."""

from pathlib import Path
from typing import Any

import torch

from models.files import sha256
from pipeline.media import process

TOOLKIT_VERSION = "1.18.0"  # counts up with what a result depends on; no git needed to know it


def versions() -> dict[str, str]:
    """Of everything that computes or decodes: toolkit, torch, ffmpeg."""
    return {
        "toolkit": TOOLKIT_VERSION,
        "torch": str(torch.__version__),
        "ffmpeg": process.ffmpeg_version(),
    }


def identity(file: Path) -> dict[str, Any]:
    """What tells a file from every other, wherever it lies: digest and size."""
    return {"sha256": sha256(file), "bytes": file.stat().st_size}


def is_file_of(file: Path, recorded: dict[str, Any]) -> bool:
    """Whether a file is there and has this `identity`; most others differ in size already."""
    return (
        file.is_file()
        and file.stat().st_size == recorded.get("bytes")
        and sha256(file) == recorded.get("sha256")
    )
