"""A selection: who stays, whose sound is another's, and that training takes it as it is."""

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

import train_syncnet
from pipeline.errors import InputError
from pipeline.select import choose, copies
from pipeline.select.choose import SelectOptions, why_dropped
from pipeline.select.duplicates import Sound, originals
from pipeline.select.selection import select
from pipeline.select.sound_print import (
    different_share,
    read_print,
    sound_print,
    sound_words,
)
from pipeline.store.workspace import Workspace
from tests.batch_worker import row_of
from tests.conftest import Script
from tests.select_kit import batch_of, decisions, line, write_batch
from tests.synthetic import ffmpeg
from training.data import people, samples

HERE = Path("batch")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, ""),
        ({"offset_ms": None}, choose.UNMEASURED),
        ({"at_search_edge": True}, choose.AT_EDGE),
        ({"reliable": False}, choose.NOT_RELIABLE),
        ({"over_time": {"kind": "drift"}}, choose.CHANGING),
        ({"over_time": {"kind": "step"}}, choose.CHANGING),
        ({"over_time": {"kind": "constant"}}, ""),
        ({"over_time": None}, ""),
        ({"offset_ms": 120.1}, choose.TOO_FAR),
        ({"start_s": 2.1}, choose.TOO_SHORT),
    ],
)
def test_why_a_track_is_dropped(changed: dict[str, object], reason: str) -> None:
    key = {"video": "a", "reference": "a", "bytes": 1, "mtime_ns": 1}
    assert why_dropped(row_of(key, 0)["tracks"][0] | changed, SelectOptions()) == reason


# The same sound.


def _speech(seed: int, seconds: float = 12.0) -> np.ndarray:
    """Noise whose bands come and go three times a second; (n,) float64."""
    rng = np.random.default_rng(seed)
    length = int(seconds * 16_000)
    times = np.arange(length) / 16_000
    sound = np.zeros(length)
    for hz in np.geomspace(220, 3300, 24):
        knots_s = np.arange(0, seconds + 1, 0.17)
        loud = np.interp(times, knots_s, rng.random(len(knots_s)))
        sound += loud**2 * np.sin(2 * np.pi * hz * times + rng.uniform(0, 6))
    return sound / np.abs(sound).max()


def _pcm(sound: np.ndarray, volume: float = 0.5) -> np.ndarray:
    return (sound * volume * 32767).astype(np.int16)


def _found(copy: np.ndarray, *others: np.ndarray) -> dict[tuple[Path, str], tuple[Path, str]]:
    sounds = {(HERE, str(n)): Sound("", sound_words(other)) for n, other in enumerate(others)}
    return originals(sounds | {(HERE, "copy"): Sound("", sound_words(copy))})


def test_a_copy_is_found_however_it_was_made(tmp_path: Path) -> None:
    """Quieter, cut at the beginning, coded at 32 kbit/s, with noise; other sounds are not."""
    sound, others = _speech(1), [_pcm(_speech(seed)) for seed in range(2, 6)]
    noise = 0.02 * np.random.default_rng(9).standard_normal(len(sound))
    raw, coded = tmp_path / "a.s16", tmp_path / "a.mp3"
    _pcm(sound).tofile(raw)
    pcm = ("-f", "s16le", "-ar", "16000", "-ac", "1")
    ffmpeg(*pcm, "-i", raw, "-c:a", "libmp3lame", "-b:a", "32k", coded)
    ffmpeg("-i", coded, *pcm, raw)
    copies_by_kind = {
        "quieter": _pcm(sound, 0.05),
        "later": _pcm(sound[int(2.345 * 16_000) :]),
        "coded": np.fromfile(raw, np.int16),
        "noise": _pcm(sound + noise, 0.4),
    }
    for name, copy in copies_by_kind.items():
        assert _found(copy, *others, _pcm(sound)) == {(HERE, "copy"): (HERE, "4")}, name
        assert not _found(copy, *others), name


