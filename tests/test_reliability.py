"""Reliability of an offset: the numbers, the regression, the error rate at every length."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.calibration import Calibration
from models.syncnet import SMALL, SyncNet, SyncNetConfig
from pipeline.errors import InputError
from pipeline.sync import offset as sync_offset
from pipeline.sync import reliability
from pipeline.sync import report as sync_report
from pipeline.sync.embedded import Embedded
from pipeline.sync.report import TrackScore
from tests.score_kit import NO_FILE, scorer_of
from training.data import people
from training.data.samples import Clip
from training.evaluate import reliability_fit
from training.evaluate.reliability_fit import Piece

LENGTHS = (15, 25, 50, 125, 250)


def _calibration(**changes: object) -> Calibration:
    plain = Calibration(
        vshift=15,
        windows=(10, 500),
        means=(0.0,) * 11,
        deviations=(1.0,) * 11,
        bias=0.5,
        weights=(0.3,) + (0.0,) * 10,
        slopes=(0.1,) + (0.0,) * 10,
        length=(0.2, 0.05),
        threshold=(1.0, 0.0, 0.0),
        people=7,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def _dists(windows: int, *, depth: float, seed: int, shifts: int = 31) -> np.ndarray:
    """Unrelated windows, with a valley of this depth at shift 3 to the left of the middle."""
    rng = np.random.default_rng(seed)
    dists = rng.normal(10, 1, (windows, shifts))
    dists[:, shifts // 2 - 3] -= depth
    return dists.astype(np.float32)


def test_numbers_are_those_of_the_matrix() -> None:
    """Worked out by hand on a matrix without noise: one shift two nearer, another one nearer."""
    dists = np.full((100, 31), 10, np.float32)
    dists[:, 12] = 8
    dists[:, 20] = 9
    dists[7, 12], dists[8, 12] = 5, 11  # one window nearer, one further: the mean is the same
    numbers = dict(
        zip(reliability.NUMBERS, reliability.numbers(dists, audible_share=0.7), strict=True)
    )
    assert numbers["margin"] == pytest.approx(10 * 1)  # (9 - 8) times the root of 100
    assert numbers["confidence"] == pytest.approx(10 * 2)
    assert numbers["curvature"] == pytest.approx(10 * 4)
    assert numbers["halves_that_agree"] == 2
    assert numbers["at_search_edge"] == 0 and numbers["audible_share"] == 0.7
    assert numbers["shift"] == pytest.approx(3 / 15)
    assert numbers["min_dist"] == pytest.approx(8)


def test_a_calibration_of_before_the_smallest_distance_still_holds() -> None:
    """It weighs eleven numbers, the same as ever; a newer one weighs the twelfth, too."""
    near, far = np.arange(12.0), np.append(np.arange(11.0), 80.0)
    before = _calibration()
    assert len(before.means) == 11 and before.logit(near, 120) == before.logit(far, 120)
    weights = (0.0,) * 11 + (-1.0,)
    now = _calibration(
        means=(0.0,) * 12, deviations=(20.0,) * 12, weights=weights, slopes=(0.0,) * 12
    )
    assert now.logit(near, 120) - now.logit(far, 120) == pytest.approx(4 - 11 / 20)
    grown = now.rescaled(2.0, tuple(map(reliability.NUMBERS.index, reliability.SCALED)))
    assert grown.logit(2 * near, 120) == pytest.approx(now.logit(near, 120))
    assert grown.means == now.means and grown.deviations[11] == 40 and grown.deviations[10] == 20


def test_an_offset_likelier_wrong_than_right_is_not_reliable() -> None:
    """However rarely somebody else's sound reaches its logit."""
    dists = _dists(120, depth=1, seed=1)
    logit = _calibration().logit(reliability.numbers(dists, audible_share=1), 120)
    for beyond, expected in ((-0.01, False), (0.01, True)):
        rule = _calibration(threshold=(-9.0, 0.0, 0.0), bias=0.5 - logit + beyond)
        chance, is_reliable = reliability.probability(dists, rule, audible_share=1)
        assert is_reliable is expected and (chance > 0.5) is expected


def test_silence_is_never_relied_on() -> None:
    """Its distances are those of the padding and of nothing, and as steady as can be."""
    dists, rule = _dists(120, depth=9, seed=1), _calibration(threshold=(-99.0, 0.0, 0.0), bias=9.0)
    assert reliability.probability(dists, rule, audible_share=0.01)[1]
    assert reliability.probability(dists, rule, audible_share=0.0) == (0.0, False)


