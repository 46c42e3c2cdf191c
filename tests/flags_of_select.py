"""Flags of `python -m pipeline.select`: two values each, and what differs in what stays."""

import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.media import decode
from pipeline.select import choose
from tests.flag_kit import Bench, Ended, read, row
from tests.select_kit import batch_of, decisions, line, write_batch


def _selected(
    bench: Bench, data_dir: Path, *more: str | Path, name: str = "out"
) -> dict[tuple[str, int], str | None]:
    """Why each track is dropped, by reference and number; `more` begins with further folders."""
    out = bench.folder / name
    bench.ran("select", "--out", out, "--data_dir", data_dir, *more)
    return decisions(out)


def _batch(bench: Bench, *tracks: dict[str, Any]) -> Path:
    """One video with a usual track and these."""
    return write_batch(bench.folder / "batch", line(bench.folder, "one", {}, *tracks))


@row("select", "data_dir")
def _(bench: Bench) -> None:
    """Shards of one batch, and several batches."""
    one = write_batch(bench.folder / "a", line(bench.folder, "one", {}), name="batch-0-of-2.jsonl")
    write_batch(one, line(bench.folder, "two", {}), name="batch-1-of-2.jsonl")
    other = write_batch(bench.folder / "b", line(bench.folder, "three", {}))
    assert _selected(bench, one) == {("one", 0): None, ("two", 0): None}
    both = _selected(bench, one, other, name="both")
    assert set(both) == {("one", 0), ("two", 0), ("three", 0)}
    empty = bench.run("select", "--data_dir", bench.clips, "--out", bench.folder / "no")
    assert empty.code == 2 and "holds no batch.jsonl" in empty.err


@row("select", "out")
def _(bench: Bench) -> None:
    batch = _batch(bench)
    for name in ("here", "there"):
        _selected(bench, batch, name=name)
        assert (bench.folder / name / "videos.txt").read_text() == "/videos/one.mp4\n"
        assert (bench.folder / name / "selection.png").read_bytes()[1:4] == b"PNG"


@row("select", "min_confidence")
def _(bench: Bench) -> None:
    """A number decides instead of what is reliable."""
    batch = _batch(bench, {"confidence": 2.0}, {"confidence": 5.0, "reliable": False})
    assert _selected(bench, batch)["one", 2] == choose.NOT_RELIABLE
    assert _selected(bench, batch)["one", 1] is None
    reasons = _selected(bench, batch, "--min_confidence", "3", name="three")
    assert reasons == {("one", 0): None, ("one", 1): choose.LOW_CONFIDENCE, ("one", 2): None}


@row("select", "min_probability")
def _(bench: Bench) -> None:
    batch = _batch(bench, {"probability": 0.6}, {"probability": None})
    assert set(_selected(bench, batch).values()) == {None}
    reasons = _selected(bench, batch, "--min_probability", "0.7", name="sure")
    assert [reasons["one", n] for n in range(3)] == [None, choose.IMPROBABLE, choose.IMPROBABLE]


@row("select", "max_offset")
def _(bench: Bench) -> None:
    batch = _batch(bench, {"offset_ms": 120.0}, {"offset_ms": -121.0})
    assert [*_selected(bench, batch).values()] == [None, None, choose.TOO_FAR]
    reasons = _selected(bench, batch, "--max_offset", "2", name="two")
    assert [*reasons.values()] == [None, choose.TOO_FAR, choose.TOO_FAR]


@row("select", "min_seconds")
def _(bench: Bench) -> None:
    batch = _batch(bench, {"end_s": 1.9})
    assert [*_selected(bench, batch).values()] == [None, choose.TOO_SHORT]
    reasons = _selected(bench, batch, "--min_seconds", "1", name="one")
    assert [*reasons.values()] == [None, None]


@row("select", "duplicates")
def _(bench: Bench) -> None:
    lines = [line(bench.folder, name, {}, sha256="equal") for name in ("one", "two")]
    batch = write_batch(bench.folder / "batch", *lines)
    assert _selected(bench, batch) == {("one", 0): None, ("two", 0): choose.SAME_SOUND}
    both = _selected(bench, batch, "--duplicates", name="both")
    assert both == {("one", 0): None, ("two", 0): None}


def _of_results(bench: Bench, *flags: str | Path, **changed: Any) -> Ended:
    batch = batch_of(bench.results(), reliable=True, at_search_edge=False, **changed)
    few = ("--min_seconds", "0", "--out", bench.folder / "out")
    return bench.ran("select", "--data_dir", batch, *few, *flags)


@row("select", "in_sync")
def _(bench: Bench) -> None:
    """The sound of the copy is that of the clip, later by what it was early."""
    clip = bench.clips / "work" / "pycrop" / "face" / "00000.avi"
    _of_results(bench, "--in_sync", offset_ms=80.0)
    copy = bench.folder / "out" / "pycrop" / "face" / "00000.avi"
    assert (bench.folder / "out" / "clips.txt").read_text() == f"{copy}\n"
    before, after = decode.read_audio(clip), decode.read_audio(copy)
    late = 80 * 16
    assert len(after) == len(before) and not after[:late].any()
    assert np.array_equal(after[late:], before[:-late])
    for one, other in zip(decode.read_frames(clip), decode.read_frames(copy), strict=True):
        assert np.array_equal(one, other)
    (scored,) = read(bench.folder / "out" / "pywork" / "face" / "offsets.json")
    assert (scored["offset_ms"], scored["offset_frames"]) == (0.0, 0)
    again = bench.run(
        *("select", "--data_dir", bench.folder / "work", "--out", bench.folder / "out"),
        *("--in_sync", "--min_seconds", "0"),
    )
    assert again.code == 2 and "of an earlier selection" in again.err


@row("select", "shard_mb")
def _(bench: Bench) -> None:
    _of_results(bench, "--shard_mb", "1", offset_ms=80.0)
    with tarfile.open(bench.folder / "out" / "shard-000000.tar") as tar:
        assert tar.getnames() == ["face-00000.avi", "face-00000.json"]
        stored = tar.extractfile("face-00000.avi")
        assert stored is not None
        clip = bench.clips / "work" / "pycrop" / "face" / "00000.avi"
        assert stored.read() == clip.read_bytes()
    assert "must be above 0" in bench.run(
        *("select", "--data_dir", bench.folder / "work", "--out", bench.folder / "o2"),
        *("--shard_mb", "0"),
    ).err  # fmt: skip
