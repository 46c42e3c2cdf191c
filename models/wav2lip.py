"""Wav2Lip: generates the mouth of a face for a fifth of a second of sound.

After "A lip sync expert is all you need for speech to lip generation in the wild" (Prajwal et al.,
https://arxiv.org/abs/2008.10010). The generator `Wav2Lip` draws; while it trains, the expert
`SyncNetColor` judges lips against sound and `Wav2LipDiscriminator` drawn faces against real ones.
Shapes and key names are those of the published checkpoints; `width` makes the same networks narrow.
"""

import json
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from models.features import WINDOW_FRAMES

FACE_PX = 96  # side of the faces all three networks see
MASKED_FROM_PX = FACE_PX // 2  # first row of the mouth half: hidden from the generator, judged
EXPERT_FRAMES = WINDOW_FRAMES  # 5 frames the expert sees at once, as long as 16 mel columns

EMBEDDING_SIZE = 512  # of the expert, published

# Channels of the published generator, from the full picture (96 pixels) down to 3 pixels, and back.
ENCODER_WIDTHS = (16, 32, 64, 128, 256, 512)
ENCODER_RESIDUALS = (0, 2, 3, 2, 2, 1)
DECODER_WIDTHS = (512, 512, 384, 256, 128, 64)
DECODER_RESIDUALS = (1, 2, 2, 2, 2, 2)


@dataclass(frozen=True)
class Wav2LipConfig:
    """Shape of one network: the published one, or the same with fewer channels.

    Attributes:
        width: factor on the published channels of every convolution.
        separate_voice: it hears voices without what plays behind them, see models/voice.py.

    Raises:
        ValueError: the width is not positive.
    """

    width: float = 1.0
    separate_voice: bool = False

    def __post_init__(self) -> None:
        if not self.width > 0:
            raise ValueError(f"width must be positive, got {self.width}")

    def channels(self, published: int) -> int:
        """Scaled and rounded to a multiple of 8, as vector units like it; at least 8."""
        return max(8, 8 * round(published * self.width / 8))

    def to_json(self) -> str:
        """The form kept inside a weights file."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> "Wav2LipConfig":
        """The inverse of `to_json`."""
        return Wav2LipConfig(**json.loads(text))


PUBLISHED = Wav2LipConfig()


class NormBlock(nn.Module):
    """Convolution and batch norm, added to its own input where residual, then ReLU."""

    def __init__(self, conv: nn.Conv2d | nn.ConvTranspose2d, *, residual: bool = False) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels))
        self.residual = residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (N, C, H, W) to (N, out, H', W')."""
        y = self.conv_block(x)
        return F.relu(y + x if self.residual else y, inplace=True)


class LeakyBlock(nn.Module):
    """Convolution and leaky ReLU, without a norm that would mix real and drawn faces."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(conv)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (N, C, H, W) to (N, out, H', W')."""
        return F.leaky_relu(self.conv_block(x), inplace=True)


