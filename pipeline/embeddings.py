"""Face clip to embeddings to distances.

Window i is frames i .. i+4 with MFCC columns 4i .. 4i+19.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from models import features, syncnet
from models.syncnet import SyncNet, SyncNetConfig
from models.transfer import moved

PAIRWISE_EPS = 1e-6  # torch's pairwise_distance adds it to differences; kept for equal numbers
ROWS_AT_ONCE = 1000  # of the distance matrix: bounds memory
CONTEXT_CHUNK_FRAMES = 250  # new frames normalised at a time


def normalised_chunks(
    frames: Iterable[np.ndarray], config: SyncNetConfig, *, chunk_frames: int
) -> Iterator[np.ndarray]:
    """Streams crops as the lip tower wants them, whatever surroundings that takes.

    The result does not depend on `chunk_frames`: chunks are normalised with enough frames on
    both sides.

    Args:
        frames: (224, 224, 3) uint8 BGR crops.
        config: of the network.
        chunk_frames: new frames at a time.

    Yields:
        (n, C, H, W) float32, consecutive.
    """
    context = config.context_frames
    ahead = context - context // 2
    waiting: list[np.ndarray] = []
    told = 0  # frames in `waiting` that have been yielded before
    for frame in frames:
        waiting.append(syncnet.lip_pixels(frame, config))
        if len(waiting) - told >= chunk_frames + ahead + context:
            normalised = syncnet.normalise_lips(np.stack(waiting), config)
            end = len(waiting) - ahead
            yield normalised[told:end]
            dropped = max(0, end - context)
            del waiting[:dropped]
            told = end - dropped
    if len(waiting) > told:
        yield syncnet.normalise_lips(np.stack(waiting), config)[told:]


@torch.inference_mode()
def embed_lips(
    model: SyncNet, frames: Iterable[np.ndarray], *, batch_size: int, device: torch.device
) -> torch.Tensor:
    """Lip embeddings of every window, streamed.

    Args:
        model: ready for inference on `device`.
        frames: (224, 224, 3) uint8 BGR crops.
        batch_size: windows in one pass of the network.
        device: where the model is.

    Returns:
        (frames - 4, E) float32 on the CPU; empty for fewer than five frames.
    """
    config = model.config
    chunk_frames = CONTEXT_CHUNK_FRAMES if config.context_frames else batch_size
    found = []
    carried = np.zeros((0, 0))
    for chunk in _widened(normalised_chunks(frames, config, chunk_frames=chunk_frames), config):
        joined = np.concatenate([carried, chunk]) if len(carried) else chunk
        carried = joined[-(config.window_frames - 1) :]
        if len(joined) < config.window_frames:
            continue
        # Narrowed and moved before frames are repeated in the windows that share them.
        seen = moved(torch.from_numpy(joined), device, model.dtype)
        windows = syncnet.lip_windows(seen, config)
        found += [model.forward_lip(part).cpu() for part in windows.split(batch_size)]
    return torch.cat(found) if found else torch.zeros(0, 1)


def _widened(chunks: Iterator[np.ndarray], config: SyncNetConfig) -> Iterator[np.ndarray]:
    """Repeats the first and the last frame, so that a wide window exists wherever a narrow does."""
    last = None
    for chunk in chunks:
        if last is None:
            yield chunk[:1].repeat(config.side_frames, axis=0)
        yield chunk
        last = chunk[-1:]
    if last is not None:
        yield last.repeat(config.side_frames, axis=0)


@torch.inference_mode()
def embed_sound(
    model: SyncNet, samples: np.ndarray, *, batch_size: int, device: torch.device
) -> torch.Tensor:
    """Sound embeddings of every window.

    Args:
        model: ready for inference on `device`.
        samples: (n,) int16 mono 16 kHz.
        batch_size: windows in one pass of the network.
        device: where the model is.

    Returns:
        (windows, E) float32 on the CPU; empty for less than a window of sound.
    """
    if not samples.size:
        return torch.zeros(0, 1)
    columns = syncnet.normalise_mfcc(features.mfcc(samples), model.config)
    if len(columns) < features.WINDOW_COLUMNS:
        return torch.zeros(0, 1)
    windows = syncnet.audio_windows(columns, model.config)
    return torch.cat(
        [
            model.forward_aud(moved(part.contiguous(), device)).cpu()
            for part in windows.split(batch_size)
        ]
    )


def distances(lips: torch.Tensor, sound: torch.Tensor, *, vshift: int) -> np.ndarray:
    """Distance of every window's lips to the sound of its neighbours.

    Beyond both ends the sound is the zero vector, as in the published program.

    Args:
        lips: (n, E).
        sound: (n, E).
        vshift: largest shift, windows.

    Returns:
        (n, 2 vshift + 1) float32; column j compares with the sound of window i + j - vshift.
    """
    padded = torch.nn.functional.pad(sound, (0, 0, vshift, vshift))
    found = torch.empty(len(lips), 2 * vshift + 1)
    for start in range(0, len(lips), ROWS_AT_ONCE):
        rows = lips[start : start + ROWS_AT_ONCE] + PAIRWISE_EPS
        for column in range(2 * vshift + 1):
            beside = padded[start + column : start + column + len(rows)]
            found[start : start + len(rows), column] = (rows - beside).norm(dim=1)
    return found.numpy()
