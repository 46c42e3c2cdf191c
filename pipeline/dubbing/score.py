"""Do the new mouths follow their sound? The scorer on the result, beside the original."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from models.features import FRAME_RATE, SAMPLE_RATE, SAMPLES_PER_FRAME
from pipeline.dubbing.driving_audio import Voice
from pipeline.faces.crops import crop_face, recorded_crop_scale
from pipeline.faces.tracks import CropPath, Track
from pipeline.media import decode
from pipeline.store.workspace import Workspace
from pipeline.sync.offset import Sync
from pipeline.sync.scorer import SyncScorer


@dataclass(frozen=True)
class Score:
    """What the scorer says of one clip.

    Attributes:
        offset_frames: by how many frames the sound leads.
        lse_d, lse_c: min dist and confidence, as the literature calls them for generated lips.
    """

    offset_frames: int
    lse_d: float
    lse_c: float


def score_dubbed(
    workspace: Workspace, video: Path, voices: dict[int, Voice], scorer: SyncScorer
) -> dict[str, dict[str, Any]]:
    """Scores every regenerated track, and the same track as it was.

    Args:
        workspace: of the original.
        video: the result; only its first run through the source is scored.
        voices: of the regenerated tracks, by number.
        scorer: compares lips and sound.

    Returns:
        Track number to {"original": ..., "regenerated": ...}, each a `Score` or None where there
        was nothing to compare.
    """
    crop_scale = recorded_crop_scale(workspace)
    tracks, frame_rate = workspace.read_tracks(), workspace.read_frame_rate()
    faces = {number: tracks[number] for number in voices}
    embedders = {number: scorer.lip_embedder() for number in voices}
    for number, crop in _crops(video, faces, frame_rate, crop_scale=crop_scale):
        embedders[number].add(crop)
    # A sound is read once for all that speak it.
    by_sound = {(voice.path, voice.audio_stream): voice for voice in voices.values()}
    samples_of = {sound: voice.samples() for sound, voice in by_sound.items()}
    scores: dict[str, dict[str, Any]] = {}
    for number, voice in voices.items():
        track, _ = faces[number]
        own = samples_of[voice.path, voice.audio_stream]
        samples = _sound(own, voice.delay_s, track, frame_rate)
        new = scorer.score_lips(embedders.pop(number).finish(), samples)
        old = (
            scorer.score(workspace.crop(number)).sync if workspace.crop(number).is_file() else None
        )
        scores[str(number)] = {
            "original": asdict(_score(old)) if old else None,
            "regenerated": asdict(_score(new)) if new else None,
            "weights": scorer.model.weights_file.file,
        }
    return scores


def _score(sync: Sync) -> Score:
    return Score(sync.offset_frames, sync.min_dist, sync.confidence)


def _crops(
    video: Path, faces: dict[int, tuple[Track, CropPath]], frame_rate: int, *, crop_scale: float
) -> Iterator[tuple[int, np.ndarray]]:
    """The crops of tracks, by number, on another video with the same pictures, in one pass.

    Yields:
        Number and crop, 25 per second of each track, in the order of the video.
    """
    spans = {number: _span(track, frame_rate) for number, (track, _) in faces.items()}
    end = max((last for _, last in spans.values()), default=-1) + 1
    for index, frame in enumerate(islice(decode.read_frames(video), end)):
        for number, (first, last) in spans.items():
            if first <= index <= last:
                track, path = faces[number]
                seconds = index / FRAME_RATE - int(track.frames[0]) / frame_rate
                position = min(round(seconds * frame_rate), len(path.x) - 1)
                x, y, s = path.at(max(position, 0))
                yield number, crop_face(frame, x=x, y=y, s=s, crop_scale=crop_scale)


def _span(track: Track, frame_rate: int) -> tuple[int, int]:
    """First and last frame of a track at 25 per second."""
    first, last = (int(track.frames[end]) / frame_rate for end in (0, -1))
    return round(first * FRAME_RATE), round(last * FRAME_RATE)


def _sound(samples: np.ndarray, delay_s: float, track: Track, frame_rate: int) -> np.ndarray:
    """What the track's mouth should say, (n,) int16 from its first frame on.

    Args:
        samples: (n,) int16, the voice's file.
        delay_s: when that starts.
        track: whose mouth it is.
        frame_rate: of the track's clock.
    """
    start = round((int(track.frames[0]) / frame_rate - delay_s) * SAMPLE_RATE)
    end = start + round(len(track.frames) / frame_rate * FRAME_RATE) * SAMPLES_PER_FRAME
    cut = samples[max(0, start) : max(0, end)]
    before = min(max(0, -start), end - start)
    return np.pad(cut, (before, end - start - before - len(cut)))
