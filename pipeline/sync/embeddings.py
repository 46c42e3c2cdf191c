"""Face clip to embeddings to distances.

Window i is frames i .. i+4 with MFCC columns 4i .. 4i+19.
"""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models import features, folding, syncnet, weights
from models.device import PRECISIONS, Precision, precision_name, resolve_precision, to_device
from models.syncnet import SyncNet, SyncNetConfig
from models.weights import WeightsFile

PAIRWISE_EPS = 1e-6  # torch's pairwise_distance adds it to differences; kept for equal numbers
ROWS_AT_ONCE = 1000  # of the distance matrix: bounds memory
CONTEXT_CHUNK_FRAMES = 250  # new frames normalised at a time


class _Chunks:
    """Normalises crops that come one by one, a chunk at a time; see `normalised_chunks`."""

    def __init__(self, config: SyncNetConfig, *, chunk_frames: int) -> None:
        self._config, self._chunk_frames = config, chunk_frames
        self._ahead = config.context_frames - config.context_frames // 2
        self._waiting: list[np.ndarray] = []
        self._given = 0  # leading frames of `waiting` that an earlier chunk held

    def add(self, frame: np.ndarray) -> np.ndarray | None:
        """The next chunk, once there are enough frames for one."""
        context, waiting = self._config.context_frames, self._waiting
        waiting.append(syncnet.lip_pixels(frame, self._config))
        if len(waiting) - self._given < self._chunk_frames + self._ahead + context:
            return None
        normalised = syncnet.normalise_lips(np.stack(waiting), self._config)
        end = len(waiting) - self._ahead
        chunk = normalised[self._given : end]
        dropped = max(0, end - context)
        del waiting[:dropped]
        self._given = end - dropped
        return chunk

    def last(self) -> np.ndarray | None:
        """What is left when no frame comes any more."""
        if len(self._waiting) <= self._given:
            return None
        return syncnet.normalise_lips(np.stack(self._waiting), self._config)[self._given :]


def normalised_chunks(
    frames: Iterable[np.ndarray], config: SyncNetConfig, *, chunk_frames: int
) -> Iterator[np.ndarray]:
    """Normalises a stream of crops for the lip tower.

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
        with_features: keep what the lip tower gives before its head, too.
    """

    def __init__(
        self, model: SyncNet, *, batch_size: int, device: torch.device, with_features: bool = False
    ) -> None:
        self._model, self._batch_size, self._device = model, batch_size, device
        chunk_frames = CONTEXT_CHUNK_FRAMES if model.config.context_frames else batch_size
        self._chunks = _Chunks(model.config, chunk_frames=chunk_frames)
        self._carried: np.ndarray | None = None  # frames that later windows begin with
        self._last: np.ndarray | None = None
        self._embeddings: list[torch.Tensor] = []
        self._features: list[torch.Tensor] | None = [] if with_features else None

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
        return torch.cat(self._embeddings) if self._embeddings else torch.zeros(0, 1)

    @property
    def features(self) -> torch.Tensor | None:
        """(frames - 4, F) float32 on the CPU, once finished; None unless asked for.

        F is 512 for the published network.
        """
        if self._features is None:
            return None
        return torch.cat(self._features) if self._features else torch.zeros(0, 1)

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
        pixels = to_device(torch.from_numpy(joined), self._device, self._model.dtype)
        for windows in syncnet.lip_windows(pixels, config).split(self._batch_size):
            features = self._model.forward_lipfeat(windows)
            self._embeddings.append(self._model.lip_head(features).cpu())
            if self._features is not None:
                self._features.append(features.float().cpu())


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
    """The sound tower's input for (n,) int16 samples: (columns, 13) float32, less memory."""
    if not samples.size:
        return np.zeros((0, features.MFCC_SIZE), np.float32)
    columns = features.mfcc(samples, delay_samples=config.zero_samples)
    return syncnet.normalise_mfcc(columns, config)


@torch.inference_mode()
def embed_columns(
    model: SyncNet, columns: np.ndarray, *, batch_size: int, device: torch.device
) -> torch.Tensor:
    """`embed_sound` of what `sound_columns` gives."""
    if len(columns) < features.WINDOW_COLUMNS:
        return torch.zeros(0, 1)
    windows = syncnet.audio_windows(columns, model.config)
    parts = (
        model.forward_aud(to_device(part.contiguous(), device)).cpu()
        for part in windows.split(batch_size)
    )
    first = next(parts)
    embeddings = torch.empty(len(windows), first.shape[1], dtype=first.dtype)
    start = 0
    for part in itertools.chain([first], parts):
        embeddings[start : start + len(part)] = part
        start += len(part)
    return embeddings


class SyncNetModel:
    """A SyncNet, see `scorer.SyncModel`.

    Args:
        network: ready for inference on `device`.
        weights_file: its weights.
        device: where it is.
    """

    def __init__(
        self, network: SyncNet, weights_file: WeightsFile, *, device: torch.device
    ) -> None:
        self.network, self.weights_file, self.device = network, weights_file, device
        self.precision = precision_name(network.dtype)
        self.is_calibrated = network.config.is_calibrated
        self.reliable_from: dict[str, float] = network.config.reliable_from
        self.rule: dict[str, Any] = network.config.rule

    @classmethod
    def load(
        cls, initial_model: str | Path, *, device: torch.device, precision: Precision
    ) -> "SyncNetModel":
        """The network in its fast form: batch norms folded into the layers before them.

        Args:
            initial_model: weights file, or "auto".
            device: where it runs.
            precision: fp32, bf16, or auto.

        Raises:
            InputError: there is no such precision.
            WeightsError: the file is absent or does not fit.
        """
        network, weights_file = weights.load_syncnet(initial_model, device=device)
        full = network.config.full_precision
        resolved = resolve_precision(precision, full=full, device=device)
        folded = folding.fold_batch_norms(network).narrowed(PRECISIONS[resolved])
        return cls(folded, weights_file, device=device)

    def lip_embedder(self, *, batch_size: int, with_features: bool = False) -> LipStream:
        """See `scorer.SyncModel`."""
        return LipStream(
            self.network, batch_size=batch_size, device=self.device, with_features=with_features
        )

    def sound_features(self, samples: np.ndarray) -> np.ndarray:
        """See `scorer.SyncModel`: (columns, 13) float32."""
        return sound_columns(samples, self.network.config)

    def embed_sound(self, features: np.ndarray, *, batch_size: int) -> torch.Tensor:
        """See `scorer.SyncModel`."""
        return embed_columns(self.network, features, batch_size=batch_size, device=self.device)


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
    dists = torch.empty(len(lips), 2 * vshift + 1)
    for start in range(0, len(lips), ROWS_AT_ONCE):
        rows = lips[start : start + ROWS_AT_ONCE] + PAIRWISE_EPS
        first, end = start - vshift, start + len(rows) + vshift
        padded = torch.nn.functional.pad(
            sound[max(first, 0) : end], (0, 0, max(-first, 0), max(end - len(sound), 0))
        )
        for column in range(2 * vshift + 1):
            beside = padded[column : column + len(rows)]
            dists[start : start + len(rows), column] = (rows - beside).norm(dim=1)
    return dists.numpy()
