"""A frozen SyncNet as the judge of drawn frames: what it sees, what it hears, what it says."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models import syncnet
from models.features import SAMPLES_PER_FRAME
from models.syncnet import CROP_PX, PairSigmoid, SyncNet, SyncNetConfig, audio_windows
from models.wav2lip import FACE_PX, face_tensor
from pipeline.sync import embeddings
from tests.train_kit import TINY
from training.batches.speech2vid_batches import speech2vid_batch
from training.data.faces import VIEW, FaceClip, track_box
from training.data.samples import Clip
from training.objectives import lip_judge
from training.objectives.lip_judge import Judged, judge_loss, judged_window, lips_with

FRAMES = 130  # more than the context of a judge
CONFIGS = {
    "as the bundled one": TINY,
    "with a zero of its own": replace(TINY, zero_ms=20.0),
    "five frames without context": replace(
        TINY, window_frames=5, context_s=0.0, embedding_scale=0.0, grey=False
    ),
    "whole crops": SyncNetConfig(
        lip_widths=(4, 4, 8, 8, 8, 16), audio_widths=(4, 4, 8, 8, 8, 16), embedding_size=16
    ),
}


def _crops() -> np.ndarray:
    """(T, 224, 224, 3) uint8: soft patches that change from frame to frame."""
    rng = np.random.default_rng(8)
    small = rng.integers(0, 255, (FRAMES, 16, 16, 3), dtype=np.uint8)
    still = rng.integers(0, 255, (1, 16, 16, 3), dtype=np.uint8)
    mixed = (small.astype(np.uint16) + 3 * still) // 4
    return mixed.astype(np.uint8).repeat(14, axis=1).repeat(14, axis=2)


CROPS = _crops()


def _face(config: SyncNetConfig, *, offset_ms: float = 0.0) -> FaceClip:
    rng = np.random.default_rng(3)
    sound = rng.integers(-9000, 9000, FRAMES * SAMPLES_PER_FRAME, dtype=np.int16)
    seen, lips = (
        np.stack([syncnet.lip_pixels(crop, view) for crop in CROPS]) for view in (VIEW, config)
    )
    return FaceClip(Clip("t/a/0", seen, sound, offset_ms), track_box(0.76), lips=lips)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("start", [0, 1, 20, 61, 124, 125])
def test_real_lips_and_sound_are_those_that_the_judge_has_of_the_whole_clip(
    name: str, start: int
) -> None:
    """In the middle and at both ends, with the means of its own stretch."""
    config = CONFIGS[name]
    face, side = _face(config), config.side_frames
    assert face.lips is not None
    whole = syncnet.normalise_lips(face.lips, config)
    judged = judged_window(face, start, face.box, config)
    frames = np.arange(start - side, start + 5 + side).clip(0, FRAMES - 1)
    np.testing.assert_allclose(judged.lips.numpy(), whole[frames], atol=1e-4)
    columns = embeddings.sound_columns(face.clip.samples, config)
    # Where the delayed sound starts a file has a mirror image, which a mean of seconds notices.
    first, atol = (20, 0.05) if config.zero_ms else (1, 1e-4)
    if first <= start < 124:
        np.testing.assert_allclose(
            judged.sound.numpy(), audio_windows(columns, config)[start].numpy(), atol=atol
        )


def test_sound_is_that_of_the_lips_where_the_file_is_out_of_sync() -> None:
    """Sound that leads by 80 ms is two frames earlier in the file."""
    late = judged_window(_face(TINY, offset_ms=80.0), 40, track_box(0.76), TINY)
    usual = judged_window(_face(TINY), 38, track_box(0.76), TINY)
    np.testing.assert_allclose(late.sound, usual.sound, atol=1e-4)


def _batch(face: FaceClip, config: SyncNetConfig, start: int, *, mirrored: bool = False) -> Judged:
    cut = replace(face.box, mirrored=mirrored)
    return Judged.stacked([judged_window(face, start, cut, config)])


def _shown(face: FaceClip, start: int, *, mirrored: bool = False) -> torch.Tensor:
    cut = replace(face.box, mirrored=mirrored)
    return face_tensor(face.faces(np.arange(start, start + 5), cut))[None]


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_drawn_face_is_where_the_real_one_was(
    name: str, mirrored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real face drawn upon darkness is the real crop again, not a pixel beside it."""
    config = CONFIGS[name]
    face = _face(config)
    assert face.lips is not None
    monkeypatch.setattr(lip_judge, "_mouth", lambda _: torch.ones(FACE_PX, FACE_PX))
    shown = _shown(face, 50, mirrored=mirrored)
    judged = _batch(face, config, 50, mirrored=mirrored)
    dark = replace(
        judged,
        lips=torch.zeros_like(judged.lips),
        contrast=torch.full_like(judged.contrast, 255.0),
    )
    lips = lips_with(shown, torch.zeros_like(shown), dark, config)[0]
    assert lips.shape[1] == config.window_frames
    got = lips[:, config.side_frames + 1].numpy()
    real = face.lips[51].astype(np.float32)
    top, left, side = config.lip_region_px
    scale = config.lip_size_px / side
    # Of the crop: the middle of the face, well inside its box.
    rows = slice(round((90 - top) * scale), round((150 - top) * scale))
    columns = slice(round((80 - left) * scale), round((144 - left) * scale))

    def apart(down: int, right: int) -> float:
        moved = np.roll(real, (down, right), axis=(1, 2))
        return float(np.abs(got - moved)[:, rows, columns].mean())

    assert apart(0, 0) < 4
    pixel = max(1, round(2 * scale))
    for moved in ((pixel, 0), (-pixel, 0), (0, pixel), (0, -pixel)):
        assert apart(*moved) > 1.3 * apart(0, 0)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_judge_sees_the_real_clip_where_nothing_is_changed(name: str) -> None:
    """Real mouths give its own input, to the bit; another upper half of a face does, too."""
    config = CONFIGS[name]
    face = _face(config)
    judged, shown = _batch(face, config, 50), _shown(face, 50)
    real = judged.lips.transpose(1, 2)
    assert torch.equal(lips_with(shown, shown, judged, config), real)
    other = shown.clone()
    other[..., : FACE_PX // 3, :] = 0
    assert torch.equal(lips_with(other, shown, judged, config), real)
    mouth = shown.clone()
    mouth[..., 60:85, 30:66] = 0
    changed = (lips_with(mouth, shown, judged, config) - real).abs().amax(dim=(0, 1, 3, 4))
    side = config.side_frames
    assert (changed[side : side + 5] > 0.01).all()
    assert not changed[:side].any() and not changed[side + 5 :].any()


def test_a_brighter_mouth_is_as_much_brighter_as_the_judge_would_have_it() -> None:
    """By its deviation from the seconds around, in grey as OpenCV has it."""
    face = _face(TINY)
    assert face.lips is not None
    judged, shown = _batch(face, TINY, 50), torch.full((1, 5, 3, FACE_PX, FACE_PX), 0.5)
    blue = shown.clone()
    blue[:, :, 0] += 0.1
    change = lips_with(blue, shown, judged, TINY) - judged.lips.transpose(1, 2)
    values = face.lips.astype(np.float32) / 255
    deviation = syncnet.lip_statistics(values, TINY)[1][52]
    assert float(change[0, 0, 4].max()) == pytest.approx(0.1 * 0.114 / deviation, rel=1e-3)


class _Said(torch.nn.Module):
    """A judge that says the same of every window."""

    def __init__(self, lips: list[float], sound: list[float]) -> None:
        super().__init__()
        self.pair_sigmoid = None
        self.config = replace(TINY, embedding_size=2)
        self.lips, self.sound = torch.tensor([lips]), torch.tensor([sound])

    def forward_lip(self, _: torch.Tensor) -> torch.Tensor:
        return self.lips

    def forward_aud(self, _: torch.Tensor) -> torch.Tensor:
        return self.sound

    def pair_logits(self, lips: torch.Tensor, sound: torch.Tensor) -> torch.Tensor:
        return SyncNet.pair_logits(self, lips, sound)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lips", "sound", "probability"),
    [
        ([3.0, 0.0, 10.0], [0.5, 0.0, 10.0], 1.0),  # the constant one does not count
        ([3.0, 0.0, 10.0], [0.0, 2.0, 10.0], 0.5),
        ([1.0, 1.0, 0.0], [0.0, 1.0, 0.0], (1 + 0.5**0.5) / 2),
        ([1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], lip_judge.LEAST_PROBABILITY),
    ],
)
def test_loss_is_the_cross_entropy_of_the_cosine(
    lips: list[float], sound: list[float], probability: float
) -> None:
    face = _face(TINY)
    shown, judged = _shown(face, 50), _batch(face, TINY, 50)
    loss = judge_loss(_Said(lips, sound), shown, shown, judged)  # type: ignore[arg-type]
    assert loss.item() == pytest.approx(-np.log(probability), abs=1e-4)


