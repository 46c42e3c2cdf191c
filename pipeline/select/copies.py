"""The clips of a selection with sound and lips together, and clips in webdataset's shards."""

import io
import re
import shutil
import tarfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import wavfile

from models.features import FRAME_RATE, SAMPLE_RATE, SAMPLES_PER_FRAME
from models.files import partial_path
from pipeline.errors import InputError
from pipeline.faces.tracks import Track
from pipeline.media import decode, encode
from pipeline.progress import Progress, silent
from pipeline.select.choose import Candidate
from pipeline.store.files import json_text, write_json
from pipeline.store.workspace import Workspace

WITHOUT_CLIPS = (
    "run run_batch.py --keep crops on the videos.txt of a selection, with another --data_dir, and "
    "select from that."
)
NamedTrack = tuple[Candidate, str]  # a track, and the name its video's results get


def with_names(candidates: Sequence[Candidate]) -> list[NamedTrack]:
    """The name of each track's video among the copies: its reference, with the batch's where two
    batches have one."""
    folders: dict[str, set[Path]] = {}
    for one in candidates:
        folders.setdefault(one.reference, set()).add(one.data_dir.absolute())
    return [
        (
            one,
            one.reference
            if len(folders[one.reference]) == 1
            else f"{one.data_dir.absolute().name}-{one.reference}",
        )
        for one in candidates
    ]


def write_copies(
    tracks: Sequence[NamedTrack],
    rows: Callable[[Candidate], dict[str, Any]],
    out: Path,
    *,
    progress: Progress = silent,
) -> list[Path]:
    """Writes every clip with its offset taken out, as a data_dir that training takes.

    Pictures are copied as they are. Sound is cut anew from that of the whole video, where the
    batch has kept it, so that nothing is missing at the ends.

    Args:
        tracks: that stay, those of a video together.
        rows: gives a track's row of offsets.json.
        out: the data_dir.
        progress: called after each clip.

    Returns:
        The clips.

    Raises:
        InputError: a clip is not there.
        PipelineError: one cannot be read or written.
    """
    clips: list[Path] = []
    scores: dict[str, list[dict[str, Any]]] = {}
    for done, (track, name) in enumerate(tracks, start=1):
        source, target = (
            Workspace(track.data_dir, track.reference),
            Workspace(out, name),
        )
        for folder in ("pycrop", "pywork"):
            target.folder(folder).mkdir(parents=True, exist_ok=True)
        if not source.crop(track.track).is_file():
            raise InputError(f"{source.crop(track.track)} is not there; {WITHOUT_CLIPS}")
        samples = moved_sound(source, track)
        encode.replace_sound(source.crop(track.track), target.crop(track.track), samples)
        shutil.copyfile(source.tracks, target.tracks)  # where the clips were cut
        row = rows(track) | {"offset_frames": 0, "offset_ms": 0.0}
        scores.setdefault(name, []).append(row)
        write_json(target.offsets_json, scores[name])
        clips.append(target.crop(track.track))
        progress("clips copied", done, len(tracks))
    return clips


def moved_sound(workspace: Workspace, candidate: Candidate) -> np.ndarray:
    """The sound that belongs to a track's pictures: later than recorded where it was early.

    Args:
        workspace: of the track.
        candidate: the track, with its offset.

    Returns:
        (n,) int16 at 16 kHz, 640 samples a frame; silence beyond the ends of the video.
    """
    track: Track = workspace.read_tracks()[candidate.track][0]
    length = len(track.frames) * SAMPLES_PER_FRAME
    late = round((candidate.offset_ms or 0.0) / 1000 * SAMPLE_RATE)
    if workspace.audio.is_file():
        whole = wavfile.read(workspace.audio, mmap=True)[1]
        first = round(int(track.frames[0]) * SAMPLE_RATE / FRAME_RATE) - late
    else:
        whole, first = decode.read_audio(workspace.crop(candidate.track)), -late
    moved = np.zeros(length, np.int16)
    start, end = max(first, 0), min(first + length, len(whole))
    if end > start:
        moved[start - first : end - first] = whole[start:end]
    return moved


def write_shards(
    clips: Iterable[tuple[str, Path, dict[str, Any]]], out: Path, *, shard_mb: float
) -> list[Path]:
    """Writes clips as webdataset's tar files: `KEY.avi` and `KEY.json` of each.

    Args:
        clips: key, file and row of each.
        out: an existing folder.
        shard_mb: largest size of one, megabytes; a larger clip gets its own.

    Returns:
        `shard-000000.tar` and so on.

    Raises:
        InputError: a clip is not there.
    """
    shards: list[Path] = []
    with ExitStack() as stack:
        tar, filled = None, 0
        for key, clip, row in clips:
            if not clip.is_file():
                raise InputError(f"{clip} is not there; {WITHOUT_CLIPS}")
            size = clip.stat().st_size
            if tar is None or (filled and filled + size > shard_mb * 1e6):
                stack.close()
                path = out / f"shard-{len(shards):06d}.tar"
                shards.append(path)
                tar, filled = stack.enter_context(tarfile.open(partial_path(path), "w")), 0
            _add(tar, f"{key}.avi", clip.read_bytes())
            _add(tar, f"{key}.json", json_text(row).encode())
            filled += size
    for path in shards:
        partial_path(path).replace(path)
    return shards


def shard_key(name: str, track: int) -> str:
    """What names a clip in a shard; a dot would begin its suffix there."""
    return f"{re.sub(r'[^A-Za-z0-9_-]', '_', name)}-{track:05d}"


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    about = tarfile.TarInfo(name)
    about.size = len(data)
    tar.addfile(about, io.BytesIO(data))
