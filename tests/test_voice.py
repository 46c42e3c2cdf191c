"""Voices without what plays behind them: the separation, the cache, and who hears which."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import wavfile

import train_wav2lip
from models import features, voice, weights
from models.wav2lip import SyncNetColor, Wav2LipConfig
from pipeline.dubbing.driving_audio import read_voice
from pipeline.errors import InputError
from tests.train_kit import refusal, run_main, write_noise
from training import evaluate_expert, evaluate_mouths
from training.batches.expert_excerpts import expert_batch
from training.data import face_data, samples
from training.data.faces import VIEW, FaceClip, track_box
from training.data.samples import Clip
from training.drawn_tracks import babble
from training.loop.journal import Journal
from training.tasks import wav2lip as wav2lip_task

WHOLE, SEPARATED = Wav2LipConfig(0.02), Wav2LipConfig(0.02, separate_voice=True)
RATE = 16_000


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No curves, and few windows of other people."""
    monkeypatch.setattr(Journal, "draw", lambda _: None)
    monkeypatch.setattr(wav2lip_task, "UNSEEN_BATCHES", 1)
    monkeypatch.setattr(wav2lip_task, "UNSEEN_WINDOWS", 2)


def _loop(seconds: int) -> np.ndarray:
    """Two chords and four clicks a second, over and over: float64."""
    rng, half = np.random.default_rng(4), np.arange(RATE // 2) / RATE
    chords = [
        sum(np.sin(2 * np.pi * pitch * hz * half) for hz in (110, 220, 277, 330, 440))
        for pitch in (1.0, 1.06)
    ]
    second = np.concatenate(chords)
    for start in range(0, RATE, RATE // 4):
        second[start : start + 800] += 6 * rng.standard_normal(800) * np.exp(-np.arange(800) / 150)
    return np.tile(second, seconds)


def _snr_db(signal: np.ndarray, heard: np.ndarray) -> float:
    """Of a signal in a sound, whatever its level there."""
    signal, heard = signal.astype(np.float64), heard.astype(np.float64)
    own = (signal @ heard) / (signal @ signal) * signal
    return float(10 * np.log10((own @ own) / ((heard - own) @ (heard - own))))


def _mix(seconds: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """A voice, and it as loud as the music behind it: (n,) int16 both."""
    speech = babble(np.random.default_rng(2), seconds=seconds)[: seconds * RATE]
    music = _loop(seconds)
    level = np.sqrt(np.square(speech, dtype=np.float64).mean() / np.square(music).mean())
    together = 0.4 * speech + 0.4 * level * music
    return speech, together.clip(-32768, 32767).astype(np.int16)


def test_a_voice_is_taken_out_of_music_that_repeats() -> None:
    """From as loud as the music to twice its level and more; alone it stays what it is."""
    speech, mix = _mix()
    assert abs(_snr_db(speech, mix)) < 1
    separated = voice.separate_voice(mix)
    assert separated.dtype == np.int16 and separated.shape == mix.shape
    assert _snr_db(speech, separated) > 4
    assert _snr_db(speech, voice.separate_voice(speech)) > 5


def test_what_becomes_too_loud_is_cut_off_and_not_turned_over() -> None:
    """What is taken away may have held a peak down: at half the level it shows by how much."""
    quiet = (babble(np.random.default_rng(2), seconds=2) * 40.0).clip(-16383, 16383)
    expected = 2.0 * voice.separate_voice(quiet.astype(np.int16))
    assert np.abs(expected).max() > 34_000
    loud = voice.separate_voice(2 * quiet.astype(np.int16))
    np.testing.assert_allclose(loud, expected.clip(-32768, 32767), atol=2)


def test_a_voice_is_taken_out_of_clicks() -> None:
    """What comes of a sudden over all pitches goes, too, not what sounds on alone."""
    speech = babble(np.random.default_rng(2), seconds=3)[: 3 * RATE]
    clicks = np.zeros(3 * RATE)
    clicks[:: RATE // 8] = np.sqrt(np.square(speech, dtype=np.float64).mean() * RATE / 8)
    mix = (0.2 * (speech + clicks)).clip(-32768, 32767).astype(np.int16)
    before = _snr_db(speech, mix)
    assert _snr_db(speech, voice.separate_voice(mix)) > before + 6


def test_the_voice_stays_in_its_place_and_music_alone_nearly_vanishes() -> None:
    """A shift of one sample would be a lag; each half of the filters takes its part."""
    speech, mix = _mix(3)
    separated = voice.separate_voice(mix).astype(np.float64)
    lags = range(-4, 5)
    alike = [float(np.roll(separated, lag) @ speech) for lag in lags]
    assert lags[int(np.argmax(alike))] == 0
    for part in (np.sin(2 * np.pi * 330 * np.arange(3 * RATE) / RATE), _loop(3)):
        music = (3000 * part / part.std()).clip(-32768, 32767).astype(np.int16)
        left = voice.separate_voice(music)
        assert np.square(left, dtype=float).mean() < 0.25 * np.square(music, dtype=float).mean()


@pytest.mark.parametrize("length", [0, 1, 300, 5000])
def test_short_sounds_and_silence_keep_their_length(length: int) -> None:
    sound = np.random.default_rng(1).integers(-900, 900, length, dtype=np.int16)
    assert voice.separate_voice(sound).shape == (length,)
    assert not voice.separate_voice(np.zeros(length, np.int16)).any()


def test_long_sounds_are_separated_in_blocks_without_a_seam(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As at once."""
    _, mix = _mix(6)
    whole = voice.separate_voice(mix).astype(float)
    monkeypatch.setattr(voice, "BLOCK_SAMPLES", 32 * voice.STEP)
    blocks = voice.separate_voice(mix).astype(float)
    assert np.abs(blocks - whole).max() <= 2  # of 65,536 steps


# Who hears what.


def _face(sound: np.ndarray, *, heard: np.ndarray | None = None) -> FaceClip:
    frames = len(sound) // 640
    pictures = np.zeros((frames, 3, VIEW.lip_size_px, VIEW.lip_size_px), np.uint8)
    return FaceClip(Clip("a/b/0", pictures, sound), track_box(0.8), voice=heard)


def test_networks_hear_the_voice_and_the_clip_keeps_its_sound() -> None:
    """Generators frame by frame, experts excerpt by excerpt."""
    _, mix = _mix(4)
    separated = voice.separate_voice(mix)
    plain, alone = _face(mix), _face(mix, heard=separated)
    assert np.array_equal(alone.mel, features.mel(separated)) and alone.clip.samples is mix
    assert np.array_equal(plain.mel, features.mel(mix))
    batches = [
        expert_batch([face], seed=1, step=0, size=12, augmented=False)
        for face in (plain, alone, _face(separated))
    ]
    assert not torch.equal(batches[0].mels, batches[1].mels)
    assert torch.equal(batches[1].mels, batches[2].mels)


def test_voices_are_separated_once_and_found_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By their sound; one that does not fit is made again."""
    calls = []
    original = voice.separate_voice

    def counted(sound: np.ndarray) -> np.ndarray:
        calls.append(len(sound))
        return original(sound)

    monkeypatch.setattr(voice, "separate_voice", counted)
    faces = [_face(_mix(2)[1]), _face(_mix(3)[1])]
    for _ in range(2):
        separated = face_data.with_voices(faces, cache=tmp_path)
    assert calls == [2 * RATE, 3 * RATE]
    assert [face.voice is not None and len(face.voice) for face in separated] == calls
    assert all(
        np.array_equal(f.voice, original(f.clip.samples)) for f in separated if f.voice is not None
    )
    face_data.with_voices(faces, cache=tmp_path / "small", cache_gb=0)
    face_data.with_voices(faces, cache=tmp_path / "small", cache_gb=0)
    assert len(calls) == 6


def test_the_driving_audio_of_such_a_generator_is_separated_too(tmp_path: Path) -> None:
    _, mix = _mix(2)
    wavfile.write(tmp_path / "mix.wav", RATE, mix)
    wavfile.write(tmp_path / "voice.wav", RATE, voice.separate_voice(mix))
    heard = read_voice(tmp_path / "mix.wav", silence_gate=False, separate_voice=True)
    expected = read_voice(tmp_path / "voice.wav", silence_gate=False)
    assert np.array_equal(heard.mel, expected.mel)
    assert not np.array_equal(heard.mel, read_voice(tmp_path / "mix.wav", silence_gate=False).mel)


def test_configuration_says_what_is_heard() -> None:
    """Files from before the flag hear whole sound."""
    assert Wav2LipConfig.from_json(SEPARATED.to_json()) == SEPARATED
    assert Wav2LipConfig.from_json('{"width": 0.02}') == WHOLE


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data_dir with six clips of noise, a person each."""
    data_dir = tmp_path_factory.mktemp("tracks")
    write_noise(data_dir, clips=6, frames=75, seed=7)
    return data_dir


Flags = Callable[..., list[str]]


@pytest.fixture
def flags(tracks: Path, tmp_path: Path) -> Flags:
    """Of a run of one step."""

    def words(stage: str, *more: str, run: str = "run") -> list[str]:
        return [
            *("--stage", stage, "--data", str(tracks), "--run", str(tmp_path / run)),
            *("--cache", str(tracks / "cache"), "--width", "0.02", "--teacher", "none"),
            *("--steps", "1", "--batch_size", "12", "--device", "cpu", "--precision", "fp32"),
            *("--log_every", "1", "--eval_every", "1"),
            *more,
        ]

    return words


@pytest.mark.parametrize("separated", [True, False])
def test_generator_and_expert_must_hear_the_same(
    separated: bool, flags: Flags, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused before anything is decoded, either way round; what is exported says what it hears."""
    config = SEPARATED if separated else WHOLE
    expert = tmp_path / "expert.safetensors"
    weights.write_own(SyncNetColor(config), expert, config=config)
    switch = {True: ["--separate_voice"], False: []}
    words = flags("generator", "--expert", str(expert), "--batch_size", "1")
    error = refusal(train_wav2lip.main, [*words, *switch[not separated]], capsys)
    told = "give --separate_voice, too" if separated else "leave --separate_voice out"
    assert told in error and str(expert) in error
    file = tmp_path / "generator.safetensors"
    assert train_wav2lip.main([*words, *switch[separated], "--export", str(file)]) == 0
    assert weights.load_wav2lip(file, device=torch.device("cpu"))[0].config == config


def test_expert_of_separated_voices_is_trained_evaluated_and_resumed(
    flags: Flags, tracks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of five is kept back, the same when it goes on; a checkpoint is judged as a file is."""
    words = flags("expert", "--separate_voice", "--val_share", "0.2")
    code, output, error = run_main(train_wav2lip.main, words, capsys)
    assert code == 0 and "1 of 6 people are kept back to report on" in output, error
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    state = torch.load(checkpoint, weights_only=True)
    (person,) = state["val_people"]
    write_noise(tracks.parent / "more", clips=1, frames=75, seed=9)
    file = tmp_path / "expert.safetensors"
    code, _, error = run_main(
        train_wav2lip.main, [*words, "--steps", "2", "--export", str(file)], capsys
    )
    assert code == 0, error
    assert torch.load(checkpoint, weights_only=True)["val_people"] == [person]
    card = json.loads(file.with_suffix(".json").read_text("utf-8"))
    assert card["data"]["people_kept_back"] == [person] and card["data"]["tracks"] == 5
    assert card["options"]["separate_voice"] is True and card["unseen_people"]["accuracy"] >= 0
    tables = []
    for expert in (checkpoint, file):
        words = ["--data", str(tracks), "--expert", str(expert), "--device", "cpu"]
        words += ["--cache", str(tracks / "cache")]
        code, output, error = run_main(evaluate_expert.main, words, capsys)
        assert code == 0, error
        tables.append(json.loads(output.splitlines()[-1]))
    assert [0 <= table["other_times"]["accuracy"] <= 1 for table in tables] == [True, True]
    assert tables[0]["expert"] == "checkpoint.pt" and tables[1]["expert"] == file.name


@pytest.mark.parametrize("config", [WHOLE, SEPARATED])
def test_expert_is_evaluated_on_the_sound_it_was_trained_on(
    config: Wav2LipConfig, tracks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file says which."""
    heard: list[bool] = []

    def evaluate(_: object, faces: list[FaceClip], **__: object) -> dict[str, object]:
        heard.extend(face.voice is not None for face in faces)
        return {"clips": {}}

    monkeypatch.setattr(evaluate_expert, "evaluate", evaluate)
    file = tmp_path / "expert.safetensors"
    weights.write_own(SyncNetColor(config), file, config=config)
    words = ["--data", str(tracks), "--expert", str(file), "--device", "cpu"]
    assert evaluate_expert.main([*words, "--cache", str(tracks / "cache")]) == 0
    assert heard == [config.separate_voice] * 6


@pytest.mark.parametrize("config", [WHOLE, SEPARATED])
def test_generator_is_evaluated_on_the_sound_it_was_trained_on(
    config: Wav2LipConfig, tracks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for the mouths of a generator."""
    heard: list[bool] = []

    def drawn(face: FaceClip, *_: object, **__: object) -> None:
        heard.append(face.voice is not None)

    monkeypatch.setattr(evaluate_mouths, "with_own_sound", drawn)
    generator: Any = SimpleNamespace(model=SimpleNamespace(config=config))
    files = samples.clip_files([tracks])
    with pytest.raises(InputError, match="No clip has"):
        evaluate_mouths.evaluate(
            files, generator, generator, cache=tracks / "cache", pictures=None, seed=1
        )
    assert heard == [config.separate_voice] * 6


def test_generator_of_whole_sound_goes_on_from_a_checkpoint_of_before_the_flag(
    flags: Flags, tmp_path: Path
) -> None:
    """An older checkpoint does not say what it hears."""
    words = flags("generator", "--batch_size", "1")
    assert train_wav2lip.main(words) == 0
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    state = torch.load(checkpoint, weights_only=True)
    state["config"] = '{"width": 0.02}'
    for name in ("separate_voice", "shift_s", "val_share", "preset"):
        del state["options"][name]
    torch.save(state, checkpoint)
    assert train_wav2lip.main([*words, "--steps", "2"]) == 0
