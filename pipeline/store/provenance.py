"""How results were made: the same words in offsets.json, pipeline.json and wav2lip.json."""

import torch

from pipeline.media import process

TOOLKIT_VERSION = "1.13.0"  # counts up with what a result depends on; no git needed to know it


def versions() -> dict[str, str]:
    """Of everything that computes or decodes: toolkit, torch, ffmpeg."""
    return {
        "toolkit": TOOLKIT_VERSION,
        "torch": str(torch.__version__),
        "ffmpeg": process.ffmpeg_version(),
    }
