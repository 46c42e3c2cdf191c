"""The bundled example through the real commands, against its known offsets."""

import json
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch

from data import make_example
from models import weights
from pipeline.faces.options import FaceOptions
from pipeline.faces.stage import find_faces
from pipeline.faces.tracks import CropPath, Track
from pipeline.media import decode
from pipeline.media.process import find_ffmpeg
from pipeline.store.workspace import Workspace
from pipeline.verdict.video import read_verdict
from tests.conftest import Script
from tests.ffmpegs import same_program
from tests.golden import measure, stored
from tests.synthetic import ffmpeg, frame_count

FRAMES = make_example.SHOT_ONE_FRAMES + make_example.SHOT_TWO_FRAMES
FIELDS = {
    *("track", "file", "start_s", "end_s", "offset_frames", "offset_ms", "min_dist", "confidence"),
    *("at_search_edge", "reliable", "drift_ms_per_min", "lse_d", "lse_c", "weights"),
}


@dataclass(frozen=True)
class Sample:
    """Results of the sample, and which track is who.

    Attributes:
        work: the workspace.
        outputs: stdout of the three commands.
        rows: of offsets.txt, as (file, offset, confidence).
        first, speaker, listener: track numbers.
    """

    work: Workspace
    outputs: dict[str, str]
    rows: list[tuple[str, int, float]]
    first: int
    speaker: int
    listener: int


def _who(
    tracks: list[tuple[Track, CropPath]], cut: int = make_example.SHOT_ONE_FRAMES
) -> tuple[int, int, int]:
    """Numbers of first, speaker and listener; `cut` is the first frame of shot two."""
    second = [i for i, (t, _) in enumerate(tracks) if t.frames[0] >= cut]
    (first,) = set(range(len(tracks))) - set(second)
    left, right = sorted(second, key=lambda i: float(tracks[i][1].x.mean()))
    return (first, left, right) if make_example.SPEAKER_SIDE == "left" else (first, right, left)


@pytest.fixture(scope="module")
def sample(example: Path, tmp_path_factory: pytest.TempPathFactory, script: Script) -> Sample:
    """The three commands with the bundled weights, in float32: bf16 moves the numbers."""
    data_dir = tmp_path_factory.mktemp("example")
    where = ("--reference", "example", "--data_dir", data_dir)
    own = weights.OWN_DIR / weights.SYNCNET_OWN_FILE
    exact = ("--precision", "fp32")
    commands = (
        ("run_pipeline.py", "--videofile", example, "--detector", "small", *exact, *where),
        ("run_syncnet.py", "--initial_model", own, *exact, *where),
        ("run_visualise.py", *where),
    )
    outputs = {}
    for name, *arguments in commands:
        done = script(name, *arguments)
        assert done.returncode == 0, done.stderr
        outputs[name] = done.stdout
    work = Workspace(data_dir, "example")
    header, *lines = work.offsets_text.read_text().splitlines()
    assert header == "FILENAME\tOFFSET\tCONF"
    rows = [(file, int(offset), float(c)) for file, offset, c in map(str.split, lines)]
    return Sample(work, outputs, rows, *_who(work.read_tracks()))


def test_the_verdict_on_the_example_is_a_step_at_its_cut(sample: Sample) -> None:
    """As run_syncnet.py says in its last lines; the listener's reason is among the reasons."""
    verdict = read_verdict(sample.work.verdict)
    assert verdict.verdict == "steps" and verdict.reliable
    cut_s = make_example.SHOT_ONE_FRAMES / 25
    assert [part.start_s for part in verdict.parts] == pytest.approx([0, cut_s], abs=0.05)
    # Each frame was drawn for the middle of its 40 ms, 20 ms after the instant that counts.
    assert [part.offset_ms for part in verdict.parts] == pytest.approx([120 - 20, -20], abs=15)
    assert [reason.track for reason in verdict.reasons] == [sample.listener]
    assert verdict.sentence in sample.outputs["run_syncnet.py"].splitlines()


