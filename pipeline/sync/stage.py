"""Every track's clip scored and written down: what run_syncnet.py does, in order."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.features import FRAME_RATE
from models.precision import precision_name
from models.syncnet import SyncNet, SyncNetConfig
from models.weights import WeightsUsed
from pipeline import cli
from pipeline.errors import InputError
from pipeline.faces.tracks import Track
from pipeline.store import provenance, workspace
from pipeline.store.workspace import Workspace
from pipeline.sync import speaking
from pipeline.sync.scorer import DEFAULT_SYNC, ClipScore, SyncOptions, load_scorer, score_clip

LENGTH_TOLERANCE_FRAMES = 2  # of a clip and its track; a conversion to 25 may round


def score_tracks(
    place: Workspace,
    options: SyncOptions = DEFAULT_SYNC,
    *,
    device: torch.device,
    report: Callable[[ClipScore, WeightsUsed], None],
    notice: Callable[[str], object] = print,
) -> list[ClipScore]:
    """Scores every track of a workspace.

    Writes activesd.pckl, offsets.txt, speakers.rttm and offsets.json, which appear together.

    Args:
        place: where run_pipeline.py has left clips.
        options: settings.
        device: where the network runs.
        report: called after each clip.
        notice: called with sentences the user should read.

    Raises:
        InputError: run_pipeline.py has not been run, or a track's clip is gone or not its own.
        WeightsError: the weights file is absent or does not fit.
        PipelineError: a clip cannot be read.
    """
    model, used = load_scorer(options.initial_model, device=device, precision=options.precision)
    if not model.config.is_calibrated:
        notice(
            f"{used.file} was never calibrated, so no offset is called reliable; "
            "python -m training.calibrate does it, on people it was not trained on."
        )
    with place.opened():
        tracks = [track for track, _ in place.read_tracks()]
        clips = _clips(place, len(tracks), notice=notice)
        record, frame_rate = place.read_record() or {}, place.read_frame_rate()
        times_s = place.read_frame_times()
        scores = []
        with cli.progress("face clips scored", len(clips), unit=" clips") as bar:
            for clip, track in zip(clips, tracks, strict=True):
                try:
                    score = score_clip(
                        clip,
                        model,
                        batch_size=options.batch_size,
                        vshift=options.vshift,
                        device=device,
                        missing_s=_missing_s(record, track, frame_rate),
                        picture_late_s=_picture_late_s(times_s, track, frame_rate),
                    )
                except InputError as error:  # its advice is for files the user gives
                    reason = str(error).partition(";")[0]
                    raise _not_ours(clip, f"cannot be scored ({reason})") from error
                if "counts" in record:  # the demo's results do not say their frame rate
                    _check_length(clip, score, track, frame_rate)
                scores.append(score)
                report(score, used)
                bar.update(1)
        settings = settings_of(place, options, model, device=device)
        _write(place, scores, tracks, used, model.config, settings)
    return scores


def _missing_s(record: dict[str, Any], track: Track, frame_rate: int) -> list[tuple[float, float]]:
    """Where the video has no sound, on the clock of a track's clip."""
    sound = record.get("sound") or {}
    start_s = int(track.frames[0]) / frame_rate
    return [(start - start_s, end - start_s) for start, end in sound.get("missing_s", [])]


def _picture_late_s(times_s: np.ndarray | None, track: Track, frame_rate: int) -> float:
    """By how much a track's pictures stand later on the grid than the video shows them."""
    if times_s is None or len(times_s) <= track.frames[-1]:
        return 0.0
    return float(np.mean(track.frames / frame_rate - times_s[track.frames]))


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


def _clips(place: Workspace, tracks: int, *, notice: Callable[[str], object]) -> list[Path]:
    """The clip of every track, in their order, as all that is written is by track number.

    A track whose clip is gone is refused: distances of nothing in its place would stop the demo's
    readers of activesd.pckl, and leaving it out would give later tracks its number.
    """
    clips = place.clips()
    missing = [number for number in range(tracks) if number not in clips]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise InputError(
            f"{place.crop(missing[0])}{more} is not there, but {place.tracks} holds its track; "
            "run run_pipeline.py again with --overwrite to cut it again."
        )
    others = set(place.room("pycrop").glob("*.avi")) - {clips[number] for number in range(tracks)}
    if others:
        names = ", ".join(sorted(path.name for path in others)[:3])
        names += f" and {len(others) - 3} more" * (len(others) > 3)
        notice(f"{place.room('pycrop')}: {names} left out, as no track has that number.")
    return [clips[number] for number in range(tracks)]


def _check_length(clip: Path, score: ClipScore, track: Track, frame_rate: int) -> None:
    """Refuses another program's file under the name of a clip: its score would get false times."""
    frames = len(track.frames) * FRAME_RATE / frame_rate
    if abs(score.frames - frames) > LENGTH_TOLERANCE_FRAMES:
        raise _not_ours(
            clip, f"has {score.frames} frames of 40 ms where its track has {frames:.0f}"
        )


def _not_ours(clip: Path, what: str) -> InputError:
    return InputError(
        f"{clip} {what}: it is not what run_pipeline.py cut; run that again with --overwrite."
    )


def _write(
    place: Workspace,
    scores: list[ClipScore],
    tracks: list[Track],
    used: WeightsUsed,
    config: SyncNetConfig,
    settings: dict[str, Any],
) -> None:
    frame_rate = place.read_frame_rate()
    rows = [
        _row(number, score, used, start_s=int(track.frames[0]) / frame_rate)
        | config.reliable_from
        | {"settings": settings}
        for number, (score, track) in enumerate(zip(scores, tracks, strict=True))
    ]
    with place.collecting() as staging:
        staging.write_distances([score.dists for score in scores])
        workspace.write_text(staging.offsets_text, offsets_text(scores))
        workspace.write_text(staging.speakers, speakers_text(place.reference, scores, rows))
        workspace.write_json(staging.offsets_json, rows)
        files = (staging.distances, staging.offsets_text, staging.speakers, staging.offsets_json)
        place.commit_files(*(f"pywork/{file.name}" for file in files))


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


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _row(number: int, score: ClipScore, used: WeightsUsed, *, start_s: float) -> dict[str, Any]:
    found = score.sync
    return {
        "track": number,
        "file": score.file,
        "start_s": round(start_s, 3),
        "end_s": round(start_s + score.frames / FRAME_RATE, 3),
        "offset_frames": found.offset_frames if found else None,
        "offset_ms": round(found.offset_ms, 1) if found else None,
        "min_dist": found.min_dist if found else None,
        "confidence": found.confidence if found else None,
        "margin": found.margin if found else None,
        "at_search_edge": found.at_search_edge if found else None,
        "probability": _rounded(found.probability, 4) if found else None,
        "reliable": found.reliable if found else False,
        "drift_ms_per_min": found.drift_ms_per_min if found else None,
        "lse_d": found.min_dist if found else None,
        "lse_c": found.confidence if found else None,
        "weights": used.file,
        "weights_sha256": used.sha256,
        "warning": score.warning,
    }
