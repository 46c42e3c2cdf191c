"""Presets of the training scripts: what they stand for, who wins, and where it is recorded."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import train_syncnet
import train_wav2lip
from training.presets import syncnet, wav2lip
from training.presets.preset import Preset, Presets, expanded, in_words
from training.tasks import syncnet_options, wav2lip_options

ROWS: Presets = {"fast": Preset("a quick look", "--lr 0.1 --refine_at --names 'a b' c")}
SCRIPTS: dict[str, tuple[Any, Presets, Callable[..., Any]]] = {
    "train_syncnet.py": (train_syncnet, syncnet.PRESETS, syncnet_options.TrainOptions),
    "train_wav2lip.py": (train_wav2lip, wav2lip.PRESETS, wav2lip_options.TrainOptions),
}
ALL = [(script, name) for script, (_, presets, _) in SCRIPTS.items() for name in presets]


@pytest.mark.parametrize("words", [["--preset", "fast"], ["--preset=fast"], ["--pres", "fast"]])
def test_flags_of_a_preset_come_before_those_typed(words: list[str]) -> None:
    """So that the typed ones, before or after it, win; shortened as argparse allows."""
    argv = ["--lr", "1", *words, "--data", "d"]
    own = ["--lr", "0.1", "--refine_at", "--names", "a b", "c"]
    assert expanded(argv, ROWS) == [*own, *argv]


@pytest.mark.parametrize("words", [[], ["--preset"], ["--preset", "slow"], ["--seed", "1"]])
def test_without_a_preset_of_that_name_nothing_is_added(words: list[str]) -> None:
    assert expanded(words, ROWS) == words


def test_help_names_every_preset_with_its_flags() -> None:
    assert "fast: a quick look (--lr 0.1 --refine_at --names 'a b' c)." in in_words(ROWS)


@pytest.mark.parametrize(("script", "name"), ALL)
def test_every_preset_makes_options_of_its_script(script: str, name: str) -> None:
    """Also a required flag may be one of a preset's; flags typed win over it."""
    module, presets, options = SCRIPTS[script]
    words = ["--preset", name, "--data", "d", "--run", "r", "--lr", "0.25"]
    made = options(**vars(module.build_parser().parse_args(expanded(words, presets))))
    assert made.preset == name and made.lr == 0.25
    flags = shlex.split(presets[name].flags)
    assert "--lr" in flags and "--preset" not in flags
    named = [flag for flag in flags if flag.startswith("--")]
    assert len(set(named)) == len(named)


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_script_itself_reads_presets(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its options hold the preset's name and values, of its words or of the command line's."""
    module, presets, _ = SCRIPTS[script]
    name, preset = next(iter(presets.items()))
    made: list[Any] = []

    def train(options: Any, **_: Any) -> int:
        made.append(options)
        return 0

    monkeypatch.setattr(module, "train", train)
    words = ["--preset", name, "--data", "d", "--run", str(tmp_path)]
    monkeypatch.setattr("sys.argv", [script, *words])
    assert module.main(words) == module.main() == 0
    rate = float(preset.flags.partition("--lr ")[2].split()[0])
    assert [(one.preset, one.lr) for one in made] == [(name, rate)] * 2
