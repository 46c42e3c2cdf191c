"""A SyncNet in training: windows in, loss out; and when to warn that it still guesses."""

import torch
from torch import nn

from models.syncnet import SyncNet
from training.objectives.contrastive import Objective


class Lesson(nn.Module):
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
            seen = self.model.forward_lipfeat(lips.flatten(0, 1))
            heard = self.model.forward_audfeat(sound.flatten(0, 1))
            if self.model.config.dropout:
                kept_seen, kept_heard = self._kept(seeds, windows, seen.shape[1], heard.shape[1])
                seen, heard = seen * kept_seen.to(seen), heard * kept_heard.to(heard)
            v, a = self.model.lip_head(seen), self.model.sound_head(heard)
        v, a = (x.float().unflatten(0, (excerpts, windows)) for x in (v, a))
        last = v.shape[2] - bool(self.model.config.embedding_scale)  # without the constant one
        generator = torch.Generator().manual_seed(seeds[0])
        loss, accuracy = self.objective(v[..., :last], a[..., :last], generator)
        return loss, accuracy.detach()

    def _kept(
        self, seeds: list[int], windows: int, seen: int, heard: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        share = 1 - self.model.config.dropout
        drawn = torch.cat(
            [
                torch.rand(windows, seen + heard, generator=torch.Generator().manual_seed(seed))
                for seed in seeds
            ]
        )
        kept = (drawn < share).float() / share
        return kept[:, :seen], kept[:, seen:]


def still_guessing(accuracies: list[float], chance: float) -> str | None:
    """Advice where a network has learned nothing; None where it has.

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
