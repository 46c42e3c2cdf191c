"""Numbers that were measured: another value comes with another measurement, not by accident.

What they do is tested where they are used; there a value nearby often does the same on synthetic
data, and tells on people only. Who measures anew, by the command that is named, changes both.
"""

import importlib
from operator import attrgetter
from typing import Any

import pytest

LIMITS = {  # python -m tests.benchmarks.fit_answers
    "RELIABLE_LEAD": 2.0,
    "MANY_WINDOWS": 110,
    "LEAD_PER_WINDOW": 0.03,
    "FEWEST_SURE_WINDOWS": 75,
    "SURPLUS_WEIGHT": 0.4,
    "SURE_FAR": 3.3,
    "SURE_NEAR": 1.6,
    "LEAST_DRIFT_LEAD": 2.5,
    "STEP_LEVELS.cost": 9.0,
    "STEP_LEVELS.cost_at_cut": 4.0,
    "STEP_LEVELS.least_lead": 1.5,
}
LIPS = {  # python -m tests.benchmarks.fit_speakers
    "OWN_MEAN": 0.88,
    "FOREIGN_MEAN": -0.45,
    "SPREAD": 0.94,
    "OWN_WEIGHT": 0.5,
    "SHARPNESS": 1.0,
    "LARGEST": 3.0,
    "SHIFT_COST": 50.0,
    "LARGEST_SHIFT_COST": 150.0,
}
SPEAKERS = {  # the same, and python -m tests.benchmarks.speakers
    "LEAST_STANDING": 1.75,
    "NEAR_SHIFTS": 3,
    "LEAST_NEAR_STANDING": 1.0,
    "LEAST_TOGETHER": 2.0,
    "LEAST_OF_AGREEING": 0.5,
    "AGREEING_SHIFTS": 5,
    "NOBODY": -0.45,
    "FIRST_NOBODY": (-1.0, -0.45, -0.2, 0.0, 0.3),
    "LIP_WEIGHT": 0.5,
    "VOICE_WEIGHT": 0.5,
    "CHANGE_COST": 8.0,
    "PAUSE_CHANGE_COST": 3.0,
    "SPEAKER_COST": 55.0,
}
TURNS = {"CELL_FRAMES": 5, "LONGEST_S": 5.0, "PENALTY": 0.5, "PRIOR_COLUMNS": 30}
VOICES = {"MEAN_PRIOR_COLUMNS": 20, "SPREAD_PRIOR_COLUMNS": 400}
DRIFTS = {  # python -m tests.benchmarks.answers
    "LARGEST_SLOPE_MS_PER_MIN": 1500.0,
    "SURE": 0.99,
    "REPORTED": 0.95,
    "LEAST_CHANGE_MS": 40.0,
}
REASONS = {"LEAST_RHYTHM": 0.17, "LEAST_LIP_VARIATION": 0.07}
MOUTHS = {  # python -m tests.benchmarks.mouth_weights
    "WEIGHTS.shape": 1.0,
    "WEIGHTS.sound": 1.0,
    "WEIGHTS.lips": 2.0,
    "WEIGHTS.pose": 0.6,
    "WEIGHTS.surroundings": 0.4,
    "WEIGHTS.opening": 4.0,
    "WEIGHTS.join_shape": 1.0,
    "WEIGHTS.join": 0.3,
    "RIDGE": 0.3,
    "LEAST_APART_S": 1.0,
}
FITTED: dict[str, dict[str, Any]] = {
    "pipeline.evidence.limits": LIMITS,
    "pipeline.evidence.drift": DRIFTS,
    "pipeline.speakers.evidence": LIPS,
    "pipeline.speakers.decide": SPEAKERS,
    "pipeline.speakers.turns": TURNS,
    "pipeline.speakers.voices": VOICES,
    "pipeline.verdict.reasons": REASONS,
    "pipeline.texture.selection": MOUTHS,
}


@pytest.mark.parametrize("module", FITTED)
def test_measured_numbers_are_those_of_the_last_measurement(module: str) -> None:
    loaded = importlib.import_module(module)
    assert {name: attrgetter(name)(loaded) for name in FITTED[module]} == FITTED[module]
