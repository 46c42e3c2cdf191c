"""Sound to turns: stretches of one voice, found by where the statistics of the sound change.

The cepstra are fitted by one Gaussian per turn; every further turn must be worth its parameters
(the Bayesian information criterion of Chen and Gopalakrishnan, 1998). Dynamic programming finds
the best turns of all, at a cost that grows with the length of the sound alone.
"""

import itertools

import numpy as np

from models.features import FRAME_RATE, MFCC_PER_FRAME, MFCC_SIZE
from pipeline.speakers.sound import Sound

CELL_FRAMES = 5  # turns begin and end on multiples of this
LONGEST_S = 5.0  # one voice that goes on is several turns
PENALTY = 0.5  # of the criterion's; lower finds more turns
PRIOR_COLUMNS = 30  # of typical sound, added to every turn so that short ones have a spread, too
PARAMETERS = MFCC_SIZE + MFCC_SIZE * (MFCC_SIZE + 1) / 2  # of a Gaussian


def find_turns(sound: Sound) -> np.ndarray:
    """Where turns begin and end.

    Args:
        sound: of a shot.

    Returns:
        (turns + 1,) int64, ascending frame numbers from 0 to the length of the sound. Pauses belong
        to a turn beside them.
    """
    bounds = np.append(np.arange(0, sound.frames, CELL_FRAMES), sound.frames)
    count, total, products = _cumulated(sound, bounds)
    parameter_cost = PENALTY * PARAMETERS / 2 * np.log(max(count[-1], 2))
    longest = round(LONGEST_S * FRAME_RATE / CELL_FRAMES)
    best = np.zeros(len(bounds))
    began = np.zeros(len(bounds), np.int64)
    for end in range(1, len(bounds)):
        starts = np.arange(max(0, end - longest), end)
        fit = _fit(
            count[end] - count[starts], total[end] - total[starts], products[end] - products[starts]
        )
        gain = best[starts] + fit - parameter_cost
        best[end], began[end] = gain.max(), starts[gain.argmax()]
    turns = [len(bounds) - 1]
    while turns[-1]:
        turns.append(int(began[turns[-1]]))
    return bounds[turns[::-1]]


def _cumulated(sound: Sound, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number, sum and sum of outer products of the audible columns before each boundary."""
    cells = [
        sound.cepstra[start * MFCC_PER_FRAME : end * MFCC_PER_FRAME].astype(np.float64)
        for start, end in itertools.pairwise(bounds)
    ]  # columns that are not audible are 0 and add nothing
    audible = np.concatenate([[0], np.cumsum(sound.audible)])[bounds] * MFCC_PER_FRAME
    total = np.cumsum([np.zeros(MFCC_SIZE), *(cell.sum(axis=0) for cell in cells)], axis=0)
    products = np.cumsum(
        [np.zeros((MFCC_SIZE, MFCC_SIZE)), *(cell.T @ cell for cell in cells)], axis=0
    )
    return audible, total, products


def _fit(count: np.ndarray, total: np.ndarray, products: np.ndarray) -> np.ndarray:
    """Log likelihood of stretches under a Gaussian of their own, but for a common constant.

    Args:
        count, total, products: (n,), (n, 13) and (n, 13, 13) of their columns.
    """
    columns = np.maximum(count, 1)[:, None]
    mean = total / columns
    covariance = products / columns[..., None] - mean[:, :, None] * mean[:, None, :]
    weight = count[:, None, None]
    covariance = (covariance * weight + PRIOR_COLUMNS * np.eye(MFCC_SIZE)) / (
        weight + PRIOR_COLUMNS
    )
    fit: np.ndarray = -0.5 * count * np.linalg.slogdet(covariance)[1]
    return fit
