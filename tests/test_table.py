"""python -m training.table: the figures of evaluate_mouths, a row for each checkpoint."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba

from models import weights
from models.speech2vid import Speech2Vid, Speech2VidConfig
from models.syncnet import SyncNet
from models.wav2lip import Wav2Lip, Wav2LipConfig
from models.weights import WeightsFile
from tests.conftest import snapshot
from tests.train_kit import TINY, refusal, run_main, watch_devices, write_noise
from tests.training_flag_kit import FlagTable
from training import evaluate_mouths, table
from training.table import REAL, Row

NARROW = Wav2LipConfig(0.02)
TABLE = FlagTable({"table": table.build_parser})
FIGURES = {
    **{"own_sound_clips": 7, "foreign_sound_clips": 5, "lse_d": 9.256, "lse_c": 2.0},
    **{"real_lse_d": 6.5, "real_lse_c": 7.128, "sharpness": 0.333, "clips": {}},
}


def _rows(*figures: dict[str, Any]) -> list[Row]:
    return [
        Row(f"Net {n}", WeightsFile(f"{n}.safetensors", str(n) * 64), {}, FIGURES | more)
        for n, more in enumerate(figures)
    ]


# What is written of the figures.


def test_markdown_has_a_row_for_each_network_and_one_of_the_real_videos() -> None:
    """The real ones last, by what was measured of them beside the first network."""
    rows = _rows({}, {"lse_d": 7.0, "sharpness": 1.5})
    made = {"steps": 40, "command": "python train_wav2lip.py --preset x"}
    rows[1] = replace(rows[1], made=made)
    lines = table.markdown(rows, "judge.safetensors").splitlines()
    assert lines[:5] == [
        "| | LSE-D ↓ | LSE-C ↑ | Sharpness |",
        "|---|---:|---:|---:|",
        "| Net 0 | 9.26 | 2.00 | 0.33 |",
        "| Net 1 | 7.00 | 2.00 | 1.50 |",
        f"| {REAL} | 6.50 | 7.13 | 1.00 |",
    ]
    text = "\n".join(lines[5:])
    assert "LSE of 5 clips" in text and "judged by judge.safetensors" in text
    assert "sharpness of 7 clips" in text and "FID is not there" in text
    assert "- Net 0: `0.safetensors`\n- Net 1: `1.safetensors`, 40 steps\n" in text
    assert text.endswith("`python train_wav2lip.py --preset x`")


def test_fid_is_a_column_where_it_is_measured() -> None:
    """Of the real videos there is none; nor of a row without."""
    lines = table.markdown(_rows({"fid": 12.34}, {}), "judge").splitlines()
    assert lines[0] == "| | LSE-D ↓ | LSE-C ↑ | FID ↓ | Sharpness |"
    assert [line.split(" | ")[3] for line in lines[2:5]] == ["12.3", "-", "-"]
    assert "FID is not there" not in "\n".join(lines)


def test_picture_shows_every_figure_of_every_row() -> None:
    figure = table.picture(_rows({"fid": 12.34}, {"lse_c": 3.0}))
    assert [axis.get_title() for axis in figure.axes] == [c.title for c in table.COLUMNS]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["Net 0", "Net 1", REAL]
    lengths = [[bar.get_width() for bar in axis.patches] for axis in figure.axes]  # type: ignore[attr-defined]
    assert lengths[1] == [2.0, 3.0, 7.128] and lengths[2] == [12.34, 0.0, 0.0]
    bottom, top = figure.axes[0].get_ylim()
    assert top < bottom, "the first row is the highest"
    colours = [bar.get_facecolor() for bar in figure.axes[0].patches]
    assert colours == [to_rgba("tab:blue")] * 2 + [to_rgba("tab:green")]
    said = [[text.get_text() for text in axis.texts] for axis in figure.axes]
    assert said[1] == ["2.00", "3.00", "7.13"] and said[2] == ["12.3", "-", "-"]


def test_json_holds_everything(tmp_path: Path) -> None:
    """Figures in full, of every clip; names and digests."""
    rows = _rows({"clips": {"a": {"lse_d": 9.2561}}})
    rows = [replace(rows[0], made={"steps": 3})]
    text = table.write(rows, WeightsFile("judge", "f" * 64), tmp_path / "new" / "out")
    assert (tmp_path / "new/out/table.md").read_text("utf-8") == text
    picture = np.asarray(cv2.imread(str(tmp_path / "new/out/table.png")))
    assert picture.shape[0] > 100 and picture.std() > 10
    written = json.loads((tmp_path / "new/out/table.json").read_text())
    assert written["syncnet"] == {"file": "judge", "sha256": "f" * 64}
    (row,) = written["rows"]
    assert (row["name"], row["file"], row["sha256"]) == ("Net 0", "0.safetensors", "0" * 64)
    assert (row["steps"], row["lse_d"], row["clips"]) == (3, 9.256, {"a": {"lse_d": 9.2561}})


# The command.


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tracks in `val`, one in `more`, weights of both networks and of a judge."""
    root = tmp_path_factory.mktemp("table")
    write_noise(root / "val", clips=3, frames=62, seed=5)
    write_noise(root / "more", clips=1, frames=62, seed=6)
    torch.manual_seed(1)
    small = Speech2VidConfig(0.03)
    weights.write_own(Wav2Lip(NARROW), root / "one.safetensors", config=NARROW)
    weights.write_own(Wav2Lip(NARROW), root / "two.safetensors", config=NARROW)
    weights.write_own(Speech2Vid(small), root / "three.safetensors", config=small)
    for name in ("judge", "other"):
        weights.write_own(SyncNet(TINY), root / f"{name}.safetensors", config=TINY)
    return root


