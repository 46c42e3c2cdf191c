"""Pickles of the SyncNet demo, today's and those of its older versions, to plain types.

A pickle is a program. The reader here knows the instructions that plain data takes and the few
calls that numpy and scenedetect leave in such files, and answers those calls itself: nothing a
file names is imported or called, numpy's own unpickling included, which trusts what it is told.
"""

import io
import itertools
import math
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np

from pipeline.errors import InputError
from pipeline.faces.tracks import Box, CropPath, Face, Track
from pipeline.media.encode import partial_path

NORMALISED = (-1.0, 2.0)  # boxes in fractions of the frame reach little beyond 0 .. 1
LARGEST_WHOLE = 2**53  # frame numbers and the like beyond this are not meant

# Names a pickle may mention; what may be done with each is in `_PlainUnpickler.call`.
CORES = ("numpy.core", "numpy._core")
TIMECODES = ("FrameTimecode", "Timecode", "_FrameNumber", "_Seconds")
NAMES = frozenset(
    {
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        *((f"{core}.multiarray", name) for core in CORES for name in ("_reconstruct", "scalar")),
        *((f"{core}.numeric", "_frombuffer") for core in CORES),
        ("_codecs", "encode"),
        ("__builtin__", "bytes"),
        ("__builtin__", "object"),
        ("copy_reg", "_reconstructor"),
        ("fractions", "Fraction"),
        ("scenedetect.frame_timecode", "FrameTimecode"),
        *(("scenedetect.common", name) for name in TIMECODES),
    }
)
NUMBERS = frozenset(["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"])

# Not among them: sets, instances of old classes, extension codes, persistent ids, buffers.
PLAIN_OPCODES = (
    "PROTO FRAME STOP MARK POP POP_MARK DUP GLOBAL STACK_GLOBAL "
    "NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT "
    "STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 "
    "BINBYTES SHORT_BINBYTES BINBYTES8 EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 "
    "EMPTY_LIST LIST APPEND APPENDS EMPTY_DICT PUT BINPUT LONG_BINPUT MEMOIZE "
    "GET BINGET LONG_BINGET"
)


class FrameSizeNeeded(ValueError):
    """Boxes are fractions of a frame whose size is not known."""


@dataclass(frozen=True)
class _Name:
    """A name the pickle mentioned; does nothing."""

    name: str


@dataclass
class _Dtype:
    """A type of numbers, as numpy abbreviates it."""

    code: str
    order: str = "="


@dataclass
class _Timecode:
    """The recorded attributes of a scenedetect object."""

    name: str
    state: dict[str, Any]


def _codes(names: str) -> list[int]:
    return [getattr(pickle, name)[0] for name in names.split()]


def _refuse(_: pickle._Unpickler) -> None:
    raise pickle.UnpicklingError("it holds more than plain data")


