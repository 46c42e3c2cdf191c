"""Evaluations of experts and generators: every figure against one worked out by hand."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from models import syncnet, weights
from models.features import SAMPLES_PER_FRAME
from models.syncnet import CROP_PX, SyncNet
from models.wav2lip import FACE_PX, Wav2Lip, Wav2LipConfig
from pipeline.dubbing import blend
from pipeline.errors import InputError
from pipeline.media import decode
from pipeline.store.workspace import Workspace
from pipeline.sync.offset import Sync
from tests.score_kit import scorer_of
from tests.train_kit import TINY
from training import evaluate_expert, evaluate_mouths
from training.data.faces import VIEW, FaceClip, track_box
from training.data.samples import Clip
from training.drawn_tracks import write_track
from training.evaluate import fid, tables
from training.evaluate_mouths import Exchange
from training.objectives.structure import ssim

NARROW = Wav2LipConfig(0.02)
MEL: Any = SimpleNamespace(hears_cepstra=False)  # a generator that hears mel features


def _face(name: str = "val/a/00000", frames: int = 130, *, offset_ms: float = 0.0) -> FaceClip:
    """A clip whose frame n has brightness n, and sound of its own."""
    side = VIEW.lip_size_px
    numbers = np.arange(frames, dtype=np.uint8)[:, None, None, None]
    pictures = np.broadcast_to(numbers, (frames, 3, side, side))
    rng = np.random.default_rng(len(name) + frames)
    sound = rng.integers(-9000, 9000, frames * SAMPLES_PER_FRAME, dtype=np.int16)
    return FaceClip(Clip(name, pictures, sound, offset_ms), track_box(0.76))


# Experts.


def test_separation_counts_both_kinds_alike_and_ties_half() -> None:
    """Two of three right pairs above 0.5, three of four wrong ones not; 9.5 of 12 in order."""
    figures = evaluate_expert.separation(np.array([0.9, 0.6, 0.5]), np.array([0.5, 0.4, 0.7, 0.1]))
    assert figures == {"accuracy": round((2 / 3 + 3 / 4) / 2, 4), "roc_area": round(9.5 / 12, 4)}


def test_pairs_are_all_windows_five_frames_away_and_ties_count_half() -> None:
    """Each window's own sound against them; a window without any has no share."""
    starts = np.array([0, 5, 10, 12])
    mouths = np.eye(4)
    sound = np.array([[0.9, 0, 0, 0.5], [0.1, 0.2, 0, 0.6], [0.9, 0.8, 0.3, 0.7], [1, 1, 1, 0.6]])
    shares = evaluate_expert.preferred(starts, sound, mouths)
    # Of window 0 the sounds 1, 2 and 3 are far; of 2 only 0 and 1: sound 3 is two frames away.
    assert shares == pytest.approx([1.5 / 3, 1 / 3, 1.0, 1.5 / 2])
    assert evaluate_expert.mean_share(shares) == round(float(shares.mean()), 4)
    alone = evaluate_expert.preferred(np.array([0, 3, 20]), np.eye(3), np.eye(3))
    assert alone.tolist() == [1.0, 1.0, 1.0]
    none = evaluate_expert.preferred(np.array([0, 4]), np.eye(2), np.eye(2))
    assert len(none) == 0 and evaluate_expert.mean_share(none) is None


def test_wrong_sound_of_the_same_clip_is_five_frames_away() -> None:
    """Any such window may be it; where there is none, minus one."""
    starts = np.array([0, 3, 5, 20])
    choices = {
        tuple(evaluate_expert.far_windows(starts, np.random.default_rng(seed)).tolist())
        for seed in range(60)
    }
    assert [sorted(set(column)) for column in zip(*choices, strict=True)] == [
        [2, 3],
        [3],
        [0, 3],
        [0, 1, 2],
    ]
    none = evaluate_expert.far_windows(np.array([0, 4]), np.random.default_rng(1))
    assert none.tolist() == [-1, -1]


