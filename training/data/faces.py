"""Faces with their sound, as Wav2Lip's networks are trained on them.

The cropped tracks and offsets that train_syncnet.py reads; from each clip the detector's box is cut
out, as Wav2Lip sees faces.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
import torch

from models import features, speech2vid
from models.features import FRAME_RATE, SAMPLE_RATE
from models.syncnet import CROP_PX, SMALL
from models.wav2lip import EXPERT_FRAMES, FACE_PX
from training.batches.chances import choose
from training.data.samples import Clip
from training.objectives.teacher import Taught

# The decoded part of a crop: the box of any face, and a margin to move it in. In a crop the
# longer side of the box is CROP_PX / 1.4, and the box lies at the top, in the middle.
VIEW = replace(SMALL, grey=False, lip_region_px=(0, 24, 176), lip_size_px=110)
STORED_PER_CROP = VIEW.lip_size_px / VIEW.lip_region_px[2]
LONGER_SIDE = CROP_PX / 1.4 * STORED_PER_CROP  # of a face's box, stored pixels
TYPICAL_ASPECT = 0.76  # width by height of a face's box, where no track tells
PAD = 0.12  # of the height, the most that is added below: Wav2Lip pads a box by 10 pixels
SHIFT = 0.03  # of the side: boxes are never exact
ASPECT_SPREAD = 0.05


@dataclass(frozen=True)
class Cut:
    """Part of a stored picture: half-open, stored pixels."""

    top: int
    bottom: int
    left: int
    right: int
    mirrored: bool = False


@dataclass(frozen=True)
class FaceClip:
    """One face with its sound, in sync as far as known.

    Attributes:
        clip: pictures, sound, and by how much the sound leads.
        box: the face in every picture, as Wav2Lip wants it.
        shows_face: (T,) bool, frames whose picture shows the face; None: all.
        taught: a SyncNet's embeddings of it, where an expert learns from one.
        lips: (T, C, S, S) uint8, the part of the crops that a SyncNet looks at, where one judges.
        voice: (n,) int16, the clip's sound without what plays behind the voice; None: as it is.
    """

    clip: Clip
    box: Cut
    shows_face: np.ndarray | None = None
    taught: Taught | None = None
    lips: np.ndarray | None = None
    voice: np.ndarray | None = None

    @property
    def heard(self) -> Clip:
        """The clip with the sound that the networks hear."""
        return self.clip if self.voice is None else replace(self.clip, samples=self.voice)

    @cached_property
    def mel(self) -> np.ndarray:
        """(80, columns) float32, from the file's first sample on."""
        return features.mel(self.heard.samples)

    @cached_property
    def cepstra(self) -> np.ndarray:
        """(12, columns) float32, what a Speech2Vid hears, from the file's first sample on."""
        return speech2vid.cepstra(self.mfcc if self.voice is None else features.mfcc(self.voice))

    @cached_property
    def mfcc(self) -> np.ndarray:
        """(columns, 13) float32, what a SyncNet that judges hears: the whole sound."""
        return features.mfcc(self.clip.samples)

    @cached_property
    def starts(self) -> np.ndarray:
        """Frames at which a window of five frames with its sound may start."""
        return self.stretches(EXPERT_FRAMES)

    def stretches(self, frames: int) -> np.ndarray:
        """Frames from which on so many show the face and have their sound inside the clip."""
        early, late = (
            self.clip.offset_at(frame) / 1000 * FRAME_RATE for frame in (0, self.clip.frames)
        )
        sound_frames = len(self.clip.samples) / SAMPLE_RATE * FRAME_RATE
        first = max(0, int(np.ceil(early)))
        # The mel window of the last frame reaches so much further.
        end = int(min(self.clip.frames, sound_frames + late)) - EXPERT_FRAMES
        starts = np.arange(first, max(first, end - frames))
        if self.shows_face is None or not len(starts):
            return starts
        visible = np.concatenate([[0], np.cumsum(self.shows_face)])
        return starts[visible[starts + frames] - visible[starts] == frames]

    def sound(self, frames: np.ndarray) -> torch.Tensor:
        """The mel windows (N, 1, 80, 16) of the sound that belongs to some video frames."""
        times_s = np.maximum(self.sound_times_s(frames), 0)
        return torch.from_numpy(features.mel_windows(self.mel, times_s))

    def sound_around(self, frames: np.ndarray) -> torch.Tensor:
        """The same for a Speech2Vid that draws single frames: cepstra (N, 1, 12, 20)."""
        times_s = self.sound_times_s(frames)
        return torch.from_numpy(speech2vid.windows_around(self.cepstra, times_s))

    def sound_times_s(self, frames: np.ndarray) -> np.ndarray:
        """When the sound of some video frames is heard in the file."""
        return frames / FRAME_RATE - self.clip.offset_at(frames) / 1000

    def taught_at(self, frames: np.ndarray) -> torch.Tensor:
        """The SyncNet's embeddings of lips and sound of the windows from some frames: (N, 2, E)."""
        if self.taught is None:
            return torch.zeros(len(frames), 2, 0)
        last = len(self.taught.lips) - 1
        leads = self.clip.offset_at(frames) / 1000 * FRAME_RATE
        heard_frames = frames - np.round(leads).astype(int)
        lips = self.taught.lips[frames.clip(0, last)]
        sound = self.taught.sound[heard_frames.clip(0, last)]
        return torch.from_numpy(np.stack([lips, sound], axis=1)).float()

    def faces(self, frames: np.ndarray, cut: Cut) -> np.ndarray:
        """Faces as Wav2Lip sees them.

        Args:
            frames: (N,) indices.
            cut: which part of the stored picture, and whether mirrored.

        Returns:
            (N, 96, 96, 3) uint8 BGR.
        """
        pictures = self.clip.pictures[frames].transpose(0, 2, 3, 1)
        cut_out = [
            cv2.resize(
                np.ascontiguousarray(picture[cut.top : cut.bottom, cut.left : cut.right]),
                (FACE_PX, FACE_PX),
                interpolation=cv2.INTER_AREA,
            )
            for picture in pictures
        ]
        faces = np.stack(cut_out)
        return np.ascontiguousarray(faces[:, :, ::-1]) if cut.mirrored else faces

    def random_box(self, rng: np.random.Generator) -> Cut:
        """A random box around the detector's, as other detectors would give."""
        size_y, size_x = self.clip.pictures.shape[2:]
        height, width = self.box.bottom - self.box.top, self.box.right - self.box.left
        wider = width * (float(np.exp(rng.normal(0, ASPECT_SPREAD))) - 1) / 2
        lower = height * float(rng.uniform(-PAD / 2, PAD / 2))
        down, right = rng.normal(0, SHIFT, 2) * max(height, width)
        return Cut(
            max(0, round(self.box.top + down)),
            min(size_y, round(self.box.bottom + down + lower)),
            max(0, round(self.box.left + right - wider)),
            min(size_x, round(self.box.right + right + wider)),
            bool(rng.random() < 0.5),
        )


