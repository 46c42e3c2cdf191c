"""Playback back and forth: unchanged frames, few of them on disk."""

import functools
import shutil
from collections import namedtuple
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.dubbing import source_frames
from pipeline.dubbing.source_frames import there_and_back
from pipeline.errors import InputError, PipelineError
from pipeline.media import decode


@pytest.mark.parametrize("exact", [12, 15, 24, 30, 48, 60, 120])
def test_what_ffmpeg_rounds_is_a_thousandth_less_than_a_whole_rate(exact: int) -> None:
    """However it rounds 23.976 and its kin; whole rates stay what they are."""
    ntsc = exact * 1000 / 1001
    assert source_frames.exact_rate(round(ntsc, 2)) == ntsc
    assert source_frames.exact_rate(exact) == exact


@pytest.mark.parametrize("rate", [Fraction(30), Fraction(30_000, 1001), Fraction(24)])
def test_of_rates_that_lose_no_frame_the_nearest_is_taken(rate: Fraction) -> None:
    """Ten seconds that tremble by 3 ms: 30 and 29.97 both have a place for every frame."""
    times_s = np.arange(300) / float(rate)
    times_s[1:] += np.random.default_rng(0).uniform(-0.003, 0.003, 299)
    assert source_frames.output_rate(times_s) == rate


@pytest.mark.parametrize("rate", [Fraction(37), Fraction(53)])
def test_a_rate_of_which_most_frames_are_lost_is_told_by_the_few_neighbours(rate: Fraction) -> None:
    """Three of four are gone, as of a screen on which little moves: the next usual rate is not it.

    A twentieth of the intervals is enough.
    """
    places = np.flatnonzero(np.random.default_rng(0).random(2400) < 0.25)
    found = source_frames.output_rate((places - places[0]) / float(rate))
    assert float(found) == pytest.approx(float(rate), rel=0.002)


class _Film:
    """A source in memory that counts how often and how far it was read."""

    def __init__(self, frames: int) -> None:
        rng = np.random.default_rng(frames)
        self.frames = [rng.integers(0, 256, 60, np.uint8) for _ in range(frames)]
        self.reads: list[int] = []

    def __call__(self, video: Path, *, frame_rate: float) -> Iterator[np.ndarray]:
        self.reads.append(0)
        for frame in self.frames:
            self.reads[-1] += 1
            yield frame


def _looped(film: _Film, folder: Path, frames: int) -> int:
    """Plays a film; gives the largest number of frames that were on the disk at once."""
    indices, on_disk = [], 0
    for index, frame in source_frames.playback(
        Path("film"), frame_rate=25, frames=frames, fit="loop", frame_store=folder, read=film
    ):
        np.testing.assert_array_equal(frame, film.frames[index])
        frame[:] = 0  # free to be painted on
        indices.append(index)
        on_disk = max(on_disk, len(list(folder.iterdir())))
    assert indices == [there_and_back(position, len(film.frames)) for position in range(frames)]
    assert not list(folder.iterdir())
    return on_disk


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with space for three of the film's frames."""
    monkeypatch.setattr(source_frames, "KEPT_BYTES", 3 * 60)
    monkeypatch.setattr(source_frames, "LEAST_KEPT_FRAMES", 1)


