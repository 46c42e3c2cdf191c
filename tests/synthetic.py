"""Media with known answers, made by ffmpeg, and ways to measure media apart from the toolkit."""

import re
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from pipeline.media.process import environment, every_frame, find_ffmpeg

# Options that keep each decoded picture once.
ALL_FRAMES = tuple(word for name, value in every_frame().items() for word in (f"-{name}", value))
BEEP_HZ = 1000
BEEP_S = 0.1


def ffmpeg(*arguments: str | Path, cwd: Path | None = None) -> str:
    """Runs ffmpeg, overwriting; gives its stderr."""
    command = [find_ffmpeg(), "-hide_banner", "-nostdin", "-y", *map(str, arguments)]
    result = subprocess.run(
        command, cwd=cwd, capture_output=True, check=False, env=environment(), timeout=120
    )
    log = result.stderr.decode(errors="replace")
    assert result.returncode == 0, f"{command}\n{log[-2000:]}"
    return log


def turn(stored: Path, turned: Path) -> None:
    """Copies a video, marked to be shown rotated by 90 degrees."""
    if "display_rotation" in _full_help():
        ffmpeg("-display_rotation", "90", "-i", stored, "-c", "copy", turned)
    else:  # before ffmpeg 6
        ffmpeg("-i", stored, "-c", "copy", "-metadata:s:v:0", "rotate=90", turned)


def varying_rate() -> tuple[str, str]:
    """Arguments that keep irregular times; the option's name changed in ffmpeg 5.1."""
    return ("-vsync", "vfr") if "vsync" in every_frame() else ("-fps_mode", "vfr")


def _full_help() -> str:
    command = [find_ffmpeg(), "-hide_banner", "-h", "full"]
    return subprocess.run(command, capture_output=True, check=False).stdout.decode(errors="replace")


@dataclass(frozen=True)
class Flashing:
    """A clip whose picture flashes white at the instant a 1 kHz beep starts, about every second.

    Attributes:
        name: file name; its suffix is the container.
        rate: frames per second of the source.
        period_frames: source frames from flash to flash.
        sound_hz: sample rate.
        codecs: arguments for ffmpeg.
        irregular: drop frames so that the rate varies; never the first frames of a flash.
        video_late_frames, audio_late_s: one stream starts so much after the other.
    """

    name: str
    rate: Fraction
    period_frames: int
    sound_hz: int
    codecs: tuple[str, ...]
    irregular: bool = False
    video_late_frames: int = 0
    audio_late_s: float = 0.0

    @property
    def onsets_s(self) -> list[float]:
        """When flashes and beeps start, six of them."""
        return [float(k * self.period_frames / self.rate) for k in range(1, 7)]

    def make(self, folder: Path, *, seconds: float = 6.9) -> Path:
        """Writes the clip."""
        period_s = float(self.period_frames / self.rate)
        frame = f"(N+{self.video_late_frames})"
        flash = f"gte({frame},{self.period_frames})*lt(mod({frame},{self.period_frames}),4)"
        picture = (
            f"color=black:s=96x64:r={self.rate},format=yuv420p,"
            f"geq=lum='if({flash},235,16)':cb=128:cr=128"
        )
        if self.irregular:
            shade = f"lt(mod(n,{self.period_frames}),2)+gt(mod(n*n,11),3)"
            picture += f",select='{shade}'"
        at = f"(t+{self.audio_late_s})"
        beep = (
            f"aevalsrc='if(gte({at},{period_s})*lt(mod({at},{period_s}),{BEEP_S}),"
            f"0.6*sin(2*PI*{BEEP_HZ}*mod({at},{period_s})),0)':s={self.sound_hz}"
        )
        video_late_s = float(self.video_late_frames / self.rate)
        timing = varying_rate() if self.irregular else ()
        output = folder / self.name
        ffmpeg(
            *("-itsoffset", f"{video_late_s:.6f}", "-f", "lavfi", "-i", picture),
            *("-itsoffset", f"{self.audio_late_s:.6f}", "-f", "lavfi", "-i", beep),
            *("-t", str(seconds), *timing, *self.codecs),
            output,
        )
        return output


H264_AAC = ("-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-b:a", "128k")
H264_PCM = ("-c:v", "libx264", "-preset", "ultrafast", "-c:a", "pcm_s16le")
MPEG4_PCM = ("-c:v", "mpeg4", "-q:v", "2", "-c:a", "pcm_s16le")
NTSC_FILM, NTSC = Fraction(24000, 1001), Fraction(30000, 1001)
FLASHING = (
    Flashing("film48.mp4", NTSC_FILM, 24, 48_000, H264_AAC),
    Flashing("film16.mkv", NTSC_FILM, 24, 16_000, H264_PCM),
    Flashing("pal44.mkv", Fraction(25), 25, 44_100, H264_PCM),
    Flashing("pal48.mp4", Fraction(25), 25, 48_000, H264_AAC),
    Flashing("ntsc44.mp4", NTSC, 30, 44_100, H264_AAC),
    Flashing("thirty16.avi", Fraction(30), 30, 16_000, MPEG4_PCM),
    Flashing("vary48.mkv", Fraction(60), 64, 48_000, H264_PCM, irregular=True),
    Flashing("vary44.mp4", Fraction(30), 31, 44_100, H264_AAC, irregular=True),
    Flashing("latesound48.mp4", Fraction(25), 25, 48_000, H264_AAC, audio_late_s=0.33),
    Flashing("latepicture16.mkv", Fraction(25), 25, 16_000, H264_PCM, video_late_frames=9),
    Flashing("latepicture44.mp4", Fraction(30), 30, 44_100, H264_AAC, video_late_frames=13),
)


def picture_levels(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Time of every stored frame (seconds on the file's own clock) and its mean brightness."""
    log = ffmpeg(
        *("-i", path, "-map", "0:v:0", "-vf", "format=gray,showinfo"),
        *(*ALL_FRAMES, "-f", "null", "-"),
    )
    rows = re.findall(r"pts_time:(\S+).*?mean:\[(\d+)", log)
    times, levels = zip(*rows, strict=True)
    return np.array(times, float), np.array(levels, float)


def rises(times: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """When brightness rises through the middle of its range."""
    bright = levels > (levels.min() + levels.max()) / 2
    return times[1:][bright[1:] & ~bright[:-1]]


def picture_onsets(path: Path) -> np.ndarray:
    """When the flashes of a video start, by its own time stamps."""
    return rises(*picture_levels(path))


def sound_onsets(path: Path) -> np.ndarray:
    """When the beeps of a file start, by its own time stamps."""
    raw = path.with_name(path.name + ".s16")
    log = ffmpeg(
        *("-i", path, "-map", "0:a:0", "-af", "ashowinfo", "-ac", "1", "-ar", "48000"),
        *("-f", "s16le", raw),
    )
    samples = np.fromfile(raw, np.int16)
    raw.unlink()
    first = re.search(r"pts_time:(\S+)", log)
    assert first
    return float(first[1]) + beeps(samples, rate=48_000)


def beeps(samples: np.ndarray, *, rate: int) -> np.ndarray:
    """When beeps start in a signal, seconds."""
    loud = np.flatnonzero(np.abs(samples.astype(float)) > 0.3 * np.abs(samples).max())
    starts = loud[np.diff(loud, prepend=-rate) > rate // 4]
    return starts / rate


def frame_count(path: Path) -> int:
    """Frames a reader gets, whatever the header says."""
    reader, count = cv2.VideoCapture(str(path)), 0
    while reader.read()[0]:
        count += 1
    reader.release()
    return count
