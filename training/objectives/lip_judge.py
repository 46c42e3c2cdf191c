"""A frozen SyncNet as the judge of five drawn frames, wherever on a face crop it looks.

A SyncNet may look at another part of a face than a generator draws, in grey, at another size,
further to both sides in time, and at what differs from the seconds around. So the judge sees the
real clip, and of what is drawn only how it differs from it: on mouth and jaw, where
run_wav2lip.py takes it, moved to where the judge looks.
"""

import functools
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from models import syncnet
from models.features import MFCC_PER_FRAME, MFCC_RATE, TIME_ROUNDING, WINDOW_FRAMES
from models.syncnet import SyncNet, SyncNetConfig
from models.wav2lip import FACE_PX
from pipeline.dubbing.blend import mouth_mask
from training.data.faces import STORED_PER_CROP, VIEW, Cut, FaceClip

GREY_OF_BGR = (0.114, 0.587, 0.299)  # as OpenCV weighs them
GREY_LEVELS = 255
SAMPLES_PER_PIXEL = 2  # each way: a pixel of the judge covers more than one of a drawn face
LEAST_PROBABILITY = 1e-4


@dataclass(frozen=True)
class Judged:
    """What a judge sees and hears of some windows, were the real faces shown.

    Attributes:
        lips: (B, window, C, S, S) float32, normalised as the judge's configuration says.
        contrast: (B, window) by how much they change where a pixel turns from black to white.
        placing: (B, 2, 3) where on the drawn face a pixel of the judge's view is, as
            `F.affine_grid` takes it.
        sound: (B, 1, 13, columns) float32.
    """

    lips: torch.Tensor
    contrast: torch.Tensor
    placing: torch.Tensor
    sound: torch.Tensor

    @staticmethod
    def stacked(windows: list["Judged"]) -> "Judged":
        """Windows without the first axis, as one batch."""
        parts = (torch.stack([getattr(one, part.name) for one in windows]) for part in _FIELDS)
        return Judged(*parts)

    def to(self, device: torch.device) -> "Judged":
        """The same elsewhere."""
        return Judged(*(getattr(self, part.name).to(device, non_blocking=True) for part in _FIELDS))


_FIELDS: tuple[Any, ...] = fields(Judged)


def judged_window(face: FaceClip, start: int, cut: Cut, config: SyncNetConfig) -> Judged:
    """What a judge sees and hears of the five frames from `start` on, without a first axis.

    Args:
        face: with its lips as the judge sees them.
        start: first frame.
        cut: of the drawn faces.
        config: of the judge.
    """
    assert face.lips is not None, "a judge needs the lips as it sees them"
    side = config.side_frames
    frames = np.arange(start - side, start + WINDOW_FRAMES + side).clip(0, len(face.lips) - 1)
    lips, contrast = _lips(face.lips, frames, config)
    first_column = int(face.sound_times_s(np.array([start]))[0] * MFCC_RATE + TIME_ROUNDING)
    first_column -= side * MFCC_PER_FRAME + round(config.zero_ms * MFCC_RATE / 1000)
    columns = first_column + np.arange(config.window_columns)
    sound = _sound(face.mfcc, columns.clip(0, len(face.mfcc) - 1), config)
    parts = lips, contrast, placing(cut, config), sound.T[None]
    return Judged(*(torch.from_numpy(np.ascontiguousarray(part)) for part in parts))


