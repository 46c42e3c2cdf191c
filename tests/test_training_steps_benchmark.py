"""The measurement of training steps: what takes turns, what is counted, when its bar is missed."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from models.device import native_precision
from pipeline import cli
from tests.benchmarks import training_steps


class _Network:
    """A step that takes so many seconds of a clock that is set by hand."""

    def __init__(self, patch: pytest.MonkeyPatch, fp32_s: list[float], bf16_s: list[float]) -> None:
        self.now, self.calls = 0.0, list[bool]()
        self.remaining_s = {False: list(fp32_s), True: list(bf16_s)}
        patch.setattr(training_steps.time, "process_time", lambda: self.now)

    def step(self, bf16: bool) -> None:
        self.calls.append(bf16)
        self.now += self.remaining_s[bf16].pop(0)


def test_precisions_take_turns_and_first_steps_do_not_count(
    monkeypatch: pytest.MonkeyPatch, cpu: torch.device
) -> None:
    """Medians of the others."""
    network = _Network(monkeypatch, [99, 1, 5, 2], [99, 10, 50, 20])
    times_s = training_steps.seconds_of(network.step, (False, True), steps=3, device=cpu)
    assert times_s == (2, 20) and network.calls == [False, True] * 4


@pytest.mark.parametrize(("units", "code"), [({}, 0), ({"avx512_bf16": True}, 1)])
def test_slow_precision_of_auto_misses_its_bar(
    units: dict[str, bool],
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Two steps of fp32 where auto is fp32; bf16 that takes ten times as long is a miss."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: units)
    threads = torch.get_num_threads()
    clock = _Network(monkeypatch, [], [])

    def make(*_: Any, **__: Any) -> Any:
        def step(bf16: bool) -> None:
            clock.now += 10.0 if bf16 else 1.0

        return step

    for name in ("syncnet_step", "expert_step", "generator_step"):
        monkeypatch.setattr(training_steps, name, make)
    flags = ["--device", "cpu", "--threads", str(threads), "--json", str(tmp_path / "found.json")]
    assert cli.run(lambda: training_steps.main(flags)) == code
    output = capsys.readouterr().out
    assert f"--precision auto is {native_precision(torch.device('cpu'))} on cpu" in output
    assert output.count("MISSED" if code else "ok") == 4
    table = json.loads((tmp_path / "found.json").read_text())
    assert table["gan"] == {"fp32_s": 1.0, "auto_s": 10.0 if code else 1.0}


@pytest.mark.slow
def test_steps_of_every_network_can_be_made(cpu: torch.device) -> None:
    """Small ones, in both precisions."""
    for step in (
        training_steps.syncnet_step(1, cpu),
        training_steps.expert_step(1, cpu),
        training_steps.generator_step(1, cpu, gan=True),
    ):
        row = step(False)
        assert isinstance(row, dict) and row["loss"] == row["loss"]
