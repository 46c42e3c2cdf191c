"""What Wav2Lip's networks are trained on: faces cut as it sees them, each with its own sound."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from scipy.io import wavfile
from torch import nn
from torch.nn import functional as F

from models import features, syncnet
from models.features import FRAME_RATE, SAMPLES_PER_FRAME
from models.wav2lip import FACE_PX, SyncNetColor, Wav2Lip, Wav2LipConfig, Wav2LipDiscriminator
from pipeline.dubbing.driving_audio import read_voice
from pipeline.faces import crops
from training.batches import expert_excerpts
from training.batches.expert_excerpts import (
    EXCERPT_FRAMES,
    EXCERPT_WINDOWS,
    ExpertBatch,
    expert_batch,
)
from training.batches.face_batches import LEAST_APART_FRAMES, FaceBatch, face_batch
from training.data import samples
from training.data.faces import PAD, VIEW, FaceClip, drawn_clips, track_box
from training.data.samples import Clip
from training.drawn_tracks import babble
from training.objectives import wav2lip_objectives as objectives
from training.objectives.teacher import Taught
from training.objectives.wav2lip_objectives import LossWeights

NARROW = Wav2LipConfig(0.05)


def _speech(frames: int, *, seed: int = 1) -> np.ndarray:
    return babble(np.random.default_rng(seed), seconds=frames / FRAME_RATE)


def _numbered(
    frames: int = 130,
    *,
    offset_ms: float = 0.0,
    sound: np.ndarray | None = None,
    shows_face: np.ndarray | None = None,
    seed: int = 1,
) -> FaceClip:
    """A clip whose frame n is a picture of brightness n."""
    side = VIEW.lip_size_px
    numbers = np.arange(frames, dtype=np.uint8)[:, None, None, None]
    pictures = np.broadcast_to(numbers, (frames, 3, side, side))
    sound = _speech(frames, seed=seed) if sound is None else sound
    return FaceClip(
        Clip("work/talk/00000", pictures, sound, offset_ms), track_box(0.76), shows_face=shows_face
    )


def _numbers(faces: torch.Tensor) -> np.ndarray:
    """The frames that pictures (..., C, H, W) of a numbered clip show."""
    numbers: np.ndarray = (faces.mean(dim=(-3, -2, -1)) * 255).round().int().numpy()
    return numbers


# Sound and time.


@pytest.mark.parametrize("lead_frames", [0, 3, -3])
def test_the_sound_of_a_frame_is_where_the_offset_says(lead_frames: int) -> None:
    """Above 0 the sound leads: what belongs to frame i is heard at frame i - lead."""
    sound = np.zeros(100 * SAMPLES_PER_FRAME, np.int16)
    sound[40 * SAMPLES_PER_FRAME : 41 * SAMPLES_PER_FRAME] = _speech(1) + 9000
    face = _numbered(100, offset_ms=40.0 * lead_frames, sound=sound)
    frames = np.arange(35, 46) + lead_frames
    level = face.sound(frames)[:, 0].sum(dim=1)
    first_loud = [int((row > row.min() + 100).int().argmax()) for row in level[:6]]
    assert first_loud == pytest.approx([16 * (40 - f) / 5 for f in range(35, 41)], abs=2.5)
    expected = features.mel_windows(features.mel(sound), np.arange(35, 46) / FRAME_RATE)
    np.testing.assert_array_equal(face.sound(frames).numpy(), expected)


def test_moved_sound_with_its_offset_is_sound_in_sync() -> None:
    """By 4 frames and by less than one, either way; without the offset it would be another."""
    sync = _numbered()
    frames = np.arange(20, 80, 7)
    for lead_ms in (160.0, -160.0, 25.0, -25.0):
        shifted = samples.shifted_sound(sync.clip, first=0, frames=130, lead_ms=lead_ms)
        with_offset = _numbered(sound=shifted, offset_ms=lead_ms)
        shift_s = lead_ms / 1000
        if (shift_s * features.MEL_RATE).is_integer():
            assert torch.equal(with_offset.sound(frames), sync.sound(frames))
        assert not torch.equal(_numbered(sound=shifted).sound(frames), sync.sound(frames))


@pytest.mark.parametrize("offset_ms", [0.0, 120.0, -133.0])
@pytest.mark.parametrize("sound_frames", [60, 45])
@pytest.mark.parametrize("hidden", [[], [0, 20, 21, 59]])
def test_stretches_have_their_faces_and_all_of_their_sound(
    offset_ms: float, sound_frames: int, hidden: list[int]
) -> None:
    """Every start that may be used is, but few at the very end."""
    shows_face = ~np.isin(np.arange(60), hidden)
    face = _numbered(60, offset_ms=offset_ms, sound=_speech(sound_frames), shows_face=shows_face)
    for frames in (5, 12):

        def fits(frame: int) -> bool:
            sound_frame = frame - offset_ms / 40
            return frame < 60 and bool(shows_face[frame]) and 0 <= sound_frame <= sound_frames - 5

        expected = [s for s in range(60) if all(fits(f) for f in range(s, s + frames))]
        starts = face.stretches(frames).tolist()
        assert starts == expected[: len(starts)]
        assert len(starts) >= len(expected) - 2 - max(0, offset_ms / 40) > 0
    assert face.starts.tolist() == face.stretches(5).tolist()
    assert not len(face.stretches(60))


def test_sound_of_training_is_sound_of_inference(tmp_path: Path) -> None:
    """The same mel columns for every frame, down to the last bit."""
    face = _numbered(90)
    wavfile.write(tmp_path / "talk.wav", 16_000, face.clip.samples)
    voice = read_voice(tmp_path / "talk.wav", silence_gate=False)
    frames = np.arange(84)
    np.testing.assert_array_equal(face.sound(frames).numpy(), voice.windows(frames / FRAME_RATE))
    batch = face_batch([face], seed=1, step=0, size=3)
    plain = face_batch([face], seed=1, step=0, size=3, augmented=False)
    assert torch.equal(batch.mels, plain.mels)  # other light, the same sound
    for row, mels in zip(_numbers(plain.target), plain.mels, strict=True):
        np.testing.assert_array_equal(mels.numpy(), voice.windows(row / FRAME_RATE))


# Boxes.


@pytest.mark.parametrize("size_px", [(76, 100), (100, 100), (110, 100)])
def test_the_box_is_where_the_crop_has_the_face(size_px: tuple[int, int]) -> None:
    """A rectangle, cut as run_pipeline.py cuts, lies in the box; below it is a pad."""
    width, height = size_px
    frame = np.zeros((500, 500, 3), np.uint8)
    frame[200 : 200 + height, 180 : 180 + width] = 255
    crop = crops.crop_face(
        frame, x=180 + width / 2, y=200 + height / 2, s=max(size_px) / 2, crop_scale=0.4
    )
    picture = syncnet.lip_pixels(crop, VIEW)[0] > 127
    rows, columns = np.flatnonzero(picture.any(axis=1)), np.flatnonzero(picture.any(axis=0))
    box = track_box(width / height)
    assert (box.top, box.left, box.right) == pytest.approx(
        (rows[0], columns[0], columns[-1] + 1), abs=1.6
    )
    tall = rows[-1] + 1 - rows[0]
    assert box.bottom == pytest.approx(min(rows[-1] + 1 + PAD / 2 * tall, 110), abs=1.6)


def test_other_boxes_stay_near_the_box_and_inside_the_picture() -> None:
    """Never empty, half of them mirrored, around the box on average."""
    face = _numbered()
    rng = np.random.default_rng(1)
    cuts = [face.random_box(rng) for _ in range(300)]
    sides = np.array([(cut.top, cut.bottom, cut.left, cut.right) for cut in cuts])
    assert sides.min() >= 0 and sides.max() <= VIEW.lip_size_px
    box = (face.box.top, face.box.bottom, face.box.left, face.box.right)
    assert np.abs(sides - box).max() < 25 and np.abs(sides.mean(axis=0) - box).max() < 2.5
    assert (sides.std(axis=0) > 0.5).all()
    assert 0.4 < np.mean([cut.mirrored for cut in cuts]) < 0.6


def test_faces_are_cut_out_in_colour_and_mirrored() -> None:
    """Blue left, red right: BGR stays, and changes sides in a mirror."""
    pictures = np.zeros((4, 3, 110, 110), np.uint8)
    pictures[:, 0, :, :55], pictures[:, 2, :, 55:] = 200, 100
    face = FaceClip(Clip("x", pictures, _speech(4)), track_box(0.76))
    faces = face.faces(np.array([3, 0]), face.box)
    assert faces.shape == (2, FACE_PX, FACE_PX, 3) and faces.dtype == np.uint8
    assert faces[0, 50, 10].tolist() == [200, 0, 0] and faces[0, 50, -10].tolist() == [0, 0, 100]
    mirrored = face.faces(np.array([3]), replace(face.box, mirrored=True))
    np.testing.assert_array_equal(mirrored, faces[:1, :, ::-1])


# Batches.


@pytest.mark.parametrize("make", [face_batch, expert_batch])
def test_batches_hang_on_seed_and_step_only(make: Callable[..., FaceBatch | ExpertBatch]) -> None:
    """Made again they are the same; processes share the one that a single process makes."""
    clips = [_numbered(seed=seed) for seed in range(3)]
    size = 4 if make is face_batch else 4 * EXCERPT_WINDOWS

    def parts(**options: int | slice) -> list[torch.Tensor]:
        fixed = {"seed": 3, "step": 5, "size": size}
        batch = make(clips, **(fixed | options))
        return list(vars(batch).values())

    whole_batch = parts()
    assert all(torch.equal(*pair) for pair in zip(whole_batch, parts(), strict=True))
    for other in ({"seed": 4}, {"step": 6}):
        assert not torch.equal(whole_batch[0], parts(**other)[0])
    for rank in range(2):
        for all_of_it, share in zip(whole_batch, parts(share=slice(rank, None, 2)), strict=True):
            assert torch.equal(share, all_of_it[rank::2])


def test_a_reference_is_a_second_away_where_it_can_be() -> None:
    """Five frames in a row each; in a short clip as far as it goes."""
    clips = [_numbered(130), _numbered(40)]
    apart = []
    for step in range(10):
        batch = face_batch(clips, seed=1, step=step, size=6, augmented=False)
        assert batch.target.shape == (6, 5, 3, FACE_PX, FACE_PX)
        target, reference = _numbers(batch.target), _numbers(batch.reference)
        assert (np.diff(target) == 1).all() and (np.diff(reference) == 1).all()
        apart += np.abs(target - reference)[:, 0].tolist()
    assert min(apart) < LEAST_APART_FRAMES < max(apart)  # the short clip has 30 starts
    for step in range(10):
        batch = face_batch(clips[:1], seed=1, step=step, size=6, augmented=False)
        distance = np.abs(_numbers(batch.target) - _numbers(batch.reference))
        assert distance.min() >= LEAST_APART_FRAMES
    short = face_batch([_numbered(22)], seed=1, step=0, size=8, augmented=False)
    last = _numbered(22).starts[-1]
    first, other = _numbers(short.target)[:, 0], _numbers(short.reference)[:, 0]
    assert other.tolist() == [last if f <= last / 2 else 0 for f in first]


def test_target_and_reference_are_augmented_alike() -> None:
    """One cut, one mirror, one light for both, and another for the next row."""
    rng = np.random.default_rng(1)
    photo = cv2.resize(rng.integers(0, 255, (8, 8, 3), np.uint8), (110, 110)).transpose(2, 0, 1)
    pictures = np.broadcast_to(photo, (80, 3, 110, 110))
    face = FaceClip(Clip("x", pictures, _speech(80)), track_box(0.76))
    batch = face_batch([face], seed=1, step=0, size=4)
    assert torch.equal(batch.target, batch.reference)
    assert all(float((batch.target[0] - row).abs().mean()) > 0.01 for row in batch.target[1:])
    plain = face_batch([face], seed=1, step=0, size=4, augmented=False)
    assert all(torch.equal(row, plain.target[0]) for row in plain.target)
    assert float(batch.target.min()) >= 0 and float(batch.target.max()) <= 1


# Excerpts for the expert.

FLASH = 64  # the frame of a flash and of its click


def _flashing(lead_frames: int) -> FaceClip:
    """Dark but for one frame, silent but for its sound; its teacher tells numbers of frames."""
    frames = 2 * FLASH
    pictures = np.full((frames, 3, VIEW.lip_size_px, VIEW.lip_size_px), 8, np.uint8)
    pictures[FLASH] = 240
    sound = np.random.default_rng(1).integers(-3, 4, frames * SAMPLES_PER_FRAME).astype(np.int16)
    start = (FLASH - lead_frames) * SAMPLES_PER_FRAME
    sound[start : start + SAMPLES_PER_FRAME // 2] = 9000 * (-1) ** np.arange(320)
    numbers = np.repeat(np.arange(frames, dtype=np.float16)[:, None], 2, axis=1)
    clip = Clip("x", pictures, sound, 40.0 * lead_frames)
    return FaceClip(clip, track_box(0.76), taught=Taught(numbers, numbers + 500))


@pytest.mark.parametrize("augmented", [False, True])
@pytest.mark.parametrize("lead_frames", [0, 4])
def test_lips_sound_and_teacher_stay_together(lead_frames: int, augmented: bool) -> None:
    """At any pace, and for sound whose known lead is taken out."""
    paces = []
    for step in range(10):
        batch = expert_batch(
            [_flashing(lead_frames)], seed=2, step=step, size=26, augmented=augmented
        )
        assert batch.faces.shape == (2, 12, 15, 48, 96) and batch.mels.shape == (2, 12, 1, 80, 16)
        assert batch.taught.shape == (2, 12, 2, 2)
        light = batch.faces.unflatten(2, (5, 3)).mean(dim=(3, 4, 5)).flatten(1)
        level = batch.mels[:, :, 0].sum(dim=2).flatten(1)
        for row in range(2):
            flash = int(light[row].argmax())
            lips, sound = batch.taught[row, :, :, 0].T
            paces.append(float(lips[-1] - lips[0]) / (EXCERPT_FRAMES - 5))
            if not 3 <= flash < EXCERPT_FRAMES - 3 or light[row, flash] < 3 * light[row].median():
                continue
            assert int(level[row].argmax()) / 16 * 5 == pytest.approx(flash, abs=1.3)
            taught_frame = float(lips[flash // 5]) + flash % 5 * paces[-1]
            assert taught_frame == pytest.approx(FLASH, abs=1.3)
            assert (sound - lips).tolist() == [500 - lead_frames] * EXCERPT_WINDOWS
    assert len({round(pace, 1) for pace in paces}) > 2 if augmented else set(paces) == {1.0}


@pytest.mark.parametrize("share", [slice(None), slice(1, None, 2)])
def test_excerpts_of_a_batch_are_of_different_people_at_one_pace(
    share: slice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They give each other wrong sound, so neither person nor pace may identify it."""
    people: list[str] = []

    def faces_of(face: FaceClip, frames: np.ndarray, _cut: object) -> np.ndarray:
        people.append(face.clip.reference)
        return np.zeros((len(frames), 96, 96, 3))

    monkeypatch.setattr(FaceClip, "faces", faces_of)
    monkeypatch.setattr(expert_excerpts, "augment_lips", lambda names, _rng, **_: names)
    monkeypatch.setattr(expert_excerpts, "augment_sound", lambda sound, _rng: sound)
    one = _flashing(0)
    faces = [
        replace(one, clip=replace(one.clip, name=f"work/{person}/{track:05d}"))
        for person in "abcde"
        for track in range(40 if person == "a" else 1)  # the first has most of the minutes
    ]
    names = set()
    for step in range(8):
        choice = drawn_clips(faces, seed=4, step=step, count=4, share=slice(None), across=True)
        assert len({face.clip.reference for face, _ in choice}) == 4
        people.clear()
        batch = expert_batch(faces, seed=4, step=step, size=48, share=share)
        assert len(people) == len(set(people)) > 1
        lips = batch.taught[..., 0, 0]
        paces = (lips[:, -1] - lips[:, 0]) / (EXCERPT_FRAMES - 5)
        assert float(paces.max() - paces.min()) < 0.04  # of rounding
        names.add(round(float(paces.mean()), 1))
    assert len(names) > 2


