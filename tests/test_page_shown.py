"""What stands where on the page of a video: its lanes, its own script, its scales."""

import base64
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from pipeline import report
from pipeline.errors import PipelineError
from tests.page_kit import Face, Page, make_results, page_of

LISTENER = Face(offsets_frames=(None,))


def _bars(page: Page) -> list[tuple[str, float, float]]:
    """Class, x and width of each bar of the lanes, without shots."""
    bars = [
        (str(of["class"]), float(str(of["x"])), float(str(of["width"])))
        for tag, of in page.tags
        if tag == "rect"
    ]
    return [bar for bar in bars if not bar[0].startswith("shot")]


def test_lanes_show_when_a_face_is_there_and_when_it_speaks(tmp_path: Path) -> None:
    """To scale, of 10 s on 1000 by 20 units, and who speaks off screen on a lane of its own."""
    face = Face(start_frame=50, frames=100)
    speaking = {"tracks": [{"track": 0, "speech_s": [[3.0, 4.5]]}], "nobody_s": [[7.0, 9.0]]}
    page = page_of(make_results(tmp_path, [face], more={"speaking.json": speaking}))
    assert _bars(page) == [("shown", 200, 400), ("speech", 300, 150), ("nobody", 700, 200)]
    for title in (
        "on screen, 0:02.0 to 0:06.0",
        "speaks, 0:03.0 to 0:04.5",
        "somebody speaks who is not shown, 0:07.0 to 0:09.0",
    ):
        assert title in page.texts["title"]
    assert {of["viewbox"] for tag, of in page.tags if of.get("class") == "lane"} == {"0 0 1000 20"}
    assert "Show from 0:02.0" in page.texts["all"]


def test_the_policy_allows_the_script_and_the_style_that_are_there(tmp_path: Path) -> None:
    """By what a browser computes of each: of anything else nothing is run or drawn."""
    page = page_of(make_results(tmp_path, [Face()]))
    (policy,) = (str(of["content"]) for _, of in page.tags if "http-equiv" in of)
    allowed = dict(re.findall(r"(script|style)-src 'sha256-(\S+)'", policy))
    assert allowed == {
        kind: base64.b64encode(hashlib.sha256(page.texts[kind].encode()).digest()).decode()
        for kind in ("script", "style")
    }


def test_a_page_at_another_frame_rate(tmp_path: Path) -> None:
    """Tracks are shorter, and so is the step from frame to frame."""
    work = make_results(tmp_path, [Face(frames=250)])
    for frame_rate, end_s in ((None, 10), (50, 5)):
        page = Page(report(work, frame_rate=frame_rate).read_text("utf-8"))
        assert page.data["frame_rate"] == (frame_rate or 25)
        assert page.data["tracks"][0]["end_s"] == end_s


def test_results_that_another_run_works_on_get_no_page(tmp_path: Path) -> None:
    """Results are never read while another run changes them."""
    work = make_results(tmp_path, [Face()])
    with work.locked(), pytest.raises(PipelineError, match="Another run"):
        report(work)
    assert not work.report_page.exists()


@pytest.mark.parametrize("speaker_first", [True, False])
def test_charts_of_all_tracks_have_one_scale(speaker_first: bool, tmp_path: Path) -> None:
    """A dip of 8 beside one of a chance, on one axis and as bright as it is deep."""
    faces = [Face(), LISTENER] if speaker_first else [LISTENER, Face()]
    data = page_of(make_results(tmp_path, faces)).data
    assert data["mean_range"][0] < 4.2 and data["mean_range"][1] > 12
    levels = [
        np.frombuffer(base64.b64decode(track["heat"]["levels"]), np.uint8)
        for track in data["tracks"]
    ]
    speaker, listener = levels if speaker_first else levels[::-1]
    assert speaker.max() == 255 and listener.max() < 80


def test_the_sound_is_drawn_over_the_whole_lane(tmp_path: Path) -> None:
    """Every other second of ten is loud."""
    page = page_of(make_results(tmp_path, [Face()]))
    (path,) = (str(of["d"]) for tag, of in page.tags if tag == "path")
    points = [tuple(map(float, point.split())) for point in path[1:-1].split("L")]
    loud = {int(x) // 100 for x, y in points if y < 5}
    assert loud == {1, 3, 5, 7, 9}
