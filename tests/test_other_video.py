"""Own mouths from another video: of which face, at which times, with its sound."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.errors import InputError
from pipeline.faces import stage
from pipeline.faces.options import FaceOptions
from pipeline.faces.tracks import Track, smooth
from pipeline.progress import silent
from pipeline.store.array_file import ArrayFile
from pipeline.store.files import write_json
from pipeline.store.workspace import FOLDERS, Workspace
from pipeline.texture.library import Library
from pipeline.texture.other_video import other_library
from tests.dub_kit import LEFT, RIGHT, make_film, still_track
from tests.texture_kit import Levels

Finds = Callable[..., None]


def _finding(*found: Track) -> Finds:
    """A detector that finds these faces, at 25 frames per second, and keeps no pictures."""

    def find_faces(video: Path, workspace: Workspace, options: FaceOptions, **_: Any) -> None:
        assert not options.keep_frames and options.min_track == 25
        for name in FOLDERS:
            workspace.folder(name).mkdir(parents=True)
        workspace.write_tracks(list(found), [smooth(track) for track in found])
        write_json(workspace.record, {"settings": {"frame_rate": 25}})
        workspace.video.write_bytes(video.read_bytes())

    return find_faces


def _library(stack: ExitStack, film: Path, folder: Path, frame_rate: float) -> Library:
    model: Any = Levels()
    return other_library(
        film,
        model,
        folder=folder,
        pixels=stack.enter_context(ArrayFile(folder / "mouths")),
        faces=stack.enter_context(ArrayFile(folder / "faces")),
        frame_rate=frame_rate,
        device=torch.device("cpu"),
        progress=silent,
    )


@pytest.mark.parametrize(("frame_rate", "sound"), [(25.0, (0.2,)), (50.0, None)])
def test_the_face_that_is_longest_gives_its_mouths(
    frame_rate: float,
    sound: tuple[float, ...] | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At the output's rate, from its first frame on, and never near one of the source's moments."""
    film = make_film(tmp_path / "other.mkv", seconds=2, sound=sound)
    long, short = still_track(RIGHT, first=5, frames=40), still_track(LEFT, frames=30)
    monkeypatch.setattr(stage, "find_faces", _finding(short, long))
    with ExitStack() as stack:
        own = _library(stack, film, tmp_path, frame_rate)
    assert abs(len(own.grey) - 40 * frame_rate / 25) <= 1
    assert {(one.left, one.right) for one in own.face_regions} == {(RIGHT[0], RIGHT[2])}
    assert np.isnan(own.traits.times_s).all()
    assert (own.traits.sound is not None) == (sound is not None)
    if own.traits.sound is not None:  # the beep begins with the face and lasts five frames
        assert own.traits.sound[1:4].min() > 1000 and own.traits.sound[8:].max() < 10
    assert own.reason is not None and "4 s are needed" in own.reason


def test_a_video_without_a_face_is_named_with_its_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "find_faces", _finding())
    with (
        ExitStack() as stack,
        pytest.raises(InputError, match=r"--texture_video .*film\.mkv has no"),
    ):
        _library(stack, make_film(tmp_path / "film.mkv", seconds=1), tmp_path, 25.0)
