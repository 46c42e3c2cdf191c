"""A video's verdict to what is done with its sound: moved, from when on, and re-timed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.errors import PipelineError
from pipeline.verdict.video import Part, VideoVerdict

STAYS_MS = 5.0  # nobody notices less, and encoding the sound anew would cost more
JOIN_MS = 20.0  # stretches whose offsets differ by less are moved as one: half a frame


@dataclass(frozen=True)
class Move:
    """A move of the sound.

    Attributes:
        start_s: from when on, seconds of the video; the first move holds before that, too.
        delay_s: by how much the sound comes later; below 0 it comes earlier.
    """

    start_s: float
    delay_s: float


@dataclass(frozen=True)
class Plan:
    """What is done with the sound: it is moved, then played faster or slower from second 0 on.

    Attributes:
        moves: in order, the first at second 0.
        speed: of the sound, 1 where it does not drift; above 1 it is shortened.
    """

    moves: tuple[Move, ...]
    speed: float = 1.0

    @property
    def stays(self) -> bool:
        """The sound is where it should be already."""
        return self.speed == 1 and all(abs(move.delay_s) * 1000 <= STAYS_MS for move in self.moves)

    def report(self) -> Iterator[str]:
        """Sentences for the user."""
        if self.stays:
            yield "The sound stays where it is: it is in sync within 5 ms."
            return
        for move in self.moves:
            start = f"From {move.start_s:.2f} s on the" if len(self.moves) > 1 else "The"
            word = "later" if move.delay_s >= 0 else "earlier"
            yield f"{start} sound comes {abs(move.delay_s) * 1000:.0f} ms {word}."
        if self.speed != 1:
            word = "faster" if self.speed > 1 else "slower"
            yield f"It is played {abs(self.speed - 1) * 100:.4f} % {word}, as it drifts."


def make_plan(verdict: VideoVerdict, *, per_shot: bool) -> Plan:
    """Says how the sound of a video is put right.

    Args:
        verdict: of the video.
        per_shot: every shot with a reliable offset by its own; else the video's offset, its steps
            or its drift.

    Raises:
        PipelineError: there is no reliable offset.
    """
    shots = [shot for shot in verdict.shots if shot.reliable and shot.offset_ms is not None]
    if per_shot and shots:
        return _moves(_filled(shots, verdict))
    if not verdict.reliable or not any(part.reliable for part in verdict.parts):
        raise PipelineError(
            f"Nothing is corrected, as no offset of {verdict.reference} is reliable: "
            f"{verdict.sentence}"
        )
    if verdict.drift is not None:
        first = Move(0.0, verdict.drift.offset_ms_at_start / 1000)
        return Plan((first,), speed=1 - verdict.drift.ms_per_min / 60_000)
    return _moves(_filled([part for part in verdict.parts if part.reliable], verdict))


def _filled(reliable: Sequence[Part], verdict: VideoVerdict) -> list[Part]:
    """Stretches from the start of the video to its end: what lies between reliable ones, too.

    There the video's own offset holds, and that of the stretch before where it has none.
    """
    parts = sorted(reliable, key=lambda part: part.start_s)
    whole_end_s = max(part.end_s for part in (*verdict.parts, *parts))
    filled: list[Part] = []
    end_s = 0.0
    for part in (*parts, None):
        start_s = part.start_s if part else whole_end_s
        if start_s > end_s:
            nearest = filled[-1] if filled else parts[0]
            filled.append(Part(end_s, start_s, _offset_ms(verdict, end_s, start_s, nearest), True))
        if part:
            filled.append(part)
            end_s = max(end_s, part.end_s)
    return filled


def _offset_ms(verdict: VideoVerdict, start_s: float, end_s: float, nearest: Part) -> float | None:
    middle_s = (start_s + end_s) / 2
    if verdict.drift is not None:
        return verdict.drift.offset_ms(middle_s)
    for part in verdict.parts:
        if part.reliable and part.start_s <= middle_s < part.end_s:
            return part.offset_ms
    return nearest.offset_ms


def _moves(parts: Sequence[Part]) -> Plan:
    """One move for neighbours whose offsets are about the same: the mean by their lengths."""
    groups: list[tuple[float, float, float]] = []  # start, seconds, milliseconds
    for part in parts:
        seconds, offset_ms = part.end_s - part.start_s, part.offset_ms or 0.0
        if groups and abs(groups[-1][2] - offset_ms) < JOIN_MS:
            start_s, before_s, mean_ms = groups[-1]
            total_s = before_s + seconds
            mean_ms += (offset_ms - mean_ms) * (seconds / total_s if total_s else 0.0)
            groups[-1] = (start_s, total_s, mean_ms)
        else:
            groups.append((part.start_s, seconds, offset_ms))
    return Plan(tuple(Move(start_s, offset_ms / 1000) for start_s, _, offset_ms in groups))
