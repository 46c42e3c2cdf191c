"""Flags and tables that the evaluations of weights share."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from models.syncnet import SyncNetConfig
from pipeline import cli
from pipeline.progress import Progress, silent
from pipeline.store.files import write_json
from training.data import samples, selection
from training.data.samples import Clip


def parser(
    doc: str | None, *, data: str = "Results folders of run_pipeline.py."
) -> argparse.ArgumentParser:
    """A parser with the flags every evaluation on cropped tracks has; `data` is --data's help."""
    command_parser = cli.plain_parser(doc)
    command_parser.add_argument("--data", type=Path, nargs="+", required=True, help=data)
    command_parser.add_argument(
        "--cache", type=Path, help="Folder of decoded clips. Without it, a temporary one."
    )
    cli.add_device(command_parser)
    command_parser.add_argument("--json", type=Path, help="File for the figures.")
    return command_parser


def tracks(
    data_dirs: list[Path], config: SyncNetConfig, *, cache: Path, progress: Progress = silent
) -> list[Clip]:
    """The clips of data folders as run_syncnet.py sees them; stderr says which are left out.

    Raises:
        InputError: a folder is none of run_pipeline.py, or not one clip can be used.
    """
    files = samples.clip_files(data_dirs)
    loaded = samples.load_clips(files, config, cache=cache, margin=False, progress=progress)
    if loaded.left_out:
        print(selection.in_words(loaded.left_out), file=sys.stderr)
    return loaded.clips


def report(table: dict[str, Any], file: Path | None) -> None:
    """Prints the rows of table["clips"], then the rest as one line; writes all where asked."""
    for name, row in table["clips"].items():
        print(name, row)
    print(json.dumps({key: value for key, value in table.items() if key != "clips"}))
    if file:
        write_json(file, table)
