"""Pictures for the face detector: which are read, how they are labelled, and views of them."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.media import encode
from training.batches import face_samples
from training.batches.face_samples import FaceSample, corpus_samples, still_samples


def test_photographs_are_of_the_split_that_is_asked_for(tmp_path: Path) -> None:
    """Faces, regions that do not count and the source are those of the line; no faces are none."""
    labels: list[dict[str, Any]] = [
        {"file": "train/0.png", "boxes": [[1, 2, 3, 4]], "ignore": [[5, 6, 7, 8]], "source": "a"},
        {"file": "heldout/0.png", "boxes": [], "ignore": [], "source": "b"},
    ]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, labels)))
    for label in labels:
        picture = tmp_path / "images" / label["file"]
        picture.parent.mkdir(parents=True)
        cv2.imwrite(str(picture), np.full((9, 12, 3), 50, np.uint8))
    (sample,) = still_samples(tmp_path, split="train")
    assert sample.image.shape == (9, 12, 3) and sample.source == "a"
    assert sample.boxes.tolist() == [[1, 2, 3, 4]] and sample.ignore.tolist() == [[5, 6, 7, 8]]
    (other,) = still_samples(tmp_path, split="heldout")
    assert other.source == "b" and other.boxes.shape == other.ignore.shape == (0, 4)
    picture.unlink()
    with pytest.raises(FileNotFoundError, match=r"heldout/0\.png cannot be read"):
        still_samples(tmp_path, split="heldout")


def test_frames_of_a_clip_have_the_teachers_boxes_of_their_time(tmp_path: Path) -> None:
    """Every second frame is labelled; the first and last row are taken, halved as the picture."""
    (tmp_path / "val").mkdir()
    with encode.VideoWriter(tmp_path / "val" / "a.avi", size_px=(640, 360)) as writer:
        for frame in range(6):
            writer.write(np.full((360, 640, 3), 40 * frame, np.uint8))
    faces = [
        [[20, 40, 60, 80, 0.9], [100, 100, 140, 140, 0.69]],
        [[0, 0, 10, 10, 0.9]],
        [[40, 40, 80, 80, 0.7]],
    ]
    clip = {"file": "val/a.avi", "width": 640, "height": 360, "every": 2, "faces": faces}
    (tmp_path / "faces.jsonl").write_text(json.dumps(clip))
    assert corpus_samples(tmp_path, split="train", per_clip=2) == []
    first, last = corpus_samples(tmp_path, split="val", per_clip=2)
    assert first.image.shape == (180, 320, 3) and first.source == "val/a.avi"
    assert first.image.mean() < 5 and last.image.mean() == pytest.approx(160, abs=5)
    assert first.boxes.tolist() == [[10, 20, 30, 40]] and first.ignore.tolist() == [
        [50, 50, 70, 70]
    ]
    assert last.boxes.tolist() == [[20, 20, 40, 40]]
    assert len(corpus_samples(tmp_path, split="val", per_clip=9)) == 3


def test_faces_mostly_outside_a_view_do_not_count() -> None:
    """More than half must be seen, and the longer side be 8 pixels; boxes end at the view's."""
    boxes = [[-10, 0, 30, 40], [-30, 0, 10, 40], [50, 50, 57, 57], [50, 50, 58, 54]]
    kept, dropped = face_samples._visible(np.array(boxes, np.float32), 100)
    assert kept.tolist() == [[0, 0, 30, 40], boxes[3]]
    assert dropped.tolist() == [[0, 0, 10, 40], boxes[2]]


