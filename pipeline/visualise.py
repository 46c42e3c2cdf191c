"""Tracks and confidence to video_out.avi: every face marked from red to green."""

from dataclasses import dataclass

import cv2
import numpy as np

from models.features import FRAME_RATE
from pipeline import cli, media, sync
from pipeline.errors import InputError, PipelineError
from pipeline.workspace import Workspace

GREEN_PER_CONFIDENCE = 25  # colour levels: confidence 10.2 is pure green
BOX_THICKNESS_PX = 3
LABEL_SCALE, LABEL_THICKNESS_PX = 0.5, 2
WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Mark:
    """One face on one frame.

    Attributes:
        track: its number.
        confidence: that it is the one speaking.
        x, y, s: centre and half size, pixels.
    """

    track: int
    confidence: float
    x: float
    y: float
    s: float


def visualise(place: Workspace, *, frame_rate: int | None = None) -> int:
    """Writes video_only.avi and, with the sound, video_out.avi.

    Args:
        place: where run_pipeline.py and run_syncnet.py have been.
        frame_rate: of the workspace's frames; None for what its record says.

    Returns:
        Number of frames written.

    Raises:
        InputError: a stage is missing, or its frames were removed.
        PipelineError: encoding failed.
    """
    with place.opened():
        return _visualise(place, frame_rate=frame_rate or place.read_frame_rate())


def _visualise(place: Workspace, *, frame_rate: int) -> int:
    marks = marks_by_frame(place, frame_rate=frame_rate)
    frames = sum(1 for _ in place.room("pyframes").glob("*.jpg"))
    if not frames:
        raise InputError(
            f"{place.room('pyframes')} holds no frames; run run_pipeline.py again with --overwrite."
        )
    height, width = _read_frame(place, 0).shape[:2]
    with (
        cli.progress("frames labelled", frames) as bar,
        media.VideoWriter(
            place.labelled_picture, size_px=(width, height), frame_rate=frame_rate
        ) as writer,
    ):
        for index in range(frames):
            frame = _read_frame(place, index)
            for mark in marks.get(index, []):
                draw(frame, mark)
            writer.write(frame)
            bar.update(1)
    media.mux(
        place.labelled_picture,
        place.audio if place.audio.exists() else None,
        place.labelled_video,
    )
    return frames


def marks_by_frame(place: Workspace, *, frame_rate: int = FRAME_RATE) -> dict[int, list[Mark]]:
    """Frame index to the faces to mark on it.

    Raises:
        InputError: tracks and scores are of different runs.
    """
    tracks, dists = place.read_tracks(), place.read_distances()
    if len(tracks) != len(dists):
        raise InputError(
            f"{len(tracks)} tracks but scores for {len(dists)}; run run_syncnet.py again."
        )
    marks: dict[int, list[Mark]] = {}
    for number, ((track, path), track_dists) in enumerate(zip(tracks, dists, strict=True)):
        confidence = sync.confidence_per_frame(
            track_dists, frames=len(track.frames), frame_rate=frame_rate
        )
        for position, frame in enumerate(track.frames.tolist()):
            mark = Mark(number, float(confidence[position]), *path.at(position))
            marks.setdefault(frame, []).append(mark)
    return marks


def draw(frame: np.ndarray, mark: Mark) -> None:
    """Marks one face in place: red when its lips do not follow the sound, green when they do."""
    green = int(np.clip(GREEN_PER_CONFIDENCE * mark.confidence, 0, 255))
    x, y, s = mark.x, mark.y, mark.s
    corners = (int(x - s), int(y - s)), (int(x + s), int(y + s))
    cv2.rectangle(frame, *corners, (0, green, 255 - green), BOX_THICKNESS_PX)
    label = f"Track {mark.track}, Conf {mark.confidence:.3f}"
    cv2.putText(
        frame, label, corners[0], cv2.FONT_HERSHEY_SIMPLEX, LABEL_SCALE, WHITE, LABEL_THICKNESS_PX
    )


def _read_frame(place: Workspace, index: int) -> np.ndarray:
    frame = cv2.imread(str(place.frame(index)))
    if frame is None:
        raise PipelineError(
            f"{place.frame(index)} cannot be read; run run_pipeline.py again with --overwrite."
        )
    return frame
