"""Face clips scored by a lip-sync network: decoded, embedded, compared; nothing is written here.

Another network is a class that is a `SyncModel`, in a file of its own, and a row in `SYNC_MODELS`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch

from models import weights
from models.device import Precision, torch_device
from models.errors import WeightsError
from models.features import FRAME_RATE, SAMPLES_PER_FRAME
from models.options import check_fields, check_number
from models.syncnet import CROP_PX
from models.weights import WeightsFile
from pipeline.media import decode
from pipeline.progress import Progress, counted, silent
from pipeline.sync import embeddings, reliability
from pipeline.sync import offset as sync_offset
from pipeline.sync.embedded import Embedded, EmbeddedSound, cut_from_video, join
from pipeline.sync.embeddings import SyncNetModel
from pipeline.verdict.traits import sound_traits

LENGTH_TOLERANCE_S = 1 / FRAME_RATE  # sound and picture of a clip may differ by a frame
LARGEST_VSHIFT = 250  # frames: ten seconds


@dataclass(frozen=True)
class SyncOptions:
    """How clips are scored: the one set of defaults of every script and function that does.

    Attributes:
        initial_model: weights file, or "auto": the published one where it is, else the bundled.
        batch_size: windows in one pass of the network.
        vshift: largest shift searched, frames.
        precision: of both towers: fp32, bf16, or auto: for our own weights the fastest of the
            device's own.
    """

    initial_model: str | Path = "auto"
    batch_size: int = 20
    vshift: int = 15
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        check_fields(self)
        check_number("batch_size", self.batch_size, least=1)
        check_number("vshift", self.vshift, least=1, most=LARGEST_VSHIFT)


DEFAULT_SYNC = SyncOptions()


class LipEmbedder(Protocol):
    """Takes the crops of one face, one by one."""

    def add(self, frame: np.ndarray) -> None:
        """Takes the next (224, 224, 3) uint8 BGR crop."""

    def finish(self) -> torch.Tensor:
        """(frames - 4, E) float32 on the CPU, a row for every five frames; empty for fewer."""

    @property
    def features(self) -> torch.Tensor | None:
        """(frames - 4, F) float32 before the head, once finished; None unless asked for."""


class SyncModel(Protocol):
    """A lip-sync network: embeddings of lips and sound in one space, 25 windows per second.

    Attributes:
        weights_file: its weights, for the record of a run.
        precision: that it computes in, for the same.
        is_calibrated: it is known how rarely somebody else's sound would be called reliable.
        reliable_from: confidence and margin of an offset that has proved right, by name.
        rule: how `offset.judge` decides what is reliable: its keywords.
    """

    weights_file: WeightsFile
    precision: str
    is_calibrated: bool
    reliable_from: dict[str, float]
    rule: dict[str, Any]

    def lip_embedder(self, *, batch_size: int, with_features: bool = False) -> LipEmbedder:
        """For the crops of one face; several may be fed side by side."""

    def sound_features(self, samples: np.ndarray) -> np.ndarray:
        """What `embed_sound` takes, from (n,) int16 mono at 16 kHz, which may be long."""

    def embed_sound(self, features: np.ndarray, *, batch_size: int) -> torch.Tensor:
        """(windows, E) float32 on the CPU, a row for every five frames of sound."""


# By the name of the network that a weights file carries; see `weights.network_of`.
SYNC_MODELS: dict[str, Callable[..., SyncModel]] = {"syncnet": SyncNetModel.load}


@dataclass(frozen=True)
class ClipScore:
    """One scored clip.

    Attributes:
        file: its name.
        frames: how many it has, at 25 per second.
        dists: (windows, shifts) float32; no rows when it is too short or silent.
        sync: offset and confidence, None without windows.
        warning: what the user should know about it, None where nothing.
    """

    file: str
    frames: int
    dists: np.ndarray
    sync: sync_offset.Sync | None
    warning: str | None


def load_model(
    initial_model: str | Path = DEFAULT_SYNC.initial_model,
    *,
    device: torch.device,
    precision: Precision = DEFAULT_SYNC.precision,
) -> SyncModel:
    """Loads the network that a weights file is of.

    Args:
        initial_model: weights file, or "auto".
        device: where it runs.
        precision: see `SyncOptions`.

    Raises:
        InputError: there is no such precision.
        WeightsError: the file is absent, does not fit, or is of an unknown network.
    """
    network = weights.network_of(initial_model)
    if network not in SYNC_MODELS:
        raise WeightsError(
            f"{initial_model} is of a network called {network}; "
            f"this version knows {', '.join(SYNC_MODELS)}."
        )
    return SYNC_MODELS[network](initial_model, device=device, precision=precision)


class SyncScorer:
    """A lip-sync network, loaded, and the settings it scores with.

    Args:
        options: settings.
        device: "auto", cpu, cuda, cuda:N or mps.
        model: to score with; None loads `options.initial_model`.

    Attributes:
        options, device, model: as given, or as "auto" resolved them.

    Raises:
        InputError: there is no such device.
        WeightsError: the weights file is absent or does not fit.
    """

    def __init__(
        self,
        options: SyncOptions = DEFAULT_SYNC,
        *,
        device: str | torch.device = "auto",
        model: SyncModel | None = None,
    ) -> None:
        self.options = options
        self.device = torch_device(device)
        self.model = model or load_model(
            options.initial_model, device=self.device, precision=options.precision
        )

    def score(
        self,
        clip: Path,
        *,
        missing_s: Sequence[tuple[float, float]] = (),
        picture_late_s: float = 0.0,
    ) -> ClipScore:
        """Scores one face clip that carries its sound.

        Args:
            clip: a file as run_pipeline.py cuts it; pictures of another size are resized.
            missing_s: (start, end) of stretches without recorded sound, seconds of the clip.
            picture_late_s: by how much its pictures stand later than where they were cut from
                shows them, in the mean.

        Raises:
            PipelineError: the clip cannot be read; InputError where it is no video.
        """
        embedded = cut_from_video(
            self.embed(clip), missing_s=missing_s, picture_late_s=picture_late_s
        )
        return self.compare(embedded, file=clip.name)

    def embed(
        self, clip: Path, *, with_features: bool = False, progress: Progress = silent
    ) -> Embedded:
        """Embeds lips and sound of one clip, streamed: pictures are never in memory together.

        Args:
            clip: as for `score`, which says what is raised, too.
            with_features: keep the lip features.
            progress: called after each frame.
        """
        info = decode.probe(clip)
        samples, missing_s = decode.read_sound(clip, info=info)
        sound = self.embed_sound(samples)
        del samples  # hours of them would be the largest thing here
        embedder = self.model.lip_embedder(
            batch_size=self.options.batch_size, with_features=with_features
        )
        frames = 0
        total = round(info.duration_s * FRAME_RATE) if info.duration_s else None
        for frame in counted(
            crop_frames(clip, info), "frames scored", progress=progress, total=lambda: total
        ):
            embedder.add(frame)
            frames += 1
        joined = join(embedder.finish(), sound, frames=frames, missing_s=missing_s)
        late_s = decode.picture_late_s(clip, info, frames=frames)
        return replace(joined, picture_late_s=late_s, features=embedder.features)

    def embed_sound(self, samples: np.ndarray) -> EmbeddedSound:
        """Embeds (n,) int16 mono sound at 16 kHz."""
        features = self.model.sound_features(samples)
        return EmbeddedSound(
            samples=len(samples),
            audible_share=reliability.audible_share(samples),
            embeddings=self.model.embed_sound(features, batch_size=self.options.batch_size),
            traits=sound_traits(samples),
            is_silent=reliability.silent_windows(samples, len(samples) // SAMPLES_PER_FRAME),
        )

    def compare(self, embedded: Embedded, *, file: str) -> ClipScore:
        """The score of an embedded clip.

        Args:
            embedded: by `embed`.
            file: its name.
        """
        vshift, warning = self.options.vshift, _warning(embedded)
        if not embedded.has_sound.any():
            empty = np.zeros((0, 2 * vshift + 1), np.float32)
            return ClipScore(file, embedded.frames, empty, None, warning)
        dists = embeddings.distances(embedded.lips, embedded.sound, vshift=vshift)
        sync = sync_offset.judge(
            dists, embedded.has_sound, **self.model.rule, audible_share=embedded.audible_share
        )
        # Sound leads by as much more as the pictures are late.
        sync = replace(sync, offset_ms=sync.offset_ms - 1000 * embedded.picture_late_s)
        # Windows without sound must not prefer a shift, in activesd.pckl either.
        dists[~embedded.has_sound] = np.median(dists[embedded.has_sound].mean(axis=0))
        return ClipScore(file, embedded.frames, dists, sync, warning)

    def score_frames(
        self, crops: Iterable[np.ndarray], samples: np.ndarray
    ) -> sync_offset.Sync | None:
        """Scores a face that is in no file.

        Args:
            crops: (224, 224, 3) uint8 BGR, 25 per second.
            samples: (n,) int16 mono at 16 kHz, from the first crop on.

        Returns:
            None where there is not one window to compare.
        """
        embedder = self.lip_embedder()
        for crop in crops:
            embedder.add(crop)
        return self.score_lips(embedder.finish(), samples)

    def lip_embedder(self) -> LipEmbedder:
        """For the crops of one face, when those of several come mixed; see `score_lips`."""
        return self.model.lip_embedder(batch_size=self.options.batch_size)

    def score_lips(self, lips: torch.Tensor, samples: np.ndarray) -> sync_offset.Sync | None:
        """Scores embedded lips.

        Args:
            lips: (frames - 4, E), of `lip_embedder`.
            samples: as for `score_frames`, which says what is returned, too.
        """
        sound = self.model.embed_sound(
            self.model.sound_features(samples), batch_size=self.options.batch_size
        )
        windows = min(len(lips) - 1, len(sound) - 1)
        if windows < 1:
            return None
        dists = embeddings.distances(lips[:windows], sound[:windows], vshift=self.options.vshift)
        audible_share = reliability.audible_share(samples)
        return sync_offset.judge(dists, **self.model.rule, audible_share=audible_share)


def crop_frames(clip: Path, info: decode.MediaInfo | None = None) -> Iterator[np.ndarray]:
    """Streams a clip at 25 frames per second as (224, 224, 3) uint8 BGR.

    Other sizes are resized by bilinear interpolation, as crops are cut and as LSE is published.
    """
    for frame in decode.read_frames(clip, info=info):
        right_size = frame.shape[:2] == (CROP_PX, CROP_PX)
        yield frame if right_size else cv2.resize(frame, (CROP_PX, CROP_PX))


def _warning(embedded: Embedded) -> str | None:
    """What the user should know of a clip before reading its score."""
    frames, samples, has_sound = embedded.frames, embedded.samples, embedded.has_sound
    if not samples or (len(has_sound) and not has_sound.any()):
        return "no sound: there is nothing to compare the lips with."
    if not len(has_sound):
        return f"too short to score ({frames} frames)."
    audio_s, video_s = samples / SAMPLES_PER_FRAME / FRAME_RATE, frames / FRAME_RATE
    if abs(audio_s - video_s) > LENGTH_TOLERANCE_S:
        return f"WARNING: Audio ({audio_s:.4f}s) and video ({video_s:.4f}s) lengths are different."
    if not has_sound.all():
        silent_windows = np.count_nonzero(~has_sound)
        return f"{silent_windows} of {len(has_sound)} windows have no sound and do not count."
    return None
