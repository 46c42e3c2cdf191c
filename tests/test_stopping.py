"""Ctrl-C and SIGTERM while a network is trained: nothing is lost, and the checkpoint is weights."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

import train_syncnet
import train_wav2lip
from models import weights
from models.files import sha256
from models.syncnet import SyncNet
from models.wav2lip import SyncNetColor, Wav2Lip, Wav2LipConfig
from tests import train_kit
from tests.train_kit import SHORT, assert_same, kill_seed, run_main, write_noise
from training.loop import checkpoint as checkpoint_files
from training.loop import fit
from training.loop.distributed import Processes, largest
from training.loop.journal import Journal, read_rows
from training.loop.stopping import stopped_between_steps
from training.tasks import syncnet as syncnet_task

STEPS = 3
CLOCKS = (*train_kit.CLOCKS, "windows_per_s", "excerpts_per_s")


pytestmark = pytest.mark.usefixtures("small_training")


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tracks of two clips; runs cache them there."""
    root = tmp_path_factory.mktemp("made")
    write_noise(root / "tracks", clips=2, frames=75, seed=7)
    return root


def _run(tracks: Path, stage: str, folder: Path) -> tuple[Any, list[str]]:
    """The script and flags of three steps, saved at none but the last."""
    flags = [
        "--data",
        str(tracks / "tracks"),
        "--cache",
        str(tracks / "cache"),
        "--run",
        str(folder),
    ]
    flags += ["--device", "cpu", "--steps", str(STEPS), "--log_every", "1", "--warmup", "2"]
    if stage == "syncnet":
        return train_syncnet.main, [*flags, "--drawn", "0", "--excerpts", "2", "--refine_at", "2"]
    size = "12" if stage == "expert" else "1"
    flags += ["--stage", stage, "--batch_size", size, "--width", "0.02", "--teacher", "none"]
    return train_wav2lip.main, flags


def _signal_in_step(
    step: int, number: int, patch: pytest.MonkeyPatch, *, times: int = 1
) -> list[int]:
    """Sends this process a signal before the step that ends as `step`; returns when."""
    signals: list[int] = []

    def watched(original: Any) -> Any:
        def step_of_run(run: Any, *rest: Any, **options: Any) -> Any:
            if run.step == step - 1 and len(signals) < times:
                for _ in range(times):
                    signals.append(run.step)
                    os.kill(os.getpid(), number)
            return original(run, *rest, **options)

        return step_of_run

    patch.setattr(fit, "train_step", watched(fit.train_step))
    return signals


