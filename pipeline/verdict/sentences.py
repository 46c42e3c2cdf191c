"""The verdict of a video in a sentence for people."""

from collections.abc import Sequence

from pipeline.evidence.parts import Drift, Part
from pipeline.verdict.video import Reason, Verdict

MOST_PARTS = 4  # that a sentence names


def of(
    verdict: Verdict, parts: Sequence[Part], drift: Drift | None, reasons: Sequence[Reason]
) -> str:
    """One sentence.

    Args:
        verdict: of the video.
        parts, drift: as of `VideoVerdict`.
        reasons: the last one is why it cannot be told, where that is the verdict.
    """
    if verdict == "cannot_be_told":
        return f"Whether sound and picture are together cannot be told: {_clause(reasons[-1].text)}"
    if verdict == "drifts" and drift:
        start, end = drift.offset_ms(0.0), drift.offset_ms(parts[-1].end_s)
        low, high = drift.interval_ms_per_min
        return (
            f"The sound drifts by {drift.ms_per_min:+.0f} ms a minute ({low:+.0f} to {high:+.0f}): "
            f"it is {_lag(start)} at the start and {_lag(end)} at the end, which no single delay "
            "mends."
        )
    if verdict == "steps":
        named = [f"{_lag(part.offset_ms)} from {part.start_s:.1f} s" for part in parts[:MOST_PARTS]]
        more = len(parts) - len(named)
        rest = f", and {more} more times otherwise" if more else ""
        return f"The sound jumps against the picture: it is {', '.join(named)}{rest}."
    offset_ms = parts[0].offset_ms or 0.0
    if verdict == "in_sync":
        return f"Sound and picture are in sync: the sound is {_lag(offset_ms)}."
    if verdict == "early":
        return f"The sound is {_lag(offset_ms)}: delay it by that much."
    return f"The sound is {_lag(offset_ms)}: play it that much sooner."


def _lag(offset_ms: float | None) -> str:
    rounded = round(offset_ms or 0.0)
    if not rounded:
        return "on time"
    return f"{abs(rounded)} ms {'early' if rounded > 0 else 'late'}"


def _clause(text: str) -> str:
    """A sentence as the second half of another."""
    return text[:1].lower() + text[1:]
