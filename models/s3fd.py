"""S3FD, the single-shot scale-invariant face detector (https://arxiv.org/abs/1708.05237).

One class serves two sets of weights. `PUBLISHED` is the full VGG-16 network with the key names of
`sfd_face.pth`; `SMALL` keeps its anchors, heads, decoding and suppression on a slim backbone of
strided convolutions whose coarse maps are added back into the finer ones.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from models.boxes import box_iou

STRIDES = (4, 8, 16, 32, 64, 128)  # pixels between the anchors of each feature map
ANCHOR_SIZES = (16, 32, 64, 128, 256, 512)  # pixels, square, one per position
VARIANCES = (0.1, 0.2)  # scales of the centre and size regressions
MEAN_RGB = (123.0, 117.0, 104.0)
BACKGROUND_SCORES = 3  # of the finest map: the largest one counts ("max-out background")

AT_ONCE_PIXELS = 1_000_000  # of a picture; the first stages see larger ones a tile at a time
TILE_PX = 512  # side of a tile: bounds the memory of 4K frames
TILE_HALO_PX = 48  # around a tile; the published network's second source sees 42 pixels further

CANDIDATE_CONFIDENCE = 0.05
CANDIDATES_BEFORE_NMS = 5000
CANDIDATES_KEPT = 750
CANDIDATE_IOU = 0.3  # first suppression, inside the published network
FACE_IOU = 0.1  # second suppression, among the boxes that pass the confidence threshold


@dataclass(frozen=True)
class Conv:
    """A 3x3 (by default) convolution followed by ReLU; padded to keep the size at stride 1."""

    width: int
    kernel: int = 3
    stride: int = 1
    dilation: int = 1


@dataclass(frozen=True)
class Pool:
    """2x2 max pooling; the published third pool rounds its size up."""

    ceil_mode: bool = False


@dataclass(frozen=True)
class S3FDConfig:
    """Shape of one S3FD.

    Attributes:
        stages: layers up to conv3_3, conv4_3, conv5_3 and fc7; each stage ends in a source map.
        extras: (bottleneck, output) widths of the two coarsest maps.
        norm_scales: initial L2Norm scales of the first three maps.
        top_down: add each of the first four maps, up-sampled, to the next finer one.
        input_scale: factor on the mean-subtracted pixels.
        batch_norm: normalise after each backbone convolution; only while training, the
            committed weights have it folded in.
        resize: how frames are made smaller for it: "bilinear" or "area".
        full_precision: it gives its published numbers in float32 only.
    """

    stages: tuple[tuple[Conv | Pool, ...], ...]
    extras: tuple[tuple[int, int], tuple[int, int]]
    norm_scales: tuple[float, float, float] = (10.0, 8.0, 5.0)
    top_down: bool = False
    input_scale: float = 1.0
    batch_norm: bool = False
    resize: Literal["bilinear", "area"] = "bilinear"
    full_precision: bool = True


PUBLISHED = S3FDConfig(
    stages=(
        (
            *(Conv(64), Conv(64), Pool()),
            *(Conv(128), Conv(128), Pool()),
            *(Conv(256), Conv(256), Conv(256)),
        ),
        (Pool(ceil_mode=True), Conv(512), Conv(512), Conv(512)),
        (Pool(), Conv(512), Conv(512), Conv(512)),
        (Pool(), Conv(1024, dilation=6), Conv(1024, kernel=1)),
    ),
    extras=((256, 512), (128, 256)),
)

SMALL = S3FDConfig(
    stages=(
        (Conv(16, stride=2), Conv(32, stride=2), Conv(32)),
        (Conv(64, stride=2), Conv(64), Conv(64)),
        (Conv(96, stride=2), Conv(96), Conv(96)),
        (Conv(128, stride=2), Conv(128)),
    ),
    extras=((64, 128), (64, 128)),
    top_down=True,
    input_scale=1 / 64,
    resize="area",
    full_precision=False,
)


class L2Norm(nn.Module):
    """Scales every position's feature vector to a learned length per channel."""

    def __init__(self, channels: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), scale))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalises (N, C, H, W) over C."""
        norm = x.pow(2).sum(dim=1, keepdim=True).sqrt() + 1e-10
        return x / norm * self.weight.view(1, -1, 1, 1)


class S3FD(nn.Module):
    """The detector network; parameter names are those of the published checkpoint."""

    def __init__(self, config: S3FDConfig = PUBLISHED) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        self.stage_ends: list[int] = []
        widths: list[int] = []
        channels = 3
        for stage in config.stages:
            for layer in stage:
                layers += _backbone_layer(layer, channels, batch_norm=config.batch_norm)
                channels = layer.width if isinstance(layer, Conv) else channels
            self.stage_ends.append(len(layers))
            widths.append(channels)
        self.vgg = nn.ModuleList(layers)
        self.L2Norm3_3, self.L2Norm4_3, self.L2Norm5_3 = (
            L2Norm(width, scale)
            for width, scale in zip(widths[:3], config.norm_scales, strict=True)
        )
        extras: list[nn.Module] = []
        for bottleneck, width in config.extras:
            extras.append(nn.Conv2d(channels, bottleneck, 1))
            extras.append(nn.Conv2d(bottleneck, width, 3, stride=2, padding=1))
            channels = width
            widths.append(width)
        self.extras = nn.ModuleList(extras)
        self.loc = nn.ModuleList(nn.Conv2d(width, 4, 3, padding=1) for width in widths)
        scores = [BACKGROUND_SCORES + 1] + [2] * (len(widths) - 1)
        self.conf = nn.ModuleList(
            nn.Conv2d(width, count, 3, padding=1)
            for width, count in zip(widths, scores, strict=True)
        )
        if config.top_down:
            self.top_down = nn.ModuleList(
                nn.Conv2d(widths[i + 1], widths[i], 1) for i in range(len(config.stages) - 1)
            )

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Predicts one box and one score per anchor.

        Args:
            images: (N, 3, H, W) float32, RGB minus `MEAN_RGB` times the config's input scale.

        Returns:
            Regressions (N, A, 4), logits (N, A, 2) background and face, anchors (A, 4) as centre
            x, centre y, width, height in pixels.
        """
        maps = self._maps(images)
        answers = torch.cat([each.permute(0, 2, 3, 1).flatten(1, 2) for each in maps], dim=1)
        sizes = tuple((each.shape[2], each.shape[3]) for each in maps)
        anchors = anchor_grid(sizes).to(images.device)
        return answers[..., :4], answers[..., 4:], anchors

    def _maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Regression and two scores at every position of each source map, (N, 6, rows, columns)."""
        if images.shape[2] * images.shape[3] > AT_ONCE_PIXELS:
            finest, x = in_tiles(
                self._first_stages, images, side=TILE_PX, halo=TILE_HALO_PX, strides=STRIDES[:2]
            )
        else:
            finest, x = self._first_stages(images)
        waiting, maps = [finest, x], []
        for i in range(2, len(STRIDES)):
            x = self._source(i, x)
            waiting.append(x)
        if self.config.top_down:
            for i in reversed(range(len(self.top_down))):
                coarse = self.top_down[i](waiting[i + 1])
                waiting[i] = F.relu(
                    waiting[i] + F.interpolate(coarse, size=waiting[i].shape[2:], mode="nearest")
                )
            maps.append(self._head(0, waiting[0]))
        else:
            maps.append(finest)
        return maps + [self._head(i, waiting[i]) for i in range(1, len(waiting))]

    def _first_stages(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The finest map, computed at once where nothing is added to it, and the second source.

        Of a 4K frame the published network's finest source would be half a gigabyte.
        """
        finest = self._source(0, x)
        second = self._source(1, finest)
        return [finest if self.config.top_down else self._head(0, finest), second]

    def _source(self, i: int, x: torch.Tensor) -> torch.Tensor:
        """The source map number `i` from the one before, the first from the pictures."""
        backbone = len(self.stage_ends)
        if i < backbone:
            for layer in self.vgg[self.stage_ends[i - 1] if i else 0 : self.stage_ends[i]]:
                x = layer(x)
        else:
            for layer in self.extras[2 * (i - backbone) : 2 * (i - backbone) + 2]:
                x = F.relu(layer(x))
        return x

    def _head(self, i: int, source: torch.Tensor) -> torch.Tensor:
        def head(part: torch.Tensor) -> list[torch.Tensor]:
            if i < len(self.config.norm_scales):
                part = (self.L2Norm3_3, self.L2Norm4_3, self.L2Norm5_3)[i](part)
            score = self.conf[i](part)
            if i == 0:
                background = score[:, :BACKGROUND_SCORES].amax(dim=1, keepdim=True)
                score = torch.cat([background, score[:, BACKGROUND_SCORES:]], dim=1)
            return [torch.cat([self.loc[i](part), score], dim=1)]

        # In tiles for the sake of the norms, which hold four times what they are given.
        if source.shape[2] * source.shape[3] > AT_ONCE_PIXELS // STRIDES[0] ** 2:
            return in_tiles(head, source, side=TILE_PX // STRIDES[0], halo=1, strides=(1,))[0]
        return head(source)[0]


def in_tiles(
    layers: Callable[[torch.Tensor], list[torch.Tensor]],
    x: torch.Tensor,
    *,
    side: int,
    halo: int,
    strides: tuple[int, ...],
) -> list[torch.Tensor]:
    """Output of layers, computed a tile at a time: the same values in bounded memory.

    Args:
        layers: give several maps.
        x: (N, C, H, W).
        side: of a tile.
        halo: pixels around a tile that its part of a map depends on, or more.
        strides: pixels from one position to the next in each map; `side` and `halo` are multiples.

    Returns:
        (N, D, H / stride, W / stride) each, rounded as the layers do.
    """
    height, width = x.shape[2:]
    outputs: list[torch.Tensor] = []
    # From the end: the last tile says how large the maps are.
    for top in reversed(range(0, height, side)):
        for left in reversed(range(0, width, side)):
            above, beside = min(top, halo), min(left, halo)
            maps = layers(
                x[:, :, top - above : top + side + halo, left - beside : left + side + halo]
            )
            rows = [slice(above // n, (above + side) // n) for n in strides]
            columns = [slice(beside // n, (beside + side) // n) for n in strides]
            parts = [maps[i][:, :, rows[i], columns[i]] for i in range(len(maps))]
            positions = [(top // n, left // n) for n in strides]
            outputs = outputs or [
                _empty_output(*pair) for pair in zip(parts, positions, strict=True)
            ]
            for output, part, (row, column) in zip(outputs, parts, positions, strict=True):
                end = row + part.shape[2], column + part.shape[3]
                output[:, :, row : end[0], column : end[1]] = part
    return outputs


def _empty_output(last: torch.Tensor, position: tuple[int, int]) -> torch.Tensor:
    """An empty map, sized from its lower right part."""
    size = (*last.shape[:2], position[0] + last.shape[2], position[1] + last.shape[3])
    return torch.empty(
        size, dtype=last.dtype, device=last.device, memory_format=torch.channels_last
    )


def _backbone_layer(layer: Conv | Pool, channels: int, *, batch_norm: bool) -> list[nn.Module]:
    if isinstance(layer, Pool):
        return [nn.MaxPool2d(2, stride=2, ceil_mode=layer.ceil_mode)]
    conv = nn.Conv2d(
        channels,
        layer.width,
        layer.kernel,
        stride=layer.stride,
        padding=layer.dilation * (layer.kernel // 2),
        dilation=layer.dilation,
    )
    norm = [nn.BatchNorm2d(layer.width)] if batch_norm else []
    return [conv, *norm, nn.ReLU(inplace=True)]


@functools.lru_cache(maxsize=16)
def anchor_grid(sizes: tuple[tuple[int, int], ...]) -> torch.Tensor:
    """Anchors of all feature maps; cached, because every frame of a video has the same.

    Args:
        sizes: (rows, columns) of each feature map, finest first.

    Returns:
        (A, 4) float32: centre x, centre y, width, height in pixels of the network's input.
    """
    grids = []
    for (rows, columns), stride, size in zip(sizes, STRIDES, ANCHOR_SIZES, strict=True):
        y, x = torch.meshgrid(
            (torch.arange(rows) + 0.5) * stride,
            (torch.arange(columns) + 0.5) * stride,
            indexing="ij",
        )
        side = torch.full_like(x, float(size))
        grids.append(torch.stack([x, y, side, side], dim=-1).reshape(-1, 4))
    return torch.cat(grids)


def to_input(images_bgr: np.ndarray, config: S3FDConfig) -> torch.Tensor:
    """Turns pictures into the network's input.

    Args:
        images_bgr: (N, H, W, 3) uint8.
        config: of the network that will see them.

    Returns:
        (N, 3, H, W) float32 on the CPU, channels last in memory.
    """
    rgb = torch.from_numpy(np.ascontiguousarray(images_bgr[..., ::-1])).permute(0, 3, 1, 2)
    mean = torch.tensor(MEAN_RGB).view(1, 3, 1, 1)
    return rgb.float().sub_(mean).mul_(config.input_scale)


def decode_boxes(regressions: torch.Tensor, anchors: torch.Tensor) -> torch.Tensor:
    """Boxes (..., 4) x1 y1 x2 y2 in pixels from regressions (..., 4) on anchors (A, 4)."""
    centre = anchors[:, :2] + regressions[..., :2] * VARIANCES[0] * anchors[:, 2:]
    size = anchors[:, 2:] * torch.exp(regressions[..., 2:] * VARIANCES[1])
    return torch.cat([centre - size / 2, centre + size / 2], dim=-1)


def encode_boxes(boxes: torch.Tensor, anchors: torch.Tensor) -> torch.Tensor:
    """The inverse of `decode_boxes`: regression targets for boxes (A, 4)."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    size = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-3)
    shift = (centre - anchors[:, :2]) / (VARIANCES[0] * anchors[:, 2:])
    return torch.cat([shift, torch.log(size / anchors[:, 2:]) / VARIANCES[1]], dim=1)


def suppress(boxes: np.ndarray, scores: np.ndarray, *, iou_threshold: float) -> np.ndarray:
    """Greedy non-maximum suppression.

    Args:
        boxes: (N, 4) x1 y1 x2 y2.
        scores: (N,).
        iou_threshold: a box that overlaps a better one by more than this is dropped.

    Returns:
        Indices kept, best score first.
    """
    order = np.argsort(-scores, kind="stable")
    indices = []
    while order.size:
        best, order = order[0], order[1:]
        indices.append(best)
        overlap = box_iou(boxes[best : best + 1], boxes[order])[0]
        order = order[overlap <= iou_threshold]
    return np.array(indices, dtype=np.int64)


def faces_from_output(
    regressions: torch.Tensor, logits: torch.Tensor, anchors: torch.Tensor, *, confidence: float
) -> np.ndarray:
    """Faces of one picture from one picture's network output, as the published program decodes it.

    Args:
        regressions: (A, 4).
        logits: (A, 2).
        anchors: (A, 4).
        confidence: faces must score more than this.

    Returns:
        (faces, 5) float64: x1 y1 x2 y2 in input pixels, score; best first.
    """
    scores = torch.softmax(logits.float(), dim=1)[:, 1]
    # What cannot reach the caller's threshold cannot suppress anything above it either.
    candidates = torch.nonzero(scores > max(CANDIDATE_CONFIDENCE, confidence))[:, 0]
    if candidates.numel() > CANDIDATES_BEFORE_NMS:
        candidates = candidates[scores[candidates].topk(CANDIDATES_BEFORE_NMS).indices]
    boxes = decode_boxes(regressions[candidates].float(), anchors[candidates])
    rows = torch.cat([boxes, scores[candidates, None]], dim=1).cpu().numpy().astype(np.float64)
    rows = rows[suppress(rows[:, :4], rows[:, 4], iou_threshold=CANDIDATE_IOU)]
    rows = rows[:CANDIDATES_KEPT]
    return rows[suppress(rows[:, :4], rows[:, 4], iou_threshold=FACE_IOU)]
