"""Who speaks when in a whole video, shot by shot: faces on screen together are compared."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.features import FRAME_RATE, SAMPLES_PER_FRAME
from pipeline.speakers.decide import Face, who_speaks
from pipeline.speakers.files import Speaking, Stretches, TrackSpeech, signed_scores
from pipeline.speakers.one_face import SHORTEST_S, stretches, without_short
from pipeline.speakers.sound import audible_frames, listen, unheard

PAUSE_S = 1.0  # a longer one is not part of a turn


@dataclass(frozen=True)
class ScoredTrack:
    """A track of a video, and its lips compared with the sound.

    Attributes:
        start_frame, frames: of the video, at its frame rate.
        dists: (windows, shifts), 25 windows per second.
        offset_frames: of 40 ms, by which the sound leads in the middle column: the offset of a
            track whose sound is further away than near shifts reach.
    """

    start_frame: int
    frames: int
    dists: np.ndarray
    offset_frames: int = 0

    def face(self, frame_rate: int) -> Face:
        """The same on the clock of windows."""
        start = round(self.start_frame * FRAME_RATE / frame_rate)
        frames = round(self.frames * FRAME_RATE / frame_rate)
        return Face(start, frames, self.dists, self.offset_frames)


def who_speaks_in_video(
    tracks: Sequence[ScoredTrack], samples: np.ndarray | None, *, frames: int, frame_rate: int
) -> Speaking:
    """Decides for every track on which of its frames it speaks.

    Args:
        tracks: of the video, in their order.
        samples: (n,) int16 mono sound of the video at 16 kHz; None where it is not there: then
            lips alone decide.
        frames: length of the video.
        frame_rate: of frames and tracks.
    """
    faces = [track.face(frame_rate) for track in tracks]
    length = round(frames * FRAME_RATE / frame_rate)
    length = max([length, *(face.start + face.frames for face in faces)])
    audible = np.ones(length, bool) if samples is None else audible_frames(samples, frames=length)
    speaks = np.zeros(length, bool)
    rows: dict[int, TrackSpeech] = {}
    for shot in _shots(faces):
        scores, start = _decide_shot([faces[n] for n in shot], samples, audible)
        for column, number in enumerate(shot):
            face, first = faces[number], faces[number].start - start
            own = scores[first : first + face.frames, column]
            spoken = _turns(own > 0, audible[face.start : face.start + face.frames])
            speaks[face.start : face.start + face.frames] |= spoken
            rows[number] = _row(number, tracks[number], own, spoken, frame_rate=frame_rate)
    silence = round(SHORTEST_S * FRAME_RATE)
    nobody = without_short(audible & ~speaks, silence) if samples is not None else ~speaks[:0]
    return Speaking(
        frame_rate=frame_rate,
        frames=frames,
        tracks=tuple(rows[number] for number in range(len(tracks))),
        nobody_s=_seconds(nobody),
    )


def _shots(faces: Sequence[Face]) -> list[list[int]]:
    """Numbers of the faces in groups; no face of a group is on screen with one of another."""
    shots: list[list[int]] = []
    end = 0
    for number in sorted(range(len(faces)), key=lambda n: faces[n].start):
        if not shots or faces[number].start >= end:
            shots.append([])
        shots[-1].append(number)
        end = max(end, faces[number].start + faces[number].frames)
    return shots


def _decide_shot(
    faces: list[Face], samples: np.ndarray | None, audible: np.ndarray
) -> tuple[np.ndarray, int]:
    """(frames, faces) scores of a shot, and the frame of the video at which it starts."""
    start = min(face.start for face in faces)
    end = max(face.start + face.frames for face in faces)
    heard = audible[start:end]
    if samples is None:
        sound = unheard(end - start)
    else:
        sound = listen(samples[start * SAMPLES_PER_FRAME : end * SAMPLES_PER_FRAME], heard)
    moved = [replace(face, start=face.start - start) for face in faces]
    return who_speaks(moved, sound), start


def _turns(spoken: np.ndarray, audible: np.ndarray) -> np.ndarray:
    """Speech without its long pauses; shorter pauses are part of it, and a cough is no turn."""
    spoken = spoken.copy()
    for start, end in stretches(~audible):
        if end - start >= PAUSE_S * FRAME_RATE:
            spoken[start:end] = False
    return without_short(spoken, round(SHORTEST_S * FRAME_RATE))


def _row(
    number: int, track: ScoredTrack, scores: np.ndarray, spoken: np.ndarray, *, frame_rate: int
) -> TrackSpeech:
    """One track at the frame rate of the video."""
    at_25 = np.rint(np.arange(track.frames) * (FRAME_RATE / frame_rate)).astype(int)
    at_25 = at_25.clip(0, max(0, len(scores) - 1))
    return TrackSpeech(
        track=number,
        start_frame=track.start_frame,
        scores=signed_scores(scores[at_25], spoken[at_25]) if len(scores) else np.zeros(0),
        speech_s=_seconds(spoken, start_s=track.start_frame / frame_rate),
    )


def _seconds(values: np.ndarray, *, start_s: float = 0.0) -> Stretches:
    """The runs of True in (n,) bool at 25 per second, in seconds."""
    start_s = round(start_s, 3)
    return tuple(
        (start_s + start / FRAME_RATE, start_s + end / FRAME_RATE)
        for start, end in stretches(values)
    )
