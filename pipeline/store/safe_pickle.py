"""Pickles of numbers, strings, lists, dicts and arrays, read without running anything in them.

A pickle is a program. The reader here knows the instructions that plain data takes and the few
calls that numpy leaves in such files, and answers those calls itself: nothing a file names is
imported or called, not even numpy's own unpickling, which trusts the file.
"""

import io
import math
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from models.files import partial_path
from pipeline.errors import InputError

# Names a pickle may mention; what may be done with each is in `_PlainUnpickler.call`.
CORES = ("numpy.core", "numpy._core")
NAMES = frozenset(
    {
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        *((f"{core}.multiarray", name) for core in CORES for name in ("_reconstruct", "scalar")),
        *((f"{core}.numeric", "_frombuffer") for core in CORES),
        ("_codecs", "encode"),
        ("__builtin__", "bytes"),
    }
)
LARGEST_SIDE = 2**53  # of an array; more is not meant
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


@dataclass(frozen=True)
class _Name:
    """A name the pickle mentioned; does nothing."""

    name: str


@dataclass
class _Dtype:
    """A type of numbers, as numpy abbreviates it."""

    code: str
    order: str = "="


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
        raise pickle.UnpicklingError(f"it calls {called.name} in an unknown way")

    def load_build(self) -> None:
        state = self.stack.pop()
        match (self.stack[-1], state):
            case (_Dtype() as dtype, (_, "<" | ">" | "|" | "=" as order, None, None, None, *_)):
                dtype.order = order
            case (np.ndarray() as array, (_, shape, _Dtype() as dtype, bool() as fortran, raw)):
                self.fill(array, shape, dtype, fortran, raw)
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
        if not all(type(side) is int and 0 <= side <= LARGEST_SIDE for side in shape):
            raise pickle.UnpicklingError("it holds an array with sides that are no counts")
        self.bytes_left -= len(raw)
        if self.bytes_left < 0 or math.prod(shape) * numbers.itemsize != len(raw):
            raise pickle.UnpicklingError("it holds an array of another size than it says")
        state: Any = (1, shape, numbers, fortran, raw)
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

    Raises:
        InputError: the file asks for anything else, or is damaged.
    """
    try:
        return _PlainUnpickler(path.read_bytes()).load()
    except Exception as error:  # a damaged pickle can raise nearly any type
        explained = isinstance(error, (pickle.UnpicklingError, OSError))
        reason = error if explained else "it is damaged"
        raise InputError(
            f"{path} is not a pickle this program reads ({reason}); "
            "delete it and run the step that writes it again."
        ) from error


def write_pickle(path: Path, value: object) -> None:
    """Writes a whole pickle or none."""
    partial = partial_path(path)
    with partial.open("wb") as file:
        pickle.dump(value, file)
    partial.replace(path)
