"""Hostile pickles: refused in one sentence, and nothing in them is executed."""

import copyreg
import os
import pickle
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scenedetect import FrameTimecode

import run_syncnet
import run_visualise
from pipeline import cli
from pipeline.errors import InputError
from pipeline.store.safe_pickle import read_pickle
from pipeline.store.workspace import Workspace
from tests.conftest import Script
from tests.test_pickles import (
    DTYPE,
    EMPTY,
    NDARRAY,
    SCALAR,
    TIMECODE,
    Call,
    Name,
    code,
    python2,
    store_content,
)

READERS: dict[str, Callable[[Workspace], object]] = {
    "tracks.pckl": Workspace.read_tracks,
    "activesd.pckl": Workspace.read_distances,
}


# Payloads: each, loaded by pickle itself, leaves a trace.


@dataclass
class _Runs:
    """Calls a function when it is unpickled."""

    function: Callable[..., object]
    arguments: tuple[object, ...]

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.function, self.arguments

    def __call__(self) -> None:
        """Pickle wants functions to look like some."""


def _system(trace: Path) -> object:
    return _Runs(os.system, (f"touch '{trace}'",))


def _eval(trace: Path) -> object:
    return _Runs(eval, (f"open({str(trace)!r}, 'w').close()",))


def _getattr(trace: Path) -> object:
    return _Runs(_Runs(getattr, (_Runs(__import__, ("os",)), "mkdir")), (str(trace),))


def _numpy_load(trace: Path) -> object:
    hidden = trace.with_suffix(".npy")
    np.save(hidden, np.array([_system(trace)], object), allow_pickle=True)
    return _Runs(np.load, (str(hidden), None, True))


def _numpy_object(trace: Path) -> object:
    return np.array([_system(trace)], object)


def _in_a_timecode(trace: Path) -> object:
    timecode = FrameTimecode(3, fps=25.0)
    timecode._rate = _system(trace)
    return [(timecode, timecode)]


def _in_a_list(trace: Path) -> object:
    return [[{"frame": 0, "bbox": [1.0, 2.0, 3.0, 4.0], "conf": _system(trace)}]]


def _reconstructor(trace: Path) -> object:
    return _Runs(copyreg._reconstructor, (_Subclass, list, [_system(trace)]))  # type: ignore[attr-defined]


class _Subclass(list[object]):
    """Somebody's own list, which copyreg makes."""


