"""One video to shots, face tracks and face clips: what run_pipeline.py does, in order."""

import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from models.device import torch_device
from models.weights import WeightsFile
from pipeline.errors import InputError, PipelineError
from pipeline.faces import crops, tracks
from pipeline.faces import shots as shot_cuts
from pipeline.faces.crops import OpenClip
from pipeline.faces.detector import Detector, FaceStream, detector_weights, load_detector
from pipeline.faces.options import FaceOptions, check_scale, why_nothing
from pipeline.media import decode, normalise, process
from pipeline.progress import Progress, counted, silent
from pipeline.store import provenance
from pipeline.store.files import write_json
from pipeline.store.workspace import FOLDERS, Workspace


@dataclass(frozen=True)
class Faces:
    """The faces of a video, as they now are in its workspace.

    Attributes:
        workspace: its folders.
        tracks: how many tracks there are.
        was_complete: complete results of the same input and settings were there already.
        notices: sentences for the user: what was not found and why, what was damaged.
    """

    workspace: Workspace
    tracks: int
    was_complete: bool
    notices: list[str]


def find_faces(
    video: Path,
    workspace: Workspace,
    options: FaceOptions,
    *,
    device: str | torch.device = "auto",
    overwrite: bool = False,
    detector: Detector | None = None,
    progress: Progress = silent,
) -> Faces:
    """Makes everything of `workspace` from a video, or keeps complete results.

    Args:
        video: the input.
        workspace: where results go; untouched until they are complete.
        options: settings.
        device: where the detector runs, without one in `detector`.
        overwrite: make everything again, and replace results of another input or other settings.
        detector: to find faces with, for many videos; None loads `options.detector`.
        progress: called after each frame.

    Raises:
        InputError: the input is no video, or other results are in the way.
        PipelineError: decoding or writing failed.
    """
    info = _probed(video, options)
    where = torch_device(device)
    weights_file = detector.weights_file if detector else detector_weights(options.detector)
    source = _source(video, options, weights_file, loaded=detector is not None)
    with workspace.locked():
        workspace.finish_commit()
        record = workspace.read_record()
        again: list[str] = []
        same = record is not None and _is_of(record, source)
        if record is not None and same and not overwrite:
            missing = workspace.missing()
            if not missing:
                return Faces(
                    workspace,
                    record["counts"]["tracks"],
                    was_complete=True,
                    notices=record["notices"],
                )
            again = [f"{_names(missing)} missing: everything was made again."]
        if workspace.occupied() and not (overwrite or same):
            raise InputError(
                f"{workspace.folder('pywork')} and its siblings hold other results; "
                "add --overwrite to replace them or choose another --reference."
            )
        with workspace.collecting() as staging:
            detector = detector or load_detector(
                options.detector, device=where, precision=options.precision
            )
            results = _make(video, info, staging, options, detector, progress=progress)
            where = getattr(detector, "device", where)
            _write_record(staging, source, results, video=video, detector=detector, device=where)
            _check_complete(staging)
            if again:
                _keep_later_results(workspace, staging)
            workspace.commit()
    return Faces(workspace, results.counts["tracks"], False, again + results.notices)


def find_passing_faces(
    video: Path,
    workspace: Workspace,
    options: FaceOptions,
    *,
    detector: Detector,
    device: str | torch.device,
    open_clip: OpenClip,
    hold_bytes: int,
    progress: Progress = silent,
) -> Faces:
    """`find_faces` whose crops go to a function and whose video is in no file.

    Args:
        video, options, progress: as for `find_faces`.
        workspace: empty, and thrown away after its tracks are scored.
        detector, device: as for `find_faces`.
        open_clip: takes the crops.
        hold_bytes: of frames in memory; a larger video is decoded twice.

    Raises:
        InputError, PipelineError: as for `find_faces`.
    """
    options = replace(options, keep_frames=False, keep_video=False)
    info = _probed(video, options)
    for name in FOLDERS:
        workspace.folder(name).mkdir(parents=True)
    results = _make(
        *(video, info, workspace, options, detector),
        progress=progress,
        open_clip=open_clip,
        hold_bytes=hold_bytes,
    )
    source = _source(video, options, detector.weights_file, loaded=True)
    _write_record(workspace, source, results, video=video, detector=detector, device=device)
    return Faces(workspace, results.counts["tracks"], False, results.notices)


def _probed(video: Path, options: FaceOptions) -> decode.MediaInfo:
    """What the input is; raises InputError where these options cannot be used on it."""
    info = decode.probe(video, audio_stream=options.audio_stream)
    if not info.width_px:
        raise InputError(f"{video} has no video stream; give a file with a picture.")
    check_scale(options, (info.width_px, info.height_px))
    return info


def _source(
    video: Path, options: FaceOptions, weights_file: WeightsFile, *, loaded: bool
) -> dict[str, Any]:
    """What decides whether earlier results are still valid.

    Args:
        video, options: of the run.
        weights_file: of its detector.
        loaded: Python had loaded the detector, so `options` does not name it.
    """
    settings = asdict(options) | {"facedet_scale": options.detection_scale}
    return {
        "input": provenance.identity(video),
        "settings": settings | ({"detector": weights_file.file} if loaded else {}),
        "detector": asdict(weights_file),
    }


def _is_of(record: dict[str, Any], source: dict[str, Any]) -> bool:
    """Whether results have this input, these settings and this detector.

    Settings that an older record lacks had their defaults. Detectors are compared by the digest
    of their weights, however they were named.
    """
    settings = record.get("settings")
    if not isinstance(settings, dict):
        return False
    same_name = {"detector": source["settings"]["detector"]}
    recorded = record | {"settings": asdict(FaceOptions()) | settings | same_name}
    return all(recorded.get(key) == source[key] for key in source)


