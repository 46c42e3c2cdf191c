"""Losses of a lip-sync network.

Every objective takes the embeddings of the windows of some excerpts, lips (B, W, E) and sound
(B, W, E), row by row in sync, and gives a loss and an accuracy. Windows
of the same excerpt share speaker, light and microphone, so only timing tells them apart; windows of
other excerpts are easier. In the numbers below B excerpts of W windows are compared.
"""

import math
from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import nn
from torch.nn import functional as F

from models.options import check_choice
from models.syncnet import PairSigmoid

Negatives = Literal["same", "cross", "both"]
UNRELATED = 2 * 0.7  # lengths: about the distance of two at a right angle
MOST_SHIFT = 5  # windows, of three frames: as far as run_syncnet.py searches
PIECES = (6, 13, 28)  # windows of a piece, if its excerpt has them: about 1, 2 and 4 s
assert min(PIECES) > MOST_SHIFT  # every shift lays some windows together
FREE_THRESHOLD = 10.0  # of embeddings without a length: half the published margin
NEGATIVES: tuple[str, ...] = get_args(Negatives)


class Objective(nn.Module):
    """What all objectives share.

    Args:
        negatives: where wrong sound for a pair comes from.
        embedding_scale: length of the embeddings; 0 where it is free.
    """

    def __init__(self, *, negatives: Negatives = "same", embedding_scale: float = 0.0) -> None:
        check_choice("negatives", negatives, NEGATIVES)
        super().__init__()
        self.negatives = negatives
        self.embedding_scale = embedding_scale

    def wrong_sound(self, sound: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Another window's sound for every window: of its own excerpt, of another one, or both.

        The only window of an excerpt gets that of another excerpt.

        Args:
            sound: (B, W, E).
            generator: on the CPU.
        """
        excerpts, windows = sound.shape[:2]
        only = windows == 1
        shift = torch.randint(1 - only, windows, (excerpts, windows), generator=generator)
        window = (torch.arange(windows) + shift) % windows
        excerpt = torch.arange(excerpts)[:, None].expand(excerpts, windows)
        if self.negatives != "same" and excerpts > 1:
            other = torch.randint(1, excerpts, (excerpts, windows), generator=generator)
            chosen = torch.rand(excerpts, windows, generator=generator)
            leave = chosen < (1.0 if only or self.negatives == "cross" else 0.5)
            excerpt = torch.where(leave, (excerpt + other) % excerpts, excerpt)
        return sound[excerpt.to(sound.device), window.to(sound.device)]

    def forward(
        self, lips: torch.Tensor, sound: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss and accuracy, both scalars; accuracy carries no gradient."""
        raise NotImplementedError


class WholePiece(nn.Module):
    """The question that is scored: which shift of a piece is right, or is none of them?

    A piece is some windows in a row. Its answers are the shifts of its sound, each with the mean
    likeness of the windows that it lays together, and "none"; evidence grows with the square root
    of the length. With its own sound no shift is right but 0, with that of the excerpt before it
    none is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_gain = nn.Parameter(torch.tensor(math.log(10.0)))
        self.none = nn.Parameter(torch.tensor(4.0))

    def forward(
        self, lips: torch.Tensor, sound: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """The mean cross-entropy of both questions, a scalar.

        Args:
            lips, sound: (B, W, E) of length one, two excerpts or more.
            generator: on the CPU; chooses the piece, the same of every excerpt.
        """
        excerpts, windows = lips.shape[:2]
        length = PIECES[int(torch.randint(len(PIECES), (), generator=generator))]
        length = min(length, windows)
        first = int(torch.randint(windows - length + 1, (), generator=generator))
        most = min(MOST_SHIFT, windows - 1)
        answers = torch.full((excerpts,), most, device=lips.device)
        own = self._evidence(lips, sound, first=first, length=length, most=most)
        foreign = self._evidence(lips, sound.roll(1, 0), first=first, length=length, most=most)
        refused = torch.full_like(answers, 2 * most + 1)
        return (F.cross_entropy(own, answers) + F.cross_entropy(foreign, refused)) / 2

    def _evidence(
        self, lips: torch.Tensor, sound: torch.Tensor, *, first: int, length: int, most: int
    ) -> torch.Tensor:
        """(B, 2 most + 2): every shift, then none."""
        windows = lips.shape[1]
        means, counts = [], []
        for shift in range(-most, most + 1):
            start, stop = max(first, -shift), min(first + length, windows - shift)
            together = lips[:, start:stop] * sound[:, start + shift : stop + shift]
            means.append(together.sum(2).mean(1))
            counts.append(stop - start)
        likeness = torch.stack(means, 1)
        likeness = likeness - likeness.mean(1, keepdim=True)
        # The mean of few windows is the less sure.
        evidence = likeness * torch.tensor(counts).sqrt().to(likeness)
        gain = self.log_gain.exp().clamp(max=100.0)
        return torch.cat([gain * evidence, self.none.expand(len(lips), 1)], 1)


class MultiWay(Objective):
    """Cross-entropy over many windows, in both directions, with a learned scale.

    Chance level is 1 / W (after "Perfect Match", Chung et al. 2019). This is the objective
    that leaves chance within some hundred steps.

    Args:
        negatives: where wrong sound for a window comes from.
        embedding_scale: length of the embeddings; 0 where it is free.
        refusal: weight of `WholePiece`, which also asks about other excerpts' sound.
    """

    def __init__(
        self,
        *,
        negatives: Negatives = "same",
        embedding_scale: float = 0.0,
        refusal: float = 0.0,
    ) -> None:
        super().__init__(negatives=negatives, embedding_scale=embedding_scale)
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.refusal = refusal
        if refusal:
            self.piece = WholePiece()

    def forward(
        self, lips: torch.Tensor, sound: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See the class; `generator` chooses the piece."""
        scale = self.log_scale.exp().clamp(max=60.0)
        excerpts, windows = lips.shape[:2]
        lips, sound = F.normalize(lips, dim=2), F.normalize(sound, dim=2)
        if self.negatives == "same":
            likeness = lips @ sound.transpose(1, 2) * scale
        else:
            likeness = (lips.flatten(0, 1) @ sound.flatten(0, 1).T * scale)[None]
            if self.negatives == "cross":
                likeness = likeness + self._own_excerpt_only_itself(excerpts, windows).to(scale)
        own = torch.arange(likeness.shape[1], device=lips.device).expand(likeness.shape[:2])
        loss = F.cross_entropy(likeness.flatten(0, 1), own.flatten())
        back = F.cross_entropy(likeness.transpose(1, 2).flatten(0, 1), own.flatten())
        loss = (loss + back) / 2
        if self.refusal:
            loss = loss + self.refusal * self.piece(lips, sound, generator)
        return loss, (likeness.argmax(2) == own).float().mean()

    @staticmethod
    def _own_excerpt_only_itself(excerpts: int, windows: int) -> torch.Tensor:
        same = torch.eye(excerpts).repeat_interleave(windows, 0).repeat_interleave(windows, 1)
        return -1e4 * (same - torch.eye(excerpts * windows))


class Margin(Objective):
    """Pairs pulled together, wrong pairs pushed a margin apart (Chung and Zisserman, 2016).

    Half of the pairs are right; a pair counts as recognised on the proper side of half the margin.
    """

    def __init__(self, *, negatives: Negatives = "same", embedding_scale: float = 0.0) -> None:
        super().__init__(negatives=negatives, embedding_scale=embedding_scale)
        # Of Euclidean distance: the paper's, or as far as unrelated embeddings of one length are.
        self.margin = UNRELATED * embedding_scale if embedding_scale else 20.0

    def forward(
        self, lips: torch.Tensor, sound: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See the class."""
        right = (lips - sound).norm(dim=2)
        wrong = (lips - self.wrong_sound(sound, generator)).norm(dim=2)
        loss = (right**2).mean() + (F.relu(self.margin - wrong) ** 2).mean()
        accuracy = (right < self.margin / 2).float().mean() + (
            wrong > self.margin / 2
        ).float().mean()
        return loss / 2, accuracy / 2


class DistanceBCE(Objective):
    """Binary cross-entropy on the distance of a pair, half of the pairs shuffled.

    Slope and threshold are the network's, where it has them: they are averaged, exported and used
    with its towers.
    """

    def __init__(
        self,
        *,
        negatives: Negatives = "same",
        embedding_scale: float = 0.0,
        sigmoid: PairSigmoid | None = None,
    ) -> None:
        super().__init__(negatives=negatives, embedding_scale=embedding_scale)
        self.sigmoid = sigmoid or PairSigmoid(UNRELATED * embedding_scale or FREE_THRESHOLD)

    def forward(
        self, lips: torch.Tensor, sound: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See the class."""
        right = (lips - sound).norm(dim=2)
        wrong = (lips - self.wrong_sound(sound, generator)).norm(dim=2)
        logits = self.sigmoid(torch.stack([right, wrong]))
        labels = torch.stack([torch.ones_like(right), torch.zeros_like(wrong)])
        loss = F.binary_cross_entropy_with_logits(logits, labels)
        return loss, ((logits > 0) == (labels > 0.5)).float().mean()


class CosineBCE(Objective):
    """Wav2Lip's expert: the cosine of the pair is the probability that it is in sync.

    After "A lip sync expert is all you need" (Prajwal et al. 2020). Embeddings that end in a ReLU
    have a cosine in 0..1 already; for others a negative cosine counts as zero for a wrong pair, and
    a right one is pulled out of there.
    """

    floor = 0.05  # of the probability; below, its logarithm goes on as a straight line

    def forward(
        self, lips: torch.Tensor, sound: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See the class."""
        wrong = self.wrong_sound(sound, generator)
        together = F.cosine_similarity(lips, sound, dim=2)
        apart = 1 - F.cosine_similarity(lips, wrong, dim=2).clamp(min=0)
        loss = self._log_loss(together).mean() + self._log_loss(apart).mean()
        accuracy = (together > 0.5).float().mean() + (apart > 0.5).float().mean()
        return loss / 2, accuracy / 2

    def _log_loss(self, probability: torch.Tensor) -> torch.Tensor:
        # A clamp alone would leave the pairs that are most wrong without a gradient.
        inside = probability.clamp(min=self.floor)
        return (inside - probability) / self.floor - inside.log()


OBJECTIVES: dict[str, Callable[..., Objective]] = {
    "multiway": MultiWay,
    "margin": Margin,
    "bce": DistanceBCE,
    "cosine": CosineBCE,
}
