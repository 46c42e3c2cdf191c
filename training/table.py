"""Compares generators in the form of Wav2Lip's paper: a row each, and one of the real videos.

    python -m training.table --data VAL_TRACKS --out TABLE \\
        --row "Speech2Vid=speech2vid.safetensors" --row "Wav2Lip=wav2lip.safetensors"

Every row is what training.evaluate_mouths says of the checkpoint, on the same clips with the same
sounds: LSE-D and LSE-C with somebody else's sound, by our SyncNet; sharpness of the mouth beside
the real one's, and FID where pytorch-fid and its Inception weights are installed, with the own
sound. The real videos have their own sound. TABLE gets table.md, table.png and table.json, which
holds the figures of every clip, too.
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from models.device import torch_device
from models.files import partial_path
from models.weights import WeightsFile
from pipeline import cli
from pipeline.dubbing.generate import Generator
from pipeline.errors import InputError
from pipeline.progress import Progress, silent
from pipeline.store.files import write_json, write_text
from pipeline.sync.scorer import SyncOptions, SyncScorer
from training import card, evaluate_mouths
from training.data import samples

REAL = "Real videos"
SAID_BY_CARD = ("steps", "command")


@dataclass(frozen=True)
class Column:
    """One figure of the table.

    Attributes:
        title: with an arrow to the better side.
        figure: its name among those of training.evaluate_mouths.
        real: the same of the real videos; a number where it needs no measuring, None for none.
        digits: after the point.
    """

    title: str
    figure: str
    real: str | float | None
    digits: int

    def shown(self, value: float | None) -> str:
        """A figure as it stands in the table."""
        return "-" if value is None else f"{value:.{self.digits}f}"


COLUMNS = (
    Column("LSE-D ↓", "lse_d", "real_lse_d", 2),
    Column("LSE-C ↑", "lse_c", "real_lse_c", 2),
    Column("FID ↓", "fid", None, 1),
    Column("Sharpness", "sharpness", 1.0, 2),
)


@dataclass(frozen=True)
class Row:
    """One generator.

    Attributes:
        name: as it is called in the table.
        weights_file: name and digest.
        made: steps and command of its model card, where one lies beside it.
        table: of training.evaluate_mouths.
    """

    name: str
    weights_file: WeightsFile
    made: dict[str, Any]
    table: dict[str, Any]

    def values(self) -> list[float | None]:
        """By column; None where it has not been measured."""
        return [self.table.get(column.figure) for column in COLUMNS]

    def real_values(self) -> list[float | None]:
        """The same of the real videos."""
        return [
            self.table.get(column.real) if isinstance(column.real, str) else column.real
            for column in COLUMNS
        ]


def measured(
    checkpoints: dict[str, Path],
    data_dirs: list[Path],
    scorer: SyncScorer,
    *,
    cache: Path,
    pictures: Path | None = None,
    seed: int = 1,
    progress: Progress = silent,
) -> list[Row]:
    """A row for every checkpoint, on the same clips, sounds and references.

    Args:
        checkpoints: by the name of the row.
        data_dirs: results folders of run_pipeline.py.
        scorer: the judge.
        cache: folder of decoded clips.
        pictures: folder that gets one of each row, see training.evaluate_mouths; None: none.
        seed: of everything random.
        progress: called after each row.

    Raises:
        InputError: no clip is long enough.
        WeightsError: a file is no generator.
    """
    files = samples.clip_files(data_dirs)
    generators: dict[str, tuple[Generator, WeightsFile]] = {  # all are looked at before the first
        name: evaluate_mouths.load_generator(file, device=scorer.device)
        for name, file in checkpoints.items()
    }
    rows = []
    for number, (name, (generator, weights_file)) in enumerate(generators.items(), start=1):
        folder = pictures / checkpoints[name].stem if pictures else None
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        table = evaluate_mouths.evaluate(
            files, generator, scorer, cache=cache, pictures=folder, seed=seed
        )
        about = card.read(checkpoints[name]) or {}
        made: dict[str, Any] = {key: about[key] for key in SAID_BY_CARD if key in about}
        rows.append(Row(name, weights_file, made, table))
        progress("rows of the table", number, len(generators))
    return rows


def cells(rows: list[Row]) -> list[tuple[str, list[float | None]]]:
    """Names and figures of all rows, the real videos' last, by the columns that are measured."""
    everything = [(row.name, row.values()) for row in rows]
    everything.append((REAL, rows[0].real_values()))
    return [(name, [values[at] for at in _measured_columns(rows)]) for name, values in everything]


def _measured_columns(rows: list[Row]) -> list[int]:
    return [
        at
        for at in range(len(COLUMNS))
        if any(value is not None for value in (row.values()[at] for row in rows))
    ]


