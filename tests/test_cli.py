"""Exit codes, error sentences, signals, and the flags that all scripts share."""

import argparse
import shutil
import signal
import time
from pathlib import Path
from typing import ClassVar

import pytest
import torch

import run_pipeline
from models.device import torch_device
from models.errors import InputError, InvalidOption, PipelineError, WeightsError
from models.options import check_device
from pipeline import cli
from pipeline.faces.stage import Faces
from pipeline.store.workspace import Workspace
from tests import interruption_kit
from tests.interruption_kit import leaves_nobody


def _raising(error: BaseException) -> int:
    def main() -> int:
        raise error

    return cli.run(main)


@pytest.mark.parametrize("code", [0, 1, 2])
def test_exit_code_of_main_is_that_of_the_script(
    code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(lambda: code) == code
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (InputError("Give a file."), 2, "error: Give a file."),
        (WeightsError("There is no file."), 2, "error: There is no file."),
        (PipelineError("The disk is full."), 1, "error: The disk is full."),
        (InvalidOption("min_x", 0, "one"), 2, "error: Invalid --min_x (0); supported: one."),
        (KeyboardInterrupt(), 130, "stopped; run the same command again."),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_failures_are_a_sentence_and_an_exit_code(
    error: BaseException, code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Errors go to stderr, so stdout holds results only."""
    assert _raising(error) == code
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == sentence + "\n" * bool(sentence)


def test_traceback_of_a_mistake_is_kept_with_syncnet_debug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SYNCNET_DEBUG", "1")
    for error in (InputError("x"), PipelineError("y")):
        with pytest.raises(type(error)):
            _raising(error)
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("SYNCNET_DEBUG", "")
    assert _raising(InputError("x")) == 2


def test_a_bug_keeps_its_traceback_always() -> None:
    with pytest.raises(ZeroDivisionError):
        _raising(ZeroDivisionError())


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ({"reference": "r", "videofile": Path("a/talk.1.mp4")}, "r"),
        ({"reference": "", "videofile": Path("a/talk.1.mp4")}, "talk.1"),
        ({"reference": "r", "videofile": None}, "r"),
    ],
)
def test_results_are_named_by_reference_before_the_videos_stem(
    flags: dict[str, object], name: str
) -> None:
    work = cli.workspace(argparse.Namespace(data_dir=Path("d"), **flags))
    assert (work.data_dir, work.reference) == (Path("d"), name)


def test_yes_and_no_are_the_only_answers() -> None:
    assert cli.yes_or_no("yes") is True and cli.yes_or_no("no") is False
    for text in ("", "YES", "true", "1"):
        with pytest.raises(argparse.ArgumentTypeError, match="is neither yes nor no"):
            cli.yes_or_no(text)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(False, False, "cpu"), (False, True, "mps"), (True, False, "cuda"), (True, True, "cuda")],
)
def test_auto_is_the_fastest_device_there_is(
    cuda: bool, mps: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert torch_device("auto") == torch.device(expected)
    assert torch_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda", "mps", "cuda:0", "cuda:12"])
def test_devices_of_the_list_and_single_gpus_are_known(name: str) -> None:
    check_device(name)


@pytest.mark.parametrize("name", ["", "gpu", "cpu:0", "cuda:", "cuda:x", "cuda:1\n", "CUDA"])
def test_other_devices_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="Invalid device"):
        check_device(name)


# The evaluation is a command, too; the other four are in test_interruptions.py.


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
def test_a_second_sigterm_does_not_interrupt_the_clearing_up() -> None:
    """Who stops a program often asks twice; afterwards the signal means what it meant before."""
    cleared = []

    def main() -> int:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            cleared.append(True)
        return 0

    assert cli.run(main) == 128 + signal.SIGTERM
    assert cleared and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize(("frame_rate", "warned"), [(20, True), (25, False), (30, True)])
def test_any_other_frame_rate_is_warned_of(
    frame_rate: int,
    warned: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Lower or higher: the networks know 25 frames a second."""
    done = Faces(Workspace(tmp_path, "talk"), 0, was_complete=False, notices=[])
    monkeypatch.setattr(run_pipeline, "find_faces", lambda *_, **__: done)
    where = ["--videofile", "talk.mp4", "--data_dir", str(tmp_path)]
    assert run_pipeline.main([*where, "--frame_rate", str(frame_rate)]) == 0
    assert ("the networks expect --frame_rate 25" in capsys.readouterr().err) == warned


class _Bar:
    """Stands for a progress bar of tqdm; keeps what is shown."""

    shown: ClassVar[list[tuple[str, int, int | None]]] = []

    def __init__(self, *, desc: str, total: int | None, **_: object) -> None:
        self.desc, self.total, self.n = desc, total, 0

    def update(self, more: int) -> None:
        self.n += more
        self.shown.append((self.desc, self.n, self.total))

    def close(self) -> None:
        self.shown.append((self.desc, -1, None))


def test_bars_stand_where_the_step_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """However far it has come at once; a finished one goes, and the others at the end."""
    monkeypatch.setattr(cli, "tqdm", _Bar)
    monkeypatch.setattr(_Bar, "shown", [])
    with cli.progress_bars() as progress:
        for call in (("frames", 5, None), ("clips", 1, 2), ("frames", 7, 9), ("frames", 9, 9)):
            progress(*call)
    assert _Bar.shown == [
        *(("frames", 5, None), ("clips", 1, 2), ("frames", 7, 9), ("frames", 9, 9)),
        *(("frames", -1, None), ("clips", -1, None)),
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_stopped_evaluation_clears_up_and_keeps_its_rows(
    number: signal.Signals, face_clip: Path, tmp_path: Path
) -> None:
    """Exit code 130 or 143, no process left, an empty --tmp_dir, and the finished rows."""
    root, passing, report = tmp_path / "videos", tmp_path / "passing", tmp_path / "o.json"
    root.mkdir()
    passing.mkdir()
    for name in "abcdefgh":
        shutil.copy(face_clip, root / f"{name}.mp4")
    flags = ["--data_root", root, "--tmp_dir", passing, "--json", report, "--route", "crops"]
    running = interruption_kit.python(
        "-m", "pipeline.evaluate", "--device", "cpu", *map(str, flags)
    )
    deadline = time.monotonic() + 120
    while not any(passing.glob("*/pytmp/*/*")):
        assert running.poll() is None and time.monotonic() < deadline, "it did not start"
        time.sleep(0.005)
    running.send_signal(number)
    sentence = running.communicate(timeout=120)[0]
    assert running.returncode == 128 + number, sentence
    assert "stopped; run the same command again." in sentence and "Traceback" not in sentence
    assert leaves_nobody(running) and not list(passing.iterdir())
    assert not report.exists() and report.with_suffix(".rows.jsonl").is_file()
