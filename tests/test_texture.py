"""Own mouths, piece by piece: which is chosen, where it goes, how it joins the face."""

import itertools
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from scipy.io import wavfile

from models.features import FRAME_RATE, MEL_LIMIT, SAMPLE_RATE
from pipeline.dubbing.face_path import FacePath, Region
from pipeline.dubbing.generate import DubTrack, Generator, regenerated
from pipeline.errors import PipelineError
from pipeline.faces.tracks import Track
from pipeline.media import yuv
from pipeline.store.array_file import ArrayFile
from pipeline.sync.scorer import SyncScorer
from pipeline.texture import align, compose, library, selection, traits
from pipeline.texture.compose import OwnFace, OwnMouth
from pipeline.texture.plan import Texture
from pipeline.texture.selection import Hearing, Proposals
from pipeline.texture.sentence import Sentence
from pipeline.texture.traits import Traits
from tests.texture_kit import (
    BOX,
    MIDDLE,
    PADS,
    RATE,
    SIZE_PX,
    Scene,
    SmoothMouth,
    darkness,
    head,
    openings,
    scene,
    tone,
    traits_of,
)

REGION = Region(10, 120, 30, 130)  # BOX, in whole pixels


# Which mouth is chosen.


@pytest.mark.parametrize("first", [None, 0, 2])
def test_the_path_is_the_cheapest_of_all(first: int | None) -> None:
    """Against every path there is; a step to the following mouth is free."""
    rng = np.random.default_rng(3)
    showing = rng.random((5, 4)).astype(np.float32)
    joining = rng.random((4, 4)).astype(np.float32)
    following = np.array([1, 2, -1, -1])

    def step(before: int, after: int) -> float:
        return 0.0 if following[before] == after else float(joining[before, after])

    def cost(path: tuple[int, ...]) -> float:
        total = sum(step(*pair) for pair in itertools.pairwise(path)) + (
            0 if first is None else step(first, path[0])
        )
        return total + sum(float(showing[i, mouth]) for i, mouth in enumerate(path))

    best = min(itertools.product(range(4), repeat=5), key=cost)
    found = selection.cheapest(showing, joining, following, first=first)
    np.testing.assert_array_equal(found, best)


def _traits(shape: np.ndarray, **changed: Any) -> Traits:
    return traits_of(len(shape), **{"shape": shape.astype(np.float32)} | changed)


def _costs(frames: Traits, own: Traits) -> np.ndarray:
    return selection.showing(
        frames,
        own,
        selection.scales(own),
        proposals=Proposals.of(frames.shape, frames.opening, own.shape),
        hearing=Hearing.of(own),
    )


def test_shapes_are_compared_as_deviations_from_their_own_means() -> None:
    """A generator that is darker and varies a tenth as much still asks for the right mouths."""
    real = np.random.default_rng(0).normal(50, 10, (20, 6))
    asked = 0.1 * (real[[4, 17, 9]] - real.mean(axis=0)) + 7
    frames = _traits(
        np.concatenate([asked, 0.1 * (real - real.mean(axis=0)) + 7]), times_s=np.zeros(23)
    )
    np.testing.assert_array_equal(_costs(frames, _traits(real))[:3].argmin(axis=1), [4, 17, 9])


@pytest.mark.parametrize("trait", ["sound", "lips"])
def test_what_is_heard_chooses_among_equal_shapes(trait: str) -> None:
    """By the sound that own frames had, and by the lips that the network hears in it."""
    heard = np.random.default_rng(1).normal(0, 1, (8, 5)).astype(np.float32)
    own = _traits(np.zeros((8, 2)), **{trait: heard})
    frames = _traits(np.zeros((3, 2)), sound=heard[[6, 1, 3]] + 0.01, times_s=np.zeros(3))
    np.testing.assert_array_equal(_costs(frames, own).argmin(axis=1), [6, 1, 3])


