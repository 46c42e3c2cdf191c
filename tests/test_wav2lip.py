"""Wav2Lip's three networks, what feeds them, and folded copies: published shapes and numbers."""

import tarfile
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models import syncnet, wav2lip, weights
from models.features import WINDOW_COLUMNS, WINDOW_FRAMES
from models.folding import Network, fold_batch_norms
from models.syncnet import SyncNet, SyncNetConfig
from models.wav2lip import SyncNetColor, Wav2Lip, Wav2LipConfig, Wav2LipDiscriminator

NARROW = Wav2LipConfig(width=0.125)
NARROW_SYNCNET = SyncNetConfig(
    lip_size_px=48, lip_widths=(8,) * 6, audio_widths=(8,) * 6, lip_strides=(2, 1, 1)
)
FORMATS = pytest.mark.parametrize(
    "memory", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"]
)


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _trained(model: Network) -> Network:
    """Weights that pass on what they see, batch norms where nothing is 0 or 1 by luck."""
    torch.manual_seed(0)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            for values in (layer.weight, layer.running_var):
                assert values is not None
                values.data.uniform_(0.5, 1.5)
            for values in (layer.bias, layer.running_mean):
                assert values is not None
                values.data.normal_(0, 0.2)
    return model.eval().requires_grad_(False)


# Shapes.


def test_the_generator_has_the_published_shape() -> None:
    """Counts and keys of contracts.md sections 10 and 17."""
    state = Wav2Lip().state_dict()
    assert _parameters(Wav2Lip()) == 36_298_035 and len(state) == 352
    shapes = {
        "face_encoder_blocks.0.0.conv_block.0.weight": (16, 6, 7, 7),
        "face_encoder_blocks.6.1.conv_block.1.running_var": (512,),
        "audio_encoder.3.conv_block.0.weight": (64, 32, 3, 3),
        "audio_encoder.12.conv_block.0.weight": (512, 512, 1, 1),
        "face_decoder_blocks.1.0.conv_block.0.weight": (1024, 512, 3, 3),
        "face_decoder_blocks.3.0.conv_block.0.weight": (768, 384, 3, 3),
        "face_decoder_blocks.6.0.conv_block.0.weight": (160, 64, 3, 3),
        "face_decoder_blocks.6.2.conv_block.1.num_batches_tracked": (),
        "output_block.0.conv_block.0.weight": (32, 80, 3, 3),
        "output_block.1.bias": (3,),
    }
    assert {key: tuple(state[key].shape) for key in shapes} == shapes


def test_the_expert_has_the_published_shape() -> None:
    """Counts, keys, and embeddings of length 1 without negative parts: a cosine is in 0..1."""
    model = SyncNetColor().eval()
    state = model.state_dict()
    assert _parameters(model) == 16_435_072 and len(state) == 217
    assert state["face_encoder.0.conv_block.0.weight"].shape == (32, 15, 7, 7)
    assert state["face_encoder.1.conv_block.0.weight"].shape == (64, 32, 5, 5)
    assert state["face_encoder.16.conv_block.0.weight"].shape == (512, 512, 1, 1)
    assert state["audio_encoder.13.conv_block.1.bias"].shape == (512,)
    torch.manual_seed(0)
    mels = torch.randn(3, 1, 80, 16)
    with torch.inference_mode():
        sound, mouths = model(mels, torch.rand(3, 15, 48, 96))
        torch.testing.assert_close(model(mels, torch.rand(3, 15, 48, 96))[0], sound)
    for embedding in (sound, mouths):
        assert embedding.shape == (3, 512) and embedding.min() >= 0
        torch.testing.assert_close(embedding.norm(dim=1), torch.ones(3))


