"""The worker process of a batch, asked directly: a line of JSON for each video."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.batch import supervisor, worker
from pipeline.batch.options import BatchOptions
from pipeline.batch.supervisor import ROOT
from tests import batch_kit as kit


@contextlib.contextmanager
def _worker(tmp_path: Path, module: str = kit.MODULE) -> Iterator[subprocess.Popen[str]]:
    """A worker that waits for its settings."""
    command = [sys.executable, "-m", module, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as process:
        yield process


def _ask(process: subprocess.Popen[str], request: dict[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    return dict(json.loads(process.stdout.readline()))


def _end(process: subprocess.Popen[str]) -> int:
    """The exit code after the end of the input."""
    assert process.stdin is not None
    process.stdin.close()
    return process.wait(timeout=60)


def _key(name: str, folder: Path) -> dict[str, Any]:
    return {"video": str(folder / f"{name}.mp4"), "reference": name}


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    return BatchOptions(device="cpu").worker_settings(tmp_path, threads=1)


def test_worker_ends_with_its_input_whatever_it_works_on(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    with _worker(tmp_path) as process:
        _ask(process, settings)
        assert _answer(process) == {"ready": True}
        _ask(process, _key("hang_1", tmp_path))
        while not kit.begun(tmp_path):
            assert process.poll() is None
            time.sleep(0.05)
        assert _end(process) == 0


def test_worker_goes_on_after_an_error_nobody_expected(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    with _worker(tmp_path) as process:
        _ask(process, settings)
        answers = [_answer(process)]
        for name in ("wrong_1", "fine_2"):
            _ask(process, _key(name, tmp_path))
            answers.append(_answer(process))
        assert _end(process) == 0
    assert answers[0] == {"ready": True}
    assert answers[1]["reason"].endswith("wrong_1.mp4: RuntimeError: nobody expected this")
    assert (answers[2]["reference"], answers[2]["status"]) == ("fine_2", "done")


def test_worker_whose_models_cannot_be_loaded_says_so(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    missing = tmp_path / "none.safetensors"
    settings["sync"]["initial_model"] = str(missing)
    with _worker(tmp_path, supervisor.WORKER_MODULE) as process:
        _ask(process, settings)
        answer = _answer(process)
        assert process.wait(timeout=60) == answer["exit_code"] == 2
    assert str(missing) in answer["error"]


def test_too_little_memory_is_a_line() -> None:
    def work(key: dict[str, Any]) -> Any:
        raise MemoryError

    line = worker._line(work, _key("a", Path("talks")))
    assert line["status"] == "failed"
    assert line["reason"] == f"{Path('talks/a.mp4')} needed more memory than there was."


def test_debugging_stops_at_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(key: dict[str, Any]) -> Any:
        raise RuntimeError("here")

    monkeypatch.setitem(os.environ, "SYNCNET_DEBUG", "1")
    with pytest.raises(RuntimeError, match="here"):
        worker._line(work, _key("a", Path("talks")))
