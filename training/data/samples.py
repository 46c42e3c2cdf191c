"""Face clips with their sound, as the lip-sync networks are trained on them.

Clips are what run_pipeline.py cut (`pycrop/REF/*.avi`); offsets are what run_syncnet.py found. Each
clip is decoded once into small pictures, a margin wider than the network looks, kept in a cache
folder and mapped into memory, so a data set may be larger than the memory.
"""

import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import overload

import numpy as np

from models import syncnet
from models.features import FRAME_RATE, SAMPLE_RATE, SAMPLES_PER_FRAME
from models.syncnet import CROP_PX, SyncNetConfig
from pipeline.errors import InputError, PipelineError
from pipeline.media import decode
from pipeline.progress import Progress, silent
from training.data.cache import (
    MAPPED,
    CacheFullError,
    CacheUnwritable,
    ClipCache,
    write_array,
)
from training.drawn import pen
from training.drawn.heads import drawn_clip

MARGIN_PX = 16  # of the crop, around the network's region: for shifts and rotations
CACHE_VERSION = 2
SILENT_STEPS = 2  # range of silent samples, of 65536: rounding
LIST_SUFFIX = ".txt"  # of a list of clips, as `python -m pipeline.select` writes it
DRAWN = "drawn"  # in place of DATA_DIR/REFERENCE in the names of drawn heads


@dataclass(frozen=True)
class Clip:
    """One face with its sound.

    Attributes:
        name: DATA_DIR/REFERENCE/track, or drawn/number.
        pictures: (T, C, S, S) uint8, what the network sees, with a margin all around for training.
        samples: (n,) int16 mono 16 kHz, 640 a frame; empty where the clip has no sound.
        offset_ms: by how much the sound leads in the middle of the clip, as far as known.
        drift_ms_per_min: by how much more it leads a minute later.
        person: who is on it, where a people.csv says so.
    """

    name: str
    pictures: np.ndarray
    samples: np.ndarray
    offset_ms: float = 0.0
    drift_ms_per_min: float = 0.0
    person: str = ""

    @property
    def frames(self) -> int:
        """Length in video frames."""
        return len(self.pictures)

    @property
    def reference(self) -> str:
        """DATA_DIR/REFERENCE: what clips of one video share."""
        return self.name.rpartition("/")[0]

    @property
    def who(self) -> str:
        """The clip's person, or else its video; every drawn head is a person of its own."""
        return self.person or (self.name if self.reference == DRAWN else self.reference)

    @overload
    def offset_at(self, frame: float) -> float: ...
    @overload
    def offset_at(self, frame: np.ndarray) -> np.ndarray: ...
    def offset_at(self, frame: float | np.ndarray) -> float | np.ndarray:
        """By how much the sound leads at a video frame, or at each of some, in ms."""
        minutes_on = (frame - self.frames / 2) / (60 * FRAME_RATE)
        return self.offset_ms + self.drift_ms_per_min * minutes_on


@dataclass(frozen=True)
class Loaded:
    """Clips of a set of folders.

    Attributes:
        clips: with sound.
        left_out: reason of each file that is not among them, by name.
    """

    clips: list[Clip]
    left_out: dict[str, str]


def minutes(clips: list[Clip]) -> float:
    """How long all clips are together."""
    return sum(clip.frames for clip in clips) / FRAME_RATE / 60


def margin_config(config: SyncNetConfig) -> SyncNetConfig:
    """The same view with a margin, as far as the crop has one: what is cached for training."""
    top, left, side = config.lip_region_px
    margin = min(MARGIN_PX, top, left, CROP_PX - side - top, CROP_PX - side - left)
    wide = side + 2 * margin
    return replace(
        config,
        lip_region_px=(top - margin, left - margin, wide),
        lip_size_px=round(config.lip_size_px * wide / side),
    )


def clip_files(data_dirs: list[Path]) -> list[Path]:
    """Every face clip of the data folders, in order.

    Args:
        data_dirs: of run_pipeline.py, or lists with the path of a clip per line.

    Raises:
        InputError: a folder or a listed clip is not there, or none holds a clip.
    """
    files = [file for folder in data_dirs for file in _clips_in(folder)]
    if not files:
        raise InputError(
            f"No face clips in {', '.join(map(str, data_dirs))}; run run_pipeline.py first."
        )
    named: dict[str, Path] = {}
    for file in files:
        if (other := named.setdefault(clip_name(file), file)) is not file:
            raise InputError(
                f"{other} and {file} would both be called {clip_name(file)}; give each data_dir "
                "once, and folders of the same name another."
            )
    return files


