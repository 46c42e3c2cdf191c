"""An ffmpeg that hangs, fills the disk, lacks an encoder, or outlives its script."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import InputError, PipelineError
from pipeline.media import clock, decode, encode, mp4, process
from pipeline.media.process import Process, find_ffmpeg
from pipeline.store.workspace import Workspace
from tests.conftest import REPO
from tests.synthetic import ffmpeg

STALL_S = 1.5
FRAME = np.zeros((48, 64, 3), np.uint8)
PROC = Path("/proc")
HANGS = "import time\ntime.sleep(600)"
HANGS_AFTER_INPUT = "import sys, time\nsys.stdin.buffer.read()\ntime.sleep(600)"
# Writes for ever to the last argument, at a pace at which no disk is full before it is stopped.
FLOODS = """
import sys, time
name = sys.argv[-1].removeprefix("file:")
sys.stdin.buffer.read(1000)
with open(name, "wb") as file:
    while True:
        file.write(bytes(1 << 20))
        file.flush()
        time.sleep(0.02)
"""


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Shorter time limits, and no cached knowledge about ffmpeg."""
    monkeypatch.setattr(process, "STALL_S", STALL_S)
    monkeypatch.setattr(process, "OUTPUT_SLACK_BYTES", 4 << 20)
    yield
    monkeypatch.undo()
    _forget()


def _forget() -> None:
    for cached_answer in (
        *(process.find_ffmpeg, process.ffmpeg_version, process.every_frame),
        *(process.encoders, process.decodable_codecs, process.demuxers),
    ):
        cached_answer.cache_clear()


