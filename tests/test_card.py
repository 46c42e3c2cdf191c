"""Model cards: written by code, about the weights as exported, with all options."""

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
from models.files import sha256
from models.syncnet import SyncNet
from pipeline.store import provenance
from tests.conftest import REPO
from tests.train_kit import TINY
from training import card
from training.loop.distributed import Processes
from training.loop.resume import Origin
from training.loop.task import Run, Task


class _Tiny(Task):
    """A SyncNet whose figure is one of its weights."""

    script, precision = "train_syncnet.py", "bf16"

    def __init__(self) -> None:
        self.network = SyncNet(TINY)
        self.networks, self.optimizers = {}, {}

    def facts(self, network: Any) -> dict[str, Any]:
        return {"network": "tiny", "unseen_people": _weight(network)}


def _weight(network: Any) -> float:
    weight: float = network.netfclip[0].weight.flatten()[0].item()
    return weight


def _exported(file: Path, *, best: float | None = None, **flags: Any) -> dict[str, Any]:
    """The card of a run of three steps whose last averaged weights are 0.1."""
    run = Run(_Tiny(), decay=0.9)
    run.step, run.seconds = 3, 30.0
    run.origin = Origin({"init": "a (SHA-256 b)"}, {})
    with torch.no_grad():
        run.average.model.netfclip[0].weight.fill_(0.1)
        if best is not None:
            state = {k: v.clone() for k, v in run.average.model.state_dict().items()}
            state["netfclip.0.weight"].fill_(best)
            run.best = {"score": 0.5, "step": 2, "average": state}
    options: Any = SimpleNamespace(export=file, **flags)
    card.export(run, options, Processes(0, 2, torch.device("cpu")))
    content: dict[str, Any] = json.loads(file.with_suffix(".json").read_text())
    return content


def test_command_of_a_card_says_everything_that_changes_the_weights() -> None:
    """Paths by their last name; empty lists are written, unset options are not."""
    options = SimpleNamespace(
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
    card = _exported(file, data=[tmp_path / "tracks"], init=str(tmp_path / "a"), lr=0.1, val=[])
    own = {"export": "own.safetensors", "data": ["tracks"], "init": "a", "lr": 0.1, "val": []}
    words = "--export own.safetensors --data tracks --init a --lr 0.1 --val"
    assert card["options"] == own and card["command"] == f"python train_syncnet.py {words}"
    assert card["precision"] == "bf16" and card["processes"] == 2 and card["device"] == "cpu"
    assert card["weights_used"] == {"init": "a (SHA-256 b)"} and card["network"] == "tiny"
    assert card["steps"] == 3 and card["minutes"] == 0.5
    assert card["parameters"] == sum(p.numel() for p in SyncNet(TINY).parameters())
    assert card["sha256"] == sha256(file) and "MIT" in card["licence"]
    assert card["versions"] == provenance.versions() | {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "cv2": cv2.__version__,
    }
    assert card["versions"].keys() >= {"torch", "ffmpeg"} and "commit" in card
    assert str(tmp_path) not in json.dumps(card)
    assert weights.load_syncnet(file, device=torch.device("cpu"))[0].config == TINY


def test_figures_of_a_card_are_of_the_file(tmp_path: Path) -> None:
    """Figures are measured on the float16 weights that are read back from the file."""
    card = _exported(tmp_path / "own.safetensors")
    assert card["unseen_people"] == torch.tensor(0.1).half().float().item() != 0.1


def test_best_average_is_exported_where_there_is_one(tmp_path: Path) -> None:
    """With the number of its step."""
    file = tmp_path / "own.safetensors"
    card = _exported(file, best=0.25)
    assert card["steps"] == 2 and card["unseen_people"] == 0.25
    assert weights.read_state(file)["netfclip.0.weight"].unique().tolist() == [0.25]


def _git(folder: Path, *arguments: str) -> None:
    name = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    subprocess.run(["git", "-C", str(folder), *name, *arguments], check=True, capture_output=True)


def test_commit_is_that_of_the_code_and_says_where_files_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no commit outside a repository, inside another project's, and without git."""
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


def test_the_code_of_a_card_is_this_repository() -> None:
    """The commit is that of the program, wherever its files are moved."""
    assert card.REPOSITORY == REPO
