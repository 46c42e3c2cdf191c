"""Which anchors must find a face, which are background, and which are neither."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from models import s3fd
from training import detector
from training.batches.face_samples import FaceSample
from training.objectives import detection
from training.objectives.detection import assign

NONE = np.zeros((0, 4), np.float32)


def _anchors(*shifts: float, at: float = 0.0) -> torch.Tensor:
    """Anchors, so far right of a face at `at`, all of 10 pixels: IoU (10 - d) / (10 + d)."""
    return torch.tensor([[at + 5 + shift, 5.0, 10.0, 10.0] for shift in shifts])


def test_anchors_that_overlap_a_face_enough_must_find_it() -> None:
    """From 0.35 on; between that and 0.30 they are neither, below they are background."""
    anchors = _anchors(0, 1, 2, 3, 4, 4.5, 5, 5.5, 30)
    boxes = np.array([[0, 0, 10, 10]], np.float32)
    positive, negative, targets = assign(anchors, boxes, NONE)
    assert positive.tolist() == [True] * 6 + [False] * 3
    assert negative.tolist() == [False] * 7 + [True] * 2
    assert (targets[:6] == torch.tensor(boxes[0])).all() and not targets[6:].any()


def test_every_face_has_anchors_though_none_fits() -> None:
    """The best four above 0.15, or else the best one alone; the face they find is that one."""
    boxes = np.array([[0, 0, 10, 10], [200, 0, 210, 10], [400, 0, 410, 10]], np.float32)
    anchors = torch.cat(
        [
            _anchors(0, 1),
            _anchors(5.5, 6, 6.2, 6.4, 6.6, 8, at=200),
            _anchors(8, 8.5, 9, 9.5, at=400),
        ]
    )
    positive, negative, targets = assign(anchors, boxes, NONE)
    rescued = [True] * 4 + [False] * 2
    assert positive.tolist() == [True] * 2 + rescued + [True] + [False] * 3
    assert targets[2:6, 0].tolist() == [200] * 4 and targets[8, 0] == 400
    assert not negative[positive].any() and negative[6:8].all() and negative[9:].all()


def test_a_face_keeps_its_anchors_beside_a_better_matching_one() -> None:
    """An anchor that a second face needs is that face's, though it overlaps the first more."""
    anchors = _anchors(0, 2, 30, 31, 32)
    boxes = np.array([[0, 0, 10, 10], [6, 0, 16, 10]], np.float32)
    targets = assign(anchors, boxes, NONE)[2]
    assert targets[1].tolist() == [6, 0, 16, 10]


def test_what_overlaps_an_ignored_region_is_no_background() -> None:
    """By more than a fifth, though its middle lies outside; a picture without faces is all else."""
    anchors = _anchors(0, 1, 6, 7)
    positive, negative, targets = assign(anchors, NONE, np.array([[12, 0, 22, 10]], np.float32))
    assert not positive.any() and not targets.any()
    assert negative.tolist() == [True, True, False, False]
    left = np.array([[7, 0, 17, 10], [6, 90, 16, 99]], np.float32)
    assert assign(_anchors(0), NONE, left)[1].tolist() == [True]
    nearer = np.array([[6, 0, 16, 10], [50, 0, 60, 10]], np.float32)
    assert assign(_anchors(0), NONE, nearer)[1].tolist() == [False]


def test_a_found_box_over_an_ignored_region_is_not_false() -> None:
    """Its middle lies in it, or it overlaps it by more than 0.3."""
    region = np.array([[0, 0, 10, 10]], np.float32)
    inside, beside, far = ((shift, 0.0, shift + 10, 10.0, 0.9) for shift in (4, 5.2, 6))
    assert detection._in_ignored(np.array(inside), region)
    assert detection._in_ignored(np.array(beside), region)
    assert not detection._in_ignored(np.array(far), region)
    assert not detection._in_ignored(np.array(inside), NONE)


def _sample(source: str) -> FaceSample:
    return FaceSample(np.zeros((64, 64, 3), np.uint8), NONE, NONE, source)


def test_of_a_hundred_views_57_are_photographs_35_clips_and_8_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same again at the same step, and others at another."""
    monkeypatch.setattr(detector, "augment", lambda sample, *_, **__: sample)
    pools = [[_sample(name)] for name in ("photograph", "clip", "drawn")]
    options: Any = SimpleNamespace(seed=3, batch_size=4000)
    views = [
        [sample.source for sample in detector.random_views(pools, options, step=step)]
        for step in (1, 1, 2)
    ]
    shares = [views[0].count(pool[0].source) / 4000 for pool in pools]
    np.testing.assert_allclose(shares, [0.57, 0.35, 0.08], atol=0.03)
    assert views[0] == views[1] != views[2]


def test_a_run_is_told_by_what_it_is_trained_on(tmp_path: Path) -> None:
    """By the bytes of every picture of train/, none for one that is gone; the others are free."""
    for folder, file, inner in (("stills", "labels", "images/"), ("corpus", "faces", "")):
        for name in ("train", "heldout"):
            (tmp_path / folder / inner / name).mkdir(parents=True)
            (tmp_path / folder / inner / name / "a").write_bytes(bytes(len(folder)))
        names = ("train/a", "train/gone", "heldout/a")
        lines = "".join(json.dumps({"file": name}) + "\n" for name in names)
        (tmp_path / folder / f"{file}.jsonl").write_text(lines)
    options: Any = SimpleNamespace(stills=tmp_path / "stills", corpus=tmp_path / "corpus")
    assert detector.picture_sizes(options) == {
        **{"stills/train/a": 6, "stills/train/gone": 0},
        **{"corpus/train/a": 6, "corpus/train/gone": 0},
    }


def test_a_finished_detector_calls_nine_tenths_what_makes_few_mistakes() -> None:
    """Its norms are part of its layers then; only the score of a face is moved."""
    torch.manual_seed(1)
    average = s3fd.S3FD(replace(s3fd.SMALL, batch_norm=True)).eval()
    task: Any = SimpleNamespace(data=detector.Data([], [_sample("aside")] * 2))
    finished = detector.DetectorTask.finished(task, average)
    plain = detection.fold_batch_norm(average)
    confidence = detection.recall_at(plain, task.data.aside, false_per_image=0.03)["confidence"]
    moved = np.log(0.9 / 0.1) - np.log(confidence / (1 - confidence))
    assert not finished.config.batch_norm and abs(moved) > 0.1
    for after, before in zip(finished.conf, plain.conf, strict=True):
        change = (after.bias - before.bias).detach()  # type: ignore[operator]
        assert change[-1].item() == pytest.approx(moved, abs=1e-5) and not change[:-1].any()


@pytest.mark.parametrize("views", [1, 3])
def test_every_view_without_a_face_teaches_with_24_anchors(views: int) -> None:
    """Each costs the logarithm of two where nothing has been learned.

    Three more are those beside a face, as which the views together count.
    """
    anchors = torch.cat([_anchors(0)] * 100)
    score, box = detection.detection_loss(
        torch.zeros(views, 100, 4), torch.zeros(views, 100, 2), anchors, [_sample("wall")] * views
    )
    expected = (views * 24 + 3) * np.log(2)
    assert score.item() == pytest.approx(expected, rel=1e-5) and box.item() == 0
