"""New mouths: regions, masks, blending, driving sound, playback and generation."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from scipy.io import wavfile
from torch import nn

from models import features, folding
from models.features import MEL_LIMIT, SAMPLE_RATE
from models.wav2lip import Wav2Lip, Wav2LipConfig
from pipeline.dubbing import blend, driving_audio, face_path
from pipeline.dubbing.driving_audio import Voice, read_voice
from pipeline.dubbing.face_path import FacePath, Pads, Region
from pipeline.dubbing.generate import DubTrack, Generator, regenerated
from pipeline.dubbing.source_frames import (
    OUTPUT_RATES,
    Fit,
    exact_rate,
    output_rate,
    playback,
    there_and_back,
)
from pipeline.errors import InputError, PipelineError
from pipeline.faces.tracks import Track
from pipeline.media import decode, yuv
from pipeline.speakers import one_face
from tests.synthetic import ffmpeg

NO_PADS = Pads(0, 0, 0, 0)
BOX = (40.0, 20.0, 140.0, 120.0)
FRAME_SHAPE = (200, 240, 3)


def _noise(seed: int, size: tuple[int, ...] = FRAME_SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def _photo(seed: int, size: tuple[int, ...] = FRAME_SHAPE) -> np.ndarray:
    """A smooth picture with edges, far from black and white."""
    wide = cv2.GaussianBlur(_noise(seed, size).astype(np.float32), (0, 0), 5)
    return np.clip(128 + 9 * (wide - wide.mean()), 40, 215).astype(np.uint8)


def _track(boxes: np.ndarray, first: int = 0) -> Track:
    return Track(np.arange(first, first + len(boxes)), boxes)


def _still(frames: int, first: int = 0) -> Track:
    return _track(np.tile(BOX, (frames, 1)), first)


def _path(track: Track, *, pads: Pads = NO_PADS, rate: int = 25) -> FacePath:
    return FacePath(track, frame_rate=rate, pads=pads, frame_size_px=(240, 200))


# Where the face is.


def _left_edges(path: FacePath, times_s: np.ndarray) -> np.ndarray:
    regions = [path.at(float(time)) for time in times_s]
    return np.array([region.left for region in regions if region is not None], float)


@pytest.mark.parametrize("rate", [25.0, 30.0, 24_000 / 1001])
def test_a_moving_face_is_followed_without_lag(rate: float) -> None:
    """Between two frames of the working clock the box is between their boxes, at any rate."""
    moving = np.array(BOX) + 2.0 * np.arange(50)[:, None] * [1, 0, 1, 0]
    times_s = np.arange(int(0.3 * rate), int(1.7 * rate)) / rate
    edges = _left_edges(_path(_track(moving)), times_s)
    np.testing.assert_allclose(edges, 40 + 2.0 * times_s * 25, atol=0.51)


def test_a_trembling_box_is_steadied_in_place() -> None:
    """Half of the jitter goes, and a jump is spread to both sides, not to later frames only."""
    jitter = np.random.default_rng(0).normal(0, 3, (200, 1))
    times_s = np.arange(200) / 25
    edges = _left_edges(_path(_track(np.array(BOX) + jitter)), times_s)
    assert np.diff(edges).std() < 0.25 * np.diff(jitter[:, 0]).std()
    jump = np.array(BOX) + 20.0 * (np.arange(40) >= 20)[:, None]
    edges = _left_edges(_path(_track(jump)), np.arange(40) / 25)
    np.testing.assert_allclose(edges + edges[::-1], 2 * 40 + 20, atol=1)


def test_a_face_is_there_from_its_first_frame_to_its_last() -> None:
    """Half a frame of grace at both ends, as a frame may be so far from its own time."""
    path = _path(_still(10, first=30))
    assert (path.start_s, path.end_s) == (1.2, 1.6)
    there = [path.at((29 + part / 4) / 25) is not None for part in range(48)]
    assert there == [False] * 2 + [True] * 40 + [False] * 6
    assert [path.position(time) for time in (0, 1.2, 1.241, 1.56, 9)] == [0, 0, 1, 9, 9]


def test_pads_are_top_bottom_left_right() -> None:
    """Wav2Lip's order, in pixels of the source; the default shows the chin."""
    assert _path(_still(5), pads=Pads(1, 2, 3, 4)).at(0) == Region(19, 122, 37, 144)
    assert _path(_still(5), pads=Pads()).at(0) == Region(20, 130, 40, 140)


