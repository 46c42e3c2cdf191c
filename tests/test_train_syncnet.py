"""train_syncnet.py as a user runs it: killed, resumed, shared, stopped, exported, and refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import train_syncnet
from models import weights
from models.device import native_precision
from models.syncnet import SMALL, SyncNet, SyncNetConfig
from pipeline.store.workspace import Workspace
from tests import train_kit
from tests.conftest import REPO
from tests.train_kit import (
    SHORT,
    WHOLE_SYNCNET,
    assert_same,
    kill_at,
    kill_seed,
    refusal,
    run_main,
    two_processes,
    unusable_data,
    write_noise,
)
from training.drawn_tracks import write_track, write_tracks
from training.loop import checkpoint as checkpoint_files
from training.loop import fit
from training.loop.journal import Journal, read_rows
from training.loop.task import Run
from training.tasks import syncnet as syncnet_task

FRAMES = 110  # of a clip: little more than an excerpt of the small network
CLOCKS = (*train_kit.CLOCKS, "excerpts_per_s")


@pytest.fixture(autouse=True)
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of this process draw none, which takes longer than steps; those of others do."""
    monkeypatch.setattr(Journal, "draw", lambda _: None)


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data_dir with three face clips."""
    data_dir = tmp_path_factory.mktemp("tracks")
    write_noise(data_dir, clips=3, frames=FRAMES, seed=7)
    return data_dir


@pytest.fixture(scope="module")
def val(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data_dir with 20 s of one person, so that its pieces can be compared."""
    data_dir = tmp_path_factory.mktemp("val")
    write_noise(data_dir, clips=1, frames=500, seed=8)
    return data_dir


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Decoded clips of all runs here."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def tiny(cache: Path) -> Path:
    """A weights file of a network much smaller than the small one: runs start from it."""
    torch.manual_seed(3)
    weights.write_own(SyncNet(SHORT), cache / "tiny.safetensors", config=SHORT)
    return cache / "tiny.safetensors"


@pytest.fixture
def small_flags(tracks: Path, tmp_path: Path, cache: Path) -> list[str]:
    """Of a short run: two excerpts a step, nobody drawn, all rows in the log."""
    return [
        *("--run", str(tmp_path / "run"), "--data", str(tracks), "--cache", str(cache)),
        *("--drawn", "0", "--excerpts", "2", "--log_every", "1", "--device", "cpu"),
    ]


@pytest.fixture
def flags(small_flags: list[str], tiny: Path) -> list[str]:
    """The same for the tiny network."""
    return [*small_flags, "--init", str(tiny)]


def _state(run: Path) -> dict[str, Any]:
    state = checkpoint_files.load_checkpoint(run / "checkpoint.pt")
    assert state is not None
    return state


# Killed and resumed.


