"""Who of several faces speaks, and when nobody on screen does."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from models.features import SAMPLES_PER_FRAME
from pipeline.errors import InputError
from pipeline.labelling import marks_by_frame
from pipeline.speakers import decide, files
from pipeline.speakers.decide import Face, max_margins, who_speaks
from pipeline.speakers.evidence import Match, by_sound_frame, for_speech, match
from pipeline.speakers.files import Speaking, TrackSpeech
from pipeline.speakers.sound import Sound, audible_frames, listen
from pipeline.speakers.turns import find_turns
from pipeline.speakers.video import ScoredTrack, who_speaks_in_video
from pipeline.speakers.voices import voice_likelihood
from pipeline.store.workspace import Workspace
from tests.test_visualise import work  # noqa: F401 - a fixture

NOBODY = -1


def _voice(frames: int, *, tone: float, seed: int) -> np.ndarray:
    """Noise of one colour, loud and soft by turns as syllables are."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 3000, frames * SAMPLES_PER_FRAME + 1)
    syllables = np.repeat(rng.uniform(0.3, 1, frames), SAMPLES_PER_FRAME)
    return (noise[1:] + tone * noise[:-1]) * syllables


def _conversation(*turns: tuple[int, int], tones: tuple[float, ...] = (0.9, -0.9, 0.0)) -> tuple:
    """(speaker, frames) turns as sound and truth; nobody on screen is speaker -1."""
    truth = np.repeat([speaker for speaker, _ in turns], [frames for _, frames in turns])
    samples = np.zeros(len(truth) * SAMPLES_PER_FRAME)
    for number, tone in enumerate(tones):
        speaker = NOBODY if number == len(tones) - 1 else number
        own = np.repeat(truth == speaker, SAMPLES_PER_FRAME)
        samples[own] = _voice(len(truth), tone=tone, seed=number)[own]
    return samples.astype(np.int16), truth


def _lips(truth: np.ndarray, speaker: int, *, column: int = 15, seed: int = 5) -> np.ndarray:
    """Distances of lips that go with the sound in their own turns, else with any by chance."""
    rng = np.random.default_rng((seed, speaker + 1))
    windows = len(truth) - 5
    dists = rng.normal(12, 1, (windows, 31)).astype(np.float32)
    dists[np.arange(windows), rng.integers(0, 31, windows)] -= 4
    # Column 15 + k compares with the sound k frames later.
    heard = np.clip(np.arange(windows) + 2 + column - 15, 0, len(truth) - 1)
    own = (truth[heard] == speaker) & (rng.random(windows) < 0.8)
    dists[own, column] -= 6
    dists[own, column - 1] -= 3
    dists[own, column + 1] -= 3
    return dists


def _decided(truth: np.ndarray, samples: np.ndarray, *dists: np.ndarray) -> np.ndarray:
    """(frames,) who is said to speak."""
    tracks = [ScoredTrack(0, len(truth), rows) for rows in dists]
    speaking = who_speaks_in_video(tracks, samples, frames=len(truth), frame_rate=25)
    speaks = np.array([track.speaks for track in speaking.tracks])
    assert speaks.sum(axis=0).max() <= 1, "two faces speak at once"
    return np.where(speaks.any(axis=0), speaks.argmax(axis=0), NOBODY)


TURNS = ((0, 80), (1, 60), (0, 100), (1, 125), (0, 55), (1, 80))
OFF_SCREEN = ((0, 80), (NOBODY, 75), (1, 100), (0, 90), (NOBODY, 90), (1, 65))


@pytest.mark.parametrize("turns", [TURNS, OFF_SCREEN])
@pytest.mark.parametrize("columns", [(15, 15), (13, 17)])
def test_two_faces_take_turns(turns: tuple[tuple[int, int], ...], columns: tuple[int, int]) -> None:
    """Without a pause; edges are where the voice changes, and a voice from off screen is nobody's.

    Each face may have an offset of its own: when it speaks is said on the clock of the sound.
    """
    samples, truth = _conversation(*turns)
    lips = [_lips(truth, number, column=column) for number, column in enumerate(columns)]
    decided = _decided(truth, samples, *lips)
    assert (decided == truth).mean() > 0.97


