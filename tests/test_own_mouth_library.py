"""Own mouths as they are gathered: which frames, at which time they are heard and seen."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.io import wavfile

from models.features import FRAME_RATE, SAMPLE_RATE, SAMPLES_PER_FRAME
from pipeline.dubbing import blend
from pipeline.dubbing.driving_audio import Voice, read_voice
from pipeline.dubbing.face_path import FacePath, Pads, Region
from pipeline.dubbing.source_frames import Fit
from pipeline.faces import tracks
from pipeline.faces.crops import CROP_SCALE
from pipeline.faces.tracks import Track
from pipeline.media import yuv
from pipeline.store.array_file import ArrayFile
from pipeline.texture import compose, library
from pipeline.texture.library import FacePaths, Gatherer, Library
from pipeline.texture.plan import Eased, Planner, Texture, TexturedFace
from pipeline.texture.sentence import Fitting
from tests.dub_kit import make_film, with_second_sound
from tests.texture_kit import BOX, SIZE_PX, Levels, head, openings, stored, tone

CLICK_S = 2.0  # when the sound is loud, for two frames


def _path(frames: int, first: int = 0) -> FacePaths:
    """A head that does not move, counted at 25 frames per second."""
    track = Track(np.arange(first, first + frames), np.tile(np.array(BOX), (frames, 1)))
    face = FacePath(track, frame_rate=25, pads=Pads(0, 0, 0, 0), frame_size_px=SIZE_PX)
    return FacePaths(face, tracks.smooth(track), CROP_SCALE)


def _level(index: int) -> int:
    return 40 + index % 200


def _buffer(index: int) -> np.ndarray:
    """The yuv420p buffer of a frame that is as bright as its index says."""
    grey = np.full((*SIZE_PX[::-1], 3), _level(index), np.uint8)
    return np.ascontiguousarray(cv2.cvtColor(grey, cv2.COLOR_BGR2YUV_I420)).ravel()


def _click(seconds: float = 6.0) -> np.ndarray:
    """Sound that is loud for two frames only, and a hum before it."""
    samples = np.zeros(round(seconds * SAMPLE_RATE), np.int16)
    start = round(CLICK_S * SAMPLE_RATE)
    samples[start : start + 2 * SAMPLES_PER_FRAME] = 10_000
    return samples


def _gathered(
    stack: ExitStack,
    folder: Path,
    indices: list[int],
    *,
    rate: float = 25.0,
    samples: np.ndarray | None = None,
    late_s: float = 0.0,
) -> Library:
    model: Any = Levels()
    paths = _path(200)
    pixels, faces = (stack.enter_context(ArrayFile(folder / name)) for name in ("p", "f"))
    gatherer = Gatherer(paths, model, pixels=pixels, faces=faces, frame_rate=rate, matrix="bt601")
    for index in indices:
        region = paths.face.at(index / rate)
        assert region is not None
        small = np.full((96, 96, 3), _level(index), np.uint8)
        gatherer.add(index, yuv.picture(_buffer(index), size_px=SIZE_PX), region, small)
    return gatherer.finish(samples, late_s=late_s)


def _planner(stack: ExitStack, folder: Path, paths: FacePaths, *, late_s: float | None) -> Planner:
    model: Any = Levels()
    voice = Voice(Path("unread.wav"), 0.0, np.zeros((80, 40), np.float32), 0.1)
    return Planner(
        [TexturedFace(0, paths, paths.face.at, voice, late_s)],
        model,
        folder=folder,
        stack=stack,
        size_px=SIZE_PX,
        frame_rate=25.0,
        matrix="bt601",
    )


@pytest.mark.parametrize("late_s", [0.0, 0.4, -0.4])
def test_late_lips_are_heard_with_the_sound_that_was_theirs(late_s: float, tmp_path: Path) -> None:
    """A click at 2 s belongs to the lips of 2 s and of how late these are; so do pauses."""
    with ExitStack() as stack:
        own = _gathered(stack, tmp_path, list(range(100)), samples=_click(), late_s=late_s)
    assert own.traits.sound is not None
    loudest = own.traits.times_s[own.traits.sound[:, 0] > 5000]
    np.testing.assert_allclose(loudest, CLICK_S + late_s + np.array([0, 0.04]), atol=1e-6)
    heard_s = own.traits.times_s[~own.traits.pause]
    assert heard_s.mean() == pytest.approx(CLICK_S + late_s + 0.04, abs=0.05)


def test_another_persons_sound_says_nothing_of_own_mouths(tmp_path: Path) -> None:
    """Neither what is heard nor where pauses are, unless it is known to be this face's."""
    with ExitStack() as stack:
        alone = _gathered(stack, tmp_path, list(range(30)))
        assert alone.traits.sound is None and not alone.traits.pause.any()
        paths = _path(50)
        for late_s, known in ((None, False), (0.0, True), (0.4, True)):
            folder = tmp_path / str(late_s)
            folder.mkdir()
            planner = _planner(stack, folder, paths, late_s=late_s)
            libraries = planner.gather(
                (_buffer(index) for index in range(60)), _click()[SAMPLE_RATE:]
            )
            traits = libraries[0].traits
            assert (traits.sound is not None) == known and len(libraries[0].grey) == 50
            if late_s is not None and traits.sound is not None:
                speech_s = traits.times_s[traits.sound[:, 0] > 5000]
                np.testing.assert_allclose(speech_s, CLICK_S - 1 + late_s + np.array([0, 0.04]))


