"""The verdict of a video, its sentence and grades, reasons, and video.json."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.calibration import Calibration
from models.syncnet import SMALL, SyncNet
from models.weights import WeightsFile
from pipeline.errors import InputError
from pipeline.evidence.blocks import evidence_of
from pipeline.evidence.limits import SURE_FAR
from pipeline.evidence.parts import Drift, Part
from pipeline.evidence.peak import peak
from pipeline.faces.tracks import Track
from pipeline.media import decode
from pipeline.speakers.one_face import stretches
from pipeline.sync import reliability, report, stage
from pipeline.sync.embedded import Embedded
from pipeline.sync.embeddings import SyncNetModel, distances
from pipeline.sync.offset import Sync
from pipeline.sync.reliability import silent_windows
from pipeline.sync.report import TrackScore
from pipeline.sync.scorer import SyncScorer
from pipeline.verdict import reasons, sentences
from pipeline.verdict.answer import Answer, answer, surplus_of
from pipeline.verdict.decide import decide
from pipeline.verdict.reasons import Signs
from pipeline.verdict.standards import grades
from pipeline.verdict.tracks import JudgedTrack, judge
from pipeline.verdict.traits import SoundTraits, lip_variation, sound_traits
from pipeline.verdict.video import Reason, Shot, VideoVerdict, read_verdict, write_verdict
from tests.field_kit import CPU
from tests.verdict_kit import SPEECH, constantly, embedded, talker


@pytest.fixture(scope="module")
def scorer() -> SyncScorer:
    """Its network is never asked; without a calibration nothing near is reliable by itself."""
    model = SyncNetModel(SyncNet(SMALL), WeightsFile("judge.pth", "ab" * 32), device=CPU)
    return SyncScorer(device=CPU, model=model)


def _judged(
    scorer: SyncScorer, made: Embedded, *, start_s: float = 0.0, track: int = 0
) -> JudgedTrack:
    score = scorer.compare(made, file="00000.avi")
    return judge(track, made, score, start_s=start_s)


def _decided(*tracks: JudgedTrack, **also: Any) -> VideoVerdict:
    end_s = max((track.end_s for track in tracks), default=0.0)
    usual: dict[str, Any] = {"shots_s": [(t.start_s, t.end_s) for t in tracks], "end_s": end_s}
    return decide("talk", tracks, **usual | also, settings={"vshift": 15})


@pytest.mark.parametrize(
    ("offset", "verdict", "words", "atsc"),
    [
        (0.0, "in_sync", "Sound and picture are in sync: the sound is ", "pass"),
        (3.0, "early", " ms early: delay it by that much.", "fail"),
        (-50.0, "late", " ms late: play it that much sooner.", "fail"),
    ],
)
def test_one_face_decides_alone(
    offset: float, verdict: str, words: str, atsc: str, scorer: SyncScorer
) -> None:
    """Near or far, for its clip and for the video, which lasts from its start to its end."""
    track = _judged(scorer, embedded(*talker(500, constantly(offset))), start_s=1.0)
    assert track.answer is not None and track.answer.search == "wide" and track.reliable
    assert track.answer.offset_frames == offset and track.reason is None
    assert track.over_time is not None and track.over_time.kind == "constant"
    decided = _decided(track, end_s=25.0)
    assert (decided.verdict, decided.reliable, decided.reference) == (verdict, True, "talk")
    assert decided.offset_ms == pytest.approx(40 * offset, abs=8) and words in decided.sentence
    assert decided.parts == (Part(0.0, 25.0, decided.offset_ms, True),)
    assert decided.shots == (Shot(1.0, 21.2, decided.offset_ms, True, (0,)),)
    assert decided.standards["atsc"] == atsc and decided.drift is None and decided.reasons == ()


def test_short_shots_decide_together(scorer: SyncScorer) -> None:
    """Each says by itself that it is too short; together they are late."""
    tracks = [
        _judged(
            scorer,
            embedded(*talker(70, constantly(-5), noise=4.0, seed=n)),
            start_s=3.0 * n,
            track=n,
        )
        for n in range(10)
    ]
    decided = _decided(*tracks)
    assert decided.verdict == "late" and decided.offset_ms == pytest.approx(-200, abs=20)
    unsure = [track.track for track in tracks if not track.reliable]
    assert len(unsure) >= 5
    assert [(reason.track, reason.code) for reason in decided.reasons] == [
        (number, "too_short") for number in unsure
    ]
    assert [shot.reliable for shot in decided.shots] == [track.reliable for track in tracks]


def test_a_step_at_a_cut_makes_parts(scorer: SyncScorer) -> None:
    """Parts meet at the cut and span the video; its worst part is what is graded."""
    early = _judged(scorer, embedded(*talker(295, constantly(3))), start_s=0.0)
    on_time = _judged(scorer, embedded(*talker(495, constantly(0), seed=2)), start_s=12.0, track=1)
    decided = _decided(early, on_time, end_s=33.0)
    assert decided.verdict == "steps" and decided.reliable
    assert [(part.start_s, part.end_s) for part in decided.parts] == [(0.0, 12.0), (12.0, 33.0)]
    assert [part.offset_ms for part in decided.parts] == pytest.approx([120, 0], abs=8)
    assert decided.offset_ms == decided.parts[1].offset_ms  # the longer one's
    assert decided.standards == {"bt1359": "unacceptable", "atsc": "fail", "ebu": "fail"}
    assert [shot.tracks for shot in decided.shots] == [(0,), (1,)]
    assert "ms early from 0.0 s" in decided.sentence and "from 12.0 s" in decided.sentence


def test_a_drift_is_one_part_and_a_line(scorer: SyncScorer) -> None:
    made = embedded(*talker(1500, lambda t: t / 10))  # 4 ms a second
    decided = _decided(_judged(scorer, made))
    assert decided.verdict == "drifts" and decided.drift is not None
    assert decided.drift.ms_per_min == pytest.approx(240, rel=0.1)
    (part,) = decided.parts
    assert part.offset_ms == pytest.approx(decided.drift.offset_ms(part.end_s / 2), abs=5)
    assert "drifts by +2" in decided.sentence and decided.standards["bt1359"] == "unacceptable"


def test_a_listener_beside_the_speaker_changes_nothing(scorer: SyncScorer) -> None:
    """Both in one shot; of three faces one that is reliable is enough."""
    lips, sound = talker(300, constantly(-4))
    speaker = _judged(scorer, embedded(lips, sound))
    others = [
        _judged(scorer, embedded(talker(300, constantly(0), seed=n)[0], sound), track=n)
        for n in (7, 8)
    ]
    decided = _decided(speaker, *others, shots_s=[(0.0, 12.2)])
    assert decided.verdict == "late" and decided.offset_ms == pytest.approx(-160, abs=10)
    assert [reason.track for reason in decided.reasons] == [7, 8]
    assert [shot.tracks for shot in decided.shots] == [(0, 7, 8)] and decided.shots[0].reliable


def test_nothing_can_be_told_of_strangers_or_without_faces(scorer: SyncScorer) -> None:
    lips, sound = talker(300, constantly(0))[0], talker(300, constantly(0), seed=9)[1]
    stranger = _judged(scorer, embedded(lips, sound))
    decided = _decided(stranger)
    assert (decided.verdict, decided.offset_ms, decided.reliable) == ("cannot_be_told", None, False)
    assert decided.parts == () and set(decided.standards.values()) == {None}
    assert [(r.track, r.code) for r in decided.reasons] == [
        (0, "no_speech_on_screen"),
        (None, "no_speech_on_screen"),
    ]
    assert decided.sentence.startswith(
        "Whether sound and picture are together cannot be told: the "
    )
    assert decided.shots == (Shot(0.0, 12.2, None, False, (0,)),)
    empty = _decided()
    assert empty.verdict == "cannot_be_told" and empty.reasons == (reasons.NO_FACE,)
    assert "no face" in empty.sentence and empty.shots == ()


GOOD = Signs(seconds=12.0, sound=SPEECH, lip_variation=0.3, face_px=120.0, cancels=False)


@pytest.mark.parametrize(
    ("signs", "code"),
    [
        (replace(GOOD, seconds=0.0, sound=SoundTraits(-200.0, None)), "silent_sound"),
        (replace(GOOD, sound=SoundTraits(-61.0, 0.5)), "silent_sound"),
        (replace(GOOD, seconds=0.0), "too_short"),
        (replace(GOOD, cancels=True), "cancelled_sound"),
        (replace(GOOD, face_px=49.0), "face_too_small"),
        (replace(GOOD, lip_variation=0.06), "mouth_hidden"),
        (replace(GOOD, sound=SoundTraits(-12.0, 0.16)), "music_only"),
        (replace(GOOD, seconds=4.9), "too_short"),
        (replace(GOOD, sound=SoundTraits(-12.0, None), face_px=None), "no_speech_on_screen"),
    ],
)
def test_each_reason_has_its_sign(signs: Signs, code: str) -> None:
    """With a sentence of what is the case, and one of what to do."""
    reason = reasons.of_track(4, signs)
    assert (reason.track, reason.code) == (4, code)
    assert reason.text.endswith(".") and reason.advice.endswith(".")
    assert reasons.of_video([reason, reasons.of_track(5, GOOD), reason]).code == code


def test_sound_traits_tell_silence_music_and_speech(example: Path) -> None:
    """Levels from the definition; a chord and noise have no syllables, the example's speech has."""
    times_s = np.arange(16000 * 6) / 16000
    tones = [3000 * np.sin(2 * np.pi * f * times_s) for f in (440, 550, 660)]
    chord = np.sum(tones, axis=0)
    assert sound_traits(np.zeros(32000, np.int16)) == SoundTraits(-200.0, None)
    square = np.tile(np.array([16384, -16384], np.int16), 8000)
    assert sound_traits(square).loudest_db == pytest.approx(-6.02, abs=0.01)
    assert sound_traits(square).rhythm is None  # a second
    noise = np.random.default_rng(1).normal(0, 2000, 16000 * 70)
    for sound in (chord, noise):
        rhythm = sound_traits(sound.astype(np.int16)).rhythm
        assert rhythm is not None and rhythm < reasons.LEAST_RHYTHM / 2
    speech, _ = decode.read_sound(example, info=decode.probe(example))
    rhythm = sound_traits(speech).rhythm
    assert rhythm is not None and rhythm > 2 * reasons.LEAST_RHYTHM


