"""How tracks vote, what the ends of a drift are graded as, and what each shot says by itself."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.calibration import Calibration
from pipeline.errors import InputError
from pipeline.evidence.blocks import Evidence
from pipeline.evidence.over_time import constant
from pipeline.evidence.parts import Drift, OverTime, Part
from pipeline.evidence.peak import Peak
from pipeline.verdict.answer import Answer, sureness, surplus_of
from pipeline.verdict.decide import decide
from pipeline.verdict.tracks import JudgedTrack
from pipeline.verdict.video import VideoVerdict, read_verdict
from tests.verdict_kit import constantly, embedded, evidence, talker

SAYS_NOTHING = Evidence(
    np.zeros(1),
    np.zeros((1, 251), np.float32),
    np.zeros((1, 251), np.uint8),
    np.zeros(1),
    np.zeros(1),
)


def _track(
    start_s: float,
    end_s: float,
    offset_ms: float | None = None,
    *,
    course: OverTime | None = None,
    seen: Evidence = SAYS_NOTHING,
    track: int = 0,
) -> JudgedTrack:
    """A track with a reliable offset, or none, whatever its evidence says."""
    answer = None
    if offset_ms is not None:
        answer = Answer("near", round(offset_ms / 40), offset_ms, True)
        course = course or constant(start_s, end_s, offset_ms)
    return JudgedTrack(track, start_s, end_s, answer, course, None, seen)


def _decided(*tracks: JudgedTrack, **also: Any) -> VideoVerdict:
    usual: dict[str, Any] = {"shots_s": [], "end_s": tracks[-1].end_s}
    return decide("talk", tracks, **usual | also, settings={})


def test_the_offset_of_most_seconds_wins() -> None:
    """Not that of most tracks; one of three tracks may win alone."""
    decided = _decided(_track(0, 10, 200.0), _track(10, 12, -300.0), _track(12, 14, -300.0))
    assert (decided.verdict, decided.offset_ms) == ("early", 200.0)
    assert decided.parts == (Part(0.0, 14.0, 200.0, True),)


def test_no_offset_wins_with_half_of_the_seconds() -> None:
    assert _decided(_track(0, 5, 200.0), _track(5, 10, -300.0)).verdict == "cannot_be_told"
    assert _decided(_track(0, 5.1, 200.0), _track(5.1, 10, -300.0)).offset_ms == 200.0


@pytest.mark.parametrize(("others", "told"), [(2, True), (3, False)])
def test_one_reliable_track_among_many_may_be_chance(others: int, told: bool) -> None:
    silent = [_track(10.0 + n, 11.0 + n) for n in range(others)]
    assert _decided(_track(0, 10, -200.0), *silent).reliable == told


@pytest.mark.parametrize(("second_ms", "offset_ms"), [(260.0, 215.0), (261.0, 200.0)])
def test_offsets_of_60_ms_apart_are_one_by_their_lengths(
    second_ms: float, offset_ms: float
) -> None:
    decided = _decided(_track(0, 9, 200.0), _track(9, 12, second_ms))
    assert decided.offset_ms == offset_ms


def test_a_drift_is_graded_by_its_ends_and_told_by_its_middle() -> None:
    """Of the whole video, of which its face is on screen for the second half only."""
    drift = Drift(-100.0, 100.0, (95.0, 105.0))
    course = OverTime("drift", (Part(60.0, 120.0, drift.offset_ms(90.0), True),), drift=drift)
    track = _track(60, 120, 50.0, course=course, seen=evidence(10, constantly(0)))
    decided = _decided(track, end_s=120.0)
    assert decided.parts == (Part(0.0, 120.0, 0.0, True),)
    assert (decided.verdict, decided.offset_ms) == ("drifts", 0.0)
    assert decided.standards == {"bt1359": "unacceptable", "atsc": "fail", "ebu": "fail"}


@pytest.mark.parametrize(
    ("offset_ms", "verdict"),
    [(40.0, "in_sync"), (-40.0, "in_sync"), (40.1, "early"), (-40.1, "late")],
)
def test_a_frame_is_in_sync_and_no_more(offset_ms: float, verdict: str) -> None:
    assert _decided(_track(0, 10, offset_ms)).verdict == verdict


def test_tracks_together_step_at_the_cut() -> None:
    """Where nothing is said around it."""
    made = evidence(800, lambda t: np.where(t < 14.4, 0, -5))
    made.nearness[35:38] = 0
    first = _track(0, 14.9, seen=made.part(slice(0, 37)))
    second = _track(14.9, 32.2, seen=made.part(slice(37, None)), track=1)
    decided = _decided(first, second, shots_s=[(0.0, 14.9), (14.9, 32.2)])
    assert [part.start_s for part in decided.parts] == [0.0, 14.9]


def test_faces_of_a_shot_tell_together() -> None:
    """Each is too short to; one that begins a frame before the cut is of the shot after it."""
    one, two = (evidence(70, constantly(-5), start_s=9.96, seed=n) for n in (1, 2))
    tracks = [
        _track(0, 10),
        _track(9.96, 12.8, seen=one, track=1),
        _track(9.96, 12.8, seen=two, track=2),
    ]
    first, second = _decided(*tracks, shots_s=[(0.0, 10.0), (10.0, 12.8)]).shots
    assert (first.tracks, first.offset_ms, first.reliable) == ((0,), None, False)
    assert second.tracks == (1, 2) and second.reliable
    assert second.offset_ms == pytest.approx(-200, abs=15)


def test_a_shot_that_steps_has_no_offset_of_its_own() -> None:
    """Even where its face has one that is reliable."""
    pieces = (Part(0.0, 9.0, 0.0, True), Part(9.0, 12.0, 200.0, True))
    track = _track(0, 12, 0.0, course=OverTime("step", pieces))
    (shot,) = _decided(track).shots
    assert (shot.offset_ms, shot.reliable) == (None, False)


def test_a_word_that_is_no_verdict_is_refused(tmp_path: Path) -> None:
    """All else is as it should be."""
    decided = _decided(_track(0, 10, 200.0))
    path = tmp_path / "video.json"
    path.write_text(json.dumps(asdict(decided)))
    assert read_verdict(path) == replace(decided, settings={})
    path.write_text(json.dumps(asdict(decided) | {"verdict": "fine"}))
    with pytest.raises(InputError, match=r"has another format; run run_syncnet\.py again\.$"):
        read_verdict(path)


def test_a_verdict_nested_too_deep_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "video.json"
    path.write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"is damaged; run run_syncnet\.py again\.$"):
        read_verdict(path)


def test_the_near_search_weighs_four_tenths() -> None:
    """Beside the lead over five seconds, which counts for less over few windows."""
    assert sureness(Peak(0, 0.0, 2.0, 3.0, 200), 3.0) == pytest.approx(3.2)
    assert sureness(Peak(0, 0.0, 2.0, 3.0, 100), -1.0) == pytest.approx(1.3)


def test_where_no_sound_is_left_the_near_search_says_nothing() -> None:
    """Moved so far that every window is beyond the sound's end: neither for an offset nor against.

    A calibration that likes whatever it sees has no say there.
    """
    made = embedded(*talker(100, constantly(0)))
    weights, none = (1.0,) + (0.0,) * 10, (0.0,) * 11
    calibration = Calibration(
        *(15, (10, 500), none, (1.0,) * 11, 3.0, weights, none),
        *((0.0, 0.0), (1.0, 0.0, 0.0), 2),
    )
    silent = replace(made, has_sound=np.zeros(100, bool))
    assert surplus_of(made, calibration)(0) != 0
    for offset_frames in (0, 40, -40):
        assert surplus_of(silent, calibration)(offset_frames) == 0
