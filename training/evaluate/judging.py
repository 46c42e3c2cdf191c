"""Judges training clips by the network that is being trained.

Voice-over, dubbing and silent listeners are recognised: the pieces of such a clip give offsets all
over the search range. A constant lag is the offset most pieces agree on, and a drift
is a line through the offsets.
"""

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from models import syncnet
from models.features import FRAME_RATE, WINDOW_FRAMES
from models.syncnet import SyncNet, SyncNetConfig
from pipeline.errors import InputError
from pipeline.sync import embeddings, reliability
from pipeline.sync import offset as sync_offset
from training.data.samples import Clip, shifted_sound
from training.data.selection import FRAME_MS
from training.loop.distributed import Processes, gathered

PIECE_FRAMES = 125  # a clip is judged by up to six pieces of 5 s
LEAST_FRAMES = 186  # 7.5 s: pieces of shorter clips are too short to compare
LARGEST_JUDGED = 6
AGREEMENT = 2 / 3  # of the pieces must agree; by chance a tenth does
LEAST_AGREEING = 3  # one piece always agrees with itself, and two with each other one time in ten
LEAST_FOR_A_LINE = 5  # pieces along a line; fewer lie on one by chance
LEAST_DRIFT_MS = 0.5 * FRAME_MS  # from the first piece to the last; below, a line is noise
LARGEST_DRIFT_MS_PER_MIN = 8 * FRAME_MS
FRAMES_PER_MINUTE = 60 * FRAME_RATE
TOLERANCE_MS = 1.3 * FRAME_MS
# By the scale of the embeddings and the root of the windows: with somebody else's sound two of a
# hundred pieces of 2 to 10 s had more (bundled weights, val).
LEAST_MARGIN = 0.6
LARGEST_LAG_MS = 8 * FRAME_MS  # a larger lag is more likely a mistake
FEWEST_IN_SYNC = 5  # clips whose lag is clear; the median of fewer is an accident
LARGEST_ZERO_MS = 2 * FRAME_MS  # no network is further off; such clips are not in sync
BATCH_WINDOWS = 128
ROUNDING = 1e-9  # of sums of shares


@dataclass(frozen=True)
class Lag:
    """By how much the sound of a clip leads.

    Attributes:
        offset_ms: in the middle of the clip.
        drift_ms_per_min: how it changes along the clip.
    """

    offset_ms: float
    drift_ms_per_min: float = 0.0


