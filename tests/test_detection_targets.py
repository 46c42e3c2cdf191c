"""Which anchors must find a face, which are background, and which are neither."""

import numpy as np
import torch

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
