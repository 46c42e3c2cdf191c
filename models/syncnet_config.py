"""Configurations of a SyncNet: published, small, and the rule for reliable offsets."""

import json
import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from models.calibration import Calibration
from models.features import FRAME_RATE, MFCC_PER_FRAME, SAMPLE_RATE, WINDOW_FRAMES

CROP_PX = 224  # side of the face crops the pipeline cuts


@dataclass(frozen=True)
class SyncNetConfig:
    """Shape of one SyncNet and of its inputs.

    Attributes:
        lip_size_px: side of the square picture the lip tower sees.
        lip_region_px: top, left and side of that square within the 224-pixel crop.
        grey: one channel instead of BGR.
        lip_widths, audio_widths: output channels of convolutions 0, 4, 8, 11, 14, 18.
        window_frames: video frames of a window, odd; one wider than the published five reaches
            out equally to both sides of those five, in both streams.
        lip_kernels: kernel sizes of lip convolutions 0 and 4.
        lip_strides: strides of lip convolution 0, pool 3 (1 = no pool), convolution 4.
        embedding_size: of both towers.
        context_s: subtract the mean of so many surrounding seconds from both streams and
            bring the picture's remaining deviation to 1; 0 leaves both as they are.
        embedding_scale: 0 leaves embeddings as they are; otherwise they get this length, plus
            one constant component that makes the distance to the zero vector equal that of
            unrelated embeddings, so that the zero padding of the shift search favours nothing.
        pair_sigmoid: the network says how probable it is that a window's lips and sound belong
            together: its weights hold a slope and a threshold of their distance.
        zero_ms: what it would read of a recording in sync: the sound is delayed by so much before
            the network hears it. Of these weights, and of no others; training goes without.
        dropout: share of both towers' features that training leaves out at random.
        reliable_confidence: a clip's confidence from which its offset has proved right.
        reliable_margin: and the margin over every other offset that takes in 5 s, see
            `pipeline.sync.offset`.
        calibration: how probable it is that an offset is right, where that has been fitted; then
            it decides, and not confidence and margin.
    """

    lip_size_px: int = CROP_PX
    lip_region_px: tuple[int, int, int] = (0, 0, CROP_PX)
    grey: bool = False
    lip_widths: tuple[int, ...] = (96, 256, 256, 256, 256, 512)
    audio_widths: tuple[int, ...] = (64, 192, 384, 256, 256, 512)
    window_frames: int = WINDOW_FRAMES
    lip_kernels: tuple[int, int] = (7, 5)
    lip_strides: tuple[int, int, int] = (2, 2, 2)
    embedding_size: int = 1024
    context_s: float = 0.0
    embedding_scale: float = 0.0
    pair_sigmoid: bool = False
    zero_ms: float = 0.0
    dropout: float = 0.0
    reliable_confidence: float = 3.0
    reliable_margin: float = 0.0
    calibration: Calibration | None = None

    @property
    def context_frames(self) -> int:
        """`context_s` in video frames."""
        return round(self.context_s * FRAME_RATE)

    @property
    def window_columns(self) -> int:
        """MFCC columns of a window."""
        return self.window_frames * MFCC_PER_FRAME

    @property
    def side_frames(self) -> int:
        """Frames of a window on either side of the five it is centred on."""
        return (self.window_frames - WINDOW_FRAMES) // 2

    @property
    def typical_distance(self) -> float:
        """Of lips and sound before anything is learned.

        Embeddings of one length are at a right angle. Free ones leave a linear layer: each of
        their values has a variance of 1/6 there, and a difference has that of two.
        """
        return (
            self.embedding_scale * 2**0.5
            if self.embedding_scale
            else (self.embedding_size / 3) ** 0.5
        )

    def has_towers_of(self, other: "SyncNetConfig") -> bool:
        """Whether another network sees the same, by the same layers, whatever it has learned."""
        learned: dict[str, Any] = {"calibration": None, "pair_sigmoid": False, "zero_ms": 0.0}
        learned |= dict.fromkeys(("reliable_confidence", "reliable_margin", "dropout"), 0.0)
        scales = bool(self.embedding_scale), bool(other.embedding_scale)
        one, another = (replace(config, embedding_scale=0.0, **learned) for config in (self, other))
        return one == another and scales[0] == scales[1]

    @property
    def zero_samples(self) -> int:
        """`zero_ms` in samples."""
        return round(self.zero_ms * SAMPLE_RATE / 1000)

    @property
    def full_precision(self) -> bool:
        """It gives its published numbers in float32 only; true without scaled embeddings."""
        return not self.embedding_scale

    @property
    def reliable_from(self) -> dict[str, float]:
        """Smallest confidence and margin of a reliable offset."""
        return {
            "reliable_confidence": self.reliable_confidence,
            "reliable_margin": self.reliable_margin,
        }

    @property
    def is_calibrated(self) -> bool:
        """The error rate with somebody else's sound is known.

        Published weights are not calibrated: for them the usual rule of thumb, a confidence of
        3, is used. It says nothing of other networks.
        """
        is_published = self.has_towers_of(PUBLISHED)
        return self.calibration is not None or bool(self.reliable_margin) or is_published

    @property
    def rule(self) -> dict[str, Any]:
        """How pipeline/sync/offset.py decides what is reliable: nothing without a calibration."""
        least = self.reliable_confidence if self.is_calibrated else math.inf
        return self.reliable_from | {"reliable_confidence": least, "calibration": self.calibration}

    @property
    def description(self) -> str:
        """One line for model cards."""
        return (
            f"SyncNet (models/syncnet.py), {self.lip_size_px} px lips, "
            f"windows of {self.window_frames} frames"
        )

    def to_json(self) -> str:
        """The form kept inside a weights file."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> "SyncNetConfig":
        """The inverse of `to_json`."""
        stored = json.loads(text).items()
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored}
        if fields.get("calibration"):
            fields["calibration"] = Calibration.from_dict(fields["calibration"])
        return SyncNetConfig(**fields)


PUBLISHED = SyncNetConfig()
SMALL = SyncNetConfig(
    lip_size_px=48,
    lip_region_px=(80, 56, 112),
    grey=True,
    lip_widths=(24, 40, 64, 80, 96, 256),
    audio_widths=(24, 48, 64, 80, 96, 256),
    lip_kernels=(5, 3),
    lip_strides=(2, 1, 1),
    embedding_size=128,
    window_frames=9,
    context_s=3.84,
    embedding_scale=10.0,
    dropout=0.3,
)
# As the first SyncNets were (Chung and Zisserman, 2016): grey mouths, nothing normalised, five
# frames. Half of the published channels, so that two cores train it.
SIAMESE = SyncNetConfig(
    lip_size_px=112,
    lip_region_px=(80, 56, 112),
    grey=True,
    lip_widths=(48, 128, 128, 128, 128, 256),
    audio_widths=(32, 96, 192, 128, 128, 256),
    embedding_size=256,
    pair_sigmoid=True,
)