def test_a_face_that_hardly_reaches_into_the_frame_is_none() -> None:
    """Its mouth cannot be drawn; a face that leaves goes on until then."""
    boxes = np.array(BOX) + 10.0 * np.arange(40)[:, None] * [1, 0, 1, 0]
    path = _path(_track(boxes))
    assert path.at(15 / 25) == Region(20, 120, 190, 290)
    assert path.at(22 / 25) is None and path.at(30 / 25) is None


def test_beyond_the_frame_its_last_pixels_go_on() -> None:
    """The face keeps its shape, so that the mouth is where the generator looks for it."""
    frame = _noise(1)
    inside = Region(20, 120, 40, 140)
    assert np.shares_memory(inside.cut(frame), frame) and inside.inside(frame) == inside
    region = Region(-7, 90, 200, 261)
    cut = region.cut(frame)
    assert cut.shape == (97, 61, 3) and region.inside(frame) == Region(0, 90, 200, 240)
    np.testing.assert_array_equal(cut[7:, :40], frame[:90, 200:])
    np.testing.assert_array_equal(cut[:7, :40], np.tile(frame[:1, 200:], (7, 1, 1)))
    np.testing.assert_array_equal(cut[7:, 40:], np.tile(frame[:90, -1:], (1, 21, 1)))


def test_faces_are_made_small_without_jags() -> None:
    """A fine pattern becomes its mean, where the published way misses every line of it."""
    lines = np.zeros((480, 480, 3), np.uint8)
    lines[:, ::5] = 250
    assert np.abs(face_path.shrink(lines).astype(int) - 50).max() <= 1
    assert not face_path.shrink(lines, bilinear=True).any()
    for side in (40, 96, 300):
        face = _photo(side, (side, side + 9, 3))
        assert face_path.shrink(face).shape == (96, 96, 3)
        np.testing.assert_array_equal(
            face_path.shrink(face, bilinear=True), cv2.resize(face, (96, 96))
        )


# What is changed.


@pytest.mark.parametrize("size_px", [(96, 96), (61, 250), (300, 333)])
def test_the_mask_is_mouth_and_jaw(size_px: tuple[int, int]) -> None:
    """Nothing above the nose's tip, nothing at the edges, all of the mouth, no step between."""
    mask = blend.mouth_mask(*size_px)
    width, height = size_px
    assert mask.shape == (height, width) and mask.dtype == np.float32
    assert not mask[: int(0.48 * height)].any() and not mask[:, 0].any() and not mask[-1].any()
    mouth = mask[int(0.68 * height) : int(0.8 * height), int(0.35 * width) : int(0.65 * width)]
    assert (mouth == 1).all()
    assert 0.15 < (mask > 0).mean() < 0.35
    np.testing.assert_allclose(mask, mask[:, ::-1], atol=1e-5)
    assert np.abs(np.diff(mask, axis=0)).max() < 25 / height


@pytest.mark.parametrize("box", [(-7, 90, 200, 261), (3, 99, 10, 71), (20, 433, 41, 338)])
def test_the_mask_lies_in_the_mouths_region(box: tuple[int, int, int, int]) -> None:
    """All of it and hardly more: what is cut, mixed and put back is this part only."""
    region = Region(*box)
    part = blend.mouth_region(region)
    mask = blend.mouth_mask(*region.size_px) > 0
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    least = Region(rows[0], rows[-1] + 1, columns[0], columns[-1] + 1)
    part_region = part.seen_from(region)
    assert part_region.inside(mask) == part_region
    spare = least.top - part_region.top, part_region.bottom - least.bottom
    beside = least.left - part_region.left, part_region.right - least.right
    assert min(*spare, *beside) >= 0 and max(*spare, *beside) <= 2


