"""The page about a video: what it says of which results, that it is whole, and that it is safe."""

import copy
import hashlib
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import run_syncnet
import run_wav2lip
from pipeline import report
from pipeline.errors import InputError
from pipeline.labelling import label
from pipeline.media import decode
from pipeline.page import charts, timeline, words
from pipeline.page.results import TrackResult, read_results
from pipeline.page.verdict import verdict_of
from pipeline.page.write import FOLDER, render, video_url
from pipeline.store.workspace import Workspace
from tests.page_kit import SIZE_PX, Face, Page, make_results, make_video, page_of
from tests.synthetic import ffmpeg, frame_count

UPLOT = {  # of uplot 1.6.32 on npm
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}
LISTENER = Face(offsets_frames=(None,))
SILENT = Face(
    offsets_frames=(None,),
    row=dict.fromkeys(
        ("offset_frames", "offset_ms", "min_dist", "confidence", "margin", "probability")
    )
    | {"warning": "no sound: there is nothing to compare."},
)
HURT = "<script>window.hurt = 1</script>"
HOSTILE = "\"><img src=x onerror='hurt=1'> {{ 7 * 7 }} \u202e &lt; <b>"


def _track(tmp_path: Path, face: Face) -> TrackResult:
    return read_results(make_results(tmp_path, [face])).tracks[0]


# The verdict.


@pytest.mark.parametrize(
    ("faces", "kind", "sentence"),
    [
        ([Face()], "in_sync", "Sound and picture are in sync (0 ms)."),
        ([Face(offsets_frames=(3,))], "early", "The sound comes 120 ms too early: delay it by 120"),
        ([Face(offsets_frames=(-2,))], "late", "The sound comes 80 ms too late: let it start"),
        (
            [*[Face(frames=60, offsets_frames=(2,))] * 2, Face(offsets_frames=(3,)), LISTENER],
            "early",
            "The sound comes 120 ms too early",
        ),
        (
            [Face(offsets_frames=(3,)), Face(offsets_frames=(0,))],
            "steps",
            "between 0 ms and 120 ms",
        ),
        ([LISTENER], "cannot_be_told", "no face has an offset that can be relied on"),
        ([], "cannot_be_told", "No face could be followed"),
    ],
    ids=["in sync", "early", "late", "the longer one counts", "apart", "listener", "no face"],
)
def test_reliable_tracks_give_the_verdict(
    faces: list[Face], kind: str, sentence: str, tmp_path: Path
) -> None:
    """Where run_syncnet.py has not written one; correcting is offered where it would help."""
    work = make_results(tmp_path, faces)
    verdict = verdict_of(read_results(work))
    assert verdict.kind == kind and sentence in verdict.sentence
    page = page_of(work)
    assert verdict.sentence in page.texts["p#verdict"]
    corrects = [line for line in page.commands if "--correct" in line]
    assert bool(corrects) == (kind in ("early", "late", "steps"))
    assert all(("--per_shot" in line) == (kind == "steps") for line in corrects)


def test_a_video_without_sound_is_said_to_have_none(tmp_path: Path) -> None:
    page = page_of(make_results(tmp_path, [SILENT], sound=False))
    assert "has no sound" in page.texts["p#verdict"]
    assert "No sound: there is nothing to compare." in page.texts["all"]
    assert not any(tag == "path" for tag, _ in page.tags)
    assert [track["times_s"] for track in page.data["tracks"]] == [[]]


VIDEO = {
    "verdict": "steps",
    "sentence": "In sync until 0:05.0, then 200 ms late.",
    "offset_ms": None,
    "standards": {"bt1359": "unacceptable", "atsc": "pass", "ebu": "fail", "other": "fail"},
    "shots": [
        {"start_s": 0, "end_s": 5, "offset_ms": 2.0, "reliable": True, "tracks": [0]},
        {"start_s": 5, "end_s": 10, "offset_ms": -200.0, "reliable": True, "tracks": [0]},
    ],
    "reasons": [{"track": 1, "code": "mouth_hidden", "text": "It is hidden.", "advice": "Turn."}],
}
OVER_TIME = {
    "kind": "step",
    "pieces": [
        {"start_s": 0, "end_s": 5, "offset_ms": 1.0, "reliable": True},
        {"start_s": 5, "end_s": 10, "offset_ms": -200.0, "reliable": False},
    ],
    "steps": [{"at_s": 5.0, "from_ms": 1.0, "to_ms": -200.0}],
    "drift_ms_per_min": -31.0,
    "drift_interval_ms_per_min": [-40.0, -22.0],
}
SPEAKING = {
    "tracks": [{"track": 0, "start_frame": 0, "scores": [], "speech_s": [[0.5, 2.0], [5, 9]]}],
    "nobody_s": [[3.0, 4.5]],
}


