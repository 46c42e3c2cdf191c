"""A batch on a Ray cluster: two nodes on this machine, of which one is killed half way."""

import sys
from pathlib import Path

import pytest

from pipeline.errors import InputError
from tests import batch_kit as kit


def test_without_ray_the_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    folder = kit.videos(tmp_path / "videos", "fine_1")
    with pytest.raises(InputError, match=r"--address needs Ray; pip install ray\."):
        kit.batch(folder, tmp_path / "work", address="auto")


@pytest.mark.slow
def test_a_node_that_is_killed_costs_no_video(capfd: pytest.CaptureFixture[str]) -> None:
    """Every video has its line, once; see the benchmark."""
    pytest.importorskip("ray", reason="ray is not installed")
    from tests.benchmarks import ray_nodes

    assert ray_nodes.main([]) == 0
    output = capfd.readouterr().out
    assert "killed the second node" in output and "24 lines of 24 videos" in output
