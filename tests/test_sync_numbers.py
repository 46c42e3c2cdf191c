"""Every number of `judge` against values computed by hand."""

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline
from scipy.signal import medfilt

from pipeline.speakers import one_face
from pipeline.sync import embeddings
from pipeline.sync import offset as sync_offset

# Mean distances at shifts -3 .. 3: the sound leads by one frame; median 6, best 1.
MEANS = np.array([9, 5, 1, 4, 6, 7, 17], np.float32)


def _rows(means: np.ndarray = MEANS, *, windows: int = 30, noise: float = 0.0) -> np.ndarray:
    """Distances whose mean over the windows is exactly `means`."""
    deviation = np.random.default_rng(0).normal(0, 1, (windows, len(means)))
    deviation -= deviation.mean(axis=0)
    return (means + noise * deviation).astype(np.float32)


def test_numbers_of_a_matrix_are_those_counted_by_hand() -> None:
    """Offset, min dist, confidence by the median, margin beyond two neighbours."""
    sync = sync_offset.judge(_rows(noise=0.5), reliable_confidence=3)
    assert (sync.offset_frames, sync.at_search_edge, sync.reliable) == (1, False, True)
    assert sync.min_dist == pytest.approx(1, abs=1e-5)
    assert sync.confidence == pytest.approx(6 - 1, abs=1e-5)
    assert sync.margin == pytest.approx(7 - 1, abs=1e-5)
    # The parabola through 5, 1, 4 has its vertex 1/14 of a frame beyond the shift of 1.
    flat = sync_offset.judge(_rows(), reliable_confidence=3)
    assert flat.offset_ms == pytest.approx((1 - 1 / 14) * 40, abs=1e-3)


def test_framewise_confidence_is_a_median_of_nine_over_zeros() -> None:
    dists = _rows(noise=2.0)
    expected = medfilt(6 - dists[:, 2].astype(np.float64), 9)
    framewise = sync_offset.judge(dists, reliable_confidence=3).framewise
    np.testing.assert_allclose(framewise, expected, atol=1e-5)
    assert framewise.dtype == np.float32
    assert np.abs(framewise - medfilt(6 - dists[:, 2].astype(np.float64), 11)).max() > 0.1


@pytest.mark.parametrize(
    ("means", "margin"),
    [
        ([5, 4, 1, 4, 3, 9], 8),  # two shifts away is the same answer, three is another
        ([1, 2, 2, 7, 5], 4),
        ([5, 6, 3, 2, 1], 4),
        ([4, 2, 1, 3, 5], 0),  # there is no other
    ],
)
def test_margin_is_to_shifts_more_than_two_away(means: list[float], margin: float) -> None:
    assert sync_offset.margin_of(np.array(means, float)) == margin


def test_two_equal_valleys_are_not_reliable() -> None:
    """Confidence is high at both; the required margin is missing."""
    means = np.full(31, 10, np.float32)
    means[[8, 20]] = 4
    dists = np.tile(means, (40, 1))
    assert sync_offset.judge(dists, reliable_confidence=3).reliable
    sync = sync_offset.judge(dists, reliable_confidence=3, reliable_margin=1)
    assert sync.confidence == 6 and sync.margin == 0 and not sync.reliable


@pytest.mark.parametrize(
    ("confidence", "margin", "reliable"), [(5, 6, True), (5.01, 6, False), (5, 6.01, False)]
)
def test_reliable_from_the_thresholds_on(confidence: float, margin: float, reliable: bool) -> None:
    dists = np.tile(MEANS, (120, 1))  # confidence 5, margin 6, of 5 s
    sync = sync_offset.judge(dists, reliable_confidence=confidence, reliable_margin=margin)
    assert sync.reliable == reliable


def _smooth(at: np.ndarray, *, seed: int = 3, width: int = 32) -> torch.Tensor:
    """Features that vary slowly in time, read at any instants."""
    knots = np.random.default_rng(seed).normal(size=(220, width))
    return torch.from_numpy(CubicSpline(np.arange(220) * 4, knots)(at)).float()


def test_drift_of_unrelated_sound_is_none() -> None:
    """Half a minute has pieces enough, but offsets that mean nothing have no slope."""
    rng = np.random.default_rng(0)
    lips, sound = (torch.from_numpy(rng.normal(size=(750, 64))).float() for _ in range(2))
    sync = sync_offset.judge(embeddings.distances(lips, sound, vshift=15), reliable_confidence=3)
    assert not sync.reliable and sync.drift_ms_per_min is None


