"""Folders to faces with their sound: run_pipeline.py's, or a Wav2Lip preprocessed_root."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from models import voice
from models.syncnet import SyncNetConfig
from pipeline.errors import InputError, PipelineError
from pipeline.faces.tracks import CropPath, Track
from pipeline.progress import Progress, silent
from pipeline.store.workspace import Workspace
from training.data import preprocessed, samples, selection
from training.data.cache import ClipCache, cached_sound
from training.data.faces import TYPICAL_ASPECT, VIEW, FaceClip, track_box
from training.objectives.teacher import Taught

Teacher = Callable[[list[Path]], dict[str, Taught]]


@dataclass(frozen=True)
class FaceSource:
    """Where decoded faces are kept, and which are good enough to learn from.

    Attributes:
        cache: folder of decoded clips.
        cache_gb: its largest size.
        min_confidence: of clips that run_syncnet.py scored; see `selection.select`.
        max_offset: of such clips, frames.
        least_frames: shorter stretches are of no use.
        video_names: "dir/video" names to use of a preprocessed_root; None: all that are there.
        separate_voice: what plays behind the voice is taken out of what the networks hear.
    """

    cache: Path
    cache_gb: float
    min_confidence: float
    max_offset: float
    least_frames: int
    video_names: list[str] | None = None
    separate_voice: bool = False


def load_faces(
    data_dirs: list[Path],
    source: FaceSource,
    *,
    teacher: Teacher | None = None,
    judge: SyncNetConfig | None = None,
    say: bool = False,
    progress: Progress = silent,
) -> list[FaceClip]:
    """Every usable face, with its box and, where it was scored, its offset.

    Args:
        data_dirs: of run_pipeline.py, or all of them preprocessed_root folders of Wav2Lip.
        source: cache and choice.
        teacher: embeds crops by a SyncNet; a preprocessed_root has no crops for it.
        judge: configuration of a SyncNet that judges what is drawn: faces get their lips as it
            sees them.
        say: print how many clips are used, and why others are left out.
        progress: called after each clip.

    Raises:
        InputError: nothing is left to train on; the sentence says why.
    """
    if any(preprocessed.is_root(folder) for folder in data_dirs):
        if judge is not None:
            raise InputError(
                f"{data_dirs[0]} is a preprocessed_root, which holds no crops for a SyncNet to "
                "judge; give folders of run_pipeline.py, or --teacher none."
            )
        files: list[Path] = []
        faces, left_out = _of_preprocessed(data_dirs, source, progress)
        total = len(faces) + len(left_out)
    else:
        files = samples.clip_files(data_dirs)
        if source.video_names is not None:
            raise InputError(
                f"{data_dirs[0]} is no preprocessed_root; give --val instead of --filelists."
            )
        faces, left_out = _of_tracks(files, source, progress)
        if judge is not None:
            faces = _with_lips(faces, files, judge, source, left_out, progress)
        total = len(files)
    usable = [face for face in faces if len(face.stretches(source.least_frames))]
    named = selection.with_people([face.clip for face in usable], data_dirs)
    usable = [replace(face, clip=clip) for face, clip in zip(usable, named, strict=True)]
    names = {face.clip.name for face in usable}
    left_out |= {
        face.clip.name: f"too short ({face.clip.frames} frames)"
        for face in faces
        if face.clip.name not in names
    }
    if not usable:
        raise InputError(f"No clip is long enough for a window; {selection.in_words(left_out)}.")
    if say:
        lasting = samples.minutes([face.clip for face in usable])
        print(f"{len(usable)} of {total} clips, {lasting:.1f} minutes")
        print(selection.in_words(left_out) or "no clip left out", flush=True)
    if source.separate_voice:
        usable = with_voices(
            usable, cache=source.cache, cache_gb=source.cache_gb, progress=progress
        )
    if teacher is None or not files:
        return usable
    taught = teacher([file for file in files if samples.clip_name(file) in names])
    return [replace(face, taught=taught[face.clip.name]) for face in usable]


def with_voices(
    faces: list[FaceClip], *, cache: Path, cache_gb: float = 20.0, progress: Progress = silent
) -> list[FaceClip]:
    """The faces with the voice alone, which is kept beside the decoded clips.

    Args:
        faces: with the clips' own sound.
        cache: folder of decoded clips.
        cache_gb: its largest size; what does not fit is separated again by the next run.
        progress: called after each clip.
    """
    clip_cache = ClipCache(cache, limit_bytes=int(cache_gb * 1e9))
    separated = []
    for done, face in enumerate(faces, start=1):
        sound = face.clip.samples
        digest = hashlib.sha256(sound.tobytes()).hexdigest()
        about = f"separate_voice {voice.VERSION} {digest}"
        made = cached_sound(about, partial(voice.separate_voice, sound), clip_cache)
        separated.append(replace(face, voice=made))
        progress("voices separated", done, len(faces))
    return separated


def _of_tracks(
    files: list[Path], source: FaceSource, progress: Progress
) -> tuple[list[FaceClip], dict[str, str]]:
    offsets = selection.known_offsets(files)
    chosen, left_out = selection.select(
        files, offsets, min_confidence=source.min_confidence, max_offset=source.max_offset
    )
    loaded = samples.load_clips(
        chosen,
        VIEW,
        cache=source.cache,
        margin=False,
        cache_gb=source.cache_gb,
        progress=progress,
    )
    by_name = {samples.clip_name(file): file for file in chosen}
    left_out |= loaded.left_out
    faces = []
    for clip in selection.aligned(loaded.clips, offsets):
        try:
            faces.append(FaceClip(clip, track_box(box_aspect(by_name[clip.name]))))
        except PipelineError as error:
            left_out[clip.name] = f"without its track ({error})"
    return faces, left_out


def _with_lips(
    faces: list[FaceClip],
    files: list[Path],
    judge: SyncNetConfig,
    source: FaceSource,
    left_out: dict[str, str],
    progress: Progress,
) -> list[FaceClip]:
    """The faces with their lips as `judge` sees them; `left_out` says why others have none."""
    names = {face.clip.name for face in faces}
    loaded = samples.load_clips(
        [file for file in files if samples.clip_name(file) in names],
        judge,
        cache=source.cache,
        margin=False,
        cache_gb=source.cache_gb,
        progress=progress,
    )
    left_out |= loaded.left_out
    lips = {clip.name: clip.pictures for clip in loaded.clips}
    return [replace(face, lips=lips[name]) for face in faces if (name := face.clip.name) in lips]


def _of_preprocessed(
    roots: list[Path], source: FaceSource, progress: Progress
) -> tuple[list[FaceClip], dict[str, str]]:
    if others := [str(root) for root in roots if not preprocessed.is_root(root)]:
        raise InputError(
            f"{others[0]} is no preprocessed_root as the other folders are; train on one kind."
        )
    return preprocessed.load_videos(
        roots,
        video_names=source.video_names,
        cache=source.cache,
        cache_gb=source.cache_gb,
        progress=progress,
    )


@lru_cache(maxsize=4)
def _tracks(workspace: Workspace, _written_ns: int) -> list[tuple[Track, CropPath]]:
    return workspace.read_tracks()


def box_aspect(file: Path) -> float:
    """Width by height of a clip's face, from the track it was cut from.

    Args:
        file: DATA_DIR/pycrop/REFERENCE/track.avi.
    """
    workspace = Workspace(file.parents[2], file.parent.name)
    if not (workspace.tracks.is_file() and file.stem.isdecimal()):
        return TYPICAL_ASPECT
    tracks = _tracks(workspace, workspace.tracks.stat().st_mtime_ns)
    if int(file.stem) >= len(tracks):
        raise PipelineError(
            f"{workspace.tracks} has no track {file.stem}; run run_pipeline.py again."
        )
    boxes = tracks[int(file.stem)][0].boxes
    sides = np.median(boxes[:, 2:] - boxes[:, :2], axis=0)
    return float(np.clip(sides[0] / sides[1], 0.5, 1.1))