@pytest.fixture
def full(tmp_path: Path) -> Workspace:
    """Everything that run_syncnet.py can say."""
    return make_results(
        tmp_path,
        [Face(offsets_frames=(0, -5), row={"over_time": OVER_TIME}), LISTENER],
        more={"video.json": VIDEO, "speaking.json": SPEAKING},
    )


def test_what_run_syncnet_says_of_the_video_comes_first(full: Workspace) -> None:
    """Its sentence, the standards that are known, its reasons, and the offset of every shot."""
    page = page_of(full)
    assert str(VIDEO["sentence"]) in page.texts["p#verdict"]
    assert "offset jumps" in page.texts["p#verdict"]
    for words_of in ("ITU-R BT.1359: unacceptable", "ATSC IS-191: pass", "EBU R37: fail"):
        assert words_of in page.texts["all"]
    assert (
        "other" not in page.texts["p#verdict"]
        and "Track 1: It is hidden. Turn." in page.texts["all"]
    )
    shots = [rect["class"] for tag, rect in page.tags if tag == "rect" and "shot" in str(rect)]
    assert shots == ["shot good", "shot bad"]
    assert "shot 2: 200 ms late, 0:05.0 to 0:10.0" in page.texts["title"]


def test_offsets_over_time_and_speech_are_shown(full: Workspace) -> None:
    page = page_of(full)
    assert "at 0:05.0 from 1 ms early to 200 ms late" in page.texts["all"]
    assert "-31 ms/min (-40 to -22)" in page.texts["all"]
    track = page.data["tracks"][0]
    assert track["pieces"] == [[0, 5, 1, True], [5, 10, -200, False]]
    assert track["range_ms"][0] < -200 and track["range_ms"][1] > 0
    assert page.data["speech"] == [[0, 0.5, 2.0], [0, 5.0, 9.0]]
    assert page.data["nobody"] == [[3.0, 4.5]] and "off screen" in page.texts["all"]
    assert "55 %, 5.5 s" in page.texts["all"]


def test_who_speaks_is_of_the_rttm_where_there_is_nothing_else(tmp_path: Path) -> None:
    faces = [LISTENER, Face(start_frame=50, frames=100, speech_s=((2.5, 3.25), (4.0, 5.0)))]
    page = page_of(make_results(tmp_path, faces))
    assert page.data["speech"] == [[1, 2.5, 3.25], [1, 4.0, 5.0]]
    assert page.data["nobody"] == [] and "off screen" not in page.texts["all"]
    mouths, *_ = (line for line in page.commands if "run_wav2lip" in line)
    assert mouths.endswith("--tracks 1")


def test_results_of_the_demo_have_a_page(tmp_path: Path) -> None:
    """Tracks and distances alone: offset and confidence follow from them, reliability does not."""
    work = make_results(tmp_path, [Face(offsets_frames=(3,))], scored=False)
    track = read_results(work).tracks[0]
    assert (track.offset_frames, track.offset_ms, track.reliable) == (3, 120.0, None)
    assert track.confidence == pytest.approx(8, abs=0.3)
    page = page_of(work)
    assert "Nobody has judged" in page.texts["p#verdict"]
    assert page.data["duration_s"] == 10 and "--correct" not in page.texts["all"]


# A track in words.


