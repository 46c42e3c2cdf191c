"""Whether an offset can be relied on: from the distance matrix of a clip of any length.

Somebody else's sound fits one shift best, too, by chance, and the shorter the clip the better. So
the margin alone says little; how steady it is over the windows and how it compares with the spread
of all other shifts say more.
"""

import itertools

import numpy as np

from models.calibration import Calibration
from models.features import WINDOW_FRAMES, frame_power

NEIGHBOUR_SHIFTS = 2  # so near the best shift another is the same answer
AUDIBLE_DB = 35  # below the loudest frame
LONG_SILENCE_FRAMES = 25  # longer than the pauses of speech
NUMBERS = (
    "margin",
    "confidence",
    "confidence_by_spread",
    "margin_by_spread",
    "halves_that_agree",
    "steadiness_against_second",
    "steadiness_against_median",
    "at_search_edge",
    "curvature",
    "audible_share",
    "shift",
    "min_dist",  # calibrations of before 1.17 do not weigh it: the last, so that they still hold
)
# Those that grow with the scale of the embeddings.
SCALED = ("margin", "confidence", "curvature", "min_dist")


def numbers(dists: np.ndarray, *, audible_share: float) -> np.ndarray:
    """What the calibration weighs, in the order of `NUMBERS`.

    Args:
        dists: (windows, shifts) float32, at least one window and seven shifts.
        audible_share: share of the frames with sound within 35 dB of the loudest.

    Returns:
        (12,) float64, finite.
    """
    windows, shifts = dists.shape
    largest, root = shifts // 2, np.sqrt(windows)
    mean = dists.mean(axis=0, dtype=np.float64)
    best = int(mean.argmin())
    far = np.abs(np.arange(shifts) - best) > NEIGHBOUR_SHIFTS
    others = mean[far]
    second = int(np.where(far, mean, np.inf).argmin())
    halves = [part.mean(axis=0) for part in np.array_split(dists, 2) if len(part)]
    agreeing = sum(abs(int(half.argmin()) - best) <= 1 for half in halves)
    around = mean[max(0, best - 1)] + mean[min(shifts - 1, best + 1)]
    margin, confidence = others.min() - mean[best], np.median(mean) - mean[best]
    return np.array(
        [
            margin * root,
            confidence * root,
            _ratio(np.median(others) - mean[best], others.std()),
            _ratio(margin, np.median(np.abs(others - np.median(others)))),
            agreeing,
            _steadiness(dists[:, second] - dists[:, best]),
            _steadiness(np.median(dists, axis=1) - dists[:, best]),
            best in (0, shifts - 1),
            (around - 2 * mean[best]) * root,
            audible_share,
            abs(best - largest) / largest,
            mean[best],
        ]
    )


def probability(
    dists: np.ndarray, calibration: Calibration, *, audible_share: float
) -> tuple[float, bool]:
    """How probable it is that the offset is right within a frame, and whether to rely on it.

    The probability is against somebody else's sound as often as not; reliable is what one in a
    hundred pieces with somebody else's sound would be called.

    Args:
        dists: (windows, shifts) float32.
        calibration: of the network that made them.
        audible_share: see `numbers`; of a clip without any sound nothing is probable.
    """
    windows, shifts = dists.shape
    if not audible_share:  # silence is as far from any lips as from others: nothing is learned
        return 0.0, False
    measured = numbers(dists, audible_share=audible_share)
    logit = calibration.logit(measured, windows)
    # A narrower search has fewer chances to be wrong than those that were counted, and a clip
    # shorter than all that were fitted has more.
    fitted = shifts // 2 >= calibration.vshift and windows >= calibration.windows[0]
    return float(1 / (1 + np.exp(-logit))), fitted and calibration.trusts(measured, windows)


def surplus(dists: np.ndarray, calibration: Calibration, *, audible_share: float) -> float:
    """By how much the logit exceeds what a hundredth of other people's sound does.

    Args:
        dists, calibration, audible_share: as for `probability`.
    """
    measured, windows = numbers(dists, audible_share=audible_share), len(dists)
    return calibration.logit(measured, windows) - calibration.least_logit(windows)


def audible(samples: np.ndarray) -> np.ndarray:
    """Which 40 ms frames of (n,) int16 samples are within 35 dB of the loudest; none of silence.

    Returns:
        (n // 640,) bool.
    """
    power = frame_power(samples)
    loudest = max(power.max(initial=0), 1.0)
    return np.asarray(power > loudest * 10 ** (-AUDIBLE_DB / 10))


def silent_windows(samples: np.ndarray, windows: int) -> np.ndarray:
    """Which windows lie in a silence of a second or more: they would match any still mouth.

    Args:
        samples: (n,) int16.
        windows: how many the clip has.

    Returns:
        (windows,) bool.
    """
    padded = np.concatenate([[True], audible(samples), [True]])
    starts = np.flatnonzero(padded[:-1])
    silent = np.zeros(windows, bool)
    for start, end in itertools.pairwise([*starts, len(padded) - 1]):
        if end - start - 1 >= LONG_SILENCE_FRAMES:  # frames start .. end - 2 of the sound
            silent[start : max(start, end - WINDOW_FRAMES)] = True
    return silent


def audible_share(samples: np.ndarray) -> float:
    """Share of the frames of (n,) int16 samples that are audible; 0 without any."""
    frames = audible(samples)
    return float(frames.mean()) if len(frames) else 0.0


def _steadiness(differences: np.ndarray) -> float:
    """Mean by standard error; neighbouring windows share frames, so five count as one."""
    return _ratio(differences.mean(dtype=np.float64), differences.std(dtype=np.float64)) * float(
        np.sqrt(len(differences) / WINDOW_FRAMES)
    )


def _ratio(value: float, spread: float) -> float:
    """`value / spread`, and 0 where nothing differs."""
    return float(value / spread) if spread > 1e-9 else 0.0
