"""Which entries of the cache go first: those that nobody has used for longest."""

import os
from pathlib import Path

import numpy as np

from training.data.cache import ClipCache, write_array

VALUES = np.zeros(100, np.uint8)


def _entry(cache: Path, key: str, *used_s: float) -> int:
    """Writes files of one key, used at these times; gives their bytes."""
    cache.mkdir(exist_ok=True)
    size = 0
    for kind, time_s in zip(("pictures", "samples"), used_s, strict=True):
        path = cache / f"{key}.{kind}.npy"
        write_array(path, VALUES)
        os.utime(path, (time_s, time_s))
        size += path.stat().st_size
    return size


def _keys(cache: Path) -> set[str]:
    return {path.name.partition(".")[0] for path in cache.glob("*.npy")}


def test_an_entry_is_as_new_as_the_newest_of_its_files(tmp_path: Path) -> None:
    """Of a run that was stopped between two files only one is new."""
    size = _entry(tmp_path, "partly", 1000, 9000)
    _entry(tmp_path, "earlier", 5000, 5000)
    assert ClipCache(tmp_path, limit_bytes=2 * size).take(size)
    assert _keys(tmp_path) == {"partly"}


def test_what_this_run_has_used_is_never_removed_by_it(tmp_path: Path) -> None:
    """Though it was the oldest: what does not fit beside it is told instead."""
    size = _entry(tmp_path, "used", 1000, 1000)
    _entry(tmp_path, "other", 5000, 5000)
    cache = ClipCache(tmp_path, limit_bytes=2 * size)
    cache.touch("used")
    assert cache.take(size) and _keys(tmp_path) == {"used"}
    assert not cache.take(1) and _keys(tmp_path) == {"used"}
