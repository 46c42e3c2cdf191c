"""The dubbing stage hands on what belongs together: colours, lengths, own mouths, progress."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models import weights
from models.weights import WeightsFile
from pipeline.dubbing.face_path import Pads
from pipeline.dubbing.stage import DubOptions, dub
from pipeline.errors import InputError
from pipeline.media import decode
from pipeline.store.files import write_json
from pipeline.texture.library import Library
from pipeline.texture.plan import Planner
from tests.dub_kit import (
    GREY,
    LEFT,
    RIGHT,
    SIZE,
    MouthShowsSound,
    frames_of,
    make_film,
    make_wav,
    mouth_levels,
    run_dub,
    still_track,
    with_second_sound,
    workspace_of,
)
from tests.synthetic import ALL_FRAMES, ffmpeg

BLUE_GREEN_RED = 51, 77, 204


class _RedMouth(MouthShowsSound):
    """A generator that gives the face back with a mouth of one colour."""

    def forward(self, mels: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
        faces_out = faces[:, 3:].clone()
        colour = torch.tensor(BLUE_GREEN_RED) / 255
        faces_out[:, :, 56:86, 30:66] = colour[:, None, None]
        return faces_out


@pytest.mark.parametrize("texture", ["none", "own"])
@pytest.mark.parametrize(("size", "matrix"), [("200x720", "bt709"), (SIZE, "bt601")])
def test_a_mouth_has_the_colour_that_was_drawn(
    texture: str, size: str, matrix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On skin, whether levels stand for colours as in high definition or not."""
    network = _RedMouth(), WeightsFile("stub", "0" * 64)
    monkeypatch.setattr(weights, "load_wav2lip", lambda checkpoint, *, device: network)
    skin = f"color=0xb08060:s={size}:r=25:d=0.2,format=yuv420p"
    film = tmp_path / "film.mkv"
    ffmpeg("-f", "lavfi", "-i", skin, "-c:v", "ffv1", film)
    assert decode.probe(film).colour.matrix == matrix
    work = workspace_of(tmp_path, film, still_track(LEFT, frames=5))
    audio = make_wav(tmp_path / "a.wav", seconds=0.2)
    frames = frames_of(run_dub(work, audio={None: audio}, texture=texture).video)
    mouth = frames[:, 68:76, 40:48].mean(axis=(0, 1, 2))
    np.testing.assert_allclose(mouth, BLUE_GREEN_RED, atol=4)


@pytest.mark.usefixtures("stub_generator")
def test_pads_may_be_as_long_as_a_picture_and_no_longer(tmp_path: Path) -> None:
    work = workspace_of(
        tmp_path, make_film(tmp_path / "film.mkv", seconds=0.2), still_track(LEFT, frames=5)
    )
    audio = {None: make_wav(tmp_path / "a.wav", seconds=0.2)}
    assert run_dub(work, audio=audio, pads=Pads(0, 0, 0, 200)).frames == 5
    with pytest.raises(InputError, match="--pads reach beyond a picture of 200x92"):
        run_dub(work, audio=audio, pads=Pads(0, 0, 0, 201))


@pytest.mark.usefixtures("stub_generator")
def test_the_output_has_the_number_of_frames_that_is_nearest_to_its_sound(tmp_path: Path) -> None:
    """Half a second at 29.97 frames per second are 14.985 of them."""
    film = make_film(tmp_path / "film.mkv", seconds=1, rate="30000/1001")
    work = workspace_of(tmp_path, film, still_track(LEFT, frames=25))
    audio = {None: make_wav(tmp_path / "a.wav", seconds=0.5)}
    assert run_dub(work, audio=audio, fit="audio").frames == 15


# Planned mouths.


@pytest.mark.usefixtures("stub_generator")
def test_planned_mouths_are_those_of_their_face_where_a_film_goes_back(tmp_path: Path) -> None:
    """The right face is on the first 5 of 15 frames, which come again at the end of 30."""
    film = make_film(tmp_path / "film.mkv", seconds=0.6)
    work = workspace_of(tmp_path, film, still_track(LEFT, frames=15), still_track(RIGHT, 0, 5))
    one, two = (make_wav(tmp_path / f"{at}.wav", at, seconds=1.2) for at in (0.4, 1.0))
    done = run_dub(work, audio={0: one, 1: two}, fit="loop", texture="own")
    assert (done.frames, done.regenerated) == (30, {0: 30, 1: 11})
    left, right = (mouth_levels(frames_of(done.video), box) for box in (LEFT, RIGHT))
    assert left[11:14].min() > 140 > 60 > max(left[:8].max(), left[18:].max())
    assert right[26:29].min() > 140 > 60 > right[:4].max()
    np.testing.assert_allclose(right[6:23], GREY, atol=8)


