"""Encodes frames to H.264 and mixed sounds to AAC, in an MP4 that plays in a browser."""

import glob
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np

from pipeline import media, planes, writers
from pipeline.media import Colour, MediaInfo
from pipeline.process import open_input

VIDEO_QUALITY = 18  # x264's crf: hardly told from the source
AUDIO_BITRATE = "192k"
AUDIO_RATE = 48_000  # samples per second


@dataclass(frozen=True)
class Sound:
    """A sound file in the mix.

    Attributes:
        path: file with at least one sound stream.
        delay_s: when it starts; below 0 its beginning is cut.
        volume_db: louder or quieter.
    """

    path: Path
    delay_s: float = 0.0
    volume_db: float = 0.0


@dataclass(frozen=True)
class _Steady:
    """A sound brought onto the clock, in the way the mouths hear it: a passing file."""

    sound: Sound
    info: MediaInfo
    file: Path

    def write(self) -> None:
        with media.sound_on_video_clock(
            self.sound.path,
            self.info,
            f"file:{self.file}",
            format="wav",
            acodec="pcm_s16le",
            ar=AUDIO_RATE,
            rf64="auto",
        ) as process:
            process.check(f"Reading the sound of {self.sound.path}")


class Mp4Writer(writers.FrameWriter):
    """Writes a video of exactly the frames given and sounds as long; a context manager.

    Args:
        path: file to write; appears only when the context ends without an error.
        size_px: (width, height) of the frames; an odd side gets one more row or column, which
            H.264 as browsers play it cannot do without.
        frame_rate: frames per second.
        sounds: mixed; none for a silent video.

    Raises:
        InputError: a sound's file is absent or no media.
        PipelineError: ffmpeg could not read a sound or write.
    """

    def __init__(
        self,
        path: Path,
        *,
        size_px: tuple[int, int],
        frame_rate: float,
        sounds: list[Sound],
        pixels: str = "bgr24",
        colour: Colour = Colour("bt709", "bt709", "bt709", tagged=True),  # noqa: B008
        sar: Fraction = Fraction(1),
    ) -> None:
        self._size_px, self._pixels = size_px, pixels
        partial = writers.partial_path(path)
        self._steady = [
            _Steady(
                sound,
                media.probe(sound.path),
                partial.with_name(f"{partial.name}.{number}.wav"),
            )
            for number, sound in enumerate(dict.fromkeys(sounds))
        ]
        streams = [_picture(size_px, frame_rate, pixels, colour, sar)]
        options: dict[str, Any] = {
            "vcodec": "libx264",
            "crf": VIDEO_QUALITY,
            "preset": "veryfast",
            "movflags": "+faststart",
        }
        if sounds:
            streams.append(_mixed(self._steady))
            # The sound goes on in silence for ever and ends with the picture.
            options |= {"acodec": "aac", "audio_bitrate": AUDIO_BITRATE, "shortest": None}
        output = ffmpeg.output(*streams, f"file:{partial}", format="mp4", **options)
        super().__init__(path, output)

    def __enter__(self) -> "Mp4Writer":
        try:
            for steady in self._steady:
                steady.write()
            return super().__enter__()
        except BaseException:
            self._tidy()
            raise

    def write(self, frame: np.ndarray) -> None:
        """Appends one frame: (H, W, 3) uint8 BGR, or what the writer was told."""
        if self._pixels == "yuv420p":
            frame = planes.even_sides(planes.picture(frame, size_px=self._size_px))
        super().write(frame)

    def _tidy(self) -> None:
        # By name: a killed run may have left more than this one has made.
        partial = writers.partial_path(self._path)
        for passing in self._path.parent.glob(f"{glob.escape(partial.name)}*"):
            passing.unlink(missing_ok=True)


def _picture(
    size_px: tuple[int, int], frame_rate: float, pixels: str, colour: Colour, sar: Fraction
) -> Any:
    width, height = size_px
    if pixels == "yuv420p":
        width, height = width + width % 2, height + height % 2
    stream = writers.piped_frames((width, height), frame_rate, pixels=pixels)
    if width % 2 or height % 2:
        # Repeats the last column or row: a black one would be seen.
        odd = {"right": width % 2, "bottom": height % 2}
        stream = stream.filter("pad", width + odd["right"], height + odd["bottom"])
        stream = stream.filter("fillborders", mode="smear", **odd)
    if pixels == "bgr24":
        stream = stream.filter("scale", out_color_matrix=colour.matrix, out_range="tv")
    names = {"bt601": "smpte170m", "bt709": "bt709", "bt2020": "bt2020nc"}
    said = {"colorspace": names[colour.matrix], "range": "tv"}
    if colour.primaries:
        said["color_primaries"] = colour.primaries
    if colour.transfer:
        said["color_trc"] = colour.transfer
    stream = stream.filter("format", "yuv420p").filter(
        "setsar", f"{sar.numerator}/{sar.denominator}"
    )
    return stream.filter("setparams", **said)


def _mixed(sounds: list[_Steady]) -> Any:
    # Endless silence to mix into: a sound may be cut to nothing, which filters do not stand.
    tracks = [ffmpeg.input(f"anullsrc=r={AUDIO_RATE}:cl=stereo", format="lavfi")]
    for steady in sounds:
        stream = open_input(steady.file)["a:0"].filter("volume", f"{steady.sound.volume_db}dB")
        if steady.info.channels == 1:  # ffmpeg on its own makes it quieter
            stream = stream.filter("channelmap", map="0-FL|0-FR", channel_layout="stereo")
        delay_s = steady.sound.delay_s
        if delay_s < 0:
            stream = stream.filter("atrim", start=-delay_s).filter("asetpts", "PTS-STARTPTS")
        elif delay_s > 0:
            stream = stream.filter("adelay", f"{delay_s * 1000:.3f}", all=1)
        tracks.append(stream)
    return ffmpeg.filter(tracks, "amix", inputs=len(tracks), duration="first", normalize=0)
