"""Settings of a batch: how many workers, how much memory, and what its rows depend on."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.batch import options
from pipeline.batch.options import BatchOptions
from pipeline.store.provenance import TOOLKIT_VERSION
from pipeline.sync.scorer import SyncOptions

GB = 10**9


@pytest.mark.parametrize(
    ("cores", "free_gb", "expected"), [(16, 10, 6), (4, 100, 4), (16, 1, 1), (16, 3.4, 2)]
)
def test_workers_are_one_a_core_as_far_as_memory_goes(
    cores: int, free_gb: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1.5 GB each of nine tenths of what is free; one at least, and as many as are asked for."""
    monkeypatch.setattr(options, "cores", lambda: cores)
    monkeypatch.setattr(options, "free_bytes", lambda: int(free_gb * GB))
    assert BatchOptions().local_workers() == expected
    assert BatchOptions(workers=9).local_workers() == 9


def test_memory_of_a_worker_is_its_share_or_what_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """GB are of a thousand million bytes, as memory_gb says; what is asked for is not divided."""
    monkeypatch.setattr(options, "free_bytes", lambda: 10 * GB)
    assert BatchOptions().memory_bytes(3) == 3 * GB
    assert BatchOptions(memory_gb=2.5).memory_bytes(3) == 2.5 * GB


def _machine(monkeypatch: pytest.MonkeyPatch, **files: str) -> None:
    """A machine whose kernel says this: meminfo, memory_max, memory_current."""

    def read_text(path: Path, **_: Any) -> str:
        name = path.name.replace(".", "_")
        if name not in files:
            raise FileNotFoundError(path)
        return files[name]

    monkeypatch.setattr(Path, "read_text", read_text)


MEMINFO = "MemTotal: 64000000 kB\nMemFree: 1000000 kB\nMemAvailable: 8000000 kB\n"


@pytest.mark.parametrize(
    ("limit", "used", "expected"),
    [
        ("max", "0", 8_000_000 * 1024),
        (str(6 * GB), str(2 * GB), 4 * GB),
        (str(60 * GB), str(2 * GB), 8_000_000 * 1024),
        (str(6 * GB), str(6 * GB), 1 << 30),
    ],
)
def test_free_memory_is_the_kernels_or_the_containers(
    limit: str, used: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is available, not what is unused; a container's limit less what it holds already."""
    _machine(monkeypatch, meminfo=MEMINFO, memory_max=limit, memory_current=used)
    assert options.free_bytes() == expected


def test_without_a_container_the_kernel_says_and_without_it_a_guess(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _machine(monkeypatch, meminfo=MEMINFO)
    assert options.free_bytes() == 8_000_000 * 1024
    _machine(monkeypatch)
    assert options.free_bytes() == 8 << 30


def test_rows_depend_on_what_changes_them_and_on_nothing_else() -> None:
    """A run on other workers, with another limit, or again, goes on from the manifest."""
    rows = BatchOptions().row_settings()
    assert rows["toolkit"] == TOOLKIT_VERSION
    same: list[dict[str, Any]] = [{"workers": 3}, {"time_limit_s": 9.0}, {"memory_gb": 2.0}]
    same += [{"address": "auto"}, {"retry_failed": True}, {"overwrite": True}, {"device": "cpu"}]
    for options_given in same:
        assert BatchOptions(**options_given).row_settings() == rows, options_given
    assert BatchOptions(keep="none").row_settings()["keep"] == "none"
    assert BatchOptions(sync=SyncOptions(vshift=20)).row_settings()["sync"]["vshift"] == 20


@pytest.mark.parametrize(("keep", "stay"), [("all", True), ("crops", False), ("none", False)])
def test_pictures_and_video_stay_only_where_all_is_kept(keep: Any, stay: bool) -> None:
    """And without a word clips stay, pictures go."""
    faces = BatchOptions(keep=keep).face_options
    assert (faces.keep_frames, faces.keep_video) == (stay, stay)
    assert BatchOptions().keep == "crops"


def test_a_worker_is_told_where_and_how_it_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder does not depend on where it is started."""
    monkeypatch.chdir(tmp_path)
    told = BatchOptions(device="cpu", overwrite=True).worker_settings(Path("out"), threads=3)
    assert told["data_dir"] == str(tmp_path / "out")
    assert (told["device"], told["threads"], told["overwrite"]) == ("cpu", 3, True)