def test_lips_that_stay_do_not_vary() -> None:
    assert lip_variation(torch.ones(50, 8)) == pytest.approx(0)
    assert lip_variation(torch.eye(8)) == pytest.approx(1 - 1 / 8)
    assert lip_variation(torch.zeros(0, 8)) == 0


@pytest.mark.parametrize(
    ("offset_ms", "bt1359", "atsc", "ebu"),
    [
        (15, "undetectable", "pass", "pass"),
        (16, "undetectable", "fail", "pass"),
        (-45, "undetectable", "pass", "pass"),
        (-46, "undetectable", "fail", "pass"),
        (40, "undetectable", "fail", "pass"),
        (41, "undetectable", "fail", "fail"),
        (46, "detectable", "fail", "fail"),
        (-60, "undetectable", "fail", "pass"),
        (-61, "undetectable", "fail", "fail"),
        (-125, "undetectable", "fail", "fail"),
        (-126, "detectable", "fail", "fail"),
        (90, "detectable", "fail", "fail"),
        (91, "unacceptable", "fail", "fail"),
        (-185, "detectable", "fail", "fail"),
        (-186, "unacceptable", "fail", "fail"),
    ],
)
def test_grades_are_those_of_the_standards(
    offset_ms: float, bt1359: str, atsc: str, ebu: str
) -> None:
    """At every limit and a millisecond beyond it; the worst offset counts."""
    wanted = {"bt1359": bt1359, "atsc": atsc, "ebu": ebu}
    assert grades([offset_ms]) == grades([0.0, offset_ms]) == wanted
    assert set(grades([]).values()) == {None}


