"""The page in headless Chromium: what is seen, clicked and typed, on a desk and on a phone.

`make browser` runs these alone. CHROMIUM names a browser that is not on PATH.
"""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.labelling import label
from pipeline.store.workspace import Workspace
from tests.page_kit import Face, make_results, make_video

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome")
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
HURT = "<script>window.hurt = 1</script><img src=x onerror='window.hurt = 1'>"
INTERACTIVE_MS = 2000
STANDS_FOR_S = 0.05  # half a frame, and rounding

FACES = [
    Face(frames=125, offsets_frames=(3,)),
    Face(start_frame=125, frames=125, offsets_frames=(3,), speech_s=((6.0, 9.0),)),
    Face(start_frame=125, frames=125, offsets_frames=(None,)),
]


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Headless Chromium."""
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("no Chromium: install chromium, or name one by CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """A page that is open, and everything it complained of or asked for.

    Attributes:
        page: Playwright's.
        complaints: what it wrote to the console, errors, dialogs, and failed or foreign requests.
    """

    def __init__(self, browser: "Browser", work: Workspace, **options: Any) -> None:
        self.context = browser.new_context(**({"viewport": DESK} | options))
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.complaints: list[str] = []
        self._video = work.labelled_copy.resolve().as_uri()
        address = work.report_page.resolve().as_uri()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda request: self._note(request.url, address))
        self.page.goto(address)

    def _note(self, url: str, address: str) -> None:
        if url not in (address, self._video) and not url.startswith("data:"):
            self.complaints.append(url)

    @property
    def video_s(self) -> float:
        """Where the player is."""
        return float(self.page.evaluate("document.getElementById('video').currentTime"))

    def wait_until(self, expression: str) -> None:
        """Until JavaScript says so; Playwright's own waiting needs eval, which the page forbids."""
        deadline = time.monotonic() + 30
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, expression
            self.page.wait_for_timeout(20)

    def wait_for_video(self) -> None:
        """Until the player knows its video."""
        self.wait_until("document.getElementById('video').readyState >= 1")

    def shown_s(self) -> float:
        """The time the page says it is at."""
        minutes, _, seconds = self.page.inner_text("#time").partition(":")
        return int(minutes) * 60 + float(seconds)

    def wait_until_shown(self, time_s: float) -> None:
        """Until the page says so: a busy machine draws it late."""
        deadline = time.monotonic() + 30
        while self.shown_s() != time_s:
            assert time.monotonic() < deadline, (self.shown_s(), time_s)
            self.page.wait_for_timeout(20)

    def click_at(self, selector: str, part: float) -> None:
        """Clicks into an element, at a part of its width, half way down."""
        element = self.page.locator(selector).first
        element.scroll_into_view_if_needed()
        box = element.bounding_box()
        assert box is not None
        self.page.mouse.click(box["x"] + part * box["width"], box["y"] + box["height"] / 2)

    def overflow_px(self) -> float:
        """By how much the page is wider than its window."""
        return float(
            self.page.evaluate("document.documentElement.scrollWidth - document.body.clientWidth")
        ) - float(self.page.evaluate("innerWidth - document.body.clientWidth"))

    def painted(self, selector: str) -> int:
        """How many different colours a chart has."""
        return int(
            self.page.locator(selector).first.evaluate(
                """canvas => new Set(new Uint32Array(canvas.getContext("2d")
                    .getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size"""
            )
        )


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """10 s, two shots, three faces, everything made by the stage; tests must not change it."""
    work = make_results(tmp_path_factory.mktemp("talk"), FACES)
    make_video(work)
    label(work)
    return work


@pytest.fixture
def visit(browser: "Browser", talk: Workspace) -> Iterator[Visit]:
    """The page on a desk."""
    visit = Visit(browser, talk)
    visit.wait_for_video()
    yield visit
    assert visit.complaints == []
    visit.context.close()


# Clicks and keys.


@pytest.mark.parametrize("part", [0.1, 0.5, 0.83])
def test_a_click_on_the_timeline_goes_there(part: float, visit: Visit) -> None:
    """The player, the playhead and the time that is shown."""
    visit.click_at("#lanes .row:nth-child(3) .lane", part)
    visit.wait_until("!document.getElementById('video').seeking")
    assert visit.video_s == pytest.approx(10 * part, abs=STANDS_FOR_S)
    assert visit.shown_s() == pytest.approx(10 * part, abs=0.1)
    lane = visit.page.locator("#lanes .lane").first.bounding_box()
    head = visit.page.locator("#playhead").bounding_box()
    assert lane and head
    assert head["x"] + 1 == pytest.approx(lane["x"] + part * lane["width"], abs=1.5)


