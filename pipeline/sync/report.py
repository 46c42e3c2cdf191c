"""Scores of tracks as people and programs read them: words, tables and rows of JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.weights import WeightsFile
from pipeline.evidence.parts import OverTime
from pipeline.sync.offset import Sync
from pipeline.sync.scorer import ClipScore, SyncModel
from pipeline.verdict.answer import Answer
from pipeline.verdict.video import Reason


@dataclass(frozen=True)
class TrackScore:
    """The score of one track.

    Attributes:
        track: its number.
        start_s, end_s: when it is on screen.
        clip: the score of its clip.
        speech_s: (start, end) of when it speaks, seconds of the video; empty until all tracks are
            scored, as faces are compared for it.
        reliable_from: confidence and margin of an offset that has proved right, by name.
        weights: of the network.
        answer: the offset that users are told; None where there was nothing to compare.
        over_time: how it behaves; None where it is not reliable.
        reason: why it is not reliable; None where it is.
    """

    track: int
    start_s: float
    end_s: float
    clip: ClipScore
    speech_s: tuple[tuple[float, float], ...]
    reliable_from: dict[str, float]
    weights: WeightsFile
    answer: Answer | None = None
    over_time: OverTime | None = None
    reason: Reason | None = None

    @property
    def sync(self) -> Sync | None:
        """What the near search measured; None where there was nothing to compare."""
        return self.clip.sync

    @property
    def dists(self) -> np.ndarray:
        """(windows, shifts) float32 distances of lips and sound."""
        return self.clip.dists

    @property
    def warning(self) -> str | None:
        """What to know before reading the score; None where nothing."""
        return self.clip.warning

    @property
    def offset_frames(self) -> int | None:
        """By how many frames of 40 ms the sound leads (> 0) or lags (< 0)."""
        best = self.answer or self.sync
        return best.offset_frames if best else None

    @property
    def offset_ms(self) -> float | None:
        """The same in milliseconds, below one frame's resolution."""
        best = self.answer or self.sync
        return best.offset_ms if best else None

    @property
    def min_dist(self) -> float | None:
        """Smallest mean distance; small when lips and sound match."""
        return self.sync.min_dist if self.sync else None

    @property
    def confidence(self) -> float | None:
        """Median minus smallest mean distance; large when one shift stands out."""
        return self.sync.confidence if self.sync else None

    @property
    def probability(self) -> float | None:
        """That the offset is right within a frame; None where no calibration says so."""
        return self.sync.probability if self.sync and not self.is_wide else None

    @property
    def at_search_edge(self) -> bool | None:
        """The offset is the largest that was searched, so no measurement."""
        return self.sync.at_search_edge and not self.is_wide if self.sync else None

    @property
    def is_wide(self) -> bool:
        """The search of five seconds decided."""
        return bool(self.answer and self.answer.search == "wide")

    @property
    def reliable(self) -> bool:
        """The offset can be relied on."""
        best = self.answer or self.sync
        return bool(best and best.reliable)


def demo_words(score: ClipScore, weights_file: WeightsFile, *, framewise: bool = False) -> str:
    """One clip's result as the SyncNet demo prints it, below its name and the weights'.

    Args:
        score: of the clip.
        weights_file: the weights.
        framewise: with the confidence of every frame, as the demo has it.
    """
    lines = [f"{score.file} ({weights_file.file})", *([score.warning] if score.warning else [])]
    if sync := score.sync:
        if framewise:
            with np.printoptions(formatter={"float": "{: 0.3f}".format}):
                lines.append(f"Framewise conf: \n{sync.framewise}")
        lines.append(f"AV offset: \t{sync.offset_frames} \nMin dist: \t{sync.min_dist:.3f}")
        lines.append(f"Confidence: \t{sync.confidence:.3f}")
    return "\n".join(lines)


def table(scores: Sequence[TrackScore]) -> list[str]:
    """One line per track for people: when, offset, confidence, reliable, speaks."""
    lines = ["track          time (s)          offset  confidence  reliable  speaks"]
    for score in scores:
        start = f"{score.track:5d}  {score.start_s:8.2f} - {score.end_s:8.2f}"
        if score.sync is None:
            lines.append(f"{start}  {score.warning}")
            continue
        offset = f"{score.offset_frames:+3d} ({score.offset_ms:+6.0f} ms)"
        reliable = "yes" if score.reliable else "no"
        lines.append(
            f"{start}  {offset}  {score.sync.confidence:10.3f}  {reliable:>8}  {_speaks(score):>6}"
        )
    return lines


def threshold(model: SyncModel) -> list[str]:
    """From which confidence offsets are reliable, of weights that go by it, as a line.

    A calibration looks at more than the confidence, and without either nothing is reliable.
    """
    if not model.is_calibrated or model.rule["calibration"] is not None:
        return []
    least, name = model.reliable_from["reliable_confidence"], model.weights_file.file
    return [f"Offsets by {name} begin to be reliable at a confidence of {least:g}."]


def _speaks(score: TrackScore) -> str:
    """Share of the track's time in which it speaks."""
    speech_s = sum(end - start for start, end in score.speech_s)
    length_s = score.end_s - score.start_s
    return f"{100 * speech_s / length_s:.0f} %" if length_s else "0 %"


def offsets_text(scores: Sequence[TrackScore]) -> str:
    """The demo's table: tab-separated file, offset in frames, confidence."""
    lines = ["FILENAME\tOFFSET\tCONF"]
    lines += [
        f"{score.clip.file}\t{score.sync.offset_frames if score.sync else 0:d}\t"
        f"{score.confidence or 0.0:.3f}"
        for score in scores
    ]
    return "\n".join(lines) + "\n"


def row(score: TrackScore) -> dict[str, Any]:
    """One track in offsets.json; docs/formats.md says what each field is."""
    sync = score.sync
    return {
        "track": score.track,
        "file": score.clip.file,
        "start_s": score.start_s,
        "end_s": score.end_s,
        "search": score.answer.search if score.answer else None,
        "offset_frames": score.offset_frames,
        "offset_ms": _rounded(score.offset_ms, 1),
        "min_dist": score.min_dist,
        "confidence": score.confidence,
        "margin": sync.margin if sync else None,
        "at_search_edge": score.at_search_edge,
        "probability": _rounded(score.probability, 4),
        "reliable": score.reliable,
        "drift_ms_per_min": sync.drift_ms_per_min if sync else None,
        "over_time": score.over_time.row() if score.over_time else None,
        "lse_d": score.min_dist,
        "lse_c": score.confidence,
        "weights": score.weights.file,
        "weights_sha256": score.weights.sha256,
        "warning": score.warning,
        "reason": _reason_row(score.reason),
        **score.reliable_from,
    }


def _reason_row(reason: Reason | None) -> dict[str, str] | None:
    if reason is None:
        return None
    return {"code": reason.code, "text": reason.text, "advice": reason.advice}


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
