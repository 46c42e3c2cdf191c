"""What broadcasters' recommendations say of an offset: how far sound may lead or lag.

ITU-R BT.1359-1 names what viewers detect and what they accept; ATSC IS-191 and EBU R37 name what
may be delivered.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """A range of offsets.

    Attributes:
        early_ms: by how much the sound may lead.
        late_ms: by how much it may lag; a positive number.
    """

    early_ms: float
    late_ms: float

    def holds(self, offsets_ms: Iterable[float]) -> bool:
        """Whether all offsets, above 0 where the sound leads, are within it."""
        return all(-self.late_ms <= offset_ms <= self.early_ms for offset_ms in offsets_ms)


IN_SYNC_MS = 40.0  # one frame: what is less is called in sync
BT1359_DETECTABLE = Tolerance(early_ms=45, late_ms=125)
BT1359_ACCEPTABLE = Tolerance(early_ms=90, late_ms=185)
DELIVERY = {
    "atsc": Tolerance(early_ms=15, late_ms=45),
    "ebu": Tolerance(early_ms=40, late_ms=60),
}
STANDARDS = {"bt1359": "ITU-R BT.1359", "atsc": "ATSC IS-191", "ebu": "EBU R37"}


def grades(offsets_ms: Iterable[float]) -> dict[str, str | None]:
    """The grade of each standard for a video with these offsets: that of the worst one.

    Args:
        offsets_ms: every offset the video has, above 0 where the sound leads; none where it
            cannot be told.

    Returns:
        By standard: bt1359 "undetectable", "detectable" or "unacceptable"; the others "pass" or
        "fail"; None without an offset.
    """
    offsets_ms = list(offsets_ms)
    if not offsets_ms:
        return {name: None for name in STANDARDS}
    if BT1359_DETECTABLE.holds(offsets_ms):
        bt1359 = "undetectable"
    else:
        bt1359 = "detectable" if BT1359_ACCEPTABLE.holds(offsets_ms) else "unacceptable"
    graded: dict[str, str | None] = {"bt1359": bt1359}
    for name, tolerance in DELIVERY.items():
        graded[name] = "pass" if tolerance.holds(offsets_ms) else "fail"
    return graded
