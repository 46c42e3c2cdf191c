"""The detector's training on drawn data, and the drawings: what is drawn follows the sound."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from models import s3fd, weights
from models.features import SAMPLES_PER_FRAME
from models.files import sha256
from models.syncnet import SMALL
from pipeline import cli
from pipeline.media import encode
from tests.train_kit import assert_same, refusal, run_main
from training import detector, drawn_tracks
from training.batches.face_samples import FaceSample
from training.data import samples
from training.drawn.heads import drawn_scene, mouth_motion
from training.drawn_tracks import babble
from training.loop import checkpoint as checkpoint_files
from training.loop import fit
from training.loop.task import Run
from training.objectives import detection


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
    positive, negative, targets = detection.assign(anchors, boxes, ignore)
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
    with encode.VideoWriter(corpus / "train" / "a.avi", size_px=(160, 120)) as writer:
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
        state = checkpoint_files.load_checkpoint(tmp_path / "run" / "checkpoint.pt")
        assert state is not None and state["step"] == steps
    weights.fill(s3fd.S3FD(s3fd.SMALL), file)
    assert json.loads(file.with_suffix(".json").read_text())["sha256"] == sha256(file)


@pytest.fixture
def quick_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Flags of a detector that trains on small views; its evaluation is replaced."""
    _stills(tmp_path / "stills", tmp_path / "corpus")
    monkeypatch.setattr(detector, "VIEW_PX", 64)
    monkeypatch.setattr(detector, "recall_at", lambda *_, **__: {"recall": 0.0})
    flags = ["--stills", str(tmp_path / "stills"), "--corpus", str(tmp_path / "corpus")]
    return [*flags, "--drawn", "1", "--batch_size", "2"]


