"""Made-up embeddings of a face whose sound leads by a known offset at every moment."""

from collections.abc import Callable

import numpy as np
import torch

from models.features import FRAME_RATE, SAMPLES_PER_FRAME, WINDOW_FRAMES
from pipeline.evidence.blocks import Evidence, evidence_of
from pipeline.sync.embedded import Embedded
from pipeline.verdict.traits import SoundTraits

SIZE = 32  # of an embedding
MARGIN = 200  # frames of speech before and after the clip
SPEECH = SoundTraits(loudest_db=-12.0, rhythm=0.5)
Offset = Callable[[np.ndarray], np.ndarray]  # seconds of the clip to frames


def constantly(offset_frames: float) -> Offset:
    """The same offset all along."""
    return lambda times_s: np.full(len(times_s), offset_frames)


def talker(
    windows: int, offset: Offset, *, noise: float = 1.0, seed: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Lips and sound, (windows, 32) each.

    Args:
        windows: how many.
        offset: by how many frames the sound leads, at a second of the clip.
        noise: deviation of what lips and sound do not share, by that of what they do.
        seed: of the speech.
    """
    random = np.random.default_rng(seed)
    coarse = random.normal(size=(windows + 2 * MARGIN, SIZE))
    coarse = (coarse[:-2] + 2 * coarse[1:-1] + coarse[2:]) / 6**0.5  # speech is no white noise
    frames = np.arange(len(coarse))

    def speech(at: np.ndarray) -> np.ndarray:
        return np.stack([np.interp(at + MARGIN, frames, row) for row in coarse.T], axis=1)

    at = np.arange(windows, dtype=float)
    lips = speech(at) + noise * random.normal(size=(windows, SIZE))
    sound = speech(at + offset(at / FRAME_RATE)) + noise * random.normal(size=(windows, SIZE))
    return torch.from_numpy(lips).float(), torch.from_numpy(sound).float()


def evidence(windows: int, offset: Offset, *, start_s: float = 0.0, **made: float) -> Evidence:
    """Of such a face."""
    lips, sound = talker(windows, offset, **made)  # type: ignore[arg-type]
    return evidence_of(lips, sound, np.ones(windows, bool), start_s=start_s)


def embedded(lips: torch.Tensor, sound: torch.Tensor, *, traits: SoundTraits = SPEECH) -> Embedded:
    """As the scorer has it of a clip."""
    frames = len(lips) + WINDOW_FRAMES
    has_sound = np.ones(len(lips), bool)
    samples = frames * SAMPLES_PER_FRAME
    return Embedded(frames, samples, has_sound, 1.0, 0.0, lips, sound, None, traits)
