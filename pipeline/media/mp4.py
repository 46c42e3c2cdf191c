"""Encodes frames to H.264 and mixed sounds to AAC, in an MP4 that plays in a browser."""

import glob
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np

from models.files import partial_path
from pipeline.media import clock, encode, yuv
from pipeline.media.probe import Colour, probe
from pipeline.media.process import PIPE, Process, arguments, encoders, file_name, require_encoders

VIDEO_QUALITY = 18  # x264's crf: visually close to the source
# Encoders in order of preference, with the options that make them as good.
VIDEO_ENCODERS: dict[str, dict[str, Any]] = {
    "libx264": {"crf": VIDEO_QUALITY, "preset": "veryfast"},
    "libopenh264": {"video_bitrate": "8M"},
    "mpeg4": {"q:v": 2},  # plays everywhere but in browsers
}
# The same for files that are looked at and not worked with: two thirds of the time, half the bytes.
VIEW_ENCODERS: dict[str, dict[str, Any]] = {
    "libx264": {"crf": 23, "preset": "superfast"},
    "libopenh264": {"video_bitrate": "4M"},
    "mpeg4": {"q:v": 4},
}
AUDIO_BITRATE = "192k"
AUDIO_RATE = 48_000  # samples per second
AUDIO_CHANNELS = 2
# What players take a picture for is a guess where the file does not say it.
BT709 = Colour("bt709", "bt709", "bt709", tagged=True)


@dataclass(frozen=True)
class Sound:
    """A sound file in the mix.

    Attributes:
        path: file with at least one sound stream.
        delay_s: when it starts; below 0 its beginning is cut.
        volume_db: louder or quieter.
        audio_stream: index among the file's sound streams; None for the one `probe` chooses.
    """

    path: Path
    delay_s: float = 0.0
    volume_db: float = 0.0
    audio_stream: int | None = None


