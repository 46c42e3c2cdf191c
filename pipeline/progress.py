"""How long steps report how far they are: one hook, silent by default; scripts draw bars of it."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

# Called with the step, for people; how many of its frames, clips or videos are done; and how many
# there are, None where that is not known yet. The last call of a step has both numbers equal.
Progress = Callable[[str, int, int | None], None]


def silent(_step: str, _done: int, _total: int | None) -> None:
    """Reports nothing."""


def counted(
    items: Iterable[Item], step: str, *, progress: Progress, total: Callable[[], int | None]
) -> Iterator[Item]:
    """Passes items on and reports each once it is done.

    Args:
        items: of a step.
        step: its name for people.
        progress: called after each item, and at the end where `total` was another number.
        total: the number of items as it is known by then.
    """
    done = 0
    for item in items:
        yield item
        done += 1
        progress(step, done, total())
    if not done or total() != done:
        progress(step, done, done)
