"""Batches for the lip-sync networks: random, augmented excerpts of clips, cut into windows."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from models import features, syncnet
from models.features import (
    COLUMN_STEP,
    FRAME_RATE,
    MFCC_PER_FRAME,
    SAMPLE_RATE,
    SAMPLES_PER_FRAME,
    WINDOW_FRAMES,
)
from models.syncnet import SyncNetConfig
from training.batches import chances as of_people
from training.batches.augment import (
    SPEED,
    augment_lips,
    augment_sound,
    change_speed,
    disturb_normalised,
    mask_columns,
)
from training.data.samples import Clip
from training.data.selection import FRAME_MS

WINDOW_STEP = 3  # frames between the windows compared; closer windows are too alike
# An excerpt is one clip or split into shorter ones, each with its own mean and ends: how often into
# how many. A file of a second is normalised by its own second.
PARTS_CHANCES = {1: 0.5, 2: 0.25, 4: 0.25}
LEAST_PART_FRAMES = 12
DEFAULT_EXCERPT_S = 3.84  # where the network has no context of its own
SHORT_EXCERPT_FRAMES = 25  # and few windows are taken: enough to change the speed and add noise
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
        across: excerpts give each other wrong sound: no person comes up twice, and all are played
            at one pace.
        windows: taken of each excerpt, at random; None takes as many as `window_count` says.
    """

    seed: int
    excerpts: int
    grey: float = 0.0
    rank: int = 0
    world: int = 1
    across: bool = False
    windows: int | None = None


def excerpt_frames(config: SyncNetConfig, windows: int | None = None) -> int:
    """Length of an excerpt, video frames: the network's own context where it has one.

    Without, an excerpt of which few windows are taken is short.
    """
    if config.context_frames:
        return config.context_frames
    if windows is None:
        return round(DEFAULT_EXCERPT_S * FRAME_RATE)
    half = WINDOW_FRAMES + WINDOW_STEP * (math.ceil(windows / 2) - 1)
    return max(SHORT_EXCERPT_FRAMES, 2 * (half + config.side_frames))