def test_sound_of_a_drifting_face_follows_its_line() -> None:
    """120 ms a minute: what is heard is a frame later for every 20 s on."""
    clip = Clip("x", np.zeros((2000, 3, 1, 1), np.uint8), np.zeros(2000 * 640, np.int16))
    numbers = np.repeat(np.arange(2000, dtype=np.float64)[:, None], 2, axis=1)
    face = FaceClip(
        replace(clip, offset_ms=40.0, drift_ms_per_min=120.0),
        track_box(0.76),
        taught=Taught(numbers, numbers),
    )
    taught = face.taught_at(np.array([500, 1000, 1500]))
    assert taught[:, 1, 0].tolist() == [500, 999, 1498]
    assert face.starts[0] == 0 and face.starts[-1] == 2000 - 5 - 5 - 1
    late = replace(face, clip=replace(face.clip, offset_ms=200.0))
    assert late.starts[0] == 3  # 80 ms at the first frame
    marks = np.repeat(np.arange(2000), 640).astype(np.int16)
    loud = replace(face, clip=replace(face.clip, samples=marks))
    expected = FaceClip(replace(clip, samples=marks, offset_ms=80.0), track_box(0.76))
    assert torch.equal(loud.sound(np.array([1500])), expected.sound(np.array([1500])))


