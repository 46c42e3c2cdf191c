"""One face along the output: what is heard and seen when, in which blocks, and where it goes."""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from models.features import MEL_LIMIT, MEL_RATE, SAMPLES_PER_FRAME
from models.wav2lip import FACE_PX
from pipeline.dubbing.driving_audio import Voice
from pipeline.dubbing.face_path import Region
from pipeline.store.array_file import ArrayFile
from pipeline.texture import sentence as module
from pipeline.texture import traits
from pipeline.texture.library import Library
from pipeline.texture.selection import Weights
from pipeline.texture.sentence import BRIDGED_FRAMES, Fitting, Sentence
from pipeline.texture.traits import Traits
from tests.texture_kit import BOX, MIDDLE, RATE, Levels, head, traits_of

LEFT, TOP, RIGHT, BOTTOM = map(int, BOX)
REGION = Region(TOP, BOTTOM, LEFT, RIGHT)
FREE = Weights(0, 0, 0, 0, 0, 0, 0, 0)  # nothing costs anything


def _face(opening: float, *, shift_px: float = 0.0) -> np.ndarray:
    """A face of 96 pixels."""
    picture = REGION.cut(head(opening, shift_px=shift_px))
    return cv2.resize(picture, (FACE_PX, FACE_PX), interpolation=cv2.INTER_AREA)


