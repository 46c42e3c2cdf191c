"""train_wav2lip.py as a user runs it: killed, resumed, shared, exported, exchanged, and refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import train_wav2lip
from models import weights
from models.syncnet import SyncNet
from models.wav2lip import SyncNetColor, Wav2Lip, Wav2LipConfig
from pipeline.errors import InputError
from tests import train_kit
from tests.quick_wav2lip import spare
from tests.train_kit import (
    QUICK_WAV2LIP,
    SHORT,
    assert_same,
    kill_at,
    kill_seed,
    run_main,
    two_processes,
    write_noise,
)
from training.loop import checkpoint as checkpoint_files
from training.loop import fit
from training.loop.distributed import Processes
from training.loop.journal import read_rows
from training.loop.task import Run
from training.tasks import wav2lip as wav2lip_task
from training.tasks import wav2lip_options

FRAMES = 75  # of a clip: little more than an excerpt of the expert
NARROW = Wav2LipConfig(0.02)
STAGES = ("expert", "generator", "gan")
CLOCKS = (*train_kit.CLOCKS, "windows_per_s")


@pytest.fixture(autouse=True)
def few_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of this process report on little, and draw no curves: both take longer than steps."""
    spare(monkeypatch)


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data_dir with two face clips."""
    data_dir = tmp_path_factory.mktemp("tracks")
    write_noise(data_dir, clips=2, frames=FRAMES, seed=7)
    return data_dir


@pytest.fixture(scope="module")
def val(tracks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data_dir to report on: the second clip, in a folder of its own."""
    data_dir = tmp_path_factory.mktemp("val")
    shutil.copytree(tracks / "pycrop" / "noise001", data_dir / "pycrop" / "noise001")
    return data_dir


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Decoded clips of all runs here, and what SyncNet says of them."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def expert(cache: Path) -> Path:
    """Weights of an expert that knows nothing."""
    torch.manual_seed(3)
    weights.write_own(SyncNetColor(NARROW), cache / "expert.safetensors", config=NARROW)
    return cache / "expert.safetensors"


@pytest.fixture(scope="module")
def taught(cache: Path) -> Path:
    """Weights of a SyncNet to learn from, much smaller than the bundled one."""
    torch.manual_seed(4)
    weights.write_own(SyncNet(SHORT), cache / "teacher.safetensors", config=SHORT)
    return cache / "teacher.safetensors"


@pytest.fixture
def plain(tracks: Path, tmp_path: Path, cache: Path) -> list[str]:
    """Of a short run of any stage: a narrow network, two windows a step, all rows in the log."""
    return [
        *("--run", str(tmp_path / "run"), "--data", str(tracks), "--cache", str(cache)),
        *("--width", str(NARROW.width), "--batch_size", "2", "--teacher", "none"),
        *("--log_every", "1", "--warmup", "2", "--device", "cpu", "--steps", "1"),
    ]


@pytest.fixture
def flags(plain: list[str], expert: Path) -> list[str]:
    """Of a generator that has an expert."""
    return [*plain, "--stage", "generator", "--expert", str(expert)]


def _of_stage(stage: str, flags: list[str], teacher: Path | str = "none") -> list[str]:
    """The same for another stage; an expert gets two excerpts."""
    flags = [*flags, "--stage", stage, "--teacher", str(teacher)]
    return [*flags, "--batch_size", "24"] if stage == "expert" else flags


def _state(run: Path) -> dict[str, Any]:
    state = checkpoint_files.load_checkpoint(run / "checkpoint.pt")
    assert state is not None
    return state


def _rows(run: Path) -> list[dict[str, Any]]:
    rows = read_rows(run / "train.jsonl")
    return [{key: value for key, value in row.items() if key not in CLOCKS} for row in rows]


# Killed and resumed.


