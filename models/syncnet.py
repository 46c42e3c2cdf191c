"""SyncNet: embeddings of five mouth frames and of a fifth of a second of sound.

After "Out of time: automated lip sync in the wild" (Chung and Zisserman, 2016). One class serves
three kinds of weights: `PUBLISHED` has the shape and key names of `syncnet_v2.model`; `SMALL` is
the same two towers, narrower, on a 48x48 grey mouth region, with normalised inputs and embeddings;
`SIAMESE` sees grey mouths as they are, and says how probable a pair is.
"""

import math
from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from models.features import MFCC_PER_FRAME, MFCC_SIZE
from models.syncnet_config import CROP_PX, PUBLISHED, SIAMESE, SMALL, SyncNetConfig

__all__ = ["CROP_PX", "PUBLISHED", "SIAMESE", "SMALL", "PairSigmoid", "SyncNet", "SyncNetConfig"]


class StackedConv(nn.Conv3d):
    """A 3-D convolution whose kernel covers all frames, computed as a 2-D one.

    The published weights are 3-D, but no layer ever slides along time within a window; with the
    frames stacked on the channels the same sums are a faster 2-D convolution.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (N, C * depth, H, W), channel-major, to (N, out, H', W')."""
        return F.conv2d(
            x,
            self.weight.flatten(1, 2),
            self.bias,
            self.stride[1:],
            self.padding[1:],
        )


class PairSigmoid(nn.Module):
    """How probable it is that lips and sound belong together, by the distance of embeddings."""

    def __init__(self, threshold: float) -> None:
        """Before training; `threshold` is a distance at which both answers are as probable."""
        super().__init__()
        self.log_slope = nn.Parameter(torch.tensor(0.0))
        self.threshold = nn.Parameter(torch.tensor(float(threshold)))

    def forward(self, distance: torch.Tensor) -> torch.Tensor:
        """Logits of the probability, above zero for pairs nearer than the threshold."""
        return self.log_slope.exp() * (self.threshold - distance)

    @torch.no_grad()
    def rescale(self, factor: float) -> None:
        """The same probabilities for embeddings that are longer by a factor."""
        self.threshold.mul_(factor)
        self.log_slope.sub_(math.log(factor))


class SyncNet(nn.Module):
    """Two towers that map lips and sound into one space; names are the published ones."""

    def __init__(self, config: SyncNetConfig = PUBLISHED) -> None:
        super().__init__()
        self.config = config
        self.netcnnaud = _audio_tower(config)
        self.netfcaud = _head(config.audio_widths[-1], config.embedding_size)
        self.netcnnlip = _lip_tower(config)
        self.netfclip = _head(config.lip_widths[-1], config.embedding_size)
        self.pair_sigmoid: PairSigmoid | None = None
        if config.pair_sigmoid:
            self.pair_sigmoid = PairSigmoid(config.typical_distance)

    def with_pair_sigmoid(self, wanted: bool) -> "SyncNet":
        """This model, which from now on has a `PairSigmoid` or none; one that is there stays."""
        if wanted != self.config.pair_sigmoid:
            self.pair_sigmoid = PairSigmoid(self.config.typical_distance) if wanted else None
            self.config = replace(self.config, pair_sigmoid=wanted)
        return self

    def pair_logits(self, lips: torch.Tensor, sound: torch.Tensor) -> torch.Tensor:
        """Logits of the probability that lips and sound belong together.

        Args:
            lips, sound: (..., E) embeddings of the towers, pair by pair.

        Returns:
            (...).

        Raises:
            ValueError: these weights were trained by another question.
        """
        if self.pair_sigmoid is None:
            raise ValueError("this SyncNet gives distances only: it was not trained on pairs")
        return self.pair_sigmoid((lips - sound).norm(dim=-1))

    def forward_aud(self, columns: torch.Tensor) -> torch.Tensor:
        """Embeds sound.

        Args:
            columns: (N, 1, 13, `window_columns`) float32, MFCC of a window, time last.

        Returns:
            (N, E): E is the embedding size, plus one where embeddings are scaled.
        """
        return self.sound_head(self.forward_audfeat(columns))

    def forward_audfeat(self, columns: torch.Tensor) -> torch.Tensor:
        """The sound tower's features (N, 512 at full size) before its head."""
        return _features(self.netcnnaud, self.netfcaud, columns)

    def sound_head(self, features: torch.Tensor) -> torch.Tensor:
        """Embeddings (N, E) of `forward_audfeat`."""
        return self._embed(self.netfcaud(features))

    def forward_lip(self, frames: torch.Tensor) -> torch.Tensor:
        """Embeds lips.

        Args:
            frames: (N, C, `window_frames`, H, W) float32 as `lip_pixels` and `normalise_lips` make
                them.

        Returns:
            (N, E).
        """
        return self.lip_head(self.forward_lipfeat(frames))

    def forward_lipfeat(self, frames: torch.Tensor) -> torch.Tensor:
        """The lip tower's features (N, 512 at full size) before its head."""
        return _features(self.netcnnlip, self.netfclip, frames.flatten(1, 2))

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the towers; see `narrowed`."""
        return next(self.netcnnlip.parameters()).dtype

    def narrowed(self, dtype: torch.dtype) -> "SyncNet":
        """This model, its towers changed to compute in another type."""
        self.netcnnlip.to(dtype)
        self.netcnnaud.to(dtype)
        return self

    def lip_head(self, features: torch.Tensor) -> torch.Tensor:
        """Embeddings (N, E) of `forward_lipfeat`."""
        return self._embed(self.netfclip(features))

    def _embed(self, x: torch.Tensor) -> torch.Tensor:
        scale = self.config.embedding_scale
        if not scale:
            return x
        return torch.cat([F.normalize(x) * scale, torch.full_like(x[:, :1], scale)], dim=1)


def _features(tower: nn.Module, head: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Features of a tower (N, F), in the dtype of its head, which is never narrowed."""
    inner, outer = (next(part.parameters()).dtype for part in (tower, head))
    maps: torch.Tensor = tower(x.to(inner).contiguous(memory_format=torch.channels_last))
    return maps.flatten(1).to(outer)