def test_pressing_and_dragging_follows_the_mouse(visit: Visit) -> None:
    lane = visit.page.locator("#lanes .lane").first.bounding_box()
    assert lane
    y = lane["y"] + lane["height"] / 2
    visit.page.mouse.move(lane["x"] + 20, y)
    visit.page.mouse.down()
    visit.page.mouse.move(lane["x"] + 0.7 * lane["width"], y, steps=4)
    visit.page.mouse.up()
    assert visit.shown_s() == pytest.approx(7, abs=0.1)
    visit.page.mouse.move(lane["x"] + 20, y)
    assert visit.shown_s() == pytest.approx(7, abs=0.1)


@pytest.mark.parametrize("chart", ["offsets", "heat"])
def test_a_click_on_a_chart_goes_there(chart: str, visit: Visit) -> None:
    """Of the second face, which is on screen from 5 to 10 s."""
    chosen = f"#track-1 [data-chart={chart}]"
    visit.page.locator(chosen).scroll_into_view_if_needed()
    visit.page.wait_for_selector(f"{chosen} .u-over")
    visit.click_at(f"{chosen} .u-over", 0.4)
    assert visit.shown_s() == pytest.approx(7, abs=0.1)
    assert visit.video_s == pytest.approx(7, abs=0.1)
    mark, over = (
        visit.page.locator(f"{chosen} {name}").bounding_box() for name in (".mark", ".u-over")
    )
    assert mark and over
    assert mark["x"] + 1 == pytest.approx(over["x"] + 0.4 * over["width"], abs=1.5)


def test_keys_move_and_play(visit: Visit) -> None:
    """A second, a frame, play and pause; and the slider, for those who tab to it."""
    press = visit.page.keyboard.press
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft"):
        press(key)
    assert visit.shown_s() == 2
    visit.wait_until("document.getElementById('video').currentTime === 2")
    press(".")
    press(".")
    press(",")
    visit.wait_until_shown(2)
    visit.wait_until("Math.abs(document.getElementById('video').currentTime - 2.04) < 0.01")
    press(" ")
    visit.wait_until("document.getElementById('video').currentTime > 2.2")
    press(" ")
    assert visit.page.evaluate("document.getElementById('video').paused")
    visit.page.focus("#seek")
    press("Home")
    visit.wait_until("document.getElementById('video').currentTime === 0")
    visit.wait_until_shown(0)


@pytest.mark.parametrize("pause_ms", [0, 17])
def test_keys_faster_than_seeks_all_count(pause_ms: int, visit: Visit) -> None:
    """A seek ends before the player says so; a key between the two is neither lost nor undone."""
    times_s = visit.page.evaluate(
        """async (pause_ms) => {
            const video = document.getElementById("video"), times_s = [];
            const rest = (ms) => new Promise((done) => setTimeout(done, ms));
            for (let round = 0; round < 4; round += 1) {
                for (const side of ["Right", "Right", "Right", "Left"]) {
                    const key = { key: `Arrow${side}`, bubbles: true };
                    document.body.dispatchEvent(new KeyboardEvent("keydown", key));
                    await rest(pause_ms);
                }
                do await rest(200); while (video.seeking);
                times_s.push(video.currentTime);
            }
            return times_s;
        }""",
        pause_ms,
    )
    assert times_s == [2, 4, 6, 8]


def test_everything_can_be_reached_by_tab(visit: Visit) -> None:
    """Player, slider, links, commands, cards and buttons, in the order of the page."""
    reached = []
    for _ in range(80):
        visit.page.keyboard.press("Tab")
        reached.append(
            visit.page.evaluate(
                "(e => e.id || e.className || e.tagName.toLowerCase())(document.activeElement)"
            )
        )
        if reached[-1] == "body":
            break
    for name in ("seek", "label", "copy", "pre", "summary", "seek"):
        assert name in reached, name
    assert reached.index("video") < reached.index("seek") < reached.index("summary")


def test_the_page_says_who_speaks(visit: Visit) -> None:
    for time_s, words in ((2, "track 0 speaks"), (7, "track 1 speaks"), (9.6, "")):
        visit.page.evaluate(
            """(time_s) => { const range = document.getElementById("seek"); range.value = time_s;
            range.dispatchEvent(new Event("input")); }""",
            time_s,
        )
        assert visit.page.inner_text("#speaker") == words


