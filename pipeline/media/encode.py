"""Frames to files: what ffmpeg makes of pixels it is piped, whole or not at all."""

import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import ffmpeg
import numpy as np

from models.features import FRAME_RATE, SAMPLE_RATE
from models.files import partial_path
from pipeline.media.process import (
    PIPE,
    Process,
    arguments,
    file_name,
    open_input,
    require_encoders,
)

# -q:v of MPEG-4 and JPEG; 2 is the best the scale has.
CROP_QUALITY = 2  # of face clips, which networks see
PICTURE_QUALITY = 4  # of whole frames, which people see: two thirds of the bytes

Writer = TypeVar("Writer", bound="FrameWriter")


def encoded(frame_rate: int) -> dict[str, Any]:
    """Options of a picture in AVI; one key frame per second makes files 20 % smaller than two."""
    return {"vcodec": "mpeg4", "pix_fmt": "yuv420p", "g": frame_rate}


def piped_frames(
    size_px: tuple[int, int], frame_rate: float | Fraction, *, pixels: str = "bgr24"
) -> Any:
    """An ffmpeg-python input of the frames a `FrameWriter` is given."""
    size = f"{size_px[0]}x{size_px[1]}"
    rate = str(frame_rate)
    return ffmpeg.input(PIPE, format="rawvideo", pix_fmt=pixels, s=size, framerate=rate)


class FrameWriter:
    """A file ffmpeg makes of frames it is piped; a context manager.

    The file appears only when the context ends without an error.

    Args:
        path: of the file.
        output: ffmpeg-python's, of `piped_frames` to the file's `partial_path`.
    """

    def __init__(self, path: Path, output: Any) -> None:
        self._path = path
        self._process = Process(
            arguments(output), stdin=subprocess.PIPE, files=[partial_path(path)]
        )

    def __enter__(self: Writer) -> Writer:
        self._process.__enter__()
        return self

    def write(self, frame: np.ndarray) -> None:
        """Appends one frame: (H, W, 3) uint8 BGR, or `pixels` of the writer."""
        self._process.write(np.ascontiguousarray(frame).data, f"Writing {self._path}")

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                self._process.check(f"Writing {self._path}")
                self._finish()
        finally:
            self._process.__exit__(kind, *rest)
            self._tidy()

    def _finish(self) -> None:
        partial_path(self._path).replace(self._path)

    def _tidy(self) -> None:
        partial_path(self._path).unlink(missing_ok=True)


class VideoWriter(FrameWriter):
    """Encodes frames to MPEG-4 in AVI, with a sound file beside them; a context manager.

    Args:
        path: file to write; appears only when the context ends without an error.
        size_px: (width, height) of the frames.
        frame_rate: frames per second.
        quality: -q:v of the picture.
        pixels: layout of the frames, bgr24, or yuv420p for a `yuv.Picture`'s buffer.
        audio: sound to carry, None for silence: a .wav file as it is, or, of any other name, raw
            mono int16 samples at 16 kHz.
        sar: width to height of one pixel.
        threads: of the encoder, None for as many as there are cores: how the picture is divided
            among them shows in the bytes.
    """

    def __init__(
        self,
        path: Path,
        *,
        size_px: tuple[int, int],
        frame_rate: int = FRAME_RATE,
        quality: int = CROP_QUALITY,
        pixels: str = "bgr24",
        audio: Path | None = None,
        sar: Fraction | None = None,
        threads: int | None = None,
    ) -> None:
        require_encoders("mpeg4")
        options: dict[str, Any] = encoded(frame_rate) | {"vtag": "XVID", "q:v": quality}
        if sar is not None and sar != 1:
            options["vf"] = f"setsar={sar.numerator}/{sar.denominator}"
        if threads is not None:
            options |= {"threads": threads}
        streams = [piped_frames(size_px, frame_rate, pixels=pixels)]
        if audio is not None:
            raw = {"format": "s16le", "ar": SAMPLE_RATE, "ac": 1}
            kind = {"format": "wav"} if audio.suffix == ".wav" else raw
            streams.append(ffmpeg.input(file_name(audio), **kind))
            options |= {"acodec": "copy"}
        output = ffmpeg.output(*streams, file_name(partial_path(path)), format="avi", **options)
        super().__init__(path, output)


def replace_sound(clip: Path, target: Path, samples: np.ndarray) -> None:
    """Copies a face clip with another sound; its pictures stay as they are encoded.

    Args:
        clip: an AVI of MPEG-4.
        target: file to write; appears whole or not at all.
        samples: (n,) int16 mono at 16 kHz.

    Raises:
        PipelineError: ffmpeg failed.
    """
    raw = ffmpeg.input(PIPE, format="s16le", ar=SAMPLE_RATE, ac=1)
    picture = open_input(clip)["v:0"]
    options = {"vcodec": "copy", "acodec": "pcm_s16le", "format": "avi"}
    output = ffmpeg.output(picture, raw["a:0"], file_name(partial_path(target)), **options)
    with FrameWriter(target, output) as writer:
        writer.write(samples)
