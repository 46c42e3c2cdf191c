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
# Crops are encoded: other encoders give slightly other pixels (ffmpeg 4.2, 5.1 and 7.0: by 0.02).
WITHIN_OF_OTHER_FFMPEGS = 0.1
EMBEDDING_WITHIN_OF_OTHER_FFMPEGS = 0.5  # a component, of vectors 33 long


def numbers() -> dict[str, Any]:
    """The stored numbers, group by group."""
    values: dict[str, Any] = json.loads(NUMBERS_FILE.read_text())
    return values


def distances() -> np.ndarray:
    """(295, 31) float32 of the example's first track."""
    return np.load(DISTANCES_FILE)["dists"]
