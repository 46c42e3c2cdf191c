"""Files that only pass: none is left beside a target, and a full disk is told."""

import os
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import PipelineError
from pipeline.store import swap
from pipeline.store.array_file import ArrayFile
from pipeline.store.swap import Move


def _move(folder: Path) -> Move:
    (folder / "to").mkdir()
    (folder / "staged").mkdir()
    (folder / "staged" / "a").write_text("new")
    return Move(folder / "staged", folder / "to" / "talk")


def test_new_results_take_the_place_of_old_ones_and_nothing_else_stays(tmp_path: Path) -> None:
    move = _move(tmp_path)
    move.target.mkdir()
    (move.target / "b").write_text("old")
    swap.finish([move])
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["talk"]
    assert [path.name for path in move.target.iterdir()] == ["a"]
    assert not move.staged.exists()
    swap.finish([move])
    assert (move.target / "a").read_text() == "new"


@pytest.mark.parametrize("suffix", swap.PASSING_SUFFIXES)
def test_what_an_earlier_run_left_is_cleared_by_every_name(suffix: str, tmp_path: Path) -> None:
    """Files and folders; the target itself stays."""
    move = _move(tmp_path)
    move.target.mkdir()
    move.beside(suffix).mkdir()
    (move.beside(suffix) / "c").write_text("left")
    swap.clear([move])
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["talk"]


def test_of_a_link_only_the_link_is_removed(tmp_path: Path) -> None:
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir()
    (folder / "kept").touch()
    link.symlink_to(folder)
    swap.remove(link)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"] and (folder / "kept").exists()
    swap.remove(tmp_path / "gone")
    swap.remove(folder)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_takes_half_of_an_array_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel writes what fits and says how much; the file goes all the same."""
    write = os.pwrite
    with ArrayFile(tmp_path / "arrays") as file:
        monkeypatch.setattr("os.pwrite", lambda fd, data, at: write(fd, data[:5], at))
        with pytest.raises(PipelineError, match="is the disk full"):
            file.append(np.zeros(10, np.uint8))
        assert len(file) == 0
    assert not list(tmp_path.iterdir())