def test_an_own_piece_placed_wrongly_weighs_as_twelve_of_others() -> None:
    """Own sound is known by a small distance at any offset: that alone is no reason to trust it."""

    def pieces(wrong: int) -> list[Piece]:
        """Two hundred of each kind, told apart by a single number, and some that look like own."""
        own, other = np.eye(12)[0], np.zeros(12)
        return [
            *(Piece("a", 125, 120, own, False, True) for _ in range(200)),
            *(Piece("a", 125, 120, own, False, False) for _ in range(wrong)),
            *(Piece("b", 125, 120, other, True, None) for _ in range(200)),
        ]

    none, some = (
        reliability_fit.fit(pieces(wrong), vshift=15).logit(np.eye(12)[0], 120) for wrong in (0, 20)
    )
    # Twenty among 220 others have a twelfth of their weight; twelvefold they outweigh the right.
    assert none > 3 and some < 0.1


@pytest.mark.parametrize("windows", [1, 2, 3, 400])
def test_numbers_of_flat_distances_are_finite(windows: int) -> None:
    """Flat distances cause no division by zero."""
    assert np.isfinite(
        reliability.numbers(np.full((windows, 31), 4, np.float32), audible_share=0)
    ).all()


def test_audible_share_counts_frames_within_35_db_of_the_loudest() -> None:
    """A loud frame, one 30 dB below it, two of silence; and silence alone."""
    loud = np.full(640, 10_000, np.int16)
    sound = np.concatenate([loud, loud // 31, np.zeros(1280, np.int16)])
    assert reliability.audible_share(sound) == 0.5
    assert reliability.audible_share(np.zeros(6400, np.int16)) == 0
    assert reliability.audible_share(np.zeros(100, np.int16)) == 0


def test_probability_is_the_logistic_of_the_weighted_numbers() -> None:
    """One weight only, at the reference length and at twice that."""
    calibration = _calibration(means=(2.0,) * 11, deviations=(4.0,) * 11)
    for windows, octaves in ((120, 0.0), (240, 1.0)):
        dists = _dists(windows, depth=1, seed=1)
        margin = reliability.numbers(dists, audible_share=1)[0]
        scaled = np.clip((margin - 2) / 4, -6, 6)
        logit = 0.5 + (0.3 + 0.1 * octaves) * scaled + 0.2 * octaves + 0.05 * octaves**2
        numbers, _ = reliability.probability(dists, calibration, audible_share=1)
        assert numbers == pytest.approx(1 / (1 + np.exp(-logit)))


def test_reliable_needs_the_logit_of_the_threshold() -> None:
    """Just at it, and just above."""
    dists = _dists(120, depth=1, seed=1)
    logit = _calibration().logit(reliability.numbers(dists, audible_share=1), 120)
    for least, expected in ((logit - 1e-9, True), (logit + 1e-6, False)):
        rule = _calibration(threshold=(least, 0.0, 0.0))
        assert reliability.probability(dists, rule, audible_share=1)[1] is expected
        judged = sync_offset.judge(dists, reliable_confidence=99, calibration=rule)
        assert judged.reliable is expected
        assert judged.probability == pytest.approx(1 / (1 + np.exp(-logit)))


def test_a_narrower_search_or_shorter_clip_than_fitted_is_not_reliable() -> None:
    """Their chance of being wrong was not measured."""
    sure = _calibration(threshold=(-99.0, 0.0, 0.0))
    assert sync_offset.judge(
        _dists(10, depth=9, seed=1), reliable_confidence=0, calibration=sure
    ).reliable
    for dists in (_dists(9, depth=9, seed=1), _dists(10, depth=9, seed=1, shifts=29)):
        assert not sync_offset.judge(dists, reliable_confidence=0, calibration=sure).reliable


def test_offset_at_search_edge_is_not_reliable_whatever_its_probability() -> None:
    """The true offset may be larger."""
    dists = np.roll(_dists(200, depth=9, seed=1), -12, axis=1)
    sure = _calibration(threshold=(-99.0, 0.0, 0.0))
    judged = sync_offset.judge(dists, reliable_confidence=0, calibration=sure)
    assert judged.at_search_edge and not judged.reliable


def test_without_calibration_shorter_clips_need_more_margin() -> None:
    """Four times fewer windows than 5 s have: twice the margin; longer ones no less."""
    for windows, factor in ((30, 2.0), (120, 1.0), (480, 1.0)):
        dists = np.full((windows, 31), 10, np.float32)
        dists[:, 12] = 8
        for margin, expected in ((2 / factor - 0.01, True), (2 / factor + 0.01, False)):
            judged = sync_offset.judge(dists, reliable_confidence=1, reliable_margin=margin)
            assert judged.reliable is expected and judged.probability is None


def test_calibration_survives_the_weights_configuration() -> None:
    """As JSON and back; configurations written before there was one still load."""
    config = replace(SMALL, calibration=_calibration())
    assert SyncNetConfig.from_json(config.to_json()) == config
    old = json.loads(SMALL.to_json())
    del old["calibration"]
    assert SyncNetConfig.from_json(json.dumps(old)) == SMALL
    broken = asdict(config)
    broken["calibration"]["weights"] = [1.0]
    with pytest.raises(ValueError, match="one weight"):
        SyncNetConfig.from_json(json.dumps(broken))


def _pieces(people_from: int, *, count: int, seed: int) -> list[Piece]:
    """Made pieces: own sound has a valley that varies with the person, foreign has none."""
    rng = np.random.default_rng(seed)
    pieces = []
    for frames in LENGTHS:
        windows = frames - 5
        for index in range(count):
            person = people_from + index % 20
            depth = 0.3 + 0.9 * np.random.default_rng(person).uniform()
            for foreign in (False, True, True):
                dists = _dists(
                    windows, depth=0 if foreign else depth, seed=int(rng.integers(10**9))
                )
                offset = 15 - int(dists.mean(axis=0).argmin())
                pieces.append(
                    Piece(
                        f"p{person}",
                        frames,
                        windows,
                        reliability.numbers(dists, audible_share=1),
                        foreign,
                        None if foreign else abs(offset - 3) <= 1,
                    )
                )
    return pieces


def test_foreign_sound_passes_as_rarely_as_promised_on_other_people() -> None:
    """Fitted on twenty persons, checked on twenty others: 1 % at every length, within chance."""
    calibration = reliability_fit.fit(_pieces(0, count=200, seed=1), vshift=15)
    assert calibration.windows == (10, 245) and calibration.people == 20
    rows = reliability_fit.table(_pieces(100, count=200, seed=2), calibration, seed=1)
    assert [row["seconds"] for row in rows] == [length / 25 for length in LENGTHS]
    for row in rows:
        assert row["foreign"] == 400 and row["foreign_reliable"][0] <= 0.03
        low, high = row["foreign_reliable"][1:]
        assert low <= row["foreign_reliable"][0] <= high
    assert [row["own_reliable"][0] for row in rows] == sorted(r["own_reliable"][0] for r in rows)
    assert rows[-1]["own_reliable"][0] > 0.9 and rows[-1]["right_of_those"][0] > 0.98


def test_intervals_are_over_people_not_pieces() -> None:
    """A hundred equal pieces of one person count as one person."""
    alone = reliability_fit._with_interval([("a", 1.0)] * 100 + [("b", 0.0)] * 100, 1)
    assert alone == [0.5, 0.0, 1.0]
    many = reliability_fit._with_interval([(str(i), float(i % 2)) for i in range(200)], 1)
    assert many is not None and 0.4 < many[1] < 0.5 < many[2] < 0.6


def _clip(name: str) -> Clip:
    return Clip(name, np.zeros((1, 1, 1, 1), np.uint8), np.zeros(1, np.int16))


def test_an_interval_holds_95_of_a_hundred_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """All three draws are of the one that is right in 1 of 27, which is more than 2.5 in 100."""
    monkeypatch.setattr(reliability_fit, "BOOTSTRAPS", 20_000)
    values = [("Anna", 1.0), ("Ben", 0.0), ("Carl", 0.0)]
    assert reliability_fit._with_interval(values, 1) == [0.3333, 0.0, 1.0]


def test_the_bias_of_a_regression_is_free() -> None:
    """Six of eight are right, and nothing else is known: odds of three, however few they are."""
    inputs, right = np.array([[1.0, 0.0]] * 8), np.arange(8) < 6
    bias, weight = reliability_fit._regression(inputs, right, np.ones(8))
    assert bias == pytest.approx(np.log(3), abs=1e-4) and weight == 0


def test_one_person_on_both_sides_is_refused(tmp_path: Path) -> None:
    """By video where nobody says who is who, by people.csv where it does."""
    (tmp_path / "people.csv").write_text("\ufeffreference,person\r\na,ann\r\nb,bob\r\nc,ann\r\n")
    persons = people.read([tmp_path])
    folder = tmp_path.name
    clips = [_clip(f"{folder}/{name}/00000") for name in "abcd"]
    assert [people.person_of(clip, persons) for clip in clips] == [
        *("ann", "bob", "ann"),
        f"{folder}/d",
    ]
    people.check_apart(clips[:1], clips[1:2], persons)
    people.check_apart(clips[3:], clips[:3], persons)
    for others in ([clips[2]], [clips[0]]):
        with pytest.raises(InputError, match="ann is in --data and in --val"):
            people.check_apart(clips[:1], others, persons)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("reference\na\n", "needs the columns reference and person"),
        ("reference,person\na,ann\na,bob\n", "names two persons for a"),
    ],
)
def test_a_people_file_that_is_none_is_named(text: str, words: str, tmp_path: Path) -> None:
    """One sentence with the file."""
    (tmp_path / "people.csv").write_text(text)
    with pytest.raises(InputError, match=words) as refused:
        people.read([tmp_path])
    assert str(tmp_path / "people.csv") in str(refused.value)


