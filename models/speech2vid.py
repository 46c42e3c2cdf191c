"""Speech2Vid, modified: draws the mouths of five frames at once from cepstra.

After "You said that?" (Chung, Jamaludin and Zisserman, https://arxiv.org/abs/1705.02966): encoders
of picture and sound, joined in the middle, and a decoder that sees the picture's features at every
size. Modified so that it shares SyncNet's inputs: five frames go in and come out, and their sound
is the 20 columns of the MFCC that SyncNet hears, without the energy row. What comes out is five
frames of a face, which is what SyncNet looks at. The frames come as Wav2Lip's do, their mouth half
hidden beside another look at the person: a still picture alone says nothing about the pose that a
mouth has to fit.
"""

import json
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from models.features import (
    FRAME_RATE,
    MFCC_RATE,
    MFCC_SIZE,
    TIME_ROUNDING,
    WINDOW_COLUMNS,
    WINDOW_FRAMES,
)
from models.wav2lip import NormBlock, Wav2Lip, Wav2LipConfig

CEPSTRA_SIZE = MFCC_SIZE - 1  # the first row is the energy, which says how near a microphone is
CEPSTRUM_SCALE = 10.0  # deviation of the other rows, roughly
MIDDLE_FRAME = WINDOW_FRAMES // 2
SEEN_CHANNELS, DRAWN_CHANNELS = 6, 3  # of a frame: as `wav2lip.generator_input` makes it; BGR

# Channels at full width, from the whole picture (96 pixels) down to 3, and of the sound.
PICTURE_WIDTHS = (64, 128, 256, 512, 512, 512)
SOUND_WIDTHS = (64, 128, 256, 512)


@dataclass(frozen=True)
class Speech2VidConfig(Wav2LipConfig):
    """Shape of a Speech2Vid.

    Attributes:
        width: factor on the channels of every convolution.
        network: tells a weights file of it from one of Wav2Lip, which has no such word.
    """

    network: str = "speech2vid"


def generator_config(text: str) -> Wav2LipConfig:
    """The configuration that a generator's weights file holds: of this network, or of Wav2Lip.

    Raises:
        TypeError, ValueError: it is of neither.
    """
    fields = json.loads(text)
    if isinstance(fields, dict) and fields.get("network") == Speech2VidConfig.network:
        return Speech2VidConfig(**fields)
    return Wav2LipConfig.from_json(text)


class Speech2Vid(nn.Module):
    """The generator: pictures and sound down to a vector each, then up to five pictures."""

    def __init__(self, config: Speech2VidConfig = Speech2VidConfig()) -> None:
        super().__init__()
        self.config = config
        seen = [config.channels(width) for width in PICTURE_WIDTHS]
        heard = [config.channels(width) for width in SOUND_WIDTHS]
        first = NormBlock(nn.Conv2d(WINDOW_FRAMES * SEEN_CHANNELS, seen[0], 7, padding=3))
        halved = [
            nn.Sequential(_down(seen[i - 1], seen[i]), _same(seen[i])) for i in range(1, len(seen))
        ]
        vector = NormBlock(nn.Conv2d(seen[-1], seen[-1], 3))  # 3 pixels to 1
        self.face_encoder_blocks = nn.ModuleList([nn.Sequential(first), *halved])
        self.identity = nn.Sequential(vector)
        self.audio_encoder = nn.Sequential(
            NormBlock(nn.Conv2d(1, heard[0], 3, padding=1)),
            NormBlock(nn.Conv2d(heard[0], heard[1], 3, stride=(1, 2), padding=1)),  # 12 x 10
            _same(heard[1]),
            NormBlock(nn.Conv2d(heard[1], heard[2], 3, stride=2, padding=1)),  # 6 x 5
            _same(heard[2]),
            NormBlock(nn.Conv2d(heard[2], heard[3], (6, 5))),
            NormBlock(nn.Conv2d(heard[3], heard[3], 1)),
        )
        up = [nn.Sequential(NormBlock(nn.ConvTranspose2d(seen[-1] + heard[-1], seen[-1], 3)))]
        for i in range(len(seen) - 2, -1, -1):
            up.append(nn.Sequential(_up(2 * seen[i + 1], seen[i]), _same(seen[i])))
        self.face_decoder_blocks = nn.ModuleList(up)
        drawn = WINDOW_FRAMES * DRAWN_CHANNELS
        self.output_block = nn.Sequential(
            NormBlock(nn.Conv2d(2 * seen[0], seen[0], 3, padding=1)),
            nn.Conv2d(seen[0], drawn, 1),
            nn.Sigmoid(),
        )

    def forward(self, sound: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
        """Draws faces.

        Args:
            sound: (N, 1, 12, 20) float32, cepstra of the five frames, see `windows`.
            faces: (N, 5, 6, 96, 96) float32, each frame as `wav2lip.generator_input` makes it; or
                (N, 6, 96, 96), a face that is taken to hold still while its five frames last.

        Returns:
            (N, 5, 3, 96, 96) BGR in 0..1; of a face that holds still the middle frame,
            (N, 3, 96, 96).
        """
        if faces.dim() == 4:
            still = faces[:, None].expand(-1, WINDOW_FRAMES, -1, -1, -1)
            return self(sound, still)[:, MIDDLE_FRAME]
        x = faces.flatten(1, 2)
        skips = []
        for block in self.face_encoder_blocks:
            x = block(x)
            skips.append(x)
        x = torch.cat([self.identity(x), self.audio_encoder(sound)], dim=1)
        for block in self.face_decoder_blocks:
            x = torch.cat([block(x), skips.pop()], dim=1)
        return self.output_block(x).unflatten(1, (WINDOW_FRAMES, DRAWN_CHANNELS))


MouthNetwork = Wav2Lip | Speech2Vid


def _same(width: int) -> NormBlock:
    return NormBlock(nn.Conv2d(width, width, 3, padding=1), residual=True)


def _down(inputs: int, width: int) -> NormBlock:
    return NormBlock(nn.Conv2d(inputs, width, 3, stride=2, padding=1))


def _up(inputs: int, width: int) -> NormBlock:
    return NormBlock(nn.ConvTranspose2d(inputs, width, 3, stride=2, padding=1, output_padding=1))


def cepstra(mfcc: np.ndarray) -> np.ndarray:
    """The sound of a Speech2Vid: SyncNet's without the energy, in units of its deviation.

    Args:
        mfcc: (columns, 13) float32 as `features.mfcc` gives them.

    Returns:
        (12, columns) float32, a column per 10 ms; digital silence is 0 in every row.
    """
    return np.ascontiguousarray(mfcc[:, 1:].T / np.float32(CEPSTRUM_SCALE))


def windows(columns: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """The sound of some windows of five frames.

    Args:
        columns: (12, M) float32 as `cepstra` gives them.
        times_s: (N,) times in the sound of the first frames; beyond its ends there is silence.

    Returns:
        (N, 1, 12, 20) float32.
    """
    starts = np.floor(np.asarray(times_s) * MFCC_RATE + TIME_ROUNDING).astype(np.int64)
    numbers = starts[:, None] + np.arange(WINDOW_COLUMNS)
    last = columns.shape[1] - 1
    cut = columns[:, numbers.clip(0, last)] * ((numbers >= 0) & (numbers <= last))
    return np.ascontiguousarray(cut.transpose(1, 0, 2)[:, None], dtype=np.float32)


def windows_around(columns: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """The same for single frames at some times, each the middle one of its window."""
    return windows(columns, np.asarray(times_s) - MIDDLE_FRAME / FRAME_RATE)
