"""Names and formats of one video's files, and how results are moved into place."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scenedetect import FrameTimecode

from pipeline.errors import InputError, PipelineError
from pipeline.faces.tracks import CropPath, Face, Track
from pipeline.store.files import write_json, write_text
from pipeline.store.workspace import FOLDERS, Workspace
from pipeline.sync import offset as sync_offset


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "/abs", "a\\b", "a\0b", "a\nb", "../up", "x" * 201, "ü" * 101]
)
def test_names_that_are_no_folder_are_refused(tmp_path: Path, name: str) -> None:
    """A reference can never reach outside its own folders."""
    with pytest.raises(InputError, match="--reference"):
        Workspace(tmp_path, name)


@pytest.mark.parametrize("name", ["two words", 'it\'s "x"', ";ls", "-v", "üñ😀", "%d", "a.b", "$x"])
def test_other_names_are_taken_as_they_are(tmp_path: Path, name: str) -> None:
    """Every other name is a folder's name, letter by letter."""
    assert Workspace(tmp_path, name).folder("pywork") == tmp_path / "pywork" / name


def test_layout_is_the_demos(tmp_path: Path) -> None:
    """Paths of contracts.md section 1."""
    work = Workspace(tmp_path, "R")
    relative = {
        "pyavi/R/video.avi": work.video,
        "pyavi/R/audio.wav": work.audio,
        "pyavi/R/video_out.avi": work.labelled_video,
        "pyavi/R/video_out.mp4": work.labelled_copy,
        "pywork/R/report.html": work.report_page,
        "pyframes/R/000001.jpg": work.frame(0),
        "pyframes/R/1000000.jpg": work.frame(999_999),
        "pycrop/R/00012.avi": work.crop(12),
        "pywork/R/offsets.txt": work.offsets_text,
        "pywork/R/offsets.json": work.offsets_json,
        "pywork/R/pipeline.json": work.record,
        "pytmp/R": work.scratch,
    }
    for name, path in relative.items():
        assert path == tmp_path / name


def test_every_crop_is_listed_in_order(work: Workspace) -> None:
    """Track 10000 and later are not forgotten, and numbers sort as numbers."""
    numbers = [0, 2, 9999, 10_000, 100_001]
    for number in reversed(numbers):
        work.crop(number).touch()
    (work.folder("pycrop") / ".00003.avi.partial").touch()
    assert work.crops() == [work.crop(number) for number in numbers]


def _load(path: Path) -> object:
    """What a tool written for the demo does."""
    with path.open("rb") as file:
        return pickle.load(file, encoding="latin1")


def test_faces_pickle_format(work: Workspace) -> None:
    """A list per frame of {'frame', 'bbox' python floats, 'conf' float64}."""
    work.write_faces([[Face((1.5, 2.0, 30.25, 41.0), 0.97)], [], [Face((0.0, 0.0, 9.0, 9.0), 0.9)]])
    rows = _load(work.folder("pywork") / "faces.pckl")
    assert rows == [
        [{"frame": 0, "bbox": [1.5, 2.0, 30.25, 41.0], "conf": 0.97}],
        [],
        [{"frame": 2, "bbox": [0.0, 0.0, 9.0, 9.0], "conf": 0.9}],
    ]
    assert isinstance(rows, list)
    face = rows[0][0]
    assert type(face["conf"]) is np.float64 and type(face["frame"]) is int
    assert type(face["bbox"]) is list and {type(value) for value in face["bbox"]} == {float}


def test_scene_pickle_format(work: Workspace) -> None:
    """(start, end) tuples of scenedetect's own timecodes."""
    work.write_scenes([(0, 40), (40, 100)], frame_rate=25)
    rows = _load(work.folder("pywork") / "scene.pckl")
    assert isinstance(rows, list) and all(type(row) is tuple for row in rows)
    assert all(isinstance(edge, FrameTimecode) for row in rows for edge in row)
    assert [[edge.frame_num for edge in row] for row in rows] == [[0, 40], [40, 100]]
    assert rows[0][1].seconds == pytest.approx(1.6)


def _track() -> tuple[Track, CropPath]:
    series = np.arange(3.0)
    track = Track(np.arange(7, 10, dtype=np.int64), np.arange(12.0).reshape(3, 4))
    return track, CropPath(series, series + 10, series + 20)


def test_tracks_pickle_format(work: Workspace) -> None:
    """{'track': {'frame', 'bbox'}, 'proc_track': {'x', 'y', 's'}} with the demo's types."""
    track, path = _track()
    work.write_tracks([track], [path])
    rows = _load(work.folder("pywork") / "tracks.pckl")
    assert isinstance(rows, list) and len(rows) == 1
    assert set(rows[0]) == {"track", "proc_track"}
    assert set(rows[0]["track"]) == {"frame", "bbox"} and set(rows[0]["proc_track"]) == set("xys")
    frame, bbox = rows[0]["track"]["frame"], rows[0]["track"]["bbox"]
    assert frame.dtype == np.int64 and frame.tolist() == [7, 8, 9]
    assert bbox.dtype == np.float64 and bbox.shape == (3, 4)
    for name, first in (("x", 0), ("y", 10), ("s", 20)):
        series = rows[0]["proc_track"][name]
        assert series.dtype == np.float64 and series.tolist() == [first, first + 1, first + 2]


