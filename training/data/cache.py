"""The folder of decoded clips: shared by runs, bounded, and never half written."""

import contextlib
import hashlib
import os
import tempfile
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.errors import PipelineError

LONGEST_WRITE_S = 86_400  # of one array: an older unfinished file is left over

# Pictures that this process has mapped, by file: entries in use are never removed.
MAPPED: "weakref.WeakValueDictionary[Path, np.ndarray]" = weakref.WeakValueDictionary()


class ClipCache:
    """A cache folder of bounded size; least recently used entries are removed first.

    An entry is every file of one key; when one is read, its files' times are set.
    """

    def __init__(self, folder: Path, *, limit_bytes: int) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CacheUnwritable(folder, error) from error
        self.folder = folder
        self.limit_bytes = limit_bytes
        for file in folder.glob(".*.partial"):  # of a writer that was killed
            with contextlib.suppress(OSError):
                if time.time() - file.stat().st_mtime > LONGEST_WRITE_S:
                    file.unlink()
        entries: dict[str, list[os.stat_result]] = {}
        for path in folder.glob("*.npy"):
            with contextlib.suppress(FileNotFoundError):  # another run has just removed it
                entries.setdefault(_key(path), []).append(path.stat())
        sizes = {key: sum(status.st_size for status in files) for key, files in entries.items()}
        last_use_ns = {key: max(one.st_mtime_ns for one in files) for key, files in entries.items()}
        self._left_bytes = limit_bytes - sum(sizes.values())
        self._oldest_first = {
            key: sizes[key] for key in sorted(sizes, key=lambda k: last_use_ns[k])
        }

    def take(self, size_bytes: int) -> bool:
        """Reserves space, removing old entries if needed; False where that is not enough."""
        unused = [key for key in self._oldest_first if self._pictures(key) not in MAPPED]
        if size_bytes > self._left_bytes + sum(self._oldest_first[key] for key in unused):
            return False
        while size_bytes > self._left_bytes:
            self._remove(unused.pop(0))
        self._left_bytes -= size_bytes
        return True

    def touch(self, key: str) -> None:
        """Marks an entry as used by this run, and as the newest."""
        self._oldest_first.pop(key, None)
        for path in self.folder.glob(f"{key}.*.npy"):
            touch(path)

    def _pictures(self, key: str) -> Path:
        return self.folder.absolute() / f"{key}.pictures.npy"

    def _remove(self, key: str) -> None:
        for path in self.folder.glob(f"{key}.*.npy"):
            path.unlink(missing_ok=True)
        self._left_bytes += self._oldest_first.pop(key)


def touch(path: Path) -> None:
    """Marks a file of the cache as used now, where it may be written."""
    with contextlib.suppress(OSError):
        os.utime(path)


def _key(path: Path) -> str:
    return path.name.partition(".")[0]


def cached_sound(about: str, make: Callable[[], np.ndarray], clip_cache: ClipCache) -> np.ndarray:
    """Sound that is made once and found in the cache from then on, as far as it fits.

    Args:
        about: everything it depends on.
        make: gives (n,) int16.
        clip_cache: where.
    """
    key = hashlib.sha256(about.encode()).hexdigest()[:24]
    file = clip_cache.folder / f"{key}.voice.npy"
    with contextlib.suppress(FileNotFoundError):
        stored: np.ndarray = np.load(file, allow_pickle=False)
        clip_cache.touch(key)
        return stored
    sound = make()
    if clip_cache.take(sound.nbytes):
        write_array(file, sound)
    return sound


class CacheFullError(Exception):
    """A clip does not fit the cache any more."""


class CacheUnwritable(PipelineError):
    """The disk of the cache is full, or the folder cannot be written."""

    def __init__(self, folder: Path, error: OSError) -> None:
        super().__init__(
            f"The cache {folder} cannot be written ({error.strerror or error}); "
            "free some space, or give another folder with --cache."
        )


def write_array(path: Path, values: np.ndarray) -> None:
    """Writes an array whole or not at all, also where another run writes the same.

    Raises:
        CacheUnwritable: the disk is full, for example.
    """
    beside: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", suffix=".partial", delete=False
        ) as file:
            beside = Path(file.name)
            np.save(file, values, allow_pickle=False)
        beside.chmod(0o644)  # temporary files are readable by their owner only
        beside.replace(path)
    except OSError as error:
        raise CacheUnwritable(path.parent, error) from error
    finally:
        if beside:
            beside.unlink(missing_ok=True)
