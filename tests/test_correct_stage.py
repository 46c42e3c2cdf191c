"""A corrected copy of a scored video: what is refused, what stays, and that it is scored again."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pipeline
import run_syncnet
from models.files import partial_path
from pipeline.correction import again, stage
from pipeline.correction.plan import Move, Plan
from pipeline.correction.stage import Corrected, correct
from pipeline.errors import InputError, PipelineError
from pipeline.faces.stage import find_faces
from pipeline.store.files import write_json
from pipeline.store.workspace import Workspace
from pipeline.sync.scorer import SyncScorer
from pipeline.sync.stage import score_tracks
from pipeline.verdict.video import VideoVerdict, write_verdict
from tests.conftest import FACE_OPTIONS, Script, snapshot
from tests.correct_kit import packets, verdict
from tests.synthetic import ffmpeg


@pytest.fixture(scope="module")
def scorer() -> SyncScorer:
    """Loaded once."""
    return SyncScorer(device="cpu")


@pytest.fixture
def work(done: Workspace, tmp_path: Path) -> Workspace:
    """Results of the face clip with a verdict made by hand: the sound is 80 ms early."""
    shutil.copytree(done.data_dir, tmp_path / "work")
    work = Workspace(tmp_path / "work", "face")
    write_verdict(work.verdict, verdict(80, ends_s=(1.2,)))
    return work


def test_a_real_lag_is_gone(example: Path, tmp_path: Path, scorer: SyncScorer) -> None:
    """Five seconds of the sample, whose sound is 100 ms early, through all stages."""
    video = tmp_path / "early.mp4"
    ffmpeg("-i", example, "-t", "5", "-c:v", "libx264", "-preset", "veryfast", "-c:a", "aac", video)
    work = Workspace(tmp_path / "work", "early")
    find_faces(video, work, FACE_OPTIONS, device="cpu")
    score_tracks(work, scorer)
    before = snapshot(work.data_dir)
    result = correct(work, tmp_path / "out.mp4", scorer=scorer)
    assert result.before.verdict == "early" and result.after.verdict == "in_sync"
    assert result.plan.moves[0].delay_s == pytest.approx(0.1, abs=0.015)
    assert result.residual_ms is not None and abs(result.residual_ms) < 10
    assert packets(result.video, "v") == packets(video, "v")
    assert snapshot(work.data_dir) == before and not partial_path(result.video).exists()
    sentences = list(result.report())
    assert sentences[0] == f"The sound comes {result.plan.moves[0].delay_s * 1000:.0f} ms later."
    assert sentences[1].startswith(f"Residual, scored again: {result.residual_ms:+.0f} ms.")
    assert sentences[2] == f"Corrected copy in {result.video}"


def test_from_python(work: Workspace, tmp_path: Path) -> None:
    result = pipeline.correct(work, out=str(tmp_path / "out.mkv"), device="cpu")
    assert isinstance(result, Corrected) and result.plan == Plan((Move(0.0, 0.08),))
    unknown = dataclasses.replace(result, after=verdict(), notices=["One."])
    assert list(unknown.report()) == [
        "One.",
        "The sound comes 80 ms later.",
        "Scored again, the offset cannot be told: A sentence of the verdict.",
        f"Corrected copy in {result.video}",
    ]
    with pytest.raises(InputError, match=r"^out .*out\.doc must end in") as refused:
        pipeline.correct(work, out=tmp_path / "out.doc", device="cpu")
    assert "--" not in str(refused.value)


def test_the_video_itself_is_not_overwritten(
    work: Workspace, face_clip: Path, tmp_path: Path, scorer: SyncScorer
) -> None:
    (tmp_path / "link.mp4").symlink_to(face_clip)
    for out in (face_clip, tmp_path / "link.mp4"):
        with pytest.raises(InputError, match="is the video itself; give the copy another name"):
            correct(work, out, scorer=scorer)


def _noted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the copy is scored with, from now on, without being scored."""
    calls: list[dict[str, Any]] = []

    def note(*_: object, **options: Any) -> VideoVerdict:
        calls.append(options)
        return verdict(1.0)

    monkeypatch.setattr(stage, "score_again", note)
    return calls


