"""Words, commands, scales and ranges of the page, at their limits."""

import wave
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.evidence.parts import Part
from pipeline.page import charts, timeline, words
from pipeline.page.commands import commands_of, dub_command
from pipeline.page.results import Results, read_results
from pipeline.page.verdict import verdict_of
from tests.page_kit import Face, make_results


def _results(folder: Path, *faces: Face, **more: Any) -> Results:
    return read_results(make_results(folder, faces, **more))


# The verdict.


def test_faces_two_frames_apart_still_share_a_delay(tmp_path: Path) -> None:
    """One frame on either side of it is in sync; more is not."""
    near = _results(tmp_path / "a", *(Face(offsets_frames=(n,)) for n in (3, 5, 4)))
    assert (verdict_of(near).kind, verdict_of(near).per_shot) == ("early", False)
    far = _results(tmp_path / "b", *(Face(offsets_frames=(n,)) for n in (2, 5, 4)))
    assert (verdict_of(far).kind, verdict_of(far).per_shot) == ("steps", True)


def test_standards_are_good_fair_or_bad(tmp_path: Path) -> None:
    """And a verdict of a word that nobody knows is that of the faces."""
    told = {"bt1359": "undetectable", "atsc": "fail", "ebu": "acceptable"}
    video = {"verdict": "late", "sentence": "80 ms late.", "standards": told}
    known = verdict_of(_results(tmp_path / "a", Face(), more={"video.json": video}))
    assert [(one.word, one.kind) for one in known.standards] == [
        ("undetectable", "good"),
        ("fail", "bad"),
        ("acceptable", "fair"),
    ]
    assert (known.kind, known.sentence, known.correctable) == ("late", "80 ms late.", True)
    unknown = video | {"verdict": "perfect"}
    judged = verdict_of(_results(tmp_path / "b", Face(), more={"video.json": unknown}))
    assert (judged.kind, judged.standards) == ("in_sync", ())


# Words.


def test_offsets_and_times_in_words() -> None:
    """What rounds to nothing has no side; what rounds to a second is one."""
    assert [words.early_or_late(offset) for offset in (0.4, -0.4, 0.6, -0.6)] == [
        *("0 ms", "0 ms", "1 ms early", "1 ms late")
    ]
    assert [words.milliseconds(size) for size in (-999.4, 999.6, -1480)] == [
        *("999 ms", "1.00 s", "1.48 s")
    ]
    assert words.clock_time(3661.0) == "1:01:01.0" and words.clock_time(600) == "10:00.0"


def test_a_late_face_is_measured_by_its_own_length(tmp_path: Path) -> None:
    """How much it speaks, and how far it drifts, on screen from second 60 to 70."""
    face = Face(1500, 250, row={"drift_ms_per_min": -90.0}, speech_s=((60.0, 64.0),))
    (track,) = _results(tmp_path, face).tracks
    assert words.speaks(track) == "40 %"
    assert words.summary_of(track).kind == "good"
    assert words.speaks(replace(track, end_s=track.start_s)) == "0 %"


def test_a_short_silent_face_is_a_listener(tmp_path: Path) -> None:
    """A longer clip of it would not help; nor would a longer search."""
    row = {"at_search_edge": True}
    (track,) = _results(tmp_path, Face(frames=50, offsets_frames=(None,), row=row)).tracks
    assert words.summary_of(track).sentence.startswith("A listener")
    wide = replace(track, wide=True)
    meanings = [words.numbers_of(one)[0].meaning for one in (track, wide)]
    assert ["several seconds" in meaning for meaning in meanings] == [False, True]


# Commands.


