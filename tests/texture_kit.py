"""A drawn face whose mouth opens as told, on rough skin; a generator that draws it smooth."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from models.features import SAMPLE_RATE, SAMPLES_PER_FRAME, WINDOW_FRAMES
from models.wav2lip import PUBLISHED
from pipeline.dubbing.driving_audio import Voice, read_voice
from pipeline.dubbing.face_path import FacePath, Pads
from pipeline.faces import tracks
from pipeline.faces.crops import CROP_SCALE
from pipeline.faces.tracks import Track
from pipeline.media import yuv
from pipeline.media.mp4 import Mp4Writer, Sound
from pipeline.sync.scorer import SyncScorer
from pipeline.texture.library import FacePaths
from pipeline.texture.plan import Planner, TexturedFace
from pipeline.texture.traits import Traits

SIZE_PX = (160, 150)
BOX = (30.0, 10.0, 130.0, 120.0)  # of the face
PADS = Pads(0, 0, 0, 0)
RATE = 25.0
MIDDLE = (80, 92)  # of the mouth
WIDEST_PX = 14  # half of an open mouth's height


def openings(frames: int, *, seed: int = 0) -> np.ndarray:
    """How far the mouth is open on each frame, 0 to 1: syllables and pauses."""
    rng = np.random.default_rng(seed)
    wave = np.zeros(frames)
    for start in range(0, frames, 12):
        length = min(10, frames - start)
        wave[start : start + length] = rng.uniform(0.2, 1) * np.hanning(10)[:length]
    return wave


def head(opening: float, *, shift_px: float = 0.0) -> np.ndarray:
    """One picture of the head, (150, 160, 3) uint8 BGR."""
    rng = np.random.default_rng(7)
    skin = cv2.GaussianBlur(rng.normal(0, 1, (*SIZE_PX[::-1], 1)).astype(np.float32), (0, 0), 1)
    tint = np.array([120, 140, 180], np.float32)
    picture = np.ascontiguousarray(tint + 30 * skin.reshape(*SIZE_PX[::-1], 1))
    for x in (60, 100):
        cv2.ellipse(picture, (x, 48), (10, 5), 0, 0, 360, (40, 40, 40), -1)
    cv2.ellipse(picture, (80, 68), (5, 9), 0, 0, 360, (90, 110, 150), -1)
    height = max(1, round(WIDEST_PX * opening))
    cv2.ellipse(picture, MIDDLE, (18, height), 0, 0, 360, (50, 40, 90), -1)
    if height > 4:
        cv2.rectangle(picture, (68, 93 - height // 2), (92, 96 - height // 2), (230,) * 3, -1)
    move = np.array([[1, 0, shift_px], [0, 1, 0]], np.float32)
    moved = cv2.warpAffine(picture, move, SIZE_PX, borderMode=cv2.BORDER_REPLICATE)
    return np.clip(np.rint(moved), 0, 255).astype(np.uint8)


def stored(picture: np.ndarray) -> np.ndarray:
    """The yuv420p buffer of a picture."""
    levels = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420)
    return np.ascontiguousarray(levels).ravel()


def tone(opened: np.ndarray) -> np.ndarray:
    """Sound that is as loud as the mouth is open: int16 at 16 kHz."""
    count = round(len(opened) / RATE * SAMPLE_RATE)
    level = np.interp(np.arange(count) / SAMPLE_RATE * RATE, np.arange(len(opened)), opened)
    noise = np.random.default_rng(1).normal(0, 5000, count)
    return np.clip(level * noise, -32_000, 32_000).astype(np.int16)


class SmoothMouth(nn.Module):
    """A generator whose mouth is as open as its sound is loud, in a smooth patch of skin."""

    config = PUBLISHED

    def forward(self, mels: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
        """Draws (N, 3, 96, 96)."""
        drawn = faces[:, 3:].clone()
        loud = ((mels[:, 0, :, 6:10].amax(dim=1).mean(dim=1) + 4) / 8).clamp(0, 1)
        skin = torch.tensor([120, 140, 180]) / 255  # BGR
        for face, opening in zip(drawn, loud.tolist(), strict=True):
            face[:, 48:] = skin[:, None, None]
            half = max(1, round(12 * opening))
            face[:, 71 - half : 71 + half, 32:64] = 0.25
        return drawn


class Eyes:
    """Shows how bright the crops are in the middle of each window."""

    features = None

    def __init__(self) -> None:
        self._seen: list[float] = []

    def add(self, frame: np.ndarray) -> None:
        """Takes a crop."""
        self._seen.append(float(frame[90:130, 90:130].mean()))

    def finish(self) -> torch.Tensor:
        """(windows, 1)."""
        middle = WINDOW_FRAMES // 2
        return torch.tensor(self._seen[middle:-middle])[:, None]


class Levels:
    """A network that sees brightness and hears level, of the middle frame of each window."""

    def lip_embedder(self, *, batch_size: int) -> Eyes:
        """A new one."""
        return Eyes()

    def sound_features(self, samples: np.ndarray) -> np.ndarray:
        """Level of every frame."""
        return np.abs(samples.astype(np.float32)).reshape(-1, SAMPLES_PER_FRAME).mean(axis=1)

    def embed_sound(self, features: np.ndarray, *, batch_size: int) -> torch.Tensor:
        """(windows, 1)."""
        middle = WINDOW_FRAMES // 2
        return torch.from_numpy(features[middle:-middle])[:, None]


def track(frames: int) -> Track:
    """The head does not move."""
    return Track(np.arange(frames), np.tile(np.array(BOX), (frames, 1)))


def traits_of(count: int, **changed: Any) -> Traits:
    """Faces that differ only in what is given, ten seconds apart from each other and the rest."""
    same = np.zeros((count, 3), np.float32)
    given: dict[str, Any] = {
        "times_s": 100 + 10.0 * np.arange(count),
        "shape": same,
        "pose": same,
        "surroundings": same,
        "opening": np.zeros(count, np.float32),
        "sound": None,
        "lips": None,
        "pause": np.zeros(count, bool),
    }
    return Traits(**(given | changed))


def film(path: Path, opened: np.ndarray, sound: Path) -> Path:
    """A video of the head."""
    with Mp4Writer(path, size_px=SIZE_PX, frame_rate=RATE, sounds=[Sound(sound)]) as writer:
        for opening in opened:
            writer.write(head(opening))
    return path


@dataclass(frozen=True)
class Scene:
    """A head that speaks, and what it is to say.

    Attributes:
        opened: (frames,) its own mouth.
        voice: what it is to say.
        buffers: its pictures.
        planner: of its new mouth.
        path: where its face is.
    """

    opened: np.ndarray
    voice: Voice
    buffers: list[np.ndarray]
    planner: Planner
    path: FacePath


def scene(folder: Path, stack: ExitStack, opened: np.ndarray, voice: Path) -> Scene:
    """See `Scene`; the planner's files are in `folder`."""
    path = FacePath(track(len(opened)), frame_rate=25, pads=PADS, frame_size_px=SIZE_PX)
    spoken = read_voice(voice)
    face = TexturedFace(
        0, FacePaths(path, tracks.smooth(track(len(opened))), CROP_SCALE), path.at, spoken, 0.0
    )
    passing = folder / "passing"
    passing.mkdir()
    planner = Planner(
        [face],
        SyncScorer(device="cpu").model,
        folder=passing,
        stack=stack,
        size_px=SIZE_PX,
        frame_rate=RATE,
        matrix="bt601",
    )
    return Scene(opened, spoken, [stored(head(one)) for one in opened], planner, path)


def darkness(buffer: np.ndarray) -> float:
    """Share of dark pixels where the mouth can be: how far it is open."""
    levels = yuv.picture(buffer, size_px=SIZE_PX).y[MIDDLE[1] - 16 : MIDDLE[1] + 16, 62:98]
    return float((levels < 90).mean())