def embed_piece(
    model: SyncNet,
    clip: Clip,
    *,
    first: int,
    frames: int,
    lead_ms: float = 0.0,
    device: torch.device,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Both embeddings of a stretch of a clip, as run_syncnet.py would make them of a file of it.

    Args:
        model: in eval mode on `device`.
        clip: with or without the margin of `training.data.samples`.
        first, frames: the stretch, video frames.
        lead_ms: the sound is moved to lead by so much more.
        device: where the model is.

    Returns:
        lips and sound (frames - 5, E) each.
    """
    size = model.config.lip_size_px
    margin = (clip.pictures.shape[2] - size) // 2
    inner = slice(margin, margin + size)
    pixels = np.ascontiguousarray(clip.pictures[first : first + frames, :, inner, inner])
    values = torch.from_numpy(syncnet.normalise_lips(pixels, model.config))
    windows = syncnet.lip_windows(syncnet.repeat_ends(values, model.config), model.config)
    with torch.inference_mode():
        lips = [model.forward_lip(part.to(device)).cpu() for part in windows.split(BATCH_WINDOWS)]
    samples = shifted_sound(clip, first=first, frames=frames, lead_ms=lead_ms)
    sound = embeddings.embed_sound(model, samples, batch_size=BATCH_WINDOWS, device=device)
    count = frames - WINDOW_FRAMES
    return torch.cat(lips)[:count], sound[:count]


def score_piece(
    model: SyncNet,
    clip: Clip,
    *,
    first: int,
    frames: int,
    lead_ms: float = 0.0,
    vshift: int = 15,
    device: torch.device,
) -> sync_offset.Sync | None:
    """Scores a stretch of a clip; arguments as for `embed_piece`.

    Returns:
        None when the stretch is too short for a window.
    """
    if frames <= WINDOW_FRAMES:
        return None
    lips, sound = embed_piece(
        model, clip, first=first, frames=frames, lead_ms=lead_ms, device=device
    )
    dists = embeddings.distances(lips, sound, vshift=vshift)
    samples = shifted_sound(clip, first=first, frames=frames, lead_ms=lead_ms)
    return sync_offset.judge(
        dists,
        **model.config.rule,
        audible_share=reliability.audible_share(samples),
    )


def own_offset(model: SyncNet, clip: Clip, *, device: torch.device) -> Lag | None:
    """The lag that the pieces of a clip agree on, None where they do not.

    Two thirds of the pieces, and three at least, must agree. Below 15 s pieces overlap by half, and
    below 10 s they are half as long as the clip. A clip below 7.5 s is scored as a whole, and its
    offset is taken where it stands out. An offset at the edge of the search does not count.
    """
    if clip.frames < LEAST_FRAMES:
        sync = score_piece(model, clip, first=0, frames=clip.frames, device=device)
        sure = sync is not None and _stands_out(sync, clip.frames, model.config)
        return _plausible(Lag(sync.offset_ms)) if sync is not None and sure else None
    length = min(PIECE_FRAMES, clip.frames // 2)
    step = length if clip.frames >= LEAST_AGREEING * PIECE_FRAMES else length // 2
    pieces = min(LARGEST_JUDGED, (clip.frames - length) // step + 1)
    firsts = np.linspace(0, clip.frames - length, pieces)
    judged = [score_piece(model, clip, first=int(f), frames=length, device=device) for f in firsts]
    answers = [
        (int(first) + length / 2 - clip.frames / 2, piece.offset_ms)
        for first, piece in zip(firsts, judged, strict=True)
        if piece is not None and not piece.at_search_edge
    ]
    needed = max(LEAST_AGREEING, math.ceil(AGREEMENT * len(firsts)))
    return _agreed(np.array(answers).reshape(-1, 2), needed=needed)


def _stands_out(sync: sync_offset.Sync, frames: int, config: SyncNetConfig) -> bool:
    """Whether the single offset of a short clip is used.

    A network in training is not calibrated yet, so nothing of it is `reliable`: then the margin
    decides, by the scale of the embeddings and the root of the length; without a scale, no clip
    stands out.
    """
    if sync.at_search_edge:
        return False
    if not (config.is_calibrated or config.embedding_scale):
        return False
    if config.is_calibrated:
        return sync.reliable
    windows = frames - WINDOW_FRAMES
    return sync.margin * windows**0.5 >= LEAST_MARGIN * config.embedding_scale


def _agreed(answers: np.ndarray, *, needed: int) -> Lag | None:
    """The lag, or the line of lags, that enough pieces agree on.

    Args:
        answers: (pieces, 2) float64, frames from the clip's middle, and offset in ms.
        needed: so many must agree.
    """
    if len(answers) < needed:
        return None
    at, offsets_ms = answers.T
    middle_ms = float(np.median(offsets_ms))
    agreeing = int((np.abs(offsets_ms - middle_ms) <= TOLERANCE_MS).sum())
    if len(answers) >= LEAST_FOR_A_LINE:
        line = _line(at, offsets_ms)
        on_line_ms = line.offset_ms + line.drift_ms_per_min * at / FRAMES_PER_MINUTE
        along = int((np.abs(offsets_ms - on_line_ms) <= TOLERANCE_MS).sum())
        steep = abs(line.drift_ms_per_min) * np.ptp(at) / FRAMES_PER_MINUTE >= LEAST_DRIFT_MS
        slow = abs(line.drift_ms_per_min) <= LARGEST_DRIFT_MS_PER_MIN
        if steep and slow and along >= max(agreeing, LEAST_FOR_A_LINE):
            return _plausible(line)
    return _plausible(Lag(middle_ms)) if agreeing >= needed else None


def _line(at: np.ndarray, offsets_ms: np.ndarray) -> Lag:
    """The median slope of all pairs (Theil-Sen), and the median lag at the middle beside it."""
    later, earlier = np.triu_indices(len(at), 1)[::-1]
    slope = float(np.median((offsets_ms[later] - offsets_ms[earlier]) / (at[later] - at[earlier])))
    return Lag(float(np.median(offsets_ms - slope * at)), slope * FRAMES_PER_MINUTE)


def _plausible(lag: Lag) -> Lag | None:
    return lag if abs(lag.offset_ms) <= LARGEST_LAG_MS else None


def refine(
    model: SyncNet, clips: list[Clip], group: Processes, *, current: list[Clip] | None = None
) -> tuple[list[Clip], list[str]]:
    """Takes known lags out and drops clips whose lips do not follow their sound.

    The zero of a network drifts with the clips it aligns itself, so the lag of the median person is
    taken out: half of the people lead, half lag.

    Args:
        model: in eval mode.
        clips: all there are.
        group: processes that share the work.
        current: clips to go on with where no clip can be judged; None: `clips`.

    Returns:
        Clips to go on with, and the names of those dropped.
    """
    own_lags = {
        clip.name: own_offset(model, clip, device=group.device)
        for clip in clips[group.rank :: group.world]
    }
    lags = {name: lag for part in gathered(own_lags, group) for name, lag in part.items()}
    followers = [
        replace(clip, offset_ms=lag.offset_ms, drift_ms_per_min=lag.drift_ms_per_min)
        for clip in clips
        if (lag := lags[clip.name]) is not None
    ]
    if not followers:  # the network has not learned enough yet
        return clips if current is None else current, []
    zero_ms = population_lag(followers)
    centred = [replace(clip, offset_ms=clip.offset_ms - zero_ms) for clip in followers]
    return centred, [clip.name for clip in clips if lags[clip.name] is None]


def population_lag(clips: list[Clip]) -> float:
    """The weighted median offset in ms: every person counts the same, however many the clips."""
    frames: dict[str, int] = defaultdict(int)
    for clip in clips:
        frames[clip.who] += clip.frames
    order = sorted(clips, key=lambda clip: clip.offset_ms)
    shares = np.cumsum([clip.frames / frames[clip.who] for clip in order]) / len(frames)
    lower, upper = (int(np.searchsorted(shares, 0.5 + e)) for e in (-ROUNDING, ROUNDING))
    upper = min(upper, len(order) - 1)
    return (order[lower].offset_ms + order[upper].offset_ms) / 2


def set_zero(model: SyncNet, clips: list[Clip], *, device: torch.device) -> dict[str, Any]:
    """Makes zero of what a network reads of recordings in sync, in the median over people.

    Args:
        model: in eval mode on `device`; its configuration is changed.
        clips: recordings in sync, without margin. The network may have been trained on them: a
            clip's lag is taken out there.
        device: where the model is.

    Returns:
        `zero_ms`, of how many clips and people it is, and what half of the clips read beside it.

    Raises:
        InputError: the lag of too few clips is clear, or they are far from in sync.
    """
    model.config = replace(model.config, zero_ms=0.0)
    lags = [(clip, own_offset(model, clip, device=device)) for clip in clips]
    clear = [replace(clip, offset_ms=lag.offset_ms) for clip, lag in lags if lag is not None]
    if len(clear) < FEWEST_IN_SYNC:
        raise InputError(
            f"Of {len(clips)} clips in sync {len(clear)} have a clear offset, and the zero takes "
            f"{FEWEST_IN_SYNC}; give more."
        )
    zero_ms = round(population_lag(clear), 1)
    if abs(zero_ms) > LARGEST_ZERO_MS:
        raise InputError(
            f"The clips said to be in sync read {zero_ms:+.0f} ms; give others, whose camera and "
            "microphone have one clock."
        )
    model.config = replace(model.config, zero_ms=zero_ms)
    beside_ms = np.percentile([clip.offset_ms - zero_ms for clip in clear], (25, 75))
    return {
        "zero_ms": zero_ms,
        "clips": len(clear),
        "people": len({clip.who for clip in clear}),
        "half_of_them_ms": [round(float(value), 1) for value in beside_ms],
    }
