"""Pieces of a clip: which of them show some of the same frames."""

import pytest

from training.evaluate.agreement import Piece


def _piece(first: int, length_s: int, track: str = "0") -> Piece:
    return Piece("talk", track, length_s, first, 0, 5.0, 2.0, True)


@pytest.mark.parametrize(
    ("first", "length_s", "overlaps"),
    [
        *((0, 5, True), (50, 2, True), (124, 1, True), (125, 5, False), (125, 1, False)),
        *((25, 10, True), (150, 5, False)),
    ],
)
def test_pieces_overlap_by_their_frames(first: int, length_s: int, overlaps: bool) -> None:
    """Of the first five seconds, 125 frames, and another piece; whichever is asked of the other."""
    one, other = _piece(0, 5), _piece(first, length_s)
    assert one.overlaps(other) == other.overlaps(one) == overlaps
    assert not one.overlaps(_piece(first, length_s, "1"))
