"""Pickles of other tools and older versions, read as today's types."""

import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import run_visualise
from pipeline import cli
from pipeline.errors import InputError
from pipeline.media import encode
from pipeline.store.safe_pickle import read_pickle
from pipeline.store.workspace import Workspace
from tests.synthetic import frame_count

SIZE_PX = (1280, 720)


def store_content(work: Workspace, name: str, content: bytes) -> Path:
    """Writes a pickle of a workspace."""
    path = work.folder("pywork") / name
    path.write_bytes(content)
    return path


# A pickler that writes given instructions, as Python 2 did.


@dataclass
class Name:
    """A name in a module."""

    module: str
    name: str


@dataclass
class Call:
    """A call in the pickle, and the state given to what it returns."""

    called: Any
    arguments: Any
    state: Any = None
    opcode: bytes = pickle.REDUCE


NDARRAY, DTYPE = Name("numpy", "ndarray"), Name("numpy", "dtype")
EMPTY = (Name("numpy.core.multiarray", "_reconstruct"), (NDARRAY, (0,), b"b"))
SCALAR = Name("numpy.core.multiarray", "scalar")
TIMECODE = Name("scenedetect.frame_timecode", "FrameTimecode")


def python2(value: Any, *, protocol: int = 2) -> bytes:
    """A pickle whose strings are python 2's; 0 is what its pickle.dump wrote unasked."""
    return (b"\x80\x02" if protocol else b"") + code(value, protocol=protocol) + b"."


def code(value: Any, *, protocol: int = 2) -> bytes:
    """The instructions that make a value."""

    def each(values: Any, after: bytes = b"") -> bytes:
        return b"".join(code(one, protocol=protocol) + after for one in values)

    match value:
        case Name():
            return f"c{value.module}\n{value.name}\n".encode()
        case Call():
            opcodes = each([value.called, value.arguments]) + value.opcode
            return opcodes if value.state is None else opcodes + each([value.state]) + b"b"
        case np.dtype():
            order = ">" if value.byteorder == ">" else "<" if value.itemsize > 1 else "|"
            arguments = (value.str[1:], 0, 1)
            return each([Call(DTYPE, arguments, (3, order, None, None, None, -1, -1, 0))])
        case np.generic():
            return each([Call(SCALAR, (value.dtype, value.tobytes()))])
        case np.ndarray():
            state = (1, value.shape, value.dtype, False, value.tobytes())
            return each([Call(*EMPTY, state)])
        case bool() | None:
            return {True: b"I01\n", False: b"I00\n", None: b"N"}[value]
        case int() | float():
            return f"{'I' if isinstance(value, int) else 'F'}{value!r}\n".encode()
        case str():
            return each([value.encode()])
        case bytes() if protocol == 0:
            return b"S" + repr(value)[1:].encode() + b"\n"
        case bytes():
            return b"T" + struct.pack("<i", len(value)) + value
        case list():
            return b"(l" + each(value, b"a")
        case tuple():
            return b"(" + each(value) + b"t"
        case dict():
            return b"(d" + b"".join(each(item) + b"s" for item in value.items())
    raise TypeError(type(value))


# Arrays and numbers.

VALUES = [
    np.arange(12, dtype=np.int64).reshape(3, 4),
    np.asfortranarray(np.linspace(-1, 1, 40).reshape(8, 5)),
    np.arange(300, dtype=">f8"),
    np.frombuffer(b"'\"\n\\\x00\xff\xe9\x80", np.float32),
    np.zeros((0, 31), np.float32),
    np.array([True, False]),
    np.float64(0.97),
    np.float32(0.3),
    np.int64(-7),
    [{"frame": 3, "bbox": [1.5, -2.0], "name": "é", "none": None, "ok": True}, (), (1, 2, 3, 4)],
    -(2**70),
]


@pytest.mark.parametrize("protocol", range(6))
def test_numbers_are_read_from_every_protocol(protocol: int, tmp_path: Path) -> None:
    """Arrays of all orders, empty ones, scalars and plain values, as python 3 writes them."""
    path = tmp_path / "values.pckl"
    path.write_bytes(pickle.dumps(VALUES, protocol))
    _compare(read_pickle(path), VALUES)


@pytest.mark.parametrize("protocol", [0, 2])
def test_numbers_are_read_from_python_2(protocol: int, tmp_path: Path) -> None:
    """Raw bytes in strings, with line ends, quotes and letters beyond ASCII among them."""
    values = [value for value in VALUES[:-2] if np.ndim(value) != 2 or value.flags.c_contiguous]
    values.append({"frame": 3, "bbox": [1.5, -2.0], "none": None, "ok": True, "t": (1, 2)})
    path = tmp_path / "values.pckl"
    path.write_bytes(python2(values, protocol=protocol))
    _compare(read_pickle(path), values)


