"""What tests of the training scripts share: running, killing and sharing runs, comparing them."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from models.syncnet import SMALL
from pipeline import cli
from tests.conftest import REPO
from training.journal import read_rows

TINY = replace(  # a SyncNet that is trained in a moment, with the shape of the small one
    SMALL,
    lip_widths=(4, 4, 8, 8, 8, 16),
    audio_widths=(4, 4, 8, 8, 8, 16),
    embedding_size=16,
)
CLOCKS = ("seconds", "data_s")  # of a log row: another run takes another time


def said(
    main: Callable[[list[str]], int], flags: list[str], capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a script."""
    capsys.readouterr()
    code = cli.run(lambda: main(flags))
    shown = capsys.readouterr()
    return code, shown.out, shown.err


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
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            assert_same(left, right, f"{where}[{index}]")
    else:
        assert one == other, where


def kill_at(step: int, script: str, flags: list[str], log: Path, *, within_s: float) -> None:
    """Starts a run and kills it a moment of at most `within_s` after the log tells of `step`."""
    process = subprocess.Popen(
        [sys.executable, str(REPO / script), *flags], stdout=subprocess.DEVNULL
    )
    try:
        while process.poll() is None and not any(row["step"] >= step for row in read_rows(log)):
            time.sleep(0.01)
        time.sleep(random.SystemRandom().uniform(0, within_s))
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL


def torchrun(script: str, flags: list[str]) -> "subprocess.CompletedProcess[str]":
    """Two processes of a script."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    return subprocess.run(
        [*command, "--", str(REPO / script), *flags],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
