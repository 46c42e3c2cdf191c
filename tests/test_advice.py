"""How far frames are enlarged for the detector, and that advice can be followed."""

import dataclasses
import re
from typing import Any

import pytest

from pipeline.errors import InputError
from pipeline.faces.options import FaceOptions, check_scale, why_nothing
from pipeline.faces.tracks import Face, build_tracks

SIZES = pytest.mark.parametrize(
    "size_px", [(320, 180), (1920, 1080), (3840, 2160), (20_000, 400)], ids=str
)


def _faces(frames: int, size: float) -> list[list[Face]]:
    return [[Face((50.0, 50.0, 50.0 + size, 50.0 + size), 0.99)] for _ in range(frames)]


def _why(faces: list[list[Face]], options: FaceOptions, size_px: tuple[int, int]) -> list[str]:
    scenes = [(0, len(faces))]
    tracking = build_tracks(
        faces, scenes, min_track=options.min_track, min_face_size=options.min_face_size
    )
    return why_nothing(faces, scenes, tracking, options, frame_size_px=size_px)


def _number(pattern: str, sentence: str) -> float:
    (number,) = re.findall(pattern, sentence)
    return float(number)


def _refused(size_px: tuple[int, int], **options: Any) -> str:
    with pytest.raises(InputError) as error:
        check_scale(FaceOptions(**options), size_px)
    return str(error.value)


@SIZES
def test_both_flags_have_one_bound(size_px: tuple[int, int]) -> None:
    """The limit that the error names is accepted; the next value beyond it is refused."""
    sentence = _refused(size_px, facedet_scale=300)
    assert sentence.startswith("--facedet_scale 300 would show the detector ")
    largest = _number(r"give at most ([\d.]+)\.$", sentence)
    check_scale(FaceOptions(facedet_scale=largest), size_px)
    _refused(size_px, facedet_scale=largest + 0.001)
    assert largest**2 * size_px[0] * size_px[1] == pytest.approx(9_000_000, rel=0.01)
    sentence = _refused(size_px, min_face_size=1)
    assert sentence.startswith("--min_face_size 1 would show the detector ")
    smallest = int(_number(r"give at least (\d+)\.$", sentence))
    check_scale(FaceOptions(min_face_size=smallest), size_px)
    _refused(size_px, min_face_size=smallest - 1)
    # A scale that is given decides alone.
    check_scale(FaceOptions(min_face_size=1, facedet_scale=largest), size_px)


@SIZES
def test_advice_where_nobody_was_found_is_accepted(size_px: tuple[int, int]) -> None:
    """The advice names a limit that is accepted; at the limit there is no advice."""
    (sentence,) = _why([[], []], FaceOptions(min_face_size=150), size_px)
    smallest = int(_number(r"lower it, to (\d+) at least", sentence))
    assert "--min_face_size 150" in sentence
    at_limit = FaceOptions(min_face_size=smallest)
    check_scale(at_limit, size_px)
    (sentence,) = _why([[], []], FaceOptions(facedet_scale=0.1), size_px)
    largest = _number(r"raise --facedet_scale, to ([\d.]+) at most", sentence)
    for options in (at_limit, FaceOptions(facedet_scale=largest)):
        check_scale(options, size_px)
        (sentence,) = _why([[], []], options, size_px)
        assert sentence == "No track: no face was found in any of 2 frames."


@SIZES
@pytest.mark.parametrize("facedet_scale", [None, 0.1, 0.9])
@pytest.mark.parametrize("face_px", [1.3, 7, 15, 49.6, 80])
def test_followed_advice_gives_the_track(
    face_px: float, facedet_scale: float | None, size_px: tuple[int, int]
) -> None:
    """The flags that a notice advises are accepted, and the same faces become a track."""
    options = FaceOptions(min_face_size=200, facedet_scale=facedet_scale)
    faces, changed = _faces(60, face_px), []
    while sentence := _why(faces, options, size_px):
        (flag,) = re.findall(r"--(min_track|min_face_size) (?:wants|is)", sentence[0])
        changes: dict[str, Any] = {flag: int(_number(r"lower it to (\d+)", sentence[0]))}
        if "add" in sentence[0]:
            changes["facedet_scale"] = _number(r"add --facedet_scale ([\d.]+)\.$", sentence[0])
        options = dataclasses.replace(options, **changes)
        check_scale(options, size_px)
        changed.append(flag)
    assert changed == ["min_track", "min_face_size"]


def test_a_face_that_is_hardly_there_gets_no_advice() -> None:
    """For a face below one pixel there is no smaller --min_face_size to advise."""
    (sentence,) = _why(_faces(150, 0.8), FaceOptions(), (1280, 720))
    assert sentence == "No track: the largest face is 1 pixels, too small to be followed."