def _block(conv: nn.Module, width: int) -> list[nn.Module]:
    return [conv, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]


def _pool(kernel: int, stride: int | tuple[int, int], padding: int = 0) -> nn.Module:
    return nn.MaxPool2d(kernel, stride=stride, padding=padding)


def _head(features: int, embedding: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(features, features),
        nn.BatchNorm1d(features),
        nn.ReLU(inplace=True),
        nn.Linear(features, embedding),
    )


def _audio_tower(config: SyncNetConfig) -> nn.Sequential:
    w = config.audio_widths
    columns = ((config.window_columns - 3) // 2 + 1 - 3) // 2 + 1  # left for convolution 18
    return nn.Sequential(
        *_block(nn.Conv2d(1, w[0], 3, padding=1), w[0]),
        nn.Identity(),  # the published program has a 1x1 pool here; it keeps the key numbers
        *_block(nn.Conv2d(w[0], w[1], 3, padding=1), w[1]),
        _pool(3, (1, 2)),
        *_block(nn.Conv2d(w[1], w[2], 3, padding=1), w[2]),
        *_block(nn.Conv2d(w[2], w[3], 3, padding=1), w[3]),
        *_block(nn.Conv2d(w[3], w[4], 3, padding=1), w[4]),
        _pool(3, 2),
        *_block(nn.Conv2d(w[4], w[5], (5, columns)), w[5]),
    )


def _lip_tower(config: SyncNetConfig) -> nn.Sequential:
    w = config.lip_widths
    first, second = config.lip_kernels
    stride, pool, second_stride = config.lip_strides
    side = (config.lip_size_px - first) // stride + 1
    if pool > 1:
        side = (side - 3) // pool + 1
    side = (side + 2 - second) // second_stride + 1
    side = (side + 2 - 3) // 2 + 1
    side = (side - 3) // 2 + 1  # what is left for convolution 18 to cover

    def conv(
        inputs: int, width: int, kernel: int, *, stride: int = 1, padding: int = 1
    ) -> nn.Module:
        size, step, pad = (1, kernel, kernel), (1, stride, stride), (0, padding, padding)
        return StackedConv(inputs, width, size, stride=step, padding=pad)

    channels = 1 if config.grey else 3
    stem = StackedConv(
        channels, w[0], (config.window_frames, first, first), stride=(1, stride, stride)
    )
    return nn.Sequential(
        *_block(stem, w[0]),
        _pool(3, pool) if pool > 1 else nn.Identity(),
        *_block(conv(w[0], w[1], second, stride=second_stride), w[1]),
        _pool(3, 2, padding=1),
        *_block(conv(w[1], w[2], 3), w[2]),
        *_block(conv(w[2], w[3], 3), w[3]),
        *_block(conv(w[3], w[4], 3), w[4]),
        _pool(3, 2),
        *_block(conv(w[4], w[5], side, padding=0), w[5]),
    )


def lip_pixels(frame_bgr: np.ndarray, config: SyncNetConfig) -> np.ndarray:
    """The part of a face crop the lip tower sees.

    Args:
        frame_bgr: (224, 224, 3) uint8.
        config: of the network.

    Returns:
        (C, H, W) uint8.
    """
    top, left, side = config.lip_region_px
    region = frame_bgr[top : top + side, left : left + side]
    if config.grey:
        region = cv2.cvtColor(np.ascontiguousarray(region), cv2.COLOR_BGR2GRAY)
    if side != config.lip_size_px:
        size = (config.lip_size_px, config.lip_size_px)
        region = cv2.resize(region, size, interpolation=cv2.INTER_AREA)
    return region[None] if config.grey else region.transpose(2, 0, 1)


def normalise_lips(pixels: np.ndarray, config: SyncNetConfig) -> np.ndarray:
    """Subtracts the mean picture of the surrounding seconds.

    Args:
        pixels: (T, C, H, W) uint8, consecutive frames.
        config: of the network.

    Returns:
        (T, C, H, W) float32; the pixels themselves where the configuration has no context.
    """
    values = pixels.astype(np.float32)
    if not config.context_frames:
        return values
    values /= 255
    mean, deviation = lip_statistics(values, config)
    return (values - mean) / deviation[:, None, None, None]


def lip_statistics(values: np.ndarray, config: SyncNetConfig) -> tuple[np.ndarray, np.ndarray]:
    """What `normalise_lips` takes away, and what it divides by.

    Args:
        values: (T, C, H, W) float32 in 0..1.
        config: of the network, with a context.

    Returns:
        (T, C, H, W) mean picture of the surrounding seconds, and (T,) deviation from it.
    """
    mean = running_mean(values, config.context_frames)
    power = running_mean((values**2).mean(axis=(1, 2, 3)), config.context_frames)
    variance = power - (mean**2).mean(axis=(1, 2, 3))
    return mean, np.sqrt(np.maximum(variance, 0)) + 0.01  # a still picture stays near zero


def normalise_mfcc(columns: np.ndarray, config: SyncNetConfig) -> np.ndarray:
    """Subtracts the mean column of the surrounding seconds, as cepstral mean normalisation does.

    Args:
        columns: (T, 13) float32.
        config: of the network.

    Returns:
        (T, 13) float32; the columns themselves where the configuration has no context.
    """
    if not config.context_frames:
        return columns
    # Typical deviations of speech: level and lifted cepstra are of very different size.
    deviations = np.array([3.0, *[10.0] * (MFCC_SIZE - 1)], np.float32)
    normalised = np.empty(columns.shape, np.float32)
    # One coefficient at a time: the sums of hours are float64.
    for i in range(MFCC_SIZE):
        mean = running_mean(columns[:, i], config.context_frames * MFCC_PER_FRAME)
        normalised[:, i] = (columns[:, i] - mean) / deviations[i]
    return normalised


def running_mean(values: np.ndarray, length: int) -> np.ndarray:
    """Mean over `length` neighbours along the first axis; at the ends over the last full window.

    Args:
        values: (T, ...).
        length: of the window; all of T where T is shorter.

    Returns:
        float32, the shape of `values`.
    """
    count = len(values)
    length = min(length, count)
    total = np.zeros((count + 1, *values.shape[1:]), np.float64)
    np.cumsum(values, axis=0, out=total[1:])
    start = np.clip(np.arange(count) - length // 2, 0, count - length)
    return ((total[start + length] - total[start]) / length).astype(np.float32)


def audio_windows(columns: np.ndarray, config: SyncNetConfig) -> torch.Tensor:
    """Every window of sound that starts with a video frame.

    Args:
        columns: (T, 13), T >= 20.
        config: of the network; beyond both ends the end is repeated.

    Returns:
        (windows, 1, 13, `window_columns`); window i is centred on columns 4 i .. 4 i + 19.
    """
    side = config.side_frames * MFCC_PER_FRAME
    wide = np.pad(columns, ((side, side), (0, 0)), mode="edge") if side else columns
    stacked = torch.from_numpy(np.ascontiguousarray(wide)).unfold(
        0, config.window_columns, MFCC_PER_FRAME
    )
    return stacked[:, None]


def repeat_ends(frames: torch.Tensor, config: SyncNetConfig) -> torch.Tensor:
    """Repeats the ends for the outer windows: (T, ...) gives (T + 2 `side_frames`, ...)."""
    side = config.side_frames
    return torch.cat(
        [
            frames[:1].expand(side, *frames.shape[1:]),
            frames,
            frames[-1:].expand(side, *frames.shape[1:]),
        ]
    )


def lip_windows(frames: torch.Tensor, config: SyncNetConfig) -> torch.Tensor:
    """Every window of consecutive frames, one frame apart.

    Args:
        frames: (T, C, H, W); beyond a clip's ends `side_frames` repeat the end.
        config: of the network.

    Returns:
        (T - `window_frames` + 1, C, `window_frames`, H, W).
    """
    return frames.unfold(0, config.window_frames, 1).permute(0, 1, 4, 2, 3)