def _stop_at(step: int, flags: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Stops a run in the middle of a step, in this process."""
    original = fit.train_step

    def stopped(run: Run, *rest: Any, **options: Any) -> dict[str, float]:
        row = original(run, *rest, **options)
        if run.step == step:
            raise KeyboardInterrupt
        return row

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(fit, "train_step", stopped)
        train_wav2lip.main(flags)


@pytest.mark.parametrize(
    ("stage", "how"),
    [
        ("expert", "stopped"),
        ("generator", "stopped"),
        ("gan", "killed"),
        pytest.param("expert", "killed", marks=pytest.mark.slow),
        pytest.param("generator", "killed", marks=pytest.mark.slow),
    ],
)
def test_a_killed_and_resumed_run_equals_one_never_killed(
    stage: str,
    how: str,
    flags: list[str],
    taught: Path,
    val: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Network, average, optimisers, discriminator, translation, sync weight and log.

    After the first checkpoint, at 2, and, where the process is killed, well before the end.
    """
    flags = _of_stage(stage, [*flags, "--val", str(val)], taught)
    last = 6 if how == "killed" else 4
    flags += ["--steps", str(last), "--save_every", "2", "--eval_every", "3", "--sync_from", "1e9"]
    chance = kill_seed()
    broken, uninterrupted = tmp_path / "run", tmp_path / "whole"
    if how == "killed":
        step, after_s = chance.randrange(3, 5), chance.uniform(0, 0.05)
        print(f"killed at step {step}, {after_s:.3f} s later")
        kill_at(step, QUICK_WAV2LIP, flags, broken / "train.jsonl", after_s=after_s)
    else:
        step = chance.randrange(3, 5)
        print(f"stopped at step {step}")
        _stop_at(step, flags, monkeypatch)
    code, output, _ = run_main(train_wav2lip.main, flags, capsys)
    assert code == 0 and "resumed at step " in output
    assert train_wav2lip.main([*flags, "--run", str(uninterrupted)]) == 0
    one, other = _state(uninterrupted), _state(broken)
    assert_same(one, other)
    assert one["global_step"] == last and one["sync_weight"] == (0 if stage == "expert" else 0.03)
    assert one["translation"]
    for part in ("discriminator", "rival"):
        assert bool(one[part]) == (stage == "gan")
    assert _rows(uninterrupted) == _rows(broken)
    assert [row["step"] for row in _rows(broken) if "gradient" in row] == list(range(1, last + 1))
    judged = list(range(3, last + 1, 3))
    assert [row["step"] for row in _rows(broken) if "unseen loss" in row] == judged
    switched = [row["step"] for row in _rows(broken) if "sync_weight" in row]
    assert switched == ([] if stage == "expert" else [3])
    named = {"expert": "accuracy", "generator": "sync", "gan": "discriminator"}[stage]
    assert {named, "taught"} <= _rows(broken)[0].keys()


def test_generator_learns_from_its_default_teacher(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --teacher it is the SyncNet of run_syncnet.py; its share of the loss is trained."""
    at = flags.index("--teacher")
    code, output, _ = run_main(train_wav2lip.main, [*flags[:at], *flags[at + 2 :]], capsys)
    assert code == 0 and "2 of 2 clips" in output
    state = _state(tmp_path / "run")
    assert state["translation"]["weight"].shape[0] == 128
    (row,) = _rows(tmp_path / "run")
    assert -1 <= row["taught"] <= 1
    count = len(state["optimizer"]["param_groups"][0]["params"])
    assert count == sum(1 for _ in Wav2Lip(NARROW).parameters()) + 2  # and the translation's


def test_a_checkpoint_that_does_not_fit_is_refused(
    flags: list[str], taught: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another stage, width or teacher, a damaged file: one sentence that names the checkpoint."""
    assert train_wav2lip.main(flags) == 0
    path = tmp_path / "run" / "checkpoint.pt"
    before = path.read_bytes()
    for wrong in (["--stage", "gan"], ["--stage", "expert"], ["--width", "0.2"]):
        changed = (
            f"{wrong[0]} (was {'0.02' if wrong[0] == '--width' else 'generator'}, is {wrong[1]})"
        )
        code, _, error = run_main(
            train_wav2lip.main, [*flags, *wrong, "--batch_size", "12"], capsys
        )
        assert code == 2 and "checkpoint.pt was made with other options: " in error
        assert changed in error and "--batch_size (was 2, is 12)" in error
        assert error.count("\n") == 1 and path.read_bytes() == before
    path.write_bytes(before[:1000])
    code, _, error = run_main(train_wav2lip.main, flags, capsys)
    assert code == 2 and "checkpoint.pt is no checkpoint of this program" in error
    path.unlink()
    of_expert = _of_stage("expert", flags, taught)
    assert train_wav2lip.main(of_expert) == 0
    code, _, error = run_main(train_wav2lip.main, [*of_expert, "--teacher", "none"], capsys)
    assert code == 2 and "--teacher (was teacher.safetensors (SHA-256 " in error


# Several processes.


@pytest.mark.parametrize("stage", [pytest.param("expert", marks=pytest.mark.slow), "gan"])
def test_two_processes_train_as_one_does(
    stage: str, flags: list[str], taught: Path, val: Path, tmp_path: Path
) -> None:
    """Every part of the loss in every row within 1e-3, from an empty cache on.

    The expert's wrong pairs of other clips are those of each process's own share.
    """
    flags = _of_stage(
        stage, [*flags, "--sync_at", "1", "--precision", "fp32", "--steps", "2"], taught
    )
    flags += ["--batch_size", "48" if stage == "expert" else "2", "--warmup", "0"]
    flags += ["--val", str(val), "--eval_every", "2", "--lr", "1e-4"]
    # A ratio of contrasts and a norm, after a step of every weight: of 0.4 and 1, and of 0.8.
    bounds = {"detail": 0.01, "unseen detail": 0.01, "gradient": 0.15}
    if stage == "expert":
        flags += ["--lr", "1e-5"]  # other wrong pairs lead elsewhere, the faster the further
        bounds = {"gradient": 1.0, "loss": 0.1, "accuracy": 0.05, "taught": 0.02}
        bounds |= {"unseen loss": 0.1, "unseen accuracy": 0.05}
    single, shared = tmp_path / "single", tmp_path / "shared"
    assert train_wav2lip.main([*flags, "--run", str(single)]) == 0
    done = two_processes(
        QUICK_WAV2LIP, [*flags, "--run", str(shared), "--cache", str(tmp_path / "cache")]
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("2 of 2 clips") == 1
    one, other = _rows(single), _rows(shared)
    for row, too in zip(one, other, strict=True):
        assert row.keys() == too.keys()
        for name, value in row.items():
            assert too[name] == pytest.approx(value, abs=bounds.get(name, 1e-3)), (name, row)
    states = _state(single), _state(shared)
    for part in ("state_dict", "average", "discriminator"):
        for key, value in (states[0][part] or {}).items():
            apart = (value - states[1][part][key]).float().abs().mean()
            assert float(apart) < 1e-2, (part, key)


def test_a_batch_that_cannot_be_shared_is_refused(
    plain: list[str],
) -> None:
    """Before the processes' first step: one would have nothing to do."""
    parsed = train_wav2lip.build_parser().parse_args
    two = Processes(0, 2, torch.device("cpu"))
    for more, multiple in (
        (["--stage", "expert", "--batch_size", "36"], 24),
        (["--stage", "gan", "--batch_size", "3"], 2),
    ):
        options = wav2lip_options.TrainOptions(**vars(parsed([*plain, *more])))
        with pytest.raises(InputError, match=f"2 processes; give a multiple of {multiple}"):
            wav2lip_options.check_options(options, two)


# The expert that judges, and when it counts.


def test_the_expert_does_not_change_while_a_generator_learns(
    flags: list[str], expert: Path, val: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither weights nor running statistics; in eval mode at every call, without gradients."""
    called: list[bool] = []
    original = SyncNetColor.forward

    def watched(self: SyncNetColor, *batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        called.append(any(module.training for module in self.modules()))
        return original(self, *batch)

    runs: list[Run] = []
    step = fit.train_step

    def step_with_check(run: Run, *rest: Any, **options: Any) -> dict[str, float]:
        runs.append(run)
        return step(run, *rest, **options)

    monkeypatch.setattr(SyncNetColor, "forward", watched)
    monkeypatch.setattr(fit, "train_step", step_with_check)
    flags += ["--stage", "gan", "--val", str(val), "--eval_every", "2", "--sync_at", "0"]
    assert train_wav2lip.main([*flags, "--steps", "2"]) == 0
    assert len(called) == 2 + 2 and not any(called)  # of steps and of a report
    task = runs[-1].task
    assert isinstance(task, wav2lip_task.Wav2LipTask)
    module = task.module
    assert module.expert is not None and module.model.training
    assert_same(weights.read_state(expert), module.expert.state_dict())
    assert not any(p.requires_grad or p.grad is not None for p in module.expert.parameters())
    assert not any(key.startswith("expert") for key in module.state_dict())


def test_resumed_run_remembers_that_the_experts_loss_is_on(
    flags: list[str], val: Path, tmp_path: Path
) -> None:
    """On since its loss on --val was low; the resumed run does not ask again."""
    flags += ["--val", str(val), "--eval_every", "1", "--sync_weight", "0.1"]
    flags += ["--mouth_weight", "0", "--structure_weight", "0", "--detail_weight", "0"]
    flags += ["--taught_weight", "0"]  # the published loss
    assert train_wav2lip.main([*flags, "--sync_from", "1e9"]) == 0
    assert _state(tmp_path / "run")["sync_weight"] == 0.1
    assert train_wav2lip.main([*flags, "--sync_from", "1e9", "--steps", "2"]) == 0
    rows = [row for row in _rows(tmp_path / "run") if "l1" in row]
    for row, weight in zip(rows, (0, 0.1), strict=True):
        assert row["loss"] == pytest.approx((1 - weight) * row["l1"] + weight * row["sync"])


def test_a_generator_without_the_experts_loss_is_warned_of(
    plain: list[str], expert: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without an expert, or without anything that switches it on."""
    plain += ["--stage", "generator"]
    assert (
        "no --expert: the generator is trained without"
        in run_main(train_wav2lip.main, plain, capsys)[1]
    )
    with_expert = [*plain, "--expert", str(expert)]
    assert "neither --val nor --sync_at" in run_main(train_wav2lip.main, with_expert, capsys)[1]
    assert (
        "neither" not in run_main(train_wav2lip.main, [*with_expert, "--sync_at", "0"], capsys)[1]
    )


# What a run leaves.


def test_samples_show_reference_input_output_and_target(
    flags: list[str], val: Path, tmp_path: Path
) -> None:
    """A picture per report, a row for each window; the same faces every time."""
    flags += ["--val", str(val), "--eval_every", "1", "--steps", "2"]
    assert train_wav2lip.main(flags) == 0
    files = sorted((tmp_path / "run").glob("samples_*.png"))
    assert [file.name for file in files] == ["samples_000001.png", "samples_000002.png"]
    pictures = [cv2.imread(str(file), cv2.IMREAD_COLOR) for file in files]
    one, other = (np.stack(np.hsplit(np.asarray(picture), 4)) for picture in pictures)
    assert one.shape == (4, 2 * 96, 96, 3)
    rows = one.reshape(4, 2, 96, 96, 3)
    reference, masked_input, generated, target = rows
    assert not masked_input[:, 48:].any() and (masked_input[:, :48] == target[:, :48]).all()
    assert (reference != target).any() and (generated != target).any() and generated.std() > 0
    assert (one[[0, 1, 3]] == other[[0, 1, 3]]).all() and (one[2] != other[2]).any()


@pytest.mark.parametrize("stage", STAGES)
def test_export_loads_and_has_a_card(
    stage: str,
    flags: list[str],
    val: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    cpu: torch.device,
) -> None:
    """The averaged network, as pipeline and training load it; its card names what made it."""
    file = tmp_path / "new" / "own.safetensors"
    flags = _of_stage(stage, [*flags, "--export", str(file), "--val", str(val)])
    code, output, _ = run_main(train_wav2lip.main, flags, capsys)
    assert code == 0 and "2 of 2 clips, 0.1 minutes" in output and "no clip left out" in output
    load = weights.load_expert if stage == "expert" else weights.load_wav2lip
    model, weights_file = load(file, device=cpu)
    assert isinstance(model, SyncNetColor if stage == "expert" else Wav2Lip)
    assert model.config == NARROW
    average = _state(tmp_path / "run")["average"]
    for key, value in model.state_dict().items():
        assert torch.allclose(value, average[key], rtol=1e-3, atol=1e-6), key
    card = json.loads(file.with_suffix(".json").read_text())
    assert card["sha256"] == weights_file.sha256 and card["licence"].startswith("MIT")
    assert card["steps"] == 1 and card["minutes"] >= 0 and card["data"]["tracks"] == 2
    assert f"--stage {stage}" in card["command"] and f"--width {NARROW.width}" in card["command"]
    assert card["unseen_people"].keys() >= ({"accuracy"} if stage == "expert" else {"l1", "sync"})
    assert str(tmp_path) not in json.dumps(card)  # whose machine it was made on says nothing


# Published checkpoints.


@pytest.mark.parametrize(
    ("stage", "width"),
    [
        ("expert", NARROW.width),
        ("gan", NARROW.width),
        pytest.param("expert", 1.0, marks=pytest.mark.slow),
        pytest.param("generator", 1.0, marks=pytest.mark.slow),
    ],
)
def test_checkpoints_are_exchanged_with_published_ones(
    stage: str, width: float, plain: list[str], tmp_path: Path, cpu: torch.device
) -> None:
    """From the published dict with `module.` names into a run, and from its checkpoint back."""
    config = Wav2LipConfig(width)
    network = SyncNetColor if stage == "expert" else Wav2Lip
    torch.manual_seed(5)
    published = network(config).state_dict()
    wrapped = {f"module.{key}": value for key, value in published.items()}
    upstream = {"state_dict": wrapped, "optimizer": None, "global_step": 9, "global_epoch": 1}
    torch.save(upstream, tmp_path / "published.pth")
    init = [*plain, "--width", str(width), "--init", str(tmp_path / "published.pth")]
    init = _of_stage(stage, init)
    assert train_wav2lip.main([*init, "--teacher", "none", "--lr", "0"]) == 0
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    state = _state(tmp_path / "run")
    assert upstream.keys() <= state.keys() and state["global_step"] == 1
    again = network(config)
    weights.fill(again, checkpoint)
    assert_same(again.state_dict(), state["average"])
    assert list(again.state_dict()) == list(published)
    learned = [key for key in published if key.endswith(("weight", "bias"))]
    for key in learned:  # statistics of batches move even at a rate of 0
        assert torch.equal(published[key], again.state_dict()[key]), key
        assert torch.equal(published[key], state["average"][key]), key
    if width == 1.0:
        load = weights.load_expert if stage == "expert" else weights.load_wav2lip
        assert_same(load(checkpoint, device=cpu)[0].state_dict(), state["average"])


def test_weights_of_another_network_are_refused(
    flags: list[str], expert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An expert to start a generator from, a generator as the expert: the file is named."""
    code, _, error = run_main(train_wav2lip.main, [*flags, "--init", str(expert)], capsys)
    assert code == 2 and "expert.safetensors does not fit Wav2Lip: it lacks" in error
    generator = tmp_path / "generator.safetensors"
    weights.write_own(Wav2Lip(NARROW), generator, config=NARROW)
    code, _, error = run_main(train_wav2lip.main, [*flags, "--expert", str(generator)], capsys)
    assert code == 2 and "generator.safetensors does not fit SyncNetColor: it lacks" in error
    assert error.count("\n") == 1 and not (tmp_path / "run" / "checkpoint.pt").exists()
