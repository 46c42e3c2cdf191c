"""A track's number is the name of its clip, in every output, also beside other files."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.dubbing import stage as dub_stage
from pipeline.errors import InputError
from pipeline.evaluate import folder as evaluate_folder
from pipeline.faces import stage as faces_stage
from pipeline.faces.options import FaceOptions
from pipeline.faces.tracks import Track, smooth
from pipeline.media import encode
from pipeline.progress import silent
from pipeline.store.files import write_json
from pipeline.store.workspace import FOLDERS, Workspace
from pipeline.sync.report import TrackScore
from pipeline.sync.scorer import ClipScore, SyncScorer
from pipeline.sync.stage import score_tracks
from tests.conftest import snapshot

FIRST_FRAMES = (0, 50, 300)  # of three tracks of LENGTHS frames
LENGTHS = (12, 14, 9)
STRAYS = ("00000t.avi", "00000 copy.avi", "000001.avi", "00007.avi", "talk.avi")


def _clip(path: Path, frames: int) -> None:
    rng = np.random.default_rng(frames)
    sound = path.with_suffix(".s16")
    rng.integers(-5000, 5000, frames * 640).astype(np.int16).tofile(sound)
    with encode.VideoWriter(path, size_px=(224, 224), audio=sound) as writer:
        for _ in range(frames):
            writer.write(rng.integers(0, 256, (224, 224, 3), np.uint8))
    sound.unlink()


def _track(first: int, frames: int) -> Track:
    boxes = np.tile([10.0, 10.0, 60.0, 60.0], (frames, 1))
    return Track(np.arange(first, first + frames), boxes)


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    """Three tracks and their clips."""
    work = Workspace(tmp_path, "talk")
    for name in FOLDERS:
        work.folder(name).mkdir(parents=True)
    tracks = [_track(*pair) for pair in zip(FIRST_FRAMES, LENGTHS, strict=True)]
    work.write_tracks(tracks, [smooth(track) for track in tracks])
    write_json(work.record, {"counts": {"tracks": 3}, "settings": {"frame_rate": 25}})
    for number, frames in enumerate(LENGTHS):
        _clip(work.crop(number), frames)
    return work


def _score(work: Workspace, cpu: torch.device) -> tuple[list[TrackScore], list[str]]:
    notices: list[str] = []
    scores = score_tracks(work, SyncScorer(device=cpu), notice=notices.append)
    return scores, notices


def _rows(work: Workspace) -> dict[int, tuple[str, float, float]]:
    return {
        row["track"]: (row["file"], row["start_s"], row["end_s"]) for row in work.read_offsets()
    }


RIGHT = {
    0: ("00000.avi", 0.0, 0.48),
    1: ("00001.avi", 2.0, 2.56),
    2: ("00002.avi", 12.0, 12.36),
}


def test_only_names_of_tracks_are_clips(tmp_path: Path) -> None:
    """Five digits or more, without a needless nought before them; other digits are none."""
    work = Workspace(tmp_path, "talk")
    work.folder("pycrop").mkdir(parents=True)
    odd = (
        *STRAYS,
        "\u0660" * 5 + ".avi",
        ".00003.avi",
        "._00003.avi",
        "00003.avi.part",
        "3.avi",
        "-0003.avi",
    )
    for name in odd:
        (work.folder("pycrop") / name).touch()
    numbers = [0, 2, 9999, 10_000, 100_001]
    for number in reversed(numbers):
        work.crop(number).touch()
    assert list(work.clips()) == [0, 2, 7, 9999, 10_000, 100_001]
    assert work.crops() == list(work.clips().values())


def test_strays_change_nothing_and_are_named(work: Workspace, cpu: torch.device) -> None:
    """The demo's leftovers, copies, clips of no track: the scores are as without them."""
    _score(work, cpu)
    without = {name: content for name, (_, content) in snapshot(work.folder("pywork")).items()}
    for name in STRAYS:
        (work.folder("pycrop") / name).write_bytes(work.crop(2).read_bytes())
    scores, [notice] = _score(work, cpu)
    assert "00000 copy.avi, 000001.avi, 00000t.avi and 2 more left out" in notice
    assert [score.clip.file for score in scores] == ["00000.avi", "00001.avi", "00002.avi"]
    assert _rows(work) == RIGHT
    assert {name: content for name, (_, content) in snapshot(work.folder("pywork")).items()} == (
        without
    )
    assert [len(dists) for dists in work.read_distances()] == [7, 9, 4]