def test_excerpts_have_the_mel_columns_of_the_generators_windows() -> None:
    """From frames at which mel columns start the same columns, but for the mirrored edge."""
    face = _numbered(128)
    count = 0
    for step in range(12):
        batch = expert_batch([face], seed=1, step=step, size=12, augmented=False)
        first = int(_numbers(batch.faces[0, 0].unflatten(0, (5, 3)))[0])
        if first % 5 == 0:
            count += 1
            expected = face.sound(first + np.arange(0, EXCERPT_FRAMES, 5))
            assert torch.equal(batch.mels[0, 1:], expected[1:])
            assert torch.equal(batch.mels[0, 0, ..., 2:], expected[0, ..., 2:])
    assert count


def test_without_a_teacher_there_are_no_taught_vectors() -> None:
    """The vectors have no elements."""
    assert _numbered().taught_at(np.array([0, 7])).shape == (2, 2, 0)


# Losses.


def _expert_loss(
    mouths: torch.Tensor, sound: torch.Tensor, *, pairs: float = 1.0, apart: int = 1
) -> tuple[float, float]:
    """Loss and accuracy of an expert whose vectors (B, W, E) are given."""
    through = SimpleNamespace(face_encoder=nn.Identity(), audio_encoder=nn.Identity())
    batch = ExpertBatch(mouths[..., None, None], sound[..., None, None], mouths[..., :0])
    loss, parts = objectives.expert_loss(
        through,  # type: ignore[arg-type]
        batch,
        pairs=pairs,
        apart=apart,
    )
    return float(loss), float(parts["accuracy"])