@pytest.mark.parametrize("network", ["tiny", pytest.param("small", marks=pytest.mark.slow)])
def test_a_killed_and_resumed_run_equals_one_never_killed(
    network: str,
    small_flags: list[str],
    tiny: Path,
    val: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Weights, averages, optimiser, clips, best network and log, after SIGKILL at a random step.

    Between the checkpoints lie a judgement of the clips and reports on other people.
    """
    flags = [*small_flags, "--init", str(tiny)] if network == "tiny" else small_flags
    flags += ["--val", str(val), "--drawn", "1", "--steps", "7", "--save_every", "2"]
    flags += ["--refine_at", "4", "--eval_every", "4", "--patience", "5", "--workers", "1"]
    flags += ["--warmup", "2"]
    chance = kill_seed()
    step = chance.randrange(3, 5)  # the first checkpoint is written at 2
    print(f"killed at step {step}")
    broken, uninterrupted = tmp_path / "run", tmp_path / "whole"
    log, after_s = broken / "train.jsonl", chance.uniform(0, 0.1)
    kill_at(step, WHOLE_SYNCNET, flags, log, after_s=after_s)
    code, output, _ = run_main(train_syncnet.main, flags, capsys)
    assert code == 0 and "resumed at step " in output
    assert train_syncnet.main([*flags, "--run", str(uninterrupted)]) == 0
    one, other = _state(uninterrupted), _state(broken)
    assert_same(one, other)
    assert one["step"] == 7 and one["best"]["step"] == 4 and one["since_best"] == 0
    rows = [
        [{key: value for key, value in row.items() if key not in CLOCKS} for row in read_rows(file)]
        for file in (uninterrupted / "train.jsonl", broken / "train.jsonl")
    ]
    assert rows[0] == rows[1]
    assert [row["step"] for row in rows[1] if "loss" in row] == list(range(1, 8))
    assert [row["step"] for row in rows[1] if "kept" in row] == [5]  # of the step to come
    assert [row["step"] for row in rows[1] if "unseen 5s" in row] == [4]
    for row in read_rows(broken / "train.jsonl"):
        assert "loss" not in row or {"lr", "accuracy", "gradient", *CLOCKS} <= row.keys()
    assert (broken / "curves.png").stat().st_size > 1000


def test_clips_judged_twice_are_reported_once(
    flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped between judging clips and the next checkpoint: they are judged again."""
    flags += ["--steps", "3", "--save_every", "2", "--refine_at", "2"]
    judged: list[int] = []
    original = fit.train_step

    def stopped(run: Run, *rest: Any, **options: Any) -> dict[str, float]:
        if run.step == 2:
            judged.append(len(read_rows(tmp_path / "run" / "train.jsonl")))
            raise KeyboardInterrupt
        return original(run, *rest, **options)

    monkeypatch.setattr(fit, "train_step", stopped)
    with pytest.raises(KeyboardInterrupt):
        train_syncnet.main(flags)
    monkeypatch.undo()
    assert judged == [3]  # two steps, and what was said of the clips
    assert train_syncnet.main(flags) == 0
    rows = read_rows(tmp_path / "run" / "train.jsonl")
    assert [("kept" in row, row["step"]) for row in rows] == [
        (False, 1),
        (False, 2),
        (True, 3),
        (False, 3),
    ]


def test_a_run_killed_while_it_saves_keeps_its_last_checkpoint(tmp_path: Path) -> None:
    """The file is replaced whole; half a checkpoint beside it harms nobody."""
    path = tmp_path / "checkpoint.pt"
    checkpoint_files.save_checkpoint(path, {"step": 1})
    (tmp_path / ".checkpoint.pt.partial").write_bytes(path.read_bytes()[:100])
    assert checkpoint_files.load_checkpoint(path) == {"step": 1}
    checkpoint_files.save_checkpoint(path, {"step": 2})
    assert (
        checkpoint_files.load_checkpoint(path) == {"step": 2} and len(list(tmp_path.iterdir())) == 1
    )


def test_a_checkpoint_that_does_not_fit_is_refused(
    flags: list[str], tracks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another objective, other clips, a damaged file: one sentence that names the checkpoint."""
    assert train_syncnet.main([*flags, "--steps", "1"]) == 0
    code, _, error = run_main(train_syncnet.main, [*flags, "--objective", "margin"], capsys)
    assert code == 2 and "--objective (was multiway, is margin)" in error
    shutil.copytree(tracks, tmp_path / "others")
    code, _, error = run_main(
        train_syncnet.main, [*flags, "--data", str(tmp_path / "others")], capsys
    )
    assert code == 2 and "checkpoint.pt was made with other options: --data (was " in error
    path = tmp_path / "run" / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:1000])
    code, _, error = run_main(train_syncnet.main, flags, capsys)
    assert code == 2 and "checkpoint.pt is no checkpoint of this program" in error
    assert error.count("\n") == 1


# Several processes.


def _losses(run: Path) -> list[float]:
    return [row["loss"] for row in read_rows(run / "train.jsonl") if "loss" in row]


def test_two_processes_train_as_one_does(flags: list[str], tmp_path: Path) -> None:
    """Every row's loss within 1e-3, from an empty cache on; batch normalisation is trained, too."""
    flags += [
        "--excerpts",
        "4",
        "--steps",
        "4",
        "--warmup",
        "20",
        "--refine_at",
        "2",
        "--precision",
        "fp32",
    ]
    single, shared = tmp_path / "single", tmp_path / "shared"
    assert train_syncnet.main([*flags, "--run", str(single)]) == 0
    done = two_processes(
        WHOLE_SYNCNET, [*flags, "--run", str(shared), "--cache", str(tmp_path / "cache")]
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert _losses(shared) == pytest.approx(_losses(single), abs=1e-3)
    one, other = _state(single)["lesson"], _state(shared)["lesson"]
    assert list(one) == list(other)
    for key, value in one.items():
        if value.is_floating_point():
            scale = float(value.std()) if value.numel() > 1 else 1.0
            assert float((value - other[key]).abs().mean()) < 0.05 * scale + 1e-3, key
    weights_change = torch.cat([one[k] - 1 for k in one if k.endswith("netcnnlip.1.weight")])
    too = torch.cat([other[k] - 1 for k in one if k.endswith("netcnnlip.1.weight")])
    assert float(weights_change.abs().mean()) > 1e-4
    assert float(torch.cosine_similarity(weights_change, too, dim=0)) > 0.8


@pytest.mark.slow
def test_two_processes_after_50_steps(small_flags: list[str], tmp_path: Path) -> None:
    """A gentle rate: all 50 losses within 1e-3, and the same weights to four digits."""
    flags = [*small_flags, "--excerpts", "4", "--steps", "50", "--refine_at", "--precision", "fp32"]
    single, shared = tmp_path / "single", tmp_path / "shared"
    flags += ["--lr", "1e-5"]
    assert train_syncnet.main([*flags, "--run", str(single)]) == 0
    done = two_processes(WHOLE_SYNCNET, [*flags, "--run", str(shared)])
    assert done.returncode == 0, done.stderr[-3000:]
    apart = np.abs(np.subtract(_losses(single), _losses(shared)))
    print(f"largest difference {apart.max():.2e}, at step 50 {apart[-1]:.2e}")
    assert len(apart) == 50 and apart.max() < 1e-3
    one, other = (_parameters(_state(run)["average"]) for run in (single, shared))
    for key, value in one.items():
        assert torch.allclose(value, other[key], atol=1e-3), key


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_processes_at_the_usual_rate(small_flags: list[str], tmp_path: Path) -> None:
    """Mixed precision, the default rate: rounding decides the details, the curve is the same.

    One process with two threads strays as far from one with a single thread.
    """
    flags = [*small_flags, "--excerpts", "4", "--steps", "120", "--refine_at"]
    single, shared = tmp_path / "single", tmp_path / "shared"
    assert train_syncnet.main([*flags, "--run", str(single)]) == 0
    done = two_processes(WHOLE_SYNCNET, [*flags, "--run", str(shared)])
    assert done.returncode == 0, done.stderr[-3000:]
    one, other = _losses(single), _losses(shared)
    print(f"last ten steps: {np.mean(one[-10:]):.3f} and {np.mean(other[-10:]):.3f}")
    assert np.mean(one[-10:]) < 0.8 * one[0]
    assert np.mean(other[-10:]) == pytest.approx(np.mean(one[-10:]), abs=0.1)


# What a run says, when it stops, what it leaves.


class _Scores:
    """Replaces the evaluation on other people by a list of scores."""

    def __init__(self, scores: list[float | None]) -> None:
        self.scores = list(scores)

    def __call__(self, *_: object, **__: object) -> "_Scores":
        return self

    def summary(self) -> dict[str, float | None]:
        return {"5s": 0.1}

    def share_right(self) -> float | None:
        return self.scores.pop(0)


def test_a_run_stops_early_and_exports_its_best(
    flags: list[str], tracks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two reports without a better one end it, once and for all; the best weights are exported."""
    monkeypatch.setattr(syncnet_task, "agreement", _Scores([0.5, 0.6, 0.4, 0.6]))
    file = tmp_path / "own.safetensors"
    monkeypatch.setattr(syncnet_task, "calibrate", lambda *_, **__: None)
    monkeypatch.setattr(syncnet_task, "figures", lambda *_, **__: {"all": {}})
    others = shutil.copytree(tracks, tmp_path / "others")
    flags += ["--val", str(others), "--steps", "50", "--eval_every", "1", "--patience", "2"]
    flags += ["--export", str(file), "--warmup", "0"]
    for _ in range(2):  # the second run finds nothing left to do
        assert train_syncnet.main(flags) == 0
        state = _state(tmp_path / "run")
        assert (state["step"], state["since_best"]) == (4, 2)
        assert (state["best"]["score"], state["best"]["step"]) == (0.6, 2)
        exported = weights.read_state(file)
        assert_same(state["best"]["average"], {key: exported[key] for key in state["average"]})
        assert json.loads(file.with_suffix(".json").read_text())["steps"] == 2
    key = "netfclip.0.weight"
    assert not torch.equal(state["average"][key], state["best"]["average"][key])


def test_export_loads_and_has_a_card(
    small_flags: list[str], tracks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exported file is a network run_syncnet.py takes; its card names what made it."""
    file = tmp_path / "new" / "own.safetensors"
    others = shutil.copytree(tracks, tmp_path / "others")
    flags = [*small_flags, "--val", str(others), "--steps", "1", "--export", str(file)]
    code, output, _ = run_main(train_syncnet.main, flags, capsys)
    assert code == 0 and "3 of 3 clips, 0.2 minutes" in output and "no clip left out" in output
    assert "step 1/1  loss" in output
    model, weights_file = weights.load_syncnet(file, device=torch.device("cpu"))
    assert model.config == SMALL
    card = json.loads(file.with_suffix(".json").read_text())
    assert (
        card["sha256"] == weights_file.sha256 and card["data"]["kept"] == 3 and card["steps"] == 1
    )
    assert card["unseen_people"]["all"]["5s"] is None
    assert "--excerpts 2" in card["command"] and "--precision auto" in card["command"]
    assert card["precision"] == native_precision(torch.device("cpu"))
    assert str(tmp_path) not in json.dumps(card)  # whose machine it was made on says nothing


# Where it starts.


def _parameters(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key: value for key, value in state.items() if key.endswith(("weight", "bias"))}


def test_a_run_starts_from_own_weights(flags: list[str], tiny: Path, tmp_path: Path) -> None:
    """--init: with a learning rate of 0 they are what comes out."""
    assert train_syncnet.main([*flags, "--lr", "0", "--steps", "1"]) == 0
    state = _state(tmp_path / "run")
    assert_same(_parameters(weights.read_state(tiny)), _parameters(state["average"]))
    assert SyncNetConfig.from_json(state["config"]) == SHORT


@pytest.mark.slow
def test_a_run_starts_from_a_published_checkpoint(small_flags: list[str], tmp_path: Path) -> None:
    """Full size, 224 colour pixels, a file of torch.save: one step, exported, loaded again."""
    torch.manual_seed(3)
    torch.save(SyncNet().state_dict(), tmp_path / "syncnet_v2.model")
    file = tmp_path / "tuned.safetensors"
    flags = [*small_flags, "--init", str(tmp_path / "syncnet_v2.model"), "--steps", "1"]
    flags += ["--excerpts", "1"]
    assert train_syncnet.main([*flags, "--export", str(file)]) == 0
    model, _ = weights.load_syncnet(file, device=torch.device("cpu"))
    assert model.config == SyncNetConfig()
    assert json.loads(file.with_suffix(".json").read_text())["starts_from"] == "syncnet_v2.model"


# What is refused, and what is only left out.


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("missing", "data is not a folder; give a data_dir of run_pipeline.py."),
        ("no pycrop", "data has no pycrop folder; there is nothing in it; run run_pipeline.py on"),
        ("empty", "data; run run_pipeline.py first."),
        ("broken", "None of 1 face clips can be used: data/talk/00000: unreadable ("),
        ("silent", "None of 1 face clips can be used: data/talk/00000: no sound."),
        ("short", "No clip has the 24 frames of an excerpt; give longer videos."),
        ("low confidence", "data/talk/00000: low confidence (0.2); lower --min_confidence or"),
    ],
)
def test_unusable_data_is_named_before_the_first_step(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, sentence: str
) -> None:
    """One sentence, exit code 2, no checkpoint and no log."""
    data = unusable_data(kind, tmp_path / "data", short_frames=20)
    assert sentence in refusal(train_syncnet.main, [*flags, "--data", str(data)], capsys)
    assert not list((tmp_path / "run").glob("*"))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (["--excerpts", "0"], "--excerpts must be at least 1"),
        (["--eval_every", "0"], "--eval_every must be at least 1"),
        (["--lr", "-1"], "--lr must not be negative"),
        (["--average", "1"], "--average and --grey are shares"),
        (["--excerpts", "1", "--negatives", "cross"], "two for each where --negatives is not same"),
        (["--patience", "2"], "give --val, too"),
        (["--export", "own.pt"], "must end in .safetensors"),
        (["--run", "README.md"], "is a file; give a folder"),
        (["--init", "nowhere.pt"], "nowhere.pt is not a file"),
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
    assert sentence in refusal(train_syncnet.main, [*flags, *wrong], capsys)


def test_training_goes_on_without_a_broken_clip(
    flags: list[str], tracks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A crop that is no video and a short one are named; the three others are trained on."""
    data = tmp_path / "data"
    shutil.copytree(tracks, data)
    work = Workspace(data, "noise001")
    work.crop(1).write_bytes(b"RIFF, and then nothing")
    write_track(
        work.crop(2),
        np.zeros((20, 224, 224, 3), np.uint8),
        np.tile(np.array([900, -900], np.int16), 10 * 640),
    )
    code, output, _ = run_main(
        train_syncnet.main, [*flags, "--data", str(data), "--steps", "1"], capsys
    )
    assert code == 0 and "3 of 5 clips" in output
    assert "2 clips left out (1 unreadable, 1 too short): data/noise001/00001: unread" in output
    assert "data/noise001/00002: too short (20 frames)" in output
    assert len(_state(tmp_path / "run")["offsets_ms"]) == 3


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_newcomer_beats_chance_on_drawn_data(tmp_path: Path) -> None:
    """80 steps on 16 drawn people: most pieces of 2 s of two others come out within a frame."""
    write_tracks(tmp_path / "drawn", clips=16, seconds=6, seed=1)
    write_tracks(tmp_path / "others", clips=2, seconds=25, seed=2)
    flags = ["--run", str(tmp_path / "run"), "--data", str(tmp_path / "drawn"), "--drawn", "0"]
    flags += ["--val", str(tmp_path / "others"), "--steps", "80", "--eval_every", "80"]
    assert train_syncnet.main([*flags, "--excerpts", "8", "--device", "cpu"]) == 0
    last = read_rows(tmp_path / "run" / "train.jsonl")[-1]
    print(last)
    assert last["unseen 2s_pieces"] == 24 and last["unseen 2s"] > 0.6  # a guess gives 0.02 to 0.05
