"""Names that are not UTF-8, and letters that a terminal lacks: written readably."""

import io
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from models import weights
from models.weights import WeightsFile
from pipeline.readable import READABLE, print_readably
from pipeline.store import provenance
from pipeline.store.files import json_text, write_json, write_text
from pipeline.store.workspace import Workspace
from pipeline.sync.scorer import SyncScorer
from pipeline.sync.stage import score_tracks
from tests.conftest import REPO, Script
from tests.dub_kit import (
    LEFT,
    MouthShowsSound,
    make_film,
    make_wav,
    run_dub,
    still_track,
    workspace_of,
)

ODD = os.fsdecode(b"caf\xe9.mp4")  # Latin-1, as old disks and archives have it


def test_json_keeps_the_bytes_of_a_name(tmp_path: Path) -> None:
    """The file is UTF-8, and the path that is read from it is the one that was written."""
    path = tmp_path / "record.json"
    write_json(path, {"file": ODD, "at": Path("/data") / ODD, "ü": "日本 😀"})
    text = path.read_bytes().decode("utf-8")
    assert "caf\\udce9.mp4" in text and "日本 😀" in text
    record = json.loads(text)
    assert os.fsencode(record["file"]) == b"caf\xe9.mp4"
    assert os.fsencode(record["at"]) == b"/data/caf\xe9.mp4"


def test_text_shows_the_bytes_of_a_name(tmp_path: Path) -> None:
    r"""As \xe9; other letters stay."""
    write_text(tmp_path / "a.txt", f"{ODD} \ud800 ü 日本\n")
    assert (tmp_path / "a.txt").read_bytes().decode("utf-8") == "caf\\xe9.mp4 \\ud800 ü 日本\n"
    assert "ü".encode("ascii", READABLE) == b"\\xfc"


def test_output_and_errors_show_any_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both streams, of a terminal that knows ASCII only."""
    shown = {name: io.TextIOWrapper(io.BytesIO(), "ascii") for name in ("stdout", "stderr")}
    for name, stream in shown.items():
        monkeypatch.setattr(sys, name, stream)
    print_readably()
    for stream in shown.values():
        stream.write(f"{ODD} \udc80 \udcff ü")
        stream.flush()
        assert stream.buffer.getvalue() == b"caf\\xe9.mp4 \\x80 \\xff \\xfc"


def test_json_has_no_nan_and_takes_what_is_recorded() -> None:
    """NaN and infinity are null, numbers of numpy are numbers, however deep."""
    value = {"a": [math.nan, (np.float32(math.inf), -math.inf)], "b": np.int64(3), "c": np.True_}
    value |= {"d": np.float64(math.nan), "e": 0.1}
    text = json_text(value)
    expected = {"a": [None, [None, None]], "b": 3, "c": True, "d": None, "e": 0.1}
    assert json.loads(text, parse_constant=lambda name: pytest.fail(name)) == expected


@pytest.mark.parametrize(
    "terminal",
    [
        {"LANG": "C", "LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "ascii"},
    ],
    ids=["LANG=C", "no UTF-8 mode", "ascii"],
)
def test_a_report_prints_anywhere(terminal: dict[str, str], tmp_path: Path) -> None:
    """Table, notes and JSON of a folder whose names no terminal shows; exit code as ever."""
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in (ODD, "日本.mp4"):
        (videos / name).write_text("no video\n" * 100)
    environment = {name: text for name, text in os.environ.items() if not name.startswith("LC_")}
    command = [sys.executable, "-m", "pipeline.evaluate", "--route", "whole", "--device", "cpu"]
    command += ["--data_root", str(videos), "--json", str(tmp_path / "o.json")]
    done = subprocess.run(
        command, cwd=REPO, env=environment | terminal, capture_output=True, check=False
    )
    assert done.returncode == 1 and b"Traceback" not in done.stderr, done.stderr
    assert b"caf\\xe9.mp4" in done.stdout and done.stdout.count(b"not scored") == 2
    rows = json.loads((tmp_path / "o.json").read_text(encoding="utf-8"))["scores"]
    assert {os.fsencode(row["file"]) for row in rows} == {b"caf\xe9.mp4", "日本.mp4".encode()}


def test_a_refusal_of_an_odd_name_is_one_sentence(tmp_path: Path, script: Script) -> None:
    """Under LANG=C too: what cannot be shown is shown as its bytes."""
    done = script("run_syncnet.py", f"--data_dir={tmp_path}", "--reference", ODD)
    assert done.returncode == 2 and done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1 and "caf\\xe9.mp4" in done.stderr


# How results were made.


def test_offsets_json_says_how_it_was_made(
    done: Workspace, tmp_path: Path, cpu: torch.device
) -> None:
    """Still a list of rows; each with what its numbers depend on, "auto" resolved."""
    shutil.copytree(done.data_dir, tmp_path / "work")
    work = Workspace(tmp_path / "work", "face")
    score_tracks(work, SyncScorer(device=cpu))
    rows = work.read_offsets()
    assert isinstance(rows, list) and rows[0]["track"] == 0
    settings = rows[0]["settings"]
    assert settings == {
        "initial_model": "auto",
        "batch_size": 20,
        "vshift": 15,
        "precision": settings["precision"],
        "device": "cpu",
        "detector": "s3fd_small.safetensors",
        "versions": provenance.versions(),
    }
    assert settings["precision"] in ("fp32", "bf16")
    record = work.read_record()
    assert record and record["device"] == "cpu" and record["versions"] == provenance.versions()


def test_wav2lip_json_says_how_it_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options as given are in `settings`, their resolved values beside it."""
    network = MouthShowsSound(), WeightsFile("stub", "0" * 64)
    monkeypatch.setattr(weights, "load_wav2lip", lambda checkpoint, *, device: network)
    film = make_film(tmp_path / "film.mkv")
    work = workspace_of(tmp_path, film, still_track(LEFT, frames=20))
    run_dub(work, audio={None: make_wav(tmp_path / "a.wav", 0.2)})
    record = json.loads(work.dubbed_record.read_text(encoding="utf-8"))
    assert record["generator"] == {"file": "stub", "sha256": "0" * 64}
    assert (record["precision"], record["device"]) == ("fp32", "cpu")
    assert record["versions"] == provenance.versions()
    assert record["settings"]["checkpoint"] == "auto"


def test_versions_name_everything_that_computes() -> None:
    """No git, no network: constants and what the libraries say of themselves."""
    versions = provenance.versions()
    assert set(versions) == {"toolkit", "torch", "ffmpeg"}
    assert versions["ffmpeg"].startswith("ffmpeg version ")
    assert versions["toolkit"] == provenance.TOOLKIT_VERSION
