"""Steps planted into tracks that have none, and what a step must take for chance not to make one.

What `fit_answers` fits for steps: the cost of one, that at a cut, and the lead of each piece
(pipeline/evidence/limits.py). Clips as they are, and strangers' sound, say how often chance makes a
step; the same clips with a sound that is 200 ms later from some moment on, how many are found.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from models.features import FRAME_RATE
from pipeline.evidence.blocks import Evidence, evidence_of, joined
from pipeline.evidence.likelihood import log_likelihood
from pipeline.evidence.limits import StepLevels
from pipeline.evidence.steps import pieces_of
from pipeline.sync.scorer import SyncScorer
from tests.benchmarks import answers_kit as kit

LATER_FRAMES = 5  # 200 ms
LEAST_WINDOWS = 170  # before and after a step
COSTS, COSTS_AT_CUT, LEADS = (5.0, 7.0, 9.0), (2.0, 3.0, 4.0), (1.0, 1.5, 2.0)
MOST_CLAIMED = 0.005  # of clips without a step, and of strangers'
NEAR_S, NEAR_FRAMES = 1.0, 1.5  # so well its place and its size must be known


@dataclass(frozen=True)
class Case:
    """A clip with a step or without.

    Attributes:
        evidence: of it.
        likelihood: of the evidence.
        cuts_s: where it is cut, seconds.
        at_s: where its step is; None: it has none.
    """

    evidence: Evidence
    likelihood: np.ndarray
    cuts_s: tuple[float, ...] = ()
    at_s: float | None = None


def cases(
    sources: Sequence[kit.Source], scorer: SyncScorer, *, strangers: int, seed: int
) -> list[Case]:
    """Every clip that is long enough four times: with and without a step, and with a cut or none.

    Args:
        sources: clips.
        scorer: of the network that embedded them.
        strangers: how many more with somebody else's sound.
        seed: of everything random.
    """
    random = np.random.default_rng(seed)
    long = [source for source in sources if len(source.lips) > 2 * LEAST_WINDOWS]
    made: list[Case] = []
    for source in long:
        sync = kit.near(scorer, source)
        if sync and sync.reliable:
            at = int(random.integers(LEAST_WINDOWS, len(source.lips) - LEAST_WINDOWS + 1))
            made += [
                _case(source, at, is_cut=is_cut, later=later)
                for is_cut, later in itertools.product((False, True), (0, LATER_FRAMES))
            ]
    for _ in range(strangers):
        one, other = kit.strangers(long, random)
        windows = min(len(one.lips), len(other.lips))
        evidence = evidence_of(one.lips[:windows], other.sound[:windows], np.ones(windows, bool))
        made.append(Case(evidence, log_likelihood(evidence)))
    return made


def _case(source: kit.Source, at: int, *, is_cut: bool, later: int) -> Case:
    """A clip whose sound is later by so many frames from window `at` on."""
    windows, at_s = len(source.lips), at / FRAME_RATE
    sound = torch.cat([source.sound[:at], source.sound[at - later : windows - later]])
    parts = [slice(0, at), slice(at, windows)] if is_cut else [slice(0, windows)]
    evidence = []
    for part in parts:
        has_sound = np.ones(part.stop - part.start, bool)
        if part.start:  # what is moved into a shot begins with nothing
            has_sound[:later] = False
        start_s = part.start / FRAME_RATE
        evidence.append(evidence_of(source.lips[part], sound[part], has_sound, start_s=start_s))
    whole = joined(evidence)
    cuts_s = (at_s,) if is_cut else ()
    return Case(whole, log_likelihood(whole), cuts_s, at_s if later else None)


def _verdict(case: Case, levels: StepLevels) -> tuple[bool, bool]:
    """A step is claimed; it is the one that was planted."""
    pieces = pieces_of(case.evidence, case.likelihood, cuts_s=case.cuts_s, levels=levels)
    if len(pieces) != 2 or case.at_s is None:
        return bool(pieces), False
    size = pieces[1].peak.offset_ms - pieces[0].peak.offset_ms
    wrong_frames = abs(size * FRAME_RATE / 1000 + LATER_FRAMES)
    is_there = abs(pieces[1].start_s - case.at_s) <= NEAR_S
    return True, is_there and wrong_frames <= NEAR_FRAMES


def rows(made: Sequence[Case]) -> list[list[float]]:
    """By levels: costs and lead; found within a shot, found at a cut, claimed where none is, %."""
    table = []
    for cost, at_cut, lead in itertools.product(COSTS, COSTS_AT_CUT, LEADS):
        levels = StepLevels(cost, at_cut, lead)
        said = [(case, *_verdict(case, levels)) for case in made]
        within = [found for case, _, found in said if case.at_s is not None and not case.cuts_s]
        at_cuts = [found for case, _, found in said if case.at_s is not None and case.cuts_s]
        without = [claimed for case, claimed, _ in said if case.at_s is None]
        shares = [100 * float(np.mean(part)) for part in (within, at_cuts, without)]
        table.append([cost, at_cut, lead, *shares])
    return table


def fit(table: Sequence[Sequence[float]]) -> StepLevels:
    """The levels that find most steps of those that hardly ever claim one where none is."""
    allowed = [row for row in table if row[5] <= 100 * MOST_CLAIMED]
    best = max(allowed or table, key=lambda row: (row[3] + row[4], row[0] + row[1] + row[2]))
    return StepLevels(*best[:3])
