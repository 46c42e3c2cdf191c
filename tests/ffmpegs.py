"""The ffmpegs that people have: the system's, the bundled one, and those of earlier wheels."""

import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg

from models.files import sha256

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv" / "ffmpegs"  # never committed; downloaded once
EARLIER_WHEELS = ("0.4.9", "0.5.1", "0.6.0")  # of imageio-ffmpeg
DOWNLOAD_S = 300


@dataclass(frozen=True)
class Ffmpeg:
    """One ffmpeg.

    Attributes:
        origin: where it comes from.
        path: of the program; None where it could not be had.
        reason: why not.
    """

    origin: str
    path: Path | None
    reason: str = ""

    def version(self) -> str:
        """Version, as it prints it."""
        assert self.path is not None
        output = subprocess.run(
            [self.path, "-version"], capture_output=True, text=True, check=True, timeout=60
        )
        return output.stdout.split()[2]


def every_ffmpeg() -> list[Ffmpeg]:
    """Each different program once, in the order in which the toolkit would choose them."""
    on_path = shutil.which("ffmpeg")
    absent = Ffmpeg("PATH", None, "there is none on PATH")
    all_of_them = [Ffmpeg("PATH", Path(on_path)) if on_path else absent, _bundled()]
    all_of_them += [_of_wheel(version) for version in EARLIER_WHEELS]
    different: dict[str, Ffmpeg] = {}
    for one in all_of_them:
        key = sha256(one.path) if one.path else one.origin
        different.setdefault(key, one)
    return list(different.values())


def same_program(one: Path, other: Path) -> bool:
    """Whether two files are the same ffmpeg, wherever they are."""
    return one.resolve() == other.resolve() or sha256(one) == sha256(other)


def _bundled() -> Ffmpeg:
    try:
        # Not get_ffmpeg_exe, which gives what a variable names first.
        folder = Path(imageio_ffmpeg.__file__).parent / "binaries"
        return Ffmpeg("bundled", next(folder.glob("ffmpeg-*")))
    except StopIteration:
        return Ffmpeg("bundled", None, "imageio-ffmpeg brought none for this machine")


def _of_wheel(version: str) -> Ffmpeg:
    """Takes the program out of a wheel of imageio-ffmpeg, which is downloaded once."""
    origin, folder = f"imageio-ffmpeg {version}", FOLDER / version
    program = next(folder.glob("ffmpeg-*"), None)
    if program is not None:
        return Ffmpeg(origin, program)
    folder.mkdir(parents=True, exist_ok=True)
    requirement = f"imageio-ffmpeg=={version}"
    download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps"]
    command = [*download, "-d", str(folder), requirement]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=DOWNLOAD_S)
    except subprocess.TimeoutExpired:
        return Ffmpeg(origin, None, f"not downloaded within {DOWNLOAD_S} s")
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or ["no message"]
        return Ffmpeg(origin, None, f"not downloaded: {lines[-1]}")
    wheel = next(folder.glob("*.whl"), None)
    if wheel is None:
        return Ffmpeg(origin, None, "there is no wheel for this machine")
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if "/binaries/ffmpeg-" in name]
        if not names:
            return Ffmpeg(origin, None, "its wheel brings none for this machine")
        partial = folder / "partial"
        partial.write_bytes(archive.read(names[0]))
    partial.chmod(0o755)
    program = partial.rename(folder / Path(names[0]).name)
    wheel.unlink()
    return Ffmpeg(origin, program)
