"""What the page knows of a video, from which file, and the faces it shows."""

import base64
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.media import encode
from pipeline.page import pictures
from pipeline.page.results import Reason, read_results
from pipeline.store.files import write_json
from pipeline.store.workspace import Workspace
from tests.page_kit import Face, make_results, page_of


def _changed(work: Workspace, **changed: Any) -> None:
    """Other fields in pipeline.json."""
    write_json(work.record, json.loads(work.record.read_text("utf-8")) | changed)


def test_a_video_is_described_by_its_record(tmp_path: Path) -> None:
    """Its name alone, its length, its shots, and the sound it had, whatever files lie about."""
    work = make_results(tmp_path, [Face(frames=100)], frames=300)
    results = read_results(work)
    assert (results.file, results.duration_s, results.has_sound) == ("talk.mp4", 12.0, True)
    assert results.shots == ((0.0, 6.0), (6.0, 12.0))
    _changed(work, sound=None, notices=["Half of it is dark.", 3, ""], counts={}, file=None)
    results = read_results(work)
    assert (results.file, results.duration_s, results.has_sound) == (None, 4.0, False)
    assert results.notices == ("Half of it is dark.",)
    faster = read_results(work, frame_rate=50)
    assert (faster.frame_rate, faster.tracks[0].end_s) == (50, 2.0)
    assert faster.shots == ((0.0, 3.0), (3.0, 6.0))


def test_without_a_record_the_sound_file_and_the_last_face_tell(tmp_path: Path) -> None:
    faces = [Face(frames=150), Face(start_frame=100, frames=100)]
    work = make_results(tmp_path, faces, scored=False)
    results = read_results(work)
    assert (results.duration_s, results.has_sound, results.file) == (8.0, True, None)
    assert (results.tracks[1].start_s, results.tracks[1].end_s) == (4.0, 8.0)
    assert (results.nobody_s, results.verdict, results.shots) == (None, None, ())
    work.audio.unlink()
    assert not read_results(work).has_sound


def test_scores_of_other_tracks_are_refused(tmp_path: Path) -> None:
    """As after run_pipeline.py was run anew, and run_syncnet.py was not."""
    work = make_results(tmp_path, [Face(), Face()])
    work.write_distances([Face().distances()])
    with pytest.raises(InputError, match=r"2 tracks but scores for 1; run run_syncnet\.py again"):
        read_results(work)


def test_rows_are_taken_by_the_number_of_their_track(tmp_path: Path) -> None:
    """Whatever their order; a track without one has what its distances say, no judgement."""
    work = make_results(tmp_path, [Face(offsets_frames=(1,)), Face(offsets_frames=(2,))])
    rows = json.loads(work.offsets_json.read_text("utf-8"))
    write_json(work.offsets_json, [rows[1] | {"offset_frames": 7, "offset_ms": None}])
    first, second = read_results(work).tracks
    assert (first.offset_frames, first.offset_ms, first.reliable) == (1, 40.0, None)
    mean = first.dists.mean(axis=0)
    assert first.confidence == pytest.approx(np.median(mean) - mean.min())
    assert first.min_dist == pytest.approx(mean.min())
    assert (second.offset_frames, second.offset_ms, second.reliable) == (7, None, True)
    assert (second.margin, second.probability, second.reliable_confidence) == (7.5, 0.999, 3.0)


def test_what_changes_within_a_track(tmp_path: Path) -> None:
    """The drift of the judgement over time before that of the row; steps that are whole."""
    over_time = {
        "kind": "step",
        "drift_ms_per_min": 12.0,
        "pieces": [{"start_s": 1, "end_s": 2, "offset_ms": 5.0, "reliable": "yes"}],
        "steps": [{"at_s": 2.0, "from_ms": 1.0}, {"at_s": 3.0, "from_ms": 1.0, "to_ms": 9.0}],
    }
    row = {"over_time": over_time, "search": "near", "at_search_edge": "no"}
    (track,) = read_results(make_results(tmp_path, [Face(row=row)])).tracks
    assert (track.drift_ms_per_min, track.kind, track.wide, track.at_search_edge) == (
        *(12.0, "step", False, False),
    )
    assert [part.reliable for part in track.pieces] == [False]
    assert [(step.at_s, step.from_ms, step.to_ms) for step in track.steps] == [(3.0, 1.0, 9.0)]
    other = make_results(tmp_path / "other", [Face(row={"drift_ms_per_min": 4.0})])
    assert read_results(other).tracks[0].drift_ms_per_min == 4.0


def test_reasons_keep_their_track_and_unknown_verdicts_tell_nothing(tmp_path: Path) -> None:
    verdict = {
        "sentence": "It cannot be told.",
        "reasons": [{"text": "Dark.", "track": 1}, {"text": "", "track": 0}, {"advice": "Turn."}],
    }
    work = make_results(tmp_path, [Face()], more={"video.json": verdict})
    stored = read_results(work).verdict
    assert stored is not None and stored.verdict == "cannot_be_told"
    assert stored.reasons == (Reason("Dark.", None, 1),)


