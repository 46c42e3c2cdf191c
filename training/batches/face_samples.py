"""Pictures with face boxes for the detector: photographs, video frames and drawn heads."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pipeline.media import decode
from training.batches.covers import cover
from training.drawn.heads import drawn_scene

TEACHER_CERTAIN = 0.7  # teacher score from which a box is a face; below, it does not count
LONG_SIDE_PX = 320  # pictures are kept no larger than this
SMALLEST_FACE_PX = 8  # of the longer side; what is smaller is neither face nor background
TURNED, TURN_DEG = 0.3, 18.0  # chance of a view to be turned; one sigma
DIM, GAIN = 0.15, (0.06, 0.4)  # chance of dim light; what is left of the picture in it
UNEVEN = 0.12  # chance of light from one side


@dataclass(frozen=True)
class FaceSample:
    """One picture.

    Attributes:
        image: (H, W, 3) uint8 BGR.
        boxes: (n, 4) float32 x1 y1 x2 y2, pixels.
        ignore: (m, 4) float32, regions that count neither as face nor as background.
        source: where the picture is from; pictures of one source stay on one side of a split.
    """

    image: np.ndarray
    boxes: np.ndarray
    ignore: np.ndarray
    source: str


def still_samples(root: Path, *, split: str) -> list[FaceSample]:
    """Photographs listed in `root/labels.jsonl`; `split` is "train" or "heldout"."""
    samples = []
    with (root / "labels.jsonl").open(encoding="utf-8") as lines:
        for label in map(json.loads, lines):
            if not label["file"].startswith(f"{split}/"):
                continue
            image = cv2.imread(str(root / "images" / label["file"]))
            if image is None:
                raise FileNotFoundError(f"{root / 'images' / label['file']} cannot be read.")
            samples.append(
                FaceSample(image, _boxes(label["boxes"]), _boxes(label["ignore"]), label["source"])
            )
    return samples


def corpus_samples(root: Path, *, split: str, per_clip: int) -> list[FaceSample]:
    """Frames of talking-head clips with a teacher's boxes from `root/faces.jsonl`.

    Args:
        root: folder with `faces.jsonl` and the clips it names.
        split: "train" or "val".
        per_clip: at most so many frames of one clip, evenly spread.
    """
    samples: list[FaceSample] = []
    with (root / "faces.jsonl").open(encoding="utf-8") as lines:
        for clip in map(json.loads, lines):
            if clip["file"].startswith(f"{split}/"):
                samples += _clip_samples(root / clip["file"], clip, per_clip=per_clip)
    return samples


def _clip_samples(path: Path, clip: dict, *, per_clip: int) -> Iterator[FaceSample]:
    labelled = len(clip["faces"])
    chosen = set(np.unique(np.linspace(0, labelled - 1, min(per_clip, labelled)).astype(int)))
    scale = min(1.0, LONG_SIDE_PX / max(clip["width"], clip["height"]))
    size_px = round(clip["width"] * scale), round(clip["height"] * scale)
    for frame, image in enumerate(decode.read_frames(path, size_px=size_px)):
        row, between = divmod(frame, clip["every"])
        if between or row not in chosen:
            continue
        faces = np.array(clip["faces"][row], np.float32).reshape(-1, 5)
        faces[:, :4] *= scale
        certain = faces[:, 4] >= TEACHER_CERTAIN
        yield FaceSample(image.copy(), faces[certain, :4], faces[~certain, :4], clip["file"])


def drawn_samples(rng: np.random.Generator, count: int) -> list[FaceSample]:
    """Drawn scenes with one to three heads, so that drawn faces are faces too."""
    samples = []
    for _ in range(count):
        width_px, height_px = [(320, 180), (320, 240), (240, 320)][rng.integers(3)]
        heads = int(rng.choice([1, 1, 2, 3]))
        image, boxes = drawn_scene(rng, width_px=width_px, height_px=height_px, heads=heads)
        samples.append(FaceSample(image, boxes, _boxes([]), "drawn"))
    return samples


def _boxes(boxes: list) -> np.ndarray:
    return np.array(boxes, np.float32).reshape(-1, 4)


def augment(sample: FaceSample, rng: np.random.Generator, *, size_px: int) -> FaceSample:
    """A random square view: one face brought to a random size, colours and quality changed."""
    height, width = sample.image.shape[:2]
    if len(sample.boxes) and rng.random() < 0.85:
        box = sample.boxes[rng.integers(len(sample.boxes))]
        side = max(box[2] - box[0], box[3] - box[1])
        target = np.exp(rng.uniform(np.log(13), np.log(0.95 * size_px)))
        scale = float(np.clip(target / side, 0.15, 2.5))
        slack = max(0.0, size_px - side * scale)
        x = box[0] * scale - rng.uniform(0, slack)
        y = box[1] * scale - rng.uniform(0, slack)
    else:
        scale = float(np.exp(rng.uniform(np.log(0.4), np.log(1.5))))
        x = rng.uniform(min(0, width * scale - size_px), max(0, width * scale - size_px))
        y = rng.uniform(min(0, height * scale - size_px), max(0, height * scale - size_px))
    image, boxes, ignore = sample.image, sample.boxes, sample.ignore
    if scale < 0.7:  # an affine warp alone would alias
        shrunk = max(1, round(width * scale)), max(1, round(height * scale))
        image = cv2.resize(image, shrunk, interpolation=cv2.INTER_AREA)
        warp = np.array([[1, 0, -x], [0, 1, -y]], np.float32)
    else:
        warp = np.array([[scale, 0, -x], [0, scale, -y]], np.float32)
    fill = [int(value) for value in rng.integers(0, 256, 3)]
    view = cv2.warpAffine(image, warp, (size_px, size_px), borderValue=fill)
    offset = np.array([x, y, x, y], np.float32)
    boxes, ignore = boxes * scale - offset, ignore * scale - offset
    cover(view, boxes, rng)
    if rng.random() < TURNED:
        view, boxes, ignore = _turned(view, boxes, ignore, rng.normal(0, TURN_DEG), fill)
    if rng.random() < 0.5:
        view = np.ascontiguousarray(view[:, ::-1])
        boxes, ignore = _flipped(boxes, size_px), _flipped(ignore, size_px)
    boxes, dropped = _visible(boxes, size_px)
    return FaceSample(
        _recoloured(view, rng), boxes, np.concatenate([ignore, dropped]), sample.source
    )


def _turned(
    view: np.ndarray, boxes: np.ndarray, ignore: np.ndarray, angle_deg: float, fill: list[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Turns a view about its middle; boxes move with their middles and keep their sizes."""
    size_px = len(view)
    turn = cv2.getRotationMatrix2D((size_px / 2, size_px / 2), angle_deg, 1.0)
    view = cv2.warpAffine(view, turn, (size_px, size_px), borderValue=fill)

    def moved(some: np.ndarray) -> np.ndarray:
        middles, half = (some[:, :2] + some[:, 2:]) / 2, (some[:, 2:] - some[:, :2]) / 2
        middles = middles @ turn[:, :2].T + turn[:, 2]
        return np.concatenate([middles - half, middles + half], axis=1).astype(np.float32)

    return view, moved(boxes), moved(ignore)


