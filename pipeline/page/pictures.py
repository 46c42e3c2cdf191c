"""The faces of tracks as small pictures inside the page."""

import base64
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from pipeline.errors import ToolkitError
from pipeline.media import decode

FACE_PX = 128
FACE_FRAME = 50  # of its clip, or the middle of a shorter one: decoding stops there
JPEG_QUALITY = 80  # percent


def faces_of(clips: Sequence[tuple[Path, int]]) -> list[str | None]:
    """A face of every clip as a data URI of a JPEG, None for one that cannot be read.

    They were cut alike, so that only one of them is probed: it is half of the work.

    Args:
        clips: each with its number of frames; one that ends sooner gives its last.
    """
    info = None
    for clip, _ in clips:
        try:
            info = replace(decode.probe(clip), audio_stream=None)
            break
        except ToolkitError:
            continue
    return [_face(clip, frames, info) if info else None for clip, frames in clips]


def _face(clip: Path, frames: int, info: decode.MediaInfo) -> str | None:
    size_px = (FACE_PX, FACE_PX)
    pictures = decode.read_frames(clip, frame_rate=None, size_px=size_px, info=info)
    try:
        last = deque(islice(pictures, min(FACE_FRAME, frames // 2) + 1), maxlen=1)
    except ToolkitError:  # a face that cannot be shown is no reason to have no page
        return None
    if not last:
        return None
    return data_uri(last[0])


def data_uri(picture: np.ndarray) -> str:
    """A (H, W, 3) uint8 BGR picture as a JPEG inside an address."""
    _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode("ascii")
