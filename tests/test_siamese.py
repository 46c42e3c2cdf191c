"""The siamese SyncNet: its network, its question, and `train_syncnet.py --preset siamese`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import run_syncnet
import train_syncnet
from models import syncnet, weights
from models.syncnet import PUBLISHED, SIAMESE, SMALL, PairSigmoid, SyncNet, SyncNetConfig
from pipeline.sync import offset as sync_offset
from tests.train_kit import CLOCKS, SHORT, TINY, assert_same, refusal, run_main
from training.batches import excerpts
from training.batches.excerpts import Draw
from training.data import samples
from training.data.samples import Clip
from training.drawn_tracks import write_tracks
from training.evaluate import judging
from training.loop import checkpoint as checkpoint_files
from training.loop import fit
from training.loop.journal import Journal, read_rows
from training.loop.task import Run
from training.objectives.contrastive import DistanceBCE
from training.tasks import syncnet as syncnet_task

NARROW = replace(  # trained in a moment
    SIAMESE,
    lip_size_px=56,
    lip_widths=(4, 4, 8, 8, 8, 16),
    audio_widths=(4, 4, 8, 8, 8, 16),
    embedding_size=16,
)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing them takes longer than the steps."""
    monkeypatch.setattr(Journal, "draw", lambda _: None)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data_dir of three drawn heads that speak for two seconds."""
    data_dir = tmp_path_factory.mktemp("drawn")
    write_tracks(data_dir, clips=3, seconds=2.0, seed=1)
    return data_dir


@pytest.fixture
def flags(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Of a run of the preset with a narrow network."""
    monkeypatch.setattr(syncnet_task, "SIAMESE", NARROW)
    return [
        *("--preset", "siamese", "--data", str(drawn), "--run", str(tmp_path / "run")),
        *("--cache", str(drawn / "cache"), "--drawn", "0", "--device", "cpu", "--log_every", "1"),
        *("--precision", "fp32"),
    ]


# The network.


def test_siamese_network_sees_grey_mouths_and_cepstra_of_five_frames() -> None:
    """112 pixels, not normalised; 13 by 20 of sound."""
    model = SyncNet(SIAMESE).eval()
    with torch.inference_mode():
        lips = model.forward_lip(torch.zeros(2, 1, 5, 112, 112))
        sound = model.forward_aud(torch.zeros(2, 1, 13, 20))
    assert lips.shape == sound.shape == (2, 256)
    crop = np.random.default_rng(1).integers(0, 255, (224, 224, 3), dtype=np.uint8)
    pixels = syncnet.lip_pixels(crop, SIAMESE)
    assert pixels.shape == (1, 112, 112)
    assert np.array_equal(syncnet.normalise_lips(pixels[None], SIAMESE)[0], pixels)


def test_probability_of_a_pair_falls_with_its_distance() -> None:
    """One half at the threshold; the slope says how fast."""
    model = SyncNet(NARROW)
    assert model.pair_sigmoid is not None
    with torch.no_grad():
        model.pair_sigmoid.threshold.fill_(5.0)
        model.pair_sigmoid.log_slope.fill_(np.log(2.0))
    lips, sound = torch.zeros(3, 4), torch.zeros(3, 4)
    sound[:, 1] = torch.tensor([4.0, 5.0, 6.5])
    assert model.pair_logits(lips, sound).tolist() == pytest.approx([2.0, 0.0, -3.0], abs=1e-5)


def test_only_a_network_trained_on_pairs_says_how_probable_one_is() -> None:
    """Others have no such weights, and refuse."""
    model = SyncNet(TINY)
    assert not any(name.startswith("pair") for name in model.state_dict())
    with pytest.raises(ValueError, match="distances only"):
        model.pair_logits(torch.zeros(1, 4), torch.zeros(1, 4))
    assert model.with_pair_sigmoid(True).config == replace(TINY, pair_sigmoid=True)
    own = model.pair_sigmoid
    assert own is not None and model.with_pair_sigmoid(True).pair_sigmoid is own
    assert model.with_pair_sigmoid(False).config == TINY and model.pair_sigmoid is None


@pytest.mark.parametrize("config", [SIAMESE, NARROW, TINY])
def test_threshold_starts_where_the_distances_of_a_new_network_are(config: SyncNetConfig) -> None:
    """So that both answers are open at first, and the loss is near that of a guess."""
    torch.manual_seed(2)
    model = SyncNet(config)
    shape = (16, 1, config.window_frames, config.lip_size_px, config.lip_size_px)
    with torch.no_grad():
        lips = model.forward_lip(255 * torch.rand(shape))
        sound = model.forward_aud(10 * torch.randn(16, 1, 13, config.window_columns))
    distance = float((lips - sound).norm(dim=1).mean())
    assert config.typical_distance == pytest.approx(distance, rel=0.2)
    threshold = SyncNet(replace(config, pair_sigmoid=True)).pair_sigmoid
    assert threshold is not None
    assert threshold.threshold.item() == pytest.approx(config.typical_distance)