def test_lips_of_other_frame_rates_are_seen_at_their_time(tmp_path: Path) -> None:
    """At 50 and 12.5 frames per second, and of a run that begins late in the video."""
    for rate, indices in ((50.0, range(100, 160)), (12.5, range(20, 50)), (25.0, range(60, 90))):
        folder = tmp_path / str(rate)
        folder.mkdir()
        with ExitStack() as stack:
            own = _gathered(stack, folder, list(indices), rate=rate)
        assert own.traits.lips is not None
        truth = np.array([_level(index) for index in indices])
        inner = slice(8, -8)
        assert np.abs(own.traits.lips[inner, 0] - truth[inner]).max() < 2.1, rate


def test_runs_are_apart_and_too_short_ones_are_left_out(tmp_path: Path) -> None:
    """Each mouth is followed by that of the next frame, and only by it."""
    indices = [*range(10), 40, 41, *range(80, 90)]
    with ExitStack() as stack:
        own = _gathered(stack, tmp_path, indices)
        kept = [*range(10), *range(80, 90)]
        np.testing.assert_allclose(own.traits.times_s, np.array(kept) / FRAME_RATE)
        np.testing.assert_array_equal(own.following, [*range(1, 10), -1, *range(11, 20), -1])
        for number, index in enumerate(kept):
            mouth = own.mouth(number, np.eye(3))
            assert abs(float(mouth.pixels.mean()) - _level(index)) <= 1
            assert mouth.whole.region == own.face_regions[number] != mouth.region
            assert mouth.whole.face.mean() == _level(index) == own.grey[number].mean()
        assert own.elsewhere().mouth(12, np.eye(3)).region == own.regions[12]


def test_mouths_of_another_video_are_never_near_a_moment(tmp_path: Path) -> None:
    with ExitStack() as stack:
        own = _gathered(stack, tmp_path, list(range(10)))
    assert np.isfinite(own.traits.times_s).all()
    assert np.isnan(own.elsewhere().traits.times_s).all() and len(own.elsewhere().grey) == 10


def test_a_mouth_is_cut_with_a_margin_of_its_face() -> None:
    """Three twentieths of the face's sides, on each side."""
    region = Region(0, 200, 0, 100)
    mouth, wide = blend.mouth_region(region), library._with_margin(region)
    assert (mouth.top - wide.top, wide.bottom - mouth.bottom) == (30, 30)
    assert (mouth.left - wide.left, wide.right - mouth.right) == (15, 15)


