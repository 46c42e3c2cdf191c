"""Pictures as video stores them: marks drawn on them, rectangles read as colours and written back.

yuv420p: one plane of brightness and two of colour at half the size, 16 to 235. Drawing on it is a
third of the work of going through BGR, and a picture that goes through BGR as a whole loses
colour, because four pixels share one value of it: only what was changed in a rectangle is replaced.
"""

import functools
import re
from dataclasses import dataclass

import cv2
import numpy as np

Point = tuple[int, int]  # x, y in pixels of the brightness
Bgr = tuple[int, int, int]  # blue, green, red
# Shares of red and blue in brightness (ITU-R BT.601, BT.709 and BT.2020).
LUMA_SHARES = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}
BLACK, LUMA_LEVELS, CHROMA_LEVELS = 16, 219, 224  # limited range; full: 0, 255, 255
CHROMA_MIDDLE = 128
MAX_LEVEL = 255
HD_LINES = 720  # untagged pictures from this height on are BT.709, as players take them

# ffmpeg's names of colour matrices to the three that differ.
MATRICES = {
    **dict.fromkeys(("bt709",), "bt709"),
    **dict.fromkeys(("bt2020nc", "bt2020c"), "bt2020"),
    **dict.fromkeys(("smpte170m", "bt470bg", "fcc", "smpte240m"), "bt601"),
}
HDR_TRANSFERS = {"smpte2084": "PQ", "arib-std-b67": "HLG"}


@dataclass(frozen=True)
class Colour:
    """How brightness and colour difference stand for colours.

    Attributes:
        matrix: bt601, bt709 or bt2020.
        primaries, transfer: ffmpeg's names of what the file says, None where it says nothing.
        tagged: whether the file names its matrix; else it is guessed by height, as players do.
    """

    matrix: str = "bt601"
    primaries: str | None = None
    transfer: str | None = None
    tagged: bool = False

    @property
    def matrix_name(self) -> str:
        """ffmpeg's name of the matrix."""
        return {"bt601": "smpte170m", "bt709": "bt709", "bt2020": "bt2020nc"}[self.matrix]

    @property
    def hdr(self) -> str | None:
        """PQ or HLG for high dynamic range, else None."""
        return HDR_TRANSFERS.get(self.transfer or "")


def colour_of_log(log: bytes, *, height_px: int) -> Colour:
    """The colours that ffmpeg's showinfo prints; guessed by height where it prints none."""
    tags = re.search(
        rb"^\[Parsed_showinfo_1 @ [^\]]*\] *color_range:\S+ color_space:(\S+) "
        rb"color_primaries:(\S+) color_trc:(\S+)",
        log,
        re.MULTILINE,
    )
    space, primaries, transfer = (
        (name.decode() for name in tags.groups()) if tags else ("unknown",) * 3
    )
    matrix = MATRICES.get(space)
    return Colour(
        matrix=matrix or ("bt709" if height_px >= HD_LINES else "bt601"),
        primaries=None if primaries == "unknown" else primaries,
        transfer=None if transfer == "unknown" else transfer,
        tagged=matrix is not None,
    )


@dataclass(frozen=True)
class Picture:
    """One picture; drawing changes its buffer.

    Attributes:
        buffer: (bytes,) uint8, the planes one after the other.
        y: (H, W) view of it, brightness.
        u, v: (H / 2, W / 2) views, rounded up: how blue, how red.
    """

    buffer: np.ndarray
    y: np.ndarray
    u: np.ndarray
    v: np.ndarray


def buffer_bytes(size_px: tuple[int, int]) -> int:
    """Of a picture of this (width, height)."""
    return size_px[0] * size_px[1] + 2 * -(-size_px[0] // 2) * -(-size_px[1] // 2)


def picture(buffer: np.ndarray, *, size_px: tuple[int, int]) -> Picture:
    """The planes of a (`buffer_bytes`,) uint8 buffer; views, nothing is copied."""
    width, height = size_px
    half = -(-height // 2), -(-width // 2)
    y, u, v = np.split(buffer, [width * height, width * height + half[0] * half[1]])
    return Picture(buffer, y.reshape(height, width), u.reshape(half), v.reshape(half))


def even_sides(stored: Picture) -> np.ndarray:
    """The buffer of a picture with one more column or row where a side is odd, the last one again.

    Encoders want even sides, and ffmpeg's filters leave a black line there. Bgr has as many
    rows and columns as before: a picture of even sides is returned as it is.
    """
    bottom, right = stored.y.shape[0] % 2, stored.y.shape[1] % 2
    if not bottom and not right:
        return stored.buffer
    y = cv2.copyMakeBorder(stored.y, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    return np.concatenate([plane.ravel() for plane in (y, stored.u, stored.v)])


def rectangle(on: Picture, corner: Point, opposite: Point, colour: Bgr, *, line_px: int) -> None:
    """Draws a frame; what is outside the picture is left out."""
    y, u, v = _levels(colour)
    cv2.rectangle(on.y, corner, opposite, y, line_px)
    for plane, level in ((on.u, u), (on.v, v)):
        cv2.rectangle(plane, _half(corner), _half(opposite), level, line_px // 2 + 1)


def text(
    on: Picture, words: str, corner: Point, colour: Bgr, *, scale: float, line_px: int
) -> None:
    """Writes words whose lower left is `corner`; `scale` is OpenCV's."""
    font = cv2.FONT_HERSHEY_SIMPLEX
    y, u, v = _levels(colour)
    cv2.putText(on.y, words, corner, font, scale, y, line_px)
    for plane, level in ((on.u, u), (on.v, v)):
        cv2.putText(plane, words, _half(corner), font, scale / 2, level, line_px // 2 + 1)


def _half(point: Point) -> Point:
    return point[0] // 2, point[1] // 2


@functools.lru_cache(maxsize=1024)
def _levels(colour: Bgr) -> tuple[int, int, int]:
    """Brightness and the two colour levels of one colour."""
    block = np.full((2, 2, 3), colour, np.uint8)
    stored = cv2.cvtColor(block, cv2.COLOR_BGR2YUV_I420).ravel()
    return int(stored[0]), int(stored[4]), int(stored[5])


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
        padded = cv2.copyMakeBorder(levels, top, bottom, 0, 0, vertical)
        padded = cv2.copyMakeBorder(padded, 0, 0, left, right, horizontal)
        shape = padded.shape[1] // 2, padded.shape[0] // 2
        _add(plane[half], cv2.resize(padded, shape, interpolation=cv2.INTER_AREA))


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
