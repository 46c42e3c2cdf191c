"""Voices as Gaussians of cepstra: how likely each frame of a shot is in each speaker's voice.

Voices tell speakers apart where lips are unclear, and say where one stops and the next begins.
"""

import numpy as np

from models.features import MFCC_PER_FRAME, MFCC_SIZE
from pipeline.speakers.sound import Sound

MEAN_PRIOR_COLUMNS = 20  # of the average voice, added to every speaker's
SPREAD_PRIOR_COLUMNS = 400  # of the common spread
LEAST_VARIANCE = 0.02


def voice_likelihood(sound: Sound, speaker: np.ndarray, *, speakers: int) -> np.ndarray:
    """How likely each frame is in each speaker's voice.

    Args:
        sound: of a shot.
        speaker: (frames,) int: who is taken to speak on each frame.
        speakers: how many there are; one without a frame has the average voice.

    Returns:
        (frames, speakers) float64: log likelihood, mean of the frame's columns, but for a common
        constant; 0 where the sound is not audible.
    """
    likelihood = np.zeros((sound.frames, speakers))
    if not sound.has_voices:
        return likelihood
    loud = sound.audible_columns
    columns = sound.cepstra[loud].astype(np.float64)
    whose = np.repeat(speaker, MFCC_PER_FRAME)[loud]
    own = [columns[whose == number] for number in range(speakers)]
    means = [
        (part.sum(axis=0) + MEAN_PRIOR_COLUMNS * columns.mean(axis=0))
        / (len(part) + MEAN_PRIOR_COLUMNS)
        for part in own
    ]
    scatters = [(part - mean).T @ (part - mean) for part, mean in zip(own, means, strict=True)]
    common = sum(scatters) / len(columns) + LEAST_VARIANCE * np.eye(MFCC_SIZE)
    for number, (part, mean, scatter) in enumerate(zip(own, means, scatters, strict=True)):
        spread = (scatter + SPREAD_PRIOR_COLUMNS * common) / (len(part) + SPREAD_PRIOR_COLUMNS)
        factor = np.linalg.cholesky(np.linalg.inv(spread))
        distance = np.square((columns - mean) @ factor).sum(axis=1)
        per_column = -0.5 * (distance + np.linalg.slogdet(spread)[1])
        likelihood[sound.audible, number] = per_column.reshape(-1, MFCC_PER_FRAME).mean(axis=1)
    return likelihood
