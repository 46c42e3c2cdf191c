"""Presets of train_wav2lip.py that are the papers': what their losses weigh, and how they train."""

import pytest

import train_wav2lip
from models.wav2lip import Wav2LipConfig
from training.presets.preset import expanded
from training.presets.wav2lip import PRESETS
from training.tasks.wav2lip_options import TrainOptions


def _options(name: str) -> TrainOptions:
    words = expanded(["--preset", name, "--data", "d", "--run", "r"], PRESETS)
    return TrainOptions(**vars(train_wav2lip.build_parser().parse_args(words)))


@pytest.mark.parametrize("name", ["wav2lip", "wav2lip_gan", "lipgan_style", "speech2vid"])
def test_generators_learn_as_the_papers_do(name: str) -> None:
    """Adam at 1e-4 without decay, 16 at a time, full width, L1 alone on pixels."""
    options = _options(name)
    assert (options.lr, options.warmup, options.weight_decay) == (1e-4, 0, 0)
    assert (options.batch_size, options.width) == (16, 1)
    assert options.mouth_weight == options.structure_weight == options.detail_weight == 0
    assert options.taught_weight == 0


@pytest.mark.parametrize(
    ("name", "stage", "expert", "sync_weight", "sync_from"),
    [
        ("wav2lip", "generator", "auto", 0.03, 0.75),
        ("wav2lip_gan", "gan", "auto", 0.03, 0.75),
        ("lipgan_style", "generator", None, 0, None),
        ("speech2vid", "speech2vid", None, 0.03, None),
    ],
)
def test_the_expert_weighs_what_it_weighs_in_the_papers(
    name: str, stage: str, expert: str | None, sync_weight: float, sync_from: float | None
) -> None:
    options = _options(name)
    assert (options.stage, options.sync_weight) == (stage, sync_weight)
    assert expert is None or str(options.expert) == expert
    assert sync_from is None or options.sync_from == sync_from


def test_who_teaches_and_who_judges_pictures() -> None:
    """Only the five frames from cepstra have a teacher; the discriminator weighs 0.07."""
    assert _options("speech2vid").teacher == "auto" and _options("speech2vid").sync_at == 0
    assert {_options(name).teacher for name in PRESETS if name != "speech2vid"} == {"none"}
    assert _options("wav2lip_gan").adversarial_weight == 0.07


def test_the_published_expert_is_asked_pairs_a_second_apart() -> None:
    """60 at a time, taught by nobody."""
    options = _options("cosine_expert")
    assert (options.stage, options.shift_s, options.taught_steps) == ("expert", 1, 0)
    assert (options.lr, options.batch_size, options.width) == (1e-4, 60, 1)
    assert (options.warmup, options.weight_decay) == (0, 0)


def test_narrow_networks_have_the_next_multiple_of_eight_channels() -> None:
    """Above or below, and never none."""
    widths = {0.01: (8, 8), 0.3: (16, 152), 0.4: (24, 208), 0.5: (32, 256), 1.0: (64, 512)}
    for width, channels in widths.items():
        config = Wav2LipConfig(width)
        assert (config.channels(64), config.channels(512)) == channels
