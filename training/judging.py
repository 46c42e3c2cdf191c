"""What a network that is being trained says about the clips it is trained on.

Voice-over, dubbing and silent listeners show themselves: the pieces of such a clip give offsets all
over the search range. A constant lag shows itself as the offset most pieces agree on.
"""

from dataclasses import replace

import numpy as np
import torch

from models import syncnet
from models.features import WINDOW_FRAMES
from models.syncnet import SyncNet
from pipeline import embeddings, reliability, sync
from training.distributed import Processes, gathered
from training.samples import Clip, shifted_sound
from training.selection import FRAME_MS

PIECE_FRAMES = 125  # a clip is judged by up to six pieces of 5 s
LARGEST_JUDGED = 6
AGREEMENT = 0.6  # of the pieces must agree; by chance a tenth does
TOLERANCE_MS = 1.3 * FRAME_MS
LARGEST_LAG_MS = 8 * FRAME_MS  # a larger lag is more likely a mistake
BATCH_WINDOWS = 128


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
        clip: with or without the margin of `training.samples`.
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
) -> sync.Sync | None:
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
    return sync.judge(
        dists,
        **model.config.rule,
        audible_share=reliability.audible_share(samples),
    )


def own_offset(model: SyncNet, clip: Clip, *, device: torch.device) -> float | None:
    """The offset in ms that most pieces of a clip agree on, None where they do not."""
    length = min(PIECE_FRAMES, clip.frames)
    pieces = min(LARGEST_JUDGED, clip.frames // length)
    firsts = np.linspace(0, clip.frames - length, pieces).astype(int)
    judged = [score_piece(model, clip, first=f, frames=length, device=device) for f in firsts]
    offsets_ms = np.array([piece.offset_ms for piece in judged if piece is not None])
    if not len(offsets_ms):
        return None
    middle = float(np.median(offsets_ms))
    agreeing = (np.abs(offsets_ms - middle) <= TOLERANCE_MS).mean()
    return middle if agreeing >= AGREEMENT and abs(middle) <= LARGEST_LAG_MS else None


def refine(model: SyncNet, clips: list[Clip], group: Processes) -> tuple[list[Clip], list[str]]:
    """Takes known lags out and drops clips whose lips do not follow their sound.

    Args:
        model: in eval mode.
        clips: all there are.
        group: processes that share the work.

    Returns:
        Clips to go on with, and the names of those dropped.
    """
    mine = {
        clip.name: own_offset(model, clip, device=group.device)
        for clip in clips[group.rank :: group.world]
    }
    offsets = {name: offset for part in gathered(mine, group) for name, offset in part.items()}
    kept = [
        replace(clip, offset_ms=offset)
        for clip in clips
        if (offset := offsets[clip.name]) is not None
    ]
    if not kept:  # such a network has not learned enough to judge anybody
        return clips, []
    return kept, [clip.name for clip in clips if offsets[clip.name] is None]
