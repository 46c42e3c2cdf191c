"""Which videos a batch is of: a list, a folder, a pattern, addresses; and what each is called."""

import contextlib
import glob
import hashlib
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import InputError, PipelineError
from pipeline.media.probe import VIDEO_SUFFIXES

LIST_SUFFIXES = (".txt", ".lst", ".list")
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://")
# VoxCeleb2 has dev/mp4/id00012/VIDEO/00001.mp4: a person, one of their videos, a piece of it.
VOXCELEB2 = re.compile(r"(?:^|/)(id\d{5})/([^/]+)/(\d{5})\.[^./]+$")
NAME_DIGITS = 8  # of a digest, in the name of a video whose stem another one has, too


@dataclass(frozen=True)
class Video:
    """One video of a batch.

    Attributes:
        video: its absolute path, or its address.
        reference: name of its results.
        bytes, mtime_ns: of the file; None for an address, and where there is no file.
    """

    video: str
    reference: str
    bytes: int | None
    mtime_ns: int | None

    @property
    def key(self) -> dict[str, Any]:
        """What tells whether a row of a manifest is of this video as it is now."""
        return asdict(self)


@dataclass(frozen=True)
class Shard:
    """The part `index` of `count` of a list, as jobs of a cluster's array share it."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise InputError(
                f"--shard {self.index}/{self.count} is no part; give 0/{self.count} to "
                f"{self.count - 1}/{self.count}."
            )

    @property
    def manifest_stem(self) -> str:
        """Name of the shard's manifest, without its suffix."""
        return "batch" if self.count == 1 else f"batch-{self.index}-of-{self.count}"


def name_videos(sources: Sequence[str]) -> dict[str, str]:
    """The videos that some sources name, each once, in the order of the sources.

    Args:
        sources: each a video, a folder (with the folders in it), a pattern like `clips/**/*.mp4`,
            a text file with one of these or an address (fsspec's) per line, or an address.

    Returns:
        The name of each one's results, by its path or address.

    Raises:
        InputError: a source names nothing.
    """
    paths = dict.fromkeys(path for source in sources for path in _named(source, Path()))
    return _references(list(paths))


def in_shard(named: dict[str, str], shard: Shard) -> list[Video]:
    """A part of the videos of `name_videos`, as their files are now."""
    chosen = list(named.items())[shard.index :: shard.count]
    return [_video(path, reference) for path, reference in chosen]


def find_videos(sources: Sequence[str], *, shard: Shard | None = None) -> list[Video]:
    """The videos of `name_videos`, which says what sources are; None takes all parts."""
    return in_shard(name_videos(sources), shard or Shard())


def persons_of(named: dict[str, str]) -> dict[str, str]:
    """Who is on which videos, by name of their results, where the paths say so."""
    found = {reference: VOXCELEB2.search(path) for path, reference in named.items()}
    return {reference: match[1] for reference, match in found.items() if match}


def _named(source: str, base: Path) -> Iterator[str]:
    """Absolute paths and addresses of one source; relative ones start at `base`."""
    if ADDRESS.match(source):
        yield source
        return
    path = base / source
    if path.is_dir():
        inside = sorted(
            file
            for file in path.rglob("*")
            if file.suffix.lower() in VIDEO_SUFFIXES
            and file.is_file()
            and not any(part.startswith(".") for part in file.relative_to(path).parts)
        )
        if not inside:
            raise InputError(
                f"--videos {path} holds no video ({' '.join(VIDEO_SUFFIXES)}); give a folder that "
                "does."
            )
        yield from (os.path.abspath(file) for file in inside)
    elif path.is_file() and path.suffix.lower() in LIST_SUFFIXES:
        lines = _lines(path)
        if not lines:
            raise InputError(f"--videos {path} names no video; write one path per line.")
        for line in lines:
            if ADDRESS.match(line) or (path.parent / line).exists() or _is_pattern(line):
                yield from _named(line, path.parent)
            else:  # a row that says so, not the end of all others
                yield os.path.abspath(path.parent / line)
    elif path.is_file():
        yield os.path.abspath(path)
    elif _is_pattern(source):
        inside = sorted(
            Path(name) for name in glob.glob(str(path), recursive=True) if Path(name).is_file()
        )
        if not inside:
            raise InputError(f"--videos {source} fits no file; put a pattern into quotes.")
        yield from (os.path.abspath(file) for file in inside)
    else:
        raise InputError(f"--videos {source} is not there; give a list, a folder or a pattern.")


def _is_pattern(text: str) -> bool:
    return any(letter in text for letter in "*?[")


def _lines(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _references(paths: list[str]) -> dict[str, str]:
    """A name for each path: its stem, with a digest of the path where several have that.

    A piece of VoxCeleb2 is called after its person and video as well.
    """
    stems = {path: _stem(path) for path in paths}
    counts = Counter(stems.values())
    return {
        path: stem if counts[stem] == 1 else f"{stem}-{_digest(path)}"
        for path, stem in stems.items()
    }


def _stem(path: str) -> str:
    """The file's name without its suffix, as a name of a folder."""
    piece = VOXCELEB2.search(path)
    stem = "-".join(piece.groups()) if piece else Path(path).stem or "video"
    safe = re.sub(r"[\\\0\n\r]", "_", stem)
    if safe in (".", "..") or safe.startswith("."):
        safe = f"_{safe.lstrip('.')}"
    if len(os.fsencode(safe)) > 120:
        safe = os.fsdecode(os.fsencode(safe)[:100]) + f"-{_digest(path)}"
    return safe


def _digest(path: str) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:NAME_DIGITS]


def _video(path: str, reference: str) -> Video:
    try:
        status = None if ADDRESS.match(path) else os.stat(path)
    except OSError:
        status = None
    if status is None:
        return Video(path, reference, None, None)
    return Video(path, reference, status.st_size, status.st_mtime_ns)


@contextlib.contextmanager
def local_file(video: str, folder: Path) -> Iterator[Path]:
    """The video as a file of this machine; what an address names is copied, and removed again.

    Args:
        video: path or address.
        folder: an existing one, for the copy.

    Raises:
        InputError: fsspec or what it needs for such addresses is not installed, or there is
            nothing at the address.
        PipelineError: copying failed.
    """
    if not ADDRESS.match(video):
        yield Path(video)
        return
    try:
        import fsspec
    except ImportError as error:
        raise InputError(f"{video} is an address; pip install fsspec to read such.") from error
    with tempfile.TemporaryDirectory(dir=folder) as name:
        copy = Path(name) / (Path(video.partition("://")[2]).name or "video")
        try:
            with fsspec.open(video, "rb") as source, copy.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
        except FileNotFoundError as error:
            raise InputError(f"{video} is not there.") from error
        except (ImportError, ValueError) as error:
            raise InputError(f"{video} cannot be opened ({error}).") from error
        except OSError as error:
            raise PipelineError(f"{video} cannot be copied ({error}).") from error
        yield copy
