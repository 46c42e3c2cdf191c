"""What a selection says: its lines, its picture, and which rows it takes at the limits."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pipeline.errors import InputError
from pipeline.select import choose, picture
from pipeline.select.__main__ import main, words
from pipeline.select.choose import Candidate, SelectOptions, manifests, why_dropped
from pipeline.select.selection import Selection
from tests.batch_worker import row_of
from tests.select_kit import line, write_batch

LIMITS = SelectOptions(min_confidence=5.0, min_probability=0.9, max_offset=3, min_seconds=4)


def _row(**changed: Any) -> dict[str, Any]:
    key = {"video": "a", "reference": "a", "bytes": 1, "mtime_ns": 1}
    return row_of(key, 3)["tracks"][0] | changed


def _candidate(reason: str = "", **changed: Any) -> Candidate:
    given: dict[str, Any] = {
        "data_dir": Path("batch"),
        "video": "/videos/a.mp4",
        "reference": "a",
        "track": 0,
        "start_s": 10.0,
        "end_s": 1810.0,
        "offset_ms": 40.0,
        "confidence": 6.0,
        "reason": reason,
    }
    return Candidate(**(given | changed))


# Limits.


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, ""),
        ({"reliable": False}, ""),
        ({"confidence": 4.99}, choose.LOW_CONFIDENCE),
        ({"confidence": None}, choose.UNMEASURED),
        ({"probability": 0.89}, choose.IMPROBABLE),
        ({"offset_ms": -120.0}, ""),
        ({"offset_ms": -120.1}, choose.TOO_FAR),
        ({"start_s": 0.1}, choose.TOO_SHORT),
        ({"at_search_edge": True, "confidence": 0.0}, choose.AT_EDGE),
    ],
)
def test_what_is_exactly_at_a_limit_stays(changed: dict[str, Any], reason: str) -> None:
    """Confidence 5, probability 0.9, 120 ms and 4 s, and the first reason is the one given."""
    assert why_dropped(_row(**changed), LIMITS) == reason


@pytest.mark.parametrize(
    "wrong",
    [{"min_probability": 1.01}, {"min_probability": -0.1}, {"max_offset": -1}, {"min_seconds": -1}],
)
def test_impossible_limits_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        SelectOptions(**wrong)  # type: ignore[arg-type]


def test_shards_of_a_batch_are_read_in_their_order(tmp_path: Path) -> None:
    """So that the first of two videos with one sound is always the same."""
    names = [f"batch-{number}-of-3.jsonl" for number in (2, 0, 1)]
    for name in names:
        write_batch(tmp_path / "b", line(tmp_path, name, {}), name=name)
    write_batch(tmp_path / "a", line(tmp_path, "last", {}))
    found = manifests([tmp_path / "b", tmp_path / "a"])
    assert [path.name for path in found] == [*sorted(names), "batch.jsonl"]


def test_a_clip_is_the_one_of_its_track() -> None:
    one = _candidate(track=7)
    assert one.clip == Path("batch/pycrop/a/00007.avi") and one.seconds == 1800


# Words.


def test_a_selection_is_told_in_lines() -> None:
    """What stays and for how long; the most frequent reason first; videos without a face."""
    rest = [_candidate(choose.TOO_SHORT), *[_candidate(choose.TOO_FAR)] * 2]
    stays = [_candidate(), _candidate(end_s=3610.0)]
    told = words(Selection([*rest, *stays], 3, {}, [Path("out/clips.txt"), Path("out/videos.txt")]))
    assert told == [
        "2 of 5 tracks stay, 1.50 hours; dropped:",
        "      2  sound and lips too far apart",
        "      1  too short",
        "3 videos without a track; batch.jsonl says why.",
        "written: out/clips.txt, out/videos.txt",
    ]
    assert not any("without" in text for text in words(Selection(stays, 0, {}, [])))


@pytest.mark.parametrize("clips", [False, True])
def test_the_next_command_fits_what_was_written(
    clips: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Training where there are clips; else run_batch.py, which keeps them."""
    batch = write_batch(tmp_path / "batch", line(tmp_path, "one", {}))
    if clips:
        clip = batch / "pycrop" / "one" / "00000.avi"
        clip.parent.mkdir(parents=True)
        clip.write_bytes(b"")
    out = tmp_path / "out"
    assert main(["--data_dir", str(batch), "--out", str(out)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    if clips:
        assert last == f"next: python train_syncnet.py --data {out / 'clips.txt'} --run RUN"
    else:
        assert f"run_batch.py --videos {out / 'videos.txt'} --keep crops" in last


@pytest.mark.parametrize("megabytes", ["0", "-1", "nan"])
def test_a_shard_of_no_size_is_refused(megabytes: str, tmp_path: Path) -> None:
    batch = write_batch(tmp_path / "batch", line(tmp_path, "one", {}))
    given = ["--data_dir", str(batch), "--out", str(tmp_path / "out"), f"--shard_mb={megabytes}"]
    with pytest.raises(InputError, match=r"--shard_mb .* must be above 0"):
        main(given)
    assert not (tmp_path / "out").exists()


# The picture.


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Figure]]:
    """Figures as they are when they are written."""
    figures: list[Figure] = []
    save = Figure.savefig

    def kept(figure: Figure, *args: Any, **options: Any) -> None:
        figures.append(figure)
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", kept)
    yield figures


