"""How weights of the choice of own mouths are tried, and which of them is called best."""

import pytest

from pipeline.errors import InputError
from pipeline.texture.selection import Weights
from tests.benchmarks import mouth_weights


def test_weights_are_tried_one_at_a_time() -> None:
    found = mouth_weights.settings(["join=0.1,1", "lips=3"])
    assert list(found) == ["as they are", "join=0.1", "join=1", "lips=3"]
    assert found["as they are"] == Weights() and found["lips=3"] == Weights(lips=3.0)
    assert found["join=1"] == Weights(join=1.0)


@pytest.mark.parametrize(("text", "reason"), [("joy=1", "the weights are"), ("join=a", "numbers")])
def test_what_is_no_weight_is_said(text: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        mouth_weights.settings([text])


def _row(**changed: float) -> dict[str, float]:
    row = {"flicker": 1.0, "sharpness": 0.9, "lse_c": 0.8, "identity": 0.7, "opening": 0.5}
    return row | changed


def test_merit_is_what_the_text_says() -> None:
    """More than real is no merit; flicker counts by nine of ten people, and then against all."""
    assert mouth_weights.merit([_row()]) == pytest.approx(2.2)
    assert mouth_weights.merit([_row(lse_c=1.4, sharpness=1.3)]) == pytest.approx(2.5)
    assert mouth_weights.merit([_row(identity=1.3)]) == pytest.approx(1.9)
    assert mouth_weights.merit([*[_row()] * 20, _row(flicker=9)]) > 0
    assert mouth_weights.merit([*[_row()] * 4, _row(flicker=9)]) < 0