def test_the_discriminator_has_the_published_shape() -> None:
    """Counts and keys; one probability a face, frames of one time together."""
    model = Wav2LipDiscriminator().eval()
    state = model.state_dict()
    assert _parameters(model) == 14_113_793 and len(state) == 28
    assert state["face_encoder_blocks.0.0.conv_block.0.weight"].shape == (32, 3, 7, 7)
    assert state["face_encoder_blocks.1.1.conv_block.0.weight"].shape == (64, 64, 5, 5)
    assert state["face_encoder_blocks.6.1.conv_block.0.weight"].shape == (512, 512, 1, 1)
    assert state["binary_pred.0.weight"].shape == (1, 512, 1, 1)
    faces = torch.rand(2, 3, 2, 96, 96)
    with torch.inference_mode():
        probability = model(faces)
        assert probability.shape == (4, 1) and probability.min() > 0 and probability.max() < 1
        torch.testing.assert_close(probability[2:], model(faces[:, :, 1]))


def test_the_discriminator_gets_the_mouth_half_only() -> None:
    """What the generator copies is not judged."""
    torch.manual_seed(2)
    model = _trained(Wav2LipDiscriminator(NARROW))
    faces = torch.rand(1, 3, 96, 96)
    above, below = faces.clone(), faces.clone()
    above[:, :, 47], below[:, :, 48] = 1, 1
    with torch.inference_mode():
        assert torch.equal(model(above), model(faces)) and not torch.equal(
            model(below), model(faces)
        )


@pytest.mark.parametrize(("network", "count"), [(Wav2Lip, 28), (SyncNetColor, 17)])
def test_residual_blocks_add_their_input(network: type[nn.Module], count: int) -> None:
    """So many blocks pass on what they get, less 1 where their convolution says so, then ReLU."""
    blocks = [block for block in network(NARROW).modules() if isinstance(block, wav2lip.NormBlock)]
    passing = 0
    for block in blocks:
        conv = block.conv_block[0]
        assert isinstance(conv, nn.Conv2d | nn.ConvTranspose2d)
        nn.init.zeros_(conv.weight)
        assert conv.bias is not None
        nn.init.constant_(conv.bias, -1)
        x = torch.randn(1, conv.in_channels, 4, 4)
        y = block.eval()(x)
        passing += y.shape == x.shape and torch.allclose(y, (x - 1).relu(), atol=1e-4)
    assert passing == count


@pytest.mark.parametrize("width", [0.01, 0.125, 0.3, 0.5])
def test_narrow_networks_work_alike(width: float) -> None:
    """Any width gives faces, embeddings and judgements, from the configuration in a file."""
    config = Wav2LipConfig.from_json(Wav2LipConfig(width).to_json())
    assert config == Wav2LipConfig(width)
    top = config.channels(512)
    assert top % 8 == 0 and top == pytest.approx(512 * width, abs=8)
    mels, faces = torch.zeros(2, 1, 80, 16), torch.rand(2, 6, 96, 96)
    with torch.inference_mode():
        generator = Wav2Lip(config).eval()
        assert generator(mels, faces).shape == (2, 3, 96, 96)
        sound, mouths = SyncNetColor(config).eval()(mels, torch.rand(2, 15, 48, 96))
        assert sound.shape == mouths.shape == (2, top)
        assert Wav2LipDiscriminator(config).eval()(faces[:, :3]).shape == (2, 1)
    for key, value in generator.state_dict().items():
        if key.endswith("conv_block.1.weight"):
            assert len(value) in {config.channels(c) for c in (16, 32, 64, 128, 256, 384, 512)}


def test_a_wrong_configuration_is_refused() -> None:
    """No network without channels, and none from another network's configuration."""
    for width in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="width must be positive"):
            Wav2LipConfig(width=width)
    with pytest.raises(TypeError):
        Wav2LipConfig.from_json(syncnet.SMALL.to_json())


def test_a_configuration_comes_back_whole() -> None:
    """From the text inside a weights file: whether it hears voices alone, too."""
    for config in (Wav2LipConfig(0.5, separate_voice=True), Wav2LipConfig(), Wav2LipConfig(0.25)):
        assert Wav2LipConfig.from_json(config.to_json()) == config


def test_the_discriminator_lets_a_hundredth_of_what_is_below_nought_pass() -> None:
    """The slope of the published one, without a norm."""
    block = wav2lip.LeakyBlock(nn.Conv2d(1, 1, 1))
    conv = block.conv_block[0]
    assert isinstance(conv, nn.Conv2d) and conv.bias is not None
    nn.init.ones_(conv.weight)
    nn.init.zeros_(conv.bias)
    with torch.inference_mode():
        passed = block(torch.tensor([-100.0, -1.0, 0.0, 7.0])[None, None, None])
    torch.testing.assert_close(passed.flatten(), torch.tensor([-1.0, -0.01, 0.0, 7.0]))


