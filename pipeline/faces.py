"""Frames to face boxes."""

import cv2
import numpy as np
import torch

from models import s3fd
from pipeline.tracks import Face

CONFIDENCE = 0.9  # faces must score more than this
SMALLEST_INPUT_PX = 32  # the deepest map of a smaller picture would have no pixels
BATCH_PIXELS = 400_000  # of scaled frames in one pass of the network: bounds its memory


class FaceDetector:
    """Detects faces in a stream of frames of one size, in batches.

    Args:
        model: an S3FD ready for inference.
        device: where it is.
        facedet_scale: factor from the frame to what the network sees.
    """

    def __init__(self, model: s3fd.S3FD, *, device: torch.device, facedet_scale: float) -> None:
        self._model = model
        self._device = device
        self._scale = facedet_scale
        self._waiting: list[np.ndarray] = []
        self._faces: list[list[Face]] = []

    def feed(self, frame: np.ndarray) -> None:
        """Takes the next (H, W, 3) uint8 BGR frame."""
        self._waiting.append(self._scaled(frame))
        if (
            len(self._waiting) * self._waiting[0].shape[0] * self._waiting[0].shape[1]
            > BATCH_PIXELS
        ):
            self._flush()

    def faces(self) -> list[list[Face]]:
        """Per frame fed so far its faces, best first."""
        self._flush()
        return self._faces

    def _scaled(self, frame: np.ndarray) -> np.ndarray:
        # The published weights were measured with bilinear pixels; ours were trained on averages.
        published = self._model.config == s3fd.PUBLISHED
        method = cv2.INTER_LINEAR if published or self._scale > 1 else cv2.INTER_AREA
        height, width = frame.shape[:2]
        if min(height, width) * self._scale >= 1:
            frame = cv2.resize(frame, None, fx=self._scale, fy=self._scale, interpolation=method)
        below = max(0, SMALLEST_INPUT_PX - frame.shape[0])
        beside = max(0, SMALLEST_INPUT_PX - frame.shape[1])
        return np.pad(frame, ((0, below), (0, beside), (0, 0)), mode="edge")

    @torch.inference_mode()
    def _flush(self) -> None:
        if not self._waiting:
            return
        images = s3fd.to_input(np.stack(self._waiting), self._model.config).to(self._device)
        self._waiting.clear()
        regressions, logits, anchors = self._model(images)
        for one_regressions, one_logits in zip(regressions, logits, strict=True):
            found = s3fd.faces_from_output(
                one_regressions, one_logits, anchors, confidence=CONFIDENCE
            )
            found[:, :4] /= self._scale
            self._faces.append(
                [Face((x1, y1, x2, y2), score) for x1, y1, x2, y2, score in found.tolist()]
            )
