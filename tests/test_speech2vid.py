"""Speech2Vid: what it hears, how it draws, its weights files, and run_wav2lip.py with them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models import features, folding, speech2vid, weights
from models.errors import WeightsError
from models.features import FRAME_RATE, MFCC_RATE, SAMPLE_RATE
from models.speech2vid import Speech2Vid, Speech2VidConfig
from models.wav2lip import Wav2Lip, Wav2LipConfig, generator_input
from pipeline.dubbing import driving_audio
from pipeline.dubbing.driving_audio import read_voice
from pipeline.dubbing.generate import Generator
from tests.dub_kit import LEFT, make_film, make_wav, run_dub, still_track, workspace_of

NARROW = Speech2VidConfig(0.03)


@pytest.fixture(scope="module")
def model() -> Speech2Vid:
    """One of random weights, whose batch norms have seen something."""
    torch.manual_seed(6)
    model = Speech2Vid(NARROW).train()
    with torch.no_grad():
        model(torch.randn(4, 1, 12, 20), torch.rand(4, 5, 6, 96, 96))
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def file(model: Speech2Vid, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its weights file."""
    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    weights.write_own(model, path, config=NARROW)
    return path


def _noise(seconds: float, *, level: float = 3000) -> np.ndarray:
    rng = np.random.default_rng(4)
    return (rng.normal(0, level, round(seconds * SAMPLE_RATE))).astype(np.int16)


# What it hears.


def test_cepstra_are_the_mfcc_without_the_energy() -> None:
    """Twelve rows, in units of ten; how loud it is changes nothing, and silence is zero."""
    quiet = _noise(1, level=1000)
    columns = speech2vid.cepstra(features.mfcc(quiet))
    assert columns.shape == (12, 99) and columns.dtype == np.float32
    np.testing.assert_allclose(columns, features.mfcc(quiet)[:, 1:].T / 10, rtol=1e-6)
    louder = speech2vid.cepstra(features.mfcc(quiet * 8))
    np.testing.assert_allclose(louder, columns, atol=0.02)
    assert np.abs(features.mfcc(quiet * 8) - features.mfcc(quiet))[:, 0].min() > 3
    silence = speech2vid.cepstra(features.mfcc(np.zeros(SAMPLE_RATE, np.int16)))
    assert np.abs(silence).max() < 1e-6


def _numbered(columns: int) -> np.ndarray:
    """Column c holds c + 1 in every row."""
    return np.tile(np.arange(1, columns + 1, dtype=np.float32), (12, 1))


@pytest.mark.parametrize("rate", [25, 30, 50])
def test_windows_begin_with_their_frames_at_any_rate(rate: int) -> None:
    """Twenty columns of ten milliseconds, from the frame's own time on; silence beyond the ends."""
    times_s = np.arange(60) / rate
    cut = speech2vid.windows(_numbered(400), times_s)
    assert cut.shape == (60, 1, 12, 20) and cut.dtype == np.float32
    first = np.floor(times_s * MFCC_RATE + 1e-6) + 1
    np.testing.assert_array_equal(cut[:, 0, 5], first[:, None] + np.arange(20))


def test_windows_beyond_the_sound_are_silent() -> None:
    """From 0.1 s before a sound of 0.3 s to long after it."""
    columns = [speech2vid.windows(_numbered(30), np.array([t]))[0, 0, 0] for t in (-0.1, 0.2, 9)]
    np.testing.assert_array_equal(columns[0], [0] * 10 + list(range(1, 11)))
    np.testing.assert_array_equal(columns[1], [*range(21, 31), *[0] * 10])
    assert not columns[2].any()


def test_single_frames_are_the_middle_of_their_windows() -> None:
    """Two frames of 40 ms before them, and two after."""
    times_s = np.array([0.5, 1.02])
    np.testing.assert_array_equal(
        speech2vid.windows_around(_numbered(400), times_s),
        speech2vid.windows(_numbered(400), times_s - 2 / FRAME_RATE),
    )


def test_voice_with_cepstra_is_heard_by_the_outputs_clock(tmp_path: Path) -> None:
    """Late by its delay; pauses are silence; mel features stay what they were."""
    beep = make_wav(tmp_path / "beep.wav", 1.0, seconds=2)
    voice = read_voice(beep, delay_s=0.4, with_cepstra=True)
    plain = read_voice(beep, delay_s=0.4)
    times_s = np.arange(0, 3, 0.04)
    np.testing.assert_array_equal(plain.windows(times_s), voice.mel_windows(times_s))
    heard = voice.windows(times_s)
    assert heard.shape == (75, 1, 12, 20)
    loud = np.abs(heard[:, 0]).max(axis=(1, 2)) > 0
    # A beep of 0.2 s, 0.12 s that are kept on both sides, and 0.2 s of a window.
    begin_s, end_s = times_s[loud].min(), times_s[loud].max()
    assert begin_s == pytest.approx(1.4 - 0.12 - 0.12, abs=0.06)
    assert end_s == pytest.approx(1.6 + 0.12 + 0.08, abs=0.06)
    ungated = read_voice(beep, delay_s=0.4, with_cepstra=True, silence_gate=False)
    at = np.array([1.5])
    np.testing.assert_array_equal(ungated.windows(at), voice.windows(at))