def test_faces_in_time_are_faces_one_by_one() -> None:
    """The 5-D form draws every face from its own sound."""
    model = _trained(Wav2Lip(NARROW)).double()
    mels, faces = torch.randn(2, 3, 1, 80, 16).double(), torch.rand(2, 6, 3, 96, 96).double()
    with torch.inference_mode():
        generated = model(mels, faces)
        assert generated.shape == (2, 3, 3, 96, 96)
        for item in range(2):
            for time in range(3):
                alone = model(mels[item, time][None], faces[item, :, time][None])[0]
                torch.testing.assert_close(generated[item, :, time], alone, atol=1e-9, rtol=0)
        unheard = model(mels[1, :1], faces[:1, :, 0])[0]
        assert (generated[0, :, 0] - unheard).abs().max() > 0.01


def test_all_three_networks_train() -> None:
    """Every weight of the generator learns from expert and discriminator, and theirs from it."""
    generator, expert, judge = (
        _trained(network(NARROW)).train().requires_grad_()
        for network in (Wav2Lip, SyncNetColor, Wav2LipDiscriminator)
    )
    mels, faces = torch.randn(2, 5, 1, 80, 16), torch.rand(2, 6, 5, 96, 96)
    generated = generator(mels, faces)
    sound, mouths = expert(mels[:, 0], wav2lip.expert_faces(generated.transpose(1, 2)))
    (
        F.cosine_similarity(sound, mouths).sum() + judge(generated).sum() + generated.mean()
    ).backward()
    for network in (generator, expert, judge):
        for key, value in network.named_parameters():
            assert value.grad is not None and value.grad.isfinite().all(), key


def test_a_published_checkpoint_loads(tmp_path: Path) -> None:
    """As upstream saves it: in a dict, with data-parallel training's prefix."""
    model = _trained(Wav2Lip(NARROW))
    state = {f"module.{key}": value for key, value in model.state_dict().items()}
    content = {"state_dict": state, "optimizer": None, "global_step": 3, "global_epoch": 0}
    torch.save(content, tmp_path / "wav2lip.pth")
    again = Wav2Lip(NARROW).eval()
    weights.fill(again, tmp_path / "wav2lip.pth")
    mels, faces = torch.randn(1, 1, 80, 16), torch.rand(1, 6, 96, 96)
    with torch.inference_mode():
        assert torch.equal(again(mels, faces), model(mels, faces))


# What feeds the networks.


def test_the_generator_does_not_get_the_mouth() -> None:
    """Rows from 48 on are hidden in the face and whole in the reference; blue stays first."""
    faces = np.random.default_rng(0).integers(1, 256, (2, 96, 96, 3), np.uint8)
    original = faces.copy()
    inputs = wav2lip.generator_input(faces)
    assert inputs.shape == (2, 6, 96, 96) and inputs.dtype == torch.float32
    assert (inputs[:, :3, 48:] == 0).all()
    np.testing.assert_array_equal(faces, original)
    np.testing.assert_allclose(inputs[1, 0, :48], faces[1, :48, :, 0] / 255, rtol=1e-6)
    np.testing.assert_allclose(inputs[1, 5], faces[1, :, :, 2] / 255, rtol=1e-6)
    other = wav2lip.generator_input(torch.from_numpy(faces), faces[::-1].copy())
    assert torch.equal(other[:, :3], inputs[:, :3])
    assert torch.equal(other[:, 3:], inputs[:, 3:].flip(0))


def test_the_expert_gets_five_mouths_frame_by_frame() -> None:
    """Channel 3 t + c is colour c of frame t; gradients reach the faces."""
    faces = torch.zeros(2, 5, 3, 96, 96)
    for time in range(5):
        for colour in range(3):
            faces[1, time, colour, 48:] = 3 * time + colour
    faces[1, :, :, 47] = 99
    inputs = wav2lip.expert_faces(faces.requires_grad_())
    assert inputs.shape == (2, 15, 48, 96)
    for channel in range(15):
        assert (inputs[1, channel] == channel).all()
    inputs.sum().backward()
    assert faces.grad is not None
    assert (faces.grad[..., 48:, :] == 1).all() and (faces.grad[..., :48, :] == 0).all()


