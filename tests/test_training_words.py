"""Output of a training run: before its first step, during it, and at its end."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import train_syncnet
import train_wav2lip
from models import weights
from models.files import sha256
from models.syncnet import SyncNet
from models.wav2lip import SyncNetColor, Wav2Lip, Wav2LipConfig
from tests.train_kit import SHORT, run_main, write_noise
from training.loop import journal
from training.loop.journal import Beginning, Journal

RUN = Path("RUN")


pytestmark = pytest.mark.usefixtures("small_training")


def _beginning(**changed: Any) -> list[str]:
    fields: dict[str, Any] = {
        "network": "SyncNet",
        "parameters": 1_234_567,
        "device": "cpu",
        "precision": "fp32",
    }
    fields |= {"clips": 3, "videos": {"a", "b"}, "minutes": 200.0}
    return Beginning(**(fields | changed)).lines(RUN)


def test_beginning_names_network_device_precision_clips_videos_minutes_and_files() -> None:
    """Three lines where nothing is wrong."""
    assert _beginning() == [
        "SyncNet, 1,234,567 parameters, on cpu, precision fp32",
        "3 clips of 2 videos, 200.0 minutes",
        f"{RUN / 'train.jsonl'} holds every number, {RUN / 'curves.png'} shows them",
    ]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"videos": {"a"}}, ["WARNING: all clips are of one video."]),
        ({"minutes": 29.9}, ["WARNING: 29.9 minutes are too few"]),
        ({"minutes": 30.0}, []),
        (
            {"videos": {"a"}, "minutes": 0.2},
            ["WARNING: all clips are of one video.", "WARNING: 0.2 minutes are too few"],
        ),
    ],
)
def test_run_that_cannot_generalise_is_warned_of(changed: dict[str, Any], words: list[str]) -> None:
    """One person, or minutes of data."""
    warnings = [line for line in _beginning(**changed) if line.startswith("WARNING")]
    assert len(warnings) == len(words)
    assert all(line.startswith(word) for line, word in zip(warnings, words, strict=True))


def test_one_clip_is_not_1_clips() -> None:
    assert _beginning(clips=1, videos={"a"})[1] == "1 clip of 1 video, 200.0 minutes"


class _Clock:
    """A clock that is set by hand."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 50.0
        patch.setattr(journal.time, "monotonic", lambda: self.now)


