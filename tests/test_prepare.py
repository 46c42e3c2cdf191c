"""run_pipeline.py: results, complete results, interruption and notices."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scenedetect import FrameTimecode

import run_pipeline
from pipeline import cli
from pipeline.errors import InputError
from pipeline.faces.options import FaceOptions, why_nothing
from pipeline.faces.stage import find_faces
from pipeline.faces.tracks import Face, build_tracks
from pipeline.store.workspace import FOLDERS, Workspace
from tests.conftest import FACE_FLAGS, FACE_OPTIONS, REPO, Script, snapshot
from tests.synthetic import ffmpeg, frame_count


def _load(path: Path) -> list:
    """What a tool written for the demo does."""
    with path.open("rb") as file:
        return pickle.load(file, encoding="latin1")


def test_everything_is_where_the_demo_puts_it(done: Workspace) -> None:
    """Folders, names and formats of the demo; no temporary file is left."""
    names = {path for path in snapshot(done.data_dir) if not path.startswith("pyframes")}
    assert names == {
        *("pyavi/face/video.avi", "pyavi/face/audio.wav", "pycrop/face/00000.avi"),
        *(f"pywork/face/{name}.pckl" for name in ("faces", "scene", "tracks")),
        *("pywork/face/pipeline.json", "pywork/face/frame_times.npy"),
    }
    assert len(list(done.folder("pyframes").iterdir())) == frame_count(done.video) == 30
    assert not done.scratch.exists()
    faces, scenes, tracks = (
        _load(done.folder("pywork") / f"{name}.pckl") for name in ("faces", "scene", "tracks")
    )
    assert [[face["frame"] for face in frame] for frame in faces] == [[i] for i in range(30)]
    assert all(face["conf"] > 0.9 and len(face["bbox"]) == 4 for (face,) in faces)
    assert [[edge.frame_num for edge in scene] for scene in scenes] == [[0, 30]]
    assert isinstance(scenes[0][0], FrameTimecode)
    (track,) = tracks
    np.testing.assert_array_equal(track["track"]["frame"], np.arange(30))
    np.testing.assert_allclose(track["track"]["bbox"], [face["bbox"] for (face,) in faces])
    assert all(track["proc_track"][key].shape == (30,) for key in "xys")
    assert frame_count(done.crop(0)) == 30


def test_the_face_is_where_the_sample_has_it(done: Workspace) -> None:
    """Boxes lie on the drawn face of shot one, in pixels of the full frame."""
    from data.make_example import SHOT_ONE_FACE

    x, y, height = SHOT_ONE_FACE
    ((_, path),) = done.read_tracks()
    assert np.abs(path.x - x).max() < 0.25 * height
    assert np.abs(path.y - y).max() < 0.35 * height
    assert 0.3 * height < path.s.min() and path.s.max() < 0.8 * height


def test_the_record_says_how_it_was_made(done: Workspace, face_clip: Path) -> None:
    """pipeline.json holds input, settings, weights, counts and versions."""
    record = json.loads(done.record.read_text())
    assert record["input"]["bytes"] == face_clip.stat().st_size
    assert record["settings"]["min_track"] == 10 and record["settings"]["facedet_scale"] == 0.25
    counts = {"frames": 30, "detected_frames": 7, "scenes": 1, "detections": 30, "tracks": 1}
    assert record["counts"] == counts and record["settings"]["detect_every"] == 5
    assert record["settings"]["precision"] == "auto" and record["precision"] in {"fp32", "bf16"}
    assert record["detector"]["file"] == "s3fd_small.safetensors"
    assert record["ffmpeg"].startswith("ffmpeg version") and record["file"].endswith("face.mp4")


def test_same_again_is_kept_other_settings_need_overwrite(
    done: Workspace, face_clip: Path, tmp_path: Path, script_here: Script
) -> None:
    """The same command changes no file; another is refused with 2 until --overwrite is given."""
    data_dir = tmp_path / "work"
    shutil.copytree(done.data_dir, data_dir)
    before = snapshot(data_dir)
    command = ("run_pipeline.py", "--videofile", face_clip, "--data_dir", data_dir)
    again = script_here(*command, *FACE_FLAGS)
    assert again.returncode == 0 and "Kept" in again.stdout and again.stderr == ""
    assert snapshot(data_dir) == before
    other = script_here(*command, "--min_track", "12")
    assert other.returncode == 2 and "--overwrite" in other.stderr
    assert other.stderr.startswith("error: ") and other.stderr.count("\n") == 1
    assert snapshot(data_dir) == before
    replaced = script_here(*command, "--min_track", "50", "--overwrite")
    assert replaced.returncode == 0 and "0 tracks" in replaced.stdout
    work = Workspace(data_dir, "face")
    assert work.crops() == [] and work.read_tracks() == []
    assert json.loads(work.record.read_text())["settings"]["min_track"] == 50


def test_another_input_under_the_same_name_is_refused(
    done: Workspace, no_face_clip: Path, tmp_path: Path, cpu: torch.device
) -> None:
    """Results of another video are never mixed or silently replaced."""
    shutil.copytree(done.data_dir, tmp_path / "work")
    work = Workspace(tmp_path / "work", "face")
    before = snapshot(work.data_dir)
    with pytest.raises(InputError, match="--overwrite"):
        find_faces(no_face_clip, work, FACE_OPTIONS, device=cpu)
    assert snapshot(work.data_dir) == before
    prepared = find_faces(no_face_clip, work, FACE_OPTIONS, device=cpu, overwrite=True)
    assert prepared.tracks == 0 and not prepared.was_complete and work.crops() == []


@pytest.fixture(scope="module")
def long_clip(clips: Path) -> Path:
    """A minute of a test picture with sound: long enough to be interrupted."""
    path = clips / "long.mp4"
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=s=160x120:r=25", "-f", "lavfi", "-i", "sine=440:r=16000"),
        *("-t", "60", "-c:v", "mpeg4", "-q:v", "5", "-c:a", "aac", path),
    )
    return path


def _running(command: list[str], work: Workspace) -> "subprocess.Popen[bytes]":
    """Starts a run and stops it in the middle of decoding."""
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pictures = work.scratch / "pyframes"
    deadline = time.monotonic() + 60
    while not (pictures.is_dir() and sum(1 for _ in pictures.iterdir()) > 50):
        assert run.poll() is None and time.monotonic() < deadline, "it was not caught running"
        time.sleep(0.005)
    os.kill(run.pid, signal.SIGSTOP)
    return run


def test_a_killed_run_is_run_again_and_two_never_run_at_once(
    long_clip: Path, done: Workspace, face_clip: Path, tmp_path: Path, script_here: Script
) -> None:
    """While one runs, a second is refused with 1; after SIGKILL the next ends like any other."""
    work = Workspace(tmp_path, "face")
    arguments = ("--data_dir", str(tmp_path), "--reference", "face")
    command = [sys.executable, str(REPO / "run_pipeline.py"), "--videofile", str(long_clip)]
    run = _running([*command, *arguments], work)
    try:
        second = script_here("run_pipeline.py", "--videofile", face_clip, *arguments)
        assert second.returncode == 1 and second.stderr.count("\n") == 1
        assert second.stderr.startswith("error: Another run")
    finally:
        run.kill()
        run.wait()
    assert not any(work.folder(folder_name).exists() for folder_name in FOLDERS)
    assert work.scratch.exists()
    third = script_here("run_pipeline.py", "--videofile", face_clip, *arguments, *FACE_FLAGS)
    assert third.returncode == 0 and third.stderr == ""
    result, expected = snapshot(tmp_path), snapshot(done.data_dir)
    assert {name: content for name, (_, content) in result.items()} == {
        name: content for name, (_, content) in expected.items()
    }


def test_a_run_killed_while_replacing_leaves_the_old_results(
    long_clip: Path, done: Workspace, tmp_path: Path, script_here: Script, face_clip: Path
) -> None:
    """Old results stay whole while --overwrite works; the old command then keeps them."""
    shutil.copytree(done.data_dir, tmp_path / "work")
    work = Workspace(tmp_path / "work", "face")
    before = snapshot(work.data_dir)
    arguments = ("--data_dir", str(work.data_dir), "--reference", "face")
    command = [sys.executable, str(REPO / "run_pipeline.py"), "--videofile", str(long_clip)]
    run = _running([*command, *arguments, "--overwrite"], work)
    run.kill()
    run.wait()
    second_run = script_here("run_pipeline.py", "--videofile", face_clip, *arguments, *FACE_FLAGS)
    assert second_run.returncode == 0 and "Kept" in second_run.stdout
    after = snapshot(work.data_dir)
    assert {name: after[name] for name in before} == before


def test_a_run_killed_while_committing_is_finished(
    done: Workspace, no_face_clip: Path, face_clip: Path, tmp_path: Path, cpu: torch.device
) -> None:
    """With the mark "complete" and half of the folders moved, the next run moves the rest."""
    work = Workspace(tmp_path / "work", "face")
    find_faces(no_face_clip, work, FACE_OPTIONS, device=cpu)
    staging = Workspace(work.data_dir, "face", staged=True)
    for folder_name in FOLDERS:
        shutil.copytree(done.folder(folder_name), staging.folder(folder_name))
    (work.scratch / "complete").touch()
    for folder_name in FOLDERS[:2]:
        shutil.rmtree(work.folder(folder_name))
        staging.folder(folder_name).rename(work.folder(folder_name))
    prepared = find_faces(face_clip, work, FACE_OPTIONS, device=cpu)
    assert prepared.was_complete and prepared.tracks == 1
    result, expected = snapshot(work.data_dir), snapshot(done.data_dir)
    assert {name: content for name, (_, content) in result.items()} == {
        name: content for name, (_, content) in expected.items()
    }


def test_no_face_names_the_flag(no_face_clip: Path, tmp_path: Path, script_here: Script) -> None:
    """Exit 0, a sentence with --min_face_size, and empty lists in every pickle."""
    done = script_here("run_pipeline.py", "--videofile", no_face_clip, "--data_dir", tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    assert "no face" in done.stdout and "--min_face_size" in done.stdout
    work = tmp_path / "pywork" / "noface"
    assert _load(work / "faces.pckl") == [[]] * 20 and _load(work / "tracks.pckl") == []
    assert [[e.frame_num for e in scene] for scene in _load(work / "scene.pckl")] == [[0, 20]]
    record = json.loads((work / "pipeline.json").read_text())
    assert record["counts"]["tracks"] == 0 and "--min_face_size" in record["notices"][0]
    scored = script_here("run_syncnet.py", "--reference", "noface", "--data_dir", tmp_path)
    assert scored.returncode == 0 and "no face clip" in scored.stdout
    assert (work / "offsets.txt").read_text() == "FILENAME\tOFFSET\tCONF\n"
    assert _load(work / "activesd.pckl") == []
    assert json.loads((work / "offsets.json").read_text()) == []
    process = script_here("run_visualise.py", "--reference", "noface", "--data_dir", tmp_path)
    assert process.returncode == 0
    assert frame_count(tmp_path / "pyavi" / "noface" / "video_out.avi") == 20


def _faces(frames: int, size: float) -> list[list[Face]]:
    return [[Face((50.0, 50.0, 50.0 + size, 50.0 + size), 0.99)] for _ in range(frames)]


@pytest.mark.parametrize(
    ("frames", "size", "sentences"),
    [
        (150, 80, ("80 pixels", "--min_face_size is 100")),
        (100, 120, ("longest track has 100 detections", "--min_track", "more than 100")),
        (60, 120, ("longest shot has 60 frames", "--min_track")),
        (0, 0, ("no face",)),
    ],
)
def test_the_limiting_option_is_named(frames: int, size: float, sentences: tuple[str, ...]) -> None:
    """The closest miss decides which flag is named, with its numbers."""
    faces: list[list[Face]] = _faces(frames, size) if frames else [[], []]
    scenes = [(0, len(faces))]
    options = FaceOptions()
    frame_size: Any = {"frame_size_px": (1280, 720)}
    (notice,) = why_nothing(faces, scenes, build_tracks(faces, scenes), options, **frame_size)
    for part in sentences:
        assert part in notice
    good = _faces(120, 120)
    assert (
        why_nothing(good, [(0, 120)], build_tracks(good, [(0, 120)]), options, **frame_size) == []
    )


@pytest.mark.parametrize(
    ("options", "sentences"),
    [
        (FaceOptions(min_track=10, min_face_size=250, facedet_scale=0.25), "--min_face_size"),
        (FaceOptions(min_track=30), "longest track has 30 detections"),
        (FaceOptions(min_track=40), "longest shot has 30 frames"),
    ],
)
def test_limits_of_a_real_clip_are_in_the_notice(
    face_clip: Path, tmp_path: Path, cpu: torch.device, options: FaceOptions, sentences: str
) -> None:
    """A face that is there but too small or too brief is reported so, and nothing is cut."""
    work = Workspace(tmp_path, "face")
    prepared = find_faces(face_clip, work, options, device=cpu)
    assert prepared.tracks == 0 and sentences in " ".join(prepared.notices)
    assert work.crops() == [] and work.read_tracks() == []


@pytest.mark.parametrize(
    "flags",
    [
        ("--min_track", "-1"),
        ("--frame_rate", "0"),
        ("--crop_scale", "nan"),
        ("--facedet_scale", "0"),
        ("--facedet_scale", "inf"),
        ("--min_face_size", "0"),
        ("--min_face_size", "1"),
        ("--facedet_scale", "25"),
        ("--num_failed_det", "-2"),
        ("--detect_every", "0"),
        ("--detect_every", "101"),
        ("--device", "tpu"),
    ],
    ids=" ".join,
)
def test_flags_out_of_range_are_refused_by_name(
    flags: tuple[str, str], face_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence that names the flag, exit code 2, nothing written."""
    arguments = ["--videofile", str(face_clip), "--data_dir", str(tmp_path), *flags]
    assert cli.run(lambda: run_pipeline.main(arguments)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and flags[0] in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_detection_in_every_frame(
    done: Workspace, face_clip: Path, tmp_path: Path, script_here: Script
) -> None:
    """--detect_every 1 is another setting: refused beside other results, then all is detected."""
    shutil.copytree(done.data_dir, tmp_path / "work")
    command = ("run_pipeline.py", "--videofile", face_clip, "--data_dir", tmp_path / "work")
    flags = (*FACE_FLAGS, "--detect_every", "1", "--precision", "fp32")
    refused = script_here(*command, *flags)
    assert refused.returncode == 2 and "--overwrite" in refused.stderr
    assert script_here(*command, *flags, "--overwrite").returncode == 0
    record = json.loads(Workspace(tmp_path / "work", "face").record.read_text())
    assert record["counts"]["detected_frames"] == 30 and record["precision"] == "fp32"
    assert record["settings"]["detect_every"] == 1 and record["settings"]["precision"] == "fp32"


def test_another_frame_rate_is_honoured_with_a_warning(
    face_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Frames, clips and sound follow --frame_rate; the networks' rate is mentioned."""
    arguments = ["--videofile", str(face_clip), "--data_dir", str(tmp_path), *FACE_FLAGS]
    assert cli.run(lambda: run_pipeline.main([*arguments, "--frame_rate", "50"])) == 0
    assert "25" in capsys.readouterr().err
    work = Workspace(tmp_path, "face")
    assert len(list(work.folder("pyframes").iterdir())) == frame_count(work.video) == 60
    log = ffmpeg("-i", work.crop(0), "-f", "null", "-")
    assert "50 fps" in log and frame_count(work.crop(0)) == 60
