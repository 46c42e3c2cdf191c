"""Targets, loss and evaluation of the face detector."""

import dataclasses
import itertools

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from models import s3fd
from models.boxes import box_iou
from pipeline.faces.detector import CONFIDENCE
from training.batches.face_samples import FaceSample

MATCH_IOU = 0.35  # an anchor that overlaps a face by this much must find it
RESCUE_IOU = 0.15  # the best few anchors of every face must find it from here on
RESCUED_ANCHORS = 4
NEGATIVES_PER_POSITIVE = 3
NEGATIVES_AT_LEAST = 24  # per view, so that pictures without faces teach too
BOX_WEIGHT = 2.0


def assign(
    anchors: torch.Tensor, boxes: np.ndarray, ignore: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Targets of every anchor.

    Args:
        anchors: (A, 4) centre x, centre y, width, height.
        boxes: (n, 4) faces x1 y1 x2 y2.
        ignore: (m, 4) regions that do not count.

    Returns:
        positive (A,) bool, negative (A,) bool, targets (A, 4) boxes (zeros where not positive).
    """
    corners = torch.cat(
        [anchors[:, :2] - anchors[:, 2:] / 2, anchors[:, :2] + anchors[:, 2:] / 2], 1
    )
    count = len(anchors)
    targets = torch.zeros(count, 4)
    positive = torch.zeros(count, dtype=torch.bool)
    negative = torch.ones(count, dtype=torch.bool)
    if len(boxes):
        iou = torch.from_numpy(box_iou(corners.numpy(), boxes)).float()
        best, owner = iou.max(dim=1)
        positive = best > MATCH_IOU
        for face in range(len(boxes)):
            top = iou[:, face].topk(RESCUED_ANCHORS)
            rescued = top.indices[(top.values > RESCUE_IOU) | (top.values == top.values[0])]
            owner[rescued] = face
            positive[rescued] = True
        targets[positive] = torch.from_numpy(boxes)[owner[positive]]
        negative = best < MATCH_IOU - 0.05
    if len(ignore):
        x, y = anchors[:, 0:1], anchors[:, 1:2]
        region = torch.from_numpy(ignore)
        inside = (x > region[:, 0]) & (x < region[:, 2]) & (y > region[:, 1]) & (y < region[:, 3])
        overlap = torch.from_numpy(box_iou(corners.numpy(), ignore)) > 0.2
        negative &= ~(inside | overlap).any(dim=1)
    return positive, negative & ~positive, targets


def detection_loss(
    regressions: torch.Tensor,
    logits: torch.Tensor,
    anchors: torch.Tensor,
    samples: list[FaceSample],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Score and box loss of a batch, per matched anchor.

    Args:
        regressions: (N, A, 4).
        logits: (N, A, 2).
        anchors: (A, 4).
        samples: N views with their boxes.
    """
    assigned = [assign(anchors.cpu(), sample.boxes, sample.ignore) for sample in samples]
    device = logits.device
    positive, negative, targets = (
        torch.stack(part).to(device) for part in zip(*assigned, strict=True)
    )
    positives = max(1, int(positive.sum()))
    score_loss = -F.log_softmax(logits, dim=2)
    face_loss = score_loss[..., 1][positive].sum()
    background = score_loss[..., 0].masked_fill(~negative, 0.0)
    hardest = NEGATIVES_PER_POSITIVE * positives + NEGATIVES_AT_LEAST * len(samples)
    background_loss = background.flatten().topk(min(hardest, background.numel())).values.sum()
    which = positive.nonzero()[:, 1]
    box_targets = s3fd.encode_boxes(targets[positive], anchors[which])
    box_loss = F.smooth_l1_loss(regressions[positive], box_targets, reduction="sum", beta=0.5) / 4
    return (face_loss + background_loss) / positives, BOX_WEIGHT * box_loss / positives


@torch.inference_mode()
def detect(model: s3fd.S3FD, image: np.ndarray, *, confidence: float = 0.05) -> np.ndarray:
    """Faces (n, 5) of one (H, W, 3) uint8 BGR picture at its own size."""
    device = next(model.parameters()).device
    inputs = s3fd.to_input(image[None], model.config).to(device)
    regressions, logits, anchors = model(inputs)
    return s3fd.faces_from_output(regressions[0], logits[0], anchors, confidence=confidence)


def score_detections(
    detections: list[np.ndarray], samples: list[FaceSample], *, min_face_px: float = 32
) -> tuple[np.ndarray, np.ndarray, int]:
    """Compares detections with labels at every confidence at once.

    Returns:
        Scores of false boxes, highest first; scores at which each labelled face of at least
        `min_face_px` (longer side) is found (0 where never); number of such faces.
    """
    false_scores: list[float] = []
    face_scores: list[float] = []
    for faces, sample in zip(detections, samples, strict=True):
        iou = box_iou(faces[:, :4], sample.boxes) if len(sample.boxes) else None
        matches: dict[int, float] = {}
        for i, face in enumerate(faces):  # best score first
            match = int(iou[i].argmax()) if iou is not None else -1
            if iou is not None and iou[i, match] >= 0.5 and match not in matches:
                matches[match] = face[4]
            elif not _in_ignored(face, sample.ignore):
                false_scores.append(face[4])
        sides = (sample.boxes[:, 2:] - sample.boxes[:, :2]).max(axis=1, initial=0)
        face_scores += [matches.get(int(i), 0.0) for i in np.flatnonzero(sides >= min_face_px)]
    return np.sort(false_scores)[::-1], np.array(face_scores), len(face_scores)


def _in_ignored(face: np.ndarray, ignore: np.ndarray) -> bool:
    if not len(ignore):
        return False
    x, y = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2
    inside = (ignore[:, 0] < x) & (x < ignore[:, 2]) & (ignore[:, 1] < y) & (y < ignore[:, 3])
    return bool(inside.any() or (box_iou(face[None, :4], ignore) > 0.3).any())


def recall_at(
    model: s3fd.S3FD, samples: list[FaceSample], *, false_per_image: float
) -> dict[str, float]:
    """Recall of faces >= 32 px at the confidence that gives so many false boxes per picture."""
    detections = [detect(model, sample.image) for sample in samples]
    false_scores, face_scores, faces = score_detections(detections, samples)
    allowed = int(false_per_image * len(samples))
    confidence = float(false_scores[allowed]) if len(false_scores) > allowed else 0.05
    recall = float((face_scores > confidence).mean()) if faces else 0.0
    return {"recall": recall, "confidence": confidence, "faces": faces, "images": len(samples)}


def fold_batch_norm(model: s3fd.S3FD) -> s3fd.S3FD:
    """The same function without batch-norm layers: they become part of the convolutions."""
    plain = s3fd.S3FD(dataclasses.replace(model.config, batch_norm=False)).eval()
    layers = list(model.vgg)
    folded = [
        torch.nn.utils.fusion.fuse_conv_bn_eval(conv.eval(), norm.eval())
        for conv, norm in itertools.pairwise(layers)
        if isinstance(norm, nn.BatchNorm2d) and isinstance(conv, nn.Conv2d)
    ]
    convs = [layer for layer in plain.vgg if isinstance(layer, nn.Conv2d)]
    for target, source in zip(convs, folded, strict=True):
        target.load_state_dict(source.state_dict())
    rest = {k: v for k, v in model.state_dict().items() if not k.startswith("vgg.")}
    plain.load_state_dict(rest, strict=False)
    return plain


@torch.no_grad()
def calibrate(model: s3fd.S3FD, confidence: float) -> None:
    """Shifts the face scores so that what scored `confidence` scores the pipeline's 0.9."""
    shift = np.log(CONFIDENCE / (1 - CONFIDENCE)) - np.log(confidence / (1 - confidence))
    for head in model.conf:
        assert isinstance(head, nn.Conv2d) and head.bias is not None
        head.bias[-1] += float(shift)