@pytest.mark.parametrize(
    ("face", "kind", "sentence", "advice"),
    [
        (Face(), "good", "In sync (0 ms).", None),
        (Face(offsets_frames=(3,)), "bad", "The sound comes 120 ms too early.", "Delay it by 120"),
        (Face(offsets_frames=(-3,)), "bad", "The sound comes 120 ms too late.", "Start it 120 ms"),
        (Face(row={"offset_ms": 1480.0}), "bad", "The sound comes 1.48 s too early.", "1.48 s"),
        (
            Face(frames=2500, row={"drift_ms_per_min": -30.0}),
            *("bad", "drifts by -30 ms a minute", "re-time"),
        ),
        (Face(row={"drift_ms_per_min": -90.0}), "good", "In sync (0 ms).", None),
        (
            Face(row={"over_time": {"kind": "drift", "drift_ms_per_min": -90.0}}),
            *("bad", "drifts by -90 ms a minute", "re-time"),
        ),
        (LISTENER, "unknown", "A listener, a voice-over, or lips", "Look at the face"),
        (
            Face(frames=50, offsets_frames=(None,), speech_s=((0.0, 1.0),)),
            *("unknown", "Too short to tell", "a longer clip"),
        ),
        (
            Face(offsets_frames=(None,), row={"at_search_edge": True}, speech_s=((0.0, 1.0),)),
            *("unknown", "largest that was searched", "raise --vshift"),
        ),
        (
            Face(offsets_frames=(None,), speech_s=((0.0, 6.0),)),
            *("unknown", "No offset stands out enough", "Do not move"),
        ),
        (
            Face(offsets_frames=(None,), row={"reason": {"text": "Music only.", "advice": "Cut."}}),
            *("unknown", "Music only.", "Cut."),
        ),
        (SILENT, "unknown", "Not measured.", "No sound: there is"),
    ],
)
def test_a_track_in_words(
    face: Face, kind: str, sentence: str, advice: str | None, tmp_path: Path
) -> None:
    """What it means and what to do, as README's table has it."""
    summary = words.summary_of(_track(tmp_path, face))
    assert summary.kind == kind and sentence in summary.sentence
    assert (advice is None and summary.advice is None) or str(advice) in str(summary.advice)


def test_numbers_have_a_meaning(tmp_path: Path) -> None:
    numbers = {one.name: one for one in words.numbers_of(_track(tmp_path, Face()))}
    assert {name: one.value for name, one in numbers.items()} == {
        "Offset": "+0 ms, +0 frames",
        "Reliable": "yes",
        "Probability": "0.999",
        "Confidence": "8.00",
        "Margin": "7.50",
        "Min dist": "4.00",
        "Drift": "+1 ms/min",
        "Speaks": "100 %, 10.0 s",
    }
    assert all(one.meaning for one in numbers.values())
    assert "too early" in numbers["Offset"].meaning


@pytest.mark.parametrize(
    ("time_s", "text"),
    [(0, "0:00.0"), (7.44, "0:07.4"), (59.96, "1:00.0"), (754.2, "12:34.2"), (3723, "1:02:03.0")],
)
def test_times_are_read_as_clocks_are(time_s: float, text: str) -> None:
    assert words.clock_time(time_s) == text


# Charts.


def test_the_curve_is_where_the_offset_is(tmp_path: Path) -> None:
    """A jump from +3 to -5 frames at half of 20 s, each within a tenth of a frame."""
    face = Face(start_frame=100, frames=500, offsets_frames=(3, -5))
    curve = charts.curve_of(_track(tmp_path, face))
    assert curve.sure.all() and 4 < curve.times_s[0] < 5.5 and 22 < curve.times_s[-1] < 24
    early, late = curve.times_s < 12.9, curve.times_s > 15.1
    np.testing.assert_allclose(curve.offsets_ms[early], 120, atol=4)
    np.testing.assert_allclose(curve.offsets_ms[late], -200, atol=4)


def test_long_tracks_have_no_more_points_than_a_chart_has_room(tmp_path: Path) -> None:
    """Ten minutes, spread over all of them."""
    times_s = charts.curve_of(_track(tmp_path, Face(frames=15_000))).times_s
    assert 500 < len(times_s) <= charts.COLUMNS and times_s[0] < 2 and times_s[-1] > 597


def test_chance_is_not_sure(tmp_path: Path) -> None:
    """Of a listener nothing is; of one who speaks for a part, that part."""
    assert not charts.curve_of(_track(tmp_path / "a", LISTENER)).sure.any()
    row = {"reliable": False, "confidence": 1.0}
    part = Face(offsets_frames=(2, None), row=row, speech_s=((0.0, 4.8),))
    curve = charts.curve_of(_track(tmp_path / "b", part))
    assert curve.sure[curve.times_s < 3.9].all() and not curve.sure[curve.times_s > 5.1].any()
    wide = _track(tmp_path / "c", Face(row={"search": "wide"}))
    assert not charts.curve_of(wide).sure.any()


