"""Every field of what run_syncnet.py writes, once against a truth made by hand."""

import json
import pickle
import re
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from models.syncnet import SyncNet, SyncNetConfig
from models.weights import WeightsFile
from pipeline.faces.tracks import CropPath, Track
from pipeline.speakers.files import rttm
from pipeline.speakers.video import ScoredTrack, who_speaks_in_video
from pipeline.store.files import write_json
from pipeline.store.workspace import FOLDERS, Workspace
from pipeline.sync import report as sync_report
from pipeline.sync import scorer as sync_scorer
from pipeline.sync import stage as sync_stage
from pipeline.sync.embedded import Embedded
from pipeline.sync.embeddings import SyncNetModel
from pipeline.sync.offset import Sync
from pipeline.sync.scorer import ClipScore, SyncModel, SyncOptions
from pipeline.verdict import reasons
from pipeline.verdict.reasons import Signs
from pipeline.verdict.traits import SoundTraits
from tests.field_kit import CPU, Truth, check, versions

FAR = float(np.sqrt(200))  # between two unlike embeddings of length 10; to nothing it is 10


@dataclass(frozen=True)
class _Clip:
    """A face clip whose windows are all unlike each other.

    Attributes:
        start_s: where its track begins in the video.
        frames: at 25 per second.
        matching: for each window the one whose sound is its own; None without sound.
        unheard: so many windows at its beginning have no sound to compare with.
    """

    start_s: float
    frames: int
    matching: list[int] | None
    unheard: int = 0

    @property
    def windows(self) -> int:
        """Five fewer than frames."""
        return self.frames - 5

    def distance(self, window: int, shift: int) -> float:
        """Of its lips to the sound of window + shift."""
        assert self.matching is not None
        if not 0 <= window + shift < self.windows:
            return 10.0
        return 0.0 if self.matching[window] == window + shift else FAR

    def means(self) -> np.ndarray:
        """At shifts -15 .. 15, over the windows that are heard."""
        return np.array(
            [
                np.mean([self.distance(i, shift) for i in range(self.unheard, self.windows)])
                for shift in range(-15, 16)
            ]
        )

    def embedded(self) -> Embedded:
        """What the network would say of it."""
        size = self.windows + 40
        lips, sound = 10 * torch.eye(size)[: self.windows], torch.zeros(self.windows, size)
        for window, at in enumerate(self.matching or []):
            if 0 <= at < self.windows:
                sound[at] = lips[window]
        for at in range(self.windows):
            if not sound[at].any():
                sound[at, self.windows + at % 40] = 10
        samples = self.frames * 640 if self.matching is not None else 0
        count = self.windows if samples else 0
        with_sound = np.ones(count, bool)
        return Embedded(
            self.frames, samples, with_sound, 1.0, 0.0, lips[:count], sound[:count], None
        )


def _leading(windows: int, frames: int) -> list[int]:
    return [window - frames for window in range(windows)]


