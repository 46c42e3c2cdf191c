"""Moves a set of finished files or folders to where they belong, all of them or none.

It may be stopped at any step, and simply be called again: what a name beside the target says is
always enough to go on. Old results are moved aside before the first new one is moved in, so old
and new are never side by side, and nothing is deleted before all new ones are in place.

    staged -> (copying ->) incoming        beside the target, on its disk
    target -> former                       all of them
    incoming -> target                     all of them
    former deleted
"""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PipelineError

PASSING_SUFFIXES = (".copying", ".incoming", ".former")


@dataclass(frozen=True)
class Move:
    """One finished file or folder.

    Attributes:
        staged: where it was made.
        target: where it goes; its folder may be on another disk.
    """

    staged: Path
    target: Path

    def beside(self, suffix: str) -> Path:
        """The passing name beside the target, one for each of `PASSING_SUFFIXES`."""
        return self.target.with_name(f".{self.target.name}{suffix}")


def clear(moves: list[Move]) -> None:
    """Removes what an earlier, ended set of moves could not remove.

    Must be called before a new set is begun, as `finish` goes on from what it finds.

    Raises:
        PipelineError: something cannot be removed; the sentence names it.
    """
    for move in moves:
        for suffix in PASSING_SUFFIXES:
            with _named(f"{move.beside(suffix)} is left of an earlier run and cannot be deleted"):
                remove(move.beside(suffix))


def finish(moves: list[Move]) -> None:
    """Moves what has not been moved yet.

    Raises:
        PipelineError: a folder cannot be changed. The targets are the old ones then, the new ones
            stay whole where they are, and calling this again goes on.
    """
    for move in moves:
        with _cannot_move(move):
            _bring(move)
    try:
        _swap(moves)
    except Exception:
        raise
    except BaseException:  # Ctrl-C or SIGTERM: finish these renames, so that results are whole
        _swap(moves)
        raise
    for move in moves:
        # What stays is no loss; `clear` says so before the next run.
        with contextlib.suppress(OSError):
            remove(move.beside(".former"))


def _bring(move: Move) -> None:
    """Puts the staged one beside its target, where one rename will put it in place."""
    incoming, copying = move.beside(".incoming"), move.beside(".copying")
    if not os.path.lexists(incoming):
        if not os.path.lexists(move.staged):
            return  # it is in place
        move.target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(move.staged, incoming)
            return
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        remove(copying)
        try:
            _copy(move.staged, copying)
        except OSError:
            with contextlib.suppress(OSError):
                remove(copying)  # the disk may be full
            raise
        os.rename(copying, incoming)
    # Copied whole: the original must be gone before the swap, or it would look unmoved after it.
    remove(move.staged)


def _swap(moves: list[Move]) -> None:
    """Renames the old ones aside, then the new ones in; undone where a rename fails."""
    renamed: list[tuple[Path, Path]] = []

    def rename(move: Move, source: Path, target: Path) -> None:
        with _cannot_move(move):
            os.rename(source, target)
            renamed.append((source, target))

    waiting = [move for move in moves if os.path.lexists(move.beside(".incoming"))]
    try:
        for move in waiting:
            if os.path.lexists(move.target):
                former = move.beside(".former")
                with _cannot_move(move):
                    remove(former)
                rename(move, move.target, former)
        for move in waiting:
            rename(move, move.beside(".incoming"), move.target)
    except PipelineError:
        for source, target in reversed(renamed):
            with contextlib.suppress(OSError):
                os.rename(target, source)
        raise


def _copy(source: Path, target: Path) -> None:
    """Copies content only: not every disk stores owners, modes and times."""
    if source.is_dir():
        target.mkdir()
        for entry in sorted(source.iterdir()):
            _copy(entry, target / entry.name)
    else:
        shutil.copyfile(source, target)


def remove(path: Path) -> None:
    """Removes a file or a whole folder, if there is one; of a link only the link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _cannot_move(move: Move) -> contextlib.AbstractContextManager[None]:
    return _named(
        f"The new results are complete, but {move.target} cannot be replaced",
        "make that possible and run the same command again: nothing is lost",
    )


@contextlib.contextmanager
def _named(failure: str, advice: str = "delete it by hand") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PipelineError(f"{failure} ({error.strerror or error}); {advice}.") from error
