"""How far steps say they are: each item once it is done, and the whole number at the end."""

from pipeline.progress import counted

Calls = list[tuple[str, int, int | None]]


def _reported(items: int, *totals: int | None) -> tuple[Calls, list[int]]:
    """What is reported of some items, and how often it was before each; `totals` are asked for."""
    calls: Calls = []
    known = iter(totals)
    before: list[int] = []

    def progress(step: str, done: int, total: int | None) -> None:
        calls.append((step, done, total))

    for _ in counted(range(items), "frames", progress=progress, total=lambda: next(known)):
        before.append(len(calls))
    return calls, before


def test_an_item_counts_once_it_is_done() -> None:
    calls, before = _reported(2, 2, 2, 2)
    assert before == [0, 1]
    assert calls == [("frames", 1, 2), ("frames", 2, 2)]


def test_the_end_says_the_number_that_was_not_known_before() -> None:
    """A guess that was too high, and no guess at all."""
    assert _reported(2, 9, 9, 9)[0][-1] == ("frames", 2, 2)
    assert _reported(1, None, None)[0] == [("frames", 1, None), ("frames", 1, 1)]


def test_nothing_to_do_is_done_too() -> None:
    assert _reported(0, 0)[0] == [("frames", 0, 0)]
