"""Measures the face detector where faces are hard to find: dim light, masks, hands, lettering.

python -m tests.benchmarks.hard_faces --stills ../shared/stills [--corpus ../shared/corpus]

The same photographs and video frames are asked about as they are and changed in one way each. What
is drawn on them is other than what training draws (training/batches/covers.py).
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from models import s3fd, weights
from models.device import torch_device
from pipeline.faces.detector import CONFIDENCE
from pipeline.store.files import write_json
from tests.benchmarks import report
from tests.benchmarks.stills_recall import LOWEST_CONFIDENCE, MIN_FACE_PX
from training.batches.face_samples import FaceSample, corpus_samples, still_samples
from training.objectives.detection import detect, score_detections

FRAMES_PER_CLIP = 8
SEED = 20261130
DIM_GAIN, DIM_NOISE = 0.12, 2.0  # three stops of light, and levels of noise in what is left
TURN_DEG = 25.0

Change = Callable[[FaceSample, np.random.Generator], FaceSample]


def unchanged(sample: FaceSample, rng: np.random.Generator) -> FaceSample:
    """The picture as it is."""
    return sample


def dim(sample: FaceSample, rng: np.random.Generator) -> FaceSample:
    """An eighth of the light, with the noise of a sensor."""
    noise = rng.normal(0, DIM_NOISE, sample.image.shape)
    image = (sample.image * DIM_GAIN + noise).clip(0, 255).round().astype(np.uint8)
    return replace(sample, image=image)


def masked(sample: FaceSample, rng: np.random.Generator) -> FaceSample:
    """A smooth cloth over the lower half of every face, darker towards its rim."""

    def draw(image: np.ndarray, box: np.ndarray) -> None:
        (x, y), (width, height) = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        rows, columns = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
        across, down = (columns - x) / (0.5 * width), (rows - y - 0.24 * height) / (0.3 * height)
        cloth = np.abs(across) ** 2.5 + np.abs(down) ** 3 < 1
        light = 1 - 0.35 * np.clip(across**2 + 0.3 * down**2, 0, 1)
        colour = rng.choice([[236, 225, 205], [245, 245, 245], [60, 50, 45], [150, 175, 225]])
        image[cloth] = (light[cloth, None] * colour).astype(np.uint8)

    return _drawn(sample, draw)


def behind_a_hand(sample: FaceSample, rng: np.random.Generator) -> FaceSample:
    """Skin of the same picture over a third of every face, from below and one side."""

    def draw(image: np.ndarray, box: np.ndarray) -> None:
        left, top, right, bottom = box.round().astype(int).tolist()
        width, height = right - left, bottom - top
        cheek = image[max(0, top + height // 3) : bottom, max(0, left) : right]
        skin = np.median(cheek.reshape(-1, 3), axis=0) if cheek.size else np.full(3, 120.0)
        side = rng.choice([-1, 1])
        for finger in range(4):
            start = (left + right) // 2 + int(side * width * (0.75 - 0.04 * finger))
            end = (left + right) // 2 + int(side * width * (0.02 + 0.05 * finger))
            row = top + int(height * (0.45 + 0.14 * finger))
            colour = [int(value) for value in skin * rng.uniform(0.75, 1.0)]
            ends = (start, row + height // 8), (end, row)
            cv2.line(image, *ends, colour, max(1, int(0.13 * height)), cv2.LINE_AA)

    return _drawn(sample, draw)


def lettered(sample: FaceSample, rng: np.random.Generator) -> FaceSample:
    """A line of white capitals across the mouth of every face, as wide as the picture."""

    def draw(image: np.ndarray, box: np.ndarray) -> None:
        row = int(box[1] + 0.85 * (box[3] - box[1]))
        size = max(0.3, 0.3 * float(box[3] - box[1]) / 22)
        text = "SUBSCRIBE NOW " * 4
        for colour, weight in (((0, 0, 0), 4), ((255, 255, 255), 2)):
            font = cv2.FONT_HERSHEY_SIMPLEX
            cv2.putText(image, text, (2, row), font, size, colour, weight, cv2.LINE_AA)

    return _drawn(sample, draw)


def turned(sample: FaceSample, rng: np.random.Generator) -> FaceSample:
    """The whole picture turned to one side; boxes keep their sizes."""
    height, width = sample.image.shape[:2]
    angle = TURN_DEG * float(rng.choice([-1, 1]))
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    image = cv2.warpAffine(sample.image, turn, (width, height), borderMode=cv2.BORDER_REFLECT)

    def moved(boxes: np.ndarray) -> np.ndarray:
        half, middles = (boxes[:, 2:] - boxes[:, :2]) / 2, (boxes[:, :2] + boxes[:, 2:]) / 2
        middles = middles @ turn[:, :2].T + turn[:, 2]
        return np.concatenate([middles - half, middles + half], axis=1).astype(np.float32)

    boxes = moved(sample.boxes)
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = ((middles > 0) & (middles < (width, height))).all(axis=1)
    ignore = np.concatenate([moved(sample.ignore), boxes[~inside]])
    return replace(sample, image=image, boxes=boxes[inside], ignore=ignore)


CONDITIONS: dict[str, Change] = {
    "as it is": unchanged,
    "dim light": dim,
    "masks": masked,
    "hands": behind_a_hand,
    "lettering": lettered,
    "turned": turned,
}


def _drawn(sample: FaceSample, draw: Callable[[np.ndarray, np.ndarray], None]) -> FaceSample:
    image = sample.image.copy()
    for box in sample.boxes:
        draw(image, box)
    return replace(sample, image=image)


def load(detector: str, device: torch.device) -> s3fd.S3FD:
    """A detector by its name, or a small one by its file."""
    if detector in ("auto", "s3fd", "small"):
        return weights.load_s3fd(detector, device=device)[0]
    model = s3fd.S3FD(s3fd.SMALL)
    weights.fill(model, Path(detector))
    return model.eval().to(device)


def measure(
    samples: list[FaceSample], change: Change, *, detector: str, device: torch.device
) -> dict[str, float]:
    """Faces found and false boxes a picture at the pipeline's confidence, in percent and number."""
    model = load(detector, device)
    rng = np.random.default_rng(SEED)
    changed = [change(sample, rng) for sample in samples]
    detections = [
        detect(model, sample.image, confidence=LOWEST_CONFIDENCE)
        for sample in tqdm(changed, disable=None, leave=False)
    ]
    false_scores, face_scores, faces = score_detections(
        detections, changed, min_face_px=MIN_FACE_PX
    )
    return {
        "faces": faces,
        "recall": 100 * float((face_scores > CONFIDENCE).mean()),
        "false": float((false_scores > CONFIDENCE).sum()) / len(samples),
    }


