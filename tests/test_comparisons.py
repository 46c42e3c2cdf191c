"""What the benchmarks compare with: the reference's own networks, and exact arithmetic."""

import json
from pathlib import Path

import pytest
import torch

from models import syncnet
from models.syncnet import SyncNet
from pipeline.store.workspace import Workspace
from tests.benchmarks import precision, reference


def test_the_measured_lip_tower_is_syncnets() -> None:
    """In three dimensions it gives what the folded one gives, with the same weights."""
    torch.manual_seed(4)
    folded, solid = SyncNet().eval(), reference.lip_tower().eval()
    weights = folded.netcnnlip.state_dict().values()
    solid.load_state_dict(dict(zip(solid.state_dict(), weights, strict=True)))
    frames = torch.rand(5, 3, syncnet.CROP_PX, syncnet.CROP_PX)
    with torch.inference_mode():
        windows = syncnet.lip_windows(frames, folded.config)
        torch.testing.assert_close(
            solid(windows).flatten(1), folded.forward_lipfeat(windows), atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize("faces", reference.WHOLE_S)
def test_cost_of_the_reference_scales_with_its_networks(faces: str) -> None:
    """Networks half as fast add their share of the measured cost once more."""
    there = {
        "s3fd_frame_s": reference.S3FD_FRAME_S,
        "syncnet_window_s": reference.SYNCNET_WINDOW_S,
    }
    total_s = reference.whole_s(there, faces)
    assert total_s == pytest.approx(reference.WHOLE_S[faces])
    slower = reference.whole_s({name: 2 * value for name, value in there.items()}, faces)
    assert total_s * 1.8 < slower < total_s * 2


def test_scores_of_both_precisions_are_compared(
    done: Workspace,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One row per clip; the exit code says whether the bars are met."""
    flags = ["--data_dir", str(done.data_dir), "--json", str(tmp_path / "found.json")]
    assert precision.main(flags) == 0
    (row,) = json.loads((tmp_path / "found.json").read_text())["clips"]
    assert row["offsets"][0] == row["offsets"][1]
    assert 0 < abs(row["min_dists"][1] / row["min_dists"][0] - 1) < 0.01
    assert "1 clips" in capsys.readouterr().out
    monkeypatch.setattr(precision, "APART_BAR", 0.0)
    assert precision.main(flags) == 1
