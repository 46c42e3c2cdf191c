"""The recipes: every command parses, says every flag, and takes weights that are there by then."""

import argparse
import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import run_pipeline
import train_syncnet
import train_wav2lip
from tests.conftest import REPO
from tests.readme_kit import started
from training import calibrate, detector, evaluate_expert, evaluate_mouths, table
from training.presets import syncnet, wav2lip
from training.presets.preset import Presets, expanded
from training.tasks.syncnet_options import TrainOptions as SyncNetOptions
from training.tasks.wav2lip_options import TrainOptions as Wav2LipOptions

IN_ORDER = (
    *("tracks", "detector", "syncnet", "judge", "expert", "generator"),
    *("siamese", "cosine_expert", "table"),
)
PARSERS: dict[str, Callable[[], argparse.ArgumentParser]] = {
    "run_pipeline.py": run_pipeline.build_parser,
    "train_syncnet.py": train_syncnet.build_parser,
    "train_wav2lip.py": train_wav2lip.build_parser,
    "training.calibrate": calibrate.build_parser,
    "training.detector": detector.build_parser,
    "training.table": table.build_parser,
}
# What --preset stands for is said as well.
SAID_BY_PRESETS: dict[str, Presets] = {
    "train_syncnet.py": syncnet.PRESETS,
    "train_wav2lip.py": wav2lip.PRESETS,
}
EVALUATIONS: dict[str, Callable[[], argparse.ArgumentParser]] = {
    "training.evaluate_expert": evaluate_expert.build_parser,
    "training.evaluate_mouths": evaluate_mouths.build_parser,
}
OPTIONS: dict[str, Callable[..., object]] = {
    "train_syncnet.py": SyncNetOptions,
    "train_wav2lip.py": Wav2LipOptions,
    "training.detector": detector.TrainOptions,
}
WEIGHTS = ("init", "teacher", "expert")


def _commands(name: str, folder: Path, **variables: str) -> list[tuple[str, list[str]]]:
    """Script and flags of every command that a recipe starts, with the folders it names itself.

    Those that a preset stands for are among them.
    """
    for video in ("talks/a b.mp4", "talks/c.mov", "note.txt"):
        (folder / "corpus/train" / video).parent.mkdir(parents=True, exist_ok=True)
        (folder / "corpus/train" / video).touch()
    commands = started((REPO / "recipes" / f"{name}.sh").read_text("utf-8"), folder, **variables)
    named = [
        (words[1], words[2:]) if words[0] == "-m" else (words[0], words[1:]) for words in commands
    ]
    return [(script, expanded(words, SAID_BY_PRESETS.get(script, {}))) for script, words in named]


def _card_commands(card: object) -> Iterator[str]:
    """Every command of a model card, those of earlier runs included."""
    entries = card.items() if isinstance(card, dict) else []
    for name, entry in entries:
        if name == "command":
            yield entry
        else:
            yield from _card_commands(entry)


def test_commands_of_model_cards_have_flags_of_today() -> None:
    """Those of the bundled weights, whatever version of a script ran then."""
    for file in sorted((REPO / "models/weights").glob("*.json")):
        commands = list(_card_commands(json.loads(file.read_text("utf-8"))))
        assert commands, file
        for command in commands:
            words = shlex.split(command)[1:]
            script = words.pop(0) if words[0] != "-m" else (words.pop(0), words.pop(0))[1]
            (PARSERS | EVALUATIONS)[script]().parse_args(words)


def test_every_recipe_is_known_here_and_can_be_started() -> None:
    """Each stops at the first command that fails."""
    files = sorted((REPO / "recipes").iterdir())
    scripts = [file for file in files if file.suffix == ".sh"]
    assert [file.name for file in scripts] == sorted(f"{name}.sh" for name in IN_ORDER)
    assert [file.name for file in files if file not in scripts] == [
        "in_sync.txt",
        "one_speaker.txt",
        "set_aside.txt",
    ]
    for file in scripts:
        assert os.access(file, os.X_OK) and "\nset -eu\n" in file.read_text("utf-8")


