"""Colours of stored pictures: equal to ffmpeg's, unchanged outside the rectangle."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.media import yuv
from pipeline.media.yuv import Picture
from tests.synthetic import ffmpeg

MATRICES = sorted(yuv.LUMA_SHARES)
PATCH_PX = 8
ODD_PX = (63, 41)


def _picture(seed: int, *, size_px: tuple[int, int] = ODD_PX) -> Picture:
    """Every level there is, also those that stand for no colour."""
    levels = np.random.default_rng(seed).integers(0, 256, yuv.buffer_bytes(size_px), np.uint8)
    return yuv.picture(levels, size_px=size_px)


def _smooth(seed: int, *, size_px: tuple[int, int] = ODD_PX) -> Picture:
    """A picture of skin colours that change slowly."""
    picture = _picture(seed, size_px=size_px)
    for plane, middle in ((picture.y, 120), (picture.u, 118), (picture.v, 142)):
        wide = cv2.GaussianBlur(plane.astype(np.float32), (0, 0), 6)
        plane[:] = np.clip(np.rint(middle + 3 * (wide - wide.mean())), 90, 160)
    return picture


def _copy(picture: Picture) -> Picture:
    height, width = picture.y.shape
    return yuv.picture(picture.buffer.copy(), size_px=(width, height))


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", MATRICES)
def test_colours_are_those_ffmpeg_converts_to(
    matrix: str, full_range: bool, tmp_path: Path
) -> None:
    """A chart of every hue from dark to light, by each matrix and range: within two levels."""
    luma, chroma = np.linspace(30, 225, 9), np.linspace(60, 196, 9)
    chart_levels = np.meshgrid(luma, chroma, chroma, indexing="ij")
    y, u, v = (plane.ravel().astype(np.uint8) for plane in chart_levels)
    size_px = (27 * PATCH_PX, 27 * PATCH_PX)
    chart = yuv.picture(np.empty(yuv.buffer_bytes(size_px), np.uint8), size_px=size_px)
    for plane, levels, side in ((chart.y, y, 8), (chart.u, u, 4), (chart.v, v, 4)):
        plane[:] = levels.reshape(27, 27).repeat(side, axis=0).repeat(side, axis=1)
    raw, converted = tmp_path / "chart.yuv", tmp_path / "chart.bgr"
    chart.buffer.tofile(raw)
    named_range, flags = "pc" if full_range else "tv", "bilinear+accurate_rnd+full_chroma_int"
    ffmpeg(
        *("-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{size_px[0]}x{size_px[1]}", "-i", raw),
        *("-vf", f"scale=in_color_matrix={matrix}:in_range={named_range}:flags={flags}"),
        *("-f", "rawvideo", "-pix_fmt", "bgr24", converted),
    )
    middles = slice(PATCH_PX // 2, None, PATCH_PX)
    expected = np.fromfile(converted, np.uint8).reshape(*size_px, 3)[middles, middles].astype(int)
    whole_picture = slice(0, size_px[1]), slice(0, size_px[0])
    colours = yuv.cut_bgr(chart, *whole_picture, matrix=matrix, full_range=full_range)
    assert colours.dtype == np.uint8
    assert np.abs(colours[middles, middles] - expected).max() <= 2
    others = [m for m in MATRICES if m != matrix]
    for other in others:
        wrong = yuv.cut_bgr(chart, *whole_picture, matrix=other, full_range=full_range)
        assert np.abs(wrong[middles, middles] - expected).max() > 6


@pytest.mark.parametrize("rows", [(0, 41), (3, 38), (4, 41), (17, 18)])
@pytest.mark.parametrize("columns", [(0, 63), (5, 40), (6, 63), (62, 63)])
def test_a_cut_rectangle_is_that_of_the_whole_picture(
    rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    """Even or odd, at the edge of an odd picture too; and it is a copy."""
    picture = _picture(1)
    whole_picture = yuv.cut_bgr(picture, slice(0, 41), slice(0, 63), matrix="bt709")
    where = slice(*rows), slice(*columns)
    cut = yuv.cut_bgr(picture, *where, matrix="bt709")
    np.testing.assert_array_equal(cut, whole_picture[where])
    exact = yuv.cut_bgr(picture, *where, matrix="bt709", exact=True)
    assert exact.dtype == np.float32 and np.abs(exact.clip(0, 255) - cut).max() < 1
    before = picture.buffer.copy()
    cut[:], exact[:] = 0, 0
    np.testing.assert_array_equal(picture.buffer, before)


@pytest.mark.parametrize("exact", [False, True])
def test_what_was_not_changed_keeps_its_bits(exact: bool) -> None:
    """Also levels that stand for no colour, which BGR cannot hold."""
    for matrix in MATRICES:
        picture = _picture(2)
        stored, where = picture.buffer.copy(), (slice(3, 41), slice(0, 62))
        cut = yuv.cut_bgr(picture, *where, matrix=matrix, exact=exact)
        yuv.put_bgr(picture, *where, cut, cut.copy(), matrix=matrix)
        np.testing.assert_array_equal(picture.buffer, stored)


@pytest.mark.parametrize("corner", [(0, 0), (9, 13), (10, 12), (29, 51)])
def test_only_what_was_changed_is_written(corner: tuple[int, int]) -> None:
    """Brightness of the changed pixels, and colour of the blocks that have one of them."""
    picture, where = _picture(3), (slice(0, 41), slice(0, 63))
    stored = _copy(picture)
    before = yuv.cut_bgr(picture, *where, matrix="bt601", exact=True)
    after, changed = before.copy(), np.zeros((42, 64), bool)
    changed[corner[0] : corner[0] + 12, corner[1] : corner[1] + 12] = True
    changed[41:], changed[:, 63:] = False, False
    after[changed[:41, :63]] = (40, 60, 200)
    yuv.put_bgr(picture, *where, before, after, matrix="bt601")
    assert not (picture.y != stored.y)[~changed[:41, :63]].any()
    blocks = changed.reshape(21, 2, 32, 2).any(axis=(1, 3))
    for plane, old in ((picture.u, stored.u), (picture.v, stored.v)):
        differs = plane != old
        assert not differs[~blocks].any() and differs[blocks].mean() > 0.8


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("rows", [(0, 41), (7, 30)])
def test_new_colours_are_read_back(matrix: str, full_range: bool, rows: tuple[int, int]) -> None:
    """Smooth ones within two levels, in a rectangle of any parity; at its edge by the share."""
    picture, where = _smooth(4), (slice(*rows), slice(0, 63))
    kind: dict[str, Any] = {"matrix": matrix, "full_range": full_range}
    before = yuv.cut_bgr(picture, *where, **kind, exact=True)
    after = yuv.cut_bgr(_smooth(5), *where, **kind)
    yuv.put_bgr(picture, *where, before, after, **kind)
    colours = yuv.cut_bgr(picture, *where, **kind)
    whole_picture = slice(rows[0] % 2, None if rows[1] in (41, 30) else -1)
    assert np.abs(colours.astype(int) - after)[whole_picture].max() <= 2


def test_a_block_takes_the_share_of_its_changed_pixels() -> None:
    """One pixel of four moves the common colour by a quarter, the only one of a corner by all."""
    for pixel, share in ((10, 0.25), (40, 1.0)):
        picture = _smooth(6, size_px=(41, 41))
        picture.u[:], picture.v[:], picture.y[:] = 128, 128, 120
        one = slice(pixel, pixel + 1)
        before = yuv.cut_bgr(picture, one, one, matrix="bt709", exact=True)
        after = before + np.array([60, 0, 0], np.float32)
        yuv.put_bgr(picture, one, one, before, after, matrix="bt709")
        change = int(picture.u[pixel // 2, pixel // 2]) - 128
        assert change == round(share * 60 * 0.5 * 224 / 255)


def test_highlights_above_white_go_on_under_a_mask() -> None:
    """Levels above 235 are in every camera's pictures: a faint change is a faint change there."""
    picture, where = _smooth(7), (slice(2, 20), slice(2, 20))
    picture.y[:] = 250
    before = yuv.cut_bgr(picture, *where, matrix="bt709", exact=True)
    yuv.put_bgr(picture, *where, before, before - 2, matrix="bt709")
    assert set(picture.y[where].ravel().tolist()) == {248}


