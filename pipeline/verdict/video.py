"""The verdict of a whole video: the content of video.json, written and read."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pipeline.errors import InputError
from pipeline.evidence.parts import Drift, Part
from pipeline.store.files import write_json

__all__ = ["Drift", "Part", "Reason", "Shot", "VideoVerdict", "read_verdict", "write_verdict"]

Verdict = Literal["in_sync", "early", "late", "drifts", "steps", "cannot_be_told"]


@dataclass(frozen=True)
class Shot(Part):
    """One shot and its offset by its own faces alone.

    Attributes:
        tracks: numbers of the tracks in it.
    """

    tracks: tuple[int, ...]


@dataclass(frozen=True)
class Reason:
    """Why a track has no reliable offset, or the video none.

    Attributes:
        track: its number; None where it is about the video.
        code: for programs, see reasons.py.
        text: what is the case, a sentence.
        advice: what to change, a sentence.
    """

    track: int | None
    code: str
    text: str
    advice: str


@dataclass(frozen=True)
class VideoVerdict:
    """What all faces of a video together say about its sound.

    Attributes:
        reference: name of the video's results.
        verdict: in_sync, early, late, drifts, steps or cannot_be_told.
        sentence: the same for people.
        offset_ms: by how much the sound leads (> 0) or lags (< 0): that of the longest part where
            it steps, that of the middle where it drifts; None where it cannot be told.
        reliable: the verdict can be acted on.
        standards: grade by standard, see standards.py.
        parts: from the start of the video to its end without a gap; one where the offset is
            constant or drifts, none where it cannot be told.
        drift: None unless it drifts.
        shots: those with a face, by themselves.
        reasons: why tracks have no reliable offset, and the video none.
        settings: how it was measured.
    """

    reference: str
    verdict: Verdict
    sentence: str
    offset_ms: float | None
    reliable: bool
    standards: dict[str, str | None]
    parts: tuple[Part, ...]
    drift: Drift | None
    shots: tuple[Shot, ...]
    reasons: tuple[Reason, ...]
    settings: dict[str, Any]

    @staticmethod
    def from_dict(stored: dict[str, Any]) -> "VideoVerdict":
        """The inverse of `dataclasses.asdict`, also after JSON.

        Raises:
            TypeError, KeyError, ValueError: it is none.
        """
        drift = stored["drift"]
        if stored["verdict"] not in get_args(Verdict):
            raise ValueError(f"{stored['verdict']} is no verdict")
        if drift is not None:
            low, high = drift["interval_ms_per_min"]
            drift = Drift(**drift | {"interval_ms_per_min": (low, high)})
        values = stored | {
            "parts": tuple(Part(**part) for part in stored["parts"]),
            "drift": drift,
            "shots": tuple(
                Shot(**shot | {"tracks": tuple(shot["tracks"])}) for shot in stored["shots"]
            ),
            "reasons": tuple(Reason(**reason) for reason in stored["reasons"]),
        }
        return VideoVerdict(**values)


def write_verdict(path: Path, verdict: VideoVerdict) -> None:
    """Writes video.json, whole or not at all."""
    write_json(path, asdict(verdict))


def read_verdict(path: Path) -> VideoVerdict:
    """Reads video.json.

    Raises:
        InputError: it is not there, damaged, or of another format.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} is not there; run run_syncnet.py first.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged; run run_syncnet.py again.") from error
    try:
        return VideoVerdict.from_dict(stored)
    except (TypeError, LookupError, ValueError) as error:
        raise InputError(f"{path} has another format; run run_syncnet.py again.") from error
