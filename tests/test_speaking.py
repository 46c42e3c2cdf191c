"""Who speaks when: part of a track is found, a listener is not."""

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import uniform_filter1d

from pipeline.speakers.one_face import (
    clearest_mean,
    speaking,
    speaking_score,
    stretches,
    without_short,
)
from tests.test_example import Sample, sample  # noqa: F401 - a fixture

RELIABLE = 3.0


def _dists(windows: int, *, seed: int = 0) -> np.ndarray:
    """A listener's: distances that depend on the sound as much as on the shift."""
    rng = np.random.default_rng(seed)
    return rng.normal(12, 1.5, (windows, 31)).astype(np.float32)


def _speaking_at(dists: np.ndarray, start: int, end: int, *, column: int = 12) -> np.ndarray:
    dists[start:end, column] -= 6
    return dists


def _stretches(dists: np.ndarray, *, frame_rate: int = 25) -> list[tuple[int, int]]:
    frames = round((len(dists) + 5) * frame_rate / 25)
    spoken = speaking(dists, frames=frames, reliable_confidence=RELIABLE, frame_rate=frame_rate)
    assert spoken.shape == (frames,)
    return stretches(spoken)


def test_who_speaks_all_the_time_speaks_on_every_frame() -> None:
    """Also on the frames that no window is centred on."""
    assert _stretches(_speaking_at(_dists(300), 0, 300)) == [(0, 305)]


@pytest.mark.parametrize("frame_rate", [25, 30, 50])
def test_a_part_of_a_track_is_found(frame_rate: int) -> None:
    """Eight seconds of forty, whose confidence over the whole track would say nobody."""
    dists = _speaking_at(_dists(1000), 400, 600)
    mean = dists.mean(axis=0)
    assert np.median(mean) - mean.min() < RELIABLE
    [(start, end)] = _stretches(dists, frame_rate=frame_rate)
    assert abs(start / frame_rate - 402 / 25) < 0.3 and abs(end / frame_rate - 602 / 25) < 0.3


@pytest.mark.parametrize("windows", [60, 125, 126, 700])
def test_a_listener_never_speaks(windows: int) -> None:
    """However long the track; for a second or two lips may well seem to match by chance."""
    seeming = 0.0
    for seed in range(5):
        chance = np.random.default_rng(seed).normal(0, 6, (windows, 31))
        dists = _dists(windows, seed=seed) + uniform_filter1d(chance, 25, axis=0)
        assert _stretches(dists.astype(np.float32)) == []
        seeming = max(seeming, (np.median(dists) - uniform_filter1d(dists, 25, axis=0)).max())
    assert seeming > RELIABLE
    assert _stretches(np.zeros((0, 31), np.float32)) == []


def test_the_score_tells_speakers_from_listeners_frame_by_frame() -> None:
    """Higher where the face speaks than where it does not, and than any listener's."""
    frames = 505
    score = speaking_score(_speaking_at(_dists(500), 0, 250), frames=frames)
    assert score.shape == (frames,)
    assert score[20:230].min() > score[280:].max()
    assert score[20:230].min() > speaking_score(_dists(500, seed=3), frames=frames).max()
    assert (speaking_score(np.zeros((0, 31), np.float32), frames=4) == -np.inf).all()


def test_two_equal_offsets_are_none() -> None:
    """Two shifts far apart that both stand out leave no margin, so no face counts as speaking."""
    dists = _speaking_at(_speaking_at(_dists(300), 0, 300), 0, 300, column=25)
    options: Any = {"frames": 305, "reliable_confidence": RELIABLE}
    assert speaking(dists, **options).any()
    assert not speaking(dists, **options, reliable_margin=1.0).any()


def test_a_short_track_is_judged_as_a_whole() -> None:
    """Two seconds have no stretch of five."""
    assert _stretches(_speaking_at(_dists(50), 0, 50)) == [(0, 55)]


def test_the_end_of_a_track_counts() -> None:
    """The last stretch ends with the track, whatever the step."""
    assert _stretches(_speaking_at(_dists(399), 324, 399)) != []


def test_an_offset_at_the_edge_of_the_search_is_none() -> None:
    """An offset at the search edge makes nobody a speaker."""
    for column in (0, 30):
        assert clearest_mean(_speaking_at(_dists(200), 0, 200, column=column)) is None
        assert _stretches(_speaking_at(_dists(200), 0, 200, column=column)) == []


def test_lips_are_judged_at_the_offset_of_their_clearest_stretch() -> None:
    """Lips that match elsewhere at another shift are somebody else's sound."""
    dists = _speaking_at(_dists(600), 100, 300, column=12)
    dists[400:500, 20] -= 3
    [(start, end)] = _stretches(dists)
    assert 90 < start < 115 and 290 < end < 315


def test_short_pauses_are_closed_and_short_bursts_dropped() -> None:
    """In this order, and a pause at an end is none."""
    values = np.array([0, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 0], bool)
    result = without_short(values, 3)
    assert stretches(result) == [(1, 6), (13, 16)]
    assert values.sum() == 8 and stretches(np.zeros(4, bool)) == []
    assert stretches(np.ones(4, bool)) == [(0, 4)]


@pytest.mark.slow
def test_the_samples_listener_does_not_speak(sample: Sample) -> None:  # noqa: F811
    """Both speakers of the bundled sample speak all the time, by its own scores."""
    tracks, dists, rows = (
        sample.work.read_tracks(),
        sample.work.read_distances(),
        sample.work.read_offsets(),
    )
    shares = [
        speaking(d, frames=len(track.frames), reliable_confidence=row["reliable_confidence"]).mean()
        for (track, _), d, row in zip(tracks, dists, rows, strict=True)
    ]
    assert shares[sample.listener] == 0
    assert shares[sample.first] > 0.9 and shares[sample.speaker] > 0.9
    assert f"track_{sample.listener}" not in sample.work.speakers.read_text()