def test_a_face_whose_sound_is_seconds_late_speaks_when_it_is_heard() -> None:
    """Its distances are those around its offset, 50 frames: on screen, 2 s before it is heard."""
    samples, truth = _conversation(*TURNS)
    heard = np.append(np.full(50, NOBODY), truth)[: len(truth)]
    samples = np.append(np.zeros(50 * SAMPLES_PER_FRAME, np.int16), samples)[: len(samples)]
    tracks = [ScoredTrack(0, len(truth), _lips(truth, n), offset_frames=-50) for n in (0, 1)]
    speaking = who_speaks_in_video(tracks, samples, frames=len(truth), frame_rate=25)
    speaks = np.array([track.speaks for track in speaking.tracks])
    decided = np.where(speaks.any(axis=0), speaks.argmax(axis=0), NOBODY)
    assert (decided == heard).mean() > 0.95


def test_faces_agree_by_their_whole_offset() -> None:
    """Two that hardly stand out help each other at one lag only, whatever column it is in."""
    together = {n: Match(np.full(50, 22), 1.2) for n in (0, 1)}
    for offset_frames, both in ((0, True), (3, True), (40, False)):
        faces = [Face(0, 50, np.zeros((45, 31))), Face(0, 50, np.zeros((45, 31)), offset_frames)]
        assert bool(decide._speakers(together, {}, faces)) == both


