"""One face clip scored by itself, its features, and LSE-D and LSE-C of a folder of videos."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import run_syncnet
from models import published, syncnet
from models.files import sha256
from models.weights import WeightsFile, load_syncnet
from pipeline import cli
from pipeline.evaluate import folder as evaluate_folder
from pipeline.evaluate import report as evaluate_report
from pipeline.evaluate.report import Mean, Row
from pipeline.faces.options import FaceOptions
from pipeline.media import decode
from pipeline.store.files import write_json
from pipeline.store.workspace import Workspace
from pipeline.sync import embeddings, single_clip
from pipeline.sync import scorer as sync_scorer
from pipeline.sync.scorer import ClipScore, SyncOptions, SyncScorer
from tests.conftest import snapshot
from tests.synthetic import ffmpeg

THREE_LINES = re.compile(r"AV offset: \t(-?\d+) \nMin dist: \t([\d.]+)\nConfidence: \t([\d.]+)\n")


@pytest.fixture(scope="module")
def crop(done: Workspace) -> Path:
    """A face clip: 30 frames of 224x224 with sound."""
    return done.crop(0)


@pytest.fixture
def syncnet_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """run_syncnet.py with an empty --data_dir: exit code, stdout, stderr."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        command = [f"--data_dir={tmp_path / 'work'}", *map(str, arguments)]
        code = cli.run(lambda: run_syncnet.main(command))
        output = capsys.readouterr()
        return code, output.out, output.err

    return run


Command = Callable[..., tuple[int, str, str]]


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# One face clip.


def test_a_face_clip_is_scored_by_itself(
    crop: Path, tmp_path: Path, cpu: torch.device, syncnet_command: Command
) -> None:
    """The demo's three lines with the clip's own numbers; nothing is written anywhere."""
    before = snapshot(crop.parent)
    code, output, complaints = syncnet_command("--videofile", crop, "--precision", "fp32")
    assert (code, complaints) == (0, "")
    scorer = SyncScorer(SyncOptions(precision="fp32"), device=cpu)
    sync = scorer.score(crop).sync
    assert sync and f"00000.avi ({scorer.model.weights_file.file})\nAV offset:" in output
    verbose = syncnet_command("--videofile", crop, "--precision", "fp32", "--verbose")[1]
    assert "\nFramewise conf: \n[" in verbose and "Framewise" not in output
    (lines,) = THREE_LINES.findall(output)
    assert lines == (str(sync.offset_frames), f"{sync.min_dist:.3f}", f"{sync.confidence:.3f}")
    assert "resized" not in output
    assert not _files(tmp_path) and snapshot(crop.parent) == before


@pytest.mark.parametrize(("size", "whole_frame"), [("160:160", False), ("640:360", True)])
def test_other_sizes_are_resized_with_a_notice(
    size: str, whole_frame: bool, crop: Path, tmp_path: Path, syncnet_command: Command
) -> None:
    """Square clips are only resized; the shape of a whole frame points to run_pipeline.py."""
    other = tmp_path / "other.mkv"
    ffmpeg("-i", crop, "-vf", f"scale={size}", "-c:v", "ffv1", "-c:a", "copy", other)
    code, output, _ = syncnet_command("--videofile", other)
    assert code == 0 and THREE_LINES.search(output)
    assert f"{other} is {size.replace(':', 'x')} and is resized to 224x224." in output
    assert ("run run_pipeline.py on it first" in output) == whole_frame
    (frame, *rest) = sync_scorer.crop_frames(other)
    assert len(rest) == 29 and frame.shape == (224, 224, 3)
    stored = next(iter(decode.read_frames(other)))
    np.testing.assert_array_equal(frame, cv2.resize(stored, (224, 224)))


def _prepared(data_dir: Path, video: Path, *, record: bool = True) -> Workspace:
    """The record of run_pipeline.py for a video."""
    work = Workspace(data_dir, video.stem)
    work.folder("pywork").mkdir(parents=True)
    work.write_tracks([], [])
    if record:
        source = {"sha256": sha256(video), "bytes": video.stat().st_size}
        write_json(work.record, {"input": source, "file": str(video)})
    return work