def test_both_shots_and_all_three_faces_are_found(sample: Sample) -> None:
    """One track in shot one, two in shot two, each over the whole shot."""
    record = json.loads(sample.work.record.read_text())
    cut = make_example.SHOT_ONE_FRAMES
    assert record["scenes"] == [[0, cut], [cut, FRAMES]] and record["notices"] == []
    spans = [(int(t.frames[0]), int(t.frames[-1]) + 1) for t, _ in sample.work.read_tracks()]
    assert sorted(spans) == [(0, cut), (cut, FRAMES), (cut, FRAMES)]
    assert [file for file, _, _ in sample.rows] == ["00000.avi", "00001.avi", "00002.avi"]


def test_shot_one_reads_its_planted_lead(sample: Sample) -> None:
    """The sound of shot one comes 120 ms early: +3 frames, give or take one."""
    assert abs(sample.rows[sample.first][1] - make_example.SHOT_ONE_LEAD_FRAMES) <= 1


def test_the_speaker_of_shot_two_is_in_time(sample: Sample) -> None:
    """Speaker and sound belong together: 0 frames, give or take one."""
    assert abs(sample.rows[sample.speaker][1] - make_example.SHOT_TWO_LEAD_FRAMES) <= 1


def test_the_speaker_beats_the_listener(sample: Sample) -> None:
    """Confidence is higher for the speaker than for the listener."""
    assert sample.rows[sample.speaker][2] > sample.rows[sample.listener][2]


def test_offsets_json_says_everything(sample: Sample) -> None:
    """All promised fields, in agreement with offsets.txt and the tracks."""
    rows = json.loads(sample.work.offsets_json.read_text())
    assert len(rows) == 3
    for number, (row, (file, offset, confidence)) in enumerate(zip(rows, sample.rows, strict=True)):
        assert set(row) >= FIELDS
        assert (row["track"], row["file"], row["offset_frames"]) == (number, file, offset)
        assert row["confidence"] == row["lse_c"] == pytest.approx(confidence, abs=6e-4)
        assert row["min_dist"] == row["lse_d"] > 0
        assert abs(row["offset_ms"] / 40 - offset) <= 1.5
        assert row["weights"] == weights.SYNCNET_OWN_FILE
    assert (rows[sample.first]["start_s"], rows[sample.first]["end_s"]) == (0, 12)
    assert (rows[sample.speaker]["start_s"], rows[sample.speaker]["end_s"]) == (12, 24)


def _is_bundled() -> bool:
    """The ffmpeg in use is the one that the numbers were measured with."""
    return same_program(Path(find_ffmpeg()), Path(imageio_ffmpeg.get_ffmpeg_exe()))


def test_offsets_and_confidence_are_the_stored_ones(sample: Sample) -> None:
    """Of all tracks, to 1e-3; the listener's offset is by chance, and not reliable."""
    measured, numbers = measure.of_tracks(sample.work), stored.numbers()["tracks"]
    within = stored.WITHIN if _is_bundled() else stored.WITHIN_OF_OTHER_FFMPEGS
    if not _is_bundled():
        for rows in (measured, numbers):
            del rows[f"{sample.listener:05d}.avi"]
    assert not measure.differences(measured, numbers, within=within)
    assert measured[f"{sample.first:05d}.avi"]["reliable"]


def test_embeddings_of_the_first_crop_are_the_stored_ones(sample: Sample) -> None:
    """The first and the last window, lips and sound."""
    measured = measure.of_embeddings(sample.work.crop(0))
    within = stored.WITHIN if _is_bundled() else stored.EMBEDDING_WITHIN_OF_OTHER_FFMPEGS
    assert not measure.differences(measured, stored.numbers()["embeddings"], within=within)


def test_the_commands_print_the_demos_words(sample: Sample) -> None:
    """Scripts that read the demo's output find what they look for, once a track."""
    output = sample.outputs["run_syncnet.py"]
    for words in ("AV offset: \t", "Min dist: \t", "Confidence: \t"):
        assert output.count(words) == 3
    assert f"AV offset: \t{sample.rows[0][1]} " in output
    assert "3 tracks" in sample.outputs["run_pipeline.py"]
    assert "video_out.avi" in sample.outputs["run_visualise.py"]
    assert "report.html" in sample.outputs["run_visualise.py"]


