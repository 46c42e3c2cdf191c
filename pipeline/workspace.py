"""The folders and files of one video: every name, every format, every read and write.

The layout is that of the SyncNet demo. A run collects its results in `pytmp/REF/` and moves them
into place when they are complete, so a killed run leaves either the old results or none: the
next one clears what it left, or finishes moving what was complete.
"""

import json
import os
import pickle
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from scenedetect import FrameTimecode

from models.features import FRAME_RATE
from pipeline.errors import InputError, PipelineError
from pipeline.media import partial_path
from pipeline.tracks import CropPath, Face, Track

ROOMS = ("pyavi", "pyframes", "pycrop", "pywork")  # pywork last: its pipeline.json says "done"
LONGEST_REFERENCE = 200  # bytes; file systems allow 255, and names get prefixes here


@dataclass(frozen=True)
class Workspace:
    """Where one video's files are: `DATA_DIR/<room>/REFERENCE/`, or a folder of rooms.

    Attributes:
        data_dir: DATA_DIR.
        reference: the name of the video's results.
        staged: the rooms are those of an unfinished run, inside `pytmp/REFERENCE/`.
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
        if len(os.fsencode(name)) > LONGEST_REFERENCE:
            raise InputError(f"--reference {name[:20]!r}... is too long; use a shorter name.")

    def room(self, name: str) -> Path:
        """Folder of one of `ROOMS`."""
        if self.staged:
            return self.scratch / name
        return self.data_dir / name / self.reference

    @property
    def scratch(self) -> Path:
        """Folder of unfinished results and passing files."""
        return self.data_dir / "pytmp" / self.reference

    # What a user looks for.

    @property
    def video(self) -> Path:
        """The input at the working frame rate."""
        return self.room("pyavi") / "video.avi"

    @property
    def audio(self) -> Path:
        """Its sound, mono, 16 kHz; absent for silent videos."""
        return self.room("pyavi") / "audio.wav"

    @property
    def labelled_picture(self) -> Path:
        """The labelled video before sound is added."""
        return self.room("pyavi") / "video_only.avi"

    @property
    def labelled_video(self) -> Path:
        """The video with faces marked."""
        return self.room("pyavi") / "video_out.avi"

    @property
    def offsets_text(self) -> Path:
        """One line per track, in the format of the SyncNet demo."""
        return self.room("pywork") / "offsets.txt"

    @property
    def offsets_json(self) -> Path:
        """One object per track, with everything that was measured."""
        return self.room("pywork") / "offsets.json"

    @property
    def record(self) -> Path:
        """Input, settings, counts, and why nothing was found; its presence means complete."""
        return self.room("pywork") / "pipeline.json"

    @property
    def tracks(self) -> Path:
        """Faces followed over time, and where their clips were cut."""
        return self.room("pywork") / "tracks.pckl"

    def frame(self, index: int) -> Path:
        """The picture of 0-based frame `index`; file numbers start at 1."""
        return self.room("pyframes") / f"{index + 1:06d}.jpg"

    def crop(self, track: int) -> Path:
        """The face clip of a track."""
        return self.room("pycrop") / f"{track:05d}.avi"

    def crops(self) -> list[Path]:
        """All face clips, in track order."""
        found = self.room("pycrop").glob("[0-9]*.avi")
        return sorted(found, key=lambda path: int(path.stem))

    # Pickles of the SyncNet demo; written with plain types only, read through an allow-list.

    def write_faces(self, faces: list[list[Face]]) -> None:
        """Writes faces.pckl: per frame a list of {'frame', 'bbox', 'conf'}."""
        rows = [
            [
                {"frame": index, "bbox": list(face.box), "conf": np.float64(face.confidence)}
                for face in frame
            ]
            for index, frame in enumerate(faces)
        ]
        write_pickle(self.room("pywork") / "faces.pckl", rows)

    def write_scenes(self, scenes: list[tuple[int, int]], *, frame_rate: int) -> None:
        """Writes scene.pckl: (start, end) pairs of scenedetect's timecodes, as the demo does."""
        rows = [tuple(FrameTimecode(index, fps=float(frame_rate)) for index in s) for s in scenes]
        write_pickle(self.room("pywork") / "scene.pckl", rows)

    def write_tracks(self, tracks: list[Track], paths: list[CropPath]) -> None:
        """Writes tracks.pckl: {'track': {'frame', 'bbox'}, 'proc_track': {'x', 'y', 's'}} each."""
        rows = [
            {
                "track": {"frame": track.frames, "bbox": track.boxes},
                "proc_track": {"x": path.x, "y": path.y, "s": path.s},
            }
            for track, path in zip(tracks, paths, strict=True)
        ]
        write_pickle(self.tracks, rows)

    def read_tracks(self) -> list[tuple[Track, CropPath]]:
        """The inverse of `write_tracks`.

        Raises:
            InputError: run_pipeline.py has not been run for this reference, or the file is not its.
        """
        path = self.tracks
        tracks = []
        try:
            for row in self._read_list(path, "run_pipeline.py"):
                track = Track(np.asarray(row["track"]["frame"]), np.asarray(row["track"]["bbox"]))
                smooth = (np.asarray(row["proc_track"][key]) for key in ("x", "y", "s"))
                tracks.append((track, CropPath(*smooth)))
        except (TypeError, KeyError, IndexError) as error:
            raise InputError(f"{path} has another format; run run_pipeline.py again.") from error
        return tracks

    def write_distances(self, distances: list[np.ndarray]) -> None:
        """Writes activesd.pckl: per track (windows, shifts) float32."""
        write_pickle(self.room("pywork") / "activesd.pckl", distances)

    def read_distances(self) -> list[np.ndarray]:
        """The inverse of `write_distances`.

        Raises:
            InputError: run_syncnet.py has not been run for this reference.
        """
        rows = self._read_list(self.room("pywork") / "activesd.pckl", "run_syncnet.py")
        return [np.asarray(row, np.float32) for row in rows]

    def _read_list(self, path: Path, written_by: str) -> list[Any]:
        if not path.is_file():
            raise InputError(
                f"{path} is not there; run {written_by} --reference {self.reference} first."
            )
        rows = read_pickle(path)
        if not isinstance(rows, list):
            raise InputError(f"{path} has another format; run {written_by} again.")
        return rows

    def read_record(self) -> dict[str, Any] | None:
        """What pipeline.json holds, None where there is no complete run."""
        try:
            record = json.loads(self.record.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return record if isinstance(record, dict) else None

    def read_frame_rate(self) -> int:
        """Frames per second of this workspace's frames and clips; 25 for results of other tools."""
        settings = (self.read_record() or {}).get("settings", {})
        return int(settings.get("frame_rate", FRAME_RATE))

    # A run: lock, collect, move into place.

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps a second run off this reference; a killed run's lock goes with its process.

        Raises:
            PipelineError: another run holds it, or DATA_DIR cannot be written.
        """
        path = self.data_dir / "pytmp" / f".{self.reference}.lock"
        with self._lock_file(path) as file:
            if not _try_lock(file.fileno()):
                raise PipelineError(
                    f"Another run is working on reference {self.reference} in {self.data_dir}; "
                    "wait for it or use another --reference."
                )
            if not _is_file_at(file.fileno(), path):
                # Its last holder removed it between our opening and our locking.
                with self.locked():
                    yield
                return
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def _lock_file(self, path: Path) -> IO[str]:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("w")
        except OSError as error:
            raise InputError(
                f"--data_dir {self.data_dir} cannot be written ({error.strerror}); "
                "choose another folder."
            ) from error

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Results of run_pipeline.py for a later stage, locked, never half of one run's.

        Raises:
            InputError: there are none.
            PipelineError: another run is working on them.
        """
        if not (self.tracks.is_file() or (self.scratch / "complete").exists()):
            raise InputError(
                f"{self.tracks} is not there; run run_pipeline.py --reference {self.reference} "
                "first."
            )
        with self.locked():
            self.finish_commit()
            yield

    def occupied(self) -> bool:
        """Some room already holds files of this reference."""
        return any(self.room(name).exists() and any(self.room(name).iterdir()) for name in ROOMS)

    def begin(self) -> "Workspace":
        """Empty rooms for a new run; what a killed run left in them is removed."""
        staging = Workspace(self.data_dir, self.reference, staged=True)
        self.discard_staging()
        for name in ROOMS:
            staging.room(name).mkdir(parents=True)
        return staging

    def discard_staging(self) -> None:
        """Removes unfinished results and passing files."""
        shutil.rmtree(self.scratch, ignore_errors=True)

    def commit(self) -> None:
        """Moves a complete run into place, replacing what was there."""
        (self.scratch / "complete").touch()
        self.finish_commit()

    def finish_commit(self) -> None:
        """Goes on where a run was killed while moving complete results; else does nothing."""
        if not (self.scratch / "complete").exists():
            return
        staging = Workspace(self.data_dir, self.reference, staged=True)
        for name in ROOMS:
            if staging.room(name).exists():
                shutil.rmtree(self.room(name), ignore_errors=True)
                self.room(name).parent.mkdir(parents=True, exist_ok=True)
                staging.room(name).rename(self.room(name))
        self.discard_staging()


def _is_file_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _try_lock(descriptor: int) -> bool:
    try:
        import fcntl
    except ImportError:  # not on Windows, where runs must be kept apart by hand
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def write_text(path: Path, text: str) -> None:
    """Writes a whole text file or none; lines end in LF."""
    partial = partial_path(path)
    with partial.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
    partial.replace(path)


def write_json(path: Path, value: object) -> None:
    """Writes a whole JSON file or none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_pickle(path: Path, value: object) -> None:
    """Writes a whole pickle or none."""
    partial = partial_path(path)
    with partial.open("wb") as file:
        pickle.dump(value, file)
    partial.replace(path)


class _PlainUnpickler(pickle.Unpickler):
    """Builds numpy arrays and plain Python values, and nothing else."""

    ALLOWED = frozenset(
        {
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy.core.multiarray", "scalar"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "scalar"),
            ("numpy._core.numeric", "_frombuffer"),
            ("numpy.core.numeric", "_frombuffer"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


def read_pickle(path: Path) -> Any:
    """Reads a pickle of numpy arrays and plain values; nothing else is ever constructed.

    Raises:
        InputError: the file asks for anything else, or is damaged.
    """
    with path.open("rb") as file:
        return _unpickle(file, path)


def _unpickle(file: BinaryIO, path: Path) -> Any:
    try:
        return _PlainUnpickler(file, encoding="latin1").load()
    except Exception as error:  # a damaged pickle can raise nearly any type
        raise InputError(
            f"{path} is not a pickle this program reads ({error}); "
            "delete it and run the step that writes it again."
        ) from error
