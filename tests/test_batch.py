"""A batch goes on whatever happens: to a video, to its worker, to the batch itself."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from pipeline.batch import supervisor
from pipeline.batch.manifest import Manifest, read_lines, track_rows, write_table
from pipeline.batch.supervisor import Limits, Supervisor
from pipeline.batch.videos import Video
from pipeline.errors import InputError, PipelineError
from tests import batch_kit as kit
from tests.conftest import REPO
from tests.interruption_kit import leaves_nobody

NEEDS_PROC = pytest.mark.skipif(not Path("/proc").is_dir(), reason="no /proc")
SEED = int(os.environ.get("KILL_SEED", "1"))
SETTINGS = {"keep": "none"}


def _video(name: str) -> Video:
    return Video(f"/videos/{name}.mp4", name, 1, 1)


def _line(name: str, **about: Any) -> dict[str, Any]:
    return _video(name).key | {"status": "done", "reason": None, "tracks": []} | about


# What a video can do to its worker.


@NEEDS_PROC
def test_every_misfortune_is_a_row_and_the_rest_is_done(tmp_path: Path) -> None:
    """Segfault, kill, hang, all memory, a bug: a sentence each; one that crashes once is done."""
    names = ("crash_1", "once_2", "killed_3", "hang_4", "eat_5", "wrong_6", "fine_7", "fine_8")
    folder, data_dir = kit.videos(tmp_path / "videos", *names), tmp_path / "work"
    batch = kit.batch(folder, data_dir, time_limit_s=8.0, memory_gb=0.25)
    lines = kit.lines(data_dir)
    assert (batch.videos, batch.done_before, batch.failed) == (8, 0, 5)
    reasons = {name: line["reason"] for name, line in lines.items() if line["status"] == "failed"}
    video = {name: folder / f"{name}.mp4" for name in names}
    twice = "2 times; look at it, or leave it out."
    assert reasons == {
        "crash_1": f"{video['crash_1']} crashed its worker (SIGSEGV), {twice}",
        "killed_3": f"{video['killed_3']} ended with its worker killed, as happens where memory "
        f"runs out, {twice}",
        "hang_4": f"{video['hang_4']} was not done after 8 s and was stopped; raise --time_limit_s "
        "if it may take longer.",
        "eat_5": f"{video['eat_5']} needed more than 0.25 GB of memory and was stopped; raise "
        "--memory_gb, or start fewer --workers.",
        "wrong_6": f"{video['wrong_6']}: RuntimeError: nobody expected this",
    }
    assert all(len(lines[name]["tracks"]) == 2 for name in ("once_2", "fine_7", "fine_8"))
    counts = {name: kit.begun(folder).count(name) for name in names}
    assert {name for name, count in counts.items() if count == 2} == {
        "crash_1",
        "once_2",
        "killed_3",
    }
    assert not kit.processes_of(data_dir)
    assert not list((data_dir / "pytmp").iterdir())


def test_what_was_recorded_is_not_done_again(tmp_path: Path) -> None:
    """A failure neither, unless asked for; a file that has changed is."""
    folder, data_dir = kit.videos(tmp_path / "videos", "wrong_1", "fine_2"), tmp_path / "work"
    kit.batch(folder, data_dir)
    first = (data_dir / "batch.jsonl").read_bytes()
    again = kit.batch(folder, data_dir)
    assert (again.done_before, again.failed) == (2, 1)
    assert (data_dir / "batch.jsonl").read_bytes() == first
    assert sorted(kit.begun(folder)) == ["fine_2", "wrong_1"]
    kit.batch(folder, data_dir, retry_failed=True)
    assert kit.begun(folder).count("wrong_1") == 2
    (folder / "fine_2.mp4").write_bytes(b"another")
    changed = kit.batch(folder, data_dir)
    assert changed.done_before == 1 and kit.begun(folder).count("fine_2") == 2
    assert kit.lines(data_dir)["fine_2"]["bytes"] == 7 and len(kit.lines(data_dir)) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="names there are text")
def test_names_of_all_kinds_are_rows(tmp_path: Path) -> None:
    """Bytes that are no text, a line break, what a shell would run; and the same the next time."""
    names = ("fine_1 \udce9", "fine_2 \n", "fine_3 $(touch x)'\"", "fine_4 \u65e5\u672c")
    folder, data_dir = kit.videos(tmp_path / "videos", *names), tmp_path / "work"
    assert kit.batch(folder, data_dir).failed == 0
    assert sorted(kit.lines(data_dir)) == sorted(names)
    assert kit.batch(folder, data_dir).done_before == 4


def test_workers_that_never_begin_end_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last words are in the sentence; an error of its own is that error."""
    folder = kit.videos(tmp_path / "videos", "fine_1")
    monkeypatch.setattr(kit, "MODULE", "tests.no_such_module")
    with pytest.raises(PipelineError, match=r"No worker can be started.*No module named"):
        kit.batch(folder, tmp_path / "work")
    monkeypatch.setattr(kit, "MODULE", supervisor.WORKER_MODULE)
    with pytest.raises(InputError, match="--device cuda:99 is not available"):
        kit.batch(folder, tmp_path / "work", device="cuda:99")