def test_wrong_sound_is_of_other_times_and_of_other_clips() -> None:
    """Vectors that separate all windows have the least loss; both kinds of mistakes cost."""
    apart = torch.eye(6).view(2, 3, 6)
    loss, accuracy = _expert_loss(apart, apart)
    times_only = torch.eye(3).repeat(2, 1, 1)
    clips_only = torch.eye(2)[:, None].repeat(1, 3, 1)
    assert accuracy == 1.0 and loss < 0.01
    loss_times, accuracy_times = _expert_loss(times_only, times_only)
    assert accuracy_times == 1.0 and loss_times > loss + 0.1
    loss_clips, accuracy_clips = _expert_loss(clips_only, clips_only)
    assert accuracy_clips == 0.5 and loss_clips > loss + 0.1
    swapped = apart[:, [1, 2, 0]]
    assert _expert_loss(apart, swapped)[1] == pytest.approx((0 + 1 - 1 / 2) / 2)
    one = torch.rand(1, 3, 6)
    cosine = F.normalize(one[0]) @ F.normalize(torch.ones(3, 6)).T
    right, wrong = cosine.diagonal(), cosine[~torch.eye(3, dtype=torch.bool)]
    published = -(right.log().mean() + torch.log1p(-wrong).mean()) / 2
    which = [F.cross_entropy(16 * values, torch.arange(3)) for values in (cosine, cosine.T)]
    loss, _ = _expert_loss(one, torch.ones(1, 3, 6))
    assert loss == pytest.approx(float(published + sum(which) / 2), rel=1e-4)


