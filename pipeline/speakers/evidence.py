"""What the lips of one face say of the sound: for it or against it, frame by frame.

Every window's distances are read as a choice among shifts: the log of how much likelier the sound
belongs at one shift than at any, above 0 for it. Lips that move to somebody else's words
prefer another shift in every window, so that it is clearly below 0 for those.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.sync.offset import NEIGHBOUR_SHIFTS, WINDOW_CENTRE

SHARPNESS = 1.0  # of the choice, per typical deviation of a window's distances
LARGEST = 3.0  # of a frame, so that no single one decides
# Evidence of a frame, of faces set aside (`python -m tests.benchmarks.fit_speakers`).
OWN_MEAN, FOREIGN_MEAN, SPREAD = 0.88, -0.45, 0.94
OWN_WEIGHT = 0.5  # of a face's own turns, beside OWN_MEAN, in what its speech looks like
# Of evidence, for an offset that changes from one turn to the next: per shift, and at most.
SHIFT_COST, LARGEST_SHIFT_COST = 50.0, 150.0
FORBIDDEN = -1e9


@dataclass(frozen=True)
class Match:
    """At which shift a face goes with the sound, if at any.

    Attributes:
        columns: (frames,) int: of the distances; it changes where the offset drifts or steps.
        standing: by how much the turns for it outweigh those for any other shift, per root of the
            audible frames, so that somebody else's sound gives the same at any length.
    """

    columns: np.ndarray
    standing: float

    @property
    def column(self) -> float:
        """The middle one of all frames."""
        return float(np.median(self.columns))

    def of(self, evidence: np.ndarray) -> np.ndarray:
        """(frames,) of (frames, shifts) evidence: at these shifts."""
        at: np.ndarray = evidence[np.arange(len(evidence)), self.columns]
        return at


def by_sound_frame(
    dists: np.ndarray, *, frames: int, start: int = 0, offset_frames: int = 0
) -> np.ndarray:
    """Evidence about the sound of each frame, at each shift.

    Args:
        dists: (windows, shifts) of a face, as in activesd.pckl.
        frames: length of the shot.
        start: frame of the shot at which the face's track begins.
        offset_frames: by how much the sound leads in the middle column.

    Returns:
        (frames, shifts) float32; 0 where its lips cannot tell.
    """
    windows, shifts = dists.shape
    evidence = np.zeros((frames, shifts), np.float32)
    if not windows:
        return evidence
    choice = dists * np.float32(-SHARPNESS / max(float(dists.std(axis=1).mean()), 1e-9))
    choice -= choice.max(axis=1, keepdims=True)
    choice -= np.log(np.exp(choice).mean(axis=1, keepdims=True))
    np.minimum(choice, LARGEST, out=choice)
    for column in range(shifts):
        heard = start + WINDOW_CENTRE + np.arange(windows) + column - shifts // 2 - offset_frames
        inside = (heard >= 0) & (heard < frames)
        evidence[heard[inside], column] = choice[inside, column]
    return evidence


def match(evidence: np.ndarray, audible: np.ndarray, turns: np.ndarray) -> Match:
    """The shifts for which the turns that favour them say most.

    A face may speak in a few turns only, so those against a shift do not count. By chance any shift
    has some turns for it, hence the comparison with the best of the others.

    Args:
        evidence: of `by_sound_frame`.
        audible: (frames,) bool.
        turns: of `find_turns`.
    """
    support = np.maximum(
        np.add.reduceat(np.where(audible[:, None], evidence, 0), turns[:-1], axis=0), 0
    )
    support[:, [0, -1]] = FORBIDDEN  # the ends of the search are no measurement
    columns, best = _best_path(support)
    for turn, column in enumerate(columns):
        support[turn, max(0, column - NEIGHBOUR_SHIFTS) : column + NEIGHBOUR_SHIFTS + 1] = FORBIDDEN
    _, second = _best_path(support)
    comparable = best >= 0 and second >= 0  # there are other shifts than these
    margin = best - second if comparable else 0.0
    standing = margin / np.sqrt(max(1, int(audible.sum())))
    return Match(np.repeat(columns, np.diff(turns)), float(standing))


def for_speech(own: np.ndarray, audible: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Log likelihood of each frame's evidence if the face speaks, less that if it does not.

    Clear lips are believed sooner, and where they do not fit, refused sooner: how clear they are
    is measured in the turns that favour the face. Both kinds of frames scatter alike.

    Args:
        own: (frames,) evidence of a face at its own shifts.
        audible: (frames,) bool.
        turns: of `find_turns`.

    Returns:
        (frames,) float64; 0 where lips cannot tell, as in `own`.
    """
    support = np.add.reduceat(np.where(audible, own, 0.0), turns[:-1])
    counts = np.add.reduceat(audible.astype(int), turns[:-1])
    favours = support > 0
    mean = support[favours].sum() / max(1, counts[favours].sum())
    speech = OWN_WEIGHT * mean + (1 - OWN_WEIGHT) * OWN_MEAN
    steepness = (speech - FOREIGN_MEAN) / SPREAD**2
    return np.where(own == 0, 0.0, steepness * (own - (speech + FOREIGN_MEAN) / 2))


def _best_path(support: np.ndarray) -> tuple[np.ndarray, float]:
    """A shift for every turn, (turns,) int, with most support less cost of changes; and that."""
    turns, shifts = support.shape
    moved = np.abs(np.subtract.outer(np.arange(shifts), np.arange(shifts)))
    change = np.minimum(SHIFT_COST * moved, LARGEST_SHIFT_COST)
    arriving = support[0].astype(np.float64)
    before = np.zeros((turns, shifts), np.int64)
    for turn in range(1, turns):
        gain = arriving[:, None] - change
        before[turn] = gain.argmax(axis=0)
        arriving = gain.max(axis=0) + support[turn]
    path = np.zeros(turns, np.int64)
    path[-1] = arriving.argmax()
    for turn in range(turns - 1, 0, -1):
        path[turn - 1] = before[turn, path[turn]]
    return path, float(arriving.max())
