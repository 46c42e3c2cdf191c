"""The training loop on a tiny task: steps, reports, checkpoints, the end."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from pipeline.errors import PipelineError
from tests.train_kit import assert_same
from training.loop import checkpoint as checkpoint_files
from training.loop import fit
from training.loop.distributed import Processes
from training.loop.journal import Journal, read_rows
from training.loop.resume import Origin
from training.loop.task import Report, Task

ALONE = Processes(0, 1, torch.device("cpu"))


@pytest.fixture(autouse=True)
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws no curves."""
    monkeypatch.setattr(Journal, "draw", lambda _: None)


class Line(Task):
    """One weight and a rival's, each pulled towards the number of the step; SGD moves by the rate.

    Attributes:
        batches: (step, batch) of every step.
        changed: steps before which clips were changed, by the averaged weight then.
        scores: of the reports to come.
    """

    largest_gradient, pace = 9.0, ("lines_per_s", 2)

    def __init__(self, scores: dict[int, float | None] | None = None) -> None:
        self.network, other = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        for part in (self.network, other):
            nn.init.constant_(part.weight, 1.0)
        self.networks: dict[str, Any] = {"line": self.network, "other": other, "none": None}
        self.optimizers: dict[str, Any] = {
            "first": torch.optim.SGD(self.network.parameters(), lr=7.0),
            "second": torch.optim.SGD(other.parameters(), lr=7.0),
            "none_too": None,
        }
        self.scores = scores or {}
        self.batches: list[tuple[int, int]] = []
        self.changed: list[float] = []
        self.remembered = 0
        self.before_loss: Callable[[int], None] = lambda _: None
        self.factor = 1.0

    def beginning(self, step: int) -> list[str]:
        return [f"begins at {step}"]

    def batch(self, step: int) -> int:
        return 10 * step + len(self.changed)

    def losses(
        self, batch: int, step: int
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        self.before_loss(step)
        self.batches.append((step, batch))
        own, other = (self.networks[name].weight.sum() for name in ("line", "other"))
        return {"first": self.factor * own, "second": 2 * other}, {"part": own * 0}

    def change_clips(self, average: Any) -> dict[str, Any]:
        assert average is not self.network
        self.changed.append(average.weight.item())
        return {"kept": len(self.changed)}

    def report_due(self, step: int) -> bool:
        return step in self.scores

    def report(self, average: Any, step: int) -> Report:
        assert average is not self.network
        return Report({"unseen": average.weight.item()}, self.scores[step])

    def after_step(self, step: int, row: dict[str, float], report: Any) -> dict[str, Any]:
        self.remembered += 1
        return {"switched": 1.0} if report and report.score == 0.5 else {}

    def state(self) -> dict[str, Any]:
        return {"remembered": self.remembered}

    def restore(self, state: dict[str, Any], origin: Origin | None) -> str:
        self.remembered = state["remembered"]
        return " of a line"

    def ending(self, step: int) -> list[str]:
        return [f"ends at {step}"]


def _fit(
    task: Line, folder: Path, *, state: Any = None, origin: Origin | None = None, **flags: Any
) -> int:
    usual: Any = {"run": folder, "export": None, "steps": 4, "lr": 0.1, "warmup": 0}
    usual |= {"average": 0.0, "workers": 0, "log_every": 1, "save_every": 99}
    options: Any = SimpleNamespace(**(usual | flags))
    return fit.fit(task, options, ALONE, origin=origin, state=state)


def _state(folder: Path) -> dict[str, Any]:
    state = checkpoint_files.load_checkpoint(folder / "checkpoint.pt")
    assert state is not None
    return state


def _rows(folder: Path) -> list[dict[str, Any]]:
    clocks = ("seconds", "data_s", "lines_per_s")
    rows = read_rows(folder / "train.jsonl")
    return [{name: value for name, value in row.items() if name not in clocks} for row in rows]


def test_every_optimizer_moves_by_the_rate_of_its_step(tmp_path: Path) -> None:
    """By rate times gradient, 1 and 2; the log says the rate, the first's loss and gradient."""
    task = Line()
    assert _fit(task, tmp_path, lr=0.1, steps=3, warmup=2) == 0
    rates = [row["lr"] for row in _rows(tmp_path)]
    assert rates == pytest.approx([0.05, 0.1, 0.1])
    own, other = (task.networks[name].weight.item() for name in ("line", "other"))
    assert own == pytest.approx(1 - 0.25) and other == pytest.approx(1 - 2 * 0.25)
    assert [row["loss"] for row in _rows(tmp_path)] == pytest.approx([1, 0.95, 0.85])
    assert all(row["gradient"] == 1 and row["part"] == 0 for row in _rows(tmp_path))


@pytest.mark.parametrize(("factor", "expected_change"), [(8.0, 0.8), (90.0, 0.9)])
def test_gradients_beyond_the_tasks_norm_are_clipped(
    factor: float, expected_change: float, tmp_path: Path
) -> None:
    """To nine; the log has the norm as it was."""
    task = Line()
    task.factor = factor
    assert _fit(task, tmp_path, steps=1) == 0
    assert task.network.weight.item() == pytest.approx(1 - expected_change, rel=1e-4)
    assert _rows(tmp_path)[0]["gradient"] == factor


def test_average_follows_the_network_after_every_step(tmp_path: Path) -> None:
    """A tenth of the old after the first step, two elevenths after the second."""
    task = Line()
    assert _fit(task, tmp_path, steps=2, lr=0.5, average=0.9) == 0
    first = 0.1 * 1 + 0.9 * 0.5
    rate = _rows(tmp_path)[1]["lr"]
    second = 2 / 11 * first + 9 / 11 * (0.5 - rate)
    assert float(_state(tmp_path)["average"]["weight"]) == pytest.approx(second, rel=1e-5)


@pytest.mark.parametrize("workers", [0, 2])
def test_every_step_gets_its_own_batch_and_none_is_made_before_the_clips_change(
    workers: int, tmp_path: Path
) -> None:
    """Clips changed before step 2 are those of its batch; the row is of the step to come."""
    task = Line()
    task.changes_at = [2, 9]
    assert _fit(task, tmp_path, workers=workers) == 0
    assert task.batches == [(0, 0), (1, 10), (2, 21), (3, 31)]
    assert [row["step"] for row in _rows(tmp_path) if "kept" in row] == [3]
    assert task.changed == [pytest.approx(1 - sum(r["lr"] for r in _rows(tmp_path)[:2]))]


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_loss_that_is_no_number_ends_the_run_with_a_sentence(loss: float, tmp_path: Path) -> None:
    """Before a weight moves; what was saved before stays."""
    task = Line()

    def break_at(step: int) -> None:
        task.factor = loss if step == 2 else 1.0

    task.before_loss = break_at
    with pytest.raises(PipelineError, match=r"The loss at step 2 is not a number; .*smaller --lr"):
        _fit(task, tmp_path, save_every=1)
    state = _state(tmp_path)
    assert state["step"] == 2 and torch.equal(task.network.weight, state["line"]["weight"])


def test_best_average_is_the_first_of_equals_and_is_kept_as_it_was(tmp_path: Path) -> None:
    """Reports without a score are no reports; those since the best one are counted."""
    task = Line({1: None, 2: 0.4, 3: 0.4, 4: 0.3})
    assert _fit(task, tmp_path) == 0
    state = _state(tmp_path)
    assert (state["best"]["score"], state["best"]["step"], state["since_best"]) == (0.4, 2, 2)
    unseen_losses = {row["step"]: row["unseen"] for row in _rows(tmp_path) if "unseen" in row}
    assert unseen_losses.keys() == {1, 2, 3, 4} and len(set(unseen_losses.values())) == 4
    assert float(state["best"]["average"]["weight"]) == pytest.approx(unseen_losses[2])


def test_report_may_switch_something_on_with_a_row_of_its_own(tmp_path: Path) -> None:
    """After the report's."""
    assert _fit(Line({2: 0.5, 3: 0.1}), tmp_path) == 0
    names = [("switched" in row, "unseen" in row) for row in _rows(tmp_path) if row["step"] == 2]
    assert names == [(False, False), (False, True), (True, False)]
    assert sum("switched" in row for row in _rows(tmp_path)) == 1


def test_patience_ends_a_run_and_it_stays_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Saved at its last step; the same command again makes no other step."""
    task = Line({1: 0.9, 2: 0.1, 3: 0.1, 4: 0.1})
    task.patience = 2
    assert _fit(task, tmp_path, steps=50) == 0
    assert _state(tmp_path)["step"] == 3 and len(task.batches) == 3
    again = Line({4: 1.0})
    again.patience = 2
    assert _fit(again, tmp_path, steps=50, state=_state(tmp_path)) == 0
    assert again.batches == [] and "resumed at step 3 of a line" in capsys.readouterr().out


def test_checkpoints_are_written_when_due_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the task's names; parts that a run has not are None."""
    saved: list[dict[str, Any]] = []
    monkeypatch.setattr(checkpoint_files, "save_checkpoint", lambda _, state: saved.append(state))
    assert _fit(Line(), tmp_path, steps=5, save_every=2) == 0
    assert [state["step"] for state in saved] == [2, 4, 5]
    assert {"line", "other", "first", "second", "average", "remembered"} <= saved[0].keys()
    assert saved[0]["none"] is None and saved[0]["none_too"] is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_that_was_stopped_is_saved_and_goes_on_with_the_next_step(
    number: signal.Signals, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As if never stopped: weights, rows and the task's state, though no save was due."""
    task = Line({3: 0.5})
    task.before_loss = lambda step: os.kill(os.getpid(), number) if step == 1 else None
    run, uninterrupted = tmp_path / "run", tmp_path / "whole"
    assert _fit(task, run) == 128 + number
    assert "goes on with step 3." in capsys.readouterr().err and _state(run)["step"] == 2
    rest = Line({3: 0.5})
    assert _fit(rest, run, state=_state(run)) == 0
    assert [step for step, _ in rest.batches] == [2, 3]
    assert _fit(Line({3: 0.5}), uninterrupted) == 0
    assert_same(_state(run), _state(uninterrupted))
    assert _rows(run) == _rows(uninterrupted)


def test_weights_are_exported_once_the_steps_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the process that writes, before its last lines; a run that was stopped exports nothing."""
    exported: list[int] = []
    monkeypatch.setattr(fit.card, "export", lambda run, *_: exported.append(run.step))
    file = tmp_path / "own.safetensors"
    assert _fit(Line(), tmp_path / "run", export=file) == 0 and exported == [4]
    out = capsys.readouterr().out
    assert "begins at 0" in out and out.rstrip().endswith("ends at 4")
    task = Line()
    task.before_loss = lambda step: os.kill(os.getpid(), signal.SIGTERM)
    assert _fit(task, tmp_path / "stopped", export=file) == 143 and exported == [4]


def _of_preset(name: str | None, **options: Any) -> Origin:
    return Origin({"preset": name, "lr": 0.1} | options, {})


def test_log_of_a_run_by_a_preset_holds_its_options_once(tmp_path: Path) -> None:
    """Also where it is killed before its first checkpoint, and again where one has changed."""
    for rate in (0.2, 0.1):  # started anew, without a checkpoint
        assert _fit(Line(), tmp_path, origin=_of_preset("fast", lr=rate), save_every=2) == 0
    state = _state(tmp_path)
    for more, steps in (({}, 6), ({"workers": 3}, 8)):
        origin = _of_preset("fast", **more)
        assert _fit(Line(), tmp_path, origin=origin, steps=steps, state=state) == 0
        state = _state(tmp_path)
    said = [(row["step"], row["options"]) for row in _rows(tmp_path) if "options" in row]
    first = {"preset": "fast", "lr": 0.1}
    assert said == [(0, first), (6, first | {"workers": 3})]
    assert [row["step"] for row in _rows(tmp_path) if "loss" in row] == [*range(1, 9)]


@pytest.mark.parametrize("origin", [None, _of_preset(None)])
def test_log_of_a_run_without_a_preset_is_of_steps_alone(
    tmp_path: Path, origin: Origin | None
) -> None:
    assert _fit(Line(), tmp_path, origin=origin) == 0
    assert not any("options" in row for row in _rows(tmp_path))
