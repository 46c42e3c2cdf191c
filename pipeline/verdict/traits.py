"""What a clip's sound and lips are like, to say why they do not tell an offset."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.signal import butter, sosfiltfilt

from models.features import SAMPLE_RATE, frame_power

ENVELOPE_RATE = 100  # values a second
ENVELOPE_SAMPLES = SAMPLE_RATE // ENVELOPE_RATE
SYLLABLES_HZ = (2.0, 8.0)  # how often speech swells and fades (Scheirer and Slaney, ICASSP 1997)
LEAST_ENVELOPE = 200  # values: 2 s
SAMPLES_AT_ONCE = 60 * SAMPLE_RATE  # bounds memory
SILENCE_DB = -200.0  # of nothing at all


@dataclass(frozen=True)
class SoundTraits:
    """What a sound is like.

    Attributes:
        loudest_db: level of its loudest 40 ms, below a full-scale square wave.
        rhythm: how much its level swells and fades as often as syllables follow each other, by
            its mean; None where it is too short to tell.
    """

    loudest_db: float
    rhythm: float | None


UNKNOWN_SOUND = SoundTraits(loudest_db=0.0, rhythm=None)
NO_SOUND = SoundTraits(loudest_db=SILENCE_DB, rhythm=None)


def sound_traits(samples: np.ndarray) -> SoundTraits:
    """The traits of (n,) int16 samples, mono at 16 kHz."""
    return SoundTraits(_loudest_db(samples), _rhythm(samples))


def lip_variation(lips: torch.Tensor) -> float:
    """Share of the variance of (windows, E) lip embeddings about nought that is about their mean.

    Lips that do not move, or cannot be seen, are described the same way all along.
    """
    power = float((lips.double() ** 2).sum(dim=1).mean()) if len(lips) else 0.0
    return 1 - float((lips.double().mean(dim=0) ** 2).sum()) / power if power else 0.0


def _loudest_db(samples: np.ndarray) -> float:
    power = float(frame_power(samples).max(initial=0.0))
    return 10 * float(np.log10(power / 2**30)) if power else SILENCE_DB


def _rhythm(samples: np.ndarray) -> float | None:
    pieces = range(0, len(samples), SAMPLES_AT_ONCE)
    levels = [_levels(samples[start : start + SAMPLES_AT_ONCE]) for start in pieces]
    envelope = np.concatenate(levels) if levels else np.zeros(0)
    if len(envelope) < LEAST_ENVELOPE or not envelope.any():
        return None
    band = butter(2, SYLLABLES_HZ, "band", fs=ENVELOPE_RATE, output="sos")
    return float(sosfiltfilt(band, envelope).std() / envelope.mean())


def _levels(samples: np.ndarray) -> np.ndarray:
    """The level of every 10 ms; differences, as they weaken what is below speech."""
    rises = np.diff(samples.astype(np.float32))
    whole = rises[: len(rises) // ENVELOPE_SAMPLES * ENVELOPE_SAMPLES]
    return np.asarray(np.sqrt(np.square(whole).reshape(-1, ENVELOPE_SAMPLES).mean(axis=1)))