def track_box(aspect: float) -> Cut:
    """The detector's box and a pad below, in a picture of `VIEW`.

    Args:
        aspect: width by height of the box.
    """
    height = LONGER_SIDE * min(1.0, 1 / aspect)
    width = height * aspect
    middle_x, middle_y = VIEW.lip_size_px / 2, LONGER_SIDE / 2
    return Cut(
        max(0, round(middle_y - height / 2)),
        min(VIEW.lip_size_px, round(middle_y + height * (0.5 + PAD / 2))),
        max(0, round(middle_x - width / 2)),
        min(VIEW.lip_size_px, round(middle_x + width / 2)),
    )


def drawn_clips(
    clips: list[FaceClip], *, seed: int, step: int, count: int, share: slice, across: bool = False
) -> Iterator[tuple[FaceClip, np.random.Generator]]:
    """The clips of one step, each with its own randomness; all of it hangs on seed and step.

    Args:
        clips: with at least one start each; batches/chances.py says how often each comes up.
        seed: of the run.
        step: of the run.
        count: over all processes.
        share: of this process.
        across: clips are compared with each other: no person comes up twice, see `chances.choose`.
    """
    rng = np.random.default_rng((seed, step))
    lengths, persons = [len(clip.starts) for clip in clips], [clip.clip.who for clip in clips]
    chosen = choose(rng, lengths, persons, count=count, across=across)
    seeds = rng.integers(2**31, size=count)
    for index, one in zip(chosen[share], seeds[share], strict=True):
        yield clips[int(index)], np.random.default_rng(one)