def test_expert_gets_five_frames_and_the_sound_of_the_first() -> None:
    """In every window, more of them than go into one batch, in order."""
    face = _face()
    starts = face.starts[:100]
    calls: list[int] = []

    def expert(mels: torch.Tensor, faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        calls.append(len(mels))
        levels = faces.unflatten(1, (5, 3)).mean(dim=(2, 3, 4)) * 255
        return mels.flatten(1), levels

    sound, mouths = evaluate_expert.embed(expert, face, starts, torch.device("cpu"))  # type: ignore[arg-type]
    assert max(calls) <= 64 and sum(calls) == 100
    np.testing.assert_array_equal(sound, face.sound(starts).flatten(1).numpy())
    expected = starts[:, None] + np.arange(5)
    np.testing.assert_allclose(mouths, expected, atol=0.01)


@pytest.mark.parametrize("knows", ["times", "clips"])
def test_expert_that_knows_one_thing_is_right_about_that_alone(
    monkeypatch: pytest.MonkeyPatch, knows: str
) -> None:
    """Vectors that tell windows of a clip apart, or nothing but the clip."""
    faces = [_face(f"val/{name}/00000") for name in "abc"]

    def embed(_expert: object, face: FaceClip, starts: np.ndarray, _device: object) -> Any:
        if knows == "times":
            vectors = np.eye(400)[starts]
        else:
            number = [other.clip.name for other in faces].index(face.clip.name)
            vectors = np.tile(np.eye(3)[number], (len(starts), 1))
        return vectors, vectors

    monkeypatch.setattr(evaluate_expert, "embed", embed)
    table = evaluate_expert.evaluate(
        None,  # type: ignore[arg-type]
        faces,
        device=torch.device("cpu"),
    )
    windows = len(faces[0].starts[::5])
    assert table["windows"] == 3 * windows and list(table["clips"]) == [f.clip.name for f in faces]
    perfect, guessed = {"accuracy": 1.0, "roc_area": 1.0}, {"accuracy": 0.5, "roc_area": 0.5}
    assert table["pairs"] == (1.0 if knows == "times" else 0.5)
    if knows == "times":
        assert table["other_times"] == perfect
        # A stranger's window may have the number of this one by chance.
        assert 0.9 < table["other_clips"]["accuracy"] <= 1
    else:
        assert table["other_times"] == guessed and table["other_clips"] == perfect
    for row in table["clips"].values():
        assert row == {"windows": windows, "pairs": table["pairs"]} | table["other_times"]


def test_expert_without_wrong_sound_has_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clip alone has no other clip's sound; one of a single window no other time's either."""
    vectors = np.eye(130)
    monkeypatch.setattr(evaluate_expert, "embed", lambda _e, _f, starts, _d: (vectors[starts],) * 2)
    nothing = {"accuracy": None, "roc_area": None}
    for frames, expected in ((130, {"accuracy": 1.0, "roc_area": 1.0}), (11, nothing)):
        table = evaluate_expert.evaluate(
            None,  # type: ignore[arg-type]
            [_face(frames=frames)],
            device=torch.device("cpu"),
        )
        assert table["other_clips"] == nothing and table["other_times"] == expected
        assert table["pairs"] == (1.0 if frames == 130 else None)


# Generators with the face's own sound.


class _Drawing:
    """Replaces a generator: changes the faces it gets."""

    hears_cepstra = False

    def __init__(self, change: Any) -> None:
        self.change = change
        self.model = Wav2Lip(Wav2LipConfig(width=0.0625))
        self.calls: list[tuple[np.ndarray, np.ndarray, np.ndarray | None]] = []

    def draw(
        self, faces: np.ndarray, windows: np.ndarray, *, reference: np.ndarray | None = None
    ) -> np.ndarray:
        self.calls.append((faces.copy(), windows, reference))
        return np.asarray(self.change(faces))


def _textured(frames: int = 130) -> FaceClip:
    """A clip of noise: no two frames are alike."""
    rng = np.random.default_rng(2)
    side = VIEW.lip_size_px
    pictures = rng.integers(40, 200, (frames, 3, side, side), dtype=np.uint8)
    face = _face(frames=frames)
    return replace(face, clip=replace(face.clip, pictures=pictures))


def test_mouth_box_is_where_the_mask_is() -> None:
    """From just above the middle to just above the chin; the outer sevenths are cheeks."""
    rows, columns = evaluate_mouths.mouth_box()
    assert (rows, columns) == (slice(47, 95), slice(13, 83))
    mask = blend.mouth_mask(FACE_PX, FACE_PX)
    assert np.count_nonzero(mask[rows, columns]) == np.count_nonzero(mask)


def test_own_sound_is_drawn_from_a_face_a_second_away() -> None:
    """Fifty frames over the whole clip, each with its own sound."""
    face, drawing = _face(), _Drawing(lambda faces: faces + 1)
    redrawn = evaluate_mouths.with_own_sound(face, drawing, seed=1)  # type: ignore[arg-type]
    assert redrawn is not None
    ((real, windows, reference),) = drawing.calls
    assert reference is not None
    real_levels, reference_levels = (
        np.rint(faces.mean(axis=(1, 2, 3))).astype(int) for faces in (real, reference)
    )
    expected = face.starts[np.linspace(0, len(face.starts) - 1, 50).astype(int)]
    assert (
        real_levels.tolist() == expected.tolist()
        and real_levels[0] == 0
        and real_levels[-1] == face.starts[-1]
    )
    assert np.abs(real_levels - reference_levels).min() >= 25
    np.testing.assert_array_equal(windows, face.sound(expected).numpy())
    assert len(face.starts[:50]) == 50
    short = _face(frames=10 + 49)  # 49 starts: half of fifty and a second take 50
    assert len(short.starts) == 49
    assert evaluate_mouths.with_own_sound(short, drawing, seed=1) is None  # type: ignore[arg-type]
    enough = _face(frames=10 + 50)
    assert evaluate_mouths.with_own_sound(enough, drawing, seed=1) is not None  # type: ignore[arg-type]


def test_own_sound_figures_of_a_face_that_is_brighter_by_ten() -> None:
    """L1 10 of 255, PSNR 28.1 dB, as sharp as before; what is no mouth does not count."""

    def brighter(faces: np.ndarray) -> np.ndarray:
        brighter_faces = faces + 10
        brighter_faces[:, :40] = 0
        return brighter_faces

    redrawn = evaluate_mouths.with_own_sound(_textured(), _Drawing(brighter), seed=1)  # type: ignore[arg-type]
    assert redrawn is not None
    assert redrawn.figures["l1"] == pytest.approx(10 / 255)
    assert redrawn.figures["psnr_db"] == pytest.approx(20 * np.log10(255 / 10))
    assert redrawn.figures["sharpness"] == pytest.approx(1.0)
    rows, columns = evaluate_mouths.mouth_box()
    both = (
        torch.from_numpy(faces.transpose(0, 3, 1, 2)).double() / 255
        for faces in (redrawn.generated, redrawn.real)
    )
    alike = ssim(*both)[..., rows, columns]
    assert redrawn.figures["ssim"] == pytest.approx(float(alike.mean()), abs=1e-5)
    assert redrawn.figures["ssim"] < 0.999


def test_own_sound_psnr_is_the_mean_of_the_frames() -> None:
    """Half of the frames are off by 1, half by 10: the mean of their decibels, not of errors."""

    def uneven(faces: np.ndarray) -> np.ndarray:
        changed_faces = faces.copy()
        changed_faces[::2] += 1
        changed_faces[1::2] += 10
        return changed_faces

    redrawn = evaluate_mouths.with_own_sound(_textured(), _Drawing(uneven), seed=1)  # type: ignore[arg-type]
    assert redrawn is not None
    each = [20 * np.log10(255 / off) for off in (1, 10)]
    assert redrawn.figures["psnr_db"] == pytest.approx(np.mean(each))
    assert redrawn.figures["l1"] == pytest.approx(5.5 / 255)


def test_sharpness_of_half_the_contrast_is_a_quarter() -> None:
    """Drawn by real: a blurred mouth is below 1. The variance of the Laplacian of grey."""

    def flatter(faces: np.ndarray) -> np.ndarray:
        return np.rint(120 + (faces.astype(float) - 120) / 2).astype(np.uint8)

    redrawn = evaluate_mouths.with_own_sound(_textured(), _Drawing(flatter), seed=1)  # type: ignore[arg-type]
    assert redrawn is not None and redrawn.figures["sharpness"] == pytest.approx(0.25, abs=0.01)
    stripes = np.zeros((2, 8, 8, 3), np.uint8)
    stripes[:, :, ::2] = 100  # its Laplacian is -200 and 200 in turn
    assert evaluate_mouths.sharpness(stripes) == pytest.approx(200.0**2, rel=0.01)
    blue = stripes * np.array([1, 0, 0], np.uint8)
    assert evaluate_mouths.sharpness(blue) == pytest.approx(22.0**2, rel=0.05)


def test_strip_shows_real_faces_above_drawn_ones() -> None:
    """Five of fifty, ten frames apart."""
    redrawn = evaluate_mouths.with_own_sound(_textured(), _Drawing(np.zeros_like), seed=1)  # type: ignore[arg-type]
    assert redrawn is not None
    strip = redrawn.strip()
    assert strip.shape == (2 * FACE_PX, 5 * FACE_PX, 3) and not strip[FACE_PX:].any()
    np.testing.assert_array_equal(strip[:FACE_PX, FACE_PX : 2 * FACE_PX], redrawn.real[10])


# Generators with foreign sound.


def _photo(seed: int) -> np.ndarray:
    """A smooth crop."""
    rng = np.random.default_rng(seed)
    small = rng.integers(40, 200, (6, 6, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, (CROP_PX, CROP_PX), interpolation=cv2.INTER_CUBIC))


def test_dubbed_crops_get_a_mouth_where_the_face_is() -> None:
    """What the generator sees is the face as training cuts it; only the mouth changes."""
    crops = [_photo(seed) for seed in range(2)]
    before = [crop.copy() for crop in crops]
    stored = np.stack([syncnet.lip_pixels(crop, VIEW) for crop in crops])
    pictures = stored if stored.shape[1] == 3 else stored.transpose(0, 3, 1, 2)
    face = _face(frames=2)
    face = replace(face, clip=replace(face.clip, pictures=pictures))
    drawing = _Drawing(lambda faces: 255 - faces)
    windows = np.zeros((2, 1, 80, 16), np.float32)
    dubbed = evaluate_mouths.dubbed_crops(crops, face, windows, drawing)  # type: ignore[arg-type]
    ((inputs, sound, _),) = drawing.calls
    assert sound is windows
    expected = face.faces(np.arange(2), face.box)
    assert np.abs(inputs.astype(int) - expected).mean() < 3
    for crop, old, new in zip(crops, before, dubbed, strict=True):
        np.testing.assert_array_equal(crop, old)
        changed = np.argwhere((new != old).any(axis=2))
        top, left = changed.min(axis=0)
        bottom, right = changed.max(axis=0)
        assert 75 < top < 95 and 135 < bottom < 175 and 40 < left < 80 and 140 < right < 185


@pytest.fixture
def one_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips get a second of foreign sound instead of ten."""
    monkeypatch.setattr(evaluate_mouths, "FOREIGN_S", 1)
    monkeypatch.setattr(evaluate_mouths, "LARGEST_CLIPS", 5)


@pytest.mark.usefixtures("one_second")
def test_clips_exchange_sound_with_another_video_far_along_the_list() -> None:
    """Long enough ones, the first five; its sound from the first start on, its offset taken out."""
    long = [_face(f"val/{name}/0000{track}", 60) for name in "ab" for track in range(2)]
    late = _face("val/c/00000", 60, offset_ms=120.0)
    short, surplus = _face("val/d/00000", 34), _face("val/e/00000", 60)
    assert len(short.starts) < 25 <= len(long[0].starts)
    faces = [long[0], short, *long[1:], late, surplus]
    pairs = evaluate_mouths.exchanges(faces, {f.clip.name: Path(f.clip.name) for f in faces}, MEL)
    usable = [*long, late]
    strangers = {0: 2, 1: 3, 2: 4, 3: 0, 4: 1}  # two further along, round the end
    assert [exchange.face for exchange in pairs] == usable
    for number, exchange in enumerate(pairs):
        stranger = usable[strangers[number]]
        start = int(stranger.starts[0])
        frames = np.arange(start, start + 25)
        np.testing.assert_array_equal(exchange.windows, stranger.sound(frames).numpy())
        first = (start - round(stranger.clip.offset_ms / 40)) * SAMPLES_PER_FRAME
        np.testing.assert_array_equal(
            exchange.sound, stranger.clip.samples[first : first + 25 * SAMPLES_PER_FRAME]
        )
        assert exchange.file == Path(exchange.face.clip.name)
    same = evaluate_mouths.exchanges(long[:2], {f.clip.name: Path("x") for f in long}, MEL)
    assert same == []  # two tracks of one video: nobody else's sound


def _sync(offset: int, min_dist: float, confidence: float) -> Sync:
    return Sync(offset, 40.0 * offset, min_dist, confidence, 1.0, np.zeros(1), False, True, None)


class _Judge:
    """Replaces a scorer: other figures for dark crops."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.sounds: list[np.ndarray] = []

    def score_frames(self, crops: list[np.ndarray], sound: np.ndarray) -> Sync:
        self.sounds.append(sound)
        assert len(sound) == len(crops) * SAMPLES_PER_FRAME
        return _sync(3, 9.0, 2.0) if crops[0].mean() < 100 else _sync(-1, 6.0, 7.0)


@pytest.mark.usefixtures("one_second")
def test_foreign_sound_figures_are_of_the_clip_as_it_was_and_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real crops with their own sound, the new ones with the stranger's."""
    work = Workspace(tmp_path / "val", "a")
    work.folder("pycrop").mkdir(parents=True)
    face = _face(frames=60)
    write_track(work.crop(0), np.full((60, CROP_PX, CROP_PX, 3), 200, np.uint8), face.clip.samples)
    dark = [np.zeros((CROP_PX, CROP_PX, 3), np.uint8)] * 25
    monkeypatch.setattr(evaluate_mouths, "dubbed_crops", lambda *_: dark)
    foreign = np.full(25 * SAMPLES_PER_FRAME, 7, np.int16)
    exchange = Exchange(work.crop(0), face, np.zeros((25, 1, 80, 16), np.float32), foreign)
    judge = _Judge()
    figures, crops, dubbed = evaluate_mouths.with_foreign_sound(exchange, None, judge)  # type: ignore[arg-type]
    assert figures == {
        **{"real_lse_c": 7.0, "real_lse_d": 6.0, "lse_c": 2.0, "lse_d": 9.0, "offset": 3}
    }
    assert len(crops) == 25 and dubbed is dark
    np.testing.assert_array_equal(judge.sounds[0], face.clip.samples[: 25 * SAMPLES_PER_FRAME])
    assert judge.sounds[1] is foreign


def test_table_of_mouths_is_the_mean_of_its_clips() -> None:
    """Own sound by clip, foreign sound by clip, confidence beside the real one's, offsets by 1."""
    own = [{"l1": 0.02, "ssim": 0.9}, {"l1": 0.04, "ssim": 0.7}]
    row = {"real_lse_c": 8.0, "real_lse_d": 6.0, "lse_c": 6.0, "lse_d": 7.0, "offset": -1}
    worse = {"real_lse_c": 6.0, "real_lse_d": 8.0, "lse_c": 1.0, "lse_d": 9.0, "offset": 2}
    foreign = {"a": row, "b": worse, "c": row | {"offset": 1}}
    assert evaluate_mouths._table(own, foreign) == {
        **{"own_sound_clips": 2, "foreign_sound_clips": 3, "l1": 0.03, "ssim": 0.8},
        **{"real_lse_c": round(22 / 3, 3), "real_lse_d": round(20 / 3, 3)},
        **{"lse_c": round(13 / 3, 3), "lse_d": round(23 / 3, 3)},
        **{"lse_c_share": 0.591, "offset_within_1": 0.667, "clips": foreign},
    }
    assert evaluate_mouths._table([], {}) == {
        **{"own_sound_clips": 0, "foreign_sound_clips": 0, "clips": {}}
    }


# The command.


@pytest.mark.usefixtures("one_second")
def test_evaluate_mouths_writes_figures_and_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two clips: a contact sheet with a strip each, a video with both and the foreign sound."""
    monkeypatch.setattr(evaluate_mouths, "OWN_FRAMES", 10)
    for number, reference in enumerate(("a", "b")):
        work = Workspace(tmp_path / "val", reference)
        work.folder("pycrop").mkdir(parents=True)
        pictures = np.tile(_photo(number), (60, 1, 1, 1))
        sound = np.random.default_rng(number).integers(-9000, 9000, 60 * 640, dtype=np.int16)
        write_track(work.crop(0), pictures, sound // (1 + 9 * number))
    torch.manual_seed(1)
    weights.write_own(SyncNet(TINY), tmp_path / "judge.safetensors", config=TINY)
    weights.write_own(Wav2Lip(NARROW), tmp_path / "generator.safetensors", config=NARROW)
    folder, file = tmp_path / "shown", tmp_path / "table.json"
    flags = ["--data", str(tmp_path / "val"), "--device", "cpu", "--json", str(file)]
    flags += ["--checkpoint", str(tmp_path / "generator.safetensors")]
    flags += ["--initial_model", str(tmp_path / "judge.safetensors"), "--pictures", str(folder)]
    assert evaluate_mouths.main(flags) == 0
    table = json.loads(file.read_text())
    assert (table["generator"], table["syncnet"]) == ("generator.safetensors", "judge.safetensors")
    assert (table["own_sound_clips"], table["foreign_sound_clips"]) == (2, 2)
    assert list(table["clips"]) == ["val/a/00000", "val/b/00000"] and "fid" not in table
    assert 0 < table["l1"] < 1 and 5 < table["psnr_db"] < 40 and -1 <= table["ssim"] <= 1
    assert capsys.readouterr().out.startswith("val/a/00000 {")
    sheet = np.asarray(cv2.imread(str(folder / "own_sound.png")))
    assert sheet.shape == (2 * 2 * FACE_PX, 5 * FACE_PX, 3)
    frames = [frame.copy() for frame in decode.read_frames(folder / "side_by_side.mp4")]
    assert len(frames) == 50 and frames[0].shape == (CROP_PX, 2 * CROP_PX, 3)
    for number, frame in ((0, frames[10]), (1, frames[40])):
        left, right = frame[:, :CROP_PX].astype(int), frame[:, CROP_PX:].astype(int)
        assert np.abs(left - _photo(number)).mean() < 6
        assert np.abs(right[:60] - _photo(number)[:60]).mean() < 6
        assert np.abs(right - left)[110:150, 90:130].mean() > 8  # an untrained mouth
    sounds = decode.read_audio(folder / "side_by_side.mp4").astype(float)
    quiet, loud = sounds[2000:14000].std(), sounds[18000:30000].std()
    assert loud > 5 * quiet  # the loud clip has got the quiet one's sound, and came first


def test_scorer_judges_crops_held_in_memory(cpu: torch.device) -> None:
    """Crops and their sound, as run_syncnet.py scores a file of both."""
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    crops = [_photo(number) for number in range(20)]
    sound = rng.integers(-9000, 9000, 20 * SAMPLES_PER_FRAME, dtype=np.int16)
    sync = scorer_of(SyncNet(TINY).eval()).score_frames(crops, sound)
    assert sync and np.isfinite(sync.confidence) and abs(sync.offset_frames) <= 15
    assert len(sync.framewise) == 14


# Distance of the pictures' distributions.


@pytest.fixture
def inception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Replaces pytorch-fid and its weights: features are the mean of each channel."""
    inputs: list[torch.Tensor] = []

    class Inception(torch.nn.Module):
        BLOCK_INDEX_BY_DIM: dict[int, int] = {2048: 3}  # noqa: RUF012

        def __init__(self, blocks: list[int]) -> None:
            super().__init__()
            assert blocks == [3]

        def forward(self, pictures: torch.Tensor) -> list[torch.Tensor]:
            assert not self.training
            inputs.append(pictures)
            return [pictures.mean(dim=(2, 3), keepdim=True)]

    def frechet(m1: np.ndarray, c1: np.ndarray, m2: np.ndarray, c2: np.ndarray) -> float:
        roots = np.sqrt(np.diag(c1)), np.sqrt(np.diag(c2))  # of diagonal covariances
        return float(((m1 - m2) ** 2).sum() + ((roots[0] - roots[1]) ** 2).sum())

    first, second = ModuleType("pytorch_fid.inception"), ModuleType("pytorch_fid.fid_score")
    first.InceptionV3 = Inception  # type: ignore[attr-defined]
    second.calculate_frechet_distance = frechet  # type: ignore[attr-defined]
    for module in (ModuleType("pytorch_fid"), first, second):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    fid.weights_file().touch()
    assert fid.weights_file().parent == tmp_path / "checkpoints"
    return inputs


def test_fid_of_known_distributions(inception: list[torch.Tensor], cpu: torch.device) -> None:
    """Blue is 51 higher: 0.2 squared; red has twice the deviation. Of all 70 faces."""
    real = np.zeros((70, 8, 8, 3), np.uint8)
    real[..., 2] = np.tile([50, 60], 35)[:, None, None]
    other = real.copy()
    other[..., 0] += 51
    assert fid.distance(real, other, device=cpu) == pytest.approx(0.2**2, abs=1e-6)
    assert [len(batch) for batch in inception] == [32, 32, 6] * 2
    assert inception[3][0, :, 0, 0].tolist() == pytest.approx([50 / 255, 0, 0.2])  # RGB
    wider = real.copy()
    wider[..., 2] = np.tile([45, 65], 35)[:, None, None]
    spread = float(np.std([50, 60] * 35, ddof=1)) / 255
    assert fid.distance(real, wider, device=cpu) == pytest.approx(spread**2, rel=1e-4)


def test_fid_without_its_network_is_no_figure(
    inception: list[torch.Tensor], monkeypatch: pytest.MonkeyPatch, cpu: torch.device
) -> None:
    """Neither package nor weights are fetched."""
    faces = np.zeros((2, 8, 8, 3), np.uint8)
    assert fid.distance(faces, faces, device=cpu) == 0.0
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "pytorch_fid.fid_score", None)
        assert fid.distance(faces, faces, device=cpu) is None
    fid.weights_file().unlink()
    assert fid.distance(faces, faces, device=cpu) is None and len(inception) == 2


