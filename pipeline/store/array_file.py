"""Arrays kept on the disk while a stage runs: added one by one, read back in any order."""

import os
from pathlib import Path
from types import TracebackType

import numpy as np

from pipeline.errors import PipelineError


class ArrayFile:
    """Arrays of bytes in one passing file; a context manager that removes it at its end.

    Args:
        path: file to make; its folder exists.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("w+b", buffering=0)
        self._slots: list[tuple[int, tuple[int, ...]]] = []  # where each begins, and its shape
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._slots)

    def append(self, array: np.ndarray) -> int:
        """Writes a uint8 array of any shape and gives its number.

        Raises:
            PipelineError: the disk is full.
        """
        content = np.ascontiguousarray(array, np.uint8)
        try:
            written = os.pwrite(self._file.fileno(), content.data, self._bytes)
        except OSError as error:
            raise PipelineError(f"{self._path} cannot be written; is the disk full?") from error
        if written != content.nbytes:
            raise PipelineError(f"{self._path} cannot be written; is the disk full?")
        self._slots.append((self._bytes, content.shape))
        self._bytes += content.nbytes
        return len(self._slots) - 1

    def read(self, number: int) -> np.ndarray:
        """The array of this number, writable.

        Raises:
            PipelineError: it cannot be read back.
        """
        start, shape = self._slots[number]
        size = int(np.prod(shape))
        content = os.pread(self._file.fileno(), size, start)
        if len(content) != size:
            raise PipelineError(f"{self._path} cannot be read back; is the disk full?")
        return np.frombuffer(bytearray(content), np.uint8).reshape(shape)

    def __enter__(self) -> "ArrayFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)
