"""A table with a test of every flag, and what its rows share: clips, results, mains."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import run_batch
import run_pipeline
import run_syncnet
import run_visualise
import run_wav2lip
from pipeline import cli
from pipeline.evaluate import folder as evaluate_folder
from pipeline.select import __main__ as select_main
from pipeline.store.workspace import Workspace
from tests.synthetic import ffmpeg

SCRIPTS: dict[str, Any] = {
    "run_pipeline": run_pipeline,
    "run_syncnet": run_syncnet,
    "run_visualise": run_visualise,
    "run_wav2lip": run_wav2lip,
    "evaluate": evaluate_folder,
    "run_batch": run_batch,
    "select": select_main,
}
# A face of 77 pixels in a frame of 320x180, 16 frames, with sound.
FACE = ("--min_track", "10", "--min_face_size", "50")
NO_SUCH_DEVICE = "cuda:99"


@dataclass(frozen=True)
class Ended:
    """How a script ended: its exit code and what it printed."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Bench:
    """Shared by the rows.

    Attributes:
        folder: empty, its own.
        clips: of media and results that no row changes.
        capsys, patch: of the test.
    """

    folder: Path
    clips: Path
    capsys: pytest.CaptureFixture[str]
    patch: pytest.MonkeyPatch

    @property
    def face(self) -> Path:
        """The clip of `FACE`."""
        return self.clips / "face.mp4"

    def run(self, script: str, *flags: str | Path) -> Ended:
        """Calls a script's main as its last lines do."""
        self.capsys.readouterr()
        try:
            code = cli.run(lambda: SCRIPTS[script].main([*map(str, flags)]))
        except SystemExit as refused:
            code = int(str(refused.code))
        output = self.capsys.readouterr()
        return Ended(code, output.out, output.err)

    def ran(self, script: str, *flags: str | Path) -> Ended:
        """`run` that must succeed."""
        outcome = self.run(script, *flags)
        assert outcome.code == 0, outcome
        return outcome

    def results(self, name: str = "work", reference: str = "face") -> Workspace:
        """A copy of the results of `face`, scored, under a name of its own."""
        shutil.copytree(self.clips / "work", self.folder / name)
        work = Workspace(self.folder / name, "face")
        if reference != "face":
            for folder_name in (self.folder / name).iterdir():
                if (folder_name / "face").is_dir():
                    (folder_name / "face").rename(folder_name / reference)
            work = Workspace(self.folder / name, reference)
        return work


def where(work: Workspace) -> tuple[str, str, str, str]:
    """The two flags that lead to a workspace."""
    return ("--data_dir", str(work.data_dir), "--reference", work.reference)


def read(path: Path) -> Any:
    """Content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def make_clips(folder: Path, source: Path) -> None:
    """Cuts the clip of `FACE` out of the sample."""
    codecs = ("-c:v", "libx264", "-crf", "12", "-c:a", "aac")
    ffmpeg("-i", source, "-t", "0.64", "-vf", "scale=320:180", *codecs, folder / "face.mp4")


Row = Callable[[Bench], None]
ROWS: dict[tuple[str, str], Row] = {}


def row(script: str, flag: str) -> Callable[[Row], Row]:
    """Registers a function as the test of a flag."""

    def enter(function: Row) -> Row:
        assert (script, flag) not in ROWS, "a flag has one row"
        ROWS[script, flag] = function
        return function

    return enter
