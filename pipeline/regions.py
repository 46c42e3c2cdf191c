"""Where a track's face is on every frame of the source video, steadied, padded and cut.

Tracks are counted on the 25 fps clock of the workspace; a source frame has its own time. Everything
here is numbers and one frame's pixels.
"""

import math
from dataclasses import dataclass, fields

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from models.options import check_number
from models.wav2lip import FACE_PX
from pipeline.tracks import Track

STEADY_S = 0.08  # deviation of the Gaussian over box edges; centred, so nothing lags
LEAST_SIDE_PX = 8  # a region this small shows no mouth


@dataclass(frozen=True)
class Pads:
    """What is added to a detector box, pixels of the source frame; Wav2Lip's order and defaults."""

    top: int = 0
    bottom: int = 10
    left: int = 0
    right: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            check_number("pads", getattr(self, field.name), whole=True, least=0)


@dataclass(frozen=True)
class Region:
    """A face's rectangle on one frame; it may reach outside the frame.

    Attributes:
        top, bottom, left, right: half-open, pixels.
    """

    top: int
    bottom: int
    left: int
    right: int

    @property
    def size_px(self) -> tuple[int, int]:
        """(width, height)."""
        return self.right - self.left, self.bottom - self.top

    def inside(self, frame: np.ndarray) -> "Region":
        """The part that lies inside an (H, W, 3) frame."""
        height, width = frame.shape[:2]
        return Region(
            max(0, self.top), min(height, self.bottom), max(0, self.left), min(width, self.right)
        )

    def cut(self, frame: np.ndarray) -> np.ndarray:
        """The rectangle out of an (H, W, 3) frame: a view where it lies inside.

        Where it reaches outside, the frame's outermost pixels go on, so that the mouth stays where
        the generator looks for it.
        """
        part = self.inside(frame)
        view = frame[part.top : part.bottom, part.left : part.right]
        if part == self:
            return view
        return cv2.copyMakeBorder(
            view,
            part.top - self.top,
            self.bottom - part.bottom,
            part.left - self.left,
            self.right - part.right,
            cv2.BORDER_REPLICATE,
        )


class FacePath:
    """A track's face over time.

    Args:
        track: with its boxes.
        frame_rate: of the track's clock.
        pads: added to every box.
        frame_size_px: (width, height) of the source's upright frames, and of the track's.
    """

    def __init__(
        self, track: Track, *, frame_rate: int, pads: Pads, frame_size_px: tuple[int, int]
    ) -> None:
        self._first = int(track.frames[0])
        self._frame_rate = frame_rate
        self._pads, self._frame_size_px = pads, frame_size_px
        self._boxes = gaussian_filter1d(track.boxes, STEADY_S * frame_rate, axis=0, mode="nearest")

    @property
    def start_s(self) -> float:
        """When the track's first frame appears."""
        return self._first / self._frame_rate

    @property
    def end_s(self) -> float:
        """When its last frame goes."""
        return (self._first + len(self._boxes)) / self._frame_rate

    def position(self, time_s: float) -> int:
        """The track's frame nearest to a time, counted from its first."""
        nearest = round(time_s * self._frame_rate - self._first)
        return min(max(nearest, 0), len(self._boxes) - 1)

    def at(self, time_s: float) -> Region | None:
        """The face at a time; None where the track is not, or hardly reaches into the frame."""
        # Half a working frame of grace: that is how far a frame may be from its own time.
        position = time_s * self._frame_rate - self._first
        if not -0.5 <= position < len(self._boxes) - 0.5:
            return None
        x1, y1, x2, y2 = (round(float(edge)) for edge in self._box(position))
        pads = self._pads
        region = Region(y1 - pads.top, y2 + pads.bottom, x1 - pads.left, x2 + pads.right)
        width, height = self._frame_size_px
        reaches_x = min(width, region.right) - max(0, region.left)
        reaches_y = min(height, region.bottom) - max(0, region.top)
        return region if min(reaches_x, reaches_y) >= LEAST_SIDE_PX else None

    def _box(self, position: float) -> np.ndarray:
        """The box between two of the track's frames, (4,) x1 y1 x2 y2."""
        position = min(max(position, 0.0), len(self._boxes) - 1.0)
        before, after = math.floor(position), math.ceil(position)
        share = position - before
        found: np.ndarray = (1 - share) * self._boxes[before] + share * self._boxes[after]
        return found


def shrink(face: np.ndarray, *, bilinear: bool = False) -> np.ndarray:
    """A cut region as the generator sees it.

    Args:
        face: (h, w, 3) uint8.
        bilinear: as the published program does it, which makes a large face jagged.

    Returns:
        (96, 96, 3) uint8; aspect is not kept, as in the published program.
    """
    smaller = min(face.shape[:2]) >= FACE_PX
    better = cv2.INTER_AREA if smaller else cv2.INTER_LANCZOS4
    interpolation = cv2.INTER_LINEAR if bilinear else better
    return cv2.resize(face, (FACE_PX, FACE_PX), interpolation=interpolation)
