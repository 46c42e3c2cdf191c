"""Networks, sound features and weight files: published shapes, published numbers, safe reading."""

import dataclasses
import json
import os
import pickle
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import python_speech_features
import safetensors.torch
import torch
from scipy.io import wavfile
from torch import nn

from models import features, published, s3fd, syncnet, weights
from models.files import sha256
from models.s3fd import S3FD
from models.syncnet import SyncNet
from models.weights import WeightsError
from pipeline.media import decode
from pipeline.sync import embeddings
from pipeline.sync import offset as sync_offset
from tests.score_kit import stream_of


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


# Shapes.


def test_syncnet_has_the_published_shape(cpu: torch.device) -> None:
    """Parameter and key counts, inputs and outputs of contracts.md section 17."""
    model = SyncNet().eval()
    assert _parameters(model) == 13_631_616 and len(model.state_dict()) == 102
    with torch.inference_mode():
        assert model.forward_aud(torch.zeros(2, 1, 13, 20)).shape == (2, 1024)
        lips = torch.zeros(1, 3, 5, 224, 224)
        assert model.forward_lip(lips).shape == (1, 1024)
        assert model.forward_lipfeat(lips).shape == (1, 512)
    state = model.state_dict()
    assert state["netcnnlip.0.weight"].shape == (96, 3, 5, 7, 7)
    assert state["netcnnaud.0.weight"].shape == (64, 1, 3, 3)
    assert {key.split(".")[0] for key in state} == {
        "netcnnaud",
        "netfcaud",
        "netcnnlip",
        "netfclip",
    }


def test_s3fd_has_the_published_shape() -> None:
    """22,459,110 parameters under 65 names."""
    model = S3FD()
    state = model.state_dict()
    assert _parameters(model) == 22_459_110 and len(state) == 65
    assert state["vgg.0.weight"].shape == (64, 3, 3, 3)
    assert {"L2Norm3_3.weight", "extras.3.bias", "loc.5.weight", "conf.0.weight"} <= set(state)


CONFIGS = pytest.mark.parametrize(
    "config", [s3fd.SMALL, s3fd.PUBLISHED], ids=["small", "published"]
)


@CONFIGS
@pytest.mark.parametrize("size", [(90, 160), (61, 83)], ids=str)
def test_s3fd_takes_any_size(config: s3fd.S3FDConfig, size: tuple[int, int]) -> None:
    """As many anchors as predictions, also where sizes do not divide."""
    with torch.inference_mode():
        regressions, logits, anchors = S3FD(config).eval()(torch.zeros(1, 3, *size))
    assert regressions.shape == (1, len(anchors), 4) and logits.shape == (1, len(anchors), 2)


@CONFIGS
@pytest.mark.parametrize("size", [(2, 2), (40, 400), (48, 48), (2, 300)], ids=str)
def test_pictures_too_small_for_a_face_have_none(
    config: s3fd.S3FDConfig, size: tuple[int, int], cpu: torch.device
) -> None:
    """A tiny video ends with a list per frame, not in the network."""
    detector = stream_of(S3FD(config).eval(), facedet_scale=0.25)
    for _ in range(3):
        detector.feed(np.zeros((*size, 3), np.uint8))
    assert len(detector.faces()) == 3


def test_batches_do_not_mix_frames(face_clip: Path, cpu: torch.device) -> None:
    """Each frame's faces are its own, however many frames the network sees at once."""
    model, _ = weights.load_s3fd("small", device=cpu)
    frames = [frame.copy() for frame in decode.read_frames(face_clip)][:6]
    frames[2] = np.zeros_like(frames[2])
    together = stream_of(model, facedet_scale=0.25)
    for frame in frames:
        together.feed(frame)
    batched = together.faces()
    assert [len(faces) for faces in batched] == [1, 1, 0, 1, 1, 1]
    for frame, faces in zip(frames, batched, strict=True):
        alone = stream_of(model, facedet_scale=0.25)
        alone.feed(frame)
        for one, other in zip(alone.faces()[0], faces, strict=True):
            np.testing.assert_allclose(one.box, other.box, atol=0.05)


def test_boxes_encode_and_decode() -> None:
    """encode_boxes is the inverse of decode_boxes."""
    anchors = s3fd.anchor_grid(((12, 20), (6, 10), (3, 5), (2, 3), (1, 2), (1, 1)))
    rng = np.random.default_rng(0)
    corner = torch.from_numpy(rng.uniform(-20, 100, (len(anchors), 2)))
    boxes = torch.cat([corner, corner + torch.from_numpy(rng.uniform(5, 80, corner.shape))], dim=1)
    again = s3fd.decode_boxes(s3fd.encode_boxes(boxes, anchors.double()), anchors.double())
    np.testing.assert_allclose(again, boxes, atol=1e-9)
    assert anchors[0].tolist() == [2, 2, 16, 16] and anchors[20].tolist() == [2, 6, 16, 16]