def test_prints_survive_as_text() -> None:
    words = sound_words(_pcm(_speech(1)))
    assert np.array_equal(read_print(sound_print(_pcm(_speech(1)))), words)
    assert len(words) == pytest.approx(12.5 * 12, abs=10)
    assert different_share(words, words, shift=0) == (0.0, np.count_nonzero(words))
    other = sound_words(_pcm(_speech(2)))
    assert different_share(words, other, shift=3)[0] == pytest.approx(0.5, abs=0.12)
    assert different_share(words, words, shift=len(words)) == (0.5, 0)
    assert sound_print(np.zeros(160_000, np.int16)) == sound_print(np.zeros(9, np.int16)) == ""


def test_print_of_a_long_sound_is_of_its_first_minute() -> None:
    long = _pcm(np.tile(_speech(1), 6))
    assert np.array_equal(sound_words(long), sound_words(long[: 60 * 16_000]))
    assert len(sound_words(long)) == pytest.approx(12.5 * 60, abs=10)


def test_what_is_hardly_heard_is_not_known_again() -> None:
    """Noise 60 dB below the speech before it: two recordings of nothing are no copies."""
    speech = _pcm(_speech(1))
    noise = np.random.default_rng(5).normal(0, 5, len(speech)).astype(np.int16)
    words = sound_words(np.concatenate([speech, noise]))
    last_loud = int(12 * 12.5)
    assert np.count_nonzero(words[: last_loud - 10]) > 100 and not words[last_loud + 1 :].any()


def test_what_is_50_db_below_the_loudest_moment_is_hardly_heard() -> None:
    """Noise for four seconds, then 48.5 and 51.5 dB below it."""
    noise = np.random.default_rng(5).normal(0, 8000, 64_000)
    levels = [noise * 10 ** (db / 20) for db in (0, -48.5, -51.5)]
    words = sound_words(np.rint(np.concatenate(levels)).clip(-32768, 32767).astype(np.int16))
    loud, quiet, quieter = words[:40], words[52:90], words[102:]
    assert len(quieter) > 30 and loud.all() and quiet.all() and not quieter.any()


def test_a_copy_of_a_dropped_video_stays(tmp_path: Path) -> None:
    """It may be the one with the better picture."""
    batch = write_batch(
        tmp_path / "batch",
        line(tmp_path, "one", {"reliable": False}, sha256="same"),
        line(tmp_path, "two", {}, sha256="same"),
    )
    selection = select([batch], tmp_path / "out", SelectOptions())
    assert [one.reference for one in selection.tracks] == ["two"]


def test_the_first_of_the_same_file_stays() -> None:
    nothing = np.zeros(0, np.uint16)
    sounds = {
        (HERE, name): Sound(digest, nothing)
        for name, digest in (("a", "x"), ("b", "y"), ("c", "x"), ("d", ""), ("e", ""))
    }
    assert originals(sounds) == {(HERE, "c"): (HERE, "a")}


# What is written.


