"""Settings of run_pipeline.py, and which of them to change when nothing was found."""

import math
from dataclasses import dataclass

from models.device import Precision
from models.features import FRAME_RATE
from models.options import check_choice, check_fields, check_number
from pipeline.errors import InputError
from pipeline.faces.crops import CROP_SCALE
from pipeline.faces.detector import DETECTORS, largest_scale
from pipeline.faces.tracks import Face, Tracking

FACE_AT_DETECTOR_PX = 25  # the smallest face wanted is brought to this size for detection
LARGEST_FRAME_RATE = 120
LARGEST_DETECT_EVERY = 100  # frames; so many are held, at the detector's scale


@dataclass(frozen=True)
class FaceOptions:
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
        keep_video: leave video.avi in pyavi/; run_visualise.py draws on it.
        audio_stream: which of the video's sound streams, counted from 0; None for the one that
            players take.
        precision: the detector's arithmetic: fp32, bf16, or auto: for our own weights the fastest
            of the device's own.
    """

    facedet_scale: float | None = None
    crop_scale: float = CROP_SCALE
    min_track: int = 100
    frame_rate: int = FRAME_RATE
    num_failed_det: int = 25
    min_face_size: int = 100
    detector: str = "auto"
    detect_every: int = 5
    keep_frames: bool = True
    keep_video: bool = True
    audio_stream: int | None = None
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        check_fields(self)
        check_choice("detector", self.detector, DETECTORS)
        check_number("facedet_scale", self.facedet_scale, above=0, optional=True)
        check_number("crop_scale", self.crop_scale, least=0, most=5)
        check_number("min_track", self.min_track, least=0)
        check_number("frame_rate", self.frame_rate, least=1, most=LARGEST_FRAME_RATE)
        check_number("num_failed_det", self.num_failed_det, least=0)
        check_number("min_face_size", self.min_face_size, least=1)
        check_number("detect_every", self.detect_every, least=1, most=LARGEST_DETECT_EVERY)

    @property
    def detection_scale(self) -> float:
        """Resolved value of `facedet_scale`."""
        return self.facedet_scale or FACE_AT_DETECTOR_PX / self.min_face_size


def check_scale(options: FaceOptions, frame_size_px: tuple[int, int]) -> None:
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
    faces: list[list[Face]],
    shots: list[tuple[int, int]],
    tracking: Tracking,
    options: FaceOptions,
    *,
    frame_size_px: tuple[int, int],
) -> list[str]:
    """Says which flag stood in the way when a video gave no track; empty when there is one.

    What it advises is never refused by `check_scale`.
    """
    if tracking.tracks:
        return []
    if not any(faces):
        sentence = f"No track: no face was found in any of {len(faces)} frames"
        return [sentence + _smaller_faces(options, frame_size_px) + "."]
    if tracking.largest_small_px:
        return [_below_minimum(tracking.largest_small_px, options, frame_size_px)]
    longest_scene = max(end - start for start, end in shots)
    limit = f"the longest shot has {longest_scene} frames, "
    return [
        f"No track: {limit if longest_scene < options.min_track else ''}the longest track has "
        f"{tracking.longest_short} detections and --min_track wants more than {options.min_track}; "
        f"lower it to {tracking.longest_short - 1}."
    ]


def _smaller_faces(options: FaceOptions, frame_size_px: tuple[int, int]) -> str:
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


def _below_minimum(size_px: float, options: FaceOptions, frame_size_px: tuple[int, int]) -> str:
    largest = f"No track: the largest face is {size_px:.0f} pixels"
    needed = math.ceil(size_px) - 1  # faces must be larger than this
    if needed < 1:
        return f"{largest}, too small to be followed."
    advice = f"{largest} and --min_face_size is {options.min_face_size}; lower it to {needed}"
    if options.facedet_scale is None and needed < _smallest_face(frame_size_px):
        # On its own it would enlarge the frames too much.
        advice += f" and add --facedet_scale {_rounded_down(options.detection_scale):g}"
    return f"{advice}."