def test_the_moment_itself_is_never_chosen() -> None:
    """Nothing nearer than a second, however well it fits; in another video there is no near."""
    own = _traits(np.eye(4), times_s=np.array([0.0, 0.96, 1.04, 9.0]))
    frame = _traits(np.eye(4)[:1], times_s=np.zeros(1))
    np.testing.assert_array_equal(_costs(frame, own)[0] > 500, [True, True, False, False])
    elsewhere = _traits(np.eye(4), times_s=np.full(4, np.nan))
    assert (_costs(frame, elsewhere) < 500).all()


def test_lips_are_closed_in_pauses() -> None:
    """As the own ones are in the own pauses, whatever the generator says."""
    shape = np.repeat([[0.0, 0.0], [5.0, 5.0]], 12, axis=0)
    own = _traits(shape, pause=np.arange(24) < 12)
    frames = _traits(np.array([[5.0, 5.0], [5.0, 5.0], [-5.0, -5.0]]), times_s=np.zeros(3))
    assert (_costs(frames, own).argmin(axis=1)[:2] >= 12).all()
    quiet = _traits(frames.shape, times_s=np.zeros(3), pause=np.ones(3, bool))
    assert (_costs(quiet, own).argmin(axis=1) < 12).all()


def test_pieces_of_traits_are_joined() -> None:
    one, two = _traits(np.ones((2, 2)), sound=np.ones((2, 3))), _traits(np.zeros((3, 2)))
    both = Traits.joined([one, two])
    assert both.shape.shape == (5, 2) and both.sound is None and len(both.pause) == 5
    assert Traits.joined([one, one]).sound is not None
    assert len(Traits.joined([]).times_s) == 0


# What is heard when.


def test_embeddings_belong_to_the_middle_of_their_windows() -> None:
    """Window i is frames i to i + 4: at frame 12 it is window 10, between frames the mean."""
    rows = np.arange(40, dtype=np.float32)[:, None]
    times_s = np.array([0.0, 12.0, 12.5, 90.0]) / FRAME_RATE
    np.testing.assert_allclose(traits.at_times(rows, times_s)[:, 0], [0, 10, 10.5, 39], atol=1e-4)


def test_sound_is_heard_at_its_time_and_silence_around_it() -> None:
    """The same stretch gives the same rows wherever a piece of it is asked for."""
    model = SyncScorer(device="cpu").model
    samples = tone(openings(500))
    whole = traits.heard(model, samples, np.arange(100, 400) / FRAME_RATE)
    part = traits.heard(model, samples, np.arange(240, 260) / FRAME_RATE)
    np.testing.assert_allclose(part, whole[140:160], atol=0.05 * float(whole.std()))
    beyond = traits.heard(model, samples, np.array([-30.0, -29.9]))
    assert np.ptp(beyond, axis=0).max() < 0.1 * float(whole.std())


def test_pauses() -> None:
    """Of a mel that the gate has silenced, and of samples by their level."""
    windows = np.full((3, 1, 80, 16), -MEL_LIMIT, np.float32)
    windows[1, 0, 40, 8] = 0  # heard now
    windows[2, 0, 40, 15] = 0  # heard soon
    np.testing.assert_array_equal(traits.gated_pauses(windows), [True, False, True])
    samples = tone(np.repeat([1.0, 0.0, 1.0], 50))
    times_s = np.array([-0.5, 1.0, 3.0, 5.0, 9.0])
    found = traits.own_pauses(samples, times_s)
    np.testing.assert_array_equal(found, [True, False, True, False, True])


# Which frames are kept.


def test_mouths_are_bounded_and_from_all_of_a_track() -> None:
    """All of a short one; of an hour six runs of ten seconds, from its start to its end."""

    def path(frames: int) -> FacePath:
        boxes = np.tile(np.array(BOX), (frames, 1))
        found = Track(np.arange(50, 50 + frames), boxes)
        return FacePath(found, frame_rate=25, pads=PADS, frame_size_px=SIZE_PX)

    assert library.wanted(path(200), 25) == set(range(50, 250))
    assert library.wanted(path(200), 50) == set(range(100, 500))
    kept = np.array(sorted(library.wanted(path(90_000), 25)))
    assert len(kept) == library.MOST_MOUTHS and kept[0] == 50 and kept[-1] == 90_049
    assert np.count_nonzero(np.diff(kept) > 1) == 5