def test_buttons_do_what_they_say(visit: Visit) -> None:
    """Show a face's first picture; copy a command."""
    visit.page.click("#track-1 button.seek")
    assert visit.shown_s() == 5
    visit.page.evaluate(
        """Object.defineProperty(navigator, "clipboard", {
            value: { writeText: async (text) => { window.copied = text; } } })"""
    )
    visit.page.click("#track-1 button.copy")
    command = visit.page.inner_text("#track-1 pre").strip()
    visit.wait_until("window.copied !== undefined")
    assert visit.page.evaluate("window.copied") == command
    assert visit.page.inner_text("#track-1 button.copy") == "Copied"
    assert command.endswith("--tracks 1")


def test_the_timeline_has_the_faces_of_the_cards(visit: Visit) -> None:
    faces = "[...document.querySelectorAll('{}')].map(image => [image.src, image.naturalWidth])"
    small, large = (visit.page.evaluate(faces.format(of)) for of in (".label img", "img.face"))
    assert small == large and [width for _, width in small] == [128] * 3


def test_links_unfold_their_track(visit: Visit) -> None:
    """Also one that was folded by hand."""
    visit.page.click("#track-2 > summary")
    assert not visit.page.evaluate("document.getElementById('track-2').open")
    visit.page.click("a[href='#track-2']")
    visit.wait_until("document.getElementById('track-2').open")
    visit.wait_until("document.getElementById('track-2').getBoundingClientRect().top < innerHeight")


def test_charts_answer_the_mouse(visit: Visit) -> None:
    """What is under it is shown beside the chart's name."""
    chosen = "#track-0 [data-chart=offsets]"
    visit.page.locator(chosen).scroll_into_view_if_needed()
    visit.page.wait_for_selector(f"{chosen} .u-over")
    visit.page.hover(f"{chosen} .u-over")
    output = visit.page.inner_text("#track-0 figure:has([data-chart=offsets]) output")
    assert output.startswith("0:02.") and output.endswith(": 120 ms early")
    visit.page.hover("#track-0 [data-chart=mean] .u-over")
    assert "0 ms: " in visit.page.inner_text("#track-0 figure:has([data-chart=mean]) output")


# What is seen.


@pytest.mark.parametrize("viewport", [DESK, PHONE, {"width": 820, "height": 1100}])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_screen(
    viewport: dict[str, int], scheme: str, browser: "Browser", talk: Workspace
) -> None:
    """Nothing is wider than the window; charts are drawn in full width; text is on its ground."""
    visit = Visit(browser, talk, viewport=viewport, color_scheme=scheme)
    for chart in visit.page.locator(".chart").all():
        chart.scroll_into_view_if_needed()
        chart.locator("canvas").wait_for()
    assert visit.overflow_px() == 0
    box, canvas = (
        visit.page.locator(f"#track-0 [data-chart=heat]{of}").bounding_box()
        for of in ("", " canvas")
    )
    assert box and canvas and canvas["width"] == pytest.approx(box["width"], abs=1)
    assert box["width"] > 280
    assert visit.painted("#track-0 [data-chart=heat] canvas") > 20
    assert visit.painted("#track-0 [data-chart=offsets] canvas") > 5
    ink, paper = (
        sum(
            map(
                int,
                visit.page.evaluate(
                    f"getComputedStyle(document.body).{name}.match(/\\d+/g).slice(0, 3)"
                ),
            )
        )
        for name in ("color", "backgroundColor")
    )
    assert (ink < 200 and paper > 600) if scheme == "light" else (ink > 500 and paper < 120)
    assert visit.complaints == []
    visit.context.close()


def test_the_video_stays_in_view(browser: "Browser", talk: Workspace) -> None:
    """Beside the last track on a desk, above it on a phone: a click shows its picture."""
    for viewport in (DESK, PHONE):
        visit = Visit(browser, talk, viewport=viewport)
        visit.page.locator("#track-2 .numbers").scroll_into_view_if_needed()
        video = visit.page.locator("#video").bounding_box()
        assert video and video["y"] >= 0 and video["y"] + video["height"] < viewport["height"]
        assert video["height"] < viewport["height"] / 2
        visit.context.close()


