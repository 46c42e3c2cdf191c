"""The files of one video: every name, every format, every read and write.

The layout is that of the SyncNet demo; `folders` says how results get there.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from models.features import FRAME_RATE
from models.files import partial_path
from pipeline.errors import InputError
from pipeline.faces.tracks import CropPath, Face, Track
from pipeline.speakers import files as speaking_files
from pipeline.speakers.files import Speaking
from pipeline.store import demo_files
from pipeline.store.folders import FOLDERS, FOLDERS_COMPLETE, Folders
from pipeline.store.safe_pickle import read_pickle, write_pickle

__all__ = ["FOLDERS", "Workspace"]

Stored = TypeVar("Stored")


@dataclass(frozen=True)
class Workspace(Folders):
    """Where one video's files are, and what is in them; attributes as of `Folders`."""

    # What a user looks for.

    @property
    def video(self) -> Path:
        """The input at the working frame rate."""
        return self.folder("pyavi") / "video.avi"

    @property
    def audio(self) -> Path:
        """Its sound, mono, 16 kHz; absent for silent videos."""
        return self.folder("pyavi") / "audio.wav"

    @property
    def labelled_video(self) -> Path:
        """The video with faces marked."""
        return self.folder("pyavi") / "video_out.avi"

    @property
    def labelled_copy(self) -> Path:
        """The same for browsers, as H.264 and AAC."""
        return self.folder("pyavi") / "video_out.mp4"

    @property
    def report_page(self) -> Path:
        """Everything about the video, to look at in a browser."""
        return self.folder("pywork") / "report.html"

    @property
    def offsets_text(self) -> Path:
        """One line per track, in the format of the SyncNet demo."""
        return self.folder("pywork") / "offsets.txt"

    @property
    def offsets_json(self) -> Path:
        """One object per track, with everything that was measured."""
        return self.folder("pywork") / "offsets.json"

    @property
    def verdict(self) -> Path:
        """What all faces of the video say together; see `pipeline.verdict.video`."""
        return self.folder("pywork") / "video.json"

    @property
    def speakers(self) -> Path:
        """Who speaks when, as RTTM."""
        return self.folder("pywork") / "speakers.rttm"

    @property
    def speaking(self) -> Path:
        """Who speaks when, with a score per frame."""
        return self.folder("pywork") / "speaking.json"

    @property
    def distances(self) -> Path:
        """Of lips and sound at every shift, per track."""
        return self.folder("pywork") / "activesd.pckl"

    @property
    def dubbed_video(self) -> Path:
        """The video with regenerated mouths."""
        return self.folder("pyavi") / "video_wav2lip.mp4"

    @property
    def dubbed_record(self) -> Path:
        """What was regenerated, with what, and how well it fits."""
        return self.folder("pywork") / "wav2lip.json"

    @property
    def record(self) -> Path:
        """Input, settings, counts, and why nothing was found; its presence means complete."""
        return self.folder("pywork") / "pipeline.json"

    @property
    def tracks(self) -> Path:
        """Faces followed over time, and where their clips were cut."""
        return self.folder("pywork") / "tracks.pckl"

    def frame(self, index: int) -> Path:
        """The picture of 0-based frame `index`; file numbers start at 1."""
        return self.folder("pyframes") / f"{index + 1:06d}.jpg"

    def crop(self, track: int) -> Path:
        """The face clip of a track."""
        return self.folder("pycrop") / f"{track:05d}.avi"

    def clips(self) -> dict[int, Path]:
        """The face clips by track number, in its order: the name of the file is the number.

        Files of any other name are none of ours, like the demo's `00000t.avi`.
        """
        clips = {}
        for path in self.folder("pycrop").glob("*.avi"):
            if re.fullmatch(r"[0-9]{5,}", path.stem) and path == self.crop(int(path.stem)):
                clips[int(path.stem)] = path
        return dict(sorted(clips.items()))

    def crops(self) -> list[Path]:
        """All face clips, in track order."""
        return list(self.clips().values())

    def missing(self) -> list[Path]:
        """Which of the files that pipeline.json promises are not there, or empty."""
        record = self.read_record() or {}
        sound = record.get("sound") is not None
        counts, settings = record.get("counts", {}), record.get("settings", {})
        pickled = [self.folder("pywork") / name for name in ("faces.pckl", "scene.pckl")]
        promised = [self.record, self.tracks, *pickled, *([self.audio] * sound)]
        promised += [self.video] * settings.get("keep_video", True)
        promised += [self.crop(track) for track in range(counts.get("tracks", 0))]
        lacking = [path for path in promised if not (path.is_file() and path.stat().st_size)]
        if settings.get("keep_frames", True):
            # Listed, not looked for one by one: there may be hundreds of thousands.
            folder = self.folder("pyframes")
            names = set(os.listdir(folder)) if folder.is_dir() else set()
            frames = [self.frame(index) for index in range(counts.get("frames", 0))]
            lacking += [path for path in frames if path.name not in names]
        return lacking

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
        write_pickle(self.folder("pywork") / "faces.pckl", rows)

    def write_scenes(self, scenes: list[tuple[int, int]], *, frame_rate: int) -> None:
        """Writes scene.pckl: (start, end) pairs of scenedetect's timecodes, as the demo does."""
        from scenedetect import FrameTimecode  # reading does without it

        rows = [tuple(FrameTimecode(index, fps=float(frame_rate)) for index in s) for s in scenes]
        write_pickle(self.folder("pywork") / "scene.pckl", rows)

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
            frame_size_px: width and height; rarely needed, as the older versions' tracks, whose
                boxes are fractions of them, mostly tell it themselves.

        Raises:
            InputError: run_pipeline.py has not been run for this reference, or the file is not its.
        """
        return self._read(
            "tracks.pckl",
            lambda rows: demo_files.tracks(rows, frame_size_px=frame_size_px),
            written_by="run_pipeline.py",
        )

    def write_frame_times(self, times_s: np.ndarray) -> None:
        """Writes frame_times.npy: (frames,) float64, when the input shows each frame, seconds."""
        path = self.folder("pywork") / "frame_times.npy"
        with partial_path(path).open("wb") as file:
            np.save(file, times_s)
        partial_path(path).replace(path)

    def read_frame_times(self) -> np.ndarray | None:
        """The inverse of `write_frame_times`; None for results of other programs, or older ones."""
        try:
            times_s = np.load(self.folder("pywork") / "frame_times.npy", allow_pickle=False)
        except (OSError, ValueError):
            return None
        usable = times_s.ndim == 1 and times_s.dtype == np.float64
        return np.asarray(times_s) if usable else None

    def write_distances(self, distances: list[np.ndarray]) -> None:
        """Writes activesd.pckl: per track (windows, shifts) float32."""
        write_pickle(self.distances, distances)

    def read_distances(self) -> list[np.ndarray]:
        """The inverse of `write_distances`.

        Raises:
            InputError: run_syncnet.py has not been run for this reference.
        """
        return self._read("activesd.pckl", demo_files.distances, written_by="run_syncnet.py")

    def _read(self, name: str, convert: Callable[[Any], Stored], *, written_by: str) -> Stored:
        path = self.folder("pywork") / name
        if not path.is_file():
            raise InputError(
                f"{path} is not there; run {written_by} --reference {self.reference} first."
            )
        content = read_pickle(path)
        try:
            return convert(content)
        except demo_files.FrameSizeNeeded as error:
            raise InputError(
                f"{path} holds boxes as fractions of the frame; read it with frame_size_px."
            ) from error
        except (TypeError, ValueError, LookupError, ArithmeticError) as error:
            again = f"{written_by} again{' with --overwrite' * (written_by == 'run_pipeline.py')}"
            raise InputError(f"{path} has another format; run {again}.") from error

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
        if not (isinstance(rows, list) and all(isinstance(row, dict) for row in rows)):
            raise InputError(f"{path} has another format; run run_syncnet.py again.")
        return rows

    def read_speaking(self) -> Speaking | None:
        """What speaking.json holds; None for results of other programs, or older ones.

        Raises:
            InputError: the file is damaged.
        """
        path = self.speaking
        if not path.is_file():
            return None
        try:
            return speaking_files.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise InputError(f"{path} is damaged; run run_syncnet.py again.") from error

    def read_record(self) -> dict[str, Any] | None:
        """What pipeline.json holds, None where there is no complete run."""
        try:
            record = json.loads(self.record.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return record if isinstance(record, dict) else None

    def input_paths(self) -> list[Path]:
        """Where the input of run_pipeline.py may be; empty where pipeline.json does not say it.

        Older records hold a path from where the run was started.
        """
        recorded = (self.read_record() or {}).get("file")
        if not recorded:
            return []
        path = Path(recorded)
        folders = [] if path.is_absolute() else self.data_dir.resolve().parents
        return [path, *(folder / path for folder in folders)]

    def read_frame_rate(self) -> int:
        """Frames per second of this workspace's frames and clips; 25 for results of other tools."""
        settings = (self.read_record() or {}).get("settings", {})
        return int(settings.get("frame_rate", FRAME_RATE))

    # A run: lock, collect, move into place.

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Results of run_pipeline.py for a later stage, locked, never half of one run's.

        Raises:
            InputError: there are none.
            PipelineError: another run is working on them.
        """
        if not self.has_results():
            raise InputError(
                f"{self.tracks} is not there; run run_pipeline.py --reference {self.reference} "
                "first."
            )
        with self.locked():
            self.finish_commit()
            yield

    def has_results(self) -> bool:
        """There are results of run_pipeline.py, in place or about to be."""
        return self.tracks.is_file() or self._marked(FOLDERS_COMPLETE)
