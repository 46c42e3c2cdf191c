"""Model cards: written by code alone, of what is in the file, with everything that made it."""

import json
import platform
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from models import weights
from models.syncnet import SyncNet
from pipeline import provenance
from tests.train_kit import TINY
from training import card

MADE = card.Made(
    steps=3, minutes=0.5, weights_used={"init": "a (SHA-256 b)"}, processes=2, device="cpu"
)


class _Task:
    """Of a SyncNet whose figure is one of its weights."""

    script, half, precision = "train_syncnet.py", True, "bf16"

    def finished(self, average: Any) -> Any:
        return average

    def facts(self, network: Any) -> dict[str, Any]:
        return {"network": "tiny", "unseen_people": network.netfclip[0].weight.flatten()[0].item()}


def _options(**flags: Any) -> SimpleNamespace:
    return SimpleNamespace(**flags)


def test_command_of_a_card_says_everything_that_changes_the_weights() -> None:
    """Folders and files by their last name; an empty list is no default; what was unset is not."""
    options = _options(
        **{"data": [Path("/home/me/one"), Path("two words")], "val": [], "cache": Path("/tmp/c")},
        **{"workers": 3, "device": "cpu", "log_every": 1, "save_every": 1, "cache_gb": 2.0},
        **{"init": "/home/me/start.pt", "teacher": "auto", "export": None, "lr": 0.001},
        **{"grey": False, "drop": True, "refine_at": [], "dropout": 0.0, "drawn": 0},
    )
    assert card.command("train_syncnet.py", options) == (
        "python train_syncnet.py --data one 'two words' --val --device cpu --cache_gb 2.0 "
        "--init start.pt --teacher auto --lr 0.001 --no-grey --drop --refine_at --dropout 0.0 "
        "--drawn 0"
    )


def test_card_names_everything_the_weights_were_made_with(tmp_path: Path) -> None:
    """Options, digests, precision, processes, versions, commit; no folder of this machine."""
    file = tmp_path / "new" / "own.safetensors"
    options = _options(data=[tmp_path / "tracks"], init=str(tmp_path / "a"), lr=0.1, val=[])
    card.export(_Task(), SyncNet(TINY), file, options=options, made=MADE)
    told = json.loads(file.with_suffix(".json").read_text())
    assert told["options"] == {"data": ["tracks"], "init": "a", "lr": 0.1, "val": []}
    assert told["command"] == "python train_syncnet.py --data tracks --init a --lr 0.1 --val"
    assert told["precision"] == "bf16" and told["processes"] == 2 and told["device"] == "cpu"
    assert told["weights_used"] == MADE.weights_used and told["steps"] == 3
    assert told["minutes"] == 0.5 and told["network"] == "tiny"
    assert told["parameters"] == sum(p.numel() for p in SyncNet(TINY).parameters())
    assert told["sha256"] == weights.sha256(file) and "MIT" in told["licence"]
    assert told["versions"] == provenance.versions() | {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "cv2": cv2.__version__,
    }
    assert told["versions"].keys() >= {"torch", "ffmpeg"} and "commit" in told
    assert str(tmp_path) not in json.dumps(told)
    assert weights.load_syncnet(file, device=torch.device("cpu"))[0].config == TINY


def test_figures_of_a_card_are_of_the_file(tmp_path: Path) -> None:
    """Half the precision is half the size: what is judged has been read back."""
    network, file = SyncNet(TINY), tmp_path / "own.safetensors"
    with torch.no_grad():
        first: Any = network.netfclip[0]
        first.weight.fill_(0.1)
    card.export(_Task(), network, file, options=_options(), made=MADE)
    told = json.loads(file.with_suffix(".json").read_text())
    assert told["unseen_people"] == torch.tensor(0.1).half().float().item() != 0.1


def _git(folder: Path, *arguments: str) -> None:
    name = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    subprocess.run(["git", "-C", str(folder), *name, *arguments], check=True, capture_output=True)


def test_commit_is_that_of_the_code_and_says_where_files_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None outside of a repository, inside another project's, and without git."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    code = tmp_path / "code"
    (code / "inner").mkdir(parents=True)
    assert card.commit(code) is None
    _git(code, "init")
    (code / "a").write_text("a")
    _git(code, "add", "a")
    _git(code, "commit", "-m", "a")
    revision = card.commit(code)
    assert revision is not None and len(revision) == 40 and int(revision, 16)
    assert card.commit(code / "inner") is None
    (code / "b").write_text("not of the repository")
    assert card.commit(code) == revision
    (code / "a").write_text("b")
    assert card.commit(code) == f"{revision} and changes"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert card.commit(code) is None