@pytest.mark.parametrize(
    ("results", "clip"), [("none", True), ("its own", False), ("another's", True), ("old", False)]
)
def test_results_of_the_same_file_go_before_the_file(
    results: str, clip: bool, tmp_path: Path
) -> None:
    """Without --reference: results of this very file, or of that name where none says of which."""
    video, another = tmp_path / "a" / "talk.mp4", tmp_path / "b" / "talk.mp4"
    for path in (video, another):
        path.parent.mkdir()
        path.write_bytes(path.parent.name.encode())  # of one length: only the content differs
    if results != "none":
        source = another if results == "another's" else video
        _prepared(tmp_path / "work", source, record=results != "old")
    notices: list[str] = []
    work = Workspace(tmp_path / "work", "talk")
    alone = single_clip.is_single_clip(video, work, save_features=None, notice=notices.append)
    assert alone == clip
    assert [str(another) in line and "--reference talk" in line for line in notices] == (
        [True] if results == "another's" else []
    )


def test_results_are_scored_when_their_video_is_gone(tmp_path: Path) -> None:
    """Results are chosen by the video's name, except with --save_features."""
    video = tmp_path / "talk.mp4"
    video.write_bytes(b"talk")
    work = _prepared(tmp_path / "work", video)
    video.unlink()
    assert not single_clip.is_single_clip(video, work, save_features=None, notice=print)
    features_file = tmp_path / "out.npy"
    assert single_clip.is_single_clip(video, work, save_features=features_file, notice=print)


def test_a_reference_goes_before_the_video(crop: Path, syncnet_command: Command) -> None:
    """As in the published run_syncnet.py, --videofile beside --reference is not looked at."""
    code, output, complaints = syncnet_command("--videofile", crop, "--reference", "talk")
    assert code == 2 and output == ""
    assert "run run_pipeline.py --reference talk first" in complaints


def test_a_video_with_results_is_its_results(
    done: Workspace, face_clip: Path, tmp_path: Path, syncnet_command: Command
) -> None:
    """The video run_pipeline.py was given names its tracks, as it always has."""
    shutil.copytree(done.data_dir, tmp_path / "work")
    code, output, _ = syncnet_command("--videofile", face_clip)
    assert code == 0 and "1 tracks in" in output and "resized" not in output
    assert len(Workspace(tmp_path / "work", "face").offsets_text.read_text().splitlines()) == 2


def _absent(folder: Path, crop: Path) -> Path:
    return folder / "bad.avi"


def _text(folder: Path, crop: Path) -> Path:
    (folder / "bad.avi").write_text("no video\n" * 100)
    return folder / "bad.avi"


def _only_sound(folder: Path, crop: Path) -> Path:
    ffmpeg("-i", crop, "-vn", "-c:a", "copy", folder / "bad.avi")
    return folder / "bad.avi"


def _silent(folder: Path, crop: Path) -> Path:
    ffmpeg("-i", crop, "-an", "-c:v", "copy", folder / "bad.avi")
    return folder / "bad.avi"


def _five_frames(folder: Path, crop: Path) -> Path:
    ffmpeg("-i", crop, "-t", "0.2", "-c", "copy", folder / "bad.avi")
    return folder / "bad.avi"


def _five_frames_of_sound(folder: Path, crop: Path) -> Path:
    ffmpeg(
        "-i", crop, "-af", "atrim=end=0.2", "-c:v", "copy", "-c:a", "pcm_s16le", folder / "bad.avi"
    )
    return folder / "bad.avi"


@pytest.mark.parametrize(
    ("make", "output"),
    [
        (_absent, "is not a file"),
        (_text, "not a video ffmpeg can read"),
        (_only_sound, "no video stream"),
        (_silent, "no sound"),
        (_five_frames, "too short to score: it has 5 frames and 0.2"),
        (_five_frames_of_sound, "too short to score: it has 30 frames and 0.20 s"),
    ],
)
def test_what_cannot_be_scored_is_one_sentence(
    make: Callable[[Path, Path], Path],
    output: str,
    crop: Path,
    tmp_path: Path,
    syncnet_command: Command,
) -> None:
    """Exit code 2, the file's name, and no file written, not even features."""
    (tmp_path / "in").mkdir()
    bad = make(tmp_path / "in", crop)
    before = _files(tmp_path)
    code, _, complaints = syncnet_command(
        "--videofile", bad, "--save_features", tmp_path / "out.npy"
    )
    assert code == 2 and complaints.startswith(f"error: {bad} ") and output in complaints
    assert complaints.count("\n") == 1 and _files(tmp_path) == before


