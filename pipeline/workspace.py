"""The folders and files of one video: every name, every format, every read and write.

The layout is that of the SyncNet demo. A run collects its results in `pytmp/REF/` and moves them
into place when they are complete, so a killed run leaves either the old results or none: the
next one clears what it left, or finishes moving what was complete.
"""

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from models.features import FRAME_RATE
from pipeline import pickles
from pipeline.errors import InputError, PipelineError
from pipeline.pickles import read_pickle, write_pickle
from pipeline.readable import READABLE
from pipeline.tracks import CropPath, Face, Track
from pipeline.writers import partial_path

ROOMS = ("pyavi", "pyframes", "pycrop", "pywork")  # pywork last: its pipeline.json says "done"
LONGEST_REFERENCE = 200  # bytes; file systems allow 255, and names get prefixes here

Stored = TypeVar("Stored")


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
    def speakers(self) -> Path:
        """Who speaks when, as RTTM."""
        return self.room("pywork") / "speakers.rttm"

    @property
    def dubbed_video(self) -> Path:
        """The video with regenerated mouths."""
        return self.room("pyavi") / "video_wav2lip.mp4"

    @property
    def dubbed_record(self) -> Path:
        """What was regenerated, with what, and how well it fits."""
        return self.room("pywork") / "wav2lip.json"

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

    # Pickles: written as today's SyncNet demo does, read as any of its versions did.

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

    def read_faces(self, *, frame_size_px: tuple[int, int] | None = None) -> list[list[Face]]:
        """Per frame its faces, in pixels.

        Args:
            frame_size_px: width and height; the demo's older versions wrote fractions of them.

        Raises:
            InputError: there is no such file, it is not the demo's, or it needs `frame_size_px`.
        """
        return self._read(
            "faces.pckl",
            lambda rows: pickles.faces(rows, frame_size_px=frame_size_px),
            written_by="run_pipeline.py",
        )

    def write_scenes(self, scenes: list[tuple[int, int]], *, frame_rate: int) -> None:
        """Writes scene.pckl: (start, end) pairs of scenedetect's timecodes, as the demo does."""
        from scenedetect import FrameTimecode  # reading does without it

        rows = [tuple(FrameTimecode(index, fps=float(frame_rate)) for index in s) for s in scenes]
        write_pickle(self.room("pywork") / "scene.pckl", rows)

    def read_scenes(self) -> list[tuple[int, int]]:
        """Shots as [start, end) frame indices.

        Raises:
            InputError: there is no such file, or it is not the demo's.
        """
        return self._read("scene.pckl", pickles.scenes, written_by="run_pipeline.py")

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

    def read_tracks(
        self, *, frame_size_px: tuple[int, int] | None = None
    ) -> list[tuple[Track, CropPath]]:
        """Tracks and where their clips were cut, in pixels.

        Args:
            frame_size_px: as for `read_faces`; rarely needed, as tracks tell it themselves.

        Raises:
            InputError: run_pipeline.py has not been run for this reference, or the file is not its.
        """
        return self._read(
            "tracks.pckl",
            lambda rows: pickles.tracks(rows, frame_size_px=frame_size_px),
            written_by="run_pipeline.py",
        )

    def write_distances(self, distances: list[np.ndarray]) -> None:
        """Writes activesd.pckl: per track (windows, shifts) float32."""
        write_pickle(self.room("pywork") / "activesd.pckl", distances)

    def read_distances(self) -> list[np.ndarray]:
        """The inverse of `write_distances`.

        Raises:
            InputError: run_syncnet.py has not been run for this reference.
        """
        return self._read("activesd.pckl", pickles.distances, written_by="run_syncnet.py")

    def _read(self, name: str, convert: Callable[[Any], Stored], *, written_by: str) -> Stored:
        path = self.room("pywork") / name
        if not path.is_file():
            raise InputError(
                f"{path} is not there; run {written_by} --reference {self.reference} first."
            )
        content = read_pickle(path)
        try:
            return convert(content)
        except pickles.FrameSizeNeeded as error:
            raise InputError(
                f"{path} holds boxes as fractions of the frame; read it with frame_size_px."
            ) from error
        except (TypeError, ValueError, LookupError, ArithmeticError) as error:
            raise InputError(f"{path} has another format; run {written_by} again.") from error

    def read_offsets(self) -> list[dict[str, Any]]:
        """The rows of offsets.json.

        Raises:
            InputError: run_syncnet.py has not been run for this reference, or the file is damaged.
        """
        path = self.offsets_json
        if not path.is_file():
            raise InputError(
                f"{path} is not there; run run_syncnet.py --reference {self.reference} first."
            )
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path} is damaged; run run_syncnet.py again.") from error
        if not isinstance(rows, list):
            raise InputError(f"{path} has another format; run run_syncnet.py again.")
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
    with partial.open("w", encoding="utf-8", errors=READABLE, newline="\n") as file:
        file.write(text)
    partial.replace(path)


def write_json(path: Path, value: object) -> None:
    """Writes a whole JSON file or none."""
    write_text(path, json_text(value, indent=2) + "\n")


def json_text(value: object, *, indent: int | None = None) -> str:
    r"""JSON that any reader takes, of anything the toolkit records.

    A file name that is not UTF-8 keeps its bytes as \udcXX, from which `json.loads` makes the same
    path again; NaN and infinity, which JSON has not, become null.
    """
    text = json.dumps(
        _finite(value), indent=indent, ensure_ascii=False, allow_nan=False, default=_plain
    )
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: object) -> object:
    """A number of numpy as Python's, anything else, like a path, as text."""
    return _finite(value.item()) if isinstance(value, np.generic) else str(value)