def test_the_heat_map_is_brightest_at_the_offset(tmp_path: Path) -> None:
    """The largest offset in the first row; as many columns as fit; comparable among tracks."""
    face, other = Face(frames=3000, offsets_frames=(5, -4)), LISTENER
    tracks = read_results(make_results(tmp_path, [face, other])).tracks
    brightest = charts.brightest_of(tracks)
    speaker, listener = (charts.heat_of(track.dists, brightest=brightest) for track in tracks)
    assert speaker.shape == (31, charts.COLUMNS) and listener.shape == (31, 245)
    assert set(speaker[:, :290].argmax(axis=0)) == {15 - 5}
    assert set(speaker[:, 310:].argmax(axis=0)) == {15 + 4}
    assert speaker.max() == 255 and listener.max() < 80


def test_the_mean_has_its_dip_at_the_offset(tmp_path: Path) -> None:
    data = charts.chart_data(_track(tmp_path, Face(offsets_frames=(5,))), brightest=8.0)
    offsets_ms, dists = data["mean"]["offsets_ms"], data["mean"]["dists"]
    assert offsets_ms[0] == -600 and offsets_ms[-1] == 600
    assert offsets_ms[int(np.argmin(dists))] == 200
    assert data["heat"]["start_s"] == 0.08 and data["heat"]["end_s"] == 9.88


def test_the_chart_shades_what_viewers_do_not_notice(tmp_path: Path) -> None:
    """ITU-R BT.1359: from 125 ms late to 45 ms early."""
    page = page_of(make_results(tmp_path, [Face()]))
    assert page.data["unnoticed_ms"] == [-125, 45]


def test_the_timeline_is_to_scale(tmp_path: Path) -> None:
    """10 s on 1000 units; every other second of the sound is loud."""
    work = make_results(tmp_path, [Face(start_frame=50, frames=100, speech_s=((3.0, 4.5),))])
    results = read_results(work)
    (bar,) = timeline.bars(10.0, results.tracks[0].speech_s, kind="speech", what="speaks")
    assert (bar.x, bar.width, bar.title) == (300, 150, "speaks, 0:03.0 to 0:04.5")
    assert [(bar.x, bar.width) for bar in timeline.shot_bars(results)] == [(0, 500), (500, 500)]
    assert [(tick.x, tick.text) for tick in timeline.ticks(10.0)] == [(0, "0:00"), (500, "0:05")]
    outline = timeline.loudness_outline(work.audio, duration_s=10.0)
    assert outline is not None and outline[0] == "M" and outline[-1] == "Z"
    points = [tuple(map(float, point.split())) for point in outline[1:-1].split("L")]
    heights = {x: 10 - y for x, y in points[: timeline.LOUDNESS_POINTS]}
    assert heights[50] == 0 and heights[150] == pytest.approx(10 * np.sqrt(20 / 32.768), abs=0.2)
    assert timeline.loudness_outline(tmp_path / "none.wav", duration_s=1) is None


# Whole, and from nowhere else.


def test_the_chart_library_is_the_published_one_and_its_licence_is_on_the_page(
    tmp_path: Path,
) -> None:
    vendor = FOLDER / "vendor"
    assert {
        name: hashlib.sha256((vendor / name).read_bytes()).hexdigest() for name in UPLOT
    } == UPLOT
    html = render(read_results(make_results(tmp_path, [Face()])))
    assert (vendor / "uPlot.iife.min.js").read_text() in html
    assert "Copyright (c) 2022 Leon Sorokin" in html and "The MIT License" in html


def test_the_page_loads_nothing_but_its_video(tmp_path: Path) -> None:
    """No address but the video beside it; and its policy forbids every other."""
    work = make_results(tmp_path, [Face(), LISTENER])
    make_video(work, frames=10)
    page = page_of(work)
    addresses = [
        value for _, of in page.tags for name, value in of.items() if name in ("src", "href")
    ]
    outside = [address for address in addresses if not str(address).startswith(("data:", "#"))]
    assert outside == ["../../pyavi/talk/video_out.mp4"]
    assert sum(str(address).startswith("data:image/jpeg;base64,") for address in addresses) == 2
    (policy,) = (str(of["content"]) for _, of in page.tags if "http-equiv" in of)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy and "http" not in policy
    assert not any(
        "style" in of or any(name.startswith("on") for name in of) for _, of in page.tags
    )


