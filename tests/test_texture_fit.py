"""How far a mouth is to be open, and on which frames own pixels are refused."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from scipy.io import wavfile

from models.features import SAMPLE_RATE
from pipeline.dubbing.generate import DubTrack, Generator, regenerated
from pipeline.dubbing.stage import Dubbed
from pipeline.media import yuv
from pipeline.texture import compose, selection, traits
from pipeline.texture.plan import Texture
from pipeline.texture.selection import Hearing, Proposals, Weights
from pipeline.texture.sentence import FADED_FRAMES, Fitting
from pipeline.texture.traits import Traits
from tests.texture_kit import (
    BOX,
    MIDDLE,
    RATE,
    SIZE_PX,
    Scene,
    SmoothMouth,
    head,
    openings,
    scene,
    stored,
    tone,
    traits_of,
)

LEFT, TOP, RIGHT, BOTTOM = map(int, BOX)


def _face(picture: np.ndarray) -> np.ndarray:
    face = cv2.resize(picture[TOP:BOTTOM, LEFT:RIGHT], (96, 96), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(face, cv2.COLOR_BGR2GRAY)


# How far a mouth is open.


def test_opening_grows_with_the_mouth_in_any_light() -> None:
    opened = [traits.opening(_face(head(one))) for one in (0.0, 0.3, 0.6, 1.0)]
    assert opened[0] < 0.08 and (np.diff(opened) > 0.03).all()
    darker = (head(0.6) * 0.6).astype(np.uint8)
    assert traits.opening(_face(darker)) == pytest.approx(opened[2], abs=0.06)


def test_ranks_stand_for_the_own_values_of_the_same_rank() -> None:
    """Whatever the scale of what is ranked; between two of the same it is their middle."""
    own = np.array([0.5, 0.0, 0.1, 0.4, 0.2], np.float32)
    among = np.array([10.0, 20.0, 30.0, 40.0])
    found = selection._ranked(np.array([-5.0, 20.0, 99.0]), among, own)
    np.testing.assert_allclose(found, np.array([0.0, np.quantile(own, 1.5 / 4), 0.5]), atol=1e-6)
    tied = selection._ranked(np.array([7.0]), np.full(9, 7.0), own)
    np.testing.assert_allclose(tied, [0.2], atol=1e-6)


def _own(opening: np.ndarray, sound: np.ndarray | None, **changed: Any) -> Traits:
    given = {"opening": opening.astype(np.float32), "sound": sound}
    return traits_of(len(opening), **given | changed)


def test_hearing_is_trusted_as_far_as_it_tells_what_it_has_not_learned_from() -> None:
    rng = np.random.default_rng(0)
    sound = rng.normal(0, 1, (300, 8)).astype(np.float32)
    opening = sound @ np.linspace(-1, 1, 8) + rng.normal(0, 0.3, 300)
    good = Hearing.of(_own(opening, sound))
    assert good.trust > 0.8 and np.corrcoef(good.openings(sound), opening)[0, 1] > 0.95
    assert Hearing.of(_own(opening, rng.normal(0, 1, (300, 8)))).trust < 0.1
    # As many numbers as frames: a line through every frame, which tells nothing of another.
    assert Hearing.of(_own(opening, rng.normal(0, 1, (300, 400)))).trust < 0.1
    # Opposite of what was learned is not trusted either: halves that contradict each other.
    turned = np.where(np.arange(300) < 150, 1.0, -1.0) * sound[:, 0]
    assert Hearing.of(_own(turned, sound)).trust < 0.05


def test_nothing_is_heard_without_sound_or_from_too_little() -> None:
    sound = np.random.default_rng(1).normal(0, 1, (300, 4)).astype(np.float32)
    assert Hearing.of(_own(sound[:, 0], None)).trust == 0
    few = slice(0, selection.LEAST_HEARD - 1)
    assert Hearing.of(_own(sound[few, 0], sound[few])).trust == 0
    assert Hearing.of(_own(np.zeros(300), sound)).trust == 0


def _chosen(frames: Traits, own: Traits, **weights: float) -> np.ndarray:
    costs = selection.showing(
        frames,
        own,
        selection.scales(own),
        proposals=Proposals.of(frames.shape, frames.opening, own.shape),
        hearing=Hearing.of(own),
        weights=replace(Weights(sound=0.0), **weights),
    )
    return np.asarray(own.opening[costs.argmin(axis=1)])


def test_lips_close_where_the_sound_says_so() -> None:
    """Frames that differ in nothing else get mouths as open as their sound, to the extremes."""
    rng = np.random.default_rng(2)
    loud = rng.uniform(0, 1, 200)
    sound = np.stack([loud, rng.normal(0, 0.1, 200)], axis=1).astype(np.float32)
    own = _own(loud**2, sound)
    asked = np.array([0.0, 0.5, 1.0])
    frames = _own(asked, np.stack([asked, np.zeros(3)], axis=1), times_s=np.zeros(3))
    found = _chosen(frames, own)
    assert found[0] < 0.05 and found[2] > 0.75 and found[0] < found[1] < found[2]
    assert np.ptp(_chosen(frames, own, opening=0.0)) == 0


def test_own_pauses_say_how_far_a_mouth_is_open_in_pauses() -> None:
    """Though the sound there, of noise, asks for an open one."""
    rng = np.random.default_rng(3)
    loud = rng.uniform(0, 1, 200)
    sound = np.stack([loud, rng.normal(0, 0.1, 200)], axis=1).astype(np.float32)
    own = _own(loud, sound, pause=loud < 0.2)
    frames = _own(
        np.ones(2), np.array([[1.0, 0.0]] * 2), times_s=np.zeros(2), pause=np.array([False, True])
    )
    found = _chosen(frames, own)
    assert found[0] > 0.7 and found[1] == pytest.approx(0.1, abs=0.05)


# On which frames own pixels are taken.


def test_mouths_fade_before_and_after_what_is_refused() -> None:
    bad = np.zeros(40, bool)
    bad[[20, 21]] = True
    fit = Fitting.of({"a": bad, "b": np.zeros(40, bool)}, np.arange(40))
    assert fit.refused == {"a": 2} and (fit.shown[[20, 21]] == 0).all()
    steps = np.arange(1, FADED_FRAMES + 2) / (FADED_FRAMES + 1)
    np.testing.assert_allclose(fit.shown[22 : 22 + len(steps)], steps)
    np.testing.assert_allclose(fit.shown[19 : 19 - len(steps) : -1], steps)
    assert (fit.shown[:10] == 1).all() and (fit.shown[32:] == 1).all()


def test_own_mouths_do_not_come_back_for_a_moment() -> None:
    """Three frames between two refused ones stay the generator's, twelve do not; a cut is far."""
    bad = np.zeros(60, bool)
    bad[[10, 14, 27]] = True
    fit = Fitting.of({"a": bad}, np.arange(60))
    assert (fit.shown[10:15] == 0).all() and fit.shown[15:27].max() == 1
    apart = np.arange(60) + 500 * (np.arange(60) > 27)
    assert Fitting.of({"a": bad}, apart).shown[28] == 1
    fine = Fitting.of({"a": np.zeros(60, bool)}, np.arange(60))
    assert fine.refused == {} and (fine.shown == 1).all()