def test_drawn_faces_become_pictures() -> None:
    """Cut off, not rounded; every uint8 face survives the way there and back."""
    generated = torch.zeros(1, 3, 96, 96)
    generated[0, 0], generated[0, 1], generated[0, 2] = 1.0, 0.999, 0.5
    assert wav2lip.to_uint8(generated)[0, 0, 0].tolist() == [255, 254, 127]
    faces = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), np.uint8)
    again = wav2lip.to_uint8(wav2lip.face_tensor(faces))
    assert again.dtype == np.uint8 and np.abs(again.astype(int) - faces).max() <= 1


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((1, 96, 96, 3)),
        np.zeros((1, 3, 96, 96), np.uint8),
        np.zeros((1, 224, 224, 3), np.uint8),
    ],
    ids=["float", "channels first", "crop"],
)
def test_other_pictures_are_refused(wrong: np.ndarray) -> None:
    """What would be drawn as noise, or not at all."""
    with pytest.raises(ValueError, match="faces must be uint8"):
        wav2lip.generator_input(wrong)


# Parity with the original programs.


@pytest.fixture(scope="module")
def generators(shared: Path, rule: ModuleType) -> dict[str, Wav2Lip]:
    """The generator under the plain rule and with statistics that keep it off saturation."""
    plain, calibrated = Wav2Lip().eval(), Wav2Lip().eval()
    rule.fill(plain, "wav2lip")
    rule.fill(calibrated, "wav2lip", str(shared / "parity" / "wav2lip_overlay.npz"))
    return {"out_rule": plain, "out_overlay": calibrated}


@FORMATS
@pytest.mark.parametrize("expected", ["out_rule", "out_overlay"])
def test_generator_parity(
    shared: Path, generators: dict[str, Wav2Lip], expected: str, memory: torch.memory_format
) -> None:
    """The original's faces as it computes them, and as pictures but for values on a threshold."""
    truth = np.load(shared / "parity" / "wav2lip_gen.npz")
    model = generators[expected].to(memory_format=memory)  # type: ignore[call-overload]
    mels = torch.from_numpy(truth["mel_in"])
    faces = wav2lip.generator_input(truth["faces_u8"]).contiguous(memory_format=memory)
    with torch.inference_mode():
        generated = model(mels, faces)
        np.testing.assert_allclose(generated, truth[expected], atol=1e-3)
        if expected == "out_rule":
            return
        sound = model.audio_encoder(mels)
        in_time = model(mels.unflatten(0, (2, 2)), faces.unflatten(0, (2, 2)).transpose(1, 2))
    np.testing.assert_allclose(sound, truth["audio_emb_overlay"], atol=1e-3)
    np.testing.assert_allclose(in_time[0, :, 0], truth["out_overlay_5d_frame0"], atol=1e-3)
    difference = np.abs(wav2lip.to_uint8(generated).astype(int) - truth["out_u8"])
    assert difference.max() <= 1 and (difference > 0).mean() < 0.005


@FORMATS
def test_expert_parity(shared: Path, rule: ModuleType, memory: torch.memory_format) -> None:
    """The original's embeddings and cosines."""
    truth = np.load(shared / "parity" / "synccolor.npz")
    model = SyncNetColor().eval()
    rule.fill(model, "synccolor", str(shared / "parity" / "synccolor_overlay.npz"))
    model = model.to(memory_format=memory)  # type: ignore[call-overload]
    faces = torch.from_numpy(truth["face_in"]).contiguous(memory_format=memory)
    with torch.inference_mode():
        sound, mouths = model(torch.from_numpy(truth["mel_in"]), faces)
    np.testing.assert_allclose(sound, truth["audio_emb"], atol=1e-4)
    np.testing.assert_allclose(mouths, truth["face_emb"], atol=1e-4)
    np.testing.assert_allclose(F.cosine_similarity(sound, mouths), truth["cos"], atol=1e-4)