def test_longer_embeddings_are_as_probable_with_a_rescaled_sigmoid() -> None:
    """Calibration makes them longer."""
    sigmoid, distance = PairSigmoid(3.0), torch.tensor([1.0, 3.0, 7.0])
    before = sigmoid(distance)
    sigmoid.rescale(2.5)
    assert torch.allclose(sigmoid(2.5 * distance), before, atol=1e-5)


def test_networks_are_alike_by_their_towers() -> None:
    """Whatever they have learned, and however long their embeddings have become."""
    learned = replace(SMALL, embedding_scale=33.0, reliable_margin=2.0, dropout=0.5)
    assert learned.has_towers_of(SMALL) and not SMALL.has_towers_of(SIAMESE)
    assert not replace(SMALL, embedding_scale=0.0).has_towers_of(SMALL)
    assert replace(SIAMESE, pair_sigmoid=False).has_towers_of(SIAMESE)


def test_rule_of_thumb_of_published_weights_is_not_that_of_a_siamese_network() -> None:
    """Its embeddings are as free, but nobody knows what a confidence of 3 means for them."""
    dists = np.random.default_rng(5).normal(10, 1, (120, 31)).astype(np.float32)
    dists[:, 12] -= 9
    assert PUBLISHED.is_calibrated and sync_offset.judge(dists, **PUBLISHED.rule).reliable
    assert not SIAMESE.is_calibrated and not sync_offset.judge(dists, **SIAMESE.rule).reliable
    sync = sync_offset.judge(dists, **SIAMESE.rule)
    assert not judging._stands_out(sync, 125, SIAMESE)
    assert judging._stands_out(sync, 125, SMALL)


# Its question.


@pytest.mark.parametrize("windows", [1, 5])
def test_an_excerpt_gives_as_many_windows_as_are_asked_for(windows: int) -> None:
    """At random, in sync; of a short excerpt where the network has no context of its own."""
    size = samples.margin_config(SIAMESE).lip_size_px
    frames = 40
    brightness = np.arange(frames, dtype=np.uint8)[:, None, None, None] * 5
    pictures = np.broadcast_to(brightness, (frames, 1, size, size))
    clip = Clip("a/b/0", pictures, np.full(frames * 640, 2000, np.int16))
    assert excerpts.excerpt_frames(SIAMESE, windows) == 25
    assert excerpts.excerpt_frames(SIAMESE) == 96 and excerpts.window_count(SIAMESE) == 30
    draw = Draw(seed=3, excerpts=12, windows=windows)
    batch = excerpts.draw_batch([clip], SIAMESE, draw, step=0)
    assert batch.lips.shape == (12, windows, 1, 5, 112, 112)
    assert batch.sound.shape == (12, windows, 1, 13, 20)
    light = batch.lips.mean(dim=(2, 3, 4, 5))
    assert len(set(light[:, 0].round().tolist())) > 6
    steps = light.diff(dim=1)
    assert bool((steps > 0).all())  # in their order
    # From anywhere in the excerpt, so some are two frames apart.
    assert windows == 1 or bool((steps[:, 1:] / steps[:, :-1] > 1.5).any())


def test_many_windows_take_a_longer_excerpt() -> None:
    """As long as two halves with half of them each; a network's own context stays."""
    for windows in (6, 7, 20, 31):
        assert excerpts.window_count(SIAMESE, windows) >= windows
    assert excerpts.excerpt_frames(SIAMESE, 20) == 2 * (5 + 3 * 9)
    assert excerpts.excerpt_frames(SHORT, 2) == SHORT.context_frames


@pytest.mark.parametrize("negatives", ["cross", "both"])
def test_the_only_window_of_an_excerpt_gets_sound_of_another(negatives: Any) -> None:
    sound = torch.arange(5.0).view(5, 1, 1)
    for seed in range(20):
        wrong = DistanceBCE(negatives=negatives).wrong_sound(
            sound, torch.Generator().manual_seed(seed)
        )
        assert wrong.shape == sound.shape and bool((wrong != sound).all())


# The preset.


def _state(run: Path) -> dict[str, Any]:
    state = checkpoint_files.load_checkpoint(run / "checkpoint.pt")
    assert state is not None
    return state


