"""Offsets, times and numbers in plain words, and what a track's result asks for."""

from dataclasses import dataclass

from pipeline.page.results import TrackResult
from pipeline.verdict.standards import IN_SYNC_MS

SHORT_S = 5.0  # a clip that long with its own sound is mostly reliable


@dataclass(frozen=True)
class Number:
    """One measured number: what it is called, its value, and what it means."""

    name: str
    value: str
    meaning: str


@dataclass(frozen=True)
class Summary:
    """A track in words.

    Attributes:
        kind: "good", "bad" or "unknown", for its colour.
        short: its offset in a few words.
        sentence: what it means.
        advice: what to do; None where nothing.
    """

    kind: str
    short: str
    sentence: str
    advice: str | None


def milliseconds(value_ms: float) -> str:
    """Without a sign: "120 ms", "1.4 s"."""
    size_ms = abs(value_ms)
    return f"{size_ms:.0f} ms" if round(size_ms) < 1000 else f"{size_ms / 1000:.2f} s"


def early_or_late(offset_ms: float) -> str:
    """An offset as people say it."""
    if round(offset_ms) == 0:
        return "0 ms"
    return f"{milliseconds(offset_ms)} {'early' if offset_ms > 0 else 'late'}"


def clock_time(time_s: float) -> str:
    """A time of the video: "0:07.4", "1:02:03.0"."""
    tenths = round(time_s * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{start}:{rest // 10:02d}.{rest % 10}"


def summary_of(track: TrackResult) -> Summary:
    """What a track's result means, and what to do about it."""
    if track.offset_ms is None:
        return _unmeasured(track)
    short = early_or_late(track.offset_ms)
    if track.reliable is None:
        sentence = (
            f"At its best offset the sound is {short}. Nobody has judged if that is reliable."
        )
        return Summary("unknown", short, sentence, "Run run_syncnet.py to know.")
    if not track.reliable:
        return _unreliable(track)
    if track.steps:
        jumps = "; ".join(
            f"at {clock_time(step.at_s)} from {early_or_late(step.from_ms)} to "
            f"{early_or_late(step.to_ms)}"
            for step in track.steps
        )
        return Summary(
            "bad", "jumps", f"The offset jumps: {jumps}.", "Correct each part by itself."
        )
    if _drifts(track):
        sentence = (
            f"The offset drifts by {track.drift_ms_per_min:+.0f} ms a minute, {short} in the mean:"
            " picture and sound run by different clocks."
        )
        return Summary("bad", "drifts", sentence, "One delay cannot mend it: re-time the sound.")
    if abs(track.offset_ms) <= IN_SYNC_MS:
        return Summary("good", short, f"In sync ({short}).", None)
    if track.offset_ms > 0:
        size = milliseconds(track.offset_ms)
        return Summary("bad", short, f"The sound comes {size} too early.", f"Delay it by {size}.")
    size = milliseconds(track.offset_ms)
    return Summary("bad", short, f"The sound comes {size} too late.", f"Start it {size} earlier.")


def _drifts(track: TrackResult) -> bool:
    """The offset changes steadily: as run_syncnet.py says, or else by a frame over the track."""
    if track.kind is not None:
        return track.kind == "drift"
    minutes = (track.end_s - track.start_s) / 60
    return abs(track.drift_ms_per_min or 0.0) * minutes >= IN_SYNC_MS


def _unmeasured(track: TrackResult) -> Summary:
    if track.reason:
        return Summary("unknown", "not measured", track.reason.text, track.reason.advice)
    why = track.warning or "there was nothing to compare the lips with."
    return Summary("unknown", "not measured", "Not measured.", f"{why[0].upper()}{why[1:]}")


def _unreliable(track: TrackResult) -> Summary:
    """Why an offset is none to act on."""
    short = "not reliable"
    if track.reason:
        return Summary("unknown", short, track.reason.text, track.reason.advice)
    if track.at_search_edge and track.speech_s:
        sentence = "The best offset is the largest that was searched, which is no measurement."
        return Summary("unknown", short, sentence, "Search further: raise --vshift.")
    if track.end_s - track.start_s < SHORT_S and track.speech_s:
        sentence = "Too short to tell: a clip of a second or two seldom says enough."
        return Summary("unknown", short, sentence, "Use a longer clip.")
    if not track.speech_s:
        sentence = "A listener, a voice-over, or lips that cannot be seen: no offset stands out."
        return Summary("unknown", short, sentence, "Look at the face in the video.")
    sentence = "No offset stands out enough to rely on it."
    return Summary("unknown", short, sentence, "Do not move the sound by it.")


def speaks(track: TrackResult) -> str:
    """How much of its time a track speaks: "53 %"."""
    length_s = track.end_s - track.start_s
    return f"{100 * track.speaks_s / length_s:.0f} %" if length_s else "0 %"


def numbers_of(track: TrackResult) -> list[Number]:
    """The measured numbers of a track that there are, each with its meaning."""
    numbers = []

    def add(name: str, value: float | None, form: str, meaning: str) -> None:
        if value is not None:
            numbers.append(Number(name, form.format(value), meaning))

    if track.offset_ms is not None:
        frames = "" if track.offset_frames is None else f", {track.offset_frames:+d} frames"
        meaning = "Above 0 the sound comes too early, below 0 too late. A frame is 40 ms."
        if track.wide:
            meaning += " Found by the search over several seconds; the charts show the near one."
        numbers.append(Number("Offset", f"{track.offset_ms:+.0f} ms{frames}", meaning))
    if track.reliable is not None:
        numbers.append(_reliable(track.reliable))
    add("Probability", track.probability, "{:.3f}", "That the offset is right within a frame.")
    weights = "Compare it only among results of the same weights."
    add("Confidence", track.confidence, "{:.2f}", f"How far the best offset stands out. {weights}")
    add("Margin", track.margin, "{:.2f}", "How much worse the second-best offset fits.")
    add(
        "Min dist", track.min_dist, "{:.2f}", "What is left between lips and sound at the best one."
    )
    if (interval := track.drift_interval_ms_per_min) and track.drift_ms_per_min is not None:
        value = f"{track.drift_ms_per_min:+.0f} ms/min ({interval[0]:+.0f} to {interval[1]:+.0f})"
        numbers.append(Number("Drift", value, "How the offset changes; the range is 95 % certain."))
    else:
        meaning = "How the offset changes. Far from 0: the clocks of picture and sound differ."
        add("Drift", track.drift_ms_per_min, "{:+.0f} ms/min", meaning)
    value = f"{speaks(track)}, {track.speaks_s:.1f} s"
    numbers.append(Number("Speaks", value, "Of the time it is on screen."))
    return numbers


def _reliable(reliable: bool) -> Number:
    if not reliable:
        return Number("Reliable", "no", "The offset may be chance: do not act on it.")
    meaning = "Act on the offset. Of clips with somebody else's sound one in a hundred says yes."
    return Number("Reliable", "yes", meaning)
