"""Chosen tracks of a video given new mouths for new audio: what run_wav2lip.py does, in order."""

import functools
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models import folding, weights
from models.device import precision_name, torch_device
from models.weights import WeightsFile
from pipeline.dubbing import generate, source_frames
from pipeline.dubbing.choose import (
    DubOptions,
    Source,
    choose,
    corrections,
    find_source,
    voices_of,
)
from pipeline.dubbing.driving_audio import Voice
from pipeline.dubbing.face_path import FacePath
from pipeline.dubbing.generate import DubTrack, Generator
from pipeline.dubbing.score import score_dubbed
from pipeline.dubbing.source_frames import Fit
from pipeline.errors import InputError
from pipeline.faces.crops import recorded_crop_scale
from pipeline.faces.tracks import Track
from pipeline.media import decode
from pipeline.media.mp4 import Mp4Writer, Sound
from pipeline.progress import Progress, counted, silent
from pipeline.store import provenance
from pipeline.store.files import write_json
from pipeline.store.workspace import Workspace
from pipeline.sync.scorer import SyncScorer
from pipeline.texture.library import FacePaths
from pipeline.texture.plan import Planner, TexturedFace


@dataclass(frozen=True)
class Dubbed:
    """What a run made.

    Attributes:
        video: the file.
        frames: how many it has.
        regenerated: frames with a new mouth, by track.
        notices: sentences for the user.
        textures: whose pixels the new mouths have, by track; empty where nobody asked for own ones.
        scores: of each track before and after, where they were asked for.
    """

    video: Path
    frames: int
    regenerated: dict[int, int]
    notices: list[str]
    textures: dict[str, dict[str, Any]]
    scores: dict[str, dict[str, Any]]

    def report(self) -> Iterator[str]:
        """Lines for the user."""
        yield from self.notices
        for number, count in sorted(self.regenerated.items()):
            yield f"track {number}: new mouth on {count} of {self.frames} frames"
        for number_text, texture in self.textures.items():
            if texture["reason"]:
                yield (
                    f"track {number_text}: drawn by the generator alone, because "
                    f"{texture['reason']}; --texture_video takes a video of the same person."
                )
            for reason, count in texture["refused"].items():
                yield (
                    f"track {number_text}: the generator's mouth on {count} frames, "
                    f"because {reason}."
                )
        for track, pair in self.scores.items():
            for name in ("original", "regenerated"):
                score = pair[name]
                words = (
                    f"LSE-D {score['lse_d']:.3f}, LSE-C {score['lse_c']:.3f}, "
                    f"offset {score['offset_frames']}"
                    if score
                    else "nothing to compare"
                )
                yield f"track {track} {name}: {words}"
        if not self.regenerated:
            yield "No frame was changed: the chosen tracks are not on any frame shown."
        yield f"{self.frames} frames in {self.video}"


