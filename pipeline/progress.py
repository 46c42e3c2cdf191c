"""How long steps report how far they are: one hook, silent by default; scripts draw bars of it."""

from collections.abc import Callable

# Called with the step, for people; how many of its frames, clips or videos are done; and how many
# there are, None where that is not known yet. The last call of a step has both numbers equal.
Progress = Callable[[str, int, int | None], None]


def silent(_step: str, _done: int, _total: int | None) -> None:
    """Reports nothing."""
