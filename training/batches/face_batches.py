"""Batches for Wav2Lip's generator: five target frames, five reference frames, the sound."""

from dataclasses import dataclass

import numpy as np
import torch

from models import wav2lip
from models.wav2lip import EXPERT_FRAMES
from training.data.faces import Cut, FaceClip, drawn_clips

LEAST_APART_FRAMES = 25  # of reference and target, where the clip is long enough
# That show the face without a gap. The sound of the last one's window takes six more, so a clip
# has 35. In a shorter one a reference may be its own target, which is the answer.
LEAST_FRAMES = EXPERT_FRAMES + LEAST_APART_FRAMES - 1


@dataclass(frozen=True)
class FaceBatch:
    """Windows of five frames.

    Attributes:
        target: (B, 5, 3, 96, 96) float32 BGR in 0..1.
        reference: (B, 5, 3, 96, 96), other frames of the same clips, in the same cut.
        mels: (B, 5, 1, 80, 16), the sound of every frame.
        taught: (B, 5, E), a SyncNet's embeddings of that sound; E is 0 without one.
    """

    target: torch.Tensor
    reference: torch.Tensor
    mels: torch.Tensor
    taught: torch.Tensor

    def to(self, device: torch.device) -> "FaceBatch":
        """The same elsewhere."""
        parts = (self.target, self.reference, self.mels, self.taught)
        return FaceBatch(*(part.to(device, non_blocking=True) for part in parts))

    def first(self, count: int) -> "FaceBatch":
        """Its first windows, for a picture."""
        parts = (self.target, self.reference, self.mels, self.taught)
        return FaceBatch(*(part[:count] for part in parts))


@dataclass(frozen=True)
class Window:
    """Five frames of a clip, and five others to show what the person looks like.

    Attributes:
        frames: (5,) which they are.
        cut: of both.
        target, reference: (5, 3, 96, 96) float32 BGR in 0..1.
    """

    frames: np.ndarray
    cut: Cut
    target: torch.Tensor
    reference: torch.Tensor


def face_batch(
    clips: list[FaceClip],
    *,
    seed: int,
    step: int,
    size: int,
    augmented: bool = True,
    share: slice = slice(None),
) -> FaceBatch:
    """The windows of one step; everything random hangs on seed and step.

    Args:
        clips: with at least one start each.
        seed: of the run.
        step: of the run.
        size: windows of the step over all processes.
        augmented: other boxes and other light; without, faces as run_wav2lip.py cuts them.
        share: of this process.
    """
    chosen = drawn_clips(clips, seed=seed, step=step, count=size, share=share)
    rows = [_row(clip, window(clip, rng, augmented=augmented)) for clip, rng in chosen]
    return FaceBatch(*(torch.stack(parts) for parts in zip(*rows, strict=True)))


def _row(
    clip: FaceClip, one: Window
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    taught = clip.taught_at(one.frames)[:, 1]
    return one.target, one.reference, clip.sound(one.frames), taught


def window(clip: FaceClip, rng: np.random.Generator, *, augmented: bool) -> Window:
    """A random window of a clip.

    Args:
        clip: with at least one start.
        rng: of the window.
        augmented: another box and other light than as run_wav2lip.py cuts a face.
    """
    start = int(rng.choice(clip.starts))
    other = _other_start(clip.starts, start, rng)
    five = np.arange(EXPERT_FRAMES)
    cut = clip.random_box(rng) if augmented else clip.box
    faces = clip.faces(np.concatenate([start + five, other + five]), cut)
    if augmented:
        faces = _other_light(faces, rng)
    pictures = wav2lip.face_tensor(faces).unflatten(0, (2, EXPERT_FRAMES))
    return Window(start + five, cut, pictures[0], pictures[1])


def _other_start(starts: np.ndarray, start: int, rng: np.random.Generator) -> int:
    apart = np.abs(starts - start)
    far = starts[apart >= LEAST_APART_FRAMES]
    return int(rng.choice(far)) if len(far) else int(starts[apart.argmax()])


def _other_light(faces: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    gain = np.exp(rng.normal(0, 0.08, 3))
    table = 255 * (np.arange(256)[:, None] / 255) ** np.exp(rng.normal(0, 0.15)) * gain
    levels = table.clip(0, 255).astype(np.uint8)
    return np.stack([levels[:, c][faces[..., c]] for c in range(3)], axis=-1)
