"""One video to shots, face tracks and face clips: what run_pipeline.py does, in order."""

import math
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from models import s3fd, weights
from models.features import FRAME_RATE
from models.options import check_fields, check_number
from models.precision import Precision, chosen
from models.s3fd import S3FD
from models.weights import Detector, WeightsUsed
from pipeline import cli
from pipeline.errors import InputError, PipelineError
from pipeline.faces import crops, tracks
from pipeline.faces import shots as shot_cuts
from pipeline.faces.detector import FaceDetector, largest_scale
from pipeline.media import decode, process
from pipeline.store import provenance, workspace
from pipeline.store.workspace import Workspace

FACE_AT_DETECTOR_PX = 25  # the smallest face wanted is brought to this size for detection
LARGEST_FRAME_RATE = 120
LARGEST_DETECT_EVERY = 100  # frames; so many are held, at the detector's scale


@dataclass(frozen=True)
class PipelineOptions:
    """Settings of one run, named as their flags.

    Attributes:
        facedet_scale: factor from frame to detector; None means 25 / min_face_size.
        crop_scale: margin around the face in its clip.
        min_track: a track needs more detections than this, frames.
        frame_rate: frames per second everything is converted to.
        num_failed_det: frames a face may go undetected inside a track.
        min_face_size: faces must be larger than this, pixels of the frame.
        detector: auto, s3fd or small.
        detect_every: frames from one the detector always sees to the next; 1 shows it every frame.
        keep_frames: leave every frame as a picture in pyframes/.
        audio_stream: which of the video's sound streams, counted from 0; None for the one that
            players take.
        precision: the detector's arithmetic: fp32, bf16, or auto: for our own weights the fastest
            of the device's own.
    """

    facedet_scale: float | None = None
    crop_scale: float = crops.CROP_SCALE
    min_track: int = 100
    frame_rate: int = FRAME_RATE
    num_failed_det: int = 25
    min_face_size: int = 100
    detector: Detector = "auto"
    detect_every: int = 5
    keep_frames: bool = True
    audio_stream: int | None = None
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        check_fields(self)
        check_number("facedet_scale", self.facedet_scale, above=0, optional=True)
        check_number("crop_scale", self.crop_scale, least=0, most=5)
        check_number("min_track", self.min_track, least=0)
        check_number("frame_rate", self.frame_rate, least=1, most=LARGEST_FRAME_RATE)
        check_number("num_failed_det", self.num_failed_det, least=0)
        check_number("min_face_size", self.min_face_size, least=1)
        check_number("detect_every", self.detect_every, least=1, most=LARGEST_DETECT_EVERY)

    @property
    def detection_scale(self) -> float:
        """What `facedet_scale` comes to."""
        return self.facedet_scale or FACE_AT_DETECTOR_PX / self.min_face_size


@dataclass(frozen=True)
class Prepared:
    """How a run ended.

    Attributes:
        tracks: number of tracks now in the workspace.
        kept: complete results of the same input and settings were there already.
        notices: sentences for the user: what was not found and why, what was damaged.
    """

    tracks: int
    kept: bool
    notices: list[str]


def prepare(
    video: Path,
    place: Workspace,
    options: PipelineOptions,
    *,
    device: torch.device,
    overwrite: bool = False,
    loaded_detector: tuple[S3FD, WeightsUsed] | None = None,
) -> Prepared:
    """Makes everything of `place` from a video, or keeps what is already complete.

    Args:
        video: the input.
        place: where results go; untouched until they are complete.
        options: settings.
        device: where the detector runs.
        overwrite: make everything again, and replace results of another input or other settings.
        loaded_detector: what `weights.load_s3fd` gives, for many videos; None loads it.

    Raises:
        InputError: the input is no video, or other results are in the way.
        PipelineError: decoding or writing failed.
    """
    info = decode.probe(video, audio_stream=options.audio_stream)
    if not info.width_px:
        raise InputError(f"{video} has no video stream; give a file with a picture.")
    check_scale(options, (info.width_px, info.height_px))
    settings = asdict(options) | {"facedet_scale": options.detection_scale}
    identity = {
        "input": {"sha256": weights.sha256(video), "bytes": video.stat().st_size},
        "settings": settings,
        "detector": asdict(
            loaded_detector[1] if loaded_detector else weights.s3fd_used(options.detector)
        ),
    }
    with place.locked():
        place.finish_commit()
        record = place.read_record()
        again: list[str] = []
        same = record is not None and all(record.get(key) == identity[key] for key in identity)
        if record is not None and same and not overwrite:
            missing = place.missing()
            if not missing:
                return Prepared(record["counts"]["tracks"], kept=True, notices=record["notices"])
            again = [f"{_listed(missing)} missing: everything was made again."]
        if place.occupied() and not (overwrite or same):
            raise InputError(
                f"{place.room('pywork')} and its siblings hold other results; "
                "add --overwrite to replace them or choose another --reference."
            )
        with place.collecting() as staging:
            loaded = loaded_detector or weights.load_s3fd(options.detector, device=device)
            result = _make(video, info, staging, options, identity, loaded[0], device=device)
            if again:
                _keep_later_results(place, staging)
            place.commit()
    return replace(result, notices=again + result.notices)