def test_suppression_keeps_the_best_of_each_heap() -> None:
    """Overlapping boxes fall to the best one; others stay, best first."""
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 0, 60, 10], [0, 0, 10, 30.0]])
    scores = np.array([0.6, 0.9, 0.95, 0.5])
    assert s3fd.suppress(boxes, scores, iou_threshold=0.4).tolist() == [2, 1, 3]
    assert s3fd.suppress(boxes[:0], scores[:0], iou_threshold=0.4).tolist() == []


# Parity with the original programs.


def _near(values: np.ndarray, expected: np.ndarray) -> None:
    assert len(values) == len(expected)
    np.testing.assert_allclose(values[:, :4], expected[:, :4], atol=0.02)
    np.testing.assert_allclose(values[:, 4], expected[:, 4], atol=1e-4)


def test_s3fd_parity(shared: Path, rule: ModuleType, cpu: torch.device) -> None:
    """The original's boxes on a 720p frame at quarter size, one by one, within 0.02 pixels."""
    truth = np.load(shared / "parity" / "s3fd_frame.npz")
    model = S3FD().eval()
    rule.fill(model, "s3fd")
    frame = cv2.imread(str(shared / "parity" / "frame.png"))
    assert frame is not None
    scaled = cv2.resize(frame, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_LINEAR)
    images = s3fd.to_input(scaled[None], s3fd.PUBLISHED)
    np.testing.assert_allclose(images[0], truth["net_in"], atol=1e-3)
    with torch.inference_mode():
        regressions, logits, anchors = model(images)
    np.testing.assert_allclose(regressions, truth["loc"], atol=2e-3)
    np.testing.assert_allclose(torch.softmax(logits, 2), truth["scores"], atol=1e-4)
    faces = s3fd.faces_from_output(regressions[0], logits[0], anchors, confidence=0.8)
    faces[:, :4] *= 4
    _near(faces, truth["boxes_0.8"])
    detector = stream_of(model, facedet_scale=0.25)
    detector.feed(frame)
    ((face,),) = detector.faces()
    _near(np.array([[*face.box, face.confidence]]), truth["boxes_0.9"])


