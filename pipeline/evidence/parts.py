"""Offsets over the length of a track or a video, as plain values."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["constant", "step", "drift"]


@dataclass(frozen=True)
class Part:
    """A stretch of the video with one offset.

    Attributes:
        start_s, end_s: seconds of the video.
        offset_ms: by how much the sound leads (> 0) or lags (< 0); None where it cannot be told.
        reliable: the offset can be acted on.
    """

    start_s: float
    end_s: float
    offset_ms: float | None
    reliable: bool


@dataclass(frozen=True)
class Drift:
    """An offset that changes steadily: `offset_ms_at_start + ms_per_min * t_s / 60` at `t_s`.

    Attributes:
        offset_ms_at_start: at second 0 of the video.
        ms_per_min: its slope, milliseconds per minute.
        interval_ms_per_min: lowest and highest slope, 95 % confidence.
    """

    offset_ms_at_start: float
    ms_per_min: float
    interval_ms_per_min: tuple[float, float]

    def offset_ms(self, at_s: float) -> float:
        """The offset at a second of the video."""
        return self.offset_ms_at_start + self.ms_per_min * at_s / 60


@dataclass(frozen=True)
class Step:
    """A jump of the offset.

    Attributes:
        at_s: when, seconds of the video.
        from_ms, to_ms: the offset before and after it.
    """

    at_s: float
    from_ms: float
    to_ms: float


@dataclass(frozen=True)
class OverTime:
    """The offset of a track or a video over its length.

    Attributes:
        kind: constant, step (one or more) or drift.
        pieces: stretches of one offset; where it drifts one, with that of its middle.
        steps: between the pieces.
        drift: None unless it drifts.
    """

    kind: Kind
    pieces: tuple[Part, ...]
    steps: tuple[Step, ...] = ()
    drift: Drift | None = None

    def row(self) -> dict[str, Any]:
        """The form in offsets.json."""
        low_high = list(self.drift.interval_ms_per_min) if self.drift else None
        return {
            "kind": self.kind,
            "pieces": [asdict(piece) for piece in self.pieces],
            "steps": [asdict(step) for step in self.steps],
            "drift_ms_per_min": self.drift.ms_per_min if self.drift else None,
            "drift_interval_ms_per_min": low_high,
        }
