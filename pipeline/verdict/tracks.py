"""What one track says: its offset, how that behaves, and why there is none."""

from dataclasses import dataclass

import numpy as np

from models.calibration import Calibration
from models.features import FRAME_RATE
from pipeline.evidence.blocks import LARGEST_OFFSET, Evidence, evidence_of
from pipeline.evidence.over_time import constant, over_time
from pipeline.evidence.parts import OverTime
from pipeline.sync.embedded import Embedded
from pipeline.sync.scorer import ClipScore
from pipeline.verdict import reasons
from pipeline.verdict.answer import Answer, answer, surplus_of
from pipeline.verdict.traits import NO_SOUND, lip_variation
from pipeline.verdict.video import Reason


@dataclass(frozen=True)
class JudgedTrack:
    """What one track says.

    Attributes:
        track: its number.
        start_s, end_s: when it is on screen.
        answer: its offset; None where there was nothing to compare.
        over_time: how that behaves; None where it is not reliable.
        reason: why it is not reliable; None where it is.
        evidence: of its clip.
    """

    track: int
    start_s: float
    end_s: float
    answer: Answer | None
    over_time: OverTime | None
    reason: Reason | None
    evidence: Evidence

    @property
    def reliable(self) -> bool:
        """It has an offset that can be acted on."""
        return bool(self.answer and self.answer.reliable)


def judge(
    track: int,
    embedded: Embedded,
    score: ClipScore,
    *,
    start_s: float,
    face_px: float | None = None,
    cancels: bool = False,
    calibration: Calibration | None = None,
) -> JudgedTrack:
    """What the embedded clip of a track says beyond its score.

    Args:
        track: its number.
        embedded, score: of its clip.
        start_s: when it begins in the video.
        face_px: size of the face in the video; None where it is not known.
        cancels: the channels of the video's sound cancel each other.
        calibration: of the network, where it has one.
    """
    end_s = start_s + embedded.frames / FRAME_RATE
    evidence = evidence_of(
        embedded.lips,
        embedded.sound,
        _telling(embedded),
        start_s=start_s,
        late_s=embedded.picture_late_s,
        track=track,
        largest=max(LARGEST_OFFSET, score.dists.shape[1] // 2),
    )
    surplus = surplus_of(embedded, calibration)
    best = answer(score.sync, evidence, surplus) if score.sync else None
    behaviour = _behaviour(best, evidence, start_s=start_s, end_s=end_s)
    reason = None
    if not (best and best.reliable) and behaviour is None:
        signs = reasons.Signs(
            seconds=np.count_nonzero(embedded.has_sound) / FRAME_RATE,
            sound=embedded.sound_traits if embedded.samples else NO_SOUND,
            lip_variation=lip_variation(embedded.lips),
            face_px=face_px,
            cancels=cancels,
        )
        reason = reasons.of_track(track, signs)
    return JudgedTrack(track, start_s, end_s, best, behaviour, reason, evidence)


def _telling(embedded: Embedded) -> np.ndarray:
    """(windows,) bool: those with sound that is no long silence."""
    if embedded.is_silent is None:
        return embedded.has_sound
    return embedded.has_sound & ~embedded.is_silent


def _behaviour(
    best: Answer | None, evidence: Evidence, *, start_s: float, end_s: float
) -> OverTime | None:
    """How the offset of a track behaves: it changes, or else is the answer all along."""
    behaviour = over_time(evidence) if len(evidence) else None
    if behaviour and behaviour.kind != "constant":
        return behaviour
    return constant(start_s, end_s, best.offset_ms) if best and best.reliable else None
