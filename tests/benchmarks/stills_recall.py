"""Measures the face detector on photographs: how many faces it finds at how many false boxes.

python -m tests.benchmarks.stills_recall --stills ../shared/stills --split heldout
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from models import weights
from models.device import torch_device
from pipeline.faces.detector import CONFIDENCE
from pipeline.store.files import write_json
from tests.benchmarks import report
from training.batches.face_samples import FaceSample, still_samples
from training.objectives.detection import detect, score_detections

MIN_FACE_PX = 32  # longer side; smaller faces are not asked for
FALSE_PER_PICTURE = (0.02, 0.05, 0.1)
BAR_FALSE_PER_PICTURE, RECALL_BAR = 0.05, 90.0  # percent
BUCKETS_PX = ((32, 48), (48, 64), (64, 128), (128, 100_000))
LOWEST_CONFIDENCE = 0.05  # of `detect`: nothing below it is looked at
WORST_ENLARGED = 2.0


@dataclass(frozen=True)
class Scored:
    """The detector on one set of pictures.

    Attributes:
        samples: the pictures.
        detections: per picture (n, 5) boxes and scores, best first.
        false_scores: scores of false boxes, highest first.
        face_scores: per labelled face the score at which it is found, 0 where never.
        sides_px: longer sides of these faces.
    """

    samples: list[FaceSample]
    detections: list[np.ndarray]
    false_scores: np.ndarray
    face_scores: np.ndarray
    sides_px: np.ndarray

    def confidence_at(self, false_per_picture: float) -> float:
        """The confidence that gives so many false boxes (training/objectives/detection.py)."""
        allowed = int(false_per_picture * len(self.samples))
        few = len(self.false_scores) <= allowed
        return LOWEST_CONFIDENCE if few else float(self.false_scores[allowed])

    def recall(self, confidence: float, low_px: float, high_px: float) -> float:
        """Percent of the faces of a size found above a confidence; NaN where there is none."""
        chosen = self.face_scores[(low_px <= self.sides_px) & (self.sides_px < high_px)]
        return 100.0 * float((chosen > confidence).mean()) if len(chosen) else float("nan")


def build_parser() -> argparse.ArgumentParser:
    """Flags of the script."""
    parser = report.parser(__doc__)
    # fmt: off
    add = parser.add_argument
    add("--stills", type=Path, default=report.SHARED / "stills", help="folder with labels.jsonl")
    add("--split", default="heldout", choices=["heldout", "train"], help="which photographs")
    add("--detector", default="small", choices=["auto", "s3fd", "small"], help="which weights")
    add("--device", default="auto", help="auto, cpu, cuda, mps")
    add("--worst", type=Path, help="folder for pictures of misses and false boxes")
    add("--worst_count", type=int, default=60, help="at most so many of them")
    # fmt: on
    return parser


def score(samples: list[FaceSample], *, detector: str, device: torch.device) -> Scored:
    """Runs the detector on every picture at its own size."""
    model, _ = weights.load_s3fd(detector, device=device)
    detections = [
        detect(model, sample.image, confidence=LOWEST_CONFIDENCE)
        for sample in tqdm(samples, desc="photographs", disable=None, leave=False)
    ]
    false_scores, face_scores, _ = score_detections(detections, samples, min_face_px=MIN_FACE_PX)
    sides = [
        (sample.boxes[:, 2:] - sample.boxes[:, :2]).max(axis=1, initial=0) for sample in samples
    ]
    sides_px = np.concatenate([side[side >= MIN_FACE_PX] for side in sides])
    assert len(sides_px) == len(face_scores)
    return Scored(samples, detections, false_scores, face_scores, sides_px)


def figures(scored: Scored) -> list[dict[str, object]]:
    """One row per operating point: by false boxes, and the pipeline's confidence."""
    points = [
        (f"{rate:g} false a picture", scored.confidence_at(rate)) for rate in FALSE_PER_PICTURE
    ]
    rows = []
    for name, confidence in [*points, ("pipeline's confidence", CONFIDENCE)]:
        false = float((scored.false_scores > confidence).sum()) / len(scored.samples)
        row: dict[str, object] = {
            "operating point": name,
            "confidence": round(confidence, 4),
            "false a picture": f"{false:.3f}",
            f">= {MIN_FACE_PX} px %": scored.recall(confidence, MIN_FACE_PX, np.inf),
        }
        for low, high in BUCKETS_PX:
            label = f"{low}-{high}" if (low, high) != BUCKETS_PX[-1] else f">= {low}"
            row[label] = scored.recall(confidence, low, high)
        rows.append(row)
    return rows


def draw_worst(folder: Path, scored: Scored, confidence: float, count: int) -> None:
    """Writes the worst pictures: found green, missed red, false magenta, ignored grey."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    for index, (sample, detections) in enumerate(
        zip(scored.samples, scored.detections, strict=True)
    ):
        false_scores, face_scores, _ = score_detections([detections], [sample], min_face_px=0)
        sides = (sample.boxes[:, 2:] - sample.boxes[:, :2]).max(axis=1, initial=0)
        misses = (face_scores <= confidence) & (sides >= MIN_FACE_PX)
        false = detections[
            np.isin(detections[:, 4], false_scores) & (detections[:, 4] > confidence)
        ]
        if misses.any() or len(false):
            pictures.append((int(misses.sum()) + len(false), index, misses, false))
    for mistakes, index, misses, false in sorted(pictures, key=lambda row: -row[0])[:count]:
        sample, detections = scored.samples[index], scored.detections[index]
        image = cv2.resize(sample.image, None, fx=WORST_ENLARGED, fy=WORST_ENLARGED)
        above = detections[detections[:, 4] > confidence]
        for boxes, colour in (
            (sample.ignore, report.GREY),
            (above, report.GREEN),
            (sample.boxes[misses], report.RED),
            (false, report.MAGENTA),
        ):
            report.draw_boxes(image, boxes, colour, enlarged=WORST_ENLARGED)
        cv2.imwrite(str(folder / f"{mistakes:02d}_{index:04d}.png"), image)


def main(argv: list[str] | None = None) -> int:
    """Measures, prints, and fails when the bar is missed."""
    args = build_parser().parse_args(argv)
    samples = still_samples(args.stills, split=args.split)
    scored = score(samples, detector=args.detector, device=torch_device(args.device))
    rows = figures(scored)
    print(f"{len(samples)} photographs, {len(scored.face_scores)} faces >= {MIN_FACE_PX} px")
    report.print_table(list(rows[0]), [list(row.values()) for row in rows])
    confidence = scored.confidence_at(BAR_FALSE_PER_PICTURE)
    recall = scored.recall(confidence, MIN_FACE_PX, np.inf)
    met = report.verdict(
        f"\nrecall, percent, at {BAR_FALSE_PER_PICTURE:g} false a picture",
        recall,
        RECALL_BAR,
        at_most=False,
    )
    if args.worst:
        draw_worst(args.worst, scored, confidence, args.worst_count)
    if args.json:
        counts = {"photographs": len(samples), "faces": len(scored.face_scores)}
        write_json(args.json, counts | {"recall": recall, "rows": rows, "met": met})
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
