"""Computation in blocks: the results of one block, in the memory of one block."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from models.features import MEL_WINDOW_COLUMNS
from models.syncnet import SMALL, SyncNet
from pipeline.dubbing import driving_audio
from pipeline.faces import medians
from pipeline.media import clock, decode
from pipeline.sync import embeddings
from pipeline.sync import offset as sync_offset


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_medians(dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    values: np.ndarray = (np.random.default_rng(0).normal(0, 100, 60)).astype(dtype)
    at_once = medians.running_median(values, 9, edges="edge")
    monkeypatch.setattr(medians, "AT_ONCE", 7)
    np.testing.assert_array_equal(medians.running_median(values, 9, edges="edge"), at_once)
    assert at_once.dtype == (np.float64 if dtype == np.int16 else dtype)


def test_medians_need_little_memory() -> None:
    values = np.zeros(300_000)
    tracemalloc.start()
    try:
        medians.running_median(values, 13, edges="edge")
        assert tracemalloc.get_traced_memory()[1] < 3 * values.nbytes
    finally:
        tracemalloc.stop()


def test_mean_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    dists, with_sound = rng.random((100, 11), np.float32), rng.random(100) > 0.3
    at_once = [sync_offset.valid_mean(dists), sync_offset.valid_mean(dists, with_sound)]
    monkeypatch.setattr(sync_offset, "ROWS_AT_ONCE", 9)
    blocks = [sync_offset.valid_mean(dists), sync_offset.valid_mean(dists, with_sound)]
    np.testing.assert_allclose(blocks, at_once, rtol=1e-12)


@pytest.mark.parametrize("rows", [3, 8, 30, 1000])
def test_distances(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks shorter than the search, too; beyond both ends the sound is zero."""
    monkeypatch.setattr(embeddings, "ROWS_AT_ONCE", rows)
    lips, sound = torch.randn(2, 31, 6, generator=torch.manual_seed(0))
    result = embeddings.distances(lips, sound, vshift=9)
    wide = torch.cat([torch.zeros(9, 6), sound, torch.zeros(9, 6)])
    expected = [[(lips[i] + 1e-6 - wide[i + j]).norm() for j in range(19)] for i in range(31)]
    np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_embeddings_of_sound(cpu: torch.device) -> None:
    """Batches are put where they belong, the last and shorter one too."""
    model = SyncNet(SMALL).eval().requires_grad_(False)
    samples = np.random.default_rng(0).integers(-3000, 3000, 16_000 * 2).astype(np.int16)
    at_once, batches = (
        embeddings.embed_sound(model, samples, batch_size=size, device=cpu) for size in (1000, 7)
    )
    assert len(at_once) == 45
    torch.testing.assert_close(batches, at_once, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("channel", [None, 1])
@pytest.mark.parametrize("samples", [0, 5, 21, 30])
def test_sound_read_in_blocks(
    samples: int, channel: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = np.random.default_rng(0).integers(-30_000, 30_000, (samples, 2)).astype("<i2")
    both.tofile(tmp_path / "sound.s16")
    monkeypatch.setattr(clock, "BLOCK_SAMPLES", 7)
    sound = clock.Sound(tmp_path / "sound.s16", 16_000, 2, samples, (), channel)
    expected = np.rint(both.mean(axis=1)) if channel is None else both[:, channel]
    np.testing.assert_array_equal(sound.mono(), expected)
    assert sound.mono().dtype == np.int16


@pytest.mark.parametrize("silence_gate", [True, False])
def test_mel_of_a_voice_is_not_copied(silence_gate: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mel is computed into the array that has the silence around it."""
    samples = np.tile(np.r_[np.zeros(8000), np.full(8000, 9000)], 100).astype(np.int16)
    monkeypatch.setattr(decode, "probe", lambda path, **_: None)
    monkeypatch.setattr(decode, "read_audio", lambda path, **_: samples)
    monkeypatch.setattr("models.features.MEL_COLUMNS_AT_ONCE", 40)
    tracemalloc.start()
    try:
        mel = driving_audio.read_voice(Path("voice.wav"), silence_gate=silence_gate).mel
        assert tracemalloc.get_traced_memory()[1] < 1.5 * mel.nbytes
    finally:
        tracemalloc.stop()
    assert mel.shape == (80, 1 + len(samples) // 200 + 2 * MEL_WINDOW_COLUMNS)
    edges = np.r_[mel[:, :MEL_WINDOW_COLUMNS], mel[:, -MEL_WINDOW_COLUMNS:]]
    assert (edges == -4).all() and (mel > -4).any()