def _flags(folder: Path, out: Path, *names: str) -> list[str]:
    flags = ["--data", str(folder / "val"), "--out", str(out), "--device", "cpu"]
    flags += ["--initial_model", str(folder / "judge.safetensors")]
    flags += ["--cache", str(folder / "cache")]
    for name in names:
        flags += ["--row", f"{name}={folder / name}.safetensors"]
    return flags


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few frames of each clip."""
    monkeypatch.setattr(evaluate_mouths, "FOREIGN_S", 1)
    monkeypatch.setattr(evaluate_mouths, "OWN_FRAMES", 6)


def test_rows_are_what_evaluate_mouths_says_of_each_checkpoint(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of both kinds of networks, in the order of the flags; nothing else is touched."""
    before = snapshot(folder / "val")
    code, output, _ = run_main(table.main, _flags(folder, tmp_path, "three", "one"), capsys)
    assert code == 0
    assert [line.split(" |")[0] for line in output.splitlines()[2:5]] == [
        *("| three", "| one", f"| {REAL}")
    ]
    written = json.loads((tmp_path / "table.json").read_text())
    for row in written["rows"]:
        flags = _flags(folder, tmp_path)
        at = flags.index("--out")
        flags[at : at + 2] = ["--checkpoint", str(folder / f"{row['name']}.safetensors")]
        assert evaluate_mouths.main([*flags, "--json", str(tmp_path / "one.json")]) == 0
        alone = json.loads((tmp_path / "one.json").read_text())
        assert alone.pop("generator") == row["file"] and alone.pop("syncnet") == "judge.safetensors"
        del alone["generator_sha256"], alone["syncnet_sha256"]
        assert {name: row[name] for name in alone} == alone
    one, other = written["rows"]
    assert one["sharpness"] != other["sharpness"] and one["real_lse_d"] == other["real_lse_d"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("one.json", "table.json", "table.md", "table.png")
    ]
    assert snapshot(folder / "val") == before


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["one.safetensors"], "is not NAME=FILE"),
        (["=one.safetensors"], "is not NAME=FILE"),
        (["One="], "is not NAME=FILE"),
        (["One=one.safetensors", "One=two.safetensors"], "a row is called One already"),
        ([f"{REAL}=one.safetensors"], f"a row is called {REAL} already"),
        (["One=gone.safetensors"], "gone.safetensors is not a file; give a checkpoint"),
        (["One=one.safetensors", "Two=judge.safetensors"], "judge.safetensors was made for anoth"),
    ],
)
def test_a_row_that_is_none_is_refused_before_anything_is_measured(
    rows: list[str],
    words: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One sentence; no folder is made."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(evaluate_mouths, "evaluate", None)
    flags = _flags(folder, tmp_path / "out")
    flags += [word for row in rows for word in ("--row", row)]
    if "judge" in words:
        code, _, error = run_main(table.main, flags, capsys)
        assert code != 0 and error.count("\n") == 1 and words in error
    else:
        assert words in refusal(table.main, flags, capsys)
    assert not (tmp_path / "out").exists()


# Every flag: two values, two results.


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What evaluations are made of; their figures are made up."""
    made: list[dict[str, Any]] = []

    def evaluate(files: Any, generator: Any, scorer: Any, **options: Any) -> dict[str, Any]:
        names = sorted(file.parent.parent.parent.name for file in files)
        made.append(options | {"names": names, "generator": generator, "scorer": scorer})
        return FIGURES

    monkeypatch.setattr(evaluate_mouths, "evaluate", evaluate)
    return made


@TABLE.row("table", "data")
def _data(run: Any) -> None:
    assert run()[0]["names"] == ["val"] * 3
    assert run("--data", run.folder / "more")[0]["names"] == ["more"]
    both = run("--data", run.folder / "more", run.folder / "val")
    assert both[0]["names"] == ["more", *["val"] * 3]


@TABLE.row("table", "row")
def _row(run: Any) -> None:
    assert len(run()) == 1
    one, other = run("--row", f"Two={run.folder}/two.safetensors")
    weights_of = [next(iter(call["generator"].model.parameters())) for call in (one, other)]
    assert not torch.equal(*weights_of)
    assert "| one |" in run.out and "| Two |" in run.out


@TABLE.row("table", "out")
def _out(run: Any) -> None:
    for name in ("a", "b"):
        run("--out", run.tmp_path / name)
        assert (run.tmp_path / name / "table.md").is_file()


@TABLE.row("table", "pictures")
def _pictures(run: Any) -> None:
    assert run()[0]["pictures"] is None
    assert run("--pictures")[0]["pictures"] == run.tmp_path / "out" / "one"
    assert (run.tmp_path / "out" / "one").is_dir()


@TABLE.row("table", "initial_model")
def _initial_model(run: Any) -> None:
    for name in ("judge", "other"):
        call = run("--initial_model", run.folder / f"{name}.safetensors")[0]
        assert call["scorer"].model.weights_file.file == f"{name}.safetensors" and name in run.out


@TABLE.row("table", "cache")
def _cache(run: Any) -> None:
    assert run()[0]["cache"] == run.folder / "cache"
    assert run("--cache", run.tmp_path / "mine")[0]["cache"] == run.tmp_path / "mine"


@TABLE.row("table", "seed")
def _seed(run: Any) -> None:
    assert run()[0]["seed"] == 1
    assert run("--seed", 7)[0]["seed"] == 7


@TABLE.row("table", "device")
def _device(run: Any) -> None:
    for device in ("cpu", "auto"):
        run.devices.clear()
        run("--device", device)
        assert run.devices == [device]


def test_every_flag_of_the_table_has_a_row() -> None:
    assert TABLE.rows.keys() == TABLE.flags()


@pytest.mark.parametrize(("script", "flag"), list(TABLE.rows))
def test_table_flag_gives_each_value_its_own_result(
    script: str,
    flag: str,
    folder: Path,
    tmp_path: Path,
    calls: list[dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of one row, unless the flag adds another."""

    class _Run:
        def __init__(self) -> None:
            self.folder, self.tmp_path, self.out = folder, tmp_path, ""
            self.devices = watch_devices(monkeypatch)

        def __call__(self, *flags: Any) -> list[dict[str, Any]]:
            calls.clear()
            words = [*_flags(folder, tmp_path / "out", "one"), *map(str, flags)]
            code, self.out, error = run_main(table.main, words, capsys)
            assert code == 0, error
            return calls

    TABLE.rows[script, flag](_Run())