def test_a_mouth_beyond_the_edge_is_not_changed() -> None:
    """A face of which only the forehead is in the frame: no change and no error."""
    stored = _stored(_photo(3))
    box = np.tile([40.0, 150, 140, 290], (3, 1))
    dubbed = _regenerated(
        [stored] * 3, [DubTrack(0, _path(_track(box)), _voice(), np.ones(3, bool))], _generator(2)
    )
    for buffer, _ in dubbed:
        np.testing.assert_array_equal(buffer, stored)
    frame, generated = _photo(4), _photo(5, (96, 96, 3))
    for region in (Region(150, 290, 40, 140), Region(-290, -10, 40, 140), Region(20, 90, -99, 0)):
        np.testing.assert_array_equal(_put_blend(frame, region, generated), frame)


def _put_blend(frame: np.ndarray, region: Region, generated: np.ndarray) -> np.ndarray:
    """Blended without having been cut."""
    blended = frame.copy()
    blend.blend(blended, region, generated, generated // 2)
    return blended


def _blended(frame: np.ndarray, region: Region, generated: np.ndarray) -> np.ndarray:
    blended = frame.copy()
    blend.blend(blended, region, generated, face_path.shrink(region.cut(frame)))
    return blended


def test_only_the_mask_is_changed() -> None:
    """Outside, every pixel is what it was; inside, the generator's mouth is what is seen."""
    frame, region = _photo(2), Region(20, 150, 40, 160)
    generated = face_path.shrink(region.cut(frame))
    generated[66:76, 36:60] = (20, 30, 240)
    dubbed = _blended(frame, region, generated)
    mask = np.zeros(frame.shape[:2], np.float32)
    region.cut(mask)[:] = blend.mouth_mask(120, 130)
    assert (dubbed[mask == 0] == frame[mask == 0]).all()
    mouth = dubbed[20 + 93 : 20 + 100, 40 + 50 : 40 + 70].reshape(-1, 3)
    assert np.abs(mouth.astype(int) - (20, 30, 240)).max() < 40


def test_what_was_not_regenerated_is_not_changed() -> None:
    """A generator that gives back what it saw leaves a face of its own size as it was."""
    frame, region = _photo(3), Region(20, 116, 40, 136)
    dubbed = _blended(frame, region, face_path.shrink(region.cut(frame)))
    np.testing.assert_array_equal(dubbed, frame)


@pytest.mark.parametrize("light", [(30, 30, 30), (-25, 0, 25)], ids=["brighter", "redder"])
def test_another_light_is_taken_out(light: tuple[int, int, int]) -> None:
    """A face in other colours gets those of its surroundings, up to rounding."""
    frame, region = _photo(4), Region(20, 116, 40, 136)
    generated = face_path.shrink(region.cut(frame)).astype(int) + light
    dubbed = _blended(frame, region, generated.clip(0, 255).astype(np.uint8))
    assert np.abs(dubbed.astype(int) - frame).max() <= 2


def _ring_gradient(frame: np.ndarray, ring: np.ndarray) -> float:
    grey = frame.astype(np.float32).mean(axis=2)
    across = np.hypot(cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1))
    return float(across[ring].mean())


def test_light_of_the_upper_half_does_not_change_the_mouth() -> None:
    """Only skin around the mouth decides its light, not brow and eyes."""
    generated = _photo(4, (96, 96, 3))
    original = generated.copy()
    original[:48] = np.clip(original[:48].astype(int) + 60, 0, 255)
    np.testing.assert_array_equal(blend.match_colour(generated, original), generated)
    original = generated.astype(np.int16)
    original[48:] += 20
    mouth = (slice(64, 80), slice(36, 60))
    lower = np.clip(original, 0, 255).astype(np.uint8)
    matched = blend.match_colour(np.minimum(generated, 235), np.minimum(lower, 255))[mouth]
    np.testing.assert_allclose(matched - np.minimum(generated, 235)[mouth], 20, atol=1)


def test_blending_leaves_no_edge() -> None:
    """A blended mouth is as smooth across the mask's edge as the frame; a pasted one is not."""
    frame, region = _photo(5), Region(20, 150, 40, 160)
    foreign = _photo(6, (96, 96, 3))
    ring = np.zeros(frame.shape[:2], bool)
    mask = blend.mouth_mask(120, 130)
    region.cut(ring)[:] = (cv2.dilate(mask, np.ones((5, 5))) > 0) & (mask < 0.1)
    before = _ring_gradient(frame, ring)
    assert _ring_gradient(_blended(frame, region, foreign), ring) <= 1.2 * before
    pasted = frame.copy()
    mouth = cv2.resize(foreign, (120, 130))
    region.cut(pasted)[mask > 0] = mouth[mask > 0]
    assert _ring_gradient(pasted, ring) > 1.5 * before