@pytest.mark.parametrize(
    ("number", "stage"),
    [
        (signal.SIGINT, "syncnet"),
        (signal.SIGTERM, "expert"),
        pytest.param(signal.SIGTERM, "syncnet", marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, "expert", marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, "generator", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, "generator", marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, "gan", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, "gan", marks=pytest.mark.slow),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_run_stopped_by_a_signal_keeps_its_last_step_and_goes_on_as_if_never_stopped(
    number: signal.Signals,
    stage: str,
    tracks: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The step in the making is finished and saved, though no --save_every was due."""
    step = kill_seed().randrange(1, STEPS)
    main, flags = _run(tracks, stage, tmp_path / "run")
    with monkeypatch.context() as patched:
        signals = _signal_in_step(step, number, patched)
        code, _, error = run_main(main, flags, capsys)
    assert code == 128 + number and signals == [step - 1]
    expected = f"stopped at step {step} of {STEPS}, which is saved: the same command goes on with"
    assert expected in error and f" step {step + 1}." in error and "Traceback" not in error
    state = checkpoint_files.load_checkpoint(tmp_path / "run" / "checkpoint.pt")
    assert state is not None and state.get("step", state.get("global_step")) == step
    code, output, _ = run_main(main, flags, capsys)
    assert code == 0 and f"resumed at step {step}" in output
    _, uninterrupted = _run(tracks, stage, tmp_path / "whole")
    assert main(uninterrupted) == 0
    one, other = (
        checkpoint_files.load_checkpoint(tmp_path / n / "checkpoint.pt") for n in ("run", "whole")
    )
    assert_same(one, other)
    rows = [read_rows(tmp_path / name / "train.jsonl") for name in ("run", "whole")]
    without_clocks = [
        [{k: v for k, v in r.items() if k not in CLOCKS} for r in part] for part in rows
    ]
    assert without_clocks[0] == without_clocks[1]


def test_a_second_run_in_a_folder_is_refused_while_the_first_goes_on(
    tracks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two would write one log and one checkpoint; what is there stays, and later it is welcome."""
    main, flags = _run(tracks, "generator", tmp_path)
    first = Journal(tmp_path, step=0, seconds=0.0, total_steps=STEPS)
    first.write(1, {"loss": 1.0})
    code, _, error = run_main(main, flags, capsys)
    assert code == 1 and error.count("\n") == 1
    assert error.startswith(f"error: Another run is training in {tmp_path}; ")
    assert [row["step"] for row in read_rows(tmp_path / "train.jsonl")] == [1]
    assert not (tmp_path / "checkpoint.pt").exists()
    first.close()
    assert run_main(main, flags, capsys)[0] == 0


def test_second_ctrl_c_does_not_wait_for_the_step(
    tracks: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing is saved then; a second SIGTERM waits like the first."""
    main, flags = _run(tracks, "syncnet", tmp_path / "run")
    with monkeypatch.context() as patched:
        _signal_in_step(2, signal.SIGINT, patched, times=2)
        code, _, error = run_main(main, flags, capsys)
    assert code == 130 and "stopped; run the same command again" in error
    assert not (tmp_path / "run" / "checkpoint.pt").exists()
    with monkeypatch.context() as patched:
        _signal_in_step(2, signal.SIGTERM, patched, times=2)
        assert run_main(main, flags, capsys)[0] == 143
    assert (tmp_path / "run" / "checkpoint.pt").exists()


def test_handlers_of_signals_are_restored_after_the_steps() -> None:
    """A signal that is ignored stays so: a run started with nohup or in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        terminated = signal.getsignal(signal.SIGTERM)
        with stopped_between_steps(say=False) as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.number == 0
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.number == signal.SIGTERM
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) == terminated
    finally:
        signal.signal(signal.SIGINT, before)


def test_processes_agree_on_the_signal_that_one_of_them_got(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The largest number of all, in all."""
    alone = Processes(0, 1, torch.device("cpu"))
    assert largest(15, alone) == 15

    def all_reduce(values: torch.Tensor, *, op: Any) -> None:
        assert op == torch.distributed.ReduceOp.MAX
        values.clamp_(min=15)

    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    assert largest(0, Processes(1, 2, torch.device("cpu"))) == 15


# A checkpoint as weights.


@pytest.fixture(scope="module")
def runs(tracks: Path) -> Path:
    """Checkpoints of one step of every stage, in folders named so."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Journal, "draw", lambda _: None)
        patched.setattr(syncnet_task, "SMALL", SHORT)
        for stage in ("syncnet", "expert", "gan"):
            main, flags = _run(tracks, stage, tracks / "runs" / stage)
            assert main([*flags, "--steps", "1", "--lr", "0.1"]) == 0
    return tracks / "runs"


@pytest.mark.parametrize("stage", ["syncnet", "expert", "gan"])
def test_checkpoint_of_a_run_is_weights_of_its_averaged_network(
    stage: str, runs: Path, cpu: torch.device
) -> None:
    """With the configuration it holds; named and digested as any file."""
    load, kind, config = {
        "syncnet": (weights.load_syncnet, SyncNet, SHORT),
        "expert": (weights.load_expert, SyncNetColor, Wav2LipConfig(0.02)),
        "gan": (weights.load_wav2lip, Wav2Lip, Wav2LipConfig(0.02)),
    }[stage]
    path = runs / stage / "checkpoint.pt"
    model, weights_file = load(path, device=cpu)
    state = checkpoint_files.load_checkpoint(path)
    assert state is not None and type(model) is kind and model.config == config
    assert_same(dict(model.state_dict()), dict(state["average"]))
    trained = state["lesson"] if stage == "syncnet" else state["state_dict"]
    prefix = "model." if stage == "syncnet" else ""
    changed = [k for k, v in state["average"].items() if not torch.equal(v, trained[prefix + k])]
    assert changed and weights_file.file == "checkpoint.pt" and weights_file.sha256 == sha256(path)


def test_checkpoint_with_a_best_network_is_weights_of_that(runs: Path, tmp_path: Path) -> None:
    """What --export would write."""
    state = checkpoint_files.load_checkpoint(runs / "syncnet" / "checkpoint.pt")
    assert state is not None
    best = {k: v + 1 if v.is_floating_point() else v for k, v in state["average"].items()}
    state["best"] = {"score": 0.5, "step": 1, "average": best}
    checkpoint_files.save_checkpoint(tmp_path / "checkpoint.pt", state)
    assert_same(weights.read_state(tmp_path / "checkpoint.pt"), best)


def test_training_scripts_take_checkpoints_of_runs_as_weights(
    runs: Path, tracks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--init, --expert and --teacher."""
    main, flags = _run(tracks, "syncnet", tmp_path / "syncnet")
    flags += ["--steps", "1"]
    code, output, error = run_main(
        main, [*flags, "--init", str(runs / "syncnet" / "checkpoint.pt")], capsys
    )
    assert code == 0 and "starts from checkpoint.pt" in output, error
    main, flags = _run(tracks, "generator", tmp_path / "generator")
    flags += ["--steps", "1", "--init", str(runs / "gan" / "checkpoint.pt")]
    flags += ["--expert", str(runs / "expert" / "checkpoint.pt")]
    flags += ["--teacher", str(runs / "syncnet" / "checkpoint.pt")]
    code, _, error = run_main(main, flags, capsys)
    assert code == 0, error


def test_checkpoint_of_another_network_is_refused_by_name(runs: Path, cpu: torch.device) -> None:
    """An expert's as SyncNet's weights and the other way round."""
    with pytest.raises(weights.WeightsError, match=r"checkpoint\.pt was made for another network"):
        weights.load_syncnet(runs / "expert" / "checkpoint.pt", device=cpu)
    with pytest.raises(weights.WeightsError, match=r"checkpoint\.pt was made for another network"):
        weights.load_wav2lip(runs / "syncnet" / "checkpoint.pt", device=cpu)
    with pytest.raises(weights.WeightsError, match=r"checkpoint\.pt does not fit Wav2Lip"):
        weights.load_wav2lip(runs / "expert" / "checkpoint.pt", device=cpu)
