"""Mel and MFCC: the published numbers, bounded memory, and the sound of a frame by its time."""

import io
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import python_speech_features
from scipy.io import wavfile
from scipy.signal import get_window, lfilter

from models import features, syncnet


def _speechlike(samples: int) -> np.ndarray:
    """Noise of changing loudness, so that no two columns are alike."""
    rng = np.random.default_rng(samples)
    loudness = 3000 * (1.1 + np.sin(np.arange(samples) / 1700))
    return (rng.normal(0, 1, samples) * loudness).clip(-32_768, 32_767).astype(np.int16)


def _whole_at_once(samples: np.ndarray) -> np.ndarray:
    """The mel of contracts.md section 8, step by step, by SciPy and NumPy's own mirroring."""
    emphasised = lfilter([1, -0.97], [1], samples / 32_768)
    padded = np.pad(emphasised, 400, mode="reflect")
    starts = range(0, len(samples) + 1, 200)
    frames = np.stack([padded[start : start + 800] for start in starts])
    magnitude = np.abs(np.fft.rfft(frames * get_window("hann", 800)))
    level_db = 20 * np.log10(np.maximum(1e-5, features.mel_filters() @ magnitude.T)) - 20
    return np.clip(8 * (level_db + 100) / 100 - 4, -4, 4)


def test_mel_of_the_demo_clip(shared: Path) -> None:
    """The original's numbers: 2.4e-7 away where measured.

    The stored ones were made by a librosa that pads with zeros, so the two columns at either end
    differ from the mirrored ends the published weights know; zeros before the signal give the
    stored beginning.
    """
    with tarfile.open(shared / "parity" / "example_jpegs.tar") as archive:
        sound = archive.extractfile("audio.wav")
        assert sound is not None
        samples = wavfile.read(io.BytesIO(sound.read()))[1]
    truth = np.load(shared / "parity" / "wav2lip_gen.npz")["mel_full"]
    mel = features.mel(samples)
    assert mel.shape == truth.shape == (80, 1015)
    np.testing.assert_allclose(mel[:, 2:-2], truth[:, 2:-2], atol=1e-5)
    from_zeros = features.mel(np.concatenate([np.zeros(400, np.int16), samples]))[:, 2:]
    np.testing.assert_allclose(from_zeros[:, :3], truth[:, :3], atol=1e-5)


def test_mel_of_silence_is_its_floor() -> None:
    """A second of silence gives 81 columns of -4, not of infinities."""
    mel = features.mel(np.zeros(16_000, np.int16))
    assert mel.shape == (80, 81) and mel.dtype == np.float32
    assert (mel == -4).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("samples", [1, 2, 150, 399, 400, 401, 3999, 4000, 162_345])