def test_a_face_half_outside_gets_the_mouth_it_has() -> None:
    """What is inside is as in a larger frame: the mask does not move with the frame's edge."""
    large, region = np.tile(_photo(7)[:, :1], (1, 240, 1)), Region(80, 190, 170, 280)
    generated = _photo(8, (96, 96, 3))
    wide = np.tile(large[:, :1], (1, 300, 1))
    np.testing.assert_array_equal(
        _blended(large, region, generated), _blended(wide, region, generated)[:, :240]
    )


# What is heard.


def _beep(
    start_s: float, length_s: float, total_s: float, *, noise_db: float | None = None
) -> np.ndarray:
    t = np.arange(round(total_s * SAMPLE_RATE)) / SAMPLE_RATE
    samples = 12_000 * np.sin(2 * np.pi * 700 * t) * ((t >= start_s) & (t < start_s + length_s))
    if noise_db is not None:
        level = 12_000 / np.sqrt(2) * 10 ** (noise_db / 20)
        samples += np.random.default_rng(0).normal(0, level, len(t))
    return samples.astype(np.int16)


@pytest.fixture
def beep(tmp_path: Path) -> Path:
    """Two seconds with a beep from 0.8 to 1.2 s in the noise of a room."""
    path = tmp_path / "beep.wav"
    wavfile.write(path, SAMPLE_RATE, _beep(0.8, 0.4, 2.0, noise_db=-30))
    return path


def test_sound_of_a_frame_starts_at_its_time(beep: Path) -> None:
    """As the published inference cuts it, whatever the delay; the file stays what it is."""
    mel = features.mel(decode.read_audio(beep))
    for delay_s in (0.0, 0.5, -0.25):
        voice = read_voice(beep, delay_s=delay_s, silence_gate=False)
        times_s = np.array([0.6, 0.64, 1.3])
        np.testing.assert_array_equal(
            voice.windows(times_s), features.mel_windows(mel, times_s - delay_s)
        )
        assert voice.duration_s == 2 and voice.end_s == 2 + delay_s


def test_before_and_after_the_sound_is_silence(beep: Path) -> None:
    """The window of a frame just before the sound ends with the sound's start, and so after."""
    voice = read_voice(beep, delay_s=1.0, silence_gate=False)
    columns = voice.windows(np.array([0.0, 0.7, 0.9, 2.9, 3.1, 50.0]))[:, 0]
    silent = (columns == -MEL_LIMIT).all(axis=1)
    assert silent[[0, 1, 4, 5]].all()
    assert silent[2].tolist() == [True] * 8 + [False] * 8
    assert silent[3].tolist() == [False] * 9 + [True] * 7


def test_single_frames_get_the_sound_of_batches(beep: Path) -> None:
    """Frames are asked for one by one or together."""
    voice = read_voice(beep, delay_s=0.3)
    times_s = np.arange(80) * 1001 / 30_000
    alone = np.concatenate([voice.windows(times_s[i : i + 1]) for i in range(80)])
    np.testing.assert_array_equal(voice.windows(times_s), alone)


def test_a_pause_is_silence_to_the_gate(beep: Path) -> None:
    """Room noise 30 dB below speech is not followed; speech and its edges are kept whole."""
    times_s = np.array([0.1, 0.85, 1.6])
    gated = read_voice(beep).windows(times_s)
    sound = read_voice(beep, silence_gate=False).windows(times_s)
    assert (gated[[0, 2]] == -MEL_LIMIT).all() and (sound[[0, 2]] > -MEL_LIMIT).any()
    np.testing.assert_array_equal(gated[1], sound[1])


@pytest.mark.parametrize("noise_db", [None, -50, -30, -22])
def test_speech_is_told_from_pauses_at_any_noise(noise_db: float | None) -> None:
    """From a quiet studio to a street: the beep and 0.12 s around it, a column more or less."""
    spoken = driving_audio.speech(_beep(1.0, 0.5, 4.0, noise_db=noise_db))
    assert spoken.shape == (1 + 4 * 80,)
    [(start, end)] = one_face.stretches(spoken)
    assert abs(start - (1.0 - 0.12) * 80) <= 3 and abs(end - (1.5 + 0.12) * 80) <= 3


