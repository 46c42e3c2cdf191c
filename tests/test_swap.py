"""Complete results moved into place: stopped at every single step, over links and disks."""

import errno
import multiprocessing
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import InputError, PipelineError
from pipeline.store import swap
from pipeline.store.workspace import FOLDERS, Workspace

DONE, FAILED, BUG, ENDED, KILLED, STOPPED = 0, 1, 2, 3, 99, 130  # exit codes of a forked run

# One folder loses a file, one keeps one, one gets one; tracks.pckl marks results.
OLD = {
    "pyavi": {"video.avi": "old", "video_wav2lip.mp4": "old"},
    "pyframes": {"000001.jpg": "old", "000002.jpg": "old"},
    "pycrop": {"00000.avi": "old", "00001.avi": "old"},
    "pywork": {"tracks.pckl": "old", "wav2lip.json": "old", "pipeline.json": "old"},
}
NEW = {
    "pyavi": {"video.avi": "new"},
    "pyframes": {"000001.jpg": "new", "000002.jpg": "new", "000003.jpg": "new"},
    "pycrop": {"00000.avi": "new"},
    "pywork": {"tracks.pckl": "new", "pipeline.json": "new"},
}
FILES = "pyavi/video_wav2lip.mp4", "pywork/wav2lip.json", "pywork/more.json"
Results = dict[str, dict[str, str]]


def _fill(work: Workspace, results: Results) -> None:
    for folder_name, files in results.items():
        work.folder(folder_name).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (work.folder(folder_name) / name).write_text(content)


def _results(work: Workspace) -> Results:
    """Everything a program sees, hidden names too."""
    return {
        folder_name: {file.name: file.read_text() for file in work.folder(folder_name).iterdir()}
        if work.folder(folder_name).is_dir()
        else {}
        for folder_name in FOLDERS
    }


def _replace_folders(work: Workspace) -> None:
    """What run_pipeline.py does."""
    with work.locked():
        work.finish_commit()
        with work.collecting() as staging:
            _fill(staging, NEW)
            work.commit()


def _replace_files(work: Workspace) -> None:
    """What run_syncnet.py and run_wav2lip.py do."""
    with work.opened(), work.collecting() as staging:
        for name in FILES:
            (staging.scratch / name).write_text("new")
        work.commit_files(*FILES)


def _with_new_files() -> Results:
    new_files = {folder_name: dict(files) for folder_name, files in OLD.items()}
    for name in FILES:
        folder_name, file = name.split("/")
        new_files[folder_name][file] = "new"
    return new_files


