"""The zero of a network: what it reads of recordings in sync, taken off all it says."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models import features, weights
from models.syncnet import SyncNet, SyncNetConfig
from models.syncnet_config import PUBLISHED, SMALL
from pipeline.errors import InputError
from pipeline.sync import embeddings
from pipeline.sync.scorer import SyncScorer
from tests.train_kit import TINY
from training.data.samples import Clip
from training.evaluate import judging
from training.evaluate.judging import Lag

BLOCK = features.COLUMNS_AT_ONCE * features.COLUMN_STEP  # samples


def _noise(samples: int) -> np.ndarray:
    return np.random.default_rng(samples).integers(-9000, 9000, samples, dtype=np.int16)


@pytest.mark.parametrize("samples", [1, 2, 500, 4000, BLOCK + 300])
@pytest.mark.parametrize("delay", [333, 160, 1, 0, -1, -480])
def test_delayed_sound_is_heard_so_much_later_in_as_many_columns(samples: int, delay: int) -> None:
    """To the bit, over blocks; what is missing at an end is its mirror image."""
    signal = _noise(samples)
    if delay >= 0:
        moved = np.pad(signal, (delay, 0), mode="reflect")[:samples]
    else:
        moved = np.pad(signal, (0, -delay), mode="reflect")[-delay:]
    heard = features.mfcc(signal, delay_samples=delay)
    np.testing.assert_array_equal(heard, features.mfcc(moved), strict=True)


def test_network_hears_its_sound_delayed_by_its_zero() -> None:
    """20.81 ms are 333 samples; then as always."""
    signal = _noise(40_000)
    later = np.pad(signal, (333, 0), mode="reflect")[:40_000]
    for config in (SMALL, PUBLISHED):
        heard = embeddings.sound_columns(signal, replace(config, zero_ms=20.81))
        np.testing.assert_array_equal(heard, embeddings.sound_columns(later, config))


@pytest.mark.parametrize("zero_ms", [40.0, -80.0])
def test_what_a_network_says_is_less_by_its_zero(zero_ms: float, face_clip: Path) -> None:
    """In frames and in milliseconds, to what thirty frames can tell."""
    plain = SyncScorer(device="cpu")
    network, file = weights.load_syncnet("auto", device=torch.device("cpu"))
    network.config = replace(network.config, zero_ms=network.config.zero_ms + zero_ms)
    moved = SyncScorer(
        device="cpu", model=embeddings.SyncNetModel(network, file, device=torch.device("cpu"))
    )
    before, after = (scorer.score(face_clip).sync for scorer in (plain, moved))
    assert before is not None and after is not None
    assert after.offset_frames == before.offset_frames - zero_ms / 40
    assert after.offset_ms == pytest.approx(before.offset_ms - zero_ms, abs=4)


def test_zero_is_of_the_weights_and_not_of_the_network() -> None:
    """It travels inside their configuration; older weights and published ones have none."""
    config = replace(SMALL, zero_ms=20.8)
    assert SyncNetConfig.from_json(config.to_json()) == config
    earlier = json.loads(SMALL.to_json())
    del earlier["zero_ms"]
    assert SyncNetConfig.from_json(json.dumps(earlier)).zero_ms == 0
    assert PUBLISHED.zero_ms == PUBLISHED.zero_samples == 0 and config.zero_samples == 333
    assert config.has_towers_of(SMALL) and replace(PUBLISHED, zero_ms=5.0).is_calibrated


def _clips(people: str) -> list[Clip]:
    """A clip for each letter, of the person of that name."""
    sound = np.zeros(1, np.int16)
    return [
        Clip(f"studio/{number:02d}/0", np.zeros((1, 1)), sound, person=person)
        for number, person in enumerate(people)
    ]


@pytest.fixture
def lags(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Sets the zero of a network that reads given lags of the clips of given people."""

    def set_zero(people: str, *read_ms: float | None, model: SyncNet | None = None) -> Any:
        clips = _clips(people)
        by_name = dict(zip([clip.name for clip in clips], read_ms, strict=True))

        def own_offset(model: SyncNet, clip: Clip, *, device: torch.device) -> Lag | None:
            assert model.config.zero_ms == 0 and device.type == "cpu"
            read = by_name[clip.name]
            return None if read is None else Lag(read)

        monkeypatch.setattr(judging, "own_offset", own_offset)
        return judging.set_zero(model or SyncNet(TINY), clips, device=torch.device("cpu"))

    return set_zero


def test_zero_is_the_median_person_in_sync(lags: Callable[..., dict[str, Any]]) -> None:
    """Of as much weight each, however many their clips; unclear ones do not count."""
    model = SyncNet(replace(TINY, zero_ms=-30.0))
    zero = lags("aaaabc", 10.0, 10.0, 12.0, 14.0, 31.04, 33.0, model=model)
    assert zero["zero_ms"] == 31.0 == model.config.zero_ms
    assert (zero["clips"], zero["people"]) == (6, 3)
    assert zero["half_of_them_ms"] == [-20.5, -4.2]
    zero = lags("abcdefg", -5.0, None, -6.0, -7.0, -8.0, -9.0, None)
    assert (zero["zero_ms"], zero["clips"], zero["people"]) == (-7.0, 5, 5)


def test_zero_takes_clips_that_are_clear_and_in_sync(lags: Callable[..., dict[str, Any]]) -> None:
    """Five of them, and within two frames of where the network is."""
    with pytest.raises(InputError, match="Of 6 clips in sync 4 have a clear offset"):
        lags("abcdef", 1.0, 2.0, None, 3.0, 4.0, None)
    with pytest.raises(InputError, match=r"read \+81 ms; give others"):
        lags("abcde", *[81.0] * 5)
    with pytest.raises(InputError, match=r"read -81 ms; give others"):
        lags("abcde", *[-81.0] * 5)
    assert lags("abcde", *[80.0] * 5)["zero_ms"] == 80
