"""One video of a batch: through the stages with models that are loaded already, to its line."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.io import wavfile

from models.features import FRAME_RATE
from pipeline.batch.manifest import DONE, Line, failed_line
from pipeline.batch.options import HOLD_BYTES
from pipeline.batch.videos import local_file
from pipeline.errors import ToolkitError
from pipeline.faces.crops import track_sound
from pipeline.faces.detector import Detector, load_detector
from pipeline.faces.options import FaceOptions
from pipeline.faces.stage import Faces, find_faces, find_passing_faces
from pipeline.select.sound_print import sound_print
from pipeline.store.workspace import Workspace
from pipeline.sync.embedded import Embedded, join
from pipeline.sync.scorer import LipEmbedder, SyncOptions, SyncScorer
from pipeline.sync.stage import score_tracks
from pipeline.verdict.video import read_verdict

PASSING = "passing"  # reference of a video that leaves nothing


@dataclass(frozen=True)
class Stages:
    """The stages with their models loaded, and what they leave.

    Attributes:
        faces: how faces are found, and which files stay.
        detector: finds them.
        scorer: compares lips and sound.
        keep: see `BatchOptions`.
        data_dir: where results stay.
        scratch: an existing folder for what does not.
        overwrite: replace other results under the name of a video.
    """

    faces: FaceOptions
    detector: Detector
    scorer: SyncScorer
    keep: str
    data_dir: Path
    scratch: Path
    overwrite: bool

    @classmethod
    def load(cls, settings: dict[str, Any], scratch: Path) -> "Stages":
        """Loads the models.

        Args:
            settings: of `BatchOptions.worker_settings`.
            scratch: as above.

        Raises:
            InputError, WeightsError: an option or a weights file is at fault.
        """
        faces = FaceOptions(**settings["faces"])
        scorer = SyncScorer(SyncOptions(**settings["sync"]), device=settings["device"])
        detector = load_detector(faces.detector, device=scorer.device, precision=faces.precision)
        return cls(
            *(faces, detector, scorer, settings["keep"], Path(settings["data_dir"]), scratch),
            overwrite=settings["overwrite"],
        )

    def line(self, key: dict[str, Any]) -> Line:
        """Everything about one video, as the manifest has it; an error is a line that says why.

        Args:
            key: of `Video.key`.
        """
        try:
            with local_file(key["video"], self.scratch) as file:
                return self._scored(file, key)
        except ToolkitError as error:
            return failed_line(key, str(error))

    def _scored(self, file: Path, key: dict[str, Any]) -> Line:
        if self.keep != "none":
            workspace = Workspace(self.data_dir, key["reference"])
            faces = find_faces(
                file,
                workspace,
                self.faces,
                device=self.scorer.device,
                detector=self.detector,
                overwrite=self.overwrite,
            )
            notices: list[str] = []
            score_tracks(workspace, self.scorer, notice=notices.append)
            return _line(key, faces, workspace, notices)
        with tempfile.TemporaryDirectory(dir=self.scratch) as name:
            workspace, clips = Workspace(Path(name), PASSING), PassingClips(self.scorer)
            faces = find_passing_faces(
                file,
                workspace,
                self.faces,
                device=self.scorer.device,
                detector=self.detector,
                open_clip=clips.open,
                hold_bytes=HOLD_BYTES,
            )
            notices = []
            embedded = clips.embedded(workspace)
            score_tracks(workspace, self.scorer, notice=notices.append, embedded=embedded)
            return _line(key, faces, workspace, notices)


def _line(key: dict[str, Any], faces: Faces, workspace: Workspace, notices: list[str]) -> Line:
    """The line of a video whose stages have ended."""
    record = workspace.read_record() or {}
    counts, settings = record["counts"], record["settings"]
    every = [*faces.notices, *notices]
    return key | {
        "status": DONE,
        "reason": None if faces.tracks else " ".join(every) or "There is no face.",
        "seconds": counts["frames"] / settings["frame_rate"],
        "faces": faces.tracks,
        "sha256": record["input"]["sha256"],
        "sound_print": _sound_print(workspace),
        "notices": every,
        "verdict": asdict(read_verdict(workspace.verdict)),
        "tracks": workspace.read_offsets(),
    }


def _sound_print(workspace: Workspace) -> str | None:
    """What recognises the video's sound; None without any."""
    if not workspace.audio.is_file():
        return None
    return sound_print(wavfile.read(workspace.audio, mmap=True)[1]) or None


class PassingClips:
    """Takes the crops of a video's tracks for the lip-sync network instead of writing them.

    Args:
        scorer: whose network embeds them.
    """

    def __init__(self, scorer: SyncScorer) -> None:
        self._scorer = scorer
        self._lips: dict[int, tuple[torch.Tensor, int]] = {}

    @contextmanager
    def open(self, track: int) -> Iterator["_Crops"]:
        """See `crops.OpenClip`."""
        crops = _Crops(self._scorer.lip_embedder())
        yield crops
        self._lips[track] = (crops.embedder.finish(), crops.frames)

    def embedded(self, workspace: Workspace) -> list[Embedded]:
        """Lips and sound of every track, once all crops are taken."""
        tracks = [track for track, _ in workspace.read_tracks()]
        silent = not workspace.audio.is_file()
        joined = []
        for number, track in enumerate(tracks):
            samples = np.zeros(0, np.int16)
            if not silent:  # mapped anew for each: a mapped page counts as memory once it is read
                whole = wavfile.read(workspace.audio, mmap=True)[1]
                samples = track_sound(whole, track.frames, frame_rate=FRAME_RATE)
            lips, frames = self._lips.pop(number)
            joined.append(join(lips, self._scorer.embed_sound(samples), frames=frames))
        return joined


class _Crops:
    """A `crops.CropTaker` that embeds."""

    def __init__(self, embedder: LipEmbedder) -> None:
        self.embedder = embedder
        self.frames = 0

    def write(self, frame: np.ndarray) -> None:
        self.embedder.add(frame)
        self.frames += 1