def test_tracks_and_distances_read_back(work: Workspace) -> None:
    """Reading gives what was written; empty lists too."""
    track, path = _track()
    work.write_tracks([track, track], [path, path])
    read = work.read_tracks()
    assert len(read) == 2
    np.testing.assert_array_equal(read[1][0].boxes, track.boxes)
    np.testing.assert_array_equal(read[1][1].s, path.s)
    dists = [np.ones((4, 31), np.float32), np.zeros((0, 31), np.float32)]
    work.write_distances(dists)
    again = work.read_distances()
    assert [row.shape for row in again] == [(4, 31), (0, 31)] and again[0].dtype == np.float32
    work.write_tracks([], [])
    work.write_distances([])
    assert work.read_tracks() == [] and work.read_distances() == []


READERS: dict[str, Callable[[Workspace], object]] = {
    "tracks.pckl": Workspace.read_tracks,
    "activesd.pckl": Workspace.read_distances,
}


@pytest.mark.parametrize("name", READERS)
def test_reading_what_was_never_written_names_the_command(work: Workspace, name: str) -> None:
    """The message says which command to run first."""
    command = "run_syncnet" if name == "activesd.pckl" else "run_pipeline"
    with pytest.raises(InputError, match=rf"{command}\.py --reference talk"):
        READERS[name](work)


class _Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self.trace}'",)


def test_a_malicious_pickle_runs_nothing(work: Workspace, tmp_path: Path) -> None:
    """It is refused in one sentence; the plain loader proves that it would have run."""
    trace, path = tmp_path / "trace", work.folder("pywork") / "tracks.pckl"
    path.write_bytes(pickle.dumps([_Malicious(trace)]))
    with pytest.raises(InputError, match=r"tracks\.pckl") as refusal:
        work.read_tracks()
    assert not trace.exists() and "\n" not in str(refusal.value)
    _load(path)
    assert trace.exists()


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    "content",
    [b"", b"not a pickle", b"\x80\x04K", pickle.dumps(eval), pickle.dumps({"rows": 1})],
    ids=["empty", "text", "truncated", "builtin", "dict"],
)
def test_damaged_pickles_are_input_errors(work: Workspace, content: bytes, name: str) -> None:
    """Whatever is wrong with it, the message names the file."""
    (work.folder("pywork") / name).write_bytes(content)
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        READERS[name](work)


@pytest.mark.parametrize("rows", [[1], [{"track": {}}], [[np.arange(3), np.ones((3, 4))]]])
def test_tracks_of_another_format_are_input_errors(work: Workspace, rows: list[object]) -> None:
    """Other programs' tracks.pckl are refused by name."""
    (work.folder("pywork") / "tracks.pckl").write_bytes(pickle.dumps(rows))
    with pytest.raises(InputError, match=r"tracks\.pckl has another format"):
        work.read_tracks()


def test_reference_pickles_are_read_as_ours(shared: Path, tmp_path: Path) -> None:
    """Results of the original program of 2018, in pixels, and the rows of its own offsets.txt."""
    folder = shared / "reference012"
    (tmp_path / "pywork").mkdir()
    (tmp_path / "pywork" / "old").symlink_to(folder)
    work = Workspace(tmp_path, "old")
    tracks = work.read_tracks()
    assert [track.frames.tolist() for track, _ in tracks] == [list(range(394))] * 4
    for track, path in tracks:
        for frame in (0, 200, 393):
            box = track.boxes[frame]
            x, y, _ = path.at(frame)
            assert box[0] < x < box[2] and box[1] < y < box[3]
    sizes = np.stack([track.boxes[200, 2:] - track.boxes[200, :2] for track, _ in tracks])
    np.testing.assert_allclose(sizes.mean(axis=1) / 2, [p.s[200] for _, p in tracks], rtol=0.03)
    rows = [line.split("\t") for line in (folder / "offsets.txt").read_text().splitlines()[1:]]
    judged = [sync_offset.judge(dists, reliable_confidence=3) for dists in work.read_distances()]
    assert [(f"{j.offset_frames}", f"{j.confidence:.3f}") for j in judged] == [
        (offset, confidence) for _, offset, confidence in rows
    ]