@pytest.fixture
def plain_light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is covered, dimmed or turned."""
    monkeypatch.setattr(face_samples, "cover", lambda *_: None)
    for chance in ("TURNED", "DIM", "UNEVEN"):
        monkeypatch.setattr(face_samples, chance, 0.0)


@pytest.mark.usefixtures("plain_light")
def test_boxes_and_ignored_regions_stay_on_what_they_mark() -> None:
    """However a view is scaled, moved and mirrored, the bright squares lie in their boxes."""
    image = np.zeros((240, 320, 3), np.uint8)
    image[60:110, 40:90] = image[130:190, 200:260] = 255
    box, region = [40, 60, 90, 110], [200, 130, 260, 190]
    sample = FaceSample(image, np.array([box], np.float32), np.array([region], np.float32), "x")
    rng = np.random.default_rng(2)
    seen = {"boxes": 0, "ignore": 0}
    sides = []
    for _ in range(60):
        view = face_samples.augment(sample, rng, size_px=128)
        assert view.image.shape == (128, 128, 3) and view.image.dtype == np.uint8
        for name in seen:
            for x1, y1, x2, y2 in getattr(view, name).round().astype(int):
                if min(x1, y1) < 8 or max(x2, y2) > 120 or x2 - x1 < 16:
                    continue
                around = view.image[y1 - 5 : y2 + 5, x1 - 5 : x2 + 5].mean(axis=2)
                inner = around[7:-7, 7:-7]
                ring = np.concatenate([around[:3], around[-3:]], axis=None)
                columns = np.concatenate([around[:, :3], around[:, -3:]], axis=None)
                assert inner.mean() > max(ring.mean(), columns.mean()) + 70
                seen[name] += 1
                sides.append(x2 - x1)
    assert min(seen.values()) >= 5 and max(sides) > 3 * min(sides)


@pytest.mark.usefixtures("plain_light")
def test_turned_views_keep_boxes_on_the_middles_of_what_they_mark(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A dot far from the middle of the view moves with its box, and the box keeps its size."""
    monkeypatch.setattr(face_samples, "TURNED", 1.0)
    image = np.zeros((100, 100, 3), np.uint8)
    cv2.circle(image, (70, 40), 5, (255, 255, 255), cv2.FILLED)
    box = np.array([[60, 30, 80, 50]], np.float32)
    rng = np.random.default_rng(4)
    turns = []
    for _ in range(40):
        view = face_samples.augment(FaceSample(image, box, box, "x"), rng, size_px=200)
        for marks in (view.boxes, view.ignore):
            for x1, y1, x2, y2 in marks:
                if min(x1, y1) <= 1 or max(x2, y2) >= 199 or x2 - x1 < 25:
                    continue
                assert x2 - x1 == pytest.approx(y2 - y1, abs=0.01)
                part = view.image[
                    round(float(y1)) : round(float(y2)), round(float(x1)) : round(float(x2))
                ]
                bright = np.argwhere(
                    part.mean(axis=2) > (float(part.max()) + float(part.min())) / 2
                )
                middle = bright.mean(axis=0) / len(part)
                assert middle == pytest.approx([0.5, 0.5], abs=0.06)
                turns.append(middle)
    assert len(turns) >= 15
    empty = np.zeros((0, 4), np.float32)
    turned, moved, none = face_samples._turned(image, box, empty, 90.0, [0, 0, 0])
    assert moved == pytest.approx(np.array([[30, 20, 50, 40]]), abs=1) and len(none) == 0
    assert turned[30, 40].tolist() == [255] * 3 and turned[40, 70].tolist() == [0] * 3


def test_a_tenth_of_the_views_is_in_dim_light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little of the picture is left, or it is lifted again with its noise; a face stays in it."""
    image = np.full((64, 64, 3), 160, np.uint8)
    image[16:48, 16:48] = 240
    rng = np.random.default_rng(5)
    dimmed = [face_samples._dimmed(image, rng) for _ in range(60)]
    means = np.array([picture.mean() for picture in dimmed])
    dark = means < 0.42 * image.mean()
    assert 15 <= dark.sum() <= 45 and means.min() < 0.12 * image.mean()
    assert means[~dark].min() > 0.35 * image.mean() and means.max() < 0.95 * image.mean()
    for picture in dimmed:
        assert picture[20:44, 20:44].mean() > picture[:12].mean() * 1.2
        assert picture[20:44, 20:44].std(axis=(0, 1)).min() > 0.5
    monkeypatch.setattr(face_samples, "_dimmed", lambda *_: np.zeros((8, 8, 3), np.uint8))
    monkeypatch.setattr(face_samples, "_lit_from_a_side", lambda given, _: given)
    views = [face_samples._recoloured(image, rng) for _ in range(400)]
    share = sum(len(view) == 8 for view in views) / len(views)
    assert share == pytest.approx(face_samples.DIM, abs=0.06)


def test_light_from_one_side_falls_off_across_the_picture() -> None:
    """Brightest at a corner or an edge, never brighter than it was, no step anywhere."""
    image = np.full((60, 80, 3), 200, np.uint8)
    rng = np.random.default_rng(6)
    sides = set()
    for _ in range(30):
        lit = face_samples._lit_from_a_side(image, rng).mean(axis=2)
        assert lit.max() <= 200 and lit.min() < 0.8 * lit.max()
        assert max(np.abs(np.diff(lit, axis=axis)).max() for axis in (0, 1)) < 8
        row, column = np.unravel_index(lit.argmax(), lit.shape)
        sides.add((bool(row > 30), bool(column > 40)))
    assert len(sides) == 4