class Mp4Writer(encode.FrameWriter):
    """Writes a video of exactly the frames given and sounds as long; a context manager.

    The picture is encoded first. When all frames are there, exactly as many samples as they last
    are mixed, and picture and sound are put into one file: no stream has to wait for another, and
    no filter has to know when to stop.

    Args:
        path: file to write; appears only when the context ends without an error.
        size_px: (width, height) of the frames; an odd side gets one more row or column, because
            H.264 in 4:2:0 needs even sizes.
        frame_rate: frames per second.
        sounds: mixed; none for a silent video.
        pixels: layout of the frames, bgr24, or yuv420p for a `yuv.Picture`'s buffer.
        colour: of yuv420p frames, and what the file says of itself; bgr24 is written as BT.709.
        sar: width to height of one pixel.
        video_encoders: options by encoder, the first that ffmpeg has is used.
        key_frame_s: longest time between pictures a player can jump to; None for the encoder's.

    Raises:
        InputError: a sound's file is absent or no media, or ffmpeg lacks an encoder.
        PipelineError: ffmpeg could not read a sound or write.
    """

    def __init__(
        self,
        path: Path,
        *,
        size_px: tuple[int, int],
        frame_rate: float | Fraction,
        sounds: list[Sound],
        pixels: str = "bgr24",
        colour: Colour = BT709,
        sar: Fraction | None = None,
        video_encoders: dict[str, dict[str, Any]] = VIDEO_ENCODERS,
        key_frame_s: float | None = None,
    ) -> None:
        self._sounds = list(dict.fromkeys(sounds))
        self._infos = {
            (sound.path, sound.audio_stream): probe(sound.path, audio_stream=sound.audio_stream)
            for sound in self._sounds
        }
        if self._sounds:
            require_encoders("aac")
        self._frame_rate = Fraction(frame_rate).limit_denominator(1001)
        self._frames = 0
        self._stack = ExitStack()  # folders of decoded sounds
        encoder = next((name for name in video_encoders if name in encoders()), "libx264")
        require_encoders(encoder)
        options: dict[str, Any] = {
            "vcodec": encoder,
            "pix_fmt": "yuv420p",
            "vf": _filters(size_px, pixels, colour, sar),
            **video_encoders[encoder],
            **_tags(colour),
        }
        if key_frame_s is not None:
            options["g"] = max(1, round(key_frame_s * self._frame_rate))
        self._size_px, self._pixels = size_px, pixels
        if pixels == "yuv420p":  # made even by `write`
            size_px = size_px[0] + size_px[0] % 2, size_px[1] + size_px[1] % 2
        frames = encode.piped_frames(size_px, self._frame_rate, pixels=pixels)
        partial = file_name(partial_path(path))
        if not self._sounds:
            options["movflags"] = "+faststart"
        super().__init__(path, ffmpeg.output(frames, partial, format="mp4", **options))

    def __enter__(self) -> "Mp4Writer":
        try:
            self._tracks = [self._read(sound) for sound in self._sounds]
            return super().__enter__()
        except BaseException:
            self._tidy()
            raise

    def write(self, frame: np.ndarray) -> None:
        """Appends one frame: (H, W, 3) uint8 BGR, or `pixels` of the writer."""
        if self._pixels == "yuv420p":
            frame = yuv.even_sides(yuv.picture(frame, size_px=self._size_px))
        super().write(frame)
        self._frames += 1

    def _read(self, sound: Sound) -> clock.Sound:
        """Decodes a sound onto its file's clock, in a passing folder beside the result."""
        folder = self._stack.enter_context(
            tempfile.TemporaryDirectory(dir=self._path.parent, prefix=partial_path(self._path).name)
        )
        info = self._infos[sound.path, sound.audio_stream]
        contents = clock.read_contents(sound.path, info, Path(folder), sample_rate=AUDIO_RATE)
        assert contents.sound is not None
        return contents.sound

    def _finish(self) -> None:
        picture = partial_path(self._path)
        if not self._sounds:
            picture.replace(self._path)
            return
        both = picture.with_name(f"{picture.name}.mp4")
        raw = {"format": "s16le", "ar": AUDIO_RATE, "ac": AUDIO_CHANNELS}
        output = ffmpeg.output(
            ffmpeg.input(file_name(picture))["v:0"],
            ffmpeg.input(PIPE, **raw)["a:0"],
            file_name(both),
            format="mp4",
            vcodec="copy",
            acodec="aac",
            audio_bitrate=AUDIO_BITRATE,
            movflags="+faststart",
        )
        task = f"Writing {self._path}"
        samples = round(self._frames / self._frame_rate * AUDIO_RATE)
        with Process(arguments(output), stdin=subprocess.PIPE) as process:
            for start in range(0, samples, clock.BLOCK_SAMPLES):
                end = min(start + clock.BLOCK_SAMPLES, samples)
                process.write(self._mixed(start, end).data, task)
            process.check(task)
        both.replace(self._path)

    def _mixed(self, start: int, end: int) -> np.ndarray:
        """(end - start, 2) int16: samples of all sounds from `start` to `end`, added up."""
        total = np.zeros((end - start, AUDIO_CHANNELS), np.float32)
        for sound, track in zip(self._sounds, self._tracks, strict=True):
            delay = round(sound.delay_s * AUDIO_RATE)
            first, last = max(start, delay), min(end, delay + track.samples)
            if first < last:
                gain = np.float32(10 ** (sound.volume_db / 20))
                total[first - start : last - start] += gain * track.stereo(
                    first - delay, last - delay
                )
        return np.rint(total).clip(-32_768, 32_767).astype("<i2")

    def _tidy(self) -> None:
        self._stack.close()
        # By name: a killed run may have left more than this one has made.
        partial = partial_path(self._path)
        for passing in self._path.parent.glob(f"{glob.escape(partial.name)}*"):
            if passing.is_dir():
                shutil.rmtree(passing, ignore_errors=True)
            else:
                passing.unlink(missing_ok=True)


def _filters(size_px: tuple[int, int], pixels: str, colour: Colour, sar: Fraction | None) -> str:
    """A plain chain for -vf: the picture has a graph of its own, which ends with it."""
    width, height = size_px
    filters = []
    if pixels != "yuv420p" and (width % 2 or height % 2):
        # Repeats the last column or row: a black one would be visible.
        right, bottom = width % 2, height % 2
        filters.append(f"pad={width + right}:{height + bottom}")
        filters.append(f"fillborders=mode=smear:right={right}:bottom={bottom}")
    if pixels != "yuv420p":
        filters.append(f"scale=out_color_matrix={colour.matrix}:out_range=tv,format=yuv420p")
    tags = ":".join(f"{name}={value}" for name, value in _tags(colour).items())
    filters.append("setparams=" + tags.replace("color_range", "range"))
    if sar is not None and sar != 1:
        filters.append(f"setsar={sar.numerator}/{sar.denominator}")
    return ",".join(filters)


def _tags(colour: Colour) -> dict[str, str]:
    """What the file says of its colours: for the frames, and for encoders of ffmpeg 4."""
    tags = {
        "color_range": "tv",
        "colorspace": colour.matrix_name,
        "color_primaries": colour.primaries,
        "color_trc": colour.transfer,
    }
    return {name: value for name, value in tags.items() if value}