def test_gate_of_cepstra_is_that_of_the_mel_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A column is silent where the mel column at its own middle is."""
    spoken = np.zeros(161, bool)
    spoken[80:] = True
    monkeypatch.setattr(driving_audio, "speech", lambda _: spoken)
    wav = make_wav(tmp_path / "hum.wav", *np.arange(0, 2, 0.2), seconds=2)
    voice = read_voice(wav, with_cepstra=True)
    assert voice.cepstra is not None
    silent = np.abs(voice.cepstra).max(axis=0) == 0
    # The middle of column 98 is sample 15880, of mel column 79; that of 99 is in column 80.
    assert silent[:99].all() and not silent[99:195].any()


# How it draws.


def test_a_face_that_holds_still_is_the_middle_of_its_window(model: Speech2Vid) -> None:
    sound, faces = torch.randn(3, 1, 12, 20), torch.rand(3, 6, 96, 96)
    five = model(sound, faces[:, None].repeat(1, 5, 1, 1, 1))
    assert five.shape == (3, 5, 3, 96, 96) and 0 <= float(five.min()) <= float(five.max()) <= 1
    assert torch.equal(model(sound, faces), five[:, 2])


def test_what_is_drawn_hangs_on_every_frame_and_on_the_sound(model: Speech2Vid) -> None:
    """Another frame of the five, another look or another sound is another picture."""
    sound, faces = torch.randn(1, 1, 12, 20), torch.rand(1, 5, 6, 96, 96)
    drawn = model(sound, faces)
    for frame in range(5):
        for channels in (slice(0, 3), slice(3, 6)):
            changed = faces.clone()
            changed[:, frame, channels] = 0
            assert not torch.allclose(model(sound, changed), drawn, atol=1e-4)
    assert not torch.equal(model(-sound, faces), drawn)


def test_generator_draws_with_either_network(model: Speech2Vid, cpu: torch.device) -> None:
    """In batches; cepstra for the one, mel features for the other."""
    rng = np.random.default_rng(2)
    faces = rng.integers(0, 255, (5, 96, 96, 3), dtype=np.uint8)
    sound = rng.normal(0, 1, (5, 1, 12, 20)).astype(np.float32)
    generator = Generator(folding.fold_batch_norms(model), cpu, batch_size=2)
    assert generator.hears_cepstra
    assert not Generator(Wav2Lip(Wav2LipConfig(0.02)), cpu, 2).hears_cepstra
    expected = model(torch.from_numpy(sound), generator_input(faces)) * 255
    drawn = generator.draw(faces, sound).transpose(0, 3, 1, 2)
    assert np.abs(drawn - expected.numpy()).max() < 1.01


# Its weights files.


def test_the_configuration_in_a_file_says_which_network_it_is(
    model: Speech2Vid, file: Path, tmp_path: Path, cpu: torch.device
) -> None:
    """One loader for both; a file of another network is refused."""
    loaded, weights_file = weights.load_wav2lip(file, device=cpu)
    assert isinstance(loaded, Speech2Vid) and loaded.config == NARROW
    assert weights_file.file == "mine.safetensors"
    for key, value in loaded.state_dict().items():
        assert torch.equal(value, model.state_dict()[key])
    other = tmp_path / "wav2lip.safetensors"
    weights.write_own(Wav2Lip(Wav2LipConfig(0.02)), other, config=Wav2LipConfig(0.02))
    assert isinstance(weights.load_wav2lip(other, device=cpu)[0], Wav2Lip)
    strange: Any = Speech2VidConfig(0.03, network="speech3vid")
    weights.write_own(model, other, config=strange)
    with pytest.raises(WeightsError, match="was made for another network or version"):
        weights.load_wav2lip(other, device=cpu)


def test_run_wav2lip_takes_its_weights(file: Path, tmp_path: Path) -> None:
    """Both with and without own pixels' planning; the mouth follows what is heard."""
    film = make_film(tmp_path / "film.mkv", sound=(0.5, 1.5))
    work = workspace_of(tmp_path, film, still_track(LEFT))
    done = run_dub(work, checkpoint=file)
    assert done.frames == 75 and done.regenerated == {0: 75}
    heard: list[np.ndarray] = []
    original = Generator.draw

    def draw(self: Generator, faces: np.ndarray, sound: np.ndarray, **more: Any) -> np.ndarray:
        heard.append(sound)
        return original(self, faces, sound, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Generator, "draw", draw)
        run_dub(work, checkpoint=file, texture="own")
    sound = np.concatenate(heard)
    assert sound.shape == (75, 1, 12, 20)
    loud = np.flatnonzero(np.abs(sound).max(axis=(1, 2, 3)))
    assert 6 <= loud[0] <= 12 and not np.isin(np.arange(24, 30), loud).any()
