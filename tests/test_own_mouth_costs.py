"""What each own mouth costs on each frame, and each step between two, by numbers made by hand."""

import numpy as np
import pytest

from pipeline.texture import selection
from pipeline.texture.selection import Hearing, Proposals, Weights
from pipeline.texture.traits import Traits
from tests.texture_kit import traits_of

DEAF = Hearing(np.zeros(0), np.zeros(0), 0.0, np.zeros(0), 0.0)
BLANK = Proposals(np.zeros(3), 1.0, np.zeros(1))


def _column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def _cost(
    frames: Traits,
    own: Traits,
    weights: Weights,
    *,
    hearing: Hearing = DEAF,
    proposals: Proposals = BLANK,
) -> np.ndarray:
    unit = selection.scales(own)
    return selection.showing(
        frames, own, unit, proposals=proposals, hearing=hearing, weights=weights
    )


def test_pose_and_surroundings_cost_their_weight_in_their_own_medians() -> None:
    """Half of the squared distances is nought, half 4 or 16: medians are 2 and 8."""
    own = traits_of(4, pose=_column(0, 0, 2, 2), surroundings=_column(0, 4, 0, 4))
    frame = traits_of(1, pose=_column(0), surroundings=_column(0), times_s=np.zeros(1))
    weights = Weights(0.0, pose=3.0, surroundings=5.0)
    np.testing.assert_allclose(_cost(frame, own, weights)[0], [0, 10, 6, 16], rtol=1e-6)


@pytest.mark.parametrize("unit", [1, 1000])
def test_sound_and_lips_cost_the_same_in_any_unit(unit: float) -> None:
    """Twice their weight, as their median is half of the larger distance."""
    heard = _column(0, 0, 10, 10) * unit
    own = traits_of(4, sound=heard, lips=heard[[0, 2, 1, 3]])
    frame = traits_of(1, sound=_column(0), times_s=np.zeros(1))
    weights = Weights(0.0, sound=1.5, lips=2.5, pose=0.0, surroundings=0.0, opening=0.0)
    np.testing.assert_allclose(_cost(frame, own, weights)[0], [0, 5, 3, 8], rtol=1e-6)


def test_medians_are_of_own_mouths_from_all_of_a_track() -> None:
    """Four hundred, of which the first half does not move."""
    own = traits_of(400, shape=np.repeat(_column(0, 10), 200, axis=0))
    assert selection.scales(own).shape == 50


@pytest.mark.parametrize("count", [selection.LEAST_PAUSES - 1, selection.LEAST_PAUSES])
def test_a_closed_mouth_is_known_from_enough_pauses(count: int) -> None:
    """From fewer it may be a noise; then the generator's shape decides, here an open one."""
    own = traits_of(40, shape=np.repeat(_column(0, 5), 20, axis=0), pause=np.arange(40) < count)
    frame = traits_of(1, shape=_column(5), times_s=np.zeros(1), pause=np.ones(1, bool))
    proposals = Proposals(np.full(1, 2.5), 1.0, np.zeros(1))
    weights = Weights(shape=3.0)
    cost = _cost(frame, own, weights, proposals=proposals)[0]
    closed, opened = cost[:20], cost[20:]
    known = count >= selection.LEAST_PAUSES
    # Their median is half of 25.
    assert closed == pytest.approx(0 if known else 6) and opened == pytest.approx(6 if known else 0)


def test_a_wrong_opening_costs_its_weight_as_far_as_hearing_is_trusted() -> None:
    """In twice the variance of own openings, which is a quarter here."""
    own = traits_of(4, opening=np.array([0, 1, 0, 1], np.float32))
    frame = traits_of(1, opening=np.ones(1, np.float32), times_s=np.zeros(1))
    proposals = Proposals(np.zeros(3), 1.0, np.array([0.0, 1.0]))
    for trust in (0.5, 0.1):
        hearing = Hearing(np.zeros(1), np.zeros(1), 0.0, np.zeros(1), trust)
        weights = Weights(0.0, opening=4.0)
        cost = _cost(frame, own, weights, hearing=hearing, proposals=proposals)[0]
        np.testing.assert_allclose(cost, np.array([8, 0, 8, 0]) * trust, rtol=1e-5)