def _make(
    video: Path,
    info: decode.MediaInfo,
    staging: Workspace,
    options: PipelineOptions,
    identity: dict[str, Any],
    model: S3FD,
    *,
    device: torch.device,
) -> Prepared:
    """Everything a complete workspace has, or PipelineError."""
    published = model.config == s3fd.PUBLISHED
    precision = chosen(options.precision, published=published, device=device)
    detector = FaceDetector(
        model,
        device=device,
        facedet_scale=options.detection_scale,
        detect_every=options.detect_every,
        precision=precision,
    )
    result, extra = _run(video, info, staging, options, detector)
    workspace.write_json(
        staging.record,
        identity
        | {"file": str(video.resolve()), "precision": precision}
        | extra
        | {"ffmpeg": process.ffmpeg_version()}
        | {"device": str(device), "versions": provenance.versions()},
    )
    if missing := staging.missing():
        raise PipelineError(
            f"{_listed(missing)} missing at the end of the run: is the disk full, or was "
            "something deleted? Run it again."
        )
    return result


def _listed(paths: list[Path]) -> str:
    if len(paths) == 1:
        return f"{paths[0]} is"
    return f"{paths[0]} and {len(paths) - 1} more files are"


def _keep_later_results(place: Workspace, staging: Workspace) -> None:
    """Takes along what later stages made of the same tracks: nothing of it has become wrong."""
    if not (place.tracks.is_file() and place.tracks.read_bytes() == staging.tracks.read_bytes()):
        return
    for room in ("pyavi", "pywork"):
        for file in sorted(place.room(room).glob("[!.]*")):
            copy = staging.room(room) / file.name
            if file.is_file() and not copy.exists():
                shutil.copyfile(file, copy)


def _run(
    video: Path,
    info: decode.MediaInfo,
    staging: Workspace,
    options: PipelineOptions,
    detector: FaceDetector,
) -> tuple[Prepared, dict[str, Any]]:
    shots = shot_cuts.ShotDetector(frame_rate=options.frame_rate)
    decoding = decode.Normalisation(
        video,
        info,
        avi=staging.video,
        wav=staging.audio,
        pictures=staging.room("pyframes") if options.keep_frames else None,
        frame_rate=options.frame_rate,
    )
    with cli.progress("frames, shots, faces", None) as bar:
        for frame in decoding:
            bar.total = decoding.total_frames
            shots.feed(frame)
            detector.feed(frame)
            bar.update(1)
    staging.write_frame_times(decoding.times_s)
    faces, found_scenes = detector.faces(), shots.scenes()
    tracking = tracks.build_tracks(
        faces,
        found_scenes,
        min_track=options.min_track,
        num_failed_det=options.num_failed_det,
        min_face_size=options.min_face_size,
    )
    paths = [tracks.smooth(track) for track in tracking.tracks]
    staging.write_faces(faces)
    staging.write_scenes(found_scenes, frame_rate=options.frame_rate)
    staging.write_tracks(tracking.tracks, paths)
    # Decoding twice costs no more than reading pictures back, and clips lose nothing to JPEG.
    with cli.progress("face clips", crops.frames_needed(tracking.tracks)) as bar:
        crops.write_crops(
            staging,
            decoding.again,
            tracking.tracks,
            paths,
            crop_scale=options.crop_scale,
            frame_rate=options.frame_rate,
            progress=bar.update,
            sar=info.sar,
        )
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
    size_px = (info.width_px, info.height_px)
    notices += why_nothing(faces, found_scenes, tracking, options, frame_size_px=size_px)
    counts = {
        "frames": len(faces),
        "detected_frames": detector.detected_frames,
        "scenes": len(found_scenes),
        "detections": sum(map(len, faces)),
        "tracks": len(tracking.tracks),
    }
    return (
        Prepared(len(tracking.tracks), kept=False, notices=notices),
        {
            "counts": counts,
            "scenes": found_scenes,
            "notices": notices,
            # A sound stream that holds nothing leaves no sound.
            "sound": asdict(decoding.sound) if decoding.sound and decoding.audible else None,
        },
    )


