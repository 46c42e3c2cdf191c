"""The offset of one track that users are told."""

from dataclasses import dataclass
from typing import Literal

from pipeline.evidence.blocks import Evidence
from pipeline.evidence.peak import NEIGHBOURS, peak
from pipeline.sync.offset import Sync

Search = Literal["near", "wide"]


@dataclass(frozen=True)
class Answer:
    """The offset of a track that users are told.

    Attributes:
        search: "near", within the shifts of activesd.pckl, or "wide", where nothing stood out
            there and the search of five seconds decided.
        offset_frames, offset_ms, reliable: as of `pipeline.sync.offset.Sync`.
    """

    search: Search
    offset_frames: int
    offset_ms: float
    reliable: bool


def answer(sync: Sync, evidence: Evidence) -> Answer:
    """The near search's offset; the wide one's where another stands out, or only there.

    Args:
        sync: the near search's.
        evidence: of the same clip.
    """
    best = peak(evidence)
    # What stands out over all of five seconds is surer than what does over a part of them.
    elsewhere = best and abs(best.offset_frames - sync.offset_frames) > NEIGHBOURS
    if best and best.reliable and (elsewhere or not sync.reliable):
        return Answer("wide", best.offset_frames, best.offset_ms, True)
    return Answer("near", sync.offset_frames, sync.offset_ms, sync.reliable)
