"""Batches made by threads while the network computes."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Made = TypeVar("Made")


def batches_ahead(
    make: Callable[[int], Made], *, first_step: int, last_step: int, workers: int
) -> Iterator[Made]:
    """Batches of the steps `first_step` to `last_step` - 1, in order.

    Args:
        make: makes one step's; everything random in it must hang on the step.
        first_step, last_step: half-open.
        workers: steps prepared ahead, each by a thread; 0 prepares each when it is needed.
    """
    if not workers:
        for step in range(first_step, last_step):
            yield make(step)
        return
    pool = ThreadPoolExecutor(workers)
    ahead: list[Future[Made]] = []
    try:
        for step in range(first_step, last_step + workers):
            if step < last_step:
                ahead.append(pool.submit(make, step))
            if step >= first_step + workers:
                yield ahead.pop(0).result()
    finally:
        for waiting in ahead:
            waiting.cancel()
        pool.shutdown()


def timed(batches: Iterator[Made]) -> Iterator[tuple[Made, float]]:
    """Each batch with the seconds the step waited for it."""
    while True:
        started = time.perf_counter()
        try:
            one = next(batches)
        except StopIteration:
            return
        yield one, time.perf_counter() - started