class _PlainUnpickler(pickle._Unpickler):
    """Builds numbers, strings, tuples, lists, dicts and arrays of numbers; calls nothing.

    The Python form of the unpickler, because its table of instructions can be cut down. The C
    form also crashes on deeply nested keys.

    Args:
        content: the whole file.
    """

    stack: list[Any]
    read: Callable[[int], bytes]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")
        self.bytes_left = len(content)  # arrays cannot hold more than the file does

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in NAMES:
            raise pickle.UnpicklingError(f"it asks for {f'{module}.{name}'[:80]!r}")
        return _Name(name)

    def load_call(self) -> None:
        arguments = self.stack.pop()
        called = self.stack.pop()
        self.stack.append(self.call(called, arguments))

    def call(self, called: Any, arguments: Any) -> Any:
        """What a call in the pickle gives; every call there may be is one of these."""
        if not isinstance(called, _Name) or not isinstance(arguments, tuple):
            raise pickle.UnpicklingError("it calls what is no function")
        match (called.name, *arguments):
            case ("dtype", str() as code, *_) if code in NUMBERS:
                return _Dtype(code)
            case ("_reconstruct", _Name("ndarray"), _, _):
                return np.empty(0)
            case ("scalar", _Dtype() as dtype, raw):
                return self.fill(np.empty(0), (), dtype, False, raw)[()]
            case ("_frombuffer", raw, _Dtype() as dtype, shape, "C" | "F" as order):
                return self.fill(np.empty(0), shape, dtype, order == "F", raw)
            case ("encode", str() as text, "latin1"):
                return text.encode("latin-1")
            case ("bytes",):
                return b""
            case ("_reconstructor", _Name(name), _Name("object"), None) if name in TIMECODES:
                return _Timecode(name, {})
            case ("Fraction", *parts):
                return _fraction(*parts)
            case (name,) if name in TIMECODES:
                return _Timecode(name, {})
        raise pickle.UnpicklingError(f"it calls {called.name} in an unknown way")

    def load_build(self) -> None:
        state = self.stack.pop()
        match (self.stack[-1], state):
            case (_Dtype() as dtype, (_, "<" | ">" | "|" | "=" as order, None, None, None, *_)):
                dtype.order = order
            case (np.ndarray() as array, (_, shape, _Dtype() as dtype, bool() as fortran, raw)):
                self.fill(array, shape, dtype, fortran, raw)
            case (_Timecode() as timecode, dict()):
                timecode.state = state
            case _:
                raise pickle.UnpicklingError("it gives a state to what has none")

    def fill(
        self, array: np.ndarray, shape: Any, dtype: _Dtype, fortran: bool, raw: Any
    ) -> np.ndarray:
        """Gives an array its numbers, in place: the pickle may mention it again."""
        if isinstance(raw, str):  # python 2 has no other bytes
            raw = raw.encode("latin-1")
        if not isinstance(shape, tuple) or not isinstance(raw, bytes):
            raise pickle.UnpicklingError("it holds an array of another form")
        numbers = np.dtype(dtype.order + dtype.code)
        sides = tuple(_whole(side) for side in shape)
        self.bytes_left -= len(raw)
        if self.bytes_left < 0 or math.prod(sides) * numbers.itemsize != len(raw):
            raise pickle.UnpicklingError("it holds an array of another size than it says")
        state: Any = (1, sides, numbers, fortran, raw)
        array.__setstate__(state)
        return array

    def load_items(self) -> None:
        self._set_items(self.pop_mark())

    def load_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set_items([key, value])

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.stack.append({})
        self._set_items(items)

    def _set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or not all(isinstance(key, str) for key in items[::2]):
            raise pickle.UnpicklingError("it holds a dict of another form")
        target.update(zip(items[::2], items[1::2], strict=True))

    def load_bytearray(self) -> None:
        # The length is what the file says; reading stops where the file does.
        self.stack.append(self.read(struct.unpack("<Q", self.read(8))[0]))

    dispatch: ClassVar[dict[int, Any]] = {
        **dict.fromkeys(range(256), _refuse),
        **{code: pickle._Unpickler.dispatch[code] for code in _codes(PLAIN_OPCODES)},
        pickle.REDUCE[0]: load_call,
        pickle.NEWOBJ[0]: load_call,
        pickle.BUILD[0]: load_build,
        pickle.SETITEM[0]: load_item,
        pickle.SETITEMS[0]: load_items,
        pickle.DICT[0]: load_dict,
        pickle.BYTEARRAY8[0]: load_bytearray,
    }


def read_pickle(path: Path) -> Any:
    """Reads a pickle of numpy arrays and plain values; nothing else is ever constructed.

    Timecodes of scenedetect come as records of their attributes, for `scenes`.

    Raises:
        InputError: the file asks for anything else, or is damaged.
    """
    try:
        return _PlainUnpickler(path.read_bytes()).load()
    except Exception as error:  # a damaged pickle can raise nearly any type
        told = isinstance(error, (pickle.UnpicklingError, OSError))
        raise InputError(
            f"{path} is not a pickle this program reads ({error if told else 'it is damaged'}); "
            "delete it and run the step that writes it again."
        ) from error


def write_pickle(path: Path, value: object) -> None:
    """Writes a whole pickle or none."""
    partial = partial_path(path)
    with partial.open("wb") as file:
        pickle.dump(value, file)
    partial.replace(path)


# What any version of the demo wrote. Other content raises TypeError, ValueError, LookupError or
# ArithmeticError.


