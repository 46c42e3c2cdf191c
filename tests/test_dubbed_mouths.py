"""The evaluation of dubbed videos: whose face gets whose speech, and from where its figures are."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from scipy.io import wavfile
from torch import nn

from models.features import SAMPLE_RATE
from models.wav2lip import PUBLISHED
from pipeline.dubbing.driving_audio import Voice
from pipeline.dubbing.generate import Generator
from pipeline.store.files import write_json
from pipeline.store.workspace import Workspace
from tests import texture_kit
from tests.dub_kit import still_track, workspace_of
from tests.synthetic import ffmpeg
from training.evaluate import dubbed_mouths
from training.evaluate.dubbed_mouths import Speaker

SIZE_PX = (160, 150)
BOX = (30.0, 20.0, 130.0, 120.0)  # of every face
EYES, MOUTH = slice(20, 60), slice(75, 150)  # rows of a frame
RATE, START_FRAME, FACE_FRAMES = 50, 25, 30  # of the films; of the faces, at 25 per second
FRAMES = 120  # of the films, 2.4 s
WILD_UNTIL, BRIGHTER_FROM = 44, 74  # frames: before the face is there, and of its second half
LOUDNESS = {"one": 1000, "two": 4000}


def _film(path: Path, frames: np.ndarray, *sounds: np.ndarray, rate: int = RATE) -> Path:
    """A film without loss of (N, H, W, 3) uint8 BGR frames and 16 kHz sounds."""
    raw = path.with_suffix(".raw")
    inputs: list[str | Path] = []
    maps = ["-map", "0:v"]
    raw.write_bytes(frames.tobytes())
    for number, sound in enumerate(sounds):
        wav = path.with_suffix(f".{number}.wav")
        wavfile.write(wav, SAMPLE_RATE, sound)
        inputs += ["-i", wav]
        maps += ["-map", f"{number + 1}:a"]
    size = f"{frames.shape[2]}x{frames.shape[1]}"
    picture = ("-f", "rawvideo", "-pix_fmt", "bgr24", "-s", size, "-r", str(rate), "-i", raw)
    ffmpeg(*picture, *inputs, *maps, "-c:v", "ffv1", "-c:a", "pcm_s16le", path)
    return path


def _square(level: int, seconds: float) -> np.ndarray:
    """Sound whose every sample is as loud as the others."""
    signs = np.where(np.arange(round(seconds * SAMPLE_RATE)) % 2, 1, -1)
    return (level * signs).astype(np.int16)


def _pictures(*, new: bool) -> np.ndarray:
    """Grain on the mouth that swings by 10, or half of its contrast, which swings by 20.

    The eyes become 20 levels brighter, and are 30 above the mean of these levels on new pictures.
    Before the face is there, all of it leaps from black to white.
    """
    noise = np.random.default_rng(0).normal(120, 20, (*SIZE_PX[::-1], 3))
    grain = cv2.GaussianBlur(noise, (0, 0), 0.8)
    pictures = np.empty((FRAMES, *SIZE_PX[::-1], 3), np.float32)
    for index, picture in enumerate(pictures):
        picture[:] = grain / 2 + 60 if new else grain
        picture[MOUTH] += (20 if new else 10) * (index % 2)
        picture[EYES] = 140 if new else 120 if index >= BRIGHTER_FROM else 100
        if index < WILD_UNTIL:
            picture[:] = 255 * (index % 2)
    return np.clip(pictures, 0, 255).astype(np.uint8)


class Embedder:
    """Shows how bright the upper part of each crop is."""

    def __init__(self) -> None:
        self._rows: list[float] = []

    def add(self, crop: np.ndarray) -> None:
        """Takes a crop."""
        self._rows.append(float(crop[:60, 90:130].mean()))

    def finish(self) -> torch.Tensor:
        """(crops, 1)."""
        return self.features

    @property
    def features(self) -> torch.Tensor:
        """(crops, 1)."""
        return torch.tensor(self._rows)[:, None]


class Judge:
    """Tells by its confidence how much sound it heard, and by its offset how many lips it saw."""

    device = torch.device("cpu")
    model = SimpleNamespace(lip_embedder=lambda **_: Embedder())

    def score_lips(self, lips: torch.Tensor, sound: np.ndarray) -> Any:
        """Confidence 1 for a second of sound with a level of 1000."""
        heard = float(np.abs(sound.astype(float)).sum()) / SAMPLE_RATE / 1000
        return SimpleNamespace(confidence=heard, offset_frames=len(lips))


@dataclass
class Asked:
    """What was to be dubbed; the video that comes out was drawn by hand.

    Attributes:
        video: that comes out.
        speech: (n,) int16 of each run.
        records: of each run's workspace, and whether offsets lay there.
        fits: how each was to last.
    """

    video: Path
    speech: list[np.ndarray] = field(default_factory=list)
    records: list[tuple[Any, bool]] = field(default_factory=list)
    fits: list[str] = field(default_factory=list)

    def dub(self, workspace: Workspace, options: Any, **_: Any) -> Any:
        """In place of the stage."""
        rate, samples = wavfile.read(options.audio[None])
        assert rate == SAMPLE_RATE
        self.speech.append(samples)
        self.records.append((workspace.read_record(), workspace.offsets_json.is_file()))
        self.fits.append(options.fit)
        (workspace.folder("pywork") / "new").write_bytes(b"")
        textures = {str(track): {"texture": f"of {track}"} for track in options.tracks}
        return SimpleNamespace(video=self.video, textures=textures)


@dataclass(frozen=True)
class Evaluated:
    """Figures of two faces, and what was dubbed for them.

    Attributes:
        figures: of the evaluation.
        asked: of the stage.
        folder: where data and the sheet are.
        files: of the data before.
    """

    figures: dict[str, Any]
    asked: Asked
    folder: Path
    files: list[Path]

    def row(self, name: str) -> dict[str, Any]:
        """The figures of a face."""
        return dict(self.figures["dubbed"][name])


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evaluated]:
    """Two films, their faces from second 1 to 2.2, dubbed for one second."""
    folder = tmp_path_factory.mktemp("evaluated")
    (real, new), silence = (_pictures(new=new) for new in (False, True)), _square(0, 2.4)
    for name, level in LOUDNESS.items():
        other = 7000  # while the face is not there
        parts = _square(other, 1), _square(level, 1.2), _square(other, 0.2)
        film = _film(folder / f"{name}.mkv", real, silence, np.concatenate(parts))
        tracks = [still_track(BOX, START_FRAME, FACE_FRAMES)]
        if name == "two":
            tracks.insert(0, still_track(BOX, 0, 20))  # too short
        work = workspace_of(folder, film, *tracks, reference=name)
        write_json(work.record, (work.read_record() or {}) | {"sound": {"audio_stream": 1}})
        write_json(work.offsets_json, [])
    asked = Asked(_film(folder / "new.mkv", new))
    files = sorted((folder / "work").rglob("*"))
    judge, generator = Judge(), SimpleNamespace()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dubbed_mouths, "SPEECH_S", 1)
        patch.setattr(dubbed_mouths.stage, "dub", asked.dub)
        given: dict[str, Any] = {"checkpoint": "auto", "texture": "none", "seed": 1}
        figures = dubbed_mouths.evaluate(
            [folder / "work"],
            generator,  # type: ignore[arg-type]
            judge,  # type: ignore[arg-type]
            pictures=folder,
            **given,
        )
    yield Evaluated(figures, asked, folder, files)


def test_each_face_gets_the_speech_of_the_other(evaluated: Evaluated) -> None:
    """From where it is there on, for as long as is measured; by the track that was found."""
    assert set(evaluated.figures["dubbed"]) == {"one/0", "two/1"}
    for speech, level in zip(evaluated.asked.speech, (4000, 1000), strict=True):
        np.testing.assert_array_equal(speech, np.r_[_square(0, 1), _square(level, 1)])
    assert evaluated.asked.fits == ["audio"] * 2  # all of a long film would take hours
    assert [evaluated.row(name)["texture"] for name in ("one/0", "two/1")] == ["of 0", "of 1"]


def test_lips_are_judged_with_the_sound_that_is_theirs(evaluated: Evaluated) -> None:
    """The real ones with their own, of the second that is dubbed; 25 crops of it."""
    rows = [evaluated.row(name) for name in ("one/0", "two/1")]
    assert [row["real_lse_c"] for row in rows] == [1, 4]
    assert [row["lse_c"] for row in rows] == [4, 1]
    assert [row["offset"] for row in rows] == [25, 25]


def test_new_pictures_are_measured_by_the_real_ones(evaluated: Evaluated) -> None:
    """Half the contrast, in whole levels, and twice the swing; the face is as high as with pads."""
    row = evaluated.row("one/0")
    assert row["face_sharpness"] == pytest.approx(0.25, rel=0.15)
    assert row["flicker"] == pytest.approx(4, rel=0.02)
    assert row["face_px"] == 110
    # 12 crops of 100 and 13 of 120 levels; new ones of 140.
    assert row["identity"] == pytest.approx((140 - 110.4) / 20, abs=0.01)


def test_the_sheet_holds_both_and_the_key_tells_them_apart(evaluated: Evaluated) -> None:
    key = json.loads((evaluated.folder / "choices_key.json").read_text("utf-8"))
    sheet = cv2.imread(str(evaluated.folder / "choices.png"))
    assert sheet is not None and [row["clip"] for row in key] == ["one/0", "two/1"]
    for number, row in enumerate(key):
        # Faces of 100 by 110 px are 218 wide here; this is the left one of each pair.
        eyes = sheet[248 * number + 40, 100 :: 2 * 218 + 8].mean(axis=1)
        assert [left == "new" for left in row["left"]] == [level > 130 for level in eyes]


def test_data_folders_stay_as_they_are(evaluated: Evaluated) -> None:
    """What is dubbed is a copy, with the record and the offsets of the results."""
    assert sorted((evaluated.folder / "work").rglob("*")) == evaluated.files
    names = [(Path(record["file"]).stem, known) for record, known in evaluated.asked.records]
    assert names == [("one", True), ("two", True)]


@pytest.fixture
def late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Speaker:
    """A face from second 1 on, in a film whose frames are as bright as their index says."""
    monkeypatch.setattr(dubbed_mouths, "SPEECH_S", 1)
    frames = np.empty((FRAMES, *SIZE_PX[::-1], 3), np.uint8)
    frames[:] = 2 * np.arange(FRAMES)[:, None, None, None]
    film = _film(tmp_path / "film.mkv", frames, _square(100, 2.4))
    for name in ("one", "two"):
        workspace_of(tmp_path, film, still_track(BOX, START_FRAME, FACE_FRAMES), reference=name)
    return dubbed_mouths.speakers([tmp_path / "work"])[0]


def test_the_reference_is_from_half_of_the_time_away(late: Speaker) -> None:
    """In the order of the frames, over batches of any size, and around at the end."""

    def draw(faces: np.ndarray, sound: np.ndarray, *, reference: np.ndarray) -> np.ndarray:
        assert len(faces) == len(sound) == len(reference)
        return reference

    generator: Any = SimpleNamespace(draw=draw)
    distant = dubbed_mouths.Distant(late, generator)
    shown = [distant.draw(np.zeros((count, 96, 96, 3)), np.zeros(count)) for count in (20, 33, 7)]
    levels = np.concatenate(shown).mean(axis=(1, 2, 3))
    first = 49  # half a frame of grace before the face is there
    truth = 2 * (first + (np.arange(60) + 25) % 50)
    np.testing.assert_allclose(levels, truth, atol=1.5)


def test_own_sound_lasts_as_long_as_the_face_is_there(late: Speaker) -> None:
    """30 frames of a film of 60, at 25 per second."""
    assert len(late.samples()) == 1.2 * SAMPLE_RATE


def test_the_beginning_is_counted_in_frames_of_the_track(late: Speaker) -> None:
    """These are 25 per second, the film's are 50."""
    voice = Voice(Path("unread.wav"), 0.0, np.zeros((80, 40), np.float32), 0.1)
    part = dubbed_mouths.beginning(late, voice, seconds=0.4)
    assert part.spoken.tolist() == [True] * 10 + [False] * 20
    assert part.region(1.2) is not None and part.region(1.6) is None


