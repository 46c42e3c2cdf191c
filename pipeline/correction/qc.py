"""A verdict held against a standard, in a sentence for people and an exit code for programs."""

from pipeline.verdict.standards import BT1359_ACCEPTABLE, BT1359_DETECTABLE, DELIVERY, STANDARDS
from pipeline.verdict.video import VideoVerdict

WITHIN, OUTSIDE, UNKNOWN = 0, 3, 4  # exit codes; 1 and 2 are failures


def exit_code(verdict: VideoVerdict, standard: str) -> int:
    """0 where a video keeps a standard, 3 where it does not, 4 where that cannot be told.

    Args:
        verdict: of the video.
        standard: its name among `STANDARDS`. What BT.1359 calls detectable is acceptable still.
    """
    grade = verdict.standards.get(standard)
    if grade is None or not verdict.reliable:
        return UNKNOWN
    return OUTSIDE if grade in ("unacceptable", "fail") else WITHIN


def sentence(verdict: VideoVerdict, standard: str) -> str:
    """The same for people."""
    tolerance = DELIVERY.get(standard, BT1359_ACCEPTABLE)
    limits = f"sound at most {tolerance.early_ms:g} ms early or {tolerance.late_ms:g} ms late"
    if standard == "bt1359":
        noticed = BT1359_DETECTABLE
        limits += f", noticed from {noticed.early_ms:g} and {noticed.late_ms:g} ms on"
    if exit_code(verdict, standard) == UNKNOWN:
        return f"{STANDARDS[standard]} ({limits}): cannot be told."
    return f"{STANDARDS[standard]} ({limits}): {verdict.standards[standard]}."
