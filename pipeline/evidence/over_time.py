"""How an offset behaves over time: constant, in steps, or drifting; whichever is most probable."""

import itertools
from collections.abc import Sequence

from pipeline.evidence import drift, steps
from pipeline.evidence.blocks import BLOCK_S, Evidence
from pipeline.evidence.likelihood import log_likelihood
from pipeline.evidence.limits import LEAST_DRIFT_LEAD
from pipeline.evidence.parts import Drift, OverTime, Part, Step
from pipeline.evidence.peak import peak


def constant(start_s: float, end_s: float, offset_ms: float) -> OverTime:
    """One reliable offset all along."""
    return OverTime("constant", (_part(start_s, end_s, offset_ms),))


def over_time(evidence: Evidence, *, cuts_s: Sequence[float] = ()) -> OverTime | None:
    """How the offset behaves.

    Args:
        evidence: of a track or a video.
        cuts_s: where the video is cut, seconds.

    Returns:
        None where nothing is reliable.
    """
    best = peak(evidence)
    if best is None:
        return None
    likelihood = log_likelihood(evidence)
    pieces = steps.pieces_of(evidence, likelihood, cuts_s=cuts_s)
    stepping = steps.gain(likelihood, evidence, pieces) if pieces else None
    line = drift.line_through(evidence, likelihood)
    start_s = float(evidence.times_s[0]) - BLOCK_S / 2
    end_s = float(evidence.times_s[-1]) + BLOCK_S / 2
    drifts = line is not None and line.is_sure and line.peak.leads_by(LEAST_DRIFT_LEAD)
    if line and drifts and (stepping is None or line.likelihood >= stepping):
        return _drifting(line, start_s, end_s)
    if pieces:
        return _stepping(pieces)
    return constant(start_s, end_s, best.offset_ms) if best.reliable else None


def _drifting(line: drift.Line, start_s: float, end_s: float) -> OverTime:
    low, high = line.interval_ms_per_min
    drifting = Drift(
        offset_ms_at_start=round(line.offset_ms_at_start, 1),
        ms_per_min=round(line.ms_per_min, 2),
        interval_ms_per_min=(round(low, 2), round(high, 2)),
    )
    middle = _part(start_s, end_s, drifting.offset_ms((start_s + end_s) / 2))
    return OverTime("drift", (middle,), drift=drifting)


def _stepping(pieces: Sequence[steps.Piece]) -> OverTime:
    parts = tuple(_part(piece.start_s, piece.end_s, piece.peak.offset_ms) for piece in pieces)
    jumps = tuple(
        Step(later.start_s, earlier.offset_ms, later.offset_ms)
        for earlier, later in itertools.pairwise(parts)
        if earlier.offset_ms is not None and later.offset_ms is not None
    )
    return OverTime("step", parts, steps=jumps)


def _part(start_s: float, end_s: float, offset_ms: float) -> Part:
    return Part(round(start_s, 3), round(end_s, 3), round(offset_ms, 1), True)
