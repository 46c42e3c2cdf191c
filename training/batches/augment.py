"""Augmentation: another pose, camera, microphone and background noise for each excerpt.

Everything random comes from the generator handed in, so a resumed run and every process of a
distributed one gets the same.
"""

import numpy as np
import torch
from scipy import fft
from torch.nn import functional as F

LEVEL_DB = (-15.0, 5.0)  # of the sound, against how it was recorded
NOISE_BELOW_SPEECH_DB = (3.0, 40.0)
LONGEST_GAP_COLUMNS = 20  # of MFCC: a cough, a click
SPEED = (0.88, 1.14)  # playback speed; pitch and formants change with it
OCCLUDER_SHARE = (0.12, 0.38)  # of the picture's side: a hand, a microphone, a caption


def change_speed(
    pictures: np.ndarray, samples: np.ndarray, *, frames: int
) -> tuple[np.ndarray, np.ndarray]:
    """Plays a stretch faster or slower, pictures and sound alike.

    Args:
        pictures: (T, C, S, S) uint8.
        samples: (n,) int16 of the same stretch.
        frames: length of the result.

    Returns:
        pictures (frames, C, S, S) uint8, each a mixture of its two neighbours, and the samples
        resampled by frames / T; pitch and formants move with the speed.
    """
    position = np.arange(frames) * (len(pictures) / frames)
    before = np.minimum(position.astype(int), len(pictures) - 1)
    after = np.minimum(before + 1, len(pictures) - 1)
    share = (position - before).astype(np.float32)[:, None, None, None]
    mixed = pictures[before] * (1 - share) + pictures[after] * share
    positions = np.arange(round(len(samples) * frames / len(pictures))) * (len(pictures) / frames)
    changed = np.interp(positions, np.arange(len(samples)), samples)
    return mixed.round().astype(np.uint8), changed.clip(-32768, 32767).astype(np.int16)


def augment_sound(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Changes the level and adds noise, white to low-pass.

    Args:
        samples: (n,) int16.
        rng: of the excerpt.

    Returns:
        (n,) int16.
    """
    signal = samples.astype(np.float32) * 10 ** (rng.uniform(*LEVEL_DB) / 20)
    if rng.random() < 0.6:
        noise = rng.standard_normal(fft.next_fast_len(len(signal)), dtype=np.float32)
        spectrum = fft.rfft(noise)
        slope = np.maximum(np.arange(len(spectrum)), 30.0) ** -rng.uniform(0, 1.2)
        noise = fft.irfft(spectrum * slope.astype(np.float32), len(noise))[: len(signal)]
        level = np.sqrt(np.mean(signal**2)) + 1
        below_db = rng.uniform(*NOISE_BELOW_SPEECH_DB)
        signal = signal + noise * (level / noise.std() * 10 ** (-below_db / 20))
    return signal.clip(-32768, 32767).astype(np.int16)


def mask_columns(columns: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Adds faint noise to the cepstra; sometimes blanks a stretch or a coefficient.

    Args:
        columns: (T, 13) float32, normalised: zero is the mean.
        rng: of the excerpt.

    Returns:
        (T, 13) float32.
    """
    masked = columns + rng.normal(0, 0.1, columns.shape).astype(np.float32)
    if rng.random() < 0.3:
        start = int(rng.integers(len(masked)))
        masked[start : start + int(rng.integers(5, LONGEST_GAP_COLUMNS))] = 0
    if rng.random() < 0.2:
        masked[:, int(rng.integers(masked.shape[1]))] = 0
    return masked


def augment_lips(
    pictures: torch.Tensor,
    rng: np.random.Generator,
    *,
    size_px: int,
    grey: float = 0.0,
    turn: float = 1.0,
) -> torch.Tensor:
    """Turns, scales, shifts and mirrors a clip as one, then changes its light and its codec.

    Args:
        pictures: (T, C, S, S) uint8; S may exceed `size_px`: a margin to move in.
        rng: of the excerpt.
        size_px: side of the result.
        grey: chance that a colour clip loses its colour.
        turn: how far it is turned, scaled and shifted; 1 is what lip crops need.

    Returns:
        (T, C, size_px, size_px) float32 in 0..1.
    """
    frames, channels, wide = pictures.shape[:3]
    warp = torch.from_numpy(_warp(rng, zoom=size_px / wide, turn=turn))
    stacked = pictures.flatten(0, 1)[None].float() / 255  # one grid serves all frames
    grid = F.affine_grid(warp[None], [1, 1, size_px, size_px], align_corners=False)
    values = F.grid_sample(stacked, grid, padding_mode="reflection", align_corners=False)
    values = values.clamp(0, 1).view(frames, channels, size_px, size_px)
    if channels == 3:
        tint = np.exp(rng.normal(0, 0.08, (1, 3, 1, 1))).astype(np.float32)
        values = values * torch.from_numpy(tint)
        if rng.random() < grey:
            values = values.mean(dim=1, keepdim=True).expand_as(values)
    values = (values.clamp(0, 1) + 1e-4) ** float(np.exp(rng.normal(0, 0.25)))
    return _recompressed(values, rng)


def _warp(rng: np.random.Generator, *, zoom: float, turn: float) -> np.ndarray:
    angle, scale = rng.normal(0, 0.12 * turn), zoom * np.exp(rng.normal(0, 0.09 * turn))
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    stretch = np.diag([np.exp(rng.normal(0, 0.05)) * rng.choice([-1, 1]), 1.0])
    shift = rng.normal(0, 0.06 * turn, (2, 1))
    return np.hstack([scale * rotation @ stretch, shift]).astype(np.float32)


def _recompressed(values: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Sometimes blurs, or halves the resolution, as lenses and codecs do."""
    kind = rng.random()
    if kind < 0.2:
        return F.avg_pool2d(values, 3, stride=1, padding=1, count_include_pad=False)
    if kind < 0.35:
        small = F.interpolate(values, scale_factor=rng.uniform(0.4, 0.7), mode="area")
        return F.interpolate(small, size=values.shape[2:], mode="bilinear", align_corners=False)
    return values


def disturb_normalised(values: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Sensor noise and an occluder, on pictures whose mean is zero and deviation one.

    Args:
        values: (T, C, S, S) float32.
        rng: of the excerpt.

    Returns:
        The same shape.
    """
    level = float(rng.uniform(0, 0.3))
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    values = values + level * torch.randn(values.shape, generator=generator)
    if rng.random() < 0.3:
        size = values.shape[2]
        least, most = (round(size * share) for share in OCCLUDER_SHARE)
        height, width = (int(side) for side in rng.integers(least, most, 2))
        y, x = int(rng.integers(0, size - height)), int(rng.integers(0, size - width))
        values[:, :, y : y + height, x : x + width] = 0
    return values
