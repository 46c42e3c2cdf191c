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
from pipeline.faces.tracks import Track
from pipeline.media import yuv
from pipeline.media.yuv import Picture

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

    @property
    def rows(self) -> slice:
        """Of a frame; only of a region inside it."""
        return slice(self.top, self.bottom)

    @property
    def columns(self) -> slice:
        """Of a frame; only of a region inside it."""
        return slice(self.left, self.right)

    def seen_from(self, other: "Region") -> "Region":
        """The same rectangle on a picture that is only the other one."""
        return Region(
            self.top - other.top,
            self.bottom - other.top,
            self.left - other.left,
            self.right - other.left,
        )

    def inside(self, frame: np.ndarray) -> "Region":
        """The part that lies inside an (H, W) or (H, W, 3) frame; empty where none does."""
        height, width = frame.shape[:2]
        return Region(
            min(max(0, self.top), height),
            min(max(0, self.bottom), height),
            min(max(0, self.left), width),
            min(max(0, self.right), width),
        )

    def cut(self, frame: np.ndarray) -> np.ndarray:
        """The rectangle out of an (H, W, 3) frame: a view where it lies inside.

        Where it reaches outside, the frame's outermost pixels go on, so that the mouth stays where
        the generator looks for it.
        """
        part = self.inside(frame)
        return self.completed(frame[part.rows, part.columns], part)

    def completed(self, pixels: np.ndarray, part: "Region") -> np.ndarray:
        """The whole rectangle from the part of it that lies inside the frame, see `cut`.

        Args:
            pixels: (h, w, 3) of that part.
            part: what `inside` gives.

        Returns:
            (height, width, 3); `pixels` itself where all of it lies inside.
        """
        if part == self:
            return pixels
        return cv2.copyMakeBorder(
            pixels,
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
        boxes: np.ndarray = (1 - share) * self._boxes[before] + share * self._boxes[after]
        return boxes


def face_at(picture: Picture, region: Region, matrix: str, *, bilinear: bool = False) -> np.ndarray:
    """A face of a stored picture as the generator sees it; beyond the frame its last pixels go on.

    Args:
        picture: the frame.
        region: of the face.
        matrix: how levels stand for colours, see yuv.py.
        bilinear: see `shrink`.

    Returns:
        (96, 96, 3) uint8 BGR.
    """
    part = region.inside(picture.y)
    bgr = yuv.cut_bgr(picture, part.rows, part.columns, matrix=matrix)
    return shrink(region.completed(bgr, part), bilinear=bilinear)


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
