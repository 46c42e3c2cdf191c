"""Whether --data and --val share nothing: asked before anything is decoded."""

from pathlib import Path

import numpy as np

from pipeline.errors import InputError
from training.data import people, preprocessed, samples
from training.data.samples import Clip

NOTHING = np.zeros(0, np.uint8)


def check(data: list[Path], val: list[Path], filelists: Path | None = None) -> None:
    """Refuses a file or a person on both sides.

    Args:
        data: data_dirs of run_pipeline.py, or preprocessed_root folders.
        val: as many as wanted; none: there is nothing to check, unless there are lists.
        filelists: folder of train.txt and val.txt, which choose from preprocessed_root folders.

    Raises:
        InputError: a folder holds nothing to train on, or the first file or person on both sides.
    """
    val = val or (data if filelists else [])
    if not val:
        return
    mine, theirs = (
        _clips(folders, filelists, part)
        for folders, part in ((data, "train.txt"), (val, "val.txt"))
    )
    if both := sorted(mine.keys() & theirs.keys()):
        raise InputError(
            f"{both[0]} is in --data and in --val; figures on clips that were learned from say "
            "nothing, so give other folders or lists."
        )
    # Programmes of a preprocessed_root are split by its lists: who is on them only people.csv says.
    persons = people.read([*data, *(folder for folder in val if folder not in data)])
    clips, others = (
        [clip for clip in side.values() if not filelists or clip.reference in persons]
        for side in (mine, theirs)
    )
    people.check_apart(clips, others, persons)


def _clips(folders: list[Path], filelists: Path | None, part: str) -> dict[Path, Clip]:
    """A clip of that name, with nothing in it, for every file."""
    listed = preprocessed.listed_videos(filelists / part) if filelists else None
    if any(preprocessed.is_root(folder) for folder in folders):
        videos = preprocessed.video_folders(folders, listed)
        return {path.resolve(): _empty(preprocessed.video_name(path)) for path in videos}
    files = samples.clip_files(folders)
    return {file.resolve(): _empty(samples.clip_name(file)) for file in files}


def _empty(name: str) -> Clip:
    return Clip(name, NOTHING, NOTHING)