def _clips_in(folder: Path) -> list[Path]:
    """The clips of one data folder or list."""
    if folder.is_file() and folder.suffix == LIST_SUFFIX:
        lines = folder.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        files = [folder.parent / line.strip() for line in lines if line.strip()]
        for file in files:
            if not (file.is_file() and len(file.absolute().parents) > 3):
                raise InputError(
                    f"{folder} lists {file}, which is not there; select again, or give the "
                    "data_dir."
                )
        return files
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give a data_dir of run_pipeline.py.")
    if not (folder / "pycrop").is_dir():
        raise InputError(f"{folder} has no pycrop folder; {_instead_of_crops(folder)}")
    return sorted(folder.glob("pycrop/*/[0-9]*.avi"))


def data_folders(data_dirs: list[Path]) -> list[Path]:
    """The data folders; in place of a list, those its clips are in."""
    return list(
        dict.fromkeys(
            folder
            for given in data_dirs
            for folder in (
                [file.absolute().parents[2] for file in _clips_in(given)]
                if given.is_file() and given.suffix == LIST_SUFFIX
                else [given]
            )
        )
    )


def _instead_of_crops(folder: Path) -> str:
    """Describes a folder that is no data_dir, and what to do."""
    deeper = sorted(path.parent.name for path in folder.glob("*/pycrop") if path.is_dir())
    above = [path for path in folder.absolute().parents[:3] if (path / "pycrop").is_dir()]
    if deeper:
        return f"{folder / deeper[0]} has one; give that."
    if above:
        return f"{above[0]} has one; give that."
    if any(folder.glob("*/*/audio.wav")):
        return "it is a preprocessed_root, which train_wav2lip.py reads."
    names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
    content = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return (
        f"there is {content or 'nothing'} in it; run run_pipeline.py on the videos and give its "
        "data_dir."
    )


def clip_name(file: Path) -> str:
    """DATA_DIR/REFERENCE/track of a `DATA_DIR/pycrop/REFERENCE/track.avi`."""
    return f"{file.absolute().parents[2].name}/{file.parent.name}/{file.stem}"


def load_clips(
    files: list[Path],
    config: SyncNetConfig,
    *,
    cache: Path,
    margin: bool,
    cache_gb: float = 20.0,
    progress: Progress = silent,
) -> Loaded:
    """Decodes face clips, or finds them decoded.

    Args:
        files: face clips.
        config: of the network to train.
        cache: folder for decoded clips; safe to delete.
        margin: keep one for training; without, pictures are exactly those run_syncnet.py sees.
        cache_gb: the cache stays below this; clips that do not fit are left out.
        progress: called after each clip.

    Raises:
        InputError: not one clip can be used; the sentence names the first and why.
    """
    view = margin_config(config) if margin else config
    clips: list[Clip] = []
    left_out: dict[str, str] = {}
    clip_cache = ClipCache(cache, limit_bytes=int(cache_gb * 1e9))
    for count, file in enumerate(files, start=1):
        clip = attempt(partial(_cached_clip, file, view, clip_cache))
        if isinstance(clip, Clip):
            clips.append(clip)
        else:
            left_out[clip_name(file)] = clip
        progress("face clips read", count, len(files))
    if not clips:
        name, reason = next(iter(left_out.items()))
        raise InputError(f"None of {len(files)} face clips can be used: {name}: {reason}.")
    return Loaded(clips, left_out)


def attempt(load: Callable[[], Clip]) -> Clip | str:
    """The clip that `load` reads, or the reason why it is of no use."""
    try:
        clip = load()
    except CacheUnwritable:
        raise
    except CacheFullError as error:
        return f"cache full (--cache_gb {error})"
    except (PipelineError, OSError, ValueError) as error:
        return f"unreadable ({error})"
    if not clip.samples.size:
        return "no sound"
    # As Python's numbers: the range of loud sound does not fit into the 16 bits of a sample.
    loudness_steps = int(clip.samples.max()) - int(clip.samples.min())
    return clip if loudness_steps > SILENT_STEPS else "silent sound"


