"""What run_batch.py says: while it works, at its end, and of a shard that is none."""

import argparse
from pathlib import Path
from typing import Any

import pytest

import run_batch
from pipeline.batch.manifest import failed_line
from pipeline.batch.run import Batch
from pipeline.batch.videos import Shard
from pipeline.errors import PipelineError

KEY = {"video": "a.mp4", "reference": "a"}


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        """See `time.monotonic`."""
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of a report."""
    clock = Clock()
    monkeypatch.setattr(run_batch, "time", clock)
    return clock


def test_without_a_terminal_a_line_a_minute_says_how_long_it_takes(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten of sixty in five minutes leave 25; what earlier runs have done took no time now."""
    with run_batch.Report() as report:
        report.progress("videos", 30, 90)
        clock.now_s += 59
        report.progress("videos", 39, 90)
        assert capsys.readouterr().err == ""
        clock.now_s += 241
        report.each(failed_line(KEY, "a.mp4 is not a video."))
        report.progress("videos", 40, 90)
        printed = capsys.readouterr()
        assert printed.err == "40 of 90 videos, 1 failed, 25 minutes left\n"
        assert printed.out == "failed: a.mp4 is not a video.\n"
        clock.now_s += 30
        report.progress("videos", 41, 90)
        assert capsys.readouterr().err == ""


def test_where_nothing_is_done_yet_no_end_is_told(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with run_batch.Report() as report:
        report.each({"status": "done", "reason": None})
        report.progress("videos", 30, 90)
        clock.now_s += 60
        report.progress("videos", 30, 90)
    captured = capsys.readouterr()
    assert captured.err == "30 of 90 videos, 0 failed, no end in sight\n" and not captured.out


def _ended(monkeypatch: pytest.MonkeyPatch, **numbers: Any) -> int:
    """The script where its batch has come to this."""
    nothing: dict[str, Any] = {"videos": 5, "done_before": 0, "failed": 0}
    files = [Path("b.jsonl"), Path("b.parquet")]
    came_to = Batch(**{"files": files} | nothing | numbers)
    monkeypatch.setattr(run_batch, "run_batch", lambda *_, **__: came_to)
    return run_batch.main(["--videos", "x", "--data_dir", "out"])


def test_the_end_says_what_was_done_and_what_comes_next(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _ended(monkeypatch, done_before=3, failed=1) == 0
    assert capsys.readouterr().out.splitlines() == [
        "3 of 5 videos were done before.",
        "5 videos, 1 failed; b.jsonl and b.parquet",
        "next: python -m pipeline.select --data_dir out --out SELECTED",
    ]


def test_without_a_table_the_end_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _ended(monkeypatch, files=[Path("b.jsonl")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "5 videos, 0 failed; b.jsonl" and "pip install pyarrow" in lines[1]


def test_a_batch_of_nothing_but_failures_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PipelineError, match=r"No video could be done; b\.jsonl says why"):
        _ended(monkeypatch, failed=5)
    assert _ended(monkeypatch, failed=4) == 0


def test_a_shard_is_its_number_and_how_many_there_are() -> None:
    assert run_batch.shard("3/16") == Shard(index=3, count=16)
    for wrong in ("3", "3/", "/16", "a/16", "3/-16"):
        with pytest.raises(argparse.ArgumentTypeError, match="is not like 3/16"):
            run_batch.shard(wrong)
