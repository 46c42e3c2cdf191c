"""Another detector and another lip-sync model: one new file and one row each, no more."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import safetensors.torch
import torch

import run_pipeline
import run_syncnet
from pipeline import cli
from pipeline.faces import detector as face_detector
from pipeline.faces.detector import DetectorKind
from pipeline.store.workspace import Workspace
from pipeline.sync import scorer as sync_scorer

TOY_DETECTOR = '''
from models.weights import WeightsFile
from pipeline.faces.tracks import Face

USED = WeightsFile("toy", "0" * 64)


class ToyDetector:
    """Sees one face, in the middle of every picture."""

    weights_file, precision, resize = USED, "fp32", "area"

    def detect(self, pictures):
        height, width = pictures[0].shape[:2]
        box = (0.3 * width, 0.2 * height, 0.7 * width, 0.8 * height)
        return [[Face(box, 0.99)] for _ in pictures]


def load(name, *, device, precision):
    return ToyDetector()


def used(name):
    return USED
'''

TOY_MODEL = '''
import torch

from models.weights import WeightsFile

SIZE, LEAD = 400, 3


class ToyLips:
    """Window after window another direction, whatever the picture."""

    features = None

    def __init__(self):
        self.frames = 0

    def add(self, frame):
        assert frame.shape == (224, 224, 3)
        self.frames += 1

    def finish(self):
        return torch.eye(SIZE)[: self.frames - 4]


class ToyModel:
    """Says that all sound leads by three frames."""

    is_calibrated, precision = True, "fp32"
    reliable_from = {"reliable_confidence": 0.1, "reliable_margin": 0.0}
    rule = reliable_from

    def __init__(self, file):
        self.weights_file = WeightsFile(file.name, "0" * 64)

    def lip_embedder(self, *, batch_size, with_features=False):
        return ToyLips()

    def sound_features(self, samples):
        return samples

    def embed_sound(self, features, *, batch_size):
        windows = len(features) // 640 - 4
        return torch.roll(torch.eye(SIZE), -LEAD, dims=0)[:windows]


def load(file, *, device, precision):
    return ToyModel(file if hasattr(file, "name") else __import__("pathlib").Path(file))
'''


def _module(folder: Path, name: str, text: str) -> ModuleType:
    """The one new file."""
    path = folder / f"{name}.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_detector_is_a_file_and_a_row(
    no_face_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds faces in a test picture, and every record names it."""
    toy = _module(tmp_path, "toy_detector", TOY_DETECTOR)
    monkeypatch.setitem(face_detector.DETECTORS, "toy", DetectorKind(toy.load, toy.used))
    work = Workspace(tmp_path / "work", "r")
    flags = ["--videofile", str(no_face_clip), "--data_dir", str(work.data_dir)]
    flags += ["--reference", "r", "--detector", "toy", "--min_track", "9", "--min_face_size", "20"]
    assert cli.run(lambda: run_pipeline.main(flags)) == 0
    ((track, _),) = work.read_tracks()
    x1, y1, x2, y2 = track.boxes[5]
    assert (x1, y1, x2, y2) == pytest.approx((48, 24, 112, 96), abs=1)
    assert (work.read_record() or {})["detector"]["file"] == "toy"


def test_a_sync_model_is_a_file_and_a_row(
    done: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The weights say of which network they are; the offset is the toy's."""
    toy = _module(tmp_path, "toy_model", TOY_MODEL)
    monkeypatch.setitem(sync_scorer.SYNC_MODELS, "toy", toy.load)
    weights = tmp_path / "toy.safetensors"
    safetensors.torch.save_file({"x": torch.zeros(1)}, weights, metadata={"network": "toy"})
    flags = ["--videofile", str(done.crop(0)), "--initial_model", str(weights)]
    assert cli.run(lambda: run_syncnet.main(flags)) == 0
    output = capsys.readouterr().out
    assert "00000.avi (toy.safetensors)" in output and "AV offset: \t3 " in output


def test_weights_of_an_unknown_network_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence with the networks that there are."""
    weights = tmp_path / "new.safetensors"
    safetensors.torch.save_file({"x": torch.zeros(1)}, weights, metadata={"network": "another"})
    flags = [
        "--videofile",
        "clip.avi",
        "--initial_model",
        str(weights),
        "--data_dir",
        str(tmp_path),
    ]
    assert cli.run(lambda: run_syncnet.main(flags)) == 2
    assert "is of a network called another; this version knows syncnet." in capsys.readouterr().err
