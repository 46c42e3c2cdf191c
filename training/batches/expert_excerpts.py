"""Batches for Wav2Lip's expert: excerpts of face clips, cut into windows that do not overlap.

The windows of one excerpt share face, light and microphone, so only timing tells which sound
belongs to which: comparing all of them teaches far more than one wrong pair for each right
one.
"""

from dataclasses import dataclass

import numpy as np
import torch

from models import features
from models.features import FRAME_RATE
from models.wav2lip import EXPERT_FRAMES, FACE_PX, MASKED_FROM_PX
from training.batches.augment import SPEED, augment_lips, augment_sound, change_speed
from training.data.faces import FaceClip, drawn_clips
from training.data.samples import shifted_sound

EXCERPT_WINDOWS = 12
EXCERPT_FRAMES = EXCERPT_WINDOWS * EXPERT_FRAMES
TAIL_FRAMES = 2  # of sound after the last window: the last mel columns reach beyond it
PACE = 1  # makes the seed of a step's speed differ from that of its clips
GREY = 0.1  # chance of an excerpt to lose its colour
TURN = 0.5  # of the turns, shifts and scales that train_syncnet.py uses: boxes are roughly upright


@dataclass(frozen=True)
class ExpertBatch:
    """Excerpts of `EXCERPT_WINDOWS` windows each.

    Attributes:
        faces: (B, W, 15, 48, 96) float32 in 0..1, the mouth halves of five frames.
        mels: (B, W, 1, 80, 16), the sound of each.
        taught: (B, W, 2, E), a SyncNet's embeddings of lips and sound; E is 0 without one.
    """

    faces: torch.Tensor
    mels: torch.Tensor
    taught: torch.Tensor

    def to(self, device: torch.device) -> "ExpertBatch":
        """The same elsewhere."""
        parts = (self.faces, self.mels, self.taught)
        return ExpertBatch(*(part.to(device, non_blocking=True) for part in parts))


def expert_batch(
    clips: list[FaceClip],
    *,
    seed: int,
    step: int,
    size: int,
    augmented: bool = True,
    share: slice = slice(None),
) -> ExpertBatch:
    """The excerpts of one step; everything random hangs on seed and step.

    Args:
        clips: at least `EXCERPT_FRAMES` long.
        seed: of the run.
        step: of the run.
        size: windows of the step over all processes; a multiple of `EXCERPT_WINDOWS` is used.
        augmented: other boxes, light, cameras, noise and speeds.
        share: of this process, in excerpts.
    """
    excerpts = max(1, size // EXCERPT_WINDOWS)
    every = slice(None)  # of all processes: each excerpt is wrong sound for the others
    chosen = list(
        drawn_clips(clips, seed=seed, step=step, count=excerpts, share=every, across=True)
    )
    pace_rng = np.random.default_rng((seed, step, PACE))
    stretch = _stretch([face for face, _ in chosen], pace_rng) if augmented else EXCERPT_FRAMES
    rows = [_excerpt(face, rng, stretch, augmented=augmented) for face, rng in chosen[share]]
    return ExpertBatch(*(torch.stack(parts) for parts in zip(*rows, strict=True)))


def _stretch(faces: list[FaceClip], rng: np.random.Generator) -> int:
    """How many frames are played as an excerpt: as many of every face.

    A speed change is visible in pictures and sound, so sound of another speed would be recognised
    as wrong without the mouth.
    """
    if rng.random() < 0.5:
        return EXCERPT_FRAMES
    other = round(EXCERPT_FRAMES * rng.uniform(*SPEED))
    return other if all(len(face.stretches(other)) for face in faces) else EXCERPT_FRAMES


def _excerpt(
    face: FaceClip, rng: np.random.Generator, stretch: int, *, augmented: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    first = int(rng.choice(face.stretches(stretch)))
    cut = face.random_box(rng) if augmented else face.box
    faces = face.faces(np.arange(first, first + stretch), cut)
    sound = shifted_sound(
        face.heard,
        first=first,
        frames=stretch + TAIL_FRAMES,
        lead_ms=-face.clip.offset_at(first + stretch / 2),
    )
    pictures = faces.transpose(0, 3, 1, 2)
    if stretch != EXCERPT_FRAMES:
        pictures, sound = change_speed(pictures, sound, frames=EXCERPT_FRAMES)
    values = torch.from_numpy(np.ascontiguousarray(pictures))
    if augmented:
        sound = augment_sound(sound, rng)
        values = augment_lips(values, rng, size_px=FACE_PX, grey=GREY, turn=TURN)
    else:
        values = values.float() / 255
    mouths = values[:, :, MASKED_FROM_PX:].unflatten(0, (EXCERPT_WINDOWS, EXPERT_FRAMES))
    times_s = np.arange(0, EXCERPT_FRAMES, EXPERT_FRAMES) / FRAME_RATE
    mels = features.mel_windows(features.mel(sound), times_s)
    at = first + np.arange(EXCERPT_WINDOWS) * EXPERT_FRAMES * stretch / EXCERPT_FRAMES
    return mouths.flatten(1, 2), torch.from_numpy(mels), face.taught_at(at.round().astype(int))