def _grey(face: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(face, cv2.COLOR_BGR2GRAY)


@dataclass(frozen=True)
class Files:
    """Where sentences keep their faces."""

    stack: ExitStack
    folder: Path

    def of(self, name: str, faces: list[np.ndarray]) -> ArrayFile:
        """A file of some faces."""
        file = self.stack.enter_context(ArrayFile(self.folder / name))
        for face in faces:
            file.append(face)
        return file

    def sentence(
        self,
        positions: np.ndarray,
        *,
        originals: list[np.ndarray] | None = None,
        drawn: list[np.ndarray] | None = None,
        voice: Voice | None = None,
        **changed: Any,
    ) -> Sentence:
        """A face that is the same on every frame, unless it is said otherwise."""
        count, same = len(positions), [_face(0.5)]
        silence = np.full((80, 32 + 80 * 10), -MEL_LIMIT, np.float32)
        given: dict[str, Any] = {
            "sources": positions,
            "regions": [REGION] * count,
            "originals": self.of("originals", originals or same),
            "numbers": np.zeros(count, int),
            "drawn": self.of("drawn", drawn or same * count),
            "frame_rate": RATE,
            "voice": voice or Voice(Path("unread.wav"), 0.0, silence, 10.0),
        }
        return Sentence(positions, **given | changed)


@pytest.fixture
def files(tmp_path: Path) -> Any:
    """Closed afterwards."""
    with ExitStack() as stack:
        yield Files(stack, tmp_path)


def _library(
    own: Traits,
    *,
    following: np.ndarray | None = None,
    grey: list[np.ndarray] | None = None,
    regions: list[Region] | None = None,
) -> Library:
    count = len(own.times_s)
    no_file: Any = None
    return Library(
        traits=own,
        following=np.full(count, -1) if following is None else following,
        grey=np.array(grey or [_grey(_face(0.5))] * count),
        regions=[REGION] * count,
        face_regions=regions or [REGION] * count,
        pixels=no_file,
        faces=no_file,
        numbers=np.arange(count),
        reason=None,
    )


def _seen(own: Traits) -> Traits:
    """The same, with the pose and surroundings of a face of the kit."""
    count, grey = len(own.times_s), _grey(_face(0.5))
    return replace(
        own,
        shape=np.tile(traits.mouth_shape(_face(0.5)), (count, 1)),
        pose=np.tile(traits.pose(grey), (count, 1)),
        surroundings=np.tile(traits.surroundings(grey), (count, 1)),
    )


def _chosen(line: Sentence, library: Library, levels: np.ndarray, **weights: float) -> list[int]:
    """Which own mouths are chosen where the sound has these levels, 25 per second."""
    model: Any = Levels()
    samples = np.repeat(levels, SAMPLES_PER_FRAME).astype(np.int16)
    return line.chosen(library, model, samples, weights=replace(FREE, **weights)).tolist()


# What is heard, and when.


def test_the_generator_hears_the_output_and_sees_the_source(files: Files) -> None:
    """Where a film is looped, sound goes on: at 25 frames per second 3.2 columns a frame."""
    columns = np.tile(np.arange(32 + 80 * 10, dtype=np.float32) - 16, (80, 1))
    line = files.sentence(
        np.array([0, 5, 50, 100]),
        sources=np.array([0, 5, 4, 3]),
        originals=[np.full((96, 96, 3), level, np.uint8) for level in (10, 20, 30, 40)],
        numbers=np.array([3, 1, 0, 2]),
        drawn=[],
        voice=Voice(Path("unread.wav"), 0.0, columns, 10.0),
    )
    heard: list[float] = []

    def draw(faces: np.ndarray, windows: np.ndarray) -> np.ndarray:
        heard.extend(windows[:, 0, 0, 0].tolist())
        return faces

    replace(line, drawn=files.of("new", [])).propose(draw)
    assert heard == pytest.approx([0, 16, 160, 320], abs=1) and MEL_RATE == 80


@pytest.mark.parametrize("delay_s", [0.0, 0.4, -0.4])
def test_a_delayed_voice_is_heard_as_late_as_it_is(delay_s: float, files: Files) -> None:
    """The sound gets louder from frame to frame, and so do the own mouths."""
    levels = 100 * np.arange(60)
    own = _seen(traits_of(60, sound=levels[:, None].astype(np.float32)))
    positions = np.arange(20, 30)
    silence = np.full((80, 832), -MEL_LIMIT, np.float32)
    voice = Voice(Path("unread.wav"), delay_s, silence, 10.0)
    line = files.sentence(positions, voice=voice)
    expected = positions - round(delay_s * RATE)
    assert _chosen(line, _library(own), levels, sound=1.0) == expected.tolist()


def test_the_moment_itself_is_that_of_the_source(files: Files) -> None:
    """In a loop frame 60 shows the moment of frame 10, whose mouth is not taken."""
    own = _seen(traits_of(2, times_s=np.array([0.4, 2.4])))
    line = files.sentence(np.array([60, 10]), sources=np.array([10, 60]))
    assert _chosen(line, _library(own), np.zeros(100)) == [1, 0]


def test_pauses_are_those_of_the_voice_whatever_the_generator_hears(files: Files) -> None:
    """A generator may hear cepstra, in which silence is not the least there is."""
    shapes = [traits.mouth_shape(_face(opening)) for opening in (0.0, 1.0)]
    own = _seen(traits_of(24, pause=np.arange(24) < 12))
    own = replace(own, shape=np.repeat(shapes, 12, axis=0))
    silence = np.full((80, 832), -MEL_LIMIT, np.float32)
    voice = Voice(Path("unread.wav"), 0.0, silence, 10.0, np.zeros((12, 1000), np.float32))
    drawn = [_face(opening) for opening in (0.0, 1.0, 1.0)]
    line = files.sentence(np.arange(3), drawn=drawn, voice=voice)
    assert max(_chosen(line, _library(own), np.zeros(100), shape=1.0)) < 12


# In blocks.


def _two_runs() -> tuple[Traits, np.ndarray]:
    """Two runs of thirty mouths, of another sound each, which costs twice its weight."""
    following = np.arange(1, 61)
    following[[29, 59]] = -1
    sound = np.repeat(np.array([[0.0], [100]], np.float32), 30, axis=0)
    return _seen(traits_of(60, sound=sound)), following


def test_a_block_goes_on_where_the_one_before_it_ended(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK_FRAMES", 10)
    monkeypatch.setattr(module, "AHEAD_FRAMES", 4)
    own, following = _two_runs()
    library = _library(own, following=following)
    line = files.sentence(np.arange(25))
    levels = np.where(np.arange(60) < 2, 0, 100)
    found = _chosen(line, library, levels, sound=1.0, join=0.3)
    assert found[2:] == list(range(found[2], found[2] + 23)) and found[2] >= 30


def test_a_block_knows_what_comes_after_it(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """A join pays for the five frames from frame 8 on, not for the two before frame 10."""
    monkeypatch.setattr(module, "BLOCK_FRAMES", 10)
    monkeypatch.setattr(module, "AHEAD_FRAMES", 4)
    own, following = _two_runs()
    line = files.sentence(np.arange(15))
    levels = np.where(np.arange(60) < 8, 0, 100)
    found = _chosen(line, _library(own, following=following), levels, sound=0.05, join=0.3)
    assert [mouth >= 30 for mouth in found] == [False] * 8 + [True] * 7


def test_a_generators_mean_is_that_of_all_of_a_sentence(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closed in the first half, open in the second: neither is its usual mouth."""
    monkeypatch.setattr(module, "LEARNED_FROM", 4)
    own = _seen(traits_of(3))
    faces = [_face(opening) for opening in (0.0, 0.5, 1.0)]
    own = replace(own, shape=np.stack([traits.mouth_shape(face) for face in faces]))
    line = files.sentence(np.arange(8), drawn=[faces[0]] * 4 + [faces[2]] * 4)
    assert _chosen(line, _library(own), np.zeros(100), shape=1.0) == [0] * 4 + [2] * 4


# Where mouths go.


def _right(*frames: int) -> list[Region]:
    """Regions of a face that is so many pixels further to the right."""
    return [Region(TOP, BOTTOM, LEFT + by, RIGHT + by) for by in frames]


def test_mouths_of_different_runs_go_each_to_its_place(files: Files) -> None:
    """From where they were cut to where the face is on that frame, nothing in between."""
    own = traits_of(6)
    following = np.array([1, 2, -1, 4, 5, -1])
    library = _library(own, following=following, regions=_right(0, 0, 0, 40, 40, 40))
    line = files.sentence(np.arange(6), regions=_right(7, 7, 7, 8, 8, 8))
    maps = line.maps(library, np.array([3, 4, 5, 0, 1, 2]))
    expected = np.tile(np.eye(3), (6, 1, 1))
    expected[:, 0, 2] = [-33] * 3 + [8] * 3
    np.testing.assert_allclose(maps, expected, atol=0.01)


def test_nothing_is_smoothed_over_a_time_without_the_face(files: Files) -> None:
    """Though its mouths follow each other: the face is elsewhere when it is back."""
    library = _library(traits_of(6), following=np.append(np.arange(1, 6), -1))
    positions = np.array([0, 1, 2, 50, 51, 52])
    line = files.sentence(positions, regions=_right(0, 0, 0, 40, 40, 40))
    maps = line.maps(library, np.arange(6))
    assert maps[:, 0, 2] == pytest.approx([0, 0, 0, 40, 40, 40], abs=0.01)


def test_a_mouth_before_a_frame_without_one_stays_in_its_place(files: Files) -> None:
    """The last of its run: what is not shown after it is no motion to be smoothed over."""
    library = _library(traits_of(3), following=np.array([1, 2, -1]), regions=_right(0, 0, 0))
    line = files.sentence(np.arange(5), regions=_right(60, 60, 60, 60, 60))
    maps = line.maps(library, np.array([0, 1, 2, -1, -1]))
    assert maps[:, 0, 2] == pytest.approx([60, 60, 60, 0, 0], abs=0.01)


def test_mouths_follow_the_head_on_the_face_and_do_not_tremble(files: Files) -> None:
    """A head 3 pixels to the right on its face of 100, in regions that tremble by a pixel."""
    count = 20
    own = traits_of(count)
    library = _library(own, following=np.append(np.arange(1, count), -1))
    line = files.sentence(
        np.arange(count),
        originals=[_face(0.5), _face(0.5, shift_px=3)],
        numbers=np.ones(count, int),
        regions=_right(*[index % 2 for index in range(count)]),
    )
    maps = line.maps(library, np.arange(count))
    across = (maps @ [*MIDDLE, 1])[:, 0] - MIDDLE[0]
    assert across == pytest.approx(3.5, abs=0.6) and np.abs(np.diff(across[4:-4])).max() < 0.2


# Where own mouths fit.


def test_a_face_from_elsewhere_and_of_another_size_fits(files: Files) -> None:
    far = Region(200, 420, 300, 500)
    library = _library(traits_of(2), regions=[REGION, far])
    flat = np.full((FACE_PX, FACE_PX, 3), 120, np.uint8)
    line = files.sentence(np.arange(2), originals=[flat, _face(0.5)], numbers=np.ones(2, int))
    own = np.array([1, 1])
    fit = line.fitting(library, own, line.maps(library, own))
    assert fit.refused == {} and (fit.shown == 1).all()


def _speaking(frames: int) -> list[np.ndarray]:
    """A mouth that opens, every third time wide."""
    return [_face((0.4, 0.5, 1.0)[index % 3]) for index in range(frames)]


def _lit(face: np.ndarray, levels: float) -> np.ndarray:
    """The face with light from one side."""
    light = np.linspace(-levels, levels, FACE_PX)[None, :, None]
    return np.clip(face + light, 0, 255).astype(np.uint8)


def _odd(face: np.ndarray) -> np.ndarray:
    """The face with something white before mouth and chin, and beside it."""
    odd = face.copy()
    odd[60:, 10:60] = 250
    return odd


def _refused(files: Files, faces: list[np.ndarray], sources: np.ndarray) -> dict[str, int]:
    library = _library(traits_of(1))
    line = files.sentence(
        np.arange(len(faces)), originals=faces, numbers=np.arange(len(faces)), sources=sources
    )
    own = np.zeros(len(faces), int)
    return line.fitting(library, own, np.tile(np.eye(3), (len(faces), 1, 1))).refused


def test_another_light_alone_covers_no_mouth(files: Files) -> None:
    """All frames of a video are lit from the side, and its own mouths are not."""
    faces = [_lit(face, 30) for face in _speaking(100)]
    assert _refused(files, faces, np.arange(100)) == {}


def test_what_covers_a_mouth_is_strange_beside_the_rest_of_the_track(files: Files) -> None:
    """Beside enough of it a second away or more, by the clock of the source."""
    faces = _speaking(100)
    faces[50:53] = [_odd(face) for face in faces[50:53]]
    assert _refused(files, faces, np.arange(100)) == {"something covers the mouth": 3}
    last = [*faces[:29], _odd(faces[29])]
    assert _refused(replace(files, folder=_new(files, "short")), last, np.arange(30)) == {}
    looped = np.arange(100) % 20
    assert _refused(replace(files, folder=_new(files, "loop")), faces, looped) == {}


def _new(files: Files, name: str) -> Path:
    (files.folder / name).mkdir()
    return files.folder / name


def test_real_openings_are_those_of_the_film(files: Files) -> None:
    faces = [_face(opening) for opening in (1.0, 0.0, 0.5)]
    line = files.sentence(np.arange(3), originals=faces, numbers=np.array([1, 2, 0]))
    closed, half, wide = line.real_openings()
    assert closed + 0.1 < half < wide - 0.1


@pytest.mark.parametrize("apart", [BRIDGED_FRAMES, BRIDGED_FRAMES + 1])
def test_own_mouths_come_back_for_no_less_than_six_frames(apart: int) -> None:
    """Five between two refused ones are not worth it."""
    bad = np.zeros(40, bool)
    bad[[20, 20 + apart]] = True
    shown = Fitting.of({"a": bad}, np.arange(40)).shown
    assert (shown[20 : 21 + apart] == 0).all() == (apart == 6)


# Near joins.


def _easing(files: Files, own: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    following = np.append(np.arange(1, 90), -1)
    library = _library(traits_of(90), following=following)
    return files.sentence(positions).easing(library, own)


def test_between_two_joins_the_nearer_one_is_eased(files: Files) -> None:
    """Joins before frames 4 and 7: each side of them gets most of what is beyond."""
    own = np.array([10, 11, 12, 13, 40, 41, 42, 70, 71, 72])
    other, share = _easing(files, own, np.arange(10))
    np.testing.assert_allclose(share[3:8], [0.5, 0.5, 0.375, 0.5, 0.5])
    assert other[[3, 4, 6, 7]].tolist() == [39, 14, 69, 43]


def test_a_join_eases_nothing_beyond_a_gap(files: Files) -> None:
    """The face was away between frames 2 and 30; the join is before frame 31."""
    own = np.array([10, 11, 12, 40, 70, 71, 72])
    other, share = _easing(files, own, np.array([0, 1, 2, 30, 31, 32, 33]))
    assert (other[:3] == -1).all() and (share[:3] == 0).all() and other[3] == 69
