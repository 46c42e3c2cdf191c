"""Do the new mouths follow their sound? The scorer on the result, beside the original."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.features import FRAME_RATE, SAMPLE_RATE, SAMPLES_PER_FRAME
from models.syncnet import SyncNet
from pipeline.dub.driving_audio import Voice
from pipeline.faces.crops import CROP_SCALE, crop_face
from pipeline.faces.tracks import CropPath, Track
from pipeline.media import decode
from pipeline.store.workspace import Workspace
from pipeline.sync import embeddings, reliability
from pipeline.sync import offset as sync_offset
from pipeline.sync.scorer import DEFAULT_SYNC, load_scorer, score_clip

# Before and after are scored as run_syncnet.py scores without flags.
BATCH_SIZE, VSHIFT = DEFAULT_SYNC.batch_size, DEFAULT_SYNC.vshift


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
    place: Workspace, video: Path, voices: dict[int, Voice], *, device: torch.device
) -> dict[str, dict[str, Any]]:
    """Scores every regenerated track, and the same track as it was.

    Args:
        place: of the original.
        video: the result; only its first run through the source is scored.
        voices: of the regenerated tracks, by number.
        device: where the network runs.

    Returns:
        Track number to {"original": ..., "regenerated": ...}, each a `Score` or None where there
        was nothing to compare.
    """
    model, used = load_scorer(device=device)
    settings = (place.read_record() or {}).get("settings", {})
    crop_scale = float(settings.get("crop_scale", CROP_SCALE))
    tracks, frame_rate = place.read_tracks(), place.read_frame_rate()
    faces = {number: tracks[number] for number in voices}
    lips = {
        number: embeddings.LipStream(model, batch_size=BATCH_SIZE, device=device)
        for number in voices
    }
    for number, crop in _crops(video, faces, frame_rate, crop_scale=crop_scale):
        lips[number].add(crop)
    heard = {path: decode.read_audio(path) for path in {voice.path for voice in voices.values()}}
    found: dict[str, dict[str, Any]] = {}
    for number, voice in voices.items():
        samples = _sound(heard[voice.path], voice.delay_s, faces[number][0], frame_rate)
        new = _judged(model, lips.pop(number).finish(), samples, device=device)
        old = None
        if place.crop(number).is_file():
            old = score_clip(
                place.crop(number), model, batch_size=BATCH_SIZE, vshift=VSHIFT, device=device
            ).sync
        found[str(number)] = {
            "original": asdict(_of(old)) if old else None,
            "regenerated": asdict(_of(new)) if new else None,
            "weights": used.file,
        }
    return found


def _of(found: sync_offset.Sync) -> Score:
    return Score(found.offset_frames, found.min_dist, found.confidence)


def judge_crops(
    model: SyncNet, crops: Iterable[np.ndarray], samples: np.ndarray, *, device: torch.device
) -> sync_offset.Sync | None:
    """Scores a face that is in no file.

    Args:
        model: ready for inference on `device`.
        crops: (224, 224, 3) uint8 BGR, 25 per second.
        samples: (n,) int16, from the first crop on.
        device: where the model is.

    Returns:
        None where there is not one window to compare.
    """
    lips = embeddings.embed_lips(model, crops, batch_size=BATCH_SIZE, device=device)
    return _judged(model, lips, samples, device=device)


def _judged(
    model: SyncNet, lips: torch.Tensor, samples: np.ndarray, *, device: torch.device
) -> sync_offset.Sync | None:
    sound = embeddings.embed_sound(model, samples, batch_size=BATCH_SIZE, device=device)
    windows = min(len(lips) - 1, len(sound) - 1)
    if windows < 1:
        return None
    dists = embeddings.distances(lips[:windows], sound[:windows], vshift=VSHIFT)
    return sync_offset.judge(
        dists,
        **model.config.rule,
        audible_share=reliability.audible_share(samples),
    )


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
