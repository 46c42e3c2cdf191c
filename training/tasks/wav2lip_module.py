"""One of Wav2Lip's networks in training: a batch in, losses out."""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from models.speech2vid import MouthNetwork
from models.syncnet import SyncNet
from models.wav2lip import (
    EMBEDDING_SIZE,
    SyncNetColor,
    Wav2Lip,
    Wav2LipDiscriminator,
    to_uint8,
    without_mouths,
)
from training.batches.expert_excerpts import ExpertBatch
from training.batches.face_batches import FaceBatch
from training.batches.speech2vid_batches import Speech2VidBatch
from training.objectives import wav2lip_objectives as objectives
from training.objectives.wav2lip_objectives import LossWeights

Network = SyncNetColor | MouthNetwork
Judge = SyncNetColor | SyncNet  # of Wav2Lip's generator, and of a Speech2Vid
AnyBatch = ExpertBatch | FaceBatch | Speech2VidBatch
SHOWN_WINDOWS = 8  # in a picture of samples


class TrainingModule(nn.Module):
    """The network in training and what teaches it, as one module: a batch in, losses out."""

    def __init__(
        self,
        model: Network,
        *,
        expert: Judge | None,
        discriminator: Wav2LipDiscriminator | None,
        taught_size: int = 0,
    ) -> None:
        super().__init__()
        self.model = model
        self.discriminator = discriminator
        size = model.config.channels(EMBEDDING_SIZE)
        self.translation = nn.Linear(size, taught_size) if taught_size else None
        # Not a submodule: the expert is no part of what is trained, averaged or saved.
        self._teacher = [expert.eval().requires_grad_(False)] if expert else []

    @property
    def expert(self) -> Judge | None:
        """Frozen, in eval mode."""
        return self._teacher[0] if self._teacher else None

    def forward(
        self, batch: AnyBatch, weighted: LossWeights, bf16: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None, dict[str, torch.Tensor]]:
        """Loss of the network, loss of the discriminator, and the parts to report.

        bf16 halves the time on processors that have it; the losses themselves stay in float32.
        """
        device = next(self.model.parameters()).device
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            if isinstance(self.model, SyncNetColor):
                assert isinstance(batch, ExpertBatch)
                loss, parts = objectives.expert_loss(
                    self.model,
                    batch,
                    translation=self.translation,
                    pairs=weighted.pairs,
                    apart=weighted.apart,
                )
                return loss, None, parts
            assert not isinstance(batch, ExpertBatch)
            generated = objectives.draw(self.model, batch)
            loss, parts = objectives.generator_loss(
                generated,
                batch,
                weighted,
                expert=self.expert,
                discriminator=self.discriminator,
            )
            if self.translation is not None and weighted.taught:
                assert isinstance(batch, FaceBatch) and isinstance(self.model, Wav2Lip)
                unlike, alike = objectives.taught_loss(self.model, batch, self.translation)
                loss = loss + weighted.taught * unlike
                parts["taught"] = alike
            other = None
            if self.discriminator is not None:
                assert isinstance(batch, FaceBatch)
                other = objectives.discriminator_loss(self.discriminator, generated, batch)
                parts["discriminator"] = other.detach()
        return loss, other, parts


@torch.no_grad()
def judge(
    network: Network,
    unseen: list[AnyBatch],
    device: torch.device,
    *,
    expert: Judge | None,
) -> dict[str, float]:
    """Losses of a network on other people, with the published weights of their parts."""
    module = TrainingModule(network, expert=expert, discriminator=None).eval()
    rows = []
    for batch in unseen:
        loss, _, parts = module(batch.to(device), LossWeights(), False)
        rows.append({"loss": loss.item()} | {name: float(value) for name, value in parts.items()})
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


@torch.no_grad()
def draw_samples(model: MouthNetwork, batch: FaceBatch | Speech2VidBatch, path: Path) -> None:
    """Writes a picture: per row reference, masked input, generated face, target, of --val."""
    part = batch.first(SHOWN_WINDOWS).to(next(model.parameters()).device)
    generated = objectives.draw(model, part)
    kinds = (part.reference, without_mouths(part.target), generated, part.target)
    columns = [to_uint8(faces[:, 0]) for faces in kinds]
    rows = [np.hstack(faces) for faces in zip(*columns, strict=True)]
    cv2.imwrite(str(path), np.vstack(rows))
