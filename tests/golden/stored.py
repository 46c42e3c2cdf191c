"""The files with the numbers, and how near a measurement must come."""

import json
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).resolve().parent
NUMBERS_FILE = FOLDER / "numbers.json"
DISTANCES_FILE = FOLDER / "distances.npz"  # of the example's first track
MOUTH_FILE = FOLDER / "mouth.png"
DIGITS = 5
WITHIN = 1e-3
# Crops are encoded: with the same frames and the same boxes, another encoder's pixels differ by one
# level in the mean. ffmpeg 5.1: offsets by 0.2 ms, scores of about 45 by 0.04, a component by 0.8.
WITHIN_OF_OTHER_FFMPEGS = 0.5
EMBEDDING_WITHIN_OF_OTHER_FFMPEGS = 1.0  # a component, of vectors 67 long


def numbers() -> dict[str, Any]:
    """The stored numbers, group by group."""
    values: dict[str, Any] = json.loads(NUMBERS_FILE.read_text())
    return values


def distances() -> np.ndarray:
    """(295, 31) float32 of the example's first track."""
    return np.load(DISTANCES_FILE)["dists"]
