"""What a resumed run may change, what it refuses, and what it does with new clips."""

import json
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

import train_syncnet
import train_wav2lip
from models import weights
from models.syncnet import SyncNet
from tests.train_kit import SHORT, run_main, write_noise
from training import detector
from training.loop import checkpoint as checkpoint_files
from training.loop.journal import Journal
from training.tasks import syncnet as syncnet_task
from training.tasks import syncnet_options, wav2lip_options

FRAMES = 75


pytestmark = pytest.mark.usefixtures("small_training")


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tracks of three clips, a decoded cache, and runs of both scripts by name."""
    root = tmp_path_factory.mktemp("made")
    write_noise(root / "tracks", clips=3, frames=FRAMES, seed=7)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Journal, "draw", lambda _: None)
        patched.setattr(syncnet_task, "SMALL", SHORT)
        assert train_syncnet.main(_syncnet(root, root / "syncnet")) == 0
        assert train_wav2lip.main(_wav2lip(root, root / "wav2lip")) == 0
    return root


def _syncnet(root: Path, run: Path, *more: str) -> list[str]:
    return [
        *("--data", str(root / "tracks"), "--cache", str(root / "cache"), "--run", str(run)),
        *("--drawn", "0", "--excerpts", "2", "--device", "cpu", "--steps", "1", *more),
    ]


def _wav2lip(root: Path, run: Path, *more: str) -> list[str]:
    return [
        *("--data", str(root / "tracks"), "--cache", str(root / "cache"), "--run", str(run)),
        *("--stage", "generator", "--width", "0.02", "--batch_size", "1", "--teacher", "none"),
        *("--device", "cpu", "--steps", "1", *more),
    ]


@pytest.fixture
def own(tracks: Path, tmp_path: Path) -> Path:
    """A copy of the runs that may be changed; tracks and cache are shared."""
    for name in ("syncnet", "wav2lip"):
        shutil.copytree(tracks / name, tmp_path / name)
    return tmp_path


OTHER_SYNCNET = {
    **{"objective": "margin", "negatives": "cross", "seed": "9", "lr": "0.5", "excerpts": "3"},
    **{"average": "0.1", "warmup": "3", "weight_decay": "0.3", "grey": "0.4", "dropout": "0.2"},
    **{"refine_at": "7", "min_confidence": "2.0", "max_offset": "3.0", "drawn": "1"},
}
OTHER_WAV2LIP = {
    **{"seed": "9", "lr": "0.5", "batch_size": "2", "width": "0.04", "average": "0.1"},
    **{"warmup": "3", "weight_decay": "0.3", "sync_weight": "0.2", "sync_from": "0.1"},
    **{
        "sync_at": "7",
        "adversarial_weight": "0.2",
        "mouth_weight": "1.0",
        "structure_weight": "1.0",
    },
    **{
        "detail_weight": "1.0",
        "taught_weight": "1.0",
        "taught_steps": "7",
        "min_confidence": "2.0",
    },
    **{"max_offset": "3.0", "stage": "gan"},
}


@pytest.mark.parametrize(
    ("main", "flags", "other"),
    [
        (train_syncnet.main, _syncnet, OTHER_SYNCNET),
        (train_wav2lip.main, _wav2lip, OTHER_WAV2LIP),
    ],
    ids=["syncnet", "wav2lip"],
)
def test_resume_with_options_that_change_the_result_is_refused_and_names_every_one(
    main: Any,
    flags: Any,
    other: dict[str, str],
    tracks: Path,
    own: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One sentence, before anything is decoded; the checkpoint stays as it was."""
    run = own / flags.__name__[1:]
    before = (run / "checkpoint.pt").read_bytes()
    words = [word for name, value in other.items() for word in (f"--{name}", value)]
    again = [*flags(tracks, run, *words), "--cache", str(own / "unused")]
    code, _, error = run_main(main, again, capsys)
    assert code == 2 and error.count("\n") == 1
    for name, value in other.items():
        assert f"--{name} (was " in error and f"is {value})" in error
    assert (run / "checkpoint.pt").read_bytes() == before and not (own / "unused").exists()