@pytest.fixture(scope="module")
def demo_clip(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The JPEGs and the sound the original program made of its demo clip."""
    folder = tmp_path_factory.mktemp("jpegs")
    with tarfile.open(shared / "parity" / "example_jpegs.tar") as archive:
        archive.extractall(folder, filter="data")
    return folder


def _embedded(
    folder: Path, rule: ModuleType, shared: Path, *, frames: int | None
) -> tuple[torch.Tensor, torch.Tensor]:
    model = SyncNet().eval().requires_grad_(False)
    rule.fill(model, "syncnet", str(shared / "parity" / "syncnet_overlay.npz"))
    crops = [cv2.imread(str(path)) for path in sorted(folder.glob("*.jpg"))[:frames]]
    samples = wavfile.read(folder / "audio.wav")[1]
    cpu = torch.device("cpu")
    lips = embeddings.embed_lips(
        model, (crop for crop in crops if crop is not None), batch_size=20, device=cpu
    )
    return lips, embeddings.embed_sound(model, samples, batch_size=64, device=cpu)


@pytest.mark.parametrize("frames", [40, pytest.param(None, marks=pytest.mark.slow)])
def test_syncnet_parity(
    frames: int | None, shared: Path, rule: ModuleType, demo_clip: Path
) -> None:
    """Embeddings, the whole distance matrix, and offset, distance and confidence.

    The lip tower of the published size is slow: every day it sees the first 40 frames.
    """
    truth = np.load(shared / "parity" / "syncnet_example.npz")
    lips, sound = _embedded(demo_clip, rule, shared, frames=frames)
    np.testing.assert_allclose(lips[:312], truth["im_feat"][: len(lips)], atol=1e-3)
    dists = embeddings.distances(torch.from_numpy(truth["im_feat"]), sound[:312], vshift=15)
    np.testing.assert_allclose(dists, truth["dists"], atol=1e-3)
    sync = sync_offset.judge(dists, reliable_confidence=3)
    assert sync.offset_frames == int(truth["offset"])
    assert sync.min_dist == pytest.approx(float(truth["min_dist"]), abs=1e-3)
    assert sync.confidence == pytest.approx(float(truth["conf"]), abs=1e-3)
    np.testing.assert_allclose(sync.framewise, truth["fconfm"], atol=2e-3)


# Sound features.


def test_mfcc_of_a_second_has_99_columns() -> None:
    """16000 samples give 99 columns of 13 float32; a shred of sound gives one."""
    mfcc = features.mfcc(np.arange(16_000, dtype=np.int16))
    assert mfcc.shape == (99, 13) and mfcc.dtype == np.float32
    assert features.mfcc(np.ones(1, np.int16)).shape == (1, 13)
    assert features.mfcc(np.zeros(800, np.int16)).shape == (4, 13)


@pytest.mark.parametrize("samples", [400, 401, 6000 * 160 + 239, 6000 * 160 + 241, 180 * 16_000])
def test_mfcc_is_the_published_one(samples: int) -> None:
    """Computed in blocks it equals python_speech_features on the whole, also at the borders."""
    signal = np.random.default_rng(samples).integers(-32_768, 32_768, samples).astype(np.int16)
    expected = python_speech_features.mfcc(signal, 16_000)
    mfcc = features.mfcc(signal)
    assert mfcc.shape == expected.shape
    np.testing.assert_allclose(mfcc, expected, atol=2e-4)


def test_mfcc_of_the_demo_clip(shared: Path, demo_clip: Path) -> None:
    """The original program's own numbers."""
    truth = np.load(shared / "parity" / "syncnet_example.npz")["mfcc"]
    mfcc = features.mfcc(wavfile.read(demo_clip / "audio.wav")[1])
    np.testing.assert_allclose(mfcc, truth, atol=1e-4)


@pytest.mark.parametrize(
    "wrong",
    [np.zeros(16_000), np.zeros(9, np.float32), np.zeros((90, 2), np.int16), np.zeros(0, np.int16)],
    ids=["float64", "float32", "stereo", "empty"],
)
def test_mfcc_refuses_what_would_be_silently_wrong(wrong: np.ndarray) -> None:
    """Floats, stereo and emptiness give other numbers or odd errors further on."""
    with pytest.raises(ValueError, match="mono int16"):
        features.mfcc(wrong)


@pytest.mark.parametrize("length", [1, 5, 96, 400])
def test_running_mean_is_a_plain_mean(length: int) -> None:
    """At the ends the last full window counts; no value drifts over a long track."""
    values = np.random.default_rng(0).normal(100, 3, (300, 2)).astype(np.float32)
    means = syncnet.running_mean(values, length)
    for index in (0, 1, 50, 150, 298, 299):
        window = min(length, 300)
        start = min(max(index - window // 2, 0), 300 - window)
        expected = values[start : start + window].astype(float).mean(axis=0)
        np.testing.assert_allclose(means[index], expected, rtol=1e-5)


# Weight files.


class _Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self.trace}'",)


@pytest.mark.parametrize("saved_by", ["torch", "pickle"])
@pytest.mark.parametrize("name", ["weights.pth", "syncnet_v2.model"])
def test_a_malicious_checkpoint_runs_nothing(tmp_path: Path, saved_by: str, name: str) -> None:
    """It is refused as no weights file; unsafe loading proves that it would have run."""
    trace, path = tmp_path / "trace", tmp_path / name
    content = {"state_dict": {"weight": _Malicious(trace)}}
    if saved_by == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(WeightsError, match="not a weights file"):
        weights.read_state(path)
    assert not trace.exists()
    if saved_by == "torch":
        torch.load(path, weights_only=False)
        assert trace.exists()


HTML = b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n"


@pytest.mark.parametrize("name", ["w.pth", "w.model", "w.safetensors"])
@pytest.mark.parametrize("content", [HTML, b"", b"\x80\x02" * 40, None])
def test_what_is_no_weights_file_is_one_sentence(
    tmp_path: Path, name: str, content: bytes | None, cpu: torch.device
) -> None:
    """Error pages, empty and damaged files, and absent ones are named, by every loader."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    for load in (weights.read_state, lambda path: weights.load_syncnet(path, device=cpu)):
        with pytest.raises(WeightsError) as refusal:
            load(path)
        assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)
        assert refusal.value.exit_code == 2


@pytest.mark.parametrize(
    ("content", "size_bytes", "message"),
    [
        (HTML, len(HTML), "it is an HTML page"),
        (b"\n  <HTML lang='en'>" + b"x" * 600, 618, "it is an HTML page"),
        (b"\x80\x02" * 40, 80, "it is truncated, 80 of 54573114 bytes"),
        (b"", 54_573_114, "it is not the published file either"),
        (b"", 54_573_115, "it is not the published file either"),
    ],
    ids=["page", "long page", "truncated", "as long", "longer"],
)
def test_a_published_file_that_is_damaged_says_how(
    tmp_path: Path, cpu: torch.device, content: bytes, size_bytes: int, message: str
) -> None:
    """The most specific reason there is, and the command that fetches just this file."""
    path = tmp_path / "syncnet_v2.model"
    path.write_bytes(content)
    os.truncate(path, size_bytes)
    with pytest.raises(WeightsError) as refusal:
        weights.load_syncnet(path, device=cpu)
    assert refusal.value.exit_code == 2
    assert str(refusal.value).startswith(f"{path} is not a weights file: {message}")
    assert str(refusal.value).endswith("; run ./download_model.sh --only syncnet.")


def test_another_file_under_a_published_name_is_used_and_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    cpu: torch.device,
) -> None:
    """A fine-tune is used with one warning; the published file and any other name with none."""
    path = tmp_path / "syncnet_v2.model"
    torch.save(SyncNet().state_dict(), path)
    _, weights_file = weights.load_syncnet(path, device=cpu)
    (warning,) = caplog.messages
    assert warning.startswith(f"warning: {path} is used, but it is not the published file")
    assert weights_file.sha256 in warning and "\n" not in warning
    caplog.clear()
    row = dataclasses.replace(published.table()["syncnet"], sha256=weights_file.sha256)
    monkeypatch.setattr(published, "table", lambda: {"syncnet": row})
    weights.load_syncnet(path, device=cpu)
    monkeypatch.undo()
    weights.load_syncnet(path.rename(tmp_path / "mine.pth"), device=cpu)
    assert caplog.messages == []


def test_the_warning_reaches_stderr(repo: Path) -> None:
    """The warning is one line on stderr, without any set-up of logging."""
    code = (
        "from pathlib import Path; from models.published import warn_if_changed; "
        "warn_if_changed(Path('sfd_face.pth'), 'ab')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repo, capture_output=True, text=True, check=True
    )
    assert done.stderr.startswith("warning: sfd_face.pth is used") and done.stdout == ""
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "content", [{"state_dict": [1, 2]}, {"state_dict": None}, {1: torch.ones(2)}, torch.ones(2), {}]
)
def test_what_holds_no_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    """A PyTorch file of something else is refused, not a traceback."""
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(WeightsError, match=r"odd\.pth"):
        weights.read_state(tmp_path / "odd.pth")


def test_weights_of_another_network_are_refused_by_key(tmp_path: Path, cpu: torch.device) -> None:
    """The message names the file and the first keys that are missing, odd, or of another shape."""
    model = SyncNet(syncnet.SMALL)
    state = model.state_dict()
    cases = {
        "lacks netcnnaud.0.weight": {k: v for k, v in state.items() if k != "netcnnaud.0.weight"},
        "has unexpected extra": state | {"extra": torch.zeros(1)},
        "has other shapes for netfcaud.3.bias": state | {"netfcaud.3.bias": torch.zeros(3)},
    }
    for message, wrong in cases.items():
        path = tmp_path / "wrong.pth"
        torch.save(wrong, path)
        with pytest.raises(WeightsError, match=rf"wrong\.pth does not fit SyncNet: it {message}"):
            weights.fill(model, path)
    with pytest.raises(WeightsError, match="does not fit SyncNet"):
        weights.load_syncnet(weights.OWN_DIR / weights.S3FD_OWN_FILE, device=cpu)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_every_kind_of_state_dict_is_read(tmp_path: Path, wrapped: bool, prefix: str) -> None:
    """Bare or in {"state_dict": ...}, with or without data-parallel training's prefix."""
    state = {f"{prefix}layer.weight": torch.arange(6.0).reshape(2, 3)}
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": state, "global_step": 3} if wrapped else state, path)
    read = weights.read_state(path)
    assert list(read) == ["layer.weight"]
    torch.testing.assert_close(read["layer.weight"], torch.arange(6.0).reshape(2, 3))


def test_own_weights_keep_their_configuration(tmp_path: Path, cpu: torch.device) -> None:
    """A written SyncNet comes back with its shape and its embeddings."""
    torch.manual_seed(0)
    model = SyncNet(syncnet.SMALL).eval()
    path = tmp_path / "own.safetensors"
    weights.write_own(model, path, config=syncnet.SMALL)
    again, weights_file = weights.load_syncnet(path, device=cpu)
    assert again.config == syncnet.SMALL and not again.training
    assert weights_file.file == "own.safetensors" and weights_file.sha256 == sha256(path)
    columns = torch.randn(3, 1, 13, syncnet.SMALL.window_columns)
    with torch.inference_mode():
        torch.testing.assert_close(again.forward_aud(columns), model.forward_aud(columns))
    assert safetensors.torch.load_file(path).keys() == model.state_dict().keys()


@pytest.mark.parametrize(
    ("load", "present", "weights_file"),
    [
        (weights.load_wav2lip, ("wav2lip.pth", "wav2lip_gan.pth"), "wav2lip_gan.pth"),
        (weights.load_wav2lip, ("wav2lip.pth", "lipsync_expert.pth"), "wav2lip.pth"),
        (weights.load_wav2lip, (), "wav2lip_small.safetensors"),
        (weights.load_expert, ("wav2lip_gan.pth", "lipsync_expert.pth"), "lipsync_expert.pth"),
        (weights.load_expert, ("wav2lip_gan.pth",), "expert_small.safetensors"),
        (weights.load_syncnet, ("syncnet_v2.model", "sfd_face.pth"), "syncnet_v2.model"),
        (weights.load_syncnet, ("sfd_face.pth",), "syncnet_small.safetensors"),
        (weights.load_s3fd, ("syncnet_v2.model", "sfd_face.pth"), "sfd_face.pth"),
        (weights.load_s3fd, ("syncnet_v2.model",), "s3fd_small.safetensors"),
    ],
)
def test_auto_takes_the_first_published_file_of_its_network(
    load: Callable[..., tuple[nn.Module, weights.WeightsFile]],
    present: tuple[str, ...],
    weights_file: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cpu: torch.device,
) -> None:
    """The generator trained against a discriminator before the one that was not."""
    monkeypatch.setattr(weights, "PUBLISHED_DIR", tmp_path)
    filled: list[str] = []
    monkeypatch.setattr(weights, "fill", lambda model, path: filled.append(path.name))
    for name in ("Wav2Lip", "SyncNetColor", "SyncNet", "S3FD"):
        monkeypatch.setattr(weights, name, lambda config: nn.Identity())
    for name in present:
        (tmp_path / name).write_bytes(b"stands for weights")
    assert load(device=cpu)[1].file == weights_file and filled == [weights_file]
    if load is weights.load_s3fd:
        assert weights.s3fd_weights().file == weights_file


@pytest.mark.parametrize("name", ["expert", "s3fd", "syncnet", "wav2lip"])
def test_bundled_weights_are_those_their_card_describes(name: str) -> None:
    folder = weights.OWN_DIR
    card = json.loads((folder / f"{name}_small.json").read_text(encoding="utf-8"))
    file = folder / f"{name}_small.safetensors"
    assert card["sha256"] == sha256(file)
    load = {
        "expert": weights.load_expert,
        "s3fd": weights.load_s3fd,
        "syncnet": weights.load_syncnet,
        "wav2lip": weights.load_wav2lip,
    }[name]
    network: Any = load(str(file) if name != "s3fd" else "small", device=torch.device("cpu"))[0]
    assert card["parameters"] == sum(p.numel() for p in network.parameters())
    if name in ("expert", "wav2lip"):
        assert card["network"].endswith(f"width {network.config.width}")
    if name == "syncnet":
        assert card["network"] == network.config.description
        assert card["reliable_from"] == network.config.reliable_from


def test_auto_prefers_the_published_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpu: torch.device
) -> None:
    """With published files in data/ they are used and named; without, the bundled ones."""
    monkeypatch.setattr(weights, "PUBLISHED_DIR", tmp_path)
    assert weights.load_s3fd("auto", device=cpu)[1].file == "s3fd_small.safetensors"
    assert weights.load_syncnet("auto", device=cpu)[1].file == "syncnet_small.safetensors"
    with pytest.raises(WeightsError, match=r"sfd_face\.pth is not there; run \./download_model"):
        weights.load_s3fd("s3fd", device=cpu)
    torch.save(S3FD().state_dict(), tmp_path / "sfd_face.pth")
    torch.save(SyncNet().state_dict(), tmp_path / "syncnet_v2.model")
    detector, weights_file = weights.load_s3fd("auto", device=cpu)
    assert detector.config == s3fd.PUBLISHED and weights_file.file == "sfd_face.pth"
    assert weights.load_s3fd("small", device=cpu)[1].file == "s3fd_small.safetensors"
    model, weights_file = weights.load_syncnet("auto", device=cpu)
    assert model.config == syncnet.PUBLISHED and weights_file.file == "syncnet_v2.model"
