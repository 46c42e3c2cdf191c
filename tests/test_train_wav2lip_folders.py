"""train_wav2lip.py given folders and flags of all kinds: what it refuses, what it leaves out."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import wavfile

import train_wav2lip
from pipeline.store.workspace import Workspace
from tests.conftest import REPO
from tests.quick_wav2lip import spare
from tests.train_kit import refusal, run_main, unusable_data, write_noise
from training.drawn_tracks import babble, write_track
from training.loop.journal import read_rows


@pytest.fixture
def flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Of one step of a narrow generator; the data is still to be named. No curves are drawn."""
    spare(monkeypatch)
    return [
        *("--run", str(tmp_path / "run"), "--cache", str(tmp_path / "cache"), "--steps", "1"),
        *("--data", str(tmp_path / "data"), "--stage", "generator", "--width", "0.02"),
        *("--batch_size", "2", "--log_every", "1", "--device", "cpu", "--teacher", "none"),
    ]


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("missing", "data is not a folder; give a data_dir of run_pipeline.py."),
        ("no pycrop", "data has no pycrop folder; there is nothing in it; run run_pipeline.py on"),
        ("empty", "data; run run_pipeline.py first."),
        ("broken", "None of 1 face clips can be used: data/talk/00000: unreadable ("),
        ("silent", "None of 1 face clips can be used: data/talk/00000: no sound."),
        ("short", "No clip is long enough for a window; 1 clips left out (1 too short): data/talk"),
        ("far", "data/talk/00000: too far apart (480 ms); lower --min_confidence or"),
    ],
)
def test_unusable_data_is_named_before_the_first_step(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, sentence: str
) -> None:
    """One sentence, exit code 2, no checkpoint and no log."""
    unusable_data(kind, tmp_path / "data", short_frames=8)
    assert sentence in refusal(train_wav2lip.main, flags, capsys)
    assert not list((tmp_path / "run").glob("*"))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (["--steps", "0"], "--steps must be at least 1"),
        (["--eval_every", "0"], "--eval_every must be at least 1"),
        (["--seed", "-1"], "--seed must not be negative"),
        (["--width", "0"], "--width is above 0"),
        (["--average", "1"], "--average 0 to below 1"),
        (["--sync_weight", "0.99"], "--sync_weight and --adversarial_weight are shares of 1"),
        (["--export", "own.pt"], "must end in .safetensors"),
        (["--run", "README.md"], "is a file; give a folder"),
        (["--init", "nowhere.pt"], "nowhere.pt is not a file"),
        (["--expert", "nowhere.pt"], "nowhere.pt is not a file"),
        (["--filelists", "nowhere"], "nowhere/train.txt cannot be read (No such file"),
        (["--device", "tpu9"], "Invalid --device ('tpu9'); supported: auto, cpu"),
    ],
)
def test_flags_that_make_no_run_are_refused(
    flags: list[str],
    wrong: list[str],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before anything is read or written."""
    monkeypatch.chdir(REPO)
    assert sentence in refusal(train_wav2lip.main, [*flags, *wrong], capsys)


def test_training_goes_on_without_a_broken_clip(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A crop that is no video and one too short for an excerpt are named."""
    write_noise(tmp_path / "data", clips=2, frames=75, seed=7)
    work = Workspace(tmp_path / "data", "noise001")
    work.crop(1).write_bytes(b"RIFF, and then nothing")
    write_track(
        work.crop(2),
        np.zeros((50, 224, 224, 3), np.uint8),
        np.tile(np.array([900, -900], np.int16), 25 * 640),
    )
    code, output, _ = run_main(train_wav2lip.main, [*flags, "--stage", "expert"], capsys)
    assert code == 0 and "2 of 4 clips" in output
    assert "2 clips left out (1 unreadable, 1 too short): data/noise001/00001: unread" in output
    assert "data/noise001/00002: too short (50 frames)" in output


def test_a_preprocessed_root_is_trained_on_as_it_is(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its file lists: train.txt to learn from, val.txt to report on; a lost video is named."""
    rng = np.random.default_rng(1)
    for name in ("anna/00001", "carl/00001"):
        folder = tmp_path / "pre" / name
        folder.mkdir(parents=True)
        for number in range(75):
            picture = rng.integers(0, 255, (12, 10, 3), np.uint8)
            cv2.imwrite(str(folder / f"{number}.jpg"), cv2.resize(picture, (90 + number % 5, 110)))
        wavfile.write(folder / "audio.wav", 16_000, babble(rng, seconds=3.0))
    (tmp_path / "train.txt").write_text("anna/00001\nanna/00002\n")
    (tmp_path / "val.txt").write_text("carl/00001\n")
    flags += ["--data", str(tmp_path / "pre"), "--filelists", str(tmp_path), "--eval_every", "1"]
    for stage in ("expert", "generator"):
        run = tmp_path / stage
        code, output, _ = run_main(
            train_wav2lip.main,
            [*flags, "--stage", stage, "--teacher", "auto", "--run", str(run)],
            capsys,
        )
        assert code == 0 and "1 of 2 clips" in output
        assert "pre/anna/00002: unreadable (no pictures in" in output
        rows = read_rows(run / "train.jsonl")
        assert [row["step"] for row in rows if "unseen loss" in row] == [1]
    code, _, error = run_main(
        train_wav2lip.main, [*flags, "--data", str(tmp_path / "pre" / "anna")], capsys
    )
    assert code == 2 and "anna has no pycrop folder" in error
