"""Distances, offset, confidence: the published numbers, the sign, and what we add to them."""

import importlib.util
import re
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline
from scipy.io import wavfile

from models import features, published, syncnet
from models.files import sha256
from models.syncnet import SyncNet, SyncNetConfig
from models.weights import load_syncnet
from pipeline.errors import InputError
from pipeline.faces.tracks import CropPath, Track
from pipeline.media import encode
from pipeline.store.safe_pickle import read_pickle
from pipeline.store.workspace import FOLDERS, Workspace
from pipeline.sync import embeddings
from pipeline.sync import offset as sync_offset
from pipeline.sync.report import TrackScore, demo_words
from pipeline.sync.scorer import ClipScore, SyncOptions, SyncScorer
from pipeline.sync.stage import score_tracks
from tests.conftest import REPO, Script
from tests.synthetic import ffmpeg


def _random(rows: int, *, seed: int = 0, width: int = 64) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(rows, width))).float()


@pytest.mark.parametrize(("windows", "vshift"), [(40, 15), (1, 3), (7, 15), (1003, 2)])
def test_distances_are_torchs_with_zero_padding(windows: int, vshift: int) -> None:
    """Every column equals pairwise_distance to the sound shifted into zeros."""
    lips, sound = _random(windows), _random(windows, seed=1)
    result = embeddings.distances(lips, sound, vshift=vshift)
    assert result.shape == (windows, 2 * vshift + 1) and result.dtype == np.float32
    padded = torch.nn.functional.pad(sound, (0, 0, vshift, vshift))
    for column in range(2 * vshift + 1):
        expected = torch.nn.functional.pairwise_distance(lips, padded[column : column + windows])
        np.testing.assert_allclose(result[:, column], expected.numpy(), atol=1e-5)


def _shifted(lips: torch.Tensor, *, early: int) -> torch.Tensor:
    """Sound whose window i belongs to lips i + early."""
    return torch.roll(lips, -early, 0) + 0.1 * _random(len(lips), seed=9)


@pytest.mark.parametrize("early", [3, -4, 0, 14])
def test_planted_offsets_come_out_with_the_demos_sign(early: int) -> None:
    """Sound early by 3 frames is +3, late by 4 frames is -4; sub-frame and flags agree."""
    lips = _random(120)
    sync = sync_offset.judge(
        embeddings.distances(lips, _shifted(lips, early=early), vshift=15), reliable_confidence=3
    )
    assert sync.offset_frames == early
    assert sync.offset_ms == pytest.approx(40 * early, abs=8)
    assert not sync.at_search_edge and sync.reliable and sync.confidence > 3
    assert sync.framewise.shape == (120,)


@pytest.mark.parametrize("early", [5, -5])
def test_an_offset_at_the_edge_is_no_measurement(early: int) -> None:
    """With a search of five frames an offset of five says that it is at the edge."""
    lips = _random(120)
    sync = sync_offset.judge(
        embeddings.distances(lips, _shifted(lips, early=early), vshift=5), reliable_confidence=3
    )
    assert sync.offset_frames == early and sync.at_search_edge and not sync.reliable
    inside = sync_offset.judge(
        embeddings.distances(lips, _shifted(lips, early=early), vshift=6), reliable_confidence=3
    )
    assert not inside.at_search_edge and inside.reliable


def test_unrelated_sound_is_not_reliable() -> None:
    """Random features have no confidence."""
    sync = sync_offset.judge(
        embeddings.distances(_random(200), _random(200, seed=5), vshift=15), reliable_confidence=3
    )
    assert sync.confidence < 1 and not sync.reliable


def test_judge_gives_the_published_numbers(shared: Path) -> None:
    """Distances of the original program give the rows of its own offsets.txt."""
    folder = shared / "reference012"
    lines = (folder / "offsets.txt").read_text().splitlines()[1:]
    dists = read_pickle(folder / "activesd.pckl")
    assert len(lines) == len(dists) == 4
    min_dists = [12.879, 12.976, 14.904, 14.121]
    for line, track, min_dist in zip(lines, dists, min_dists, strict=True):
        sync = sync_offset.judge(np.asarray(track), reliable_confidence=3)
        _, offset, confidence = line.split()
        assert sync.offset_frames == int(offset)
        assert f"{sync.confidence:.3f}" == confidence
        assert sync.min_dist == pytest.approx(min_dist, abs=6e-4)
        assert sync.at_search_edge == (abs(sync.offset_frames) == 15)


