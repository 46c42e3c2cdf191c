"""Scores of new mouths, against flashes and beeps at known times, and how users are told them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from models.features import SAMPLE_RATE, SAMPLES_PER_FRAME
from models.weights import WeightsFile
from pipeline.dubbing import score as dub_score
from pipeline.dubbing import stage as dub_stage
from pipeline.dubbing.driving_audio import Voice, read_voice
from pipeline.dubbing.stage import Dubbed
from pipeline.faces.tracks import Track
from pipeline.store.workspace import Workspace
from pipeline.sync.offset import Sync
from tests.dub_kit import (
    LEFT,
    RIGHT,
    SIZE,
    Box,
    make_film,
    make_wav,
    run_dub,
    still_track,
    with_second_sound,
    workspace_of,
)
from tests.synthetic import ffmpeg


class _Eyes:
    """Sees how bright the mouth of each crop is."""

    def __init__(self) -> None:
        self._levels: list[float] = []

    def add(self, crop: np.ndarray) -> None:
        self._levels.append(float(crop[126:142, 104:120].mean()))

    def finish(self) -> np.ndarray:
        return np.array(self._levels)


class _Watcher:
    """A scorer that compares the first flash with the first beep.

    Its LSE-D is how many crops it saw, its LSE-C how many frames of sound it heard.

    Attributes:
        seen: how bright the mouths of the last face were.
    """

    model = SimpleNamespace(weights_file=WeightsFile("eyes", "0" * 64))
    seen = np.zeros(0)

    def lip_embedder(self) -> _Eyes:
        return _Eyes()

    def score_lips(self, lips: np.ndarray, samples: np.ndarray) -> Sync | None:
        self.seen = lips
        levels = np.abs(samples.astype(int)).reshape(-1, SAMPLES_PER_FRAME).max(axis=1)
        bright, loud = np.flatnonzero(lips > 170), np.flatnonzero(levels > 1000)
        if not len(bright) or not len(loud):
            return None
        offset = int(bright[0] - loud[0])
        return Sync(
            *(offset, 40.0 * offset, len(lips), len(levels), 1.0, np.zeros(1)),
            *(False, True, None),
        )


def _flashing(path: Path, *flashes: tuple[Box, float], seconds: float = 2) -> Path:
    """A grey film on which boxes turn white for two frames each."""
    drawn = "".join(
        f",drawbox={x1}:{y1}:{x2 - x1}:{y2 - y1}:white:t=fill"
        f":enable='between(t,{at_s - 0.01},{at_s + 0.05})'"
        for (x1, y1, x2, y2), at_s in flashes
    )
    picture = f"color=0x7e7e7e:s={SIZE}:r=25:d={seconds},format=yuv420p{drawn}"
    ffmpeg("-f", "lavfi", "-i", picture, "-c:v", "ffv1", path)
    return path


def _scored(
    work: Workspace, film: Path, voices: dict[int, Voice], *, watcher: Any = None
) -> dict[str, tuple[int, float, float] | None]:
    """Offset, number of crops and frames of sound, by track."""
    watching: Any = watcher or _Watcher()
    scores = dub_score.score_dubbed(work, film, voices, watching)
    regenerated = {track: pair["regenerated"] for track, pair in scores.items()}
    return {
        track: (new["offset_frames"], new["lse_d"], new["lse_c"]) if new else None
        for track, new in regenerated.items()
    }


def test_each_face_is_compared_with_its_own_sound_where_that_is_heard(tmp_path: Path) -> None:
    """Beeps at 0.4 s that come 0.12 s later, and at 1.52 s that come 0.2 s earlier."""
    film = _flashing(tmp_path / "film.mkv", (LEFT, 0.6), (RIGHT, 1.2))
    tracks = still_track(RIGHT, frames=10), still_track(LEFT, frames=50), still_track(RIGHT, 20, 30)
    work = workspace_of(tmp_path, film, *tracks)
    voices = {
        2: read_voice(make_wav(tmp_path / "b.wav", 1.52, seconds=2), delay_s=-0.2),
        1: read_voice(make_wav(tmp_path / "a.wav", 0.4, seconds=2), delay_s=0.12),
    }
    assert _scored(work, film, voices) == {"1": (2, 50, 50), "2": (-3, 30, 30)}


@pytest.mark.parametrize("audio_stream", [0, 1])
def test_lips_are_compared_with_the_sound_stream_they_follow(
    audio_stream: int, tmp_path: Path
) -> None:
    """A film with two sounds: beeps at 0.2 s in the first, at 0.6 s in the second."""
    silent = _flashing(tmp_path / "silent.mkv", (LEFT, 0.6), seconds=1)
    film = with_second_sound(
        silent, make_wav(tmp_path / "a.wav", 0.2, seconds=1), make_wav(tmp_path / "b.wav", 0.6)
    )
    work = workspace_of(tmp_path, film, still_track(LEFT, frames=25))
    voice = read_voice(film, audio_stream=audio_stream)
    assert _scored(work, film, {0: voice}) == {"0": (0 if audio_stream else 10, 25, 25)}


def test_a_moving_face_is_followed_on_the_clock_of_its_track(tmp_path: Path) -> None:
    """Frames 29 to 91 of a workspace at 50 are 33 crops from 0.56 s on, all of the bright face."""
    film = tmp_path / "film.mkv"
    bright = "lum='if(lt(abs(X-24-3*N),16),235,16)':cb=128:cr=128"
    picture = f"color=black:s={SIZE}:r=25:d=2,format=yuv420p,geq={bright}"
    ffmpeg("-f", "lavfi", "-i", picture, "-c:v", "ffv1", film)
    frames = np.arange(29, 92)
    middle = 24 + 3 * frames / 2
    boxes = np.stack([middle - 20, np.full(63, 20.0), middle + 20, np.full(63, 60.0)], axis=1)
    work = workspace_of(tmp_path, film, Track(frames, boxes), frame_rate=50)
    voice = read_voice(make_wav(tmp_path / "a.wav", 0.7, seconds=2))
    watcher: Any = _Watcher()
    # The beep begins within the fourth frame of the track, which is bright from its first.
    assert _scored(work, film, {0: voice}, watcher=watcher) == {"0": (-3, 33, 32)}
    assert watcher.seen.min() > 220


@pytest.mark.parametrize(
    ("delay_s", "silent_before", "heard"),
    [
        (0.5, 0, slice(8000, 11_200)),
        (0.1, 0, slice(14_400, 16_000)),
        (1.1, 1600, slice(0, 1600)),
        (2.0, 3200, slice(0, 0)),
        (-5.0, 3200, slice(0, 0)),
    ],
)
def test_a_mouth_says_nothing_before_its_sound_and_after_it(
    delay_s: float, silent_before: int, heard: slice
) -> None:
    """A face from 1.0 to 1.2 s, and a sound of one second."""
    samples = np.arange(1, SAMPLE_RATE + 1, dtype=np.int16)
    expected = np.zeros(3200, np.int16)
    said = samples[heard]
    expected[silent_before : silent_before + len(said)] = said
    found = dub_score._sound(samples, delay_s, still_track(LEFT, 25, 5), 25)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.usefixtures("stub_generator")
def test_what_is_scored_is_the_dubbed_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The film is grey, only its new mouth lights up with the beep."""
    monkeypatch.setattr(dub_stage, "SyncScorer", lambda device: _Watcher())
    film = make_film(tmp_path / "film.mkv", seconds=1, sound=(0.4,))
    work = workspace_of(tmp_path, film, still_track(LEFT, frames=25))
    new = run_dub(work, score=True).scores["0"]["regenerated"]
    assert new and abs(new["offset_frames"]) <= 1


