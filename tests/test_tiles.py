"""Large pictures are detected a tile at a time: the same faces, in bounded memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from models import s3fd, weights
from models.s3fd import S3FD
from pipeline.media import decode
from tests.benchmarks import report
from tests.score_kit import stream_of


@pytest.mark.parametrize("config", [s3fd.SMALL, s3fd.PUBLISHED], ids=["small", "published"])
@pytest.mark.parametrize("size", [(120, 150), (200, 67)], ids=str)
def test_tiles_change_nothing(
    config: s3fd.S3FDConfig, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large picture is computed a tile at a time: the same numbers, if tiles see far enough."""
    torch.manual_seed(0)
    model = S3FD(config).eval()
    images = torch.randn(1, 3, *size) * (60 if config == s3fd.PUBLISHED else 1)
    with torch.inference_mode():
        at_once = model(images)
        monkeypatch.setattr(s3fd, "AT_ONCE_PIXELS", 1000)
        monkeypatch.setattr(s3fd, "TILE_PX", 64)
        tiled = model(images)
        monkeypatch.setattr(s3fd, "TILE_HALO_PX", 8)
        blind = model(images)
    for one, other in zip(at_once, tiled, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)
    assert not np.allclose(at_once[0], blind[0], atol=2e-3)


def test_a_large_picture_has_the_same_faces(
    face_clip: Path, cpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real face that lies across tiles keeps its box."""
    model, _ = weights.load_s3fd("small", device=cpu)
    frame = next(iter(decode.read_frames(face_clip)))
    scale = (1.2 * s3fd.AT_ONCE_PIXELS / (frame.shape[0] * frame.shape[1])) ** 0.5
    faces = []
    for limit in (s3fd.AT_ONCE_PIXELS, 10**9):
        monkeypatch.setattr(s3fd, "AT_ONCE_PIXELS", limit)
        detector = stream_of(model, facedet_scale=scale)
        detector.feed(frame)
        ((face,),) = detector.faces()
        faces.append([*face.box, face.confidence])
    assert faces[0][2] - faces[0][0] > 50
    np.testing.assert_allclose(faces[0], faces[1], atol=0.01)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
def test_a_4k_frame_needs_little_memory() -> None:
    """The published network on 3840x2160 at scale 1: 4.5 GB at once, 1.1 to 1.4 in tiles.

    By processor and threads: each has other kernels with other buffers.
    """
    code = (
        "import numpy as np, torch\n"
        "from models.s3fd import S3FD\n"
        "from tests.score_kit import stream_of\n"
        "model = S3FD().eval().requires_grad_(False)\n"
        "detector = stream_of(model, facedet_scale=1.0)\n"
        "detector.feed(np.random.default_rng(0).integers(0, 256, (2160, 3840, 3), np.uint8))\n"
        "detector.faces()\n"
        "print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=report.ROOT
    )
    assert int(done.stdout) < 1_500_000  # KiB