def faces(rows: Any, *, frame_size_px: tuple[int, int] | None = None) -> list[list[Face]]:
    """Faces of every frame from the content of faces.pckl.

    Until early 2020 the demo wrote boxes as fractions (ymin, xmin, ymax, xmax): first in lists
    [frame, box, score], then in the dicts that it still writes.

    Args:
        rows: what the pickle holds.
        frame_size_px: width and height, for boxes in fractions.

    Raises:
        FrameSizeNeeded: boxes are fractions and `frame_size_px` was not given.
    """
    stored = [
        [_stored_face(face, index) for face in _of_type(list, row)]
        for index, row in enumerate(_of_type(list, rows))
    ]
    boxes = np.array([box for row in stored for box, _ in row], np.float64).reshape(-1, 4)
    listed = any(isinstance(face, list) for row in rows for face in row)
    if _are_fractions(boxes, listed=listed):
        boxes = _in_pixels(boxes, frame_size_px)
    in_order = map(tuple, boxes.tolist())
    return [[Face(cast(Box, next(in_order)), score) for _, score in row] for row in stored]


def _stored_face(face: Any, index: int) -> tuple[list[float], float]:
    if isinstance(face, list):
        frame, box, score = face
    else:
        frame, box, score = (_of_type(dict, face)[key] for key in ("frame", "bbox", "conf"))
    if _whole(frame) != index:
        raise ValueError("a face is filed under another frame")
    x1, y1, x2, y2 = _of_type((list, tuple, np.ndarray), box)
    return [_number(value) for value in (x1, y1, x2, y2)], _number(score)


def scenes(value: Any) -> list[tuple[int, int]]:
    """Shots as [start, end) frame indices from the content of scene.pckl.

    Today's pairs of timecodes, pairs of frame indices, or the [frames, [cuts]] of 2018.
    """
    if len(_of_type(list, value)) == 2 and isinstance(value[1], list) and _is_whole(value[0]):
        frames, cuts = _whole(value[0]), [_whole(cut) for cut in value[1]]
        edges = [0, *sorted({cut for cut in cuts if 0 < cut < frames}), frames]
        return list(itertools.pairwise(edges)) if frames > 0 else []
    shots = []
    for pair in value:
        start, end = (_frame_index(edge) for edge in _of_type((list, tuple), pair))
        if start > end:
            raise ValueError("a shot ends before it starts")
        shots.append((start, end))
    return shots


def _frame_index(edge: Any) -> int:
    """Of a shot's edge: a number, or a timecode of scenedetect before 0.7, or since."""
    if _is_whole(edge):
        return _whole(edge)
    state = _of_type(_Timecode, edge).state
    if "frame_num" in state:
        return _whole(state["frame_num"])
    time, rate = _of_type(_Timecode, state["_time"]), state["_rate"]
    if time.name == "_FrameNumber":
        return _whole(time.state["value"])
    if time.name == "_Seconds":
        seconds = _number(time.state["value"])
    else:
        seconds = _whole(time.state["pts"]) * _of_type(Fraction, time.state["time_base"])
    return _whole(round(seconds * _of_type(Fraction, rate)))


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
        FrameSizeNeeded: boxes are fractions and the frame's size cannot be told.
    """
    stored = [_stored_track(row) for row in _of_type(list, rows)]
    if not stored:
        return []
    boxes = np.concatenate([track.boxes for track, _ in stored])
    if not _are_fractions(boxes, listed=any(isinstance(row, list) for row in rows)):
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
    found = [_array(row, np.float32) for row in _of_type(list, rows)]
    if any(row.ndim != 2 or row.shape[1] % 2 == 0 for row in found):
        raise ValueError("distances are not windows by shifts")
    return found


def _are_fractions(boxes: np.ndarray, *, listed: bool) -> bool:
    """Of a whole file: a box in pixels is never as small as all of these would have to be."""
    low, high = NORMALISED
    inside = bool(((boxes >= low) & (boxes <= high)).all())
    if listed and not inside:
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


def _number(value: Any) -> float:
    number = float(_of_type((int, float, np.integer, np.floating), value))
    if not math.isfinite(number):
        raise ValueError("a number is not finite")
    return number


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _whole(value: Any) -> int:
    if not _is_whole(value) or not 0 <= value <= LARGEST_WHOLE:
        raise ValueError("a count is none")
    return int(value)


def _fraction(*parts: Any) -> Fraction:
    """From its two integers, or from their text, as python 3.10 writes it."""
    if len(parts) == 1 and isinstance(parts[0], str) and len(parts[0]) <= 40:
        parts = tuple(int(part) for part in parts[0].split("/"))
    return Fraction(*map(_whole, parts))
