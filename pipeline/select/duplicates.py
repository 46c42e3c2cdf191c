"""Copies of one video among many: videos with the same bytes, or with the same sound.

Two sounds are compared only where their prints share a pair of moments exactly, so a hundred
thousand videos take minutes.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.select.sound_print import Words, different_share

# Of the bits that may differ. At the best of all shifts 0.35 and more do in 600 pairs of people
# talking, 0.19 and fewer between a sound and its copies in MP3, AAC and Opus, cut or with noise.
SAME_SHARE = 0.3
LEAST_MOMENTS = 25  # that two sounds must share: two seconds
MOST_PLACES = 50  # of a pair of moments; more say nothing, like a jingle that a thousand share
CANDIDATES = 3  # shifts that are compared, of each two sounds

Name = tuple[Path, str]  # data_dir and reference of a video


@dataclass(frozen=True)
class Sound:
    """What is known of a video's sound.

    Attributes:
        sha256: of the file; empty where it is not known.
        words: its print; empty where there is none.
    """

    sha256: str
    words: Words


def originals(sounds: Mapping[Name, Sound]) -> dict[Name, Name]:
    """For each video that is a copy of an earlier one, the first of those.

    Args:
        sounds: by video; of two copies the first stays.
    """
    first_by_digest: dict[str, Name] = {}
    copies: dict[Name, Name] = {}
    index: dict[int, list[tuple[Name, int]]] = defaultdict(list)
    for name, sound in sounds.items():
        original = first_by_digest.get(sound.sha256) if sound.sha256 else None
        original = original or _same_sound(sound.words, index, sounds)
        if original:
            copies[name] = original
            continue
        if sound.sha256:
            first_by_digest[sound.sha256] = name
        for pair, moment in _pairs(sound.words):
            if len(index[pair]) <= MOST_PLACES:
                index[pair].append((name, moment))
    return copies


def _pairs(words: Words) -> list[tuple[int, int]]:
    """Two moments that follow each other as one number, and the first of them."""
    if len(words) < 2:
        return []
    wide = words.astype(np.int64)
    loud = np.flatnonzero((words[:-1] != 0) & (words[1:] != 0))
    return [(int(wide[at] << 16 | wide[at + 1]), int(at)) for at in loud]


def _same_sound(
    words: Words, index: Mapping[int, list[tuple[Name, int]]], sounds: Mapping[Name, Sound]
) -> Name | None:
    """The earlier video with the same sound; None where there is none."""
    votes: Counter[tuple[Name, int]] = Counter()
    for pair, moment in _pairs(words):
        places = index.get(pair, ())
        if len(places) <= MOST_PLACES:
            votes.update((name, place - moment) for name, place in places)
    compared: Counter[Name] = Counter()
    for (name, shift), _ in votes.most_common():
        if compared[name] >= CANDIDATES:
            continue
        compared[name] += 1
        share, moments = different_share(words, sounds[name].words, shift=shift)
        if moments >= LEAST_MOMENTS and share <= SAME_SHARE:
            return name
    return None
