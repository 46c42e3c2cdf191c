"""Which source, tracks and sounds are dubbed, where several could be meant."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipeline.dubbing.choose import DubOptions, check_audio, choose, find_source, voices_of
from pipeline.errors import InputError
from pipeline.faces.tracks import Track
from pipeline.media import decode
from pipeline.media.mp4 import Sound
from pipeline.speakers import files as speaking_files
from pipeline.speakers.files import Speaking, TrackSpeech
from pipeline.store.files import write_json
from pipeline.store.workspace import Workspace
from tests.dub_kit import (
    LEFT,
    RIGHT,
    frames_of,
    make_film,
    make_wav,
    measured,
    mouth_levels,
    run_dub,
    still_track,
    with_second_sound,
    workspace_of,
)
from tests.synthetic import ffmpeg, rises, sound_onsets

FRAMES = np.arange(25) / 25


def _with_two_sounds(folder: Path) -> Path:
    """A second of film that beeps at 0.2 s in its first sound and at 0.6 s in its second."""
    one, two = (make_wav(folder / f"{at}.wav", at, seconds=1) for at in (0.2, 0.6))
    return with_second_sound(make_film(folder / "film.mkv", seconds=1), one, two)


def _using(work: Workspace, audio_stream: int | None) -> None:
    """Has run_pipeline.py used this sound of its input, or none."""
    sound = None if audio_stream is None else {"audio_stream": audio_stream}
    write_json(work.record, (work.read_record() or {}) | {"sound": sound})


# The source.


def test_the_file_that_is_named_goes_before_the_recorded_one(tmp_path: Path) -> None:
    """Both are the same film; one that is not there is no other film."""
    film = make_film(tmp_path / "film.mkv", seconds=0.2)
    work = workspace_of(tmp_path, film, still_track(LEFT, frames=5))
    _using(work, None)  # a silent film's record
    copy = tmp_path / "copy.mkv"
    copy.write_bytes(film.read_bytes())
    assert find_source(work, copy)[0].path == copy
    assert find_source(work)[0].path == film
    copy.unlink()
    source, notices = find_source(work, copy)
    assert (source.path, source.audio_stream, notices) == (film, None, [])


def test_the_sound_is_that_of_the_run_before(tmp_path: Path) -> None:
    """The second of the source's, and the only one of video.avi where the source is gone."""
    film = _with_two_sounds(tmp_path)
    work = workspace_of(tmp_path, film, still_track(LEFT, frames=25))
    _using(work, 1)
    assert find_source(work)[0].audio_stream == 1
    ffmpeg("-i", film, "-map", "0:v", "-map", "0:a:1", "-c", "copy", "-f", "matroska", work.video)
    film.unlink()
    source, [notice] = find_source(work)
    assert (source.path, source.audio_stream) == (work.video, 0)
    assert notice.startswith(f"{film} is gone or changed: {work.video} is dubbed instead")


@pytest.mark.usefixtures("stub_generator")
def test_wide_pixels_stay_wide(tmp_path: Path) -> None:
    wide, film = tmp_path / "wide.mkv", make_film(tmp_path / "film.mkv", seconds=0.2, sound=(0.1,))
    ffmpeg("-i", film, "-c", "copy", "-aspect", "400:92", wide)
    done = run_dub(workspace_of(tmp_path, wide, still_track(LEFT, frames=5)))
    assert decode.probe(done.video).sar == Fraction(2)


# Tracks.


def _tracks(*lengths: int) -> list[Track]:
    return [still_track(LEFT, frames=length) for length in lengths]


def _decided(work: Workspace, *scores: list[float]) -> None:
    """speaking.json with these scores, by track."""
    speech = tuple(TrackSpeech(n, 0, np.array(row), ()) for n, row in enumerate(scores))
    write_json(work.speaking, speaking_files.to_json(Speaking(25, 40, speech, ())))


def test_who_speaks_is_what_was_decided_of_all_faces_together(tmp_path: Path) -> None:
    """Not what the distances of each face alone say, by which the second would."""
    film = make_film(tmp_path / "film.mkv", seconds=0.2)
    work = workspace_of(tmp_path, film, *_tracks(40, 30))
    dists = [np.full((length, 31), 12, np.float32) for length in (35, 25)]
    dists[1][:, 15] -= 8
    work.write_distances(dists)
    measured(work, (0.0, 0.5, False), (0.0, 8.0, True))
    assert choose(work, _tracks(40, 30), "speaking").keys() == {1}
    _decided(work, [-1.0] * 10 + [0.5] * 12 + [-0.1] * 18, [-1.0] * 30)
    chosen = choose(work, _tracks(40, 30), "speaking")
    assert chosen.keys() == {0} and np.flatnonzero(chosen[0]).tolist() == [*range(10, 22)]
    for other in ([[1.0] * 40, [1.0] * 29], [[1.0] * 30, [1.0] * 40], [[1.0] * 40]):
        _decided(work, *other)
        with pytest.raises(InputError, match=r"speaking\.json has other tracks; run run_syncnet"):
            choose(work, _tracks(40, 30), "speaking")