def _rows(run: Path) -> list[dict[str, Any]]:
    clocks = (*CLOCKS, "excerpts_per_s")
    rows = read_rows(run / "train.jsonl")
    return [{name: value for name, value in row.items() if name not in clocks} for row in rows]


def test_preset_goes_on_as_if_it_had_never_been_stopped(
    flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights, slope and threshold, optimiser and log, to the bit; the options are in the log."""
    flags += ["--steps", "7", "--save_every", "2"]
    original = fit.train_step

    def stopped(run: Run, *rest: Any, **options: Any) -> dict[str, float]:
        if run.step == 5:
            raise KeyboardInterrupt
        return original(run, *rest, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(fit, "train_step", stopped)
        train_syncnet.main(flags)
    assert train_syncnet.main(flags) == 0
    assert train_syncnet.main([*flags, "--run", str(tmp_path / "whole")]) == 0
    state = _state(tmp_path / "run")
    assert_same(_state(tmp_path / "whole"), state)
    assert _rows(tmp_path / "whole") == _rows(tmp_path / "run")
    start = _rows(tmp_path / "run")[0]["options"]
    assert start["preset"] == "siamese" and start["lr"] == 1e-4 and start["windows"] == 1
    assert start["objective"] == "bce" and start["weight_decay"] == 0 and start["refine_at"] == []
    assert state["average"]["pair_sigmoid.threshold"] != NARROW.typical_distance


def test_exported_siamese_network_scores_as_any_other(
    flags: list[str], drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Configuration, slope and threshold are in the file; run_syncnet.py takes it as it is."""
    file = tmp_path / "siamese.safetensors"
    code, output, error = run_main(
        train_syncnet.main, [*flags, "--steps", "2", "--export", str(file)], capsys
    )
    assert code == 0 and "preset siamese" in output, error
    model, _ = weights.load_syncnet(file, device=CPU)
    assert model.config == NARROW
    assert model.pair_logits(torch.ones(3, 16), torch.ones(3, 16)).shape == (3,)
    crop = drawn / "pycrop" / "drawn000" / "00000.avi"
    where = ["--videofile", str(crop), "--initial_model", str(file), "--device", "cpu"]
    code, output, error = run_main(run_syncnet.main, where, capsys)
    assert code == 0 and "AV offset:" in output and "Confidence:" in output, error
    code, output, _ = run_main(
        run_syncnet.main,
        [*where[:2], "--initial_model", str(tmp_path / "run/checkpoint.pt")],
        capsys,
    )
    assert code == 0 and "AV offset:" in output


def test_weights_of_another_network_are_refused_beside_network(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--network says what is trained; --init alone is its own network."""
    weights.write_own(SyncNet(SHORT), tmp_path / "small.safetensors", config=SHORT)
    init = ["--init", str(tmp_path / "small.safetensors"), "--steps", "1"]
    error = refusal(train_syncnet.main, [*flags, *init], capsys)
    assert "is no network of --network siamese" in error and "leave --network out" in error
    plain = replace(NARROW, pair_sigmoid=False)
    weights.write_own(SyncNet(plain), tmp_path / "small.safetensors", config=plain)
    assert train_syncnet.main([*flags, *init]) == 0


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--negatives", "same"], "--windows is at least 1, and 2"),
        (["--windows", "0"], "--windows is at least 1"),
        (["--network", "small", "--windows", "29"], "--windows must be at most 28"),
        (["--refusal", "0.3"], "--refusal belongs to --objective multiway"),
        (["--refusal", "-1"], "--refusal must not be negative"),
        (["--objective", "multiway", "--refusal", "1", "--excerpts", "1"], "two for each"),
    ],
)
def test_flags_that_make_no_pairs_are_refused(
    flags: list[str], more: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sentence in refusal(train_syncnet.main, [*flags, *more], capsys)


@pytest.mark.slow
def test_preset_learns_the_drawn_example_in_200_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole network: below a guess's loss, more pairs right than wrong, killed in between."""
    data = tmp_path / "drawn"
    write_tracks(data, clips=4, seconds=4.0, seed=1)
    flags = ["--preset", "siamese", "--data", str(data), "--run", str(tmp_path / "run")]
    flags += ["--drawn", "0", "--device", "cpu", "--log_every", "1", "--precision", "fp32"]
    assert train_syncnet.main([*flags, "--steps", "200", "--workers", "2"]) == 0
    rows = [row for row in read_rows(tmp_path / "run" / "train.jsonl") if "loss" in row]
    losses, accuracies = ([row[name] for row in rows] for name in ("loss", "accuracy"))
    assert len(rows) == 200
    assert np.mean(losses[-50:]) < np.log(2) < np.mean(losses[:50])
    assert np.mean(accuracies[-50:]) > 0.56
