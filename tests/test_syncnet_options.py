"""Flags of train_syncnet.py that do not go together, and those that just do."""

from pathlib import Path
from typing import Any

import pytest
import torch

import train_syncnet
from pipeline.errors import InputError
from training.loop.distributed import Processes
from training.tasks.syncnet_options import TrainOptions, check_options


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two folders of other people, in the working folder."""
    monkeypatch.chdir(tmp_path)
    for folder, reference in (("mine", "anna"), ("others", "carl")):
        (tmp_path / folder / "pycrop" / reference).mkdir(parents=True)
        (tmp_path / folder / "pycrop" / reference / "00000.avi").touch()


def _check(*, world: int = 1, **changed: Any) -> None:
    words = ["--data", "mine", "--run", "run", "--val", "others"]
    values = vars(train_syncnet.build_parser().parse_args(words)) | changed
    check_options(TrainOptions(**values), Processes(0, world, torch.device("cpu")))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"excerpts": 0}, "--excerpts must be at least 1"),
        ({"patience": -1}, "--patience must not be negative"),
        ({"average": 1.0}, "--average and --grey are shares"),
        ({"grey": 1.5}, "--average and --grey are shares"),
        ({"drawn": -1}, "--drawn must not be negative"),
        ({"dropout": 1.0}, "--dropout is a share"),
        ({"windows": 0, "negatives": "cross"}, "--windows is at least 1"),
        ({"windows": 1, "negatives": "same"}, "--windows is at least 1"),
        ({"excerpts": 7, "world": 2}, "--excerpts 7 cannot be shared by 2 processes"),
        ({"excerpts": 2, "world": 2, "negatives": "cross"}, "--excerpts 2 cannot be shared by 2"),
        (
            {"excerpts": 1, "negatives": "same", "refusal": 0.3, "objective": "multiway"},
            "--excerpts 1 cannot be shared by 1",
        ),
        ({"patience": 3, "val": []}, "--patience counts reports on --val"),
    ],
)
def test_what_makes_no_run_is_refused(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        _check(**changed)


@pytest.mark.parametrize(
    "changed",
    [
        {"grey": 1.0, "average": 0.0, "dropout": 0.0, "drawn": 0},
        {"windows": 2, "negatives": "same"},
        {"windows": 1, "negatives": "cross"},
        {"excerpts": 2, "world": 2, "negatives": "same", "refusal": 0.0},
        {"excerpts": 4, "world": 2, "negatives": "cross"},
        {"patience": 3},
        {"patience": 0, "val": []},
    ],
)
def test_the_least_that_is_allowed_is_taken(changed: dict[str, Any]) -> None:
    _check(**changed)