@pytest.mark.parametrize("pairs", [1.0, 0.0, 0.3])
def test_experts_loss_of_two_excerpts_by_hand(pairs: float) -> None:
    """Right pairs weigh a half, wrong ones of the same clip and of other clips a quarter each.

    To it comes which of an excerpt's sounds belongs to a window, in both directions.
    """
    generator = torch.Generator().manual_seed(2)
    mouths, sound = torch.rand(2, 2, 3, 5, generator=generator)
    cosine = F.normalize(mouths.flatten(0, 1)) @ F.normalize(sound.flatten(0, 1)).T
    clip = torch.tensor([0, 0, 0, 1, 1, 1])
    same, right = clip[:, None] == clip, torch.eye(6, dtype=torch.bool)
    wrong = [-torch.log(1 - cosine[kind]).mean() for kind in (same & ~right, ~same)]
    loss = -cosine[right].log().mean() / 2 + wrong[0] / 4 + wrong[1] / 4
    own = torch.stack([cosine[:3, :3], cosine[3:, 3:]])
    for pair in (own, own.transpose(1, 2)):
        loss = loss + F.cross_entropy(16 * pair.flatten(0, 1), torch.arange(3).repeat(2)) / 2
    expected_accuracy = (cosine[right] > 0.5).float().mean() + (
        cosine[same & ~right] <= 0.5
    ).float().mean()
    result, accuracy = _expert_loss(mouths, sound, pairs=pairs)
    assert result == pytest.approx(pairs * float(loss), rel=1e-4)
    assert accuracy == pytest.approx(float(expected_accuracy) / 2)


