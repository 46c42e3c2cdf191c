"""What is compared of faces: the shape of the mouth, pose, surroundings, sound and lips."""

import functools
from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np

from models.features import (
    FRAME_RATE,
    MEL_LIMIT,
    MEL_RATE,
    SAMPLES_PER_FRAME,
    WINDOW_FRAMES,
)
from models.wav2lip import FACE_PX
from pipeline.dubbing import driving_audio
from pipeline.dubbing.blend import mouth_mask
from pipeline.sync.scorer import SyncModel

MOUTH = slice(52, 94), slice(20, 76)  # rows and columns of mouth and chin
MOUTH_SIGMA_PX, MOUTH_CELLS = 2.5, (20, 16)  # all that a blurred generator can tell; across, down
UPPER = slice(14, 54), slice(10, 86)  # eyes and nose: they say where the head is turned
UPPER_CELLS = (24, 14)
SURROUNDINGS_SIGMA_PX = 1.5
SURROUNDINGS_STEP = 3  # of the pixels in the edge of the mask so many share one value
LIPS = slice(60, 88), slice(30, 66)  # rows and columns that move when somebody speaks
GAP = slice(60, 88), slice(32, 64)  # where an open mouth is dark
CHEEKS = slice(40, 60), slice(20, 76)  # say how bright the skin is
DARK, DARK_SIGMA_PX = 0.5, 0.8  # of the skin's brightness; after this much blur

CONTEXT_S = 5.0  # of sound on both sides: networks take the level of a voice from it
EMBEDDED_AT_ONCE = 64
PAUSE_COLUMNS = slice(4, 12)  # of a mel window: the middle of its fifth of a second


@dataclass(frozen=True)
class Traits:
    """What is known of N faces, one row each.

    Attributes:
        times_s: (N,) of the source.
        shape: (N, S) float32 of the mouth.
        pose: (N, P) float32.
        surroundings: (N, R) float32.
        opening: (N,) float32, how far the mouth is open.
        sound: (N, E) float32, what is heard; None where it is not this face that speaks.
        lips: (N, E) float32, what the sync network sees; None of faces that are yet to be made.
        pause: (N,) bool, nobody speaks.
    """

    times_s: np.ndarray
    shape: np.ndarray
    pose: np.ndarray
    surroundings: np.ndarray
    opening: np.ndarray
    sound: np.ndarray | None
    lips: np.ndarray | None
    pause: np.ndarray

    @staticmethod
    def joined(parts: "list[Traits]") -> "Traits":
        """Those of several pieces, one after the other; of none, no rows."""
        if not parts:
            empty = np.zeros((0, 1), np.float32)
            nothing = np.zeros(0, np.float32)
            return Traits(np.zeros(0), empty, empty, empty, nothing, None, None, np.zeros(0, bool))
        columns: dict[str, Any] = {}
        for trait in fields(Traits):
            pieces = [getattr(part, trait.name) for part in parts]
            known = all(piece is not None for piece in pieces)
            columns[trait.name] = np.concatenate(pieces) if known else None
        return Traits(**columns)


def mouth_shape(face: np.ndarray) -> np.ndarray:
    """Low-passed colours of the mouth, less their mean brightness.

    Args:
        face: (96, 96, 3) uint8 BGR.

    Returns:
        (960,) float32.
    """
    lab = cv2.cvtColor(face, cv2.COLOR_BGR2LAB).astype(np.float32)[MOUTH]
    smooth = cv2.GaussianBlur(lab, (0, 0), MOUTH_SIGMA_PX)
    cells = cv2.resize(smooth, MOUTH_CELLS, interpolation=cv2.INTER_AREA)
    cells[..., 0] -= cells[..., 0].mean()
    return np.asarray(cells.ravel())


def pose(grey: np.ndarray) -> np.ndarray:
    """The upper face at a size where only its turn matters, of unit contrast: (336,) float32.

    Args:
        grey: (96, 96) uint8.
    """
    upper = grey[UPPER].astype(np.float32)
    cells = cv2.resize(upper, UPPER_CELLS, interpolation=cv2.INTER_AREA)
    return np.asarray(((cells - cells.mean()) / (cells.std() + 1e-3)).ravel())


def surroundings(grey: np.ndarray) -> np.ndarray:
    """Brightness where a new mouth meets the face that stays: (N,) float32.

    Args:
        grey: (96, 96) uint8.
    """
    smooth = cv2.GaussianBlur(grey, (0, 0), SURROUNDINGS_SIGMA_PX)
    return smooth[_edge()][::SURROUNDINGS_STEP].astype(np.float32)