def test_resume_with_one_option_that_changes_the_result_names_it_alone(
    tracks: Path, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both values are in the sentence."""
    flags = _syncnet(tracks, own / "syncnet", "--objective", "cosine")
    code, _, error = run_main(train_syncnet.main, flags, capsys)
    assert code == 2 and "other options: --objective (was multiway, is cosine); give" in error


FREE = {
    "syncnet": {"val_without", "cache", "cache_gb", "workers", "export", "device", "precision"}
    | {"log_every", "save_every", "eval_every", "patience", "preset", "steps", "init_share"},
    "wav2lip": {"cache", "cache_gb", "workers", "export", "device", "precision"}
    | {"log_every", "save_every", "eval_every", "preset", "steps"},
    "detector": {"workers", "export", "device", "precision"}
    | {"log_every", "save_every", "eval_every", "steps"},
}


OPTIONS: dict[str, Any] = {
    "syncnet": syncnet_options.TrainOptions,
    "wav2lip": wav2lip_options.TrainOptions,
    "detector": detector.TrainOptions,
}


@pytest.mark.parametrize("script", list(OPTIONS))
def test_every_option_says_whether_a_resumed_run_may_change_it(script: str) -> None:
    """What changes nothing that is learned; every other one is fixed in some way."""
    options = OPTIONS[script]
    kinds = {one.name: one.metadata["resume"] for one in fields(options)}
    assert {name for name, kind in kinds.items() if kind == "free"} == FREE[script]
    assert [name for name, kind in kinds.items() if kind == "own folder"] == ["run"]
    assert kinds.get("val", "fixed once given") == "fixed once given"
    data = {"stills", "corpus"} if script == "detector" else {"data"}
    assert all(kinds[name] == "clips" for name in data)


def test_resume_takes_options_that_do_not_change_the_result_with_a_line(
    tracks: Path, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """More steps, other caches and clocks; the checkpoint holds them from then on."""
    more = ("--steps", "2", "--log_every", "3", "--save_every", "9", "--workers", "0")
    for main, flags, name in (
        (train_syncnet.main, _syncnet, "syncnet"),
        (train_wav2lip.main, _wav2lip, "wav2lip"),
    ):
        code, output, error = run_main(main, flags(tracks, own / name, *more), capsys)
        assert code == 0, error
        line = next(line for line in output.splitlines() if "other options" in line)
        for word in ("--steps (was 1, is 2)", "--log_every (was 20, is 3)", "--workers (was 1,"):
            assert word in line
        state = checkpoint_files.load_checkpoint(own / name / "checkpoint.pt")
        assert state is not None and state["options"]["steps"] == 2
        assert "run" not in state["options"] and len(state["clips"]) == 3


def test_resume_from_a_checkpoint_without_options_takes_those_given_with_a_line(
    tracks: Path, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Checkpoints of earlier versions have no options."""
    for main, flags, name in (
        (train_syncnet.main, _syncnet, "syncnet"),
        (train_wav2lip.main, _wav2lip, "wav2lip"),
    ):
        path = own / name / "checkpoint.pt"
        state = checkpoint_files.load_checkpoint(path)
        assert state is not None
        checkpoint_files.save_checkpoint(
            path, {k: v for k, v in state.items() if k not in ("options", "clips")}
        )
        code, output, error = run_main(
            main, flags(tracks, own / name, "--lr", "0.5", "--steps", "2"), capsys
        )
        assert code == 0, error
        assert "does not say which options it was made with" in output
        again = checkpoint_files.load_checkpoint(path)
        assert again is not None and again["options"]["lr"] == 0.5


@pytest.mark.parametrize(("config", "expected"), [("older", 0), ("wider", 2), ("no JSON", 2)])
def test_resume_compares_networks_and_not_how_they_were_written_down(
    config: str, expected: int, tracks: Path, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A checkpoint from before a field was added is of the same network; another is refused."""
    path = own / "syncnet" / "checkpoint.pt"
    state = checkpoint_files.load_checkpoint(path)
    assert state is not None
    configuration = json.loads(state["config"])
    del configuration["calibration"]
    if config == "wider":
        configuration["embedding_size"] += 1
    text = "{" if config == "no JSON" else json.dumps(configuration)
    checkpoint_files.save_checkpoint(path, state | {"config": text})
    flags = _syncnet(tracks, own / "syncnet", "--steps", "2")
    code, _, error = run_main(train_syncnet.main, flags, capsys)
    assert code == expected, error
    assert ("is of another network" in error) == bool(expected)


def test_new_clip_joins_a_resumed_run_at_once_and_a_gone_one_is_named(
    tracks: Path, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the clips are not judged any more."""
    shutil.copytree(tracks / "tracks", own / "tracks")
    flags = [*_syncnet(tracks, own / "syncnet", "--data", str(own / "tracks")), "--steps", "2"]
    assert train_syncnet.main([*flags, "--run", str(own / "fresh"), "--refine_at"]) == 0
    write_noise(own / "added", clips=1, frames=FRAMES, seed=8)
    (own / "added" / "pycrop" / "noise000").rename(own / "tracks" / "pycrop" / "newcomer")
    shutil.rmtree(own / "tracks" / "pycrop" / "noise002")
    again = [*flags, "--run", str(own / "fresh"), "--refine_at", "--steps", "3"]
    code, output, error = run_main(train_syncnet.main, again, capsys)
    assert code == 0, error
    assert (
        "1 clip new since the checkpoint, trained on from now on: tracks/newcomer/00000" in output
    )
    assert "1 clip gone since the checkpoint: tracks/noise002/00000" in output
    state = checkpoint_files.load_checkpoint(own / "fresh" / "checkpoint.pt")
    assert state is not None and list(state["offsets_ms"]) == [
        "tracks/noise000/00000",
        "tracks/noise001/00000",
        "tracks/newcomer/00000",
    ]


def test_dropped_clip_stays_out_of_a_resumed_run_until_it_is_another(
    tracks: Path, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only a clip that was not there, or not like this, joins; a lag found is kept."""
    path = own / "syncnet" / "checkpoint.pt"
    state = checkpoint_files.load_checkpoint(path)
    assert state is not None
    first, second, third = state["offsets_ms"]
    state["offsets_ms"] = {first: 80.0, third: 40.0}
    state["dropped"] = [second]
    checkpoint_files.save_checkpoint(path, state)
    flags = _syncnet(tracks, own / "syncnet", "--steps", "2")
    assert run_main(train_syncnet.main, flags, capsys)[0] == 0
    state = checkpoint_files.load_checkpoint(path)
    assert state is not None and state["dropped"] == [second]
    assert state["offsets_ms"] == {first: 80.0, third: 40.0}
    state["clips"][second] -= 1
    state["clips"][third] -= 1
    checkpoint_files.save_checkpoint(path, state)
    code, output, _ = run_main(train_syncnet.main, [*flags, "--steps", "3"], capsys)
    assert code == 0 and "2 clips changed since the checkpoint: " in output
    state = checkpoint_files.load_checkpoint(path)
    assert state is not None and state["dropped"] == []
    assert state["offsets_ms"] == {first: 80.0, second: 0.0, third: 0.0}


def test_data_in_another_folder_is_another_run_unless_its_clips_are_the_same(
    tracks: Path, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A data set may be moved; another one of the same name is refused, and none in common."""
    shutil.copytree(tracks / "tracks", own / "moved" / "tracks")
    for main, flags, name in (
        (train_syncnet.main, _syncnet, "syncnet"),
        (train_wav2lip.main, _wav2lip, "wav2lip"),
    ):
        elsewhere = flags(
            tracks, own / name, "--steps", "2", "--data", str(own / "moved" / "tracks")
        )
        code, _, error = run_main(main, elsewhere, capsys)
        assert code == 0, error
        write_noise(own / name / "tracks", clips=2, frames=FRAMES, seed=3)
        other = flags(tracks, own / name, "--data", str(own / name / "tracks"))
        code, _, error = run_main(main, other, capsys)
        assert code == 2 and "--data (was " in error and error.count("\n") == 1


def test_other_val_or_init_is_another_run(
    tracks: Path, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--val may be added where there was none; weights are compared by what is in them."""
    torch.manual_seed(1)
    for name in ("one", "other"):
        weights.write_own(SyncNet(SHORT), own / f"{name}.safetensors", config=SHORT)
    (own / "same").mkdir()
    shutil.copy(own / "one.safetensors", own / "same" / "one.safetensors")
    run = own / "started"
    start = _syncnet(tracks, run, "--init", str(own / "one.safetensors"))
    assert train_syncnet.main(start) == 0
    code, _, error = run_main(
        train_syncnet.main, [*start[:-1], str(own / "other.safetensors")], capsys
    )
    assert code == 2 and "--init (was one.safetensors (SHA-256 " in error
    write_noise(own / "others", clips=3, frames=FRAMES, seed=4)
    again = [*start[:-1], str(own / "same" / "one.safetensors"), "--val", str(own / "others")]
    again += ["--steps", "2"]
    code, output, error = run_main(train_syncnet.main, again, capsys)
    assert code == 0 and "--val (was none, is others (3 clips of " in output, error
    write_noise(own / "val", clips=1, frames=FRAMES, seed=3)
    code, _, error = run_main(train_syncnet.main, [*again, "--val", str(own / "val")], capsys)
    assert code == 2 and "--val (was others (3 clips of " in error and "--init" not in error


def _spoilt(path: Path, how: str) -> None:
    """A checkpoint that is something else."""
    if how == "text":
        path.write_text("step 7\n")
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-2000])
    elif how == "folder":
        path.unlink()
        path.mkdir()
    else:
        kinds = {"tensor": torch.zeros(3), "list": [1, 2], "number": 3, "dict": {"a": 1}}
        torch.save(kinds[how], path)


@pytest.mark.parametrize(
    "how", ["text", "empty", "cut", "folder", "tensor", "list", "number", "dict"]
)
def test_checkpoint_that_is_something_else_is_one_sentence(
    how: str, tracks: Path, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, before anything is decoded."""
    for main, flags, name in (
        (train_syncnet.main, _syncnet, "syncnet"),
        (train_wav2lip.main, _wav2lip, "wav2lip"),
    ):
        _spoilt(own / name / "checkpoint.pt", how)
        again = flags(tracks, own / name, "--cache", str(own / "unused"))
        code, _, error = run_main(main, again, capsys)
        assert code == 2 and error.count("\n") == 1
        assert f"no checkpoint of this {'script' if how == 'dict' else 'program'}" in error
        assert not (own / "unused").exists()


def test_checkpoint_of_the_other_script_is_refused(
    tracks: Path, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each names the file."""
    for main, flags, name in (
        (train_syncnet.main, _syncnet, "wav2lip"),
        (train_wav2lip.main, _wav2lip, "syncnet"),
    ):
        code, _, error = run_main(main, flags(tracks, own / name), capsys)
        assert code == 2 and "checkpoint.pt is no checkpoint of this script" in error