def test_speech_is_of_lines_that_are_whole(tmp_path: Path) -> None:
    """Columns of RTTM: start and length, of tracks alone."""
    work = make_results(tmp_path, [Face(), Face()])
    work.speakers.write_text(
        "SPEAKER x 1 1.500 2.000 <NA> <NA> track_1 <NA> <NA>\n"
        "SPEAKER x 1 4.000 0.500 <NA> <NA> track_1 <NA> <NA>\n"
        "SPEAKER x 1 5.000 0.500 <NA> <NA> track_1 <NA> <NA> more\n"
        "SPEAKER x 1 6.000 0.500 <NA> <NA> off_screen <NA> <NA>\n"
        "SPEAKER x 1 7.000 zero <NA> <NA> track_0 <NA> <NA>\n"
    )
    silent, speaker = read_results(work).tracks
    assert speaker.speech_s == ((1.5, 3.5), (4.0, 4.5)) and speaker.speaks_s == 2.5
    assert silent.speech_s == ()
    write_json(work.speaking, {"tracks": [{"track": 0, "speech_s": [[0, 1]]}]})
    results = read_results(work)
    assert [track.speech_s for track in results.tracks] == [((0.0, 1.0),), ()]
    assert results.nobody_s == ()


def test_what_results_were_made_with(tmp_path: Path) -> None:
    """Each weights file under its own name; the search in milliseconds either way."""
    work = make_results(tmp_path, [Face()])
    _changed(work, detector={"file": "s3fd.safetensors"})
    assert read_results(work).made_with == {
        "Weights of the lip-sync network": "syncnet_small.safetensors",
        "Weights of the face detector": "s3fd.safetensors",
        "Offsets searched": "up to 600 ms",
        "Toolkit": "1.0",
        "ffmpeg": "ffmpeg 9",
    }


# Faces.


def _clip(path: Path, frames: int, *, darkest: int = 30) -> tuple[Path, int]:
    """Frames that become brighter, blue on the left and red on the right."""
    with encode.VideoWriter(path, size_px=(224, 224)) as writer:
        for index in range(frames):
            frame = np.zeros((224, 224, 3), np.uint8)
            frame[:, :112, 0] = frame[:, 112:, 2] = darkest + 2 * index
            writer.write(frame)
    return path, frames


def _shown(uri: str | None) -> tuple[int, int, float, float]:
    """Height and width of a picture, and how blue its left and how red its right half is."""
    assert uri is not None and uri.startswith("data:image/jpeg;base64,")
    content = np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8)
    picture = cv2.imdecode(content, cv2.IMREAD_COLOR)
    assert picture is not None
    height, width = picture.shape[:2]
    blue, red = picture[10:-10, 10:50, 0].mean(), picture[10:-10, -50:-10, 2].mean()
    return height, width, float(blue), float(red)


def test_a_face_is_of_the_middle_of_a_short_clip_and_of_two_seconds_into_a_long_one(
    tmp_path: Path,
) -> None:
    """In its colours, small; one that cannot be read, first or last, leaves the others theirs."""
    damaged = tmp_path / "damaged.avi"
    damaged.write_bytes(b"no video")
    clips = [
        (damaged, 20),
        _clip(tmp_path / "short.avi", 20),
        _clip(tmp_path / "long.avi", 110),
        (tmp_path / "absent.avi", 20),
    ]
    first, short, long, last = pictures.faces_of(clips)
    assert first is None and last is None
    for uri, index in ((short, 10), (long, 50)):
        height, width, blue, red = _shown(uri)
        assert (height, width) == (pictures.FACE_PX, pictures.FACE_PX) == (128, 128)
        assert blue == pytest.approx(30 + 2 * index, abs=6)
        assert red == pytest.approx(30 + 2 * index, abs=6)
    (cut_off,) = pictures.faces_of([(clips[1][0], 80)])
    assert _shown(cut_off)[2] == pytest.approx(30 + 2 * 19, abs=6)
    assert pictures.faces_of([]) == []


def test_each_track_shows_the_middle_of_its_own_clip(tmp_path: Path) -> None:
    """Of a short one that begins late, too: frames are counted from its beginning."""
    faces = [Face(frames=40), Face(start_frame=200, frames=20)]
    work = make_results(tmp_path, faces)
    for number, face in enumerate(faces):
        _clip(work.crop(number), face.frames, darkest=30 + 60 * number)
    shown = [of["src"] for tag, of in page_of(work).tags if of.get("class") == "face"]
    for uri, level in zip(shown, (30 + 2 * 20, 90 + 2 * 10), strict=True):
        assert _shown(uri)[2] == pytest.approx(level, abs=6)