def _write_record(
    workspace: Workspace,
    source: dict[str, Any],
    results: "_Results",
    *,
    video: Path,
    detector: Detector,
    device: str | torch.device,
) -> None:
    """Writes pipeline.json, the last file of a complete workspace."""
    write_json(
        workspace.record,
        source
        | {"file": str(video.resolve()), "precision": detector.precision}
        | asdict(results)
        | {"ffmpeg": process.ffmpeg_version()}
        | {"device": str(device), "versions": provenance.versions()},
    )


def _check_complete(staging: Workspace) -> None:
    """Raises PipelineError where a file that pipeline.json promises is not there."""
    if missing := staging.missing():
        raise PipelineError(
            f"{_names(missing)} missing at the end of the run: is the disk full, or was "
            "something deleted? Run it again."
        )


def _names(paths: list[Path]) -> str:
    if len(paths) == 1:
        return f"{paths[0]} is"
    return f"{paths[0]} and {len(paths) - 1} more files are"


def _keep_later_results(workspace: Workspace, staging: Workspace) -> None:
    """Takes along what later stages made of the same tracks: nothing of it has become wrong."""
    if not (
        workspace.tracks.is_file() and workspace.tracks.read_bytes() == staging.tracks.read_bytes()
    ):
        return
    for folder_name in ("pyavi", "pywork"):
        for file in sorted(workspace.folder(folder_name).glob("[!.]*")):
            copy = staging.folder(folder_name) / file.name
            if file.is_file() and not copy.exists():
                shutil.copyfile(file, copy)


@dataclass(frozen=True)
class _Results:
    """What pipeline.json says of a run's results.

    Attributes:
        counts: of frames, detected frames, scenes, detections and tracks.
        scenes: shots as [start, end) frame indices.
        notices: sentences for the user.
        sound: of the workspace; None without any.
    """

    counts: dict[str, int]
    scenes: list[tuple[int, int]]
    notices: list[str]
    sound: dict[str, Any] | None


def _make(
    video: Path,
    info: decode.MediaInfo,
    staging: Workspace,
    options: FaceOptions,
    detector: Detector,
    *,
    progress: Progress,
    open_clip: OpenClip | None = None,
    hold_bytes: int = 0,
) -> _Results:
    """Everything a complete workspace has but its record."""
    stream = FaceStream(
        detector, facedet_scale=options.detection_scale, detect_every=options.detect_every
    )
    shots = shot_cuts.ShotDetector(frame_rate=options.frame_rate)
    decoding = normalise.Normalisation(
        video,
        info,
        avi=staging.video if options.keep_video else None,
        wav=staging.audio,
        pictures=staging.folder("pyframes") if options.keep_frames else None,
        frame_rate=options.frame_rate,
        hold_bytes=hold_bytes,
    )
    for frame in counted(
        decoding, "frames, shots, faces", progress=progress, total=lambda: decoding.total_frames
    ):
        shots.feed(frame)
        stream.feed(frame)
    faces, scenes = stream.faces(), shots.scenes()
    tracking, paths = _track(staging, faces, scenes, options)
    staging.write_frame_times(decoding.times_s)
    # Decoding twice costs no more than reading pictures back, and clips lose nothing to JPEG.
    crops.write_crops(
        staging,
        decoding.again,
        tracking.tracks,
        paths,
        crop_scale=options.crop_scale,
        frame_rate=options.frame_rate,
        progress=progress,
        sar=info.sar,
        open_clip=open_clip,
    )
    size_px = (info.width_px, info.height_px)
    return _Results(
        counts={
            "frames": len(faces),
            "detected_frames": stream.detected_frames,
            "scenes": len(scenes),
            "detections": sum(map(len, faces)),
            "tracks": len(tracking.tracks),
        },
        scenes=scenes,
        notices=_notices(video, info, decoding)
        + why_nothing(faces, scenes, tracking, options, frame_size_px=size_px),
        # A sound stream that holds nothing leaves no sound.
        sound=asdict(decoding.sound) if decoding.sound and decoding.audible else None,
    )


def _track(
    staging: Workspace,
    faces: list[list[tracks.Face]],
    scenes: list[tuple[int, int]],
    options: FaceOptions,
) -> tuple[tracks.Tracking, list[tracks.CropPath]]:
    """Joins faces to tracks, smooths their paths and writes faces, shots and tracks down."""
    tracking = tracks.build_tracks(
        faces,
        scenes,
        min_track=options.min_track,
        num_failed_det=options.num_failed_det,
        min_face_size=options.min_face_size,
    )
    paths = [tracks.smooth(track) for track in tracking.tracks]
    staging.write_faces(faces)
    staging.write_scenes(scenes, frame_rate=options.frame_rate)
    staging.write_tracks(tracking.tracks, paths)
    return tracking, paths


def _notices(video: Path, info: decode.MediaInfo, decoding: normalise.Normalisation) -> list[str]:
    """What the user should know of a video's streams."""
    notices = [decoding.damage] if decoding.damage else []
    if not info.has_audio:
        notices.append(f"{video} has no sound: tracks are made, but there is no sync to measure.")
    if decoding.sound is not None:
        notices += decoding.sound.notices(video)
    if info.colour.hdr:
        notices.append(
            f"{video} is {info.colour.hdr} video: the pictures and clips made of it keep its "
            "levels, so they look pale where a screen takes them for ordinary video."
        )
    return notices
