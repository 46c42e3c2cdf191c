"""Everything the page shows of one video, from the files of run_pipeline.py and run_syncnet.py.

Only tracks.pckl and activesd.pckl must be there, as the SyncNet demo writes them; whatever else is
absent, or no value of its type, is left out.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.features import FRAME_RATE
from pipeline import plain
from pipeline.errors import InputError
from pipeline.evidence.parts import Part, Step
from pipeline.plain import Span
from pipeline.store.workspace import Workspace

RTTM_COLUMNS = 10


@dataclass(frozen=True)
class Reason:
    """Why there is no reliable offset, and what to change; of one track, or None of the video."""

    text: str
    advice: str | None
    track: int | None = None


@dataclass(frozen=True)
class TrackResult:
    """One track as the page shows it; fields of offsets.json have their names and meanings.

    Attributes:
        track: its number.
        start_s, end_s: when it is on screen, seconds of the video.
        dists: (windows, shifts) float32, of activesd.pckl.
        reliable: the offset can be acted on; None where nobody judged it, as in the demo's results.
        wide: the offset was found by the search over several seconds.
        kind: of its offset over time, "constant", "step" or "drift"; None where nobody judged it.
        pieces, steps: of `over_time`.
        speech_s: when it speaks.
    """

    track: int
    start_s: float
    end_s: float
    dists: np.ndarray
    offset_frames: int | None
    offset_ms: float | None
    min_dist: float | None
    confidence: float | None
    margin: float | None
    probability: float | None
    reliable: bool | None
    reliable_confidence: float | None
    at_search_edge: bool
    wide: bool
    kind: str | None
    pieces: tuple[Part, ...]
    steps: tuple[Step, ...]
    drift_ms_per_min: float | None
    drift_interval_ms_per_min: Span | None
    reason: Reason | None
    warning: str | None
    speech_s: tuple[Span, ...]

    @property
    def speaks_s(self) -> float:
        """For how long it speaks."""
        return sum(end_s - start_s for start_s, end_s in self.speech_s)

    @property
    def vshift(self) -> int:
        """Largest offset of its distances, frames of 40 ms."""
        return self.dists.shape[1] // 2


@dataclass(frozen=True)
class StoredVerdict:
    """What video.json says about the video as a whole; fields have their names there."""

    verdict: str
    sentence: str
    offset_ms: float | None
    standards: dict[str, str]
    shots: tuple[Part, ...]
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class Results:
    """All results of one video.

    Attributes:
        workspace: where they are.
        frame_rate: frames per second of the video that is shown.
        duration_s: of the video, or of its tracks where no record says it.
        shots: as (start, end); empty where no record says it.
        tracks: in their order.
        verdict: of video.json, None where there is none.
        nobody_s: when somebody speaks who is not on screen; None where nobody judged it.
        has_sound: of the video.
        file: name of the video that was given, None where no record says it.
        made_with: names and values of what the results were made with.
        notices: sentences of run_pipeline.py.
    """

    workspace: Workspace
    frame_rate: int
    duration_s: float
    shots: tuple[Span, ...]
    tracks: tuple[TrackResult, ...]
    verdict: StoredVerdict | None
    nobody_s: tuple[Span, ...] | None
    has_sound: bool
    file: str | None
    made_with: dict[str, str]
    notices: tuple[str, ...]


def read_results(workspace: Workspace, *, frame_rate: int | None = None) -> Results:
    """Reads the results of one video.

    Args:
        workspace: where run_pipeline.py and run_syncnet.py have been.
        frame_rate: of its frames; None for what its record says.

    Raises:
        InputError: a stage is missing, or a file is damaged or of another run.
    """
    rate = frame_rate or workspace.read_frame_rate()
    stored, dists = workspace.read_tracks(), workspace.read_distances()
    if len(stored) != len(dists):
        raise InputError(
            f"{len(stored)} tracks but scores for {len(dists)}; run run_syncnet.py again."
        )
    rows = plain.read_json(workspace.offsets_json, list)
    by_track = {plain.integer(row.get("track")): row for row in plain.mappings(rows)}
    speaking = plain.read_json(workspace.speaking, dict)
    speech = _speech(speaking, workspace.speakers)
    record = workspace.read_record() or {}
    tracks = tuple(
        _track(
            number,
            (int(track.frames[0]) / rate, (int(track.frames[-1]) + 1) / rate),
            track_dists,
            by_track.get(number, {}),
            speech.get(number, ()),
        )
        for number, ((track, _), track_dists) in enumerate(zip(stored, dists, strict=True))
    )
    frames = plain.number(plain.mapping(record.get("counts")).get("frames"))
    file = plain.text(record.get("file"))
    return Results(
        workspace=workspace,
        frame_rate=rate,
        duration_s=frames / rate
        if frames and frames > 0
        else max([0.0, *(track.end_s for track in tracks)]),
        shots=tuple((s / rate, e / rate) for s, e in plain.spans(record.get("scenes"))),
        tracks=tracks,
        verdict=_verdict(plain.read_json(workspace.verdict, dict)),
        nobody_s=None if speaking is None else plain.spans(speaking.get("nobody_s")),
        has_sound=record["sound"] is not None if "sound" in record else workspace.audio.is_file(),
        file=Path(file).name if file else None,
        made_with=_made_with(record, next(iter(by_track.values()), {})),
        notices=tuple(filter(plain.text, _listed(record.get("notices")))),
    )


def _track(
    number: int,
    shown_s: Span,
    dists: np.ndarray,
    row: dict[str, Any],
    speech_s: tuple[Span, ...],
) -> TrackResult:
    over_time = plain.mapping(row.get("over_time"))
    reason = _reasons([row.get("reason")])
    measured = _measured(dists) if not row else {}
    interval = plain.spans([over_time.get("drift_interval_ms_per_min")])
    drift = plain.number(over_time.get("drift_ms_per_min"))
    return TrackResult(
        track=number,
        start_s=shown_s[0],
        end_s=shown_s[1],
        dists=dists,
        offset_frames=plain.integer(row.get("offset_frames", measured.get("offset_frames"))),
        offset_ms=plain.number(row.get("offset_ms", measured.get("offset_ms"))),
        min_dist=plain.number(row.get("min_dist", measured.get("min_dist"))),
        confidence=plain.number(row.get("confidence", measured.get("confidence"))),
        margin=plain.number(row.get("margin")),
        probability=plain.number(row.get("probability")),
        reliable=plain.flag(row.get("reliable")),
        reliable_confidence=plain.number(row.get("reliable_confidence")),
        at_search_edge=row.get("at_search_edge") is True,
        wide=row.get("search") == "wide",
        kind=plain.text(over_time.get("kind")),
        pieces=_pieces(over_time.get("pieces")),
        steps=_steps(over_time.get("steps")),
        drift_ms_per_min=plain.number(row.get("drift_ms_per_min")) if drift is None else drift,
        drift_interval_ms_per_min=interval[0] if interval else None,
        reason=reason[0] if reason else None,
        warning=plain.text(row.get("warning")),
        speech_s=speech_s,
    )


def _measured(dists: np.ndarray) -> dict[str, Any]:
    """Offset, min dist and confidence from distances alone, as docs/formats.md has it."""
    if not len(dists):
        return {}
    mean = dists.mean(axis=0)
    offset_frames = dists.shape[1] // 2 - int(mean.argmin())
    return {
        "offset_frames": offset_frames,
        "offset_ms": offset_frames * 1000 / FRAME_RATE,
        "min_dist": float(mean.min()),
        "confidence": float(np.median(mean) - mean.min()),
    }


def _pieces(value: Any) -> tuple[Part, ...]:
    pieces = []
    for row in plain.mappings(value):
        for start_s, end_s in plain.spans([[row.get("start_s"), row.get("end_s")]]):
            offset_ms = plain.number(row.get("offset_ms"))
            pieces.append(Part(start_s, end_s, offset_ms, row.get("reliable") is True))
    return tuple(pieces)


def _steps(value: Any) -> tuple[Step, ...]:
    steps = []
    for row in plain.mappings(value):
        numbers = [plain.number(row.get(name)) for name in ("at_s", "from_ms", "to_ms")]
        if None not in numbers:
            steps.append(Step(*(number for number in numbers if number is not None)))
    return tuple(steps)


def _reasons(value: Any) -> tuple[Reason, ...]:
    return tuple(
        Reason(text, plain.text(row.get("advice")), plain.integer(row.get("track")))
        for row in plain.mappings(value)
        if (text := plain.text(row.get("text")))
    )


def _verdict(stored: dict[str, Any] | None) -> StoredVerdict | None:
    """What video.json says; None where it says no sentence."""
    sentence = plain.text(stored.get("sentence")) if stored else None
    if stored is None or sentence is None:
        return None
    standards = plain.mapping(stored.get("standards"))
    return StoredVerdict(
        verdict=plain.text(stored.get("verdict")) or "cannot_be_told",
        sentence=sentence,
        offset_ms=plain.number(stored.get("offset_ms")),
        standards={name: word for name in standards if (word := plain.text(standards[name]))},
        shots=_pieces(stored.get("shots")),
        reasons=_reasons(stored.get("reasons")),
    )


def _speech(speaking: dict[str, Any] | None, rttm: Path) -> dict[int | None, tuple[Span, ...]]:
    """When each track speaks: of speaking.json, or of speakers.rttm where there is none."""
    if speaking is not None:
        return {
            plain.integer(row.get("track")): plain.spans(row.get("speech_s"))
            for row in plain.mappings(speaking.get("tracks"))
        }
    by_track: dict[int | None, list[Span]] = {}
    lines = rttm.read_text("utf-8", "replace").splitlines() if rttm.is_file() else []
    for columns in map(str.split, lines):
        if len(columns) != RTTM_COLUMNS or not columns[7].startswith("track_"):
            continue
        try:
            track = int(columns[7].removeprefix("track_"))
            start_s, length_s = float(columns[3]), float(columns[4])
        except ValueError:
            continue
        for span in plain.spans([[start_s, start_s + length_s]]):
            by_track.setdefault(track, []).append(span)
    return {track: tuple(spans) for track, spans in by_track.items()}


def _made_with(record: dict[str, Any], row: dict[str, Any]) -> dict[str, str]:
    """Weights, search and versions, by what people call them."""
    settings = plain.mapping(row.get("settings"))
    versions = plain.mapping(settings.get("versions"))
    vshift = plain.number(settings.get("vshift"))
    values = {
        "Weights of the lip-sync network": plain.text(row.get("weights")),
        "Weights of the face detector": plain.text(
            plain.mapping(record.get("detector")).get("file")
        ),
        "Offsets searched": f"up to {vshift * 1000 / FRAME_RATE:.0f} ms" if vshift else None,
        "Toolkit": plain.text(versions.get("toolkit")),
        "ffmpeg": plain.text(versions.get("ffmpeg")),
    }
    return {name: value for name, value in values.items() if value}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
