"""A print of a sound by which copies are known, whatever their codec, volume or beginning.

After "A Highly Robust Audio Fingerprinting System" (Haitsma and Kalker, 2002): a bit says whether
the energy between two neighbouring bands grows or falls from one moment to the next. Copies share
most bits at some shift in time, other sounds half of them.
"""

import base64
import itertools

import numpy as np
from scipy.signal import stft

from models.features import SAMPLE_RATE

BANDS = 17  # of equal width in pitch; one bit less per moment
LOWEST_HZ, HIGHEST_HZ = 200.0, 3400.0  # what every codec keeps of a voice
HOP_SAMPLES = 1280  # 80 ms, from one moment to the next
WINDOW_SAMPLES = 8192  # half a second: a copy that begins between two moments looks the same
LONGEST_S = 60.0  # of a sound, from its beginning
QUIET_DB = -50.0  # below the loudest moment: nothing that could be known again
Words = np.ndarray  # (moments,) uint16, a bit per pair of bands; 0 where it is quiet


def sound_words(samples: np.ndarray) -> Words:
    """The print of a sound.

    Args:
        samples: (n,) int16 mono at 16 kHz; its first `LONGEST_S` count.

    Returns:
        (moments,) uint16, 12.5 a second; empty for less than a window.
    """
    samples = samples[: int(LONGEST_S * SAMPLE_RATE)]
    if len(samples) < WINDOW_SAMPLES + HOP_SAMPLES:
        return np.zeros(0, np.uint16)
    frequencies, _, spectrum = stft(
        samples.astype(np.float32),
        fs=SAMPLE_RATE,
        nperseg=WINDOW_SAMPLES,
        noverlap=WINDOW_SAMPLES - HOP_SAMPLES,
        boundary=None,
        padded=False,
    )
    edges = np.geomspace(LOWEST_HZ, HIGHEST_HZ, BANDS + 1)
    power = np.abs(spectrum) ** 2
    energy = np.stack(
        [
            power[(frequencies >= low) & (frequencies < high)].sum(axis=0)
            for low, high in itertools.pairwise(edges)
        ]
    )
    slope = np.diff(energy, axis=0)
    bits = np.diff(slope, axis=1) > 0
    words = (bits * (1 << np.arange(BANDS - 1))[:, None]).sum(axis=0).astype(np.uint16)
    total = energy.sum(axis=0)[1:]
    words[total <= total.max() * 10 ** (QUIET_DB / 10)] = 0
    return words


def sound_print(samples: np.ndarray) -> str:
    """`sound_words` as text for a manifest; empty where there is nothing to know again."""
    words = sound_words(samples)
    return base64.b64encode(words.astype("<u2").tobytes()).decode() if words.any() else ""


def read_print(text: str) -> Words:
    """The inverse of `sound_print`.

    Raises:
        ValueError: the text is none.
    """
    data = base64.b64decode(text, validate=True)
    if len(data) % 2:
        raise ValueError("an odd number of bytes")
    return np.frombuffer(data, "<u2")


def different_share(one: Words, other: Words, *, shift: int) -> tuple[float, int]:
    """How many bits differ where two prints overlap.

    Args:
        one, other: prints.
        shift: moment of `other` that lies at the first of `one`.

    Returns:
        The share, 0.5 where nothing overlaps, and the number of moments that count: both are loud.
    """
    first, end = max(0, -shift), min(len(one), len(other) - shift)
    if end <= first:
        return 0.5, 0
    a, b = one[first:end], other[first + shift : end + shift]
    loud = (a != 0) & (b != 0)
    if not loud.any():
        return 0.5, 0
    differing = np.bitwise_count(a[loud] ^ b[loud]).mean() / (BANDS - 1)
    return float(differing), int(loud.sum())