def window_count(config: SyncNetConfig, windows: int | None = None) -> int:
    """Windows that an excerpt has: as many as its parts have, however many they are.

    Args:
        config: of the network.
        windows: that are to be taken of it: decides its length where the network does not.
    """
    frames = excerpt_frames(config, windows)
    parts = max(_parts_chances(frames)) if config.context_frames else 2
    return parts * ((frames // parts - WINDOW_FRAMES) // WINDOW_STEP + 1)


def chances(clips: list[Clip]) -> np.ndarray:
    """Probability of each clip; see `training.batches.chances`."""
    return of_people.chances([clip.frames for clip in clips], [clip.who for clip in clips])


def draw_batch(clips: list[Clip], config: SyncNetConfig, draw: Draw, *, step: int) -> Batch:
    """The excerpts of one step, or this process's share of them.

    Args:
        clips: at least `excerpt_frames` long; known offsets are taken out.
        config: of the network.
        draw: how.
        step: of the run; everything random hangs on it and the seed.
    """
    rng = np.random.default_rng((draw.seed, step))
    lengths, persons = [clip.frames for clip in clips], [clip.who for clip in clips]
    chosen = of_people.choose(rng, lengths, persons, count=draw.excerpts, across=draw.across)
    seeds = rng.integers(2**31, size=draw.excerpts)
    stretch = None
    if draw.across:  # a speed change is visible in lips and sound, so all excerpts share it
        shortest = min(clips[index].frames for index in chosen)
        stretch = min(_stretch(rng, excerpt_frames(config, draw.windows)), shortest)
    share = slice(draw.rank, None, draw.world)
    pairs = [
        _excerpt(clips[index], np.random.default_rng(seed), config, draw, stretch=stretch)
        for index, seed in zip(chosen[share], seeds[share], strict=True)
    ]
    lips, sound = (torch.stack(parts) for parts in zip(*pairs, strict=True))
    return Batch(lips, sound, [int(seed) for seed in seeds[share]])


def _parts_chances(frames: int) -> dict[int, float]:
    """Into how many clips an excerpt of so many frames is split, and how often, as weights."""
    return {n: PARTS_CHANCES[n] for n in PARTS_CHANCES if n == 1 or frames >= n * LEAST_PART_FRAMES}


def _parts(rng: np.random.Generator, frames: int) -> int:
    """Into how many clips an excerpt is split."""
    weights = _parts_chances(frames)
    total = sum(weights.values())
    return int(rng.choice(list(weights), p=[weight / total for weight in weights.values()]))


def _stretch(rng: np.random.Generator, frames: int) -> int:
    """How many frames of a clip are played as `frames`."""
    return frames if rng.random() < 0.5 else round(frames * rng.uniform(*SPEED))


def _excerpt(
    clip: Clip,
    rng: np.random.Generator,
    config: SyncNetConfig,
    draw: Draw,
    *,
    stretch: int | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    frames = excerpt_frames(config, draw.windows)
    stretch = min(stretch or _stretch(rng, frames), clip.frames)
    parts_wanted = _parts(rng, frames) if config.context_frames else 1
    starts = range(0)
    if parts_wanted > 1:
        starts = _starts(clip, stretch, beyond=(config.side_frames + 1) * stretch / frames)
    # Without true neighbours a network could match the ends of the parts.
    part_count = parts_wanted if len(starts) else 1
    starts = starts or _starts(clip, stretch) or _nearest_start(clip, stretch)
    first = int(rng.integers(starts.start, starts.stop))
    side = config.side_frames if part_count > 1 else 0
    pictures = np.array(clip.pictures[first : first + stretch])  # out of the read-only map
    sound = _sound(clip, first, stretch, frames=frames, side=side)
    if stretch != frames:
        pictures, sound = change_speed(pictures, sound, frames=frames)
    # The first column is computed without a sample before it, so it is left out.
    columns = features.mfcc(augment_sound(sound, rng))[1:]
    lips = augment_lips(torch.from_numpy(pictures), rng, size_px=config.lip_size_px, grey=draw.grey)
    parts = []
    for part in torch.arange(frames).chunk(part_count):
        start, stop = int(part[0]), int(part[-1]) + 1
        around = columns[start * MFCC_PER_FRAME : (stop + 2 * side) * MFCC_PER_FRAME]
        parts.append(_windows(lips[start:stop], around, rng, config, side=side))
    count = window_count(config, draw.windows)
    lip_windows, windows_with_sound = (
        torch.cat(streams)[:count] for streams in zip(*parts, strict=True)
    )
    if draw.windows:
        taken = np.sort(rng.permutation(count)[: draw.windows])
        return lip_windows[taken], windows_with_sound[taken]
    return lip_windows, windows_with_sound


def _starts(clip: Clip, stretch: int, *, beyond: float = 0.0) -> range:
    """First frames of stretches whose sound, and `beyond` frames around it, the clip has."""
    leads = [clip.offset_at(frame) / FRAME_MS for frame in (0, clip.frames)]
    first = math.ceil(max(0.0, beyond + max(leads)))
    last = math.floor(clip.frames - stretch + min(0.0, min(leads) - beyond))
    return range(first, last + 1)


def _nearest_start(clip: Clip, stretch: int) -> range:
    """The first or last start of a clip in which no stretch has all of its sound."""
    last = clip.frames - stretch
    return range(last, last + 1) if clip.offset_ms > 0 else range(1)


def _sound(clip: Clip, first: int, stretch: int, *, frames: int, side: int) -> np.ndarray:
    """The sound of a stretch: from a column before it, or its `side`, to a frame after.

    Args:
        clip: where from; its known lag in the middle of the stretch is taken out.
        first, stretch: video frames of the clip.
        frames: that the stretch is to take; what is beyond it is counted in these.
        side: frames beyond either end.
    """
    pace = stretch / frames
    lead_ms = clip.offset_at(first + stretch / 2)
    before = round((side * SAMPLES_PER_FRAME + COLUMN_STEP) * pace)
    length = round(((frames + 2 * side + 1) * SAMPLES_PER_FRAME + COLUMN_STEP) * pace)
    start = first * SAMPLES_PER_FRAME - before - round(lead_ms * SAMPLE_RATE / 1000)
    cut = clip.samples[max(0, start) : max(0, start + length)]
    missing = min(max(0, -start), length)
    # Digital silence is quieter than any recording: it would move the mean of the excerpt.
    mode: Literal["symmetric", "constant"] = "symmetric" if cut.size else "constant"
    return np.pad(cut, (missing, length - missing - len(cut)), mode=mode)


def _windows(
    lips: torch.Tensor,
    columns: np.ndarray,
    rng: np.random.Generator,
    config: SyncNetConfig,
    *,
    side: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Every third window of a clip, normalised as `run_syncnet.py` would a clip of that length.

    Lips and sound of a file end together. With both ends repeated, a network could match the
    ends instead of the mouths; so the sound goes on beyond them.

    Args:
        lips: (T, C, S, S) float32 of 0..1.
        columns: (4 T + 8 side, 13) float32, the sound before and after included.
        rng: of the excerpt.
        config: of the network.
        side: frames beyond the clip that windows reach: lips have their ends repeated there.

    Returns:
        (W, C, F, S, S) and (W, 1, 13, 4 F).
    """
    beyond = side * MFCC_PER_FRAME
    columns = syncnet.normalise_mfcc(columns, config)
    if config.context_frames:
        columns = columns - columns[beyond : len(columns) - beyond].mean(axis=0)
        columns = mask_columns(columns, rng)
        lips = lips - lips.mean(dim=0, keepdim=True)
        lips = disturb_normalised(lips / (lips.square().mean().sqrt() + STILL), rng)
    else:
        lips = lips * 255
    windows = torch.from_numpy(columns).unfold(0, config.window_columns, MFCC_PER_FRAME)[:, None]
    if side:
        lips = syncnet.repeat_ends(lips, config)
    return syncnet.lip_windows(lips, config)[::WINDOW_STEP], windows[::WINDOW_STEP]
