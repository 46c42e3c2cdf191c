"""Presets of the generators, trained on drawn heads: they learn, resume to the bit, and export."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import train_wav2lip
from models import weights
from models.speech2vid import Speech2Vid, Speech2VidConfig
from models.syncnet import SyncNet
from models.wav2lip import SyncNetColor, Wav2Lip, Wav2LipConfig
from tests.quick_wav2lip import spare
from tests.train_kit import CLOCKS, SHORT, assert_same, refusal, run_main
from training import evaluate_mouths
from training.drawn_tracks import write_tracks
from training.loop import checkpoint as checkpoint_files
from training.loop import fit
from training.loop.journal import read_rows
from training.loop.task import Run

PRESETS = ("speech2vid", "lipgan_style", "wav2lip", "wav2lip_gan")
NARROW = Wav2LipConfig(0.02)
SECONDS = 3.0
FEW, MANY = 24, 200  # steps


@pytest.fixture(autouse=True)
def few_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small reports, and no curves: both take longer than steps."""
    spare(monkeypatch)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`drawn`, a data_dir with two heads, one in `val`; weights of an expert and a SyncNet."""
    root = tmp_path_factory.mktemp("drawn")
    write_tracks(root / "drawn", clips=2, seconds=SECONDS, seed=1)
    write_tracks(root / "val", clips=1, seconds=SECONDS, seed=2)
    torch.manual_seed(3)
    weights.write_own(SyncNetColor(NARROW), root / "expert.safetensors", config=NARROW)
    weights.write_own(SyncNet(SHORT), root / "judge.safetensors", config=SHORT)
    return root


def _flags(folder: Path, run: Path, preset: str, steps: int) -> list[str]:
    """A preset, much smaller and faster; its judges know nothing."""
    flags = ["--preset", preset, "--data", str(folder / "drawn"), "--run", str(run)]
    flags += ["--cache", str(folder / "cache"), "--steps", str(steps), "--lr", "3e-3"]
    flags += ["--width", "0.03", "--batch_size", "2", "--log_every", "1", "--average", "0.9"]
    flags += ["--workers", "0", "--device", "cpu", "--precision", "fp32", "--save_every", "9"]
    if preset == "speech2vid":
        return [*flags, "--teacher", str(folder / "judge.safetensors")]
    if preset == "lipgan_style":
        return flags
    return [*flags, "--expert", str(folder / "expert.safetensors"), "--sync_at", "5"]


def _stopped(flags: list[str], step: int) -> None:
    """A run that is stopped in the middle of a step."""
    original = fit.train_step

    def stopped(run: Run, *rest: Any, **options: Any) -> dict[str, float]:
        row = original(run, *rest, **options)
        if run.step == step:
            raise KeyboardInterrupt
        return row

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(fit, "train_step", stopped)
        train_wav2lip.main(flags)


@pytest.mark.parametrize(
    ("preset", "steps"),
    [
        ("speech2vid", FEW),
        *[pytest.param(preset, MANY, marks=pytest.mark.slow) for preset in PRESETS],
    ],
)
def test_preset_trains_resumes_and_its_loss_falls(
    preset: str, steps: int, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stopped at two thirds it ends as if it had not been: weights, optimisers, average, log."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert train_wav2lip.main(_flags(folder, whole, preset, steps)) == 0
    flags = _flags(folder, broken, preset, steps)
    _stopped(flags, 2 * steps // 3)
    code, output, _ = run_main(train_wav2lip.main, flags, capsys)
    assert code == 0 and f"resumed at step {2 * steps // 3 // 9 * 9}" in output
    one_state, other_state = (
        checkpoint_files.load_checkpoint(run / "checkpoint.pt") for run in (whole, broken)
    )
    assert_same(one_state, other_state)
    clocks = (*CLOCKS, "windows_per_s")
    one, other = (
        [
            {name: value for name, value in row.items() if name not in clocks}
            for row in read_rows(run / "train.jsonl")
        ]
        for run in (whole, broken)
    )
    assert one == other
    l1 = [row["l1"] for row in one if "l1" in row]
    assert len(l1) == steps
    assert np.mean(l1[-steps // 4 :]) < (0.9 if steps == FEW else 0.7) * np.mean(l1[: steps // 4])


def test_speech2vids_loss_is_that_of_pixels_and_of_its_judge(folder: Path, tmp_path: Path) -> None:
    """The shares that --sync_weight says; the judge is no part of the checkpoint, nor changed."""
    flags = [*_flags(folder, tmp_path, "speech2vid", 3), "--sync_weight", "0.3"]
    assert train_wav2lip.main(flags) == 0
    for row in read_rows(tmp_path / "train.jsonl"):
        if "l1" in row:
            assert row["loss"] == pytest.approx(0.7 * row["l1"] + 0.3 * row["sync"], rel=1e-5)
    state = checkpoint_files.load_checkpoint(tmp_path / "checkpoint.pt")
    assert state is not None and state["sync_weight"] == 0.3
    assert state["discriminator"] is state["translation"] is None
    assert json.loads(state["config"]) == {
        "width": 0.03,
        "separate_voice": False,
        "network": "speech2vid",
    }


def test_speech2vid_without_a_judge_is_warned_of_and_trained(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [*_flags(folder, tmp_path, "speech2vid", 1), "--teacher", "none"]
    code, output, _ = run_main(train_wav2lip.main, flags, capsys)
    assert code == 0 and "no --teacher: the generator is trained without a loss on sync" in output
    (row,) = [row for row in read_rows(tmp_path / "train.jsonl") if "l1" in row]
    assert row["loss"] == pytest.approx(row["l1"]) and "sync" not in row


def test_speech2vid_is_exported_reported_on_and_evaluated(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    cpu: torch.device,
) -> None:
    """Pictures and losses of other people; a card; its checkpoint is a weights file, too."""
    file = tmp_path / "mine.safetensors"
    flags = [*_flags(folder, tmp_path / "run", "speech2vid", 2), "--export", str(file)]
    flags += ["--val", str(folder / "val"), "--eval_every", "2"]
    code, output, _ = run_main(train_wav2lip.main, flags, capsys)
    assert code == 0 and "Speech2Vid of width 0.03" in output
    assert (tmp_path / "run" / "samples_000002.png").is_file()
    card = json.loads(file.with_suffix(".json").read_text())
    assert card["network"] == "Speech2Vid (models/speech2vid.py), width 0.03"
    assert card["unseen_people"].keys() >= {"l1", "sync"}
    assert "judge.safetensors" in card["weights_used"]["teacher"]
    for path in (file, tmp_path / "run" / "checkpoint.pt"):
        model, _ = weights.load_wav2lip(path, device=cpu)
        assert isinstance(model, Speech2Vid) and model.config == Speech2VidConfig(0.03)
    monkeypatch.setattr(evaluate_mouths, "FOREIGN_S", 1)
    words = ["--data", str(folder / "drawn"), "--checkpoint", str(file), "--device", "cpu"]
    assert evaluate_mouths.main([*words, "--json", str(tmp_path / "figures.json")]) == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["generator"] == "mine.safetensors" and figures["foreign_sound_clips"] == 2
    assert 0 < figures["l1"] < 0.6 and figures["lse_d"] > 0


def test_speech2vid_refuses_what_it_cannot_use(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An expert, weights of a Wav2Lip, a checkpoint of one, a folder without crops."""
    flags = _flags(folder, tmp_path / "run", "speech2vid", 1)
    expert = ["--expert", str(folder / "expert.safetensors")]
    assert "is judged by a SyncNet, --teacher" in refusal(
        train_wav2lip.main, [*flags, *expert], capsys
    )
    weights.write_own(Wav2Lip(NARROW), tmp_path / "wav2lip.safetensors", config=NARROW)
    init = ["--init", str(tmp_path / "wav2lip.safetensors")]
    assert "does not fit Speech2Vid" in refusal(train_wav2lip.main, [*flags, *init], capsys)
    assert train_wav2lip.main(_flags(folder, tmp_path / "run", "lipgan_style", 1)) == 0
    assert "checkpoint.pt was made with other options: --stage (was generator, is speech2vid" in (
        refusal(train_wav2lip.main, flags, capsys)
    ).replace("--preset (was lipgan_style, is speech2vid), ", "")
    (tmp_path / "pre" / "a" / "0").mkdir(parents=True)
    (tmp_path / "pre" / "a" / "0" / "audio.wav").touch()
    (tmp_path / "pre" / "a" / "0" / "0.jpg").touch()
    preprocessed = [*_flags(folder, tmp_path / "other", "speech2vid", 1)]
    preprocessed += ["--data", str(tmp_path / "pre")]
    assert "no crops for a SyncNet to judge" in refusal(train_wav2lip.main, preprocessed, capsys)


def test_faces_without_lips_for_the_judge_are_left_out(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the cache has room for the faces of both and the lips of one: said, with a reason."""
    faces = 2 * (75 * 3 * 110 * 110 + 75 * 640 * 2)
    lips = 75 * 48 * 48 + 75 * 640 * 2
    flags = _flags(folder, tmp_path / "run", "speech2vid", 1)
    flags += ["--cache", str(tmp_path / "cache"), "--cache_gb", str((faces + 1.5 * lips) / 1e9)]
    code, output, _ = run_main(train_wav2lip.main, flags, capsys)
    assert code == 0 and "1 of 2 clips" in output and "cache full" in output