def cached(
    name: str,
    about: str,
    decode: Callable[[], tuple[np.ndarray, np.ndarray]],
    clip_cache: ClipCache,
    *,
    needed: bool = True,
) -> Clip:
    """A clip whose pictures and sound are decoded once and found in the cache from then on.

    Args:
        name: of the clip.
        about: everything its decoding depends on.
        decode: gives (T, C, S, S) uint8 pictures and (n,) int16 sound.
        clip_cache: where.
        needed: a clip that does not fit is an error; otherwise it is kept in memory.

    Raises:
        CacheFullError: it does not fit.
        CacheUnwritable: the disk is full.
    """
    key = hashlib.sha256(f"{CACHE_VERSION} {about}".encode()).hexdigest()[:24]
    pictures_file = clip_cache.folder / f"{key}.pictures.npy"
    samples_file = clip_cache.folder / f"{key}.samples.npy"

    def read() -> Clip:
        pictures = np.load(pictures_file, mmap_mode="r", allow_pickle=False)
        clip = Clip(name, pictures, np.load(samples_file, allow_pickle=False))
        MAPPED[pictures_file.absolute()] = pictures
        clip_cache.touch(key)
        return clip

    with contextlib.suppress(FileNotFoundError):
        return read()
    pictures, sound = decode()
    sound = _fitted(sound, len(pictures))
    if not clip_cache.take(pictures.nbytes + sound.nbytes):
        if not needed:
            return Clip(name, pictures, sound)
        raise CacheFullError(f"{clip_cache.limit_bytes / 1e9:g}")
    write_array(samples_file, sound)
    write_array(pictures_file, pictures)
    return read()


def _cached_clip(file: Path, view: SyncNetConfig, clip_cache: ClipCache) -> Clip:
    status = file.stat()
    view_key = (view.lip_region_px, view.lip_size_px, view.grey)

    def decoded() -> tuple[np.ndarray, np.ndarray]:
        sound = decode.read_audio(file)
        frames = decode.read_frames(file, frame_rate=None, size_px=(CROP_PX, CROP_PX))
        return np.stack([syncnet.lip_pixels(frame, view) for frame in frames]), sound

    about = f"{file.resolve()} {status.st_size} {status.st_mtime_ns} {view_key}"
    return cached(clip_name(file), about, decoded, clip_cache)


def _fitted(samples: np.ndarray, frames: int) -> np.ndarray:
    length = frames * SAMPLES_PER_FRAME
    return np.pad(samples[:length], (0, max(0, length - len(samples)))) if samples.size else samples


def drawn_clips(
    sources: list[Clip],
    config: SyncNetConfig,
    *,
    count: int,
    frames: int,
    seed: int,
    clip_cache: ClipCache | None = None,
) -> Iterator[Clip]:
    """Drawn heads that speak with the sound of real clips.

    Args:
        sources: clips whose sound is used; each drawn head takes a stretch of one.
        config: of the network to train.
        count: how many.
        frames: length of each.
        seed: of everything random.
        clip_cache: drawn once and found there from then on, as far as they fit; None draws all.
    """
    long_enough = [clip for clip in sources if clip.frames >= frames]
    view = margin_config(config)
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        source = long_enough[rng.integers(len(long_enough))]
        first = int(rng.integers(source.frames - frames + 1))
        samples = source.samples[first * SAMPLES_PER_FRAME :][: frames * SAMPLES_PER_FRAME]

        def draw(
            rng: np.random.Generator = rng, samples: np.ndarray = samples
        ) -> tuple[np.ndarray, np.ndarray]:
            pictures = drawn_clip(rng, samples, frames=frames, size_px=CROP_PX)
            return np.stack([syncnet.lip_pixels(picture, view) for picture in pictures]), samples

        if clip_cache is None:
            yield Clip(f"{DRAWN}/{number}", *draw())
            continue
        digest = hashlib.sha256(samples.tobytes()).hexdigest()
        view_key = (view.lip_region_px, view.lip_size_px, view.grey)
        about = f"drawn {drawing_version()} {seed} {number} {frames} {view_key} {digest}"
        yield cached(f"{DRAWN}/{number}", about, draw, clip_cache, needed=False)


@functools.cache
def drawing_version() -> str:
    """Digest of the code that draws: other code draws other heads."""
    files = sorted(Path(pen.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def shifted_sound(clip: Clip, *, first: int, frames: int, lead_ms: float = 0.0) -> np.ndarray:
    """The sound of a stretch of a clip, moved so that it leads by so much more.

    Args:
        clip: where from.
        first: first video frame of the stretch.
        frames: its length.
        lead_ms: what is heard at t + lead is moved to t; silence beyond the clip.

    Returns:
        (640 frames,) int16.
    """
    start = first * SAMPLES_PER_FRAME + round(lead_ms * SAMPLE_RATE / 1000)
    end = start + frames * SAMPLES_PER_FRAME
    cut = clip.samples[max(0, start) : max(0, end)]
    before = min(max(0, -start), end - start)
    return np.pad(cut, (before, end - start - before - len(cut)))
