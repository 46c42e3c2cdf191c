"""Damaged copies of real clips through the four scripts: right results or one sentence."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPO
from tests.mutation_kit import MUTATIONS, boxes, mutated

COPIES, RUNS = 24, 2  # side by side


def _measured(first: int, folder: Path) -> dict[str, Any]:
    report = folder / f"{first}.json"
    counts = ("--count", str(COPIES // RUNS), "--first", str(first), "--every", "4")
    command = [sys.executable, "-m", "tests.benchmarks.mutations", *counts, "--json", str(report)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert report.is_file(), done.stderr
    return dict(json.loads(report.read_text()))


@pytest.mark.timeout(900)  # half a minute on two idle cores
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_two_dozen_damaged_copies(tmp_path: Path) -> None:
    """No traceback, hang, half-written result, left process, or 1.5 GB; both ends do occur."""
    firsts = range(0, COPIES, COPIES // RUNS)
    with ThreadPoolExecutor(RUNS) as pool:
        runs = list(pool.map(lambda first: _measured(first, tmp_path), firsts))
    cases = [case for run in runs for case in run["cases"]]
    assert len(cases) == COPIES
    assert {case["seed"]: case["faults"] for case in cases if case["faults"]} == {}
    assert all(run["met"] for run in runs)
    usable = [case for case in cases if not any(case["codes"])]
    assert COPIES / 4 < len(usable) < COPIES, (
        "the damage is too great or too small to tell anything"
    )
    assert any(case["codes"] == [0, 0, 0, 0] for case in usable)


def test_damage_is_the_same_for_the_same_seed(face_clip: Path) -> None:
    """So that what failed can be looked at; and no kind leaves the file as it was."""
    data = face_clip.read_bytes()
    kinds = [box.kind for box in boxes(data)]
    assert {b"ftyp", b"moov", b"mdat", b"stts", b"stsz"} <= set(kinds)
    for seed in range(len(MUTATIONS)):
        name, copy = mutated(data, seed)
        assert (name, copy) == mutated(data, seed) and name == MUTATIONS[seed].__name__
        assert copy != data