def test_mel_is_the_published_one(samples: int) -> None:
    """Mirrored ends and block borders included; also of signals shorter than half a frame."""
    signal = _speechlike(samples)
    mel, expected = features.mel(signal), _whole_at_once(signal)
    assert mel.shape == expected.shape == (80, 1 + samples // 200)
    np.testing.assert_allclose(mel, expected, atol=1e-5)


def test_mel_filters_are_slaneys() -> None:
    """Triangles of unit area, evenly spaced up to 1 kHz and by a constant factor above."""
    filters = features.mel_filters()
    spectrum_hz = np.arange(401) * 20
    centres_hz = (filters * spectrum_hz).sum(axis=1) / filters.sum(axis=1)
    high = centres_hz > 2000  # many frequencies per triangle: what is computed from them is sharp
    np.testing.assert_allclose((filters.sum(axis=1) * 20)[high], 1, rtol=0.02)
    assert filters.argmax(axis=1)[0] == 5  # (55 + 35.9) Hz is nearest to 100 Hz
    np.testing.assert_allclose(np.diff(centres_hz[:26]).mean(), 35.946, rtol=0.02)
    step = 6.4 ** (35.946 / (200 / 3) / 27)
    np.testing.assert_allclose((centres_hz[1:] / centres_hz[:-1])[high[1:]], step, rtol=0.01)
    assert spectrum_hz[filters[-1] > 0].max() == 7580 and not filters[:, spectrum_hz <= 55].any()


@pytest.mark.parametrize(("tone_hz", "band"), [(200, 3), (1000, 25), (4000, 63)])
def test_a_tone_is_loudest_in_its_band(tone_hz: int, band: int) -> None:
    """Bands by hand: 55 Hz is 0.825 mel, 7600 Hz is 44.5, 80 bands lie evenly between."""
    tone = 8000 * np.sin(2 * np.pi * tone_hz * np.arange(16_000) / 16_000)
    mel = features.mel(tone.astype(np.int16))
    assert (mel[:, 5:-5].argmax(axis=0) == band).all()


def test_mel_needs_little_memory() -> None:
    """Ten minutes need far less than their 300 MB of frames, besides the result."""
    signal = np.tile(_speechlike(16_000), 600)
    tracemalloc.start()
    try:
        mel = features.mel(signal)
        assert tracemalloc.get_traced_memory()[1] < mel.nbytes + 50e6
    finally:
        tracemalloc.stop()


BLOCK = features.COLUMNS_AT_ONCE * features.COLUMN_STEP  # samples


@pytest.mark.parametrize(
    "samples", [1, 2, 400, 401, BLOCK - 1, BLOCK, BLOCK + 240, BLOCK + 241, 2 * BLOCK + 399]
)
def test_mfcc_of_blocks_is_that_of_the_whole(samples: int) -> None:
    """To the bit: each block is emphasised from the sample before it."""
    signal = _speechlike(samples)
    emphasised = np.append(signal[:1], signal[1:] - 0.97 * signal[:-1])
    columns = 1 + max(0, -(-(samples - 400) // 160))
    expected = [
        python_speech_features.mfcc(
            emphasised[start * 160 : (min(start + 6000, columns) - 1) * 160 + 400],
            16_000,
            preemph=0,
        )
        for start in range(0, columns, 6000)
    ]
    np.testing.assert_array_equal(
        features.mfcc(signal), np.concatenate(expected).astype(np.float32), strict=True
    )


def test_mfcc_needs_little_memory() -> None:
    """Ten minutes need no more than one, besides the result: not 77 MB of floats, twice."""
    peaks = []
    for seconds in (60, 600):
        signal = np.zeros(seconds * 16_000, np.int16)
        signal[::7] = 1000
        tracemalloc.start()
        try:
            columns = features.mfcc(signal)
            peaks.append(tracemalloc.get_traced_memory()[1] - columns.nbytes)
        finally:
            tracemalloc.stop()
    assert peaks[1] < peaks[0] + 1e6 < 110e6


def test_normalised_mfcc_needs_little_memory() -> None:
    """The sums are float64, so they are of one coefficient at a time; the numbers are the same."""
    config = syncnet.SMALL
    columns = np.random.default_rng(0).normal(0, 20, (100_000, 13)).astype(np.float32)
    tracemalloc.start()
    try:
        result = syncnet.normalise_mfcc(columns, config)
        assert tracemalloc.get_traced_memory()[1] < 2 * columns.nbytes
    finally:
        tracemalloc.stop()
    mean = syncnet.running_mean(columns, config.context_frames * features.MFCC_PER_FRAME)
    deviations = np.array([3, *[10] * 12], np.float32)
    np.testing.assert_array_equal(result, (columns - mean) / deviations, strict=True)


@pytest.mark.parametrize(
    "wrong",
    [np.zeros(16_000), np.zeros(9, np.float32), np.zeros((90, 2), np.int16), np.zeros(0, np.int16)],
    ids=["float64", "float32", "stereo", "empty"],
)
def test_mel_refuses_what_would_be_silently_wrong(wrong: np.ndarray) -> None:
    """Floats are refused: they would be 90 dB too quiet."""
    with pytest.raises(ValueError, match="mono int16"):
        features.mel(wrong)


def _numbered(columns: int) -> np.ndarray:
    """Every column holds its own number, every band a thousandth of its own."""
    return (np.arange(columns) + np.arange(80)[:, None] / 1000).astype(np.float32)


@pytest.mark.parametrize(
    ("frame_rate", "starts"),
    [(25, [0, 3, 6, 9, 12, 16, 19]), (30_000 / 1001, [0, 2, 5, 8, 10, 13, 16]), (80, range(7))],
    ids=["25", "29.97", "80"],
)
def test_a_window_starts_at_its_frames_time(frame_rate: float, starts: list[int]) -> None:
    """Column int(80 t), whatever the frame rate; bands and columns keep their places."""
    columns = _numbered(200)
    windows = features.mel_windows(columns, np.arange(7) / frame_rate)
    assert windows.shape == (7, 1, 80, 16) and windows.dtype == np.float32
    for window, start in zip(windows, starts, strict=True):
        np.testing.assert_array_equal(window[0], columns[:, start : start + 16])


def test_summed_times_do_not_slip_a_column() -> None:
    """Half an hour of frame times, summed up in floats, start at int(3.2 i) all the same."""
    times_s = np.cumsum(np.full(45_000, 0.04)) - 0.04
    assert (np.floor(times_s * 80) != 16 * np.arange(45_000) // 5).any()
    for first in range(0, 45_000, 5000):
        windows = features.mel_windows(_numbered(144_100), times_s[first : first + 5000])
        expected = 16 * np.arange(first, first + 5000) // 5
        np.testing.assert_array_equal(windows[:, 0, 0, 0], expected)


def test_frames_outside_the_sound_get_its_ends() -> None:
    """Past the last full window the last 16 columns count; before the sound, the first ones."""
    columns = _numbered(40)
    windows = features.mel_windows(columns, np.array([-1, 0.3, 0.3125, 7.5]))
    np.testing.assert_array_equal(windows[:, 0, 0, 0], [0, 24, 24, 24])


def test_short_sound_is_followed_by_silence() -> None:
    """Five columns, then the floor, at any time."""
    windows = features.mel_windows(_numbered(5), np.array([0, 2.0]))
    np.testing.assert_array_equal(windows[1, 0, :, :5], _numbered(5))
    assert (windows[:, :, :, 5:] == -4).all()
