"""Every track's clip scored and written down: what run_syncnet.py does, in order."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models import weights
from models.features import FRAME_RATE, SAMPLES_PER_FRAME
from models.syncnet import CROP_PX, SyncNet
from models.weights import WeightsUsed
from pipeline import cli, media, sync, workspace
from pipeline.errors import InputError
from pipeline.workspace import Workspace

LENGTH_TOLERANCE_S = 1 / FRAME_RATE  # sound and picture of a clip may differ by a frame


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
    sync: sync.Sync | None
    warning: str | None


def score_clip(
    clip: Path, model: SyncNet, *, batch_size: int, vshift: int, device: torch.device
) -> ClipScore:
    """Scores one 224x224 face clip that carries its sound.

    Args:
        clip: a file as run_pipeline.py cuts it.
        model: ready for inference on `device`.
        batch_size: windows in one pass of the network.
        vshift: largest shift searched, frames.
        device: where the model is.

    Raises:
        PipelineError: the clip cannot be read.
    """
    count = 0

    def counted() -> Any:
        nonlocal count
        for frame in media.read_frames(clip, size_px=(CROP_PX, CROP_PX)):
            count += 1
            yield frame

    samples = media.read_audio(clip)
    lips = sync.embed_lips(model, counted(), batch_size=batch_size, device=device)
    windows = sync.window_count(count, len(samples))
    warning = _length_warning(count, len(samples))
    if not windows:
        empty = np.zeros((0, 2 * vshift + 1), np.float32)
        return ClipScore(clip.name, count, empty, None, warning)
    sound = sync.embed_sound(model, samples, batch_size=batch_size, device=device)
    dists = sync.distances(lips[:windows], sound[:windows], vshift=vshift)
    judged = sync.judge(dists, reliable_confidence=model.config.reliable_confidence)
    return ClipScore(clip.name, count, dists, judged, warning)


def _length_warning(frames: int, samples: int) -> str | None:
    if not samples:
        return "no sound: there is nothing to compare the lips with."
    if samples < 2 * SAMPLES_PER_FRAME or frames <= 5:
        return f"too short to score ({frames} frames)."
    audio_s, video_s = samples / SAMPLES_PER_FRAME / FRAME_RATE, frames / FRAME_RATE
    if abs(audio_s - video_s) > LENGTH_TOLERANCE_S:
        return f"WARNING: Audio ({audio_s:.4f}s) and video ({video_s:.4f}s) lengths are different."
    return None


def score_tracks(
    place: Workspace,
    *,
    initial_model: str | Path = "auto",
    batch_size: int = 20,
    vshift: int = 15,
    device: torch.device,
    report: Callable[[ClipScore, WeightsUsed], None],
) -> list[ClipScore]:
    """Scores every clip of a workspace; writes activesd.pckl, offsets.txt and offsets.json.

    Args:
        place: where run_pipeline.py has left clips.
        initial_model: weights file, or "auto".
        batch_size: windows in one pass of the network.
        vshift: largest shift searched, frames.
        device: where the network runs.
        report: called after each clip.

    Raises:
        InputError: run_pipeline.py has not been run, or an option is out of range.
        PipelineError: a clip cannot be read.
    """
    if batch_size < 1 or not 1 <= vshift <= 250:
        raise InputError("--batch_size must be at least 1 and --vshift 1 to 250; see --help.")
    model, used = weights.load_syncnet(initial_model, device=device)
    with place.opened():
        clips = place.crops()
        scores = []
        with cli.progress("face clips scored", len(clips), unit=" clips") as bar:
            for clip in clips:
                score = score_clip(clip, model, batch_size=batch_size, vshift=vshift, device=device)
                scores.append(score)
                report(score, used)
                bar.update(1)
        _write(place, scores, used)
    return scores


def _write(place: Workspace, scores: list[ClipScore], used: WeightsUsed) -> None:
    frame_rate = place.read_frame_rate()
    starts_s = [int(track.frames[0]) / frame_rate for track, _ in place.read_tracks()]
    rows = [
        _row(index, score, used, start_s=starts_s[index] if index < len(starts_s) else 0.0)
        for index, score in enumerate(scores)
    ]
    place.write_distances([score.dists for score in scores])
    workspace.write_text(place.offsets_text, offsets_text(scores))
    workspace.write_json(place.offsets_json, rows)


def offsets_text(scores: list[ClipScore]) -> str:
    """The demo's table: tab-separated file, offset in frames, confidence."""
    lines = ["FILENAME\tOFFSET\tCONF"]
    for score in scores:
        offset = score.sync.offset_frames if score.sync else 0
        confidence = score.sync.confidence if score.sync else 0.0
        lines.append(f"{score.file}\t{offset:d}\t{confidence:.3f}")
    return "\n".join(lines) + "\n"


def _row(index: int, score: ClipScore, used: WeightsUsed, *, start_s: float) -> dict[str, Any]:
    found = score.sync
    return {
        "track": index,
        "file": score.file,
        "start_s": round(start_s, 3),
        "end_s": round(start_s + score.frames / FRAME_RATE, 3),
        "offset_frames": found.offset_frames if found else None,
        "offset_ms": round(found.offset_ms, 1) if found else None,
        "min_dist": found.min_dist if found else None,
        "confidence": found.confidence if found else None,
        "at_search_edge": found.at_search_edge if found else None,
        "reliable": found.reliable if found else False,
        "drift_ms_per_min": found.drift_ms_per_min if found else None,
        "lse_d": found.min_dist if found else None,
        "lse_c": found.confidence if found else None,
        "weights": used.file,
        "weights_sha256": used.sha256,
        "warning": score.warning,
    }
