"""What the page says first: whether sound and picture of the video belong together.

video.json decides, where run_syncnet.py has written it. Results without it are judged by their
reliable tracks alone, each as much as it is long.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.page.results import Results, TrackResult
from pipeline.page.words import early_or_late, milliseconds
from pipeline.verdict.standards import IN_SYNC_MS, STANDARDS

# What the badge says, by the words of video.json.
BADGES = {
    "in_sync": "in sync",
    "early": "sound early",
    "late": "sound late",
    "drifts": "offset drifts",
    "steps": "offset jumps",
    "cannot_be_told": "cannot be told",
}
GOOD, BAD = ("undetectable", "pass"), ("unacceptable", "fail")


@dataclass(frozen=True)
class Standard:
    """What one broadcasting standard says of the offset: good, fair or bad."""

    name: str
    word: str
    kind: str


@dataclass(frozen=True)
class Verdict:
    """Of the video.

    Attributes:
        kind: a key of `BADGES`.
        badge: it in two words.
        sentence: it in a sentence.
        standards: what standards say.
        correctable: a corrected copy would differ.
        per_shot: the shots differ, so one delay cannot mend all.
    """

    kind: str
    badge: str
    sentence: str
    standards: tuple[Standard, ...]
    correctable: bool
    per_shot: bool


def verdict_of(results: Results) -> Verdict:
    """The verdict that is stored, or else that of the reliable tracks."""
    stored = results.verdict
    if stored is not None and stored.verdict in BADGES:
        return _verdict(stored.verdict, stored.sentence, standards=stored.standards)
    return _verdict(*_judged(results))


def _verdict(kind: str, sentence: str, *, standards: dict[str, str] | None = None) -> Verdict:
    named = [
        Standard(STANDARDS[name], word, _kind_of(word))
        for name, word in (standards or {}).items()
        if name in STANDARDS
    ]
    return Verdict(
        kind=kind,
        badge=BADGES[kind],
        sentence=sentence,
        standards=tuple(named),
        correctable=kind not in ("in_sync", "cannot_be_told"),
        per_shot=kind == "steps",
    )


def _kind_of(word: str) -> str:
    return "good" if word in GOOD else "bad" if word in BAD else "fair"


def _judged(results: Results) -> tuple[str, str]:
    if not results.tracks:
        return (
            "cannot_be_told",
            "No face could be followed, so nothing was measured.",
        )
    if not results.has_sound:
        return "cannot_be_told", "The video has no sound to compare lips with."
    judged = [track for track in results.tracks if track.reliable and track.offset_ms is not None]
    if not judged:
        if all(track.reliable is None for track in results.tracks):
            return "cannot_be_told", "Nobody has judged yet which of these offsets are reliable."
        return "cannot_be_told", "It cannot be told: no face has an offset that can be relied on."
    offsets = [track.offset_ms for track in judged if track.offset_ms is not None]
    lowest_ms, highest_ms = min(offsets), max(offsets)
    if highest_ms - lowest_ms > 2 * IN_SYNC_MS:
        return "steps", (
            f"One delay cannot mend this video: by face, the sound is between "
            f"{early_or_late(lowest_ms)} and {early_or_late(highest_ms)}."
        )
    offset_ms = _middle(judged)
    if abs(offset_ms) <= IN_SYNC_MS:
        return "in_sync", f"Sound and picture are in sync ({early_or_late(offset_ms)})."
    if offset_ms > 0:
        delay = milliseconds(offset_ms)
        return "early", f"The sound comes {delay} too early: delay it by {delay}."
    return "late", f"The sound comes {milliseconds(offset_ms)} too late: let it start that earlier."


def _middle(tracks: list[TrackResult]) -> float:
    """Median of the offsets, each as much as its track is long."""
    ordered = sorted(tracks, key=lambda track: track.offset_ms or 0.0)
    lengths_s = np.cumsum([track.end_s - track.start_s for track in ordered])
    return ordered[int(np.searchsorted(lengths_s, lengths_s[-1] / 2))].offset_ms or 0.0
