"""Which tests may be skipped, and why: any other skip fails (see conftest.py)."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Allowed:
    """Tests that may be skipped.

    Attributes:
        files: pattern of the names of their files.
        reason: pattern of the reason.
        because: why the skip loses nothing.
    """

    files: str
    reason: str
    because: str


ALLOWED = (
    Allowed(r".*", r"no reference data", "../shared is never committed; golden numbers stand in"),
    Allowed(r"test_sync\.py", r"no published weights", "they cannot be committed"),
    Allowed(r"test_training_data\.py", r".*tensorboard", "it is optional, and not installed"),
    Allowed(r"test_batch_ray\.py", r".*ray\b", "optional; a stand-in takes its place"),
    Allowed(r"test_download\.py", r"(wget|shasum|curl|sha256sum) is not installed", "others are"),
    Allowed(r"test_clock\.py", r"(this ffmpeg cannot|ffmpeg 4 gives)", "older ffmpegs lack it"),
    Allowed(
        r"test_clock\.py", r"(mkvmerge|MP4Box) is not installed", "ffmpeg's own muxers are tried"
    ),
    Allowed(
        r"test_(faults|batch)\.py", r"(names there are text|this disk takes only)", "Windows, macOS"
    ),
    Allowed(r".*", r"(no /proc|needs /proc|looks into /proc|needs fork|kills forked)", "not Linux"),
    Allowed(
        r"test_(crops|cost)\.py", r"this system (cannot choose|does not)", "not Linux, one core"
    ),
    Allowed(r"test_browser\.py", r"no Chromium", "Debian and CI have one; test_page.py needs none"),
    Allowed(r"test_swap\.py", r"no second file system", "no /dev/shm"),
    Allowed(r"test_interruptions\.py", r"only root can mount", "test_swap.py has a full disk, too"),
)


def is_allowed(file: str, reason: str) -> bool:
    """Whether a test of this file may be skipped with this reason."""
    return any(re.fullmatch(one.files, file) and re.search(one.reason, reason) for one in ALLOWED)
