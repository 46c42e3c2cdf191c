"""Pieces of tracks with their own and with others' sound, and the levels of sureness from them.

What `fit_answers` fits for one track: the weight of the near search beside the lead within five
seconds, and from when on the two together are enough, near and far (pipeline/evidence/limits.py).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.evidence.blocks import evidence_of
from pipeline.evidence.limits import FEWEST_SURE_WINDOWS
from pipeline.evidence.peak import peak, peak_at
from pipeline.sync.scorer import SyncScorer
from pipeline.verdict.answer import surplus_of
from tests.benchmarks import answers_kit as kit

WINDOWS = (60, 75, 100, 130, 175, 250, 375, 600)
LAGS = (0, 0, 0, 15, 25, 50, 100)  # frames, of pieces with their own sound
LEAST_COMMON = 150  # windows that a lag must leave
# Shares of others' sound that may be claimed. Of people who did not set the levels three times as
# much is, and one in a hundred is the bar for all lengths and both searches together.
NEAR_FOREIGN, FAR_FOREIGN = 0.001, 0.001


@dataclass(frozen=True)
class Piece:
    """What both searches say of a piece of a track.

    Attributes:
        windows: its length.
        own: it has its own sound.
        is_moved: by more than the near search reaches.
        near_right, far_right: the near search's offset is right, and the one that leads.
        near_sure: the near search's is reliable by itself.
        near_lead, near_surplus, far_lead, far_surplus: of the two offsets; leads, see
            `Peak.lead_of_many`, are NaN where too few windows have sound.
    """

    windows: int
    own: bool
    is_moved: bool
    near_right: bool
    far_right: bool
    near_sure: bool
    near_lead: float
    near_surplus: float
    far_lead: float
    far_surplus: float


@dataclass(frozen=True)
class Levels:
    """Constants of pipeline/evidence/limits.py, by their names there."""

    surplus_weight: float
    sure_near: float
    sure_far: float

    def near(self, piece: Piece) -> bool:
        """The near search's offset is claimed."""
        together = piece.near_lead + self.surplus_weight * piece.near_surplus
        return piece.near_sure and not together < self.sure_near  # NaN: nothing objects

    def far(self, piece: Piece) -> bool:
        """The offset that leads is claimed."""
        return piece.far_lead + self.surplus_weight * piece.far_surplus >= self.sure_far

    def right(self, piece: Piece) -> bool:
        """The offset that is claimed is right."""
        far = self.far(piece) and piece.far_right
        return far or (self.near(piece) and piece.near_right)


def pieces(
    sources: Sequence[kit.Source], scorer: SyncScorer, *, pairs: int, seed: int
) -> Iterator[Piece]:
    """So many pieces of each length with others' sound, and half as many with their own.

    Args:
        sources: clips.
        scorer: of the network that embedded them.
        pairs: how many of each length.
        seed: of everything random.
    """
    random = np.random.default_rng(seed)
    near = {source.name: kit.near(scorer, source) for source in sources}
    for windows in WINDOWS:
        long = [source for source in sources if len(source.lips) >= windows]
        if len({source.video for source in long}) < 2:
            continue
        for number in range(pairs):
            lips, sound = kit.strangers(long, random)
            yield measured(
                scorer,
                kit.excerpt(lips.lips, windows, random),
                kit.excerpt(sound.sound, windows, random),
                share=sound.share,
            )
            lag = int(random.choice([lag for lag in LAGS if windows - lag >= LEAST_COMMON] or [0]))
            own = [
                (source, sync.offset_frames)
                for source in long
                if (sync := near[source.name]) and sync.reliable
                if len(source.lips) >= windows + lag
            ]
            if number % 2 or not own:
                continue
            source, offset = own[int(random.integers(len(own)))]
            late = kit.excerpt(torch.arange(lag, len(source.lips)), windows, random)
            early, lag = late - lag, lag * int(random.choice([-1, 1]))
            lips_at, sound_at = (early, late) if lag > 0 else (late, early)
            yield measured(
                scorer,
                source.lips[lips_at],
                source.sound[sound_at],
                share=source.share,
                offset=offset + lag,
                is_moved=lag != 0,
            )


