"""A worker process that does what the name of a video says; it loads no models."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from pipeline.batch import worker
from pipeline.batch.manifest import DONE, Line

LOG = "begun.txt"  # beside the videos: a line for each that was begun

SECONDS = {"slow": 0.15, "wait": 1.0}  # that a video of this kind takes


def behave(key: dict[str, Any]) -> Line:
    """What the name of the video says: crash, hang, eat, or a row after some milliseconds."""
    path = Path(key["video"])
    with (path.parent / LOG).open("a", encoding="utf-8", errors="surrogateescape") as file:
        file.write(f"{path.stem}\n")
    kind, _, number = path.stem.partition("_")
    if kind == "crash" or (kind == "once" and _first(path)):
        os.kill(os.getpid(), signal.SIGSEGV)
    if kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "hang":
        time.sleep(600)
    if kind == "eat":
        held = [b"x" * (32 << 20) for _ in range(16)]  # 0.5 GB
        time.sleep(60 * len(held))
    if kind == "wrong":
        raise RuntimeError("nobody expected this")
    if kind in SECONDS:
        time.sleep(SECONDS[kind])
    return row_of(key, int(number.partition(" ")[0] or 0))


def _first(path: Path) -> bool:
    mark = path.with_suffix(".crashed")
    if mark.exists():
        return False
    mark.touch()
    return True


def row_of(key: dict[str, Any], number: int) -> Line:
    """A line as a real worker writes it, with two tracks."""
    track: Line = {"offset_frames": number % 5, "offset_ms": 40.0 * (number % 5), "confidence": 5.0}
    track |= {"reliable": True, "at_search_edge": False, "probability": 0.9, "reason": None}
    return key | {
        "status": DONE,
        "reason": None,
        "seconds": 4.0,
        "faces": 2,
        "sha256": f"{number:064x}",
        "sound_print": None,
        "notices": [],
        "verdict": {"verdict": "in_sync", "offset_ms": 0.0},
        "tracks": [
            track | {"track": n, "file": f"{n:05d}.avi", "start_s": 0.0, "end_s": 4.0}
            for n in range(2)
        ],
    }


if __name__ == "__main__":
    sys.exit(worker.main(sys.argv[1:], lambda _settings, _scratch: behave))
