"""Batches for the lip-sync networks: random, augmented excerpts of clips, cut into windows."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from models import features, syncnet
from models.features import FRAME_RATE, MFCC_PER_FRAME, WINDOW_FRAMES
from models.syncnet import SyncNetConfig
from training.ahead import made_ahead
from training.augment import (
    SPEED,
    augment_lips,
    augment_sound,
    change_speed,
    disturb_normalised,
    mask_columns,
)
from training.samples import Clip, shifted_sound

WINDOW_STEP = 3  # frames between the windows compared; neighbours are too alike to start with
SPLIT_CHANCE = 0.5  # that an excerpt stands for two short clips, each with its own mean and ends
DEFAULT_EXCERPT_S = 3.84  # where the network has no context of its own
STILL = 0.01  # added to the deviation of a picture, of 0..1: nothing moves below this


@dataclass(frozen=True)
class Batch:
    """Windows of some excerpts, in sync row by row.

    Attributes:
        lips: (B, W, C, F, H, W') float32.
        sound: (B, W, 1, 13, 4 F) float32.
        seeds: (B,) of everything random that is left to the network, an excerpt each.
    """

    lips: torch.Tensor
    sound: torch.Tensor
    seeds: list[int]


@dataclass(frozen=True)
class Draw:
    """How a step's excerpts are drawn; the same for every process of a distributed run.

    Attributes:
        seed: of the run.
        excerpts: per step, over all processes.
        grey: chance that a colour clip loses its colour.
        rank, world: this process, and how many there are; each takes its share.
    """

    seed: int
    excerpts: int
    grey: float = 0.0
    rank: int = 0
    world: int = 1


def excerpt_frames(config: SyncNetConfig) -> int:
    """Length of an excerpt, video frames: the network's own context where it has one."""
    return config.context_frames or round(DEFAULT_EXCERPT_S * FRAME_RATE)


def window_count(config: SyncNetConfig) -> int:
    """Windows compared in one excerpt: as many as two halves of it have."""
    return 2 * ((excerpt_frames(config) // 2 - WINDOW_FRAMES) // WINDOW_STEP + 1)


def chances(clips: list[Clip]) -> np.ndarray:
    """Probability of each clip: the square root of its length, so that no speaker dominates."""
    lengths = np.array([clip.frames for clip in clips], np.float64)
    return np.sqrt(lengths) / np.sqrt(lengths).sum()


def draw_batch(clips: list[Clip], config: SyncNetConfig, draw: Draw, *, step: int) -> Batch:
    """The excerpts of one step, or this process's share of them.

    Args:
        clips: at least `excerpt_frames` long; known offsets are taken out.
        config: of the network.
        draw: how.
        step: of the run; everything random hangs on it and the seed.
    """
    rng = np.random.default_rng((draw.seed, step))
    chosen = rng.choice(len(clips), draw.excerpts, p=chances(clips))
    seeds = rng.integers(2**31, size=draw.excerpts)
    mine = slice(draw.rank, None, draw.world)
    pairs = [
        _excerpt(clips[index], np.random.default_rng(seed), config, grey=draw.grey)
        for index, seed in zip(chosen[mine], seeds[mine], strict=True)
    ]
    lips, sound = (torch.stack(parts) for parts in zip(*pairs, strict=True))
    return Batch(lips, sound, [int(seed) for seed in seeds[mine]])


def _excerpt(
    clip: Clip, rng: np.random.Generator, config: SyncNetConfig, *, grey: float
) -> tuple[torch.Tensor, torch.Tensor]:
    frames = excerpt_frames(config)
    stretch = frames if rng.random() < 0.5 else round(frames * rng.uniform(*SPEED))
    stretch = min(stretch, clip.frames)
    first = int(rng.integers(clip.frames - stretch + 1))
    seen = np.array(clip.pictures[first : first + stretch])  # out of the read-only map
    sound = shifted_sound(clip, first=first, frames=stretch + 2, lead_ms=-clip.offset_ms)
    if stretch != frames:
        seen, sound = change_speed(seen, sound, frames=frames)
    columns = features.mfcc(augment_sound(sound, rng))
    columns = columns[: frames * MFCC_PER_FRAME]  # the frames too many complete the last columns
    lips = augment_lips(torch.from_numpy(seen), rng, size_px=config.lip_size_px, grey=grey)
    parts = 2 if config.context_frames and rng.random() < SPLIT_CHANCE else 1
    halves = [
        _windows(part_lips, part_columns, rng, config, with_ends=parts > 1)
        for part_lips, part_columns in zip(
            lips.chunk(parts), np.array_split(columns, parts), strict=True
        )
    ]
    count = window_count(config)
    seen_windows, heard_windows = (
        torch.cat(streams)[:count] for streams in zip(*halves, strict=True)
    )
    return seen_windows, heard_windows


def _windows(
    lips: torch.Tensor,
    columns: np.ndarray,
    rng: np.random.Generator,
    config: SyncNetConfig,
    *,
    with_ends: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Every third window of a clip, normalised as `run_syncnet.py` would a clip of that length.

    Args:
        lips: (T, C, S, S) float32 of 0..1.
        columns: (4 T, 13) float32.
        rng: of the excerpt.
        config: of the network.
        with_ends: also the windows that reach beyond the clip and see its ends repeated.

    Returns:
        (W, C, F, S, S) and (W, 1, 13, 4 F).
    """
    columns = syncnet.normalise_mfcc(columns, config)
    if config.context_frames:
        columns = mask_columns(columns, rng)
        lips = lips - lips.mean(dim=0, keepdim=True)
        lips = disturb_normalised(lips / (lips.square().mean().sqrt() + STILL), rng)
    else:
        lips = lips * 255
    if with_ends:
        heard = syncnet.audio_windows(columns, config)
        lips = syncnet.repeat_ends(lips, config)
    else:
        heard = torch.from_numpy(columns).unfold(0, config.window_columns, MFCC_PER_FRAME)[:, None]
    return syncnet.lip_windows(lips, config)[::WINDOW_STEP], heard[::WINDOW_STEP]


def batches(
    clips: list[Clip],
    config: SyncNetConfig,
    draw: Draw,
    *,
    first_step: int,
    last_step: int,
    workers: int,
) -> Iterator[Batch]:
    """The batches of steps `first_step` to `last_step` - 1, made ahead by threads.

    Args:
        clips: to draw from.
        config: of the network.
        draw: how.
        first_step, last_step: half-open.
        workers: steps prepared ahead, each by a thread; 0 prepares each when it is asked for.
    """
    return made_ahead(
        lambda step: draw_batch(clips, config, draw, step=step),
        first_step=first_step,
        last_step=last_step,
        workers=workers,
    )