# Features.


def test_features_and_embeddings_are_saved(
    crop: Path, tmp_path: Path, cpu: torch.device, syncnet_command: Command
) -> None:
    """Features of frames - 4 windows; embeddings are those that are compared, in windows of 7."""
    out = tmp_path / "clip.of.me.npy"
    code, output, _ = syncnet_command(
        *("--videofile", crop, "--save_features", out),
        *("--batch_size", "7", "--precision", "fp32"),
    )
    assert code == 0 and THREE_LINES.search(output)
    names = ["clip.of.me.audio.npy", "clip.of.me.lip.npy", "clip.of.me.npy"]
    assert _files(tmp_path) == names and all(name in output for name in names)
    sound, lips, features = (np.load(tmp_path / name, allow_pickle=False) for name in names)
    assert {array.dtype for array in (sound, lips, features)} == {np.dtype(np.float32)}
    model, _ = load_syncnet("auto", device=cpu)
    frames = list(decode.read_frames(crop))
    expected = embeddings.embed_lips(model, frames, batch_size=20, device=cpu)
    assert len(expected) == len(features) == 26 and len(lips) == len(sound) == 25
    np.testing.assert_allclose(lips, expected[:25], atol=1e-4)
    expected_sound = embeddings.embed_sound(
        model, decode.read_audio(crop), batch_size=20, device=cpu
    )
    np.testing.assert_allclose(sound, expected_sound[:25], atol=1e-4)
    with torch.inference_mode():
        pixels = np.stack([syncnet.lip_pixels(frame, model.config) for frame in frames])
        normalised = torch.from_numpy(syncnet.normalise_lips(pixels, model.config))
        wide = syncnet.repeat_ends(normalised, model.config)
        tower = model.forward_lipfeat(syncnet.lip_windows(wide, model.config))
    np.testing.assert_allclose(features, tower, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (("--videofile", "{crop}", "--reference", "r"), "without --reference"),
        (("--reference", "r"), "without --reference"),
        (("--videofile", "{crop}", "--save_features", "{tmp}/out.pt"), "must end in .npy"),
        (("--videofile", "{crop}", "--save_features", "{tmp}/no/out.npy"), "cannot be written"),
        (("--videofile", "{crop}", "--batch_size", "0"), "--batch_size"),
        (("--videofile", "{crop}", "--vshift", "0"), "--vshift"),
    ],
)
def test_wrong_flags_of_the_features(
    arguments: tuple[str, ...], output: str, crop: Path, tmp_path: Path, syncnet_command: Command
) -> None:
    """Exit code 2 in one sentence, before anything is read or written."""
    filled = [argument.format(crop=crop, tmp=tmp_path) for argument in arguments]
    code, out, complaints = syncnet_command("--save_features", tmp_path / "out.npy", *filled)
    assert code == 2 and out == "" and output in complaints and complaints.count("\n") == 1
    assert not _files(tmp_path)


def test_features_appear_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk at the last of three files leaves the earlier files as they were."""
    old = tmp_path / "out.npy"
    old.write_bytes(b"old")
    arrays: list[object] = []

    def save(file: object, array: np.ndarray) -> None:
        arrays.append(array)
        if len(arrays) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", save)
    rows = torch.zeros(3, 2)
    embedded = sync_scorer.Embedded(8, 5120, np.ones(3, bool), 1.0, 0.0, rows, rows, rows)
    with pytest.raises(single_clip.PipelineError, match="No space left"):
        single_clip.write_embedded(old, embedded)
    assert _files(tmp_path) == ["out.npy"] and old.read_bytes() == b"old"


# LSE-D and LSE-C of a folder.


@pytest.fixture(scope="module")
def folder(face_clip: Path, no_face_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One good clip in a folder of its own, one without a face, one silent, one no video."""
    videos = tmp_path_factory.mktemp("videos")
    (videos / "sub").mkdir()
    shutil.copy(face_clip, videos / "sub" / "Good one.MP4")
    shutil.copy(no_face_clip, videos / "noface.mp4")
    ffmpeg("-i", face_clip, "-an", "-c:v", "copy", videos / "silent.mp4")
    (videos / "text.mp4").write_text("no video\n" * 100)
    (videos / "notes.txt").write_text("not looked at")
    (videos / ".hidden.mp4").write_text("not looked at")
    return videos