def _grey(size_px: tuple[int, int] = (40, 30)) -> Picture:
    grey = yuv.picture(np.empty(yuv.buffer_bytes(size_px), np.uint8), size_px=size_px)
    grey.y[:], grey.u[:], grey.v[:] = 126, 128, 128
    return grey


def test_a_frame_is_drawn_in_its_colour_and_nowhere_else() -> None:
    """Blue is blue, red is red; colours stand at half the place of the brightness."""
    for colour, plane_of, other_of in (((255, 0, 0), "u", "v"), ((0, 0, 255), "v", "u")):
        picture = _grey()
        yuv.rectangle(picture, (10, 6), (30, 20), colour, line_px=1)
        plane, other = getattr(picture, plane_of), getattr(picture, other_of)
        assert plane.max() > 230 and other.max() <= 128
        rows, columns = np.nonzero(plane != 128)
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (3, 10, 5, 15)
        rows, columns = np.nonzero(picture.y != 126)
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (6, 20, 10, 30)


def test_words_have_their_colour_where_they_are_read() -> None:
    """What is coloured reaches as far as what is bright."""
    picture = _grey((200, 60))
    yuv.text(picture, "Track 3", (40, 40), (0, 0, 255), scale=0.5, line_px=2)
    reaches = []
    for plane, level, times in ((picture.y, 126, 1), (picture.v, 128, 2)):
        rows, columns = np.nonzero(plane != level)
        reaches.append(times * np.array([rows.min(), rows.max(), columns.min(), columns.max()]))
    np.testing.assert_allclose(reaches[0], reaches[1], atol=6)


@pytest.mark.parametrize(
    ("space", "height_px", "matrix", "tagged"),
    [
        *[("unknown", 719, "bt601", False), ("unknown", 720, "bt709", False)],
        *[("bt470bg", 1080, "bt601", True), ("smpte240m", 1080, "bt601", True)],
        *[("bt2020c", 480, "bt2020", True), ("gbr", 480, "bt601", False)],
    ],
)
def test_colours_are_what_the_log_says_or_the_height(
    space: str, height_px: int, matrix: str, tagged: bool
) -> None:
    log = b"[Parsed_showinfo_1 @ 0x1] color_range:tv color_space:%s " % space.encode()
    log += b"color_primaries:bt2020 color_trc:smpte2084\n"
    colour = yuv.colour_of_log(log, height_px=height_px)
    assert (colour.matrix, colour.tagged) == (matrix, tagged)
    assert (colour.primaries, colour.transfer, colour.hdr) == ("bt2020", "smpte2084", "PQ")
