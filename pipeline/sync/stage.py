"""Every track's clip scored and written down: what run_syncnet.py does, in order."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from models.features import FRAME_RATE
from pipeline.errors import InputError
from pipeline.faces.tracks import Track
from pipeline.media import decode
from pipeline.progress import Progress, silent
from pipeline.speakers import files as speaking_files
from pipeline.speakers.files import Speaking
from pipeline.speakers.video import ScoredTrack, who_speaks_in_video
from pipeline.store import provenance
from pipeline.store.files import json_text, write_json, write_text
from pipeline.store.workspace import Workspace
from pipeline.sync import report
from pipeline.sync.embedded import Embedded, cut_from_video
from pipeline.sync.report import TrackScore
from pipeline.sync.scorer import ClipScore, SyncScorer
from pipeline.verdict.decide import decide
from pipeline.verdict.tracks import JudgedTrack, judge
from pipeline.verdict.video import VideoVerdict, write_verdict

LENGTH_TOLERANCE_FRAMES = 2  # of a clip and its track; a conversion to 25 may round


def score_tracks(
    workspace: Workspace,
    scorer: SyncScorer,
    *,
    each: Callable[[TrackScore], object] = lambda _: None,
    notice: Callable[[str], object] = lambda _: None,
    progress: Progress = silent,
    embedded: Sequence[Embedded] | None = None,
) -> list[TrackScore]:
    """Scores every track of a workspace.

    Writes activesd.pckl, offsets.txt, offsets.json, video.json, speaking.json and speakers.rttm,
    which appear together.

    Args:
        workspace: where run_pipeline.py has left clips.
        scorer: compares lips and sound.
        each: called after each track with its score; when it speaks is decided after the last.
        notice: called with sentences the user should read.
        progress: called after each clip.
        embedded: of each track, where it was embedded while it was cut; None reads the clips.

    Returns:
        A score per track, in their order.

    Raises:
        InputError: run_pipeline.py has not been run, or a track's clip is gone or not its own.
        PipelineError: a clip cannot be read.
    """
    model = scorer.model
    if not model.is_calibrated:
        notice(
            f"{model.weights_file.file} was never calibrated, so no offset is called reliable; "
            "python -m training.calibrate does it, on people it was not trained on."
        )
    with workspace.opened():
        tracks = [track for track, _ in workspace.read_tracks()]
        if embedded is None:
            clips = _clips(workspace, len(tracks), notice=notice)
        else:
            clips = [workspace.crop(number) for number in range(len(tracks))]
        record, frame_rate = workspace.read_record() or {}, workspace.read_frame_rate()
        times_s = workspace.read_frame_times()
        cancels = (record.get("sound") or {}).get("channel") is not None
        scores, judged, compared = [], [], []
        for number, (clip, track) in enumerate(zip(clips, tracks, strict=True)):
            try:
                joined = cut_from_video(
                    scorer.embed(clip) if embedded is None else embedded[number],
                    missing_s=_missing_s(record, track, frame_rate),
                    picture_late_s=_picture_late_s(times_s, track, frame_rate),
                )
            except InputError as error:  # its advice is for files the user gives
                reason = str(error).partition(";")[0]
                raise _not_ours(clip, f"cannot be scored ({reason})") from error
            if "counts" in record:  # the demo's results do not say their frame rate
                _check_length(clip, joined.frames, track, frame_rate)
            score = scorer.compare(joined, file=clip.name)
            start_s = int(track.frames[0]) / frame_rate
            one = judge(
                number,
                joined,
                score,
                start_s=start_s,
                face_px=track.size_px,
                cancels=cancels,
                calibration=model.rule.get("calibration"),
            )
            judged.append(one)
            scores.append(_track_score(score, scorer, one))
            compared.append(_compared(scorer, joined, score, one, track))
            each(scores[-1])
            progress("face clips scored", number + 1, len(clips))
        settings = settings_of(workspace, scorer)
        verdict = _verdict(workspace, judged, record, settings)
        speaking = _who_speaks(workspace, tracks, compared, frame_rate=frame_rate)
        scores = [
            replace(score, speech_s=track.speech_s)
            for score, track in zip(scores, speaking.tracks, strict=True)
        ]
        _write(workspace, scores, verdict, speaking, settings)
    return scores


def _verdict(
    workspace: Workspace,
    judged: list[JudgedTrack],
    record: dict[str, Any],
    settings: dict[str, Any],
) -> VideoVerdict:
    """The verdict of the video; without a record its end is that of its last track."""
    frame_rate = workspace.read_frame_rate()
    shots_s = [(start / frame_rate, end / frame_rate) for start, end in record.get("scenes", [])]
    ends_s = [end for _, end in shots_s] + [track.end_s for track in judged]
    return decide(
        workspace.reference,
        judged,
        shots_s=shots_s,
        end_s=max(ends_s, default=0.0),
        settings=settings,
    )


def _track_score(score: ClipScore, scorer: SyncScorer, judged: JudgedTrack) -> TrackScore:
    return TrackScore(
        track=judged.track,
        start_s=round(judged.start_s, 3),
        end_s=round(judged.end_s, 3),
        clip=score,
        speech_s=(),
        reliable_from=scorer.model.reliable_from,
        weights=scorer.model.weights_file,
        answer=judged.answer,
        over_time=judged.over_time,
        reason=judged.reason,
    )


def _compared(
    scorer: SyncScorer, embedded: Embedded, score: ClipScore, judged: JudgedTrack, track: Track
) -> ScoredTrack:
    """Lips and sound of a track around its offset, which may be beyond all near shifts."""
    dists, offset_frames = score.dists, 0
    if judged.answer and judged.answer.search == "wide":
        offset_frames = judged.answer.offset_frames
        dists = scorer.compare(embedded.centred_on(offset_frames), file=score.file).dists
    return ScoredTrack(int(track.frames[0]), len(track.frames), dists, offset_frames)


def _who_speaks(
    workspace: Workspace, tracks: list[Track], compared: list[ScoredTrack], *, frame_rate: int
) -> Speaking:
    """The faces of each shot compared with each other."""
    last = max((int(track.frames[-1]) + 1 for track in tracks), default=0)
    counts = (workspace.read_record() or {}).get("counts", {})
    return who_speaks_in_video(
        compared,
        decode.read_audio(workspace.audio) if workspace.audio.is_file() else None,
        frames=max(last, int(counts.get("frames", 0))),
        frame_rate=frame_rate,
    )


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


def settings_of(workspace: Workspace, scorer: SyncScorer) -> dict[str, Any]:
    """Settings and versions of a run, as every row of offsets.json holds them.

    They are in every row, not around them, because readers of the file expect a list of rows.

    Args:
        workspace: whose clips are scored.
        scorer: that scores them; it knows what the precision "auto" stands for.
    """
    detector = (workspace.read_record() or {}).get("detector")
    return asdict(scorer.options) | {
        "initial_model": str(scorer.options.initial_model),
        "precision": scorer.model.precision,
        "device": str(scorer.device),
        "detector": detector.get("file") if isinstance(detector, dict) else None,
        "versions": provenance.versions(),
    }


def _clips(workspace: Workspace, tracks: int, *, notice: Callable[[str], object]) -> list[Path]:
    """The clip of every track, in their order, as all that is written is by track number.

    A track without its clip is refused: an empty matrix instead of it would stop the demo's
    readers of activesd.pckl, and leaving it out would give later tracks its number.
    """
    clips = workspace.clips()
    missing = [number for number in range(tracks) if number not in clips]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise InputError(
            f"{workspace.crop(missing[0])}{more} is not there, but {workspace.tracks} holds its "
            "track; run run_pipeline.py again with --overwrite to cut it again."
        )
    others = set(workspace.folder("pycrop").glob("*.avi")) - {
        clips[number] for number in range(tracks)
    }
    if others:
        names = ", ".join(sorted(path.name for path in others)[:3])
        names += f" and {len(others) - 3} more" * (len(others) > 3)
        notice(f"{workspace.folder('pycrop')}: {names} left out, as no track has that number.")
    return [clips[number] for number in range(tracks)]


def _check_length(clip: Path, clip_frames: int, track: Track, frame_rate: int) -> None:
    """Refuses another program's file under the name of a clip: its score would get false times."""
    frames = len(track.frames) * FRAME_RATE / frame_rate
    if abs(clip_frames - frames) > LENGTH_TOLERANCE_FRAMES:
        raise _not_ours(clip, f"has {clip_frames} frames of 40 ms where its track has {frames:.0f}")


def _not_ours(clip: Path, what: str) -> InputError:
    return InputError(
        f"{clip} {what}: it is not what run_pipeline.py cut; run that again with --overwrite."
    )


def _write(
    workspace: Workspace,
    scores: list[TrackScore],
    verdict: VideoVerdict,
    speaking: Speaking,
    settings: dict[str, Any],
) -> None:
    rows = [report.row(score) | {"settings": settings} for score in scores]
    with workspace.collecting() as staging:
        staging.write_distances([score.clip.dists for score in scores])
        write_text(staging.offsets_text, report.offsets_text(scores))
        speech_s = [(track.track, track.speech_s) for track in speaking.tracks]
        write_text(staging.speakers, speaking_files.rttm(workspace.reference, speech_s))
        write_text(staging.speaking, json_text(speaking_files.to_json(speaking)) + "\n")
        write_json(staging.offsets_json, rows)
        write_verdict(staging.verdict, verdict)
        files = (
            *(staging.distances, staging.offsets_text, staging.offsets_json),
            *(staging.verdict, staging.speaking, staging.speakers),
        )
        workspace.commit_files(*(f"pywork/{file.name}" for file in files))