def markdown(rows: list[Row], judge: str) -> str:
    """The table as Markdown, with what it is of.

    Args:
        rows: at least one.
        judge: name of the SyncNet's weights.
    """
    columns = [COLUMNS[at] for at in _measured_columns(rows)]
    lines = [
        f"| | {' | '.join(column.title for column in columns)} |",
        f"|---|{'---:|' * len(columns)}",
    ]
    for name, values in cells(rows):
        shown = (column.shown(value) for column, value in zip(columns, values, strict=True))
        lines.append(f"| {name} | {' | '.join(shown)} |")
    first = rows[0].table
    lines += [
        "",
        f"LSE of {first['foreign_sound_clips']} clips with somebody else's sound, judged by "
        f"{judge}; sharpness of {first['own_sound_clips']} clips with their own, the real mouth's "
        "is 1.",
    ]
    if len(columns) < len(COLUMNS):
        lines.append("FID is not there: pytorch-fid or its Inception weights are not installed.")
    lines.append("")
    for row in rows:
        steps = f", {row.made['steps']} steps" if "steps" in row.made else ""
        lines.append(f"- {row.name}: `{row.weights_file.file}`{steps}")
        if "command" in row.made:
            lines.append(f"  `{row.made['command']}`")
    return "\n".join(lines) + "\n"


def picture(rows: list[Row]) -> Figure:
    """The same as bars, a panel for each figure."""
    columns = [COLUMNS[at] for at in _measured_columns(rows)]
    table = cells(rows)
    names = [name for name, _ in table]
    size = 2.5 + 2.6 * len(columns), 0.8 + 0.4 * len(names)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    for at, (axis, column) in enumerate(zip(axes, columns, strict=True)):
        values = [row[at] for _, row in table]
        lengths = [0.0 if value is None else value for value in values]
        colours = ["tab:blue"] * len(rows) + ["tab:green"]
        bars = axis.barh(range(len(names)), lengths, color=colours)
        axis.bar_label(bars, [column.shown(value) for value in values], padding=2)
        axis.set_title(column.title)
        axis.margins(x=0.2)
        axis.set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    return figure


def as_json(rows: list[Row], judge: WeightsFile) -> dict[str, Any]:
    """Everything, for programs: figures in full, and of every clip."""
    return {
        "syncnet": {"file": judge.file, "sha256": judge.sha256},
        "rows": [
            {
                "name": row.name,
                "file": row.weights_file.file,
                "sha256": row.weights_file.sha256,
                **row.made,
                **row.table,
            }
            for row in rows
        ],
    }


def write(rows: list[Row], judge: WeightsFile, folder: Path) -> str:
    """Writes table.md, table.png and table.json; returns the Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    text = markdown(rows, judge.file)
    write_text(folder / "table.md", text)
    partial = partial_path(folder / "table.png")
    picture(rows).savefig(partial, dpi=100, format="png")
    partial.replace(folder / "table.png")
    write_json(folder / "table.json", as_json(rows, judge))
    return text


def checkpoints_of(words: list[str]) -> dict[str, Path]:
    """The files of NAME=FILE words, by name.

    Raises:
        InputError: one has no name or no file, or two have the same name.
    """
    files: dict[str, Path] = {}
    for word in words:
        name, _, file = word.partition("=")
        if not (name.strip() and file.strip()):
            raise InputError(f"--row {word} is not NAME=FILE; see --help.")
        if name in files or name == REAL:
            raise InputError(f"--row {word}: a row is called {name} already; take another name.")
        files[name] = Path(file)
    return files


def build_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = cli.plain_parser(__doc__)
    # fmt: off
    add = parser.add_argument
    add("--data", type=Path, nargs="+", required=True,
        help="Results folders of run_pipeline.py, of people none of the networks has seen.")
    add("--row", action="append", required=True, metavar="NAME=FILE",
        help="A row: what it is called, and its weights file. Once for each row, in their order.")
    add("--out", type=Path, required=True, help="Folder for table.md, table.png and table.json.")
    add("--pictures", action="store_true",
        help="Also leave a contact sheet and a video of each row there, side by side with the "
        "real clips.")
    add("--initial_model", default="auto", help="SyncNet weights that judge.")
    add("--cache", type=Path, help="Folder of decoded clips. Without it, a temporary one.")
    add("--seed", type=int, default=1, help="Seed of everything random.")
    # fmt: on
    cli.add_device(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Prints the table, and writes it."""
    args = build_parser().parse_args(argv)
    checkpoints = checkpoints_of(args.row)
    for name, file in checkpoints.items():
        if not file.is_file():
            raise InputError(f"--row {name}: {file} is not a file; give a checkpoint.")
    scorer = SyncScorer(SyncOptions(args.initial_model), device=torch_device(args.device))
    with tempfile.TemporaryDirectory() as passing, cli.progress_bars() as progress:
        rows = measured(
            checkpoints,
            args.data,
            scorer,
            cache=args.cache or Path(passing),
            pictures=args.out if args.pictures else None,
            seed=args.seed,
            progress=progress,
        )
    print(write(rows, scorer.model.weights_file, args.out))
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
