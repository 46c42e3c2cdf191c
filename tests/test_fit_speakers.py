"""What fit_speakers prints: how many faces stand out, and evidence of both kinds of frames."""

import numpy as np
import pytest

from pipeline.speakers.evidence import Match
from tests.benchmarks import fit_speakers
from tests.benchmarks.fit_speakers import Look

FACES = [
    Look(True, True, 5.0, (1.0, -0.5), (0.8, 1.2)),
    Look(True, True, 0.8, None, None),
    Look(True, False, 1.6, (0.6, -0.3), (1.0, 1.0)),
    Look(False, False, 1.1, None, None),
    Look(False, True, 0.6, None, None),
]


def test_shares_are_of_faces_with_their_own_sound_and_of_those_without() -> None:
    rows = {row[0]: row[1:] for row in fit_speakers.standing_rows(FACES)}
    assert rows[0.5] == pytest.approx((200 / 3, 100 / 3, 50, 50))
    assert rows[1.0] == pytest.approx((100 / 3, 100 / 3, 0, 50))
    assert rows[2.0] == pytest.approx((100 / 3, 0, 0, 0))


def test_constants_are_means_over_clear_faces() -> None:
    constants = fit_speakers.evidence_constants(FACES)
    assert constants == pytest.approx({"OWN_MEAN": 0.8, "FOREIGN_MEAN": -0.4, "SPREAD": 1.0})


def test_a_face_is_looked_at_where_it_is_clear_and_both_kinds_are_many() -> None:
    evidence = np.repeat([2.0, -1.0], 60)
    own = np.arange(120) < 60
    for column, standing, few, near, means in (
        (17, 1.6, 0, True, (2.0, -1.0)),
        (19, 1.6, 0, False, (2.0, -1.0)),
        (15, 1.4, 0, True, None),
        (15, 1.6, 20, True, None),
    ):
        match = Match(np.full(120, column), standing)
        others = ~own & (np.arange(120) >= 60 + few)
        look = fit_speakers._look(match, evidence, own, others, shifts=31)
        assert (look.speaks, look.near, look.means) == (True, near, means)
