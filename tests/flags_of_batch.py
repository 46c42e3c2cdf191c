"""Flags of run_batch.py: two values each, and what differs in its manifest or its files."""

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from pipeline.batch import ray_workers, run
from pipeline.batch.manifest import Line, read_lines
from pipeline.batch.options import cores
from pipeline.batch.supervisor import Limits
from pipeline.batch.video import Stages
from pipeline.store.workspace import Workspace
from tests.flag_kit import FACE, NO_SUCH_DEVICE, Bench, Ended, read, row
from tests.flags_of_syncnet import largest_batches, tiny_model
from tests.synthetic import ffmpeg


class InProcess:
    """A `Supervisor` whose worker is this process; notes what it was started with."""

    started: list[tuple[dict[str, Any], Limits]]

    def __init__(
        self, settings: dict[str, Any], limits: Limits, *, scratch: Path, stop: threading.Event,
        module: str,
    ) -> None:  # fmt: skip
        self.started.append((settings, limits))
        scratch.mkdir(parents=True, exist_ok=True)
        self._stages = Stages.load(settings, scratch)

    def __enter__(self) -> "InProcess":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def line(self, key: dict[str, Any]) -> Line:
        """See `Supervisor.line`."""
        return self._stages.line(key)


def _run(
    bench: Bench, *flags: str | Path, name: str = "batch", videos: Path | None = None
) -> Ended:
    """The script on a clip, in this process; `InProcess.started` says how workers began."""
    InProcess.started = []
    bench.patch.setattr(run, "Supervisor", InProcess)
    where = ("--videos", videos or bench.face, "--data_dir", bench.folder / name)
    return bench.run("run_batch", *where, "--workers", "1", *flags)


def _lines(
    bench: Bench, *flags: str | Path, name: str = "batch", videos: Path | None = None
) -> list[Line]:
    """The manifest of a run that must succeed; keeps nothing unless told otherwise."""
    keep = () if "--keep" in flags else ("--keep", "none")
    ended = _run(bench, *FACE, *keep, *flags, name=name, videos=videos)
    assert ended.code == 0, ended
    return list(read_lines(bench.folder / name / "batch.jsonl"))


def _row(bench: Bench, *flags: str | Path) -> dict[str, Any]:
    """The row of the one face with these flags."""
    (line,) = _lines(bench, *flags, name=f"batch{len(list(bench.folder.iterdir()))}")
    (track,) = line["tracks"]
    assert isinstance(track, dict)
    return track


def _settings(bench: Bench) -> dict[str, Any]:
    ((settings, _),) = InProcess.started
    return settings


def _folder(bench: Bench) -> Path:
    """Three videos of four frames."""
    folder = bench.folder / "three"
    folder.mkdir()
    for name in ("a", "b", "c"):
        picture = ("-f", "lavfi", "-i", "color=gray:s=64x48:r=25:d=0.16")
        ffmpeg(*picture, "-c:v", "ffv1", folder / f"{name}.mkv")
    return folder


@row("run_batch", "videos")
def _(bench: Bench) -> None:
    folder = _folder(bench)
    lines = _lines(bench, videos=folder)
    assert [Path(line["video"]).name for line in lines] == ["a.mkv", "b.mkv", "c.mkv"]
    (line,) = _lines(bench, name="one")
    assert (line["video"], line["faces"]) == (str(bench.face), 1)


@row("run_batch", "data_dir")
def _(bench: Bench) -> None:
    for name in ("here", "there"):
        assert len(_lines(bench, name=name)) == 1
        assert (bench.folder / name / "batch.jsonl").is_file()


@row("run_batch", "keep")
def _(bench: Bench) -> None:
    """What is left, and that the numbers of all and crops are those of the scripts."""
    rows, left = {}, {}
    for keep in ("all", "crops", "none"):
        (line,) = _lines(bench, "--keep", keep, name=keep)
        work = Workspace(bench.folder / keep, "face")
        left[keep] = (
            work.video.is_file(),
            work.frame(0).is_file(),
            work.crop(0).is_file(),
            work.offsets_json.is_file(),
        )
        (rows[keep],) = line["tracks"]
        assert not list((bench.folder / keep / "pytmp").glob("[!.]*"))
    assert left == {
        "all": (True, True, True, True),
        "crops": (False, False, True, True),
        "none": (False, False, False, False),
    }
    (scripts,) = read(Workspace(bench.clips / "work", "face").offsets_json)
    assert rows["all"] == rows["crops"] == scripts
    assert rows["none"]["offset_frames"] == scripts["offset_frames"]
    assert rows["none"]["min_dist"] == pytest.approx(scripts["min_dist"], rel=0.01)


