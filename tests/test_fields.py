"""Every field of every file the stages write, once against a truth made by hand.

What is compared is all that a file holds, by the names of its own keys: a field that is new, gone
or renamed fails here until somebody says what it should be. What run_syncnet.py writes is in
test_fields_of_scores.py.
"""

import json
import os
import re
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import weights
from models.device import native_precision
from models.weights import WeightsFile
from pipeline import cli
from pipeline.dubbing.face_path import Pads
from pipeline.evaluate import folder as evaluate_folder
from pipeline.evaluate.journal import Journal, video_key
from pipeline.evaluate.report import Mean, Row, closing_words, table_line
from pipeline.faces.options import FaceOptions
from pipeline.faces.stage import find_faces
from pipeline.media import decode, process
from pipeline.store import provenance
from pipeline.store.workspace import Workspace
from pipeline.sync.offset import Sync
from pipeline.sync.scorer import ClipScore, SyncScorer
from tests.dub_kit import (
    LEFT,
    RIGHT,
    MouthShowsSound,
    make_film,
    make_wav,
    measured,
    run_dub,
    still_track,
    workspace_of,
)
from tests.field_kit import CPU, Truth, check, digest, versions
from tests.synthetic import ffmpeg


def test_versions_are_what_the_programs_say_of_themselves() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", provenance.TOOLKIT_VERSION)
    command = [process.find_ffmpeg(), "-version"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert process.ffmpeg_version() == output.splitlines()[0]
    assert re.match(r"ffmpeg version \S+", output)


# pipeline.json.


def _made_from(video: Path) -> Truth:
    return {"input.sha256": digest(video), "input.bytes": video.stat().st_size, "file": str(video)}


def _detected_by() -> Truth:
    own = weights.OWN_DIR / "s3fd_small.safetensors"
    return {
        "detector.file": own.name,
        "detector.sha256": digest(own),
        "precision": native_precision(CPU),
        "device": "cpu",
        "ffmpeg": process.ffmpeg_version(),
    } | versions()


SETTINGS: Truth = {
    "facedet_scale": 0.25,
    "crop_scale": 0.4,
    "min_track": 10,
    "frame_rate": 25,
    "num_failed_det": 25,
    "min_face_size": 100,
    "detector": "auto",
    "detect_every": 5,
    "keep_frames": True,
    "keep_video": True,
    "audio_stream": None,
    "precision": "auto",
}


def _settings(**changed: Any) -> Truth:
    return {f"settings.{name}": value for name, value in (SETTINGS | changed).items()}


def test_every_field_of_pipeline_json(done: Workspace, face_clip: Path) -> None:
    """30 frames, a face on each, every fifth and the last of them detected."""
    truth = _made_from(face_clip) | _settings() | _detected_by()
    truth |= {
        "counts.frames": 30,
        "counts.detected_frames": 7,
        "counts.scenes": 1,
        "counts.detections": 30,
        "counts.tracks": 1,
        "scenes": [[0, 30]],
        "notices": [],
        "sound.audio_stream": 0,
        "sound.audio_streams": 1,
        "sound.channel": None,
        "sound.missing_s": [],
    }
    check(json.loads(done.record.read_text()), truth)


def test_fields_of_pipeline_json_where_things_are_odd(tmp_path: Path) -> None:
    """Two shots without a face; the second of two sounds, its channels opposite, 1 s too short."""
    video = tmp_path / "odd.mkv"
    tone = "0.3*sin(2*PI*700*t)"
    ffmpeg(
        *("-f", "lavfi", "-i", "color=black:s=160x120:r=25:d=2,format=yuv420p"),
        *("-f", "lavfi", "-i", "sine=f=400:r=16000:d=2"),
        *("-f", "lavfi", "-i", f"aevalsrc='{tone}|-1.1*{tone}':s=16000:d=1"),
        *("-map", "0", "-map", "1", "-map", "2", "-c:a", "pcm_s16le", "-c:v", "ffv1"),
        *("-vf", "drawbox=t=fill:c=white:enable='gte(n,30)'", video),
    )
    options = FaceOptions(
        crop_scale=0.5,
        min_track=7,
        num_failed_det=3,
        min_face_size=50,
        detector="small",
        detect_every=1,
        keep_frames=False,
        audio_stream=1,
        precision="fp32",
    )
    work = Workspace(tmp_path / "work", "odd")
    prepared = find_faces(video, work, options, device=CPU)
    changed = {name: getattr(options, name) for name in SETTINGS if name != "facedet_scale"}
    truth = _made_from(video) | _settings(**changed, facedet_scale=0.5) | _detected_by()
    truth |= {
        "precision": "fp32",
        "counts.frames": 50,
        "counts.detected_frames": 50,
        "counts.scenes": 2,
        "counts.detections": 0,
        "counts.tracks": 0,
        "scenes": [[0, 30], [30, 50]],
        "notices": prepared.notices,
        "sound.audio_stream": 1,
        "sound.audio_streams": 2,
        "sound.channel": 1,
        "sound.missing_s": [[1.0, 2.0]],
    }
    check(json.loads(work.record.read_text()), truth)
    words = ("2 sound streams; number 1", "channel 2 is used", "from 1.00 to 2.00 s", "no face")
    assert len(prepared.notices) == len(words)
    for notice, word in zip(prepared.notices, words, strict=True):
        assert word in notice


def test_frame_times_of_the_record_are_those_of_the_source(done: Workspace) -> None:
    np.testing.assert_allclose(
        np.load(done.folder("pywork") / "frame_times.npy"), np.arange(30) / 25, atol=1e-6
    )


# wav2lip.json.


@pytest.fixture
def generator(monkeypatch: pytest.MonkeyPatch) -> None:
    network = MouthShowsSound(), WeightsFile("stub.pth", "cd" * 32)
    monkeypatch.setattr(weights, "load_wav2lip", lambda checkpoint, *, device: network)


def _dub_settings(**changed: Any) -> Truth:
    usual = {
        "audio": {},
        "tracks": "all",
        "fit": "video",
        "pads.top": 0,
        "pads.bottom": 10,
        "pads.left": 0,
        "pads.right": 0,
        "blend": True,
        "silence_gate": True,
        "keep_background": None,
        "checkpoint": "auto",
        "batch_size": 16,
        "texture": "none",
        "texture_video": None,
    }
    return {f"settings.{name}": value for name, value in (usual | changed).items()}


def _sound(number: int, path: Path, delay_s: float, volume_db: float, stream: int | None) -> Truth:
    return {
        f"sounds[{number}].path": str(path),
        f"sounds[{number}].delay_s": delay_s,
        f"sounds[{number}].volume_db": volume_db,
        f"sounds[{number}].audio_stream": stream,
    }


MADE_BY: Truth = {
    "generator.file": "stub.pth",
    "generator.sha256": "cd" * 32,
    "precision": "fp32",
    "device": "cpu",
}


@pytest.mark.usefixtures("generator")
def test_every_field_of_wav2lip_json(tmp_path: Path) -> None:
    """The own sound, 120 ms later as the surest track asks; the second face is there for 10."""
    film = make_film(tmp_path / "film.mkv", seconds=1, sound=(0.2,))
    tracks = still_track(LEFT, frames=25), still_track(RIGHT, 5, 10)
    work = workspace_of(tmp_path, film, *tracks)
    measured(work, (-40.0, 4.0, True), (120.0, 5.0, True))
    done = run_dub(work)
    truth = MADE_BY | versions() | _dub_settings() | _sound(0, film, 0.12, 0.0, 0)
    del truth["settings.audio"]
    truth |= {
        "settings.audio": {},
        "source": str(film),
        "frame_rate": 25.0,
        "frames": 25,
        "regenerated.0": 25,
        "regenerated.1": 10,
        "notices": [f"The sound of {film} comes 120 ms later, as its lips do."],
        "textures": {},
    }
    check(json.loads(work.dubbed_record.read_text()), truth)
    assert (done.frames, done.regenerated) == (25, {0: 25, 1: 10})


@pytest.mark.usefixtures("generator")
@pytest.mark.parametrize(
    ("rows", "delay_s"),
    [
        (((-40.0, 4.0, True), (120.0, 5.0, True)), 0.12),
        (((-40.0, 6.0, True), (120.0, 5.0, True)), -0.04),
        (((-40.0, 6.0, False), (120.0, 5.0, True)), 0.12),
        (((-40.0, 6.0, False), (120.0, 5.0, False)), 0.0),
    ],
)
def test_sounds_of_wav2lip_json_follow_the_surest_reliable_track(
    rows: tuple[tuple[float, float, bool], ...], delay_s: float, tmp_path: Path
) -> None:
    film = make_film(tmp_path / "film.mkv", seconds=0.2, sound=(0.1,))
    tracks = still_track(LEFT, frames=5), still_track(RIGHT, frames=5)
    work = workspace_of(tmp_path, film, *tracks)
    measured(work, *rows)
    run_dub(work)
    [sound] = json.loads(work.dubbed_record.read_text())["sounds"]
    assert sound["delay_s"] == pytest.approx(delay_s)


SAID = {
    "original": Sync(2, 81.0, 1.5, 6.5, 1.0, np.zeros(1), False, True, None),
    "regenerated": Sync(-1, -39.0, 2.5, 5.5, 2.0, np.zeros(1), False, False, None),
}


@pytest.mark.usefixtures("generator")
def test_fields_of_wav2lip_json_with_everything_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New sound for one face over the film's own, at 30 frames per second, and scores."""
    film = make_film(tmp_path / "film.mkv", seconds=1, rate="30", sound=(0.2,))
    work = workspace_of(tmp_path, film, still_track(LEFT, frames=25), still_track(RIGHT, 0, 25))
    work.crop(1).touch()
    audio = make_wav(tmp_path / "a.wav", 0.4, seconds=1.5)
    original = ClipScore("00001.avi", 25, np.ones((20, 31)), SAID["original"], None)
    monkeypatch.setattr(SyncScorer, "score", lambda *_: original)
    monkeypatch.setattr(SyncScorer, "score_lips", lambda *_: SAID["regenerated"])
    run_dub(
        work,
        audio={1: audio},
        tracks=(1,),
        fit="audio",
        pads=Pads(1, 2, 3, 4),
        blend=False,
        silence_gate=False,
        keep_background=-12.0,
        checkpoint=Path("mine.pth"),
        batch_size=4,
        score=True,
    )
    changed = {
        "audio.1": str(audio),
        "tracks": [1],
        "fit": "audio",
        "pads.top": 1,
        "pads.bottom": 2,
        "pads.left": 3,
        "pads.right": 4,
        "blend": False,
        "silence_gate": False,
        "keep_background": -12.0,
        "checkpoint": "mine.pth",
        "batch_size": 4,
    }
    truth = MADE_BY | versions() | _dub_settings(**changed)
    del truth["settings.audio"]
    truth |= _sound(0, audio, 0.0, 0.0, None) | _sound(1, film, 0.0, -12.0, 0)
    for name, output in SAID.items():
        truth |= {
            f"scores.1.{name}.offset_frames": output.offset_frames,
            f"scores.1.{name}.lse_d": output.min_dist,
            f"scores.1.{name}.lse_c": output.confidence,
        }
    truth |= {
        "scores.1.weights": "syncnet_small.safetensors",
        "source": str(film),
        "frame_rate": 30.0,
        "frames": 45,
        "regenerated.1": 45,
        "notices": [],
        "textures": {},
    }
    check(json.loads(work.dubbed_record.read_text()), truth)


@pytest.mark.usefixtures("generator")
def test_textures_of_wav2lip_json(tmp_path: Path) -> None:
    """By track: whose pixels its mouth has, out of how many, and why where not its own."""
    film = make_film(tmp_path / "film.mkv", seconds=1, sound=(0.2,))
    work = workspace_of(tmp_path, film, still_track(LEFT, frames=25), still_track(RIGHT, 5, 10))
    done = run_dub(work, texture="own", tracks=(1,))
    record = json.loads(work.dubbed_record.read_text())
    reason = "the face is there for 0.4 s, and 4 s are needed"
    assert record["settings"]["texture"] == "own"
    texture = {"texture": "none", "own_mouths": 10, "reason": reason, "refused": {}}
    assert record["textures"] == {"1": texture}
    assert any(reason in line and "--texture_video" in line for line in done.report())


# What pipeline.evaluate writes.


def _as_scored(_: SyncScorer, clip: Path) -> ClipScore:
    """Whole frames 30 and 3, one crop 20 and 5, the crop of b.mp4 23 and 4."""
    least, confidence, offset, warning = {
        "a": (30.0, 3.0, -2, "WARNING: odd."),
        "b": (31.0, 2.0, 1, None),
        "00000": (20.0, 5.0, 3, None),
    }[clip.stem]
    sync = Sync(offset, 1.0, least, confidence, 9.0, np.zeros(1), False, True, None)
    return ClipScore(clip.name, 30, np.ones((25, 31)), sync, warning)


def test_every_field_of_the_evaluations_json(
    face_clip: Path, no_face_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A video with a face, one without, and one that is none; by both routes."""
    root = tmp_path / "videos"
    root.mkdir()
    shutil.copy(face_clip, root / "a.mp4")
    shutil.copy(no_face_clip, root / "b.mp4")
    (root / "c.mp4").write_text("no video\n" * 100)
    monkeypatch.setattr(SyncScorer, "score", _as_scored)
    report, lines = tmp_path / "o.json", tmp_path / "all.txt"
    flags = ["--data_root", str(root), "--json", str(report), "--all_scores", str(lines)]
    flags += ["--min_track", "9", "--vshift", "11", "--batch_size", "8", "--device", "cpu"]
    assert cli.run(lambda: evaluate_folder.main(flags)) == 0
    own = {name: weights.OWN_DIR / f"{name}_small.safetensors" for name in ("syncnet", "s3fd")}
    table = json.loads(report.read_text())
    notes = [row["note"] for row in table["scores"]]
    assert "no face was found" in notes[3] and notes[4] == notes[5] and "c.mp4" in notes[4]
    truth: Truth = {
        "data_root": str(root),
        "weights.file": own["syncnet"].name,
        "weights.sha256": digest(own["syncnet"]),
        "detector.file": own["s3fd"].name,
        "detector.sha256": digest(own["s3fd"]),
        "mean.whole.lse_d": 30.5,
        "mean.whole.lse_c": 2.5,
        "mean.whole.scored": 2,
        "mean.whole.files_scored": 2,
        "mean.whole.files": 3,
        "mean.crops.lse_d": 20.0,
        "mean.crops.lse_c": 5.0,
        "mean.crops.scored": 1,
        "mean.crops.files_scored": 1,
        "mean.crops.files": 3,
    }
    rows: list[tuple[Any, ...]] = [
        ("a.mp4", "whole", None, 30.0, 3.0, -2, "WARNING: odd."),
        ("a.mp4", "crops", 0, 20.0, 5.0, 3, None),
        ("b.mp4", "whole", None, 31.0, 2.0, 1, None),
        ("b.mp4", "crops", None, None, None, None, notes[3]),
        ("c.mp4", "whole", None, None, None, None, notes[4]),
        ("c.mp4", "crops", None, None, None, None, notes[4]),
    ]
    names = ("file", "route", "track", "lse_d", "lse_c", "offset_frames", "note")
    for number, row in enumerate(rows):
        truth |= {f"scores[{number}].{n}": v for n, v in zip(names, row, strict=True)}
    settings = SETTINGS | {"min_track": 9, "keep_frames": False, "facedet_scale": None}
    settings |= {"initial_model": "auto", "batch_size": 8, "vshift": 11, "device": "cpu"}
    settings |= {"scorer_precision": native_precision(CPU)} | versions()
    truth |= {f"settings.{name}": value for name, value in settings.items()}
    caveats = table["caveats"]
    assert len(caveats) == 2 and "two routes" in caveats[0] and "syncnet_v2.model" in caveats[1]
    check(table, truth | {"caveats": caveats})
    assert lines.read_text() == "20.000000 5.000000\n"


def test_every_column_of_the_evaluations_table() -> None:
    rows = {
        Row(
            "a.mp4", "crops", 3, 7.1234, 5.5, -2
        ): "a.mp4     crops      3    7.123    5.500      -2",
        Row(
            "a.mp4", "whole", None, 7.5, 5.0, 11
        ): "a.mp4     whole      -    7.500    5.000     +11",
        Row("a.mp4", "whole", note="silent"): "a.mp4     whole      -  not scored: silent",
    }
    for row, line in rows.items():
        assert table_line(row, width=8) == line


def test_closing_words_tell_each_mean_by_its_name() -> None:
    """In the published scripts' words: LSE-C is the confidence, LSE-D the minimum distance."""
    means = {
        "whole": Mean(30.5, 2.5, 4, 4, 5),
        "crops": Mean(20.25, 5.125, 7, 3, 5),
    }
    weights_file, detector = WeightsFile("w.pth", "ab"), WeightsFile("d.pth", "cd")
    lines = closing_words(means, weights_file, detector).splitlines()
    assert lines[:10] == [
        "",
        "whole: 4 of 5 files",
        "Average Confidence: 2.5000",
        "Average Minimum Distance: 30.5000",
        "",
        "crops: 7 tracks in 3 of 5 files",
        "Average Confidence: 5.1250",
        "Average Minimum Distance: 20.2500",
        "",
        "Weights: w.pth, sha256 ab",
    ]
    assert lines[10] == "Faces by: d.pth, sha256 cd" and len(lines) == 13


def test_every_field_of_the_evaluations_journal(tmp_path: Path) -> None:
    """A line for the settings and one for each finished video, which tell when it has changed."""
    video = tmp_path / "a.mp4"
    video.write_bytes(b"12345")
    os.utime(video, ns=(0, 1_700_000_000_123_456_789))
    row = asdict(Row("sub/a.mp4", "crops", 2, 30.5, 4.25, -3, "odd"))
    file = tmp_path / "o.rows.jsonl"
    with Journal(file, {"vshift": 9, "file": video}) as journal:
        journal.add(video_key(video, "sub/a.mp4", "crops"), [row])
    settings, line = map(json.loads, file.read_text().splitlines())
    check(settings, {"settings.vshift": 9, "settings.file": str(video)})
    truth: Truth = {
        "key.file": "sub/a.mp4",
        "key.route": "crops",
        "key.bytes": 5,
        "key.mtime_ns": 1_700_000_000_123_456_789,
        "rows[0].file": "sub/a.mp4",
        "rows[0].route": "crops",
        "rows[0].track": 2,
        "rows[0].lse_d": 30.5,
        "rows[0].lse_c": 4.25,
        "rows[0].offset_frames": -3,
        "rows[0].note": "odd",
    }
    check(line, truth)


def test_a_video_keeps_its_offset_through_every_file(
    done: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What offsets.json says in milliseconds is what the dubbed video's sound is moved by."""
    shutil.copytree(done.data_dir, tmp_path / "work")
    work = Workspace(tmp_path / "work", "face")
    measured(work, (-80.0, 9.0, True))
    network = MouthShowsSound(), WeightsFile("stub.pth", "cd" * 32)
    monkeypatch.setattr(weights, "load_wav2lip", lambda checkpoint, *, device: network)
    run_dub(work)
    record = json.loads(work.dubbed_record.read_text())
    [sound] = record["sounds"]
    assert sound["delay_s"] == pytest.approx(-0.08) and "80 ms earlier" in record["notices"][0]
    before, after = decode.read_audio(work.video), decode.read_audio(work.dubbed_video)
    count = min(len(before), len(after))
    lags = {
        shift: float(
            np.dot(before[2000:10_000].astype(float), after[2000 - shift : 10_000 - shift])
        )
        for shift in (0, 1280, -1280)
    }
    assert count > 12_000 and max(lags, key=lags.__getitem__) == 1280