@pytest.mark.parametrize("name", IN_ORDER)
def test_recipe_says_every_flag_of_its_scripts(name: str, tmp_path: Path) -> None:
    """Another default of tomorrow makes no other weights; what is unset by default may be."""
    commands = _commands(name, tmp_path)
    assert commands
    for script, words in commands:
        parser = PARSERS[script]()
        flags = parser.parse_args(words)
        if script in OPTIONS:
            OPTIONS[script](**vars(flags))
        for action in parser._actions:
            if action.nargs != 0 and action.default is not None:
                assert f"--{action.dest}" in words, (name, script, action.dest)


def test_recipes_take_weights_of_a_file_that_is_there_by_then(tmp_path: Path) -> None:
    """Never "auto", which is another file on another machine; no folder is trained in twice."""
    names = {f"models/weights/{file.name}" for file in (REPO / "models/weights").iterdir()}
    runs: list[str] = []
    for name in IN_ORDER:
        for script, words in _commands(name, tmp_path / name):
            flags = vars(PARSERS[script]().parse_args(words))
            assert flags.get("detector", "small") == "small" and flags["device"] == "cpu"
            if script == "run_pipeline.py":
                continue
            if script == "training.table":
                assert {str(file) for file in table.checkpoints_of(flags["row"]).values()} <= names
                assert flags["initial_model"] in names
                continue
            if script == "training.calibrate":
                assert str(flags["weights"]) in names
                names.add(str(flags["export"]))
                continue
            for flag in WEIGHTS:
                path = flags.get(flag)
                assert path in (None, "none") or str(path) in names, (name, flag, path)
            runs.append(str(flags["run"]))
            names.add(str(flags["export"]))
    assert len(set(runs)) == len(runs)


def test_recipe_of_tracks_names_results_after_the_path_of_a_video(tmp_path: Path) -> None:
    """Files that are no videos are left alone."""
    options = [
        PARSERS[script]().parse_args(words) for script, words in _commands("tracks", tmp_path)
    ]
    assert [(flags.reference, str(flags.videofile)) for flags in options] == [
        ("talks-a b", "corpus/train/talks/a b.mp4"),
        ("talks-c", "corpus/train/talks/c.mov"),
    ]


def test_people_set_aside_are_left_out_or_taken_alone(tmp_path: Path) -> None:
    """By the names of their results, whole lines."""
    (tmp_path / "names.txt").write_text("talks-a b\nc\n")
    taken = {}
    for variable in ("WITHOUT", "ONLY"):
        commands = _commands("tracks", tmp_path, **{variable: "names.txt"})
        taken[variable] = [PARSERS[script]().parse_args(words) for script, words in commands]
    assert [flags.reference for flags in taken["WITHOUT"]] == ["talks-c"]
    assert [flags.reference for flags in taken["ONLY"]] == ["talks-a b"]


@pytest.mark.parametrize(("code", "tried", "expected_code"), [(2, 2, 0), (1, 2, 0), (130, 1, 130)])
def test_recipe_of_tracks_goes_on_after_a_bad_video_and_ends_when_stopped(
    code: int, tried: int, expected_code: int, tmp_path: Path
) -> None:
    """What is left out is named."""
    (tmp_path / "corpus/train").mkdir(parents=True)
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "corpus/train" / name).touch()
    shell = shutil.which("sh")
    assert shell is not None
    (tmp_path / "python").write_text(f"#!{shell}\necho tried\nexit {code}\n")
    (tmp_path / "python").chmod(0o755)
    done = subprocess.run(
        [shell, str(REPO / "recipes" / "tracks.sh")],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == expected_code and done.stdout.count("tried") == tried
    assert done.stderr.count("left out: corpus/train/") == (tried if expected_code == 0 else 0)
