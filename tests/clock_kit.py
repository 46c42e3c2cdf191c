"""Clips whose sound and picture start together at known times, and ways to measure how far apart
they are: in the file, by one ffmpeg on the file's own time stamps, and in what is made of it.

Every picture shows its own number, as two brightnesses side by side; the sound is one long noise,
so that its position is found by correlation to a fraction of a sample, also after a lossy codec.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy.io import wavfile
from scipy.signal import fftconvolve, resample_poly

from models.features import SAMPLE_RATE
from pipeline.media import decode, normalise
from tests.synthetic import ALL_FRAMES, ffmpeg, varying_rate

MUXERS = {"mkvmerge": ".mkv", "MP4Box": ".mp4"}  # other than ffmpeg, with what they write
BARE = {  # codecs to names of streams without a container
    "libx264": ".h264",
    "mpeg2video": ".m2v",
    "aac": ".aac",
    "mp2": ".mp2",
    "ac3": ".ac3",
    "pcm_s16le": ".wav",
}
FIELDS = {"top": 0, "bottom": 1}  # the one shown first, and its first row

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
AC3 = ("-c:a", "ac3")
PCM = ("-c:a", "pcm_s16le")
FORMATS = (
    Format(".mp4", H264, AAC),
    Format(".mov", H264, PCM),
    Format(".mkv", H264, AAC),
    Format(".mkv", H264, PCM),
    Format(".ts", H264, AAC),
    Format(".ts", MPEG2, MP2),
    Format(".m2ts", H264, AC3),
    Format(".mpg", MPEG2, MP2),
    Format(".vob", MPEG2, AC3),
    Format(".flv", H264, AAC),
    Format(".avi", MPEG4, PCM),
    Format(".avi", H264_NO_B, ("-c:a", "libmp3lame")),
    Format(".avi", H264, PCM),
    Format(".webm", ("-c:v", "libvpx", "-deadline", "realtime"), ("-c:a", "libopus")),
    Format(".3gp", H264, AAC),
    Format(".nut", H264, PCM),
    Format(".asf", ("-c:v", "msmpeg4v3"), ("-c:a", "wmav2")),
)
# For other muxers; MP4Box makes no file of bare MPEG-2 that ffmpeg opens.
MUXED = (Format(".mkv", H264, AAC), Format(".mkv", H264, PCM))
INTERLACED = (Format(".ts", MPEG2, MP2), Format(".mp4", H264, AAC))
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
        rate: picture n is shown at n / rate, on the clock on which its sound starts at 0; where
            it is interlaced, field n.
        first_row: of the field that is shown first; None where pictures are whole.
    """

    path: Path
    rate: Fraction
    first_row: int | None = None

    def own_s(self, pictures: np.ndarray) -> np.ndarray:
        """(N,) when each picture, (N, H, W) brightness, was to be shown: its first field."""
        if self.first_row is None:
            return numbers(pictures) / float(self.rate)
        first, second = (
            numbers(pictures[:, row::2]) for row in (self.first_row, 1 - self.first_row)
        )
        np.testing.assert_array_equal(second, first + 1, "fields of different pictures")
        return first / float(self.rate)


def noise() -> np.ndarray:
    """The sound of every clip: (n,) int16 at 48 kHz, band-limited noise."""
    rng = np.random.default_rng(7)
    white = rng.standard_normal(round(SECONDS * SOUND_HZ))
    band = fftconvolve(white, np.hanning(15), mode="same")
    return (6000 * band / band.std()).clip(-32_000, 32_000).astype(np.int16)