def _program(folder: Path, python: str) -> Path:
    """A program named ffmpeg that is a Python script."""
    path = folder / "ffmpeg"
    path.write_text(f"#!{sys.executable}\n{python}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def _fake(folder: Path, monkeypatch: pytest.MonkeyPatch, when: str, then: str) -> None:
    """Makes the toolkit use an ffmpeg that does otherwise in some case.

    Args:
        folder: where it is written.
        monkeypatch: for $FFMPEG_BINARY.
        when: a condition on `arguments`, in Python.
        then: what it does, in Python; else it is the real one.
    """
    real = find_ffmpeg()
    indented = "\n".join(f"    {line}" for line in then.strip().splitlines())
    program = _program(
        folder,
        f"import os, sys\narguments = sys.argv[1:]\nif {when}:\n{indented}\n"
        f"os.execv({real!r}, [{real!r}, *arguments])",
    )
    monkeypatch.setenv("FFMPEG_BINARY", str(program))
    _forget()


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A second of picture and sound."""
    path = tmp_path / "film.mkv"
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1", "-f", "lavfi", "-i", "sine=d=1"),
        *("-c:v", "mpeg4", "-c:a", "pcm_s16le", path),
    )
    return path


def _command(python: str, *arguments: str | Path) -> list[str]:
    return [sys.executable, "-c", python, *map(str, arguments)]


def test_a_process_that_says_nothing_is_stopped() -> None:
    """It is read from, nothing comes, and the reason is one sentence."""
    started = time.monotonic()
    with Process(_command(HANGS)) as hanging:
        assert hanging.read() == b""
        with pytest.raises(PipelineError, match=r"Reading x failed: ffmpeg made no progress for"):
            hanging.check("Reading x")
    assert STALL_S <= time.monotonic() - started < STALL_S + 5


def test_a_process_that_hangs_after_its_input_is_stopped() -> None:
    """It has read all input and does not end."""
    with Process(_command(HANGS_AFTER_INPUT), stdin=subprocess.PIPE) as hanging:
        hanging.write(memoryview(bytes(1000)), "Writing x")
        with pytest.raises(PipelineError, match=r"Writing x failed: ffmpeg made no progress"):
            hanging.check("Writing x")


def test_a_process_that_takes_nothing_is_stopped() -> None:
    """The pipe is full, the writer waits."""
    with (
        pytest.raises(PipelineError, match=r"Writing x failed: ffmpeg made no progress"),
        Process(_command(HANGS), stdin=subprocess.PIPE) as hanging,
    ):
        hanging.write(memoryview(bytes(1 << 22)), "Writing x")


def test_a_slow_caller_is_no_stall() -> None:
    """While nobody waits for the process, its silence means nothing."""
    with Process(_command("print(1)")) as quick:
        time.sleep(2 * STALL_S)
        assert quick.read() == b"1\n"
        quick.check("Reading x")


@pytest.mark.parametrize("piped", [True, False])
def test_a_process_that_writes_without_end_is_stopped(piped: bool, tmp_path: Path) -> None:
    """It is stopped when it has written far more than its input can explain."""
    target, source = tmp_path / "flood", tmp_path / "source"
    source.write_bytes(bytes(100))
    how: Any = {"stdin": subprocess.PIPE} if piped else {"source": source}
    with Process(_command(FLOODS, target), files=[target], **how) as flooding:
        if piped:
            flooding.write(memoryview(bytes(1000)), "Writing x")
        with pytest.raises(PipelineError, match=r"ffmpeg wrote more than its input can explain"):
            flooding.check("Writing x")
    assert target.stat().st_size < 200 << 20


def test_an_encoder_that_never_ends_leaves_nothing(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What once happened to every dubbed video: one sentence, and no file, whole or partial."""
    last = "[word for word in arguments if word.startswith('file:')][-1]"
    endless = f"sys.argv.append({last}.removeprefix('file:'))\n{FLOODS}"
    _fake(tmp_path, monkeypatch, "'rawvideo' in arguments and 'mp4' in arguments", endless)
    before = set(tmp_path.iterdir())
    with (
        pytest.raises(PipelineError, match=r"out\.mp4 failed: ffmpeg .* was stopped\.$"),
        mp4.Mp4Writer(
            tmp_path / "out.mp4", size_px=(64, 48), frame_rate=25, sounds=[mp4.Sound(film)]
        ) as writer,
    ):
        for _ in range(25):
            writer.write(FRAME)
    assert set(tmp_path.iterdir()) == before


def test_readers_of_a_hanging_ffmpeg_end(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Probing gives an InputError, reading the sound a PipelineError, each one sentence."""
    info = decode.probe(film)
    _fake(tmp_path, monkeypatch, "'-i' in arguments", HANGS)
    with pytest.raises(InputError, match=r"film\.mkv .*no progress.*before the first frame\.$"):
        decode.probe(film)
    with pytest.raises(PipelineError, match=r"film\.mkv"):
        list(decode.read_frames(film, info=info))
    with pytest.raises(PipelineError, match=r"film\.mkv"):
        clock.read_contents(film, info, tmp_path)


# What an ffmpeg lacks.


def _without(folder: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """An ffmpeg built without some encoders."""
    lacking = [[name] for name in names]
    encoder_list = f"""
import subprocess
said = subprocess.run([{find_ffmpeg()!r}, *arguments], capture_output=True, text=True).stdout
print("\\n".join(line for line in said.splitlines() if line.split()[1:2] not in {lacking}))
sys.exit()
"""
    _fake(folder, monkeypatch, "'-encoders' in arguments", encoder_list)


def test_without_libx264_another_encoder_is_used(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ffmpegs of some distributions are built."""
    _without(tmp_path, monkeypatch, "libx264", "libopenh264")
    path = tmp_path / "out.mp4"
    with mp4.Mp4Writer(path, size_px=(64, 48), frame_rate=25, sounds=[mp4.Sound(film)]) as writer:
        for _ in range(25):
            writer.write(FRAME)
    assert "Video: mpeg4" in ffmpeg("-i", path, "-f", "null", "-")


@pytest.mark.parametrize("name", ["aac", "mpeg4"])
def test_without_an_encoder_that_is_needed_it_is_named(
    name: str, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is written, with what to do."""
    _without(tmp_path, monkeypatch, name)
    with pytest.raises(InputError, match=rf"built without the encoder {name}; install a complete"):
        if name == "aac":
            sounds = [mp4.Sound(film)]
            mp4.Mp4Writer(tmp_path / "o.mp4", size_px=(64, 48), frame_rate=25, sounds=sounds)
        else:
            encode.VideoWriter(tmp_path / "o.avi", size_px=(64, 48))
    assert not list(tmp_path.glob("o.*"))


# A parent that is killed.


def _session(leader: int) -> set[int]:
    """Processes of a session that live, but its leader."""
    members = set()
    for folder in PROC.iterdir():
        if folder.name.isdigit() and int(folder.name) != leader:
            try:
                fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == leader and fields[0] != "Z":
                members.add(int(folder.name))
    return members


# The argument of ffmpeg by which the process that is killed is recognised.
KILLED = {
    "run_pipeline.py": "'framecrc' in arguments",
    "run_syncnet.py": "'-i' in arguments",
    "run_visualise.py": "'XVID' in arguments",
    "run_wav2lip.py": "'-i' in arguments",
}


@pytest.mark.skipif(not PROC.is_dir(), reason="needs /proc")
@pytest.mark.parametrize("name", KILLED)
def test_a_killed_script_leaves_no_ffmpeg(
    name: str,
    done: Workspace,
    face_clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not even one that hangs and holds no pipe of the script's."""
    mark, work = tmp_path / "mark", Workspace(tmp_path / "work", done.reference)
    then = f"open({str(mark)!r}, 'w').close()\n{HANGS}"
    _fake(tmp_path, monkeypatch, KILLED[name], then)
    where: list[str | Path] = ["--data_dir", work.data_dir, "--reference", work.reference]
    if name == "run_pipeline.py":
        where += ["--videofile", face_clip]
    else:
        shutil.copytree(done.data_dir, work.data_dir)
        work.write_distances([np.ones((25, 31), np.float32)])
    script = subprocess.Popen(
        [sys.executable, REPO / name, *where],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            if mark.exists() or script.poll() is not None:
                break
            time.sleep(0.1)
        assert mark.exists() and script.poll() is None, "it never came so far"
        assert _session(script.pid)
    finally:
        script.kill()
        script.wait()
    for _ in range(50):
        if not _session(script.pid):
            return
        time.sleep(0.1)
    left = _session(script.pid)
    for process_id in left:
        os.kill(process_id, signal.SIGKILL)
    raise AssertionError(f"{len(left)} processes live 5 s after the script")