def test_fid_goes_into_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpu: torch.device
) -> None:
    """Of real and drawn faces, all clips together, two digits."""
    calls: list[tuple[np.ndarray, np.ndarray]] = []

    def distance(real: np.ndarray, generated: np.ndarray, *, device: torch.device) -> float:
        calls.append((real, generated))
        return 12.3456

    loaded = SimpleNamespace(clips=[_face().clip, _face("val/b/00000").clip])
    monkeypatch.setattr(evaluate_mouths.fid, "distance", distance)
    monkeypatch.setattr(evaluate_mouths.samples, "load_clips", lambda *_, **__: loaded)
    files = [tmp_path / "val/pycrop" / name / "00000.avi" for name in "ab"]
    drawing = _Drawing(lambda faces: faces + 1)
    table = evaluate_mouths.evaluate(
        files,
        drawing,  # type: ignore[arg-type]
        _Judge(),  # type: ignore[arg-type]
        cache=tmp_path,
        pictures=None,
        seed=1,
    )
    assert table["fid"] == 12.35 and table["own_sound_clips"] == 2
    ((real, generated),) = calls
    assert len(real) == 100
    np.testing.assert_array_equal(generated, real + 1)


def test_evaluate_mouths_of_short_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpu: torch.device
) -> None:
    """No clip long enough is an error; without an exchange there is no video."""

    def table(frames: int) -> dict[str, Any]:
        loaded = SimpleNamespace(clips=[_face(frames=frames).clip])
        monkeypatch.setattr(evaluate_mouths.samples, "load_clips", lambda *_, **__: loaded)
        return evaluate_mouths.evaluate(
            [tmp_path / "val/pycrop/a/00000.avi"],
            _Drawing(lambda faces: faces + 1),  # type: ignore[arg-type]
            _Judge(),  # type: ignore[arg-type]
            cache=tmp_path,
            pictures=tmp_path,
            seed=1,
        )

    with pytest.raises(InputError, match=r"No clip has the 50 frames .*; give longer videos"):
        table(59)
    assert not list(tmp_path.iterdir())
    figures = table(60)
    assert (figures["own_sound_clips"], figures["foreign_sound_clips"]) == (1, 0)
    assert figures["sharpness"] == 0  # of a face without a detail, drawn without one
    assert [path.name for path in tmp_path.iterdir()] == ["own_sound.png"]


# Tables.


def test_table_is_shown_by_clip_and_in_one_line_and_written_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for each clip, then JSON of the rest; the file has both."""
    table = {"expert": "x.pt", "windows": 3, "clips": {"a": {"windows": 1}, "b": {"windows": 2}}}
    tables.report(table, None)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["a {'windows': 1}", "b {'windows': 2}"]
    assert json.loads(lines[2]) == {"expert": "x.pt", "windows": 3} and len(lines) == 3
    assert not list(tmp_path.iterdir())
    tables.report(table, tmp_path / "table.json")
    assert json.loads((tmp_path / "table.json").read_text()) == table