@pytest.mark.parametrize("missing", [(0,), (1,), (0, 1), (0, 1, 2)], ids=str)
def test_a_track_without_its_clip_is_refused_and_scores_stay(
    missing: tuple[int, ...], work: Workspace, cpu: torch.device
) -> None:
    """Never another track's times, and never empty scores over those that are there."""
    _score(work, cpu)
    before = snapshot(work.folder("pywork"))
    for number in missing:
        work.crop(number).unlink()
    with pytest.raises(InputError) as refusal:
        _score(work, cpu)
    assert f"{missing[0]:05d}.avi" in str(refusal.value) and "--overwrite" in str(refusal.value)
    assert ("more)" in str(refusal.value)) == (len(missing) > 1) and "\n" not in str(refusal.value)
    assert snapshot(work.folder("pywork")) == before


@pytest.mark.parametrize("what", ["text", "another clip"])
def test_a_file_that_is_not_the_tracks_is_refused(
    what: str, work: Workspace, cpu: torch.device
) -> None:
    """Under the right name, but no video, or one of another length."""
    _score(work, cpu)
    before = snapshot(work.folder("pywork"))
    content = b"no video" if what == "text" else work.crop(1).read_bytes()
    work.crop(2).write_bytes(content)
    with pytest.raises(InputError) as refusal:
        _score(work, cpu)
    assert re.search(r"00002\.avi .*: it is not what run_pipeline\.py cut", str(refusal.value))
    assert "--overwrite" in str(refusal.value) and "\n" not in str(refusal.value)
    assert snapshot(work.folder("pywork")) == before


def test_clips_of_other_programs_may_have_other_lengths(work: Workspace, cpu: torch.device) -> None:
    """The demo does not say its frame rate."""
    work.record.unlink()
    work.crop(2).write_bytes(work.crop(1).read_bytes())
    _score(work, cpu)
    assert list(_rows(work)) == [0, 1, 2]


def _speaking_rows(work: Workspace) -> list[dict]:
    """Track 1 alone speaks, 80 ms early."""
    distances = []
    for number, frames in enumerate(LENGTHS):
        dists = np.full((frames - 5, 31), 10.0, np.float32)
        dists[:, 15] -= 8 * (number == 1)
        distances.append(dists)
    work.write_distances(distances)
    return [
        {
            "track": number,
            "reliable": number == 1,
            "confidence": 8.0,
            "offset_ms": 80.0,
            "reliable_confidence": 3.0 if number == 1 else 100.0,
        }
        for number in range(3)
    ]


def test_rows_are_found_by_their_number(work: Workspace) -> None:
    """In any order; rows of other tracks are refused, not taken for these."""
    rows = _speaking_rows(work)
    tracks = [track for track, _ in work.read_tracks()]
    for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        write_json(work.offsets_json, [rows[number] for number in order])
        assert list(dub_stage.choose(work, tracks, "speaking")) == [1]
    for wrong in ([0, 1, 3], [0, 1, 1], [None, 1, 2]):
        renumbered = [row | {"track": number} for row, number in zip(rows, wrong, strict=True)]
        work.offsets_json.write_text(json.dumps(renumbered))
        with pytest.raises(InputError, match=r"other tracks; run run_syncnet\.py again"):
            dub_stage.choose(work, tracks, "speaking")


def test_evaluation_names_tracks_by_their_clips(
    face_clip: Path, tmp_path: Path, cpu: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other files make no rows."""

    def prepared(video: Path, work: Workspace, *_: object, **__: object) -> faces_stage.Faces:
        work.folder("pycrop").mkdir(parents=True)
        for name in ("00003.avi", "00001.avi", "00000t.avi", "00000 copy.avi"):
            (work.folder("pycrop") / name).touch()
        return faces_stage.Faces(work, 2, was_complete=False, notices=[])

    monkeypatch.setattr(evaluate_folder, "find_faces", prepared)
    nothing = ClipScore("", 0, np.zeros((0, 31), np.float32), None, "nothing")
    scorer: Any = SimpleNamespace(score=lambda clip: nothing, device=cpu)
    rows = evaluate_folder._score_video(
        *(face_clip, "face", scorer, FaceOptions(), tmp_path),
        detector=None,
        progress=silent,
    )
    assert [row.track for row in rows] == [1, 3]
