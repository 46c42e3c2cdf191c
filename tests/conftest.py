"""Fixtures of all tests: reference data, small clips, and the real scripts."""

import importlib
import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from models import weights
from pipeline import cli
from pipeline.faces.options import FaceOptions
from pipeline.faces.stage import find_faces
from pipeline.store.workspace import FOLDERS, Workspace
from tests.skips import is_allowed
from tests.synthetic import ffmpeg

REPO = Path(__file__).resolve().parent.parent

FACE_OPTIONS = FaceOptions(min_track=10)  # for `face_clip`
FACE_FLAGS = ("--min_track", "10")

Script = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def repo() -> Path:
    """Root of the repository."""
    return REPO


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference data that is never committed; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("SYNC_SHARED", REPO.parent / "shared"))
    if not folder.is_dir():
        pytest.skip("no reference data: set SYNC_SHARED to its folder")
    return folder


@pytest.fixture(autouse=True, scope="session")
def own_weights(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Published weights a user may have in data/ stay out: answers here are the bundled ones'.

    Of this process, and of every script that it starts.
    """
    weights.PUBLISHED_DIR = tmp_path_factory.mktemp("no_published_weights")
    os.environ["SYNCNET_WEIGHTS"] = str(weights.PUBLISHED_DIR)


@pytest.fixture(autouse=True, scope="session")
def ctrl_c_not_ignored() -> None:
    """Makes Ctrl-C raise; a shell that starts the tests in the background ignores it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skip whose reason is not in tests/skips.py is a failure."""
    report = yield
    if report.outcome == "skipped" and call.excinfo is not None:
        reason = str(call.excinfo.value)
        if not is_allowed(item.path.name, reason):
            report.outcome = "failed"
            report.longrepr = f"skipped, but the reason is not in tests/skips.py: {reason}"
    return report


@pytest.fixture(scope="session")
def cpu() -> torch.device:
    """Device of the tests' networks."""
    return torch.device("cpu")


@pytest.fixture(scope="session")
def script() -> Script:
    """Runs one of the real commands; gives its exit code and output."""

    def run(name: str, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, str(REPO / name), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)

    return run


@pytest.fixture
def script_here(capsys: pytest.CaptureFixture[str]) -> Script:
    """Runs a command in this process, without the start of Python."""

    def run(name: str, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        module, flags = importlib.import_module(Path(name).stem), [*map(str, arguments)]
        capsys.readouterr()
        try:
            code = cli.run(lambda: module.main(flags))
        except SystemExit as stopped:  # argparse
            code = int(stopped.code or 0)
        output = capsys.readouterr()
        return subprocess.CompletedProcess([name, *flags], code, output.out, output.err)

    return run


@pytest.fixture(scope="session")
def example() -> Path:
    """The bundled sample."""
    return REPO / "data" / "example.mp4"


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder for clips made once."""
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="session")
def face_clip(clips: Path, example: Path) -> Path:
    """The first 30 frames of the sample: one face, with sound."""
    path = clips / "face.mp4"
    ffmpeg("-i", example, "-t", "1.2", "-c:v", "libx264", "-crf", "18", "-c:a", "aac", path)
    return path


@pytest.fixture(scope="session")
def no_face_clip(clips: Path) -> Path:
    """20 frames of a test picture, with sound."""
    path = clips / "noface.mp4"
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=s=160x120:r=25", "-f", "lavfi", "-i", "sine=440:r=16000"),
        *("-t", "0.8", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-c:a", "aac", path),
    )
    return path


@pytest.fixture(scope="session")
def done(face_clip: Path, tmp_path_factory: pytest.TempPathFactory, cpu: torch.device) -> Workspace:
    """Complete results of the face clip; tests must not change them."""
    work = Workspace(tmp_path_factory.mktemp("done"), "face")
    prepared = find_faces(face_clip, work, FACE_OPTIONS, device=cpu)
    assert (prepared.tracks, prepared.was_complete, prepared.notices) == (1, False, [])
    return work


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    """A workspace whose folders are empty."""
    work = Workspace(tmp_path, "talk")
    for name in FOLDERS:
        work.folder(name).mkdir(parents=True)
    return work


@pytest.fixture(scope="session")
def rule(shared: Path) -> ModuleType:
    """The rule that fills networks with the weights behind the parity vectors."""
    path = shared / "parity" / "make_weights.py"
    described = importlib.util.spec_from_file_location("make_weights", path)
    assert described and described.loader
    module = importlib.util.module_from_spec(described)
    described.loader.exec_module(module)
    return module


@pytest.fixture
def stub_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mouths are as bright as their sound, instead of a generator's."""
    from tests.dub_kit import MouthShowsSound

    network = MouthShowsSound(), weights.WeightsFile("stub", "0" * 64)
    monkeypatch.setattr(weights, "load_wav2lip", lambda checkpoint, *, device: network)


@pytest.fixture
def small_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training scripts train a small SyncNet and draw no curves, which take longer than steps."""
    from tests.train_kit import SHORT
    from training.loop.journal import Journal
    from training.tasks import syncnet as syncnet_task

    monkeypatch.setattr(Journal, "draw", lambda _: None)
    monkeypatch.setattr(syncnet_task, "SMALL", SHORT)


def snapshot(data_dir: Path) -> dict[str, tuple[int, bytes]]:
    """Every file with its time and content, but locks."""
    return {
        str(path.relative_to(data_dir)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(data_dir.rglob("*"))
        if path.is_file() and not path.name.endswith(".lock")
    }
