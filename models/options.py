"""Checks of option values: an unsupported value is an error of one sentence, never a default.

Every dataclass of options calls these in `__post_init__`, and every public function that takes an
option as a string calls them first. Argparse takes its choices from the same constants.
"""

import math
import re
from collections.abc import Iterable
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Literal, Union, get_args, get_origin, get_type_hints

from models.errors import InvalidOption

DEVICES = ("auto", "cpu", "cuda", "mps")


def check_fields(options: object) -> None:
    """Checks every field of a dataclass that is a number, a switch or one of some words.

    Args:
        options: an instance; what its fields are annotated with says what they may be. Ranges are
            for its own `__post_init__` to check.

    Raises:
        InputError: a field holds something else.
    """
    for name, hint in get_type_hints(type(options)).items():
        kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        optional, value = NoneType in kinds, getattr(options, name)
        kind = next(kind for kind in kinds if kind is not NoneType)
        if len(kinds) > 1 + optional or (optional and value is None):
            continue
        if kind is bool:
            check_switch(name, value)
        elif kind in (int, float):
            check_number(name, value, whole=kind is int, optional=optional)
        elif get_origin(kind) is Literal:
            check_choice(name, value, get_args(kind), others=("None",) * optional)


def check_choice(
    name: str, value: object, supported: Iterable[str], *, others: tuple[str, ...] = ()
) -> None:
    """Checks an option that is one of some words.

    Args:
        name: of the option.
        value: given for it.
        supported: the words.
        others: what else it may be, in words; the caller has checked for that.

    Raises:
        InputError: it is none of them.
    """
    words = tuple(supported)
    if not (isinstance(value, str) and value in words):
        raise InvalidOption(name, value, ", ".join([*words, *others]))


def check_device(name: object) -> None:
    """Checks the name of a device: one of `DEVICES`, or one of several GPUs, like cuda:1.

    Raises:
        InputError: it is neither.
    """
    if not (isinstance(name, str) and re.fullmatch(r"cuda:\d+", name, re.ASCII)):
        check_choice("device", name, DEVICES, others=("cuda:NUMBER",))


def check_number(
    name: str,
    value: object,
    *,
    whole: bool = False,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    optional: bool = False,
) -> None:
    """Checks an option that is a finite number; True and False are none.

    Args:
        name: of the option.
        value: given for it.
        whole: only whole numbers.
        least, above: what it may not be below, and not be equal to or below.
        most, below: what it may not be above, and not be equal to or above.
        optional: it may be None, too.

    Raises:
        InputError: it is not a number, or out of range.
    """
    if optional and value is None:
        return
    number = _finite(value, whole=whole)
    if (
        number is not None
        and (least is None or number >= least)
        and (above is None or number > above)
        and (most is None or number <= most)
        and (below is None or number < below)
    ):
        return
    limits = {"at least": least, "above": above, "at most": most, "below": below}
    parts = [f"{word} {limit:g}" for word, limit in limits.items() if limit is not None]
    range_words = " and ".join(parts)
    kinds = ("whole numbers" if whole else "numbers") + (f" {range_words}" if range_words else "")
    raise InvalidOption(name, value, kinds + (", None" if optional else ""))


def check_switch(name: str, value: object) -> None:
    """Checks an option that is on or off: any word is true to Python, "none" as well.

    Raises:
        InputError: it is neither True nor False.
    """
    if not isinstance(value, bool):
        raise InvalidOption(name, value, "True, False")


def _finite(value: object, *, whole: bool) -> float | None:
    if isinstance(value, bool) or not isinstance(value, Integral if whole else Real):
        return None
    try:
        number = float(value)
    except OverflowError:  # of a whole number with hundreds of digits
        return None
    return number if math.isfinite(number) else None
