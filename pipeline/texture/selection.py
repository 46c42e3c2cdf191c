"""Which own mouth is shown on which frame: costs, and the cheapest path along a sentence.

After "Unit selection in a concatenative speech synthesis system using a large speech database"
(Hunt and Black, ICASSP 1996), with frames of video for units.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.distance import cdist

from pipeline.texture.traits import Traits

LEAST_APART_S = 1.0  # the moment itself would bring the old words back
NEVER = 1e3
LEAST_PAUSES = 10  # own frames without speech, to know the closed mouth from
LEAST_HEARD = 100  # own frames with their sound, to learn from how far the mouth opens at what
PARTS, APART_FRAMES = 4, 25  # own frames are told from the other parts, without those near
RIDGE = 0.3  # in units of the sound's own variance


@dataclass(frozen=True)
class Weights:
    """What decides between own mouths.

    Each distance is divided by its own median first, so that no unit and no lighting decides.

    Attributes:
        shape, sound, lips, pose, surroundings: of what is compared, see `Traits`.
        opening: how far the mouth is open, where own sound says that well.
        join_shape, join: of a step to another mouth than the next one: by shape, and always.
    """

    shape: float = 1.0
    sound: float = 1.0
    lips: float = 2.0
    pose: float = 0.6
    surroundings: float = 0.4
    opening: float = 4.0
    join_shape: float = 1.0
    join: float = 0.3


WEIGHTS = Weights()


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
    return float(np.median(squared(some, some))) or 1.0


def squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean squared differences of all pairs of rows, (N, M) float32."""
    return (cdist(a, b, "sqeuclidean") / a.shape[1]).astype(np.float32)


def showing(
    frames: Traits,
    own: Traits,
    unit: Scales,
    *,
    proposals: "Proposals",
    hearing: "Hearing",
    weights: Weights = WEIGHTS,
) -> np.ndarray:
    """What each own mouth costs on each frame.

    Args:
        frames: that get new mouths; `shape`, `opening` and `sound` are those that are wanted.
        own: mouths.
        unit: of the own mouths.
        proposals: how the generator's shapes are set beside real ones.
        hearing: how far the own mouth opens at what sound.
        weights: see `Weights`.

    Returns:
        (frames, own) float32.
    """
    wanted = proposals.as_real(frames.shape)
    real = own.shape - own.shape.mean(axis=0)
    cost = weights.shape * squared(wanted, real) / unit.shape
    opening = _wanted_opening(frames, own, proposals, hearing)
    if own.pause.sum() >= LEAST_PAUSES:
        closed = np.median(own.shape[own.pause], axis=0)
        cost[frames.pause] = weights.shape * squared(closed[None], own.shape)[0] / unit.shape
        opening[frames.pause] = np.median(own.opening[own.pause])
    if hearing.trust:
        open_wrong = (opening[:, None] - own.opening) ** 2 / (2 * own.opening.var())
        cost += np.float32(weights.opening * hearing.trust) * open_wrong
    cost += weights.pose * squared(frames.pose, own.pose) / unit.pose
    around = squared(frames.surroundings, own.surroundings) / unit.surroundings
    cost += weights.surroundings * around
    if frames.sound is not None:
        if own.sound is not None:
            cost += weights.sound * squared(frames.sound, own.sound) / unit.sound
        if own.lips is not None:
            heard = squared(frames.sound, own.lips)
            cost += weights.lips * heard / np.median(heard)
    near = np.abs(frames.times_s[:, None] - own.times_s[None]) < LEAST_APART_S
    return cost + NEVER * near.astype(np.float32)


def _wanted_opening(
    frames: Traits, own: Traits, proposals: "Proposals", hearing: "Hearing"
) -> np.ndarray:
    """How far each frame's mouth should be open, as own ones are: (frames,) float32."""
    drawn = _ranked(frames.opening, proposals.openings, own.opening)
    if frames.sound is None or not hearing.trust:
        return drawn
    return (drawn + _ranked(hearing.openings(frames.sound), hearing.told, own.opening)) / 2


