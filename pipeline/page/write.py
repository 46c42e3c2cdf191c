"""The page as one HTML file: template, style, scripts, data and pictures, all inside."""

import base64
import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import jinja2

from pipeline.page import charts, timeline
from pipeline.page.commands import commands_of, dub_command
from pipeline.page.pictures import faces_of
from pipeline.page.results import Results, TrackResult, read_results
from pipeline.page.verdict import verdict_of
from pipeline.page.words import clock_time, numbers_of, speaks, summary_of
from pipeline.store.files import write_text
from pipeline.store.workspace import Workspace
from pipeline.verdict.standards import BT1359_DETECTABLE

FOLDER = Path(__file__).resolve().parent
STYLES = ("vendor/uPlot.min.css", "templates/page.css")
SCRIPTS = ("vendor/uPlot.iife.min.js", "templates/page.js")
MOST_OPEN = 3  # so many tracks are unfolded from the start; of more, none is
NOBODY = "somebody speaks who is not shown"


def report(workspace: Workspace, *, frame_rate: int | None = None) -> None:
    """Writes report.html of one video, without drawing its faces again.

    Args:
        workspace: where run_pipeline.py and run_syncnet.py have been.
        frame_rate: of its frames; None for what its record says.

    Raises:
        InputError: a stage is missing, or a file of it is damaged.
    """
    with workspace.opened():
        write_page(read_results(workspace, frame_rate=frame_rate), workspace.report_page)


def write_page(results: Results, path: Path) -> None:
    """Writes the page of one video, whole or not at all.

    Args:
        results: of `read_results`.
        path: of the HTML file.
    """
    write_text(path, render(results))


def render(results: Results) -> str:
    """The page of one video, as HTML."""
    verdict, duration_s = verdict_of(results), results.duration_s
    tracks = _tracks(results)
    script, style = _joined(SCRIPTS), _joined(STYLES)
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            results=results,
            verdict=verdict,
            reasons=results.verdict.reasons if results.verdict else (),
            commands=commands_of(results, verdict),
            video=video_url(results.workspace),
            lane_size=(timeline.LANE_WIDTH, timeline.LANE_HEIGHT),
            ticks=timeline.ticks(duration_s),
            shots=timeline.shot_bars(results),
            loudness=timeline.loudness_outline(results.workspace.audio, duration_s=duration_s),
            nobody=timeline.bars(duration_s, results.nobody_s or (), kind="nobody", what=NOBODY),
            tracks=tracks,
            reliable=[track for track in tracks if track["summary"].kind != "unknown"],
            unfolded=len(results.tracks) <= MOST_OPEN,
            data=_data(results),
            script=script,
            style=style,
            script_hash=_hash(script),
            style_hash=_hash(style),
            licence=(FOLDER / "vendor" / "LICENSE").read_text("utf-8"),
        )
    )


def video_url(workspace: Workspace) -> str:
    """Where the labelled video is, seen from the page."""
    reference = PurePosixPath(f"/{workspace.reference}").as_uri().removeprefix("file:///")
    return f"../../pyavi/{reference}/{workspace.labelled_copy.name}"


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"),
        autoescape=True,  # names of files come from strangers
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clock"] = clock_time
    return environment


def _joined(names: Sequence[str]) -> str:
    """Files of ours and of the chart library, one after the other: nothing of them is data."""
    return "\n".join((FOLDER / name).read_text("utf-8") for name in names)


def _hash(text: str) -> str:
    """By which the page's policy knows its own script and style: nothing else is run."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _tracks(results: Results) -> list[dict[str, Any]]:
    """The tracks as the template shows them."""
    clips = [
        (
            results.workspace.crop(track.track),
            round((track.end_s - track.start_s) * results.frame_rate),
        )
        for track in results.tracks
    ]
    faces = faces_of(clips)
    return [_track(results, track, face) for track, face in zip(results.tracks, faces, strict=True)]


def _track(results: Results, track: TrackResult, face: str | None) -> dict[str, Any]:
    shown_s = [(track.start_s, track.end_s)]
    return {
        "result": track,
        "summary": summary_of(track),
        "numbers": numbers_of(track),
        "speaks": speaks(track),
        "command": dub_command(results, track.track),
        "face": face,
        "bars": [
            *timeline.bars(results.duration_s, shown_s, kind="shown", what="on screen"),
            *timeline.bars(results.duration_s, track.speech_s, kind="speech", what="speaks"),
        ],
    }


def _data(results: Results) -> dict[str, Any]:
    """What the page's script works with."""
    brightest, unnoticed = charts.brightest_of(results.tracks), BT1359_DETECTABLE
    return {
        "duration_s": results.duration_s,
        "frame_rate": results.frame_rate,
        "unnoticed_ms": [-unnoticed.late_ms, unnoticed.early_ms],
        "tracks": [charts.chart_data(track, brightest=brightest) for track in results.tracks],
        "mean_range": charts.mean_range_of(results.tracks),
        "speech": [[track.track, *span] for track in results.tracks for span in track.speech_s],
        "nobody": results.nobody_s or [],
    }
