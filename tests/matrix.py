"""Runs the tests of everything that starts ffmpeg under each ffmpeg that people have.

    python -m tests.matrix                          # make matrix
    python -m tests.matrix tests/test_clock.py      # some of them

The one that the main suite uses is left out. What cannot be downloaded is skipped, with the reason.
"""

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pipeline.media.process import find_ffmpeg
from tests.ffmpegs import ROOT, Ffmpeg, every_ffmpeg, same_program

# Each entry is one run of pytest.
SELECTIONS: tuple[tuple[str, ...], ...] = (
    ("tests/test_dub.py", "tests/test_dub_runs.py"),
    ("tests/test_clock.py",),
    ("tests/test_correct.py", "tests/test_correct_stage.py"),
    ("tests/test_example.py",),
    ("tests/test_media.py", "tests/test_mp4.py", "tests/test_page.py"),
    ("tests/test_faults.py", "tests/test_watchdog.py", "tests/test_hostile_files.py"),
)
LIMIT_S = 1500


@dataclass(frozen=True)
class Ran:
    """How one run of pytest ended.

    Attributes:
        ffmpeg: under which it ran.
        passed: no test failed.
        last_line: of pytest's output.
        output: all of it.
    """

    ffmpeg: Ffmpeg
    passed: bool
    last_line: str
    output: str


def run(ffmpeg: Ffmpeg, files: tuple[str, ...]) -> Ran:
    """Runs test files under one ffmpeg."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    # Two runs side by side: each takes one core.
    environment = os.environ | {"FFMPEG_BINARY": str(ffmpeg.path), "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT_S
        )
    except subprocess.TimeoutExpired:
        return Ran(ffmpeg, False, f"{' '.join(files)} took more than {LIMIT_S} s", "")
    lines = done.stdout.strip().splitlines() or [done.stderr.strip()]
    return Ran(ffmpeg, done.returncode == 0, lines[-1].strip("= "), done.stdout)


def others() -> list[Ffmpeg]:
    """Every ffmpeg but the one that the main suite uses."""
    default = Path(find_ffmpeg())
    return [
        ffmpeg
        for ffmpeg in every_ffmpeg()
        if ffmpeg.path is None or not same_program(ffmpeg.path, default)
    ]


def main(argv: list[str] | None = None) -> int:
    """Runs everything, prints a line for each ffmpeg, and fails when a test fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("files", nargs="*", help="test files, each a run; by default all of them")
    files = parser.parse_args(argv).files
    selections = tuple((file,) for file in files) or SELECTIONS
    ffmpegs = others()
    runnable = [ffmpeg for ffmpeg in ffmpegs if ffmpeg.path is not None]
    started = time.monotonic()
    with ThreadPoolExecutor(max_workers=2) as pool:
        jobs = {
            ffmpeg.origin: [pool.submit(run, ffmpeg, files) for files in selections]
            for ffmpeg in runnable
        }
        failed = False
        for ffmpeg in ffmpegs:
            if ffmpeg.path is None:
                print(f"skipped  {ffmpeg.origin}: {ffmpeg.reason}")
                continue
            runs = [job.result() for job in jobs[ffmpeg.origin]]
            broken = [ran for ran in runs if not ran.passed]
            failed |= bool(broken)
            verdict = "FAILED" if broken else "passed"
            summary = "; ".join(ran.last_line for ran in runs)
            print(f"{verdict}   {ffmpeg.version()} ({ffmpeg.origin}): {summary}", flush=True)
            for ran in broken:
                print(ran.output)
    print(f"{len(runnable)} ffmpegs, {time.monotonic() - started:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
