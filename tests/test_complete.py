"""Complete results are kept, damaged ones are made again, and every advice works."""

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import run_pipeline
import run_syncnet
import run_visualise
import run_wav2lip
from models import weights
from models.weights import WeightsFile
from pipeline import cli
from pipeline.dubbing import stage as dub_stage
from pipeline.errors import PipelineError
from pipeline.faces import stage as faces_stage
from pipeline.store.files import write_json
from pipeline.store.workspace import Workspace
from tests.conftest import FACE_FLAGS, FACE_OPTIONS, REPO, snapshot
from tests.dub_kit import MouthShowsSound
from tests.synthetic import ffmpeg

MAINS = {
    "run_pipeline.py": run_pipeline.main,
    "run_syncnet.py": run_syncnet.main,
    "run_visualise.py": run_visualise.main,
    "run_wav2lip.py": run_wav2lip.main,
}
Said = tuple[int, str]
Command = Callable[..., Said]


@pytest.fixture
def work(done: Workspace, tmp_path: Path) -> Workspace:
    """Complete results of the face clip, to be changed."""
    shutil.copytree(done.data_dir, tmp_path / "work")
    return Workspace(tmp_path / "work", "face")


@pytest.fixture
def command(
    work: Workspace,
    face_clip: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Command:
    """Runs a script on the face clip's results; gives its exit code and its output."""
    stub = MouthShowsSound(), WeightsFile("stub", "0" * 64)
    monkeypatch.setattr(weights, "load_wav2lip", lambda checkpoint, *, device: stub)

    def run(name: str, *flags: str) -> Said:
        where = ["--data_dir", str(work.data_dir), "--reference", "face"]
        if name == "run_pipeline.py":
            where += ["--videofile", str(face_clip), *FACE_FLAGS]
        capsys.readouterr()
        code = cli.run(lambda: MAINS[name]([*where, *flags]))
        output = capsys.readouterr()
        assert not output.err or output.err.count("\n") == 1, output.err
        return code, output.out + output.err

    return run


def _contents(folder: Path) -> dict[str, bytes]:
    return {name: content for name, (_, content) in snapshot(folder).items()}


PROMISED = (
    *("pyavi/video.avi", "pyavi/audio.wav", "pyframes/000017.jpg", "pyframes", "pycrop/00000.avi"),
    *("pycrop", "pywork/tracks.pckl", "pywork/faces.pckl", "pywork/scene.pckl"),
)


@pytest.mark.parametrize("name", PROMISED)
def test_a_missing_file_is_noticed_and_made_again(
    name: str, work: Workspace, done: Workspace, command: Command
) -> None:
    """No --overwrite is needed for the same input and settings; a notice names the file."""
    folder_name, _, file = name.partition("/")
    path = work.folder(folder_name) / file
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    code, output = command("run_pipeline.py")
    assert code == 0 and "missing: everything was made again." in output and "Kept" not in output
    assert str(work.folder(folder_name)) in output
    assert _contents(work.data_dir) == _contents(done.data_dir)
    assert "Kept" in command("run_pipeline.py")[1]


def test_an_empty_file_is_a_missing_one(work: Workspace, command: Command) -> None:
    """As a power failure leaves it."""
    work.crop(0).write_bytes(b"")
    assert "00000.avi is missing" in command("run_pipeline.py")[1]
    assert work.crop(0).stat().st_size


@pytest.mark.parametrize("flags", [("--keep_frames", "no"), ()], ids=["no frames", "frames"])
def test_frames_that_were_not_to_be_stored_are_not_missing(
    flags: tuple[str, ...], work: Workspace, command: Command
) -> None:
    """With --keep_frames no the results are complete without frames."""
    assert command("run_pipeline.py", "--overwrite", *flags)[0] == 0
    assert "Kept" in command("run_pipeline.py", *flags)[1]


def test_a_video_without_sound_or_faces_is_complete(
    no_face_clip: Path, tmp_path: Path, cpu: torch.device, clips: Path
) -> None:
    """Results without audio.wav or clips are complete where the video has no sound or face."""
    silent = clips / "silent_noface.mp4"
    ffmpeg("-i", no_face_clip, "-an", "-c", "copy", silent)
    work = Workspace(tmp_path, "silent")
    first = faces_stage.find_faces(silent, work, FACE_OPTIONS, device=cpu)
    assert not first.was_complete and not work.audio.exists()
    assert faces_stage.find_faces(silent, work, FACE_OPTIONS, device=cpu).was_complete


def test_a_sound_stream_that_holds_nothing_leaves_no_sound(
    no_face_clip: Path, tmp_path: Path, cpu: torch.device, clips: Path
) -> None:
    """The header names a sound stream without samples: a notice, and complete results."""
    mute = clips / "mute_noface.mkv"
    ffmpeg("-i", no_face_clip, "-c:v", "copy", "-af", "atrim=end=0", "-c:a", "aac", mute)
    work = Workspace(tmp_path, "mute")
    first = faces_stage.find_faces(mute, work, FACE_OPTIONS, device=cpu)
    assert any("breaks off: there is none from 0.00" in notice for notice in first.notices)
    assert not work.audio.exists()
    assert faces_stage.find_faces(mute, work, FACE_OPTIONS, device=cpu).was_complete


def test_overwrite_always_runs(work: Workspace, done: Workspace, command: Command) -> None:
    """The same input and settings too; results of later stages go."""
    work.offsets_text.write_text("of an earlier run")
    before = work.tracks.stat().st_ino
    code, output = command("run_pipeline.py", "--overwrite")
    assert code == 0 and "Kept" not in output and "1 tracks in" in output
    assert work.tracks.stat().st_ino != before and not work.offsets_text.exists()
    assert _contents(work.data_dir) == _contents(done.data_dir)


def test_what_later_stages_made_stays_where_the_tracks_are_the_same(
    work: Workspace, command: Command
) -> None:
    """Frames that were cleared to gain space do not cost the dubbed video."""
    assert command("run_syncnet.py")[0] == command("run_visualise.py")[0] == 0
    assert command("run_wav2lip.py")[0] == 0
    before = _contents(work.data_dir)
    shutil.rmtree(work.folder("pyframes"))
    assert "made again" in command("run_pipeline.py")[1]
    assert _contents(work.data_dir) == before
    work.tracks.unlink()
    assert "made again" in command("run_pipeline.py")[1]
    assert not work.dubbed_video.exists() and not work.offsets_json.exists()


def test_kept_results_load_no_detector(
    work: Workspace, face_clip: Path, cpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the detector's file is read to decide that results are complete."""
    monkeypatch.setattr(weights, "load_s3fd", None)
    assert faces_stage.find_faces(face_clip, work, FACE_OPTIONS, device=cpu).was_complete


def test_a_file_removed_during_the_run_is_noticed(
    work: Workspace, face_clip: Path, cpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Incomplete results never replace complete ones."""
    make = faces_stage._make

    def losing(*arguments: Any, **options: Any) -> object:
        result = make(*arguments, **options)
        Workspace(work.data_dir, "face", staged=True).crop(0).unlink()
        return result

    monkeypatch.setattr(faces_stage, "_make", losing)
    before = snapshot(work.data_dir)
    with pytest.raises(PipelineError, match=r"00000\.avi is missing at the end of the run"):
        faces_stage.find_faces(face_clip, work, FACE_OPTIONS, device=cpu, overwrite=True)
    assert snapshot(work.data_dir) == before


@pytest.mark.parametrize("changed", ["file", "sha256"])
def test_results_of_other_weights_are_not_kept(
    changed: str, work: Workspace, command: Command
) -> None:
    """A detector that was trained again finds other faces: its results need --overwrite."""
    record = json.loads(work.record.read_text())
    record["detector"][changed] = "0" * 64
    write_json(work.record, record)
    before = _contents(work.data_dir)
    code, output = command("run_pipeline.py")
    assert code == 2 and "add --overwrite" in output and _contents(work.data_dir) == before


# What errors advise is done, and works.


def _remove(*names: str) -> Callable[[Workspace], None]:
    def damage(work: Workspace) -> None:
        for name in names:
            folder_name, _, file = name.partition("/")
            (work.folder(folder_name) / file).unlink()

    return damage


def _damage(name: str, content: bytes) -> Callable[[Workspace], None]:
    def damage(work: Workspace) -> None:
        (work.folder("pywork") / name).write_bytes(content)

    return damage


def _other_video_behind(work: Workspace) -> None:
    record = json.loads(work.record.read_text())
    work.record.write_text(json.dumps(record | {"file": "/nowhere/face.mp4"}))
    work.video.unlink()


OVERWRITE = "run_pipeline.py", "--overwrite"
ADVICE: dict[str, tuple[Callable[[Workspace], None], str, str, list[tuple[str, ...]]]] = {
    "no video.avi to label": (
        *(_remove("pyavi/video.avi"), "run_visualise.py"),
        "video.avi is not there; run run_pipeline.py again with --overwrite",
        [OVERWRITE, ("run_syncnet.py",)],
    ),
    "no video to dub": (
        *(_other_video_behind, "run_wav2lip.py"),
        "video.avi is not there; run run_pipeline.py again with --overwrite",
        [OVERWRITE],
    ),
    "no clip": (
        *(_remove("pycrop/00000.avi"), "run_syncnet.py"),
        "00000.avi is not there, .* run run_pipeline.py again with --overwrite",
        [OVERWRITE],
    ),
    "no tracks": (
        *(_remove("pywork/tracks.pckl"), "run_syncnet.py"),
        "tracks.pckl is not there; run run_pipeline.py --reference face first",
        [("run_pipeline.py",)],
    ),
    "damaged tracks": (
        *(_damage("tracks.pckl", b"?"), "run_wav2lip.py"),
        "tracks.pckl is not a pickle .*; delete it and run the step that writes it again",
        [("delete", "tracks.pckl"), ("run_pipeline.py",)],
    ),
    "other tracks": (
        *(_damage("tracks.pckl", pickle.dumps([1])), "run_syncnet.py"),
        "tracks.pckl has another format; run run_pipeline.py again with --overwrite",
        [OVERWRITE],
    ),
    "no scores": (
        *(_remove("pywork/activesd.pckl"), "run_visualise.py"),
        "activesd.pckl is not there; run run_syncnet.py --reference face first",
        [("run_syncnet.py",)],
    ),
    "damaged scores": (
        *(_damage("activesd.pckl", b"?"), "run_visualise.py"),
        "activesd.pckl is not a pickle .*; delete it and run the step that writes it again",
        [("delete", "activesd.pckl"), ("run_syncnet.py",)],
    ),
    "other scores": (
        *(_damage("activesd.pckl", pickle.dumps([1])), "run_visualise.py"),
        "activesd.pckl has another format; run run_syncnet.py again",
        [("run_syncnet.py",)],
    ),
    "scores of other tracks": (
        *(_damage("activesd.pckl", pickle.dumps([])), "run_visualise.py"),
        "1 tracks but scores for 0; run run_syncnet.py again",
        [("run_syncnet.py",)],
    ),
    "damaged offsets": (
        *(_damage("offsets.json", b"{"), "run_wav2lip.py"),
        "offsets.json is damaged; run run_syncnet.py again",
        [("run_syncnet.py",)],
    ),
    "offsets of another form": (
        *(_damage("offsets.json", b"[1]"), "run_wav2lip.py"),
        "offsets.json has another format; run run_syncnet.py again",
        [("run_syncnet.py",)],
    ),
    "other offsets": (
        *(_damage("offsets.json", b"{}"), "run_wav2lip.py"),
        "offsets.json has another format; run run_syncnet.py again",
        [("run_syncnet.py",)],
    ),
}


@pytest.mark.parametrize("case", ADVICE)
def test_advice_works(case: str, work: Workspace, command: Command) -> None:
    """The advice of an error is followed literally, and the stage then succeeds."""
    damage, stage, output, advised = ADVICE[case]
    assert command("run_syncnet.py")[0] == 0
    damage(work)
    code, complaint = command(stage)
    assert code == 2
    assert re.search(output, complaint), complaint
    for step, *rest in advised:
        if step == "delete":
            (work.folder("pywork") / rest[0]).unlink()
        else:
            assert command(step, *rest)[0] == 0
    assert command(stage)[0] == 0


def test_results_in_the_way_are_replaced_as_advised(
    work: Workspace, no_face_clip: Path, tmp_path: Path, cpu: torch.device
) -> None:
    """Also those of another program, which have no pipeline.json: it says --overwrite, rightly."""
    work.record.unlink()
    with pytest.raises(PipelineError, match="add --overwrite"):
        faces_stage.find_faces(no_face_clip, work, FACE_OPTIONS, device=cpu)
    assert not faces_stage.find_faces(
        no_face_clip, work, FACE_OPTIONS, device=cpu, overwrite=True
    ).was_complete


# The record.


def test_the_record_knows_the_input_from_everywhere(
    face_clip: Path, tmp_path: Path, cpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative --videofile is found by a run_wav2lip.py that is started in another folder."""
    (tmp_path / "videos").mkdir()
    shutil.copy(face_clip, tmp_path / "videos" / "face.mp4")
    monkeypatch.chdir(tmp_path)
    work = Workspace(tmp_path / "data" / "work", "face")
    faces_stage.find_faces(Path("videos/face.mp4"), work, FACE_OPTIONS, device=cpu)
    monkeypatch.chdir("/")
    source, notices = dub_stage.find_source(work)
    assert (source.path, notices) == (tmp_path / "videos" / "face.mp4", [])


def test_relative_records_are_looked_up_around_the_results(
    work: Workspace, face_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older ones hold the path as it was typed, mostly in a folder above DATA_DIR."""
    (tmp_path / "videos").mkdir()
    shutil.copy(face_clip, tmp_path / "videos" / "face.mp4")
    record = json.loads(work.record.read_text())
    write_json(work.record, record | {"file": "videos/face.mp4"})
    monkeypatch.chdir("/")
    source, notices = dub_stage.find_source(work)
    assert notices == [] and source.path.samefile(tmp_path / "videos" / "face.mp4")
    (tmp_path / "videos" / "face.mp4").write_bytes(b"another")
    source, [notice] = dub_stage.find_source(work)
    assert source.path == work.video and notice.startswith("videos/face.mp4 is gone or changed")


def test_json_has_no_nan(tmp_path: Path) -> None:
    """NaN and infinities are no JSON: they are null, wherever they are."""
    value = {"a": float("nan"), "b": [float("inf"), 1.5], "c": ({"d": -float("inf")},), "e": None}
    write_json(tmp_path / "a.json", value | {"f": np.float64("nan")})

    def refuse(name: str) -> None:
        raise AssertionError(name)

    read = json.loads((tmp_path / "a.json").read_text(), parse_constant=refuse)
    assert read == {"a": None, "b": [None, 1.5], "c": [{"d": None}], "e": None, "f": None}


# Words of the scripts.


@pytest.mark.parametrize("name", ["run_syncnet.py", "run_visualise.py", "run_wav2lip.py"])
def test_missing_reference_is_an_error(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the flags that give a reference."""
    assert cli.run(lambda: MAINS[name]([])) == 2
    assert "give --reference or --videofile." in capsys.readouterr().err


@pytest.mark.parametrize("name", ["run_pipeline.py", "run_syncnet.py"])
def test_a_closed_pipe_ends_the_script_quietly(name: str, work: Workspace, face_clip: Path) -> None:
    """`| true`: no traceback, and the exit code of a program that SIGPIPE ended."""
    flags = ["--videofile", face_clip, *FACE_FLAGS] if name == "run_pipeline.py" else []
    where = ["--data_dir", work.data_dir, "--reference", "face"]
    read, write = os.pipe()
    os.close(read)
    try:
        process = subprocess.run(
            [sys.executable, str(REPO / name), *map(str, where + flags)],
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(write)
    assert (process.returncode, process.stderr) == (141, "")
