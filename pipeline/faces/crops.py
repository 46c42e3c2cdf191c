"""Tracks and frames to 224x224 face clips, in one pass over the frames, or in a few for crowds."""

import itertools
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass
from fractions import Fraction
from heapq import heappop, heappush
from itertools import islice
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from scipy.io import wavfile

from models.features import SAMPLE_RATE
from models.syncnet import CROP_PX
from pipeline.faces.tracks import CropPath, Track
from pipeline.media import encode
from pipeline.progress import Progress, silent
from pipeline.store.workspace import Workspace

CROP_SCALE = 0.40  # margin around a face, in units of its size
PAD_VALUE = 110  # grey beyond the frame's edges
OPEN_CLIPS = 8  # encoders at once, 35 to 55 MB each: bounds the memory of a crowd
SOUND_PIECE_FRAMES = 1500  # of a track's sound, copied at a time


def recorded_crop_scale(workspace: Workspace) -> float:
    """The margin that clips of a workspace were cut with; the demo's for results of others."""
    settings = (workspace.read_record() or {}).get("settings", {})
    return float(settings.get("crop_scale", CROP_SCALE))


def crop_face(frame: np.ndarray, *, x: float, y: float, s: float, crop_scale: float) -> np.ndarray:
    """Cuts one face as for the published SyncNet: the face in the upper part of a square.

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


class CropTaker(Protocol):
    """What takes the crops of one track, one by one."""

    def write(self, frame: np.ndarray) -> None:
        """Takes the next (224, 224, 3) uint8 BGR crop."""


# Opens what takes the crops of the track of a number; closed after the track's last crop.
OpenClip = Callable[[int], AbstractContextManager[CropTaker]]


@dataclass(frozen=True)
class _Job:
    """One track on its way to a file, or to whatever else takes its crops."""

    number: int
    track: Track
    path: CropPath
    file: Path
    sound: Path


def write_crops(
    workspace: Workspace,
    frames: Callable[[], Generator[np.ndarray]],
    tracks: list[Track],
    paths: list[CropPath],
    *,
    crop_scale: float,
    frame_rate: int,
    progress: Progress = silent,
    sar: Fraction = Fraction(1),
    open_clip: OpenClip | None = None,
) -> None:
    """Cuts every track's clip with its own stretch of sound.

    Every open clip is an encoder with its memory, so at most `OPEN_CLIPS` are open at once: a
    crowd is cut in several passes over the frames. Each encoder has one thread, so the clips are
    the same to the byte on any number of cores.

    Args:
        workspace: whose sound is read, and whose `pycrop` is written.
        frames: gives all of the video anew at each call, (H, W, 3) uint8 BGR; they are taken as
            far as there are tracks.
        tracks, paths: what to cut and where.
        crop_scale: see `crop_face`.
        frame_rate: of frames and clips.
        progress: called after each frame, `frames_needed` times in all.
        sar: width to height of one pixel of the frames, and so of the clips.
        open_clip: takes the crops; None writes the clips of `pycrop`.
    """
    total, counter = frames_needed(tracks), itertools.count(1)

    def open_job(job: _Job) -> AbstractContextManager[CropTaker]:
        if open_clip is not None:
            return open_clip(job.number)
        return _open_file(workspace, job, frame_rate=frame_rate, sar=sar)

    for numbers in crop_passes(tracks):
        jobs = [
            _Job(n, tracks[n], paths[n], workspace.crop(n), workspace.scratch / f"{n:05d}.s16")
            for n in numbers
        ]
        end = _end_frame([job.track for job in jobs])
        with closing(frames()) as stream:
            cut = islice(stream, end)
            _cut(
                cut,
                jobs,
                crop_scale=crop_scale,
                open_job=open_job,
                step=lambda: progress("face clips", next(counter), total),
            )


def crop_passes(tracks: list[Track]) -> list[list[int]]:
    """Which tracks are cut in which pass over the frames.

    Args:
        tracks: in any order.

    Returns:
        Track numbers of each pass, at most `OPEN_CLIPS` of them on any frame; one pass where
        there are never more at once, and as few as there can be elsewhere.
    """
    by_start = sorted(range(len(tracks)), key=lambda n: int(tracks[n].frames[0]))
    passes: list[list[int]] = []
    free: list[int] = []  # slots that were taken before, the lowest first
    slots: list[tuple[int, int]] = []  # last frame and slot of the tracks that go on
    for number in by_start:
        while slots and slots[0][0] < int(tracks[number].frames[0]):
            heappush(free, heappop(slots)[1])
        slot = heappop(free) if free else len(slots)
        heappush(slots, (int(tracks[number].frames[-1]), slot))
        if slot // OPEN_CLIPS == len(passes):
            passes.append([])
        passes[slot // OPEN_CLIPS].append(number)
    return passes


def frames_needed(tracks: list[Track]) -> int:
    """How many frames `write_crops` reads in all passes."""
    return sum(_end_frame([tracks[n] for n in numbers]) for numbers in crop_passes(tracks))


def _end_frame(tracks: list[Track]) -> int:
    return max(int(track.frames[-1]) + 1 for track in tracks)


def _cut(
    frames: Iterable[np.ndarray],
    jobs: list[_Job],
    *,
    crop_scale: float,
    open_job: Callable[[_Job], AbstractContextManager[CropTaker]],
    step: Callable[[], object],
) -> None:
    """One pass over the frames."""
    starts: dict[int, list[_Job]] = {}
    for job in jobs:
        starts.setdefault(int(job.track.frames[0]), []).append(job)
    open_jobs: dict[Path, tuple[_Job, CropTaker, ExitStack]] = {}
    with ExitStack() as on_error:
        for index, frame in enumerate(frames):
            for job in starts.get(index, []):
                stack = on_error.enter_context(ExitStack())
                open_jobs[job.file] = (job, stack.enter_context(open_job(job)), stack)
            for job, writer, stack in list(open_jobs.values()):
                position = index - int(job.track.frames[0])
                x, y, s = job.path.at(position)
                writer.write(crop_face(frame, x=x, y=y, s=s, crop_scale=crop_scale))
                if index == job.track.frames[-1]:
                    stack.close()
                    del open_jobs[job.file]
                    job.sound.unlink(missing_ok=True)
            step()


def _open_file(
    workspace: Workspace, job: _Job, *, frame_rate: int, sar: Fraction
) -> encode.VideoWriter:
    sound = None
    if workspace.audio.exists():
        sound = job.sound
        write_sound(workspace.audio, sound, job.track, frame_rate=frame_rate)
    return encode.VideoWriter(
        job.file,
        size_px=(CROP_PX, CROP_PX),
        frame_rate=frame_rate,
        audio=sound,
        threads=1,
        sar=sar,
    )


def write_sound(wav: Path, target: Path, track: Track, *, frame_rate: int) -> None:
    """Writes the sound of a track as raw int16.

    Args:
        wav: the video's sound, mono int16 at 16 kHz.
        target: file to write.
        track: whose frames it is cut to.
        frame_rate: of their clock.
    """
    with target.open("wb") as file:
        for piece in range(0, len(track.frames), SOUND_PIECE_FRAMES):
            part = track.frames[piece : piece + SOUND_PIECE_FRAMES]
            # Mapped anew for each piece: a mapped page counts as memory once it has been read.
            samples = wavfile.read(wav, mmap=True)[1]
            file.write(track_sound(samples, part, frame_rate=frame_rate).tobytes())


def track_sound(samples: np.ndarray, frames: np.ndarray, *, frame_rate: int) -> np.ndarray:
    """The sound of some frames, cut in samples and padded with silence to their length.

    Args:
        samples: (n,) int16, the video's sound at 16 kHz.
        frames: (m,) consecutive frame indices.
        frame_rate: of their clock.

    Returns:
        (k,) int16; k is 640 samples per frame at 25 fps.
    """
    first = round(int(frames[0]) * SAMPLE_RATE / frame_rate)
    end = round((int(frames[-1]) + 1) * SAMPLE_RATE / frame_rate)
    cut = samples[first:end]
    return np.concatenate([cut, np.zeros(end - first - len(cut), np.int16)])