def test_commands_are_of_the_faces_they_name(tmp_path: Path) -> None:
    """Who speaks gets a mouth; a copy has another name; shots apart are corrected apart."""
    faces = [Face(offsets_frames=(3,), speech_s=speech) for speech in ((), ((0.0, 1.0),))]
    results = _results(tmp_path, *faces)
    verdict = verdict_of(results)
    correct, mouths = commands_of(results, verdict)
    assert correct.words[-2:] == ("--correct", "talk_corrected.mp4")
    assert mouths.words[-4:] == ("--audio", "new.wav", "--tracks", "1")
    apart, _ = commands_of(results, replace(verdict, per_shot=True))
    assert apart.words[-1] == "--per_shot" and "each shot" in apart.purpose
    assert [*commands_of(results, replace(verdict, correctable=False))] == [mouths]
    assert dub_command(results, 1).words[-2:] == ("--tracks", "1")
    assert dub_command(results, 0).words[-2:] == ("--tracks", "0")


# Scales.


def test_the_axis_of_offsets_holds_all_that_is_known(tmp_path: Path) -> None:
    """Pieces, the track's own offset where it is not refused, and a tenth on both sides."""
    (track,) = _results(tmp_path, Face()).tracks
    curve = replace(charts.curve_of(track), sure=np.zeros(0, bool), offsets_ms=np.zeros(0))
    assert charts._range_ms(track, curve) == [-240, 240]
    wide = replace(track, offset_ms=800.0)
    assert charts._range_ms(wide, curve) == [-300, 900]
    assert charts._range_ms(replace(wide, reliable=None), curve) == [-300, 900]
    assert charts._range_ms(replace(wide, reliable=False), curve) == [-240, 240]
    pieces = (Part(0, 5, -800.0, False), Part(5, 9, None, False))
    assert charts._range_ms(replace(track, pieces=pieces), curve) == [-900, 300]


def test_one_axis_serves_the_means_of_all_faces(tmp_path: Path) -> None:
    tracks = _results(tmp_path, Face(), Face(offsets_frames=(None,))).tracks
    found = charts.mean_range_of(tracks)
    means = [track.dists.mean(axis=0) for track in tracks]
    assert found == pytest.approx((np.min(means), np.max(means)))
    assert found is not None and found[0] < 4.2 and found[1] > 11.9
    assert charts.mean_range_of(()) is None
    demo = charts.chart_data(replace(tracks[0], reliable=None), brightest=8.0)
    assert demo["reliable"] and not charts.chart_data(tracks[1], brightest=8.0)["reliable"]


def test_an_offset_at_the_edge_of_the_search_is_not_sure(tmp_path: Path) -> None:
    (track,) = _results(tmp_path, Face(offsets_frames=(15,))).tracks
    assert not charts.curve_of(track).sure.any()


def test_a_video_without_shots_is_one_shot(tmp_path: Path) -> None:
    results = _results(tmp_path, Face(), scored=False)
    (bar,) = timeline.shot_bars(results)
    assert (bar.x, bar.width, bar.title) == (0, 1000, "shot 1, 0:00.0 to 0:10.0")


@pytest.mark.parametrize(
    ("duration_s", "step_s", "count"), [(3.0, 1, 3), (59.0, 20, 3), (7000.0, 1800, 4)]
)
def test_a_few_round_times_are_below_the_lanes(duration_s: float, step_s: int, count: int) -> None:
    found = timeline.ticks(duration_s)
    assert [tick.x for tick in found] == pytest.approx(
        [1000 * number * step_s / duration_s for number in range(count)], abs=0.01
    )


def test_the_louder_channel_is_drawn_in_every_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read in pieces: what is loud at 3 of 4 s, on the right alone, is drawn at three quarters."""
    monkeypatch.setattr(timeline, "BLOCK_SAMPLES", 1000)
    samples = np.zeros((4 * 8000, 2), "<i2")
    samples[3 * 8000 : 3 * 8000 + 800, 1] = -32_768
    path = tmp_path / "two.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(samples.tobytes())
    outline = timeline.loudness_outline(path, duration_s=4.0)
    assert outline is not None
    points = [tuple(map(float, point.split())) for point in outline[1:-1].split("L")]
    loud = [x for x, y in points[: timeline.LOUDNESS_POINTS] if y < 1]
    assert min(loud) >= 749 and max(loud) <= 776 and len(loud) >= 19