@pytest.mark.parametrize("reference", ["two words", "per%cent#hash?", "ünï 日本", "a:b", "é\udce9"])
def test_the_video_is_found_whatever_it_is_called(reference: str, tmp_path: Path) -> None:
    """The address leads from the page to the file, as a browser reads it."""
    work = Workspace(tmp_path, reference)
    address = video_url(work)
    assert not set(address) & set(" ?#\"'<>") and address.isascii()
    from urllib.parse import unquote_to_bytes

    expected = f"../../pyavi/{reference}/video_out.mp4".encode("utf-8", "surrogateescape")
    assert unquote_to_bytes(address) == expected


def test_names_and_texts_of_strangers_stay_text(tmp_path: Path) -> None:
    """In the name, every field, the notices: no element of theirs, and the commands are words."""
    row = {"warning": HURT, "weights": HURT, "reason": {"text": HURT, "advice": f"</p>{HURT}"}}
    row["settings"] = {"versions": {"toolkit": HURT, "ffmpeg": HOSTILE}}
    reference = HOSTILE.replace("/", "")
    work = make_results(
        *(tmp_path, [Face(row=row)]),
        reference=reference,
        notices=[HURT, HOSTILE],
        more={"video.json": VIDEO | {"sentence": HURT, "standards": {"ebu": HOSTILE}}},
    )
    page = page_of(work)
    plain = page_of(make_results(tmp_path / "plain", [Face()]))
    for tag in ("script", "img", "b", "iframe"):
        ours = sum(name == tag for name, _ in page.tags)
        assert ours == sum(name == tag for name, _ in plain.tags), tag
    assert reference in page.texts["h1"] and HURT in page.texts["p#verdict"]
    assert page.texts["all"].count(HURT) >= 4 and "{{ 7 * 7 }}" in page.texts["all"]
    for line in page.commands:
        taken = shlex.split(f"python {line}")
        assert taken[3] == reference or taken[2] == f"--reference={reference}"


@pytest.mark.parametrize("reference", ["talk", "-dash", "two 'words'"])
def test_the_commands_are_those_of_the_scripts(reference: str, tmp_path: Path) -> None:
    """Each parses, with the values that were meant."""
    faces = [Face(offsets_frames=(3,)), LISTENER]
    page = page_of(make_results(tmp_path, faces, reference=reference))
    parsed = []
    for line in page.commands:
        script, *flags = shlex.split(line)
        parser = {"run_syncnet.py": run_syncnet, "run_wav2lip.py": run_wav2lip}[
            script
        ].build_parser()
        args = parser.parse_args(flags)
        assert (args.reference, args.data_dir) == (reference, tmp_path)
        parsed.append((script, getattr(args, "tracks", None)))
    assert parsed == [
        ("run_syncnet.py", None),
        ("run_wav2lip.py", (0,)),
        ("run_wav2lip.py", (0,)),
        ("run_wav2lip.py", (1,)),
    ]


# Files that are odd.

