"""Evaluation of a folder: failures of single videos, interruption and resumption."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from models import device as models_device
from models import weights
from models.errors import InputError, PipelineError, WeightsError
from pipeline import cli
from pipeline.evaluate import folder as evaluate_folder
from pipeline.evaluate import journal as evaluate_journal
from pipeline.evaluate.journal import Journal, video_key
from pipeline.evaluate.report import Row
from pipeline.faces.options import FaceOptions
from pipeline.store.workspace import Workspace
from pipeline.sync.offset import Sync
from pipeline.sync.scorer import ClipScore, SyncScorer
from pipeline.sync.stage import score_tracks
from tests.conftest import REPO

OPTIONS = FaceOptions(min_track=10)


@pytest.fixture
def videos(face_clip: Path, tmp_path: Path) -> dict[str, Path]:
    """Three copies of one clip with a face and sound."""
    folder = tmp_path / "videos"
    folder.mkdir()
    names = ("a.mp4", "b.mp4", "c.mp4")
    return {name: Path(shutil.copy(face_clip, folder / name)) for name in names}


def _score(clip: Path) -> ClipScore:
    """Replaces a network: the min dist is the number of bytes of the file."""
    size = float(clip.stat().st_size)
    dists = np.ones((3, 31), np.float32)
    sync = Sync(1, 40.0, size, 2.0, 1.0, np.zeros(3), False, True, None)
    return ClipScore(clip.name, 30, dists, sync, None)


class Scorer:
    """Scores like `_score`, notes which videos it was given, and fails at some."""

    def __init__(self, failures: dict[str, BaseException] | None = None) -> None:
        self.scored: list[str] = []
        self._failures = failures or {}

    def __call__(self, clip: Path) -> ClipScore:
        self.scored.append(clip.name)
        if clip.name in self._failures:
            raise self._failures[clip.name]
        return _score(clip)


def _scorer(score: Callable[[Path], ClipScore]) -> Any:
    """A scorer whose scores are those of `_score`."""
    return SimpleNamespace(score=score, device=torch.device("cpu"))


def _run(
    videos: dict[str, Path], score: Callable[[Path], ClipScore], *, journal: Journal | None = None
) -> list[Row]:
    return evaluate_folder.evaluate(
        videos,
        ("whole",),
        _scorer(score),
        OPTIONS,
        journal=journal,
        report=lambda row: None,
    )


# The same numbers as run_syncnet.py.


def test_lse_is_that_of_offsets_json(
    done: Workspace,
    face_clip: Path,
    tmp_path: Path,
    cpu: torch.device,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Equal to the last digit, also where "auto" resolves to bfloat16."""
    monkeypatch.setattr(models_device, "native_precision", lambda device: "bf16")
    shutil.copytree(done.data_dir, tmp_path / "work")
    (tmp_path / "videos").mkdir()
    crops = Workspace(tmp_path / "work", "face")
    shutil.copy(crops.crop(0), tmp_path / "videos" / "crop.avi")
    score_tracks(crops, SyncScorer(device=cpu))
    report = tmp_path / "o.json"
    flags = ["--data_root", str(tmp_path / "videos"), "--route", "whole", "--json", str(report)]
    assert cli.run(lambda: evaluate_folder.main([*flags, "--device", "cpu"])) == 0
    (row,), (offsets,) = json.loads(report.read_text())["scores"], crops.read_offsets()
    assert (row["lse_d"], row["lse_c"]) == (offsets["lse_d"], offsets["lse_c"])
    settings = json.loads(report.read_text())["settings"]
    assert settings["scorer_precision"] == offsets["settings"]["precision"] == "bf16"


# Nothing for nothing.


def test_no_frames_are_stored(videos: dict[str, Path], tmp_path: Path, cpu: torch.device) -> None:
    """The folder is temporary, so pyframes/ would be wasted."""
    passing = tmp_path / "passing"
    passing.mkdir()
    commands: list[str] = []

    def score(clip: Path) -> ClipScore:
        commands.extend(path.suffix for path in passing.rglob("*.*"))
        return _score(clip)

    rows = evaluate_folder.evaluate(
        {"a.mp4": videos["a.mp4"]},
        ("crops",),
        _scorer(score),
        replace(OPTIONS, keep_frames=True),
        tmp_dir=passing,
        report=lambda row: None,
    )
    assert [row.track for row in rows] == [0]
    assert ".avi" in commands and ".jpg" not in commands and not any(passing.iterdir())


