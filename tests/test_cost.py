"""The measurement of cost: CPU time, memory and bytes of known programs."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from models import s3fd
from pipeline import cli
from pipeline.errors import PipelineError
from pipeline.faces.tracks import Face
from pipeline.media import decode
from pipeline.store.workspace import Workspace
from tests.benchmarks import compare_cost, cost, usage, with_boxes
from tests.benchmarks.cost import Cost
from tests.score_kit import stream_of

BURN = "import time\nwhile time.process_time() < 0.3: pass"
NEEDS_PROC = pytest.mark.skipif(not usage.PROC.is_dir(), reason="no /proc")


@pytest.fixture(autouse=True)
def cores_stay() -> Iterator[None]:
    """No measurement may leave this process with fewer cores than it had."""
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    yield
    assert before is None or os.sched_getaffinity(0) == before


def python(code: str, *arguments: str | Path) -> list[str]:
    """A command that starts quickly and runs some lines."""
    return [sys.executable, "-I", "-S", "-c", code, *map(str, arguments)]


def in_child(code: str) -> str:
    """Lines that run others in a process of their own."""
    return f"import subprocess, sys\nsubprocess.run([sys.executable, '-I', '-S', '-c', {code!r}])"


def test_cpu_of_children_counts_and_of_others_does_not() -> None:
    burnt = usage.measured(python(in_child(BURN)), threads=1, task="Burning")
    idle = usage.measured(python("import time; time.sleep(0.3)"), threads=1, task="Sleeping")
    assert burnt.cpu_s >= 0.3
    assert idle.cpu_s < 0.2
    assert idle.wall_s >= 0.3


@NEEDS_PROC
def test_memory_of_a_process_and_its_child_is_added() -> None:
    code = "import time; held = b'x' * (60 << 20); time.sleep(0.4)"
    both = f"held = b'x' * (60 << 20)\n{in_child(code)}"
    peak = usage.measured(python(both), threads=1, task="Holding").peak_bytes
    assert 120 << 20 < peak < 170 << 20  # this process, with torch inside, has more


@NEEDS_PROC
def test_memory_given_back_before_anybody_looks_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "POLL_S", 0.3)
    brief = "import time; held = b'x' * (60 << 20); del held; time.sleep(0.8)"
    assert usage.measured(python(brief), threads=1, task="Holding").peak_bytes > 60 << 20


def test_threads_are_limited(tmp_path: Path) -> None:
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("this system cannot choose cores")
    output = tmp_path / "said"
    code = (
        "import os, sys; cores = len(os.sched_getaffinity(0))\n"
        "open(sys.argv[1], 'w').write(f\"{cores} {os.environ['OMP_NUM_THREADS']}\")"
    )
    usage.measured(python(code, output), threads=1, task="Counting")
    assert output.read_text() == "1 1"


def test_bytes_left_frames_and_passing_files(tmp_path: Path) -> None:
    work = Workspace(tmp_path, "one")
    write = "import os, sys\ndef put(name, n):\n"
    write += "    os.makedirs(os.path.dirname(name), exist_ok=True)\n"
    write += "    open(name, 'wb').write(b'x' * n)\n"
    write += f"folder = {str(tmp_path)!r} + '/{{}}/one/'\n"
    first = (
        f"{write}put(folder.format('pyframes') + '1.jpg', 500_000)\n"
        "put(folder.format('pywork') + 'a', 1_000_000)\n"
        "put(folder.format('pytmp') + 'b', 2_000_000); os.remove(folder.format('pytmp') + 'b')"
    )
    second = (
        f"{write}put(folder.format('pywork') + 'a', 1_250_000)\n"
        "os.remove(folder.format('pyframes') + '1.jpg')"
    )
    commands = {"pipeline": python(first), "syncnet": python(second)}
    costs = cost.run_once(commands, work, threads=1, clip="one.mp4")
    assert (costs["pipeline"].left_mb, costs["pipeline"].pyframes_mb) == (1.5, 0.5)
    assert (costs["syncnet"].left_mb, costs["syncnet"].pyframes_mb) == (-0.25, -0.5)
    if not counts_output(tmp_path):
        pytest.skip("this system does not count what is written")
    assert costs["pipeline"].written_mb == pytest.approx(3.5, rel=0.05)
    assert costs["syncnet"].written_mb == pytest.approx(1.25, rel=0.05)


def counts_output(folder: Path) -> bool:
    """Whether the system counts bytes written there: Linux does on disks."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_oublock
    subprocess.run(
        python("import sys; open(sys.argv[1], 'wb').write(b'x' * 100_000)", folder / "counted"),
        check=True,
    )
    blocks = resource.getrusage(resource.RUSAGE_CHILDREN).ru_oublock - before
    return sys.platform == "linux" and blocks > 0


