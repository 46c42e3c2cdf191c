"""The four scripts killed, stopped, run twice at once, on full and read-only disks."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import run_syncnet
from models import weights
from models.wav2lip import Wav2Lip, Wav2LipConfig
from pipeline import cli
from pipeline.faces.options import FaceOptions
from pipeline.faces.stage import find_faces
from pipeline.store.workspace import Workspace
from tests.conftest import FACE_FLAGS
from tests.interruption_kit import (
    MAINS,
    REFERENCE,
    Stage,
    after_next_run,
    contents,
    disturb,
    leaves_nobody,
    measured_stage,
    output_of,
    recovered,
    start,
)

SCRIPTS = tuple(MAINS)
KILLS = 60  # over the four scripts

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")


@pytest.fixture(scope="module")
def stages(
    face_clip: Path, tmp_path_factory: pytest.TempPathFactory, cpu: torch.device
) -> dict[str, Stage]:
    """Every script with older results of its own to replace, and what it makes undisturbed."""
    folder = tmp_path_factory.mktemp("stages")
    generator = folder / "generator.safetensors"
    torch.manual_seed(0)
    weights.write_own(Wav2Lip(Wav2LipConfig(0.05)), generator, config=Wav2LipConfig(0.05))
    flags: dict[str, tuple[str, ...]] = {
        "run_pipeline.py": ("--videofile", str(face_clip), "--overwrite", *FACE_FLAGS),
        "run_syncnet.py": (),
        "run_visualise.py": (),
        "run_wav2lip.py": ("--checkpoint", str(generator), "--batch_size", "4"),
    }
    work = Workspace(folder / "before0", REFERENCE)
    find_faces(face_clip, work, FaceOptions(min_track=12), device=cpu)
    where = ["--data_dir", str(work.data_dir), "--reference", REFERENCE]
    assert cli.run(lambda: run_syncnet.main([*where, "--vshift", "10"])) == 0
    durations = {}
    for number, name in enumerate(SCRIPTS):
        before = folder / f"before{number}"
        if number:
            shutil.copytree(folder / f"after{number - 1}", before)
            older = Workspace(before, REFERENCE)
            if name == "run_syncnet.py":
                where[1] = str(before)
                assert cli.run(lambda: run_syncnet.main([*where, "--vshift", "10"])) == 0
            for file in (older.labelled_video, older.dubbed_video, older.dubbed_record):
                file.write_bytes(b"old")
        shutil.rmtree(before / "pytmp", ignore_errors=True)
        durations[name] = measured_stage(name, flags[name], before, folder / f"after{number}")
        assert durations[name].old != durations[name].new
    return durations


def _kill(running: "subprocess.Popen[str]", _: Path) -> None:
    running.kill()


def _moments(count: int) -> list[object]:
    """Moments in the work, as parts of it, drawn once: four for every day, all with -m slow."""
    rng = random.Random(13)
    moments = [(SCRIPTS[number % len(SCRIPTS)], rng.uniform(0, 0.9)) for number in range(count)]
    return [
        pytest.param(name, at, marks=[] if number < 4 else pytest.mark.slow, id=f"{name}-{at:.3f}")
        for number, (name, at) in enumerate(moments)
    ]


@pytest.mark.parametrize(("name", "at"), _moments(KILLS))
def test_a_killed_run_is_simply_run_again(
    name: str, at: float, stages: dict[str, Stage], tmp_path: Path
) -> None:
    """Kill -9 leaves the previous or the complete new results; the next run succeeds."""
    stage = stages[name]
    running, output, data_dir = disturb(stage, tmp_path, _kill, at=at)
    assert running.returncode == -signal.SIGKILL, output
    nobody = leaves_nobody(running)
    assert recovered(data_dir) in (stage.old, stage.new)
    assert after_next_run(stage, data_dir) == stage.new
    assert nobody, "a process went on for more than 5 s"


def _signals() -> list[object]:
    """Both signals for each script; every day one of the two."""
    return [
        pytest.param(
            name,
            number,
            marks=[] if (index + number) % 2 else pytest.mark.slow,
            id=f"{name}-{number.name}",
        )
        for index, name in enumerate(SCRIPTS)
        for number in (signal.SIGTERM, signal.SIGINT)
    ]


@pytest.mark.parametrize(("name", "number"), _signals())
def test_a_stopped_run_clears_up(
    name: str, number: signal.Signals, stages: dict[str, Stage], tmp_path: Path
) -> None:
    """Exit code of the signal, nothing unfinished, no ffmpeg left, whole results."""
    stage = stages[name]
    running, output, data_dir = disturb(
        stage, tmp_path, lambda running, _: running.send_signal(number), at=0.4
    )
    assert running.returncode == 128 + number, output
    assert "stopped; run the same command again." in output and "Traceback" not in output
    assert leaves_nobody(running)
    assert contents(data_dir) in (stage.old, stage.new)
    assert not Workspace(data_dir, REFERENCE).scratch.exists()


def test_sigterm_is_handled_by_a_script_only_while_it_runs() -> None:
    """The handler of whoever calls it is left alone, and a second SIGTERM waits for the end."""
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    cleared = []

    def main() -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
            raise AssertionError("it was not stopped")
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            cleared.append(True)

    assert cli.run(main) == 143 and cleared == [True]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    own = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        assert cli.run(lambda: bool(signal.getsignal(signal.SIGTERM)) - 1) == 0
    finally:
        signal.signal(signal.SIGTERM, own)


@pytest.mark.parametrize("name", SCRIPTS)
def test_two_runs_at_once(name: str, stages: dict[str, Stage], tmp_path: Path) -> None:
    """The second is refused with exit code 1, or they run one after the other."""
    stage = stages[name]
    shutil.copytree(stage.before, tmp_path / "work")
    runs = [start(stage, tmp_path / "work", until_working=False) for _ in range(2)]
    output = [output_of(run) for run in runs]
    codes = sorted(run.returncode for run in runs)
    assert codes in ([0, 1], [0, 0]), output
    for run, words in zip(runs, output, strict=True):
        if run.returncode:
            assert words.startswith("error: Another run is working") and words.count("\n") == 1
    assert contents(tmp_path / "work") == stage.new


def _removals() -> list[object]:
    """Passing files or all of them, for each script; every day one of the two."""
    return [
        pytest.param(name, removed, marks=[] if (index + all_of_it) % 2 else pytest.mark.slow)
        for index, name in enumerate(SCRIPTS)
        for all_of_it, removed in enumerate(("pytmp", "."))
    ]


@pytest.mark.parametrize(("name", "removed"), _removals())
def test_a_folder_removed_under_a_run(
    name: str, removed: str, stages: dict[str, Stage], tmp_path: Path
) -> None:
    """Without temporary files: old or new results. Without all: an error, no partial results."""
    stage = stages[name]

    def remove(_: object, data_dir: Path) -> None:
        # Where files appear while it removes, it tries again, as people do.
        for _attempt in range(5):
            shutil.rmtree(data_dir / removed, ignore_errors=True)

    running, output, data_dir = disturb(stage, tmp_path, remove, at=0.3)
    assert running.returncode in (0, 1, 2), output
    assert "Traceback" not in output
    if running.returncode:
        assert output.splitlines()[-1].startswith("error: ")
    assert leaves_nobody(running)
    if removed == "pytmp":
        assert recovered(data_dir) in (stage.old, stage.new)
        assert after_next_run(stage, data_dir) == stage.new
    elif name == "run_pipeline.py":
        after = after_next_run(stage, data_dir)
        assert after == stage.new
    else:
        assert not Workspace(data_dir, REFERENCE).scratch.exists()


# Disks, small and read-only; in this process, as no moment matters.


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, which must not grow."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a file system of its own")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def _run(stage: Stage, data_dir: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    code = cli.run(lambda: MAINS[stage.name](stage.arguments(data_dir)))
    return code, capsys.readouterr().err


def _parts_of_needed_space() -> list[object]:
    return [
        pytest.param(part, marks=[] if part == 0.5 else pytest.mark.slow)
        for part in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97)
    ]


@pytest.mark.parametrize("part", _parts_of_needed_space())
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_full_disk_costs_no_results(
    name: str, part: float, stages: dict[str, Stage], disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence, the old results; with more space the same command makes the new ones."""
    stage, data_dir = stages[name], disk / "work"
    shutil.copytree(stage.before, data_dir)
    changed = [content for key, content in stage.new.items() if stage.old.get(key) != content]
    needed = sum(-len(content) // 4096 * -4096 for content in changed)
    space = os.statvfs(disk)
    used_bytes = (space.f_blocks - space.f_bfree) * space.f_frsize
    _remount(disk, f"size={used_bytes + int(part * needed) // 4096 * 4096 + 4096}")
    code, output = _run(stage, data_dir, capsys)
    assert code in (0, 1, 2), output
    if code:
        assert output.startswith("error: ") and output.count("\n") == 1
        assert contents(data_dir) == stage.old
    else:
        assert contents(data_dir) == stage.new
    assert code or part > 0.5, "it was never full"
    _remount(disk, "size=64m")
    assert _run(stage, data_dir, capsys) == (0, "")
    assert contents(data_dir) == stage.new


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_read_only_folder_is_named(
    name: str, stages: dict[str, Stage], disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before any work; and nothing is changed when it can be written again."""
    stage, data_dir = stages[name], disk / "work"
    shutil.copytree(stage.before, data_dir)
    _remount(disk, "ro")
    code, output = _run(stage, data_dir, capsys)
    assert code == 2 and output.startswith(f"error: --data_dir {data_dir} cannot be written")
    assert output.count("\n") == 1
    _remount(disk, "rw")
    assert contents(data_dir) == stage.old
    assert _run(stage, data_dir, capsys) == (0, "")
    assert contents(data_dir) == stage.new
