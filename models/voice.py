"""A voice without what plays behind it: harmonic/percussive separation, twice.

Median filters along time keep what sounds on, along frequency what sets in at once (Fitzgerald,
"Harmonic/percussive separation using median filtering", 2010). Seen through long windows a voice
moves too much to sound on: what does, held tones and chords, is taken out. Seen through short ones
it sounds on: what sets in at once, drums and clicks, is taken out (Tachibana et al., 2010). What is
left is a voice, a little thinner than it was; other voices stay.
"""

import numpy as np
from scipy import ndimage, signal

VERSION = 1  # of the sound this gives: caches and weights depend on it
LONG_WINDOW = 4096  # samples, 256 ms: longer than a voice holds a tone
SHORT_WINDOW = 512  # samples, 32 ms: about two periods of a low voice
OVERLAP = 4  # windows that see a sample
MEDIAN_BINS = 17  # of both filters
# At once: 31 s bound the memory, 2 s beside them are what the filters see. Both are steps of the
# long windows, so that blocks are cut into the same windows as the whole would be.
STEP = LONG_WINDOW // OVERLAP
BLOCK_SAMPLES, MARGIN_SAMPLES = 480 * STEP, 32 * STEP


def separate_voice(samples: np.ndarray) -> np.ndarray:
    """The voice in a sound, as long as it and in its place.

    Args:
        samples: (n,) int16 mono 16 kHz.

    Returns:
        (n,) int16.
    """
    block, margin = BLOCK_SAMPLES, MARGIN_SAMPLES
    voice = np.zeros(samples.shape, np.int16)
    for start in range(0, len(samples), block):
        first = max(0, start - margin)
        around = samples[first : start + block + margin].astype(np.float32)
        part = _without_clicks(_without_tones(around))[start - first :][:block]
        voice[start : start + block] = part.round().clip(-32768, 32767).astype(np.int16)
    return voice


def _without_tones(samples: np.ndarray) -> np.ndarray:
    return _filtered(samples, LONG_WINDOW, kept=1)


def _without_clicks(samples: np.ndarray) -> np.ndarray:
    return _filtered(samples, SHORT_WINDOW, kept=0)


def _filtered(samples: np.ndarray, window: int, *, kept: int) -> np.ndarray:
    """What sounds on (`kept` 0) or sets in at once (1), by soft masks of the spectrum's squares."""
    how = {"nperseg": window, "noverlap": window - window // OVERLAP}
    padded = np.pad(samples, (0, max(0, window - len(samples))))
    spectrum = signal.stft(padded, **how)[2]
    level = np.abs(spectrum).astype(np.float32)
    sustained = ndimage.median_filter(level, size=(1, MEDIAN_BINS))
    sudden = ndimage.median_filter(level, size=(MEDIAN_BINS, 1))
    one, other = ((sustained, sudden), (sudden, sustained))[kept]
    # Where both are nothing there is nothing to share out.
    mask = one**2 / np.maximum(one**2 + other**2, np.finfo(np.float32).tiny)
    filtered: np.ndarray = signal.istft(spectrum * mask, **how)[1][: len(samples)]
    return filtered