def costs_of(*cpu_s: float, peak_mib: float = 100.0) -> dict[str, Cost]:
    """A run whose stages take so much CPU."""
    return {
        stage: Cost(seconds, 2 * seconds, peak_mib + seconds, 8.0, 4.0, 3.0)
        for stage, seconds in zip(cost.STAGES, cpu_s, strict=False)
    }


def test_medians_totals_and_seconds_of_video_add_up() -> None:
    runs = [costs_of(9.0, 2.0, 1.0), costs_of(3.0, 5.0, 1.5), costs_of(6.0, 4.0, 50.0)]
    clip = cost.summary("a.mp4", runs, video_s=4.0)
    assert [stage["cpu_s"] for stage in clip["stages"].values()] == [6.0, 4.0, 1.5, 11.5]
    total, per_video_s = clip["stages"]["total"], clip["per_video_s"]["total"]
    assert (total["wall_s"], total["peak_mib"], total["written_mb"]) == (23.0, 106.0, 24.0)
    assert (per_video_s["cpu_s"], per_video_s["left_mb"]) == (11.5 / 4, 3.0)
    assert [run["pipeline"]["cpu_s"] for run in clip["runs"]] == [9.0, 3.0, 6.0]

    rows = {row[0]: dict(zip(cost.HEADER, row[1:], strict=True)) for row in cost.table(clip)}
    assert list(rows) == [*cost.STAGES, "total", "per video-second"]
    for name in (*cost.STAGES, "total"):
        stage = clip["stages"][name]
        assert rows[name]["CPU s"] == stage["cpu_s"]
        assert rows[name]["peak MiB"] == stage["peak_mib"]
        assert rows[name]["share %"] == pytest.approx(100 * stage["cpu_s"] / 11.5)
        for key in ("written_mb", "left_mb", "pyframes_mb"):
            assert rows[name][key.replace("_mb", " MB")] == stage[key]
    assert rows["per video-second"]["CPU s"] == per_video_s["cpu_s"]


def write_measurement(path: Path, *clips: dict) -> Path:
    """A file of measurements."""
    settings, machine = {"detector": path.stem, "runs": 1}, {"load_average": [path.stem]}
    path.write_text(json.dumps({"settings": settings, "machine": machine, "clips": clips}))
    return path