def test_a_selection_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lists of what stays, a row for every track, and no clips where none were kept."""
    failed = line(tmp_path, "four") | {"status": "failed", "reason": "It is empty."}
    batch = write_batch(
        tmp_path / "batch",
        line(tmp_path, "one", {}, {"reliable": False}),
        line(tmp_path, "two", {"offset_ms": 400.0}),
        line(tmp_path, "three", {}, sha256="one"),
        failed,
    )
    out = tmp_path / "out"
    selection = select([batch], out, SelectOptions())
    assert [one.reference for one in selection.tracks] == ["one"]
    assert selection.without_track == 1
    assert selection.reasons == {
        choose.NOT_RELIABLE: 1,
        choose.TOO_FAR: 1,
        choose.SAME_SOUND: 1,
    }
    rows = [json.loads(text) for text in (out / "selection.jsonl").read_text().splitlines()]
    assert [(row["reference"], row["selected"], row["same_sound_as"]) for row in rows] == [
        ("one", True, None),
        ("one", False, None),
        ("two", False, None),
        ("three", False, "/videos/one.mp4"),
    ]
    assert rows[3]["row"]["track"] == 0 and rows[3]["video"] == "/videos/three.mp4"
    assert sorted(path.name for path in out.iterdir()) == [
        *("selection.jsonl", "selection.png", "videos.txt")
    ]
    with pytest.raises(InputError, match=r"No track stays of 4 .*lower --min_confidence"):
        select([batch], tmp_path / "none", SelectOptions(min_confidence=99))
    assert not (tmp_path / "none").exists()
    with pytest.raises(InputError, match=r"is not there; run run_batch.py --keep crops"):
        select([batch], tmp_path / "copies", SelectOptions(), in_sync=True)


def test_copies_say_that_their_offset_is_gone(done: Workspace, tmp_path: Path) -> None:
    """In frames and in milliseconds: training would else move them once more."""
    data_dir = tmp_path / "batch"
    shutil.copytree(done.data_dir, data_dir)
    batch = write_batch(data_dir, line(data_dir, "face", {"offset_ms": 80.0, "offset_frames": 2}))
    options = SelectOptions(min_seconds=0, max_offset=15)
    select([batch], tmp_path / "out", options, in_sync=True)
    (copied,) = Workspace(tmp_path / "out", "face").read_offsets()
    assert (copied["offset_frames"], copied["offset_ms"]) == (0, 0.0)


def test_a_manifest_of_another_format_is_named(tmp_path: Path) -> None:
    broken = line(tmp_path, "one", {})
    del broken["tracks"][0]["confidence"]
    batch = write_batch(tmp_path / "batch", broken)
    with pytest.raises(InputError, match=r"/videos/one.mp4 .* has another format"):
        select([batch], tmp_path / "out", SelectOptions())


def test_shards_are_filled_to_their_size(tmp_path: Path) -> None:
    """In order, none above a million bytes but one of a clip that is; a stem names a group."""
    clips = []
    for number, size in enumerate((490_000, 510_000, 520_000, 490_000, 1_500_000)):
        clip = tmp_path / f"{number}.avi"
        clip.write_bytes(bytes(size))
        clips.append((copies.shard_key("a.b c", number), clip, {"track": number}))
    shards = copies.write_shards(clips, tmp_path, shard_mb=1.0)
    names = []
    for shard in shards:
        with tarfile.open(shard) as tar:
            names.append(tar.getnames()[::2])
    assert names == [
        ["a_b_c-00000.avi", "a_b_c-00001.avi"],
        ["a_b_c-00002.avi"],
        ["a_b_c-00003.avi"],
        ["a_b_c-00004.avi"],
    ]


# Training.


def test_training_takes_the_list(done: Workspace, script: Script, tmp_path: Path) -> None:
    """A list beside a data_dir; who is on a clip is read where the clip is."""
    work = Workspace(tmp_path / "batch", "face")
    shutil.copytree(done.data_dir, work.data_dir)
    (work.data_dir / "people.csv").write_text("reference,person\nface,Anna\n")
    scored = script("run_syncnet.py", "--reference", "face", "--data_dir", work.data_dir)
    assert scored.returncode == 0, scored.stderr
    batch = batch_of(work, reliable=True)
    selection = select([batch], tmp_path / "out", SelectOptions(min_seconds=0, max_offset=15))
    assert decisions(tmp_path / "out") == {("face", 0): None}
    clips = tmp_path / "out" / "clips.txt"
    assert clips in selection.files
    assert samples.clip_files([clips]) == [work.crop(0).absolute()]
    assert people.read([clips]) == {"batch/face": "Anna"}
    clips.write_text("gone/pycrop/face/00000.avi\n")
    with pytest.raises(InputError, match=r"lists .* which is not there"):
        samples.clip_files([clips])


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_fifty_steps_on_what_was_selected(example: Path, script: Script, tmp_path: Path) -> None:
    """run_batch.py, pipeline.select, train_syncnet.py: the commands that each names next."""
    batch = ("--videos", example, "--data_dir", tmp_path / "batch", "--workers", "1")
    done = script("run_batch.py", *batch)
    assert done.returncode == 0, done.stderr
    select([tmp_path / "batch"], tmp_path / "out", SelectOptions(), in_sync=True)
    for data in (tmp_path / "out" / "clips.txt", tmp_path / "out"):
        run = tmp_path / f"run{data.suffix}"
        flags = ["--steps", "50", "--excerpts", "2", "--drawn", "0", "--run", str(run)]
        assert train_syncnet.main(["--data", str(data), *flags]) == 0
        assert (run / "checkpoint.pt").is_file()