@pytest.mark.usefixtures("stub_generator")
def test_mouths_are_planned_for_every_frame_of_a_film_whose_rate_varies(tmp_path: Path) -> None:
    """Three frames at 15 and twelve at 60 per second: 24 of the output."""
    film = tmp_path / "film.mkv"
    grey = f"color=0x7e7e7e:s={SIZE},format=yuv420p,settb=1/60,setpts='if(lt(N,3),4*N,9+N)'"
    ffmpeg(
        *("-f", "lavfi", "-i", grey, "-frames:v", "15", *ALL_FRAMES),
        *("-enc_time_base", "1/60", "-c:v", "ffv1", film),
    )
    work = workspace_of(tmp_path, film, still_track(LEFT, frames=10))
    audio = {None: make_wav(tmp_path / "a.wav", 0.25, seconds=0.4, options=("-ac", "1"))}
    done = run_dub(work, audio=audio, texture="own")
    assert done.frames in (24, 25)  # how long is the last one?
    levels = mouth_levels(frames_of(done.video))
    assert levels[:12].max() < 60 and levels[17:22].min() > 140


@pytest.mark.usefixtures("stub_generator")
def test_a_whole_face_that_is_pasted_is_the_generators(tmp_path: Path) -> None:
    """Own pixels belong to mouths that are blended; nothing is said of them."""
    film = make_film(tmp_path / "film.mkv", seconds=0.2)
    work = workspace_of(tmp_path, film, still_track(LEFT, frames=5))
    audio = {None: make_wav(tmp_path / "a.wav", seconds=0.2)}
    done = run_dub(work, audio=audio, blend=False, texture="own")
    assert done.textures == {} and not any("--texture_video" in line for line in done.report())


@pytest.mark.usefixtures("stub_generator")
def test_own_mouths_are_gathered_with_the_sound_that_was_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second sound, which beeps at 0.5 s; lips 80 ms late, somebody else's, and unmeasured."""
    picture = tmp_path / "picture.mkv"
    x1, y1, x2, y2 = LEFT
    flashing = f"drawbox={x1}:{y1}:{x2 - x1}:{y2 - y1}:white:t=fill:enable='between(t,0.3,0.6)'"
    grey = f"color=0x7e7e7e:s={SIZE}:r=25:d=1.2,format=yuv420p,{flashing}"
    ffmpeg("-f", "lavfi", "-i", grey, "-c:v", "ffv1", picture)
    first, second = (make_wav(tmp_path / f"{at}.wav", at, seconds=1.2) for at in (0.1, 0.5))
    film = with_second_sound(picture, first, second)
    tracks = [still_track(box, frames=30) for box in (LEFT, RIGHT, RIGHT)]
    work = workspace_of(tmp_path, film, *tracks)
    write_json(work.record, (work.read_record() or {}) | {"sound": {"audio_stream": 1}})
    rows = [
        {"track": 1, "offset_ms": 400.0, "confidence": 1.0, "reliable": False},
        {"track": 0, "offset_ms": 80.0, "confidence": 5.0, "reliable": True},
    ]
    write_json(work.offsets_json, rows)
    gathered: dict[int, Library] = {}
    plan = Planner.plan

    def planned(planner: Planner, libraries: dict[int, Library], *rest: Any, **more: Any) -> Any:
        gathered.update(libraries)
        return plan(planner, libraries, *rest, **more)

    monkeypatch.setattr(Planner, "plan", planned)
    run_dub(work, audio={None: first}, texture="own")
    for track, late_s in ((0, 0.08), (2, 0.0)):
        heard_s = np.flatnonzero(~gathered[track].traits.pause) / 25
        assert heard_s.mean() == pytest.approx(0.5 + 0.2 / 2 + late_s, abs=0.03)
        assert gathered[track].traits.sound is not None
    assert gathered[1].traits.sound is None and not gathered[1].traits.pause.any()
    lips = [gathered[track].traits.lips for track in range(3)]
    moved = [float(np.ptp(seen, axis=0).max()) for seen in lips if seen is not None]
    assert moved[0] > 100 * max(moved[1:])


# Progress.


@pytest.mark.usefixtures("stub_generator")
@pytest.mark.parametrize(("fit", "frames"), [("video", 12), ("audio", 20)])
def test_each_pass_says_how_many_frames_it_has(fit: Any, frames: int, tmp_path: Path) -> None:
    """All 12 of the source are looked at, however many the output has."""
    film = make_film(tmp_path / "film.mkv", seconds=0.48)
    work = workspace_of(tmp_path, film, still_track(LEFT, frames=12))
    options = DubOptions(audio={None: make_wav(tmp_path / "a.wav", 0.1, seconds=0.8)}, fit=fit)
    said: dict[str, list[tuple[int, int | None]]] = {}

    def progress(step: str, done: int, total: int | None) -> None:
        said.setdefault(step, []).append((done, total))

    dub(work, options, device=torch.device("cpu"), progress=progress)
    assert said == {
        "own mouths": [(done, 12) for done in range(1, 13)],
        "new mouths": [(done, frames) for done in range(1, frames + 1)],
    }