def make(
    folder: Path,
    kind: Format,
    rate: Fraction,
    *,
    irregular: bool = False,
    first_field: str | None = None,
) -> Clip:
    """Writes a clip.

    Args:
        folder: where.
        kind: container and codecs.
        rate: pictures a second.
        irregular: drop three of seven pictures.
        first_field: interlaced, each field a number of its own; top or bottom comes first.
    """
    if first_field is not None:
        rate = 2 * rate
    number = f"if(lt(X,W/2),floor(N/{DIGITS}),mod(N,{DIGITS}))"
    picture = (
        f"color=black:s={WIDTH_PX}x{HEIGHT_PX}:r={rate}:d={SECONDS},format=yuv420p,"
        f"geq=lum='{DARKEST}+{STEP}*{number}':cb=128:cr=128"
    )
    timing: tuple[str, ...] = ()
    if irregular:
        picture += ",select='lt(mod(n*n,7),4)'"
        timing = varying_rate()
    coding: tuple[str, ...] = ()
    if first_field is not None:
        picture += f",tinterlace=interleave_{first_field},setfield={first_field[0]}ff"
        coding = ("-flags", "+ilme+ildct")
        if "libx264" in kind.video:
            coding += ("-x264-params", f"{first_field[0]}ff=1")
    sound = folder / "noise.wav"
    wavfile.write(sound, SOUND_HZ, noise())
    path = folder / f"clip{kind.suffix}"
    ffmpeg(
        *(
            "-f",
            "lavfi",
            "-i",
            picture,
            "-i",
            str(sound),
            *timing,
            *kind.video,
            *kind.audio,
            *coding,
        ),
        *("-map", "0:v", "-map", "1:a"),
        path,
    )
    return Clip(path, rate, None if first_field is None else FIELDS[first_field])


def muxed(clip: Clip, kind: Format, muxer: str, folder: Path) -> Clip:
    """The streams of a clip as a program other than ffmpeg puts them into a file.

    It is given the bare streams, without any container's times.
    """
    picture, sound = (folder / f"bare{BARE[codecs[1]]}" for codecs in (kind.video, kind.audio))
    ffmpeg("-i", clip.path, "-map", "0:v", "-c", "copy", picture)
    ffmpeg("-i", clip.path, "-map", "0:a", "-c", "copy", sound)
    path = folder / f"{muxer}{MUXERS[muxer]}"
    rate = f"{clip.rate.numerator}/{clip.rate.denominator}"
    command = {
        "mkvmerge": ("-q", "-o", path, "--default-duration", f"0:{rate}p", picture, sound),
        "MP4Box": ("-quiet", "-add", f"{picture}:fps={rate}", "-add", sound, "-new", path),
    }[muxer]
    program = shutil.which(muxer)
    assert program is not None
    done = subprocess.run(
        [program, *map(str, command)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return replace(clip, path=path)


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
    # The median, so that a box, a label or a new mouth on it does not count.
    left_half = np.median(pictures[:, 8:-8, 8 : middle - 8], axis=(1, 2))
    right = np.median(pictures[:, 8:-8, middle + 8 : -8], axis=(1, 2))
    digits = (np.rint((half - DARKEST) / STEP).astype(int) for half in (left_half, right))
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
    own_s = clip.own_s(grey * (219 / 255) + 16)
    sound_s = first / 1e6 + lag_s(np.fromfile(sound_file, np.int16))
    if path.suffix == ".avi":  # it has a clock of frames, and no presentation times
        ticks = ticks - ticks[0]
    return sound_s - float(np.median(ticks / 1e6 - own_s))


def _first_column(*arguments: str | Path) -> np.ndarray:
    """The times that showinfo and ashowinfo print, in microseconds."""
    log = ffmpeg("-nostats", *arguments)
    return np.array(re.findall(r"Parsed_a?showinfo_1 @ \S+ n: *\d+ pts: *(-?\d+) ", log), float)


def one_pass(path: Path, folder: Path) -> normalise.Normalisation:
    """run_pipeline.py's pass over a file, which writes video.avi and audio.wav into a folder."""
    avi, wav = folder / "video.avi", folder / "audio.wav"
    return normalise.Normalisation(path, decode.probe(path), avi=avi, wav=wav, pictures=None)


def skew_of_result_s(clip: Clip, folder: Path, *, path: Path | None = None) -> float:
    """By how much the sound of what run_pipeline.py makes comes later than its picture.

    Each picture counts at the time at which the source shows it; all must agree.
    """
    decoding = one_pass(path or clip.path, folder)
    frames = np.stack([frame[..., 1] for frame in decoding])
    own_s = clip.own_s(frames * (219 / 255) + 16)
    late_s = decoding.times_s - own_s
    assert np.ptp(np.percentile(late_s, [5, 95])) < 0.0015, late_s
    return lag_s(wavfile.read(folder / "audio.wav")[1]) - float(np.median(late_s))