def test_probability_of_a_clip_weighs_its_audible_share_and_is_written_down() -> None:
    """From the clip's sound to offsets.json, with four digits; None without a calibration."""
    weights = (0.0,) * 9 + (2.0, 0.0)  # the audible share alone
    model = SyncNet(replace(SMALL, calibration=_calibration(weights=weights, slopes=(0.0,) * 11)))
    lips = torch.eye(120, 128)
    embedded = Embedded(125, 80_000, np.ones(120, bool), 0.25, 0.0, lips, lips, None)
    score = scorer_of(model).compare(embedded, file="00000.avi")
    assert score.sync is not None and score.sync.probability is not None
    assert score.sync.probability == pytest.approx(1 / (1 + np.exp(-(0.5 + 2 * 0.25))))
    track = TrackScore(0, 0.0, 5.0, score, (), {}, NO_FILE)
    row = sync_report.row(track)
    assert row["probability"] == round(score.sync.probability, 4) == 0.7311
    silent = sync_report.row(replace(track, clip=replace(score, sync=None)))
    assert silent["probability"] is None


def test_each_piece_meets_its_own_and_only_other_peoples_sound(
    monkeypatch: pytest.MonkeyPatch, cpu: torch.device
) -> None:
    """An oracle whose embeddings name the person and the moment: own offsets right, others not."""
    codes = torch.nn.functional.normalize(
        torch.randn(4, 1000, 64, generator=torch.Generator().manual_seed(1)), dim=2
    )

    def embed(_: object, clip: Clip, *, first: int, frames: int, device: object) -> Any:
        number = int(clip.name.split("/")[1])
        lips = codes[number, first : first + frames - 5]
        lead = 2  # the sound leads by two frames
        return lips, codes[number, first + lead : first + lead + frames - 5]

    monkeypatch.setattr(reliability_fit, "embed_piece", embed)
    pictures, sound = np.zeros((900, 1, 1, 1), np.uint8), np.ones(900 * 640, np.int16)
    clips = [Clip(f"d/{number}/00000", pictures, sound) for number in range(4)]
    persons = {"d/0": "ann", "d/1": "ann"}  # two videos of one person
    options = reliability_fit.Options(pieces=6, foreign=9)
    pieces = reliability_fit.measure(
        SyncNet(SMALL), clips, options=options, persons=persons, device=cpu
    )
    own = [piece for piece in pieces if not piece.foreign]
    assert len(own) == 6 * len(reliability_fit.FRAMES) and all(piece.right for piece in own)
    assert {piece.person for piece in own} == {"ann", "d/2", "d/3"}
    for frames in reliability_fit.FRAMES:
        foreign = [piece for piece in pieces if piece.foreign and piece.frames == frames]
        # Two of six pieces are each person's: each meets the four of the two others.
        assert len(foreign) == 6 * 4 and {piece.windows for piece in foreign} == {frames - 5}
    long = [piece for piece in pieces if piece.frames == 375]
    margin = reliability.NUMBERS.index("margin")
    assert min(p.numbers[margin] for p in long if not p.foreign) > max(
        p.numbers[margin] for p in long if p.foreign
    )


def test_clips_whose_pieces_disagree_are_not_measured(
    monkeypatch: pytest.MonkeyPatch, cpu: torch.device
) -> None:
    """As of voice-over. Nor are clips too short for thirds of 2 s."""
    generator = torch.Generator().manual_seed(2)

    def embed(_: object, clip: Clip, *, first: int, frames: int, device: object) -> Any:
        lips = torch.randn(frames - 5, 64, generator=generator)
        own = "own" in clip.name
        return lips, lips if own else torch.randn(frames - 5, 64, generator=generator)

    monkeypatch.setattr(reliability_fit, "embed_piece", embed)
    clips = [
        Clip(f"d/{name}/00000", np.zeros((frames, 1, 1, 1), np.uint8), np.zeros(1, np.int16))
        for name, frames in (
            ("own", 375),
            ("own_in_thirds", 150),
            ("other", 900),
            ("own_short", 149),
        )
    ]
    offsets = reliability_fit.own_offsets(SyncNet(SMALL), clips, vshift=15, device=cpu)
    assert offsets == {"d/own/00000": 0.0, "d/own_in_thirds/00000": 0.0}
