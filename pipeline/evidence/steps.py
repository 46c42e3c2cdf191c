"""Where the offset of a sound jumps: the most probable sequence of offsets, block by block.

A jump costs so much that chance hardly ever pays for one (dynamic programming over all offsets and
blocks). A jump within a pause could be anywhere in it: where a cut is as good a place, it is there,
else around the second in which it most probably is.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.evidence.blocks import BLOCK_S, Evidence
from pipeline.evidence.limits import STEP_LEVELS, StepLevels
from pipeline.evidence.peak import Peak, peak

LEAST_STEP = 2  # frames: less is scatter
CUT_COST = 3.0  # log likelihood by which a cut may be the worse place
STEP_WITHIN_S = 1.0  # either way: so well the place of a step shall be known


@dataclass(frozen=True)
class Piece:
    """A stretch of one offset.

    Attributes:
        first, end: its blocks, [first, end).
        start_s, end_s: seconds of the video.
        peak: its offset.
    """

    first: int
    end: int
    start_s: float
    end_s: float
    peak: Peak


def pieces_of(
    evidence: Evidence,
    likelihood: np.ndarray,
    *,
    cuts_s: Sequence[float] = (),
    levels: StepLevels = STEP_LEVELS,
) -> list[Piece]:
    """Stretches of one offset each, that are reliable by themselves and differ.

    Args:
        evidence: of a clip or a video.
        likelihood: of it, see `likelihood.log_likelihood`.
        cuts_s: where the video is cut.
        levels: what a step takes.

    Returns:
        At least two; nothing where the offset does not step.
    """
    edges = _edges(_best_path(likelihood, _costs(evidence.times_s, cuts_s, levels)))
    while len(edges) > 2:
        peaks = [peak(evidence.part(slice(*edge))) for edge in itertools.pairwise(edges)]
        sure = [best is not None and best.leads_by(levels.least_lead) for best in peaks]
        weak = sure.index(False) if False in sure else None
        if weak is not None:  # it goes to the longer of its neighbours
            edges.pop(_weaker_edge(edges, weak))
            continue
        offsets = [best.offset_frames for best in peaks if best]
        alike = next(
            (n for n in range(1, len(offsets)) if abs(offsets[n] - offsets[n - 1]) < LEAST_STEP),
            None,
        )
        if alike is None:
            return _placed(evidence, likelihood, edges, [p for p in peaks if p], cuts_s)
        edges.pop(alike)
    return []


def gain(likelihood: np.ndarray, evidence: Evidence, pieces: Sequence[Piece]) -> float:
    """Log likelihood of the pieces, less what their steps cost."""
    columns = [piece.peak.offset_frames + evidence.largest for piece in pieces]
    total = sum(
        float(likelihood[piece.first : piece.end, column].sum())
        for piece, column in zip(pieces, columns, strict=True)
    )
    return total - STEP_LEVELS.cost * (len(pieces) - 1)


def _costs(times_s: np.ndarray, cuts_s: Sequence[float], levels: StepLevels) -> np.ndarray:
    """(blocks,) what a step before each block costs."""
    costs = np.full(len(times_s), levels.cost)
    after = np.searchsorted(times_s, cuts_s)
    costs[after[after < len(times_s)]] = levels.cost_at_cut
    return costs


def _best_path(likelihood: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """(blocks,) the column of each block, at a cost for every change (Viterbi)."""
    blocks, offsets = likelihood.shape
    came_from = np.empty((blocks, offsets), np.int16)
    total, stay = np.zeros(offsets), np.arange(offsets)
    for block in range(blocks):
        best = int(total.argmax())
        jumped = total[best] - costs[block]
        jumps = jumped > total
        came_from[block] = np.where(jumps, best, stay)
        total = np.where(jumps, jumped, total) + likelihood[block]
    path = np.empty(blocks, np.int64)
    column = int(total.argmax())
    for block in range(blocks - 1, -1, -1):
        path[block] = column
        column = int(came_from[block, column])
    return path


def _edges(path: np.ndarray) -> list[int]:
    """Where the path begins, changes and ends."""
    return [0, *(np.flatnonzero(np.diff(path)) + 1).tolist(), len(path)]


def _weaker_edge(edges: list[int], piece: int) -> int:
    """Which edge of a piece to take away: that towards its longer neighbour."""
    if piece == 0:
        return 1
    if piece == len(edges) - 2:
        return piece
    before, after = edges[piece] - edges[piece - 1], edges[piece + 2] - edges[piece + 1]
    return piece if before >= after else piece + 1


def _placed(
    evidence: Evidence,
    likelihood: np.ndarray,
    edges: list[int],
    peaks: list[Peak],
    cuts_s: Sequence[float],
) -> list[Piece]:
    """The pieces, each step where it is most probable."""
    edges, columns = list(edges), [best.offset_frames + evidence.largest for best in peaks]
    steps_s = []
    for number in range(1, len(edges) - 1):
        first, end = edges[number - 1], edges[number + 1]
        gained = likelihood[first:end, columns[number - 1]] - likelihood[first:end, columns[number]]
        # gains[i]: of a step before block first + 1 + i.
        gains = np.cumsum(gained)[:-1]
        edges[number] = first + 1 + int(gains.argmax())
        step_s, edges[number] = _at_cut(evidence, gains, first=first, cuts_s=cuts_s)
        steps_s.append(step_s)
    bounds_s = [
        float(evidence.times_s[0]) - BLOCK_S / 2,
        *steps_s,
        float(evidence.times_s[-1]) + BLOCK_S / 2,
    ]
    return [
        Piece(edges[n], edges[n + 1], bounds_s[n], bounds_s[n + 1], best)
        for n, best in enumerate(peaks)
    ]


def _at_cut(
    evidence: Evidence, gains: np.ndarray, *, first: int, cuts_s: Sequence[float]
) -> tuple[float, int]:
    """When a step is, and before which block: at a cut that is nearly as good a place as any."""
    best, times_s = int(gains.argmax()), evidence.times_s
    at_cuts = [(int(np.searchsorted(times_s, cut_s)) - first - 1, cut_s) for cut_s in cuts_s]
    good = [
        (float(gains[before]), cut_s, before)
        for before, cut_s in at_cuts
        if 0 <= before < len(gains) and gains[before] >= gains[best] - CUT_COST
    ]
    if good:
        _, cut_s, before = max(good)
        return cut_s, first + 1 + before
    step_s = _most_probable_s(times_s[first : first + len(gains) + 1], gains)
    return step_s, int(np.searchsorted(times_s, step_s))


def _most_probable_s(times_s: np.ndarray, gains: np.ndarray) -> float:
    """The mean of where a step may be within the stretch that most probably holds it.

    Args:
        times_s: (n + 1,) of the blocks.
        gains: (n,) log likelihood of a step between one block and the next.
    """
    between_s = (times_s[:-1] + times_s[1:]) / 2
    probable = np.exp(gains - gains.max())
    starts = np.searchsorted(between_s, between_s - STEP_WITHIN_S)
    ends = np.searchsorted(between_s, between_s + STEP_WITHIN_S, side="right")
    total = np.concatenate([[0], np.cumsum(probable)])
    most = int((total[ends] - total[starts]).argmax())
    around = slice(starts[most], ends[most])
    return float(np.average(between_s[around], weights=probable[around]))