def dub(
    workspace: Workspace,
    options: DubOptions,
    *,
    device: str | torch.device = "auto",
    video: Path | None = None,
    score: bool = False,
    progress: Progress = silent,
) -> Dubbed:
    """Writes video_wav2lip.mp4 and wav2lip.json.

    Args:
        workspace: results of run_pipeline.py (and of run_syncnet.py, for the measured offset and
            for "speaking").
        options: settings.
        device: where the networks run.
        video: where the input of run_pipeline.py is now; None: where it was.
        score: compare lips and sound before and after, too.
        progress: called after each frame.

    Raises:
        InputError: a stage is missing, there is no such track, or an audio file has no sound.
        PipelineError: reading or writing failed.
    """
    where = torch_device(device)
    with workspace.opened():
        source, notices = find_source(workspace, video)
        tracks = [track for track, _ in workspace.read_tracks(frame_size_px=source.size_px)]
        chosen = choose(workspace, tracks, options.tracks)
        model, weights_file = weights.load_wav2lip(options.checkpoint, device=where)
        generator = Generator(folding.fold_batch_norms(model), where, options.batch_size)
        voices, sounds = voices_of(
            workspace,
            source,
            chosen,
            options,
            with_cepstra=generator.hears_cepstra,
            separate_voice=model.config.separate_voice,
        )
        notices += corrections(source, sounds)
        dub_tracks = _dub_tracks(workspace, source, tracks, voices, chosen, options)
        frames = _length(source, voices, options.fit)
        if options.texture_video and not options.texture_video.is_file():
            raise InputError(f"--texture_video {options.texture_video} is not a file.")
        with workspace.collecting() as staging, ExitStack() as stack:
            if options.texture == "own" and options.blend:
                dub_tracks = _textured(
                    workspace,
                    staging.scratch,
                    source,
                    dub_tracks,
                    generator,
                    frames=frames,
                    options=options,
                    stack=stack,
                    progress=progress,
                )
            written, counts = _render(
                staging,
                source,
                dub_tracks,
                sounds,
                generator,
                frames=frames,
                options=options,
                progress=progress,
            )
            textures = {
                str(part.track): part.texture.record() for part in dub_tracks if part.texture
            }
            result = Dubbed(workspace.dubbed_video, written, counts, notices, textures, scores={})
            record = _record(result, source, sounds, options) | _made_by(model, weights_file, where)
            write_json(staging.dubbed_record, record)
            workspace.commit_files(
                f"pyavi/{workspace.dubbed_video.name}", f"pywork/{workspace.dubbed_record.name}"
            )
        if score:
            scorer = SyncScorer(device=where)
            result.scores.update(score_dubbed(workspace, workspace.dubbed_video, voices, scorer))
            write_json(workspace.dubbed_record, record | {"scores": result.scores})
    return result


def _dub_tracks(
    workspace: Workspace,
    source: Source,
    tracks: list[Track],
    voices: dict[int, Voice],
    chosen: dict[int, np.ndarray],
    options: DubOptions,
) -> list[DubTrack]:
    width, height = source.size_px
    if max(astuple(options.pads)) > max(width, height):
        raise InputError(f"--pads reach beyond a picture of {width}x{height}; see --help.")
    rate = workspace.read_frame_rate()
    return [
        DubTrack(
            number,
            FacePath(
                tracks[number], frame_rate=rate, pads=options.pads, frame_size_px=source.size_px
            ),
            voices[number],
            spoken,
        )
        for number, spoken in chosen.items()
    ]


def _textured(
    workspace: Workspace,
    scratch: Path,
    source: Source,
    dub_tracks: list[DubTrack],
    generator: Generator,
    *,
    frames: int | None,
    options: DubOptions,
    stack: ExitStack,
    progress: Progress,
) -> list[DubTrack]:
    """The same faces with their new mouths planned, which takes a first pass over the source."""
    folder = scratch / "texture"
    folder.mkdir()
    crop_scale = recorded_crop_scale(workspace)
    crops = [crop for _, crop in workspace.read_tracks(frame_size_px=source.size_px)]
    late_s = _late_s(workspace)
    planner = Planner(
        [
            TexturedFace(
                part.track,
                FacePaths(part.path, crops[part.track], crop_scale),
                part.region,
                part.voice,
                late_s.get(part.track, 0.0),
            )
            for part in dub_tracks
        ],
        SyncScorer(device=generator.device).model,
        folder=folder,
        stack=stack,
        size_px=source.size_px,
        frame_rate=source.frame_rate,
        matrix=source.colour.matrix,
    )
    buffers = decode.read_planes(source.path, size_px=source.size_px, frame_rate=source.frame_rate)
    samples = None
    if source.audio_stream is not None:
        info = decode.probe(source.path, audio_stream=source.audio_stream)
        samples = decode.read_audio(source.path, info=info)
    libraries = planner.gather(
        counted(buffers, "own mouths", progress=progress, total=lambda: source.claimed_frames),
        samples,
    )
    if options.texture_video:
        library = planner.gather_from(
            options.texture_video, device=generator.device, progress=progress
        )
        libraries = dict.fromkeys(libraries, library)
    textures = planner.plan(libraries, generator.draw, frames=frames, fit=options.fit)
    return [replace(part, texture=textures[part.track]) for part in dub_tracks]