def test_fingers_find_the_timeline(browser: "Browser", talk: Workspace) -> None:
    """A tap on a phone goes there."""
    visit = Visit(browser, talk, viewport=PHONE, has_touch=True, is_mobile=True)
    visit.wait_for_video()
    lane = visit.page.locator("#lanes .lane").nth(2).bounding_box()
    assert lane and lane["height"] >= 18
    visit.page.touchscreen.tap(lane["x"] + lane["width"] * 0.6, lane["y"] + 8)
    assert visit.shown_s() == pytest.approx(6, abs=0.2)
    assert visit.complaints == []
    visit.context.close()


def test_it_turns_dark_while_it_is_open(visit: Visit) -> None:
    """Charts, which are no text, are drawn again."""
    visit.page.wait_for_selector("#track-0 [data-chart=offsets] canvas")
    shot = "#track-0 [data-chart=offsets]"
    light = visit.page.locator(shot).screenshot()
    visit.page.emulate_media(color_scheme="dark")
    visit.page.wait_for_timeout(300)
    assert visit.page.locator(shot).screenshot() != light


# Other videos.


def test_a_page_without_its_video_says_so(
    browser: "Browser", talk: Workspace, tmp_path: Path
) -> None:
    """Sent alone by mail: the reason is shown, the rest works."""
    shutil.copytree(talk.folder("pywork"), tmp_path / "pywork" / "talk")
    visit = Visit(browser, Workspace(tmp_path, "talk"))
    visit.page.wait_for_selector("#no-video:not([hidden])")
    assert "../../pyavi/talk/video_out.mp4" in visit.page.inner_text("#no-video")
    visit.click_at("#lanes .lane", 0.4)
    assert visit.shown_s() == pytest.approx(4, abs=0.1)
    assert [text for text in visit.complaints if "ERR_FILE_NOT_FOUND" not in text] == []
    visit.context.close()


def _page(browser: "Browser", work: Workspace) -> Visit:
    make_video(work, frames=50, clips=2)
    label(work)
    visit = Visit(browser, work)
    visit.wait_for_video()
    return visit


def test_names_and_texts_of_strangers_do_nothing(browser: "Browser", tmp_path: Path) -> None:
    """They are shown as they are; and the page finds its video."""
    reference = HURT.replace("/", "") + "\"'%20#?\u202e"
    row = {"warning": HURT, "weights": HURT}
    work = make_results(
        *(tmp_path, [Face(frames=50, row=row)]),
        reference=reference,
        frames=50,
        notices=[HURT],
    )
    visit = _page(browser, work)
    assert visit.page.evaluate("window.hurt") is None
    assert visit.page.inner_text("h1") == reference
    assert visit.page.inner_text("header").count(HURT) == 1
    assert visit.page.title().startswith(reference)
    assert visit.complaints == []
    visit.context.close()


@pytest.mark.parametrize(
    ("faces", "sound", "words"),
    [
        ([], True, "No face could be followed"),
        ([Face(frames=50, offsets_frames=(None,))], False, "has no sound"),
    ],
    ids=["no face", "no sound"],
)
def test_videos_with_nothing_to_measure_have_a_page(
    faces: list[Face], sound: bool, words: str, browser: "Browser", tmp_path: Path
) -> None:
    visit = _page(browser, make_results(tmp_path, faces, frames=50, sound=sound))
    assert words in visit.page.inner_text("#verdict")
    visit.click_at("#lanes .lane", 0.5)
    assert visit.video_s == pytest.approx(1, abs=STANDS_FOR_S)
    assert visit.overflow_px() == 0 and visit.complaints == []
    visit.context.close()


def test_forty_tracks_can_be_looked_through(browser: "Browser", tmp_path: Path) -> None:
    """Folded, with those that have an answer alone where that is asked for; quickly there."""
    faces = [Face(frames=50, offsets_frames=(1 if i % 4 else None,)) for i in range(40)]
    visit = _page(browser, make_results(tmp_path, faces, frames=50))
    timing = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
    assert visit.page.evaluate(timing) < INTERACTIVE_MS
    cards = visit.page.locator(".track:visible")
    assert cards.count() == 40 and visit.page.locator("canvas").count() == 0
    visit.page.check("#only-reliable")
    assert cards.count() == 30
    lanes = visit.page.locator("#lanes .row:visible")
    assert lanes.count() == 30 + 2
    visit.page.click("#track-7 > summary")
    visit.page.wait_for_selector("#track-7 [data-chart=offsets] canvas")
    assert visit.complaints == []
    visit.context.close()
