"""A preset stands for flags: `--preset NAME` is as if they were typed first.

So a flag that is typed, before or after, wins over the preset's, and everything that checks,
records and compares flags sees those of a preset as well.
"""

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """One system of the family.

    Attributes:
        about: what it trains, in a few words, for --help.
        flags: of the script, as they are typed.
    """

    about: str
    flags: str


Presets = Mapping[str, Preset]


def in_words(presets: Presets) -> str:
    """Help of --preset: what each stands for."""
    rows = "; ".join(f"{name}: {one.about} ({one.flags})" for name, one in presets.items())
    return f"Sets other flags, unless they are given, too. {rows}."


def expanded(argv: Sequence[str] | None, presets: Presets) -> list[str]:
    """The words of a command line, those that its preset stands for put first.

    Without `argv` they are those that the script was started with, as for argparse.

    A preset that does not exist changes nothing: the script's own parser says so.
    """
    words = sys.argv[1:] if argv is None else argv
    only_preset = argparse.ArgumentParser(add_help=False)
    only_preset.add_argument("--preset", nargs="?")
    name = only_preset.parse_known_args(words)[0].preset
    return [*(shlex.split(presets[name].flags) if name in presets else []), *words]