def test_a_judge_that_was_trained_on_pairs_says_its_own_probability() -> None:
    """One half at its threshold, whatever the cosine; more the nearer lips and sound are."""
    judge = _Said([3.0, 0.0, 0.0], [0.0, 4.0, 0.0])
    face = _face(TINY)
    shown, judged = _shown(face, 50), _batch(face, TINY, 50)
    for threshold, probability in ((5.0, 0.5), (6.0, 1 / (1 + np.exp(-1)))):
        judge.pair_sigmoid = PairSigmoid(threshold)  # type: ignore[assignment]
        loss = judge_loss(judge, shown, shown, judged)  # type: ignore[arg-type]
        assert loss.item() == pytest.approx(-np.log(probability), abs=1e-5)


def test_gradients_reach_the_mouth_and_leave_the_judge_alone() -> None:
    """Of all five frames, only where a drawn mouth is used."""
    torch.manual_seed(1)
    judge = SyncNet(TINY).eval().requires_grad_(False)
    face = _face(TINY)
    shown = _shown(face, 50)
    drawn = (shown * 0.8).requires_grad_()
    judge_loss(judge, drawn, shown, _batch(face, TINY, 50)).backward()
    assert drawn.grad is not None
    size = drawn.grad[0].abs().amax(dim=1)
    assert (size.amax(dim=(1, 2)) > 0).all()
    assert not size[:, : FACE_PX // 2 - 2].any() and not size[:, :, :8].any()
    assert all(parameter.grad is None for parameter in judge.parameters())


def test_mouths_that_follow_the_gradient_convince_the_judge() -> None:
    """Of one window, all else as it is: the loss falls with every step."""
    torch.manual_seed(1)
    judge = SyncNet(TINY).eval().requires_grad_(False)
    face = _face(TINY)
    shown, judged = _shown(face, 50), _batch(face, TINY, 50)
    drawn = shown.clone().requires_grad_()
    losses = []
    for _ in range(5):
        loss = judge_loss(judge, drawn, shown, judged)
        (gradient,) = torch.autograd.grad(loss, drawn)
        drawn = (drawn - 0.01 * gradient.sign()).detach().requires_grad_()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0] - 1e-3


def test_batches_are_the_windows_of_wav2lips_with_one_sound() -> None:
    """The same faces as Wav2Lip's for a step; what is judged is of the same windows."""
    from training.batches.face_batches import face_batch

    clips = [_face(TINY)]
    how = {"seed": 3, "step": 7, "size": 3}
    batch = speech2vid_batch(clips, judge=TINY, **how)  # type: ignore[arg-type]
    same = face_batch(clips, **how)  # type: ignore[arg-type]
    assert torch.equal(batch.target, same.target) and torch.equal(batch.reference, same.reference)
    assert batch.cepstra.shape == (3, 1, 12, 20) and batch.judged is not None
    assert batch.judged.lips.shape == (3, 9, 1, 48, 48) and len(batch.first(2).target) == 2
    assert batch.judged.sound.shape == (3, 1, 13, 36)
    # The judge's middle twenty columns are the same sound, less the mean of the seconds around.
    middle = batch.judged.sound[:, :, 1:, 8:28]
    between = batch.cepstra - middle
    assert float((between - between.mean(dim=3, keepdim=True)).abs().max()) < 0.6
    assert speech2vid_batch(clips, judge=None, **how).judged is None  # type: ignore[arg-type]
    assert CROPS.shape[1] == CROP_PX
