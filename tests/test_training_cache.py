"""Decoded clips and drawn heads on the disk: what is removed, what is drawn again, a full disk."""

import errno
import os
import resource
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import train_syncnet
import train_wav2lip
from models import weights
from models.syncnet import SMALL, SyncNet
from models.wav2lip import SyncNetColor, Wav2Lip, Wav2LipConfig
from pipeline.errors import InputError, PipelineError
from pipeline.media import decode
from tests.train_kit import SHORT, refusal, run_main, write_noise
from training.data import samples
from training.data.samples import Clip
from training.loop import checkpoint as checkpoint_files
from training.loop.journal import Journal

FRAMES = 20
ENTRY_BYTES = FRAMES * 62 * 62 + FRAMES * 640 * 2
NARROW = Wav2LipConfig(0.02)


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data_dir of three clips that are cached at the same size."""
    data_dir = tmp_path_factory.mktemp("data") / "tracks"
    write_noise(data_dir, clips=3, frames=FRAMES, seed=7)
    return data_dir


def _load(files: list[Path], cache: Path, entries: float) -> samples.Loaded:
    """Clips through a cache that holds so many."""
    gigabytes = entries * ENTRY_BYTES / 1e9
    return samples.load_clips(files, SMALL, cache=cache, margin=True, cache_gb=gigabytes)


def _age(cache: Path, seconds: float) -> None:
    for path in cache.glob("*.npy"):
        then = path.stat().st_mtime - seconds
        os.utime(path, (then, then))


def test_a_clip_of_another_time_is_decoded_again_though_it_is_as_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was cut again; otherwise it is decoded once."""
    write_noise(tmp_path / "data", clips=1, frames=FRAMES, seed=7)
    (file,), decoded = samples.clip_files([tmp_path / "data"]), []
    read_audio = decode.read_audio

    def counted(path: Path) -> np.ndarray:
        decoded.append(path)
        return read_audio(path)

    monkeypatch.setattr(decode, "read_audio", counted)
    for time_s, times in ((1000, 1), (1000, 1), (2000, 2)):
        os.utime(file, (time_s, time_s))
        _load([file], tmp_path / "cache", 3)
        assert len(decoded) == times


def test_clip_that_was_cut_again_replaces_its_older_entry(tracks: Path, tmp_path: Path) -> None:
    """The outdated entry does not use up the space."""
    file, cache = samples.clip_files([tracks])[0], tmp_path / "cache"
    for _ in range(3):
        loaded = _load([file], cache, 1.5)
        assert len(loaded.clips) == 1 and not loaded.left_out
        assert len(list(cache.glob("*.npy"))) == 2
        del loaded
        os.utime(file, (time.time(), file.stat().st_mtime - 10))


def test_least_recently_used_entry_is_removed_first(tracks: Path, tmp_path: Path) -> None:
    """Used, not written: the first clip was read again and stays."""
    (one, two, three), cache = samples.clip_files([tracks]), tmp_path / "cache"

    def there(file: Path, bound: float = 2.5) -> set[str]:
        _load([file], cache, bound)
        _age(cache, 60)
        return {path.name for path in cache.glob("*.pictures.npy")}

    first = there(one)
    second = there(two) - first
    assert there(one) == first | second
    assert there(three) >= first and not second & there(three)
    assert sum(path.stat().st_size for path in cache.iterdir()) < 2.5 * ENTRY_BYTES


def test_entry_in_use_is_not_removed(tracks: Path, tmp_path: Path) -> None:
    """Clips of a run stay, however old, while others are left out; so do those of --val."""
    files, cache = samples.clip_files([tracks]), tmp_path / "cache"
    entry = _load(files[:2], cache, 2.5)
    _age(cache, 60)
    loaded = _load(files[:1] + files[2:], cache, 2.5)
    assert [clip.name for clip in loaded.clips] == ["tracks/noise000/00000"]
    assert loaded.left_out["tracks/noise002/00000"].startswith("cache full (--cache_gb ")
    del entry, loaded
    assert not _load(files[:1] + files[2:], cache, 2.5).left_out


def test_clip_larger_than_the_whole_cache_removes_nothing(tracks: Path, tmp_path: Path) -> None:
    """It would not fit an empty one."""
    files, cache = samples.clip_files([tracks]), tmp_path / "cache"
    _load(files[:1], cache, 1.5)
    with pytest.raises(InputError, match="cache full"):
        _load(files[1:2], cache, 0.5)
    assert len(list(cache.glob("*.npy"))) == 2


