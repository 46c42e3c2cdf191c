"""Rows of a table of flags: for each flag of a script a test with two of its values.

A row is a function named `row` with the script and the flag it is for; a flag of the script's
parser without a row is an error of its own.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Row = Callable[[Any], None]


@dataclass
class FlagTable:
    """The flags of some scripts.

    Attributes:
        parsers: builds the parser of each script, by its name.
        rows: by script and flag, the flag without dashes.
    """

    parsers: dict[str, Callable[[], argparse.ArgumentParser]]
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)

    def row(self, script: str, flag: str) -> Callable[[Row], Row]:
        """Decorates the test of one flag."""

        def register(test: Row) -> Row:
            assert (script, flag) not in self.rows, f"two rows for --{flag} of {script}"
            self.rows[script, flag] = test
            return test

        return register

    def flags(self) -> set[tuple[str, str]]:
        """Every flag of every parser, --help aside."""
        return {
            (script, action.dest)
            for script, build in self.parsers.items()
            for action in build()._actions
            if action.dest != "help"
        }