WAYS = {"folders": (_replace_folders, NEW), "files": (_replace_files, _with_new_files())}


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that nothing can be renamed into."""
    memory = Path("/dev/shm")
    if not (memory.is_dir() and os.access(memory, os.W_OK)):
        pytest.skip("no second file system: /dev/shm is not there")
    if memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system: temporary files are in /dev/shm")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


LAYOUTS = ("plain", "folder", "reference", "scratch")


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> Callable[[Path], Workspace]:
    """Makes a workspace with old results in a folder; some part of it is a link to another disk."""
    elsewhere = None if request.param == "plain" else request.getfixturevalue("other_disk")
    counter = iter(range(10_000))

    def make(folder: Path) -> Workspace:
        work = Workspace(folder, "talk")
        links = {
            "folder": ("pyframes", "pyavi"),
            "reference": ("pyframes/talk", "pywork/talk"),
            "scratch": ("pytmp",),
        }
        for name in links.get(request.param, ()):
            assert elsewhere is not None
            target = elsewhere / f"{next(counter)}_frames"
            target.mkdir()
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(target)
        _fill(work, OLD)
        return work

    return make


def _links(folder: Path) -> set[str]:
    return {str(path) for path in folder.glob("*") if path.is_symlink()} | {
        str(path) for path in folder.glob("*/*") if path.is_symlink()
    }


@pytest.mark.parametrize("way", WAYS)
def test_results_are_replaced_and_links_stay(
    way: str, layout: Callable[[Path], Workspace], tmp_path: Path
) -> None:
    """DATA_DIR/pyframes or DATA_DIR/pyframes/REF on another disk are where the user put them."""
    run, expected = WAYS[way]
    work = layout(tmp_path / "work")
    links = _links(tmp_path / "work")
    run(work)
    assert _results(work) == expected and _links(tmp_path / "work") == links
    assert not work.scratch.exists()


# One process for each step it is stopped at.


class _Stop:
    """Counts a process's changes of files and stops it before one of them.

    Args:
        at: the number of the change, from 1.
        how: KILLED ends the process, FAILED and STOPPED raise.
    """

    def __init__(self, at: int, how: int) -> None:
        self.count, self.at, self.how = 0, at, how

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            _, mode, flags = arguments
            writes = set("wax+") & set(mode or "") or flags & (os.O_WRONLY | os.O_RDWR)
            if not writes:
                return
        elif event not in ("os.rename", "os.remove", "os.rmdir", "os.mkdir"):
            return
        self.count += 1
        if self.count == self.at:
            if self.how == KILLED:
                os._exit(KILLED)
            if self.how == STOPPED:
                raise KeyboardInterrupt
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a file")


def _copied_in_two_steps(source: Path, target: Path) -> None:
    content = source.read_bytes()
    with target.open("wb") as file:
        file.write(content[:1])
    with target.open("ab") as file:
        file.write(content[1:])


def _child(way: str, work: Workspace, stop: _Stop) -> None:
    code = BUG
    try:
        shutil.copyfile = _copied_in_two_steps  # type: ignore[assignment]
        sys.addaudithook(stop)
        WAYS[way][0](work)
        code = DONE if stop.count >= stop.at else ENDED
    except PipelineError as error:
        code = FAILED
        if "\n" in str(error) or "No space" not in str(error):
            code = BUG
    except KeyboardInterrupt:
        code = STOPPED
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


# Processes are forked from a small one: a fork of all that the other tests have loaded is slow.
SMALL = (
    multiprocessing.get_context("forkserver")
    if hasattr(os, "fork")
    else multiprocessing.get_context("spawn")
)
SMALL.set_forkserver_preload([__name__])


def _forked(way: str, work: Workspace, stop: _Stop) -> int:
    """How a process ended that was stopped: `ENDED` where it had fewer steps."""
    child = SMALL.Process(target=_child, args=(way, work, stop))
    child.start()
    child.join()
    assert child.exitcode is not None
    return child.exitcode


def _generations(results: Results, way: str) -> set[str]:
    replaced = [name.split("/") for name in FILES]
    return {
        content
        for folder_name, files in results.items()
        for name, content in files.items()
        if not name.startswith(".") and (way == "folders" or [folder_name, name] in replaced)
    }


def _recover(work: Workspace) -> None:
    """What the next stage does first."""
    with work.opened():
        pass


# A process for each step takes its time: the rest of the table runs with the slow tests.
QUICK = {("plain", "folders"), ("plain", "files"), ("folder", "folders")}
CASES = [
    pytest.param(layout, way, how, marks=[] if (layout, way) in QUICK else pytest.mark.slow)
    for layout in LAYOUTS
    for way in WAYS
    for how in ("killed", "failed", "stopped")
]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
@pytest.mark.parametrize(("layout", "way", "how_named"), CASES, indirect=["layout"])
def test_stopped_at_every_step_old_or_new_results_are_whole(
    layout: Callable[[Path], Workspace], way: str, how_named: str, tmp_path: Path
) -> None:
    """Results are all old or all new, never mixed; a second run makes the new ones."""
    run, new = WAYS[way]
    how = {"killed": KILLED, "failed": FAILED, "stopped": STOPPED}[how_named]
    steps = complete = 0
    for steps in range(1, 500):
        work = layout(tmp_path / str(steps))
        outcome = _forked(way, work, _Stop(steps, how))
        assert outcome != BUG, f"step {steps}"
        where = f"step {steps}, ended with {outcome}"
        assert len(_generations(_results(work), way)) <= 1, where
        if how != KILLED:
            # Whole at once, without a next run.
            assert _results_without_passing(work) in (OLD, new), where
        marked = any(work.scratch.glob("complete*"))
        complete += marked
        _recover(work)
        results = _results_without_passing(work)
        assert results in ((new,) if marked or outcome == DONE else (OLD, new)), where
        run(work)
        assert _results(work) == new and not work.scratch.exists(), where
        if outcome == ENDED:
            break
    assert outcome == ENDED and steps > 20 and complete > 5


def _results_without_passing(work: Workspace) -> Results:
    return {
        folder_name: {name: content for name, content in files.items() if not name.startswith(".")}
        for folder_name, files in _results(work).items()
    }


def test_a_folder_that_cannot_be_replaced_is_named_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every attempt is an error and leaves the old results; afterwards the run succeeds."""
    work = Workspace(tmp_path, "talk")
    _fill(work, OLD)
    rename = os.rename

    def refusing(source: Path, target: Path) -> None:
        if Path(target) == work.folder("pycrop") and Path(source).suffix == ".incoming":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))
        rename(source, target)

    with monkeypatch.context() as broken:
        broken.setattr(os, "rename", refusing)
        for attempt in (_replace_folders, _recover, _replace_folders):
            with pytest.raises(PipelineError) as failure:
                attempt(work)
            assert str(work.folder("pycrop")) in str(failure.value)
            assert "run the same command again" in str(failure.value)
            assert "\n" not in str(failure.value) and failure.value.exit_code == 1
            assert _results_without_passing(work) == OLD
    _recover(work)
    assert _results(work) == NEW and not work.scratch.exists()


