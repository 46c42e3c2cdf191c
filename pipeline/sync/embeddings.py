"""Face clip to embeddings to distances.

Window i is frames i .. i+4 with MFCC columns 4i .. 4i+19.
"""

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from models import features, syncnet
from models.syncnet import SyncNet, SyncNetConfig
from models.transfer import moved

PAIRWISE_EPS = 1e-6  # torch's pairwise_distance adds it to differences; kept for equal numbers
ROWS_AT_ONCE = 1000  # of the distance matrix: bounds memory
CONTEXT_CHUNK_FRAMES = 250  # new frames normalised at a time


class _Chunks:
    """Crops that come one by one, in chunks as the lip tower wants them: `normalised_chunks`."""

    def __init__(self, config: SyncNetConfig, *, chunk_frames: int) -> None:
        self._config, self._chunk_frames = config, chunk_frames
        self._ahead = config.context_frames - config.context_frames // 2
        self._waiting: list[np.ndarray] = []
        self._told = 0  # frames in `waiting` that have been given before

    def add(self, frame: np.ndarray) -> np.ndarray | None:
        """The next chunk, once there are enough frames for one."""
        context, waiting = self._config.context_frames, self._waiting
        waiting.append(syncnet.lip_pixels(frame, self._config))
        if len(waiting) - self._told < self._chunk_frames + self._ahead + context:
            return None
        normalised = syncnet.normalise_lips(np.stack(waiting), self._config)
        end = len(waiting) - self._ahead
        chunk = normalised[self._told : end]
        dropped = max(0, end - context)
        del waiting[:dropped]
        self._told = end - dropped
        return chunk

    def last(self) -> np.ndarray | None:
        """What is left when no frame comes any more."""
        if len(self._waiting) <= self._told:
            return None
        return syncnet.normalise_lips(np.stack(self._waiting), self._config)[self._told :]


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
    chunks = _Chunks(config, chunk_frames=chunk_frames)
    for frame in frames:
        if (chunk := chunks.add(frame)) is not None:
            yield chunk
    if (chunk := chunks.last()) is not None:
        yield chunk


class LipStream:
    """Lip embeddings of one face whose crops come one by one, beside those of others.

    Args:
        model: ready for inference on `device`.
        batch_size: windows in one pass of the network.
        device: where the model is.
    """

    def __init__(self, model: SyncNet, *, batch_size: int, device: torch.device) -> None:
        self._model, self._batch_size, self._device = model, batch_size, device
        chunk_frames = CONTEXT_CHUNK_FRAMES if model.config.context_frames else batch_size
        self._chunks = _Chunks(model.config, chunk_frames=chunk_frames)
        self._carried: np.ndarray | None = None  # frames that later windows begin with
        self._last: np.ndarray | None = None
        self._found: list[torch.Tensor] = []

    def add(self, frame: np.ndarray) -> None:
        """Takes the next (224, 224, 3) uint8 BGR crop."""
        if (chunk := self._chunks.add(frame)) is not None:
            self._embed_inner(chunk)

    def finish(self) -> torch.Tensor:
        """(frames - 4, E) float32 on the CPU; empty for fewer than five frames."""
        if (chunk := self._chunks.last()) is not None:
            self._embed_inner(chunk)
        if self._last is not None:
            self._embed(self._last.repeat(self._model.config.side_frames, axis=0))
        return torch.cat(self._found) if self._found else torch.zeros(0, 1)

    def _embed_inner(self, chunk: np.ndarray) -> None:
        # The first frame and the last are repeated, so that a wide window exists wherever a narrow
        # one does.
        if self._last is None:
            self._embed(chunk[:1].repeat(self._model.config.side_frames, axis=0))
        self._embed(chunk)
        self._last = chunk[-1:]

    @torch.inference_mode()
    def _embed(self, chunk: np.ndarray) -> None:
        config = self._model.config
        joined = chunk if self._carried is None else np.concatenate([self._carried, chunk])
        self._carried = joined[-(config.window_frames - 1) :]
        if len(joined) < config.window_frames:
            return
        # Narrowed and moved before frames are repeated in the windows that share them.
        seen = moved(torch.from_numpy(joined), self._device, self._model.dtype)
        windows = syncnet.lip_windows(seen, config)
        self._found += [self._model.forward_lip(w).cpu() for w in windows.split(self._batch_size)]


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
    stream = LipStream(model, batch_size=batch_size, device=device)
    for frame in frames:
        stream.add(frame)
    return stream.finish()


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
    columns = sound_columns(samples, model.config)
    return embed_columns(model, columns, batch_size=batch_size, device=device)


def sound_columns(samples: np.ndarray, config: SyncNetConfig) -> np.ndarray:
    """What the sound tower sees of (n,) int16 samples: (columns, 13) float32, less than them."""
    if not samples.size:
        return np.zeros((0, features.MFCC_SIZE), np.float32)
    return syncnet.normalise_mfcc(features.mfcc(samples), config)


@torch.inference_mode()
def embed_columns(
    model: SyncNet, columns: np.ndarray, *, batch_size: int, device: torch.device
) -> torch.Tensor:
    """`embed_sound` of what `sound_columns` gives."""
    if len(columns) < features.WINDOW_COLUMNS:
        return torch.zeros(0, 1)
    windows = syncnet.audio_windows(columns, model.config)
    parts = (
        model.forward_aud(moved(part.contiguous(), device)).cpu()
        for part in windows.split(batch_size)
    )
    first = next(parts)
    found = torch.empty(len(windows), first.shape[1], dtype=first.dtype)
    start = 0
    for part in itertools.chain([first], parts):
        found[start : start + len(part)] = part
        start += len(part)
    return found


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
    found = torch.empty(len(lips), 2 * vshift + 1)
    for start in range(0, len(lips), ROWS_AT_ONCE):
        rows = lips[start : start + ROWS_AT_ONCE] + PAIRWISE_EPS
        first, end = start - vshift, start + len(rows) + vshift
        padded = torch.nn.functional.pad(
            sound[max(first, 0) : end], (0, 0, max(-first, 0), max(end - len(sound), 0))
        )
        for column in range(2 * vshift + 1):
            beside = padded[column : column + len(rows)]
            found[start : start + len(rows), column] = (rows - beside).norm(dim=1)
    return found.numpy()
