"""Batches made ahead: how long a step waits for its own."""

import time

from training.data.ahead import batches_ahead, timed


def _slow(step: int) -> int:
    time.sleep(0.02)
    return step


def test_the_wait_of_a_step_is_that_for_its_batch_alone() -> None:
    """Without threads each batch takes as long as it is made, however long the step itself is."""
    waits = []
    for step, waited_s in timed(batches_ahead(_slow, first_step=0, last_step=2, workers=0)):
        waits.append(waited_s)
        assert step == len(waits) - 1
        time.sleep(0.2)
    assert len(waits) == 2 and all(0.015 < waited_s < 0.15 for waited_s in waits)
