"""The folders of one video: which they are, who may work in them, how results get there.

A run collects its results in `pytmp/REF/` and, when they are complete, sets a mark and moves them
into place: whole folders (run_pipeline.py), or some files in them that belong together
(run_syncnet.py, run_wav2lip.py). Whatever stops a run leaves to the next either the old results or
all of the new ones: the next run clears what has no mark and finishes moving what has one.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import filelock

from models.files import partial_path
from pipeline.errors import InputError, PipelineError
from pipeline.store import swap

FOLDERS = ("pyavi", "pyframes", "pycrop", "pywork")  # pywork last: its pipeline.json says "done"
FOLDERS_COMPLETE = (
    "complete"  # in the scratch folder: its folders are whole and replace those there
)
FILES_COMPLETE = "complete_files"  # the files it lists are whole, and replace those there
LONGEST_REFERENCE = 200  # bytes; file systems allow 255, and names get prefixes here

AnyFolders = TypeVar("AnyFolders", bound="Folders")


def held_lock(path: Path, *, busy: str) -> filelock.BaseFileLock:
    """Keeps a second run off what a file stands for, until it is released.

    A killed run's lock goes with its process.

    Args:
        path: of the lock file, in a folder that is there.
        busy: what to say where another run holds it.

    Raises:
        PipelineError: another run holds it.
        OSError: the file cannot be written.
    """
    lock = filelock.FileLock(path, blocking=False)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise PipelineError(busy) from error
    return lock


@dataclass(frozen=True)
class Folders:
    """Where one video's folders are: `DATA_DIR/<folder>/REFERENCE/`, or a folder of such folders.

    Attributes:
        data_dir: DATA_DIR.
        reference: the name of the video's results.
        staged: the folders are those of an unfinished run, inside `pytmp/REFERENCE/`.
    """

    data_dir: Path
    reference: str
    staged: bool = False

    def __post_init__(self) -> None:
        name = self.reference
        if name in ("", ".", "..") or any(letter in name for letter in "/\\\0\n\r"):
            raise InputError(
                f"--reference {name!r} cannot name a folder; "
                "use a name without slashes that is not '.' or '..'."
            )
        if name.startswith(".") and name.endswith((".lock", *swap.PASSING_SUFFIXES)):
            raise InputError(f"--reference {name!r} is a name for passing files; use another.")
        if len(os.fsencode(name)) > LONGEST_REFERENCE:
            raise InputError(f"--reference {name[:20]!r}... is too long; use a shorter name.")

    def folder(self, name: str) -> Path:
        """Folder of one of `FOLDERS`."""
        if self.staged:
            return self.scratch / name
        return self.data_dir / name / self.reference

    @property
    def scratch(self) -> Path:
        """Folder of unfinished results and passing files."""
        return self.data_dir / "pytmp" / self.reference

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps a second run off this reference; see `held_lock`.

        Raises:
            PipelineError: another run holds it, or a file could not be read or written.
            InputError: DATA_DIR cannot be written.
        """
        path = self.data_dir / "pytmp" / f".{self.reference}.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = held_lock(
                path,
                busy=f"Another run is working on reference {self.reference} in {self.data_dir}; "
                "wait for it or use another --reference.",
            )
        except OSError as error:
            raise InputError(
                f"--data_dir {self.data_dir} cannot be written ({error.strerror or error}); "
                "choose another folder."
            ) from error
        try:
            yield
        except BrokenPipeError:  # the reader of our output has gone
            raise
        except OSError as error:
            raise PipelineError(
                f"Working in {self.data_dir} failed ({error.strerror or error}: "
                f"{error.filename or 'a file'}); mend that and run the same command again."
            ) from error
        finally:
            lock.release()

    def occupied(self) -> bool:
        """Some folder already holds files of this reference."""
        return any(
            self.folder(name).exists() and any(self.folder(name).iterdir()) for name in FOLDERS
        )

    def begin(self: AnyFolders) -> AnyFolders:
        """Empty folders for a new run; what a killed run left in them is removed.

        Raises:
            InputError: a folder cannot be replaced, so that the work would be for nothing.
            PipelineError: what is left of an earlier run cannot be removed.
        """
        self.discard_staging()
        for move in self._folder_moves():
            self._check_folder(move.target)
        swap.clear(self._folder_moves())
        staging = replace(self, staged=True)
        for name in FOLDERS:
            staging.folder(name).mkdir(parents=True)
        return staging

    @contextmanager
    def collecting(self: AnyFolders) -> Iterator[AnyFolders]:
        """`begin`, and whatever happens, nothing unfinished is left behind."""
        try:
            yield self.begin()
        finally:
            with suppress(PipelineError):  # what failed before that says more
                self.discard_staging()

    def _check_folder(self, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.is_mount():
            raise InputError(
                f"{folder} is where a disk is mounted and cannot be replaced; use a folder on it."
            )
        if not os.access(folder.parent, os.W_OK | os.X_OK):
            raise InputError(
                f"{folder.parent} cannot be written; change that or choose another --data_dir."
            )

    def discard_staging(self) -> None:
        """Removes unfinished results and passing files; never complete ones that wait.

        Raises:
            PipelineError: something cannot be removed.
        """
        if self._marked(FOLDERS_COMPLETE) or self._marked(FILES_COMPLETE):
            return
        self._empty_scratch()

    def _empty_scratch(self) -> None:
        try:
            entries = list(self.scratch.iterdir()) if self.scratch.is_dir() else []
            for entry in entries:
                swap.remove(entry)
            if entries and not self.scratch.is_symlink():
                self.scratch.rmdir()
        except OSError as error:
            raise PipelineError(
                f"{self.scratch} cannot be cleared ({error.strerror or error}); delete it."
            ) from error

    def commit(self) -> None:
        """Moves a complete run into place, replacing what was there.

        Raises:
            PipelineError: a folder cannot be replaced: old and new results are kept, and the next
                run tries again.
        """
        staging = replace(self, staged=True)
        for name in FOLDERS:
            if not staging.folder(name).is_dir():
                raise PipelineError(
                    f"{staging.folder(name)} was removed while the run was working; run it again."
                )
        (self.scratch / FOLDERS_COMPLETE).touch()
        self.finish_commit()

    def commit_files(self, *names: str) -> None:
        """Moves single complete files into their folders, all or none.

        Args:
            names: `folder/file`, of files in the staged folders.

        Raises:
            PipelineError: as for `commit`, or a file is not there.
        """
        moves = [self._file_move(name) for name in names]
        for move in moves:
            if not move.staged.is_file():
                raise PipelineError(
                    f"{move.staged} was removed while the run was working; run it again."
                )
        swap.clear(moves)
        mark = self.scratch / FILES_COMPLETE
        partial = partial_path(mark)
        partial.write_text("\n".join(names), encoding="utf-8")
        partial.replace(mark)
        self.finish_commit()

    def finish_commit(self) -> None:
        """Goes on where a run was stopped while moving complete results; else does nothing.

        Raises:
            PipelineError: as for `commit`.
        """
        if self._marked(FOLDERS_COMPLETE):
            moves = self._folder_moves()
        elif self._marked(FILES_COMPLETE):
            names = (self.scratch / FILES_COMPLETE).read_text(encoding="utf-8").split("\n")
            moves = [self._file_move(name) for name in names]
        else:
            return
        swap.finish(moves)
        self._empty_scratch()

    def _marked(self, mark: str) -> bool:
        return (self.scratch / mark).exists()

    def _folder_moves(self) -> list[swap.Move]:
        return [swap.Move(self.scratch / name, self._real_folder(name)) for name in FOLDERS]

    def _file_move(self, name: str) -> swap.Move:
        folder_name, _, file = name.partition("/")
        return swap.Move(self.scratch / folder_name / file, self._real_folder(folder_name) / file)

    def _real_folder(self, name: str) -> Path:
        """Where a folder is when links are followed: they are the user's, and stay."""
        return Path(os.path.realpath(self.data_dir / name / self.reference))
