"""Whose mouth is drawn to which sound, from which reference, in the order frames are shown."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from models.features import MEL_LIMIT, MEL_RATE, MEL_WINDOW_COLUMNS
from pipeline.dubbing.driving_audio import Voice
from pipeline.dubbing.face_path import FacePath, Pads
from pipeline.dubbing.generate import DubTrack, Generator, regenerated
from pipeline.media import yuv
from tests.dub_kit import LEFT, MouthShowsSound, still_track

SIZE_PX = (200, 92)
LIPS = slice(62, 66), slice(40, 48)  # on the frame: inside what `MouthShowsSound` paints


def _generator(model: Any, batch_size: int = 4) -> Generator:
    return Generator(model, torch.device("cpu"), batch_size)


def _rising(seconds: float) -> Voice:
    """A voice whose level rises from its first column to its last."""
    columns = round(seconds * MEL_RATE)
    level = np.concatenate(
        [
            np.full(MEL_WINDOW_COLUMNS, -MEL_LIMIT),
            np.linspace(-MEL_LIMIT, MEL_LIMIT, columns),
            np.full(MEL_WINDOW_COLUMNS, -MEL_LIMIT),
        ]
    )
    return Voice(Path("unread.wav"), 0.0, np.tile(level, (80, 1)).astype(np.float32), seconds)


def test_a_face_is_found_by_the_sources_time_and_speaks_by_the_outputs() -> None:
    """A film played back and forth: where the face is, is the film's; what it says goes on."""
    order = [0, 1, 2, 3, 2, 1, 0]
    path = FacePath(
        still_track(LEFT, frames=2), frame_rate=25, pads=Pads(0, 0, 0, 0), frame_size_px=SIZE_PX
    )
    part = DubTrack(0, path, _rising(len(order) / 25), np.ones(2, bool))
    grey = np.full(yuv.buffer_bytes(SIZE_PX), 128, np.uint8)
    made = list(
        regenerated(
            ((index, grey.copy()) for index in order),
            [part],
            _generator(MouthShowsSound()),
            size_px=SIZE_PX,
            frame_rate=25,
            matrix="bt601",
            blended=False,
        )
    )
    assert [tracks for _, tracks in made] == [[0], [0], [], [], [], [0], [0]]
    lips = [float(yuv.picture(buffer, size_px=SIZE_PX).y[LIPS].mean()) for buffer, _ in made]
    level = (np.array(lips) - 16) / 219
    for position in (0, 1, 5, 6):
        assert abs(level[position] - position / len(order)) < 0.06, (position, level)


class _Reference(nn.Module):
    """A generator that gives its reference back."""

    def forward(self, mels: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
        return faces[:, 3:]


def test_each_face_keeps_its_own_reference_in_every_batch() -> None:
    """Five faces in batches of two; without references, each is its own."""
    faces, reference = np.random.default_rng(0).integers(0, 256, (2, 5, 96, 96, 3), np.uint8)
    sound, generator = np.zeros((5, 1, 80, 16), np.float32), _generator(_Reference(), 2)
    for given, expected in ((reference, reference), (None, faces)):
        drawn = generator.draw(faces, sound, reference=given)
        assert np.abs(drawn.astype(int) - expected).max() <= 1


class _Grey(nn.Module):
    """A generator whose faces are of the middle grey."""

    def forward(self, mels: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
        return torch.full_like(faces[:, 3:], 128 / 255)


def test_a_new_face_has_its_own_colours_where_the_picture_is_whiter_than_white() -> None:
    """Levels above 235 are in every camera's pictures; what was there leaves no trace."""
    path = FacePath(
        still_track(LEFT, frames=1), frame_rate=25, pads=Pads(0, 0, 0, 0), frame_size_px=SIZE_PX
    )
    white = np.full(yuv.buffer_bytes(SIZE_PX), 128, np.uint8)
    yuv.picture(white, size_px=SIZE_PX).y[:] = 250
    ((buffer, _),) = regenerated(
        iter([(0, white)]),
        [DubTrack(0, path, _rising(1), np.ones(1, bool))],
        _generator(_Grey()),
        size_px=SIZE_PX,
        frame_rate=25,
        matrix="bt601",
        blended=False,
    )
    assert set(yuv.picture(buffer, size_px=SIZE_PX).y[LIPS].ravel().tolist()) == {126}