def test_two_writers_of_one_entry_write_into_files_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are in the middle at the same time; one whole array is left, which others may read."""
    together, names = threading.Barrier(2, timeout=20), []
    original = np.save

    def slow(file: Any, values: np.ndarray, **options: Any) -> None:
        names.append(file.name)
        together.wait()
        original(file, values, **options)
        together.wait()

    monkeypatch.setattr(np, "save", slow)
    path = tmp_path / "key.pictures.npy"
    writers = [
        threading.Thread(target=samples.write_array, args=(path, np.arange(size)))
        for size in (9, 999)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(set(names)) == 2 and len(np.load(path)) in (9, 999)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.stat().st_mode & 0o777 == 0o644


def test_unfinished_files_are_removed_after_a_day(tmp_path: Path) -> None:
    """Not before: their writer may still be running."""
    for name, age_s in ((".old.npy.x.partial", 90_000), (".new.npy.y.partial", 3_000)):
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (time.time() - age_s,) * 2)
    samples.ClipCache(tmp_path, limit_bytes=1)
    assert [path.name for path in tmp_path.iterdir()] == [".new.npy.y.partial"]


def _full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_full_disk_while_decoding_is_no_fault_of_a_clip(
    tracks: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One sentence with the cache in it; no run starts on what was decoded before."""
    monkeypatch.setattr(np, "save", _full)
    flags = ["--data", str(tracks), "--run", str(tmp_path / "run"), "--device", "cpu"]
    flags += ["--steps", "1", "--drawn", "0", "--cache", str(tmp_path / "cache")]
    code, _, error = run_main(train_syncnet.main, flags, capsys)
    assert code == 1 and error.count("\n") == 1
    assert f"The cache {tmp_path / 'cache'} cannot be written (No space left on device)" in error
    assert not list((tmp_path / "cache").iterdir())


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file of this process may grow beyond a hundred kilobytes: as on a disk that fills up."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_full_disk_while_saving_keeps_the_checkpoint_of_before(
    tmp_path: Path, small_files: None
) -> None:
    """One sentence, and nothing half written stays."""
    path = tmp_path / "checkpoint.pt"
    checkpoint_files.save_checkpoint(path, {"step": 1})
    with pytest.raises(
        PipelineError, match=r"checkpoint\.pt cannot be written .*; free some space"
    ):
        checkpoint_files.save_checkpoint(path, {"step": 2, "large": torch.zeros(1_000_000)})
    assert (
        checkpoint_files.load_checkpoint(path) == {"step": 1} and len(list(tmp_path.iterdir())) == 1
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_full_disk_while_logging_is_one_sentence(tmp_path: Path) -> None:
    """The log is named."""
    journal = Journal(tmp_path, step=0, seconds=0.0, total_steps=2)
    (tmp_path / "train.jsonl").unlink()
    (tmp_path / "train.jsonl").symlink_to("/dev/full")
    with pytest.raises(PipelineError, match=r"train\.jsonl cannot be written \(No space left on"):
        journal.write(1, {"loss": 1.0})


# Drawn heads.


def _sources(seed: int = 1) -> list[Clip]:
    rng = np.random.default_rng(seed)
    pictures = np.zeros((FRAMES, 1, 62, 62), np.uint8)
    return [
        Clip(f"t/{n}/0", pictures, rng.integers(-9000, 9000, FRAMES * 640, dtype=np.int16))
        for n in range(2)
    ]


def _heads(
    clip_cache: samples.ClipCache | None, *, seed: int = 3, frames: int = 4, **more: Any
) -> list[Clip]:
    sources = more.pop("sources", None) or _sources()
    config = more.pop("config", SMALL)
    return list(
        samples.drawn_clips(
            sources, config, count=2, frames=frames, seed=seed, clip_cache=clip_cache, **more
        )
    )


@pytest.fixture
def drawings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every head that is drawn."""
    calls: list[int] = []
    original = samples.drawn_clip

    def counting(*rest: Any, **options: Any) -> np.ndarray:
        calls.append(1)
        return original(*rest, **options)

    monkeypatch.setattr(samples, "drawn_clip", counting)
    return calls


def test_drawn_heads_are_drawn_once_and_found_by_the_next_run(
    tmp_path: Path, drawings: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same as without a cache; another seed, length, view, sound or drawing is drawn anew."""
    plain = _heads(None)
    clip_cache = samples.ClipCache(tmp_path, limit_bytes=10**9)
    drawings.clear()
    for count in (2, 2):
        heads = _heads(clip_cache)
        assert len(drawings) == count and [clip.name for clip in heads] == ["drawn/0", "drawn/1"]
        for one, other in zip(plain, heads, strict=True):
            assert np.array_equal(one.pictures, other.pictures)
            assert np.array_equal(one.samples, other.samples)
    for changed in (
        {"seed": 4},
        {"frames": 5},
        {"config": SyncNet().config},
        {"sources": _sources(seed=2)},
    ):
        drawings.clear()
        _heads(clip_cache, **changed)
        assert len(drawings) == 2, changed
    sources = [replace(_sources()[0], samples=_sources()[0].samples[: 4 * 640])]
    for seed, drawings_made in ((3, 2), (3, 0), (4, 2)):  # all with the very same sound
        drawings.clear()
        _heads(
            clip_cache, seed=seed, sources=[replace(sources[0], pictures=sources[0].pictures[:4])]
        )
        assert len(drawings) == drawings_made, seed
    monkeypatch.setattr(samples, "drawing_version", lambda: "another")
    drawings.clear()
    _heads(clip_cache)
    assert len(drawings) == 2


def test_drawn_heads_that_do_not_fit_the_cache_are_kept_in_memory(
    tmp_path: Path, drawings: list[int]
) -> None:
    """A run has all of them, and each is drawn once."""
    heads = _heads(samples.ClipCache(tmp_path, limit_bytes=1))
    assert len(heads) == len(drawings) == 2 and not list(tmp_path.iterdir())


# What is looked at before an hour of decoding.


@pytest.fixture
def refused(
    tracks: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Any:
    """Runs a script that must end with 2 and one sentence before it decodes; gives the sentence."""

    def decode(*_: Any, **__: Any) -> None:
        raise AssertionError("decoded first")

    monkeypatch.setattr(samples, "load_clips", decode)

    def run(main: Any, *more: Any) -> str:
        flags = ["--data", str(tracks), "--run", str(tmp_path / "run"), "--device", "cpu"]
        return refusal(main, [*flags, *map(str, more)], capsys)

    return run


GENERATOR = ("--stage", "generator", "--width", NARROW.width)


@pytest.mark.parametrize("script", [(train_syncnet.main,), (train_wav2lip.main, *GENERATOR)])
def test_folder_that_cannot_be_written_is_refused_before_decoding(
    script: tuple[Any, ...], refused: Any, tmp_path: Path
) -> None:
    """Folders of run, cache and export; none is created."""
    (tmp_path / "file").write_text("in the way")
    for flag, wrong in (("run", "run"), ("cache", "cache"), ("export", "own.safetensors")):
        error = refused(*script, f"--{flag}", tmp_path / "file" / "deep" / wrong)
        assert f"--{flag} {tmp_path / 'file' / 'deep'}" in error
        assert "cannot be written (Not a directory); choose another folder" in error
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("script", "wrong", "sentence"),
    [
        (train_syncnet.main, ("--seed", -1), "--seed must not be negative"),
        (train_syncnet.main, ("--max_offset", -1), "--max_offset must not be negative"),
        (train_syncnet.main, ("--val", "nowhere"), "nowhere is not a folder"),
        (train_wav2lip.main, ("--mouth_weight", -1), "--mouth_weight must not be negative"),
        (train_wav2lip.main, ("--taught_steps", -1), "--taught_steps must not be negative"),
        (train_wav2lip.main, ("--val", "nowhere"), "nowhere is not a folder"),
        (train_wav2lip.main, ("--filelists", "nowhere"), "train.txt cannot be read"),
    ],
)
def test_flag_that_means_nothing_is_refused_before_decoding(
    script: Any, wrong: tuple[Any, ...], sentence: str, refused: Any
) -> None:
    """Whatever it would be needed for."""
    more = GENERATOR if script is train_wav2lip.main else ()
    assert sentence in refused(script, *more, *wrong)


def test_weights_that_do_not_fit_are_refused_before_decoding(refused: Any, tmp_path: Path) -> None:
    """--init, --expert and --teacher of another network or width, or no weights at all."""
    torch.manual_seed(1)
    networks = {"expert": SyncNetColor(NARROW), "generator": Wav2Lip(NARROW)}
    for name, model in networks.items():
        weights.write_own(model, tmp_path / f"{name}.safetensors", config=NARROW)
    weights.write_own(SyncNet(SHORT), tmp_path / "sync.safetensors", config=SHORT)
    torch.save(networks["generator"].state_dict(), tmp_path / "bare.pth")
    (tmp_path / "text.pth").write_text("no weights")
    generator = tmp_path / "generator.safetensors"
    run = (train_wav2lip.main, *GENERATOR)
    assert "generator.safetensors does not fit SyncNetColor" in refused(*run, "--expert", generator)
    assert "text.pth is not a weights file" in refused(*run, "--expert", tmp_path / "text.pth")
    assert "expert.safetensors does not fit Wav2Lip" in refused(
        *run, "--init", tmp_path / "expert.safetensors"
    )
    assert "generator.safetensors was made for another network" in refused(
        *run, "--teacher", generator
    )
    wide = (*run, "--width", 0.04)
    assert "is not of --width 0.04; give --width 0.02, of which it is" in refused(
        *wide, "--init", generator
    )
    assert "is not of --width 0.04; give --width 1, of which published weights are" in refused(
        *wide, "--init", tmp_path / "bare.pth"
    )
    assert "text.pth is not a weights file" in refused(
        train_syncnet.main, "--init", tmp_path / "text.pth"
    )