@row("run_batch", "workers")
def _(bench: Bench) -> None:
    folder = _folder(bench)
    for workers in (1, 2):
        _lines(bench, "--workers", str(workers), videos=folder, name=str(workers))
        assert len(InProcess.started) == workers
        assert _first_settings()["threads"] == max(1, cores() // workers)


def _first_settings() -> dict[str, Any]:
    return InProcess.started[0][0]


@row("run_batch", "time_limit_s")
def _(bench: Bench) -> None:
    """That the limit is kept is in test_batch.py."""
    for limit_s in (20.0, 3600.0):
        _lines(bench, "--time_limit_s", str(limit_s), name=str(limit_s))
        assert InProcess.started[0][1].time_s == limit_s


@row("run_batch", "memory_gb")
def _(bench: Bench) -> None:
    """That the limit is kept is in test_batch.py."""
    for memory_gb in (1.5, 3.0):
        _lines(bench, "--memory_gb", str(memory_gb), name=str(memory_gb))
        assert InProcess.started[0][1].memory_bytes == memory_gb * 1e9


@row("run_batch", "shard")
def _(bench: Bench) -> None:
    folder = _folder(bench)
    for shard, names in (("0/2", ["a.mkv", "c.mkv"]), ("1/2", ["b.mkv"])):
        ended = _run(bench, "--keep", "none", "--shard", shard, videos=folder)
        assert ended.code == 0, ended
        manifest = f"batch-{shard.replace('/', '-of-')}.jsonl"
        lines = read_lines(bench.folder / "batch" / manifest)
        assert [Path(line["video"]).name for line in lines] == names
    assert "is no part" in _run(bench, "--shard", "2/2").err
    assert "is not like 3/16" in _run(bench, "--shard", "2").err


@row("run_batch", "address")
def _(bench: Bench) -> None:
    """That a cluster does the work is in test_batch_ray.py; here, that it is asked for."""
    addresses: list[str | None] = []

    def lines(videos: Any, data_dir: Any, options: Any, **_: Any) -> Any:
        addresses.append(options.address)
        return iter(())

    bench.patch.setattr(ray_workers, "lines", lambda *a, **k: (yield from lines(*a, **k)))
    for address in ("auto", "10.0.0.1:6379"):
        _run(bench, "--keep", "none", "--address", address)
    assert addresses == ["auto", "10.0.0.1:6379"]
    assert not InProcess.started


@row("run_batch", "retry_failed")
def _(bench: Bench) -> None:
    video = bench.folder / "later.mkv"
    listed = bench.folder / "list.txt"
    listed.write_text("later.mkv\nface.mp4\n")
    shutil.copy(bench.face, bench.folder)
    (failed, _) = _lines(bench, videos=listed)
    assert failed["status"] == "failed" and str(video) in failed["reason"]
    (again, _) = _lines(bench, videos=listed)
    assert again == failed and not InProcess.started
    (third, _) = _lines(bench, "--retry_failed", videos=listed)
    assert third == failed and len(InProcess.started) == 1


@row("run_batch", "overwrite")
def _(bench: Bench) -> None:
    (line,) = _lines(bench)
    other = ("--keep", "none", "--min_track", "7")
    refused = _run(bench, *other)
    assert refused.code == 2 and "min_track 10" in refused.err and "--overwrite" in refused.err
    assert _run(bench, *other, "--overwrite").code == 0
    (new,) = read_lines(bench.folder / "batch" / "batch.jsonl")
    assert new["faces"] == 0 != line["faces"]


@row("run_batch", "min_track")
def _(bench: Bench) -> None:
    (line,) = _lines(bench, "--min_track", "100", name="long")
    assert line["faces"] == 0 and "--min_track wants more than 100" in line["reason"]
    assert len(_lines(bench)[0]["tracks"]) == 1


@row("run_batch", "min_face_size")
def _(bench: Bench) -> None:
    (line,) = _lines(bench, "--min_face_size", "300", "--facedet_scale", "0.5", name="large")
    assert line["faces"] == 0 and "--min_face_size is 300" in line["reason"]


@row("run_batch", "facedet_scale")
def _(bench: Bench) -> None:
    distances = [_row(bench, "--facedet_scale", scale)["min_dist"] for scale in ("0.4", "0.6")]
    assert distances[0] != distances[1]


@row("run_batch", "crop_scale")
def _(bench: Bench) -> None:
    distances = [_row(bench, "--crop_scale", scale)["min_dist"] for scale in ("0.3", "0.5")]
    assert distances[0] != distances[1]


@row("run_batch", "num_failed_det")
def _(bench: Bench) -> None:
    for number in (3, 25):
        _row(bench, "--num_failed_det", str(number))
        assert _settings(bench)["faces"]["num_failed_det"] == number


@row("run_batch", "detector")
def _(bench: Bench) -> None:
    assert _row(bench, "--detector", "small")["settings"]["detector"] == "s3fd_small.safetensors"
    assert "s3fd" in _run(bench, "--detector", "s3fd").err


@row("run_batch", "detect_every")
def _(bench: Bench) -> None:
    for number in (1, 5):
        _row(bench, "--detect_every", str(number))
        assert _settings(bench)["faces"]["detect_every"] == number


@row("run_batch", "initial_model")
def _(bench: Bench) -> None:
    model = tiny_model(bench)
    assert _row(bench, "--initial_model", model)["weights"] == Path(model).name
    assert _row(bench)["weights"] == "syncnet_small.safetensors"


@row("run_batch", "batch_size")
def _(bench: Bench) -> None:
    for size in (3, 8):
        sizes = largest_batches(bench)
        _row(bench, "--batch_size", str(size))
        assert max(sizes) == size


@row("run_batch", "vshift")
def _(bench: Bench) -> None:
    for shift in (2, 9):
        assert _row(bench, "--vshift", str(shift))["settings"]["vshift"] == shift


@row("run_batch", "precision")
def _(bench: Bench) -> None:
    """Of both networks."""
    rows = {name: _row(bench, "--precision", name) for name in ("fp32", "bf16")}
    assert [rows[name]["settings"]["precision"] for name in rows] == ["fp32", "bf16"]
    assert rows["fp32"]["min_dist"] != rows["bf16"]["min_dist"]
    assert _settings(bench)["faces"]["precision"] == "bf16"


@row("run_batch", "device")
def _(bench: Bench) -> None:
    assert _row(bench, "--device", "cpu")["settings"]["device"] == "cpu"
    refused = _run(bench, "--keep", "none", "--device", NO_SUCH_DEVICE, name="none")
    assert refused.code == 2 and f"--device {NO_SUCH_DEVICE} is not available" in refused.err