def test_sound_and_generator_say_together_how_far_a_mouth_opens() -> None:
    """One wants it wide open and the other closed: it is half open."""
    own = traits_of(3, opening=np.array([0, 0.5, 1], np.float32), sound=_column(0, 0.5, 1))
    frames = traits_of(
        2, opening=np.array([1, 1], np.float32), sound=_column(0, 1), times_s=np.zeros(2)
    )
    steps = np.array([0, 0.5, 1])
    hearing = Hearing(np.zeros(1), np.ones(1), 0.0, steps, 1.0)
    proposals = Proposals(np.zeros(3), 1.0, steps)
    weights = Weights(0.0, sound=0.0, opening=1.0)
    cost = _cost(frames, own, weights, hearing=hearing, proposals=proposals)
    assert cost.argmin(axis=1).tolist() == [1, 2]


def test_openings_are_ranked_among_all_of_the_generators_in_any_order() -> None:
    opened = np.array([0.9, 0.1, 0.5], np.float32)
    own = traits_of(3, opening=np.array([0, 0.2, 0.4], np.float32))
    frames = traits_of(3, opening=opened, times_s=np.zeros(3))
    proposals = Proposals.of(frames.shape, opened, own.shape)
    hearing = Hearing(np.zeros(1), np.zeros(1), 0.0, np.zeros(1), 1.0)
    cost = _cost(frames, own, Weights(0.0), hearing=hearing, proposals=proposals)
    assert cost.argmin(axis=1).tolist() == [2, 0, 1]


def test_frames_beside_a_part_do_not_teach_what_is_heard_there() -> None:
    """A mouth that drifts and a sound that is new every few frames: they only remember."""
    at = np.arange(104)
    sound = np.exp(-((at[:, None] - at[None, ::4]) ** 2) / (2 * 5.0**2)).astype(np.float32)
    opening = np.sin(2 * np.pi * at / 104).astype(np.float32)
    assert Hearing.of(traits_of(104, opening=opening, sound=sound)).trust < 0.05


def test_what_is_heard_does_not_depend_on_the_unit_of_the_sound() -> None:
    rng = np.random.default_rng(0)
    sound = rng.normal(0, 1, (200, 6))
    opening = (sound[:, 0] + rng.normal(0, 1, 200)).astype(np.float32)
    plain, loud = (Hearing.of(traits_of(200, opening=opening, sound=sound * k)) for k in (1, 1000))
    assert (np.diff(plain.told) >= 0).all()
    assert 0.2 < plain.trust < 0.8 and loud.trust == pytest.approx(plain.trust, rel=1e-3)
    np.testing.assert_allclose(loud.openings(sound * 1000), plain.openings(sound), rtol=1e-3)


def test_a_step_to_another_mouth_costs_by_shape_and_always() -> None:
    own = traits_of(4, shape=_column(0, 0, 10, 10))  # their median is 50
    unit = selection.scales(own)
    weights = Weights(join_shape=3.0, join=0.5)
    found = selection.joining(own, unit, weights=weights)
    np.testing.assert_allclose(found[0], [0.5, 0.5, 6.5, 6.5], rtol=1e-6)
    np.testing.assert_allclose(found[2], [6.5, 6.5, 0.5, 0.5], rtol=1e-6)


@pytest.mark.parametrize(("first", "path"), [(None, [0, 1]), (0, [1, 2]), (2, [3, 0])])
def test_a_path_goes_on_from_the_mouth_before_it(first: int | None, path: list[int]) -> None:
    """Free of cost, of whatever number; mouth 3 has none after it."""
    same, steps = np.zeros((2, 4), np.float32), np.ones((4, 4), np.float32)
    steps[3, 1:] = 2
    following = np.array([1, 2, 3, -1])
    assert selection.cheapest(same, steps, following, first=first).tolist() == path


def test_a_long_path_is_as_exact_as_a_short_one() -> None:
    """The better of two mouths on every frame, though all cost a thousand each time."""
    frames = 20_000
    better = np.arange(frames) // 7 % 2
    showing = np.full((frames, 2), 1000, np.float32)
    showing[np.arange(frames), better] -= 0.25
    found = selection.cheapest(showing, np.zeros((2, 2), np.float32), np.array([-1, -1]))
    np.testing.assert_array_equal(found, better)
