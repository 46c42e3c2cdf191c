"""The flags of run_wav2lip.py that are more than a word or a number."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from pipeline.dub.face_path import Pads
from pipeline.dub.stage import TRACK_WORDS, TrackWord
from pipeline.errors import InputError


def track_numbers(text: str) -> TrackWord | tuple[int, ...]:
    """`--tracks`: "all", "speaking", or numbers with commas.

    Raises:
        ArgumentTypeError: it is none of these, or names a track twice.
    """
    if text in TRACK_WORDS:
        return cast(TrackWord, text)
    try:
        numbers = tuple(int(number) for number in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not 'all', 'speaking' or numbers with commas"
        ) from error
    if len(set(numbers)) < len(numbers):
        raise argparse.ArgumentTypeError(f"{text!r} names a track twice")
    return numbers


def audio_by_track(values: Sequence[str]) -> dict[int | None, Path]:
    """`--audio`: files by track number, None for the one that is for all others.

    A file whose name begins with digits and an equals sign is taken as such where it is there.

    Raises:
        InputError: a track has two files, or a file is not there.
    """
    found: dict[int | None, Path] = {}
    for value in values:
        number, equals, name = value.partition("=")
        own = bool(equals) and number.isdecimal() and not Path(value).is_file()
        track, path = (int(number), Path(name)) if own else (None, Path(value))
        if track in found:
            of = "all tracks" if track is None else f"track {track}"
            raise InputError(f"--audio {value}: {of} already have {found[track]}; give one file.")
        if not path.is_file():
            raise InputError(f"--audio {path} is not a file; give the path of a sound or video.")
        found[track] = path
    return found


def pads(values: Sequence[int]) -> Pads:
    """`--pads TOP BOTTOM LEFT RIGHT`.

    Raises:
        InputError: one is negative.
    """
    return Pads(*values)
