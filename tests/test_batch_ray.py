"""A batch on a Ray cluster: a stand-in whose machines go, and, slow, two real nodes."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.batch import options as batch_options
from pipeline.batch.options import BatchOptions
from pipeline.batch.run import run_batch
from pipeline.errors import InputError, PipelineError
from tests import batch_kit as kit
from tests.ray_stand_in import Cluster, losing


def test_without_ray_the_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    folder = kit.videos(tmp_path / "videos", "fine_1")
    with pytest.raises(InputError, match=r"--address needs Ray; pip install ray\."):
        kit.batch(folder, tmp_path / "work", address="auto")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Cluster]:
    """Puts a stand-in cluster in Ray's place."""

    def make(**settings: Any) -> Cluster:
        ray = Cluster(**{"resources": {"CPU": 2.0}} | settings)
        monkeypatch.setitem(sys.modules, "ray", ray)
        return ray

    return make


NAMES = [f"fine_{number}" for number in range(5)]


def _batch(tmp_path: Path, *names: str, **options: Any) -> tuple[dict[str, Any], list[str]]:
    """Lines of videos on the cluster, and which videos were begun."""
    folder = kit.videos(tmp_path / "videos", *names)
    kit.batch(folder, tmp_path / "work", **{"address": "head:6379"} | options)
    return kit.lines(tmp_path / "work"), kit.begun(folder)


def test_every_video_is_done_once_by_the_actors_of_the_cluster(
    cluster: Callable[..., Cluster], tmp_path: Path
) -> None:
    ray = cluster()
    lines, begun = _batch(tmp_path, *NAMES, workers=2)
    assert sorted(begun) == NAMES and {lines[name]["status"] for name in NAMES} == {"done"}
    assert (ray.address, len(ray.actors), ray.ended) == ("head:6379", 2, True)
    assert not kit.processes_of(tmp_path)


def test_a_crash_on_the_cluster_is_a_line(cluster: Callable[..., Cluster], tmp_path: Path) -> None:
    cluster()
    lines, begun = _batch(tmp_path, "crash_1", "fine_2")
    assert lines["crash_1"]["status"] == "failed" and begun.count("crash_1") == 2
    assert lines["fine_2"]["status"] == "done"


def test_the_video_of_a_machine_that_goes_is_given_to_another(
    cluster: Callable[..., Cluster], tmp_path: Path
) -> None:
    """One goes while it works, and one before it has come at all."""
    ray = cluster(loses=losing("line", times=1, sparing=2))
    lines, begun = _batch(tmp_path, *NAMES, workers=2)
    assert sorted(begun) == NAMES and {line["status"] for line in lines.values()} == {"done"}
    assert len(ray.actors) == 3 and sum(actor.gone for actor in ray.actors) == 1
    ray = cluster(loses=losing("ready", times=1))
    lines, _ = _batch(tmp_path, *NAMES, workers=2, overwrite=True)
    assert set(lines) == set(NAMES) and len(ray.actors) == 3


def test_a_video_whose_machines_keep_going_fails_and_the_others_do_not(
    cluster: Callable[..., Cluster], tmp_path: Path
) -> None:
    ray = cluster(loses=losing("line", times=4))
    lines, begun = _batch(tmp_path, *NAMES[:2], workers=1)
    (failed,) = (line for line in lines.values() if line["status"] == "failed")
    assert failed["reason"].endswith("lost its machine 4 times; do it again.")
    assert len(begun) == 1 and len(ray.actors) == 5


@pytest.mark.parametrize(
    ("cores", "gpus", "options", "actors", "share"),
    [
        (4, 0, {"workers": 0}, 4, (1.0, 0.0)),
        (2, 1, {"workers": 4}, 4, (0.5, 0.25)),
        (4, 8, {"workers": 2}, 2, (1.0, 1.0)),
        (4, 4, {"workers": 0, "device": "cpu"}, 4, (1.0, 0.0)),
    ],
)
def test_actors_share_what_the_cluster_has(
    cluster: Callable[..., Cluster],
    tmp_path: Path,
    cores: int,
    gpus: int,
    options: dict[str, Any],
    actors: int,
    share: tuple[float, float],
) -> None:
    ray = cluster(resources={"CPU": float(cores), "GPU": float(gpus)})
    _batch(tmp_path, *NAMES, **options)
    assert len(ray.actors) == actors
    assert (ray.asked["num_cpus"], ray.asked["num_gpus"]) == share
    threads = {actor.worker._supervisor._settings["threads"] for actor in ray.actors}
    assert threads == {max(1, cores // actors)}


def test_a_machine_shares_its_memory_among_its_own_actors(
    cluster: Callable[..., Cluster], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five on two machines: three on one of them; a machine that is gone does not count."""
    monkeypatch.setattr(batch_options, "free_bytes", lambda: 10 << 30)
    ray = cluster(resources={"CPU": 5.0}, machines=2)
    _batch(tmp_path, *NAMES, workers=0)
    limits = {actor.worker._supervisor._limits.memory_bytes for actor in ray.actors}
    assert limits == {int((10 << 30) * 0.9 / 3)}


def test_a_worker_that_cannot_start_ends_the_batch(
    cluster: Callable[..., Cluster], tmp_path: Path
) -> None:
    ray = cluster()
    folder = kit.videos(tmp_path / "videos", *NAMES)
    options = BatchOptions(address="auto", keep="none")
    with pytest.raises(PipelineError, match=r"No worker can be started.*No module named"):
        run_batch([str(folder)], tmp_path / "work", options, worker_module="no.such.module")
    assert ray.ended


def test_what_ray_says_becomes_a_sentence(cluster: Callable[..., Cluster], tmp_path: Path) -> None:
    cluster()
    with pytest.raises(InputError, match=r"--address nowhere: no Ray cluster answers .*ray start"):
        _batch(tmp_path, *NAMES, address="nowhere")
    ray = cluster(breaks=True)
    with pytest.raises(PipelineError, match=r"The Ray cluster failed \(The head is gone\.\); run"):
        _batch(tmp_path, *NAMES)
    assert ray.ended


@pytest.mark.slow
def test_a_node_that_is_killed_costs_no_video(capfd: pytest.CaptureFixture[str]) -> None:
    """Every video has its line, once; see the benchmark."""
    pytest.importorskip("ray", reason="ray is not installed")
    from tests.benchmarks import ray_nodes

    assert ray_nodes.main([]) == 0
    output = capfd.readouterr().out
    assert "killed the second node" in output and "24 lines of 24 videos" in output
