"""Who is on which clip (people.csv), so that no person is in training and evaluation.

A data folder may hold a people.csv with the columns reference and person. A video that no file
names is a person of its own.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pipeline.errors import InputError
from pipeline.select import people
from training.data import preprocessed, samples
from training.data.samples import Clip

EMPTY = np.zeros(0, np.uint8)


def read(data_dirs: list[Path]) -> dict[str, str]:
    """The person of each reference (DATA_DIR/REFERENCE) that a people.csv names.

    Raises:
        InputError: a file lacks a column or names one video twice.
    """
    persons: dict[str, str] = {}
    for folder in samples.data_folders(data_dirs):
        for reference, person in people.read(folder).items():
            name = f"{folder.absolute().name}/{reference}"
            if persons.setdefault(name, person) != person:
                raise InputError(f"{folder / people.FILE} names two persons for {reference}.")
    return persons


def person_of(clip: Clip, persons: dict[str, str]) -> str:
    """Who is on a clip; of a video that was not named, the video."""
    return persons.get(clip.reference, clip.reference)


def kept_back(
    names: Iterable[str], *, share: float, seed: int, earlier: Iterable[str] | None = None
) -> list[str]:
    """People to report on who are not trained on: a share of all of them, one at least.

    Args:
        names: of the people, in any order, as often as they come.
        share: of them, above 0 and below 1.
        seed: another one keeps others back.
        earlier: who was kept back by the run that goes on; they are again, and nobody who has
            joined since, as long as one of them is there.

    Raises:
        InputError: there is only one.
    """

    def chance(name: str) -> bytes:
        return hashlib.sha256(f"{seed} {name}".encode()).digest()

    everybody = sorted(set(names), key=chance)
    if (again := {*everybody} & {*(earlier or ())}) and len(again) < len(everybody):
        return sorted(again)
    if len(everybody) < 2:
        raise InputError(
            "--val_share keeps people back, and all clips of --data are of one; add videos of "
            "others, or say who is on which in a people.csv."
        )
    count = min(max(1, round(share * len(everybody))), len(everybody) - 1)
    return sorted(everybody[:count])


def check_apart(clips: list[Clip], others: list[Clip], persons: dict[str, str]) -> None:
    """Refuses a person, or a file, on both sides.

    Raises:
        InputError: the first person who is.
    """
    both = {person_of(clip, persons) for clip in clips} & {
        person_of(clip, persons) for clip in others
    }
    if both:
        raise InputError(
            f"{min(both)} is in --data and in --val; figures on people in the training "
            "data mean little, so give other folders."
        )


def check_folders_apart(data: list[Path], val: list[Path], filelists: Path | None = None) -> None:
    """Refuses a file or a person on both sides.

    Args:
        data: data_dirs of run_pipeline.py, or preprocessed_root folders.
        val: such folders; without any there is nothing to check, unless there are lists.
        filelists: folder of train.txt and val.txt, which choose from preprocessed_root folders.

    Raises:
        InputError: a folder holds nothing to train on, or the first file or person on both sides.
    """
    val = val or (data if filelists else [])
    if not val:
        return
    data_clips, val_clips = (
        _clips(folders, filelists, part)
        for folders, part in ((data, "train.txt"), (val, "val.txt"))
    )
    if both := sorted(data_clips.keys() & val_clips.keys()):
        raise InputError(
            f"{both[0]} is in --data and in --val; figures on training clips mean little, "
            "so give other folders or lists."
        )
    # Programmes of a preprocessed_root are split by its lists: who is on them only people.csv says.
    persons = read([*data, *(folder for folder in val if folder not in data)])
    clips, others = (
        [clip for clip in side.values() if not filelists or clip.reference in persons]
        for side in (data_clips, val_clips)
    )
    check_apart(clips, others, persons)


def _clips(folders: list[Path], filelists: Path | None, part: str) -> dict[Path, Clip]:
    """An empty clip with the name of every file."""
    video_names = preprocessed.listed_videos(filelists / part) if filelists else None
    if any(preprocessed.is_root(folder) for folder in folders):
        videos = preprocessed.video_folders(folders, video_names)
        return {path.resolve(): _empty(preprocessed.video_name(path)) for path in videos}
    files = samples.clip_files(folders)
    return {file.resolve(): _empty(samples.clip_name(file)) for file in files}


def _empty(name: str) -> Clip:
    return Clip(name, EMPTY, EMPTY)
