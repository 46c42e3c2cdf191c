"""Trains the small face detector on photographs, talking-head frames and drawn heads.

    python -m training.detector --stills STILLS --corpus CORPUS --run RUN_DIR \
        --export models/weights/s3fd_small.safetensors

Photographs come with boxes and regions to ignore, clips with a teacher's boxes. Hard negative
mining (3 : 1) and the matching of small faces follow the S3FD paper. Resumes from RUN_DIR.
"""

import argparse
import dataclasses
import itertools
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from models import s3fd, weights
from pipeline import cli
from pipeline.faces import CONFIDENCE
from training import loop
from training.face_samples import (
    FaceSample,
    augment,
    corpus_samples,
    drawn_samples,
    still_samples,
)

VIEW_PX = 256  # side of a training view
MATCH_IOU = 0.35  # an anchor that overlaps a face by this much must find it
RESCUE_IOU = 0.15  # the best few anchors of every face must find it from here on
RESCUED_ANCHORS = 4
NEGATIVES_PER_POSITIVE = 3
NEGATIVES_AT_LEAST = 24  # per view, so that pictures without faces teach too
BOX_WEIGHT = 2.0
CORPUS_SHARE, DRAWN_SHARE = 0.35, 0.08  # of the views; the rest are photographs
TARGET_FALSE_PER_IMAGE = 0.03  # what the pipeline's confidence of 0.9 is made to mean
AVERAGE_DECAY = 0.998


