"""Shared by the measuring scripts: the parser, tables, drawn boxes."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path("..") / "shared"  # where the unpublished data is, seen from the repository root

GREEN, RED, MAGENTA, GREY = (0, 200, 0), (0, 0, 255), (255, 0, 255), (160, 160, 160)  # BGR


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that shows defaults, with the flag every script has."""
    command_parser = argparse.ArgumentParser(
        description=(description or "").partition("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command_parser.add_argument("--json", type=Path, help="file for the figures")
    return command_parser


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints columns: the first to the left, the others to the right; floats with two digits."""
    texts = [
        [f"{value:.2f}" if isinstance(value, float) else str(value) for value in row]
        for row in [header, *rows]
    ]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for text in texts:
        first, *rest = zip(text, widths, strict=True)
        print("  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]))


def verdict(name: str, value: float, bar: float, *, at_most: bool) -> bool:
    """Prints one figure beside its bar and says whether it is met."""
    met = value <= bar if at_most else value >= bar
    print(
        f"{name}: {value:.2f} (bar {'<=' if at_most else '>='} {bar:g}) {'ok' if met else 'MISSED'}"
    )
    return met


def draw_boxes(
    image: np.ndarray, boxes: np.ndarray, colour: tuple[int, int, int], *, enlarged: float = 1.0
) -> None:
    """Draws (n, 4) or (n, 5) boxes, the fifth column as text.

    Args:
        image: (H, W, 3) uint8 BGR, changed in place.
        boxes: x1 y1 x2 y2 [score] in pixels of the picture before it was enlarged.
        colour: BGR.
        enlarged: factor between the two.
    """
    for box in boxes:
        x1, y1, x2, y2 = (round(float(value) * enlarged) for value in box[:4])
        cv2.rectangle(image, (x1, y1), (x2, y2), colour, 1)
        if len(box) > 4:
            text = f"{box[4]:.2f}"
            cv2.putText(image, text, (x1, y2 + 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, 1)
