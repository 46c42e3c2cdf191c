"""What fit_answers prints: levels that others reach as often as wanted, and planted steps."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.evidence.limits import StepLevels
from tests.benchmarks import answers_kit as kit
from tests.benchmarks import fit_steps
from tests.benchmarks.fit_tracks import Piece, fit, rows
from tests.verdict_kit import constantly, talker

OTHER = Piece(100, False, False, False, False, False, 0.0, 0.0, 0.0, 0.0)
OWN = replace(OTHER, own=True, near_right=True, far_right=True, near_sure=True)


def test_levels_are_what_so_many_others_reach() -> None:
    """Of 1,000 others one may be claimed near and one far: those with the highest sums."""
    others = [replace(OTHER, far_lead=n / 250) for n in range(990)]  # up to 4
    near = [replace(OTHER, near_sure=True, near_lead=n / 10) for n in range(10)]
    made = [*others[:-10], *near, *(replace(piece, far_lead=3.9) for piece in others[-10:])]
    own = [replace(OWN, near_lead=n / 10, far_lead=n / 5) for n in range(40)]
    levels = fit([*made, *own])
    assert levels.sure_near == pytest.approx(0.9) and levels.sure_far == pytest.approx(4.0)
    assert sum(levels.near(piece) for piece in made) == 1
    assert sum(levels.far(piece) for piece in made) == 0  # ten are alike: all or none
    [(windows, count, near_share, far_share, own_share, _)] = rows([*made, *own], levels)
    assert (windows, count, near_share, far_share) == (100, 1000, pytest.approx(0.1), 0)
    assert own_share == pytest.approx(100 * 31 / 40)


def test_what_the_near_search_says_decides_where_the_lead_does_not() -> None:
    """The weight is the one that finds most; a claim that is wrong finds nothing."""
    others = [replace(OTHER, far_lead=3.0, far_surplus=-5.0) for _ in range(1000)]
    own = [replace(OWN, near_sure=False, far_lead=2.0, far_surplus=5.0) for _ in range(50)]
    levels = fit([*others, *own])
    assert levels.surplus_weight >= 0.2 and levels.right(own[0])
    assert not levels.right(replace(own[0], far_right=False))
    unmeasured = replace(OWN, near_lead=float("nan"), far_lead=float("nan"))
    assert levels.near(unmeasured) and not levels.far(unmeasured)


def test_a_planted_step_is_found_where_it_is() -> None:
    """Within a shot and at a cut; none is found where none was planted."""
    lips, sound = talker(500, constantly(2))
    source = kit.Source("one_0", lips, sound, 1.0, None)
    levels = StepLevels()
    for is_cut in (False, True):
        stepped = fit_steps._case(source, 250, is_cut=is_cut, later=5)
        assert stepped.at_s == 10.0 and stepped.cuts_s == ((10.0,) if is_cut else ())
        assert fit_steps._verdict(stepped, levels) == (True, True)
        moved = replace(stepped, at_s=14.0)
        assert fit_steps._verdict(moved, levels) == (True, False)
        plain = fit_steps._case(source, 250, is_cut=is_cut, later=0)
        assert plain.at_s is None and fit_steps._verdict(plain, levels) == (False, False)


def test_levels_of_steps_find_most_of_those_that_claim_none() -> None:
    """Costs that claim a step where none is are out; the cautious one of two alike is taken."""
    table = [
        [5.0, 2.0, 1.0, 95.0, 95.0, 2.0],
        [7.0, 3.0, 1.5, 85.0, 90.0, 0.4],
        [7.0, 4.0, 1.5, 85.0, 90.0, 0.0],
        [9.0, 4.0, 2.0, 70.0, 80.0, 0.0],
    ]
    assert fit_steps.fit(table) == StepLevels(7.0, 4.0, 1.5)
    assert fit_steps.fit(table[:1]) == StepLevels(5.0, 2.0, 1.0)


def test_strangers_are_of_different_videos_and_excerpts_lie_inside() -> None:
    random = np.random.default_rng(1)
    some = torch.arange(40)[:, None].float()
    sources = [kit.Source(name, some, some, 1.0, None) for name in ("a_0", "a_1", "b_0")]
    for _ in range(20):
        one, other = kit.strangers(sources, random)
        assert one.video != other.video
        part = kit.excerpt(some, 30, random)[:, 0]
        assert len(part) == 30 and (part.diff() == 1).all()