LEADS, DRIFTS, SILENT, LAGS, EDGE = CLIPS = (
    _Clip(2.0, 60, _leading(55, 3)),
    # 124 windows at offsets 0, 1 and 2 each, as two that meet at one sound are the later one's.
    _Clip(
        5.0, 520, [i - min(i // 125, 3) if i not in (124, 249, 374) else -99 for i in range(515)]
    ),
    _Clip(26.0, 30, None),
    _Clip(30.0, 45, _leading(40, -2), unheard=16),
    _Clip(34.0, 60, _leading(55, 15)),
)
USED = WeightsFile("judge.pth", "ab" * 32)
LATE_S = 0.010  # by which pictures stand later on the grid than the video shows them


@pytest.fixture(params=[25, 50])
def scored(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Workspace:
    """The clips scored by run_syncnet.py's stage, with the network's answers in its place."""
    rate: int = request.param
    work = Workspace(tmp_path, "two words")
    for name in FOLDERS:
        work.folder(name).mkdir(parents=True)
    tracks = [
        Track(
            np.arange(round(clip.start_s * rate), round((clip.start_s + clip.frames / 25) * rate)),
            np.ones((clip.frames * rate // 25, 4)),
        )
        for clip in CLIPS
    ]
    work.write_tracks(tracks, [CropPath(*(np.ones(len(t.frames)) for _ in "xys")) for t in tracks])
    work.write_frame_times(np.arange(40 * rate) / rate - LATE_S)
    record = {
        "settings": {"frame_rate": rate},
        "detector": {"file": "faces.pth", "sha256": "0" * 64},
        "counts": {},
        "sound": {"missing_s": [[29.5, 30.8]]},
    }
    write_json(work.record, record)
    for number in range(len(CLIPS)):
        work.crop(number).touch()
    config = SyncNetConfig(reliable_confidence=3.25, reliable_margin=0.25)
    model = SyncNetModel(SyncNet(config).bfloat16(), USED, device=CPU)
    options = SyncOptions(Path("judge.pth"), batch_size=7, precision="auto")
    scorer = sync_scorer.SyncScorer(options, device=CPU, model=model)
    monkeypatch.setattr(scorer, "embed", lambda clip: CLIPS[int(clip.stem)].embedded())
    sync_stage.score_tracks(work, scorer)
    return work


def _measured_by_hand(clip: _Clip) -> tuple[float, float, float]:
    """min dist, confidence, margin."""
    means = clip.means()
    best = int(means.argmin())
    others = [mean for shift, mean in enumerate(means) if abs(shift - best) > 2]
    return means[best], float(np.median(means)) - means[best], min(others) - means[best]


def _offset_of_drifting_ms() -> float:
    """The parabola through offsets 4, 3 and 2, over the windows whose sound is in the clip."""
    left, middle, right = FAR, FAR * (1 - 140 / 512), FAR * (1 - 124 / 513)
    return 40 * (3 - 0.5 * (left - right) / (left - 2 * middle + right))


SETTINGS: Truth = {
    "settings.initial_model": "judge.pth",
    "settings.batch_size": 7,
    "settings.vshift": 15,
    "settings.precision": "bf16",  # what "auto" came to
    "settings.device": "cpu",
    "settings.detector": "faces.pth",
} | {f"settings.{name}": value for name, value in versions().items()}
DRIFT_MS_PER_MIN = 480.0  # a frame in five seconds
SHORT_OR_SMALL = {2: "silent_sound", 4: "face_too_small"}  # boxes of the tracks have no size


def _words_of(reason: dict[str, Any], code: str) -> Truth:
    """Its two sentences are those of its code."""
    wanted = reasons.of_track(0, replace(SIGNS, **SIGNS_OF[code]))
    assert (reason["code"], reason["text"]) == (code, wanted.text)
    return {"code": code, "text": wanted.text, "advice": wanted.advice}


SIGNS = Signs(9.0, SoundTraits(-9.0, 0.5), 0.5, 99.0, False)
SIGNS_OF: dict[str, Any] = {
    "silent_sound": {"sound": SoundTraits(-99.0, 0.5)},
    "face_too_small": {"face_px": 0.0},
}


def _over_time(row: dict[str, Any]) -> Truth:
    """One piece as long as the track; the second one's offset grows by a frame in 5 s."""
    if row["track"] in SHORT_OR_SMALL:
        return {"over_time": None}
    reported, drifts = row["over_time"], row["track"] == 1
    truth: Truth = {
        "over_time.kind": "drift" if drifts else "constant",
        "over_time.pieces[0].start_s": row["start_s"],
        "over_time.pieces[0].end_s": row["end_s"],
        "over_time.pieces[0].offset_ms": row["offset_ms"],
        "over_time.pieces[0].reliable": True,
        "over_time.steps": [],
        "over_time.drift_ms_per_min": None,
        "over_time.drift_interval_ms_per_min": None,
    }
    if drifts:
        _check_drift(reported["drift_ms_per_min"], reported["drift_interval_ms_per_min"])
        middle_ms = 1.5 * 40 - 1000 * LATE_S
        assert reported["pieces"][0]["offset_ms"] == pytest.approx(middle_ms, abs=15)
        truth["over_time.pieces[0].offset_ms"] = reported["pieces"][0]["offset_ms"]
        for name in ("drift_ms_per_min", "drift_interval_ms_per_min"):
            truth[f"over_time.{name}"] = reported[name]
    return truth


def _check_drift(ms_per_min: float, interval: list[float]) -> None:
    assert ms_per_min == pytest.approx(DRIFT_MS_PER_MIN, rel=0.15)
    low, high = interval
    assert low < DRIFT_MS_PER_MIN < high and low < ms_per_min < high


def test_every_field_of_offsets_json(scored: Workspace) -> None:
    expected_rows: dict[int, tuple[int, float, bool, bool, float | None, str | None]] = {
        0: (3, 120, False, True, None, None),
        1: (3, _offset_of_drifting_ms(), False, True, 480.0, None),
        3: (-2, -80, False, True, None, "16 of 40 windows have no sound and do not count."),
        4: (15, 600, True, False, None, None),
    }
    rows = json.loads(scored.offsets_json.read_text())
    assert len(rows) == len(CLIPS)
    names = ("min_dist", "confidence", "margin", "lse_d", "lse_c")
    for number, (row, clip) in enumerate(zip(rows, CLIPS, strict=True)):
        truth: Truth = {
            "track": number,
            "file": f"{number:05d}.avi",
            "start_s": clip.start_s,
            "end_s": clip.start_s + clip.frames / 25,
            "weights": "judge.pth",
            "weights_sha256": "ab" * 32,
            "reliable_confidence": 3.25,
            "reliable_margin": 0.25,
        }
        if number in expected_rows:
            offset, offset_ms, at_edge, reliable, drift, warning = expected_rows[number]
            least, confidence, margin = _measured_by_hand(clip)
            truth |= dict(zip(names, (least, confidence, margin, least, confidence), strict=True))
            # Written down to a tenth of a millisecond.
            truth["offset_ms"] = round(offset_ms - 1000 * LATE_S, 1)
        else:
            offset, at_edge, reliable, drift = None, None, False, None
            warning = "no sound: there is nothing to compare the lips with."
            truth |= dict.fromkeys((*names, "offset_ms"))
        truth |= {
            "offset_frames": offset,
            "at_search_edge": at_edge,
            "probability": None,  # this network was not calibrated
            "reliable": reliable,
            "drift_ms_per_min": drift,
            "warning": warning,
            "search": None if clip.matching is None else "near",
        }
        truth |= _over_time(row)
        if number in SHORT_OR_SMALL:
            words = _words_of(row["reason"], SHORT_OR_SMALL[number])
            truth |= {f"reason.{name}": value for name, value in words.items()}
        else:
            truth["reason"] = None
        check(row, truth | SETTINGS)


def test_every_field_of_video_json(scored: Workspace) -> None:
    """The long track drifts and outweighs the others; all are in one shot of 36.4 s."""
    content = json.loads(scored.verdict.read_text())
    drift = content["drift"]
    _check_drift(drift["ms_per_min"], drift["interval_ms_per_min"])
    # At 15.4 s, the middle of the second track, its offset is 1.5 frames.
    at_middle_ms = drift["offset_ms_at_start"] + drift["ms_per_min"] * 15.4 / 60
    assert at_middle_ms == pytest.approx(60 - 1000 * LATE_S, abs=15)
    middle_ms = drift["offset_ms_at_start"] + drift["ms_per_min"] * 18.2 / 60
    assert content["offset_ms"] == pytest.approx(middle_ms, abs=0.2)
    assert content["sentence"].startswith(f"The sound drifts by {drift['ms_per_min']:+.0f} ms a")
    assert content["shots"][0]["offset_ms"] == pytest.approx(95, abs=25)
    truth: Truth = {
        "reference": "two words",
        "verdict": "drifts",
        "sentence": content["sentence"],
        "offset_ms": content["offset_ms"],
        "reliable": True,
        "standards.bt1359": "unacceptable",
        "standards.atsc": "fail",
        "standards.ebu": "fail",
        "parts[0].start_s": 0.0,
        "parts[0].end_s": 36.4,
        "parts[0].offset_ms": content["offset_ms"],
        "parts[0].reliable": True,
        "drift.offset_ms_at_start": drift["offset_ms_at_start"],
        "drift.ms_per_min": drift["ms_per_min"],
        "drift.interval_ms_per_min": drift["interval_ms_per_min"],
        "shots[0].start_s": 0.0,
        "shots[0].end_s": 36.4,
        "shots[0].offset_ms": content["shots"][0]["offset_ms"],
        "shots[0].reliable": True,
        "shots[0].tracks": [0, 1, 2, 3, 4],
    }
    for number, (track, code) in enumerate(SHORT_OR_SMALL.items()):
        words = _words_of(content["reasons"][number], code)
        truth |= {f"reasons[{number}].{name}": value for name, value in words.items()}
        truth[f"reasons[{number}].track"] = track
    check(content, truth | SETTINGS)


def test_every_line_of_offsets_txt(scored: Workspace) -> None:
    lines = ["FILENAME\tOFFSET\tCONF"]
    for number, (clip, offset) in enumerate(zip(CLIPS, (3, 3, 0, -2, 15), strict=True)):
        confidence = _measured_by_hand(clip)[1] if clip.matching else 0.0
        lines.append(f"{number:05d}.avi\t{offset}\t{confidence:.3f}")
    assert scored.offsets_text.read_bytes().decode() == "\n".join(lines) + "\n"


def test_every_row_of_activesd_pickle(scored: Workspace) -> None:
    """As a tool written for the demo reads it; unheard windows are as far from every shift."""
    with scored.distances.open("rb") as file:
        distances = pickle.load(file, encoding="latin1")
    assert type(distances) is list and {rows.dtype for rows in distances} == {np.dtype(np.float32)}
    assert [rows.shape for rows in distances] == [(55, 31), (515, 31), (0, 31), (40, 31), (55, 31)]
    for rows, clip in zip(distances, CLIPS, strict=True):
        if clip.matching is None:
            continue
        expected = [
            [clip.distance(i, shift) for shift in range(-15, 16)]
            if i >= clip.unheard
            else [np.median(clip.means())] * 31
            for i in range(clip.windows)
        ]
        np.testing.assert_allclose(rows, expected, atol=1e-3)


def test_every_column_of_speakers_rttm(scored: Workspace) -> None:
    """Times count from the video's start; spaces in the name would make columns."""
    lines = scored.speakers.read_text().splitlines()
    assert lines[0] == "SPEAKER two_words 1 2.000 2.400 <NA> <NA> track_0 <NA> <NA>"
    clips = {"track_0": LEADS, "track_1": DRIFTS, "track_3": LAGS}
    assert list(dict.fromkeys(line.split()[7] for line in lines)) == list(clips)
    for line in lines:
        columns = line.split()
        clip = clips[columns[7]]
        assert len(columns) == 10
        kind, name, channel, start_s, length_s, *rest = columns
        assert (kind, name, channel) == ("SPEAKER", "two_words", "1")
        assert rest[:2] + rest[3:] == ["<NA>"] * 4
        end_s = clip.start_s + clip.frames / 25
        assert clip.start_s <= float(start_s) < float(start_s) + float(length_s) <= end_s + 1e-6


def test_every_field_of_speaking_json(scored: Workspace) -> None:
    """Frames are those of the video, at its rate; without sound nobody is heard off screen."""
    content = json.loads(scored.speaking.read_text())
    rate = content["frame_rate"]
    assert set(content) == {"frame_rate", "frames", "tracks", "nobody_s"}
    assert (
        rate in (25, 50) and content["frames"] == round(36.4 * rate) and content["nobody_s"] == []
    )
    lines = [line.split() for line in scored.speakers.read_text().splitlines()]
    for number, (row, clip) in enumerate(zip(content["tracks"], CLIPS, strict=True)):
        assert set(row) == {"track", "start_frame", "scores", "speech_s"}
        assert (row["track"], row["start_frame"]) == (number, round(clip.start_s * rate))
        assert len(row["scores"]) == clip.frames * rate // 25
        assert all(0.01 <= abs(score) <= 10 for score in row["scores"])
        spoken_s = sum(score > 0 for score in row["scores"]) / rate
        assert spoken_s == pytest.approx(sum(e - s for s, e in row["speech_s"]), abs=0.05)
        assert row["speech_s"] == [
            [pytest.approx(float(start_s)), pytest.approx(float(start_s) + float(length_s))]
            for _, _, _, start_s, length_s, _, _, name, *_ in lines
            if name == f"track_{number}"
        ]


def _speakers_text(dists: np.ndarray) -> str:
    """The lines of a track that starts at 7.2 s."""
    track = ScoredTrack(180, len(dists) + 5, dists)
    speaking = who_speaks_in_video([track], None, frames=180 + track.frames, frame_rate=25)
    return rttm("a", [(3, speaking.tracks[0].speech_s)])


def test_stretches_of_speech_are_lines_of_speakers_rttm() -> None:
    """Speech in windows 100 to 299 and 550 to 749 of a track that starts at 7.2 s."""
    rng = np.random.default_rng(0)
    dists = rng.normal(10, 1, (800, 31)).astype(np.float32)
    dists[np.arange(800), rng.integers(0, 31, 800)] -= 8  # lips prefer some shift in every window
    foreign = dists.copy()
    dists[100:300, 12] = dists[550:750, 12] = 2
    lines = _speakers_text(dists).splitlines()
    words = [line.split() for line in lines]
    assert [columns[7] for columns in words] == ["track_3", "track_3"]
    for columns, first, last in zip(words, (100, 550), (299, 749), strict=True):
        # A window tells of its middle frame, two later; this sound is three frames ahead.
        assert float(columns[3]) == pytest.approx(7.2 + (first - 1) / 25, abs=0.1)
        end_s = float(columns[3]) + float(columns[4])
        assert end_s == pytest.approx(7.2 + last / 25, abs=0.1)
        assert re.fullmatch(r"\d+\.\d{3}", columns[3]) and re.fullmatch(r"\d+\.\d{3}", columns[4])
    assert _speakers_text(foreign) == ""


def test_words_of_one_clip_are_the_demos() -> None:
    """Three digits, a tab before each number, the blank behind the offset."""
    framewise = np.array([1.0, -0.5], np.float32)
    sync = Sync(3, 118.2, 6.5, 4.25, 2.0, framewise, False, True, None)
    score = ClipScore("00000.avi", 10, np.ones((5, 31)), sync, None)
    weights_file = WeightsFile("judge.pth", "ab" * 32)
    words = (
        "Framewise conf: \n[ 1.000 -0.500]\nAV offset: \t3 \nMin dist: \t6.500\nConfidence: \t4.250"
    )
    assert (
        sync_report.demo_words(score, weights_file, framewise=True)
        == f"00000.avi (judge.pth)\n{words}"
    )
    warned = replace(score, warning="WARNING: short.")
    assert sync_report.demo_words(warned, weights_file, framewise=True) == (
        f"00000.avi (judge.pth)\nWARNING: short.\n{words}"
    )
    silent = replace(warned, sync=None)
    assert (
        sync_report.demo_words(silent, weights_file, framewise=True)
        == "00000.avi (judge.pth)\nWARNING: short."
    )


@pytest.mark.parametrize(
    ("is_calibrated", "calibration", "words"),
    [
        (True, None, ["Offsets by a.model begin to be reliable at a confidence of 3."]),
        (True, "a calibration", []),
        (False, None, []),
    ],
)
def test_a_threshold_is_named_where_confidence_alone_decides(
    is_calibrated: bool, calibration: str | None, words: list[str]
) -> None:
    model = SimpleNamespace(
        is_calibrated=is_calibrated,
        rule={"calibration": calibration},
        reliable_from={"reliable_confidence": 3.0},
        weights_file=WeightsFile("a.model", "0"),
    )
    assert sync_report.threshold(cast(SyncModel, model)) == words