def test_drift_is_not_moved_by_one_noisy_piece() -> None:
    """Two frames lost in a minute are 80 ms a minute, also where 5 s of it are noise."""
    at = np.arange(20, 770.0)
    lips, sound = _smooth(at), _smooth(at + 2 * (at - 20) / 1500)
    dists = embeddings.distances(lips, sound, vshift=15)
    dists[250:375] = 20.0
    dists[250:375, 2] = 0.0  # the third piece of six says 13 frames
    sync = sync_offset.judge(dists, reliable_confidence=1)
    assert sync.drift_ms_per_min == pytest.approx(80, abs=15)


def test_drift_grows_where_sound_leads_more_and_more() -> None:
    """The sign is the offset's; a clip of three pieces says nothing, one of four does."""
    at = np.arange(20, 770.0)
    for slope in (2, -2):
        sound = _smooth(at + slope * (at - 20) / 1500)
        dists = embeddings.distances(_smooth(at), sound, vshift=15)
        assert sync_offset.judge(dists[:499], reliable_confidence=1).drift_ms_per_min is None
        drift = sync_offset.judge(dists[:500], reliable_confidence=1).drift_ms_per_min
        assert drift == pytest.approx(40 * slope, abs=20)


@pytest.mark.parametrize("sign", [1, -1])
def test_offset_in_ms_undoes_what_padding_moved(sign: int) -> None:
    """12 smooth windows, 10.6 frames apart: zeros beside the clip make it 10, within it it is 11.

    Without going back the parabola around 10 is cut off at 10.5 frames, 420 ms.
    """
    at = np.arange(20, 32.0)
    dists = embeddings.distances(_smooth(at, seed=2), _smooth(at + sign * 10.6, seed=2), vshift=15)
    sync = sync_offset.judge(dists, reliable_confidence=3)
    assert sync.offset_frames == sign * 10
    assert sync.offset_ms == pytest.approx(sign * 440, abs=1)


def test_distance_adds_the_published_epsilon_to_differences() -> None:
    """1e-6 to each of 64, with its sign: between 1e-5 and 0 it is 8.8e-5, not 8.0e-5 or 7.2e-5."""
    lips, sound = torch.full((3, 64), 1e-5), torch.zeros(3, 64)
    result = embeddings.distances(lips, sound, vshift=1)
    np.testing.assert_allclose(result, 8.8e-5, rtol=1e-3)
    np.testing.assert_allclose(embeddings.distances(sound, lips, vshift=1)[1, 1], 7.2e-5, rtol=1e-3)


@pytest.mark.parametrize("level", [0.45, 0.55, 0.65, 0.35])
def test_half_of_the_reliable_confidence_is_speech(level: float) -> None:
    """In a track that is reliable by its clear part, a weaker part speaks from a half on."""
    reliable = 3.0
    dists = np.full((500, 31), 10, np.float32)
    dists[:200, 12] -= 2 * reliable
    dists[250:450, 12] -= np.float32(level * reliable)
    spoken = one_face.speaking(dists, frames=505, reliable_confidence=reliable)
    assert spoken[10:190].all() and not spoken[220:240].any() and not spoken[475:].any()
    assert spoken[270:435].all() == spoken[270:435].any() == (level > 0.5)


# Windows without sound.


def test_windows_without_sound_do_not_count() -> None:
    """Sixteen windows with another shift are left out of all numbers."""
    dists = _rows(noise=0.5, windows=40)
    dists[:16] = 10
    dists[:16, 5] = 0
    with_sound = np.arange(40) >= 16
    sync = sync_offset.judge(dists, with_sound, reliable_confidence=3)
    alone = sync_offset.judge(dists[16:], reliable_confidence=3)
    for name in ("offset_frames", "min_dist", "confidence", "margin", "reliable"):
        assert getattr(sync, name) == getattr(alone, name), name
    assert sync.offset_ms == pytest.approx(alone.offset_ms, abs=4)
    assert not sync.framewise[:12].any() and sync.framewise[20:36].min() > 3


def test_valid_mean_leaves_out_windows_compared_with_missing_sound() -> None:
    """It is the sound that is missing, so of window 1 at one shift and of window 0 at the next."""
    dists = np.arange(21, dtype=np.float32).reshape(3, 7)
    mean = sync_offset.valid_mean(dists, np.array([True, False, True]))
    assert mean[3] == (dists[0, 3] + dists[2, 3]) / 2
    assert mean[4] == dists[1, 4] and mean[2] == dists[1, 2]