class Wav2Lip(nn.Module):
    """The generator: encodes the face, decodes the sound, joined at every picture size."""

    def __init__(self, config: Wav2LipConfig = PUBLISHED) -> None:
        super().__init__()
        self.config = config
        encoder = [config.channels(width) for width in ENCODER_WIDTHS]
        decoder = [config.channels(width) for width in DECODER_WIDTHS]
        top = encoder[-1]
        down = [nn.Sequential(_conv(6, encoder[0], 7, padding=3))]
        for i in range(1, len(encoder)):
            down.append(
                _stage(encoder[i - 1], encoder[i], stride=2, residuals=ENCODER_RESIDUALS[i])
            )
        down.append(nn.Sequential(_conv(top, top, padding=0), _conv(top, top, 1, padding=0)))
        self.face_encoder_blocks = nn.ModuleList(down)
        self.audio_encoder = _audio_encoder(config, last_residuals=1)

        up = [nn.Sequential(_conv(top, top, 1, padding=0))]
        joined = top + top
        for i, width in enumerate(decoder):
            same_size = [_conv(width, width, residual=True) for _ in range(DECODER_RESIDUALS[i])]
            up.append(nn.Sequential(_up(joined, width, first=i == 0), *same_size))
            joined = width + encoder[-1 - i]
        self.face_decoder_blocks = nn.ModuleList(up)
        last = config.channels(32)
        self.output_block = nn.Sequential(_conv(joined, last), nn.Conv2d(last, 3, 1), nn.Sigmoid())

    def forward(self, mels: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
        """Draws faces.

        Args:
            mels: (N, 1, 80, 16) float32 as `features.mel_windows` cuts them, or (N, T, 1, 80, 16).
            faces: (N, 6, 96, 96) float32 as `generator_input` makes them, or (N, 6, T, 96, 96).

        Returns:
            (N, 3, 96, 96) BGR in 0..1, or (N, 3, T, 96, 96).
        """
        if faces.dim() == 5:
            generated = self(mels.transpose(0, 1).flatten(0, 1), _time_major(faces))
            return generated.unflatten(0, (faces.shape[2], -1)).permute(1, 2, 0, 3, 4)
        skips = []
        for block in self.face_encoder_blocks:
            faces = block(faces)
            skips.append(faces)
        x = self.audio_encoder(mels)
        for block in self.face_decoder_blocks:
            x = torch.cat([block(x), skips.pop()], dim=1)
        return self.output_block(x)


class SyncNetColor(nn.Module):
    """The expert: five mouths and their sound as two unit vectors.

    Both end in a ReLU, so that their cosine is in 0..1 and serves as a probability.
    """

    def __init__(self, config: Wav2LipConfig = PUBLISHED) -> None:
        super().__init__()
        self.config = config
        w32, w64, w128, w256, w512 = map(config.channels, (32, 64, 128, 256, 512))
        self.face_encoder = nn.Sequential(
            _conv(3 * EXPERT_FRAMES, w32, 7, padding=3),
            *_stage(w32, w64, 5, stride=(1, 2), residuals=2),
            *_stage(w64, w128, stride=2, residuals=3),
            *_stage(w128, w256, stride=2, residuals=2),
            *_stage(w256, w512, stride=2, residuals=2),
            _conv(w512, w512, stride=2),
            _conv(w512, w512, padding=0),
            _conv(w512, w512, 1, padding=0),
        )
        self.audio_encoder = _audio_encoder(config, last_residuals=2)

    def forward(self, mels: torch.Tensor, faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeds sound and mouths.

        Args:
            mels: (N, 1, 80, 16) float32, the window of the first of the five frames.
            faces: (N, 15, 48, 96) float32 as `expert_faces` makes them.

        Returns:
            Sound and mouths, (N, 512) each at full width; no component is below 0.
        """
        sound = self.audio_encoder(mels).flatten(1)
        mouths = self.face_encoder(faces).flatten(1)
        return F.normalize(sound), F.normalize(mouths)


class Wav2LipDiscriminator(nn.Module):
    """Discriminates generated from real faces by their mouth half."""

    def __init__(self, config: Wav2LipConfig = PUBLISHED) -> None:
        super().__init__()
        self.config = config
        w32, w64, w128, w256, w512 = map(config.channels, (32, 64, 128, 256, 512))
        self.face_encoder_blocks = nn.ModuleList(
            [
                nn.Sequential(_leaky(3, w32, 7)),
                nn.Sequential(_leaky(w32, w64, 5, stride=(1, 2)), _leaky(w64, w64, 5)),
                nn.Sequential(_leaky(w64, w128, 5, stride=2), _leaky(w128, w128, 5)),
                nn.Sequential(_leaky(w128, w256, 5, stride=2), _leaky(w256, w256, 5)),
                nn.Sequential(_leaky(w256, w512, 3, stride=2), _leaky(w512, w512, 3)),
                nn.Sequential(_leaky(w512, w512, 3, stride=2), _leaky(w512, w512, 3)),
                nn.Sequential(_leaky(w512, w512, 3, padding=0), _leaky(w512, w512, 1)),
            ]
        )
        self.binary_pred = nn.Sequential(nn.Conv2d(w512, 1, 1), nn.Sigmoid())

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        """Judges faces.

        Args:
            faces: (N, 3, 96, 96) float32 BGR in 0..1, or (N, 3, T, 96, 96).

        Returns:
            (N, 1) probability of being real, or (T * N, 1), time first.
        """
        x = _time_major(faces) if faces.dim() == 5 else faces
        x = x[:, :, MASKED_FROM_PX:]
        for block in self.face_encoder_blocks:
            x = block(x)
        return self.binary_pred(x).flatten(1)


def _conv(
    inputs: int,
    width: int,
    kernel: int = 3,
    *,
    stride: int | tuple[int, int] = 1,
    padding: int = 1,
    residual: bool = False,
) -> NormBlock:
    conv = nn.Conv2d(inputs, width, kernel, stride=stride, padding=padding)
    return NormBlock(conv, residual=residual)


def _stage(
    inputs: int,
    width: int,
    kernel: int = 3,
    *,
    stride: int | tuple[int, int] = 1,
    residuals: int,
) -> nn.Sequential:
    # Padding stays 1 under the expert's kernel of 5: its picture sizes depend on it.
    first = _conv(inputs, width, kernel, stride=stride)
    return nn.Sequential(first, *[_conv(width, width, residual=True) for _ in range(residuals)])


def _up(inputs: int, width: int, *, first: bool) -> NormBlock:
    """Three times the size where first (from 1 pixel), else twice."""
    if first:
        return NormBlock(nn.ConvTranspose2d(inputs, width, 3))
    return NormBlock(nn.ConvTranspose2d(inputs, width, 3, stride=2, padding=1, output_padding=1))


def _leaky(
    inputs: int,
    width: int,
    kernel: int,
    *,
    stride: int | tuple[int, int] = 1,
    padding: int | None = None,
) -> LeakyBlock:
    padding = kernel // 2 if padding is None else padding
    return LeakyBlock(nn.Conv2d(inputs, width, kernel, stride=stride, padding=padding))


def _audio_encoder(config: Wav2LipConfig, *, last_residuals: int) -> nn.Sequential:
    w32, w64, w128, w256, w512 = map(config.channels, (32, 64, 128, 256, 512))
    return nn.Sequential(
        *_stage(1, w32, residuals=2),
        *_stage(w32, w64, stride=(3, 1), residuals=2),
        *_stage(w64, w128, stride=3, residuals=2),
        *_stage(w128, w256, stride=(3, 2), residuals=last_residuals),
        _conv(w256, w512, padding=0),
        _conv(w512, w512, 1, padding=0),
    )


def _time_major(faces: torch.Tensor) -> torch.Tensor:
    """(N, C, T, H, W) to (T * N, C, H, W), the published order."""
    return faces.permute(2, 0, 1, 3, 4).flatten(0, 1)


def face_tensor(faces_bgr: np.ndarray | torch.Tensor) -> torch.Tensor:
    """Pictures as input of the networks.

    Args:
        faces_bgr: (..., 96, 96, 3) uint8.

    Returns:
        (..., 3, 96, 96) float32 in 0..1, where the pictures are.

    Raises:
        ValueError: another type or size, which would silently be another face.
    """
    faces = torch.as_tensor(faces_bgr)
    if faces.dtype != torch.uint8 or faces.shape[-3:] != (FACE_PX, FACE_PX, 3):
        raise ValueError(
            f"faces must be uint8 (..., {FACE_PX}, {FACE_PX}, 3), "
            f"got {faces.dtype} {tuple(faces.shape)}"
        )
    return faces.movedim(-1, -3).float() / 255


def generator_input(
    faces_bgr: np.ndarray | torch.Tensor, reference_bgr: np.ndarray | torch.Tensor | None = None
) -> torch.Tensor:
    """Input of the generator: the face without its mouth half, then a whole face.

    Args:
        faces_bgr: (N, 96, 96, 3) uint8, whose pose is drawn.
        reference_bgr: (N, 96, 96, 3) uint8, other frames of the same people; None takes the same
            frames, as inference does.

    Returns:
        (N, 6, 96, 96) float32 in 0..1.

    Raises:
        ValueError: faces of another type or size.
    """
    faces = face_tensor(faces_bgr)
    look = faces if reference_bgr is None else face_tensor(reference_bgr)
    return torch.cat([without_mouths(faces), look], dim=1)


def without_mouths(faces: torch.Tensor) -> torch.Tensor:
    """A copy of (..., 96, 96) faces whose mouth half is black."""
    masked = faces.clone()
    masked[..., MASKED_FROM_PX:, :] = 0
    return masked


def expert_faces(faces: torch.Tensor) -> torch.Tensor:
    """Input of the expert: the mouth halves of five frames, stacked frame by frame.

    Args:
        faces: (N, 5, 3, 96, 96) float32, real ones by `face_tensor`, or the generator's.

    Returns:
        (N, 15, 48, 96) float32; gradients flow back to `faces`.
    """
    return faces[..., MASKED_FROM_PX:, :].flatten(1, 2)


def to_uint8(faces: torch.Tensor) -> np.ndarray:
    """The generator's faces as pictures; cut off and not rounded, as the published program does.

    Args:
        faces: (N, 3, 96, 96) in 0..1.

    Returns:
        (N, 96, 96, 3) uint8 BGR.
    """
    return (faces.float() * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
