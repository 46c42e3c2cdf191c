"""Measures the stored numbers, alike for the tests and for the script.

Each function gives what JSON can hold, floats, lists, names; pictures and matrices are arrays.
"""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.make_example import SHOT_TWO_LEFT_FACE
from models import features, syncnet, weights
from models.features import FRAME_RATE, SAMPLE_RATE
from pipeline.dubbing import face_path
from pipeline.dubbing.generate import Generator
from pipeline.media import decode
from pipeline.store.workspace import Workspace
from pipeline.sync import embeddings
from pipeline.sync import offset as sync_offset
from pipeline.sync.scorer import SyncOptions, SyncScorer
from tests.score_kit import stream_of

CPU = torch.device("cpu")
FACEDET_SCALE = 0.25
BOX_FRAMES = (0, 299, 450)  # of the example: both ends of shot one, the middle of shot two
MOUTH_FRAME = 450
MOUTH_TRACK_FRAME_PX = (SHOT_TWO_LEFT_FACE[0], SHOT_TWO_LEFT_FACE[1])
SIGNAL_SAMPLES = SAMPLE_RATE  # one second
COLUMNS = (0, 40, -1)  # of mel and cepstra: an end, the middle, the other end
RELIABLE: Any = {"reliable_confidence": 3.0, "reliable_margin": 2.0}


def signal() -> np.ndarray:
    """(16000,) int16: a tone that rises from 100 Hz to 7 kHz over noise of a fixed recurrence."""
    time_s = np.arange(SIGNAL_SAMPLES) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * (100 * time_s + (7000 - 100) / 2 * time_s**2))
    noise = np.empty(SIGNAL_SAMPLES)
    state = 1
    for index in range(SIGNAL_SAMPLES):
        state = (1664525 * state + 1013904223) % 2**32
        noise[index] = state / 2**31 - 1
    return np.rint(12000 * tone + 1500 * noise).astype(np.int16)


def pictures() -> np.ndarray:
    """(9, 224, 224, 3) uint8: colours that differ in every channel, row, column and frame."""
    frame, row, column, channel = np.ogrid[:9, :224, :224, :3]
    phase = row * (1 + channel) / 17 + column * (3 - channel) / 23 + frame / 3
    return np.rint(127.5 + 90 * np.sin(phase) + 10 * channel).astype(np.uint8)


def of_sound() -> dict[str, Any]:
    """Mel columns, cepstra, and cepstra as the bundled network gets them."""
    samples, config = signal(), _scorer_config()
    cepstra = features.mfcc(samples)
    return {
        "mel": features.mel(samples)[:, COLUMNS].T.tolist(),
        "mfcc": cepstra[list(COLUMNS)].tolist(),
        "normalised": syncnet.normalise_mfcc(cepstra, config)[list(COLUMNS)].tolist(),
    }


def of_lips() -> dict[str, Any]:
    """Pixels of a fixed picture as the bundled network gets them."""
    config = _scorer_config()
    pixels = np.stack([syncnet.lip_pixels(frame, config) for frame in pictures()])
    normalised = syncnet.normalise_lips(pixels, config)
    return {
        "shape": list(normalised.shape),
        "pixels": pixels[4].reshape(-1)[::97].tolist(),
        "normalised": normalised[4].reshape(-1)[::97].tolist(),
    }


def of_boxes(example: Path) -> dict[str, Any]:
    """Faces of the bundled detector in three frames of the example: x1, y1, x2, y2, score."""
    model, _ = weights.load_s3fd("small", device=CPU)
    detector = stream_of(model, facedet_scale=FACEDET_SCALE)
    for frame in _frames(example, BOX_FRAMES):
        detector.feed(frame)
    return {
        str(index): [[*face.box, face.confidence] for face in faces]
        for index, faces in zip(BOX_FRAMES, detector.faces(), strict=True)
    }


