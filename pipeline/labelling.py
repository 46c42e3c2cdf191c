"""Tracks and who speaks to video_out.avi and .mp4, every face from red to green, and the page."""

from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from models.features import FRAME_RATE
from pipeline.errors import InputError
from pipeline.media import decode, encode, yuv
from pipeline.media.mp4 import VIEW_ENCODERS, Mp4Writer, Sound
from pipeline.page.results import read_results
from pipeline.page.write import write_page
from pipeline.progress import Progress, counted, silent
from pipeline.store.workspace import Workspace
from pipeline.sync import offset as sync_offset

GREEN_PER_CONFIDENCE = 25  # colour levels: confidence 10.2 is pure green
GREEN_FROM, GREEN_PER_SCORE = 127.5, 25.5  # a score of 5 is pure green, one of -5 pure red
BOX_THICKNESS_PX = 3
LABEL_SCALE, LABEL_THICKNESS_PX = 0.5, 2
WHITE = (255, 255, 255)
KEY_FRAME_S = 1.0  # so that a click on the page's timeline shows its picture at once


@dataclass(frozen=True)
class Mark:
    """One face on one frame.

    Attributes:
        track: its number.
        confidence: of its lips and the sound on this frame, as it is written beside the face.
        x, y, s: centre and half size, pixels.
        speech_score: how sure it is that it is the one speaking, from -10 to 10; None for results
            without speaking.json.
    """

    track: int
    confidence: float
    x: float
    y: float
    s: float
    speech_score: float | None = None

    @property
    def green(self) -> int:
        """From 0 for silent lips to 255 for the speaker."""
        level = (
            GREEN_PER_CONFIDENCE * self.confidence
            if self.speech_score is None
            else GREEN_FROM + GREEN_PER_SCORE * self.speech_score
        )
        return int(np.clip(level, 0, 255))


def label(
    workspace: Workspace, *, frame_rate: int | None = None, progress: Progress = silent
) -> int:
    """Writes video_out.avi, video_out.mp4 and report.html, which appear together.

    The videos are the frames of video.avi with every face marked, and their sound.

    Args:
        workspace: where run_pipeline.py and run_syncnet.py have been.
        frame_rate: of the workspace's frames; None for what its record says.
        progress: called after each frame.

    Returns:
        Number of frames written.

    Raises:
        InputError: a stage is missing, its video was removed, or a file of it is damaged.
        PipelineError: encoding failed.
    """
    with workspace.opened():
        rate = frame_rate or workspace.read_frame_rate()
        marks = marks_by_frame(workspace, frame_rate=rate)
        results = read_results(workspace, frame_rate=rate)
        if not workspace.video.is_file():
            raise InputError(
                f"{workspace.video} is not there; run run_pipeline.py again with --overwrite."
            )
        with workspace.collecting() as staging:
            frames = _draw_all(workspace, staging, marks, frame_rate=rate, progress=progress)
            write_page(results, staging.report_page)
            made = (staging.labelled_video, staging.labelled_copy)
            names = [f"pyavi/{file.name}" for file in made]
            workspace.commit_files(*names, f"pywork/{staging.report_page.name}")
        return frames


def _draw_all(
    workspace: Workspace,
    staging: Workspace,
    marks: dict[int, list[Mark]],
    *,
    frame_rate: int,
    progress: Progress,
) -> int:
    info = decode.probe(workspace.video)
    size_px = (info.width_px, info.height_px)
    total = round(info.duration_s * frame_rate) if info.duration_s else None
    index = -1
    with ExitStack() as stack:
        writers = [
            stack.enter_context(writer)
            for writer in _writers(workspace, staging, info, frame_rate=frame_rate)
        ]
        stored = decode.read_planes(workspace.video, info=info)
        reported = counted(stored, "frames labelled", progress=progress, total=lambda: total)
        for index, buffer in enumerate(reported):
            labelled = yuv.picture(buffer.copy(), size_px=size_px)
            for mark in marks.get(index, []):
                draw(labelled, mark)
            for writer in writers:
                writer.write(labelled.buffer)
    return index + 1


def _writers(
    workspace: Workspace, staging: Workspace, info: decode.MediaInfo, *, frame_rate: int
) -> list[encode.FrameWriter]:
    """Of video_out.avi, with the sound that was scored, and of video_out.mp4, with all of it."""
    size_px = (info.width_px, info.height_px)
    has_sound = workspace.audio.exists()
    sounds = [Sound(workspace.video if info.has_audio else workspace.audio)] if has_sound else []
    return [
        encode.VideoWriter(
            staging.labelled_video,
            size_px=size_px,
            frame_rate=frame_rate,
            quality=encode.PICTURE_QUALITY,
            pixels="yuv420p",
            audio=workspace.audio if has_sound else None,
            sar=info.sar,
        ),
        Mp4Writer(
            staging.labelled_copy,
            size_px=size_px,
            frame_rate=frame_rate,
            sounds=sounds,
            pixels="yuv420p",
            colour=info.colour,
            sar=info.sar,
            video_encoders=VIEW_ENCODERS,
            key_frame_s=KEY_FRAME_S,
        ),
    ]


def marks_by_frame(workspace: Workspace, *, frame_rate: int = FRAME_RATE) -> dict[int, list[Mark]]:
    """Frame index to the faces to mark on it.

    Raises:
        InputError: tracks and scores are of different runs.
    """
    tracks, dists = workspace.read_tracks(), workspace.read_distances()
    if len(tracks) != len(dists):
        raise InputError(
            f"{len(tracks)} tracks but scores for {len(dists)}; run run_syncnet.py again."
        )
    speaking = workspace.read_speaking()
    lengths = [len(track.frames) for track, _ in tracks]
    if speaking and [len(track.scores) for track in speaking.tracks] != lengths:
        raise InputError(f"{workspace.speaking} has other tracks; run run_syncnet.py again.")
    marks: dict[int, list[Mark]] = {}
    for number, ((track, path), track_dists) in enumerate(zip(tracks, dists, strict=True)):
        confidence = sync_offset.confidence_per_frame(
            track_dists, frames=len(track.frames), frame_rate=frame_rate
        )
        for position, frame in enumerate(track.frames.tolist()):
            score = float(speaking.tracks[number].scores[position]) if speaking else None
            mark = Mark(number, float(confidence[position]), *path.at(position), score)
            marks.setdefault(frame, []).append(mark)
    return marks


def draw(picture: yuv.Picture, mark: Mark) -> None:
    """Marks one face in place: red where it does not speak, green where it does."""
    x, y, s = mark.x, mark.y, mark.s
    corner, opposite = (int(x - s), int(y - s)), (int(x + s), int(y + s))
    colour = (0, mark.green, 255 - mark.green)
    yuv.rectangle(picture, corner, opposite, colour, line_px=BOX_THICKNESS_PX)
    label = f"Track {mark.track}, Conf {mark.confidence:.3f}"
    yuv.text(picture, label, corner, WHITE, scale=LABEL_SCALE, line_px=LABEL_THICKNESS_PX)