def _evaluated(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    code = cli.run(lambda: evaluate_folder.main(["--min_track", "10", *map(str, arguments)]))
    output = capsys.readouterr()
    return code, output.out, output.err


def test_a_folder_by_both_routes(
    folder: Path,
    done: Workspace,
    face_clip: Path,
    tmp_path: Path,
    cpu: torch.device,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whole frames and crops have their own figures; what cannot be scored has its reason."""
    (tmp_path / "passing").mkdir()
    code, output, complaints = _evaluated(
        capsys,
        *("--data_root", folder, "--json", tmp_path / "o.json", "--tmp_dir", tmp_path / "passing"),
        *("--all_scores", tmp_path / "all_scores.txt"),
    )
    assert (code, complaints) == (0, "") and not _files(tmp_path / "passing")
    everything = json.loads((tmp_path / "o.json").read_text())
    rows = {(row["file"], row["route"]): row for row in everything["scores"]}
    names = ["noface.mp4", "silent.mp4", "sub/Good one.MP4", "text.mp4"]
    assert list(rows) == [(name, route) for name in names for route in ("whole", "crops")]
    scorer = SyncScorer(device=cpu)
    weights_file = scorer.model.weights_file
    for route, clip in (("whole", face_clip), ("crops", done.crop(0))):
        expected = scorer.score(clip).sync
        row = rows["sub/Good one.MP4", route]
        assert expected and row["lse_d"] == pytest.approx(expected.min_dist, abs=1e-4)
        assert row["lse_c"] == pytest.approx(expected.confidence, abs=1e-4)
        assert row["offset_frames"] == expected.offset_frames
        assert row["track"] == (0 if route == "crops" else None)
        assert f"{row['lse_d']:7.3f}  {row['lse_c']:7.3f}" in output
    reasons = {
        ("silent.mp4", "whole"): "no sound",
        ("silent.mp4", "crops"): "no sound",
        ("text.mp4", "whole"): "not a video ffmpeg can read",
        ("text.mp4", "crops"): "not a video ffmpeg can read",
        ("noface.mp4", "crops"): "no face was found",
    }
    assert {key for key, row in rows.items() if row["lse_d"] is None} == set(reasons)
    for key, reason in reasons.items():
        assert reason in rows[key]["note"] and rows[key]["note"] in output
    good = rows["sub/Good one.MP4", "crops"]
    assert everything["mean"]["crops"]["lse_d"] == good["lse_d"]
    assert (tmp_path / "all_scores.txt").read_text() == f"{good['lse_d']:.6f} {good['lse_c']:.6f}\n"
    whole_lse_c = [rows[name, "whole"]["lse_c"] for name in ("noface.mp4", "sub/Good one.MP4")]
    assert everything["mean"]["whole"]["lse_c"] == pytest.approx(sum(whole_lse_c) / 2)
    assert f"\nwhole: 2 of 4 files\nAverage Confidence: {sum(whole_lse_c) / 2:.4f}\n" in output
    assert f"\ncrops: 1 tracks in 1 of 4 files\nAverage Confidence: {good['lse_c']:.4f}\n" in output
    assert everything["weights"] == {"file": weights_file.file, "sha256": weights_file.sha256}
    assert f"{weights_file.file}, sha256 {weights_file.sha256}" in output
    assert evaluate_report.INCOMPARABLE in output and evaluate_report.NOT_THE_LITERATURES in output


def test_means_are_over_tracks_and_leave_out_what_was_not_scored() -> None:
    """Two tracks of one file count twice; failed files and the other route's rows do not."""
    rows = [
        Row("a.mp4", "crops", 0, 6.0, 8.0, 1),
        Row("a.mp4", "crops", 1, 9.0, 2.0, 2),
        Row("b.mp4", "crops", 0, 12.0, 2.0, 3),
        Row("c.mp4", "crops", note="no face"),
        Row("a.mp4", "whole", None, 100.0, 100.0, 1),
    ]
    assert evaluate_report.mean(rows, "crops") == Mean(9.0, 4.0, scored=3, files_scored=2, files=3)
    assert evaluate_report.mean(rows[3:4], "crops") == Mean(None, None, 0, 0, 1)
    words = evaluate_report.closing_words(
        {"crops": evaluate_report.mean(rows[3:4], "crops")}, WeightsFile("w", "0")
    )
    assert "crops: 0 tracks in 0 of 1 files" in words and "Average" not in words


def test_only_published_weights_are_compared_with_the_literature() -> None:
    """Recognised by digest, not by name; a single route has no warning about the other."""
    mean = {"whole": Mean(6.0, 8.0, 1, 1, 1)}
    file = published.table()["syncnet"]
    assert file.sha256
    real = evaluate_report.closing_words(mean, WeightsFile("mine.model", file.sha256))
    assert real.startswith("\nwhole: 1 of 1 files\nAverage Confidence: 8.0000\nAverage Minimum")
    assert (
        evaluate_report.NOT_THE_LITERATURES not in real and evaluate_report.INCOMPARABLE not in real
    )
    assert evaluate_report.NOT_THE_LITERATURES in evaluate_report.closing_words(
        mean, WeightsFile(file.file, "0")
    )


def test_nothing_scored_is_a_failure(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1 and one sentence, below a table that says why."""
    shutil.copy(folder / "text.mp4", tmp_path / "text.mp4")
    report = tmp_path / "o.json"
    code, output, complaints = _evaluated(capsys, "--data_root", tmp_path, "--json", report)
    assert code == 1 and complaints.count("\n") == 1 and str(tmp_path) in complaints
    assert output.count("not scored") == 2
    assert json.loads(report.read_text())["mean"]["whole"]["lse_d"] is None


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (("--data_root", "{tmp}/absent"), "is not a folder"),
        (("--data_root", "{tmp}"), "holds no video"),
        (("--data_root", "{videos}", "--route", "whole", "--all_scores", "{tmp}/a"), "--route"),
        (("--data_root", "{videos}", "--json", "{tmp}/no/o.json"), "--json"),
        (("--data_root", "{videos}", "--tmp_dir", "{tmp}/no"), "--tmp_dir"),
        (("--data_root", "{videos}", "--vshift", "0"), "--vshift"),
        (("--data_root", "{videos}", "--min_track", "-1"), "--min_track"),
        (("--data_root", "{videos}", "--initial_model", "{tmp}/no.model"), "no.model"),
    ],
)
def test_wrong_flags_of_the_evaluation(
    arguments: tuple[str, ...],
    output: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2 in one sentence, before any video is looked at."""
    filled = [argument.format(tmp=tmp_path, videos=folder) for argument in arguments]
    code, out, complaints = _evaluated(capsys, *filled)
    assert code == 2 and out == "" and output in complaints and complaints.count("\n") == 1
    assert not _files(tmp_path)


def test_passing_files_go_when_it_is_stopped(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpu: torch.device
) -> None:
    """Ctrl-C while a track is scored leaves an empty --tmp_dir, though there was a workspace."""
    folders: list[str] = []

    def stop(clip: Path) -> ClipScore:
        folders.extend(_files(tmp_path))
        raise KeyboardInterrupt

    scorer: Any = SimpleNamespace(score=stop, device=cpu)
    options = FaceOptions(min_track=10)
    videos = {"good": evaluate_folder.find_videos(folder)["sub/Good one.MP4"]}
    with pytest.raises(KeyboardInterrupt):
        evaluate_folder.evaluate(
            videos, ("crops",), scorer, options, tmp_dir=tmp_path, report=print
        )
    assert any(name.endswith("00000.avi") for name in folders) and not _files(tmp_path)