def test_the_picture_has_what_stays_and_what_is_dropped(
    drawn: list[Figure], tmp_path: Path
) -> None:
    """Each histogram is of its own number; what was not measured is in none."""
    stays = [_candidate(confidence=6.0, offset_ms=0.0), _candidate(confidence=8.0)]
    dropped = [
        _candidate(choose.LOW_CONFIDENCE, confidence=0.0, end_s=1810.0),
        _candidate(choose.UNMEASURED, confidence=None, offset_ms=None),
        _candidate(choose.UNMEASURED, confidence=None, offset_ms=None),
    ]
    picture.draw([*dropped, *stays], tmp_path / "selection.png")
    assert [path.name for path in tmp_path.iterdir()] == ["selection.png"]
    (figure,) = drawn
    assert figure.get_suptitle() == "2 of 5 tracks stay, 1.00 hours of 2.50"
    confidence, offset, length, reasons = figure.axes
    labels = [axis.get_xlabel() for axis in figure.axes]
    assert labels == ["confidence", "offset, ms (sound early > 0)", "length, s", "tracks dropped"]
    counts = []
    for axis in (confidence, offset, length):
        groups = [group for group in axis.containers if isinstance(group, BarContainer)]
        counts.append([round(sum(bar.get_height() for bar in group)) for group in groups])
        assert groups[0].patches[0].get_facecolor() != groups[1].patches[0].get_facecolor()
    assert counts == [[2, 1], [2, 1], [2, 3]]
    legend = confidence.get_legend()
    assert legend and [text.get_text() for text in legend.get_texts()] == ["stays", "dropped"]
    assert confidence.get_xlim()[1] > 7 and offset.get_xlim()[1] > 39
    names = [text.get_text() for text in reasons.get_yticklabels()]
    widths = [round(bar.get_width()) for bar in reasons.patches if isinstance(bar, Rectangle)]
    assert dict(zip(names, widths, strict=True)) == {
        choose.UNMEASURED: 2,
        choose.LOW_CONFIDENCE: 1,
    }


def test_a_picture_without_any_confidence_has_no_legend_and_warns_of_none(
    drawn: list[Figure], tmp_path: Path
) -> None:
    """Tracks of a batch that measured nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture.draw([_candidate(choose.UNMEASURED, confidence=None)], tmp_path / "selection.png")
    assert drawn[0].axes[0].get_legend() is None