def _flipped(boxes: np.ndarray, size_px: int) -> np.ndarray:
    return np.stack(
        [size_px - boxes[:, 2], boxes[:, 1], size_px - boxes[:, 0], boxes[:, 3]], axis=1
    )


def _visible(boxes: np.ndarray, size_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Splits boxes into faces and remains (cut off or tiny), which do not count."""
    clipped = boxes.clip(0, size_px)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    visible_share = (clipped[:, 2:] - clipped[:, :2]).prod(axis=1) / np.maximum(area, 1e-6)
    large = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0) >= SMALLEST_FACE_PX
    keep = (visible_share > 0.5) & large
    return clipped[keep].astype(np.float32), clipped[~keep].astype(np.float32)


def _recoloured(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Light, tint, blur, noise and compression of cheap cameras."""
    gain = rng.uniform(0.6, 1.4) * rng.uniform(0.9, 1.1, 3)
    shift = rng.uniform(-30, 30)
    table = np.arange(256, dtype=np.float32)[:, None] / 255
    table = 255 * table ** rng.uniform(0.7, 1.4) * gain + shift
    image = cv2.LUT(image, table.clip(0, 255).astype(np.uint8)[None])
    if rng.random() < UNEVEN:
        image = _lit_from_a_side(image, rng)
    if rng.random() < DIM:
        image = _dimmed(image, rng)
    if rng.random() < 0.1:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    if rng.random() < 0.15:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.5))
    if rng.random() < 0.2:
        noise = rng.normal(0, rng.uniform(2, 12), image.shape).astype(np.float32)
        image = (image + noise).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.15:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 80))]
        decoded = cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)
        assert decoded is not None, "a picture that was just encoded decodes"
        image = decoded
    return image


def _lit_from_a_side(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brightness that falls off in one direction."""
    height, width = image.shape[:2]
    towards = rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    along = (np.cos(towards) * columns + np.sin(towards) * rows) / np.sqrt(2)
    gain = np.exp(-rng.uniform(0.5, 2.0) * (along + 1) / 2)[..., None]
    return (image * gain).clip(0, 255).astype(np.uint8)


def _dimmed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Little light, and its noise, which a camera's own gain makes larger in half of them."""
    gain = np.exp(rng.uniform(*np.log(GAIN)))
    noise = rng.normal(0, rng.uniform(1, 3), image.shape)
    dark = (image * gain + noise).clip(0, 255).round()
    lifted = dark / gain * rng.uniform(0.4, 0.9) if rng.random() < 0.5 else dark
    return lifted.clip(0, 255).astype(np.uint8)
