"""Pixels of a stored picture as colours, and changed colours back: only what changed is written.

A picture that goes through BGR as a whole loses colour, because four pixels share one value of
it. Here a rectangle is read, and of the stored picture only what was changed in it is replaced.
"""

import functools

import cv2
import numpy as np

from pipeline.media.planes import Picture

# Shares of red and blue in brightness (ITU-R BT.601, BT.709 and BT.2020).
LUMA_SHARES = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}
BLACK, LUMA_LEVELS, CHROMA_LEVELS = 16, 219, 224  # limited range; full: 0, 255, 255
CHROMA_MIDDLE = 128
MAX_LEVEL = 255


def cut_bgr(
    picture: Picture,
    rows: slice,
    columns: slice,
    *,
    matrix: str,
    full_range: bool = False,
    exact: bool = False,
) -> np.ndarray:
    """The colours of a rectangle; each pixel has the colour that its block of 2x2 shares.

    Args:
        picture: planes.
        rows, columns: of the brightness, inside the picture; they may be odd.
        matrix: "bt601", "bt709" or "bt2020".
        full_range: levels 0 to 255 stand for black and white, not 16 to 235.
        exact: neither rounded nor clipped: `put_bgr` then changes levels by what was changed,
            also where they stand for no colour, as in highlights above 235.

    Returns:
        (h, w, 3) uint8 BGR, or float32 for `exact`; a copy.
    """
    first_row, first_column = rows.start // 2, columns.start // 2
    end_row, end_column = -(-rows.stop // 2), -(-columns.stop // 2)
    half = slice(first_row, end_row), slice(first_column, end_column)
    inside = (
        slice(rows.start - 2 * first_row, rows.stop - 2 * first_row),
        slice(columns.start - 2 * first_column, columns.stop - 2 * first_column),
    )
    u, v = (_doubled(plane[half])[inside] for plane in (picture.u, picture.v))
    stored = cv2.merge([picture.y[rows, columns], u, v])
    if exact:
        stored = stored.astype(np.float32)
    return np.asarray(cv2.transform(stored, _to_bgr(matrix, full_range)))


def put_bgr(
    picture: Picture,
    rows: slice,
    columns: slice,
    before: np.ndarray,
    after: np.ndarray,
    *,
    matrix: str,
    full_range: bool = False,
) -> None:
    """Writes what was changed in a rectangle, in place; everything else keeps its bits.

    Brightness changes where a pixel did, colour in the blocks of 2x2 with a changed pixel.

    Args:
        picture: planes, writable.
        rows, columns: where `before` was cut.
        before, after: (h, w, 3) BGR, uint8 or float32: what `cut_bgr` gave, and what it is to be.
        matrix, full_range: as for `cut_bgr`.
    """
    change = cv2.subtract(after, before, dtype=cv2.CV_32F)
    y, u, v = cv2.split(cv2.transform(change, _to_yuv(matrix, full_range)))
    _add(picture.y[rows, columns], y)
    height, width = picture.y.shape
    top, bottom, vertical = _to_even(rows, height)
    left, right, horizontal = _to_even(columns, width)
    half = (
        slice((rows.start - top) // 2, (rows.stop + bottom) // 2),
        slice((columns.start - left) // 2, (columns.stop + right) // 2),
    )
    for plane, levels in ((picture.u, u), (picture.v, v)):
        whole = cv2.copyMakeBorder(levels, top, bottom, 0, 0, vertical)
        whole = cv2.copyMakeBorder(whole, 0, 0, left, right, horizontal)
        shape = whole.shape[1] // 2, whole.shape[0] // 2
        _add(plane[half], cv2.resize(whole, shape, interpolation=cv2.INTER_AREA))


def _doubled(plane: np.ndarray) -> np.ndarray:
    height, width = plane.shape
    return cv2.resize(plane, (2 * width, 2 * height), interpolation=cv2.INTER_NEAREST)


def _add(levels: np.ndarray, change: np.ndarray) -> None:
    """In place, rounded and clipped."""
    levels[:] = cv2.add(levels, change, dtype=cv2.CV_8U)


def _to_even(part: slice, size: int) -> tuple[int, int, int]:
    """Pixels before and after that complete the blocks of 2x2, and what stands for their change.

    Inside the picture they do not change. Beyond an odd edge there are none, and the block is its
    last row or column alone.
    """
    missing = part.stop % 2
    beyond = missing and part.stop == size
    return part.start % 2, missing, cv2.BORDER_REPLICATE if beyond else cv2.BORDER_CONSTANT


@functools.cache
def _to_yuv(matrix: str, full_range: bool) -> np.ndarray:
    """(3, 3) float64: changes of BGR to changes of levels."""
    red, blue = LUMA_SHARES[matrix]
    luma = np.array([blue, 1 - red - blue, red])
    u, v = ([1, 0, 0] - luma) / (2 * (1 - blue)), ([0, 0, 1] - luma) / (2 * (1 - red))
    levels = np.array([LUMA_LEVELS, CHROMA_LEVELS, CHROMA_LEVELS]) / MAX_LEVEL
    return np.stack([luma, u, v]) * (1 if full_range else levels[:, None])


@functools.cache
def _to_bgr(matrix: str, full_range: bool) -> np.ndarray:
    """(3, 4) float64: levels to BGR, with what is added in the last column."""
    inverse = np.linalg.inv(_to_yuv(matrix, full_range))
    black = np.array([0 if full_range else BLACK, CHROMA_MIDDLE, CHROMA_MIDDLE])
    return np.column_stack([inverse, -inverse @ black])
