"""The offset of one track that users are told.

Somebody else's sound fits some offset, too, and within the few frames of the near search one in a
hundred fits well enough to be called reliable there. Few of those lead every other offset within
five seconds, too, so both are asked: the lead, and the near search around the offset.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from models.calibration import Calibration
from pipeline.evidence.blocks import Evidence
from pipeline.evidence.limits import FEWEST_SURE_WINDOWS, SURE_FAR, SURE_NEAR, SURPLUS_WEIGHT
from pipeline.evidence.peak import NEIGHBOURS, Peak, peak, peak_at
from pipeline.sync import embeddings, reliability
from pipeline.sync.embedded import Embedded
from pipeline.sync.offset import Sync

Search = Literal["near", "wide"]
Surplus = Callable[[int], float]


@dataclass(frozen=True)
class Answer:
    """The offset of a track that users are told.

    Attributes:
        search: "near", within the shifts of activesd.pckl, or "wide", where nothing stood out
            there and the search of five seconds decided.
        offset_frames, offset_ms: as of `pipeline.sync.offset.Sync`.
        reliable: the search of that name says so, and the other one does not object.
    """

    search: Search
    offset_frames: int
    offset_ms: float
    reliable: bool


def answer(sync: Sync, evidence: Evidence, surplus: Surplus) -> Answer:
    """The near search's offset; the wide one's where another stands out, or only there.

    Args:
        sync: the near search's.
        evidence: of the same clip.
        surplus: what the near search says around an offset, see `surplus_of`.
    """
    here, best = peak_at(evidence, sync.offset_frames), peak(evidence)
    near = sync.reliable
    if near and here is not None:  # too short a clip has the near search's word only
        near = sureness(here, surplus(sync.offset_frames)) >= SURE_NEAR
    # What stands out over all of five seconds is surer than what does over a part of them.
    if best and best.windows >= FEWEST_SURE_WINDOWS:
        elsewhere = abs(best.offset_frames - sync.offset_frames) > NEIGHBOURS
        far = sureness(best, surplus(best.offset_frames)) >= SURE_FAR
        if far and (elsewhere or not near):
            return Answer("wide", best.offset_frames, best.offset_ms, True)
    return Answer("near", sync.offset_frames, sync.offset_ms, near)


def sureness(best: Peak, surplus: float) -> float:
    """What both searches say of an offset together.

    Args:
        best: of the offset, within five seconds.
        surplus: of the near search around it, logits.
    """
    return best.lead_of_many + SURPLUS_WEIGHT * surplus


def surplus_of(embedded: Embedded, calibration: Calibration | None) -> Surplus:
    """What the near search says around any offset of a clip: see `reliability.surplus`.

    Args:
        embedded: the clip.
        calibration: of its network; None: it says nothing, for or against.
    """

    def surplus(offset_frames: int) -> float:
        moved = embedded.centred_on(offset_frames)
        if calibration is None or not moved.has_sound.any():
            return 0.0
        dists = embeddings.distances(moved.lips, moved.sound, vshift=calibration.vshift)
        return reliability.surplus(
            dists[moved.has_sound], calibration, audible_share=moved.audible_share
        )

    return surplus