@functools.cache
def _edge() -> np.ndarray:
    mask = mouth_mask(FACE_PX, FACE_PX)
    edge = (mask > 0) & (mask < 0.6)
    edge[: FACE_PX // 2] = False
    return edge


def opening(grey: np.ndarray) -> float:
    """How far a mouth is open: the share of it that is dark beside the skin above.

    Teeth are not dark, and a beard is: it says less of some people than of others, and is only
    compared with that of the same person.

    Args:
        grey: (96, 96) uint8.
    """
    smooth = cv2.GaussianBlur(grey, (0, 0), DARK_SIGMA_PX)
    return float((smooth[GAP] < DARK * np.median(smooth[CHEEKS])).mean())


def detail(grey: np.ndarray) -> np.ndarray:
    """Fine contrast of the upper half of a (96, 96) uint8 face across and down: (2,).

    Motion blurs along one axis, so that a sum of both would hardly tell.
    """
    smooth = cv2.GaussianBlur(grey, (0, 0), DARK_SIGMA_PX)
    bends = (cv2.Sobel(smooth, cv2.CV_32F, *axis)[UPPER] for axis in ((2, 0), (0, 2)))
    return np.array([bend.std() for bend in bends])


def motion(grey: np.ndarray) -> np.ndarray:
    """By how many grey levels the lips change beyond what the upper face does, per step.

    Args:
        grey: (N, 96, 96) uint8, faces some frames apart.

    Returns:
        (N - 1,) float32.
    """
    blurred = np.stack([cv2.GaussianBlur(face, (0, 0), MOUTH_SIGMA_PX) for face in grey])
    change = np.abs(np.diff(blurred.astype(np.float32), axis=0))
    lips = change[:, LIPS[0], LIPS[1]].mean(axis=(1, 2))
    upper = change[:, UPPER[0], UPPER[1]].mean(axis=(1, 2))
    return np.asarray(lips - upper)


def heard(model: SyncModel, samples: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """Embeddings of the sound at some times.

    Args:
        model: the sync network.
        samples: (n,) int16 mono 16 kHz; before and after it is silence.
        times_s: (N,) ascending, from the first sample on.

    Returns:
        (N, E) float32.
    """
    first = int((times_s[0] - CONTEXT_S) * FRAME_RATE)
    end = int((times_s[-1] + CONTEXT_S) * FRAME_RATE) + WINDOW_FRAMES
    start, stop = first * SAMPLES_PER_FRAME, end * SAMPLES_PER_FRAME
    piece = samples[max(0, start) : max(0, stop)]
    before = min(max(0, -start), stop - start)
    piece = np.pad(piece, (before, stop - start - before - len(piece)))
    embedded = model.embed_sound(model.sound_features(piece), batch_size=EMBEDDED_AT_ONCE)
    return at_times(embedded.float().numpy(), times_s - first / FRAME_RATE)


def at_times(embedded: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """Embeddings of windows, 25 per second, at the middle of which are other times.

    Args:
        embedded: (windows, E) float32, at least one; window i is frames i to i + 4.
        times_s: (N,) from the first window's first frame on.

    Returns:
        (N, E) float32, interpolated; at both ends the outermost window.
    """
    position = np.clip(times_s * FRAME_RATE - WINDOW_FRAMES // 2, 0, len(embedded) - 1)
    before = np.floor(position).astype(int)
    after = np.minimum(before + 1, len(embedded) - 1)
    share = (position - before)[:, None].astype(np.float32)
    return np.asarray((1 - share) * embedded[before] + share * embedded[after])


def own_pauses(samples: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """Where nobody speaks: (N,) bool for (N,) times of (n,) int16 samples."""
    spoken = driving_audio.speech(samples)
    columns = np.rint(times_s * MEL_RATE).astype(int)
    inside = (columns >= 0) & (columns < len(spoken))
    return ~spoken[columns.clip(0, len(spoken) - 1)] | ~inside


def gated_pauses(windows: np.ndarray) -> np.ndarray:
    """Which (N, 1, 80, 16) mel windows are silent in their middle: (N,) bool."""
    middle = windows[..., PAUSE_COLUMNS]
    return np.asarray(middle.max(axis=(1, 2, 3)) <= -MEL_LIMIT)
