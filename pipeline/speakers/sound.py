"""What the sound of a shot says without any face: where it is audible, and what voices are like."""

from dataclasses import dataclass

import numpy as np

from models import features
from models.features import FRAME_RATE, MFCC_PER_FRAME, MFCC_SIZE, SAMPLES_PER_FRAME

AUDIBLE_DB = 35  # below the loudest frame nearby
FAINTEST_DB = 60  # below the loudest frame of all; what is quieter is noise between two voices
NEARBY_S = 10.0  # speakers may be of very different loudness
SILENT_POWER = 1.0  # of int16 samples
LEAST_DEVIATION = 1e-6  # of a coefficient that never changes


@dataclass(frozen=True)
class Sound:
    """The sound of a shot on the clock of its frames, 25 per second.

    Attributes:
        audible: (frames,) bool.
        cepstra: (4 frames, 13) float32, each coefficient with mean 0 and deviation 1 over the
            audible frames; 0 elsewhere.
    """

    audible: np.ndarray
    cepstra: np.ndarray

    @property
    def frames(self) -> int:
        """How long it is."""
        return len(self.audible)

    @property
    def has_voices(self) -> bool:
        """There is something in it to tell voices by."""
        return bool(self.cepstra.any())

    @property
    def audible_columns(self) -> np.ndarray:
        """(4 frames,) bool: `audible` for each column of cepstra."""
        return np.repeat(self.audible, MFCC_PER_FRAME)


def listen(samples: np.ndarray, audible: np.ndarray) -> Sound:
    """Prepares the sound of a shot.

    Args:
        samples: (n,) int16, mono, 16 kHz; silence follows where it is shorter than the shot.
        audible: (frames,) bool, of `audible_frames`.
    """
    cepstra = np.zeros((len(audible) * MFCC_PER_FRAME, MFCC_SIZE), np.float32)
    sound = Sound(audible, cepstra)
    if not audible.any():
        return sound
    columns = features.mfcc(samples)[: len(cepstra)]
    cepstra[: len(columns)] = columns
    loud = sound.audible_columns
    cepstra -= cepstra[loud].mean(axis=0)
    cepstra /= cepstra[loud].std(axis=0) + LEAST_DEVIATION
    cepstra[~loud] = 0
    return sound


def unheard(frames: int) -> Sound:
    """Stands for sound that is not there: audible throughout, one voice."""
    return Sound(np.ones(frames, bool), np.zeros((frames * MFCC_PER_FRAME, MFCC_SIZE), np.float32))


def audible_frames(samples: np.ndarray, *, frames: int) -> np.ndarray:
    """Which frames can be heard beside the loudest around them.

    Args:
        samples: (n,) int16, mono, 16 kHz.
        frames: length of the video.

    Returns:
        (frames,) bool.
    """
    from scipy.ndimage import maximum_filter1d  # late: it takes long to load

    power = np.zeros(frames)
    present = features.frame_power(samples[: frames * SAMPLES_PER_FRAME])
    power[: len(present)] = present
    nearby = maximum_filter1d(power, round(NEARBY_S * FRAME_RATE), mode="nearest")
    least = max(SILENT_POWER, power.max(initial=0) * 10 ** (-FAINTEST_DB / 10))
    return np.asarray(power > np.maximum(nearby * 10 ** (-AUDIBLE_DB / 10), least))
