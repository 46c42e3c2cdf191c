"""Boxes to tracks: numbers only, no files and no pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.boxes import box_iou
from pipeline.faces.medians import running_median

JOIN_IOU = 0.5  # a face continues a track if it overlaps the track's last box by more
SMOOTHING_FRAMES = 13  # window of the median over box centre and size

Box = tuple[float, float, float, float]  # x1 y1 x2 y2, pixels of the full frame


@dataclass(frozen=True)
class Face:
    """One detection.

    Attributes:
        box: x1 y1 x2 y2 in pixels of the full frame; may reach outside it.
        confidence: 0 .. 1.
    """

    box: Box
    confidence: float


@dataclass(frozen=True)
class Track:
    """One face from its first to its last detection.

    Attributes:
        frames: (n,) int64, consecutive 0-based frame indices.
        boxes: (n, 4) float64 x1 y1 x2 y2; linear between detections.
    """

    frames: np.ndarray
    boxes: np.ndarray

    @property
    def size_px(self) -> float:
        """The larger of mean width and mean height."""
        return float((self.boxes[:, 2:] - self.boxes[:, :2]).mean(axis=0).max())


@dataclass(frozen=True)
class CropPath:
    """Where a track's crops are centred; smoothed.

    Attributes:
        x, y: (n,) float64, centre in pixels.
        s: (n,) float64, half of the box's longer side, pixels.
    """

    x: np.ndarray
    y: np.ndarray
    s: np.ndarray

    def at(self, position: int) -> tuple[float, float, float]:
        """x, y and s of the track's frame number `position`, counted from its first."""
        return float(self.x[position]), float(self.y[position]), float(self.s[position])


@dataclass(frozen=True)
class Tracking:
    """Tracks, and what kept other faces from being one.

    Attributes:
        tracks: scene by scene, in the order of their first faces.
        longest_short: detections of the longest track that had too few; 0 where none had.
        largest_small_px: size of the largest track that was too small; 0 where none was.
    """

    tracks: list[Track]
    longest_short: int
    largest_small_px: float


def iou(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    return float(box_iou(np.array([one]), np.array([other]))[0, 0])


def build_tracks(
    faces: Sequence[Sequence[Face]],
    scenes: Sequence[tuple[int, int]],
    *,
    min_track: int = 100,
    num_failed_det: int = 25,
    min_face_size: float = 100,
) -> Tracking:
    """Joins the faces of each scene into tracks, greedily, as the SyncNet demo does.

    Args:
        faces: per frame its detections.
        scenes: [start, end) frame indices; scenes shorter than `min_track` frames are not used.
        min_track: a track needs more detections than this.
        num_failed_det: frames a face may go undetected inside a track.
        min_face_size: a track's faces must be larger than this, pixels.

    Returns:
        The tracks, and the closest misses for the report.
    """
    tracks: list[Track] = []
    longest_short, largest_small_px = 0, 0.0
    for start, end in scenes:
        for members in _joined(faces, start, end, num_failed_det=num_failed_det):
            if len(members) <= min_track or end - start < min_track:
                longest_short = max(longest_short, len(members))
                continue
            track = _interpolated(members)
            if track.size_px <= min_face_size:
                largest_small_px = max(largest_small_px, track.size_px)
                continue
            tracks.append(track)
    return Tracking(tracks, longest_short, largest_small_px)


def _joined(
    faces: Sequence[Sequence[Face]], start: int, end: int, *, num_failed_det: int
) -> list[list[tuple[int, Box]]]:
    """Chains of (frame, box) in one scene; every face ends up in exactly one."""
    pool = [[face.box for face in faces[frame]] for frame in range(start, end)]
    chains = []
    for first in range(len(pool)):
        while pool[first]:
            chain = [(start + first, pool[first].pop(0))]
            for position in range(first + 1, len(pool)):
                last_frame, last_box = chain[-1]
                if start + position - last_frame > num_failed_det:
                    break
                if not pool[position]:
                    continue
                overlaps = box_iou(np.array(pool[position]), np.array([last_box]))[:, 0]
                best = int(overlaps.argmax())
                if overlaps[best] > JOIN_IOU:
                    chain.append((start + position, pool[position].pop(best)))
            chains.append(chain)
    return chains


def _interpolated(members: list[tuple[int, Box]]) -> Track:
    detected = np.array([frame for frame, _ in members])
    boxes = np.array([box for _, box in members], np.float64)
    frames = np.arange(detected[0], detected[-1] + 1, dtype=np.int64)
    columns = [np.interp(frames, detected, boxes[:, i]) for i in range(4)]
    return Track(frames, np.stack(columns, axis=1))


def smooth(track: Track) -> CropPath:
    """The steadied centre and half size of a track's boxes.

    The median repeats the edge values; the demo's filter sees zeros beyond both ends and pulls
    the first and last six crops towards the corner of the picture.
    """
    x1, y1, x2, y2 = track.boxes.T
    series = ((x1 + x2) / 2, (y1 + y2) / 2, np.maximum(x2 - x1, y2 - y1) / 2)
    x, y, s = (running_median(v, SMOOTHING_FRAMES, edges="edge") for v in series)
    return CropPath(x, y, s)
