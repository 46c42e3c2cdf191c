"""Batches for Speech2Vid: those of Wav2Lip's generator, with one sound for five frames."""

from dataclasses import dataclass

import numpy as np
import torch

from models import speech2vid
from models.syncnet import SyncNetConfig
from training.batches.face_batches import Window, window
from training.data.faces import FaceClip, drawn_clips
from training.objectives.lip_judge import Judged, judged_window


@dataclass(frozen=True)
class Speech2VidBatch:
    """Windows of five frames.

    Attributes:
        target: (B, 5, 3, 96, 96) float32 BGR in 0..1.
        reference: (B, 5, 3, 96, 96), other frames of the same clips, in the same cut.
        cepstra: (B, 1, 12, 20), the sound of the five frames.
        judged: what the judge sees and hears of them; None without one.
    """

    target: torch.Tensor
    reference: torch.Tensor
    cepstra: torch.Tensor
    judged: Judged | None

    def to(self, device: torch.device) -> "Speech2VidBatch":
        """The same elsewhere."""
        return Speech2VidBatch(
            self.target.to(device, non_blocking=True),
            self.reference.to(device, non_blocking=True),
            self.cepstra.to(device, non_blocking=True),
            self.judged and self.judged.to(device),
        )

    def first(self, count: int) -> "Speech2VidBatch":
        """Its first windows, for a picture: without a judge."""
        return Speech2VidBatch(
            self.target[:count], self.reference[:count], self.cepstra[:count], None
        )


def speech2vid_batch(
    clips: list[FaceClip],
    *,
    seed: int,
    step: int,
    size: int,
    judge: SyncNetConfig | None,
    augmented: bool = True,
    share: slice = slice(None),
) -> Speech2VidBatch:
    """The windows of one step; everything random hangs on seed and step.

    Args:
        judge: configuration of the SyncNet that judges; None without one.
        clips, seed, step, size, augmented, share: as for `face_batch`, which draws the same
            windows.
    """
    chosen = drawn_clips(clips, seed=seed, step=step, count=size, share=share)
    rows = [(clip, window(clip, rng, augmented=augmented)) for clip, rng in chosen]
    judged = None
    if judge is not None:
        windows = [judged_window(clip, int(one.frames[0]), one.cut, judge) for clip, one in rows]
        judged = Judged.stacked(windows)
    return Speech2VidBatch(
        torch.stack([one.target for _, one in rows]),
        torch.stack([one.reference for _, one in rows]),
        torch.stack([_sound(clip, one) for clip, one in rows]),
        judged,
    )


def _sound(clip: FaceClip, one: Window) -> torch.Tensor:
    """(1, 12, 20) of a window."""
    times_s = clip.sound_times_s(np.array(one.frames[:1]))
    return torch.from_numpy(speech2vid.windows(clip.cepstra, times_s)[0])
