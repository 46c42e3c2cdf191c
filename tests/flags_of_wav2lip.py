"""Flags of run_wav2lip.py: two values each, and their effect on the output."""

import shutil
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from scipy.io import wavfile

from models import weights
from models.features import SAMPLE_RATE
from models.weights import WeightsFile
from pipeline.faces import stage
from pipeline.media import decode
from pipeline.store.workspace import FOLDERS, Workspace
from tests import texture_kit
from tests.dub_kit import (
    GREY,
    LEFT,
    RIGHT,
    Box,
    MouthShowsSound,
    frames_of,
    make_film,
    make_wav,
    measured,
    mouth_levels,
    still_track,
    workspace_of,
)
from tests.flag_kit import NO_SUCH_DEVICE, Bench, read, row, where
from tests.synthetic import ffmpeg
from tests.texture_kit import SmoothMouth


class _Painter(MouthShowsSound):
    """Also paints the forehead white, where only a whole face that is pasted shows it."""

    batches: ClassVar[list[int]] = []  # of all copies, so that it is seen through a copy

    def forward(self, mels: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
        """Notes how many faces it is given."""
        self.batches.append(len(faces))
        faces_out = super().forward(mels, faces)
        faces_out[:, :, 4:20, 36:60] = 1.0
        return faces_out


def _painter(bench: Bench) -> None:
    painter = _Painter()

    def load(checkpoint: Any, *, device: torch.device) -> tuple[_Painter, WeightsFile]:
        return painter, WeightsFile(Path(checkpoint).name, "0" * 64)

    bench.patch.setattr(weights, "load_wav2lip", load)


def _film(bench: Bench, *boxes: Box, sound: tuple[float, ...] | None = (0.2,)) -> Workspace:
    """Results of a second of film with faces that stay where they are."""
    _painter(bench)
    film = make_film(bench.folder / "film.mkv", seconds=1, sound=sound)
    tracks = [still_track(box, frames=25) for box in boxes or (LEFT,)]
    return workspace_of(bench.folder, film, *tracks)


def _dubbed(bench: Bench, work: Workspace, *flags: str | Path) -> np.ndarray:
    """Frames of the output."""
    bench.ran("run_wav2lip", *where(work), *flags)
    return frames_of(work.dubbed_video)


def _loudness(path: Path, at_s: float) -> float:
    """How loud a beep is at a time, in parts of its own level."""
    samples = np.abs(decode.read_audio(path).astype(float))
    start = round(at_s * SAMPLE_RATE)
    return float(np.percentile(samples[start : start + 1600], 90) / 16_000)


@row("run_wav2lip", "data_dir")
def _(bench: Bench) -> None:
    one = _film(bench)
    other = workspace_of(bench.folder / "2", bench.folder / "film.mkv", still_track(LEFT, 0, 25))
    bench.ran("run_wav2lip", "--data_dir", other.data_dir, "--reference", "film")
    assert other.dubbed_video.is_file() and not one.dubbed_video.exists()


@row("run_wav2lip", "reference")
def _(bench: Bench) -> None:
    work = _film(bench)
    for name in work.data_dir.iterdir():
        (name / "film").rename(name / "another")
    other = Workspace(work.data_dir, "another")
    assert bench.run("run_wav2lip", *where(work)).code == 2
    bench.ran("run_wav2lip", *where(other))
    assert other.dubbed_video.is_file()


@row("run_wav2lip", "audio")
def _(bench: Bench) -> None:
    """One file for all; one for each track; a file for one and another for the rest."""
    work = _film(bench, LEFT, RIGHT)
    early, late = (make_wav(bench.folder / f"{at}.wav", at, seconds=1) for at in (0.2, 0.6))
    cases: list[tuple[tuple[str, ...], tuple[float, float]]] = [
        ((f"{late}",), (0.6, 0.6)),
        ((f"0={early}", f"1={late}"), (0.2, 0.6)),
        ((f"0={late}", f"{early}"), (0.6, 0.2)),
    ]
    for files, expected in cases:
        frames = _dubbed(bench, work, *(word for file in files for word in ("--audio", file)))
        for box, at_s in zip((LEFT, RIGHT), expected, strict=True):
            loud = np.flatnonzero(mouth_levels(frames, box) > 140)
            assert abs(loud[0] - at_s * 25) <= 1 and len(loud) < 8


@row("run_wav2lip", "tracks")
def _(bench: Bench) -> None:
    work = _film(bench, LEFT, RIGHT)
    dists = np.random.default_rng(0).normal(12, 1, (2, 20, 31)).astype(np.float32)
    dists[1, :, 15] -= 8  # the right face speaks
    work.write_distances(list(dists))
    measured(work, (0.0, 0.5, False), (0.0, 6.0, True))
    for word, changed in (
        ("all", (True, True)),
        ("0", (True, False)),
        ("speaking", (False, True)),
    ):
        frames = _dubbed(bench, work, "--tracks", word)
        for box, new in zip((LEFT, RIGHT), changed, strict=True):
            assert (np.abs(mouth_levels(frames, box)[10] - GREY) > 20) == new
        numbers = [str(number) for number, new in enumerate(changed) if new]
        assert sorted(read(work.dubbed_record)["regenerated"]) == numbers


@row("run_wav2lip", "fit")
def _(bench: Bench) -> None:
    """A second that grows bright; to two seconds of sound it stands still, or goes back."""
    _painter(bench)
    film = bench.folder / "film.mkv"
    picture = "color=black:s=200x92:r=25:d=1,format=yuv420p,geq=lum='40+6*N':cb=128:cr=128"
    ffmpeg("-f", "lavfi", "-i", picture, "-c:v", "ffv1", film)
    work = workspace_of(bench.folder, film, still_track(LEFT, frames=25))
    sound = ("--audio", make_wav(bench.folder / "a.wav", 0.2, seconds=1.8))
    levels = {
        fit: _dubbed(bench, work, *sound, "--fit", fit)[:, 10, 190].mean(axis=1)
        for fit in ("video", "audio", "loop")
    }
    assert {fit: len(values) for fit, values in levels.items()} == {
        "video": 25,
        "audio": 45,
        "loop": 45,
    }
    np.testing.assert_allclose(levels["audio"][25:], levels["audio"][24], atol=3)
    np.testing.assert_allclose(levels["loop"][25:], levels["loop"][23:3:-1], atol=4)
    assert levels["loop"][24] - levels["loop"][40] > 60


@row("run_wav2lip", "pads")
def _(bench: Bench) -> None:
    """A box of 60x60 from (60, 16): the painted mouth is at 71/96 and 48/96 of the padded one."""
    work = _film(bench, (60, 16, 120, 76))
    for pads, row_px, column_px in (
        ((), 16 + 71 / 96 * 70, 90),
        ((12, 0, 40, 0), 4 + 71 / 96 * 72, 20 + 50),
        ((0, 14, 0, 40), 16 + 71 / 96 * 74, 60 + 50),
    ):
        flags = ("--pads", *map(str, pads)) if pads else ()
        frame = _dubbed(bench, work, *flags)[20].mean(axis=2)
        rows, columns = np.nonzero(np.abs(frame - GREY) > 60)
        assert abs(rows.mean() - row_px) < 2.5 and abs(columns.mean() - column_px) < 2


@row("run_wav2lip", "blend")
def _(bench: Bench) -> None:
    work = _film(bench)
    for flags, white in (
        (("--blend", "none"), True),
        (("--blend", "mouth"), False),
    ):
        frames = _dubbed(bench, work, *flags)
        assert (frames[10, 8:16, 40:48].mean() > 200) == white
        assert np.abs(mouth_levels(frames)[10] - GREY) > 40
        assert read(work.dubbed_record)["settings"]["blend"] == (not white)


@row("run_wav2lip", "silence_gate")
def _(bench: Bench) -> None:
    """Room noise closes mouths, or moves them without the gate."""
    t = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    noise = np.random.default_rng(0).normal(0, 300, len(t))
    tone = 12_000 * np.sin(2 * np.pi * 900 * t) * (t < 0.4)
    wavfile.write(bench.folder / "room.wav", SAMPLE_RATE, (tone + noise).astype(np.int16))
    work = _film(bench)
    for flags, closed in ((("--silence_gate",), True), (("--no-silence_gate",), False)):
        mouth = mouth_levels(_dubbed(bench, work, "--audio", bench.folder / "room.wav", *flags))
        assert (mouth[16:20].max() < 20) == closed and (mouth[16:20].min() > 40) != closed
        assert read(work.dubbed_record)["settings"]["silence_gate"] == closed


@row("run_wav2lip", "keep_background")
def _(bench: Bench) -> None:
    """The film beeps at 0.2 s, the new sound at 0.6 s: 6 dB below is a half."""
    work = _film(bench)
    audio = ("--audio", make_wav(bench.folder / "a.wav", 0.6, seconds=1))
    for flags, level in (
        ((), 0.0),
        (("--keep_background", "-6"), 0.5),
    ):
        _dubbed(bench, work, *audio, *flags)
        assert abs(_loudness(work.dubbed_video, 0.25) - level) < 0.05
        assert abs(_loudness(work.dubbed_video, 0.65) - 1) < 0.07


@row("run_wav2lip", "checkpoint")
def _(bench: Bench) -> None:
    work = _film(bench)
    for name in ("auto", "mine.pth"):
        _dubbed(bench, work, "--checkpoint", name)
        record = read(work.dubbed_record)
        assert record["generator"]["file"] == record["settings"]["checkpoint"] == name


@row("run_wav2lip", "batch_size")
def _(bench: Bench) -> None:
    """So many faces in one pass, and the same pictures."""
    work = _film(bench)
    videos = []
    for flags, size in (((), 16), (("--batch_size", "4"), 4)):
        _Painter.batches.clear()
        videos.append(_dubbed(bench, work, *flags))
        assert max(_Painter.batches) == size and sum(_Painter.batches) == 25
    np.testing.assert_array_equal(videos[0], videos[1])


def _talker(bench: Bench, seconds: int) -> Workspace:
    """A drawn head that talks, what it is to say, and a generator that draws its mouth smooth."""

    def load(checkpoint: Any, *, device: torch.device) -> tuple[SmoothMouth, WeightsFile]:
        return SmoothMouth(), WeightsFile("smooth", "0" * 64)

    bench.patch.setattr(weights, "load_wav2lip", load)
    opened = texture_kit.openings(25 * seconds)
    wavfile.write(bench.folder / "own.wav", SAMPLE_RATE, texture_kit.tone(opened))
    wavfile.write(bench.folder / "new.wav", SAMPLE_RATE, texture_kit.tone(opened[5:45]))
    name = f"talker{seconds}"
    film = texture_kit.film(bench.folder / f"{name}.mp4", opened, bench.folder / "own.wav")
    return workspace_of(bench.folder / name, film, texture_kit.track(len(opened)))


def _mouth_detail(frames: np.ndarray) -> float:
    """Fine contrast of the chin, which is rough in the film and flat where it is drawn."""
    mouths = np.ascontiguousarray(frames[10:40, 109:116, 68:92])
    return float(np.mean([cv2.Laplacian(mouth, cv2.CV_64F).var() for mouth in mouths]))


@row("run_wav2lip", "texture")
def _(bench: Bench) -> None:
    """A mouth of own pixels is as rough as the face, one that is drawn is smooth."""
    work = _talker(bench, 5)
    sound = ("--audio", bench.folder / "new.wav", "--fit", "audio")
    detail = {}
    for flags, texture in (((), "own"), (("--texture", "none"), "none")):
        detail[texture] = _mouth_detail(_dubbed(bench, work, *sound, *flags))
        record = read(work.dubbed_record)
        assert record["settings"]["texture"] == texture
        assert bool(record["textures"]) == (texture == "own")
    assert detail["own"] > 1.5 * detail["none"]


@row("run_wav2lip", "texture_video")
def _(bench: Bench) -> None:
    """Two seconds are too short; another video of the same head has enough."""
    work, other = _talker(bench, 2), _talker(bench, 5)
    other_film = bench.folder / "talker5.mp4"

    def find_faces(video: Path, workspace: Workspace, *_: Any, **__: Any) -> None:
        assert video == other_film
        for name in FOLDERS:
            shutil.copytree(other.folder(name), workspace.folder(name))

    bench.patch.setattr(stage, "find_faces", find_faces)
    sound = ("--audio", bench.folder / "new.wav")
    detail = {}
    for flags, texture in (((), "none"), (("--texture_video", other_film), "own")):
        detail[texture] = _mouth_detail(_dubbed(bench, work, *sound, *flags))
        record = read(work.dubbed_record)
        assert record["textures"]["0"]["texture"] == texture
        assert record["settings"]["texture_video"] == (str(other_film) if flags else None)
    assert detail["own"] > 1.5 * detail["none"]
    absent = bench.run("run_wav2lip", *where(work), *sound, "--texture_video", "nowhere.mp4")
    assert absent.code == 2 and "--texture_video nowhere.mp4 is not a file" in absent.err


@row("run_wav2lip", "score")
def _(bench: Bench) -> None:
    work = _film(bench)
    assert "LSE-D" not in bench.ran("run_wav2lip", *where(work)).out
    assert "scores" not in read(work.dubbed_record)
    assert "LSE-D" in bench.ran("run_wav2lip", *where(work), "--score").out
    assert read(work.dubbed_record)["scores"]["0"]["regenerated"]["lse_d"] > 0


@row("run_wav2lip", "videofile")
def _(bench: Bench) -> None:
    """Where the film was moved to, and by its stem which results are meant."""
    work = _film(bench)
    new_path = bench.folder / "elsewhere" / "film.mkv"
    new_path.parent.mkdir()
    (bench.folder / "film.mkv").rename(new_path)
    assert bench.run("run_wav2lip", *where(work)).code == 2
    bench.ran("run_wav2lip", "--data_dir", work.data_dir, "--videofile", new_path)
    assert read(work.dubbed_record)["source"] == str(new_path)


@row("run_wav2lip", "device")
def _(bench: Bench) -> None:
    work = _film(bench)
    _dubbed(bench, work, "--device", "cpu")
    assert read(work.dubbed_record)["device"] == "cpu"
    refused = bench.run("run_wav2lip", *where(work), "--device", NO_SUCH_DEVICE)
    assert refused.code == 2 and f"--device {NO_SUCH_DEVICE} is not available" in refused.err
