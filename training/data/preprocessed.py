"""Reads the output of Wav2Lip's preprocess.py: preprocessed_root/DIR/VIDEO/{0.jpg, ..., audio.wav}.

Each picture is the detector's box of one frame, in its own size; frames without a face leave a gap
in the numbers. Frames are taken to be 25 a second, as Wav2Lip does, and in sync.
"""

import codecs
import re
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from models.features import SAMPLES_PER_FRAME
from models.wav2lip import FACE_PX
from pipeline.errors import InputError
from pipeline.media import decode
from pipeline.progress import Progress, silent
from training.data import samples
from training.data.faces import Cut, FaceClip

FILE_SUFFIXES = {".jpg", ".png", ".wav", ".mp4", ".avi", ".txt"}
WHOLE = Cut(0, FACE_PX, 0, FACE_PX)


def is_root(folder: Path) -> bool:
    """Whether a folder is such a preprocessed_root and no data_dir of run_pipeline.py."""
    return not (folder / "pycrop").is_dir() and any(folder.glob("*/*/audio.wav"))


def listed_videos(filelist: Path) -> list[str]:
    """The lines of a file list, a "dir/video" name each; the rest of a line is cut off later.

    Lists written on Windows are read, too: with a byte-order mark, backslashes, CRLF.

    Raises:
        InputError: there is no such file, no name in it, or it names files.
    """
    try:
        text = _decoded(filelist.read_bytes())
    except OSError as error:
        raise InputError(
            f"{filelist} cannot be read ({error.strerror}); see --filelists."
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{filelist} is no text in UTF-8; see --filelists.") from error
    lines = [line.strip().strip("\"'").replace("\\", "/") for line in text.splitlines()]
    names = [line.removeprefix("./").rstrip("/") for line in lines if line]
    if not names:
        raise InputError(f"{filelist} lists no video; see --filelists.")
    for name in names:
        if {Path(part).suffix.lower() for part in (name, name.split()[0])} & FILE_SUFFIXES:
            raise InputError(
                f"{filelist} lists files ({name}); it is to list their folders, DIR/VIDEO, "
                "one a line."
            )
    return list(dict.fromkeys(names))


def _decoded(data: bytes) -> str:
    for mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        if data.startswith(mark):
            return data.decode("utf-16")
    return data.decode("utf-8-sig")


def load_videos(
    roots: list[Path],
    *,
    video_names: list[str] | None,
    cache: Path,
    cache_gb: float,
    progress: Progress = silent,
) -> tuple[list[FaceClip], dict[str, str]]:
    """Faces of such folders.

    Args:
        roots: preprocessed_root folders.
        video_names: names to read; None: all.
        cache: folder of decoded faces.
        cache_gb: its largest size.
        progress: called after each video.

    Returns:
        Faces, and the reason of each video that is not among them, by name.

    Raises:
        InputError: not one video can be used; the sentence names the first and why.
    """
    folders = video_folders(roots, video_names)
    clip_cache = samples.ClipCache(cache, limit_bytes=int(cache_gb * 1e9))
    faces: list[FaceClip] = []
    left_out: dict[str, str] = {}
    for count, folder in enumerate(folders, start=1):
        name = video_name(folder)
        clip = samples.attempt(partial(_clip, folder, name, clip_cache))
        if isinstance(clip, samples.Clip):
            faces.append(FaceClip(clip, WHOLE, shows_face=_frames_with_face(folder, clip.frames)))
        else:
            left_out[name] = clip
        progress("face folders read", count, len(folders))
    if not faces:
        name, reason = next(iter(left_out.items()))
        raise InputError(f"None of {len(folders)} videos can be used: {name}: {reason}.")
    return faces, left_out


def video_name(folder: Path) -> str:
    """PREPROCESSED_ROOT/DIR/VIDEO."""
    return "/".join(folder.absolute().parts[-3:])


def video_folders(roots: list[Path], video_names: list[str] | None) -> list[Path]:
    """The folder of each video, listed or all that have sound.

    Lists of some data sets have a word after the name, and names may have spaces: what is there
    decides. A name that is nowhere stands for a folder of the first root.
    """
    if video_names is None:
        return [sound.parent for root in roots for sound in sorted(root.glob("*/*/audio.wav"))]
    return [folder for line in video_names for folder in _listed_folders(roots, line)]


def _listed_folders(roots: list[Path], line: str) -> list[Path]:
    for end in (len(line), *reversed([space.start() for space in re.finditer(r"\s+", line)])):
        if folders := [root / line[:end] for root in roots if (root / line[:end]).is_dir()]:
            return folders
    return [roots[0] / line]


def _pictures(folder: Path) -> dict[int, Path]:
    return {int(file.stem): file for file in folder.glob("*.jpg") if file.stem.isdecimal()}


def _frames_with_face(folder: Path, frames: int) -> np.ndarray:
    return np.isin(np.arange(frames), list(_pictures(folder)))


def _clip(folder: Path, name: str, clip_cache: samples.ClipCache) -> samples.Clip:
    pictures = _pictures(folder)
    if not pictures:
        raise ValueError(f"no pictures in {folder}")
    sound = folder / "audio.wav"
    status = sound.stat()
    newest = max(file.stat().st_mtime_ns for file in pictures.values())
    numbers = sorted(pictures)
    about = f"{folder.resolve()} {numbers} {newest} {status.st_size} {status.st_mtime_ns}"
    return samples.cached(name, about, partial(_decode, pictures, sound), clip_cache)


def _decode(pictures: dict[int, Path], sound: Path) -> tuple[np.ndarray, np.ndarray]:
    spoken = decode.read_audio(sound)
    used = {n: file for n, file in pictures.items() if n * SAMPLES_PER_FRAME < len(spoken)}
    if spoken.size and not used:
        raise ValueError(f"no picture while there is sound in {sound}")
    faces = np.zeros((max(used, default=0) + 1, 3, FACE_PX, FACE_PX), np.uint8)
    for number, file in used.items():
        picture = cv2.imread(str(file))
        if picture is None:
            raise ValueError(f"{file} is no picture")
        small = cv2.resize(picture, (FACE_PX, FACE_PX), interpolation=cv2.INTER_AREA)
        faces[number] = small.transpose(2, 0, 1)
    return faces, spoken


def sizes(roots: list[Path], video_names: list[str] | None) -> dict[str, int]:
    """Bytes of the sound of each video that `load_videos` would read, by its name there."""
    sizes_bytes = {}
    for folder in video_folders(roots, video_names):
        sound = folder / "audio.wav"
        sizes_bytes[video_name(folder)] = sound.stat().st_size if sound.is_file() else 0
    return sizes_bytes