PAYLOADS = (
    *(_system, _eval, _getattr, _numpy_load, _numpy_object),
    *(_in_a_timecode, _in_a_list, _reconstructor),
)


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: payload.__name__.strip("_"))
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_payloads_run_nothing_from_any_file(
    work: Workspace, payload: Callable[[Path], object], protocol: int, tmp_path: Path
) -> None:
    """One sentence that names the file; pickle itself shows that it would have run."""
    trace = tmp_path / "trace"
    content = pickle.dumps(payload(trace), protocol)
    for name, read in READERS.items():
        store_content(work, name, content)
        with pytest.raises(InputError, match=name.replace(".", r"\.")) as refusal:
            read(work)
        assert "\n" not in str(refusal.value) and not trace.exists()
    pickle.loads(content)
    assert trace.exists()


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: payload.__name__.strip("_"))
@pytest.mark.parametrize(
    ("main", "name"),
    [
        (run_syncnet.main, "tracks.pckl"),
        (run_visualise.main, "tracks.pckl"),
        (run_visualise.main, "activesd.pckl"),
    ],
)
def test_payloads_run_nothing_through_the_commands(
    work: Workspace,
    payload: Callable[[Path], object],
    main: Callable[[list[str]], int],
    name: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2, one line that names the file, and nothing is written."""
    trace = tmp_path / "trace"
    work.write_tracks([], [])
    work.write_distances([])
    store_content(work, name, pickle.dumps(payload(trace)))
    before = sorted(path.name for path in work.folder("pywork").iterdir())
    assert cli.run(lambda: main([f"--data_dir={tmp_path}", "--reference=talk"])) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and name in error and error.count("\n") == 1
    assert not trace.exists()
    assert sorted(path.name for path in work.folder("pywork").iterdir()) == before
    assert not list(work.folder("pyavi").iterdir())


@pytest.mark.parametrize("command", ["run_syncnet.py", "run_visualise.py"])
def test_payloads_run_nothing_through_a_shell(
    work: Workspace, command: str, tmp_path: Path, script: Script
) -> None:
    """The same as a user types it."""
    trace = tmp_path / "trace"
    work.write_distances([])
    store_content(work, "tracks.pckl", pickle.dumps(_system(trace)))
    done = script(command, "--data_dir", tmp_path, "--reference", "talk")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "tracks.pckl" in done.stderr and not trace.exists()


# Names that are allowed, used for something else.


def _array(shape: object, dtype: object, fortran: object, raw: object) -> Call:
    return Call(*EMPTY, (1, shape, dtype, fortran, raw))


F8_STATE = (3, "<", None, None, None, -1, -1, 0)
F8 = Call(DTYPE, ("f8", 0, 1), F8_STATE)
RECONSTRUCT, FROMBUFFER = EMPTY[0], Name("numpy._core.numeric", "_frombuffer")
OBJECTS = Call(DTYPE, ("O8", 0, 1), (3, "|", None, None, None, -1, -1, 63))
FAR_FIELD = Call(
    *(DTYPE, ("V8", 0, 1)),
    (3, "|", None, ("a",), {"a": (F8, 2**28)}, 8, 1, 16),
)
FRACTION = Name("fractions", "Fraction")
ENCODE = Name("_codecs", "encode")
RECONSTRUCTOR, OBJECT = Name("copy_reg", "_reconstructor"), Name("__builtin__", "object")
MISUSES: dict[str, object] = {
    "objects": _array((1,), OBJECTS, False, [1]),
    "objects from bytes": _array((1,), OBJECTS, False, b"\x01" * 8),
    "field outside": _array((1,), FAR_FIELD, False, b"12345678"),
    "fields in a number": Call(
        DTYPE, ("f8", 0, 1), (3, "<", None, ("a",), {"a": (F8, 2**28)}, 8, 1, 0)
    ),
    "text": _array((1,), Call(DTYPE, ("U2", 0, 1)), False, b"12345678"),
    "dtype of a list": Call(DTYPE, ([("a", "f8")], 0, 1)),
    "dtype of a name": Call(DTYPE, (NDARRAY,)),
    "object scalar": Call(SCALAR, (OBJECTS, [1])),
    "short scalar": Call(SCALAR, (F8, b"1234")),
    "list as bytes": _array((1,), F8, False, [1.0]),
    "huge": _array((2**40,), F8, False, b""),
    "overflowing": _array((2**33, 2**33), F8, False, b""),
    "negative": _array((-1, -1), F8, False, b"12345678"),
    "longer than its bytes": _array((2,), F8, False, b"12345678"),
    "shape of floats": _array((1.0,), F8, False, b"12345678"),
    "odd order": Call(DTYPE, ("f8", 0, 1), (3, "evil", None, None, None, -1, -1, 0)),
    "ndarray called": Call(NDARRAY, ((2**40,),)),
    "ndarray made": Call(NDARRAY, ((2**40,),), opcode=pickle.NEWOBJ),
    "ndarray of a buffer": Call(NDARRAY, ((9,), F8, b"12345678")),
    "reconstruct another": Call(RECONSTRUCT, (TIMECODE, (0,), b"b")),
    "reconstruct a list": Call(RECONSTRUCT, ([], (0,), b"b")),
    "huge buffer": Call(FROMBUFFER, (b"12345678", F8, (2**40,), "C")),
    "buffer of objects": Call(FROMBUFFER, (b"12345678", OBJECTS, (1,), "C")),
    "another codec": Call(ENCODE, ("abc", "rot13")),
    "a codec that unpacks": Call(ENCODE, ("abc", "zlib")),
    "a codec that imports": Call(ENCODE, ("abc", "os.path")),
    "bytes of a size": Call(Name("__builtin__", "bytes"), (2**40,)),
    "an object": Call(OBJECT, ()),
    "reconstructor of ndarray": Call(RECONSTRUCTOR, (NDARRAY, OBJECT, None)),
    "reconstructor with state": Call(RECONSTRUCTOR, (TIMECODE, OBJECT, "x")),
    "reconstructor of another base": Call(RECONSTRUCTOR, (TIMECODE, NDARRAY, None)),
    "timecode with arguments": Call(TIMECODE, (3, 25.0)),
    "state of a name": Call(RECONSTRUCTOR, (TIMECODE, OBJECT, None), (None, {"x": 1})),
    "huge fraction": Call(FRACTION, ("1e999999999",)),
    "long fraction": Call(FRACTION, ("9" * 5000,)),
    "fraction of nothing": Call(FRACTION, (1, 0)),
    "fraction of a float": Call(FRACTION, (0.5,)),
    "call of a list": Call([], ()),
    "call of a text": Call("system", ("x",)),
    "call without a tuple": Call(TIMECODE, {"a": 1}),
    "dotted": Name("numpy.core.multiarray", "_reconstruct.__globals__"),
    "dotted timecode": Name("scenedetect.common", "FrameTimecode.__init__.__globals__"),
    "module of an allowed name": Name("os", "ndarray"),
    "line ends in a name": Name("os\x1b[2J", "system"),
}


@pytest.mark.parametrize("protocol", [0, 2])
@pytest.mark.parametrize("value", MISUSES.values(), ids=MISUSES)
def test_allowed_names_serve_nothing_else(tmp_path: Path, value: object, protocol: int) -> None:
    """Objects in arrays, sizes that are not there, codecs, states and calls of other kinds."""
    path = tmp_path / "misuse.pckl"
    path.write_bytes(python2([value], protocol=protocol))
    with pytest.raises(InputError, match=r"misuse\.pckl") as refusal:
        read_pickle(path)
    assert str(refusal.value).isprintable() and len(str(refusal.value)) < 300 + len(str(path))


def _text(text: str) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text.encode()


def _global(module: str, name: str) -> bytes:
    return _text(module) + _text(name) + b"\x93"


CLASS = _global("scenedetect.frame_timecode", "FrameTimecode")
INSTANCE = CLASS + b")\x81"
ENCODER = _global("_codecs", "encode")
MACHINE_CODE: dict[str, bytes] = {
    "dotted stack global": _global("numpy.core.multiarray", "_reconstruct.__globals__") + b".",
    "name that is no text": b"K\x01" + _text("ndarray") + b"\x93.",
    "line end in a name": _global("o\ns", "sys\ntem") + b".",
    "extension": b"\x82\xf0.",
    "persistent id": b"Pfile\n.",
    "binary persistent id": b"K\x01Q.",
    "instance": b"(ios\nsystem\n.",
    "object": b"(" + _global("os", "system") + b"o.",
    "keyword arguments": CLASS + b")}\x92.",
    "set": b"\x8f(K\x01\x90.",
    "frozen set": b"(K\x01\x91.",
    "buffer": b"\x97.",
    "long byte array": b"\x96" + struct.pack("<Q", 2**40) + b"x.",
    "long bytes": b"\x8e" + struct.pack("<Q", 2**40) + b"x.",
    "state of a class": CLASS + b"}" + _text("frame_num") + b"K\x01sb.",
    "slots of a class": CLASS + b"N}" + _text("__init__") + ENCODER + b"s\x86b.",
    "defaults of a function": ENCODER + b"N}" + _text("__defaults__") + b")s\x86b.",
    "slots of an instance": INSTANCE + b"N}" + _text("__class__") + CLASS + b"s\x86b.",
    "state of a list": b"]}b.",
    "state of a text": _text("x") + b"}b.",
    "items in an instance": INSTANCE + _text("frame_num") + b"K\x01s.",
    "items in a list": b"]K\x00K\x01s.",
    "append to an instance": INSTANCE + b"K\x01a.",
    "appends to a dict": b"}(K\x01e.",
    "key that is no text": b"}K\x01K\x02s.",
    "deep key": b"}N" + b"\x85" * 300_000 + b"Ns.",
    "deep keys": b"}(N" + b"\x85" * 300_000 + b"Nu.",
    "odd number of items": b"}(" + _text("x") + b"u.",
    "memory of another": b"h\x05.",
    "empty stack": b".",
    "no end": b"]",
    "nothing": b"",
}


@pytest.mark.parametrize("code", MACHINE_CODE.values(), ids=MACHINE_CODE)
def test_odd_instructions_are_refused(tmp_path: Path, code: bytes) -> None:
    """Extension codes, persistent ids, states and items for what has none, lengths made up."""
    path = tmp_path / "odd.pckl"
    path.write_bytes(b"\x80\x04" + code)
    with pytest.raises(InputError, match=r"odd\.pckl") as refusal:
        read_pickle(path)
    assert str(refusal.value).isprintable()


def test_registered_extensions_are_not_looked_up(tmp_path: Path) -> None:
    """Also where some library has given a code to a function, and it has been used before."""
    path, trace = tmp_path / "odd.pckl", tmp_path / "trace"
    copyreg.add_extension(os.mkdir.__module__, "mkdir", 240)
    try:
        content = pickle.dumps(_Runs(os.mkdir, (str(trace),)))
        pickle.loads(content)
        assert b"\x82\xf0" in content and trace.is_dir()
        trace.rmdir()
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"odd\.pckl"):
            read_pickle(path)
        assert not trace.exists()
    finally:
        copyreg.remove_extension(os.mkdir.__module__, "mkdir", 240)


def test_misuse_leaves_no_mark_on_the_reader(work: Workspace) -> None:
    """After refused states and slots good files are read as before: nothing was changed."""
    path = work.folder("pywork") / "odd.pckl"
    for name in MACHINE_CODE:
        if not name.startswith(("state", "slots", "defaults")):
            continue
        path.write_bytes(b"\x80\x04" + MACHINE_CODE[name])
        with pytest.raises(InputError):
            read_pickle(path)
    work.write_distances([np.ones((4, 31), np.float32)])
    assert work.read_distances()[0].sum() == 124


def test_one_piece_of_bytes_cannot_fill_many_arrays(tmp_path: Path) -> None:
    """A small file that hands the same bytes to a thousand arrays is refused."""
    path = tmp_path / "bomb.pckl"
    head = b"(" + code(Call(*EMPTY)) + b"(I1\n(I12500\nt" + code(F8) + b"I00\n"
    raw = b"B" + struct.pack("<i", 100_000) + bytes(100_000)
    first = head + raw + b"q\x07tb"
    again = head + b"h\x07tb"
    path.write_bytes(b"\x80\x03" + first + b"l.")
    assert read_pickle(path)[0].shape == (12_500,)
    path.write_bytes(b"\x80\x03" + first + again * 1000 + b"l.")
    with pytest.raises(InputError, match="another size"):
        read_pickle(path)


BOMBS = {
    "deep lists": b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "deep tuples": b"\x80\x04]N" + b"\x85" * 100_000 + b"a.",
    "deep timecodes": b"\x80\x04]"
    + (CLASS + b"\x94)\x81}" + _text("frame_num"))
    + (b"h\x00)\x81}" + _text("frame_num")) * 20_000
    + b"K\x01"
    + b"sb" * 20_001
    + b"a.",
    "lists that hold each other": b"\x80\x04]\x94h\x00a.",
    "lists of lists of lists": b"\x80\x04]\x94"
    + b"".join(b"](" + bytes([0x68, n]) * 10 + b"e\x94" for n in range(40))
    + b".",
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS)
def test_nests_are_refused_at_once(work: Workspace, name: str, content: bytes) -> None:
    """Deep, endless and exploding structures are refused without being walked or printed."""
    path = store_content(work, name, content)
    started = time.process_time()
    with pytest.raises(InputError, match=name.replace(".", r"\.")) as refusal:
        READERS[name](work)
    assert time.process_time() - started < 5
    assert len(str(refusal.value)) < 200 + len(str(path))
