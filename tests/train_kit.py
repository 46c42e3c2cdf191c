"""Shared by the tests of training scripts: running, killing, sharing and comparing runs."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
import torch

from models.device import torch_device
from models.features import SAMPLES_PER_FRAME
from models.syncnet import SMALL
from pipeline import cli
from pipeline.store.workspace import Workspace
from tests.conftest import REPO
from training.drawn_tracks import babble, write_track
from training.loop.journal import read_rows

TINY = replace(  # a SyncNet that is trained in a moment, with the shape of the small one
    SMALL,
    lip_widths=(4, 4, 8, 8, 8, 16),
    audio_widths=(4, 4, 8, 8, 8, 16),
    embedding_size=16,
)
SHORT = replace(TINY, context_s=0.96)  # and of excerpts of 24 frames, in which it sees six windows
WHOLE_SYNCNET = [str(REPO / "train_syncnet.py")]
QUICK_WAV2LIP = ["-m", "tests.quick_wav2lip"]
LONGEST_WAIT_S = 120
CLOCKS = ("seconds", "data_s")  # of a log row: another run takes another time


def watch_devices(patch: pytest.MonkeyPatch) -> list[str]:
    """The names of devices that are asked for from now on, all of which are the CPU."""
    names: list[str] = []
    real = torch_device

    def device(name: str | torch.device) -> torch.device:
        if isinstance(name, str):  # else it has been asked for before
            names.append(name)
        return torch.device("cpu")

    for module in [*sys.modules.values()]:
        if getattr(module, "torch_device", None) is real:
            patch.setattr(module, "torch_device", device)
    return names


def run_main(
    main: Callable[[list[str]], int], flags: list[str], capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a script."""
    capsys.readouterr()
    code = cli.run(lambda: main(flags))
    output = capsys.readouterr()
    return code, output.out, output.err


def refusal(
    main: Callable[[list[str]], int], flags: list[str], capsys: pytest.CaptureFixture[str]
) -> str:
    """The one line of a script that must end with exit code 2."""
    code, _, error = run_main(main, flags, capsys)
    assert code == 2 and error.count("\n") == 1, error
    return error


def assert_same(one: Any, other: Any, where: str = "state") -> None:
    """Two checkpoints are equal, bit by bit."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            if key not in CLOCKS:
                assert_same(one[key], other[key], f"{where}[{key!r}]")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for index, (one_item, right) in enumerate(zip(one, other, strict=True)):
            assert_same(one_item, right, f"{where}[{index}]")
    else:
        assert one == other, where


def kill_seed() -> random.Random:
    """Chance of a kill: KILL_SEED of the environment repeats it; a failure shows it."""
    seed = int(os.environ.get("KILL_SEED", random.SystemRandom().randrange(10**6)))
    print(f"KILL_SEED={seed}")
    return random.Random(seed)


def kill_at(
    step: int, program: list[str], flags: list[str], log: Path, *, after_s: float = 0.0
) -> None:
    """Starts a run and kills it `after_s` after its log has `step`."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, *program, *flags], stdout=subprocess.DEVNULL, stderr=errors
        )
        try:
            give_up_s = time.monotonic() + LONGEST_WAIT_S
            while not any(row["step"] >= step for row in read_rows(log)):
                assert process.poll() is None, _stderr_of(errors)
                assert time.monotonic() < give_up_s, f"no step {step} in {LONGEST_WAIT_S} s"
                time.sleep(0.01)
            time.sleep(after_s)
            process.send_signal(signal.SIGKILL)
        finally:
            process.kill()
            code = process.wait(timeout=LONGEST_WAIT_S)
        assert code == -signal.SIGKILL, _stderr_of(errors)


def _stderr_of(errors: IO[bytes]) -> str:
    errors.seek(0)
    return f"ended by itself: {errors.read()[-2000:]!r}"


def two_processes(program: list[str], flags: list[str]) -> "subprocess.CompletedProcess[str]":
    """Two processes of a script, as torchrun starts them."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    return subprocess.run(
        [*command, "--", *program, *flags],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * LONGEST_WAIT_S,
    )


def write_noise(data_dir: Path, *, clips: int, frames: int, seed: int) -> None:
    """Writes face tracks of blurry noise with loud sound, a video each."""
    for number in range(clips):
        rng = np.random.default_rng((seed, number))
        work = Workspace(data_dir, f"noise{number:03d}")
        work.folder("pycrop").mkdir(parents=True)
        small = rng.integers(0, 255, (frames, 14, 14, 3), dtype=np.uint8)
        sound = rng.integers(-9000, 9000, frames * SAMPLES_PER_FRAME, dtype=np.int16)
        write_track(work.crop(0), small.repeat(16, axis=1).repeat(16, axis=2), sound)


SCORES = {"low confidence": "0\t0.2", "far": "12\t5.2"}  # offset and confidence in offsets.txt


def unusable_data(kind: str, folder: Path, *, short_frames: int) -> Path:
    """A data_dir that cannot be trained on; `short_frames` is the length of a "short" clip."""
    work = Workspace(folder, "talk")
    if kind != "missing":
        folder.mkdir()
    if kind in ("missing", "no pycrop"):
        return folder
    work.folder("pycrop").mkdir(parents=True)
    frames = short_frames if kind == "short" else 30
    pictures = np.zeros((frames, 224, 224, 3), np.uint8)
    sound = babble(np.random.default_rng(1), seconds=frames / 25)
    if kind == "broken":
        work.crop(0).write_bytes(b"RIFF")
    elif kind != "empty":
        write_track(work.crop(0), pictures, sound[: 0 if kind == "silent" else None])
    if kind in SCORES:
        work.folder("pywork").mkdir(parents=True)
        work.offsets_text.write_text(f"FILENAME\tOFFSET\tCONF\n00000.avi\t{SCORES[kind]}\n")
    return folder