def draw_examples(folder: Path, samples: list[FaceSample]) -> None:
    """Writes the first pictures with a face in every condition, side by side."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, sample in enumerate([one for one in samples if len(one.boxes)][:20]):
        rng = np.random.default_rng(SEED)
        views = [change(sample, rng).image for change in CONDITIONS.values()]
        cv2.imwrite(str(folder / f"{number:02d}.png"), np.hstack(views))


def build_parser() -> argparse.ArgumentParser:
    """Flags of the script."""
    parser = report.parser(__doc__)
    # fmt: off
    add = parser.add_argument
    add("--stills", type=Path, default=report.SHARED / "stills", help="folder with labels.jsonl")
    add("--corpus", type=Path, default=report.SHARED / "corpus", help="folder with faces.jsonl")
    add("--detector", nargs="+", default=["small"], help="which weights, to compare: names, files")
    add("--device", default="auto", help="auto, cpu, cuda, mps")
    add("--examples", type=Path, help="folder for pictures of what is asked")
    # fmt: on
    return parser


def main(argv: list[str] | None = None) -> int:
    """Measures and prints."""
    args = build_parser().parse_args(argv)
    sets = {
        "photographs": still_samples(args.stills, split="heldout"),
        "clips": corpus_samples(args.corpus, split="val", per_clip=FRAMES_PER_CLIP),
    }
    if args.examples:
        draw_examples(args.examples, sets["photographs"])
    rows = []
    for detector in args.detector:
        for name, samples in sets.items():
            for condition, change in CONDITIONS.items():
                figures = measure(
                    samples, change, detector=detector, device=torch_device(args.device)
                )
                row = {"detector": Path(detector).stem, "pictures": name, "condition": condition}
                rows.append(row | figures)
    shown = [
        [*list(row.values())[:4], f"{row['recall']:.1f}", f"{row['false']:.3f}"] for row in rows
    ]
    report.print_table(
        ["detector", "pictures", "condition", "faces >= 32 px", "found %", "false a picture"],
        shown,
    )
    if args.json:
        write_json(args.json, {"rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
