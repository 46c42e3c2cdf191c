"""The offset of one track that users are told."""

from dataclasses import dataclass
from typing import Literal

from pipeline.evidence.blocks import Evidence
from pipeline.evidence.peak import peak
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
    """The near search's offset; the wide one's where only that stands out.

    Args:
        sync: the near search's.
        evidence: of the same clip.
    """
    if not sync.reliable and (best := peak(evidence)) and best.reliable:
        return Answer("wide", best.offset_frames, best.offset_ms, True)
    return Answer("near", sync.offset_frames, sync.offset_ms, sync.reliable)