def test_ratios_are_after_over_before_per_second_of_video(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = cost.summary("a.mp4", [costs_of(8.0, 4.0, peak_mib=100.0)], video_s=2.0)
    after = cost.summary("b.mp4", [costs_of(4.0, 8.0, peak_mib=204.0)], video_s=4.0)
    files = [
        write_measurement(tmp_path / "x.json", before),
        write_measurement(tmp_path / "y.json", after),
    ]
    report = tmp_path / "ratios.json"
    assert compare_cost.main([*map(str, files), "--json", str(report)]) == 0
    ratios = json.loads(report.read_text())["clips"][0]["ratios"]
    assert [ratios[name]["cpu_s"] for name in ("pipeline", "syncnet", "total")] == [0.25, 1.0, 0.5]
    assert ratios["total"]["written_mb"] == 0.5
    assert ratios["pipeline"]["peak_mib"] == 208 / 108
    lines = capsys.readouterr().out.splitlines()
    total = next(line.split() for line in lines if line.startswith("total"))
    assert total[:4] == ["total", "6.00", "3.00", "0.50"]
    assert "detector: x before, y after" in lines
    assert not any(line.startswith(("runs", "load_average")) for line in lines)


def test_ratios_without_a_whole_counterpart(tmp_path: Path) -> None:
    """A total over more stages is not compared; nothing before gives no ratio, not an error."""
    none = {"pipeline": Cost(1.0, 1.0, 1.0, 0.0, 0.0, 0.0)}
    before = cost.summary("a.mp4", [none], video_s=1.0)
    after = cost.summary("a.mp4", [costs_of(1.0, 1.0)], video_s=1.0)
    ratios = compare_cost.ratios(before, after)
    assert list(ratios) == ["pipeline"]
    assert ratios["pipeline"]["written_mb"] is None
    assert compare_cost.table(before, after, ratios)[0][-1] == "-"


def test_clips_are_compared_by_name(tmp_path: Path) -> None:
    one, two = (cost.summary(name, [costs_of(1.0)], video_s=1.0) for name in ("a.mp4", "b.mp4"))
    assert compare_cost.pairs([one, two], [two, one]) == [(one, one), (two, two)]
    files = [
        write_measurement(tmp_path / "x.json", one, two),
        write_measurement(tmp_path / "y.json"),
    ]
    assert cli.run(lambda: compare_cost.main([str(file) for file in files])) == 2
    files[0].write_text('{"clips": [1]}')
    assert cli.run(lambda: compare_cost.main([str(file) for file in files])) == 2


def test_a_failing_stage_is_named_and_nothing_is_written(
    no_face_clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def commands(*_: object, **__: object) -> dict[str, list[str]]:
        failing = "import sys; print('one', file=sys.stderr); sys.exit('error: the disk is full')"
        return {"pipeline": python("pass"), "syncnet": python(failing)}

    monkeypatch.setattr(cost, "stage_commands", commands)
    monkeypatch.setattr(cost, "startup_cpu_s", lambda *_, **__: {})
    report = tmp_path / "told.json"
    arguments = [str(no_face_clip), "--json", str(report), "--work", str(tmp_path)]
    assert cli.run(lambda: cost.main(arguments)) == 1
    output = capsys.readouterr().err
    assert output == (
        "error: run_syncnet.py on noface.mp4 failed with exit code 1: error: the disk is full\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "flags",
    [
        ("--runs", "0"),
        ("--published_size",),
        ("--work", "no_folder"),
        ("--json", "no_folder/told.json"),
        ("no_video.mp4",),
    ],
)
def test_what_can_only_fail_later_is_refused(
    flags: tuple[str, ...], no_face_clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(lambda: cost.main([str(no_face_clip), *flags])) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_stages_are_a_start_of_the_three(no_face_clip: Path) -> None:
    for text in ("syncnet", "pipeline,visualise", "pipeline,dub", ""):
        with pytest.raises(SystemExit):
            cost.main([str(no_face_clip), "--stages", text])


def test_cutting_keeps_the_first_frames_and_the_sound(example: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.mp4"
    cost.cut(example, short, seconds=1.0)
    frames = list(decode.read_frames(short))
    assert len(frames) == 25
    first = next(iter(decode.read_frames(example)))
    assert np.abs(frames[0].astype(int) - first).mean() < 3
    assert len(decode.read_audio(short)) == pytest.approx(16_000, abs=1_600)


def moving_faces(count: int) -> list[list[Face]]:
    """Per frame one face that moves, and a second one on every third."""
    return [
        [Face((20.0 + i, 10.0, 60.0 + i, 60.0), 0.95)]
        + [Face((100.0, 40.0, 140.0, 90.0 + i), 0.8)] * (i % 3 == 0)
        for i in range(count)
    ]


def with_faces(folder: Path) -> Path:
    """A faces.pckl for `no_face_clip`."""
    work = Workspace(folder, "given")
    work.folder("pywork").mkdir(parents=True)
    work.write_faces(moving_faces(20))
    return work.folder("pywork") / "faces.pckl"


def test_given_faces_are_found_in_any_order_at_full_cost(
    no_face_clip: Path, tmp_path: Path, cpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces_file = tmp_path / "given.npz"
    with_boxes.write_boxes(faces_file, no_face_clip, with_faces(tmp_path))
    pictures = 0
    computed = s3fd.S3FD.forward

    def counting(model: s3fd.S3FD, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        nonlocal pictures
        pictures += len(images)
        return computed(model, images)

    monkeypatch.setattr(s3fd.S3FD, "forward", counting)
    with_boxes.answer_with(with_boxes.GivenFaces(faces_file))
    detector = stream_of(s3fd.S3FD(s3fd.SMALL).eval(), facedet_scale=0.8)
    frames = list(decode.read_frames(no_face_clip))
    order = [7, 3, 19, 0, 12, 4]
    for index in order:
        detector.feed(frames[index])
    expected = moving_faces(20)
    for index, detected in zip(order, detector.faces(), strict=True):
        boxes = sorted(face.box for face in detected)
        np.testing.assert_allclose(boxes, [face.box for face in expected[index]], atol=0.01)
    assert pictures == len(order)


def test_faces_of_another_video_are_refused(
    no_face_clip: Path, tmp_path: Path, example: Path
) -> None:
    faces = with_faces(tmp_path)
    with pytest.raises(PipelineError, match="20 frames"):
        with_boxes.write_boxes(tmp_path / "given.npz", example, faces)


def test_networks_of_the_published_size_on_given_faces(
    no_face_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The real script: without the given faces there is no track on a test picture."""
    report = tmp_path / "told.json"
    flags = ["--published_size", "--boxes", str(with_faces(tmp_path)), "--stages", "pipeline"]
    flags += ["--runs", "1", "--json", str(report), "--work", str(tmp_path)]
    flags += ["--", "--min_track", "15", "--min_face_size", "30"]
    assert cost.main([str(no_face_clip), *flags]) == 0
    result = json.loads(report.read_text())
    (clip,) = result["clips"]
    assert (clip["tracks"], clip["video_s"], clip["detector"]) == (1, 0.8, "sfd_face.pth")
    stage = clip["stages"]["pipeline"]
    assert 0 < stage["pyframes_mb"] < stage["left_mb"] <= stage["written_mb"]
    assert stage["cpu_s"] > result["startup_cpu_s"]["pipeline"] > 0.1
    assert f"{stage['cpu_s']:.2f}" in capsys.readouterr().out
    assert result["settings"]["pipeline_flags"] == flags[-4:]
