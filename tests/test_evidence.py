"""Evidence of lips and sound: what it is made of, the offset that stands out, over time."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.evidence import drift, steps
from pipeline.evidence.blocks import BLOCK_WINDOWS, evidence_of, joined
from pipeline.evidence.likelihood import log_likelihood
from pipeline.evidence.limits import RELIABLE_LEAD
from pipeline.evidence.over_time import over_time
from pipeline.evidence.peak import Peak, peak, peak_at
from tests.verdict_kit import constantly, evidence, talker

LARGEST = 7


def test_nearness_is_how_much_less_an_offset_differs_than_all() -> None:
    """Window by window from the definition, ends and windows without sound included."""
    lips, sound = talker(23, constantly(0))
    has_sound = np.ones(23, bool)
    has_sound[4:9] = False
    result = evidence_of(lips, sound, has_sound, start_s=3.0, late_s=0.01, track=2, largest=LARGEST)
    offsets = np.arange(-LARGEST, LARGEST + 1)
    nearness, windows = np.zeros((3, len(offsets))), np.zeros((3, len(offsets)), int)
    for row in range(23):
        # A sound that leads is result earlier.
        valid = [0 <= row - o < 23 and has_sound[row - o] for o in offsets]
        dists = np.array(
            [
                float((lips[row] - sound[row - o]).norm()) if v else 0
                for o, v in zip(offsets, valid, strict=True)
            ]
        )
        mean = dists.sum() / max(1, sum(valid))
        nearness[row // BLOCK_WINDOWS] += np.where(valid, mean - dists, 0)
        windows[row // BLOCK_WINDOWS] += valid
    np.testing.assert_allclose(result.nearness, nearness, atol=1e-3)
    np.testing.assert_array_equal(result.windows, windows)
    np.testing.assert_allclose(result.times_s, [3.2, 3.6, 4.0])
    assert set(result.late_ms) == {10.0} and set(result.tracks) == {2}
    assert len(result) == 3 and result.largest == LARGEST


def test_long_clips_are_computed_in_pieces_without_a_seam() -> None:
    """As many blocks as several passes take, against one offset computed at once."""
    lips, sound = talker(1000, constantly(2))
    result = evidence_of(lips, sound, np.ones(1000, bool))
    same = (lips[5:] - sound[:-5]).norm(dim=1).sum()  # offset 5
    dists = torch.cdist(lips, sound)
    rows, columns = np.indices(dists.shape)
    near = torch.from_numpy(np.abs(rows - columns) <= result.largest)
    means = (dists * near).sum(dim=1) / near.sum(dim=1)
    wanted = float(means[5:].sum() - same)
    assert result.nearness[:, result.largest + 5].sum() == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("offset", [-124, -100, -40, 0, 3, 77, 124])
def test_an_offset_of_seconds_stands_out(offset: int) -> None:
    """Below a frame, too; and when the video is played, not on the grid."""
    lips, sound = talker(400, constantly(offset + 0.25))
    result = peak(evidence_of(lips, sound, np.ones(400, bool), late_s=0.015))
    assert result is not None and result.reliable
    assert result.offset_frames == offset
    assert result.offset_ms == pytest.approx(40 * (offset + 0.25) - 15, abs=6)
    assert result.windows == 400 - abs(offset) and result.height > result.lead > RELIABLE_LEAD


def test_somebody_elses_sound_hardly_ever_stands_out() -> None:
    """Of 60 pairs of faces and sounds none or one."""
    claimed = 0
    for seed in range(60):
        lips, _ = talker(200, constantly(0), seed=seed)
        _, sound = talker(200, constantly(0), seed=1000 + seed)
        best = peak(evidence_of(lips, sound, np.ones(200, bool)))
        claimed += best is not None and best.reliable
    assert claimed <= 1


def test_an_offset_leads_by_as_much_as_others_stand_below_it() -> None:
    """Below 0 where another leads; a frame beside it is the same offset."""
    made = evidence(200, constantly(30))
    best = peak(made)
    assert best is not None and best.lead > 3
    assert [peak_at(made, offset) for offset in (29, 30, 31)] == [best] * 3
    elsewhere = peak_at(made, -7)
    assert elsewhere is not None and elsewhere.lead < -best.lead
    assert abs(elsewhere.offset_frames + 7) <= 1 and elsewhere.windows >= 192
    assert peak_at(evidence(70, constantly(0)), 60) is None  # ten windows have sound there
    assert peak_at(evidence(40, constantly(0)), 0) is None
    short = peak(evidence(80, constantly(0)))
    assert short is not None and short.lead_of_many == pytest.approx(short.lead - 0.9)


@pytest.mark.parametrize(("frames", "leads"), [(3, True), (4, False)])
def test_offsets_up_to_three_frames_away_are_the_same_answer(frames: int, leads: bool) -> None:
    """One nearly as good takes nothing from the lead; one further away does."""
    made = evidence(200, constantly(30))
    column, nearness = made.largest + 30, made.nearness.copy()
    nearness[:, column + frames] = 0.9 * nearness[:, column]
    before, after = peak(made), peak(replace(made, nearness=nearness))
    assert before is not None and after is not None and after.offset_frames == 30
    assert (after.lead > 0.9 * before.lead) == leads


def test_shots_add_up() -> None:
    """Ten that are each too short to tell, tell together."""
    shots = [evidence(70, constantly(-9), start_s=3.0 * n, noise=4.0, seed=n) for n in range(10)]
    assert sum(bool((best := peak(shot)) and best.reliable) for shot in shots) <= 2
    together = peak(joined(shots[::-1]))
    assert together is not None and together.reliable and together.offset_frames == -9
    assert list(joined(shots[::-1]).times_s) == sorted(joined(shots).times_s)


def test_blocks_keep_what_is_theirs_when_shots_are_joined() -> None:
    """Late pictures and the number of the track as well as the numbers."""
    lips, sound = talker(30, constantly(0))
    parts = [
        evidence_of(lips[n:], sound[n:], np.ones(30 - n, bool), start_s=s, late_s=s / 1000, track=n)
        for n, s in ((1, 8.0), (2, 3.0), (3, 5.0))
    ]
    together = joined(parts)
    for part in parts:
        own = together.part(together.tracks == part.tracks[0])
        np.testing.assert_array_equal(own.times_s, part.times_s)
        np.testing.assert_array_equal(own.late_ms, part.late_ms)
        np.testing.assert_array_equal(own.nearness, part.nearness)
        np.testing.assert_array_equal(own.windows, part.windows)


def test_too_little_stands_out_nowhere() -> None:
    assert peak(evidence(40, constantly(0))) is None
    assert over_time(evidence(40, constantly(0))) is None
    still = torch.ones(200, 8)
    assert peak(evidence_of(still, still, np.ones(200, bool))) is None


def test_a_constant_offset_is_constant() -> None:
    result = over_time(evidence(1000, constantly(3), start_s=2.0))
    assert result is not None and (result.kind, result.steps, result.drift) == (
        "constant",
        (),
        None,
    )
    (piece,) = result.pieces
    assert (piece.start_s, piece.end_s, piece.reliable) == (2.0, 42.0, True)
    assert piece.offset_ms == pytest.approx(120, abs=5)


@pytest.mark.parametrize("to", [-5, 60])
def test_a_step_is_found_where_it_is(to: int) -> None:
    """Within the near search and far beyond it."""
    made = evidence(800, lambda t: np.where(t < 14, 0, to), start_s=10.0)
    result = over_time(made)
    assert result is not None and result.kind == "step" and result.drift is None
    (step,) = result.steps
    # Of lips whose sound was lost in the jump nobody knows.
    assert step.at_s == pytest.approx(24, abs=0.5 + max(0, to) / 25)
    assert step.from_ms == pytest.approx(0, abs=10) and step.to_ms == pytest.approx(40 * to, abs=10)
    first, second = result.pieces
    assert (first.end_s, second.start_s) == (step.at_s, step.at_s)
    assert (first.start_s, second.end_s) == (10.0, 42.0)


def test_a_step_near_a_cut_is_at_the_cut() -> None:
    """Where nothing was said for a second, any moment of it would do."""
    silent = slice(35, 38)
    made = evidence(800, lambda t: np.where(t < 14.4, 0, -5))
    made.nearness[silent] = 0
    result = over_time(made, cuts_s=(3.0, 14.9, 30.0))
    assert result is not None and [step.at_s for step in result.steps] == [14.9]
    elsewhere = over_time(made, cuts_s=(3.0, 18.0, 30.0))
    assert elsewhere is not None and elsewhere.steps[0].at_s == pytest.approx(14.4, abs=0.9)


def test_a_step_somewhere_in_a_long_pause_is_in_its_middle() -> None:
    """Nobody can know where; so it is at most half of the pause away, whatever noise is in it."""
    made = evidence(800, lambda t: np.where(t < 15, 0, -5))
    silent = slice(35, 40)  # 14 to 16 s
    for loud in range(35, 40):
        made.nearness[silent] = 0
        made.nearness[loud, made.largest] = 1.0  # a breath, for the offset before the step
        result = over_time(made)
        assert result is not None and result.kind == "step"
        assert result.steps[0].at_s == pytest.approx(15, abs=0.7)


def test_there_and_back_are_two_steps() -> None:
    made = evidence(1200, lambda t: np.where((t > 16) & (t < 32), 6, 0))
    result = over_time(made)
    assert result is not None
    assert [step.at_s for step in result.steps] == pytest.approx([16, 32], abs=0.5)


@pytest.mark.parametrize("ms_per_min", [60.0, -200.0, 900.0])
def test_a_drift_is_found_with_its_interval(ms_per_min: float) -> None:
    """In a clip that starts at 30 s of its video; the line is that of the whole video."""
    frames_per_s = ms_per_min / 60 / 40
    made = evidence(2000, lambda t: 2 + frames_per_s * t, start_s=30.0)
    result = over_time(made)
    assert result is not None and result.kind == "drift" and result.drift is not None
    low, high = result.drift.interval_ms_per_min
    assert low < result.drift.ms_per_min < high
    assert result.drift.ms_per_min == pytest.approx(ms_per_min, rel=0.1)
    assert result.drift.offset_ms(30.0) == pytest.approx(80, abs=20)
    (piece,) = result.pieces
    assert piece.offset_ms == pytest.approx(result.drift.offset_ms(70.0), abs=0.1)


def test_a_drift_is_told_when_its_pictures_are_played() -> None:
    """They stand 15 ms later in the clip than the video shows them."""
    made = evidence(1000, lambda t: 2 + t / 10)
    late = over_time(replace(made, late_ms=np.full(len(made), 15.0)))
    plain = over_time(made)
    assert plain is not None and late is not None and plain.drift and late.drift
    assert late.drift.offset_ms(0) == pytest.approx(plain.drift.offset_ms(0) - 15, abs=0.2)


def test_a_slope_that_nobody_notices_is_no_drift() -> None:
    """It is sure, but 30 ms from the first second to the last are less than a frame."""
    made = evidence(2000, lambda t: 2 + t * 0.75 / 80, noise=0.3)
    line = drift.line_through(made, log_likelihood(made))
    assert line is not None and line.interval_ms_per_min[0] > 5 and not line.is_sure
    result = over_time(made)
    assert result is not None and result.kind != "drift"


def test_intervals_of_drifts_hold() -> None:
    """The truth is within nearly all of them, and few are called drifts where there is none."""
    inside, claimed = 0, 0
    for seed in range(20):
        made = evidence(1000, constantly(0), noise=1.5, seed=seed)
        line = drift.line_through(made, log_likelihood(made))
        assert line is not None
        low, high = line.interval_ms_per_min
        inside += low <= 0 <= high
        claimed += line.is_sure
    assert inside >= 16 and claimed <= 1


def test_short_clips_have_no_slope() -> None:
    made = evidence(300, constantly(0))
    assert drift.line_through(made, log_likelihood(made)) is None


def test_somebody_elses_sound_has_no_course() -> None:
    lips, _ = talker(700, constantly(0), seed=5)
    _, sound = talker(700, constantly(0), seed=6)
    made = evidence_of(lips, sound, np.ones(700, bool))
    assert steps.pieces_of(made, log_likelihood(made)) == []
    assert over_time(made) is None


@pytest.mark.parametrize(
    ("windows", "lead", "reliable"),
    [
        (110, 2.0, True),
        (110, 1.99, False),
        (500, 1.99, False),
        (100, 2.31, True),
        (100, 2.29, False),
        (75, 3.06, True),
        (74, 100.0, False),
    ],
)
def test_what_an_offset_must_lead_by_grows_where_windows_are_few(
    windows: int, lead: float, reliable: bool
) -> None:
    """Two deviations over 110 windows, 0.03 more for each that lacks, and never below 75."""
    assert Peak(0, 0.0, lead, lead + 1, windows).reliable == reliable


@pytest.mark.parametrize(
    ("worth", "cuts_s", "found"),
    [(9.1, (), True), (8.9, (), False), (4.1, (16.0,), True), (3.9, (16.0,), False)],
)
def test_a_step_must_be_worth_its_cost(
    worth: float, cuts_s: tuple[float, ...], found: bool
) -> None:
    """Log likelihood of nine, and of four where the video is cut."""
    made = evidence(800, lambda t: np.where(t < 16, 0, -5))
    likelihood = np.zeros_like(made.nearness)
    likelihood[:40, made.largest] = likelihood[40:, made.largest - 5] = worth / 40
    assert bool(steps.pieces_of(made, likelihood, cuts_s=cuts_s)) == found


def test_a_step_takes_nothing_from_the_likelihood_of_either_offset() -> None:
    """Each ten seconds have a true offset of their own."""
    constant = evidence(1000, constantly(0))
    nearness = constant.nearness.copy()
    nearness[50:] = np.roll(nearness[50:], -50, axis=1)
    alone, before = (
        float(log_likelihood(made)[:50, made.largest].sum())
        for made in (constant, replace(constant, nearness=nearness))
    )
    assert before == pytest.approx(alone, rel=0.1)
