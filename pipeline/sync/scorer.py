"""One face clip scored: decoded, embedded, compared; nothing is written here."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from models import folding, weights
from models.features import FRAME_RATE, SAMPLES_PER_FRAME
from models.options import check_fields, check_number
from models.precision import PRECISIONS, Precision, check_precision, chosen
from models.syncnet import CROP_PX, PUBLISHED, SyncNet
from models.weights import WeightsUsed
from pipeline.media import decode
from pipeline.sync import embeddings, reliability
from pipeline.sync import offset as sync_offset

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


@dataclass(frozen=True)
class ClipScore:
    """One scored clip.

    Attributes:
        file: its name.
        frames: how many it has, at 25 per second.
        dists: (windows, shifts) float32; no rows when it is too short or silent.
        sync: what they say, None without windows.
        warning: what the user should know about it, None where nothing.
    """

    file: str
    frames: int
    dists: np.ndarray
    sync: sync_offset.Sync | None
    warning: str | None


@dataclass(frozen=True)
class Embedded:
    """One clip as the network sees it.

    Attributes:
        frames: how many it has, at 25 per second.
        samples: how many it has, at 16000 per second.
        heard: (windows,) bool, which windows have sound to compare with.
        audible_share: of the sound's frames, those within 35 dB of the loudest.
        picture_late_s: by how much pictures stand later than the source shows them, in the mean.
        lips, sound: (windows, E) float32, window by window; `sync.window_count` says how many.
        features: (frames - 4, F) float32, lip features before the head; None unless asked for.
    """

    frames: int
    samples: int
    heard: np.ndarray
    audible_share: float
    picture_late_s: float
    lips: torch.Tensor
    sound: torch.Tensor
    features: torch.Tensor | None


def load_scorer(
    initial_model: str | Path = DEFAULT_SYNC.initial_model,
    *,
    device: torch.device,
    precision: Precision = DEFAULT_SYNC.precision,
) -> tuple[SyncNet, WeightsUsed]:
    """A SyncNet in its fast form: batch norms folded into the layers before them.

    Args:
        initial_model: weights file, or "auto".
        device: where it runs.
        precision: see `SyncOptions`.

    Raises:
        InputError: there is no such precision.
        WeightsError: the file is absent or does not fit.
    """
    check_precision(precision)
    model, used = weights.load_syncnet(initial_model, device=device)
    resolved = chosen(precision, published=model.config == PUBLISHED, device=device)
    return folding.fold_batch_norms(model).narrowed(PRECISIONS[resolved]), used


def score_clip(
    clip: Path,
    model: SyncNet,
    *,
    batch_size: int,
    vshift: int,
    device: torch.device,
    missing_s: Sequence[tuple[float, float]] = (),
    picture_late_s: float = 0.0,
) -> ClipScore:
    """Scores one face clip that carries its sound.

    Args:
        clip: a file as run_pipeline.py cuts it; pictures of another size are resized.
        model: ready for inference on `device`.
        batch_size: windows in one pass of the network.
        vshift: largest shift searched, frames.
        device: where the model is.
        missing_s: (start, end) of stretches in which the clip's sound is no recording, seconds.
        picture_late_s: by how much its pictures stand later than where they were cut from shows
            them, in the mean.

    Raises:
        PipelineError: the clip cannot be read; InputError where it is no video.
    """
    embedded = embed_clip(clip, model, batch_size=batch_size, device=device)
    embedded = replace(
        embedded,
        heard=embedded.heard & sync_offset.heard_windows(missing_s, len(embedded.heard)),
        picture_late_s=embedded.picture_late_s + picture_late_s,
    )
    return judge_clip(clip, embedded, model, vshift=vshift)


def embed_clip(
    clip: Path,
    model: SyncNet,
    *,
    batch_size: int,
    device: torch.device,
    with_features: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Embedded:
    """Embeds lips and sound of one clip, streamed: pictures are never in memory together.

    Args:
        clip, model, batch_size, device: as for `score_clip`, which says what is raised, too.
        with_features: keep the lip features.
        progress: called with 1 after each frame.
    """
    count = 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal count
        for frame in crop_frames(clip, info):
            count += 1
            yield frame
            if progress:
                progress(1)

    info = decode.probe(clip)
    samples, missing_s = decode.read_sound(clip, info=info)
    columns, sample_count = embeddings.sound_columns(samples, model.config), len(samples)
    audible_share = reliability.audible_share(samples)
    del samples  # hours of them would be the largest thing here
    sound = embeddings.embed_columns(model, columns, batch_size=batch_size, device=device)
    features = None
    if with_features:
        lips, features = embed_lips_and_features(
            model, counted(), batch_size=batch_size, device=device
        )
    else:
        lips = embeddings.embed_lips(model, counted(), batch_size=batch_size, device=device)
    windows = sync_offset.window_count(count, sample_count)
    return Embedded(
        frames=count,
        samples=sample_count,
        heard=sync_offset.heard_windows(missing_s, windows),
        audible_share=audible_share,
        picture_late_s=decode.picture_late_s(clip, info, frames=count),
        lips=lips[:windows],
        sound=sound[:windows] if windows else lips[:0],
        features=features,
    )


def crop_frames(clip: Path, info: decode.MediaInfo | None = None) -> Iterator[np.ndarray]:
    """Streams a clip at 25 frames per second as (224, 224, 3) uint8 BGR.

    Other sizes are resized by bilinear interpolation, as crops are cut and as LSE is published.
    """
    for frame in decode.read_frames(clip, info=info):
        whole = frame.shape[:2] == (CROP_PX, CROP_PX)
        yield frame if whole else cv2.resize(frame, (CROP_PX, CROP_PX))


def embed_lips_and_features(
    model: SyncNet, frames: Iterable[np.ndarray], *, batch_size: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """`embeddings.embed_lips`, and what the lip tower gives before its head, in one pass.

    Args:
        model: ready for inference on `device`.
        frames: (224, 224, 3) uint8 BGR crops.
        batch_size: windows in one pass of the network.
        device: where the model is.

    Returns:
        (frames - 4, E) and (frames - 4, F) float32 on the CPU; F is 512 for published weights.
    """
    found: list[torch.Tensor] = []
    tap = model.netcnnlip.register_forward_hook(
        lambda _tower, _windows, features: found.append(features.flatten(1).float().cpu())
    )
    try:
        lips = embeddings.embed_lips(model, frames, batch_size=batch_size, device=device)
    finally:
        tap.remove()
    return lips, torch.cat(found) if found else torch.zeros(0, 1)


def judge_clip(clip: Path, embedded: Embedded, model: SyncNet, *, vshift: int) -> ClipScore:
    """The score of an embedded clip; arguments as for `score_clip`."""
    warning = _warning(embedded)
    if not embedded.heard.any():
        empty = np.zeros((0, 2 * vshift + 1), np.float32)
        return ClipScore(clip.name, embedded.frames, empty, None, warning)
    dists = embeddings.distances(embedded.lips, embedded.sound, vshift=vshift)
    judged = sync_offset.judge(
        dists,
        embedded.heard,
        **model.config.rule,
        audible_share=embedded.audible_share,
    )
    # Sound leads by as much more as the pictures are late.
    offset_ms = judged.offset_ms - 1000 * embedded.picture_late_s
    judged = replace(judged, offset_ms=offset_ms)
    # What was compared with nothing prefers no shift, for whoever reads the distances.
    dists[~embedded.heard] = np.median(dists[embedded.heard].mean(axis=0))
    return ClipScore(clip.name, embedded.frames, dists, judged, warning)


def _warning(embedded: Embedded) -> str | None:
    """What the user should know of a clip before reading its score."""
    frames, samples, heard = embedded.frames, embedded.samples, embedded.heard
    if not samples or (len(heard) and not heard.any()):
        return "no sound: there is nothing to compare the lips with."
    if not len(heard):
        return f"too short to score ({frames} frames)."
    audio_s, video_s = samples / SAMPLES_PER_FRAME / FRAME_RATE, frames / FRAME_RATE
    if abs(audio_s - video_s) > LENGTH_TOLERANCE_S:
        return f"WARNING: Audio ({audio_s:.4f}s) and video ({video_s:.4f}s) lengths are different."
    if not heard.all():
        return f"{np.count_nonzero(~heard)} of {len(heard)} windows have no sound and no say."
    return None


def demo_words(score: ClipScore, used: WeightsUsed) -> str:
    """One clip's result as the SyncNet demo prints it, below its name and the weights'."""
    lines = [f"{score.file} ({used.file})", *([score.warning] if score.warning else [])]
    if found := score.sync:
        with np.printoptions(formatter={"float": "{: 0.3f}".format}):
            lines.append(f"Framewise conf: \n{found.framewise}")
        lines.append(f"AV offset: \t{found.offset_frames} \nMin dist: \t{found.min_dist:.3f}")
        lines.append(f"Confidence: \t{found.confidence:.3f}")
    return "\n".join(lines)
