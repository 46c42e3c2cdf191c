"""Training: the real entry points on drawn data, resumed runs, and the parts of their losses."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import train_syncnet
from models import s3fd, weights
from models.features import SAMPLES_PER_FRAME
from models.syncnet import SMALL, SyncNet
from pipeline import media
from pipeline.errors import InputError
from pipeline.scores import score_clip
from pipeline.workspace import Workspace
from training import detector, loop, samples, syncnet
from training.drawn import drawn_clip, drawn_scene, mouth_motion
from training.evaluate_sync import Agreement, Piece, reliable_confidence
from training.samples import Clip

FRAMES = 110


def _speech(rng: np.random.Generator) -> np.ndarray:
    """Noise in bursts, as syllables are."""
    loudness = np.repeat(rng.uniform(0, 1, FRAMES // 5) ** 3, 5 * SAMPLES_PER_FRAME)
    return (loudness * rng.normal(0, 6000, len(loudness))).clip(-32768, 32767).astype(np.int16)


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data_dir with two drawn face clips, as run_pipeline.py leaves them."""
    data_dir = tmp_path_factory.mktemp("tracks")
    rng = np.random.default_rng(7)
    for name in ("anna", "carl"):
        place = Workspace(data_dir, name)
        place.room("pycrop").mkdir(parents=True)
        samples_16k, sound = _speech(rng), data_dir / "sound.s16"
        samples_16k.tofile(sound)
        with media.VideoWriter(place.crop(0), size_px=(224, 224), audio=sound) as writer:
            for frame in drawn_clip(rng, samples_16k, frames=FRAMES):
                writer.write(frame)
    return data_dir


def _train(tracks: Path, run: Path, *, steps: int, total: int = 4) -> dict:
    """Runs train_syncnet.py to `steps` of a schedule of `total`; gives the checkpoint."""
    flags = ["--data", str(tracks), "--run", str(run), "--cache", str(tracks / "cache")]
    flags += ["--drawn", "1", "--excerpts", "2", "--save_every", "2", "--refine_at", "1"]
    original = loop.learning_rate

    def scheduled(step: int, *, peak: float, warmup_steps: int, total_steps: int) -> float:
        return original(step, peak=peak, warmup_steps=warmup_steps, total_steps=total)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "learning_rate", scheduled)  # a killed run had the longer schedule
        assert train_syncnet.main([*flags, "--steps", str(steps), "--device", "cpu"]) == 0
    state = loop.load_checkpoint(run / "checkpoint.pt")
    assert state is not None and state["step"] == steps
    return state


def test_a_resumed_syncnet_run_equals_an_unbroken_one(tracks: Path, tmp_path: Path) -> None:
    """Weights, averaged weights and optimiser after 4 steps do not know of the break after 2."""
    _train(tracks, tmp_path / "broken", steps=2)
    broken = _train(tracks, tmp_path / "broken", steps=4)
    whole = _train(tracks, tmp_path / "whole", steps=4)
    for part in ("model", "average"):
        for key, value in whole[part].items():
            assert torch.equal(value, broken[part][key]), f"{part} {key}"
    assert whole["offsets"] == broken["offsets"] and whole["dropped"] == broken["dropped"]


def test_syncnet_export_loads_and_has_a_card(tracks: Path, tmp_path: Path) -> None:
    """The exported file is a network run_syncnet.py takes, with its card beside it."""
    file = tmp_path / "own.safetensors"
    flags = ["--data", str(tracks), "--val", str(tracks), "--run", str(tmp_path / "run")]
    flags += ["--drawn", "0", "--excerpts", "2", "--steps", "1", "--export", str(file)]
    assert train_syncnet.main([*flags, "--device", "cpu"]) == 0
    model, used = weights.load_syncnet(file, device=torch.device("cpu"))
    card = json.loads(file.with_suffix(".json").read_text())
    assert card["sha256"] == used.sha256 and card["data"]["kept"] == 2
    assert model.config.embedding_size == SMALL.embedding_size


def test_training_without_clips_says_so(tmp_path: Path) -> None:
    """An empty folder is named before the first step."""
    with pytest.raises(InputError, match=r"run run_pipeline\.py first"):
        samples.load_clips([tmp_path], SMALL, cache=tmp_path / "cache", margin=True)