def test_sound_too_near_for_a_wrong_pair_counts_as_neither() -> None:
    """Of three windows only the outer ones are two apart; the middle one has its own sound only."""
    generator = torch.Generator().manual_seed(2)
    mouths, sound = torch.rand(2, 2, 3, 5, generator=generator)
    cosine = F.normalize(mouths.flatten(0, 1)) @ F.normalize(sound.flatten(0, 1)).T
    right = torch.eye(6, dtype=torch.bool)
    far = torch.ones(6, 6, dtype=torch.bool)
    far[:3, :3] = far[3:, 3:] = False
    near = torch.tensor([cosine[0, 2], cosine[2, 0], cosine[3, 5], cosine[5, 3]])
    wrong = [-torch.log(1 - some).mean() for some in (near, cosine[far])]
    loss = -cosine[right].log().mean() / 2 + wrong[0] / 4 + wrong[1] / 4
    for own in (cosine[:3, :3], cosine[3:, 3:]):
        for pair in (own, own.T):
            # The middle window has one answer; the others are one of two.
            outer = 16 * pair[[0, 2]][:, [0, 2]]
            both = F.cross_entropy(outer, torch.arange(2), reduction="sum")
            loss = loss + both / 6 / 2
    result, _ = _expert_loss(mouths, sound, apart=2)
    assert result == pytest.approx(float(loss), rel=1e-4)
    assert _expert_loss(mouths, sound, apart=1)[0] != pytest.approx(result, rel=1e-3)


def test_taught_loss_compares_what_sets_windows_apart() -> None:
    """Twice the lacking cosine of mouths and sound, each less its excerpt's mean."""
    generator = torch.Generator().manual_seed(2)
    mouths, sound = torch.rand(2, 2, 3, 5, generator=generator)
    taught = torch.randn(2, 3, 2, 4, generator=generator)
    translation = nn.Linear(5, 4)
    with torch.no_grad():
        translated = translation(
            torch.stack([F.normalize(v, dim=2) for v in (mouths, sound)], dim=2)
        )
        one, other = (v - v.mean(dim=1, keepdim=True) for v in (translated, taught))
        alike = float(F.cosine_similarity(one, other, dim=3).mean())
        through = SimpleNamespace(face_encoder=nn.Identity(), audio_encoder=nn.Identity())
        batch = ExpertBatch(mouths[..., None, None], sound[..., None, None], taught + 7)
        loss, parts = objectives.expert_loss(through, batch, translation=translation, pairs=0.0)  # type: ignore[arg-type]
    assert float(parts["taught"]) == pytest.approx(alike, abs=1e-5)
    assert float(loss) == pytest.approx(2 * (1 - alike), abs=1e-5)