@pytest.mark.parametrize(("shifts", "offset_frames"), [(31, 0), (31, 40), (41, 0)])
def test_a_face_stands_out_sooner_where_its_sound_is_expected(
    shifts: int, offset_frames: int
) -> None:
    """Around no lag, or the one that is known; by chance others stand out more often."""
    face = Face(0, 50, np.zeros((45, shifts)), offset_frames)
    for away, standing, speaks in (
        *((0, 1.1, True), (3, 1.1, True), (-3, 1.1, True), (0, 0.9, False)),
        *((4, 1.1, False), (-4, 1.7, False), (4, 1.8, True), (-9, 1.8, True)),
    ):
        candidate = {0: Match(np.full(50, shifts // 2 + away), standing)}
        assert bool(decide._speakers(candidate, {}, [face])) == speaks, (away, standing)
    # A track shorter than the search has no sound at most other shifts.
    short = Face(0, 50, np.zeros((shifts - 1, shifts)), offset_frames)
    for standing, speaks in ((1.1, False), (1.8, True)):
        candidate = {0: Match(np.full(50, shifts // 2), standing)}
        assert bool(decide._speakers(candidate, {}, [short])) == speaks


def test_no_frame_says_more_than_three() -> None:
    """A window in which one of 31 shifts is all that fits says log 31, which is more."""
    dists = np.full((40, 31), 10.0)
    dists[np.arange(40), np.arange(40) % 2 + 15] = 1.0
    evidence = by_sound_frame(dists, frames=45)
    assert evidence.max() == 3.0 and evidence.min() < -1


@pytest.mark.parametrize("edge", [0, -1])
def test_the_ends_of_the_search_are_no_shift(edge: int) -> None:
    """The sound may fit better still beyond them."""
    evidence = np.zeros((100, 31))
    evidence[:, edge], evidence[:, 12] = 2.0, 0.5
    found = match(evidence, np.ones(100, bool), np.array([0, 50, 100]))
    assert found.column == 12 and found.standing > 0


def test_clear_lips_are_believed_and_refused_sooner() -> None:
    """The same evidence, of a face that is otherwise clear and of one that hardly is."""
    audible, turns = np.ones(300, bool), np.array([0, 100, 200, 300])
    clear, faint = (np.repeat([height, -0.4, 0.2], 100) for height in (1.8, 0.5))
    of_clear, of_faint = (for_speech(own, audible, turns) for own in (clear, faint))
    assert of_clear[50] > 3 * of_faint[50] > 0 > of_faint[150] > of_clear[150]
    assert of_clear[250] < 0 < of_faint[250]
    loud = audible & (np.arange(300) >= 100)
    assert (for_speech(clear, loud, turns)[150] > of_clear[150]).all()  # of what is heard alone
    cannot_tell = np.where(np.arange(300) < 10, 0.0, clear)
    assert (for_speech(cannot_tell, audible, turns)[:10] == 0).all()


def test_foreign_sound_is_nobodys() -> None:
    """Three listeners, and a voice that goes on for half a minute."""
    samples, truth = _conversation((NOBODY, 750))
    decided = _decided(truth, samples, *(_lips(truth, number) for number in range(3)))
    assert (decided == NOBODY).all()


def test_one_face_alone_speaks_all_the_time() -> None:
    """Also on the frames that no window is centred on."""
    samples, truth = _conversation((0, 300))
    assert (_decided(truth, samples, _lips(truth, 0)) == 0).all()


def test_an_offset_that_drifts_is_followed() -> None:
    """Five frames within 80 s, as phones record it."""
    samples, truth = _conversation((0, 2000))
    pieces = np.array_split(np.arange(1995), 6)
    dists = [_lips(truth, 0, column=12 + n)[piece] for n, piece in enumerate(pieces)]
    decided = _decided(truth, samples, np.concatenate(dists))
    assert (decided == 0).mean() > 0.95


def test_long_pauses_are_no_speech_and_a_cough_is_no_turn() -> None:
    """A second of silence parts two sentences, half a second does not; 0.3 s alone are dropped."""
    samples, truth = _conversation((0, 500))
    quiet = samples.reshape(-1, SAMPLES_PER_FRAME).copy()
    quiet[100:112] = quiet[200:230] = quiet[400:430] = quiet[438:470] = 0
    decided = _decided(truth, quiet.reshape(-1), _lips(truth, 0))
    assert (decided[:200] == 0).all() and (decided[200:230] == NOBODY).all()
    assert (decided[230:400] == 0).all() and (decided[400:470] == NOBODY).all()
    assert (decided[470:] == 0).all()


def test_faces_are_compared_within_their_shot_only() -> None:
    """Two shots of one face each, at 50 frames per second, too; nobody speaks before them."""
    samples, truth = _conversation((NOBODY, 50), (0, 200), (1, 200))
    first, second = _lips(truth, 0)[50:245], _lips(truth, 1)[250:445]
    for rate in (25, 50):
        scale = rate // 25
        tracks = [
            ScoredTrack(50 * scale, 200 * scale, first),
            ScoredTrack(250 * scale, 200 * scale, second),
        ]
        speaking = who_speaks_in_video(tracks, samples, frames=450 * scale, frame_rate=rate)
        assert [len(track.scores) for track in speaking.tracks] == [200 * scale] * 2
        assert [track.start_frame for track in speaking.tracks] == [50 * scale, 250 * scale]
        assert [track.speech_s for track in speaking.tracks] == [((2.0, 10.0),), ((10.0, 18.0),)]
        assert speaking.nobody_s == ((0.0, 2.0),)


def test_a_track_that_ends_after_the_video_keeps_its_frames() -> None:
    """The file's header may say less than was decoded."""
    samples, truth = _conversation((0, 200), (NOBODY, 50))
    tracks = [ScoredTrack(0, 250, _lips(truth, 0))]
    whole, short = (
        who_speaks_in_video(tracks, samples, frames=frames, frame_rate=25) for frames in (250, 100)
    )
    assert whole.tracks[0].speech_s == short.tracks[0].speech_s == ((0.0, 8.0),)
    assert whole.nobody_s == short.nobody_s == ((8.0, 10.0),)


def test_a_face_does_not_speak_before_it_is_on_screen() -> None:
    """The other one's voice goes on, but its face comes late."""
    samples, truth = _conversation((1, 100), (0, 100), (1, 100))
    tracks = [ScoredTrack(0, 300, _lips(truth, 0)), ScoredTrack(150, 150, _lips(truth, 1)[150:])]
    speaking = who_speaks_in_video(tracks, samples, frames=300, frame_rate=25)
    [(start_s, end_s)] = speaking.tracks[1].speech_s
    assert start_s == pytest.approx(8, abs=0.2) and end_s == 12


def test_tracks_that_cannot_tell_do_not_speak() -> None:
    """No windows, no frames with sound, or none at all."""
    empty = ScoredTrack(0, 40, np.zeros((0, 31), np.float32))
    silence = np.zeros(40 * SAMPLES_PER_FRAME, np.int16)
    for samples in (silence, silence[:0], None):
        speaking = who_speaks_in_video([empty], samples, frames=40, frame_rate=25)
        assert not speaking.tracks[0].speaks.any() and speaking.nobody_s == ()
    assert who_speaks_in_video([], None, frames=0, frame_rate=25).tracks == ()
    narrow = np.zeros((35, 3), np.float32)
    assert (who_speaks([Face(0, 40, narrow)], listen(silence, np.ones(40, bool))) < 0).all()


def test_turns_begin_where_the_voice_changes() -> None:
    """Within the fifth of a second that boundaries are apart."""
    samples, truth = _conversation(*TURNS)
    audible = audible_frames(samples, frames=len(truth))
    turns = find_turns(listen(samples, audible))
    assert turns[0] == 0 and turns[-1] == len(truth) and (np.diff(turns) > 0).all()
    for change in np.flatnonzero(np.diff(truth)) + 1:
        assert np.abs(turns - change).min() <= 5
    assert np.diff(turns).max() <= 125


def test_what_is_faint_beside_its_surroundings_is_not_audible() -> None:
    """30 dB below the loudest around is audible, 40 is not; 70 dB below it all is nothing."""
    frames = np.ones((1000, SAMPLES_PER_FRAME)) * 20_000
    frames[10:20] *= 10 ** (-30 / 20)
    frames[30:40] *= 10 ** (-40 / 20)
    frames[300:600] *= 10 ** (-40 / 20)
    frames[700:] *= 10 ** (-70 / 20)
    audible = audible_frames(frames.reshape(-1).astype(np.int16), frames=1010)
    assert audible[:30].all() and not audible[30:40].any()
    assert audible[430:470].all() and not audible[700:].any() and len(audible) == 1010


def test_a_faint_voice_is_heard_from_five_seconds_after_a_loud_one() -> None:
    """55 dB below it; and a recording that is faint all along is heard, but not its last bit."""
    loud = np.tile(np.array([20_000.0, -20_000.0]), SAMPLES_PER_FRAME * 100)
    samples = np.append(loud, loud[: SAMPLES_PER_FRAME * 200] * 10 ** (-55 / 20))
    samples = np.append(samples, samples[-SAMPLES_PER_FRAME * 200 :])
    audible = audible_frames(np.rint(samples).astype(np.int16), frames=600)
    assert audible[:200].all() and not audible[200:324].any() and audible[326:].all()
    faint = np.tile(np.array([3, -3], np.int16), SAMPLES_PER_FRAME * 10)
    assert audible_frames(faint, frames=20).all()
    assert not audible_frames(faint // 3 * (np.arange(len(faint)) % 4 < 2), frames=20).any()


def test_cepstra_are_normalised_by_what_is_heard() -> None:
    """Pauses neither move the mean nor are anything themselves."""
    samples, _ = _conversation((0, 100), (1, 100))
    audible = np.arange(200) % 50 < 30
    samples[np.repeat(~audible, SAMPLES_PER_FRAME)] //= 100
    sound = listen(samples, audible)
    heard = sound.cepstra[np.repeat(audible, 4)]
    np.testing.assert_allclose(heard.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(heard.std(axis=0), 1, atol=1e-3)
    assert not sound.cepstra[np.repeat(~audible, 4)].any()


def test_voices_are_told_apart_by_their_spread() -> None:
    """An even voice and a lively one of the same mean."""
    known = np.repeat([0, 1], 200)
    noise = np.random.default_rng(4).normal(0, 1, (1600, 13))
    cepstra = (noise * np.repeat([0.3, 2.0], 800)[:, None]).astype(np.float32)
    likelihood = voice_likelihood(Sound(np.ones(400, bool), cepstra), known, speakers=2)
    assert (likelihood.argmax(axis=1) == known).mean() > 0.95


def test_who_never_spoke_has_the_average_voice() -> None:
    """As likely on every frame as one who spoke on all of them."""
    cepstra = np.random.default_rng(4).normal(5, 1, (1600, 13)).astype(np.float32)
    sound = Sound(np.ones(400, bool), cepstra)
    likelihood = voice_likelihood(sound, np.zeros(400, int), speakers=2)
    np.testing.assert_allclose(likelihood[:, 1], likelihood[:, 0], atol=0.5)


def test_evidence_is_on_the_clock_of_the_sound() -> None:
    """Window 20 at shift +3 is about the sound of frame 25, of a track that begins at frame 100."""
    dists = np.full((40, 31), 10, np.float32)
    dists[20, 18] = 2
    evidence = by_sound_frame(dists, frames=200, start=100)
    assert evidence.shape == (200, 31) and evidence.argmax() == 125 * 31 + 18
    assert not evidence[:87].any() and not evidence[160:].any()


def test_a_match_stands_out_by_the_root_of_its_frames() -> None:
    """The same lips and sound twice stand out more by the root of two; foreign ones hardly."""
    truth = np.zeros(400, int)
    turns = np.arange(0, 401, 50)
    audible = np.ones(400, bool)
    evidence = by_sound_frame(_lips(truth, 0, column=11), frames=400)
    once, twice = (
        match(evidence, audible, turns),
        match(np.tile(evidence, (2, 1)), np.tile(audible, 2), np.arange(0, 801, 50)),
    )
    assert set(once.columns) == {11} and once.standing > 5
    assert twice.standing == pytest.approx(once.standing * 2**0.5, rel=0.01)
    foreign = by_sound_frame(_lips(truth, 1), frames=400)
    assert match(foreign, audible, turns).standing < 1


def test_voices_are_told_apart() -> None:
    """By the frames given to each speaker, on frames that were given to neither."""
    samples, truth = _conversation((0, 100), (1, 100), (0, 50), (1, 50))
    sound = listen(samples, audible_frames(samples, frames=300))
    known = np.repeat([0, 1, 2], [100, 100, 100])
    likelihood = voice_likelihood(sound, known, speakers=3)[200:, :2]
    assert (likelihood.argmax(axis=1) == truth[200:]).mean() > 0.95
    mute = Sound(np.zeros(300, bool), np.zeros((1200, 13), np.float32))
    assert not voice_likelihood(mute, known, speakers=3).any()


def test_margins_are_those_of_all_paths() -> None:
    """Against every path of six frames and three states, tried one by one."""
    rng = np.random.default_rng(0)
    gain, cost = rng.normal(0, 1, (6, 3)), rng.uniform(0, 2, 6)
    values = {}
    for path in itertools.product(range(3), repeat=6):
        changes = [cost[t] for t in range(1, 6) if path[t] != path[t - 1]]
        values[path] = gain[np.arange(6), path].sum() - sum(changes)
    margins, best = max_margins(gain, cost)
    assert best == pytest.approx(max(values.values()))
    for frame, state in itertools.product(range(6), range(3)):
        inside = max(v for path, v in values.items() if path[frame] == state)
        outside = max(v for path, v in values.items() if path[frame] != state)
        assert margins[frame, state] == pytest.approx(inside - outside)


def _speaking() -> Speaking:
    tracks = (
        TrackSpeech(0, 0, np.array([9.5] * 20 + [-9.5] * 20), ((0.0, 0.8),)),
        TrackSpeech(1, 10, np.full(20, -1.0), ()),
    )
    return Speaking(25, 40, tracks, ((0.8, 1.6),))


def test_speaking_json_is_read_as_it_was_written() -> None:
    content = json.loads(json.dumps(files.to_json(_speaking())))
    again = files.from_json(content)
    assert files.to_json(again) == content and again.tracks[0].speaks.sum() == 20
    signed = files.signed_scores(np.array([3.456, -2.0, 0.0]), np.array([True, True, False]))
    assert signed.tolist() == [3.46, 2.0, -0.01]


def test_speakers_rttm_is_as_pyannote_reads_it() -> None:
    """Ten columns: `SPEAKER uri 1 start duration <NA> <NA> label <NA> <NA>`; no more spaces."""
    text = files.rttm("a b", [(0, ((0.0, 0.8), (2.0, 3.5))), (1, ())])
    assert text.splitlines() == [
        "SPEAKER a_b 1 0.000 0.800 <NA> <NA> track_0 <NA> <NA>",
        "SPEAKER a_b 1 2.000 1.500 <NA> <NA> track_0 <NA> <NA>",
    ]


def test_colours_follow_who_speaks(work: Workspace) -> None:  # noqa: F811
    """Not the confidence, which stands beside the face all the same."""
    work.speaking.write_text(json.dumps(files.to_json(_speaking())))
    marks = marks_by_frame(work)
    assert [marks[frame][0].green for frame in (0, 19, 20, 39)] == [255, 255, 0, 0]
    assert [marks[frame][1].green for frame in (10, 29)] == [102, 102]
    assert marks[30][0].confidence == pytest.approx(8)


def test_speaking_json_of_other_tracks_is_refused(work: Workspace) -> None:  # noqa: F811
    path: Path = work.speaking
    path.write_text(json.dumps(files.to_json(Speaking(25, 40, _speaking().tracks[:1], ()))))
    with pytest.raises(InputError, match=r"other tracks; run run_syncnet\.py again"):
        marks_by_frame(work)
    path.write_text("{}")
    with pytest.raises(InputError, match=r"damaged; run run_syncnet\.py again"):
        marks_by_frame(work)
