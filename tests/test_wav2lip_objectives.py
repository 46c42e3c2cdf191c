"""Losses that tie a generator to the sound: mouth weights, and a SyncNet as teacher."""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from models.wav2lip import FACE_PX, Wav2Lip, Wav2LipConfig, to_uint8
from training.batches.face_batches import FaceBatch
from training.objectives import wav2lip_objectives as objectives
from training.objectives.wav2lip_objectives import LossWeights
from training.tasks import wav2lip_module
from training.tasks.wav2lip_module import AnyBatch

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


def test_judging_a_network_teaches_it_nothing() -> None:
    """Its norms see other people as they will be when it is used; asked twice it says the same."""
    torch.manual_seed(2)
    model = Wav2Lip(Wav2LipConfig(0.02)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batches: list[AnyBatch] = [_batch()]
    figures = [
        wav2lip_module.judge(model, batches, torch.device("cpu"), expert=None) for _ in range(2)
    ]
    assert figures[0] == figures[1]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_samples_are_the_first_frames_of_their_windows(tmp_path: Path) -> None:
    """Each row: how somebody looks, the pose without a mouth, what is drawn, what it should be."""
    torch.manual_seed(2)
    model, batch = Wav2Lip(Wav2LipConfig(0.02)).eval(), _batch()
    wav2lip_module.draw_samples(model, batch, tmp_path / "samples.png")
    picture = np.asarray(cv2.imread(str(tmp_path / "samples.png")))
    for row, windows in zip(np.vsplit(picture, 2), (0, 1), strict=True):
        reference, masked, _, target = np.hsplit(row, 4)
        for shown, faces in ((reference, batch.reference), (target, batch.target)):
            np.testing.assert_array_equal(shown, to_uint8(faces[windows, :1])[0])
        np.testing.assert_array_equal(masked[:48], target[:48])
        assert not masked[48:].any()
