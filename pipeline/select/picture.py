"""A selection as a picture: what stays by confidence, offset and length, and why the rest goes."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.files import partial_path
from pipeline.select.choose import Candidate

BINS = 40
COLOURS = ("#2a9d4f", "#c0c0c0")  # what stays, what is dropped


def draw(candidates: Sequence[Candidate], path: Path) -> None:
    """Writes the picture.

    Args:
        candidates: of a selection.
        path: of the file, .png.
    """
    figure = Figure(figsize=(12, 8), layout="constrained")
    axes = figure.subplots(2, 2)
    selected = [one for one in candidates if not one.reason]
    dropped = [one for one in candidates if one.reason]
    seconds = sum(one.seconds for one in selected)
    figure.suptitle(
        f"{len(selected)} of {len(candidates)} tracks stay, {seconds / 3600:.2f} hours of "
        f"{sum(one.seconds for one in candidates) / 3600:.2f}"
    )
    for axis, name, label in (
        (axes[0, 0], "confidence", "confidence"),
        (axes[0, 1], "offset_ms", "offset, ms (sound early > 0)"),
        (axes[1, 0], "seconds", "length, s"),
    ):
        _histogram(axis, [selected, dropped], name)
        axis.set_xlabel(label)
        axis.set_ylabel("tracks")
    if axes[0, 0].patches:  # no track may have a confidence
        axes[0, 0].legend()
    _reasons(axes[1, 1], dropped)
    figure.savefig(partial_path(path), format="png", dpi=100)
    partial_path(path).replace(path)


def _histogram(axis: Axes, parts: Sequence[Sequence[Candidate]], name: str) -> None:
    values = [
        [float(value) for one in part if (value := getattr(one, name)) is not None]
        for part in parts
    ]
    if any(values):
        axis.hist(values, bins=BINS, stacked=True, color=COLOURS, label=["stays", "dropped"])


def _reasons(axis: Axes, dropped: Sequence[Candidate]) -> None:
    counts = Counter(one.reason for one in dropped).most_common()[::-1]
    names = [name for name, _ in counts]
    bars = axis.barh(names, [count for _, count in counts], color=COLOURS[1])
    axis.bar_label(bars)
    axis.set_xlabel("tracks dropped")