def test_time_is_counted_at_the_frame_rate_of_the_faces() -> None:
    """Four seconds are enough, of any rate; lips that twitch once do not speak."""
    rng = np.random.default_rng(0)
    still = np.full((96, 96), 120, np.uint8)
    moving = []
    for _ in range(240):
        face = still.copy()
        face[60:88, 30:66] = rng.integers(60, 200)
        moving.append(face)
    assert library._reason(moving[:199], 50.0) == "the face is there for 4.0 s, and 4 s are needed"
    assert library._reason(moving[:200], 50.0) is None
    assert library._reason(moving[:100], 25.0) is None
    slow = [np.full((96, 96), 120, np.uint8) for _ in range(240)]
    for index, face in enumerate(slow):
        face[60:88, 30:66] += np.uint8(index // 12)
    assert library._reason(slow, 50.0) is None
    twitch = [still] * 60 + moving[:3] + [still] * 60
    assert library._reason(twitch, 25.0) == "its mouth hardly moves"
    speech = [frame for one in moving[:25] for frame in (still, still, still, one)]
    assert library._reason(speech, 25.0) is None


def test_the_network_sees_the_face_where_it_is(tmp_path: Path) -> None:
    """A bright face that moves over a black picture fills the middle of every crop."""
    count = 40
    boxes = np.array([[10.0, 10, 50, 54]]) + np.linspace(0, 90, count)[:, None]
    track = Track(np.arange(count), boxes)
    face = FacePath(track, frame_rate=25, pads=Pads(0, 0, 0, 0), frame_size_px=SIZE_PX)
    model: Any = Levels()
    with ExitStack() as stack:
        pixels, faces = (stack.enter_context(ArrayFile(tmp_path / name)) for name in ("p", "f"))
        gatherer = Gatherer(
            FacePaths(face, tracks.smooth(track), CROP_SCALE),
            model,
            pixels=pixels,
            faces=faces,
            frame_rate=25.0,
            matrix="bt601",
        )
        for index in range(count):
            picture = np.zeros((*SIZE_PX[::-1], 3), np.uint8)
            left, top, right, bottom = boxes[index].astype(int)
            picture[max(top, 0) : bottom, left:right] = 200
            buffer = np.ascontiguousarray(cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420)).ravel()
            region = face.at(index / 25)
            assert region is not None
            small = np.full((96, 96, 3), 200, np.uint8)
            gatherer.add(index, yuv.picture(buffer, size_px=SIZE_PX), region, small)
        own = gatherer.finish(None)
    assert own.traits.lips is not None and own.traits.lips.min() > 190


def test_of_a_long_track_only_what_is_wanted_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs of ten frames, from the beginning and the end of two hundred."""
    monkeypatch.setattr(library, "MOST_MOUTHS", 20)
    monkeypatch.setattr(library, "RUN_FRAMES", 10)
    with ExitStack() as stack:
        own = _gathered(stack, tmp_path, list(range(200)))
    kept = [*range(10), *range(190, 200)]
    np.testing.assert_allclose(own.traits.times_s, np.array(kept) / FRAME_RATE)


def test_a_mouth_below_the_picture_is_none_of_the_library(tmp_path: Path) -> None:
    paths, model = _path(20), Levels()
    below = Region(140, 300, 30, 130)
    with ExitStack() as stack:
        pixels, faces = (stack.enter_context(ArrayFile(tmp_path / name)) for name in ("p", "f"))
        given: dict[str, Any] = {"pixels": pixels, "faces": faces, "matrix": "bt601"}
        gatherer = Gatherer(paths, model, frame_rate=25.0, **given)  # type: ignore[arg-type]
        for index in range(20):
            picture = yuv.picture(_buffer(index), size_px=SIZE_PX)
            gatherer.add(index, picture, below, np.zeros((96, 96, 3), np.uint8))
        assert len(gatherer.finish(None).grey) == 0


def test_what_is_shown_of_each_frame(tmp_path: Path) -> None:
    """Own mouths with what is mixed in, a fading one, and the generator's, sharpened alone."""
    maps = np.tile(np.eye(3), (4, 1, 1))
    maps[:, 0, 2] = np.arange(4)
    with ExitStack() as stack:
        own = _gathered(stack, tmp_path, list(range(10)))
        drawn = stack.enter_context(ArrayFile(tmp_path / "drawn"))
        edge = np.full((96, 96, 3), 60, np.uint8)
        edge[48:] = 160
        for _ in range(4):
            drawn.append(cv2.GaussianBlur(edge, (0, 0), 2))
        texture = Texture(
            positions=np.array([3, 4, 9, 10]),
            drawn=drawn,
            own=np.array([5, 6, 0, 7]),
            maps=maps,
            eased=Eased(np.array([-1, 0, 2, 3]), maps + 10, np.array([0.0, 0.25, 0.5, 0.75])),
            library=own,
            fit=Fitting(np.array([1.0, 1.0, 0.5, 0.0], np.float32), {"it is dark": 1}),
        )
        first, second, third = (texture.mouth(position) for position in (3, 4, 9))
        assert first and second and third and texture.mouth(10) is None
        shown = [abs(float(one.pixels.mean()) - _level(0)) for one in (first, second, third)]
        np.testing.assert_allclose(shown, [5, 6, 0], atol=1)
        assert [one.shown for one in (first, second, third)] == [1.0, 1.0, 0.5]
        assert first.other is None and second.other and third.other
        assert (second.share, third.share) == (0.25, 0.5)
        assert [float(one.other.face.mean()) for one in (second, third) if one.other] == [
            *(_level(0), _level(2))
        ]
        np.testing.assert_array_equal(second.whole.map, maps[1])
        np.testing.assert_array_equal(second.other.map, maps[1] + 10)
        plain = drawn.read(0)
        for position in (3, 4, 9):
            np.testing.assert_array_equal(texture.generated(position), plain)
        np.testing.assert_array_equal(texture.generated(10), compose.sharpened(plain))
        np.testing.assert_array_equal(texture.without_own().generated(10), plain)
        assert texture.record() == {
            "texture": "none",
            "own_mouths": 10,
            "reason": "the face is there for 0.4 s, and 4 s are needed",
            "refused": {"it is dark": 1},
        }