def test_speech_keeps_ten_columns_before_and_after() -> None:
    """0.12 s are 9.6 columns of 12.5 ms, beside the one that the level's own stretch adds."""
    spoken = driving_audio.speech(_beep(1.0, 0.5, 4.0))
    assert one_face.stretches(spoken) == [(80 - 1 - 10, 120 + 1 + 10)]


def test_speech_without_a_pause_is_all_speech() -> None:
    """Also where it is quiet in parts; a whisper is speech, what is hardly above nothing is not."""
    t = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    changing = 6000 * np.sin(2 * np.pi * 500 * t) * (0.55 + 0.45 * np.sin(2 * np.pi * t))
    assert driving_audio.speech(changing.astype(np.int16)).all()
    assert driving_audio.speech(_beep(0.2, 0.5, 1.0) // 200).sum() > 40
    hiss = np.random.default_rng(0).normal(0, 12, SAMPLE_RATE).astype(np.int16)
    assert (
        not driving_audio.speech(hiss).any()
        and not driving_audio.speech(np.zeros(500, np.int16)).any()
    )


def test_a_file_without_sound_is_refused(tmp_path: Path) -> None:
    """One sentence that names it."""
    path = tmp_path / "mute.mkv"
    ffmpeg("-f", "lavfi", "-i", "color=s=32x32:r=25:d=0.2", path)
    with pytest.raises(InputError, match=r"mute\.mkv has no sound"):
        read_voice(path)


# Which frame is shown.


def test_a_loop_never_jumps() -> None:
    """Forwards, backwards, forwards: neighbours stay neighbours, ends are shown once."""
    positions = [there_and_back(position, 4) for position in range(14)]
    assert positions == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]
    assert [there_and_back(position, 1) for position in range(3)] == [0, 0, 0]
    assert [there_and_back(position, 2) for position in range(4)] == [0, 1, 0, 1]


def test_rates_are_what_the_rounded_ones_stand_for() -> None:
    """ffmpeg says 23.98 of a film and 29.97 of American television."""
    assert exact_rate(23.98) == 24_000 / 1001 and exact_rate(29.97) == 30_000 / 1001
    assert [exact_rate(rate) for rate in (25.0, 24.0, 30.0, 12.5)] == [25, 24, 30, 12.5]


def _grid_indices(times_s: np.ndarray, rate: Fraction) -> np.ndarray:
    return np.floor(times_s * float(rate) + 0.5)


@pytest.mark.parametrize(
    "rate", [12, 15, 23.976, 24, 25, 29.97, 30, 50, 59.94, 60, 144, 7.5, 29.98]
)
@pytest.mark.parametrize("tick_s", [1e-3, 1e-6])
def test_a_constant_rate_is_kept(rate: float, tick_s: float) -> None:
    """Exactly, from times in milliseconds too, whatever the header rounds or leaves out."""
    exact = Fraction(round(rate * 1001), 1001) if rate in (23.976, 29.97, 59.94) else Fraction(rate)
    times_s = np.round(np.arange(400) / float(exact) / tick_s) * tick_s
    for stated in (None, exact_rate(round(rate, 2)), 13.37):
        rate_out = output_rate(times_s, stated_rate=stated)
        assert float(rate_out) == pytest.approx(float(exact), rel=2.5e-4)
        assert tick_s == 1e-3 or rate_out == exact.limit_denominator(1001)


@pytest.mark.parametrize(
    ("rate", "jitter_s", "expected"),
    [
        (30.0, 0.004, 30.0),
        (29.98, 0.004, 29.98),
        (30.02, 0.004, 30.02),
        (30_000 / 1001, 0.003, 30_000 / 1001),
        (24_000 / 1001, 0.004, 24_000 / 1001),
        (24.0, 0.004, 24.0),
        (25.0, 0.005, 25.0),
        (59.5, 0.002, 59.5),
        (12.0, 0.005, 15.0),
    ],
)
def test_a_trembling_rate_gets_the_usual_one(rate: float, jitter_s: float, expected: float) -> None:
    """As phones record: every frame has a place of its own, at no higher rate than that takes.

    What the header says is as good as a usual rate, unless it is an average below all of them.
    """
    times_s = np.arange(1800) / rate
    times_s[1:] += np.random.default_rng(0).uniform(-jitter_s, jitter_s, 1799)
    rate_out = output_rate(times_s, stated_rate=exact_rate(round(rate, 2)))
    assert float(rate_out) == pytest.approx(expected)
    assert len(np.unique(_grid_indices(times_s, rate_out))) == len(times_s)
    unstated = output_rate(times_s)
    assert unstated in OUTPUT_RATES and unstated >= rate_out * Fraction(999, 1000)
    assert len(times_s) - len(np.unique(_grid_indices(times_s, unstated))) <= 2


