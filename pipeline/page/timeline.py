"""The timeline of a page: lanes of shots, sound and tracks, in units of their drawing."""

import wave
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.page.results import Results
from pipeline.page.words import clock_time, early_or_late
from pipeline.plain import Span
from pipeline.verdict.standards import IN_SYNC_MS

LANE_WIDTH, LANE_HEIGHT = 1000, 20  # of a lane's drawing, which is stretched to the page's width
MOST_TICKS = 5
TICK_STEPS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400)
SAME_S = 0.01  # two records of one cut may be rounded differently
LOUDNESS_POINTS = 800
SAMPLE_BYTES = 2
FULL_SCALE = 32_768
BLOCK_SAMPLES = 1 << 17  # read at a time


@dataclass(frozen=True)
class Bar:
    """A stretch of a lane.

    Attributes:
        x, width: where it is drawn, of `LANE_WIDTH`.
        kind: for its colour.
        title: what it says.
    """

    x: float
    width: float
    kind: str
    title: str


@dataclass(frozen=True)
class Tick:
    """A time below the lanes: `x` of `LANE_WIDTH`, and what it says."""

    x: float
    text: str


def bars(duration_s: float, spans_s: Iterable[Span], *, kind: str, what: str) -> list[Bar]:
    """A bar for every stretch of time; `what` with its times is its title."""
    per_s = LANE_WIDTH / (duration_s or 1)
    return [
        Bar(
            round(start_s * per_s, 2),
            round((end_s - start_s) * per_s, 2),
            kind,
            f"{what}, {clock_time(start_s)} to {clock_time(end_s)}",
        )
        for start_s, end_s in spans_s
    ]


def shot_bars(results: Results) -> list[Bar]:
    """A bar for every shot, with its offset where one is known."""
    judged = results.verdict.shots if results.verdict else ()
    shots = []
    for number, span_s in enumerate(results.shots or ((0.0, results.duration_s),)):
        same = next((one for one in judged if abs(one.start_s - span_s[0]) < SAME_S), None)
        what, kind = f"shot {number + 1}", "shot"
        if same and same.reliable and same.offset_ms is not None:
            what += f": {early_or_late(same.offset_ms)}"
            kind += " good" if abs(same.offset_ms) <= IN_SYNC_MS else " bad"
        shots += bars(results.duration_s, [span_s], kind=kind, what=what)
    return shots


def ticks(duration_s: float) -> list[Tick]:
    """Round times along the timeline."""
    fitting = (step_s for step_s in TICK_STEPS_S if duration_s / step_s < MOST_TICKS)
    step_s = next(fitting, duration_s / (MOST_TICKS - 1))
    times_s = np.arange(0, duration_s or 1, step_s).tolist()
    return [
        Tick(round(time_s / (duration_s or 1) * LANE_WIDTH, 2), clock_time(time_s)[:-2])
        for time_s in times_s
    ]


def loudness_outline(wav: Path, *, duration_s: float) -> str | None:
    """The peaks of a sound over time, as the path of an SVG drawing.

    Args:
        wav: 16-bit PCM.
        duration_s: of the video, which the whole lane lasts.

    Returns:
        The path; None where there is no such file.
    """
    try:
        with wave.open(str(wav), "rb") as sound:
            if sound.getsampwidth() != SAMPLE_BYTES or duration_s <= 0:
                return None
            peaks = _peaks(sound, duration_s)
    except (OSError, EOFError, wave.Error):
        return None
    x = np.arange(LOUDNESS_POINTS) * LANE_WIDTH / LOUDNESS_POINTS
    half = np.sqrt(peaks) * LANE_HEIGHT / 2  # the ear hears what is a tenth as high, too
    upper = zip(x, LANE_HEIGHT / 2 - half, strict=True)
    lower = zip(x[::-1], LANE_HEIGHT / 2 + half[::-1], strict=True)
    return "M" + "L".join(f"{x:.0f} {y:.1f}" for x, y in [*upper, *lower]) + "Z"


def _peaks(sound: wave.Wave_read, duration_s: float) -> np.ndarray:
    """(`LOUDNESS_POINTS`,) float64 from 0 to 1, read in blocks."""
    channels = sound.getnchannels()
    per_point = duration_s * sound.getframerate() / LOUDNESS_POINTS
    peaks, start = np.zeros(LOUDNESS_POINTS), 0
    while block := sound.readframes(BLOCK_SAMPLES):
        whole = len(block) // (SAMPLE_BYTES * channels) * SAMPLE_BYTES * channels
        samples = np.frombuffer(block[:whole], "<i2").reshape(-1, channels)
        if not len(samples):
            break
        loud = np.abs(samples.astype(np.float64)).max(axis=1) / FULL_SCALE
        points = ((start + np.arange(len(loud))) / per_point).astype(int)
        inside = points < LOUDNESS_POINTS
        np.maximum.at(peaks, points[inside], loud[inside])
        start += len(loud)
    return peaks