@pytest.mark.parametrize(
    ("step_s", "step_told", "words"),
    [
        (2.0, 3, "about 3.9 hours to go: 6997 steps of 2 s, and reports"),
        (0.01, 3, "about 1 min to go: 6997 steps of 0.01 s, and reports"),
        (0.001, 3, "less than a minute to go: 6997 steps of 0.001 s, and reports"),
        (12.0, 1, "about 23.3 hours to go: 6999 steps of 12 s, and reports"),
    ],
)
def test_estimate_comes_once_after_the_first_steps(
    step_s: float,
    step_told: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """After the third, or the first where a step takes long; not of steps of an earlier session."""
    clock = _Clock(monkeypatch)
    log = Journal(tmp_path, step=100, seconds=9.0, total_steps=7100)
    for step in range(1, 6):
        clock.now += step_s
        log.estimate(100 + step)
        output = capsys.readouterr().out
        assert output == (words + "\n" if step == step_told else ""), step


def test_screen_shows_what_matters_and_the_log_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No seconds waited for data, no norm of the gradient; minutes left until the last step."""
    clock = _Clock(monkeypatch)
    log = Journal(tmp_path, step=0, seconds=0.0, total_steps=4)
    for step, seconds in ((1, 100.0), (3, 20.0), (4, 5.0)):
        clock.now += seconds
        log.write(step, {"loss": 0.5, "gradient": 2.0, "data_s": 0.1})
    assert capsys.readouterr().out.splitlines() == [
        "step 1/4  loss 0.5  (5 min left)",
        "step 3/4  loss 0.5  (<1 min left)",
        "step 4/4  loss 0.5",
    ]
    assert journal.read_rows(tmp_path / "train.jsonl")[0].keys() >= {"gradient", "data_s", "loss"}


# Of whole runs.


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tracks of two videos, and a small SyncNet to learn from."""
    root = tmp_path_factory.mktemp("made")
    write_noise(root / "tracks", clips=2, frames=75, seed=7)
    torch.manual_seed(1)
    weights.write_own(SyncNet(SHORT), root / "teacher.safetensors", config=SHORT)
    return root


def _flags(tracks: Path, tmp_path: Path, *more: Any) -> list[str]:
    flags = ["--data", tracks / "tracks", "--cache", tracks / "cache", "--run", tmp_path / "run"]
    flags += ["--device", "cpu", "--precision", "fp32", "--steps", 1, "--log_every", 1, *more]
    return [str(flag) for flag in flags]


def test_run_of_syncnet_prints_its_beginning_and_its_end(
    tracks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Network and a guess before the first step; then that the checkpoint is weights; --export."""
    flags = _flags(tracks, tmp_path, "--drawn", 0, "--excerpts", 2, "--refine_at")
    code, output, error = run_main(train_syncnet.main, flags, capsys)
    assert code == 0, error
    count = sum(p.numel() for p in SyncNet(SHORT).parameters())
    before, _, after = output.partition("step 1/1")
    run = tmp_path / "run"
    for words in (
        f"SyncNet of 48 px lips, {count:,} parameters, on cpu, precision fp32",
        "2 clips of 2 videos, 0.1 minutes",
        f"{run / 'train.jsonl'} holds every number, {run / 'curves.png'} shows them",
        "WARNING: 0.1 minutes are too few",
        "a guess gives an accuracy of 0.167 and a loss of 1.79",
    ):
        assert words in before, words
    assert f"{run / 'checkpoint.pt'} holds the weights, and --initial_model of run_sync" in after
    file = tmp_path / "own.safetensors"
    code, output, _ = run_main(train_syncnet.main, [*flags, "--export", str(file)], capsys)
    assert code == 0 and f"{file} written; the model card is own.json beside it" in output
    assert f"next: python run_syncnet.py --initial_model {file} --videofile VIDEO" in output
    card = json.loads(file.with_suffix(".json").read_text())
    assert card["precision"] == "fp32" and "--precision fp32" in card["command"]
    assert "--refine_at --excerpts " in card["command"] and card["weights_used"] == {}


@pytest.mark.parametrize(("steps", "silent"), [(1, True), (2, False)])
def test_expert_without_pairs_is_warned_of(
    steps: int, silent: bool, tracks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the first step that none will be for a while, at the end that none was."""
    flags = _flags(tracks, tmp_path, "--stage", "expert", "--batch_size", 12, "--width", 0.02)
    flags += ["--teacher", str(tracks / "teacher.safetensors"), "--taught_steps", "1"]
    flags += ["--steps", str(steps), "--export", str(tmp_path / "own.safetensors")]
    code, output, error = run_main(train_wav2lip.main, flags, capsys)
    assert code == 0, error
    assert "expert of width 0.02, " in output
    assert "up to step 1 the expert learns from --teacher alone: accuracy stays at chance" in output
    assert ("WARNING: this expert has been trained on no pair" in output) == silent
    assert "next: python train_wav2lip.py --stage generator --expert " in output
    card = json.loads((tmp_path / "own.json").read_text())
    digest = sha256(tracks / "teacher.safetensors")
    assert card["weights_used"] == {"teacher": f"teacher.safetensors (SHA-256 {digest[:12]})"}


def test_run_of_a_generator_says_that_the_experts_loss_is_off(
    tracks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], cpu: torch.device
) -> None:
    """And where its weights are."""
    narrow = Wav2LipConfig(0.02)
    weights.write_own(SyncNetColor(narrow), tmp_path / "expert.safetensors", config=narrow)
    flags = _flags(tracks, tmp_path, "--stage", "generator", "--batch_size", 1, "--width", 0.02)
    flags += ["--teacher", "none", "--expert", str(tmp_path / "expert.safetensors")]
    code, output, error = run_main(train_wav2lip.main, flags, capsys)
    assert code == 0, error
    assert "sync is the expert's loss: reported, with weight 0 until it is switched" in output
    assert "--checkpoint of run_wav2lip.py takes it; the same command with --export" in output
    code, output, _ = run_main(train_wav2lip.main, [*flags, "--sync_at", "-1"], capsys)
    assert code == 0 and "generator of width" not in output  # nothing is left to begin
    model, _ = weights.load_wav2lip(tmp_path / "run" / "checkpoint.pt", device=cpu)
    assert type(model) is Wav2Lip and model.config == narrow


def test_tensorboard_drops_what_a_killed_run_wrote_after_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers of the checkpoint's own step stay: the run goes on with the next one."""
    opened: list[tuple[str, int]] = []
    board: Any = SimpleNamespace(
        SummaryWriter=lambda folder, *, purge_step: opened.append((folder, purge_step))
    )
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", board)
    journal._tensorboard(tmp_path, step=7)
    assert opened == [(str(tmp_path), 8)]
