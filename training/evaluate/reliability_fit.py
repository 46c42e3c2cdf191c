"""Pieces with their own and with foreign sound, and the regression that tells them apart."""

import itertools
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.polynomial import polynomial
from scipy.optimize import minimize
from scipy.special import expit

from models.calibration import Calibration
from models.features import FRAME_RATE
from models.syncnet import SyncNet
from pipeline.progress import Progress, silent
from pipeline.sync import embeddings, reliability
from training.data.people import person_of
from training.data.samples import Clip, shifted_sound
from training.evaluate.judging import embed_piece

FRAMES = (15, 20, 25, 35, 50, 75, 125, 175, 250, 375)  # lengths of the pieces
REFERENCE_FRAMES = 125  # of the pieces a clip's own offset is the median of
FEWEST_REFERENCES = 3  # a clip too short for so many is cut into three
LEAST_REFERENCE_FRAMES = 50
SURE_DISTANCE = 2  # frames: a clip is sure where most of its pieces are as near to their median
SURE_SHARE = 0.75
TOLERANCE = 1  # frames: so near an offset is right
FOREIGN_SHARE = 0.01  # of pieces with somebody else's sound may be called reliable
# An own piece placed wrongly counts as so many with somebody else's sound: they are few, and the
# smallest distance, by which own sound is known at any offset, would trust them.
WRONG_WEIGHT = 12.0
RIDGE = 3.0  # penalty on squared weights, in pieces
BOOTSTRAPS = 500


@dataclass(frozen=True)
class Options:
    """How pieces are drawn.

    Attributes:
        pieces: of each length.
        foreign: sounds of other people for each piece.
        vshift: largest shift searched, frames.
        seed: of everything random.
    """

    pieces: int = 400
    foreign: int = 4
    vshift: int = 15
    seed: int = 1


@dataclass(frozen=True)
class Piece:
    """One distance matrix, in numbers.

    Attributes:
        person: whose lips.
        frames: length.
        windows: rows of the matrix.
        numbers: (12,), see `pipeline.sync.reliability`.
        foreign: the sound is somebody else's.
        right: its offset is within a frame of the clip's own; None where that is not known.
    """

    person: str
    frames: int
    windows: int
    numbers: np.ndarray
    foreign: bool
    right: bool | None

    @property
    def at_search_edge(self) -> bool:
        """The best shift is the largest tried."""
        return bool(self.numbers[reliability.NUMBERS.index("at_search_edge")])


def measure(
    model: SyncNet,
    clips: list[Clip],
    *,
    options: Options,
    persons: dict[str, str],
    device: torch.device,
    progress: Progress = silent,
) -> list[Piece]:
    """Cuts pieces of every length and gives each its own and others' sound.

    Only clips whose own offset most of their pieces agree on are used: elsewhere it is not known
    what is right, and the speaker may not be on screen.

    Args:
        model: in eval mode on `device`.
        clips: without margin, of people it was not trained on.
        options: how many, and the seed.
        persons: see `training.data.people`.
        device: where the model is.
        progress: called after each clip, then after each piece.
    """
    own = own_offsets(model, clips, vshift=options.vshift, device=device, progress=progress)
    sure = [clip for clip in clips if clip.name in own]
    rng = np.random.default_rng(options.seed)
    pieces: list[Piece] = []
    total, counter = len(FRAMES) * options.pieces, itertools.count(1)
    for frames in FRAMES:
        stretches = []
        for clip, first in _random_pieces(sure, frames, options.pieces, persons, rng):
            stretches.append(_embed(model, clip, first, frames, own[clip.name], persons, device))
            progress("pieces embedded", next(counter), total)
        pieces += _pairs(stretches, options, rng)
    return pieces