# Where it goes.


@pytest.mark.parametrize(
    ("degrees", "scale", "move"), [(0, 1, (3, -2)), (5, 1.04, (-2, 3)), (-8, 0.96, (1, 1))]
)
def test_pose_is_found_from_the_upper_face(
    degrees: float, scale: float, move: tuple[float, float]
) -> None:
    """To half a pixel at the mouth, although the mouth itself is another."""
    closed, opened = (
        cv2.cvtColor(cv2.resize(REGION.cut(head(one)), (96, 96)), cv2.COLOR_BGR2GRAY)
        for one in (0.0, 1.0)
    )
    truth = np.vstack([cv2.getRotationMatrix2D((48, 40), degrees, scale), [0, 0, 1]])
    truth[:2, 2] += move
    target = cv2.warpAffine(opened, truth[:2], (96, 96), borderMode=cv2.BORDER_REPLICATE)
    found = align.similarity(closed, target)
    mouth = np.array([[34.0, 70, 1], [62, 70, 1], [48, 80, 1]]).T
    assert np.abs(found @ mouth - truth @ mouth).max() < 0.6


def test_a_flat_picture_stays_where_it_is() -> None:
    flat = np.full((96, 96), 90, np.uint8)
    np.testing.assert_array_equal(align.similarity(flat, flat), np.eye(3))


def test_maps_are_steadied_without_lag() -> None:
    """Of a steady motion nothing changes; of a tremble three quarters go."""
    regions = [REGION] * 60
    even = np.tile(np.eye(3), (60, 1, 1))
    even[:, 0, 2] = 0.5 * np.arange(60)
    np.testing.assert_allclose(align.steadied(even, regions)[8:-8], even[8:-8], atol=1e-6)
    trembling = even.copy()
    trembling[:, 1, 2] = np.random.default_rng(0).normal(0, 1, 60)
    steady = align.steadied(trembling, regions)
    assert np.diff(steady[:, 1, 2]).std() < 0.3 * np.diff(trembling[:, 1, 2]).std()


def test_maps_between_faces_are_maps_between_frames() -> None:
    """A region that was rounded to another pixel changes nothing of where the mouth goes."""
    target = Region(20, 130, 45, 145)
    found = align.on_frames(np.eye(3), REGION, target)
    np.testing.assert_allclose(found @ [80, 92, 1], [95, 102, 1], atol=1e-9)


# How it joins the face.


def _mouth(picture: np.ndarray, map_: np.ndarray | None = None) -> OwnMouth:
    face = cv2.resize(REGION.cut(picture), (96, 96), interpolation=cv2.INTER_AREA)
    part = Region(50, 125, 30, 130)
    whole = OwnFace(face, REGION, np.eye(3) if map_ is None else map_)
    return OwnMouth(part.cut(picture).copy(), part, whole)


def _put(picture: np.ndarray, own: OwnMouth) -> np.ndarray:
    frame = picture.astype(np.float32)
    original = cv2.resize(REGION.cut(picture), (96, 96), interpolation=cv2.INTER_AREA)
    compose.put(frame, REGION, own, generated=original, original=original)
    return frame


def test_the_same_mouth_in_the_same_place_changes_nothing() -> None:
    """To the bit outside the mask, and hardly inside, in all its detail."""
    picture = head(0.6)
    frame = _put(picture, _mouth(picture))
    np.testing.assert_array_equal(frame[:58], picture[:58])
    changed = np.abs(frame - picture)[65:120, 44:116]
    assert changed.mean() < 0.3 and changed.max() < 8


def test_a_mouth_is_moved_by_parts_of_a_pixel_without_blur() -> None:
    """From a frame where the head was 2.5 pixels to the left; the detail keeps its energy."""
    there, here = head(0.6, shift_px=-2.5), head(0.6)
    map_ = np.eye(3)
    map_[0, 2] = 2.5
    frame = _put(here, _mouth(there, map_))
    inside = slice(80, 104), slice(66, 94)
    assert np.abs(frame - here)[inside].mean() < 4
    detail = [
        cv2.Laplacian(one.astype(np.float32), cv2.CV_32F)[inside].var() for one in (frame, here)
    ]
    assert 0.6 < detail[0] / detail[1] < 1.2