def test_the_report_gives_every_score_its_name() -> None:
    """Tracks in their order, whatever the order of their mouths; silence where none was heard."""
    new = {"offset_frames": -2, "lse_d": 6.5, "lse_c": 2.25}
    scores: dict[str, dict[str, Any]] = {
        "2": {"original": {"offset_frames": 1, "lse_d": 7.0, "lse_c": 5.0}, "regenerated": new},
        "3": {"original": None, "regenerated": None},
    }
    done = Dubbed(Path("a.mp4"), 9, {3: 4, 2: 9}, ["Something is odd."], {}, scores)
    assert list(done.report()) == [
        "Something is odd.",
        "track 2: new mouth on 9 of 9 frames",
        "track 3: new mouth on 4 of 9 frames",
        "track 2 original: LSE-D 7.000, LSE-C 5.000, offset 1",
        "track 2 regenerated: LSE-D 6.500, LSE-C 2.250, offset -2",
        "track 3 original: nothing to compare",
        "track 3 regenerated: nothing to compare",
        "9 frames in a.mp4",
    ]


def test_the_report_says_that_nothing_was_changed() -> None:
    assert list(Dubbed(Path("a.mp4"), 9, {}, [], {}, {}).report()) == [
        "No frame was changed: the chosen tracks are not on any frame shown.",
        "9 frames in a.mp4",
    ]