def test_a_screen_recording_keeps_its_fast_stretches() -> None:
    """Frames come only where something moves: the average would drop most of them."""
    moving = np.concatenate([np.arange(90) / 60 + start for start in (0, 31, 75.5)])
    pauses = np.array([7.0, 40.2, 90.0])
    times_s = np.sort(np.concatenate([moving, pauses]))
    average = (len(times_s) - 1) / times_s[-1]
    output = output_rate(times_s, stated_rate=average)
    assert output == 60 and len(np.unique(_grid_indices(times_s, output))) == len(times_s)


def test_the_faster_half_decides() -> None:
    """Half at 24, half at 48 frames per second: none of them is dropped."""
    times_s = np.concatenate([np.arange(96) / 24, 4 + np.arange(192) / 48])
    assert output_rate(times_s, stated_rate=36) == 48


def test_an_unusual_rate_that_lost_frames_is_kept() -> None:
    """Frames on the places of a constant rate, some of them missing: no usual one has them all."""
    rng = np.random.default_rng(0)
    for rate in (Fraction(600, 19), Fraction(37), Fraction(17, 1)):
        indices = np.sort(rng.choice(600, 560, replace=False))
        times_s = np.round((indices - indices[0]) / float(rate), 3)
        rate_out = output_rate(times_s, stated_rate=len(times_s) / times_s[-1])
        assert float(rate_out) == pytest.approx(float(rate), rel=0.002)
        assert len(np.unique(_grid_indices(times_s, rate_out))) == len(times_s)


def test_broken_times_are_no_reason_for_a_high_rate() -> None:
    """A frame or two at nearly the same time, or only one at all."""
    times_s = np.arange(5000) / 25
    times_s[700] = times_s[701] - 0.0001
    times_s[900] += 0.01
    assert output_rate(times_s, stated_rate=25) == 25
    assert output_rate(np.zeros(1), stated_rate=50) == 50
    assert output_rate(np.zeros(1)) == output_rate(np.zeros(0)) == output_rate(np.zeros(3)) == 25
    assert output_rate(np.arange(300) / 1000.0 * np.linspace(1, 2, 300)) == 120
    assert output_rate(np.array([0.0, 4000.0, 9e9])) == 15


@pytest.fixture(scope="module")
def numbered_film(clips: Path) -> Path:
    """Seven frames, stored without loss, each of its own brightness and a pattern."""
    path = clips / "counted.mkv"
    grey = "color=black:s=32x16:r=25,format=gray,geq=lum='20+30*N+mod(7*X*X+3*Y*Y,23)'"
    ffmpeg("-f", "lavfi", "-i", grey, "-frames:v", "7", "-c:v", "ffv1", path)
    return path


@pytest.mark.parametrize(
    ("fit", "frames", "expected"),
    [
        ("video", None, [0, 1, 2, 3, 4, 5, 6]),
        ("audio", 3, [0, 1, 2]),
        ("loop", 3, [0, 1, 2]),
        ("audio", 9, [0, 1, 2, 3, 4, 5, 6, 6, 6]),
        ("loop", 9, [0, 1, 2, 3, 4, 5, 6, 5, 4]),
        ("loop", 15, [0, 1, 2, 3, 4, 5, 6, 5, 4, 3, 2, 1, 0, 1, 2]),
    ],
)
def test_number_of_frames_is_exact(
    numbered_film: Path, tmp_path: Path, fit: Fit, frames: int | None, expected: list[int]
) -> None:
    """Each with its source index, without loss, and free to be painted on."""
    truth = list(decode.read_frames(numbered_film))
    assert len(truth) == 7 and (np.diff([frame.mean() for frame in truth]) > 20).all()
    frame_numbers = []
    for index, frame in playback(
        numbered_film, frame_rate=25, frames=frames, fit=fit, frame_store=tmp_path
    ):
        np.testing.assert_array_equal(frame, truth[index])
        frame_numbers.append(index)
        frame[:] = 0
    assert frame_numbers == expected and not list(tmp_path.iterdir())


