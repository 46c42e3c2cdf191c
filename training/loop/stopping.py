"""Ctrl-C and SIGTERM while steps are made: the step ends and is saved, then the run ends."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Request to end the run.

    Attributes:
        number: of the signal that was received, 0 before.
    """

    def __init__(self) -> None:
        self.number = 0


@contextmanager
def stopped_between_steps(*, say: bool) -> Iterator[Stop]:
    """Records Ctrl-C and SIGTERM instead of raising; a second Ctrl-C raises.

    Args:
        say: print at once that the signal was received: a step may take a minute.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def note(number: int, _: FrameType | None) -> None:
        if stop.number and number == signal.SIGINT:
            raise KeyboardInterrupt
        if say and not stop.number:  # print may be in the middle of a line
            os.write(2, b"stopping after this step, which is saved; Ctrl-C again stops at once\n")
        stop.number = stop.number or number

    earlier = {number: signal.getsignal(number) for number in SIGNALS}
    handled = {number for number, handler in earlier.items() if handler != signal.SIG_IGN}
    for number in handled:
        signal.signal(number, note)
    try:
        yield stop
    finally:
        for number in handled:
            signal.signal(number, earlier[number])


def say_stopped(step: int, total_steps: int) -> None:
    """The last sentence of a run that was stopped, on stderr."""
    rest = f"goes on with step {step + 1}" if step < total_steps else "finishes what is left"
    print(
        f"stopped at step {step} of {total_steps}, which is saved: the same command {rest}.",
        file=sys.stderr,
    )
