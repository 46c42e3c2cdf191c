"""Accuracy of a SyncNet on known answers, and how a network judges its own clips."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.features import FRAME_RATE, SAMPLES_PER_FRAME
from models.syncnet import SMALL, SyncNet, SyncNetConfig
from pipeline.sync.offset import Sync
from tests.train_kit import TINY
from training import evaluate_sync
from training.data.samples import Clip
from training.evaluate import agreement, judging
from training.evaluate.agreement import Agreement, Piece, can_be_judged
from training.loop.distributed import Processes

Answer = Callable[[Clip, int, float], float]


def _clip(name: str, *, seconds: float = 60, seed: int = 0) -> Clip:
    """A clip of grey pictures and loud sound."""
    rng = np.random.default_rng(seed)
    frames = int(seconds * FRAME_RATE)
    size = SMALL.lip_size_px
    pictures = rng.integers(0, 255, (1, 1, size, size), dtype=np.uint8).repeat(frames, axis=0)
    sound = rng.integers(-9000, 9000, frames * SAMPLES_PER_FRAME, dtype=np.int16)
    return Clip(name, pictures, sound)


def _scorer(answer: Answer) -> Callable[..., Sync]:
    """Replaces a network: `answer` gives the offset in ms for clip, first frame and lead."""

    def score(
        _model: object, clip: Clip, *, first: int, lead_ms: float = 0.0, **_rest: object
    ) -> Sync:
        answer_ms = answer(clip, first, lead_ms)
        frames = round(answer_ms / 40)
        sure = 4.0 + first % 7
        edge = abs(frames) == 15
        return Sync(frames, answer_ms, 5.0, sure, 1.0, np.zeros(1), edge, sure > 5, None)

    return score


def _agreement(
    answer: Answer, clips: list[Clip], cpu: torch.device, patch: pytest.MonkeyPatch
) -> Agreement:
    patch.setattr(agreement, "score_piece", _scorer(answer))
    return agreement.agreement(SyncNet(SMALL), clips, Processes(0, 1, cpu), seed=1)


# Sync accuracy.


def test_a_perfect_network_agrees_whatever_the_native_lag(
    cpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every piece of every length; a lag of -4 frames in one of two videos is no mistake."""
    clips = [_clip("val/one/00000"), _clip("val/two/00000")]
    figures = _agreement(
        lambda clip, _first, lead_ms: lead_ms - 160 * (clip is clips[1]), clips, cpu, monkeypatch
    )
    summary = figures.summary()
    assert [summary[f"{length}s"] for length in (2, 5, 10)] == [1.0, 1.0, 1.0]
    assert [summary[f"{length}s_pieces"] for length in (2, 5, 10)] == [60, 24, 12]
    assert 0 < summary["5s_reliable"] < 1 and summary["5s_reliable_right"] == 1.0
    assert {name: row["offset"] for name, row in figures.by_clip().items()} == {
        "val/one": 0.0,
        "val/two": -4.0,
    }
    assert figures.summary(without=frozenset({"val/two"}))["5s_pieces"] == 12


