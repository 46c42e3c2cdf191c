"""Face clips with their sound, as the lip-sync networks are trained on them.

Clips are what run_pipeline.py cut (`pycrop/REF/*.avi`). Each is decoded once into a small array of
grey mouth pictures, a margin wider than the network looks, and kept in a cache folder.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from models import syncnet
from models.features import FRAME_RATE, SAMPLES_PER_FRAME
from models.syncnet import CROP_PX, SyncNetConfig
from pipeline import cli, media
from pipeline.errors import InputError
from training.drawn import drawn_clip

MARGIN_PX = 16  # of the crop, around what the network sees: room for shifts and rotations
CACHE_VERSION = 1


@dataclass(frozen=True)
class Clip:
    """One face with its sound.

    Attributes:
        name: DATA_DIR/REFERENCE/track, or drawn/number.
        lips: (T, S, S) uint8, the network's mouth region, with a margin all around for training.
        samples: (640 T,) int16 mono 16 kHz.
        offset_frames: by how many frames the sound leads, as far as known.
    """

    name: str
    lips: np.ndarray
    samples: np.ndarray
    offset_frames: int = 0

    @property
    def frames(self) -> int:
        """Length in video frames."""
        return len(self.lips)


def minutes(clips: list[Clip]) -> float:
    """How long all clips are together."""
    return sum(clip.frames for clip in clips) / FRAME_RATE / 60


def margin_config(config: SyncNetConfig) -> SyncNetConfig:
    """The same view with a margin: what is cached, so that training can move within it.

    Raises:
        InputError: its region leaves no margin.
    """
    top, left, side = config.lip_region_px
    reach = min(top, left, CROP_PX - side - top, CROP_PX - side - left)
    if reach < MARGIN_PX:
        raise InputError(f"Training needs a mouth region {MARGIN_PX} pixels inside the crop.")
    wide = side + 2 * MARGIN_PX
    return replace(
        config,
        lip_region_px=(top - MARGIN_PX, left - MARGIN_PX, wide),
        lip_size_px=round(config.lip_size_px * wide / side),
    )


def load_clips(
    data_dirs: list[Path], config: SyncNetConfig, *, cache: Path, margin: bool
) -> list[Clip]:
    """Every face clip of the data folders that has sound.

    Args:
        data_dirs: folders run_pipeline.py wrote to.
        config: of the network to train.
        cache: folder for decoded clips; safe to delete.
        margin: keep one for training; without, pictures are exactly those run_syncnet.py sees.

    Raises:
        InputError: no folder holds a clip, or the network wants colour.
    """
    if not config.grey:
        raise InputError("Only networks that see grey pictures can be trained or evaluated here.")
    files = [path for folder in data_dirs for path in sorted(folder.glob("pycrop/*/[0-9]*.avi"))]
    if not files:
        raise InputError(
            f"No face clips in {', '.join(map(str, data_dirs))}; run run_pipeline.py first."
        )
    cache.mkdir(parents=True, exist_ok=True)
    wide = margin_config(config) if margin else config
    clips = []
    with cli.progress("face clips read", len(files), unit=" clips") as bar:
        for file in files:
            clip = _cached_clip(file, wide, cache=cache)
            if clip.samples.size:
                clips.append(clip)
            bar.update(1)
    return clips


def _cached_clip(file: Path, wide: SyncNetConfig, *, cache: Path) -> Clip:
    status = file.stat()
    about = f"{CACHE_VERSION} {file.resolve()} {status.st_size} {status.st_mtime_ns} {wide}"
    stored = cache / (hashlib.sha256(about.encode()).hexdigest()[:24] + ".npz")
    name = f"{file.parents[2].name}/{file.parent.name}/{file.stem}"
    if stored.exists():
        with np.load(stored, allow_pickle=False) as arrays:
            return Clip(name, arrays["lips"], arrays["samples"])
    frames = media.read_frames(file, frame_rate=None, size_px=(CROP_PX, CROP_PX))
    lips = np.stack([syncnet.lip_pixels(frame, wide)[0] for frame in frames])
    samples = _fitted(media.read_audio(file), len(lips))
    partial = stored.with_suffix(".partial.npz")
    np.savez(partial, lips=lips, samples=samples)
    partial.replace(stored)
    return Clip(name, lips, samples)


def _fitted(samples: np.ndarray, frames: int) -> np.ndarray:
    wanted = frames * SAMPLES_PER_FRAME
    return np.pad(samples[:wanted], (0, max(0, wanted - len(samples)))) if samples.size else samples


def drawn_clips(
    sources: list[Clip], config: SyncNetConfig, *, count: int, frames: int, seed: int
) -> Iterator[Clip]:
    """Drawn heads that speak with the sound of real clips.

    Args:
        sources: clips whose sound is used; each drawn head takes a stretch of one.
        config: of the network to train.
        count: how many.
        frames: length of each.
        seed: of everything random.
    """
    long_enough = [clip for clip in sources if clip.frames >= frames]
    wide = margin_config(config)
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        source = long_enough[rng.integers(len(long_enough))]
        first = int(rng.integers(source.frames - frames + 1))
        samples = source.samples[first * SAMPLES_PER_FRAME :][: frames * SAMPLES_PER_FRAME]
        pictures = drawn_clip(rng, samples, frames=frames, size_px=CROP_PX)
        lips = np.stack([syncnet.lip_pixels(picture, wide)[0] for picture in pictures])
        yield Clip(f"drawn/{number}", lips, samples)


def shifted_sound(clip: Clip, *, first: int, frames: int, lead_frames: int = 0) -> np.ndarray:
    """The sound of a stretch of a clip, moved so that it leads by so many more frames.

    Args:
        clip: where from.
        first: first video frame of the stretch.
        frames: its length.
        lead_frames: sound of frame f + lead is heard at frame f; silence beyond the clip.

    Returns:
        (640 frames,) int16.
    """
    start = (first + lead_frames) * SAMPLES_PER_FRAME
    end = start + frames * SAMPLES_PER_FRAME
    cut = clip.samples[max(0, start) : max(0, end)]
    before = min(max(0, -start), end - start)
    return np.pad(cut, (before, end - start - before - len(cut)))
