"""Clips as they are encoded: how fine, how often a whole picture, and with which sound."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from models.features import SAMPLES_PER_FRAME
from pipeline.media import decode, encode
from tests.synthetic import ffmpeg

FRAMES = 30
SIZE_PX = (96, 64)


def _moving() -> list[np.ndarray]:
    """Grain on a slope of greys that moves a little from frame to frame."""
    rng = np.random.default_rng(0)
    slope = np.linspace(40, 200, SIZE_PX[0] + FRAMES)
    grain = rng.normal(0, 12, (SIZE_PX[1], len(slope)))
    wide = np.clip(slope + grain, 0, 255).astype(np.uint8)
    return [np.repeat(wide[:, i : i + SIZE_PX[0], None], 3, axis=2) for i in range(FRAMES)]


def _written(path: Path, **options: object) -> list[np.ndarray]:
    with encode.VideoWriter(path, size_px=SIZE_PX, **options) as writer:  # type: ignore[arg-type]
        for frame in _moving():
            writer.write(frame)
    return list(decode.read_frames(path, frame_rate=None))


def test_clips_are_finer_than_pictures_for_people_and_both_are_fine(tmp_path: Path) -> None:
    """Crops, which networks see, lose less; whole frames take fewer bytes."""
    errors, sizes = [], []
    for name, quality in (("crop", encode.CROP_QUALITY), ("frame", encode.PICTURE_QUALITY)):
        path = tmp_path / f"{name}.avi"
        read = _written(path, quality=quality)
        errors.append(np.abs(np.subtract(read, _moving(), dtype=np.float32)).mean())
        sizes.append(path.stat().st_size)
    assert errors[0] < 3.3 < errors[1] < 5
    assert 0.65 < sizes[1] / sizes[0] < 0.83


def test_crops_are_fine_without_being_asked(tmp_path: Path) -> None:
    """The quality of a clip nobody chose is that of crops."""
    _written(tmp_path / "asked.avi", quality=encode.CROP_QUALITY)
    _written(tmp_path / "unasked.avi")
    assert (tmp_path / "asked.avi").read_bytes() == (tmp_path / "unasked.avi").read_bytes()


def test_one_picture_a_second_is_a_whole_one(tmp_path: Path) -> None:
    """Twice as many make files a quarter larger; none at all, and nobody can seek."""
    path = tmp_path / "clip.avi"
    _written(path)
    log = ffmpeg("-i", path, "-vf", "showinfo", "-f", "null", "-")
    kinds = [line.partition(" type:")[2][0] for line in log.splitlines() if " type:" in line]
    assert [index for index, kind in enumerate(kinds) if kind == "I"] == [0, 25]


def test_a_clip_gets_another_sound_and_keeps_its_pictures(tmp_path: Path) -> None:
    """To the sample and to the bit, and the clip that is copied stays."""
    clip, copy = tmp_path / "clip.avi", tmp_path / "copy.avi"
    frames = _written(clip)
    samples = (np.arange(FRAMES * SAMPLES_PER_FRAME) % 1999 - 1000).astype(np.int16)
    encode.replace_sound(clip, copy, samples)
    np.testing.assert_array_equal(decode.read_audio(copy), samples)
    np.testing.assert_array_equal(list(decode.read_frames(copy, frame_rate=None)), frames)
    assert not decode.probe(clip).has_audio
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.avi", "copy.avi"]


@pytest.mark.parametrize("suffix", [".wav", ".s16"])
def test_a_sound_is_what_its_name_says(suffix: str, tmp_path: Path) -> None:
    """A .wav file with its header, any other file as raw samples."""
    samples = (np.arange(FRAMES * SAMPLES_PER_FRAME) % 1999 - 1000).astype(np.int16)
    sound = tmp_path / f"sound{suffix}"
    if suffix == ".wav":
        wavfile.write(sound, 16_000, samples)
    else:
        samples.tofile(sound)
    _written(tmp_path / "clip.avi", audio=sound)
    np.testing.assert_array_equal(decode.read_audio(tmp_path / "clip.avi"), samples)


@pytest.mark.parametrize("audio", [False, True])
def test_the_shape_of_a_pixel_is_in_the_file(audio: bool, tmp_path: Path) -> None:
    """Wide or narrow ones, with sound and without; square ones need not be named."""
    sound = tmp_path / "sound.s16"
    np.zeros(FRAMES * SAMPLES_PER_FRAME, np.int16).tofile(sound)
    for sar in (Fraction(64, 45), Fraction(8, 9), Fraction(1), None):
        _written(tmp_path / "clip.avi", sar=sar, audio=sound if audio else None)
        assert decode.probe(tmp_path / "clip.avi").sar == (sar or 1)


def test_the_number_of_threads_is_the_one_given(tmp_path: Path) -> None:
    """Each codes a slice of its own: the same number gives the same bytes, another one others."""
    coded = []
    for threads in (1, 3, 1):
        _written(tmp_path / "clip.avi", threads=threads)
        coded.append((tmp_path / "clip.avi").read_bytes())
    assert coded[0] == coded[2] != coded[1]
