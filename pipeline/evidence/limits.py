"""From when on evidence is enough: every level that chance decides, in one place.

All are of one network: `python -m tests.benchmarks.fit_answers --data_dir TRACKS` prints what they
are for another, from people it was not trained on.
"""

from dataclasses import dataclass

# The search of five seconds: an offset's lead over every other, in robust deviations, that one pair
# in two hundred with somebody else's sound exceeds.
RELIABLE_LEAD = 2.0
MANY_WINDOWS = 110  # each one fewer takes so much more:
LEAD_PER_WINDOW = 0.03
FEWEST_SURE_WINDOWS = 75  # an offset needs to be relied on

# One track: its lead, and what the near search says around the same offset, together.
SURPLUS_WEIGHT = 0.4  # of the latter, see `reliability.surplus`
SURE_FAR = 3.3  # of the offset that leads; 0.1 % of others reach it
SURE_NEAR = 1.6  # of one that is reliable near already; 0.1 % of others reach it

# Over time.
LEAST_DRIFT_LEAD = 2.5  # along the best of many lines; of 347 others one leads by more


@dataclass(frozen=True)
class StepLevels:
    """What a step takes.

    Attributes:
        cost: log likelihood by which it must be the better account.
        cost_at_cut: the same where the video is cut and steps are to be expected.
        least_lead: of each piece by itself; chance would have to lead twice.
    """

    cost: float = 9.0
    cost_at_cut: float = 4.0
    least_lead: float = 1.5


STEP_LEVELS = StepLevels()