def of_mouth(example: Path) -> np.ndarray:
    """(96, 96, 3) uint8 BGR: the speaker of shot two, mouth drawn by the bundled generator."""
    model, _ = weights.load_wav2lip(weights.OWN_DIR / weights.WAV2LIP_OWN_FILE, device=CPU)
    (frame,) = _frames(example, (MOUTH_FRAME,))
    x, y = (round(value) for value in MOUTH_TRACK_FRAME_PX)
    face = face_path.shrink(frame[y - 80 : y + 80, x - 64 : x + 64], bilinear=False)
    mel = features.mel(decode.read_audio(example))
    sound = features.mel_windows(mel, np.array([MOUTH_FRAME / FRAME_RATE]))
    return Generator(model, CPU, 1).draw(face[None], sound)[0]


def of_tracks(work: Workspace) -> dict[str, Any]:
    """Rows of offsets.json of the example."""
    names = ("offset_frames", "offset_ms", "min_dist", "confidence", "margin", "reliable")
    rows = json.loads(work.offsets_json.read_text())
    return {row["file"]: {name: row[name] for name in names} for row in rows}


def of_embeddings(clip: Path) -> dict[str, Any]:
    """First and last embedding of the lips and of the sound of a face clip."""
    own = weights.OWN_DIR / weights.SYNCNET_OWN_FILE
    embedded = SyncScorer(SyncOptions(own, precision="fp32"), device=CPU).embed(clip)
    pairs = {"lips": embedded.lips, "sound": embedded.sound}
    return {name: {"first": v[0].tolist(), "last": v[-1].tolist()} for name, v in pairs.items()}


def synthetic_distances() -> np.ndarray:
    """(750, 31) float32: windows that prefer a shift which moves by half a frame every 5 s."""
    lead_frames = 2 + 0.5 * (np.arange(750) // 125)
    shifts = 15 - np.arange(31)
    valley = 9 - 5 * np.exp(-(((shifts - lead_frames[:, None]) / 1.5) ** 2))
    ripple = 0.8 * np.sin(np.arange(750)[:, None] * 0.7 + np.arange(31) * 1.9)
    return (valley + ripple).astype(np.float32)


def of_judgement(dists: np.ndarray) -> dict[str, Any]:
    """All results of `judge` for a distance matrix, and every 20th confidence per frame."""
    with_sound = np.arange(len(dists)) % 4 > 0
    return _judged(dists) | {
        "without_a_quarter": _judged(dists, with_sound),
        "per_frame": sync_offset.confidence_per_frame(dists, frames=len(dists) + 5)[::20].tolist(),
    }


def _judged(dists: np.ndarray, with_sound: np.ndarray | None = None) -> dict[str, Any]:
    judged = asdict(sync_offset.judge(dists, with_sound, **RELIABLE))
    return judged | {"framewise": judged["framewise"][::20].tolist()}


def of_distances() -> dict[str, Any]:
    """The distance matrix of embeddings made by formula, one row of it."""
    at = np.arange(40)[:, None] * 64 + np.arange(64)
    lips, sound = np.sin(at / 7).astype(np.float32), np.cos(at / 11).astype(np.float32)
    dists = embeddings.distances(torch.from_numpy(lips), torch.from_numpy(sound), vshift=15)
    return {"first": dists[0].tolist(), "middle": dists[20].tolist()}


def differences(one: Any, other: Any, *, within: float, where: str = "") -> list[str]:
    """Where two measurements differ by more than `within`, in words."""
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return [f"{where}: {sorted(one)} is not {sorted(other)}"]
        pairs = [(f"{where}.{key}", one[key], other[key]) for key in one]
    elif isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            return [f"{where}: {len(one)} values, not {len(other)}"]
        pairs = [(f"{where}[{i}]", *both) for i, both in enumerate(zip(one, other, strict=True))]
    else:
        number = isinstance(one, float) or isinstance(other, float)
        near = math.isclose(one, other, rel_tol=0, abs_tol=within) if number else one == other
        return [] if near else [f"{where}: {one} is not {other}"]
    return [line for work, a, b in pairs for line in differences(a, b, within=within, where=work)]


def _scorer_config() -> syncnet.SyncNetConfig:
    model, _ = weights.load_syncnet(weights.OWN_DIR / weights.SYNCNET_OWN_FILE, device=CPU)
    return model.config


def _frames(video: Path, indices: tuple[int, ...]) -> list[np.ndarray]:
    return [frame for index, frame in enumerate(decode.read_frames(video)) if index in indices]