def measured(
    scorer: SyncScorer,
    lips: torch.Tensor,
    sound: torch.Tensor,
    *,
    share: float,
    offset: int | None = None,
    is_moved: bool = False,
) -> Piece:
    """What both searches say of lips and sound.

    Args:
        scorer: of the network that embedded them.
        lips, sound: (windows, E).
        share: of the sound's frames that are audible.
        offset: what is right, frames; None: the sound is somebody else's.
        is_moved: as of `Piece`.
    """
    embedded = kit.embedded_of(lips, sound, share=share)
    sync = scorer.compare(embedded, file="").sync
    assert sync is not None
    evidence = evidence_of(embedded.lips, embedded.sound, embedded.has_sound)
    surplus = surplus_of(embedded, scorer.model.rule.get("calibration"))
    here, best = peak_at(evidence, sync.offset_frames), peak(evidence)
    far = best if best and best.windows >= FEWEST_SURE_WINDOWS else None
    return Piece(
        windows=len(lips),
        own=offset is not None,
        is_moved=is_moved,
        near_right=offset is not None and abs(sync.offset_frames - offset) <= 1,
        far_right=offset is not None and far is not None and abs(far.offset_frames - offset) <= 1,
        near_sure=sync.reliable,
        near_lead=here.lead_of_many if here else float("nan"),
        near_surplus=surplus(sync.offset_frames),
        far_lead=far.lead_of_many if far else float("nan"),
        far_surplus=surplus(far.offset_frames) if far else 0.0,
    )


def fit(made: Sequence[Piece]) -> Levels:
    """The weight with which most own sound is found, and the levels that so many others reach."""
    return max(
        (_levels(made, weight / 10) for weight in range(1, 10)),
        key=lambda levels: _found(made, levels),
    )


def _found(made: Sequence[Piece], levels: Levels) -> float:
    """Share of the pieces with their own sound whose offset is claimed and right."""
    return float(np.mean([levels.right(piece) for piece in made if piece.own]))


def _levels(made: Sequence[Piece], weight: float) -> Levels:
    others = [piece for piece in made if not piece.own]
    near = [p.near_lead + weight * p.near_surplus for p in others if p.near_sure]
    leading = [p.far_lead + weight * p.far_surplus for p in others]
    return Levels(
        surplus_weight=weight,
        sure_near=_level(near, most=int(NEAR_FOREIGN * len(others))),
        sure_far=_level(leading, most=int(FAR_FOREIGN * len(others))),
    )


def _level(values: Sequence[float], *, most: int) -> float:
    """What no more than so many of the values reach, to a tenth upwards."""
    ordered = sorted((value for value in values if not np.isnan(value)), reverse=True)
    return float(np.floor(10 * ordered[most]) / 10 + 0.1) if len(ordered) > most else 0.0


def rows(made: Sequence[Piece], levels: Levels) -> list[list[float]]:
    """By length: others claimed near, and far; own in place and moved: right; in percent."""
    table = []
    for windows in sorted({piece.windows for piece in made}):
        some = [piece for piece in made if piece.windows == windows]
        others = [piece for piece in some if not piece.own]
        in_place = [levels.right(piece) for piece in some if piece.own and not piece.is_moved]
        moved = [levels.right(piece) for piece in some if piece.is_moved]
        near, far = ([claims(piece) for piece in others] for claims in (levels.near, levels.far))
        shares = [float(np.mean(part)) if part else float("nan") for part in (in_place, moved)]
        table.append(
            [windows, len(others), 100 * float(np.mean(near)), 100 * float(np.mean(far))]
            + [100 * share for share in shares]
        )
    return table
