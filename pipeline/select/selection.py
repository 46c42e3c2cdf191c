"""A batch filtered to a training set, and everything that is written of it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.files import partial_path
from pipeline.errors import InputError
from pipeline.progress import Progress, silent
from pipeline.select import copies, people, picture
from pipeline.select.choose import (
    SAME_SOUND,
    Candidate,
    SelectOptions,
    batch_lines,
    candidates_of,
    manifests,
)
from pipeline.select.duplicates import Name, Sound, originals
from pipeline.select.sound_print import read_print
from pipeline.store.files import json_text, write_text

CLIPS, VIDEOS, ROWS, PICTURE = "clips.txt", "videos.txt", "selection.jsonl", "selection.png"


@dataclass(frozen=True)
class Selection:
    """What a selection came to.

    Attributes:
        candidates: every track of the batches, those that are dropped with a reason.
        without_track: videos that failed or have no track.
        copies: each video whose sound is that of an earlier one, to that, by data_dir and
            reference.
        files: what was written.
    """

    candidates: list[Candidate]
    without_track: int
    copies: dict[Name, Name]
    files: list[Path]

    @property
    def tracks(self) -> list[Candidate]:
        """The tracks that stay."""
        return [one for one in self.candidates if not one.reason]

    @property
    def reasons(self) -> Counter[str]:
        """How many tracks are dropped for what."""
        return Counter(one.reason for one in self.candidates if one.reason)


def select(
    data_dirs: Sequence[Path],
    out: Path,
    options: SelectOptions,
    *,
    in_sync: bool = False,
    shard_mb: float | None = None,
    progress: Progress = silent,
) -> Selection:
    """Chooses the tracks of batches that are good enough to learn from, and writes them down.

    Args:
        data_dirs: of run_batch.py.
        out: folder for the lists, the picture and the copies.
        options: what a track must be.
        in_sync: also write every clip with its offset taken out, below `out`.
        shard_mb: also write webdataset shards of at most so many megabytes.
        progress: called after each clip that is copied.

    Raises:
        InputError: a folder holds no batch, no track stays, or its clips were not kept.
        PipelineError: a clip cannot be read or written.
    """
    paths = manifests(data_dirs)
    if in_sync:
        _check_free(out, "pycrop")
    if shard_mb is not None:
        _check_free(out, "shard-*.tar")
    selection = _chosen(paths, options)
    if not selection.tracks:
        words = ", ".join(f"{count} {reason}" for reason, count in selection.reasons.most_common())
        raise InputError(
            f"No track stays of {len(selection.candidates)} ({words or 'there is none'}); lower "
            "--min_confidence or raise --max_offset."
        )
    out.mkdir(parents=True, exist_ok=True)
    files = [_write_rows(paths, selection, out / ROWS)]
    videos = dict.fromkeys(one.video for one in selection.tracks)
    write_text(out / VIDEOS, "".join(f"{video}\n" for video in videos))
    picture.draw(selection.candidates, out / PICTURE)
    files += [out / VIDEOS, out / PICTURE]
    if in_sync or shard_mb is not None or all(one.clip.is_file() for one in selection.tracks):
        files += _write_clips(
            paths, selection, out, in_sync=in_sync, shard_mb=shard_mb, progress=progress
        )
    return replace(selection, files=files)


def _check_free(out: Path, pattern: str) -> None:
    """Refuses a folder with clips of another selection: training would take both."""
    if any(out.glob(pattern)):
        raise InputError(
            f"--out {out} holds {pattern} of an earlier selection; delete it, or give another "
            "folder."
        )


def _chosen(paths: Sequence[Path], options: SelectOptions) -> Selection:
    """Judges every track, then drops those of copies of a video."""
    candidates: list[Candidate] = []
    sounds: dict[Name, Sound] = {}
    without_track = 0
    for data_dir, line in batch_lines(paths):
        tracks = candidates_of(data_dir, line, options)
        without_track += not tracks
        candidates += tracks
        if any(not one.reason for one in tracks) and not options.duplicates:
            sounds[data_dir, line["reference"]] = _sound(line)
    same = originals(sounds)
    candidates = [
        replace(one, reason=SAME_SOUND)
        if not one.reason and (one.data_dir, one.reference) in same
        else one
        for one in candidates
    ]
    return Selection(candidates, without_track, same, [])


def _sound(line: dict[str, Any]) -> Sound:
    try:
        words = read_print(line.get("sound_print") or "")
    except ValueError as error:
        raise InputError(
            f"The sound_print of {line['video']} cannot be read; make its line again."
        ) from error
    return Sound(line.get("sha256") or "", words)


def _write_rows(paths: Sequence[Path], selection: Selection, path: Path) -> Path:
    """Every track with its row of offsets.json and whether it stays, as JSON lines."""
    reasons = {_key(one): one.reason for one in selection.candidates}
    videos = {(one.data_dir, one.reference): one.video for one in selection.candidates}
    with partial_path(path).open("w", encoding="utf-8", newline="\n") as file:
        for (data_dir, reference, track), video, row in _rows(paths):
            original = selection.copies.get((data_dir, reference))
            about = {
                "data_dir": str(data_dir),
                "video": video,
                "reference": reference,
                "selected": not reasons[data_dir, reference, track],
                "dropped_because": reasons[data_dir, reference, track] or None,
                "same_sound_as": videos[original] if original else None,
            }
            file.write(json_text(about | {"row": row}) + "\n")
    partial_path(path).replace(path)
    return path


Key = tuple[Path, str, int]  # data_dir, reference and number of a track


def _key(one: Candidate) -> Key:
    return one.data_dir, one.reference, one.track


def _rows(paths: Sequence[Path]) -> Iterator[tuple[Key, str, dict[str, Any]]]:
    """Every track's video and its row of offsets.json."""
    for data_dir, line in batch_lines(paths):
        for row in line["tracks"]:
            yield (data_dir, line["reference"], row["track"]), line["video"], row


def _write_clips(
    paths: Sequence[Path],
    selection: Selection,
    out: Path,
    *,
    in_sync: bool,
    shard_mb: float | None,
    progress: Progress,
) -> list[Path]:
    """The list that training takes; before it the copies, after it the shards, where wanted."""
    tracks = copies.with_names(selection.tracks)
    keys = {_key(one) for one, _ in tracks}
    rows = {key: row for key, _, row in _rows(paths) if key in keys}
    clips = [one.clip.absolute() for one, _ in tracks]
    if in_sync:
        clips = copies.write_copies(
            tracks, lambda one: rows[_key(one)], out.absolute(), progress=progress
        )
        people.add(out, _persons(tracks))
    write_text(out / CLIPS, "".join(f"{clip}\n" for clip in clips))
    files = [out / CLIPS]
    if shard_mb is not None:
        shard_rows = (
            (copies.shard_key(name, one.track), clip, _shard_row(rows[_key(one)], in_sync=in_sync))
            for (one, name), clip in zip(tracks, clips, strict=True)
        )
        files += copies.write_shards(shard_rows, out, shard_mb=shard_mb)
    return files


def _persons(tracks: Sequence[copies.NamedTrack]) -> dict[str, str]:
    """Who is on the copies, by their names, as far as the batches' people.csv say."""
    known = {folder: people.read(folder) for folder in {one.data_dir for one, _ in tracks}}
    return {
        name: known[one.data_dir][one.reference]
        for one, name in tracks
        if one.reference in known[one.data_dir]
    }


def _shard_row(row: dict[str, Any], *, in_sync: bool) -> dict[str, Any]:
    return row | ({"offset_frames": 0, "offset_ms": 0.0} if in_sync else {})
