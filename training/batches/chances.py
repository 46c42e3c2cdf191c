"""How often each clip is drawn: by person, not by video, and evenly within a batch."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

ROUNDING = 1e-9


def person_chances(lengths: Sequence[float], persons: Sequence[str]) -> dict[str, float]:
    """Chance of each person: the square root of their footage, so that no person dominates."""
    total: dict[str, float] = defaultdict(float)
    for length, person in zip(lengths, persons, strict=True):
        total[person] += length
    roots = {person: float(np.sqrt(length)) for person, length in total.items()}
    return {person: root / sum(roots.values()) for person, root in roots.items()}


def chances(lengths: Sequence[float], persons: Sequence[str]) -> np.ndarray:
    """Chance of each clip: that of its person, shared by the roots of the clips' lengths.

    Args:
        lengths: of the clips, in any unit.
        persons: who is on each.
    """
    by_person = person_chances(lengths, persons)
    roots = np.sqrt(np.asarray(lengths, np.float64))
    of_person: dict[str, float] = defaultdict(float)
    for root, person in zip(roots, persons, strict=True):
        of_person[person] += root
    return np.array([by_person[p] * r / of_person[p] for r, p in zip(roots, persons, strict=True)])


def choose(
    rng: np.random.Generator,
    lengths: Sequence[float],
    persons: Sequence[str],
    *,
    count: int,
    across: bool,
) -> np.ndarray:
    """The clips of a batch.

    No person, and no clip of a person, comes up more often than their share of the batch, rounded
    up.

    Args:
        rng: of the step.
        lengths, persons: as for `chances`.
        count: how many.
        across: clips are compared with each other: no person is drawn twice, unless there are
            fewer than `count`.

    Returns:
        (count,) indices, in random order.
    """
    by_person = person_chances(lengths, persons)
    names, odds = list(by_person), np.array(list(by_person.values()))
    if across:
        odds = _at_most(odds, 1 / count)
    chosen: list[int] = []
    for number, times in Counter(_spread(rng, odds, count).tolist()).items():
        own = [index for index, person in enumerate(persons) if person == names[number]]
        roots = np.sqrt([lengths[index] for index in own])
        chosen += [own[index] for index in _spread(rng, roots / roots.sum(), times)]
    return rng.permutation(chosen)


def _spread(rng: np.random.Generator, odds: np.ndarray, count: int) -> np.ndarray:
    """Draws with equal steps: each comes up as often as its share says, rounded up or down."""
    order = rng.permutation(len(odds))
    ends = np.cumsum(odds[order])
    at = (rng.random() + np.arange(count)) / count * ends[-1]
    return np.asarray(order[np.searchsorted(ends, at, side="right").clip(0, len(odds) - 1)])


def _at_most(odds: np.ndarray, largest: float) -> np.ndarray:
    """The same chances, none above `largest`; all alike where that cannot be."""
    if largest * len(odds) <= 1 + ROUNDING:
        return np.full(len(odds), 1 / len(odds))
    capped = np.zeros(len(odds), bool)
    while True:
        rest = 1 - largest * capped.sum()
        limited = np.where(capped, largest, odds * rest / odds[~capped].sum())
        if not (limited > largest * (1 + ROUNDING)).any():
            return limited
        capped |= limited > largest * (1 + ROUNDING)