def test_networks_are_loaded_once(
    videos: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One detector and one scorer serve all videos by both routes."""
    loaded: list[str] = []
    for name in ("load_s3fd", "load_syncnet"):
        real = getattr(weights, name)

        def counting(*args: Any, real: Any = real, name: str = name, **rest: Any) -> Any:
            loaded.append(name)
            return real(*args, **rest)

        monkeypatch.setattr(weights, name, counting)
    videos["c.mp4"].unlink()
    flags = ["--data_root", str(videos["a.mp4"].parent), "--min_track", "10"]
    assert cli.run(lambda: evaluate_folder.main(flags)) == 0
    assert sorted(loaded) == ["load_s3fd", "load_syncnet"]


# One bad video.

FAILURES = [
    OSError(28, "No space left on device"),
    PermissionError(13, "Permission denied"),
    cv2.error("OpenCV: out of range\n(-215) in function 'resize'"),
    RuntimeError("CUDA error: out of memory"),
    MemoryError(),
    UnicodeEncodeError("utf-8", "\udce9", 0, 1, "surrogates not allowed"),
    PipelineError("Reading b.mp4 failed: no frame."),
    WeightsError("w.model is not there."),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_one_bad_video_never_ends_the_batch(
    videos: dict[str, Path], failure: BaseException
) -> None:
    """Its row says why, in one line; the others are scored."""
    rows = _run(videos, Scorer({"b.mp4": failure}))
    assert [row.lse_d is None for row in rows] == [False, True, False]
    note = rows[1].note or ""
    words = str(failure).split("\n")[0]
    assert words in note and "\n" not in note and note
    if not isinstance(failure, PipelineError | WeightsError):
        assert str(videos["b.mp4"]) in note and type(failure).__name__ in note


def test_a_bug_keeps_its_traceback_with_syncnet_debug(
    videos: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SYNCNET_DEBUG=1 lets what is not expected through, and only that."""
    monkeypatch.setenv("SYNCNET_DEBUG", "1")
    assert _run(videos, Scorer({"b.mp4": InputError("silent")}))[1].note == "silent"
    with pytest.raises(ZeroDivisionError):
        _run(videos, Scorer({"b.mp4": ZeroDivisionError()}))


def test_weights_that_are_at_fault_stop_before_the_first_video(
    videos: dict[str, Path], tmp_path: Path, cpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing detector is one error, not a row for every video."""
    monkeypatch.setattr(weights, "PUBLISHED_DIR", tmp_path / "empty")
    scorer, rows = Scorer(), list[Row]()
    with pytest.raises(WeightsError, match="is not there; run"):
        evaluate_folder.evaluate(
            videos,
            ("whole", "crops"),
            _scorer(scorer),
            replace(OPTIONS, detector="s3fd"),
            report=rows.append,
        )
    assert not scorer.scored and not rows


# Resuming.

SETTINGS = {"vshift": 15, "data": Path("d"), "versions": {"torch": "2"}}


def _journal(tmp_path: Path, **changed: object) -> Journal:
    return Journal(tmp_path / "o.rows.jsonl", SETTINGS | changed)


def _stopped(videos: dict[str, Path], tmp_path: Path) -> None:
    """A run that is stopped while it scores the third video."""
    with pytest.raises(KeyboardInterrupt), _journal(tmp_path) as journal:
        _run(videos, Scorer({"c.mp4": KeyboardInterrupt()}), journal=journal)


def test_a_stopped_run_goes_on_where_it_was(videos: dict[str, Path], tmp_path: Path) -> None:
    """Finished videos are not scored again; the rows are those of a run that was not stopped."""
    whole_run = _run(videos, Scorer())
    _stopped(videos, tmp_path)
    again = Scorer()
    with _journal(tmp_path) as journal:
        assert len(journal) == 2
        assert _run(videos, again, journal=journal) == whole_run
    assert again.scored == ["c.mp4"]
    last = Scorer()
    with _journal(tmp_path) as journal:
        assert _run(videos, last, journal=journal) == whole_run
    assert not last.scored


def test_rows_come_as_json_lines(videos: dict[str, Path], tmp_path: Path) -> None:
    """Readable while the run goes on: settings, then a line per video with its rows."""
    read: list[list[dict[str, Any]]] = []

    def score(clip: Path) -> ClipScore:
        lines = (tmp_path / "o.rows.jsonl").read_text().splitlines()
        read.append([json.loads(line) for line in lines])
        return _score(clip)

    with _journal(tmp_path) as journal:
        rows = _run(videos, score, journal=journal)
    assert [len(lines) for lines in read] == [1, 2, 3]
    settings, first, second = read[-1]
    assert settings == {"settings": SETTINGS | {"data": "d"}}
    assert first["key"]["file"] == "a.mp4" and first["rows"] == [asdict(rows[0])]
    assert second["key"]["bytes"] == videos["b.mp4"].stat().st_size


def test_a_video_that_changed_is_scored_again(videos: dict[str, Path], tmp_path: Path) -> None:
    """By size and by time of change; the same content under another name is another video."""
    _stopped(videos, tmp_path)
    with videos["a.mp4"].open("ab") as file:
        file.write(b"more")
    status = videos["b.mp4"].stat()
    os.utime(videos["b.mp4"], ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    again = Scorer()
    with _journal(tmp_path) as journal:
        _run(videos, again, journal=journal)
    assert again.scored == ["a.mp4", "b.mp4", "c.mp4"]
    assert video_key(videos["a.mp4"], "a.mp4", "whole") != video_key(
        videos["a.mp4"], "z.mp4", "whole"
    )
    assert video_key(videos["a.mp4"], "a.mp4", "whole") != video_key(
        videos["a.mp4"], "a.mp4", "crops"
    )


def test_rows_of_other_settings_are_not_taken(videos: dict[str, Path], tmp_path: Path) -> None:
    """Another --vshift, other weights, another version: everything is scored again."""
    _stopped(videos, tmp_path)
    again = Scorer()
    with _journal(tmp_path, vshift=20) as journal:
        assert not len(journal)
        _run(videos, again, journal=journal)
    assert len(again.scored) == 3


@pytest.mark.parametrize("cut", [1, 7, 40])
def test_a_line_that_was_cut_off_is_scored_again(
    videos: dict[str, Path], tmp_path: Path, cut: int
) -> None:
    """As a power failure leaves it; the next line is not glued to it."""
    _stopped(videos, tmp_path)
    file = tmp_path / "o.rows.jsonl"
    file.write_bytes(file.read_bytes()[:-cut] + "é".encode()[:1] * (cut > 1))
    for scored in (["b.mp4", "c.mp4"] if cut > 1 else ["c.mp4"], []):
        again = Scorer()
        with _journal(tmp_path) as journal:
            _run(videos, again, journal=journal)
        assert again.scored == scored


def test_videos_that_failed_by_accident_are_scored_again(
    videos: dict[str, Path], tmp_path: Path
) -> None:
    """After a full disk the video is scored again; after "no face" it is not."""
    failures: dict[str, BaseException] = {
        "a.mp4": InputError("No track."),
        "b.mp4": OSError(28, "No space left"),
    }
    with _journal(tmp_path) as journal:
        _run(videos, Scorer(failures), journal=journal)
    again = Scorer()
    with _journal(tmp_path) as journal:
        rows = _run(videos, again, journal=journal)
    assert again.scored == ["b.mp4"] and rows[0].note == "No track."


def test_rows_that_cannot_be_kept_end_the_run(
    videos: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends at once with an error that names the file."""
    with (
        pytest.raises(PipelineError, match=r"o\.rows\.jsonl cannot be written"),
        Journal(tmp_path / "no" / "o.rows.jsonl", {}),
    ):
        pass
    with (
        _journal(tmp_path) as journal,
        pytest.raises(PipelineError, match=r"o\.rows\.jsonl cannot be written \(No space"),
    ):
        monkeypatch.setattr(evaluate_journal, "json_text", _no_space)
        _run(videos, Scorer(), journal=journal)


def _no_space(value: object) -> str:
    raise OSError(28, "No space left on device")


def test_a_journal_without_its_settings_has_nothing(tmp_path: Path) -> None:
    """Rows whose first line was lost may be of anything; a finished journal is gone."""
    path, key, rows = tmp_path / "o.rows.jsonl", {"file": "a.mp4"}, [{"lse_d": 1.0}]
    with _journal(tmp_path) as journal:
        assert journal.finished(key) is None and len(journal) == 0
        journal.add(key, rows)
        assert journal.finished(key) == rows and len(journal) == 1
    settings, row = path.read_text().splitlines(keepends=True)
    for content, count in ((row + row, 0), (settings + row, 1), (settings + "{}\n" + row, 0)):
        path.write_text(content)
        assert len(_journal(tmp_path)) == count
    journal.remove()
    assert not path.exists()
    journal.remove()


def test_a_killed_command_goes_on(videos: dict[str, Path], tmp_path: Path) -> None:
    """kill -9 after the first row; the same command then ends as if never killed."""
    report, rows_file = tmp_path / "o.json", tmp_path / "o.rows.jsonl"
    command = [sys.executable, "-m", "pipeline.evaluate", "--route", "whole", "--device", "cpu"]
    command += ["--data_root", str(videos["a.mp4"].parent), "--json", str(report)]
    run = subprocess.Popen(command, cwd=REPO, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while not (rows_file.exists() and rows_file.read_text().count("\n") > 1):
        assert run.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert not report.exists()
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == ""
    assert "results of a run that was stopped" in done.stdout
    assert not rows_file.exists()
    everything = json.loads(report.read_text())
    assert [row["file"] for row in everything["scores"]] == ["a.mp4", "b.mp4", "c.mp4"]
    assert len({row["lse_d"] for row in everything["scores"]}) == 1
    assert everything["mean"]["whole"]["files_scored"] == 3