def _compare(read: Any, values: list[Any]) -> None:
    for one, value in zip(read, values, strict=True):
        if isinstance(value, np.ndarray | np.generic):
            assert type(one) is type(value) and one.dtype == value.dtype.newbyteorder("=")
            np.testing.assert_array_equal(one, value)
        else:
            assert one == value and type(one) is type(value)


def test_an_array_that_is_mentioned_twice_is_one(tmp_path: Path) -> None:
    """Memory refers to the array itself, also before it got its numbers; and it can be written."""
    array = np.arange(500.0)
    for protocol in (2, 4, 5):
        path = tmp_path / "twice.pckl"
        path.write_bytes(pickle.dumps([array, array], protocol))
        one, other = read_pickle(path)
        assert one is other
        one[0] = 7
        np.testing.assert_array_equal(one[1:], array[1:])


# Tracks.

COUNT = 30


def _old_track(first: int, x_px: float) -> tuple[np.ndarray, ...]:
    """Frames, boxes in fractions, s, x, y in pixels: all numbers different."""
    frames = np.arange(first, first + COUNT)
    x, y = x_px + np.arange(COUNT) ** 1.5, 300 - np.arange(COUNT) * 2.0
    boxes = np.stack([(y - 60) / 720, (x - 40) / 1280, (y + 60) / 720, (x + 40) / 1280], axis=1)
    return frames, boxes, np.full(COUNT, 50.0), x, y


def _as_lists(frames: Any, boxes: Any, s: Any, x: Any, y: Any) -> list[Any]:
    return [[frames, boxes], [s, x, y]]


def _as_dicts(frames: Any, boxes: Any, s: Any, x: Any, y: Any) -> dict[str, Any]:
    return {"track": {"frame": frames, "bbox": boxes}, "proc_track": {"x": x, "y": y, "s": s}}


@pytest.mark.parametrize("form", [_as_lists, _as_dicts])
@pytest.mark.parametrize("age", ["python 2", "python 2 binary", "python 3"])
@pytest.mark.parametrize("size_px", [None, SIZE_PX])
def test_older_tracks_become_pixels(
    work: Workspace, form: Callable[..., Any], age: str, size_px: tuple[int, int] | None
) -> None:
    """s comes before x and y in lists; boxes turn to pixels, s keeps the size that was cropped."""
    rows = [form(*_old_track(7, 200.0)), form(*_old_track(50, 900.0))]
    protocol = 0 if age == "python 2" else 2
    content = pickle.dumps(rows, 3) if age == "python 3" else python2(rows, protocol=protocol)
    store_content(work, "tracks.pckl", content)
    tracks = work.read_tracks(frame_size_px=size_px)
    assert len(tracks) == 2
    for (track, path), first, x_px in zip(tracks, (7, 50), (200.0, 900.0), strict=True):
        _, _, s, x, y = _old_track(first, x_px)
        assert track.frames.dtype == np.int64 and track.frames.tolist() == list(
            range(first, first + COUNT)
        )
        expected = np.stack([x - 40, y - 60, x + 40, y + 60], axis=1)
        np.testing.assert_allclose(track.boxes, expected)
        for series, same in ((path.s, s), (path.x, x), (path.y, y)):
            np.testing.assert_array_equal(series, same)


def test_the_frame_size_survives_the_old_smoothing(work: Workspace) -> None:
    """The old median sees zeros beyond the ends; the size is exact all the same."""
    frames, boxes, s, x, y = _old_track(0, 200.0)
    x, y = x.copy(), y.copy()
    x[[0, 1, -2, -1]] *= 0.5
    y[[0, 1, -2, -1]] *= 0.9
    store_content(work, "tracks.pckl", pickle.dumps([_as_lists(frames, boxes, s, x, y)], 2))
    ((track, _),) = work.read_tracks()
    np.testing.assert_allclose(track.boxes, boxes[:, [1, 0, 3, 2]] * [1280, 720, 1280, 720])


@pytest.mark.parametrize(("boxes_times", "x_times"), [(0, 1), (1, 0), (-1, 1)])
def test_an_unknown_frame_size_is_required(work: Workspace, boxes_times: int, x_times: int) -> None:
    """Centres in the corner of the picture tell nothing; with the size they are read."""
    frames, boxes, s, x, y = _old_track(0, 200.0)
    row = _as_lists(frames, boxes * boxes_times, s, x * x_times, y)
    store_content(work, "tracks.pckl", pickle.dumps([row], 2))
    with pytest.raises(InputError, match=r"tracks\.pckl holds boxes as fractions"):
        work.read_tracks()
    assert work.read_tracks(frame_size_px=SIZE_PX)[0][0].boxes.shape == (COUNT, 4)


