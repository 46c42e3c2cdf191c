"""Clock constants and the sound features of SyncNet (MFCC) and Wav2Lip (mel).

Every number that ties sound to picture is here once: a video frame is 40 ms, 640 samples and
4 MFCC columns long. A window of either network is 5 frames: 20 MFCC columns or 16 mel columns.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

FRAME_RATE = 25  # frames per second: the clock both published networks were trained on
SAMPLE_RATE = 16_000  # samples per second
MFCC_RATE = 100  # MFCC columns per second: a 10 ms step
MFCC_SIZE = 13  # cepstral coefficients per column
WINDOW_FRAMES = 5  # video frames one SyncNet window sees


def _exact_div(numerator: int, denominator: int) -> int:
    if numerator % denominator:
        raise AssertionError(f"{numerator} is not a multiple of {denominator}")
    return numerator // denominator


SAMPLES_PER_FRAME = _exact_div(SAMPLE_RATE, FRAME_RATE)  # 640
MFCC_PER_FRAME = _exact_div(MFCC_RATE, FRAME_RATE)  # 4
WINDOW_COLUMNS = WINDOW_FRAMES * MFCC_PER_FRAME  # 20
COLUMN_STEP = _exact_div(SAMPLE_RATE, MFCC_RATE)  # 160 samples
COLUMN_SAMPLES = 400  # samples one column sees
PREEMPHASIS = 0.97
COLUMNS_AT_ONCE = 6000  # a minute: bounds the memory of samples and frames as floats

MEL_RATE = 80  # mel columns per second
MEL_SIZE = 80  # mel bands per column
MEL_STEP = _exact_div(SAMPLE_RATE, MEL_RATE)  # 200 samples
MEL_SAMPLES = 800  # samples one mel column sees
MEL_WINDOW_COLUMNS = _exact_div(WINDOW_FRAMES * MEL_RATE, FRAME_RATE)  # 16
MEL_RANGE_HZ = (55.0, 7600.0)
MEL_MIN_DB = -100.0  # anything quieter counts as silence
MEL_REFERENCE_DB = 20.0  # taken from every level
MEL_LIMIT = 4.0  # features span -4 (silence) to 4
MEL_COLUMNS_AT_ONCE = 800  # 10 s
TIME_ROUNDING = 1e-6  # columns: a time this close below a column is that column


def frame_power(samples: np.ndarray) -> np.ndarray:
    """Mean square of each 40 ms frame of (n,) int16 samples: (n // 640,) float64."""
    frames = samples[: len(samples) // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME]
    # Frame by frame: the whole of an hour would be half a gigabyte.
    return np.array(
        [
            np.square(frame, dtype=np.float64).mean()
            for frame in frames.reshape(-1, SAMPLES_PER_FRAME)
        ],
        dtype=np.float64,
    )


def mfcc(samples: np.ndarray, *, delay_samples: int = 0) -> np.ndarray:
    """Cepstra of a mono signal as the published SyncNet expects them.

    The samples must stay in int16 scale: divided by 32768, coefficient 0 moves by 2 ln 32768
    and the network silently sees something else.

    Args:
        samples: (n,) int16, mono, 16 kHz, n >= 1.
        delay_samples: the signal is heard so much later, or earlier where negative, in the same
            columns; beyond its ends it is mirrored.

    Returns:
        (columns, 13) float32, one column per 10 ms; 16000 samples give 99 columns.

    Raises:
        ValueError: samples are not a non-empty mono int16 array.
    """
    # Loads scipy's transforms: imported late, for scripts that need the constants only.
    import python_speech_features

    if samples.ndim != 1 or samples.dtype != np.int16 or not samples.size:
        raise ValueError(
            f"mfcc needs a non-empty mono int16 signal, got {samples.dtype} {samples.shape}"
        )
    columns = 1 + max(0, -(-(len(samples) - COLUMN_SAMPLES) // COLUMN_STEP))
    cepstra = np.empty((columns, MFCC_SIZE), np.float32)
    for start in range(0, columns, COLUMNS_AT_ONCE):
        end = min(start + COLUMNS_AT_ONCE, columns)
        first, last = start * COLUMN_STEP, (end - 1) * COLUMN_STEP + COLUMN_SAMPLES
        cut = _emphasised(samples, first, last, delay_samples=delay_samples)
        cepstra[start:end] = python_speech_features.mfcc(cut, SAMPLE_RATE, preemph=0)
    return cepstra


def _emphasised(samples: np.ndarray, start: int, end: int, *, delay_samples: int) -> np.ndarray:
    """Pre-emphasised samples start .. end - 1, float64 of int16 scale; fewer at the sound's end.

    A block at a time: the whole of an hour would be half a gigabyte, twice.
    """
    at = np.arange(max(0, start - 1), min(end, len(samples)))
    wide = samples[_mirrored(at - delay_samples, len(samples))].astype(np.float64)
    emphasised = wide[1:] - PREEMPHASIS * wide[:-1]
    return emphasised if start else np.append(wide[:1], emphasised)


def mel(samples: np.ndarray, *, silence_columns: int = 0) -> np.ndarray:
    """Normalised mel spectrogram of a mono signal as the published Wav2Lip expects it.

    Within 1e-6 of what its own `audio.py` gives. Ends are mirrored, as librosa did when the
    published weights were trained; newer versions see zeros there.

    Args:
        samples: (n,) int16, mono, 16 kHz, n >= 1.
        silence_columns: put before the first column and after the last.

    Returns:
        (80, columns) float32 in -4..4, one column per 12.5 ms: column c is centred on sample
        200 c; n samples give 1 + n // 200 columns, besides those of silence.

    Raises:
        ValueError: samples are not a non-empty mono int16 array.
    """
    if samples.ndim != 1 or samples.dtype != np.int16 or not samples.size:
        raise ValueError(
            f"mel needs a non-empty mono int16 signal, got {samples.dtype} {samples.shape}"
        )
    columns = 1 + len(samples) // MEL_STEP
    filters = mel_filters()
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(MEL_SAMPLES) / MEL_SAMPLES)
    whole = np.full((MEL_SIZE, columns + 2 * silence_columns), -MEL_LIMIT, np.float32)
    mel_columns = whole[:, silence_columns : silence_columns + columns]
    for start in range(0, columns, MEL_COLUMNS_AT_ONCE):
        end = min(start + MEL_COLUMNS_AT_ONCE, columns)
        first = start * MEL_STEP - MEL_SAMPLES // 2
        cut = _reflected(samples, first, first + (end - start - 1) * MEL_STEP + MEL_SAMPLES)
        frames = sliding_window_view(cut, MEL_SAMPLES)[::MEL_STEP]
        level = filters @ np.abs(np.fft.rfft(frames * hann)).T
        level_db = 20 * np.log10(np.maximum(level, 10 ** (MEL_MIN_DB / 20))) - MEL_REFERENCE_DB
        scaled = 2 * MEL_LIMIT * (level_db - MEL_MIN_DB) / -MEL_MIN_DB - MEL_LIMIT
        mel_columns[:, start:end] = scaled.clip(-MEL_LIMIT, MEL_LIMIT)
    return whole


def _reflected(samples: np.ndarray, start: int, end: int) -> np.ndarray:
    """Pre-emphasised samples start .. end - 1, float64 of -1..1; beyond its ends it is mirrored."""
    at = _mirrored(np.arange(start, end), len(samples))
    before = np.where(at > 0, samples[at - 1], 0)
    return (samples[at] - PREEMPHASIS * before) / 32768


def _mirrored(at: np.ndarray, count: int) -> np.ndarray:
    """Which of `count` samples stand at places that may lie beyond their ends."""
    period = max(1, 2 * (count - 1))
    at = at % period
    return np.minimum(at, period - at)


def mel_filters() -> np.ndarray:
    """Triangles of unit area on Slaney's mel scale: linear to 1 kHz, logarithmic above.

    Returns:
        (80, 401) float64: weight of each frequency of the spectrum in each band.
    """
    linear_hz, knee_hz = 200 / 3, 1000.0  # per mel; where the scale becomes logarithmic
    knee, log_step = knee_hz / linear_hz, np.log(6.4) / 27
    low, high = MEL_RANGE_HZ
    mels = np.linspace(low / linear_hz, knee + np.log(high / knee_hz) / log_step, MEL_SIZE + 2)
    edges_hz = np.where(mels < knee, mels * linear_hz, knee_hz * np.exp(log_step * (mels - knee)))[
        :, None
    ]
    spectrum_hz = np.fft.rfftfreq(MEL_SAMPLES, 1 / SAMPLE_RATE)
    left, peak, right = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    rising, falling = (spectrum_hz - left) / (peak - left), (right - spectrum_hz) / (right - peak)
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (right - left)


def mel_windows(columns: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """The sound of video frames: from each frame's time on, a window of a fifth of a second.

    By time and not by frame count, so that any frame rate keeps its sound.

    Args:
        columns: (80, M) float32 as `mel` gives them; fewer than 16 are followed by silence.
        times_s: (N,) times of the frames in the sound; where the sound ends before the window,
            its last 16 columns count, as in the published inference.

    Returns:
        (N, 1, 80, 16) float32. It is 5 kB a frame: ask for a batch of frames at a time.
    """
    missing = max(0, MEL_WINDOW_COLUMNS - columns.shape[1])
    columns = np.pad(columns, ((0, 0), (0, missing)), constant_values=-MEL_LIMIT)
    starts = np.floor(np.asarray(times_s) * MEL_RATE + TIME_ROUNDING).astype(np.int64)
    starts = starts.clip(0, columns.shape[1] - MEL_WINDOW_COLUMNS)
    windows = sliding_window_view(columns, MEL_WINDOW_COLUMNS, axis=1)
    return np.ascontiguousarray(windows[:, starts].transpose(1, 0, 2)[:, None])
