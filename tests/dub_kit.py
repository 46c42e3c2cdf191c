"""A generator whose mouths show the sound; films and workspaces with known faces and beeps."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from models.files import sha256
from models.wav2lip import PUBLISHED
from pipeline.dubbing import source_frames
from pipeline.dubbing.face_path import Pads
from pipeline.dubbing.stage import Dubbed, DubOptions, dub
from pipeline.faces import tracks
from pipeline.faces.tracks import Track
from pipeline.media import decode
from pipeline.store.files import write_json
from pipeline.store.workspace import FOLDERS, Workspace
from tests.synthetic import ffmpeg

Box = tuple[float, float, float, float]

LEFT: Box = (4, 4, 84, 84)
RIGHT: Box = (112, 4, 192, 84)
SIZE = "200x92"
GREY = 126  # of the films' picture
MOUTH = slice(60, 82), slice(36, 60)  # rows and columns of 96 that the stub paints


class MouthShowsSound(nn.Module):
    """A generator that gives the face back with a mouth as bright as the first mel column."""

    config = PUBLISHED

    def forward(self, mels: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
        """Draws (N, 3, 96, 96): the mouth is black in silence and bright in a beep."""
        faces_out = faces[:, 3:].clone()
        loud = (mels[:, 0, :, 0].amax(dim=1) + 4) / 8
        faces_out[:, :, MOUTH[0], MOUTH[1]] = loud[:, None, None, None].clamp(0, 1)
        return faces_out


def beeping(times_s: tuple[float, ...], length_s: float = 0.2) -> str:
    """ffmpeg's source of a sound with beeps at some times."""
    inside = "+".join(f"between(t,{start},{start + length_s})" for start in times_s) or "0"
    return f"aevalsrc='if({inside},0.5*sin(6283*t),0)'"


def make_film(
    path: Path,
    *,
    rate: str = "25",
    seconds: float = 3,
    sound: tuple[float, ...] | None = None,
    size: str = SIZE,
) -> Path:
    """A grey Matroska film, without loss, with beeps at some times or without a sound stream."""
    # Scaled, because older ffmpegs draw in even sizes only.
    picture = f"color=0x7e7e7e:s=64x64:r={rate}:d={seconds},format=yuv420p,scale={size}"
    sound_input: tuple[str, ...] = ()
    if sound is not None:
        sound_input = ("-f", "lavfi", "-i", f"{beeping(sound)}:d={seconds}", "-c:a", "pcm_s16le")
    ffmpeg("-f", "lavfi", "-i", picture, *sound_input, "-c:v", "ffv1", path)
    return path


def make_wav(
    path: Path, *times_s: float, seconds: float = 3, options: tuple[str, ...] = ()
) -> Path:
    """A sound file of beeps, in whatever format its name says."""
    ffmpeg("-f", "lavfi", "-i", f"{beeping(times_s)}:d={seconds}", *options, path)
    return path


def with_second_sound(film: Path, first: Path, second: Path) -> Path:
    """A copy of a film's picture with two sounds, of which players take the first."""
    path = film.with_name(f"two_sounds_{film.name}")
    inputs = (word for file in (film, first, second) for word in ("-i", file))
    maps = ("-map", "0:v", "-map", "1:a", "-map", "2:a")
    flags = ("-disposition:a:0", "default", "-disposition:a:1", "0")
    ffmpeg(*inputs, *maps, "-c", "copy", *flags, path)
    return path


def still_track(box: Box, first: int = 0, frames: int = 75) -> Track:
    """A face that does not move."""
    return Track(np.arange(first, first + frames), np.tile(np.array(box, float), (frames, 1)))


def workspace_of(
    folder: Path,
    video: Path,
    *face_tracks: Track,
    frame_rate: int = 25,
    reference: str = "film",
) -> Workspace:
    """Results of run_pipeline.py for a video, without the pictures."""
    work = Workspace(folder / "work", reference)
    for name in FOLDERS:
        work.folder(name).mkdir(parents=True)
    work.write_tracks(list(face_tracks), [tracks.smooth(track) for track in face_tracks])
    identity = {"sha256": sha256(video), "bytes": video.stat().st_size}
    settings = {"frame_rate": frame_rate, "crop_scale": 0.4}
    write_json(work.record, {"file": str(video), "input": identity, "settings": settings})
    return work


def measured(work: Workspace, *measurements: tuple[float, float, bool], **more: float) -> None:
    """offsets.json: offset in ms, confidence and whether it is reliable, for each track."""
    names = ("offset_ms", "confidence", "reliable")
    rows = [
        {"track": track, **dict(zip(names, row, strict=True)), **more}
        for track, row in enumerate(measurements)
    ]
    write_json(work.offsets_json, rows)


def run_dub(
    work: Workspace, *, video: Path | None = None, score: bool = False, **options: Any
) -> Dubbed:
    """The stage with some options, the others by default, and the generator's pixels."""
    cpu, options = torch.device("cpu"), {"texture": "none"} | options
    return dub(work, DubOptions(**options), device=cpu, video=video, score=score)


def frames_of(path: Path) -> np.ndarray:
    """Every stored frame, (N, H, W, 3) uint8."""
    return np.stack(list(decode.read_frames(path, frame_rate=None)))


def mouth_levels(frames: np.ndarray, box: Box = LEFT) -> np.ndarray:
    """Brightness of the middle of a face's mouth on each frame."""
    x1, y1, x2, y2 = (round(edge) for edge in box)
    height, width = y2 + Pads().bottom - y1, x2 - x1
    rows = slice(y1 + round(height * 66 / 96), y1 + round(height * 76 / 96))
    columns = slice(x1 + round(width * 41 / 96), x1 + round(width * 55 / 96))
    return np.asarray(frames[:, rows, columns].mean(axis=(1, 2, 3)))


def rate_of(path: Path) -> float:
    """Frames per second by the file's header, exactly."""
    rate = decode.probe(path).frame_rate
    assert rate
    return source_frames.exact_rate(rate)