def test_text_is_whole_with_unix_lines(tmp_path: Path) -> None:
    """Files end in LF and no part is left; JSON keeps letters as they are."""
    write_text(tmp_path / "a.txt", "one\ntwo\n")
    write_json(tmp_path / "b.json", {"name": "ü"})
    assert (tmp_path / "a.txt").read_bytes() == b"one\ntwo\n"
    assert "ü" in (tmp_path / "b.json").read_text(encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.json"]


@pytest.mark.parametrize("name", ["text", "json", "pickle", "times"])
def test_files_are_replaced_not_written_over(name: str, work: Workspace) -> None:
    """Whoever holds the old file keeps it whole, so a run that is killed midway loses nothing."""
    path = {
        "text": work.offsets_text,
        "json": work.record,
        "pickle": work.distances,
        "times": work.folder("pywork") / "frame_times.npy",
    }[name]
    path.write_bytes(b"old")
    held_file = work.data_dir / "held"
    os.link(path, held_file)
    if name == "text":
        write_text(path, "new")
    elif name == "json":
        write_json(path, {})
    elif name == "pickle":
        work.write_distances([])
    else:
        work.write_frame_times(np.zeros(2))
    assert held_file.read_bytes() == b"old" and path.read_bytes() != b"old"
    assert list(path.parent.iterdir()) == [path]


def _fill(work: Workspace, content: str) -> None:
    for name in FOLDERS:
        work.folder(name).mkdir(parents=True, exist_ok=True)
        (work.folder(name) / "file").write_text(content)


def _contents(work: Workspace) -> list[str]:
    return [(work.folder(name) / "file").read_text() for name in FOLDERS]


def test_a_run_changes_nothing_until_it_commits(work: Workspace) -> None:
    """Old results stay whole while a new run collects, then are replaced together."""
    _fill(work, "old")
    (work.folder("pycrop") / "00007.avi").write_text("old track")
    staging = work.begin()
    _fill(staging, "new")
    assert _contents(work) == ["old"] * 4
    work.commit()
    assert _contents(work) == ["new"] * 4
    assert not (work.folder("pycrop") / "00007.avi").exists() and not work.scratch.exists()


@pytest.mark.parametrize("moved", range(5))
def test_a_killed_commit_is_finished(work: Workspace, moved: int) -> None:
    """Killed after any number of folders were moved, the next run moves the rest."""
    _fill(work, "old")
    staging = work.begin()
    _fill(staging, "new")
    (work.scratch / "complete").touch()
    for name in FOLDERS[:moved]:
        (work.folder(name) / "file").unlink()
        work.folder(name).rmdir()
        staging.folder(name).rename(work.folder(name))
    work.finish_commit()
    assert _contents(work) == ["new"] * 4 and not work.scratch.exists()


def test_later_stages_finish_a_killed_commit(work: Workspace) -> None:
    """They open results that wait beside the old folders, and find the new ones."""
    _fill(work, "old")
    staging = work.begin()
    _fill(staging, "new")
    staging.write_tracks([], [])
    (work.scratch / "complete").touch()
    with work.opened():
        assert _contents(work) == ["new"] * 4 and work.read_tracks() == []
        assert not work.scratch.exists()


def test_a_commit_that_breaks_midway_is_finished_by_the_next_run(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between two renames: the mark that all is there is still there."""
    _fill(work, "old")
    _fill(work.begin(), "new")
    renames = iter(range(100))
    rename = os.rename

    def killed(source: Path, target: Path) -> None:
        if next(renames) >= 6:
            os._exit(9)
        rename(source, target)

    child = os.fork()
    if not child:
        monkeypatch.setattr(os, "rename", killed)
        work.commit()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    with work.locked():
        work.finish_commit()
    assert _contents(work) == ["new"] * 4 and not work.scratch.exists()


def test_an_incomplete_run_is_never_moved(work: Workspace) -> None:
    """Without the mark that all is there, old results stay and the rest is cleared."""
    _fill(work, "old")
    _fill(work.begin(), "half")
    work.finish_commit()
    assert _contents(work) == ["old"] * 4
    staging = work.begin()
    assert all(not list(staging.folder(name).iterdir()) for name in FOLDERS)


def test_other_references_are_left_alone(work: Workspace) -> None:
    """Replacing one video's results touches no other's."""
    other = Workspace(work.data_dir, "talk2")
    _fill(other, "other")
    _fill(work, "old")
    _fill(work.begin(), "new")
    work.commit()
    assert _contents(other) == ["other"] * 4 and _contents(work) == ["new"] * 4


HOLD = """
import sys
from collections.abc import Callable
from pathlib import Path
from pipeline.store.workspace import Workspace
with Workspace(Path(sys.argv[1]), "talk").locked():
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_the_lock_keeps_other_processes_off_until_its_holder_dies(
    work: Workspace, repo: Path
) -> None:
    """A second run is refused with exit code 1; a killed holder's lock is gone; others are free."""
    command = [sys.executable, "-c", HOLD, str(work.data_dir)]
    with subprocess.Popen(
        command, cwd=repo, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(PipelineError, match="Another run") as refusal, work.locked():
            pass
        assert refusal.value.exit_code == 1
        with Workspace(work.data_dir, "other").locked():
            pass
        holder.kill()
        holder.wait()
    with work.locked():
        pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A data_dir below a plain file is the user's mistake, not a traceback."""
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match="--data_dir"),
        Workspace(tmp_path / "file" / "work", "talk").locked(),
    ):
        pass
