"""How far a mouth is to be open."""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.texture import selection, traits
from pipeline.texture.selection import Hearing, Proposals, Weights
from pipeline.texture.traits import Traits
from tests.texture_kit import (
    BOX,
    head,
)

LEFT, TOP, RIGHT, BOTTOM = map(int, BOX)


def _face(picture: np.ndarray) -> np.ndarray:
    face = cv2.resize(picture[TOP:BOTTOM, LEFT:RIGHT], (96, 96), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(face, cv2.COLOR_BGR2GRAY)


# How far a mouth is open.


def test_opening_grows_with_the_mouth_in_any_light() -> None:
    opened = [traits.opening(_face(head(one))) for one in (0.0, 0.3, 0.6, 1.0)]
    assert opened[0] < 0.08 and (np.diff(opened) > 0.03).all()
    darker = (head(0.6) * 0.6).astype(np.uint8)
    assert traits.opening(_face(darker)) == pytest.approx(opened[2], abs=0.06)


def test_ranks_stand_for_the_own_values_of_the_same_rank() -> None:
    """Whatever the scale of what is ranked; between two of the same it is their middle."""
    own = np.array([0.5, 0.0, 0.1, 0.4, 0.2], np.float32)
    among = np.array([10.0, 20.0, 30.0, 40.0])
    found = selection._ranked(np.array([-5.0, 20.0, 99.0]), among, own)
    np.testing.assert_allclose(found, [0.0, np.quantile(own, 1.5 / 4), 0.5], atol=1e-6)
    tied = selection._ranked(np.array([7.0]), np.full(9, 7.0), own)
    np.testing.assert_allclose(tied, [0.2], atol=1e-6)


def _own(opening: np.ndarray, sound: np.ndarray | None, **changed: Any) -> Traits:
    count = len(opening)
    same = np.zeros((count, 3), np.float32)
    given: dict[str, Any] = {
        "times_s": 100 + 10.0 * np.arange(count),
        "shape": same,
        "pose": same,
        "surroundings": same,
        "opening": opening.astype(np.float32),
        "sound": sound,
        "lips": None,
        "pause": np.zeros(count, bool),
    }
    return Traits(**(given | changed))


def test_hearing_is_trusted_as_far_as_it_tells_what_it_has_not_learned_from() -> None:
    rng = np.random.default_rng(0)
    sound = rng.normal(0, 1, (300, 8)).astype(np.float32)
    opening = sound @ np.linspace(-1, 1, 8) + rng.normal(0, 0.3, 300)
    good = Hearing.of(_own(opening, sound))
    assert good.trust > 0.8 and np.corrcoef(good.openings(sound), opening)[0, 1] > 0.95
    assert Hearing.of(_own(opening, rng.normal(0, 1, (300, 8)))).trust < 0.1
    # As many numbers as frames: a line through every frame, which tells nothing of another.
    assert Hearing.of(_own(opening, rng.normal(0, 1, (300, 400)))).trust < 0.1
    # Opposite of what was learned is not trusted either: halves that contradict each other.
    turned = np.where(np.arange(300) < 150, 1.0, -1.0) * sound[:, 0]
    assert Hearing.of(_own(turned, sound)).trust < 0.05


def test_nothing_is_heard_without_sound_or_from_too_little() -> None:
    sound = np.random.default_rng(1).normal(0, 1, (300, 4)).astype(np.float32)
    assert Hearing.of(_own(sound[:, 0], None)).trust == 0
    few = slice(0, selection.LEAST_HEARD - 1)
    assert Hearing.of(_own(sound[few, 0], sound[few])).trust == 0
    assert Hearing.of(_own(np.zeros(300), sound)).trust == 0


def _chosen(frames: Traits, own: Traits, **weights: float) -> np.ndarray:
    costs = selection.showing(
        frames,
        own,
        selection.scales(own),
        proposals=Proposals.of(frames.shape, frames.opening, own.shape),
        hearing=Hearing.of(own),
        weights=replace(Weights(sound=0.0), **weights),
    )
    return np.asarray(own.opening[costs.argmin(axis=1)])


def test_lips_close_where_the_sound_says_so() -> None:
    """Frames that differ in nothing else get mouths as open as their sound, to the extremes."""
    rng = np.random.default_rng(2)
    loud = rng.uniform(0, 1, 200)
    sound = np.stack([loud, rng.normal(0, 0.1, 200)], axis=1).astype(np.float32)
    own = _own(loud**2, sound)
    asked = np.array([0.0, 0.5, 1.0])
    frames = _own(asked, np.stack([asked, np.zeros(3)], axis=1), times_s=np.zeros(3))
    found = _chosen(frames, own)
    assert found[0] < 0.05 and found[2] > 0.75 and found[0] < found[1] < found[2]
    assert np.ptp(_chosen(frames, own, opening=0.0)) == 0


def test_own_pauses_say_how_far_a_mouth_is_open_in_pauses() -> None:
    """Though the sound there, of noise, asks for an open one."""
    rng = np.random.default_rng(3)
    loud = rng.uniform(0, 1, 200)
    sound = np.stack([loud, rng.normal(0, 0.1, 200)], axis=1).astype(np.float32)
    own = _own(loud, sound, pause=loud < 0.2)
    frames = _own(
        np.ones(2), np.array([[1.0, 0.0]] * 2), times_s=np.zeros(2), pause=np.array([False, True])
    )
    found = _chosen(frames, own)
    assert found[0] > 0.7 and found[1] == pytest.approx(0.1, abs=0.05)