def test_vectors_that_are_all_alike_have_a_finite_loss_in_mixed_precision() -> None:
    """As at the start of a run: half of the digits would make a cosine of 0.999 a 1."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, accuracy = _expert_loss(torch.ones(2, 3, 8), torch.ones(2, 3, 8))
    assert np.isfinite(loss) and accuracy == 0.5


def test_a_generators_loss_is_the_sum_of_its_parts() -> None:
    """(1 - s_w - s_g) L1 + s_w sync + s_g adversarial; the generator does not see the mouth."""
    torch.manual_seed(1)
    model, expert = Wav2Lip(NARROW).eval(), SyncNetColor(NARROW).eval().requires_grad_(False)
    judge = Wav2LipDiscriminator(NARROW).eval()
    batch = face_batch([_numbered()], seed=1, step=0, size=2)
    generated = objectives.draw(model, batch)
    mouth = batch.target.clone()
    mouth[..., 48:, :] = 0.5
    assert torch.equal(objectives.draw(model, replace(batch, target=mouth)), generated)
    for kinds in (
        LossWeights(0.03, 0.07),
        LossWeights(0.0, 0.07),
        LossWeights(0.5, 0.0),
        LossWeights(0.1, 0.2, structure=0.3),
        LossWeights(0.1, 0.2, detail=0.7),
    ):
        loss, parts = objectives.generator_loss(
            generated, batch, kinds, expert=expert, discriminator=judge
        )
        l1_share = 1 - kinds.sync - kinds.adversarial
        expected = l1_share * parts["l1"] + kinds.sync * parts["sync"]
        expected += kinds.adversarial * parts["adversarial"]
        expected += kinds.structure * parts["structure"] + kinds.detail * parts["detail"]
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    l1 = (generated - batch.target).abs().mean()
    assert parts["l1"].item() == pytest.approx(l1.item(), rel=1e-5)
    assert parts["structure"] == objectives.structure_loss(generated, batch.target)
    assert parts["detail"] == objectives.detail_loss(generated, batch.target)


class _Brightness(nn.Module):
    """Replaces a discriminator: the brighter a picture, the more real."""

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        return faces.mean(dim=(1, 2, 3))


def test_discriminator_learns_that_real_faces_are_real() -> None:
    """A discriminator with 0.9 for real and 0.2 for generated pictures has a small loss."""
    judge = _Brightness()
    batch = face_batch([_numbered()], seed=1, step=0, size=2)
    batch = replace(batch, target=torch.full_like(batch.target, 0.9))
    generated = torch.full_like(batch.target, 0.2).requires_grad_()
    loss = objectives.discriminator_loss(judge, generated, batch)  # type: ignore[arg-type]
    assert loss.item() == pytest.approx(-np.log(0.9) - np.log(0.8), rel=1e-4)
    assert (
        not loss.requires_grad
    )  # neither the judge nor the drawn faces: those are the generator's
    fooled, parts = objectives.generator_loss(
        generated,
        batch,
        LossWeights(adversarial=1.0),
        expert=None,
        discriminator=judge,  # type: ignore[arg-type]
    )
    assert parts["adversarial"].item() == pytest.approx(-np.log(0.2), rel=1e-4)
    (slope,) = torch.autograd.grad(fooled, generated)
    assert float(slope.max()) < 0  # brighter is more real


def test_sync_loss_is_the_logarithm_of_the_cosine() -> None:
    """Of unit vectors of the sound and the mouths, in the order the expert gives them."""

    def expert(mels: torch.Tensor, _mouths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        count = len(mels)
        return torch.tensor([[0.6, 0.8]] * count), torch.tensor([[1.0, 0.0]] * count)

    batch = face_batch([_numbered()], seed=1, step=0, size=2)
    loss = objectives.sync_loss(expert, batch.target, batch)  # type: ignore[arg-type]
    assert loss.item() == pytest.approx(-np.log(0.6), rel=1e-5)


def test_a_frame_alone_of_the_sound_decides_about_sync() -> None:
    """The expert gets the mel window of the first of five frames only."""
    expert = SyncNetColor(NARROW).eval()
    batch = face_batch([_numbered()], seed=1, step=0, size=2)
    loss = objectives.sync_loss(expert, batch.target, batch)
    changed = batch.mels.clone()
    changed[:, 1:] = 0
    assert objectives.sync_loss(expert, batch.target, replace(batch, mels=changed)) == loss
    upper = batch.target.clone()
    upper[..., :48, :] = 0
    assert objectives.sync_loss(expert, upper, batch) == loss
