"""Frames to face boxes: what a face detector is, which there are, and frames streamed through one.

Another detector is a class that is a `Detector`, in a file of its own, and a row in `DETECTORS`.
"""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import torch

from models import s3fd, weights
from models.device import PRECISIONS, Precision, resolve_precision, to_device
from models.options import check_choice
from models.weights import WeightsFile
from pipeline.faces.sampling import FrameSampler
from pipeline.faces.tracks import Face

CONFIDENCE = 0.9  # faces must score more than this
SMALLEST_INPUT_PX = 32  # the deepest map of a smaller picture would have no pixels
BATCH_PIXELS = 400_000  # of scaled frames in one pass, larger ones alone: bounds its memory
LARGEST_PIXELS = 9_000_000  # of a scaled frame: 4K at its own size; enlarging it finds no more


class Detector(Protocol):
    """What finds faces in pictures.

    Attributes:
        weights_file: its weights, for the record of a run.
        precision: that it computes in, for the same.
        resize: how frames are made smaller for it: "bilinear" or "area".

    A detector with an attribute `device` has that recorded as where it ran.
    """

    weights_file: WeightsFile
    precision: str
    resize: str

    def detect(self, pictures: list[np.ndarray]) -> list[list[Face]]:
        """The faces of (H, W, 3) uint8 BGR pictures of one size, best first, in their pixels."""


class S3FDDetector:
    """S3FD as a `Detector`; attributes as there.

    Args:
        model: ready for inference on `device`; not changed.
        weights_file: its weights.
        device: where it is.
        precision: one of `PRECISIONS`.

    Raises:
        InputError: there is no such precision.
    """

    def __init__(
        self,
        model: s3fd.S3FD,
        weights_file: WeightsFile,
        *,
        device: torch.device,
        precision: str = "fp32",
    ) -> None:
        check_choice("precision", precision, PRECISIONS)
        self.weights_file, self.precision = weights_file, precision
        self.resize: str = model.config.resize
        self._dtype = PRECISIONS[precision]
        self._model = model if precision == "fp32" else copy.deepcopy(model).to(self._dtype)
        self.device = device

    @classmethod
    def load(cls, name: str, *, device: torch.device, precision: Precision) -> "S3FDDetector":
        """The published weights ("s3fd"), the bundled ones ("small"), or "auto".

        Raises:
            WeightsError: the file is absent or does not fit.
        """
        model, weights_file = weights.load_s3fd(name, device=device)
        resolved = resolve_precision(precision, full=model.config.full_precision, device=device)
        return cls(model, weights_file, device=device, precision=resolved)

    def detect(self, pictures: list[np.ndarray]) -> list[list[Face]]:
        """See `Detector`."""
        return [faces for batch in _batches(pictures) for faces in self._detect_batch(batch)]

    @torch.inference_mode()
    def _detect_batch(self, pictures: list[np.ndarray]) -> list[list[Face]]:
        images = s3fd.to_input(np.stack(pictures), self._model.config)
        outputs = self._model(to_device(images, self.device, self._dtype))
        regressions, logits, anchors = outputs
        faces = []
        for one_regressions, one_logits in zip(regressions, logits, strict=True):
            rows = s3fd.faces_from_output(
                one_regressions, one_logits, anchors, confidence=CONFIDENCE
            ).tolist()
            faces.append([Face((x1, y1, x2, y2), score) for x1, y1, x2, y2, score in rows])
        return faces


@dataclass(frozen=True)
class DetectorKind:
    """A value of --detector.

    Attributes:
        load: gives the detector of this name, with keywords `device` and `precision`.
        weights_file: names its weights without loading them.
    """

    load: Callable[..., Detector]
    weights_file: Callable[[str], WeightsFile]


S3FD_KIND = DetectorKind(load=S3FDDetector.load, weights_file=weights.s3fd_weights)
DETECTORS = dict.fromkeys(weights.S3FD_NAMES, S3FD_KIND)  # by --detector


def load_detector(
    name: str = "auto", *, device: torch.device, precision: Precision = "auto"
) -> Detector:
    """Loads a detector ready for inference.

    Args:
        name: of `DETECTORS`.
        device: where it will run.
        precision: fp32, bf16, or auto: for our own weights the fastest of the device's own.

    Raises:
        InputError: there is no such detector or precision.
        WeightsError: its file is absent or does not fit.
    """
    check_choice("detector", name, DETECTORS)
    return DETECTORS[name].load(name, device=device, precision=precision)


def detector_weights(name: str = "auto") -> WeightsFile:
    """The weights of the detector that `load_detector` would load.

    Raises:
        InputError: there is no such detector.
        WeightsError: its file is absent.
    """
    check_choice("detector", name, DETECTORS)
    return DETECTORS[name].weights_file(name)


def largest_scale(frame_size_px: tuple[int, int]) -> float:
    """The largest `facedet_scale` of frames of this (width, height)."""
    return math.sqrt(LARGEST_PIXELS / (frame_size_px[0] * frame_size_px[1]))


class FaceStream:
    """Detects faces in a stream of frames of one size.

    Args:
        detector: sees some of them, see sampling.py.
        facedet_scale: factor from the frame to what the detector sees.
        detect_every: frames from one that is always detected to the next.
    """

    def __init__(self, detector: Detector, *, facedet_scale: float, detect_every: int = 1) -> None:
        self._detector = detector
        self._scale = facedet_scale
        self._sampler = FrameSampler(self._detect, every=detect_every)

    @property
    def detected_frames(self) -> int:
        """Number of frames that were detected."""
        return self._sampler.detected_frames

    def feed(self, frame: np.ndarray) -> None:
        """Takes the next (H, W, 3) uint8 BGR frame."""
        self._sampler.feed(self._scaled(frame))

    def faces(self) -> list[list[Face]]:
        """Per frame fed so far its faces, best first, in pixels of the frame."""
        return self._sampler.faces()

    def _scaled(self, frame: np.ndarray) -> np.ndarray:
        if min(frame.shape[:2]) * self._scale < 1:
            size = (max(1, round(side * self._scale)) for side in frame.shape[1::-1])
            frame = cv2.resize(frame, tuple(size), interpolation=cv2.INTER_AREA)
        elif self._detector.resize == "bilinear" or self._scale > 1:
            frame = _resized(frame, self._scale)
        else:
            frame = _averaged(frame, self._scale)
        below = max(0, SMALLEST_INPUT_PX - frame.shape[0])
        beside = max(0, SMALLEST_INPUT_PX - frame.shape[1])
        return np.pad(frame, ((0, below), (0, beside), (0, 0)), mode="edge")

    def _detect(self, pictures: list[np.ndarray]) -> list[list[Face]]:
        return [
            [_on_frame(face, scale=self._scale) for face in faces]
            for faces in self._detector.detect(pictures)
        ]


def _on_frame(face: Face, *, scale: float) -> Face:
    x1, y1, x2, y2 = face.box
    return Face((x1 / scale, y1 / scale, x2 / scale, y2 / scale), face.confidence)


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
