"""Inputs of the networks, against values computed by hand; no weights are needed."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from models import device as models_device
from models import s3fd, syncnet, weights
from models.device import resolve_precision
from models.syncnet import SyncNet, SyncNetConfig
from pipeline.faces.detector import FaceStream
from pipeline.faces.options import FaceOptions
from pipeline.faces.stage import find_faces
from pipeline.store.workspace import Workspace
from pipeline.sync import scorer as sync_scorer
from pipeline.sync.embeddings import SyncNetModel
from tests.score_kit import stream_of

GREY = SyncNetConfig(lip_size_px=2, lip_region_px=(80, 56, 112), grey=True, context_s=3.84)


# SyncNet.


@pytest.mark.parametrize(
    ("bgr", "grey"), [((255, 0, 0), 29), ((0, 255, 0), 150), ((0, 0, 255), 76)]
)
def test_grey_lips_weigh_blue_least_and_green_most(bgr: tuple[int, int, int], grey: int) -> None:
    frame = np.full((224, 224, 3), bgr, np.uint8)
    np.testing.assert_array_equal(syncnet.lip_pixels(frame, GREY), np.full((1, 2, 2), grey))


def test_lips_are_the_mean_of_their_region() -> None:
    """Rows from 80, columns from 56, 112 each; every pixel is the mean of what it covers."""
    frame = np.full((224, 224, 3), 255, np.uint8)
    frame[80:192, 56:168] = 40
    frame[136:192, 56:112] = 0
    frame[136:192:2, 56:112] = 200
    pixels = syncnet.lip_pixels(frame, GREY)
    np.testing.assert_array_equal(pixels, [[[40, 40], [100, 40]]])


def test_coloured_lips_stay_blue_green_red() -> None:
    """The published weights: the whole crop, channels first, nothing changed."""
    frame = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    pixels = syncnet.lip_pixels(frame, syncnet.PUBLISHED)
    assert pixels.shape == (3, 224, 224)
    for channel in range(3):
        np.testing.assert_array_equal(pixels[channel], frame[..., channel])
    np.testing.assert_array_equal(
        syncnet.normalise_lips(pixels[None], syncnet.PUBLISHED), pixels[None].astype(np.float32)
    )


def test_lips_lose_the_mean_picture_and_get_deviation_one() -> None:
    """A pixel that goes from 0 to 255 beside one that stays: deviation sqrt(1/8), plus 0.01."""
    pixels = np.array([[0, 102], [255, 102]], np.uint8).reshape(2, 1, 1, 2)
    values = syncnet.normalise_lips(pixels, GREY).reshape(2, 2)
    lip_value = 0.5 / (np.sqrt(1 / 8) + 0.01)
    np.testing.assert_allclose(values, [[-lip_value, 0], [lip_value, 0]], atol=1e-5)
    still = np.full((5, 1, 2, 2), 90, np.uint8)
    np.testing.assert_allclose(syncnet.normalise_lips(still, GREY), 0, atol=1e-5)


def test_mfcc_lose_their_mean_level_by_3_and_the_rest_by_10() -> None:
    columns = np.outer([0.0, 6.0], np.ones(13)).astype(np.float32)
    values = syncnet.normalise_mfcc(columns, GREY)
    np.testing.assert_allclose(values[:, 0], [-1, 1], atol=1e-6)
    np.testing.assert_allclose(values[:, 1:], [[-0.3] * 12, [0.3] * 12], atol=1e-6)
    np.testing.assert_array_equal(syncnet.normalise_mfcc(columns, syncnet.PUBLISHED), columns)


def test_context_is_counted_in_frames_and_in_columns() -> None:
    """3.84 s are 96 pictures and 384 columns: what lies further away does not count."""
    assert GREY.context_frames == 96
    pixels = np.full((300, 1, 1, 1), 100, np.uint8)
    pixels[200:] = 200
    values = syncnet.normalise_lips(pixels, GREY)[:, 0, 0, 0]
    assert np.flatnonzero(np.abs(values) > 1e-4)[[0, -1]].tolist() == [153, 247]
    columns = np.zeros((1200, 13), np.float32)
    columns[800:] = 30
    sound = syncnet.normalise_mfcc(columns, GREY)[:, 1]
    assert np.flatnonzero(np.abs(sound) > 1e-4)[[0, -1]].tolist() == [609, 991]


def test_windows_of_sound_start_every_four_columns_with_repeated_ends() -> None:
    columns = np.arange(40, dtype=np.float32)[:, None] * np.ones(13, np.float32)
    narrow = syncnet.audio_windows(columns, SyncNetConfig())
    assert narrow.shape == (6, 1, 13, 20)
    assert narrow[2, 0, 5].tolist() == list(range(8, 28))
    wide = syncnet.audio_windows(columns, SyncNetConfig(window_frames=9))
    assert wide.shape == (6, 1, 13, 36)
    assert wide[0, 0, 0].tolist() == [0] * 8 + list(range(28))
    assert wide[5, 0, 0].tolist() == list(range(12, 40)) + [39] * 8


def test_windows_of_lips_are_consecutive_with_repeated_ends() -> None:
    frames = torch.arange(8.0).reshape(8, 1, 1, 1)
    narrow = syncnet.lip_windows(frames, SyncNetConfig())
    assert narrow.shape == (4, 1, 5, 1, 1) and narrow[1].flatten().tolist() == [1, 2, 3, 4, 5]
    config = SyncNetConfig(window_frames=9)
    wide = syncnet.lip_windows(syncnet.repeat_ends(frames, config), config)
    assert wide.shape == (4, 1, 9, 1, 1)
    assert wide[0].flatten().tolist() == [0, 0, 0, 1, 2, 3, 4, 5, 6]
    assert wide[3].flatten().tolist() == [1, 2, 3, 4, 5, 6, 7, 7, 7]


def test_scaled_embeddings_have_a_constant_distance_to_zero() -> None:
    """Length 10, and a constant 10: to the zero vector sqrt(200), as between unrelated ones."""
    torch.manual_seed(0)
    model = SyncNet(syncnet.SMALL).eval()
    with torch.inference_mode():
        sound = model.sound_head(torch.rand(4, 256))
        lips = model.lip_head(torch.rand(4, 256))
    for embedding in (sound, lips):
        assert embedding.shape == (4, 129)
        torch.testing.assert_close(embedding[:, -1], torch.full((4,), 10.0))
        torch.testing.assert_close(embedding[:, :-1].norm(dim=1), torch.full((4,), 10.0))


# The face detector.


def _detector(config: s3fd.S3FDConfig, scale: float, **options: Any) -> FaceStream:
    model: Any = SimpleNamespace(config=config)
    return stream_of(model, facedet_scale=scale, **options)


@pytest.mark.parametrize("side", [400, 402, 404], ids=["halves", "a half", "a half and a rest"])
def test_own_detector_gets_averaged_pixels(side: int) -> None:
    """Of a grating of every fourth column; bilinear pixels, of two columns, would miss it."""
    frame = np.zeros((side, side, 3), np.uint8)
    frame[:, ::4] = 200
    scaled = _detector(s3fd.SMALL, 0.25)._scaled(frame)
    assert scaled.shape[:2] == (round(side / 4), round(side / 4))
    assert scaled.mean() == pytest.approx(50, abs=1) and np.ptp(scaled) <= 52
    assert scaled[0, 5, 0] > 20


def test_published_detector_gets_bilinear_pixels() -> None:
    frame = np.zeros((400, 400, 3), np.uint8)
    frame[:, ::4] = 200
    assert not _detector(s3fd.PUBLISHED, 0.25)._scaled(frame).any()


@pytest.mark.parametrize("config", [s3fd.PUBLISHED, s3fd.SMALL], ids=["published", "small"])
def test_detector_input_is_the_picture_less_the_mean_of_each_colour(
    config: s3fd.S3FDConfig,
) -> None:
    """Red, green, blue in this order: 123, 117 and 104 are taken off what BGR pixels hold."""
    frame = np.full((1, 32, 32, 3), (104, 118, 125), np.uint8)
    frame[0, 3, 7] = (255, 0, 0)
    inputs = np.asarray(s3fd.to_input(frame, config)) / config.input_scale
    assert inputs.shape == (1, 3, 32, 32)
    np.testing.assert_allclose(inputs[0, :, 0, 0], [2, 1, 0], atol=1e-4)
    np.testing.assert_allclose(inputs[0, :, 3, 7], [-123, -117, 151], atol=1e-4)


class _Constant(torch.nn.Module):
    """A detector that finds one face of a given confidence, wherever it looks."""

    config = s3fd.SMALL

    def __init__(self, confidence: float) -> None:
        super().__init__()
        self._logit = float(np.log(confidence / (1 - confidence)))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """An anchor at (10, 12), 8 wide and 6 high."""
        count = len(images)
        logits = torch.tensor([[[0.0, self._logit]]]).expand(count, 1, 2)
        return torch.zeros(count, 1, 4), logits, torch.tensor([[10.0, 12.0, 8.0, 6.0]])


@pytest.mark.parametrize(("confidence", "faces"), [(0.895, 0), (0.905, 1)])
def test_faces_above_nine_tenths_are_in_pixels_of_the_frame(confidence: float, faces: int) -> None:
    model: Any = _Constant(confidence)
    detector = stream_of(model, facedet_scale=0.5)
    detector.feed(np.zeros((80, 100, 3), np.uint8))
    [detected] = detector.faces()
    assert len(detected) == faces
    for face in detected:
        np.testing.assert_allclose(face.box, [12, 18, 28, 30], atol=1e-4)
        assert face.confidence == pytest.approx(confidence, abs=1e-6)


def test_l2norm_brings_even_the_faintest_features_to_its_scale() -> None:
    layer = s3fd.L2Norm(2, 10.0)
    for level in (1e-4, 1.0, 1e4):
        features = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1) * level
        torch.testing.assert_close(
            layer(features).flatten(), torch.tensor([6.0, 8.0]), rtol=1e-4, atol=0
        )


def _face_count(*boxes: tuple[float, float, float, float], scores: tuple[float, ...]) -> int:
    """How many faces are left of these x1 y1 x2 y2."""
    corners = torch.tensor(boxes)
    anchors = torch.cat(
        [(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], dim=1
    )
    confidence = torch.tensor(scores)
    logits = torch.stack([torch.zeros(len(scores)), (confidence / (1 - confidence)).log()], dim=1)
    faces = s3fd.faces_from_output(torch.zeros(len(boxes), 4), logits, anchors, confidence=0.9)
    return len(faces)


def test_boxes_that_share_more_than_a_tenth_are_one_face() -> None:
    """Two of 100x100 that share 20 or 17 of their columns: 0.111 and 0.093 of both together."""
    one = (0.0, 0.0, 100.0, 100.0)
    assert _face_count(one, (80.0, 0.0, 180.0, 100.0), scores=(0.99, 0.95)) == 1
    assert _face_count(one, (83.0, 0.0, 183.0, 100.0), scores=(0.99, 0.95)) == 2


def test_candidates_are_suppressed_from_three_tenths_on_before() -> None:
    """A box beside the best goes, and takes along the one it shares a half with, but not less."""
    best, beside = (0.0, 0.0, 100.0, 100.0), (66.0, 0.0, 166.0, 100.0)
    beyond, further = (100.0, 0.0, 200.0, 100.0), (126.0, 0.0, 226.0, 100.0)
    assert _face_count(best, beside, beyond, scores=(0.99, 0.97, 0.95)) == 1
    assert _face_count(best, beside, further, scores=(0.99, 0.97, 0.95)) == 2


# Precision.


@pytest.mark.parametrize(
    ("precision", "published", "native", "expected"),
    [
        ("auto", True, "bf16", "fp32"),
        ("auto", False, "bf16", "bf16"),
        ("auto", False, "fp32", "fp32"),
        ("fp32", False, "bf16", "fp32"),
        ("bf16", True, "fp32", "bf16"),
    ],
)
def test_auto_precision_keeps_published_numbers(
    precision: str, published: bool, native: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our own weights run as fast as the device can; who asks for a precision gets it."""
    monkeypatch.setattr(models_device, "native_precision", lambda device: native)
    chosen = resolve_precision(precision, full=published, device=torch.device("cpu"))
    assert chosen == expected


