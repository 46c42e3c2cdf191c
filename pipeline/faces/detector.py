"""Frames to face boxes."""

import copy
import math
from collections.abc import Iterator

import cv2
import numpy as np
import torch

from models import s3fd
from models.options import check_choice
from models.precision import PRECISIONS
from models.transfer import moved
from pipeline.faces.sampling import FrameSampler
from pipeline.faces.tracks import Face

CONFIDENCE = 0.9  # faces must score more than this
SMALLEST_INPUT_PX = 32  # the deepest map of a smaller picture would have no pixels
BATCH_PIXELS = 400_000  # of scaled frames in one pass, larger ones alone: bounds its memory
LARGEST_PIXELS = 9_000_000  # of a scaled frame: 4K at its own size; enlarging it finds no more


def largest_scale(frame_size_px: tuple[int, int]) -> float:
    """The largest `facedet_scale` of frames of this (width, height)."""
    return math.sqrt(LARGEST_PIXELS / (frame_size_px[0] * frame_size_px[1]))


class FaceDetector:
    """Detects faces in a stream of frames of one size, in batches.

    Args:
        model: an S3FD ready for inference; not changed.
        device: where it is.
        facedet_scale: factor from the frame to what the network sees.
        detect_every: frames from one that is always detected to the next, see sampling.py.
        precision: one of `PRECISIONS`.

    Raises:
        InputError: there is no such precision.
    """

    def __init__(
        self,
        model: s3fd.S3FD,
        *,
        device: torch.device,
        facedet_scale: float,
        detect_every: int = 1,
        precision: str = "fp32",
    ) -> None:
        check_choice("precision", precision, PRECISIONS)
        self._dtype = PRECISIONS[precision]
        self._model = model if precision == "fp32" else copy.deepcopy(model).to(self._dtype)
        self._device = device
        self._scale = facedet_scale
        self._sampler = FrameSampler(self._detect, every=detect_every)

    @property
    def detected_frames(self) -> int:
        """How many frames the network has seen."""
        return self._sampler.detected_frames

    def feed(self, frame: np.ndarray) -> None:
        """Takes the next (H, W, 3) uint8 BGR frame."""
        self._sampler.feed(self._scaled(frame))

    def faces(self) -> list[list[Face]]:
        """Per frame fed so far its faces, best first."""
        return self._sampler.faces()

    def _scaled(self, frame: np.ndarray) -> np.ndarray:
        if min(frame.shape[:2]) * self._scale < 1:
            size = (max(1, round(side * self._scale)) for side in frame.shape[1::-1])
            frame = cv2.resize(frame, tuple(size), interpolation=cv2.INTER_AREA)
        else:
            # The published weights were measured with bilinear pixels; ours learned from averages.
            published = self._model.config == s3fd.PUBLISHED
            bilinear = published or self._scale > 1
            frame = _resized(frame, self._scale) if bilinear else _averaged(frame, self._scale)
        below = max(0, SMALLEST_INPUT_PX - frame.shape[0])
        beside = max(0, SMALLEST_INPUT_PX - frame.shape[1])
        return np.pad(frame, ((0, below), (0, beside), (0, 0)), mode="edge")

    def _detect(self, pictures: list[np.ndarray]) -> list[list[Face]]:
        return [faces for batch in _batches(pictures) for faces in self._detect_batch(batch)]

    @torch.inference_mode()
    def _detect_batch(self, pictures: list[np.ndarray]) -> list[list[Face]]:
        images = s3fd.to_input(np.stack(pictures), self._model.config)
        regressions, logits, anchors = self._model(moved(images, self._device, self._dtype))
        faces = []
        for one_regressions, one_logits in zip(regressions, logits, strict=True):
            found = s3fd.faces_from_output(
                one_regressions, one_logits, anchors, confidence=CONFIDENCE
            )
            found[:, :4] /= self._scale
            faces.append(
                [Face((x1, y1, x2, y2), score) for x1, y1, x2, y2, score in found.tolist()]
            )
        return faces


def _resized(frame: np.ndarray, scale: float, *, method: int = cv2.INTER_LINEAR) -> np.ndarray:
    return cv2.resize(frame, None, fx=scale, fy=scale, interpolation=method)


def _averaged(frame: np.ndarray, scale: float) -> np.ndarray:
    """The frame at a scale of at most 1; first by halves, at which OpenCV is far faster."""
    while scale <= 0.5 and not (frame.shape[0] % 2 or frame.shape[1] % 2):
        frame = _resized(frame, 0.5, method=cv2.INTER_AREA)
        scale *= 2
    return frame if scale == 1 else _resized(frame, scale, method=cv2.INTER_AREA)


def _batches(pictures: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Cuts a list into batches of about the same length, each within `BATCH_PIXELS` or of one."""
    longest = max(1, BATCH_PIXELS // (pictures[0].shape[0] * pictures[0].shape[1]))
    count = -(-len(pictures) // longest)
    for i in range(count):
        yield pictures[i * len(pictures) // count : (i + 1) * len(pictures) // count]