def test_long_tracks_with_sound_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the frame rate of their results; an unfinished or silent video is passed over."""
    monkeypatch.setattr(dubbed_mouths, "SPEECH_S", 1)
    frames = np.zeros((25, *SIZE_PX[::-1], 3), np.uint8)
    film = _film(tmp_path / "film.mkv", frames, _square(100, 1), rate=25)
    silent = _film(tmp_path / "silent.mkv", frames, rate=25)
    for name, video, count, rate in (
        ("exact", film, 25, 25),
        ("fast", film, 30, 50),
        ("long", film, 50, 50),
        ("short", film, 24, 25),
        ("silent", silent, 25, 25),
    ):
        workspace_of(tmp_path, video, still_track(BOX, 0, count), reference=name, frame_rate=rate)
    (tmp_path / "work" / "pywork" / "unfinished").mkdir()
    found = dubbed_mouths.speakers([tmp_path / "work"])
    assert [speaker.name for speaker in found] == ["exact/0", "long/0"]


# A head that is redrawn with its own speech.

CANVAS_PX, CORNER_PX = (320, 300), (150, 140)  # the head is in a corner: across, down
REDRAWN_FRAMES, REDRAWN_START = 150, 50  # at 25 per second


class OpenMouth(nn.Module):
    """A generator whose mouth is wide open on every frame."""

    config = PUBLISHED

    def forward(self, mels: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
        """Draws (N, 3, 96, 96)."""
        drawn = faces[:, 3:].clone()
        drawn[:, :, 58:90, 30:66] = 0.1
        return drawn


@pytest.fixture(scope="module")
def redrawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Figures of one second of a face that comes after two, in a corner of the frame."""
    folder = tmp_path_factory.mktemp("redrawn")
    opened = texture_kit.openings(REDRAWN_FRAMES)
    frames = np.zeros((REDRAWN_FRAMES, *CANVAS_PX[::-1], 3), np.uint8)
    x, y = CORNER_PX
    for frame, opening in zip(frames, opened, strict=True):
        frame[y : y + SIZE_PX[1], x : x + SIZE_PX[0]] = texture_kit.head(opening)
    film = _film(folder / "film.mkv", frames, texture_kit.tone(opened), rate=25)
    box = tuple(np.add(texture_kit.BOX, [x, y, x, y]))
    face = still_track(box, REDRAWN_START, REDRAWN_FRAMES - REDRAWN_START)
    for name in ("one", "two"):
        workspace_of(folder, film, face, reference=name)
    network: Any = OpenMouth()
    judge: Any = Judge()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dubbed_mouths, "SPEECH_S", 1)
        levels = SimpleNamespace(model=texture_kit.Levels())
        patch.setattr(dubbed_mouths, "SyncScorer", lambda **_: levels)
        speaker = dubbed_mouths.speakers([folder / "work"])[0]
        generator = Generator(network, torch.device("cpu"), 16)
        return dubbed_mouths.redrawn(speaker, generator, judge, folder=folder)


def test_own_mouths_are_compared_with_the_real_ones_and_so_are_the_generators(
    redrawn: dict[str, Any],
) -> None:
    """A generator's mouth that never closes; own ones are heard to."""
    assert redrawn["generator_closed_missed"] == 1 and redrawn["generator_open_missed"] == 0
    assert redrawn["own_closed_missed"] < 0.6 and redrawn["own_opening"] > 0.5
    assert redrawn["own_psnr_db"] > redrawn["generator_psnr_db"] + 3
    assert 0 < redrawn["generator_ssim"] < redrawn["own_ssim"] < 1