# What can happen to the batch.


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """24 videos of which a worker makes seven a second."""
    return kit.videos(tmp_path / "videos", *(f"slow_{number}" for number in range(24)))


def _start(folder: Path, data_dir: Path, **options: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        kit.driver(folder, data_dir, options),
        cwd=REPO,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def _until(data_dir: Path, lines: int, running: "subprocess.Popen[str]") -> None:
    """Waits until so many videos are done."""
    deadline = time.monotonic() + 60
    path = data_dir / "batch.jsonl"
    while not (path.is_file() and path.read_bytes().count(b"\n") > lines):
        assert running.poll() is None, running.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _undisturbed(folder: Path, data_dir: Path) -> bytes:
    """The manifest of a run that nobody disturbs."""
    kit.batch(folder, data_dir)
    log = folder / kit.LOG
    log.unlink()
    return (data_dir / "batch.jsonl").read_bytes()


@NEEDS_PROC
@pytest.mark.parametrize(
    "how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name
)
def test_a_batch_that_is_stopped_goes_on(how: signal.Signals, many: Path, tmp_path: Path) -> None:
    """No process is left; the next run ends with the same manifest, nothing recorded twice."""
    expected = _undisturbed(many, tmp_path / "undisturbed")
    data_dir = tmp_path / "work"
    for stop_after in (3, 14):
        running = _start(many, data_dir)
        _until(data_dir, stop_after, running)
        recorded = set(kit.lines(data_dir))
        running.send_signal(how)
        output = running.communicate(timeout=60)[0]
        assert running.returncode in (-how, 128 + how), output
        assert "Traceback" not in output
        assert leaves_nobody(running)
        deadline = time.monotonic() + 10
        while kit.processes_of(data_dir):
            assert time.monotonic() < deadline, kit.processes_of(data_dir)
            time.sleep(0.05)
        before = kit.begun(many)
    kit.batch(many, data_dir)
    assert (data_dir / "batch.jsonl").read_bytes() == expected
    assert not set(kit.begun(many)[len(before) :]) & recorded


@NEEDS_PROC
def test_a_worker_that_is_killed_costs_nothing(many: Path, tmp_path: Path) -> None:
    """Whatever it was at is done by the next one; so far apart no video is met twice."""
    expected = _undisturbed(many, tmp_path / "undisturbed")
    data_dir, chance = tmp_path / "work", random.Random(SEED)
    running = _start(many, data_dir)
    for stop_after in (chance.randrange(start, start + 3) for start in (1, 8, 15)):
        _until(data_dir, stop_after, running)
        workers = [pid for pid in kit.processes_of(data_dir) if pid != running.pid]
        os.kill(chance.choice(workers), signal.SIGKILL)
    output = running.communicate(timeout=120)[0]
    assert running.returncode == 0, output
    assert (data_dir / "batch.jsonl").read_bytes() == expected


@NEEDS_PROC
@pytest.mark.slow
def test_ten_kills_at_random_moments(many: Path, tmp_path: Path) -> None:
    """Of the batch and of workers, by chance; then once more, undisturbed."""
    expected = _undisturbed(many, tmp_path / "undisturbed")
    data_dir, chance = tmp_path / "work", random.Random(SEED)
    for _ in range(10):
        running = _start(many, data_dir)
        time.sleep(chance.uniform(0, 4))
        victims = [running.pid, *kit.processes_of(data_dir)]
        try:
            os.kill(chance.choice(victims), signal.SIGKILL)
        except ProcessLookupError:
            continue
        time.sleep(0.2)
        running.kill()
        running.wait()
        recorded = set(kit.lines(data_dir)) if (data_dir / "batch.jsonl").is_file() else set()
        begun = len(kit.begun(many))
    time.sleep(1)
    kit.batch(many, data_dir)
    assert (data_dir / "batch.jsonl").read_bytes() == expected
    assert not set(kit.begun(many)[begun:]) & recorded


def test_two_runs_do_not_share_a_manifest(many: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "work"
    with (
        Manifest(data_dir / "batch.jsonl", SETTINGS),
        pytest.raises(PipelineError, match="Another run is working on"),
    ):
        kit.batch(many, data_dir)


# The manifest.


@pytest.fixture
def manifest(tmp_path: Path) -> Iterator[Manifest]:
    """One with two lines."""
    with Manifest(tmp_path / "batch.jsonl", SETTINGS) as manifest:
        manifest.add(_line("a"))
        manifest.add(_line("b", status="failed", reason="It is empty."))
        yield manifest


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_torn_last_line_is_cut_off(cut: int, tmp_path: Path) -> None:
    """What a killed run had not finished is done again, and is not glued to the next line."""
    path = tmp_path / "batch.jsonl"
    with Manifest(path, SETTINGS) as manifest:
        for name in ("a", "b"):
            manifest.add(_line(name))
    path.write_bytes(path.read_bytes()[:-cut])
    with Manifest(path, SETTINGS) as manifest:
        assert manifest.knows(_video("a")) and not manifest.knows(_video("b"))
        manifest.add(_line("c"))
    assert [line["reference"] for line in read_lines(path)] == ["a", "c"]
    path.write_bytes(b"")
    with Manifest(path, SETTINGS) as manifest:
        assert not manifest.knows(_video("a"))


def test_a_line_is_on_the_disk_when_it_counts(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One write and one fsync of it; one that does not fit leaves the file as it was."""
    path = tmp_path / "batch.jsonl"
    events: list[str] = []
    write, sync = os.write, os.fsync

    def noted_write(file: int, data: bytes) -> int:
        events.append("write")
        return write(file, data)

    def noted_sync(file: int) -> None:
        events.append("fsync")
        sync(file)

    monkeypatch.setattr(os, "write", noted_write)
    monkeypatch.setattr(os, "fsync", noted_sync)
    manifest.add(_line("c"))
    assert events == ["write", "fsync"]
    before = path.read_bytes()
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:9]))
    with pytest.raises(PipelineError, match="No space left on device"):
        manifest.add(_line("d"))
    assert path.read_bytes() == before


def test_what_counts_as_known(manifest: Manifest) -> None:
    assert manifest.knows(_video("a")) and manifest.knows(_video("b"))
    assert not manifest.knows(_video("b"), failed_too=False)
    assert not manifest.knows(Video("/videos/a.mp4", "a", 2, 1)), "it has another size now"
    assert manifest.failures([_video("a"), _video("b"), _video("c")]) == 1


def test_other_settings_are_refused_by_name(manifest: Manifest, tmp_path: Path) -> None:
    manifest.__exit__(None, None, None)
    with pytest.raises(InputError, match=r"other settings \(keep none\); use the same"):
        Manifest(tmp_path / "batch.jsonl", {"keep": "all"}).__enter__()
    (tmp_path / "other.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match="is no manifest of a batch"):
        Manifest(tmp_path / "other.jsonl", SETTINGS).__enter__()


def test_lines_end_in_the_order_of_the_videos(manifest: Manifest, tmp_path: Path) -> None:
    """The last line of a video counts; those no longer named stay, at the end."""
    manifest.add(_line("c"))
    manifest.add(_line("a", seconds=4))
    manifest.finish([_video("c"), _video("a"), _video("not done")])
    lines = list(read_lines(tmp_path / "batch.jsonl"))
    assert [(line["reference"], line.get("seconds")) for line in lines] == [
        ("c", None),
        ("a", 4),
        ("b", None),
    ]


def test_the_table_has_a_row_per_track(tmp_path: Path) -> None:
    """Whatever fields the rows have: numbers, words, and JSON of all else."""
    path, table = tmp_path / "batch.jsonl", tmp_path / "batch.parquet"
    tracks = [
        {"track": 0, "offset_ms": 40, "reliable": True, "reason": None, "over_time": None},
        {"track": 1, "offset_ms": 1.5, "reliable": False, "reason": {"code": "too_short"}},
    ]
    lines = [
        _line("a", tracks=tracks, verdict={"sentence": "In sync.", "offset_ms": 40.0}, seconds=4),
        _line("b\udce9", status="failed", reason="It is empty."),
    ]
    with Manifest(path, SETTINGS) as manifest:
        for line in lines:
            manifest.add(line)
    assert write_table(path, table)
    rows = pyarrow.parquet.read_table(table).to_pylist()
    assert [row["reference"] for row in rows] == ["a", "a", r"b\udce9"]
    assert [row["offset_ms"] for row in rows] == [40.0, 1.5, None]
    assert [row["reliable"] for row in rows] == [True, False, None]
    assert [row["video_offset_ms"] for row in rows] == [40.0, 40.0, None]
    assert [row["reason"] for row in rows] == [None, None, "It is empty."]
    assert json.loads(rows[1]["track_reason"]) == {"code": "too_short"}
    assert rows[0]["over_time"] is None and rows[0]["video_sentence"] == "In sync."
    assert track_rows(lines[1])[0]["status"] == "failed"


def test_without_pyarrow_there_is_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    folder = kit.videos(tmp_path / "videos", "fine_1")
    assert kit.batch(folder, tmp_path / "work").files == [tmp_path / "work" / "batch.jsonl"]


# Limits.


@NEEDS_PROC
def test_memory_of_the_whole_tree_counts() -> None:
    child = "import time; held = b'x' * (80 << 20); time.sleep(20)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    running = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    try:
        deadline = time.monotonic() + 15
        while supervisor.tree_bytes(running.pid) < 80 << 20:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    assert supervisor.tree_bytes(running.pid) == 0


def test_a_batch_that_stops_does_not_wait_for_a_video(tmp_path: Path) -> None:
    folder = kit.videos(tmp_path / "videos", "hang_1")
    stop = threading.Event()
    settings = {"threads": 1, "data_dir": str(tmp_path)}
    watched = Supervisor(
        settings, Limits(600, 8 << 30), scratch=tmp_path / "s", stop=stop, module=kit.MODULE
    )
    threading.Timer(1.0, stop.set).start()
    started = time.monotonic()
    key = Video(str(folder / "hang_1.mp4"), "hang_1", 1, 1).key
    with pytest.raises(supervisor.Stopped), watched:
        watched.line(key)
    assert time.monotonic() - started < 15
    assert not list((tmp_path / "s").iterdir())