def test_a_full_disk_is_an_error(numbered_film: Path, tmp_path: Path) -> None:
    """Frames that cannot be stored are a PipelineError."""
    frames_played = playback(
        numbered_film, frame_rate=25, frames=9, fit="loop", frame_store=tmp_path / "absent"
    )
    with pytest.raises(PipelineError, match="is the disk full"):
        list(frames_played)


# All together, before any encoding.


def _voice() -> Voice:
    mel = np.random.default_rng(1).uniform(-4, 4, (80, 200)).astype(np.float32)
    return Voice(Path("unread.wav"), 0.0, mel, 2.1)


def _generator(batch_size: int) -> Generator:
    torch.manual_seed(0)
    model = Wav2Lip(Wav2LipConfig(0.05)).eval().requires_grad_(False)
    return Generator(model, torch.device("cpu"), batch_size)


SIZE_PX = FRAME_SHAPE[1], FRAME_SHAPE[0]


def _stored(bgr: np.ndarray) -> np.ndarray:
    """The frame as video stores it."""
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420).ravel()


def _picture(buffer: np.ndarray) -> np.ndarray:
    """The colours of a stored frame."""
    picture = yuv.picture(buffer, size_px=SIZE_PX)
    return yuv.cut_bgr(picture, slice(0, SIZE_PX[1]), slice(0, SIZE_PX[0]), matrix="bt601")


def _regenerated(
    frames: list[np.ndarray], parts: list[DubTrack], generator: Generator, *, blended: bool = True
) -> list[tuple[np.ndarray, list[int]]]:
    """The stored frames with new mouths; what is given stays what it is."""
    source_frames = ((index, frame.copy()) for index, frame in enumerate(frames))
    kind: dict[str, Any] = {"size_px": SIZE_PX, "matrix": "bt601", "blended": blended}
    return list(regenerated(source_frames, parts, generator, frame_rate=25, **kind))


