"""The lip-sync objective: which of the windows of one excerpt does this sound belong to?

Every window of lips must find its own sound among all windows of the same few seconds, and the
other way round. Negatives from the same clip share speaker, light and microphone, so only timing
can tell them apart.
"""

import math
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from models import features, syncnet
from models.features import WINDOW_FRAMES
from models.syncnet import SyncNet, SyncNetConfig
from pipeline import sync
from training.samples import Clip, shifted_sound

WINDOW_STEP = 3  # frames between the windows compared; neighbours are too alike to start with
PIECE_FRAMES = 125  # a clip is judged by up to six pieces of 5 s
LARGEST_JUDGED = 6
AGREEMENT = 0.6  # of the pieces must agree within a frame; by chance a tenth does
LARGEST_LAG = 8  # frames; a larger lag is more likely a mistake


class Objective(nn.Module):
    """Cross-entropy over the windows of an excerpt, in both directions, with a learned scale."""

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))

    def forward(self, lips: torch.Tensor, sound: torch.Tensor) -> tuple[torch.Tensor, float]:
        """Loss, and the share of windows whose own sound is the nearest.

        Args:
            lips: (excerpts, windows, E).
            sound: (excerpts, windows, E).
        """
        scale = self.log_scale.exp().clamp(max=60.0)
        likeness = F.normalize(lips, dim=2) @ F.normalize(sound, dim=2).transpose(1, 2) * scale
        own = torch.arange(lips.shape[1], device=lips.device).expand(lips.shape[:2])
        loss = F.cross_entropy(likeness.flatten(0, 1), own.flatten())
        back = F.cross_entropy(likeness.transpose(1, 2).flatten(0, 1), own.flatten())
        return (loss + back) / 2, float((likeness.argmax(2) == own).float().mean())


def excerpt_batch(
    clips: list[Clip],
    rng: np.random.Generator,
    config: SyncNetConfig,
    *,
    excerpts: int,
    chances: np.ndarray,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random, augmented excerpts as long as the network's context.

    Args:
        clips: at least as long as that, known offsets are taken out.
        rng: of the step.
        config: of the network.
        excerpts: how many.
        chances: (clips,) probability of each.

    Returns:
        lips (excerpts * windows, 1, 5, H, W), sound (excerpts * windows, 1, 13, 20).
    """
    frames = config.context_frames
    lips, sound = [], []
    for index in rng.choice(len(clips), excerpts, p=chances):
        clip = clips[index]
        first = int(rng.integers(clip.frames - frames + 1))
        lips.append(clip.lips[first : first + frames])
        lead = -clip.offset_frames
        samples = shifted_sound(clip, first=first, frames=frames, lead_frames=lead)
        sound.append(_sound_windows(_noisy(samples, rng), rng, config))
    pictures = _augmented(torch.from_numpy(np.stack(lips)), rng, config)
    windows = pictures.unfold(1, WINDOW_FRAMES, WINDOW_STEP).permute(0, 1, 4, 2, 3)
    return windows.flatten(0, 1)[:, None].contiguous(), torch.cat(sound)


def _noisy(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another level and another room noise: white to rumbling, 0 to 40 dB below the speech."""
    signal = samples.astype(np.float32) * 10 ** (rng.uniform(-15, 5) / 20)
    if rng.random() < 0.6:
        noise = rng.standard_normal(len(signal)).astype(np.float32)
        spectrum = np.fft.rfft(noise)
        spectrum *= np.maximum(np.arange(len(spectrum)), 30.0) ** -rng.uniform(0, 1.2)
        noise = np.fft.irfft(spectrum, len(signal)).astype(np.float32)
        ratio_db = rng.uniform(3, 40)
        level = np.sqrt(np.mean(signal**2)) + 1
        signal = signal + noise * (level / noise.std() * 10 ** (-ratio_db / 20))
    return signal.clip(-32768, 32767).astype(np.int16)


def _sound_windows(
    samples: np.ndarray, rng: np.random.Generator, config: SyncNetConfig
) -> torch.Tensor:
    columns = syncnet.normalise_mfcc(features.mfcc(samples), config)
    columns = columns + rng.normal(0, 0.1, columns.shape).astype(np.float32)
    if rng.random() < 0.3:  # a cough, a click: a fifth of a second nobody can use
        start = int(rng.integers(len(columns)))
        columns[start : start + int(rng.integers(5, 20))] = 0
    return syncnet.audio_windows(columns)[::WINDOW_STEP]


def _augmented(lips: torch.Tensor, rng: np.random.Generator, config: SyncNetConfig) -> torch.Tensor:
    """Another head, camera and light for each excerpt; (B, T, S, S) uint8 to (B, T, H, W)."""
    count, wide = lips.shape[0], lips.shape[2]
    size = config.lip_size_px
    warps = np.zeros((count, 2, 3), np.float32)
    for warp in warps:
        angle, zoom = rng.normal(0, 0.12), size / wide * np.exp(rng.normal(0, 0.09))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        stretch = np.diag([np.exp(rng.normal(0, 0.05)) * rng.choice([-1, 1]), 1.0])
        warp[:, :2] = zoom * turn @ stretch
        warp[:, 2] = rng.normal(0, 0.06, 2)
    grid = F.affine_grid(torch.from_numpy(warps), [count, 1, size, size], align_corners=False)
    # One grid serves all frames of an excerpt: they are its channels.
    values = F.grid_sample(
        lips.float() / 255, grid, padding_mode="reflection", align_corners=False
    ).clamp(0, 1)
    gamma = torch.from_numpy(np.exp(rng.normal(0, 0.25, (count, 1, 1, 1))).astype(np.float32))
    values = (values + 1e-4) ** gamma
    if rng.random() < 0.3:
        values = F.avg_pool2d(values, 3, stride=1, padding=1, count_include_pad=False)
    values = values - values.mean(dim=1, keepdim=True)
    deviation = (values**2).mean(dim=(1, 2, 3), keepdim=True).sqrt() + 0.01
    values = values / deviation
    noise_level = torch.from_numpy(rng.uniform(0, 0.3, (count, 1, 1, 1)).astype(np.float32))
    seed = int(rng.integers(2**31))
    generator = torch.Generator().manual_seed(seed)
    values = values + noise_level * torch.randn(values.shape, generator=generator)
    for excerpt in values:  # a hand, a microphone, a caption
        if rng.random() < 0.3:
            height, width = rng.integers(6, 18, 2)
            y, x = rng.integers(0, size - height), rng.integers(0, size - width)
            excerpt[:, y : y + height, x : x + width] = 0
    return values


def train_step(
    model: SyncNet,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    batch: tuple[torch.Tensor, torch.Tensor],
    *,
    excerpts: int,
    device: torch.device,
    bf16: bool = True,
) -> dict[str, float]:
    """One optimiser step; returns loss, accuracy and the learned scale.

    bf16 halves the time on processors that have it; the loss itself stays in float32.
    """
    lips, sound = (part.to(device) for part in batch)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
        v, a = model.forward_lip(lips), model.forward_aud(sound)
    v, a = (x.float().unflatten(0, (excerpts, -1)) for x in (v, a))
    last = v.shape[2] - bool(model.config.embedding_scale)  # without the constant component
    loss, accuracy = objective(v[..., :last], a[..., :last])
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 3.0)
    optimizer.step()
    scale = float(objective.log_scale.detach().exp())
    return {"loss": float(loss.detach()), "accuracy": accuracy, "scale": scale}