def test_the_objective_prefers_matching_windows() -> None:
    """Equal embeddings of lips and sound give nearly no loss; shuffled ones more than chance."""
    v = torch.randn(2, 31, 64, generator=torch.Generator().manual_seed(1))
    objective = syncnet.Objective()
    right, accuracy = objective(v, v)
    wrong, _ = objective(v, v.roll(1, dims=1))
    assert accuracy == 1.0 and right.item() < 0.1 and wrong.item() > np.log(31)


def test_a_batch_holds_windows_of_both_streams(tracks: Path) -> None:
    """31 windows an excerpt; normalised pictures, finite sound."""
    clips = samples.load_clips([tracks], SMALL, cache=tracks / "cache", margin=True)
    rng = np.random.default_rng(3)
    lips, sound = syncnet.excerpt_batch(
        clips, rng, SMALL, excerpts=2, chances=syncnet.chances(clips)
    )
    assert lips.shape == (62, 1, 5, 48, 48) and sound.shape == (62, 1, 13, 20)
    assert abs(float(lips.mean())) < 0.1 and 0.5 < float(lips.std()) < 1.5
    assert bool(sound.isfinite().all())


def test_shifted_sound_moves_by_whole_frames() -> None:
    """lead 3: the sound of frame f + 3 is heard at f; beyond the clip there is silence."""
    marks = np.repeat(np.arange(1, 11, dtype=np.int16), SAMPLES_PER_FRAME)
    clip = Clip("x", np.zeros((10, 62, 62), np.uint8), marks)
    for lead in (-12, -4, 0, 3, 12):
        heard = samples.shifted_sound(clip, first=2, frames=5, lead_frames=lead)
        wanted = [frame + lead + 1 for frame in range(2, 7)]
        assert heard[::SAMPLES_PER_FRAME].tolist() == [w if 1 <= w <= 10 else 0 for w in wanted]


def test_margin_and_middle_are_what_the_network_sees(tracks: Path, cpu: torch.device) -> None:
    """The margin surrounds what the network sees; without it pieces score as clips do."""
    frame = next(iter(media.read_frames(Workspace(tracks, "anna").crop(0))))
    wide = samples.syncnet.lip_pixels(frame, samples.margin_config(SMALL))[0]
    margin = (wide.shape[0] - SMALL.lip_size_px) // 2
    inner = wide[margin : margin + SMALL.lip_size_px, margin : margin + SMALL.lip_size_px]
    seen = samples.syncnet.lip_pixels(frame, SMALL)[0]
    assert np.abs(inner.astype(int) - seen).mean() < 3
    model = SyncNet(SMALL).eval()
    (clip, *_) = samples.load_clips([tracks], SMALL, cache=tracks / "cache", margin=False)
    found = syncnet.score_piece(model, clip, first=0, frames=FRAMES, device=cpu)
    scored = score_clip(
        Workspace(tracks, "anna").crop(0), model, batch_size=20, vshift=15, device=cpu
    )
    assert found is not None and scored.sync is not None
    assert found.framewise == pytest.approx(scored.sync.framewise, abs=1e-4)
    assert found.offset_frames == scored.sync.offset_frames


def test_reliable_confidence_is_right_99_times_in_100() -> None:
    """The threshold lies just above the last piece that would spoil the share."""
    pieces = [(Piece("c", "t", 5, 0, 0, conf, False), conf > 2) for conf in np.arange(0.5, 9, 0.01)]
    assert reliable_confidence(Agreement(pieces)) == pytest.approx(1.93, abs=0.03)


def test_mouths_open_with_the_sound() -> None:
    """A burst at frame 30 opens the drawn mouth there, symmetrically; silence keeps it shut."""
    sound = np.zeros(60 * SAMPLES_PER_FRAME, np.float32)
    burst = slice(29 * SAMPLES_PER_FRAME, 32 * SAMPLES_PER_FRAME)
    sound[burst] = np.sin(np.arange(3 * SAMPLES_PER_FRAME) * 0.25)
    opening = mouth_motion(sound, frames=60)[:, 0]
    assert opening[30] > 0.4 and opening[29] == pytest.approx(opening[31], abs=0.1)
    assert opening @ np.arange(60) / opening.sum() == pytest.approx(30, abs=0.1)
    assert opening[:26].max() == 0 == opening[35:].max()


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
    with media.VideoWriter(corpus / "train" / "a.avi", size_px=(160, 120)) as writer:
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