NONSENSE: tuple[Any, ...] = (
    *(None, "text", HURT, -1, 1e300, 10**400, True, [], {}, [[1]], [None]),
    *([{}], {"a": 1}, [["x", 2]], [[2, 1]]),
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to every value inside a JSON value."""
    pairs: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = list(enumerate(value))
    return [
        place for key, inner in pairs for place in [(*path, key), *_places(inner, (*path, key))]
    ]


def _changed(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    changed = copy.deepcopy(value)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = new
    return changed


@pytest.mark.parametrize("name", ["offsets.json", "video.json", "speaking.json", "pipeline.json"])
def test_no_value_of_a_stranger_stops_the_page(
    name: str, full: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every value of every file replaced by nonsense of many kinds, one after the other."""
    monkeypatch.setattr("pipeline.page.write.SCRIPTS", ())
    monkeypatch.setattr("pipeline.page.write.STYLES", ())
    path = full.folder("pywork") / name
    content = json.loads(path.read_text())
    places = _places(content)
    assert len(places) > 8
    for number, place in enumerate(places):
        if name == "pipeline.json" and place[0] == "settings":
            continue  # the frame rate is the workspace's, and checked there
        for new in NONSENSE[number % 3 :: 3]:
            path.write_text(json.dumps(_changed(content, place, new)))
            Page(render(read_results(full)))


@pytest.mark.parametrize("name", ["offsets.json", "video.json", "speaking.json"])
@pytest.mark.parametrize("content", ["{", "3", '"text"', "[" * 100_000])
def test_a_damaged_file_is_named(name: str, content: str, full: Workspace) -> None:
    """Before anything is written, with what to run."""
    full.speaking.unlink()  # it says nothing of single frames, which the boxes need
    (full.folder("pywork") / name).write_text(content)
    make_video(full, frames=10)
    with pytest.raises(InputError, match=rf"{name} .*; run run_syncnet\.py again\."):
        label(full)
    assert not full.labelled_video.exists() and not full.report_page.exists()


# The files.


def _atoms(path: Path) -> list[str]:
    """Names of the outermost boxes of an MP4, in order."""
    content, at, names = path.read_bytes(), 0, []
    while at < len(content):
        names.append(content[at + 4 : at + 8].decode("latin-1"))
        at += int.from_bytes(content[at : at + 4], "big") or len(content)
    return names


@pytest.mark.parametrize("sound", [True, False])
def test_the_copy_for_browsers_is_whole(sound: bool, tmp_path: Path) -> None:
    """H.264 in yuv420p and AAC, its index first, frame by frame what video_out.avi is."""
    work = make_results(tmp_path, [Face(frames=40)], frames=40, sound=sound)
    make_video(work, frames=40)
    assert label(work) == 40 == frame_count(work.labelled_copy)
    names = _atoms(work.labelled_copy)
    assert names.index("moov") < names.index("mdat")
    log = ffmpeg("-i", work.labelled_copy, "-f", "null", "-")
    assert "Video: h264" in log and "yuv420p" in log and ("Audio: aac" in log) == sound
    info = decode.probe(work.labelled_copy)
    assert (info.width_px, info.height_px, info.frame_rate) == (*SIZE_PX, 25)
    pairs = zip(
        decode.read_frames(work.labelled_video, frame_rate=None),
        decode.read_frames(work.labelled_copy, frame_rate=None),
        strict=True,
    )
    for avi, mp4 in pairs:
        np.testing.assert_allclose(avi[100:, 100:].mean(), mp4[100:, 100:].mean(), atol=3)


def test_every_second_can_be_jumped_to(tmp_path: Path) -> None:
    """A key frame at least every second, so that a click shows its picture at once."""
    work = make_results(tmp_path, [], frames=100)
    make_video(work, frames=100)
    label(work)
    times = tmp_path / "times.txt"
    ffmpeg("-skip_frame", "nokey", "-i", work.labelled_copy, "-f", "framehash", times)
    lines = [line for line in times.read_text().splitlines() if line.startswith("0,")]
    assert len(lines) >= 4


def _without_crops(work: Workspace) -> None:
    for clip in work.crops():
        clip.unlink()


def _with_damaged_crops(work: Workspace) -> None:
    work.crop(0).write_bytes(b"no video")


@pytest.mark.parametrize("damage", [_without_crops, _with_damaged_crops])
def test_faces_that_cannot_be_shown_are_left_out(
    damage: Callable[[Workspace], None], tmp_path: Path
) -> None:
    work = make_results(tmp_path, [Face()])
    make_video(work, frames=10)
    damage(work)
    page = page_of(work)
    assert not any(tag == "img" for tag, _ in page.tags) and "Track 0" in page.texts["all"]


def test_forty_tracks_are_folded_and_can_be_chosen_from(tmp_path: Path) -> None:
    """None unfolded; those with an answer can be shown alone; all numbers are in the commands."""
    faces = [
        Face(start_frame=i, frames=120, offsets_frames=(2 if i % 4 else None,)) for i in range(40)
    ]
    page = page_of(make_results(tmp_path, faces))
    cards = [of for tag, of in page.tags if tag == "details" and "data-track" in of]
    assert len(cards) == 40 and not any("open" in of for of in cards)
    assert "Only faces whose offset is reliable: 30 of 40" in page.texts["all"]
    few = page_of(make_results(tmp_path / "few", faces[:3]))
    assert all("open" in of for tag, of in few.tags if "data-track" in of)
    assert "Only faces" not in few.texts["all"]


def test_the_page_alone_is_a_function(tmp_path: Path) -> None:
    """Without drawing the video; twice gives the same bytes."""
    work = make_results(tmp_path, [Face()])
    assert report(work) == work.report_page and not work.labelled_video.exists()
    first = work.report_page.read_bytes()
    report(work)
    assert work.report_page.read_bytes() == first
    with pytest.raises(InputError, match="call find_faces first"):
        report(Workspace(tmp_path, "other"))
