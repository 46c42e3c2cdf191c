"""Values of JSON files that a stranger may have written: of the expected type, or nothing."""

import math
from pathlib import Path
from typing import Any

import pytest

from pipeline import plain
from pipeline.errors import InputError

STRANGE: list[Any] = [None, True, "3", [3], {"a": 3}, math.nan, math.inf, 10**400]


@pytest.mark.parametrize("value", STRANGE)
def test_what_is_no_number_is_nothing(value: Any) -> None:
    assert plain.number(value) is None


def test_what_fits_is_taken_as_it_is() -> None:
    assert (plain.number(3), plain.number(-0.5)) == (3.0, -0.5)
    assert (plain.integer(3), plain.integer(True), plain.integer(3.0)) == (3, None, None)
    assert (plain.text("a"), plain.text("  "), plain.text(3)) == ("a", None, None)
    assert (plain.flag(False), plain.flag(0)) == (False, None)
    assert (plain.mapping({"a": 1}), plain.mapping([1])) == ({"a": 1}, {})
    assert (plain.mappings([{"a": 1}, 3, None]), plain.mappings({"a": 1})) == ([{"a": 1}], [])


def test_spans_have_a_start_before_their_end() -> None:
    pairs = [[0, 1.5], [2, 2], [3, 2], [1], [1, 2, 3], [None, 4], [math.nan, 5], "67", [8, 9]]
    assert plain.spans(pairs) == ((0.0, 1.5), (8.0, 9.0))
    assert plain.spans({"a": [0, 1]}) == ()


def test_a_file_nested_too_deep_is_damaged(tmp_path: Path) -> None:
    """As any other that is no JSON; one of another kind has another format."""
    path = tmp_path / "offsets.json"
    assert plain.read_json(path, list) is None
    for text, words in (("[" * 100_000, "is damaged"), ("[", "is damaged"), ("{}", "format")):
        path.write_text(text)
        with pytest.raises(InputError, match=rf"{words}; run run_syncnet\.py again\.$"):
            plain.read_json(path, list)
