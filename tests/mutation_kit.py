"""Seeded damage to media files: flipped bits, cuts, spliced pieces, wrong lengths."""

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

HEAD_BYTES = 4096  # where most formats keep what they say of themselves
# Numbers that programs stumble over: none, one, the largest with and without a sign, almost it.
EXTREMES = (0, 1, 7, 8, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
NUMBERS = ("B", "<H", ">H", "<I", ">I", "<Q", ">Q")  # as `struct` names them
CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"udta", b"mvex"}


@dataclass(frozen=True)
class Box:
    """One box of an MP4, QuickTime or 3GP file.

    Attributes:
        start, end: bytes of the file, its header included.
        kind: four letters.
        depth: boxes it is inside of.
    """

    start: int
    end: int
    kind: bytes
    depth: int


def boxes(data: bytes, start: int = 0, end: int | None = None, depth: int = 0) -> Iterator[Box]:
    """All boxes of a whole file, outer before inner; none of a file of another format."""
    end = len(data) if end is None else end
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        if size < 8 or start + size > end or not kind.isalnum():
            return
        yield Box(start, start + size, kind, depth)
        if kind in CONTAINERS:
            yield from boxes(data, start + 8, start + size, depth + 1)
        start += size


def _flip(data: bytearray, rng: random.Random, start: int, end: int) -> None:
    for _ in range(2 ** rng.randrange(7)):
        data[rng.randrange(start, end)] ^= 1 << rng.randrange(8)


def flip_anywhere(data: bytearray, rng: random.Random) -> None:
    """Flips up to 64 bits anywhere."""
    _flip(data, rng, 0, len(data))


def flip_head(data: bytearray, rng: random.Random) -> None:
    """Flips up to 64 bits of the first kilobytes."""
    _flip(data, rng, 0, min(HEAD_BYTES, len(data)))


def burst(data: bytearray, rng: random.Random) -> None:
    """Replaces a stretch by noise, as a bad sector does."""
    length = min(2 ** rng.randrange(4, 13), len(data) // 2)
    start = rng.randrange(len(data) - length)
    data[start : start + length] = rng.randbytes(length)


def zeros(data: bytearray, rng: random.Random) -> None:
    """Replaces a stretch by zeros, as an unfinished download does."""
    length = min(2 ** rng.randrange(4, 15), len(data) // 2)
    start = rng.randrange(len(data) - length)
    data[start : start + length] = bytes(length)


def truncate(data: bytearray, rng: random.Random) -> None:
    """Cuts off the end."""
    del data[rng.randrange(1, len(data)) :]


def drop(data: bytearray, rng: random.Random) -> None:
    """Removes a piece; later bytes move up."""
    length = rng.randrange(1, max(2, len(data) // 4))
    start = rng.randrange(len(data) - length)
    del data[start : start + length]


def repeat(data: bytearray, rng: random.Random) -> None:
    """Inserts a piece a second time."""
    length = rng.randrange(1, max(2, len(data) // 4))
    start = rng.randrange(len(data) - length)
    position = rng.randrange(len(data))
    data[position:position] = data[start : start + length]


def numbers(data: bytearray, rng: random.Random) -> None:
    """Makes some numbers of the header or the index extreme, in either byte order."""
    for _ in range(rng.randrange(1, 5)):
        head = rng.random() < 0.7
        low = 0 if head else max(0, len(data) - HEAD_BYTES)
        high = min(HEAD_BYTES, len(data)) if head else len(data)
        kind = rng.choice(NUMBERS)
        value = rng.choice(EXTREMES) % (1 << 8 * struct.calcsize(kind))
        position = rng.randrange(low, max(low + 1, high - 8))
        struct.pack_into(kind, data, position, value)


def box_length(data: bytearray, rng: random.Random) -> None:
    """Changes the length that a box states."""
    box = _any_box(data, rng)
    length = box.end - box.start
    near = length + rng.choice((-9, -8, -1, 1, 8, 1000))
    struct.pack_into(">I", data, box.start, rng.choice((*EXTREMES, near)) & 0xFFFFFFFF)


def box_content(data: bytearray, rng: random.Random) -> None:
    """Makes some numbers of a box of the table of contents extreme."""
    inner = [box for box in boxes(bytes(data)) if box.depth and box.kind not in CONTAINERS]
    inner = [box for box in inner if box.end - box.start >= 16]
    if not inner:
        numbers(data, rng)
        return
    box = rng.choice(inner)
    for _ in range(rng.randrange(1, 4)):
        position = rng.randrange(box.start + 8, box.end - 3)
        struct.pack_into(">I", data, position, rng.choice(EXTREMES))


def box_moved(data: bytearray, rng: random.Random) -> None:
    """Removes, doubles or renames a box, or puts it inside another."""
    box = _any_box(data, rng)
    content = bytes(data[box.start : box.end])
    how = rng.randrange(4)
    if how == 0:
        del data[box.start : box.end]
    elif how == 1:
        data[box.end : box.end] = content
    elif how == 2:
        data[box.start + 4 : box.start + 8] = rng.choice((b"free", b"moov", b"mdat", b"\0\0\0\0"))
    else:
        target = _any_box(data, rng)
        data[target.start + 8 : target.start + 8] = content


def _any_box(data: bytearray, rng: random.Random) -> Box:
    all_boxes = list(boxes(bytes(data)))
    return rng.choice(all_boxes) if all_boxes else Box(0, min(len(data), 64), b"none", 0)


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    *(flip_anywhere, flip_head, burst, zeros, truncate, drop, repeat, numbers),
    *(box_length, box_content, box_moved),
)


def mutated(data: bytes, seed: int) -> tuple[str, bytes]:
    """A damaged copy of a file and what was done to it; the same for the same seed.

    Args:
        data: the whole file.
        seed: also chooses the kind of damage, in turn, so that any stretch of seeds has them all.
    """
    rng = random.Random(seed)
    copy = bytearray(data)
    mutation = MUTATIONS[seed % len(MUTATIONS)]
    mutation(copy, rng)
    if not copy:
        copy.append(0)
    return mutation.__name__, bytes(copy)