def _spoiled(picture: np.ndarray, how: str) -> np.ndarray:
    if how == "blurred":
        return cv2.blur(picture, (11, 1))
    if how == "covered":  # by a hand, as bright as the skin but smooth
        hand = picture.copy()
        cv2.ellipse(hand, (MIDDLE[0] - 8, MIDDLE[1]), (34, 20), 20, 0, 360, (150, 190, 230), -1)
        return hand
    narrow = np.array([[0.3, 0, 0.7 * MIDDLE[0] + 20], [0, 1, 0]], np.float32)
    return cv2.warpAffine(picture, narrow, SIZE_PX, borderMode=cv2.BORDER_REPLICATE)


REASONS = {
    "blurred": "the frame is blurred",
    "covered": "something covers the mouth",
    "turned": "the head is turned as in no own frame",
}
SPOILED = slice(30, 36)


@pytest.fixture(scope="module", params=REASONS)
def refusing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A head of six seconds, spoiled on six frames of the first three, which are dubbed."""
    folder = tmp_path_factory.mktemp("scene")
    opened, wanted = openings(150), np.roll(openings(75, seed=5), 6)
    wavfile.write(folder / "new.wav", SAMPLE_RATE, tone(wanted))
    with ExitStack() as stack:
        shot = scene(folder, stack, opened, folder / "new.wav")
        for index in range(SPOILED.start, SPOILED.stop):
            shot.buffers[index] = stored(_spoiled(head(opened[index]), request.param))
        libraries = shot.planner.gather(shot.buffers, tone(opened))
        network: Any = SmoothMouth()
        generator = Generator(network, torch.device("cpu"), 16)
        planned = shot.planner.plan(libraries, generator.draw, frames=75, fit="video")
        yield request.param, shot, planned[0], generator


def _shown(shot: Scene, texture: Texture, generator: Generator) -> np.ndarray:
    part = DubTrack(0, shot.path, shot.voice, np.ones(len(shot.opened), bool), texture)
    made = regenerated(
        ((index, shot.buffers[index].copy()) for index in range(75)),
        [part],
        generator,
        size_px=SIZE_PX,
        frame_rate=RATE,
        matrix="bt601",
        blended=True,
    )
    pictures = [yuv.picture(buffer, size_px=SIZE_PX).y.astype(int) for buffer, _ in made]
    return np.stack(pictures)[:, MIDDLE[1] - 20 : MIDDLE[1] + 20, MIDDLE[0] - 25 : MIDDLE[0] + 25]


def test_frames_where_own_pixels_do_not_fit_are_refused(refusing: Any) -> None:
    """These frames, for the right reason, which the record and the report give.

    Own mouths that run on over a border are steadied together, which may cost the frame beside it.
    """
    how, _, texture, _ = refusing
    refused = texture.record()["refused"]
    assert list(refused) == [REASONS[how]] and texture.record()["texture"] == "own"
    gone = np.flatnonzero(texture.fit.shown == 0)
    assert set(range(SPOILED.start, SPOILED.stop)) <= set(gone.tolist())
    assert SPOILED.start - 1 <= gone[0] and gone[-1] <= SPOILED.stop
    assert len(gone) == refused[REASONS[how]] <= SPOILED.stop - SPOILED.start + 1
    done = Dubbed(Path("a.mp4"), 75, {0: 75}, [], {"0": texture.record()}, {})
    line = f"track 0: the generator's mouth on {len(gone)} frames, because {REASONS[how]}."
    assert line in list(done.report())


def test_the_generators_mouth_comes_and_goes_smoothly(refusing: Any) -> None:
    """It is what is shown where own ones are refused; no frame at the border leaps."""
    _, shot, texture, generator = refusing
    both = _shown(shot, texture, generator)
    drawn = _shown(shot, replace(texture, own=None), generator)
    own = _shown(shot, replace(texture, fit=None), generator)
    np.testing.assert_array_equal(both[SPOILED], drawn[SPOILED])
    far = slice(0, SPOILED.start - FADED_FRAMES - 1)
    np.testing.assert_array_equal(both[far], own[far])
    for at in range(SPOILED.stop, SPOILED.stop + FADED_FRAMES):
        between = drawn[at] + (own[at] - drawn[at]) * texture.fit.shown[at]
        clipped = np.isin(drawn[at], (0, 255)) | np.isin(own[at], (0, 255))
        assert np.abs(both[at] - between)[~clipped].max() <= 2


def test_a_mouth_that_fades_is_a_sharpened_generators(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the one it is bent to, whose blur would show for a moment."""
    picture = head(0.5).astype(np.float32)
    calls: list[np.ndarray] = []

    def sharpened(face: np.ndarray) -> np.ndarray:
        calls.append(face)
        return face

    monkeypatch.setattr(compose, "sharpened", sharpened)
    face = compose.OwnFace(
        np.full((96, 96, 3), 120, np.uint8), compose.Region(TOP, BOTTOM, LEFT, RIGHT), np.eye(3)
    )
    mouth = compose.OwnMouth(
        picture[TOP:BOTTOM, LEFT:RIGHT].astype(np.uint8), face.region, face, shown=0.5
    )
    drawn = np.full((96, 96, 3), 90, np.uint8)
    compose.put(picture, face.region, mouth, generated=drawn, original=drawn)
    assert len(calls) == 1
    compose.put(picture, face.region, replace(mouth, shown=1.0), generated=drawn, original=drawn)
    assert len(calls) == 1