def score_piece(
    model: SyncNet,
    clip: Clip,
    *,
    first: int,
    frames: int,
    lead_frames: int = 0,
    vshift: int = 15,
    device: torch.device,
) -> sync.Sync | None:
    """Scores a stretch of a clip as run_syncnet.py would score a file of it.

    Args:
        model: in eval mode on `device`.
        clip: with the margin of `training.samples`.
        first, frames: the stretch.
        lead_frames: the sound is moved to lead by so many more frames.
        vshift: largest shift searched.
        device: where the model is.

    Returns:
        None when the stretch is too short for a window.
    """
    windows = frames - WINDOW_FRAMES
    if windows < 1:
        return None
    margin = (clip.lips.shape[1] - model.config.lip_size_px) // 2
    inner = slice(margin, margin + model.config.lip_size_px)
    pixels = clip.lips[first : first + frames, None, inner, inner]
    lips = torch.from_numpy(syncnet.normalise_lips(pixels, model.config))
    samples = shifted_sound(clip, first=first, frames=frames, lead_frames=lead_frames)
    with torch.inference_mode():
        found = [
            model.forward_lip(part.to(device)).cpu() for part in syncnet.lip_windows(lips).split(64)
        ]
        sound = sync.embed_sound(model, samples, batch_size=64, device=device)
    dists = sync.distances(torch.cat(found)[:windows], sound[:windows], vshift=vshift)
    return sync.judge(dists, reliable_confidence=model.config.reliable_confidence)


def own_offset(model: SyncNet, clip: Clip, *, device: torch.device) -> int | None:
    """The offset most pieces of a clip agree on, None where they do not.

    Voice-over, dubbing and silent listeners show themselves this way: their pieces give offsets
    all over the search range.
    """
    length = min(PIECE_FRAMES, clip.frames)
    pieces = min(LARGEST_JUDGED, clip.frames // length)
    firsts = np.linspace(0, clip.frames - length, pieces).astype(int)
    judged = [score_piece(model, clip, first=f, frames=length, device=device) for f in firsts]
    offsets = np.array([piece.offset_frames for piece in judged if piece is not None])
    if not len(offsets):
        return None
    middle = int(np.median(offsets))
    agreeing = (np.abs(offsets - middle) <= 1).mean()
    return middle if agreeing >= AGREEMENT and abs(middle) <= LARGEST_LAG else None


def refine(
    model: SyncNet, clips: list[Clip], *, device: torch.device
) -> tuple[list[Clip], list[str]]:
    """Takes known lags out and drops clips whose lips do not follow their sound.

    Returns:
        Clips to go on with, and the names of those dropped.
    """
    kept, dropped = [], []
    for clip in clips:
        offset = own_offset(model, clip, device=device)
        if offset is None:
            dropped.append(clip.name)
        else:
            kept.append(replace(clip, offset_frames=offset))
    if not kept:  # such a network has not learned enough to judge anybody
        return clips, []
    return kept, dropped


def chances(clips: list[Clip]) -> np.ndarray:
    """Probability of each clip: the square root of its length, so that no speaker dominates."""
    lengths = np.array([clip.frames for clip in clips], np.float64)
    return np.sqrt(lengths) / np.sqrt(lengths).sum()