def own_offsets(
    model: SyncNet,
    clips: list[Clip],
    *,
    vshift: int,
    device: torch.device,
    progress: Progress = silent,
) -> dict[str, float]:
    """The offset in frames of every clip whose pieces of 5 s (or thirds) agree, by its name."""
    own = {}
    for count, clip in enumerate(clips, start=1):
        progress("clips compared with themselves", count, len(clips))
        length = min(REFERENCE_FRAMES, clip.frames // FEWEST_REFERENCES)
        if length < LEAST_REFERENCE_FRAMES:
            continue
        offsets = []
        for first in range(0, clip.frames - length + 1, length):
            lips, sound = embed_piece(model, clip, first=first, frames=length, device=device)
            mean = embeddings.distances(lips, sound, vshift=vshift).mean(axis=0)
            offsets.append(vshift - int(mean.argmin()))
        middle = float(np.median(offsets))
        near = np.abs(np.array(offsets) - middle) <= SURE_DISTANCE
        if near.mean() >= SURE_SHARE and abs(middle) < vshift - TOLERANCE:
            own[clip.name] = middle
    return own


@dataclass(frozen=True)
class _Stretch:
    """Embeddings of a piece of a clip.

    Attributes:
        person: whose lips and sound.
        frames: length.
        own_frames: offset of the whole clip, frames.
        lips, sound: (windows, E) embeddings.
        audible_share: of its sound.
    """

    person: str
    frames: int
    own_frames: float
    lips: torch.Tensor
    sound: torch.Tensor
    audible_share: float


def _random_pieces(
    clips: list[Clip], frames: int, count: int, persons: dict[str, str], rng: np.random.Generator
) -> list[tuple[Clip, int]]:
    """Pieces of one length, as many of each person as of the others: clip and first frame."""
    by_person: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        if clip.frames >= frames:
            by_person[person_of(clip, persons)].append(clip)
    names = sorted(by_person)
    if len(names) < 2:
        return []
    chosen = []
    for index in range(count):
        choices = by_person[names[index % len(names)]]
        clip = choices[rng.integers(len(choices))]
        chosen.append((clip, int(rng.integers(clip.frames - frames + 1))))
    return chosen


def _embed(
    model: SyncNet,
    clip: Clip,
    first: int,
    frames: int,
    own_frames: float,
    persons: dict[str, str],
    device: torch.device,
) -> _Stretch:
    lips, sound = embed_piece(model, clip, first=first, frames=frames, device=device)
    share = reliability.audible_share(shifted_sound(clip, first=first, frames=frames))
    return _Stretch(person_of(clip, persons), frames, own_frames, lips, sound, share)


def _pairs(stretches: list[_Stretch], options: Options, rng: np.random.Generator) -> list[Piece]:
    """Each with its own sound, and with that of some other persons' stretches."""
    pieces = []
    for stretch in stretches:
        others = [other for other in stretches if other.person != stretch.person]
        chosen = rng.permutation(len(others))[: options.foreign]
        for other in (stretch, *(others[index] for index in chosen)):
            dists = embeddings.distances(stretch.lips, other.sound, vshift=options.vshift)
            offset = options.vshift - int(dists.mean(axis=0).argmin())
            foreign = other is not stretch
            pieces.append(
                Piece(
                    stretch.person,
                    stretch.frames,
                    len(dists),
                    reliability.numbers(dists, audible_share=other.audible_share),
                    foreign,
                    None if foreign else abs(offset - stretch.own_frames) <= TOLERANCE,
                )
            )
    return pieces


def fit(pieces: list[Piece], *, vshift: int) -> Calibration:
    """The regression, and the level that a hundredth of the foreign pieces passes.

    Own pieces with a right offset against all others, each side weighing as much as the other at
    every length; but for own pieces with a wrong offset, see `WRONG_WEIGHT`.
    """
    windows = np.array([piece.windows for piece in pieces])
    values = np.stack([piece.numbers for piece in pieces])
    deviations = np.maximum(values.std(axis=0), 1e-6)
    count = values.shape[1]
    blank = Calibration(
        vshift=vshift,
        windows=(int(windows.min()), int(windows.max())),
        means=tuple(values.mean(axis=0).tolist()),
        deviations=tuple(deviations.tolist()),
        bias=0.0,
        weights=(0.0,) * count,
        slopes=(0.0,) * count,
        length=(0.0, 0.0),
        threshold=(0.0, 0.0, 0.0),
        people=len({piece.person for piece in pieces}),
    )
    inputs = np.stack([blank.inputs(piece.numbers, piece.windows) for piece in pieces])
    right = np.array([bool(piece.right) for piece in pieces])
    share = np.empty(len(pieces))
    for length in np.unique(windows):
        for side in (True, False):
            chosen = (windows == length) & (right == side)
            share[chosen] = (windows == length).sum() / max(1, chosen.sum()) / 2
    share[[not (piece.foreign or piece.right) for piece in pieces]] *= WRONG_WEIGHT
    coefficients = _regression(inputs, right, share).tolist()
    fitted = replace(
        blank,
        bias=coefficients[0],
        weights=tuple(coefficients[1 : 1 + count]),
        slopes=tuple(coefficients[1 + count : 1 + 2 * count]),
        length=tuple(coefficients[1 + 2 * count :]),
    )
    return replace(fitted, threshold=_threshold(pieces, fitted))


def _regression(inputs: np.ndarray, right: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Weights of least logistic loss with a ridge on all but the bias."""
    signs = np.where(right, 1.0, -1.0)
    penalty = np.full(inputs.shape[1], RIDGE)
    penalty[0] = 0

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margins = signs * (inputs @ weights)
        value = (share * np.logaddexp(0, -margins)).sum() + (penalty * weights**2).sum() / 2
        gradient = -(share * signs * expit(-margins)) @ inputs + penalty * weights
        return value, gradient

    optimum: np.ndarray = minimize(
        loss, np.zeros(inputs.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 2000}
    ).x
    return optimum


def _threshold(pieces: list[Piece], fitted: Calibration) -> tuple[float, float, float]:
    """A parabola over the lengths through the logit a hundredth of the foreign pieces exceeds."""
    lengths = sorted({piece.windows for piece in pieces})
    levels = []
    for windows in lengths:
        logits = [
            fitted.logit(piece.numbers, windows)
            for piece in pieces
            if piece.windows == windows and piece.foreign and not piece.at_search_edge
        ]
        total = sum(piece.windows == windows and piece.foreign for piece in pieces)
        # Of all pieces, those at the edge of the search included: they are never reliable.
        passing = max(1, round(FOREIGN_SHARE * total))
        levels.append(sorted(logits)[-min(passing, len(logits))])
    octaves = [fitted.octaves(windows) for windows in lengths]
    fitted_levels = polynomial.polyfit(octaves, levels, min(2, len(lengths) - 1)).tolist()
    first, second, third = [*fitted_levels, 0.0, 0.0][:3]
    return first, second, third


def table(pieces: list[Piece], calibration: Calibration, *, seed: int) -> list[dict[str, Any]]:
    """Per length: how many own and foreign pieces are called reliable, and how many are right.

    Intervals are of 95 %, by drawing people anew.
    """
    rows = []
    for frames in sorted({piece.frames for piece in pieces}):
        same_length = [piece for piece in pieces if piece.frames == frames]
        reliable = [
            not piece.at_search_edge and calibration.trusts(piece.numbers, piece.windows)
            for piece in same_length
        ]
        own = [
            (p.person, float(ok))
            for p, ok in zip(same_length, reliable, strict=True)
            if not p.foreign
        ]
        foreign = [
            (p.person, float(ok)) for p, ok in zip(same_length, reliable, strict=True) if p.foreign
        ]
        right = [
            (p.person, float(bool(p.right)))
            for p, ok in zip(same_length, reliable, strict=True)
            if ok and not p.foreign
        ]
        rows.append(
            {
                "seconds": frames / FRAME_RATE,
                "own": len(own),
                "own_reliable": _with_interval(own, seed),
                "right_of_those": _with_interval(right, seed),
                "foreign": len(foreign),
                "foreign_reliable": _with_interval(foreign, seed),
            }
        )
    return rows


def _with_interval(values: list[tuple[str, float]], seed: int) -> list[float] | None:
    """Mean, and the interval of 95 % over people."""
    if not values:
        return None
    by_person: dict[str, list[float]] = defaultdict(list)
    for person, value in values:
        by_person[person].append(value)
    sums = np.array([[sum(v), len(v)] for v in by_person.values()])
    rng = np.random.default_rng(seed)
    resampled = sums[rng.integers(len(sums), size=(BOOTSTRAPS, len(sums)))].sum(axis=1)
    low, high = np.quantile(resampled[:, 0] / resampled[:, 1], (0.025, 0.975))
    return [round(float(x), 4) for x in (sums[:, 0].sum() / sums[:, 1].sum(), low, high)]