# Folding.


def _norms(model: nn.Module) -> int:
    return sum(isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) for layer in model.modules())


def test_a_folded_syncnet_computes_the_same() -> None:
    """Stacked 3-D convolutions, 2-D ones and linear layers; the model itself stays as it was."""
    model = _trained(SyncNet(NARROW_SYNCNET)).double()
    before_state = {key: value.clone() for key, value in model.state_dict().items()}
    fast = fold_batch_norms(model)
    assert _norms(fast) == 0 and _norms(model) == 14
    assert all(torch.equal(value, before_state[key]) for key, value in model.state_dict().items())
    lips, columns = torch.randn(3, 3, 5, 48, 48).double(), torch.randn(3, 1, 13, 20).double()
    with torch.inference_mode():
        for slow, quick in (
            (model.forward_lip(lips), fast.forward_lip(lips)),
            (model.forward_aud(columns), fast.forward_aud(columns)),
        ):
            assert slow.std() > 0.1
            torch.testing.assert_close(quick, slow, atol=1e-9, rtol=0)


@FORMATS
def test_a_folded_generator_computes_the_same(memory: torch.memory_format) -> None:
    """Transposed convolutions too, and the memory format of the weights stays."""
    model = _trained(Wav2Lip(NARROW)).double().to(memory_format=memory)  # type: ignore[call-overload]
    fast = fold_batch_norms(model)
    assert _norms(fast) == 0 and _norms(model) == 50
    assert fast.face_decoder_blocks[2][0].conv_block[0].weight.is_contiguous(memory_format=memory)
    mels, faces = torch.randn(2, 1, 80, 16).double(), torch.rand(2, 6, 96, 96).double()
    with torch.inference_mode():
        torch.testing.assert_close(fast(mels, faces), model(mels, faces), atol=1e-9, rtol=0)


def test_folding_makes_a_copy_for_inference() -> None:
    """Running statistics count, also when the model is still training; it goes on training."""
    model = _trained(Wav2Lip(NARROW)).train().requires_grad_()
    fast = fold_batch_norms(model)
    assert model.training and not fast.training
    assert not any(parameter.requires_grad for parameter in fast.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_norms_without_a_layer_before_them_stay() -> None:
    """Only what the norm directly follows may carry it."""
    odd = _trained(nn.Sequential(nn.Conv2d(2, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)))
    fast, x = fold_batch_norms(odd), torch.randn(2, 2, 3, 3)
    assert _norms(fast) == 1
    torch.testing.assert_close(fast(x), odd(x))


def test_the_fast_published_syncnet_is_the_published_one(shared: Path, rule: ModuleType) -> None:
    """One set of weights: embeddings of the demo clip move by less than 7e-5 of their length."""
    model = SyncNet().eval()
    rule.fill(model, "syncnet", str(shared / "parity" / "syncnet_overlay.npz"))
    fast = fold_batch_norms(model)
    with tarfile.open(shared / "parity" / "example_jpegs.tar") as archive:
        names = sorted(name for name in archive.getnames() if name.endswith(".jpg"))[:12]
        files = [archive.extractfile(name) for name in names]
        coded = [np.frombuffer(file.read(), np.uint8) for file in files if file is not None]
    crops = [cv2.imdecode(picture, cv2.IMREAD_COLOR) for picture in coded]
    pixels = [syncnet.lip_pixels(crop, syncnet.PUBLISHED) for crop in crops if crop is not None]
    frames = torch.from_numpy(np.stack(pixels).astype(np.float32))
    lips = frames.unfold(0, WINDOW_FRAMES, 1).permute(0, 1, 4, 2, 3)
    mfcc = torch.from_numpy(np.load(shared / "parity" / "syncnet_example.npz")["mfcc"])
    columns = mfcc.unfold(0, WINDOW_COLUMNS, WINDOW_COLUMNS)[:, None]
    with torch.inference_mode():
        for slow, quick in (
            (model.forward_lip(lips), fast.forward_lip(lips)),
            (model.forward_aud(columns), fast.forward_aud(columns)),
        ):
            assert ((quick - slow).norm(dim=1) / slow.norm(dim=1)).max() <= 7e-5
