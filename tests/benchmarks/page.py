"""The page of a long video: how large it is, how long it takes to write, how soon it can be used.

    python -m tests.benchmarks.page --minutes 10

Three videos that never were: a talk of four faces that are always there, one of a new face every
three seconds, and one of forty faces at once. Tracks, distances, sound and speech are made up;
faces are pictures of noise, which are the largest. Chromium opens each page from a file.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipeline.page import pictures, write
from pipeline.page.results import read_results
from pipeline.store.files import write_json
from pipeline.store.workspace import Workspace
from tests.benchmarks import report
from tests.page_kit import Face, make_results

MOST_MB, MOST_S = 15.0, 2.0
FPS = 25
OPENINGS = 5
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def build_parser() -> argparse.ArgumentParser:
    """Flags."""
    parser = report.parser(__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="length of the videos")
    return parser


def videos(frames: int) -> dict[str, list[Face]]:
    """Faces by kind of video."""
    turns = tuple((float(start), start + 4.0) for start in range(0, frames // FPS - 8, 8))
    always = Face(frames=frames, offsets_frames=(1, 0, 2, 1), speech_s=turns)
    listener = Face(frames=frames, offsets_frames=(None,))
    shots = range(0, frames - 75, 75)
    return {
        "four faces, all the time": [always, always, listener, listener],
        "a face every 3 s": [Face(start_frame=start, frames=75) for start in shots],
        "forty faces, all the time": [always] * 10 + [listener] * 30,
    }


def often_opened(page: Path) -> dict[str, float]:
    """Medians of several openings: a busy machine delays single ones."""
    times = [opened(page) for _ in range(OPENINGS)]
    return {name: float(np.median([one[name] for one in times])) for name in times[0]}


def opened(page: Path) -> dict[str, float]:
    """Seconds until the page can be used, and from unfolding a track to its charts."""
    from playwright.sync_api import sync_playwright

    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 390, "height": 844})
        tab.goto(page.resolve().as_uri())
        entry = "performance.getEntriesByType('navigation')[0]"
        usable_s = float(tab.evaluate(f"{entry}.domContentLoadedEventEnd")) / 1000
        begun = time.perf_counter()
        tab.click("#track-1 > summary")
        tab.locator("#track-1 canvas").first.wait_for(state="attached")
        chart_s = time.perf_counter() - begun
        overflow = tab.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert overflow <= 0, "wider than a phone"
        browser.close()
    return {"usable_s": usable_s, "chart_s": chart_s}


def _noise(clips: Sequence[tuple[Path, int]]) -> list[str | None]:
    """Faces as large as any, without clips."""
    made: list[str | None] = []
    for number in range(len(clips)):
        noise = np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)
        picture = cv2.resize(noise, (pictures.FACE_PX,) * 2)
        made.append(pictures.data_uri(picture))
    return made


def measured(folder: Path, name: str, faces: list[Face], frames: int) -> dict[str, Any]:
    """One page: its size, and the times."""
    work: Workspace = make_results(folder, faces, reference=name, frames=frames)
    begun = time.perf_counter()
    write.write_page(read_results(work), work.report_page)
    written_s = time.perf_counter() - begun
    megabytes = work.report_page.stat().st_size / 1e6
    return {
        "video": name,
        "tracks": len(faces),
        "mb": megabytes,
        "written_s": written_s,
    } | often_opened(work.report_page)


def main(argv: list[str] | None = None) -> int:
    """Prints the table; 1 where a bar is missed."""
    args = build_parser().parse_args(argv)
    frames = round(args.minutes * 60 * FPS)
    write.faces_of = _noise
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            measured(Path(folder), name, faces, frames) for name, faces in videos(frames).items()
        ]
    report.print_table(list(rows[0]), [list(row.values()) for row in rows])
    if args.json:
        write_json(args.json, rows)
    met = [
        report.verdict("largest page, MB", max(row["mb"] for row in rows), MOST_MB, at_most=True),
        report.verdict(
            "latest usable, s", max(row["usable_s"] for row in rows), MOST_S, at_most=True
        ),
    ]
    return int(not all(met))


if __name__ == "__main__":
    sys.exit(main())