def test_judge_gives_the_original_codes_numbers(shared: Path) -> None:
    """The parity vectors with audio lagging by four: offset, distance, confidence."""
    truth = np.load(shared / "parity" / "offset_planted_v15.npz")
    sync = sync_offset.judge(truth["dists"], reliable_confidence=3)
    assert sync.offset_frames == int(truth["offset"]) == -4
    assert sync.min_dist == pytest.approx(float(truth["min_dist"]), abs=1e-4)
    assert sync.confidence == pytest.approx(float(truth["conf"]), abs=1e-4)


@pytest.mark.parametrize(
    ("frames", "samples", "windows"),
    [(100, 64_000, 95), (100, 32_000, 45), (50, 64_000, 45), (100, 63_999, 94), (5, 9999, 0)],
)
def test_window_count_is_the_demos(frames: int, samples: int, windows: int) -> None:
    """min(frames, samples // 640) - 5, never below zero."""
    assert sync_offset.window_count(frames, samples) == windows
    assert sync_offset.window_count(0, samples) == sync_offset.window_count(frames, 0) == 0


CONTEXT = SyncNetConfig(
    lip_size_px=8, lip_region_px=(0, 0, 224), grey=True, context_s=3.84, lip_strides=(1, 1, 1)
)


@pytest.mark.parametrize("frames", [5, 47, 96, 97, 191, 350, 700])
def test_normalised_chunks_do_not_depend_on_their_size(frames: int) -> None:
    """Streaming in any chunks gives what the whole track gives at once, nothing lost or twice."""
    rng = np.random.default_rng(frames)
    small = rng.integers(0, 256, (frames, 8, 8), np.uint8)
    crops = [cv2.resize(one, (224, 224), interpolation=cv2.INTER_NEAREST) for one in small]
    coloured = [np.repeat(crop[..., None], 3, axis=2) for crop in crops]
    pixels = np.stack([syncnet.lip_pixels(frame, CONTEXT) for frame in coloured])
    at_once = syncnet.normalise_lips(pixels, CONTEXT)
    for chunk_frames in (1, 7, 20, 96, 250, 1000):
        chunks = list(embeddings.normalised_chunks(coloured, CONTEXT, chunk_frames=chunk_frames))
        joined = np.concatenate(chunks)
        assert joined.shape == at_once.shape == (frames, 1, 8, 8)
        np.testing.assert_allclose(joined, at_once, atol=2e-4, err_msg=str(chunk_frames))