def test_resumed_detector_equals_one_never_stopped(
    quick_flags: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Network, optimiser and average after two steps and two more are those of four in one go."""
    flags = [*quick_flags, "--save_every", "2", "--steps", "4"]
    assert detector.main([*flags, "--run", str(tmp_path / "whole")]) == 0
    original = fit.train_step

    def stopped(run: Run, *batch: Any, **options: Any) -> dict[str, float]:
        if run.step == 3:
            raise KeyboardInterrupt
        return original(run, *batch, **options)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(fit, "train_step", stopped)
        detector.main([*flags, "--run", str(tmp_path / "broken")])
    assert detector.main([*flags, "--run", str(tmp_path / "broken")]) == 0
    assert "resumed at step 2" in capsys.readouterr().out
    one, other = (
        checkpoint_files.load_checkpoint(tmp_path / name / "checkpoint.pt")
        for name in ("whole", "broken")
    )
    assert_same(one, other)
    assert one is not None and one["step"] == 4


def test_detectors_resume_names_what_is_another_run(
    quick_flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Options that change the result are refused; a picture that is another one is named."""
    flags = [*quick_flags, "--run", str(tmp_path / "run"), "--steps", "1"]
    assert run_main(detector.main, flags, capsys)[0] == 0
    code, _, error = run_main(detector.main, [*flags, "--seed", "2", "--lr", "0.1"], capsys)
    assert code == 2 and error.count("\n") == 1
    assert "--seed (was 1, is 2), --lr (was 0.002, is 0.1); give those" in error
    picture = tmp_path / "stills" / "images" / "train" / "0.jpg"
    picture.write_bytes(picture.read_bytes() + b"0")
    code, output, error = run_main(detector.main, [*flags, "--steps", "2"], capsys)
    assert code == 0 and "1 clip changed since the checkpoint: stills/train/0.jpg" in output, error
    assert "goes on with other options: --steps (was 1, is 2)" in output
    assert "resumed at step 1" in output
    (tmp_path / "run" / "checkpoint.pt").write_text("no")
    code, _, error = run_main(detector.main, flags, capsys)
    assert code == 2 and "checkpoint.pt is no checkpoint of this program" in error


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (["--drawn", "0"], "--drawn must be at least 1"),
        (["--save_every", "0"], "--save_every must be at least 1"),
        (["--init", "no.safetensors"], "--init no.safetensors is not a file; give weights of"),
        (["--export", "own.pt"], "must end in .safetensors"),
        (["--stills", "nowhere"], "nowhere/labels.jsonl is not a file; give a folder with such"),
        (["--corpus", "stills"], "stills/faces.jsonl is not a file"),
    ],
)
def test_detectors_flags_that_make_no_run_are_refused(
    wrong: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In one sentence, before anything is written."""
    _stills(tmp_path / "stills", tmp_path / "corpus")
    monkeypatch.chdir(tmp_path)
    flags = ["--stills", "stills", "--corpus", "corpus", "--run", "run", *wrong]
    assert sentence in refusal(detector.main, flags, capsys)
    assert not (tmp_path / "run").exists()


# Evaluation of a detector.


def _sample(boxes: list[list[float]], ignore: list[list[float]] | None = None) -> FaceSample:
    image = np.zeros((200, 200, 3), np.uint8)
    return FaceSample(
        image,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(ignore or [], np.float32).reshape(-1, 4),
        "x",
    )


FACE = [10.0, 10.0, 50.0, 50.0]


def test_detections_are_compared_with_labels() -> None:
    """Half of the union is a hit, once for each face; ignored regions and small faces count not."""
    detections = np.array(
        [
            [*FACE, 0.9],
            [12, 10, 52, 50, 0.8],  # the same face again: false
            [100, 100, 140, 140, 0.7],  # in the ignored region
            [60, 60, 100, 100, 0.6],  # nothing there
        ],
        np.float32,
    )
    sample = _sample([FACE, [150, 10, 190, 50], [0, 150, 31, 181]], [[90, 90, 150, 150]])
    false, faces, count = detection.score_detections([detections], [sample])
    assert false.tolist() == pytest.approx([0.8, 0.6])
    assert faces.tolist() == pytest.approx([0.9, 0.0]) and count == 2
    off = np.array([[24.0, 10, 64, 50, 0.5]], np.float32)  # 26 of 54 columns are shared
    false, faces, _ = detection.score_detections([off], [_sample([FACE])])
    assert false.tolist() == [0.5] and faces.tolist() == [0.0]
    false, faces, count = detection.score_detections([detections[:1]], [_sample([])])
    assert len(false) == 1 and count == len(faces) == 0


def test_recall_is_at_the_confidence_that_allows_so_many_false_boxes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of ten pictures a tenth: the second false box sets it, faces above it are found."""
    answers = iter(
        [np.array([[*FACE, 0.5 + 0.04 * n], [150, 150, 190, 190, 0.1 * n]]) for n in range(10)]
    )
    monkeypatch.setattr(detection, "detect", lambda *_: next(answers))
    samples = [_sample([FACE])] * 10
    recall = detection.recall_at(None, samples, false_per_image=0.1)  # type: ignore[arg-type]
    assert recall["confidence"] == pytest.approx(0.8) and recall["recall"] == 0.2
    assert (recall["faces"], recall["images"]) == (10, 10)


def test_calibration_makes_a_confidence_the_pipelines() -> None:
    """What scored 0.6 scores 0.9, in every head."""
    model = s3fd.S3FD(s3fd.SMALL)
    heads: Any = [*model.conf]
    before = [head.bias.detach().clone() for head in heads]
    detection.calibrate(model, 0.6)
    for head, old in zip(heads, before, strict=True):
        shift = (head.bias - old).detach()
        assert float(shift[-1]) == pytest.approx(np.log(9) - np.log(1.5), abs=1e-5)
        assert not shift[:-1].any()


def test_whole_sources_are_set_aside() -> None:
    """At most the given share; no source is on both sides; another seed sets others aside."""
    samples = [replace(_sample([]), source=str(n // 2)) for n in range(40)]
    rest, aside = detector.split_by_source(samples, share=0.25, seed=1)
    assert (len(rest), len(aside)) == (30, 10)
    assert not {s.source for s in rest} & {s.source for s in aside}
    other = detector.split_by_source(samples, share=0.25, seed=2)[1]
    assert {s.source for s in other} != {s.source for s in aside}


def test_detection_loss_counts_the_hardest_background() -> None:
    """Three for each anchor with a face and 24 a view; boxes count twice, by matched anchor."""
    anchors = s3fd.anchor_grid(((16, 16), (8, 8), (4, 4), (2, 2), (1, 1), (1, 1)))
    sample = _sample([[20.0, 18.0, 44.0, 50.0]])
    positive, negative, targets = detection.assign(anchors, sample.boxes, sample.ignore)
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(1, len(anchors), 2, generator=generator)
    regressions = torch.randn(1, len(anchors), 4, generator=generator)
    score, box = detection.detection_loss(regressions, logits, anchors, [sample])
    log_loss = -torch.log_softmax(logits[0], dim=1)
    positives = int(positive.sum())
    hard = log_loss[negative, 0].sort(descending=True).values[: 3 * positives + 24]
    expected = (log_loss[positive, 1].sum() + hard.sum()) / positives
    assert score.item() == pytest.approx(expected.item(), rel=1e-5)
    off = (regressions[0, positive] - s3fd.encode_boxes(targets[positive], anchors[positive])).abs()
    smooth = torch.where(off < 0.5, off**2, off - 0.25)  # beta is one half
    assert box.item() == pytest.approx(2 * smooth.sum().item() / 4 / positives, rel=1e-5)


def test_folding_batch_norm_changes_nothing() -> None:
    """The exported detector is the trained one."""
    torch.manual_seed(0)
    model = s3fd.S3FD(detection.dataclasses.replace(s3fd.SMALL, batch_norm=True))
    model(torch.randn(4, 3, 64, 64))  # moves the running statistics
    images = torch.randn(1, 3, 96, 64)
    with torch.no_grad():
        trained, folded = model.eval()(images), detection.fold_batch_norm(model)(images)
    for one, other in zip(trained[:2], folded[:2], strict=True):
        assert torch.allclose(one, other, atol=1e-4)