def check_scale(options: PipelineOptions, frame_size_px: tuple[int, int]) -> None:
    """Refuses, with InputError, to enlarge frames of this (width, height) beyond all bounds."""
    scale = options.detection_scale
    if scale <= largest_scale(frame_size_px):
        return
    width, height = frame_size_px
    if options.facedet_scale is None:
        flag = f"--min_face_size {options.min_face_size}"
        possible = f"at least {_smallest_face(frame_size_px)}"
    else:
        flag = f"--facedet_scale {options.facedet_scale:g}"
        possible = f"at most {_rounded_down(largest_scale(frame_size_px)):g}"
    raise InputError(
        f"{flag} would show the detector {width * scale:.0f}x{height * scale:.0f} pixels of each "
        f"{width}x{height} frame; give {possible}."
    )


def _smallest_face(frame_size_px: tuple[int, int]) -> int:
    """The smallest `min_face_size` without a `facedet_scale`."""
    return max(1, math.ceil(FACE_AT_DETECTOR_PX / largest_scale(frame_size_px)))


def _rounded_down(scale: float) -> float:
    return math.floor(scale * 1000) / 1000


def why_nothing(
    faces: list[list[tracks.Face]],
    found_scenes: list[tuple[int, int]],
    tracking: tracks.Tracking,
    options: PipelineOptions,
    *,
    frame_size_px: tuple[int, int],
) -> list[str]:
    """Says which flag stood in the way when a video gave no track; empty when there is one.

    What it advises is never refused by `check_scale`.
    """
    if tracking.tracks:
        return []
    if not any(faces):
        found = f"No track: no face was found in any of {len(faces)} frames"
        return [found + _smaller_faces(options, frame_size_px) + "."]
    if tracking.largest_small_px:
        return [_smaller_than_wanted(tracking.largest_small_px, options, frame_size_px)]
    longest_scene = max(end - start for start, end in found_scenes)
    limit = f"the longest shot has {longest_scene} frames, "
    return [
        f"No track: {limit if longest_scene < options.min_track else ''}the longest track has "
        f"{tracking.longest_short} detections and --min_track wants more than {options.min_track}; "
        f"lower it to {tracking.longest_short - 1}."
    ]


def _smaller_faces(options: PipelineOptions, frame_size_px: tuple[int, int]) -> str:
    """How to find faces that were not looked for; empty where there is no way."""
    limit = _rounded_down(largest_scale(frame_size_px))
    smallest = _smallest_face(frame_size_px)
    if options.facedet_scale is not None and options.facedet_scale < limit:
        return (
            f"; faces much smaller than {FACE_AT_DETECTOR_PX / options.facedet_scale:.0f} pixels "
            f"are not looked for: raise --facedet_scale, to {limit:g} at most, if there are such"
        )
    if options.facedet_scale is None and options.min_face_size > smallest:
        return (
            f"; faces much smaller than --min_face_size {options.min_face_size} are not looked "
            f"for: lower it, to {smallest} at least, if there are such"
        )
    return ""


def _smaller_than_wanted(
    size_px: float, options: PipelineOptions, frame_size_px: tuple[int, int]
) -> str:
    largest = f"No track: the largest face is {size_px:.0f} pixels"
    needed = math.ceil(size_px) - 1  # faces must be larger than this
    if needed < 1:
        return f"{largest}, too small to be followed."
    advice = f"{largest} and --min_face_size is {options.min_face_size}; lower it to {needed}"
    if options.facedet_scale is None and needed < _smallest_face(frame_size_px):
        # On its own it would enlarge the frames too much.
        advice += f" and add --facedet_scale {_rounded_down(options.detection_scale):g}"
    return f"{advice}."
