"""Embeddings of face clips by a trained SyncNet, from which a new expert first learns.

Which sound belongs to which lips can be learned from nothing but pairs, after days (the published
expert stays at chance for 150,000 steps). Giving the embeddings of a network that knows it already
is learned from the first step on, by each half of the expert for itself (distillation, Hinton et
al. 2015).
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from models.syncnet import CROP_PX, SyncNet
from pipeline.media import decode
from pipeline.progress import Progress, silent
from pipeline.sync import embeddings
from training.data.cache import touch, write_array
from training.data.samples import clip_name

BATCH_WINDOWS = 64


@dataclass(frozen=True)
class Taught:
    """Unit vectors of every window of five frames of one clip.

    Attributes:
        lips: (windows, E) float16, of the window that starts at each frame.
        sound: (windows, E) float16, of the sound at the same time in the file.
    """

    lips: np.ndarray
    sound: np.ndarray


def embed_clips(
    files: list[Path],
    model: SyncNet,
    *,
    digest: str,
    cache: Path,
    device: torch.device,
    progress: Progress = silent,
) -> dict[str, Taught]:
    """Embeds clips, or finds them embedded.

    Args:
        files: face clips that can be read.
        model: the SyncNet, on `device`.
        digest: of its weights: the cache holds what each file of weights said.
        cache: folder.
        device: where.
        progress: called after each clip.

    Returns:
        By name of the clip.
    """
    cache.mkdir(parents=True, exist_ok=True)
    embedded = {}
    for done, file in enumerate(files, start=1):
        status = file.stat()
        about = f"{file.resolve()} {status.st_size} {status.st_mtime_ns} {digest}"
        stored = cache / f"{hashlib.sha256(about.encode()).hexdigest()[:24]}.taught.npy"
        if not stored.exists():
            write_array(stored, _embedded(file, model, device))
        touch(stored)
        embedded[clip_name(file)] = Taught(*np.load(stored, allow_pickle=False))
        progress("clips embedded by the teacher", done, len(files))
    return embedded


def _embedded(file: Path, model: SyncNet, device: torch.device) -> np.ndarray:
    """(2, windows, E) float16: lips and sound."""
    frames = decode.read_frames(file, frame_rate=None, size_px=(CROP_PX, CROP_PX))
    lips = embeddings.embed_lips(model, frames, batch_size=BATCH_WINDOWS, device=device)
    sound = embeddings.embed_sound(
        model, decode.read_audio(file), batch_size=BATCH_WINDOWS, device=device
    )
    windows = min(len(lips), len(sound))
    size = lips.shape[1] - bool(model.config.embedding_scale)  # without the constant one
    both = torch.stack([lips[:windows, :size], sound[:windows, :size]])
    return torch.nn.functional.normalize(both, dim=2).numpy().astype(np.float16)
