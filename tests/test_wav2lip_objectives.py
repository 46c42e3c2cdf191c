"""Losses that tie a generator to the sound: mouth weights, and a SyncNet as teacher."""

import torch
from torch import nn

from models.wav2lip import FACE_PX, Wav2Lip, Wav2LipConfig
from training.batches.face_batches import FaceBatch
from training.objectives import wav2lip_objectives as objectives
from training.objectives.wav2lip_objectives import LossWeights

TAUGHT_SIZE = 12


def _batch(*, windows: int = 2) -> FaceBatch:
    generator = torch.Generator().manual_seed(1)

    def random(*shape: int) -> torch.Tensor:
        return torch.rand(windows, 5, *shape, generator=generator)

    faces = (3, FACE_PX, FACE_PX)
    return FaceBatch(random(*faces), random(*faces), random(1, 80, 16), random(TAUGHT_SIZE) - 0.5)


def _loss(generated: torch.Tensor, batch: FaceBatch, mouth: float) -> tuple[float, float]:
    weights = LossWeights(mouth=mouth)
    loss, parts = objectives.generator_loss(
        generated, batch, weights, expert=None, discriminator=None
    )
    return loss.item(), parts["l1"].item()


def test_an_error_on_the_mouth_counts_more_and_an_even_one_the_same() -> None:
    """Weights have mean one: losses of runs with and without compare; "l1" is never weighted."""
    batch = _batch()
    even = _loss(batch.target + 0.1, batch, 4.0)
    torch.testing.assert_close(torch.tensor(even), torch.tensor((0.1, 0.1)))
    on_mouth, on_hair = batch.target.clone(), batch.target.clone()
    on_mouth[..., 65:75, 40:56] += 0.5
    on_hair[..., 5:15, 40:56] += 0.5
    plain = _loss(on_mouth, batch, 0.0)
    assert abs(plain[0] - plain[1]) < 1e-7
    mouth, hair = _loss(on_mouth, batch, 4.0), _loss(on_hair, batch, 4.0)
    assert mouth[1] == plain[1] and abs(hair[1] - plain[1]) < 1e-6
    assert abs(mouth[0] / hair[0] - 5) < 0.01


def test_the_teachers_loss_trains_the_audio_encoder_only() -> None:
    """Some steps bring sound close to the teacher's vectors; no gradient reaches the picture."""
    torch.manual_seed(2)
    model = Wav2Lip(Wav2LipConfig(0.05)).train()
    batch = _batch(windows=4)
    size = model.audio_encoder(batch.mels[:, 0]).shape[1]
    translation = nn.Linear(size, TAUGHT_SIZE)
    trained = torch.optim.Adam([*model.parameters(), *translation.parameters()], lr=1e-2)
    alike = []
    for _ in range(30):
        loss, cosine = objectives.taught_loss(model, batch, translation)
        trained.zero_grad()
        loss.backward()
        assert all(p.grad is None for p in model.face_encoder_blocks.parameters())
        trained.step()
        alike.append(cosine.item())
    assert alike[0] < 0.3 and alike[-1] > 0.7
