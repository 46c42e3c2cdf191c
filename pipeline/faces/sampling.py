"""Which pictures of a stream the face detector sees, and the faces of those in between.

Every few pictures one is detected. Where two successive answers agree, the faces between them lie
on the straight line from one to the other; where they do not, the picture in the middle is
detected too, and so on down to neighbours. Faces thus come and go at the very frame they do; only
one that is visible for less than the interval can be missed.
"""

import itertools
from collections.abc import Callable

import cv2
import numpy as np

from pipeline.faces.tracks import JOIN_IOU, Face, iou

# More asks for many more detections where heads move and for little more overlap; less, and the
# two boxes would not become one track either.
AGREEING_IOU = JOIN_IOU
THUMB_PX = 32  # pictures are compared at this size
# Mean change from which two pictures may belong to two shots. Hard cuts change 30 and more; a
# false alarm, one in 300 pictures of talking heads, costs two detections.
CUT_GREY_LEVELS = 8.0
HELD_PIXELS = 2_000_000  # of pictures whose faces are undecided, before a sample decides them
MOST_HELD_PIXELS = 40_000_000  # of the same, before a picture becomes a sample: five of 4K

Detect = Callable[[list[np.ndarray]], list[list[Face]]]


class FrameSampler:
    """Finds the faces of every picture of a stream while the detector sees only some.

    Args:
        detect: gives the faces of each of some pictures.
        every: pictures from one that is always detected to the next, fewer where pictures are so
            large that they could not be held; 1 detects them all.

    Attributes:
        detected_frames: how many pictures were detected so far.
    """

    def __init__(self, detect: Detect, *, every: int) -> None:
        self._detect = detect
        self._every = every
        self._until_sample = 1
        self._waiting: list[np.ndarray] = []
        self._samples: set[int] = set()  # positions in `_waiting` that are detected in any case
        self._thumb: np.ndarray | None = None  # of the last picture
        self._faces: list[list[Face]] = []  # of the pictures before `_waiting`
        self.detected_frames = 0

    def feed(self, picture: np.ndarray) -> None:
        """Takes the next (H, W, 3) uint8 picture; all have one size."""
        cut = self._every > 1 and self._may_be_cut(picture)
        if cut and self._waiting:
            self._samples.add(len(self._waiting) - 1)
        self._waiting.append(picture)
        self._until_sample -= 1
        held_pixels = len(self._waiting) * picture.shape[0] * picture.shape[1]
        if cut or not self._until_sample or held_pixels > MOST_HELD_PIXELS:
            self._samples.add(len(self._waiting) - 1)
            self._until_sample = self._every
            if held_pixels > HELD_PIXELS:
                self._decide()

    def faces(self) -> list[list[Face]]:
        """Per picture fed so far its faces, best first."""
        if self._waiting:
            self._samples.add(len(self._waiting) - 1)
            self._until_sample = self._every
            self._decide()
        return self._faces

    def _may_be_cut(self, picture: np.ndarray) -> bool:
        # ContentDetector merges cuts closer than 15 frames, so a cheap check is made here.
        small = cv2.resize(picture, (THUMB_PX, THUMB_PX), interpolation=cv2.INTER_AREA)
        thumb = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.int16)
        last, self._thumb = self._thumb, thumb
        return last is not None and float(np.abs(thumb - last).mean()) > CUT_GREY_LEVELS

    def _decide(self) -> None:
        """Finds the faces of all that wait; the last of them is a sample."""
        faces_at = {-1: self._faces[-1]} if self._faces else {}
        positions_to_detect = sorted(self._samples)
        while positions_to_detect:
            pictures = [self._waiting[position] for position in positions_to_detect]
            faces_at |= dict(zip(positions_to_detect, self._detect(pictures), strict=True))
            self.detected_frames += len(positions_to_detect)
            positions_to_detect = [
                (start + end) // 2
                for start, end in itertools.pairwise(sorted(faces_at))
                if end - start > 1 and paired(faces_at[start], faces_at[end]) is None
            ]
        positions = sorted(faces_at)
        if not self._faces:
            self._faces.append(faces_at[positions[0]])
        for start, end in itertools.pairwise(positions):
            self._faces += faces_between(faces_at[start], faces_at[end], pictures=end - start - 1)
            self._faces.append(faces_at[end])
        self._waiting.clear()
        self._samples.clear()


def paired(one: list[Face], other: list[Face]) -> list[tuple[Face, Face]] | None:
    """The same faces in two pictures; None when they do not agree.

    They agree when there are as many faces in both and each overlaps one of its own.
    """
    if len(one) != len(other):
        return None
    pairs, free = [], list(other)
    for face in one:
        best = max(free, key=lambda candidate: iou(face.box, candidate.box))
        if iou(face.box, best.box) <= AGREEING_IOU:
            return None
        free.remove(best)
        pairs.append((face, best))
    return pairs


def faces_between(one: list[Face], other: list[Face], *, pictures: int) -> list[list[Face]]:
    """Faces of the pictures between two that agree, box and confidence on a straight line.

    Args:
        one, other: faces of the pictures before and after.
        pictures: how many there are between them.
    """
    if not pictures:
        return []
    pairs = paired(one, other)
    assert pairs is not None, "what does not agree has been detected"
    rows = []
    for i in range(1, pictures + 1):
        faces = [_blended(first, second, i / (pictures + 1)) for first, second in pairs]
        rows.append(sorted(faces, key=lambda face: -face.confidence))
    return rows


def _blended(one: Face, other: Face, share: float) -> Face:
    x1, y1, x2, y2 = (a + share * (b - a) for a, b in zip(one.box, other.box, strict=True))
    return Face((x1, y1, x2, y2), one.confidence + share * (other.confidence - one.confidence))