@pytest.mark.parametrize("x_px", [-30.0, 1300.0])
def test_a_face_that_leaves_the_picture_is_in_fractions_too(work: Workspace, x_px: float) -> None:
    """Half of it is beyond the left or the right edge."""
    frames, boxes, s, x, y = _old_track(0, x_px)
    store_content(work, "tracks.pckl", pickle.dumps([_as_lists(frames, boxes, s, x, y)], 2))
    ((track, _),) = work.read_tracks(frame_size_px=SIZE_PX)
    np.testing.assert_allclose(track.boxes, np.stack([x - 40, y - 60, x + 40, y + 60], axis=1))


FRAMES, BOXED, S, X, Y = _old_track(0, 200.0)


@pytest.mark.parametrize(
    "row",
    [
        _as_lists(FRAMES, BOXED * 1000, S, X, Y),
        _as_lists(FRAMES[:-1], BOXED, S, X, Y),
        _as_lists(FRAMES * 2, BOXED, S, X, Y),
        _as_lists(FRAMES - 1, BOXED, S, X, Y),
        _as_lists(FRAMES * 1.0, BOXED, S, X, Y),
        _as_lists(FRAMES[:0], BOXED[:0], S[:0], X[:0], Y[:0]),
        _as_lists(FRAMES, BOXED[:, :3], S, X, Y),
        _as_lists(FRAMES, BOXED, S, X, Y[:-1]),
        _as_lists(FRAMES, BOXED, S, X * np.nan, Y),
        _as_lists(FRAMES, BOXED.tolist(), S, X, Y),
        _as_lists(FRAMES, BOXED, np.float64(3), X, Y),
        [[FRAMES, BOXED], [S, X]],
        _as_dicts(FRAMES, BOXED, S, X, Y) | {"proc_track": {"x": X, "y": Y}},
        _as_dicts(FRAMES, BOXED, S, X, Y) | {"track": FRAMES},
    ],
)
def test_tracks_that_no_version_wrote_are_refused(work: Workspace, row: object) -> None:
    """Parts of different length, gaps between frames, other types, numbers that are none."""
    store_content(work, "tracks.pckl", pickle.dumps([row]))
    with pytest.raises(InputError, match=r"tracks\.pckl has another format"):
        work.read_tracks()


@pytest.mark.parametrize("protocol", [0, 2])
def test_distances_of_python_2(work: Workspace, protocol: int) -> None:
    """float32 as they were written, and float64 from others."""
    dists = np.linspace(5, 15, 4 * 31).reshape(4, 31)
    rows = [dists.astype(np.float32), dists]
    store_content(work, "activesd.pckl", python2(rows, protocol=protocol))
    for distances in work.read_distances():
        assert distances.dtype == np.float32
        np.testing.assert_array_equal(distances, dists.astype(np.float32))


@pytest.mark.parametrize(
    "rows", [[np.zeros(31)], [np.zeros((3, 30))], [np.full((3, 31), np.nan)], [[[1.0]]], [None]]
)
def test_distances_that_no_version_wrote_are_refused(work: Workspace, rows: list[object]) -> None:
    """Another shape, another type, no numbers."""
    store_content(work, "activesd.pckl", pickle.dumps(rows))
    with pytest.raises(InputError, match=r"activesd\.pckl has another format"):
        work.read_distances()


def test_an_old_workspace_is_visualised(
    work: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tracks and distances of 2018 with their video go through run_visualise.py."""
    work.video.parent.mkdir(parents=True, exist_ok=True)
    with encode.VideoWriter(work.video, size_px=(1280, 720)) as writer:
        for _ in range(COUNT):
            writer.write(np.full((720, 1280, 3), 128, np.uint8))
    store_content(work, "tracks.pckl", python2([_as_lists(*_old_track(0, 500.0))], protocol=0))
    dists = np.full((COUNT - 6, 31), 10.0, np.float32)
    dists[:, 12] = 0
    store_content(work, "activesd.pckl", python2([dists], protocol=0))
    arguments = [f"--data_dir={work.data_dir}", "--reference=talk"]
    assert cli.run(lambda: run_visualise.main(arguments)) == 0, capsys.readouterr().err
    assert frame_count(work.labelled_video) == COUNT
    captured = cv2.VideoCapture(str(work.labelled_video))
    _, first = captured.read()
    captured.release()
    blue, green, red = first[300, 550].astype(int)  # the right edge: x + s
    assert green > 180 and red < 80 and blue < 80
    np.testing.assert_allclose(first[300, 500], 128, atol=12)
