"""Clips whose sound and picture start together at known times, and ways to measure how far apart
they are: in the file, by one ffmpeg on the file's own time stamps, and in what is made of it.

Every picture shows its own number, as two brightnesses side by side; the sound is one long noise,
so that its place is found by correlation to a fraction of a sample, also after a lossy codec.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy.io import wavfile
from scipy.signal import fftconvolve, resample_poly

from models.features import SAMPLE_RATE
from pipeline import media
from pipeline.process import every_frame
from tests.synthetic import ALL_FRAMES, ffmpeg

SECONDS = 4.0
SOUND_HZ = 48_000
WIDTH_PX, HEIGHT_PX = 96, 64
# The right half counts sixteens, the left half what is above them: 256 numbers.
DIGITS, DARKEST, STEP = 16, 16, 13


@dataclass(frozen=True)
class Format:
    """A container with codecs that it takes.

    Attributes:
        suffix: of the file.
        video, audio: arguments for ffmpeg.
    """

    suffix: str
    video: tuple[str, ...]
    audio: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.suffix[1:]} {self.video[1]}+{self.audio[1]}"


H264 = ("-c:v", "libx264", "-preset", "veryfast", "-g", "12", "-bf", "2")
H264_NO_B = ("-c:v", "libx264", "-preset", "veryfast", "-g", "12", "-bf", "0")
MPEG2 = ("-c:v", "mpeg2video", "-q:v", "3", "-bf", "2", "-g", "12")
MPEG4 = ("-c:v", "mpeg4", "-q:v", "3")
AAC = ("-c:a", "aac", "-b:a", "160k")
MP2 = ("-c:a", "mp2", "-b:a", "192k")
PCM = ("-c:a", "pcm_s16le")
FORMATS = (
    Format(".mp4", H264, AAC),
    Format(".mov", H264, PCM),
    Format(".mkv", H264, AAC),
    Format(".mkv", H264, PCM),
    Format(".ts", H264, AAC),
    Format(".ts", MPEG2, MP2),
    Format(".m2ts", H264, ("-c:a", "ac3")),
    Format(".mpg", MPEG2, MP2),
    Format(".vob", MPEG2, ("-c:a", "ac3")),
    Format(".flv", H264, AAC),
    Format(".avi", MPEG4, PCM),
    Format(".avi", H264_NO_B, ("-c:a", "libmp3lame")),
    Format(".avi", H264, PCM),
    Format(".webm", ("-c:v", "libvpx", "-deadline", "realtime"), ("-c:a", "libopus")),
    Format(".3gp", H264, AAC),
    Format(".nut", H264, PCM),
    Format(".asf", ("-c:v", "msmpeg4v3"), ("-c:a", "wmav2")),
)
# What these carry as time: MPEG-2 knows no other rates, AVI and ASF no irregular ones.
RATES: dict[str, Fraction] = {
    "23.976": Fraction(24000, 1001),
    "24": Fraction(24),
    "25": Fraction(25),
    "29.97": Fraction(30000, 1001),
    "30": Fraction(30),
    "50": Fraction(50),
    "59.94": Fraction(60000, 1001),
    "60": Fraction(60),
}


@dataclass(frozen=True)
class Clip:
    """A made clip.

    Attributes:
        path: of the file.
        rate: picture n is shown at n / rate, on the clock on which its sound starts at 0.
    """

    path: Path
    rate: Fraction


def noise() -> np.ndarray:
    """The sound of every clip: (n,) int16 at 48 kHz, band-limited noise."""
    rng = np.random.default_rng(7)
    white = rng.standard_normal(round(SECONDS * SOUND_HZ))
    band = fftconvolve(white, np.hanning(15), mode="same")
    return (6000 * band / band.std()).clip(-32_000, 32_000).astype(np.int16)


def make(folder: Path, kind: Format, rate: Fraction, *, irregular: bool = False) -> Clip:
    """Writes a clip; `irregular` drops three of seven pictures."""
    number = f"if(lt(X,W/2),floor(N/{DIGITS}),mod(N,{DIGITS}))"
    picture = (
        f"color=black:s={WIDTH_PX}x{HEIGHT_PX}:r={rate}:d={SECONDS},format=yuv420p,"
        f"geq=lum='{DARKEST}+{STEP}*{number}':cb=128:cr=128"
    )
    timing: tuple[str, ...] = ()
    if irregular:
        picture += ",select='lt(mod(n*n,7),4)'"
        timing = ("-vsync", "vfr") if "vsync" in every_frame() else ("-fps_mode", "vfr")
    sound = folder / "noise.wav"
    wavfile.write(sound, SOUND_HZ, noise())
    path = folder / f"clip{kind.suffix}"
    ffmpeg(
        *("-f", "lavfi", "-i", picture, "-i", str(sound), *timing, *kind.video, *kind.audio),
        *("-map", "0:v", "-map", "1:a"),
        path,
    )
    return Clip(path, rate)


def lag_s(
    samples: np.ndarray, *, part: tuple[float, float] = (0.3, 0.8), sample_rate: int = SAMPLE_RATE
) -> float:
    """When the noise starts in a sound, seconds; to a fraction of a sample.

    Args:
        samples: (n,) int16.
        part: of the noise that is looked for, as shares of its length.
        sample_rate: of the samples.
    """
    reference = resample_poly(noise().astype(float), sample_rate, SOUND_HZ)
    start, end = (round(share * len(reference)) for share in part)
    match = fftconvolve(samples.astype(float), reference[start:end][::-1], mode="valid")
    best = int(match.argmax())
    fraction = 0.0
    if 0 < best < len(match) - 1:
        left, top, right = match[best - 1 : best + 2]
        fraction = 0.5 * (left - right) / (left - 2 * top + right)
    return float((best + fraction - start) / sample_rate)


def numbers(pictures: np.ndarray) -> np.ndarray:
    """(N,) int: the number each picture shows; (N, H, W) brightness from 16 to 235."""
    middle = pictures.shape[2] // 2
    left = pictures[:, 8:-8, 8 : middle - 8].mean(axis=(1, 2))
    right = pictures[:, 8:-8, middle + 8 : -8].mean(axis=(1, 2))
    digits = (np.rint((half - DARKEST) / STEP).astype(int) for half in (left, right))
    sixteens, ones = digits
    return np.asarray(sixteens * DIGITS + ones)


def skew_of_file_s(clip: Clip, *, path: Path | None = None) -> float:
    """By how much the sound of a file comes later than its picture, as it is presented.

    Both are decoded with the file's own time stamps, so that two runs of ffmpeg share its clock.
    """
    path = path or clip.path
    sound_file = path.with_name(f"{path.name}.s16")
    picture_file = path.with_name(f"{path.name}.grey")
    ticks = _first_column(
        *("-copyts", "-i", str(path), "-map", "0:V:0", "-vf", "settb=1/1000000,showinfo"),
        *(*ALL_FRAMES, "-pix_fmt", "gray", "-f", "rawvideo", str(picture_file)),
    )
    (first, *_) = _first_column(
        *("-copyts", "-i", str(path), "-map", "0:a:0", "-af", "asettb=1/1000000,ashowinfo"),
        *("-ac", "1", "-ar", str(SAMPLE_RATE), "-f", "s16le", sound_file),
    )
    # ffmpeg makes limited brightness full when it gives grey.
    grey = np.fromfile(picture_file, np.uint8).reshape(-1, HEIGHT_PX, WIDTH_PX)
    own_s = numbers(grey * (219 / 255) + 16) / float(clip.rate)
    sound_s = first / 1e6 + lag_s(np.fromfile(sound_file, np.int16))
    if path.suffix == ".avi":  # it has a clock of frames, and no presentation times
        ticks = ticks - ticks[0]
    return sound_s - float(np.median(ticks / 1e6 - own_s))


def _first_column(*arguments: str | Path) -> np.ndarray:
    """The times that showinfo and ashowinfo print, in microseconds."""
    log = ffmpeg("-nostats", *arguments)
    return np.array(re.findall(r"Parsed_a?showinfo_1 @ \S+ n: *\d+ pts: *(-?\d+) ", log), float)


def one_pass(path: Path, folder: Path) -> media.Normalisation:
    """run_pipeline.py's pass over a file, which writes video.avi and audio.wav into a folder."""
    avi, wav = folder / "video.avi", folder / "audio.wav"
    return media.Normalisation(path, media.probe(path), avi=avi, wav=wav, pictures=None)


def skew_of_result_s(clip: Clip, folder: Path, *, path: Path | None = None) -> float:
    """By how much the sound of what run_pipeline.py makes comes later than its picture.

    Each picture counts at the time at which the source shows it; all must agree.
    """
    decoding = one_pass(path or clip.path, folder)
    frames = np.stack([frame[..., 1] for frame in decoding])
    own_s = numbers(frames * (219 / 255) + 16) / float(clip.rate)
    late_s = decoding.times_s - own_s
    assert np.ptp(np.percentile(late_s, [5, 95])) < 0.0015, late_s
    return lag_s(wavfile.read(folder / "audio.wav")[1]) - float(np.median(late_s))