def test_always_saying_the_same_is_hardly_better_than_chance(
    cpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The known shifts spread over 17 frames: an answer that ignores them agrees by chance."""
    summary = _agreement(
        lambda *_: 0.0, [_clip("val/one/00000", seconds=200)], cpu, monkeypatch
    ).summary()
    assert 0.08 < summary["2s"] < 0.3


def test_overlapping_pieces_do_not_count(
    cpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A piece is compared with the three pieces that do not overlap it."""

    def answer(_clip: Clip, first: int, lead_ms: float) -> float:
        return lead_ms + (200 if first == 0 else 0)

    figures = _agreement(answer, [_clip("val/one/00000", seconds=20)], cpu, monkeypatch)
    assert {p.first: ok for p, ok in figures.judged if p.length_s == 5} == {
        0: False,
        125: True,
        250: True,
        375: True,
    }
    assert not any(
        p.length_s == 10 for p, _ in figures.judged
    )  # two pieces of 5 s are left: too few


@pytest.mark.parametrize(
    ("seconds", "judged_s", "offset"),
    [(20, {1, 2, 5}, -4.0), (18, {1, 2, 5, 10}, -4.0), (8, {1, 2}, -4.0), (3, {1, 2}, -4.0)],
)
def test_agreement_of_short_videos_is_held_against_shorter_pieces(
    seconds: int,
    judged_s: set[int],
    offset: float,
    cpu: torch.device,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Four pieces of 5 s where they are there, else three of 2 s, else two of 1 s."""
    clips = [_clip("val/one/00000", seconds=seconds)]
    assert can_be_judged(clips)
    figures = _agreement(lambda _c, _f, lead_ms: lead_ms - 160, clips, cpu, monkeypatch)
    assert figures.share_right() == 1.0
    assert {piece.length_s for piece, _ in figures.judged} == judged_s
    assert figures.by_clip()["val/one"]["offset"] == offset
    wrong = _agreement(lambda _c, first, _l: 400.0 * (first % 2), clips, cpu, monkeypatch)
    assert 0 <= (wrong.share_right() or 0) < 0.8


def test_agreement_of_single_pieces_has_no_figure(
    cpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One second per video gives no figure, however many videos; two of one video do."""
    apart = [_clip(f"val/{reference}/00000", seconds=1) for reference in "abcd"]
    assert not can_be_judged(apart) and not can_be_judged([])
    assert can_be_judged([_clip(f"val/one/{track:05d}", seconds=1) for track in range(2)])
    figures = _agreement(lambda *_: 0.0, apart, cpu, monkeypatch)
    summary = figures.summary()
    assert figures.share_right() is None and figures.by_clip() == {}
    assert summary["1s"] is None and summary["5s_pieces"] == 0 and summary["5s_reliable"] is None


def test_figures_of_short_clips_are_of_the_longest_pieces_that_half_of_them_have() -> None:
    """The length that is asked, else 5, 2 or 1 s."""
    lengths = [(12, 12, 3), (12, 6, 6), (3, 3, 9), (1.5, 1.5), (0.5,)]
    clips = [[_clip("val/a/00000", seconds=s) for s in each] for each in lengths]
    frames = [evaluate_sync.piece_frames(each, length_s=10) for each in clips]
    assert frames == [250, 125, 50, 25, 25]
    assert [evaluate_sync.piece_frames(each, length_s=5) for each in clips[:3]] == [125, 125, 50]


# What a network in training says of the clips.


def _offsets_of(values_ms: dict[str, list[float]]) -> Answer:
    return lambda clip, first, _lead_ms: values_ms[clip.name][first // 125]


def test_clips_are_judged_by_what_their_pieces_agree_on(
    cpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lag most pieces agree on is taken out; scattered pieces and large lags are left out."""
    answers = {
        "in/lag/00000": [80.0, 90.0, 70.0, 80.0, -500.0],
        "in/voice_over/00000": [80.0, -300.0, 600.0, 240.0, -120.0],
        "in/far/00000": [-440.0] * 5,
        "in/sync/00000": [0.0, 10.0, -10.0, 0.0, 300.0],
    }
    monkeypatch.setattr(judging, "score_piece", _scorer(_offsets_of(answers)))
    clips = [_clip(name, seconds=25) for name in answers]
    model, group = SyncNet(SMALL), Processes(0, 1, cpu)
    followers, dropped = judging.refine(model, clips, group)
    assert [(clip.name, clip.offset_ms) for clip in followers] == [
        ("in/lag/00000", 40.0),  # less what the median of both persons is
        ("in/sync/00000", -40.0),
    ]
    assert dropped == ["in/voice_over/00000", "in/far/00000"]


def test_refine_goes_on_with_earlier_lags_where_nobody_can_be_judged(
    cpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Earlier lags stay, and no clip is dropped."""
    answers = {"in/voice_over/00000": [80.0, -300.0, 560.0, 240.0, -120.0]}
    monkeypatch.setattr(judging, "score_piece", _scorer(_offsets_of(answers)))
    clips = [_clip(name, seconds=25) for name in answers]
    current = [replace(clips[0], offset_ms=50.0)]
    model, group = SyncNet(TINY), Processes(0, 1, cpu)
    assert judging.refine(model, clips, group, current=current) == (current, [])
    assert judging.refine(model, clips, group) == (clips, [])


@pytest.mark.parametrize("seconds", [8, 12, 25])
@pytest.mark.parametrize("seed", range(4))
def test_refine_keeps_at_most_one_of_ten_clips_with_foreign_sound(
    cpu: torch.device, monkeypatch: pytest.MonkeyPatch, seconds: int, seed: int
) -> None:
    """Foreign sound gives any offset of the search; own sound gives its lag and is kept."""
    rng = np.random.default_rng((seed, seconds))

    def answer(clip: Clip, _first: int, _lead_ms: float) -> float:
        return float(rng.normal(0, 15) if "own" in clip.name else rng.uniform(-600, 600))

    monkeypatch.setattr(judging, "score_piece", _scorer(answer))
    clips = [
        _clip(f"in/{kind}{number}/00000", seconds=seconds)
        for kind in ("own", "foreign")
        for number in range(10)
    ]
    followers, dropped = judging.refine(SyncNet(TINY), clips, Processes(0, 1, cpu))
    assert len(followers) + len(dropped) == 20
    assert sum("own" in clip.name for clip in followers) == 10
    assert sum("foreign" in clip.name for clip in followers) <= 1


@pytest.mark.parametrize(
    ("reliable", "edge", "own_ms"), [(True, False, 80.0), (False, False, None), (True, True, None)]
)
def test_own_offset_of_a_clip_of_one_piece_is_believed_where_it_is_reliable(
    cpu: torch.device,
    monkeypatch: pytest.MonkeyPatch,
    reliable: bool,
    edge: bool,
    own_ms: float | None,
) -> None:
    """Clips below 7.5 s are one piece; a calibrated network decides by `reliable`."""

    def score(*_: object, **__: object) -> Sync:
        return Sync(2, 80.0, 5.0, 9.0, 9.0, np.zeros(1), edge, reliable, None)

    monkeypatch.setattr(judging, "score_piece", score)
    clip = _clip("in/talk/00000", seconds=7)
    assert _own_ms(clip, cpu, config=replace(TINY, reliable_margin=1.0)) == own_ms


@pytest.mark.parametrize(
    ("margin", "edge", "own_ms"), [(0.47, False, 80.0), (0.45, False, None), (0.47, True, None)]
)
def test_own_offset_of_one_piece_without_a_calibration_needs_a_margin(
    cpu: torch.device,
    monkeypatch: pytest.MonkeyPatch,
    margin: float,
    edge: bool,
    own_ms: float | None,
) -> None:
    """Of 0.6 times the scale (10) by the root of the windows (170): 0.46."""

    def score(*_: object, **__: object) -> Sync:
        return Sync(2, 80.0, 5.0, 9.0, margin, np.zeros(1), edge, False, None)

    monkeypatch.setattr(judging, "score_piece", score)
    assert TINY.embedding_scale == 10 and not TINY.is_calibrated
    assert _own_ms(_clip("in/talk/00000", seconds=7), cpu) == own_ms


def _own_ms(clip: Clip, device: torch.device, *, config: SyncNetConfig = TINY) -> float | None:
    lag = judging.own_offset(SyncNet(config), clip, device=device)
    return None if lag is None else lag.offset_ms


def _own_ms_of_pieces(
    offsets_ms: list[float], device: torch.device, patch: pytest.MonkeyPatch
) -> float | None:
    """Of a clip whose pieces of 5 s give these answers."""
    patch.setattr(judging, "score_piece", _scorer(_offsets_of({"in/talk/00000": offsets_ms})))
    return _own_ms(_clip("in/talk/00000", seconds=5 * len(offsets_ms)), device)


@pytest.mark.parametrize(
    ("offsets_ms", "own_ms"),
    [
        ([0.0, 0, 0, 600, 600, 600], None),  # half; an answer at the edge is none
        ([600.0] * 5, None),
        ([0.0, 0, 600], None),  # two thirds of three pieces are two
        ([0.0, 0, 0], 0.0),
        ([0.0, 10, 20, 20, 600, -600], 15.0),  # and it does not move the middle
        ([0.0, 40, 80, 40, 600, 600], 40.0),
    ],
)
def test_own_offset_takes_an_answer_at_the_search_edge_for_none(
    cpu: torch.device,
    monkeypatch: pytest.MonkeyPatch,
    offsets_ms: list[float],
    own_ms: float | None,
) -> None:
    """It counts as a piece that does not agree."""
    assert _own_ms_of_pieces(offsets_ms, cpu, monkeypatch) == own_ms


# The zero, and clips that drift.


def test_refine_holds_the_zero_at_the_median_person(
    cpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network whose zero is 40 ms off finds that lag in every clip; it is taken out."""
    own_ms = {f"in/p{number}/00000": float(number - 3) for number in range(7)}
    score = _scorer(lambda clip, _first, _lead_ms: own_ms[clip.name] + 40)
    monkeypatch.setattr(judging, "score_piece", score)
    clips = [replace(_clip(name, seconds=15), offset_ms=99.0) for name in own_ms]
    followers, _ = judging.refine(SyncNet(TINY), clips, Processes(0, 1, cpu))
    assert [clip.offset_ms for clip in followers] == pytest.approx(list(own_ms.values()))


def test_population_lag_counts_people_and_not_their_clips() -> None:
    """Twenty clips of one person weigh as much as one of another."""
    clip = _clip("in/x/00000", seconds=2)
    crowd = [replace(clip, name=f"in/a/{n:05d}", offset_ms=100.0 + n) for n in range(20)]
    others = [replace(clip, name=f"in/{p}/00000", offset_ms=float(n)) for n, p in enumerate("bcd")]
    assert judging.population_lag(crowd + others) == pytest.approx(1.5)
    named = [replace(clip, person="d") for clip in [*crowd, others[2]]]
    assert judging.population_lag([*named, *others[:2]]) == 1.0
    assert judging.population_lag(crowd[:1]) == 100.0


@pytest.mark.parametrize("per_minute_ms", [0.0, 90.0, -200.0])
@pytest.mark.parametrize("outlier", [None, 3])
def test_own_offset_of_a_drifting_clip_is_a_line(
    cpu: torch.device, monkeypatch: pytest.MonkeyPatch, per_minute_ms: float, outlier: int | None
) -> None:
    """Offset in the middle and slope; one piece of six may be wrong."""
    middle = 60 * FRAME_RATE / 2

    def answer(_clip: Clip, first: int, _lead_ms: float) -> float:
        if outlier is not None and first == int((60 * FRAME_RATE - 125) * outlier / 5):
            return -400.0
        return 30 + per_minute_ms * (first + 62.5 - middle) / (60 * FRAME_RATE)

    monkeypatch.setattr(judging, "score_piece", _scorer(answer))
    lag = judging.own_offset(SyncNet(TINY), _clip("in/talk/00000", seconds=60), device=cpu)
    assert lag is not None and lag.offset_ms == pytest.approx(30, abs=1)
    assert lag.drift_ms_per_min == pytest.approx(per_minute_ms, abs=1)


@pytest.mark.parametrize(
    "offsets_ms",
    [
        [-250.0, -150, -50, 50, 150, 250],  # 1200 ms a minute is no drift
        [-100.0, -60, -20, 20, 400, -400],  # four on a line: chance lays one
        [-50.0, 270, 290, 10, 30, 50],
    ],
)
def test_own_offset_of_pieces_on_no_line_is_none(
    cpu: torch.device, monkeypatch: pytest.MonkeyPatch, offsets_ms: list[float]
) -> None:
    """Too steep, or too few of them."""
    score = _scorer(_offsets_of({"in/talk/00000": offsets_ms}))
    monkeypatch.setattr(judging, "score_piece", score)
    assert _own_ms(_clip("in/talk/00000", seconds=30), cpu) is None


def test_refine_keeps_the_drift_in_the_clip_and_its_sound_follows(
    cpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """120 ms a minute: half a minute from the middle the sound leads by 60 ms more."""

    def answer(_clip: Clip, first: int, _lead_ms: float) -> float:
        return 120 * (first + 62.5 - 750) / 1500

    monkeypatch.setattr(judging, "score_piece", _scorer(answer))
    ((clip,), _) = judging.refine(
        SyncNet(TINY), [_clip("in/talk/00000", seconds=60)], Processes(0, 1, cpu)
    )
    assert [clip.offset_at(frame) for frame in (0, 750, 1500)] == pytest.approx([-60, 0, 60])


@pytest.mark.parametrize(
    ("offsets_ms", "own_ms"),
    [
        ([40.0, 40, 40, 40, -300, 300], 40.0),  # four of six
        ([40.0, 40, 40, -300, 300], None),  # three of five
        ([40.0, 40, 40, -300], 40.0),
        ([0.0, 0, 0, 52, 560, -560], 0.0),  # 1.3 frames from the middle agree
        ([0.0, 0, 0, 53, 560, -560], None),
        ([0.0, 0, 0, -52, 560, -560], 0.0),
        ([320.0] * 5, 320.0),
        ([321.0] * 5, None),
        ([-320.0] * 5, -320.0),
        ([-321.0] * 5, None),
    ],
)
def test_own_offset_at_the_bounds_of_agreement_and_lag(
    cpu: torch.device,
    monkeypatch: pytest.MonkeyPatch,
    offsets_ms: list[float],
    own_ms: float | None,
) -> None:
    """Two thirds within 1.3 frames of the middle, at most eight frames from the pictures."""
    assert _own_ms_of_pieces(offsets_ms, cpu, monkeypatch) == own_ms


@pytest.mark.parametrize(
    ("frames", "pieces"),
    [
        (1100, [(0, 125), (195, 125), (390, 125), (585, 125), (780, 125), (975, 125)]),
        (375, [(0, 125), (125, 125), (250, 125)]),
        (374, [(0, 125), (62, 125), (124, 125), (186, 125), (249, 125)]),
        (250, [(0, 125), (62, 125), (125, 125)]),
        (200, [(0, 100), (50, 100), (100, 100)]),
        (186, [(0, 93), (46, 93), (93, 93)]),
        (185, [(0, 185)]),
    ],
)
def test_own_offset_asks_at_most_six_pieces_of_five_seconds(
    cpu: torch.device,
    monkeypatch: pytest.MonkeyPatch,
    frames: int,
    pieces: list[tuple[int, int]],
) -> None:
    """Spread from the first frame to the last; half overlapping below 15 s, one below 7.5 s."""
    calls: list[tuple[int, int]] = []

    def score(_model: object, _clip: Clip, *, first: int, frames: int, device: object) -> Sync:
        calls.append((first, frames))
        return Sync(2, 80.0, 5.0, 4.0, 1.0, np.zeros(1), False, True, None)

    monkeypatch.setattr(judging, "score_piece", score)
    clip = _clip("in/talk/00000", seconds=frames // FRAME_RATE + 1)
    clip = replace(clip, pictures=clip.pictures[:frames])
    assert _own_ms(clip, cpu) == 80.0
    assert calls == pieces


def test_own_offset_of_a_clip_without_a_window_is_none(cpu: torch.device) -> None:
    """Five frames have a single window."""
    clip = _clip("in/talk/00000", seconds=1)
    assert (
        judging.own_offset(SyncNet(TINY), replace(clip, pictures=clip.pictures[:5]), device=cpu)
        is None
    )


@pytest.mark.parametrize(("apart", "right"), [(1, True), (-1, True), (2, False), (-2, False)])
def test_agreement_allows_one_frame(
    cpu: torch.device, monkeypatch: pytest.MonkeyPatch, apart: int, right: bool
) -> None:
    """The first piece against three others that agree."""

    def answer(_clip: Clip, first: int, lead_ms: float) -> float:
        return lead_ms + 40 * apart * (first == 0)

    figures = _agreement(answer, [_clip("val/one/00000", seconds=20)], cpu, monkeypatch)
    judged = {piece.first: ok for piece, ok in figures.judged if piece.length_s == 5}
    assert judged == {0: right, 125: True, 250: True, 375: True}


def test_agreement_moves_sound_by_up_to_eight_frames_and_reports_the_rest(
    cpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Either way, another for each piece, the same for a seed; confidence and edge are kept."""
    leads: list[float] = []

    def answer(_clip: Clip, _first: int, lead_ms: float) -> float:
        leads.append(lead_ms)
        return 600.0

    figures = _agreement(answer, [_clip("val/one/00000", seconds=200)], cpu, monkeypatch)
    assert sorted(set(leads)) == [40.0 * frames for frames in range(-8, 9)]
    five = {p.first: p for p, _ in figures.judged if p.length_s == 5}
    assert [five[first].confidence for first in (0, 125, 250)] == [4.0, 4.0 + 6, 4.0 + 5]
    assert all(piece.at_search_edge for piece in five.values())
    assert sorted({15 - piece.offset for piece, _ in figures.judged}) == list(range(-8, 9))
    before = leads.copy()
    leads.clear()
    _agreement(answer, [_clip("val/one/00000", seconds=200)], cpu, monkeypatch)
    assert leads == before
    leads.clear()
    agreement.agreement(
        SyncNet(TINY), [_clip("val/one/00000", seconds=200)], Processes(0, 1, cpu), seed=2
    )
    assert leads != before


def test_share_right_counts_pieces_of_all_lengths() -> None:
    """One figure for all, by piece; parts are left out by the clip's name."""
    piece = Piece("val/a", "val/a/0", 5, 0, 0, 4.0, 1.0, True)
    wrong = replace(piece, length_s=2, clip="val/b", reliable=False)
    judged = Agreement([(piece, True), (piece, False), (wrong, False), (wrong, False)])
    assert judged.share_right() == 0.25
    assert judged.without(frozenset({"val/b"})).share_right() == 0.5
    assert Agreement([]).share_right() is None
    assert judged.summary() == {
        **{"1s": None, "1s_pieces": 0},
        **{"2s": 0.0, "2s_pieces": 2, "5s": 0.5, "5s_pieces": 2, "10s": None, "10s_pieces": 0},
        **{"5s_reliable": 1.0, "5s_reliable_right": 0.5},
    }


# The table of the model card.


def test_fine_error_is_measured_against_the_unmoved_estimate(
    cpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A constant lag is no error, ignoring the shift costs all of it; shifts are 0 to 40 ms."""
    clips = [_clip(f"val/{name}/00000", seconds=70) for name in "ab"]
    leads: list[float] = []

    def error(answer: Answer) -> dict[str, float]:
        monkeypatch.setattr(evaluate_sync, "score_piece", _scorer(answer))
        return evaluate_sync.fine_error_ms(SyncNet(TINY), clips, seed=1, device=cpu)

    def shifted_answer(_clip: Clip, first: int, lead_ms: float) -> float:
        if lead_ms and 4 + first % 7 > 5:  # of pieces whose offset is called reliable
            leads.append(lead_ms)
        return lead_ms + 123

    error_ms = error(shifted_answer)
    assert (
        error_ms["fine_pieces"]
        == len(leads)
        == 2 * sum(first % 7 > 1 for first in range(0, 1750, 250))
    )
    assert error_ms["fine_error_ms"] == pytest.approx(0, abs=1e-3)
    assert 0 < min(leads) < 12 and 28 < max(leads) <= 40
    assert error(lambda *_: 123.0)["fine_error_ms"] == pytest.approx(np.mean(leads), abs=1e-3)
    late = error(lambda _clip, _first, lead_ms: 3 * lead_ms)["fine_error_ms"]
    assert late == pytest.approx(2 * np.mean(leads), abs=1e-3)
    nobody = [_clip("val/a/00000", seconds=9)]
    error_ms = evaluate_sync.fine_error_ms(SyncNet(TINY), nobody, seed=1, device=cpu)
    assert error_ms == {"fine_pieces": 0, "fine_error_ms": None}


def test_strangers_and_silence_are_counted_apart(
    cpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five-second pieces, each with another video's sound and with none."""
    calls: list[int] = []

    def score(_model: object, clip: Clip, *, first: int, frames: int, device: object) -> Sync:
        calls.append(frames)
        reliable = bool(clip.samples.any())
        return Sync(2, 80.0, 5.0, 4.0, 1.0, np.zeros(1), False, reliable, None)

    monkeypatch.setattr(evaluate_sync, "score_piece", score)
    clips = [_clip(f"val/{name}/00000", seconds=16) for name in "ab"]
    figures = evaluate_sync.strangers_called_reliable(SyncNet(TINY), clips, seed=1, device=cpu)
    assert figures == {
        "foreign_length_s": 5.0,
        "foreign_pieces": 6,
        "foreign_called_reliable": 1.0,
        "silent_called_reliable": 0.0,
    }
    assert calls == [125] * 12


def test_speaking_frames_of_own_sound_score_above_those_of_foreign_sound(
    cpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Embeddings of a common random angle: the area under ROC is nearly one."""

    def talking(name: str, seed: int) -> Clip:
        levels = np.random.default_rng(seed).integers(0, 255, 250)
        clip = _clip(name, seconds=10)
        pictures = np.broadcast_to(
            levels.astype(np.uint8)[:, None, None, None], (250, *clip.pictures.shape[1:])
        )
        sound = (5000 + levels).astype(np.int16).repeat(SAMPLES_PER_FRAME)
        return Clip(name, pictures, sound)

    def oracle(
        _model: object, clip: Clip, *, first: int, frames: int, device: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        brightness = clip.pictures[first : first + frames, 0, 0, 0].astype(float)
        level = clip.samples[first * SAMPLES_PER_FRAME :: SAMPLES_PER_FRAME][:frames] - 5000.0
        angles = (torch.from_numpy(values)[: frames - 5] * 0.1 for values in (brightness, level))
        lips, sound = (10 * torch.stack([a.cos(), a.sin()], dim=1).float() for a in angles)
        return lips, sound

    monkeypatch.setattr(evaluate_sync, "embed_piece", oracle)
    clips = [talking("val/a/00000", 1), talking("val/b/00000", 2)]
    figures = evaluate_sync.speaking_auc(SyncNet(TINY), clips, seed=1, device=cpu)
    assert figures["speaking_frames"] == 1000 and figures["speaking_auc"] > 0.95


@pytest.mark.parametrize(
    ("positive", "negative", "area"),
    [
        ([2.0, 3.0], [0.0, 1.0], 1.0),
        ([0.0, 1.0], [2.0, 3.0], 0.0),
        ([1.0, 1.0], [1.0], 0.5),
        ([1.0, 3.0], [2.0], 0.5),
        ([1.0, 2.0, 3.0], [1.5, 0.5], 5 / 6),
    ],
)
def test_area_under_roc(positive: list[float], negative: list[float], area: float) -> None:
    """The chance that a positive is above a negative; ties count half."""
    result = evaluate_sync.area_under_roc(np.array(positive), np.array(negative))
    assert result == pytest.approx(area)


def test_audible_frames_are_those_near_the_loudest() -> None:
    """Down to 35 dB below the loudest frame; digital silence never."""
    levels = np.array([10_000, 10_000 * 10 ** (-30 / 20), 10_000 * 10 ** (-40 / 20), 0])
    sound = np.repeat(levels, SAMPLES_PER_FRAME).astype(np.int16)
    assert evaluate_sync.audible(sound).tolist() == [True, True, False, False]
    assert not evaluate_sync.audible(np.zeros_like(sound)).any()


def test_pairs_never_take_sound_of_the_same_video() -> None:
    """Tracks of one video share its sound; every piece gets another video's."""
    clips = [_clip(name, seconds=11) for name in ("v/a/00000", "v/a/00001", "v/b/00000")]
    clips.append(_clip("v/short/00000", seconds=3))
    result = evaluate_sync.pairs(clips, frames=125, seed=1)
    assert [(pair.clip.name, pair.first) for pair in result] == [
        (name, first) for name in ("v/a/00000", "v/a/00001", "v/b/00000") for first in (0, 125)
    ]
    for pair in result:
        assert pair.stranger.reference != pair.clip.reference
        mixed = pair.with_strange_sound(125)
        assert mixed.frames == 125 and len(mixed.samples) == 125 * SAMPLES_PER_FRAME
        start = pair.stranger_first * SAMPLES_PER_FRAME
        stretch = pair.stranger.samples[start : start + 125 * SAMPLES_PER_FRAME]
        assert np.array_equal(mixed.samples, stretch)
    assert evaluate_sync.pairs(clips[:2], frames=125, seed=1) == []


def test_the_whole_table_of_an_untrained_network(
    cpu: torch.device,
) -> None:
    """Every figure is there, on two videos of 5 s, for a network that knows nothing."""
    torch.manual_seed(1)
    clips = [_clip(f"val/{name}/00000", seconds=5, seed=seed) for seed, name in enumerate("ab")]
    result = evaluate_sync.figures(
        SyncNet(TINY).eval(), clips, without=frozenset(), seed=1, device=cpu
    )
    table = result["speaker_on_screen"]
    assert table["foreign_pieces"] == 2 and table["foreign_called_reliable"] == 0.0
    assert table["speaking_frames"] == 500 and 0.3 < table["speaking_auc"] < 0.7
    assert table["fine_pieces"] == 0 and table["fine_error_ms"] is None
    assert result["all"]["5s"] is None and result["all"]["2s_pieces"] == 4
    assert sorted(result["clips"]) == ["val/a", "val/b"] and result["left_out"] == []


def test_silence_has_no_speaking_figure(cpu: torch.device) -> None:
    """Two silent videos have no speaking frame and no figure."""
    clips = [_clip(f"val/{name}/00000", seconds=10) for name in "ab"]
    mute = [Clip(clip.name, clip.pictures, np.zeros_like(clip.samples)) for clip in clips]
    figures = evaluate_sync.speaking_auc(SyncNet(TINY).eval(), mute, seed=1, device=cpu)
    assert figures == {"speaking_frames": 0, "speaking_auc": None}


def test_the_command_prints_and_writes_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights and figures on the screen and in --json; a clip that is left out is named."""
    clips = [_clip("val/a/00000", seconds=2)]
    loaded = evaluate_sync.samples.Loaded(clips, {"val/b/00000": "no sound"})
    monkeypatch.setattr(evaluate_sync.samples, "load_clips", lambda *_, **__: loaded)
    monkeypatch.setattr(evaluate_sync.samples, "clip_files", lambda _: [])
    file = tmp_path / "figures.json"
    assert evaluate_sync.main(["--data", "x", "--device", "cpu", "--json", str(file)]) == 0
    output = capsys.readouterr()
    assert '"weights": "syncnet_small.safetensors"' in output.out and "val/b/00000" in output.err
    assert '"speaker_on_screen"' in file.read_text()