def test_sentences_name_a_few_parts() -> None:
    parts = [Part(10.0 * n, 10.0 * n + 10, 100.0 * n, True) for n in range(6)]
    sentence = sentences.of("steps", parts, None, [])
    assert "on time from 0.0 s, 100 ms early from 10.0 s" in sentence and "2 more times" in sentence
    drift = Drift(-10.0, 60.0, (50.0, 70.0))
    assert sentences.of("drifts", [Part(0, 60, 20.0, True)], drift, []) == (
        "The sound drifts by +60 ms a minute (+50 to +70): it is 10 ms late at the start and "
        "50 ms early at the end, which no single delay mends."
    )


VERDICT = VideoVerdict(
    reference="talk",
    verdict="drifts",
    sentence="It drifts.",
    offset_ms=20.0,
    reliable=True,
    standards={"bt1359": "undetectable", "atsc": "fail", "ebu": None},
    parts=(Part(0.0, 60.0, 20.0, True),),
    drift=Drift(-10.0, 60.0, (50.0, 70.0)),
    shots=(Shot(0.0, 60.0, None, False, (0, 2)),),
    reasons=(Reason(None, "too_short", "It is short.", "Take more."),),
    settings={"vshift": 15},
)


def test_a_verdict_comes_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "video.json"
    for verdict in (VERDICT, replace(VERDICT, drift=None, offset_ms=None, parts=())):
        write_verdict(path, verdict)
        assert read_verdict(path) == verdict


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, r"is not there; run run_syncnet\.py first\.$"),
        ("{", r"is damaged; run run_syncnet\.py again\.$"),
        ("[]", r"has another format; run run_syncnet\.py again\.$"),
        ('{"verdict": "fine", "drift": null}', r"has another format"),
    ],
)
def test_files_that_are_no_verdict_are_refused(
    text: str | None, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "video.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_verdict(path)


@pytest.mark.parametrize("field", ["parts", "shots", "reasons", "sentence"])
def test_a_verdict_that_lacks_a_field_is_refused(field: str, tmp_path: Path) -> None:
    path = tmp_path / "video.json"
    write_verdict(path, VERDICT)
    stored = json.loads(path.read_text())
    del stored[field]
    path.write_text(json.dumps(stored))
    with pytest.raises(InputError, match="has another format"):
        read_verdict(path)


def test_rows_have_the_wide_answer_and_the_demos_table_the_near_one(scorer: SyncScorer) -> None:
    """An edge of the near search is none of the wide one; no calibration speaks of it."""
    made = embedded(*talker(500, constantly(40)))
    score = scorer.compare(made, file="00000.avi")
    assert score.sync is not None
    near = replace(score.sync, offset_frames=-15, at_search_edge=True, probability=0.1)
    score = replace(score, sync=near)
    judged = judge(0, made, score, start_s=0.0)
    track = TrackScore(
        0, 0.0, 20.0, score, (), {}, scorer.model.weights_file, judged.answer, judged.over_time
    )
    row = report.row(track)
    assert (row["search"], row["offset_frames"], row["reliable"]) == ("wide", 40, True)
    assert row["offset_ms"] == pytest.approx(1600, abs=8)
    assert row["at_search_edge"] is False and row["probability"] is None
    assert (track.offset_frames, track.reliable) == (40, True)
    assert report.offsets_text([track]).splitlines()[1].split("\t")[1] == "-15"
    assert "+40 ( +160" in report.table([track])[1]
    unsure = replace(track, answer=None)
    assert (report.row(unsure)["at_search_edge"], unsure.offset_frames) == (True, -15)


@pytest.mark.parametrize(
    ("lead_offset", "near_surplus", "search", "reliable"),
    [
        (0, 0.0, "near", True),  # both searches say the same
        (40, 0.0, "wide", True),  # another leads by far
        (None, 0.0, "near", False),  # none leads: one in a hundred others is reliable near
        (None, 50.0, "near", True),  # unless the near search is more than sure
    ],
)
def test_both_searches_are_asked(
    lead_offset: int | None, near_surplus: float, search: str, reliable: bool
) -> None:
    """A near offset that does not lead within five seconds is not relied on."""
    lips, sound = talker(300, constantly(lead_offset or 0))
    if lead_offset is None:
        sound = talker(300, constantly(0), seed=9)[1]
    sync = Sync(0, 4.0, 1.0, 9.0, 1.0, np.zeros(300, np.float32), False, True, None)
    evidence = evidence_of(lips, sound, np.ones(300, bool))
    given = answer(sync, evidence, lambda offset: near_surplus if offset == 0 else 0.0)
    assert (given.search, given.reliable) == (search, reliable)
    assert given.offset_frames == (lead_offset if search == "wide" else 0)
    unsure = answer(replace(sync, reliable=False), evidence, lambda _: 0.0)
    assert unsure.reliable == (lead_offset is not None)


def test_too_short_a_clip_has_the_near_searchs_word_only() -> None:
    """Of 45 windows no offset is compared with others over five seconds."""
    lips, sound = talker(45, constantly(0))
    sync = Sync(0, 4.0, 1.0, 9.0, 1.0, np.zeros(45, np.float32), False, True, None)
    assert answer(sync, evidence_of(lips, sound, np.ones(45, bool)), lambda _: -9.0).reliable


def test_what_leads_too_little_needs_the_near_search_around_it() -> None:
    """The same offset is claimed with its consent, and not against it."""
    lips, sound = talker(200, constantly(50), noise=3.8, seed=5)
    evidence = evidence_of(lips, sound, np.ones(200, bool))
    best = peak(evidence)
    assert best is not None and best.offset_frames == 50 and 0.5 < best.lead < SURE_FAR
    sync = Sync(0, 4.0, 1.0, 1.0, 0.1, np.zeros(200, np.float32), False, False, None)
    for surplus, claimed in ((20.0, True), (-20.0, False)):
        given = answer(sync, evidence, lambda offset: surplus * (offset == 50))  # noqa: B023
        assert (given.search == "wide", given.reliable) == (claimed, claimed)


def test_surplus_is_of_the_distances_around_an_offset() -> None:
    """Of lips and sound that are 40 frames apart: high there, low elsewhere; none of no network."""
    made = embedded(*talker(300, constantly(40)))
    plain = Calibration(
        vshift=15,
        windows=(10, 500),
        means=(0.0,) * 11,
        deviations=(1e3,) * 11,
        bias=0.0,
        weights=(1.0,) + (0.0,) * 10,
        slopes=(0.0,) * 11,
        length=(0.0, 0.0),
        threshold=(0.01, 0.0, 0.0),
        people=2,
    )
    surplus = surplus_of(made, plain)
    moved = made.centred_on(40)
    assert moved.has_sound.tolist() == [False] * 40 + [True] * 260
    assert torch.equal(moved.sound[40:], made.sound[:260]) and not moved.sound[:40].any()
    dists = distances(made.lips[40:], made.sound[:260], vshift=15)
    margin = np.sort(dists.mean(axis=0))
    assert surplus(40) == pytest.approx(
        reliability.numbers(dists, audible_share=1.0)[0] / 1e3 - 0.01
    )
    assert margin[0] == dists.mean(axis=0)[15] and surplus(40) > surplus(0)
    assert surplus_of(made, None)(40) == 0.0


@pytest.mark.parametrize("offset", [0, 40])
def test_who_speaks_is_asked_around_the_wide_offset(offset: int, scorer: SyncScorer) -> None:
    """The middle column is the track's own offset, where that is beyond all near shifts."""
    made = embedded(*talker(300, constantly(offset)))
    score = scorer.compare(made, file="00000.avi")
    judged = judge(0, made, score, start_s=0.0)
    judged = replace(judged, answer=Answer("wide" if offset else "near", offset, 0.0, True))
    track = Track(np.arange(10, 315), np.zeros((305, 4)))
    compared = stage._compared(scorer, made, score, judged, track)
    assert (compared.start_frame, compared.frames) == (10, 305)
    assert compared.offset_frames == offset
    assert compared.dists[offset:].mean(axis=0).argmin() == 15
    assert (offset == 0) == np.array_equal(compared.dists, score.dists)


def test_long_silences_tell_nothing(scorer: SyncScorer) -> None:
    """Pauses of speech do; windows with any sound, too."""
    samples = np.zeros(640 * 200, np.int16)
    for first, end in ((40, 100), (120, 150)):
        samples[640 * first : 640 * end] = 5000
    silent = silent_windows(samples, 195)
    assert stretches(silent) == [(0, 36), (150, 195)]
    assert silent_windows(np.zeros(640 * 50, np.int16), 45).all()
    assert not len(silent_windows(np.zeros(0, np.int16), 0))
    lips, sound = talker(195, constantly(0))
    judged = _judged(scorer, replace(embedded(lips, sound), is_silent=silent))
    counted = judged.evidence.windows[:, judged.evidence.largest].sum()
    assert counted == np.count_nonzero(~silent)