def test_frames_without_the_face_pass_untouched() -> None:
    """A face that comes late, pauses and goes: changed on its own frames only, inside its mask."""
    frames = [_stored(_photo(seed)) for seed in range(14)]
    spoken = np.ones(8, bool)
    spoken[3:5] = False
    part = DubTrack(5, _path(_still(8, first=3)), _voice(), spoken)
    dubbed = _regenerated(frames, [part], _generator(4))
    assert [changed for _, changed in dubbed] == [
        [5] if index in (3, 4, 5, 8, 9, 10) else [] for index in range(14)
    ]
    mask = np.zeros(FRAME_SHAPE[:2], bool)
    mask[20:120, 40:140] = blend.mouth_mask(100, 100) > 0
    blocks = mask.reshape(100, 2, 120, 2).any(axis=(1, 3))
    for index, (buffer, changed) in enumerate(dubbed):
        difference = yuv.picture(buffer != frames[index], size_px=SIZE_PX)
        assert not difference.y[~mask].any() and not (difference.u | difference.v)[~blocks].any()
        assert difference.y.any() == difference.u.any() == difference.v.any() == bool(changed)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_batches_change_nothing(batch_size: int) -> None:
    """Two faces, any batch: the same frames in the same order."""
    frames = [_stored(_photo(seed)) for seed in range(7)]
    small = _track(np.tile([150.0, 100, 230, 190], (4, 1)), first=2)
    parts = [
        DubTrack(0, _path(_still(7)), _voice(), np.ones(7, bool)),
        DubTrack(1, _path(small), _voice(), np.ones(4, bool)),
    ]
    result, truth = (_regenerated(frames, parts, _generator(size)) for size in (batch_size, 2))
    assert [changed for _, changed in result] == [[0]] * 2 + [[0, 1]] * 4 + [[0]]
    for (one, _), (other, _) in zip(result, truth, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1


def test_few_frames_wait() -> None:
    """At most a batch of frames waits; frames without a face do not wait."""
    indices: list[int] = []

    def source_frames() -> Iterator[tuple[int, np.ndarray]]:
        for index in range(60):
            indices.append(index)
            yield index, np.zeros(yuv.buffer_bytes(SIZE_PX), np.uint8)

    part = DubTrack(0, _path(_still(25, first=20)), _voice(), np.ones(25, bool))
    kind: dict[str, Any] = {"size_px": SIZE_PX, "matrix": "bt601", "blended": True}
    dubbed = regenerated(source_frames(), [part], _generator(4), frame_rate=25, **kind)
    ahead = [len(indices) - 1 - position for position, _ in enumerate(dubbed)]
    assert ahead[:20] == [0] * 20 and ahead[20:24] == [3, 2, 1, 0] and ahead[-8:] == [0] * 8
    assert len(ahead) == 60 and max(ahead) < 8


class _Mixture(nn.Module):
    """A generator whose output depends on all of its inputs."""

    def forward(self, mels: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
        level = (mels.mean(dim=(1, 2, 3)) + 4) / 40
        return 0.3 * faces[:, :3] + 0.5 * faces[:, 3:] + level[:, None, None, None]


def _is_stored(expected: np.ndarray, buffer: np.ndarray, region: Region) -> None:
    """Within one level of a BGR frame's BT.601, where blocks of 2x2 are inside the region."""
    blue, green, red = np.moveaxis(expected.astype(float) / 255, 2, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    stored = yuv.picture(buffer.astype(int), size_px=SIZE_PX)
    where = region.rows, region.columns
    assert np.abs(stored.y - (16 + 219 * luma))[where].max() <= 1
    half = (
        slice(-(-region.top // 2), region.bottom // 2),
        slice(-(-region.left // 2), region.right // 2),
    )
    for plane, colour, most in ((stored.u, blue, 1.772), (stored.v, red, 1.402)):
        shared = (128 + 224 * (colour - luma) / most).reshape(100, 2, 120, 2).mean(axis=(1, 3))
        assert np.abs(plane - shared)[half].max() <= 1


@pytest.mark.parametrize("box", [BOX, (30.3, 8.7, 95.4, 100.2)])
def test_unblended_is_what_the_published_program_pastes(box: tuple[float, ...]) -> None:
    """Contracts section 9 by hand: bilinear both ways, mouth half hidden, cut off to a byte."""
    stored, voice = _stored(_photo(9)), _voice()
    generator = Generator(_Mixture(), torch.device("cpu"), 4)  # type: ignore[arg-type]
    parts = [DubTrack(0, _path(_track(np.tile(box, (3, 1)))), voice, np.ones(3, bool))]
    dubbed = _regenerated([stored] * 3, parts, generator, blended=False)
    frame = _picture(stored)
    x1, y1, x2, y2 = (round(edge) for edge in box)
    face = cv2.resize(frame[y1:y2, x1:x2], (96, 96)).astype(np.float32) / 255
    hidden = face.copy()
    hidden[48:] = 0
    face_input = torch.from_numpy(np.concatenate([hidden, face], axis=2).transpose(2, 0, 1)[None])
    for index, (buffer, _) in enumerate(dubbed):
        column = index * 80 // 25 + 16  # 16 of silence come first
        sound_input = torch.from_numpy(voice.mel[None, None, :, column : column + 16].copy())
        generated = _Mixture()(sound_input, face_input)[0]
        picture = (generated.permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        expected = frame.copy()
        expected[y1:y2, x1:x2] = cv2.resize(picture, (x2 - x1, y2 - y1))
        _is_stored(expected, buffer, Region(y1, y2, x1, x2))


def test_mouths_are_the_published_generators(shared: Path, rule: ModuleType) -> None:
    """On the same faces and sound, with the same weights, but for a grey level here and there."""
    truth = np.load(shared / "parity" / "wav2lip_gen.npz")
    model = Wav2Lip().eval()
    rule.fill(model, "wav2lip", str(shared / "parity" / "wav2lip_overlay.npz"))
    generator = Generator(folding.fold_batch_norms(model), torch.device("cpu"), batch_size=3)
    generated = generator.draw(truth["faces_u8"], truth["mel_in"])
    difference = np.abs(generated.astype(int) - truth["out_u8"])
    assert difference.max() <= 1 and (difference > 0).mean() < 0.005
