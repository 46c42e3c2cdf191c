"""From the tracks of a video to its verdict."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.evidence.blocks import joined
from pipeline.evidence.over_time import constant, over_time
from pipeline.evidence.parts import OverTime, Part
from pipeline.evidence.peak import peak
from pipeline.verdict import reasons, sentences
from pipeline.verdict.standards import IN_SYNC_MS, grades
from pipeline.verdict.tracks import JudgedTrack
from pipeline.verdict.video import Shot, Verdict, VideoVerdict

AGREE_MS = 60.0  # offsets of tracks no further apart are one
FEW_TRACKS = 3  # among so few a single reliable one is no chance


def decide(
    reference: str,
    tracks: Sequence[JudgedTrack],
    *,
    shots_s: Sequence[tuple[float, float]],
    end_s: float,
    settings: dict[str, Any],
) -> VideoVerdict:
    """The verdict of a video.

    Args:
        reference: name of its results.
        tracks: all of them.
        shots_s: [start, end) of its shots, seconds.
        end_s: its length.
        settings: how the tracks were scored.
    """
    behaviour = _behaviour(tracks, cuts_s=[start for start, _ in shots_s[1:]])
    parts = _whole(behaviour, end_s) if behaviour else ()
    drift = behaviour.drift if behaviour else None
    offset_ms = _main_offset_ms(parts)
    why = [track.reason for track in tracks if track.reason]
    if behaviour is None:
        why.append(reasons.of_video(why))
    verdict = _named(behaviour, offset_ms)
    extremes_ms = [part.offset_ms for part in parts if part.offset_ms is not None]
    if drift:
        extremes_ms = [drift.offset_ms(0.0), drift.offset_ms(end_s)]
    return VideoVerdict(
        reference=reference,
        verdict=verdict,
        sentence=sentences.of(verdict, parts, drift, why),
        offset_ms=offset_ms,
        reliable=behaviour is not None,
        standards=grades(extremes_ms),
        parts=parts,
        drift=drift,
        shots=_shots(tracks, shots_s or [(0.0, end_s)]),
        reasons=tuple(why),
        settings=settings,
    )


def _behaviour(tracks: Sequence[JudgedTrack], *, cuts_s: Sequence[float]) -> OverTime | None:
    """The offset of all tracks together over the video; None where it cannot be told."""
    telling = [track for track in tracks if len(track.evidence)]
    if len(telling) == 1:
        return telling[0].over_time
    if not telling:
        return None
    together = over_time(joined([track.evidence for track in telling]), cuts_s=cuts_s)
    return together or _voted(telling)


def _voted(tracks: Sequence[JudgedTrack]) -> OverTime | None:
    """The offset that reliable tracks agree on, where listeners drown it in the sum."""
    answers = [(track, track.answer) for track in tracks if track.answer and track.reliable]
    if not answers:
        return None
    offsets_ms = np.array([answer.offset_ms for _, answer in answers])
    lengths_s = np.array([track.end_s - track.start_s for track, _ in answers])
    near = np.abs(offsets_ms[:, None] - offsets_ms) <= AGREE_MS
    votes = near @ lengths_s
    chosen = near[int(votes.argmax())]
    agreed = votes.max() > lengths_s.sum() / 2
    if not agreed or (np.count_nonzero(chosen) < 2 and len(tracks) > FEW_TRACKS):
        return None
    offset_ms = float(np.average(offsets_ms[chosen], weights=lengths_s[chosen]))
    return constant(tracks[0].start_s, tracks[-1].end_s, offset_ms)


def _whole(behaviour: OverTime, end_s: float) -> tuple[Part, ...]:
    """The pieces, the first from the start of the video, the last to its end."""
    pieces = list(behaviour.pieces)
    pieces[0] = replace(pieces[0], start_s=0.0)
    pieces[-1] = replace(pieces[-1], end_s=round(end_s, 3))
    if behaviour.drift:
        middle_ms = round(behaviour.drift.offset_ms(end_s / 2), 1)
        pieces[0] = replace(pieces[0], offset_ms=middle_ms)
    return tuple(pieces)


def _main_offset_ms(parts: Sequence[Part]) -> float | None:
    """That of the longest part."""
    if not parts:
        return None
    return max(parts, key=lambda part: part.end_s - part.start_s).offset_ms


def _named(behaviour: OverTime | None, offset_ms: float | None) -> Verdict:
    if behaviour is None or offset_ms is None:
        return "cannot_be_told"
    if behaviour.kind == "drift":
        return "drifts"
    if behaviour.kind == "step":
        return "steps"
    if abs(offset_ms) <= IN_SYNC_MS:
        return "in_sync"
    return "early" if offset_ms > 0 else "late"


def _shots(
    tracks: Sequence[JudgedTrack], shots_s: Sequence[tuple[float, float]]
) -> tuple[Shot, ...]:
    """The shots with a face, each by its own faces."""
    shots = []
    for start_s, end_s in shots_s:
        inside = [t for t in tracks if start_s <= (t.start_s + t.end_s) / 2 < end_s]
        if inside:
            offset_ms = _offset_of_shot(inside)
            numbers = tuple(track.track for track in inside)
            rounded = None if offset_ms is None else round(offset_ms, 1)
            reliable = offset_ms is not None
            shots.append(Shot(round(start_s, 3), round(end_s, 3), rounded, reliable, numbers))
    return tuple(shots)


def _offset_of_shot(tracks: Sequence[JudgedTrack]) -> float | None:
    """None where its tracks do not tell, or tell of several offsets."""
    if any(track.over_time and track.over_time.kind == "step" for track in tracks):
        return None
    if len(tracks) > 1:
        evidence = [track.evidence for track in tracks if len(track.evidence)]
        best = peak(joined(evidence)) if evidence else None
        if best and best.reliable:
            return best.offset_ms
    voted = _voted(tracks)
    return voted.pieces[0].offset_ms if voted else None