def build_parser() -> argparse.ArgumentParser:
    """Flags of the script."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    # Data
    parser.add_argument("--stills", type=Path, required=True, help="folder with labels.jsonl")
    parser.add_argument("--corpus", type=Path, required=True, help="folder with faces.jsonl")
    parser.add_argument("--per_clip", type=int, default=16, help="frames taken from each clip")
    parser.add_argument("--drawn", type=int, default=600, help="drawn scenes")
    # Run
    parser.add_argument("--run", type=Path, required=True, help="checkpoints and train.jsonl")
    parser.add_argument("--export", type=Path, help="safetensors file to write at the end")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--eval_every", type=int, default=500, help="steps, -1 = only at the end")
    # Optimisation
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--lr", type=float, default=2e-3)
    return parser


def assign(
    anchors: torch.Tensor, boxes: np.ndarray, ignore: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Says for every anchor what it should find.

    Args:
        anchors: (A, 4) centre x, centre y, width, height.
        boxes: (n, 4) faces x1 y1 x2 y2.
        ignore: (m, 4) regions nobody should be asked about.

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
        iou = torch.from_numpy(s3fd.box_iou(corners.numpy(), boxes)).float()
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
        overlap = torch.from_numpy(s3fd.box_iou(corners.numpy(), ignore)) > 0.2
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
    found = max(1, int(positive.sum()))
    score_loss = -F.log_softmax(logits, dim=2)
    face_loss = score_loss[..., 1][positive].sum()
    background = score_loss[..., 0].masked_fill(~negative, 0.0)
    hardest = NEGATIVES_PER_POSITIVE * found + NEGATIVES_AT_LEAST * len(samples)
    background_loss = background.flatten().topk(min(hardest, background.numel())).values.sum()
    which = positive.nonzero()[:, 1]
    wanted = s3fd.encode_boxes(targets[positive], anchors[which])
    box_loss = F.smooth_l1_loss(regressions[positive], wanted, reduction="sum", beta=0.5) / 4
    return (face_loss + background_loss) / found, BOX_WEIGHT * box_loss / found


@torch.inference_mode()
def detect(model: s3fd.S3FD, image: np.ndarray, *, confidence: float = 0.05) -> np.ndarray:
    """Faces (n, 5) of one (H, W, 3) uint8 BGR picture at its own size."""
    device = next(model.parameters()).device
    inputs = s3fd.to_input(image[None], model.config).to(device)
    regressions, logits, anchors = model(inputs)
    return s3fd.faces_from_output(regressions[0], logits[0], anchors, confidence=confidence)


def score_detections(
    found: list[np.ndarray], samples: list[FaceSample], *, min_face_px: float = 32
) -> tuple[np.ndarray, np.ndarray, int]:
    """Compares detections with labels at every confidence at once.

    Returns:
        Scores of false boxes, highest first; scores at which each labelled face of at least
        `min_face_px` (longer side) is found (0 where never); number of such faces.
    """
    false_scores: list[float] = []
    face_scores: list[float] = []
    for faces, sample in zip(found, samples, strict=True):
        iou = s3fd.box_iou(faces[:, :4], sample.boxes) if len(sample.boxes) else None
        taken: dict[int, float] = {}
        for i, face in enumerate(faces):  # best score first
            match = int(iou[i].argmax()) if iou is not None else -1
            if iou is not None and iou[i, match] >= 0.5 and match not in taken:
                taken[match] = face[4]
            elif not _in_ignored(face, sample.ignore):
                false_scores.append(face[4])
        sides = (sample.boxes[:, 2:] - sample.boxes[:, :2]).max(axis=1, initial=0)
        face_scores += [taken.get(int(i), 0.0) for i in np.flatnonzero(sides >= min_face_px)]
    return np.sort(false_scores)[::-1], np.array(face_scores), len(face_scores)


def _in_ignored(face: np.ndarray, ignore: np.ndarray) -> bool:
    if not len(ignore):
        return False
    x, y = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2
    inside = (ignore[:, 0] < x) & (x < ignore[:, 2]) & (ignore[:, 1] < y) & (y < ignore[:, 3])
    return bool(inside.any() or (s3fd.box_iou(face[None, :4], ignore) > 0.3).any())


def recall_at(
    model: s3fd.S3FD, samples: list[FaceSample], *, false_per_image: float
) -> dict[str, float]:
    """Recall of faces >= 32 px at the confidence that gives so many false boxes per picture."""
    found = [detect(model, sample.image) for sample in samples]
    false_scores, face_scores, faces = score_detections(found, samples)
    allowed = int(false_per_image * len(samples))
    confidence = float(false_scores[allowed]) if len(false_scores) > allowed else 0.05
    recall = float((face_scores > confidence).mean()) if faces else 0.0
    return {"recall": recall, "confidence": confidence, "faces": faces, "images": len(samples)}


def train_step(
    model: s3fd.S3FD,
    optimizer: torch.optim.Optimizer,
    views: list[FaceSample],
    *,
    device: torch.device,
) -> dict[str, float]:
    """One optimiser step on a batch of views."""
    images = s3fd.to_input(np.stack([view.image for view in views]), model.config).to(device)
    images = images.contiguous(memory_format=torch.channels_last)
    regressions, logits, anchors = model(images)
    score_loss, box_loss = detection_loss(regressions, logits, anchors, views)
    optimizer.zero_grad(set_to_none=True)
    (score_loss + box_loss).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    optimizer.step()
    return {"score_loss": float(score_loss.detach()), "box_loss": float(box_loss.detach())}


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


def split_by_source(
    samples: list[FaceSample], *, share: float, seed: int
) -> tuple[list[FaceSample], list[FaceSample]]:
    """Sets whole sources aside: (rest, about `share` of the samples)."""
    sources = sorted({sample.source for sample in samples})
    np.random.default_rng(seed).shuffle(sources)
    aside: set[str] = set()
    count = 0
    for source in sources:
        size = sum(sample.source == source for sample in samples)
        if count + size <= share * len(samples):
            aside.add(source)
            count += size
    return (
        [sample for sample in samples if sample.source not in aside],
        [sample for sample in samples if sample.source in aside],
    )


def load_pools(args: argparse.Namespace) -> tuple[list[list[FaceSample]], list[FaceSample]]:
    """Photographs, clip frames and drawn scenes to train on; photographs set aside."""
    stills, aside = split_by_source(
        still_samples(args.stills, split="train"), share=0.1, seed=args.seed
    )
    clips = corpus_samples(args.corpus, split="train", per_clip=args.per_clip)
    drawn = drawn_samples(np.random.default_rng(args.seed), args.drawn)
    print(
        f"{len(stills)} photographs, {len(clips)} clip frames, {len(drawn)} drawn scenes; "
        f"{len(aside)} photographs set aside"
    )
    return [stills, clips, drawn], aside


def random_views(
    pools: list[list[FaceSample]], args: argparse.Namespace, *, step: int
) -> list[FaceSample]:
    """The views of one step; a resumed run sees the same."""
    rng = np.random.default_rng((args.seed, step))
    shares = [1 - CORPUS_SHARE - DRAWN_SHARE, CORPUS_SHARE, DRAWN_SHARE]
    views = []
    for pool in rng.choice(len(pools), args.batch_size, p=shares):
        sample = pools[pool][rng.integers(len(pools[pool]))]
        views.append(augment(sample, rng, size_px=VIEW_PX))
    return views


def main(argv: list[str] | None = None) -> int:
    """Trains, reports on pictures set aside, exports."""
    args = build_parser().parse_args(argv)
    torch.manual_seed(args.seed)
    device = cli.torch_device(args.device)
    args.run.mkdir(parents=True, exist_ok=True)
    pools, aside = load_pools(args)
    model = s3fd.S3FD(dataclasses.replace(s3fd.SMALL, batch_norm=True)).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=1e-4)
    average = loop.AveragedWeights(model, decay=AVERAGE_DECAY)
    kept: dict[str, Any] = {"model": model, "optimizer": optimizer, "average": average.model}
    checkpoint, log, step, seconds = args.run / "checkpoint.pt", args.run / "train.jsonl", 0, 0.0
    if state := loop.load_checkpoint(checkpoint):
        for name, part in kept.items():
            part.load_state_dict(state[name])
        step, seconds = state["step"], state["seconds"]
        print(f"resumed at step {step}")
    started = time.monotonic() - seconds
    while step < args.steps:
        for group in optimizer.param_groups:
            group["lr"] = loop.learning_rate(
                step, peak=args.lr, warmup_steps=100, total_steps=args.steps
            )
        losses = train_step(model, optimizer, random_views(pools, args, step=step), device=device)
        average.update(model, step)
        step += 1
        seconds = time.monotonic() - started
        if step % 50 == 0:
            loop.log_line(log, {"step": step, "seconds": round(seconds, 1)} | losses)
        if step == args.steps or (args.eval_every > 0 and step % args.eval_every == 0):
            figures = recall_at(average.model, aside, false_per_image=TARGET_FALSE_PER_IMAGE)
            loop.log_line(log, {"step": step} | figures)
            state = {name: part.state_dict() for name, part in kept.items()}
            loop.save_checkpoint(checkpoint, state | {"step": step, "seconds": seconds})
    if args.export:
        export(average.model, aside, args=args, minutes=(time.monotonic() - started) / 60)
    return 0


def export(
    model: s3fd.S3FD, aside: list[FaceSample], *, args: argparse.Namespace, minutes: float
) -> None:
    """Folds, calibrates and writes the weights and their model card."""
    plain = fold_batch_norm(model)
    operating = recall_at(plain, aside, false_per_image=TARGET_FALSE_PER_IMAGE)
    calibrate(plain, operating["confidence"])
    weights.write_own(plain, args.export, half=True)
    weights.fill(plain, args.export)  # what is reported is what is in the file
    held_out = still_samples(args.stills, split="heldout")
    card = {
        "network": "S3FD, small configuration (models/s3fd.py SMALL)",
        "parameters": sum(p.numel() for p in plain.parameters()),
        "data": {
            "photographs": "stills, train split, a tenth of it (by source) set aside",
            "clips": f"corpus/train, {args.per_clip} frames a clip, boxes of a teacher detector",
            "drawn": f"{args.drawn} drawn scenes (training/drawn.py)",
        },
        "command": "python -m training.detector --stills STILLS --corpus CORPUS --run RUN "
        f"--steps {args.steps} --batch_size {args.batch_size} --seed {args.seed} "
        "--export models/weights/s3fd_small.safetensors",
        "minutes": round(minutes, 1),
        "set_aside_recall_32px_at_0.03_false_per_image": operating,
        "heldout_recall_32px_at_0.05_false_per_image": recall_at(
            plain, held_out, false_per_image=0.05
        ),
        "licence": "MIT, as the repository; no training picture is part of it",
        "sha256": weights.sha256(args.export),
    }
    loop.write_model_card(args.export.with_suffix(".json"), card)
    print(card)


if __name__ == "__main__":
    sys.exit(cli.run(main))
