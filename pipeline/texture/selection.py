"""Which own mouth is shown on which frame: costs, and the cheapest path along a sentence.

After "Unit selection in a concatenative speech synthesis system using a large speech database"
(Hunt and Black, ICASSP 1996), with frames of video for units.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from pipeline.texture.traits import Traits

# Weights of what is compared, chosen on people of the training corpus. Each distance is divided
# by its own median first, so that no unit and no lighting decides.
SHAPE, SOUND, LIPS, POSE, SURROUNDINGS = 1.0, 1.0, 2.0, 0.6, 0.4
JOIN_SHAPE, JOIN = 1.0, 0.3  # of a step to another mouth than the next one: by shape, and always
LEAST_APART_S = 1.0  # the moment itself would bring the old words back
NEVER = 1e3


@dataclass(frozen=True)
class Scales:
    """Medians that distances are divided by; of the own mouths, so that they hold for all frames.

    Attributes:
        shape, pose, surroundings, sound: of squared distances among own mouths.
    """

    shape: float
    pose: float
    surroundings: float
    sound: float


def scales(own: Traits) -> Scales:
    """See `Scales`."""
    return Scales(
        *(
            1.0 if values is None else _median(values)
            for values in (own.shape, own.pose, own.surroundings, own.sound)
        )
    )


def _median(values: np.ndarray) -> float:
    some = values[:: max(1, len(values) // 200)]
    return float(np.median(_squared(some, some))) or 1.0


def _squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean squared differences of all pairs of rows, (N, M) float32."""
    return (cdist(a, b, "sqeuclidean") / a.shape[1]).astype(np.float32)


def showing(frames: Traits, own: Traits, unit: Scales, *, proposals: "Proposals") -> np.ndarray:
    """What each own mouth costs on each frame.

    Args:
        frames: that get new mouths; `shape` and `sound` are those that are wanted.
        own: mouths.
        unit: of the own mouths.
        proposals: how the generator's shapes are set beside real ones.

    Returns:
        (frames, own) float32.
    """
    wanted = proposals.as_real(frames.shape)
    real = own.shape - own.shape.mean(axis=0)
    cost = SHAPE * _squared(wanted, real) / unit.shape
    closed = _closed(own, unit)
    if closed is not None:
        cost[frames.pause] = SHAPE * closed
    cost += POSE * _squared(frames.pose, own.pose) / unit.pose
    cost += SURROUNDINGS * _squared(frames.surroundings, own.surroundings) / unit.surroundings
    if frames.sound is not None:
        if own.sound is not None:
            cost += SOUND * _squared(frames.sound, own.sound) / unit.sound
        if own.lips is not None:
            heard = _squared(frames.sound, own.lips)
            cost += LIPS * heard / np.median(heard)
    near = np.abs(frames.times_s[:, None] - own.times_s[None]) < LEAST_APART_S
    return cost + NEVER * near.astype(np.float32)


LEAST_PAUSES = 10  # own frames without speech, to know the closed mouth from


def _closed(own: Traits, unit: Scales) -> np.ndarray | None:
    """How far each own mouth is from the closed one, (N,); None where no pause shows it."""
    if own.pause.sum() < LEAST_PAUSES:
        return None
    closed = np.median(own.shape[own.pause], axis=0)
    return _squared(closed[None], own.shape)[0] / unit.shape


@dataclass(frozen=True)
class Proposals:
    """How a generator's mouths differ from real ones: by their mean, and by how much they vary.

    Without both, its blur and its colour decide which own mouth is nearest, and that is always the
    same one.

    Attributes:
        mean: (S,) of the generator's shapes.
        gain: real variation to its own.
    """

    mean: np.ndarray
    gain: float

    @staticmethod
    def of(shapes: np.ndarray, own: np.ndarray) -> "Proposals":
        """From (N, S) shapes of the generator and (M, S) real ones."""
        real, made = (float(np.sqrt(faces.var(axis=0).mean())) for faces in (own, shapes))
        return Proposals(shapes.mean(axis=0), real / max(made, 1e-3))

    def as_real(self, shapes: np.ndarray) -> np.ndarray:
        """Their deviation from the mean, as large as that of real mouths."""
        return (shapes - self.mean) * self.gain


def joining(own: Traits, unit: Scales) -> np.ndarray:
    """What each step from one own mouth to another costs, (own, own) float32."""
    return JOIN_SHAPE * _squared(own.shape, own.shape) / unit.shape + np.float32(JOIN)


def cheapest(
    showing: np.ndarray, joining: np.ndarray, following: np.ndarray, *, first: int | None = None
) -> np.ndarray:
    """Which own mouth is shown on each frame.

    Args:
        showing: (frames, own) what each costs on each frame.
        joining: (own, own) what a step costs; one to the following mouth costs nothing.
        following: (own,) the mouth that follows each in the video it is from; -1 where none does.
        first: the mouth before the first frame, None where there is none.

    Returns:
        (frames,) int64.
    """
    frames, count = showing.shape
    every = np.arange(count)
    before = np.flatnonzero(following >= 0)
    after = following[before]
    back = np.empty((frames, count), np.int32)
    total = showing[0].astype(np.float32)
    if first is not None:
        steps = joining[first].copy()
        if following[first] >= 0:
            steps[following[first]] = 0
        total += steps
    for frame in range(1, frames):
        reached = total[:, None] + joining
        reached[before, after] = total[before]
        back[frame] = reached.argmin(axis=0)
        total = reached[back[frame], every] + showing[frame]
        total -= total.min()  # keeps float32 exact along hours
    path = [int(total.argmin())]
    for frame in range(frames - 1, 0, -1):
        path.append(int(back[frame, path[-1]]))
    return np.array(path[::-1])
