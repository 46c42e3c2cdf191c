"""Measures inputs and outputs of the bundled networks and stores them for the tests.

    python -m tests.golden

Run it where a change of weights, or of what is fed to them, changes the numbers on purpose; the
commit then shows what changed. Everything is measured with the ffmpeg that imageio-ffmpeg brings.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import imageio_ffmpeg
import numpy as np
import torch

from models import weights
from pipeline.store.workspace import Workspace
from tests.conftest import REPO
from tests.golden import measure
from tests.golden.stored import DIGITS, DISTANCES_FILE, MOUTH_FILE, NUMBERS_FILE


def run_example(data_dir: Path) -> Workspace:
    """The example through run_pipeline.py and run_syncnet.py, with the bundled networks."""
    where = ("--reference", "example", "--data_dir", str(data_dir), "--precision", "fp32")
    example = str(REPO / "data" / "example.mp4")
    own = str(weights.OWN_DIR / weights.SYNCNET_OWN_FILE)
    for command in (
        ("run_pipeline.py", "--videofile", example, "--detector", "small", *where),
        ("run_syncnet.py", "--initial_model", own, *where),
    ):
        subprocess.run([sys.executable, str(REPO / command[0]), *command[1:]], check=True)
    return Workspace(data_dir, "example")


def rounded(value: Any) -> Any:
    """Floats with so many digits as the tests look at."""
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list) else value


def main() -> int:
    """Writes the numbers, the distances of one clip and the mouth."""
    os.environ["FFMPEG_BINARY"] = imageio_ffmpeg.get_ffmpeg_exe()
    example = REPO / "data" / "example.mp4"
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=REPO, capture_output=True, text=True
    ).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        work = run_example(Path(folder))
        dists = work.read_distances()[0].astype(np.float32)
        numbers = {
            "commit": commit,
            "ffmpeg": imageio_ffmpeg.get_ffmpeg_version(),
            "torch": torch.__version__,
            "sound": measure.of_sound(),
            "lips": measure.of_lips(),
            "boxes": measure.of_boxes(example),
            "tracks": measure.of_tracks(work),
            "embeddings": measure.of_embeddings(work.crop(0)),
            "distances": measure.of_distances(),
            "judgement": measure.of_judgement(dists),
            "judgement_of_drift": measure.of_judgement(measure.synthetic_distances()),
        }
    np.savez_compressed(DISTANCES_FILE, dists=dists)
    NUMBERS_FILE.write_text(json.dumps(rounded(numbers), indent=1) + "\n")
    cv2.imwrite(str(MOUTH_FILE), measure.of_mouth(example))
    print("wrote", *(path.name for path in (NUMBERS_FILE, DISTANCES_FILE, MOUTH_FILE)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