def test_another_light_is_taken_from_the_place() -> None:
    picture = head(0.4)
    darker = np.clip(picture * 0.7, 0, 255).astype(np.uint8)
    frame = _put(picture, _mouth(darker))
    assert abs(float((frame - picture)[84:108, 64:96].mean())) < 12
    assert float((darker.astype(float) - picture)[84:108, 64:96].mean()) < -25


def test_the_edge_keeps_the_energy_of_fine_detail() -> None:
    """Two unlike grains meet without a smooth ring between them."""
    rng = np.random.default_rng(2)
    one, other = (rng.normal(120, 10, (200, 200, 3)).astype(np.float32) for _ in range(2))
    mask = np.full((200, 200, 1), 0.5, np.float32)
    joined = compose._joined(one, other, mask)
    assert joined.std() == pytest.approx(10, rel=0.08)
    assert ((one + other) / 2).std() < 7.5
    mask[:, :100] = 0
    np.testing.assert_array_equal(compose._joined(one, other, mask)[:, :90], one[:, :90])


def test_a_generators_mouth_is_sharpened() -> None:
    edge = np.full((96, 96, 3), 60, np.uint8)
    edge[:, 48:] = 160
    soft = cv2.GaussianBlur(edge, (0, 0), 2)
    sharp = compose.sharpened(soft)
    assert (
        np.diff(sharp[50, :, 0].astype(int)).max() > 1.3 * np.diff(soft[50, :, 0].astype(int)).max()
    )
    np.testing.assert_array_equal(compose.sharpened(np.full((96, 96, 3), 77, np.uint8)), 77)


def test_joins_are_eased_on_both_sides() -> None:
    """Up to half of what the other side would go on with; nothing beyond its end."""
    following = np.array([1, 2, 3, 4, 5, -1, 7, 8, 9, 10, 11, -1])
    own = np.array([0, 1, 2, 8, 9, 10])
    lib: Any = type("L", (), {"following": following})
    blank: Any = None
    line = Sentence(
        np.arange(6), np.arange(6), [REGION] * 6, blank, np.arange(6), blank, 25.0, blank
    )
    other, share = line.easing(lib, own)
    np.testing.assert_array_equal(other, [-1, 6, 7, 3, 4, 5])
    np.testing.assert_allclose(share, [0, 0.375, 0.5, 0.5, 0.375, 0.25])
    apart = replace(line, positions=np.array([0, 1, 2, 30, 31, 32]))
    assert (apart.easing(lib, own)[0] == -1).all()


# The file of passing arrays.


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    arrays = [rng.integers(0, 256, shape, np.uint8) for shape in ((3, 4, 3), (7, 2, 3), (5,))]
    with ArrayFile(tmp_path / "arrays") as file:
        assert [file.append(array) for array in arrays] == [0, 1, 2] and len(file) == 3
        for number in (2, 0, 1):
            back = file.read(number)
            np.testing.assert_array_equal(back, arrays[number])
            back[...] = 0
        np.testing.assert_array_equal(file.read(1), arrays[1])
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with ArrayFile(tmp_path / "arrays") as file:
        file.append(np.zeros(10, np.uint8))
        (tmp_path / "arrays").write_bytes(b"")
        with pytest.raises(PipelineError, match="cannot be read back"):
            file.read(0)
        monkeypatch.setattr("os.pwrite", full)
        with pytest.raises(PipelineError, match="is the disk full"):
            file.append(np.zeros(3, np.uint8))


# All of it.


def _generator() -> Generator:
    model: Any = SmoothMouth()
    return Generator(model, torch.device("cpu"), 16)