def test_drift_takes_pieces_without_a_gap_only() -> None:
    """Two of five pieces miss the sound of a window: three are too few to tell."""
    at = np.arange(20, 645.0)
    dists = embeddings.distances(_smooth(at), _smooth(at), vshift=15)
    assert sync_offset.judge(dists, reliable_confidence=1).drift_ms_per_min == pytest.approx(
        0, abs=5
    )
    with_sound = np.ones(625, bool)
    with_sound[[130, 400]] = False
    assert sync_offset.judge(dists, with_sound, reliable_confidence=1).drift_ms_per_min is None


@pytest.mark.parametrize(
    ("missing_s", "silent_windows"),
    [
        ((1.0, 1.2), [25]),  # exactly one window of 0.2 s
        ((1.0, 1.199), [25]),  # times are written down to a thousandth
        ((1.0, 1.19), []),
        ((1.02, 1.3), [26, 27]),
        ((-3.0, 0.3), [0, 1, 2]),
    ],
)
def test_window_is_left_out_where_all_of_its_sound_is_missing(
    missing_s: tuple[float, float], silent_windows: list[int]
) -> None:
    with_sound = sync_offset.windows_with_sound([missing_s], 50)
    assert np.flatnonzero(~with_sound).tolist() == silent_windows


# Frames.


def test_confidence_of_frames_is_a_median_that_repeats_its_ends() -> None:
    """Four windows are steady in themselves; four odd ones among many are passed over."""
    flat = np.full((4, 31), 10, np.float32)
    flat[:, 12] = 5
    np.testing.assert_allclose(sync_offset.confidence_per_frame(flat, frames=9), 5)
    long = np.full((60, 31), 10, np.float32)
    long[:, 12] = 5
    long[20:24, 12] = 0
    np.testing.assert_allclose(sync_offset.confidence_per_frame(long, frames=65), 5, atol=1e-5)


@pytest.mark.parametrize("frame_rate", [25, 30, 50])
def test_confidence_of_frames_follows_their_clock(frame_rate: int) -> None:
    """Window 20 is about 0.88 s, whatever the rate of the frames."""
    dists = np.full((60, 31), 10, np.float32)
    dists[:, 12] -= 1
    dists[20:, 12] = 4
    frames = 65 * frame_rate // 25
    confidence = sync_offset.confidence_per_frame(dists, frames=frames, frame_rate=frame_rate)
    assert abs(np.flatnonzero(confidence > 3)[0] - 22 * frame_rate / 25) <= frame_rate / 50 + 0.01


# Speech.

SPEECH = 6.0  # confidence of speech where 3 is reliable


def _speech(*spans: tuple[int, int], windows: int = 500, confidence: float = SPEECH) -> np.ndarray:
    dists = np.full((windows, 31), 10, np.float32)
    for start, end in spans:
        dists[start:end, 12] -= np.float32(confidence)
    return dists


@pytest.mark.parametrize(
    ("frame_rate", "pause", "stretches"), [(25, 20, 1), (25, 22, 2), (50, 20, 1), (50, 22, 2)]
)
def test_pauses_of_four_tenths_of_a_second_part_speech(
    frame_rate: int, pause: int, stretches: int
) -> None:
    """Over a second 19 silent windows of 25 are silence; 20 make 8 such, 22 make 10."""
    dists = _speech((50, 250), (250 + pause, 450))
    frames = 505 * frame_rate // 25
    spoken = one_face.speaking(dists, frames=frames, reliable_confidence=3, frame_rate=frame_rate)
    assert len(one_face.stretches(spoken)) == stretches


@pytest.mark.parametrize(("windows", "speaks"), [(125, True), (90, False)])
def test_five_seconds_say_whether_a_face_is_the_speakers(windows: int, speaks: bool) -> None:
    """At 4 where 3 is reliable: 5 s are enough in any track, 3.6 s of them are not."""
    dists = _speech((200, 200 + windows), confidence=4)
    assert one_face.speaking(dists, frames=505, reliable_confidence=3).any() == speaks


def test_speaking_score_is_confidence_and_twice_the_margin() -> None:
    score = one_face.speaking_score(_speech((100, 300)), frames=505)
    np.testing.assert_allclose(score[130:270], SPEECH + 2 * SPEECH, atol=1e-4)
    np.testing.assert_allclose(score[350:], 0 + 2 * SPEECH, atol=1e-4)
