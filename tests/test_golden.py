"""Stored numbers: inputs and outputs of the bundled networks have not changed."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.sync import offset as sync_offset
from tests.golden import measure, stored

NUMBERS = stored.numbers()
LEVELS = 2  # of a drawn mouth: other processors round otherwise


def test_sound_features_are_the_stored_ones() -> None:
    """Mel, cepstra, and cepstra normalised for the bundled network."""
    assert not measure.differences(measure.of_sound(), NUMBERS["sound"], within=stored.WITHIN)


def test_lip_pixels_are_the_stored_ones() -> None:
    """Region, grey, size and scale of what the lip tower gets."""
    assert not measure.differences(measure.of_lips(), NUMBERS["lips"], within=stored.WITHIN)


def test_boxes_of_the_example_are_the_stored_ones(example: Path) -> None:
    """The bundled detector on three frames."""
    assert [len(boxes) for boxes in NUMBERS["boxes"].values()] == [1, 1, 2]
    assert not measure.differences(measure.of_boxes(example), NUMBERS["boxes"], within=0.05)


def test_distances_of_synthetic_embeddings_are_the_stored_ones() -> None:
    """A row at the start, where sound is missing, and one of the middle."""
    measured = measure.of_distances()
    assert not measure.differences(measured, NUMBERS["distances"], within=stored.WITHIN)


def test_judgement_of_stored_distances_is_the_stored_one() -> None:
    """Offset, min dist, confidence, margin, framewise confidence, with and without gaps."""
    measured = measure.of_judgement(stored.distances())
    assert not measure.differences(measured, NUMBERS["judgement"], within=stored.WITHIN)


def test_drift_of_synthetic_distances_is_the_stored_one() -> None:
    """The valley moves by half a frame every five seconds: 240 ms a minute."""
    measured = measure.of_judgement(measure.synthetic_distances())
    assert measured["drift_ms_per_min"] == pytest.approx(240, abs=15)
    numbers = NUMBERS["judgement_of_drift"]
    assert not measure.differences(measured, numbers, within=stored.WITHIN)


def test_stored_judgement_follows_the_published_definition() -> None:
    """Confidence is the median of the mean distances less the smallest, computed independently."""
    mean = stored.distances().astype(np.float64).mean(axis=0)
    judged = NUMBERS["judgement"]
    assert judged["offset_frames"] == 15 - int(mean.argmin()) == 2
    assert judged["min_dist"] == pytest.approx(mean.min(), abs=1e-3)
    assert judged["confidence"] == pytest.approx(np.median(mean) - mean.min(), abs=1e-3)
    assert sync_offset.margin_of(mean) == pytest.approx(judged["margin"], abs=1e-3)


def test_mouth_of_the_example_is_the_stored_one(example: Path) -> None:
    """One face with the mouth of the bundled generator for its sound."""
    picture, before = measure.of_mouth(example), cv2.imread(str(stored.MOUTH_FILE))
    assert np.abs(picture.astype(int) - before).max() <= LEVELS


def test_differences_names_each_value_that_differs() -> None:
    """The comparison itself: numbers within bounds, everything else equal."""
    one = {"a": [1.0, 2.0], "b": True}
    assert not measure.differences(one, {"a": [1.0, 2.0005], "b": True}, within=1e-3)
    assert measure.differences(one, {"a": [1.0, 2.002], "b": True}, within=1e-3)
    assert measure.differences(one, {"a": [1.0, 2.0], "b": False}, within=1e-3)
    assert measure.differences(one, {"a": [1.0], "b": True}, within=1e-3)
    assert measure.differences(one, {"a": [1.0, 2.0]}, within=1e-3)
