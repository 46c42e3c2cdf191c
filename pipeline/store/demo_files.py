"""Contents of the SyncNet demo's pickles, today's and those of its older versions, to plain types.

Other content raises TypeError, ValueError, LookupError or ArithmeticError.
"""

from typing import Any

import numpy as np

from pipeline.faces.tracks import CropPath, Track

NORMALISED = (-1.0, 2.0)  # boxes in fractions of the frame reach little beyond 0 .. 1


class FrameSizeNeeded(ValueError):
    """Boxes are fractions of a frame whose size is not known."""


def tracks(
    rows: Any, *, frame_size_px: tuple[int, int] | None = None
) -> list[tuple[Track, CropPath]]:
    """Tracks from the content of tracks.pckl.

    Older ones are lists [[frames, boxes], [s, x, y]] or today's dicts, with boxes as in older
    faces.pckl. Centres and half sizes are in pixels in all of them; the half size of the older
    ones is half the mean side, today's half the longer side: it is kept, as their clips were cut
    with it.

    Args:
        rows: what the pickle holds.
        frame_size_px: width and height; None where boxes in fractions tell it themselves.

    Raises:
        FrameSizeNeeded: boxes are fractions and the frame's size cannot be derived.
    """
    stored = [_stored_track(row) for row in _of_type(list, rows)]
    if not stored:
        return []
    boxes = np.concatenate([track.boxes for track, _ in stored])
    if not _are_fractions(boxes, as_lists=any(isinstance(row, list) for row in rows)):
        return stored
    size_px = frame_size_px or _frame_size_px(boxes, [path for _, path in stored])
    return [(Track(t.frames, _in_pixels(t.boxes, size_px)), path) for t, path in stored]


def _stored_track(row: Any) -> tuple[Track, CropPath]:
    if isinstance(row, list):
        (frames, boxes), (s, x, y) = (_of_type(list, half) for half in row)
    else:
        track, path = (_of_type(dict, row)[key] for key in ("track", "proc_track"))
        frames, boxes = track["frame"], track["bbox"]
        s, x, y = path["s"], path["x"], path["y"]
    frames, boxes = _array(frames, np.int64), _array(boxes, np.float64)
    s, x, y = (_array(series, np.float64) for series in (s, x, y))
    count = len(frames)
    if boxes.shape != (count, 4) or {v.shape for v in (frames, s, x, y)} != {(count,)}:
        raise ValueError("a track's parts differ in length")
    if not count or frames[0] < 0 or (np.diff(frames) != 1).any():
        raise ValueError("a track's frames are not consecutive")
    return Track(frames, boxes), CropPath(x, y, s)


def distances(rows: Any) -> list[np.ndarray]:
    """Per track (windows, shifts) float32 from the content of activesd.pckl."""
    arrays = [_array(row, np.float32) for row in _of_type(list, rows)]
    if any(row.ndim != 2 or row.shape[1] % 2 == 0 for row in arrays):
        raise ValueError("distances are not windows by shifts")
    return arrays


def _are_fractions(boxes: np.ndarray, *, as_lists: bool) -> bool:
    """Of a whole file: a box in pixels is never as small as all of these would have to be."""
    low, high = NORMALISED
    inside = bool(((boxes >= low) & (boxes <= high)).all())
    if as_lists and not inside:
        raise ValueError("boxes of the older form are not fractions")
    return inside and len(boxes) > 0


def _in_pixels(boxes: np.ndarray, frame_size_px: tuple[int, int] | None) -> np.ndarray:
    if frame_size_px is None:
        raise FrameSizeNeeded
    return boxes[:, [1, 0, 3, 2]] * np.tile(frame_size_px, 2)


def _frame_size_px(boxes: np.ndarray, paths: list[CropPath]) -> tuple[int, int]:
    """Width and height, from boxes in fractions and their smoothed centres in pixels.

    A median passes most centres on as they are, so the middle one of the ratios is exact.
    """
    positions = np.concatenate([np.stack([path.x, path.y], axis=1) for path in paths])
    centres = (boxes[:, [1, 0]] + boxes[:, [3, 2]]) / 2
    usable = (centres > 0).all(axis=1)
    if not usable.any():
        raise FrameSizeNeeded
    width, height = np.median(positions[usable] / centres[usable], axis=0)
    if min(width, height) < 0.5:
        raise FrameSizeNeeded
    return round(float(width)), round(float(height))


def _of_type(kind: type | tuple[type, ...], value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError("another type was written here")
    return value


def _array(value: Any, dtype: type) -> np.ndarray:
    kinds = "iu" if dtype is np.int64 else "iuf"
    array: np.ndarray = _of_type(np.ndarray, value)
    if array.dtype.kind not in kinds or not np.isfinite(array).all():
        raise ValueError("an array holds no numbers")
    return np.asarray(array, dtype)