@pytest.mark.usefixtures("small_disk")
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 11])
def test_a_loop_keeps_few_frames(count: int, tmp_path: Path) -> None:
    """Wherever sound and pieces end, order and frames are those of the source."""
    for frames in [*range(1, 5 * count, max(1, count // 3)), 5 * count]:
        assert _looped(_Film(count), tmp_path, frames) <= 3


def test_what_fits_is_read_once_more(tmp_path: Path) -> None:
    """A short film under long sound is not decoded at every turn."""
    film = _Film(9)
    assert _looped(film, tmp_path, 100) == 9 and film.reads == [9, 9]


@pytest.mark.usefixtures("small_disk")
def test_pieces_are_read_no_further_than_they_reach(tmp_path: Path) -> None:
    """Backwards from 9: 8 to 6, 5 to 3, 2 and 1; then forwards from 0 without keeping any."""
    film = _Film(10)
    _looped(film, tmp_path, 23)
    assert film.reads == [10, 9, 6, 3, 5]


def test_real_frames_come_back_to_the_bit(
    face_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H.264 with frames between key frames, decoded from its start for each piece."""
    info = decode.probe(face_clip)
    read = functools.partial(decode.read_planes, size_px=(info.width_px, info.height_px))
    truth = [frame.copy() for frame in read(face_clip, frame_rate=25)]
    monkeypatch.setattr(source_frames, "KEPT_BYTES", 7 * truth[0].nbytes)
    monkeypatch.setattr(source_frames, "LEAST_KEPT_FRAMES", 1)
    playing = source_frames.playback(
        face_clip, frame_rate=25, frames=75, fit="loop", frame_store=tmp_path, read=read
    )
    for position, (index, frame) in enumerate(playing):
        assert index == there_and_back(position, len(truth))
        np.testing.assert_array_equal(frame, truth[index])
    assert position == 74


def test_too_little_space_is_an_error_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence with the numbers, at the first frame; other values of `fit` need no space."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(source_frames, "LEAST_KEPT_FRAMES", 1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 40 << 20))
    options: Any = {"frame_rate": 25, "frames": 20, "frame_store": tmp_path, "read": _Film(9)}
    playing = source_frames.playback(Path("film"), fit="loop", **options)
    with pytest.raises(PipelineError, match="120 MiB must be free there, but 40 MiB are; free"):
        next(playing)
    assert len(list(source_frames.playback(Path("film"), fit="audio", **options))) == 20


@pytest.mark.parametrize(
    ("free", "frames"), [(120 << 20, 60), (20 << 20, 10), ((20 << 20) - 2, None), (1 << 40, 2048)]
)
def test_half_of_what_is_free_is_left_to_others(
    free: int, frames: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of frames of 1 MiB: at most the half, and 2 GiB in all; no fewer than ten."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(source_frames, "LEAST_KEPT_FRAMES", 10)
    monkeypatch.setattr(source_frames, "KEPT_BYTES", 2 << 30)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, free))
    if frames is not None:
        assert source_frames._capacity_frames(tmp_path, 1 << 20) == frames
        return
    with pytest.raises(PipelineError, match=r"up to 2048 MiB .* and 20 MiB must be free there"):
        source_frames._capacity_frames(tmp_path, 1 << 20)


def test_a_standing_frame_is_the_same_however_it_is_painted_on(tmp_path: Path) -> None:
    """Frames belong to whoever gets them: the source's own memory and the next one stay."""
    film = _Film(2)
    truth = [frame.copy() for frame in film.frames]
    for index, frame in source_frames.playback(
        Path("film"), frame_rate=25, frames=5, fit="audio", frame_store=tmp_path, read=film
    ):
        np.testing.assert_array_equal(frame, truth[index])
        frame[:] = 0


def test_a_film_without_a_frame_is_an_error(tmp_path: Path) -> None:
    options: Any = {"frame_rate": 25, "frames": 3, "frame_store": tmp_path, "read": _Film(0)}
    for fit in ("audio", "loop"):
        with pytest.raises(PipelineError, match="film gave no frame; check that it plays"):
            list(source_frames.playback(Path("film"), fit=fit, **options))
    with pytest.raises(InputError, match="fit"):
        list(source_frames.playback(Path("film"), fit="never", **options))  # type: ignore[arg-type]


@pytest.mark.usefixtures("small_disk")
def test_a_film_that_became_shorter_is_an_error(tmp_path: Path) -> None:
    """No frame is shown instead of another one."""
    film = _Film(9)

    def shrinking(video: Path, *, frame_rate: float) -> Iterator[np.ndarray]:
        yield from film(video, frame_rate=frame_rate)
        film.frames = film.frames[:5]

    playing = source_frames.playback(
        Path("film"), frame_rate=25, frames=20, fit="loop", frame_store=tmp_path, read=shrinking
    )
    with pytest.raises(PipelineError, match="film gave 9 frames first and 5 then"):
        list(playing)
