"""What the evaluations of weights share: flags, and a table that people and programs can read."""

import argparse
import json
from pathlib import Path
from typing import Any

from pipeline.workspace import write_json


def parser(description: str) -> argparse.ArgumentParser:
    """A parser with the flags every evaluation on cropped tracks has."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    made.add_argument("--data", type=Path, nargs="+", required=True, help="data_dirs")
    made.add_argument("--cache", type=Path, help="decoded clips; unset: a passing folder")
    made.add_argument("--device", default="auto")
    made.add_argument("--json", type=Path, help="file for the figures")
    return made


def report(table: dict[str, Any], file: Path | None) -> None:
    """Prints the rows of table["clips"], then the rest as one line; writes all where asked."""
    for name, row in table["clips"].items():
        print(name, row)
    print(json.dumps({key: value for key, value in table.items() if key != "clips"}))
    if file:
        write_json(file, table)
