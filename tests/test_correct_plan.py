"""Verdicts to moves of the sound, and to what a standard says of them."""

import pytest

from pipeline.correction import qc
from pipeline.correction.again import moved_stretches
from pipeline.correction.plan import Move, Plan, make_plan
from pipeline.errors import PipelineError
from pipeline.verdict.video import Drift, Shot
from tests.correct_kit import verdict


def _shot(start_s: float, end_s: float, offset_ms: float | None) -> Shot:
    return Shot(start_s, end_s, offset_ms, offset_ms is not None, (0,))


def test_early_sound_comes_later() -> None:
    assert make_plan(verdict(120), per_shot=False) == Plan((Move(0.0, 0.12),))
    assert make_plan(verdict(-80.5), per_shot=False) == Plan((Move(0.0, -0.0805),))


def test_steps_are_moved_piece_by_piece_and_near_ones_together() -> None:
    steps = verdict(0, -200, -190, ends_s=(4, 6, 10))
    plan = make_plan(steps, per_shot=False)
    assert [move.start_s for move in plan.moves] == [0, 4]
    assert plan.moves[0].delay_s == 0
    # 2 s of -200 ms and 4 s of -190 ms.
    assert plan.moves[1].delay_s == pytest.approx(-0.19333, abs=1e-5)


def test_drift_is_played_at_another_speed() -> None:
    """At t seconds the sound leads by 100 ms + 30 ms a minute: what is heard there is put right."""
    plan = make_plan(verdict(115, drift=Drift(100, 30, (25, 35))), per_shot=False)
    assert plan.moves == (Move(0.0, 0.1),) and plan.speed == pytest.approx(0.9995)
    for t_s in (0.0, 60.0, 600.0):
        heard_at_s = t_s * plan.speed - plan.moves[0].delay_s
        assert t_s - heard_at_s == pytest.approx(0.1 + 0.03 * t_s / 60)


def test_each_shot_by_its_own() -> None:
    """Shots without a reliable offset, and what has no face, are moved as the video is."""
    shots = (_shot(0, 3, 120), _shot(4, 6, None), _shot(6, 10, -100))
    moves = make_plan(verdict(40, shots=shots), per_shot=True).moves
    assert moves == (Move(0, 0.12), Move(3, 0.04), Move(6, -0.1))
    # Where the video has none, the shot before is followed.
    moves = make_plan(verdict(shots=shots), per_shot=True).moves
    assert moves == (Move(0, 0.12), Move(6, -0.1))
    late = (_shot(2, 5, -100), _shot(5, 9, 100))
    assert make_plan(verdict(shots=late), per_shot=True).moves == (Move(0, -0.1), Move(5, 0.1))


def test_per_shot_without_reliable_shots_is_the_video() -> None:
    shots = (_shot(0, 3, None), _shot(3, 6, None))
    assert make_plan(verdict(50, shots=shots), per_shot=True) == Plan((Move(0.0, 0.05),))


@pytest.mark.parametrize("per_shot", [False, True])
def test_nothing_reliable_is_nothing_to_correct(per_shot: bool) -> None:
    with pytest.raises(PipelineError, match="no offset of face is reliable: A sentence") as failed:
        make_plan(verdict(), per_shot=per_shot)
    assert failed.value.exit_code == 1


def test_sound_within_five_milliseconds_stays() -> None:
    assert make_plan(verdict(4.9), per_shot=False).stays
    assert not make_plan(verdict(-5.1), per_shot=False).stays
    assert not Plan((Move(0, 0.0),), speed=1.0001).stays
    assert list(Plan((Move(0, 0.0),)).report()) == [
        "The sound stays where it is: it is in sync within 5 ms."
    ]


def test_a_plan_in_words() -> None:
    plan = Plan((Move(0, 0.12), Move(3.5, -0.04)), speed=0.9995)
    assert list(plan.report()) == [
        "From 0.00 s on the sound comes 120 ms later.",
        "From 3.50 s on the sound comes 40 ms earlier.",
        "It is played 0.0500 % slower, as it drifts.",
    ]


def _missing(
    missing_s: list[tuple[float, float]], plan: Plan, *, extent_s: tuple[float, float] = (0.0, 10.0)
) -> list[tuple[float, float]]:
    """Of a picture of 10 s."""
    return moved_stretches(missing_s, plan, extent_s=extent_s, end_s=10.0)


def test_where_moved_sound_is_missing() -> None:
    """What is moved away from, at either end, and gaps that were there before."""
    later, earlier = Plan((Move(0, 0.2),)), Plan((Move(0, -0.3),))
    assert _missing([(4, 5)], later) == [(0, 0.2), (4.2, 5.2)]
    assert _missing([], earlier) == [(9.7, 10)]
    both = Plan((Move(0, 0.0), Move(5, 0.5)))
    assert _missing([(4.8, 5.5)], both) == [(4.8, 5), (5.3, 6)]
    faster = Plan((Move(0, 0.1),), speed=1.25)
    assert _missing([(5, 6)], faster) == [(0, 0.1), (4.1, 4.9), (8.1, 10)]
    # Sound that starts before the first picture is there to be moved.
    assert _missing([], later, extent_s=(-1.0, 10.0)) == []


@pytest.mark.parametrize(
    ("standard", "offset_ms", "code"),
    [
        ("bt1359", 40, 0),
        ("bt1359", 85, 0),
        ("bt1359", 95, 3),
        ("bt1359", -180, 0),
        ("bt1359", -190, 3),
        ("atsc", 14, 0),
        ("atsc", 16, 3),
        ("atsc", -44, 0),
        ("atsc", -46, 3),
        ("ebu", 39, 0),
        ("ebu", 41, 3),
        ("ebu", -59, 0),
        ("ebu", -61, 3),
    ],
)
def test_standards_have_their_limits_on_either_side(
    standard: str, offset_ms: float, code: int
) -> None:
    assert qc.exit_code(verdict(offset_ms), standard) == code


def test_standards_in_words() -> None:
    assert qc.sentence(verdict(70), "ebu") == (
        "EBU R37 (sound at most 40 ms early or 60 ms late): fail."
    )
    assert qc.sentence(verdict(70), "bt1359") == (
        "ITU-R BT.1359 (sound at most 90 ms early or 185 ms late, noticed from 45 and 125 ms on): "
        "detectable."
    )
    assert qc.sentence(verdict(), "atsc").endswith("cannot be told.")
    assert qc.exit_code(verdict(), "atsc") == 4