def test_a_disk_that_is_full_gets_its_space_back(
    other_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that was not finished is removed; the results wait on the first disk."""
    (tmp_path / "pyframes").symlink_to(other_disk)
    work = Workspace(tmp_path, "talk")
    _fill(work, OLD)

    def full(source: Path, target: Path) -> None:
        target.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

    with monkeypatch.context() as broken:
        broken.setattr(shutil, "copyfile", full)
        with pytest.raises(PipelineError, match=str(other_disk)):
            _replace_folders(work)
    assert _results_without_passing(work) == OLD
    assert [path.name for path in other_disk.iterdir()] == ["talk"]
    _recover(work)
    assert _results(work) == NEW


def test_a_mount_point_as_folder_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mount point cannot be renamed, so the run is refused before any work."""
    work = Workspace(tmp_path, "talk")
    _fill(work, OLD)
    monkeypatch.setattr(Path, "is_mount", lambda path: path.parent.name == "pyframes")
    with pytest.raises(InputError, match="pyframes/talk is where a disk is mounted"):
        work.begin()
    assert _results(work) == OLD


@pytest.mark.parametrize("removed", ["pycrop", "."])
def test_what_was_removed_under_a_run_is_not_committed(removed: str, tmp_path: Path) -> None:
    """Without one of its folders a run is not complete."""
    work = Workspace(tmp_path, "talk")
    _fill(work, OLD)
    with (
        pytest.raises(PipelineError, match="was removed while the run was working"),
        work.collecting() as staging,
    ):
        _fill(staging, NEW)
        shutil.rmtree(staging.scratch / removed)
        work.commit()
    assert _results(work) == OLD
    with (
        pytest.raises(PipelineError, match="was removed while the run was working"),
        work.collecting(),
    ):
        work.commit_files(*FILES)
    assert _results(work) == OLD


def test_what_cannot_be_cleared_is_named_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder an earlier run moved aside and could not delete."""
    work = Workspace(tmp_path, "talk")
    _fill(work, OLD)
    leftover = tmp_path / "pycrop" / ".talk.former"
    leftover.mkdir()
    rmtree = shutil.rmtree

    def refusing(path: Path) -> None:
        if path == leftover:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        rmtree(path)

    monkeypatch.setattr(shutil, "rmtree", refusing)
    with pytest.raises(PipelineError, match=r"\.talk\.former is left .*; delete it by hand"):
        work.begin()
    monkeypatch.undo()
    leftover.rmdir()
    _replace_folders(work)
    assert _results(work) == NEW


@pytest.mark.parametrize("suffix", [".lock", *swap.PASSING_SUFFIXES])
def test_names_of_passing_files_are_no_references(suffix: str, tmp_path: Path) -> None:
    """Or results of one reference would be moved over those of another."""
    with pytest.raises(InputError, match="--reference"):
        Workspace(tmp_path, f".talk{suffix}")
