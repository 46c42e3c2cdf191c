"""Face clip to distances to offset, confidence and speaking.

Window i is frames i .. i+4 with MFCC columns 4i .. 4i+19. Row i of the distances holds the
distance of its lips to the sound of windows i - vshift .. i + vshift; the mean over all windows is
smallest where sound and lips belong together. A positive offset means that the sound leads.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import median_filter

from models import features, syncnet
from models.features import FRAME_RATE, SAMPLES_PER_FRAME, WINDOW_FRAMES
from models.syncnet import SyncNet, SyncNetConfig

FRAME_MS = 1000 / FRAME_RATE
CONFIDENCE_FRAMES = 9  # window of the median over framewise confidence
WINDOW_CENTRE = WINDOW_FRAMES // 2  # window i tells about frame i + 2
PAIRWISE_EPS = 1e-6  # torch's pairwise_distance adds it to differences; kept for equal numbers
ROWS_AT_ONCE = 1000  # of the distance matrix: bounds memory
CONTEXT_CHUNK_FRAMES = 250  # new frames normalised at a time
NEIGHBOUR_SHIFTS = 2  # so near the best shift another is the same answer
DRIFT_PIECE_S = 5.0
DRIFT_PIECES = 4  # fewer give no slope worth telling


@dataclass(frozen=True)
class Sync:
    """What one face clip says about its sound.

    Attributes:
        offset_frames: by how many frames the sound leads (> 0) or lags (< 0).
        offset_ms: the same below one frame's resolution, from shifts that stay within the clip.
        min_dist: smallest mean distance; small when lips and sound match.
        confidence: median minus smallest mean distance; large when one shift stands out.
        margin: by how much every other offset, more than two frames away, is further off.
        framewise: (windows,) float32, confidence of each window at the clip's offset.
        at_search_edge: the offset is the largest that was tried, so the true one may be larger.
        reliable: confidence and margin have been right so far, and the offset is not at the edge.
        drift_ms_per_min: how the offset changes along the clip; None where it is too short
            or the offset not reliable.
    """

    offset_frames: int
    offset_ms: float
    min_dist: float
    confidence: float
    margin: float
    framewise: np.ndarray
    at_search_edge: bool
    reliable: bool
    drift_ms_per_min: float | None


def window_count(frames: int, samples: int) -> int:
    """Windows of a clip with so many frames and samples; the demo's count, one below possible."""
    return max(0, min(frames, samples // SAMPLES_PER_FRAME) - WINDOW_FRAMES)


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
        windows = syncnet.lip_windows(torch.from_numpy(joined), config)
        found += [model.forward_lip(part.to(device)).cpu() for part in windows.split(batch_size)]
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
            model.forward_aud(part.contiguous().to(device)).cpu()
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


def judge(dists: np.ndarray, *, reliable_confidence: float, reliable_margin: float = 0.0) -> Sync:
    """Offset and confidence from a distance matrix; numbers as the published program's.

    Args:
        dists: (windows, 2 vshift + 1) float32, at least one window.
        reliable_confidence: confidence from which an offset is called reliable.
        reliable_margin: and the margin that takes.
    """
    vshift = dists.shape[1] // 2
    mean = dists.mean(axis=0)
    best = int(mean.argmin())
    confidence = float(np.median(mean) - mean[best])
    at_edge = best in (0, 2 * vshift)
    margin = margin_of(mean)
    sure = confidence >= reliable_confidence and margin >= reliable_margin
    reliable = sure and not at_edge
    return Sync(
        offset_frames=vshift - best,
        offset_ms=_subframe_offset(dists, near=best) * FRAME_MS,
        min_dist=float(mean[best]),
        confidence=confidence,
        margin=margin,
        framewise=median_filter(
            np.median(mean) - dists[:, best], CONFIDENCE_FRAMES, mode="constant"
        ),
        at_search_edge=at_edge,
        reliable=reliable,
        drift_ms_per_min=_drift(dists) if reliable else None,
    )


def margin_of(mean: np.ndarray) -> float:
    """How much further every other offset is than the best; its neighbours are no others.

    Args:
        mean: (shifts,) mean distance per shift.
    """
    best = int(mean.argmin())
    others = mean[np.abs(np.arange(len(mean)) - best) > NEIGHBOUR_SHIFTS]
    return float(others.min() - mean[best]) if len(others) else 0.0


def valid_mean(dists: np.ndarray) -> np.ndarray:
    """Mean distance per shift over the windows whose sound exists; NaN where none does."""
    windows, shifts = dists.shape
    vshift = shifts // 2
    rows, columns = np.arange(windows)[:, None], np.arange(shifts)[None]
    source = rows + columns - vshift
    inside = (source >= 0) & (source < windows)
    counted = inside.sum(axis=0)
    total = np.where(inside, dists, 0).sum(axis=0, dtype=np.float64)
    return np.where(counted > 0, total / np.maximum(counted, 1), np.nan)


def _subframe_offset(dists: np.ndarray, *, near: int | None = None) -> float:
    """Offset in frames: the vertex of the parabola through the best shift and its neighbours."""
    mean = valid_mean(dists)
    if near is None:
        near = int(np.nanargmin(mean))
    else:  # padding may have moved the published answer by a shift
        around = slice(max(0, near - 1), near + 2)
        if not np.isnan(mean[around]).all():
            near = around.start + int(np.nanargmin(mean[around]))
    vshift = len(mean) // 2
    if not 0 < near < len(mean) - 1:
        return float(vshift - near)
    left, middle, right = mean[near - 1 : near + 2]
    curvature = left - 2 * middle + right
    if not np.isfinite(curvature) or curvature <= 1e-9:
        return float(vshift - near)
    return float(vshift - near - np.clip(0.5 * (left - right) / curvature, -0.5, 0.5))


def _drift(dists: np.ndarray) -> float | None:
    """Slope of the offsets of successive pieces, by the median of all pairs (Theil-Sen)."""
    size = round(DRIFT_PIECE_S * FRAME_RATE)
    offsets = [
        _subframe_offset(dists[start : start + size])
        for start in range(0, len(dists) - size + 1, size)
    ]
    if len(offsets) < DRIFT_PIECES:
        return None
    later, earlier = np.triu_indices(len(offsets), 1)[::-1]
    slopes = (np.array(offsets)[later] - np.array(offsets)[earlier]) / (later - earlier)
    return float(np.median(slopes) * FRAME_MS * 60 / DRIFT_PIECE_S)


def confidence_per_frame(
    dists: np.ndarray, *, frames: int, frame_rate: int = FRAME_RATE
) -> np.ndarray:
    """Confidence of each frame of a track at the track's offset, for drawing and speaking.

    Window i tells about its middle frame, i + 2; frames before the first and after the last
    window take the nearest one's.

    Args:
        dists: (windows, shifts).
        frames: length of the track.
        frame_rate: of the track; windows are always 40 ms apart.

    Returns:
        (frames,) float32; zeros where there is no window at all.
    """
    if not len(dists):
        return np.zeros(frames, np.float32)
    mean = dists.mean(axis=0)
    windowed = np.median(mean) - dists[:, mean.argmin()]
    at_25 = np.rint(np.arange(frames) * (FRAME_RATE / frame_rate)).astype(int)
    nearest = np.clip(at_25 - WINDOW_CENTRE, 0, len(windowed) - 1)
    steady = median_filter(windowed, CONFIDENCE_FRAMES, mode="nearest")
    return steady[nearest].astype(np.float32)
