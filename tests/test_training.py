"""The detector's training on drawn data, and the drawings: what is drawn follows the sound."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models import s3fd, weights
from models.features import SAMPLES_PER_FRAME
from models.syncnet import SMALL
from pipeline import cli, writers
from training import detector, drawn_tracks, loop, samples
from training.drawn import drawn_scene, mouth_motion
from training.drawn_tracks import babble


def test_mouths_open_with_the_sound() -> None:
    """A burst around the instant of frame 30 opens the drawn mouth there, symmetrically."""
    sound = np.zeros(60 * SAMPLES_PER_FRAME, np.float32)
    burst = slice(57 * SAMPLES_PER_FRAME // 2, 63 * SAMPLES_PER_FRAME // 2)
    sound[burst] = np.sin(np.arange(3 * SAMPLES_PER_FRAME) * 0.25)
    opening = mouth_motion(sound, frames=60)[:, 0]
    assert opening[30] > 0.4 and opening[29] == pytest.approx(opening[31], abs=0.1)
    assert opening @ np.arange(60) / opening.sum() == pytest.approx(30, abs=0.1)
    assert opening[:26].max() == 0 == opening[35:].max()


def test_drawn_tracks_are_face_tracks_in_sync(tmp_path: Path) -> None:
    """224 pixels, 25 frames a second, sound as long; the same seed writes the same, another not."""
    for folder, seed in (("one", 1), ("same", 1), ("other", 2)):
        arguments = ["--data_dir", str(tmp_path / folder), "--clips", "1", "--seconds", "1"]
        assert drawn_tracks.main([*arguments, "--seed", str(seed)]) == 0
    one, same, other = (
        samples.load_clips(
            samples.clip_files([tmp_path / folder]), SMALL, cache=tmp_path / "c", margin=True
        ).clips[0]
        for folder in ("one", "same", "other")
    )
    assert one.frames == 25 and len(one.samples) == 16_000
    assert np.array_equal(one.pictures, same.pictures)
    assert np.array_equal(one.samples, same.samples)
    assert not np.array_equal(one.samples, other.samples)


def test_babble_has_loud_and_quiet_moments() -> None:
    """Syllables and pauses, within int16, nowhere digitally silent; most of it below 1 kHz."""
    sound = babble(np.random.default_rng(4), seconds=6)
    assert sound.dtype == np.int16 and len(sound) == 96_000
    levels_db = 20 * np.log10(sound.reshape(-1, 640).astype(float).std(axis=1))
    assert (levels_db > 60).mean() > 0.3 and (levels_db < 30).mean() > 0.1
    power = np.abs(np.fft.rfft(sound.astype(float))) ** 2
    assert power[:6000].sum() / power.sum() > 0.6  # bins of 1/6 Hz


def test_drawn_tracks_refuse_what_cannot_be_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No clips, or a folder that is a file."""
    assert cli.run(lambda: drawn_tracks.main(["--clips", "0"])) == 2
    (tmp_path / "file").touch()
    assert cli.run(lambda: drawn_tracks.main(["--data_dir", str(tmp_path / "file")])) == 2
    assert capsys.readouterr().err.count("error: ") == 2


def test_anchors_of_a_face_are_positive_and_ignored_regions_are_neither() -> None:
    """Every face has anchors that must find it; inside an ignored region none is background."""
    anchors = s3fd.anchor_grid(((16, 16), (8, 8), (4, 4), (2, 2), (1, 1), (1, 1)))
    boxes = np.array([[20.0, 18.0, 44.0, 50.0]], np.float32)
    ignore = np.array([[50.0, 0.0, 64.0, 64.0]], np.float32)
    positive, negative, targets = detector.assign(anchors, boxes, ignore)
    assert positive.any() and not (positive & negative).any()
    assert (targets[positive] == torch.from_numpy(boxes)).all()
    inside = (anchors[:, 0] > 50) & (anchors[:, :2] < 64).all(dim=1)
    assert not negative[inside].any() and negative[anchors[:, 0] < 10].any()


def _stills(folder: Path, corpus: Path) -> None:
    """Drawn photographs and one clip in the form of the training data."""
    rng = np.random.default_rng(5)
    labels = []
    for split, count in (("train", 12), ("heldout", 3)):
        (folder / "images" / split).mkdir(parents=True)
        for number in range(count):
            image, boxes = drawn_scene(rng, width_px=160, height_px=120, heads=1)
            name = f"{split}/{number}.jpg"
            cv2.imwrite(str(folder / "images" / name), image)
            label = {"file": name, "boxes": boxes.tolist(), "ignore": [], "source": str(number)}
            labels.append(json.dumps(label))
    (folder / "labels.jsonl").write_text("\n".join(labels))
    (corpus / "train").mkdir(parents=True)
    with writers.VideoWriter(corpus / "train" / "a.avi", size_px=(160, 120)) as writer:
        for _ in range(6):
            writer.write(image)
    faces = [[[*boxes[0].tolist(), 0.9]], [[*boxes[0].tolist(), 0.4]]]
    clip = {"file": "train/a.avi", "width": 160, "height": 120, "every": 5, "faces": faces}
    (corpus / "faces.jsonl").write_text(json.dumps(clip))


def test_the_detector_trains_exports_and_resumes(tmp_path: Path) -> None:
    """Two steps, export, then two more from the checkpoint; the file loads as the small S3FD."""
    _stills(tmp_path / "stills", tmp_path / "corpus")
    file = tmp_path / "own.safetensors"
    flags = ["--stills", str(tmp_path / "stills"), "--corpus", str(tmp_path / "corpus")]
    flags += ["--run", str(tmp_path / "run"), "--drawn", "2", "--batch_size", "2"]
    for steps in (2, 4):
        assert detector.main([*flags, "--steps", str(steps), "--export", str(file)]) == 0
        state = loop.load_checkpoint(tmp_path / "run" / "checkpoint.pt")
        assert state is not None and state["step"] == steps
    weights.fill(s3fd.S3FD(s3fd.SMALL), file)
    assert json.loads(file.with_suffix(".json").read_text())["sha256"] == weights.sha256(file)


def test_folding_batch_norm_changes_nothing() -> None:
    """The exported detector is the trained one."""
    torch.manual_seed(0)
    model = s3fd.S3FD(detector.dataclasses.replace(s3fd.SMALL, batch_norm=True))
    model(torch.randn(4, 3, 64, 64))  # moves the running statistics
    images = torch.randn(1, 3, 96, 64)
    with torch.no_grad():
        trained, folded = model.eval()(images), detector.fold_batch_norm(model)(images)
    for one, other in zip(trained[:2], folded[:2], strict=True):
        assert torch.allclose(one, other, atol=1e-4)
