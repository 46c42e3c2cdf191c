"""Every track's clip scored and written down: what run_syncnet.py does, in order."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch

from models.features import FRAME_RATE
from models.precision import precision_name
from models.syncnet import SyncNet, SyncNetConfig
from models.weights import WeightsUsed
from pipeline import cli, provenance, speaking, workspace
from pipeline.clip_scores import DEFAULT_SYNC, ClipScore, SyncOptions, load_scorer, score_clip
from pipeline.workspace import Workspace


def score_tracks(
    place: Workspace,
    options: SyncOptions = DEFAULT_SYNC,
    *,
    device: torch.device,
    report: Callable[[ClipScore, WeightsUsed], None],
) -> list[ClipScore]:
    """Scores every clip of a workspace; writes activesd.pckl, offsets.txt and offsets.json.

    Args:
        place: where run_pipeline.py has left clips.
        options: settings.
        device: where the network runs.
        report: called after each clip.

    Raises:
        InputError: run_pipeline.py has not been run.
        WeightsError: the weights file is absent or does not fit.
        PipelineError: a clip cannot be read.
    """
    model, used = load_scorer(options.initial_model, device=device, precision=options.precision)
    with place.opened():
        clips = place.crops()
        scores = []
        with cli.progress("face clips scored", len(clips), unit=" clips") as bar:
            for clip in clips:
                score = score_clip(
                    clip,
                    model,
                    batch_size=options.batch_size,
                    vshift=options.vshift,
                    device=device,
                )
                scores.append(score)
                report(score, used)
                bar.update(1)
        _write(place, scores, used, model.config, settings_of(place, options, model, device=device))
    return scores


def settings_of(
    place: Workspace, options: SyncOptions, model: SyncNet, *, device: torch.device
) -> dict[str, Any]:
    """What every row of offsets.json says about how it was made.

    It is in every row, not around them, because readers of the file expect a list of rows.

    Args:
        place: whose clips are scored.
        options: as asked for.
        model: that scored them; it knows what the precision "auto" came to.
        device: where it ran.
    """
    detector = (place.read_record() or {}).get("detector")
    return asdict(options) | {
        "initial_model": str(options.initial_model),
        "precision": precision_name(model.dtype),
        "device": str(device),
        "detector": detector.get("file") if isinstance(detector, dict) else None,
        "versions": provenance.versions(),
    }


def _write(
    place: Workspace,
    scores: list[ClipScore],
    used: WeightsUsed,
    config: SyncNetConfig,
    settings: dict[str, Any],
) -> None:
    frame_rate = place.read_frame_rate()
    starts_s = [int(track.frames[0]) / frame_rate for track, _ in place.read_tracks()]
    rows = [
        _row(index, score, used, start_s=starts_s[index] if index < len(starts_s) else 0.0)
        | config.reliable_from
        | {"settings": settings}
        for index, score in enumerate(scores)
    ]
    place.write_distances([score.dists for score in scores])
    workspace.write_text(place.offsets_text, offsets_text(scores))
    workspace.write_text(place.speakers, speakers_text(place.reference, scores, rows))
    workspace.write_json(place.offsets_json, rows)


def offsets_text(scores: list[ClipScore]) -> str:
    """The demo's table: tab-separated file, offset in frames, confidence."""
    lines = ["FILENAME\tOFFSET\tCONF"]
    for score in scores:
        offset = score.sync.offset_frames if score.sync else 0
        confidence = score.sync.confidence if score.sync else 0.0
        lines.append(f"{score.file}\t{offset:d}\t{confidence:.3f}")
    return "\n".join(lines) + "\n"


def speakers_text(reference: str, scores: list[ClipScore], rows: list[dict[str, Any]]) -> str:
    """Who speaks when, in NIST's RTTM: a line per stretch, the track is the speaker.

    Args:
        reference: of the video; spaces in it become underscores, as columns are told by spaces.
        scores: of the tracks.
        rows: of offsets.json.
    """
    lines = []
    for score, row in zip(scores, rows, strict=True):
        spoken = speaking.speaking(
            score.dists,
            frames=score.frames,
            reliable_confidence=row["reliable_confidence"],
            reliable_margin=row["reliable_margin"],
        )
        for start, end in speaking.stretches(spoken):
            start_s = row["start_s"] + start / FRAME_RATE
            length_s = (end - start) / FRAME_RATE
            lines.append(
                f"SPEAKER {'_'.join(reference.split())} 1 {start_s:.3f} {length_s:.3f} "
                f"<NA> <NA> track_{row['track']} <NA> <NA>"
            )
    return "".join(line + "\n" for line in lines)


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
        "margin": found.margin if found else None,
        "at_search_edge": found.at_search_edge if found else None,
        "reliable": found.reliable if found else False,
        "drift_ms_per_min": found.drift_ms_per_min if found else None,
        "lse_d": found.min_dist if found else None,
        "lse_c": found.confidence if found else None,
        "weights": used.file,
        "weights_sha256": used.sha256,
        "warning": score.warning,
    }