def _lips(
    pictures: np.ndarray, frames: np.ndarray, config: SyncNetConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Normalised pictures (N, C, S, S) of ascending frames, and the contrast of each (N,)."""
    if not config.context_frames:
        lips = pictures[frames].astype(np.float32)
        return lips, np.full(len(frames), GREY_LEVELS, np.float32)
    around, own = _context(frames, config.context_frames, len(pictures))
    values = pictures[around].astype(np.float32) / GREY_LEVELS
    mean, deviation = syncnet.lip_statistics(values, config)
    contrast = 1 / deviation[own]
    lips = (values[own] - mean[own]) * contrast[:, None, None, None]
    return lips.astype(np.float32), contrast.astype(np.float32)


def _sound(mfcc: np.ndarray, columns: np.ndarray, config: SyncNetConfig) -> np.ndarray:
    """Normalised columns (N, 13), ascending, of a clip's MFCC."""
    around, own = _context(columns, config.context_frames * MFCC_PER_FRAME, len(mfcc))
    normalised: np.ndarray = syncnet.normalise_mfcc(mfcc[around], config)[own]
    return normalised


def _context(indices: np.ndarray, length: int, total: int) -> tuple[slice, np.ndarray]:
    """The stretch over which `syncnet.running_mean` takes the means of ascending indices.

    Returns:
        The stretch, and where in it the indices are: there they have the means of the whole.
    """
    if not length:
        return slice(indices[0], indices[-1] + 1), indices - indices[0]
    last = max(0, total - length)
    first, end = (int(np.clip(at - length // 2, 0, last)) for at in (indices[0], indices[-1]))
    return slice(first, end + length), indices - first


def placing(cut: Cut, config: SyncNetConfig) -> np.ndarray:
    """Where on a drawn face a pixel of the judge's view is.

    Args:
        cut: of the face, in a stored picture of `VIEW`.
        config: of the judge.

    Returns:
        (2, 3) float32, from -1..1 across the view to -1..1 across the face.
    """
    top, left, side = config.lip_region_px
    view_top, view_left, _ = VIEW.lip_region_px
    rows = []
    for start, view_start, low, high in (
        (left, view_left, cut.left, cut.right),
        (top, view_top, cut.top, cut.bottom),
    ):
        factor = side * STORED_PER_CROP / (high - low)
        middle = (start + side / 2 - view_start) * STORED_PER_CROP
        rows.append((factor, 2 * (middle - low) / (high - low) - 1))
    (x, x_shift), (y, y_shift) = rows
    if cut.mirrored:
        x, x_shift = -x, -x_shift
    return np.array([[x, 0, x_shift], [0, y, y_shift]], np.float32)


@functools.cache
def _mouth(device: torch.device) -> torch.Tensor:
    return torch.from_numpy(mouth_mask(FACE_PX, FACE_PX)).to(device)


def lips_with(
    generated: torch.Tensor, target: torch.Tensor, judged: Judged, config: SyncNetConfig
) -> torch.Tensor:
    """The judge's input with drawn mouths in place of the real ones.

    Args:
        generated, target: (B, 5, 3, 96, 96) BGR in 0..1.
        judged: the same windows as they are.
        config: of the judge.

    Returns:
        (B, C, window, S, S) float32; gradients flow back to `generated`.
    """
    change = (generated.float() - target) * _mouth(generated.device)
    if config.grey:
        weights = torch.tensor(GREY_OF_BGR, device=change.device)
        change = (change * weights[:, None, None]).sum(dim=2, keepdim=True)
    count, frames, channels = change.shape[:3]
    side = config.lip_size_px * SAMPLES_PER_PIXEL
    grid = F.affine_grid(judged.placing, [count, 1, side, side], align_corners=False)
    placed = F.grid_sample(change.flatten(1, 2), grid, align_corners=False)
    placed = F.avg_pool2d(placed, SAMPLES_PER_PIXEL).unflatten(1, (frames, channels))
    middle = slice(config.side_frames, config.side_frames + WINDOW_FRAMES)
    lips = judged.lips.clone()
    lips[:, middle] = lips[:, middle] + placed * judged.contrast[:, middle, None, None, None]
    return lips.transpose(1, 2)


def judge_loss(
    judge: SyncNet, generated: torch.Tensor, target: torch.Tensor, judged: Judged
) -> torch.Tensor:
    """Binary cross-entropy of drawn lips and their sound being a pair, as a SyncNet has it.

    Its probability is its own where it was trained on pairs. Else it is the cosine of both
    embeddings, from -1..1 to 0..1: that holds for any SyncNet, whatever the scale of its distances.

    Args:
        judge: frozen, in eval mode.
        generated, target, judged: as for `lips_with`.
    """
    with torch.autocast(generated.device.type, enabled=False):
        lips = judge.forward_lip(lips_with(generated, target, judged, judge.config))
        with torch.no_grad():
            sound = judge.forward_aud(judged.sound)
        if judge.pair_sigmoid is not None:
            return F.softplus(-judge.pair_logits(lips, sound)).mean()
        size = judge.config.embedding_size  # without the constant one of scaled embeddings
        cosine = F.cosine_similarity(lips[:, :size].float(), sound[:, :size].float())
        return -((1 + cosine) / 2).clamp(min=LEAST_PROBABILITY).log().mean()
