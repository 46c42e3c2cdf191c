"""The corrected file scored: the same lips, which were copied bit for bit, with its own sound."""

import shutil
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.features import SAMPLE_RATE
from pipeline.correction.plan import Plan
from pipeline.errors import PipelineError
from pipeline.faces import crops
from pipeline.media import clock, process
from pipeline.media.probe import probe
from pipeline.progress import Progress
from pipeline.store.files import write_json
from pipeline.store.workspace import FOLDERS, Workspace
from pipeline.sync.scorer import SyncScorer
from pipeline.sync.stage import score_tracks
from pipeline.verdict.video import VideoVerdict, read_verdict

TRACK_FILES = ("tracks.pckl", "faces.pckl", "scene.pckl", "frame_times.npy")

Stretches = list[tuple[float, float]]


def score_again(
    workspace: Workspace,
    corrected: Path,
    folder: Path,
    scorer: SyncScorer,
    *,
    audio_stream: int,
    missing_s: Stretches,
    progress: Progress,
) -> VideoVerdict:
    """Scores the tracks of a workspace with the sound of a corrected file.

    Args:
        workspace: of the original.
        corrected: the file.
        folder: an existing folder for passing files.
        scorer: compares lips and sound.
        audio_stream: number of its sound that is scored.
        missing_s: stretches of the picture without sound, seconds.
        progress: called after each clip.

    Raises:
        PipelineError: a file cannot be read or written.
    """
    again = tracks_with_sound(
        workspace, corrected, folder, audio_stream=audio_stream, missing_s=missing_s
    )
    score_tracks(again, scorer, notice=lambda _: None, progress=progress)
    return read_verdict(again.verdict)


def tracks_with_sound(
    workspace: Workspace,
    video: Path,
    folder: Path,
    *,
    audio_stream: int | None,
    missing_s: Stretches,
) -> Workspace:
    """What run_pipeline.py would leave of a file with the same picture and another sound.

    Args:
        workspace: of a video with this picture.
        video: the file.
        folder: an existing folder, for the results.
        audio_stream: number of its sound; None for the one that run_pipeline.py would take.
        missing_s: stretches of the picture without sound, seconds.
    """
    again = Workspace(folder, workspace.reference)
    for name in FOLDERS:
        again.folder(name).mkdir(parents=True)
    for name in TRACK_FILES:
        if (workspace.folder("pywork") / name).is_file():
            shutil.copyfile(workspace.folder("pywork") / name, again.folder("pywork") / name)
    _write_audio(video, again.audio, folder, audio_stream=audio_stream)
    for number, (track, _) in enumerate(workspace.read_tracks()):
        sound = folder / "track.s16"
        crops.write_sound(again.audio, sound, track, frame_rate=workspace.read_frame_rate())
        _with_sound(workspace.crop(number), sound, again.crop(number))
    record: dict[str, Any] = workspace.read_record() or {}
    record["sound"] = (record.get("sound") or {}) | {"missing_s": missing_s}
    write_json(again.record, record)
    return again


def _write_audio(video: Path, target: Path, folder: Path, *, audio_stream: int | None) -> None:
    """Writes the sound of a file as run_pipeline.py does, mono at 16 kHz."""
    info = probe(video, audio_stream=audio_stream)
    sound = clock.read_contents(video, info, folder, sample_rate=SAMPLE_RATE).sound
    if sound is None:
        raise PipelineError(f"{video} has no sound that can be scored; run it again.")
    with wave.open(str(target), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        for block in sound.blocks():
            file.writeframesraw(sound.mixed(block).tobytes())


def _with_sound(clip: Path, sound: Path, target: Path) -> None:
    """Writes a face clip with another sound: the pictures are copied."""
    raw = ("-f", "s16le", "-ar", str(SAMPLE_RATE), "-ac", "1", *process.input_words(sound))
    streams = ("-map", "0:v", "-map", "1:a", "-c", "copy", "-f", "avi")
    words = [*process.input_words(clip), *raw, *streams, target]
    process.run(words, f"Writing {target}", source=clip, files=[target])


def moved_stretches(
    missing_s: Sequence[tuple[float, float]],
    plan: Plan,
    *,
    extent_s: tuple[float, float],
    end_s: float,
) -> Stretches:
    """Where a moved sound is missing: where it was, and what it was moved away from.

    Args:
        missing_s: stretches of the original without sound, seconds of the video.
        plan: how it was moved.
        extent_s: when it started and ended.
        end_s: when the picture ends.

    Returns:
        Stretches within the picture.
    """
    outside_s = 2 * end_s + max(abs(move.delay_s) for move in plan.moves)
    gaps_s = [(-outside_s, extent_s[0]), *missing_s, (extent_s[1], outside_s)]
    ends_s = [*(move.start_s for move in plan.moves[1:]), end_s]
    moved: Stretches = []
    for move, until_s in zip(plan.moves, ends_s, strict=True):
        for start_s, stop_s in gaps_s:
            first_s = max(move.start_s, start_s / plan.speed + move.delay_s)
            last_s = min(until_s, stop_s / plan.speed + move.delay_s)
            if first_s < last_s:
                moved.append((round(first_s, 3), round(last_s, 3)))
    return sorted(moved)