def _late_s(workspace: Workspace) -> dict[int, float | None]:
    """By how much the lips of each measured track are later than the sound of the video.

    None where that is not reliable: it may be somebody else who speaks.
    """
    if not workspace.offsets_json.is_file():
        return {}
    return {
        row["track"]: float(row["offset_ms"]) / 1000 if row.get("reliable") else None
        for row in workspace.read_offsets()
        if isinstance(row.get("track"), int)
    }


def _length(source: Source, voices: dict[int, Voice], fit: Fit) -> int | None:
    if fit == "video":
        return None
    return max(1, round(max(voice.end_s for voice in voices.values()) * source.frame_rate))


def _render(
    staging: Workspace,
    source: Source,
    dub_tracks: list[DubTrack],
    sounds: list[Sound],
    generator: Generator,
    *,
    frames: int | None,
    options: DubOptions,
    progress: Progress,
) -> tuple[int, dict[int, int]]:
    """Writes the video; gives how many frames it has, and how many were changed by track."""
    rate, frame_store = source.frame_rate, staging.scratch / "shown"
    frame_store.mkdir()
    frames_in_order = source_frames.playback(
        source.path,
        frame_rate=rate,
        frames=frames,
        fit=options.fit,
        frame_store=frame_store,
        read=functools.partial(decode.read_planes, size_px=source.size_px),
    )
    made = generate.regenerated(
        frames_in_order,
        dub_tracks,
        generator,
        size_px=source.size_px,
        frame_rate=rate,
        matrix=source.colour.matrix,
        blended=options.blend,
    )
    return _write(staging, source, made, sounds, total=frames, progress=progress)


def _write(
    staging: Workspace,
    source: Source,
    made: Iterator[tuple[np.ndarray, list[int]]],
    sounds: list[Sound],
    *,
    total: int | None,
    progress: Progress,
) -> tuple[int, dict[int, int]]:
    counts: dict[int, int] = {}
    written = 0
    with Mp4Writer(
        staging.dubbed_video,
        size_px=source.size_px,
        frame_rate=source.frame_rate,
        sounds=sounds,
        pixels="yuv420p",
        colour=source.colour,
        sar=source.sar,
    ) as writer:
        known = total or source.claimed_frames
        reported = counted(made, "new mouths", progress=progress, total=lambda: known)
        for buffer, changed in reported:
            writer.write(buffer)
            written += 1
            for number in changed:
                counts[number] = counts.get(number, 0) + 1
    return written, counts


def _made_by(
    model: torch.nn.Module, weights_file: WeightsFile, device: torch.device
) -> dict[str, Any]:
    """Weights, resolved precision, device, versions: how the mouths were made."""
    return {
        "generator": asdict(weights_file),
        "precision": precision_name(next((p.dtype for p in model.parameters()), torch.float32)),
        "device": str(device),
        "versions": provenance.versions(),
    }


def _record(
    result: Dubbed, source: Source, sounds: list[Sound], options: DubOptions
) -> dict[str, Any]:
    settings = asdict(options) | {
        "audio": {
            "all" if number is None else str(number): str(path)
            for number, path in options.audio.items()
        },
        "checkpoint": str(options.checkpoint),
        "texture_video": options.texture_video and str(options.texture_video),
    }
    return {
        "source": str(source.path),
        "frame_rate": source.frame_rate,
        "frames": result.frames,
        "regenerated": {str(track): count for track, count in result.regenerated.items()},
        "sounds": [asdict(sound) | {"path": str(sound.path)} for sound in sounds],
        "settings": settings,
        "textures": result.textures,
        "notices": result.notices,
    }