def test_results_that_do_not_say_what_is_reliable_are_the_published_networks(
    tmp_path: Path,
) -> None:
    """Whose offsets are reliable from a confidence of 3 on."""
    film = make_film(tmp_path / "film.mkv", seconds=0.2)
    work = workspace_of(tmp_path, film, *_tracks(40, 40))
    dists = [np.full((35, 31), 12, np.float32) for _ in range(2)]
    for rows, confidence in zip(dists, (2.9, 3.1), strict=True):
        rows[:, 15] -= confidence
    work.write_distances(dists)
    measured(work, (0.0, 2.9, False), (0.0, 3.1, True))
    assert choose(work, _tracks(40, 40), "speaking").keys() == {1}


@pytest.mark.parametrize("frame_rate", [25, 50])
def test_speech_is_placed_on_the_clock_of_the_tracks(frame_rate: int, tmp_path: Path) -> None:
    """Lips follow the sound from 4.08 s on; windows are 40 ms apart at any rate."""
    film = make_film(tmp_path / "film.mkv", seconds=0.2)
    frames = 8 * frame_rate
    work = workspace_of(tmp_path, film, *_tracks(frames), frame_rate=frame_rate)
    dists = np.full((195, 31), 12, np.float32)
    dists[100:, 15] -= 8
    work.write_distances([dists])
    measured(work, (0.0, 8.0, True))
    speaks = choose(work, _tracks(frames), "speaking")[0]
    [start] = np.flatnonzero(np.diff(speaks.astype(int)))
    # Whether somebody speaks is a mean over a second, so it is seen up to half of one too early.
    assert 0 < 4.08 - start / frame_rate < 0.5


# Sounds.


def test_a_folder_is_no_sound(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a file; give the path of a sound or video"):
        check_audio(tmp_path)


def test_a_tracks_own_file_goes_before_the_one_for_all(tmp_path: Path) -> None:
    """Where one face keeps the film's sound, that is in the output once, at its own level."""
    film = make_film(tmp_path / "film.mkv", seconds=1, sound=(0.2,))
    work = workspace_of(tmp_path, film, still_track(LEFT, frames=25), still_track(RIGHT, 0, 25))
    source, _ = find_source(work)
    one, rest = (make_wav(tmp_path / name, 0.5, seconds=1) for name in ("1.wav", "rest.wav"))
    own, background = Sound(film, audio_stream=0), Sound(film, 0.0, -6.0, 0)
    chosen = {number: np.ones(25, bool) for number in (0, 1)}
    cases: list[tuple[dict[int | None, Path], list[Path], list[Sound]]] = [
        ({1: one, None: rest}, [rest, one], [Sound(rest), Sound(one), background]),
        ({1: one}, [film, one], [own, Sound(one)]),
        ({}, [film, film], [own]),
    ]
    for audio, said, heard in cases:
        options = DubOptions(audio=audio, keep_background=-6.0)
        voices, sounds = voices_of(work, source, chosen, options)
        assert ([voices[number].path for number in chosen], sounds) == (said, heard)


def test_a_silent_film_has_no_background(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mkv", seconds=0.2)
    work = workspace_of(tmp_path, film, still_track(LEFT, frames=5))
    audio = make_wav(tmp_path / "a.wav", 0.1, seconds=0.2)
    options = DubOptions(audio={None: audio}, keep_background=-6.0)
    sounds = voices_of(work, find_source(work)[0], {0: np.ones(5, bool)}, options)[1]
    assert sounds == [Sound(audio)]


@pytest.mark.usefixtures("stub_generator")
def test_the_sound_that_was_chosen_before_is_said_and_heard(tmp_path: Path) -> None:
    """By its own mouths; and under other sound, at 0 dB as loud as it is."""
    work = workspace_of(tmp_path, _with_two_sounds(tmp_path), still_track(LEFT, frames=25))
    _using(work, 1)
    done = run_dub(work)
    np.testing.assert_allclose(sound_onsets(done.video), [0.6], atol=0.006)
    np.testing.assert_allclose(
        rises(FRAMES, mouth_levels(frames_of(done.video))), [0.6], atol=0.041
    )
    other = make_wav(tmp_path / "a.wav", 0.1, seconds=1)
    done = run_dub(work, audio={None: other}, keep_background=0.0)
    np.testing.assert_allclose(sound_onsets(done.video), [0.1, 0.6], atol=0.006)