@pytest.mark.parametrize("published", [True, False])
def test_scorer_is_narrowed_unless_its_weights_are_published(
    published: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = dataclasses.replace(syncnet.SMALL, lip_widths=(4,) * 6, audio_widths=(4,) * 6)
    model = SyncNet(dataclasses.replace(tiny, embedding_scale=0.0) if published else tiny)
    weights_file = weights.WeightsFile("x", "0" * 64)
    monkeypatch.setattr(weights, "load_syncnet", lambda *_, **__: (model, weights_file))
    monkeypatch.setattr(models_device, "native_precision", lambda device: "bf16")
    loaded = sync_scorer.load_model(device=torch.device("cpu"))
    assert isinstance(loaded, SyncNetModel)
    network = loaded.network
    assert loaded.precision == ("fp32" if published else "bf16")
    assert network.dtype == (torch.float32 if published else torch.bfloat16)
    assert next(network.netfclip.parameters()).dtype == torch.float32


@pytest.mark.parametrize("published", [True, False])
def test_detector_is_narrowed_unless_its_weights_are_published(
    published: bool, no_face_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, weights_file = weights.load_s3fd("small", device=torch.device("cpu"))
    if published:
        model.config = s3fd.PUBLISHED
    monkeypatch.setattr(weights, "load_s3fd", lambda *_, **__: (model, weights_file))
    monkeypatch.setattr(models_device, "native_precision", lambda device: "bf16")
    work = Workspace(tmp_path, "r")
    options = FaceOptions(detect_every=20, keep_frames=False)
    find_faces(no_face_clip, work, options, device="cpu")
    record = work.read_record()
    assert record and record["precision"] == ("fp32" if published else "bf16")