def _ranked(values: np.ndarray, among: np.ndarray, own: np.ndarray) -> np.ndarray:
    """The own values of the same rank: what is the least among its like becomes the least own.

    A prediction varies less than what it predicts: taken as it is, no mouth would ever close.

    Args:
        values: (n,) of any scale.
        among: (m,) sorted, of the same.
        own: (k,) what they stand for.
    """
    rank = (np.searchsorted(among, values) + np.searchsorted(among, values, "right")) / 2
    return np.quantile(own, rank / max(len(among), 1)).astype(np.float32)


@dataclass(frozen=True)
class Hearing:
    """How far one person's mouth opens at what sound, learned from own frames.

    Attributes:
        mean, slope, middle: a line from (E,) sounds to openings.
        told: sorted, what it says of own frames that it has not learned from.
        trust: 0 to 1, the share of the opening's variance that it tells of those; 0 where there
            is nothing to learn from.
    """

    mean: np.ndarray
    slope: np.ndarray
    middle: float
    told: np.ndarray
    trust: float

    @staticmethod
    def of(own: Traits) -> "Hearing":
        """From own mouths and their sound."""
        nothing = np.zeros(0, np.float32)
        if own.sound is None or len(own.opening) < LEAST_HEARD or not own.opening.std():
            return Hearing(nothing, nothing, 0.0, nothing, 0.0)
        told = np.zeros(len(own.opening))
        every = np.arange(len(told))
        for part in np.array_split(every, PARTS):
            far = (every < part[0] - APART_FRAMES) | (every > part[-1] + APART_FRAMES)
            told[part] = _line(own.sound[far], own.opening[far]).openings(own.sound[part])
        agreed = float(np.corrcoef(told, own.opening)[0, 1]) if told.std() else 0.0
        line = _line(own.sound, own.opening)
        return replace(line, told=np.sort(told), trust=max(agreed, 0.0) ** 2)

    def openings(self, sound: np.ndarray) -> np.ndarray:
        """Of (n, E) sounds: (n,)."""
        return np.asarray((sound - self.mean) @ self.slope + self.middle)


def _line(sound: np.ndarray, opening: np.ndarray) -> Hearing:
    """By ridge regression: there may be fewer frames than numbers in a sound's embedding."""
    mean, middle = sound.mean(axis=0), float(opening.mean())
    centred = (sound - mean).astype(np.float64)
    gram = centred.T @ centred
    gram += RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    slope = np.linalg.solve(gram, centred.T @ (opening - middle))
    return Hearing(mean, slope, middle, np.zeros(0), 0.0)


@dataclass(frozen=True)
class Proposals:
    """How a generator's mouths differ from real ones: by their mean, and by how much they vary.

    Without both, its blur and its colour decide which own mouth is nearest, and that is always the
    same one.

    Attributes:
        mean: (S,) of the generator's shapes.
        gain: real variation to its own.
        openings: (N,) sorted, how far its mouths are open.
    """

    mean: np.ndarray
    gain: float
    openings: np.ndarray

    @staticmethod
    def of(shapes: np.ndarray, openings: np.ndarray, own: np.ndarray) -> "Proposals":
        """From (N, S) shapes and (N,) openings of the generator, and (M, S) real shapes."""
        real, made = (float(np.sqrt(faces.var(axis=0).mean())) for faces in (own, shapes))
        return Proposals(shapes.mean(axis=0), real / max(made, 1e-3), np.sort(openings))

    def as_real(self, shapes: np.ndarray) -> np.ndarray:
        """Their deviation from the mean, as large as that of real mouths."""
        return (shapes - self.mean) * self.gain


def joining(own: Traits, unit: Scales, *, weights: Weights = WEIGHTS) -> np.ndarray:
    """What each step from one own mouth to another costs, (own, own) float32."""
    apart = squared(own.shape, own.shape) / unit.shape
    return np.float32(weights.join_shape) * apart + np.float32(weights.join)


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
