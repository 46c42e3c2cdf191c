"""The toolkit from Python: results typed, silent, and errors that speak of parameters."""

import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import pipeline
from models.weights import WeightsFile
from pipeline import (
    Faces,
    InputError,
    SyncOptions,
    SyncScorer,
    TrackScore,
    VideoVerdict,
    Workspace,
    api,
    dub,
    find_faces,
    label,
    score,
    score_clip,
    verdict_of,
)
from tests.conftest import REPO, snapshot
from tests.synthetic import frame_count

OPTIONS: dict[str, Any] = {"min_track": 10, "min_face_size": 50, "detector": "small"}


@pytest.fixture(scope="module")
def faces(face_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Faces:
    """Of the face clip; not scored."""
    return find_faces(face_clip, tmp_path_factory.mktemp("api"), device="cpu", **OPTIONS)


def test_stages_follow_each_other(
    faces: Faces, face_clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the README has it, with the numbers of the scripts; nothing is printed."""
    assert faces.tracks == 1 and not faces.was_complete and faces.workspace.reference == "face"
    (track,) = score(faces)
    assert isinstance(track, TrackScore)
    (row,) = faces.workspace.read_offsets()
    assert (track.track, track.start_s) == (0, 0.0) and track.end_s == row["end_s"]
    assert track.offset_ms == pytest.approx(row["offset_ms"], abs=0.06)
    assert (track.offset_frames, track.reliable) == (row["offset_frames"], row["reliable"])
    assert (track.confidence, track.min_dist) == (row["confidence"], row["min_dist"])
    assert track.weights.file == row["weights"] == "syncnet_small.safetensors"
    verdict = verdict_of(faces)
    assert isinstance(verdict, VideoVerdict) and verdict.reference == "face"
    assert verdict.shots[0].tracks == (0,) and verdict.settings == row["settings"]
    assert frame_count(label(faces)) == 30
    dubbed = dub(faces, tracks=[0], audio=face_clip, score=True)
    assert dubbed.regenerated == {0: 30} and frame_count(dubbed.video) == 30
    assert dubbed.scores.keys() == {"0"} and not dub(faces, tracks=[0], audio=face_clip).scores
    assert capsys.readouterr() == ("", "")


def test_a_clip_and_many_videos_take_a_loaded_scorer(
    faces: Faces, face_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loaded once; options belong to the scorer then."""
    scorer = SyncScorer(SyncOptions(vshift=7), device="cpu")
    monkeypatch.setattr("pipeline.sync.scorer.load_model", None)
    (track,) = score(Workspace(faces.workspace.data_dir, "face"), scorer=scorer)
    assert track.dists.shape[1] == 15
    clip = score_clip(str(faces.workspace.crop(0)), scorer=scorer)
    assert clip.sync is not None and track.sync is not None
    assert clip.sync.offset_frames == track.sync.offset_frames
    with pytest.raises(InputError, match=r"^vshift is an option of the scorer that was given\.$"):
        score(faces, scorer=scorer, vshift=9)


def test_a_clip_is_scored_with_the_options_given(faces: Faces, tmp_path: Path) -> None:
    """Its features are saved where they are wanted."""
    features = tmp_path / "clip.npy"
    with pytest.warns(UserWarning, match=r"clip\.npy: 26 windows of \d+ values"):
        clip = score_clip(faces.workspace.crop(0), vshift=7, save_features=features)
    assert clip.dists.shape[1] == 15 and features.is_file()


def test_results_are_made_again_when_asked(face_clip: Path, tmp_path: Path) -> None:
    first = find_faces(face_clip, tmp_path, reference="mine", **OPTIONS)
    assert first.workspace.reference == "mine"
    assert find_faces(face_clip, tmp_path, reference="mine", **OPTIONS).was_complete
    again = find_faces(face_clip, tmp_path, reference="mine", overwrite=True, **OPTIONS)
    assert not again.was_complete


def test_a_loaded_detector_is_recorded_as_it_is(no_face_clip: Path, tmp_path: Path) -> None:
    """Its file and its device, not the defaults of the options; its results are kept."""
    detector = SimpleNamespace(
        weights_file=WeightsFile("toy.bin", "0" * 64),
        precision="fp32",
        resize="area",
        device="toy:0",
        detect=lambda pictures: [[] for _ in pictures],
    )
    with pytest.warns(UserWarning, match="min_face_size"):
        faces = find_faces(no_face_clip, tmp_path, detector=detector)
    record = faces.workspace.read_record()
    assert record is not None and record["device"] == "toy:0"
    assert record["settings"]["detector"] == record["detector"]["file"] == "toy.bin"
    with pytest.warns(UserWarning, match="min_face_size"):
        assert find_faces(no_face_clip, tmp_path, detector=detector).was_complete


def test_progress_is_called_to_the_end(faces: Faces, face_clip: Path, tmp_path: Path) -> None:
    """Every step ends with as many as there are."""
    calls: list[tuple[str, int, int | None]] = []

    def note(step: str, done: int, total: int | None) -> None:
        calls.append((step, done, total))

    result = find_faces(face_clip, tmp_path, progress=note, **OPTIONS)
    score(result, progress=note)
    label(result, progress=note)
    last = {step: (done, total) for step, done, total in calls}
    assert last == {
        "frames, shots, faces": (30, 30),
        "face clips": (30, 30),
        "face clips scored": (1, 1),
        "frames labelled": (30, 30),
    }


def test_notices_are_warnings(no_face_clip: Path, tmp_path: Path) -> None:
    """What the script prints when it finds nothing; of the line that called."""
    with pytest.warns(UserWarning, match="No track: no face was found in any of 20 frames") as said:
        faces = find_faces(no_face_clip, tmp_path)
    assert faces.tracks == 0 and {warning.filename for warning in said} == {__file__}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert score(faces) == []


def test_warnings_from_deep_inside_are_of_the_line_that_called(
    done: Workspace, tmp_path: Path
) -> None:
    """Python shows a warning once per line: one of the toolkit's own would hide the others."""
    with pytest.warns(UserWarning, match="windows of ") as said:
        score_clip(done.crop(0), save_features=tmp_path / "face.npy")
    assert {warning.filename for warning in said} == {__file__}


def _wrong(faces: Faces, face_clip: Path, work: Path) -> dict[str, tuple[Any, str]]:
    empty = Workspace(work, "empty")
    return {
        "no results": (lambda: score(empty), r"is not there; call find_faces first\."),
        "not scored": (lambda: label(faces), r"is not there; call score first\."),
        "no verdict": (lambda: verdict_of(faces), r"video\.json is not there; call score first\."),
        "other results": (
            lambda: find_faces(face_clip, faces.workspace.data_dir, min_track=11),
            r"add overwrite=True to replace them or choose another reference\.",
        ),
        "no file": (lambda: dub(faces, audio="no.wav"), r"^audio no\.wav is not a file; give"),
        "no such track": (lambda: dub(faces, tracks=[3]), r"^tracks 3: face has tracks 0 to 0\.$"),
        "no word": (lambda: dub(faces, tracks="0"), r"^Invalid tracks \('0'\); supported: all"),
        "no device": (
            lambda: score_clip("a.avi", device="cuda:99"),
            r"^device cuda:99 is not available here; use device cpu or auto\.$",
        ),
        "an odd name": (
            lambda: find_faces(face_clip, work, reference="a/b"),
            r"^reference 'a/b' cannot name a folder",
        ),
    }


@pytest.mark.parametrize(
    "case",
    [
        *(
            "no results",
            "not scored",
            "no verdict",
            "other results",
            "no file",
            "no such track",
            "no word",
        ),
        *("no device", "an odd name"),
    ],
)
def test_errors_speak_of_parameters(case: str, face_clip: Path, tmp_path: Path) -> None:
    """No flag and no script in what a caller reads; nothing is changed."""
    faces = find_faces(face_clip, tmp_path / "work", **OPTIONS)
    before = snapshot(tmp_path / "work")
    call, words = _wrong(faces, face_clip, tmp_path / "other")[case]
    with pytest.raises(InputError, match=words) as refused:
        call()
    assert "--" not in str(refused.value) and ".py" not in str(refused.value)
    assert snapshot(tmp_path / "work") == before


def test_sentences_of_scripts_become_those_of_functions() -> None:
    """Flags of other programs stay."""
    sentence = (
        "x is gone; run run_pipeline.py again with --overwrite, or ./download_model.sh --only x"
    )
    assert api.python_words(sentence) == (
        "x is gone; call find_faces again with overwrite=True, or ./download_model.sh --only x"
    )
    sentence = "--per_shot needs --correct; --videofile and --vshift can say more."
    assert api.python_words(sentence) == ("per_shot=True needs out; video and vshift can say more.")


def test_import_is_quick_and_loads_nothing() -> None:
    """Neither torch nor ffmpeg, and every name that is promised is there."""
    code = (
        "import sys, time; started = time.perf_counter(); import pipeline\n"
        "print(time.perf_counter() - started)\n"
        "heavy = {'torch', 'numpy', 'cv2', 'ffmpeg', 'scipy', 'pipeline.api'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    times_s = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        times_s.append(float(done.stdout))
    assert min(times_s) < 0.2
    assert all(getattr(pipeline, name) is not None for name in pipeline.__all__)
    assert set(pipeline.__all__) <= set(dir(pipeline))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        pipeline.nothing  # noqa: B018
