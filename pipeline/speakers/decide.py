"""Who speaks on each frame of a shot: one of its faces, or nobody on screen.

At most one face speaks at a time. What the lips say for each face and how well each voice fits are
added up along the shot; a change of speaker has a cost, which is lower in a pause. The voices are
those of the frames decided before, so deciding and listening alternate until nothing changes. From
several first guesses on, as that settles where it began; the account that explains the shot best,
with as few speakers as that takes, is the answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.speakers import evidence as lip_evidence
from pipeline.speakers.evidence import Match
from pipeline.speakers.sound import Sound
from pipeline.speakers.turns import find_turns
from pipeline.speakers.voices import voice_likelihood

# Chosen on pairs of clips of people whom the bundled network never saw, those of
# recipes/set_aside.txt (`python -m tests.benchmarks.fit_speakers`).
# Of a face that speaks at all: of faces with foreign sound one in a hundred has it.
LEAST_STANDING = 1.75
# The same about where the sound is expected, which by chance is found one time in five.
NEAR_SHIFTS, LEAST_NEAR_STANDING = 3, 1.0
LEAST_TOGETHER, LEAST_OF_AGREEING = 2.0, 0.5  # of two at about the same shift, and of each
AGREEING_SHIFTS = 5
NOBODY = -0.45  # evidence of nobody: that a face on screen speaks is likelier to begin with
# The same in first guesses, from little to much off-screen speech.
FIRST_NOBODY = (-1.0, -0.45, -0.2, 0.0, 0.3)
LIP_WEIGHT = 0.5  # windows overlap, so a frame is less than evidence of its own
VOICE_WEIGHT = 0.5
CHANGE_COST, PAUSE_CHANGE_COST = 8.0, 3.0
SPEAKER_COST = 55.0  # of each speaker in an account: more voices fit any sound better
ROUNDS = 8  # at most
ABSENT = -1e6  # evidence of a face that is not on screen
SURE = 10.0  # largest score


@dataclass(frozen=True)
class Face:
    """One face of a shot.

    Attributes:
        start, frames: of the shot, 25 per second, from which and for how long it is on screen.
        dists: (windows, shifts) of its lips and the sound.
        offset_frames: by how much the sound leads in the middle column.
    """

    start: int
    frames: int
    dists: np.ndarray
    offset_frames: int = 0


def who_speaks(faces: Sequence[Face], sound: Sound) -> np.ndarray:
    """How sure it is that each face is the speaker.

    Args:
        faces: of one shot.
        sound: of the same shot.

    Returns:
        (frames, faces) float64 between -10 and 10: by how much the best account of the shot in
        which this face speaks on the frame is better than the best in which it does not; above 0
        for the speaker. A pause is part of what surrounds it.
    """
    scores = np.full((sound.frames, len(faces)), -SURE)
    turns = find_turns(sound)
    evidence = [
        lip_evidence.by_sound_frame(
            face.dists,
            frames=sound.frames,
            start=face.start,
            offset_frames=face.offset_frames,
        )
        for face in faces
    ]
    # Once the turns of a clear speaker are taken, what is left may make another one clear.
    matches: dict[int, Match] = {}
    unclaimed = sound.audible
    for _ in range(2):
        others = [number for number in range(len(faces)) if number not in matches]
        candidates = {n: lip_evidence.match(evidence[n], unclaimed, turns) for n in others}
        speakers = _speakers(candidates, matches, faces)
        if not speakers:
            break
        matches |= speakers
        numbers = list(matches)
        own = [
            lip_evidence.for_speech(matches[n].of(evidence[n]), sound.audible, turns)
            for n in numbers
        ]
        lips = _against_nobody(np.stack(own, axis=1), [faces[n] for n in numbers], sound)
        scores[:, numbers] = _best_account(lips, sound, turns)[:, :-1]
        unclaimed = sound.audible & (scores <= 0).all(axis=1)
    return scores


def _speakers(
    candidates: dict[int, Match], known: dict[int, Match], faces: Sequence[Face]
) -> dict[int, Match]:
    """Candidates that stand out, by themselves or with another one's help.

    Sound is expected near the offset that is known, or near none: there a face need not stand out
    as much. All faces of a video have one offset, so two of which each hardly stands out, but at
    about the same shift, are both speakers.
    """
    every = candidates | known
    shifts = {number: every[number].column - faces[number].offset_frames for number in every}
    speakers = {}
    for number, candidate in candidates.items():
        agreeing = [
            other.standing
            for n, other in every.items()
            if n != number and abs(shifts[n] - shifts[number]) <= AGREEING_SHIFTS
        ]
        together = candidate.standing + max(agreeing, default=0.0)
        least = LEAST_NEAR_STANDING if _expected(candidate, faces[number]) else LEAST_STANDING
        if candidate.standing >= least or (
            candidate.standing >= LEAST_OF_AGREEING and together >= LEAST_TOGETHER
        ):
            speakers[number] = candidate
    return speakers


def _expected(candidate: Match, face: Face) -> bool:
    """Whether a face's best shift is where its sound is expected.

    At most other shifts a track shorter than the search has no sound to be compared with: then a
    near one says nothing.
    """
    windows, shifts = face.dists.shape
    return windows >= shifts and abs(candidate.column - shifts // 2) <= NEAR_SHIFTS


def _against_nobody(own: np.ndarray, faces: Sequence[Face], sound: Sound) -> np.ndarray:
    """Adds nobody to the evidence of faces: (frames, faces) to (frames, faces + 1)."""
    lips = np.column_stack([own, np.full(sound.frames, NOBODY)])
    lips[~sound.audible] = 0
    for number, face in enumerate(faces):
        lips[: face.start, number] = lips[face.start + face.frames :, number] = ABSENT
    return lips


def _best_account(lips: np.ndarray, sound: Sound, turns: np.ndarray) -> np.ndarray:
    """Margins of all states, faces and nobody, in the best account of a shot."""
    accounts = [
        _settled(_first_guess(lips, turns, nobody=nobody), lips, sound) for nobody in FIRST_NOBODY
    ]
    margins, _ = max(accounts, key=lambda account: account[1])
    return margins.clip(-SURE, SURE)


def _first_guess(lips: np.ndarray, turns: np.ndarray, *, nobody: float) -> np.ndarray:
    """(frames,) int: for every turn the state with most evidence, by the lips alone."""
    raised = lips.copy()
    raised[:, -1] *= nobody / NOBODY
    total = np.add.reduceat(raised, turns[:-1], axis=0)
    return np.repeat(total.argmax(axis=1), np.diff(turns))


def _settled(speaker: np.ndarray, lips: np.ndarray, sound: Sound) -> tuple[np.ndarray, float]:
    """Margins of all states, and how good that account of the shot is, from a first guess on."""
    states = lips.shape[1]
    cost = np.where(sound.audible, CHANGE_COST, PAUSE_CHANGE_COST)
    for _ in range(ROUNDS):
        voices = voice_likelihood(sound, speaker, speakers=states)
        margins, gain = max_margins(LIP_WEIGHT * lips + VOICE_WEIGHT * voices, cost)
        before, speaker = speaker, margins.argmax(axis=1)
        if (before == speaker).all():
            break
    voices_used = len(np.unique(speaker[sound.audible])) if sound.has_voices else 0
    return margins, gain - SPEAKER_COST * voices_used


def max_margins(gain: np.ndarray, cost: np.ndarray) -> tuple[np.ndarray, float]:
    """Viterbi's algorithm in both directions: by how much each state is the better one.

    Args:
        gain: (frames, states) for being in a state on a frame, at least two states.
        cost: (frames,) of changing the state between the frame before and this one.

    Returns:
        (frames, states): gain of the best path through a state on a frame, minus that of the best
        path that is elsewhere then; and the gain of the best path of all.
    """
    backwards = _arriving(gain[::-1], np.roll(cost[::-1], 1))[::-1]
    through = _arriving(gain, cost) + backwards - gain
    order = np.sort(through, axis=1)
    best, second = order[:, -1:], order[:, -2:-1]
    margins: np.ndarray = through - np.where(through == best, second, best)
    return margins, float(best[0, 0])


def _arriving(gain: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """(frames, states): gain of the best path from the first frame to a state on a frame."""
    arriving = gain.copy()
    for frame in range(1, len(gain)):
        before = arriving[frame - 1]
        arriving[frame] += np.maximum(before, before.max() - cost[frame])
    return arriving
