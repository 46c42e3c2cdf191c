"""Frames to shots, with PySceneDetect fed the very frames the other stages see."""

import itertools

import cv2
import numpy as np
from scenedetect import ContentDetector, FrameTimecode

COMPARED_WIDTH_PX = 256  # frames are shrunk to about this, as scenedetect itself does


class ShotDetector:
    """Finds hard cuts in a stream of frames.

    Args:
        frame_rate: of the stream.
    """

    def __init__(self, *, frame_rate: int) -> None:
        self._detector = ContentDetector()
        self._frame_rate = float(frame_rate)
        self._cuts: list[int] = []
        self._count = 0

    def feed(self, frame: np.ndarray) -> None:
        """Takes the next (H, W, 3) uint8 BGR frame."""
        scale = COMPARED_WIDTH_PX / max(frame.shape[:2])
        if scale < 1:
            size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
            frame = cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)
        self._keep(self._detector.process_frame(self._timecode(self._count), frame))
        self._count += 1

    def scenes(self) -> list[tuple[int, int]]:
        """Shots as [start, end) frame indices; they cover the whole stream without gaps."""
        if self._count:
            self._keep(self._detector.post_process(self._timecode(self._count - 1)))
        edges = [0, *sorted(set(self._cuts)), self._count]
        return [(a, b) for a, b in itertools.pairwise(edges) if b > a]

    def _timecode(self, index: int) -> FrameTimecode:
        return FrameTimecode(index, fps=self._frame_rate)

    def _keep(self, cuts: list[FrameTimecode]) -> None:
        self._cuts += [cut.frame_num for cut in cuts]