def test_embeddings_do_not_depend_on_the_batch(cpu: torch.device) -> None:
    """Lips and sound give the same embeddings in batches of 3 and of 50; counts are right."""
    model, _ = load_syncnet("auto", device=cpu)
    rng = np.random.default_rng(0)
    frames = list(rng.integers(0, 256, (31, 224, 224, 3), np.uint8))
    samples = rng.integers(-9000, 9000, 31 * 640).astype(np.int16)
    few, many = (
        (
            embeddings.embed_lips(model, frames, batch_size=size, device=cpu),
            embeddings.embed_sound(model, samples, batch_size=size, device=cpu),
        )
        for size in (3, 50)
    )
    assert len(few[0]) == 27
    assert len(few[1]) == (features.mfcc(samples).shape[0] - 20) // 4 + 1
    for one, other in zip(few, many, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


def _smooth_features(at: np.ndarray, *, seed: int, width: int = 32) -> torch.Tensor:
    """Features that vary slowly in time, read at any instants."""
    knots = np.random.default_rng(seed).normal(size=(200, width))
    return torch.from_numpy(CubicSpline(np.arange(200) * 4, knots)(at)).float()


@pytest.mark.parametrize("shift", [0.0, 0.3, -0.5, 2.25, -3.6, 4.45])
def test_subframe_offset_recovers_fractional_shifts(shift: float) -> None:
    """Smooth features moved by a fraction of a frame are placed within a fifth of a frame."""
    at = np.arange(20, 420.0)
    dists = embeddings.distances(
        _smooth_features(at, seed=2), _smooth_features(at + shift, seed=2), vshift=15
    )
    sync = sync_offset.judge(dists, reliable_confidence=3)
    assert sync.offset_ms / 40 == pytest.approx(shift, abs=0.2)


def test_drift_is_the_slope_of_the_offset() -> None:
    """Sound that loses two frames in a minute drifts by 80 ms a minute; short clips say nothing."""
    at = np.arange(20, 770.0)  # half a minute
    sound = _smooth_features(at + 2 * (at - 20) / 1500, seed=3)
    dists = embeddings.distances(_smooth_features(at, seed=3), sound, vshift=15)
    sync = sync_offset.judge(dists, reliable_confidence=3)
    assert sync.drift_ms_per_min == pytest.approx(80, abs=15)
    assert sync_offset.judge(dists[:400], reliable_confidence=3).drift_ms_per_min is None
    steady = embeddings.distances(
        _smooth_features(at, seed=3), _smooth_features(at, seed=3), vshift=15
    )
    assert sync_offset.judge(steady, reliable_confidence=3).drift_ms_per_min == pytest.approx(
        0, abs=5
    )


def test_valid_mean_leaves_padding_out() -> None:
    """Shifts average only windows that have sound; shifts with none are NaN."""
    dists = np.arange(21, dtype=np.float32).reshape(3, 7)
    mean = sync_offset.valid_mean(dists)
    assert np.isnan(mean[0]) and np.isnan(mean[6])
    assert (
        mean[3] == dists[:, 3].mean() and mean[1] == dists[2, 1] and mean[4] == dists[:2, 4].mean()
    )


def test_confidence_per_frame_belongs_to_the_middle_of_its_window() -> None:
    """Speech in windows 20 to 39 is speech in frames 22 to 41; ends repeat the nearest window."""
    dists = np.full((60, 31), 10.0, np.float32)
    dists[:, 12] = 10.0 - 0.5  # the track's offset everywhere
    dists[20:40, 12] = 4.0
    confidence = sync_offset.confidence_per_frame(dists, frames=65)
    assert confidence.shape == (65,) and confidence.dtype == np.float32
    assert np.flatnonzero(confidence > 3).tolist() == list(range(22, 42))
    np.testing.assert_allclose(confidence[[0, 1, 62, 64]], 0.5, atol=1e-6)


@pytest.mark.parametrize(("windows", "frames"), [(0, 30), (1, 6), (3, 40)])
def test_confidence_per_frame_has_every_frame(windows: int, frames: int) -> None:
    """Short sound leaves no frame without a number."""
    confidence = sync_offset.confidence_per_frame(np.ones((windows, 31), np.float32), frames=frames)
    assert confidence.shape == (frames,) and np.isfinite(confidence).all()


def _clip(path: Path, *, frames: int, samples: int | None) -> Path:
    rng = np.random.default_rng(0)
    sound = None
    if samples is not None:
        sound = path.with_suffix(".s16")
        rng.integers(-5000, 5000, samples).astype(np.int16).tofile(sound)
    with encode.VideoWriter(path, size_px=(224, 224), audio=sound) as writer:
        for _ in range(frames):
            writer.write(rng.integers(0, 256, (224, 224, 3), np.uint8))
    if sound is not None:
        sound.unlink()
    return path


@pytest.mark.parametrize(
    ("frames", "samples", "windows", "message"),
    [
        (12, 12 * 640, 7, None),
        (12, 9 * 640, 4, r"WARNING: Audio \(0\.3600s\) and video \(0\.4800s\) lengths are diff"),
        (5, 5 * 640, 0, "too short"),
        (12, None, 0, "nothing to compare"),
        (12, 100, 0, "too short"),
    ],
)
def test_score_clip(
    tmp_path: Path,
    cpu: torch.device,
    frames: int,
    samples: int | None,
    windows: int,
    message: str | None,
) -> None:
    """Odd clips give as many windows as they have, and a sentence about what is odd."""
    clip = _clip(tmp_path / "00000.avi", frames=frames, samples=samples)
    score = SyncScorer(device=cpu).score(clip)
    assert score.frames == frames and score.dists.shape == (windows, 31)
    assert (score.sync is None) == (windows == 0)
    if message is None:
        assert score.warning is None
    else:
        assert score.warning is not None and re.search(message, score.warning)


def test_every_track_is_scored_and_written(tmp_path: Path, cpu: torch.device) -> None:
    """Every file in track order, also with a silent clip."""
    work = Workspace(tmp_path, "talk")
    for name in FOLDERS:
        work.folder(name).mkdir(parents=True)
    _clip(work.crop(0), frames=14, samples=14 * 640)
    _clip(work.crop(1), frames=9, samples=None)
    tracks = [
        Track(np.arange(first, first + n), np.ones((n, 4))) for first, n in ((50, 14), (70, 9))
    ]
    paths = [CropPath(*(np.ones(len(track.frames)) for _ in "xys")) for track in tracks]
    work.write_tracks(tracks, paths)
    notified: list[TrackScore] = []
    scores = score_tracks(work, SyncScorer(device=cpu), each=notified.append)
    assert [score.clip.file for score in scores] == [
        "00000.avi",
        "00001.avi",
    ] and notified == scores
    lines = work.offsets_text.read_text().split("\n")
    assert lines[0] == "FILENAME\tOFFSET\tCONF" and lines[2] == "00001.avi\t0\t0.000"
    assert len(lines) == 4 and lines[3] == ""
    first = scores[0].sync
    assert first and lines[1] == f"00000.avi\t{first.offset_frames}\t{first.confidence:.3f}"
    assert [row.shape for row in work.read_distances()] == [(9, 31), (0, 31)]


@pytest.mark.parametrize(("batch_size", "vshift"), [(0, 15), (20, 0), (20, 251), (-1, 15)])
def test_options_out_of_range_are_refused(batch_size: int, vshift: int) -> None:
    """Before anything is read or written: no such options can be made."""
    with pytest.raises(InputError, match=r"Invalid (batch_size|vshift) \(-?\d+\); supported: "):
        SyncOptions(batch_size=batch_size, vshift=vshift)


def test_other_rates_are_read_at_25(tmp_path: Path, cpu: torch.device) -> None:
    """A clip of 50 frames per second has half of them, and its windows fit its sound."""
    fast = tmp_path / "fast.mkv"
    clip = _clip(tmp_path / "clip.avi", frames=12, samples=12 * 640)
    ffmpeg("-i", clip, "-vf", "fps=50", "-c:v", "ffv1", "-c:a", "copy", fast)
    sync = SyncScorer(device=cpu).score(fast)
    assert sync.frames == 12 and len(sync.dists) == 7 and sync.warning is None


# Numbers of the published program.


def test_features_are_the_published_programs(
    shared: Path, tmp_path: Path, script_here: Script
) -> None:
    """The parity vectors of demo_feature.py through the command, on the clip's first frames."""
    parity = shared / "parity"
    described = importlib.util.spec_from_file_location("rule", parity / "make_weights.py")
    assert described and described.loader
    rule = importlib.util.module_from_spec(described)
    described.loader.exec_module(rule)
    model = SyncNet()
    rule.fill(model, "syncnet", str(parity / "syncnet_overlay.npz"))
    torch.save(model.state_dict(), tmp_path / "rule.model")
    start = tmp_path / "start.avi"
    demo = shared / "video" / "example.avi"
    # 46 frames; a little more sound, which older ffmpegs stop writing with the picture.
    ffmpeg(
        "-t",
        "1.84",
        "-i",
        demo,
        "-t",
        "2",
        "-i",
        demo,
        "-map",
        "0:v",
        "-map",
        "1:a",
        "-c",
        "copy",
        start,
    )
    done = script_here(
        *("run_syncnet.py", "--videofile", start, "--initial_model", tmp_path / "rule.model"),
        *("--save_features", tmp_path / "out.npy", "--data_dir", tmp_path),
    )
    assert done.returncode == 0, done.stderr
    truth = np.load(parity / "syncnet_extract_feature.npz")["feat"]
    features = np.load(tmp_path / "out.npy")
    assert features.shape == (42, 512)
    np.testing.assert_allclose(features, truth[:42], atol=1e-3)
    for name in ("out.lip.npy", "out.audio.npy"):
        assert np.load(tmp_path / name).shape == (41, 1024)


PUBLISHED = REPO / "data" / published.table()["syncnet"].file
PUBLISHED_LINES = "AV offset: \t3 \nMin dist: \t5.353\nConfidence: \t10.021"  # of example.avi
needs_published = pytest.mark.skipif(
    not PUBLISHED.is_file() or sha256(PUBLISHED) != published.table()["syncnet"].sha256,
    reason="no published weights: ./download_model.sh --only syncnet",
)


@needs_published
def test_the_demo_clip_gives_the_published_lines(
    shared: Path, tmp_path: Path, cpu: torch.device
) -> None:
    """All digits, from the pictures that the published program makes of the clip and looks at."""
    with tarfile.open(shared / "parity" / "example_jpegs.tar") as archive:
        archive.extractall(tmp_path, filter="data")
    model, weights_file = load_syncnet(PUBLISHED, device=cpu)
    pictures = (cv2.imread(str(path)) for path in sorted(tmp_path.rglob("*.jpg")))
    frames = [picture for picture in pictures if picture is not None]
    (sound,) = tmp_path.rglob("audio.wav")
    samples = wavfile.read(sound)[1]
    windows = sync_offset.window_count(len(frames), len(samples))
    lips = embeddings.embed_lips(model, frames, batch_size=20, device=cpu)[:windows]
    sound_embeddings = embeddings.embed_sound(model, samples, batch_size=20, device=cpu)[:windows]
    dists = embeddings.distances(lips, sound_embeddings, vshift=15)
    judged = sync_offset.judge(dists, reliable_confidence=3)
    score = ClipScore("example.avi", len(frames), dists, judged, None)
    words = demo_words(score, weights_file, framewise=True)
    assert words.endswith(PUBLISHED_LINES)


@needs_published
def test_the_command_gives_the_published_numbers(
    shared: Path, tmp_path: Path, script_here: Script
) -> None:
    """On the clip itself, which the published program first saves as JPEGs: within 0.05."""
    demo = REPO / "data" / published.table()["example"].file
    clip = demo if demo.is_file() else shared / "video" / "example.avi"
    where = ("--initial_model", PUBLISHED, "--data_dir", tmp_path)
    done = script_here("run_syncnet.py", "--videofile", clip, *where)
    lines = re.compile(r"AV offset: \t(.+) \nMin dist: \t(.+)\nConfidence: \t(.+)")
    (values,) = lines.findall(done.stdout)
    (expected,) = lines.findall(PUBLISHED_LINES)
    assert int(values[0]) == int(expected[0])
    np.testing.assert_allclose(
        np.array(values[1:], float), np.array(expected[1:], float), atol=0.05
    )


def test_bf16_gives_the_same_offset_and_nearly_the_same_distance(
    done: Workspace, cpu: torch.device
) -> None:
    """Towers are narrowed, heads not: offsets are equal and min dist moves by less than 1 %."""
    exact, narrow = (
        SyncScorer(options, device=cpu).score(done.crop(0)).sync
        for options in (SyncOptions(precision="fp32"), SyncOptions(precision="bf16"))
    )
    assert exact is not None and narrow is not None
    assert narrow.offset_frames == exact.offset_frames
    assert narrow.min_dist == pytest.approx(exact.min_dist, rel=0.01)
    assert narrow.min_dist != exact.min_dist  # it was really computed otherwise