@pytest.mark.parametrize(
    ("fit", "positions", "sources"),
    [("loop", [1, 2, 4, 5, 7], [1, 2, 2, 1, 1]), ("audio", [1, 2], [1, 2])],
)
def test_what_is_proposed_is_for_the_frame_that_is_shown(
    fit: Fit, positions: list[int], sources: list[int], tmp_path: Path
) -> None:
    """The face is on the middle two of four frames; the sound lasts eight."""
    paths = _path(2, first=1)
    with ExitStack() as stack:
        planner = _planner(stack, tmp_path, paths, late_s=None)
        planner.gather((_buffer(index) for index in range(4)), None)
        sentence = planner.sentences(lambda faces, _: faces, frames=8, fit=fit)[0]
        assert (sentence.positions.tolist(), sentence.sources.tolist()) == (positions, sources)
        for at, source in enumerate(sources):
            assert abs(float(sentence.drawn.read(at).mean()) - _level(source)) <= 1


def test_mouths_are_chosen_by_the_sound_stream_they_are_to_say(tmp_path: Path) -> None:
    """The second of a file's two, as if it were alone; the first is loud and chooses others."""
    opened = openings(100)
    film = make_film(tmp_path / "film.mkv", seconds=1)
    for name, level in (("first.wav", 1.0), ("second.wav", 0.2)):
        wavfile.write(tmp_path / name, SAMPLE_RATE, tone(np.full(25, level)))
    model: Any = Levels()
    second = tmp_path / "second.wav"
    both = with_second_sound(film, tmp_path / "first.wav", second)
    paths = _path(100)
    voices = read_voice(second), read_voice(both, audio_stream=1)
    with ExitStack() as stack:
        planner = Planner(
            [TexturedFace(n, paths, paths.face.at, voice, 0.0) for n, voice in enumerate(voices)],
            model,
            folder=tmp_path,
            stack=stack,
            size_px=SIZE_PX,
            frame_rate=25.0,
            matrix="bt601",
        )
        libraries = planner.gather((stored(head(one)) for one in opened), tone(opened))
        planned = planner.plan(
            libraries, lambda faces, _: np.zeros_like(faces), frames=10, fit="video"
        )
        alone, chosen = planned[0].own, planned[1].own
    assert alone is not None and chosen is not None
    np.testing.assert_array_equal(chosen, alone)
