"""A sheet for a person to look at: of each pair of faces one is real and one has a new mouth."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipeline.dubbing.face_path import Region
from pipeline.errors import PipelineError
from pipeline.store.files import write_json

FACE_HEIGHT_PX = 240
GAP_PX = 8
FRAMES_PER_CLIP = 5


class Choices:
    """Collects pairs of faces and shuffles them.

    Args:
        seed: of the order within each pair.
    """

    def __init__(self, *, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._rows: list[np.ndarray] = []
        self._key: list[dict[str, Any]] = []

    def add(self, name: str, real: list[np.ndarray], new: list[np.ndarray]) -> None:
        """One row: some moments of a clip, each once real and once new.

        Args:
            name: of the clip.
            real, new: faces of the same moments, any size.
        """
        pairs, left = [], []
        for faces in zip(real, new, strict=True):
            real_left = bool(self._rng.integers(2))
            left.append("real" if real_left else "new")
            ordered = faces if real_left else faces[::-1]
            pairs.append(_beside(np.hstack([_scaled(face, faces[0].shape) for face in ordered])))
        self._key.append({"row": len(self._rows), "clip": name, "left": left})
        self._rows.append(np.hstack(pairs))

    def write(self, folder: Path) -> None:
        """Writes choices.png, and choices_key.json, which says what is what.

        Raises:
            PipelineError: the picture cannot be written.
        """
        width = max(row.shape[1] for row in self._rows)
        sheet = np.vstack(
            [
                cv2.copyMakeBorder(
                    row, 0, GAP_PX, 0, width - row.shape[1], cv2.BORDER_CONSTANT, value=(0, 0, 0)
                )
                for row in self._rows
            ]
        )
        if not cv2.imwrite(str(folder / "choices.png"), sheet):
            raise PipelineError(f"{folder / 'choices.png'} cannot be written; is the disk full?")
        write_json(folder / "choices_key.json", self._key)


def _scaled(face: np.ndarray, like: tuple[int, ...]) -> np.ndarray:
    width = round(like[1] / like[0] * FACE_HEIGHT_PX)
    return cv2.resize(face, (width, FACE_HEIGHT_PX), interpolation=cv2.INTER_CUBIC)


def _beside(pair: np.ndarray) -> np.ndarray:
    return cv2.copyMakeBorder(pair, 0, 0, 0, GAP_PX, cv2.BORDER_CONSTANT, value=(0, 0, 0))


def face(frame: np.ndarray, region: Region) -> np.ndarray:
    """The face of a frame, copied."""
    return region.cut(frame).copy()
