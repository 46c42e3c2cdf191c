"""Which tracks of a batch are good enough to learn from, and why the others are not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.features import FRAME_RATE
from models.options import check_fields, check_number
from pipeline.batch.manifest import Line, read_lines
from pipeline.errors import InputError
from pipeline.store.workspace import Workspace

FRAME_MS = 1000 / FRAME_RATE
UNMEASURED = "no offset was measured"
AT_EDGE = "offset at the edge of the search"
NOT_RELIABLE = "offset not reliable"
LOW_CONFIDENCE = "low confidence"
IMPROBABLE = "low probability"
TOO_FAR = "sound and lips too far apart"
CHANGING = "offset changes within the track"
TOO_SHORT = "too short"
SAME_SOUND = "same sound as another video"


@dataclass(frozen=True)
class SelectOptions:
    """What a track must be, named as the flags of `python -m pipeline.select`.

    Attributes:
        min_confidence: least confidence, in units of the weights; None: the offset must be
            reliable.
        min_probability: least probability that the offset is right; None for any.
        max_offset: largest offset either way, frames of 40 ms.
        min_seconds: least length.
        duplicates: keep tracks of videos with the same sound.
    """

    min_confidence: float | None = None
    min_probability: float | None = None
    max_offset: float = 3.0
    min_seconds: float = 2.0
    duplicates: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        check_number("min_confidence", self.min_confidence, optional=True)
        check_number("min_probability", self.min_probability, least=0, most=1, optional=True)
        check_number("max_offset", self.max_offset, least=0)
        check_number("min_seconds", self.min_seconds, least=0)


@dataclass(frozen=True)
class Candidate:
    """One track of a batch, and whether it stays.

    Attributes:
        data_dir: of the batch.
        video: its path or address.
        reference, track: name and number of its results.
        start_s, end_s: of the track, seconds of the video.
        offset_ms, confidence: as in offsets.json; None where nothing was measured.
        reason: why it is dropped; empty where it stays.
    """

    data_dir: Path
    video: str
    reference: str
    track: int
    start_s: float
    end_s: float
    offset_ms: float | None
    confidence: float | None
    reason: str

    @property
    def clip(self) -> Path:
        """Where its face clip is, if one was kept."""
        return Workspace(self.data_dir, self.reference).crop(self.track)

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end_s - self.start_s


def manifests(data_dirs: Sequence[Path]) -> list[Path]:
    """The manifests of some batches, those of shards, too.

    Raises:
        InputError: a folder holds none.
    """
    paths = []
    for data_dir in data_dirs:
        inside = sorted(data_dir.glob("batch*.jsonl"))
        if not inside:
            raise InputError(
                f"--data_dir {data_dir} holds no batch.jsonl; run run_batch.py --data_dir "
                f"{data_dir} first."
            )
        paths += inside
    return paths


def batch_lines(paths: Sequence[Path]) -> Iterator[tuple[Path, Line]]:
    """The lines of manifests, each with its data_dir."""
    for path in paths:
        for line in read_lines(path):
            yield path.parent, line


def candidates_of(data_dir: Path, line: Line, options: SelectOptions) -> list[Candidate]:
    """The tracks of a video, judged one by one.

    Raises:
        InputError: the line has another format.
    """
    try:
        return [
            Candidate(
                data_dir=data_dir,
                video=line["video"],
                reference=line["reference"],
                track=row["track"],
                start_s=row["start_s"],
                end_s=row["end_s"],
                offset_ms=row["offset_ms"],
                confidence=row["confidence"],
                reason=why_dropped(row, options),
            )
            for row in line["tracks"]
        ]
    except (KeyError, TypeError) as error:
        raise InputError(
            f"The line of {line.get('video')} in {data_dir} has another format; make it again with "
            "run_batch.py --overwrite."
        ) from error


def why_dropped(row: dict[str, Any], options: SelectOptions) -> str:
    """Why a row of offsets.json is not good enough; empty where it is.

    Args:
        row: of one track.
        options: what it must be.
    """
    if row["offset_ms"] is None or row["confidence"] is None:
        return UNMEASURED
    if row["at_search_edge"]:
        return AT_EDGE
    if options.min_confidence is None:
        if not row["reliable"]:
            return NOT_RELIABLE
    elif row["confidence"] < options.min_confidence:
        return LOW_CONFIDENCE
    if options.min_probability is not None and (
        row["probability"] is None or row["probability"] < options.min_probability
    ):
        return IMPROBABLE
    if (row.get("over_time") or {}).get("kind") in ("step", "drift"):
        return CHANGING
    if abs(row["offset_ms"]) > options.max_offset * FRAME_MS:
        return TOO_FAR
    if row["end_s"] - row["start_s"] < options.min_seconds:
        return TOO_SHORT
    return ""
