"""A SyncNet with its objective; and the warning that it is still at chance level."""

import torch
from torch import nn

from models.syncnet import SyncNet
from training.objectives.contrastive import Objective


class TrainingModule(nn.Module):
    """Network and objective as one module: windows in, loss out.

    Dropout is drawn here, from each excerpt's own seed, so that it does not depend on how excerpts
    are spread over processes.
    """

    def __init__(self, model: SyncNet, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(
        self, lips: torch.Tensor, sound: torch.Tensor, seeds: list[int], bf16: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss and accuracy of a `Batch`, scalars.

        bf16 halves the time on processors that have it; the loss itself stays in float32.
        """
        excerpts, windows = lips.shape[:2]
        with torch.autocast(lips.device.type, dtype=torch.bfloat16, enabled=bf16):
            lip_features = self.model.forward_lipfeat(lips.flatten(0, 1))
            sound_features = self.model.forward_audfeat(sound.flatten(0, 1))
            if self.model.config.dropout:
                lip_mask, sound_mask = self._dropout_masks(
                    seeds, windows, lip_features.shape[1], sound_features.shape[1]
                )
                lip_features, sound_features = (
                    lip_features * lip_mask.to(lip_features),
                    sound_features * sound_mask.to(sound_features),
                )
            v, a = self.model.lip_head(lip_features), self.model.sound_head(sound_features)
        v, a = (x.float().unflatten(0, (excerpts, windows)) for x in (v, a))
        last = v.shape[2] - bool(self.model.config.embedding_scale)  # without the constant one
        generator = torch.Generator().manual_seed(seeds[0])
        loss, accuracy = self.objective(v[..., :last], a[..., :last], generator)
        return loss, accuracy.detach()

    def _dropout_masks(
        self, seeds: list[int], windows: int, lip_size: int, sound_size: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        share = 1 - self.model.config.dropout
        chances = torch.cat(
            [
                torch.rand(
                    windows, lip_size + sound_size, generator=torch.Generator().manual_seed(seed)
                )
                for seed in seeds
            ]
        )
        masks = (chances < share).float() / share
        return masks[:, :lip_size], masks[:, lip_size:]


def still_guessing(accuracies: list[float], chance: float) -> str | None:
    """Advice where accuracy is still at chance level, else None.

    Args:
        accuracies: of the last steps.
        chance: accuracy of a guess.
    """
    mean = sum(accuracies) / len(accuracies)
    if mean > chance + 0.25 * (1 - chance) * chance:
        return None
    return (
        f"WARNING: accuracy is still {mean:.3f}, a guess gives {chance:.3f}. Usual reasons: lips "
        "and sound of the clips do not belong together (run run_syncnet.py on them and use "
        "--min_confidence), too few people, or too high a --lr."
    )
