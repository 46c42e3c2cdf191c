"""Input that is no video, is damaged or is oddly named, through the real commands."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import run_pipeline
import run_syncnet
import run_visualise
from pipeline import cli
from pipeline.media import decode, normalise
from pipeline.store.workspace import FOLDERS, Workspace
from tests.conftest import FACE_FLAGS, Script, snapshot
from tests.synthetic import ffmpeg, frame_count

TONE = ("-f", "lavfi", "-i", "sine=440:r=16000:d=1")


def _absent(folder: Path, video: Path) -> Path:
    return folder / "absent.mp4"


def _empty(folder: Path, video: Path) -> Path:
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4"


def _folder(folder: Path, video: Path) -> Path:
    return folder


def _text(folder: Path, video: Path) -> Path:
    (folder / "text.mp4").write_text("This is a letter, not a video.\n" * 200)
    return folder / "text.mp4"


def _plain_text(folder: Path, video: Path) -> Path:
    (folder / "notes.txt").write_text("This is a letter, not a video.\n" * 200)
    return folder / "notes.txt"


def _noise(folder: Path, video: Path) -> Path:
    (folder / "noise.avi").write_bytes(np.random.default_rng(0).bytes(200_000))
    return folder / "noise.avi"


def _sound(folder: Path, video: Path) -> Path:
    ffmpeg(*TONE, folder / "sound.wav")
    return folder / "sound.wav"


def _song_with_cover(folder: Path, video: Path) -> Path:
    cover, song = folder / "cover.png", folder / "song.mp3"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=200x200", "-frames:v", "1", cover)
    ffmpeg(*TONE, "-i", cover, "-map", "0", "-map", "1", "-disposition:v", "attached_pic", song)
    return song


def _without_moov(folder: Path, video: Path) -> Path:
    """An MP4 whose table of contents, at its end, was never written."""
    plain, cut = folder / "plain.mp4", folder / "cut.mp4"
    ffmpeg("-i", video, "-c", "copy", plain)
    cut.write_bytes(plain.read_bytes()[: plain.stat().st_size * 2 // 3])
    return cut


def _m3u8(folder: Path, video: Path) -> Path:
    ffmpeg("-i", video, "-c", "copy", "-f", "hls", "-hls_time", "1", folder / "list.m3u8")
    return folder / "list.m3u8"


def _m3u8_in_disguise(folder: Path, video: Path) -> Path:
    return _m3u8(folder, video).rename(folder / "list.mp4")


def _concat(folder: Path, video: Path) -> Path:
    shutil.copy(video, folder / "part.mp4")
    (folder / "list.ffconcat").write_text("ffconcat version 1.0\nfile part.mp4\n")
    return folder / "list.ffconcat"


def _concat_in_disguise(folder: Path, video: Path) -> Path:
    return _concat(folder, video).rename(folder / "both.mp4")


REFUSED = (
    *(_absent, _empty, _folder, _text, _plain_text, _noise, _sound, _song_with_cover),
    *(_without_moov, _m3u8, _m3u8_in_disguise, _concat, _concat_in_disguise),
)


@pytest.mark.parametrize("make", REFUSED, ids=lambda make: make.__name__.strip("_"))
def test_no_video_is_refused_and_nothing_is_touched(
    make: Callable[[Path, Path], Path],
    no_face_clip: Path,
    tmp_path: Path,
    script: Script,
    script_here: Script,
) -> None:
    """Exit code 2, one sentence with the file's name, no folder made, earlier results unchanged."""
    run = script if make is _plain_text else script_here
    (tmp_path / "input").mkdir()
    path = make(tmp_path / "input", no_face_clip)
    data_dir = tmp_path / "work"
    earlier = data_dir / "pywork" / "before"
    earlier.mkdir(parents=True)
    (earlier / "tracks.pckl").write_bytes(b"earlier")
    before = snapshot(data_dir)
    arguments = ("--videofile", path, "--data_dir", data_dir, "--overwrite")
    for reference in ("new", "before") if make is _without_moov else ("before",):
        done = run("run_pipeline.py", *arguments, "--reference", reference)
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
        assert path.name in done.stderr and done.stdout == ""
    assert snapshot(data_dir) == before
    assert [entry.name for entry in data_dir.iterdir()] == ["pywork"]
    assert [entry.name for entry in (data_dir / "pywork").iterdir()] == ["before"]


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv", "cut.ts"])
def test_a_video_that_breaks_off_is_used_as_far_as_it_goes(
    name: str, tmp_path: Path, script_here: Script
) -> None:
    """Exit code 0, a notice with the file and the time of the damage, results up to there."""
    whole_file, cut = tmp_path / f"whole{Path(name).suffix}", tmp_path / name
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=s=320x240:r=25", "-f", "lavfi", "-i", "sine=440:r=16000"),
        *("-t", "6", "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast", "-g", "25"),
        *(
            "-c:a",
            "aac",
            *(("-movflags", "+faststart") if whole_file.suffix == ".mp4" else ()),
            whole_file,
        ),
    )
    cut.write_bytes(whole_file.read_bytes()[: whole_file.stat().st_size // 2])
    done = script_here("run_pipeline.py", "--videofile", cut, "--data_dir", tmp_path / "work")
    assert done.returncode == 0, done.stderr
    work = Workspace(tmp_path / "work", "cut")
    frames = len(list(work.folder("pyframes").iterdir()))
    assert 40 < frames < 120 and frames == frame_count(work.video)
    record = json.loads(work.record.read_text())
    assert record["counts"]["frames"] == frames
    if name == "cut.ts":  # a transport stream is made to be cut anywhere
        assert "Traceback" not in done.stderr
        return
    (notice,) = (line for line in done.stdout.splitlines() if name in line)
    assert f"{frames / 25:.2f} s" in notice and notice in record["notices"]


def test_whole_files_are_not_called_damaged(face_clip: Path, tmp_path: Path) -> None:
    """Sound that ends long after the picture, or before it, is no damage."""
    for seconds in ("0.5", "4"):
        odd = tmp_path / f"odd{seconds}.mp4"
        tone = f"sine=440:r=16000:d={seconds}"
        ffmpeg(
            *("-i", face_clip, "-f", "lavfi", "-i", tone, "-map", "0:v", "-map", "1:a"),
            *("-c:v", "copy", odd),
        )
        folder = tmp_path / seconds
        folder.mkdir()
        decoding = normalise.Normalisation(
            odd, decode.probe(odd), avi=tmp_path / "v.avi", wav=tmp_path / "a.wav", pictures=folder
        )
        assert sum(1 for _ in decoding) == 30 and decoding.damage is None


def test_a_video_without_sound_says_so_at_every_step(
    face_clip: Path, tmp_path: Path, script_here: Script
) -> None:
    """Tracks and silent crops are made; scoring finds nothing to compare and writes its files."""
    silent = tmp_path / "silent.mp4"
    ffmpeg("-i", face_clip, "-an", "-c:v", "copy", silent)
    where = ("--reference", "silent", "--data_dir", tmp_path / "work")
    done = script_here("run_pipeline.py", "--videofile", silent, *where, *FACE_FLAGS)
    assert done.returncode == 0 and done.stderr == "" and "no sound" in done.stdout
    work = Workspace(tmp_path / "work", "silent")
    assert not work.audio.exists() and len(work.crops()) == 1
    assert decode.read_audio(work.crop(0)).size == decode.read_audio(work.video).size == 0
    assert frame_count(work.crop(0)) == 30
    scored = script_here("run_syncnet.py", *where)
    assert scored.returncode == 0 and scored.stderr == ""
    assert "nothing to compare" in scored.stdout and "AV offset" not in scored.stdout
    assert [row.shape for row in work.read_distances()] == [(0, 31)]
    assert work.offsets_text.read_text() == "FILENAME\tOFFSET\tCONF\n00000.avi\t0\t0.000\n"
    (row,) = json.loads(work.offsets_json.read_text())
    assert row["offset_frames"] is None and row["confidence"] is None and not row["reliable"]
    assert "no sound" in row["warning"]
    process = script_here("run_visualise.py", *where)
    assert process.returncode == 0 and process.stderr == ""
    assert frame_count(work.labelled_video) == 30


NAMES = (
    "two words",
    'it\'s "quoted"',
    "semi;colon & $(touch hurt) | tee `x`",
    "-dash",
    "ünï 日本 😀",
    "per%dcent%05d",
    "a:b=c,d[e]",
    "dots.in.name",
)


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_work_everywhere(
    name: str, face_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As file name, as folder name and as reference, through all three commands."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(face_clip, tmp_path / f"{name}.mp4")
    where = [f"--videofile={name}.mp4", f"--data_dir={name}"]
    assert cli.run(lambda: run_pipeline.main([*where, *FACE_FLAGS])) == 0
    assert cli.run(lambda: run_syncnet.main(where)) == 0
    assert cli.run(lambda: run_visualise.main([*where, f"--reference={name}"])) == 0
    work = Workspace(tmp_path / name, name)
    assert frame_count(work.crop(0)) == frame_count(work.labelled_video) == 30
    assert len(list(work.folder("pyframes").glob("*.jpg"))) == 30
    assert len(work.offsets_text.read_text().splitlines()) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, f"{name}.mp4"])
    assert {path.name for path in (tmp_path / name).iterdir()} == {*FOLDERS, "pytmp"}


def test_the_worst_name_works_from_outside(face_clip: Path, tmp_path: Path, script: Script) -> None:
    """The same through a process of its own, with another reference than the file's name."""
    path = tmp_path / "-a 'b\" ;c%d ü$(x).mp4"
    shutil.copy(face_clip, path)
    reference = "-r 'e\" ;f%05d ü$(y)"
    done = script(
        *("run_pipeline.py", f"--videofile={path}", f"--data_dir={tmp_path / 'work'}"),
        *(f"--reference={reference}", *FACE_FLAGS),
    )
    assert done.returncode == 0 and done.stderr == ""
    assert len(Workspace(tmp_path / "work", reference).crops()) == 1


@pytest.mark.parametrize("reference", [".", "..", "a/b", "../up", "/abs", "a\\b"])
@pytest.mark.parametrize("main", [run_pipeline.main, run_syncnet.main, run_visualise.main])
def test_references_that_reach_elsewhere_are_refused(
    reference: str,
    main: Callable[[list[str]], int],
    face_clip: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every command refuses them in one sentence and touches nothing."""
    arguments = [f"--videofile={face_clip}", f"--data_dir={tmp_path}", f"--reference={reference}"]
    assert cli.run(lambda: main(arguments)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "--reference" in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_empty_reference_is_the_files_name(no_face_clip: Path, tmp_path: Path) -> None:
    """The demo's default reference is empty, which there deletes all results."""
    (tmp_path / "pywork" / "other").mkdir(parents=True)
    arguments = [f"--videofile={no_face_clip}", f"--data_dir={tmp_path}", "--reference", ""]
    assert cli.run(lambda: run_pipeline.main(arguments)) == 0
    assert sorted(path.name for path in (tmp_path / "pywork").iterdir()) == ["noface", "other"]


@pytest.mark.parametrize("main", [run_syncnet.main, run_visualise.main])
def test_a_reference_that_was_never_prepared_names_the_first_step(
    main: Callable[[list[str]], int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, one sentence with the command to run, nothing written."""
    assert cli.run(lambda: main([f"--data_dir={tmp_path}", "--reference=talk"])) == 2
    error = capsys.readouterr().err
    assert "run_pipeline.py" in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())