def test_a_video_that_was_moved_is_taken_from_where_it_is(
    work: Workspace,
    face_clip: Path,
    tmp_path: Path,
    scorer: SyncScorer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moved, out = tmp_path / "elsewhere.mp4", tmp_path / "out.mp4"
    shutil.copyfile(face_clip, moved)
    record = work.read_record() or {}
    write_json(work.record, record | {"file": str(tmp_path / "gone.mp4")})
    with pytest.raises(InputError, match=r"gone\.mp4 is not there any more; --videofile can say"):
        correct(work, out, scorer=scorer)
    _noted(monkeypatch)
    assert correct(work, out, scorer=scorer, video=moved).video.is_file()
    with moved.open("ab") as file:
        file.write(b"more")
    with pytest.raises(InputError, match=r"elsewhere\.mp4 was changed since run_pipeline\.py"):
        correct(work, out, scorer=scorer, video=moved)
    write_json(work.record, {"settings": record["settings"]})
    with pytest.raises(InputError, match="does not say of which video it is"):
        correct(work, out, scorer=scorer)


def _not_reliable(work: Workspace) -> None:
    write_verdict(work.verdict, verdict())


def _not_scored(work: Workspace) -> None:
    work.verdict.unlink()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_not_reliable, "Nothing is corrected, as no offset of face is reliable"),
        (_not_scored, "run run_syncnet.py"),
    ],
)
def test_no_offset_is_no_file(
    spoil: Callable[[Workspace], None],
    sentence: str,
    work: Workspace,
    tmp_path: Path,
    scorer: SyncScorer,
) -> None:
    """And a file of that name stays what it was."""
    spoil(work)
    out = tmp_path / "out.mp4"
    for content in (None, b"something else"):
        if content:
            out.write_bytes(content)
        with pytest.raises(PipelineError, match=sentence):
            correct(work, out, scorer=scorer)
        assert (out.read_bytes() if out.exists() else None) == content


def test_a_run_that_fails_leaves_nothing(
    work: Workspace, tmp_path: Path, scorer: SyncScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where the file is whole already, but scoring it again fails."""

    def fail(*_: object, **__: object) -> None:
        raise PipelineError("The disk is full.")

    monkeypatch.setattr(again, "score_tracks", fail)
    out = tmp_path / "out.mp4"
    with pytest.raises(PipelineError, match="The disk is full"):
        correct(work, out, scorer=scorer)
    assert not out.exists() and not partial_path(out).exists()
    assert not list((work.data_dir / "pytmp").glob("face*"))


def test_the_sound_that_was_scored_is_scored_again(
    work: Workspace,
    face_clip: Path,
    tmp_path: Path,
    scorer: SyncScorer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By its number in the copy; and where there is none of it, nothing is measured."""
    two = tmp_path / "two.mp4"
    maps = ("-map", "0:v", "-map", "0:a", "-map", "0:a")
    ffmpeg("-i", face_clip, *maps, "-c", "copy", two)
    record = work.read_record() or {}
    known = stage.is_file_of
    monkeypatch.setattr(stage, "is_file_of", lambda file, _: file == two or known(file, _))
    sound = record["sound"] | {"audio_stream": 1, "missing_s": [[0.5, 0.9]]}
    write_json(work.record, record | {"file": str(two), "sound": sound})
    calls = _noted(monkeypatch)
    correct(work, tmp_path / "out.mp4", scorer=scorer)
    assert calls[0]["audio_stream"] == 1
    assert calls[0]["missing_s"][:2] == [(0.0, 0.08), (0.58, 0.98)]


@pytest.mark.parametrize(
    ("offset_ms", "ends_s", "words"),
    [
        ((80,), (1.2,), "--correct face_corrected.mp4\n"),
        ((80, -80), (0.6, 1.2), "--correct face_corrected.mp4 --per_shot\n"),
        ((0,), (1.2,), None),
        ((), (), None),
    ],
)
def test_a_lag_is_told_with_the_command_that_mends_it(
    offset_ms: tuple[float, ...], ends_s: tuple[float, ...], words: str | None, work: Workspace
) -> None:
    """Each shot by itself where the sound jumps; nothing in sync, or where nothing is reliable."""
    made = verdict(*offset_ms, ends_s=ends_s)
    if offset_ms == (0,):
        made = dataclasses.replace(made, verdict="in_sync")
    write_verdict(work.verdict, made)
    line = "".join(run_syncnet.hint(work))
    if words is None:
        assert not line
    else:
        start = f"A copy in sync: python run_syncnet.py --reference face --data_dir {work.data_dir}"
        assert line == f"{start} {words}"
    work.verdict.unlink()
    assert not list(run_syncnet.hint(work))


def test_flags_that_need_others(script_here: Script, done: Workspace, tmp_path: Path) -> None:
    where = ("--data_dir", done.data_dir, "--reference", "face")
    alone = script_here("run_syncnet.py", *where, "--per_shot")
    assert alone.returncode == 2 and "give --correct, too" in alone.stderr
    nowhere = script_here("run_syncnet.py", *where, "--correct", tmp_path / "no" / "out.mp4")
    assert nowhere.returncode == 2 and "give a file in a folder that exists" in nowhere.stderr
    clip = ("--data_dir", tmp_path, "--videofile", done.crop(0))
    for flag in (("--correct", tmp_path / "out.mp4"), ("--standard", "ebu")):
        single = script_here("run_syncnet.py", *clip, *flag)
        assert single.returncode == 2 and "is one face clip" in single.stderr
