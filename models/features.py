"""Clock constants and the sound features of SyncNet.

Every number that ties sound to picture is here once: a video frame is 40 ms, 640 samples and
4 MFCC columns long, and a SyncNet window is 5 frames or 20 columns.
"""

import numpy as np
import python_speech_features

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
COLUMNS_AT_ONCE = 6000  # a minute: bounds the memory of the frame matrix


def mfcc(samples: np.ndarray) -> np.ndarray:
    """Cepstra of a mono signal as the published SyncNet expects them.

    The samples must stay in int16 scale: divided by 32768, coefficient 0 moves by 2 ln 32768
    and the network silently sees something else.

    Args:
        samples: (n,) int16, mono, 16 kHz, n >= 1.

    Returns:
        (columns, 13) float32, one column per 10 ms; 16000 samples give 99 columns.

    Raises:
        ValueError: samples are not a non-empty mono int16 array.
    """
    if samples.ndim != 1 or samples.dtype != np.int16 or not samples.size:
        raise ValueError(
            f"mfcc needs a non-empty mono int16 signal, got {samples.dtype} {samples.shape}"
        )
    emphasised = np.append(samples[:1], samples[1:] - PREEMPHASIS * samples[:-1])
    columns = 1 + max(0, -(-(len(samples) - COLUMN_SAMPLES) // COLUMN_STEP))
    blocks = []
    for start in range(0, columns, COLUMNS_AT_ONCE):
        end = min(start + COLUMNS_AT_ONCE, columns)
        cut = emphasised[start * COLUMN_STEP : (end - 1) * COLUMN_STEP + COLUMN_SAMPLES]
        blocks.append(python_speech_features.mfcc(cut, SAMPLE_RATE, preemph=0))
    return np.concatenate(blocks).astype(np.float32)