def test_distances_have_a_row_per_window(sample: Sample) -> None:
    """activesd.pckl: n - 5 windows of 31 shifts for a track of n frames."""
    assert [row.shape for row in sample.work.read_distances()] == [(295, 31)] * 3


def test_the_labelled_video_is_whole(sample: Sample) -> None:
    """600 frames, and the sound of all of them."""
    assert frame_count(sample.work.labelled_video) == FRAMES
    samples = decode.read_audio(sample.work.labelled_video)
    assert len(samples) == pytest.approx(FRAMES * 640, abs=640) and np.abs(samples).max() > 1000


def test_the_speaker_is_drawn_greener(sample: Sample) -> None:
    """Over shot two the box of the speaker is less red and more green than the listener's."""
    tracks = sample.work.read_tracks()
    greenness: dict[int, list[float]] = {sample.speaker: [], sample.listener: []}
    frames = decode.read_frames(sample.work.labelled_video, frame_rate=None)
    for index, frame in enumerate(frames):
        position = index - make_example.SHOT_ONE_FRAMES
        for number, values in greenness.items() if position >= 0 else ():
            path = tracks[number][1]
            x, y, s = (float(v[position]) for v in (path.x, path.y, path.s))
            pixel = frame[int(y), int(x - s)].astype(int)
            values.append(float(pixel[1] - pixel[2]))
    assert len(greenness[sample.speaker]) == make_example.SHOT_TWO_FRAMES
    assert np.mean(greenness[sample.listener]) < -60, "no red box where it should be"
    assert np.mean(greenness[sample.speaker]) > np.mean(greenness[sample.listener]) + 20


def test_the_listener_gets_a_mouth_for_the_speakers_words(
    example: Path, tmp_path: Path, cpu: torch.device, script_here: Script
) -> None:
    """run_wav2lip.py with the bundled generator: every frame of one track, no other frame.

    On a second of shot one and two of shot two.
    """
    own = weights.OWN_DIR / weights.WAV2LIP_OWN_FILE
    assert own.stat().st_size < 12e6
    film, start_s = tmp_path / "film.mkv", make_example.SHOT_ONE_FRAMES / 25 - 1
    ffmpeg("-ss", str(start_s), "-i", example, "-t", "3", "-crf", "12", film)
    work = Workspace(tmp_path / "work", "film")
    find_faces(film, work, FaceOptions(min_track=20, detector="small"), device=cpu)
    _, _, listener = _who(work.read_tracks(), cut=25)
    done = script_here(
        "run_wav2lip.py",
        *("--audio", film, "--tracks", str(listener), "--checkpoint", own),
        *("--reference", "film", "--data_dir", work.data_dir),
    )
    assert done.returncode == 0, done.stderr
    assert frame_count(work.dubbed_video) == 75
    record = json.loads(work.dubbed_record.read_text())
    assert record["generator"]["file"] == weights.WAV2LIP_OWN_FILE
    track = work.read_tracks()[listener][0]
    before = decode.read_frames(work.video, frame_rate=None)
    after = decode.read_frames(work.dubbed_video, frame_rate=None)
    mouths = dict(zip(track.frames.tolist(), track.boxes.astype(int).tolist(), strict=True))
    changed_frames, same_frames = [], []
    for index, (one, other) in enumerate(zip(before, after, strict=True)):
        changed = np.abs(one.astype(int) - other).max(axis=2)
        is_mouth = np.zeros(changed.shape, bool)
        if index in mouths:
            x1, y1, x2, y2 = mouths[index]
            is_mouth[(y1 + y2) // 2 : y2, x1:x2] = True
            changed_frames.append(changed[is_mouth].mean())
        same_frames.append(changed[~is_mouth].mean())
    # What is kept has been encoded twice, too, with another codec each time.
    assert np.mean(changed_frames) > 1.5 * np.max(same_frames)
