"""Tracks and frames to 224x224 face clips, all tracks in one pass over the frames."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.io import wavfile

from models.features import SAMPLE_RATE
from models.syncnet import CROP_PX
from pipeline import writers
from pipeline.tracks import CropPath, Track
from pipeline.workspace import Workspace

CROP_SCALE = 0.40  # margin around a face, in units of its size, where nobody asks for another
PAD_VALUE = 110  # grey beyond the frame's edges


def crop_face(frame: np.ndarray, *, x: float, y: float, s: float, crop_scale: float) -> np.ndarray:
    """Cuts one face the way the published SyncNet saw it: the face high in a square.

    The rounding steps are those of the SyncNet demo.

    Args:
        frame: (H, W, 3) uint8 BGR.
        x, y: centre of the face, pixels.
        s: half of the face's longer side, pixels.
        crop_scale: margin around the face, in units of its size.

    Returns:
        (224, 224, 3) uint8; grey where the square reaches outside the frame.
    """
    pad = int(s * (1 + 2 * crop_scale))
    top, bottom = int(y + pad - s), int(y + pad + s * (1 + 2 * crop_scale))
    left, right = int(x + pad - s * (1 + crop_scale)), int(x + pad + s * (1 + crop_scale))
    # Only the part inside the frame is copied; the demo pads the whole frame first.
    height, width = frame.shape[:2]
    square = np.full((max(1, bottom - top), max(1, right - left), 3), PAD_VALUE, np.uint8)
    rows = slice(max(top - pad, 0), min(bottom - pad, height))
    columns = slice(max(left - pad, 0), min(right - pad, width))
    inside = frame[rows, columns]
    if inside.size:
        row, column = rows.start - (top - pad), columns.start - (left - pad)
        square[row : row + inside.shape[0], column : column + inside.shape[1]] = inside
    return cv2.resize(square, (CROP_PX, CROP_PX))


@dataclass(frozen=True)
class _Job:
    """One track on its way to a file."""

    track: Track
    path: CropPath
    file: Path
    sound: Path | None


def write_crops(
    workspace: Workspace,
    frames: Iterable[np.ndarray],
    tracks: list[Track],
    paths: list[CropPath],
    *,
    crop_scale: float,
    frame_rate: int,
    progress: Callable[[int], object],
) -> None:
    """Cuts every track's clip with its own stretch of sound.

    Args:
        workspace: whose sound is read, and whose `pycrop` is written.
        frames: (H, W, 3) uint8 BGR, all of the video; they are taken as far as there are tracks.
        tracks, paths: what to cut and where.
        crop_scale: see `crop_face`.
        frame_rate: of frames and clips.
        progress: called with 1 after each frame.
    """
    samples = _sound(workspace)
    starts: dict[int, list[_Job]] = {}
    end = 0
    for index, (track, path) in enumerate(zip(tracks, paths, strict=True)):
        sound = None
        if samples is not None:
            sound = workspace.scratch / f"{index:05d}.s16"
            track_sound(samples, track, frame_rate=frame_rate).tofile(sound)
        job = _Job(track, path, workspace.crop(index), sound)
        starts.setdefault(int(track.frames[0]), []).append(job)
        end = max(end, int(track.frames[-1]) + 1)
    open_jobs: dict[Path, tuple[_Job, writers.VideoWriter, ExitStack]] = {}
    with ExitStack() as on_error:
        for index, frame in zip(range(end), frames, strict=False):
            for job in starts.get(index, []):
                stack = on_error.enter_context(ExitStack())
                writer = writers.VideoWriter(
                    job.file, size_px=(CROP_PX, CROP_PX), frame_rate=frame_rate, audio=job.sound
                )
                open_jobs[job.file] = (job, stack.enter_context(writer), stack)
            for job, writer, stack in list(open_jobs.values()):
                position = index - int(job.track.frames[0])
                x, y, s = job.path.at(position)
                writer.write(crop_face(frame, x=x, y=y, s=s, crop_scale=crop_scale))
                if index == job.track.frames[-1]:
                    stack.close()
                    del open_jobs[job.file]
                    if job.sound is not None:
                        job.sound.unlink()
            progress(1)


def track_sound(samples: np.ndarray, track: Track, *, frame_rate: int) -> np.ndarray:
    """The sound of a track, cut in samples and padded with silence to the track's length.

    Args:
        samples: (n,) int16, the video's sound at 16 kHz.
        track: whose frames are meant.
        frame_rate: of the track's clock.

    Returns:
        (m,) int16; m is 640 samples per frame at 25 fps.
    """
    first = round(int(track.frames[0]) * SAMPLE_RATE / frame_rate)
    end = round((int(track.frames[-1]) + 1) * SAMPLE_RATE / frame_rate)
    cut = samples[first:end]
    return np.concatenate([cut, np.zeros(end - first - len(cut), np.int16)])


def _sound(workspace: Workspace) -> np.ndarray | None:
    if not workspace.audio.exists():
        return None
    # Mapped, not read: an hour of sound need not be in memory to cut a minute from it.
    samples: np.ndarray = wavfile.read(workspace.audio, mmap=True)[1]
    return samples