def _planned(shot: Scene, opened: np.ndarray, *, frames: int) -> Texture:
    libraries = shot.planner.gather(shot.buffers, tone(opened))
    return shot.planner.plan(libraries, _generator().draw, frames=frames, fit="video")[0]


def _shown(shot: Scene, texture: Texture | None, frames: int) -> list[np.ndarray]:
    part = DubTrack(0, shot.path, shot.voice, np.ones(len(shot.opened), bool), texture)
    source = ((index, shot.buffers[index].copy()) for index in range(frames))
    made = regenerated(
        source,
        [part],
        _generator(),
        size_px=SIZE_PX,
        frame_rate=RATE,
        matrix="bt601",
        blended=True,
    )
    return [buffer for buffer, _ in made]


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A head of six seconds that is to say something else in its first three."""
    folder = tmp_path_factory.mktemp("scene")
    opened, wanted = openings(150), np.roll(openings(75, seed=5), 6)
    wavfile.write(folder / "new.wav", SAMPLE_RATE, tone(wanted))
    with ExitStack() as stack:
        shot = scene(folder, stack, opened, folder / "new.wav")
        texture = _planned(shot, opened, frames=75)
        yield shot, texture, wanted, _shown(shot, texture, 75), _shown(shot, None, 75)


def test_own_mouths_say_the_new_sound_in_own_pixels(spoken: Any) -> None:
    """As open as the new sound is loud, not as the old was; as sharp as the face, as none drawn."""
    shot, texture, wanted, own, drawn = spoken
    assert texture.record() == {
        "texture": "own",
        "own_mouths": 150,
        "reason": None,
        "refused": {},
    }
    open_now = np.array([darkness(buffer) for buffer in own])
    assert np.corrcoef(open_now, wanted)[0, 1] > 0.6
    assert abs(np.corrcoef(open_now, shot.opened[:75])[0, 1]) < 0.5

    def detail(buffers: list[np.ndarray]) -> float:
        pictures = [yuv.picture(buffer, size_px=SIZE_PX).y for buffer in buffers]
        return float(
            np.mean([cv2.Laplacian(one[107:113, 68:92], cv2.CV_64F).var() for one in pictures])
        )

    real = detail(shot.buffers[:75])
    assert detail(own) > 0.75 * real > 1.5 * detail(drawn)


def test_nothing_is_changed_beyond_the_mask(spoken: Any) -> None:
    """Brightness to the bit outside the mask's rectangle, and as many frames."""
    shot, _, _, own, _ = spoken
    assert len(own) == 75
    for before, after in zip(shot.buffers, own, strict=False):
        one, other = (yuv.picture(buffer, size_px=SIZE_PX) for buffer in (before, after))
        changed = np.argwhere(one.y != other.y)
        assert changed[:, 0].min() >= 63 and changed[:, 0].max() < 120
        assert changed[:, 1].min() >= 44 and changed[:, 1].max() < 116
        assert np.abs(changed.mean(axis=0) - MIDDLE[::-1]).max() < 12


def test_the_generators_own_mouths_are_what_they_were(spoken: Any) -> None:
    """Without texture, and with one that has none: the same to the bit."""
    shot, texture, _, _, drawn = spoken
    alone = _shown(shot, texture.without_own(), 75)
    for one, other in zip(alone, drawn, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("opened", "reason"),
    [
        (openings(60), "the face is there for 2.4 s, and 4 s are needed"),
        (np.zeros(125), "its mouth hardly moves"),
    ],
)
def test_too_few_own_mouths_leave_the_generators_sharpened(
    opened: np.ndarray, reason: str, tmp_path: Path
) -> None:
    wavfile.write(tmp_path / "new.wav", SAMPLE_RATE, tone(openings(20, seed=5)))
    with ExitStack() as stack:
        shot = scene(tmp_path, stack, opened, tmp_path / "new.wav")
        texture = _planned(shot, opened, frames=20)
        assert texture.record()["reason"] == reason and texture.record()["texture"] == "none"
        assert texture.mouth(3) is None
        drawn = texture.without_own().generated(3)
        np.testing.assert_array_equal(texture.generated(3), compose.sharpened(drawn))
