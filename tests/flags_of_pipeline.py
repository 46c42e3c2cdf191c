"""Flags of run_pipeline.py: two values each, and their effect."""

import json
import wave
from pathlib import Path

import cv2
import numpy as np

from models import published
from models.files import sha256
from pipeline.media import decode
from pipeline.store.safe_pickle import read_pickle
from pipeline.store.workspace import Workspace
from tests.conftest import snapshot
from tests.flag_kit import FACE, NO_SUCH_DEVICE, Bench, Ended, read, row, where
from tests.synthetic import ffmpeg, frame_count


def _prepared(
    bench: Bench, *flags: str | Path, video: Path | None = None, name: str = "work"
) -> Workspace:
    """Results of a run with these flags only, beside those that lead to it."""
    work = Workspace(bench.folder / name, "r")
    bench.ran("run_pipeline", "--videofile", video or bench.face, *where(work), *flags)
    return work


def _refused(bench: Bench, *flags: str) -> Ended:
    work = Workspace(bench.folder / "refused", "r")
    outcome = bench.run("run_pipeline", "--videofile", bench.face, *where(work), *FACE, *flags)
    assert outcome.code == 2 and not work.data_dir.exists()
    return outcome


def _usual(bench: Bench) -> Workspace:
    """Results of `FACE` alone, made once."""
    return Workspace(bench.clips / "work", "face")


@row("run_pipeline", "data_dir")
def _(bench: Bench) -> None:
    for name in ("one", "two words"):
        flags = ("--videofile", bench.clips / "tones.mkv", "--data_dir", bench.folder / name)
        bench.ran("run_pipeline", *flags)
        assert Workspace(bench.folder / name, "tones").record.is_file()
    assert {path.name for path in bench.folder.iterdir()} == {"one", "two words"}


@row("run_pipeline", "reference")
def _(bench: Bench) -> None:
    flags = ("--videofile", bench.clips / "tones.mkv", "--data_dir", bench.folder)
    bench.ran("run_pipeline", *flags)
    bench.ran("run_pipeline", *flags, "--reference", "other name")
    names = {path.name for path in (bench.folder / "pywork").iterdir()}
    assert names == {"tones", "other name"}


@row("run_pipeline", "videofile")
def _(bench: Bench) -> None:
    tones = bench.clips / "tones.mkv"
    other = _prepared(bench, video=tones)
    for work, video in ((_usual(bench), bench.face), (other, tones)):
        assert read(work.record)["input"]["sha256"] == sha256(video)
        assert read(work.record)["file"] == str(video)


@row("run_pipeline", "facedet_scale")
def _(bench: Bench) -> None:
    """At a tenth of the usual scale the face is 4 pixels large and not found."""
    assert read(_usual(bench).record)["counts"]["detections"] == 16
    assert read(_usual(bench).record)["settings"]["facedet_scale"] == 0.5
    small = read(_prepared(bench, *FACE, "--facedet_scale", "0.05").record)
    assert small["counts"]["detections"] == 0 and small["settings"]["facedet_scale"] == 0.05


def _cut_by_hand(frame: np.ndarray, work: Workspace, scale: float) -> np.ndarray:
    """The demo's crop of the track's first frame: s above the centre, s (1 + 2 scale) below."""
    ((_, path),) = work.read_tracks()
    x, y, s = path.at(0)
    pad = int(s * (1 + 2 * scale))
    wide = np.pad(frame, ((pad, pad), (pad, pad), (0, 0)), constant_values=110)
    rows = slice(int(y + pad - s), int(y + pad + s * (1 + 2 * scale)))
    columns = slice(int(x + pad - s * (1 + scale)), int(x + pad + s * (1 + scale)))
    return cv2.resize(wide[rows, columns], (224, 224))


@row("run_pipeline", "crop_scale")
def _(bench: Bench) -> None:
    frame = next(iter(decode.read_frames(bench.face)))
    tight = _prepared(bench, *FACE, "--crop_scale", "0")
    for work, scale in ((_usual(bench), 0.4), (tight, 0.0)):
        crop = next(iter(decode.read_frames(work.crop(0)))).astype(int)
        losses = {
            each: np.abs(crop - _cut_by_hand(frame, work, each)).mean() for each in (0.4, 0.0)
        }
        assert losses.pop(scale) < 4 and min(losses.values()) > 12


@row("run_pipeline", "min_track")
def _(bench: Bench) -> None:
    """A track of 16 detections is more than 15 and not more than 16."""
    for number, tracks in ((15, 1), (16, 0)):
        size = ("--min_face_size", "50", "--min_track", str(number))
        work = _prepared(bench, *size, name=str(number))
        assert read(work.record)["counts"]["tracks"] == tracks == len(work.crops())


@row("run_pipeline", "frame_rate")
def _(bench: Bench) -> None:
    fast = _prepared(bench, *FACE, "--frame_rate", "50")
    for work, rate in ((_usual(bench), 25), (fast, 50)):
        assert (
            decode.probe(work.video).frame_rate
            == rate
            == read(work.record)["settings"]["frame_rate"]
        )
        assert frame_count(work.video) == frame_count(work.crop(0)) == 16 * rate // 25


@row("run_pipeline", "num_failed_det")
def _(bench: Bench) -> None:
    """A face that is gone for frames 3 to 12 is 11 frames from its last detection."""
    hidden = "drawbox=t=fill:c=black:enable='between(n,2,11)'"
    video = bench.folder / "gone.mkv"
    ffmpeg("-i", bench.face, "-vf", hidden, "-c:v", "ffv1", "-c:a", "copy", video)
    size = ("--min_track", "1", "--min_face_size", "50")
    for number, tracks in ((10, 2), (11, 1)):
        flags = (*size, "--num_failed_det", str(number))
        work = _prepared(bench, *flags, video=video, name=str(number))
        assert read(work.record)["counts"]["scenes"] == 1
        assert len(work.read_tracks()) == tracks


@row("run_pipeline", "min_face_size")
def _(bench: Bench) -> None:
    """A face of 30 pixels is looked for, and followed, only with a small --min_face_size."""
    video = bench.folder / "small.mkv"
    ffmpeg("-i", bench.face, "-vf", "scale=120:68", "-c:v", "ffv1", "-c:a", "copy", video)
    for size, detections, tracks in ((100, 0, 0), (35, 16, 0), (20, 16, 1)):
        flags = ("--min_track", "10", "--min_face_size", str(size))
        record = read(_prepared(bench, *flags, video=video, name=str(size)).record)
        assert record["counts"]["detections"] == detections
        assert record["counts"]["tracks"] == tracks
        assert record["settings"]["facedet_scale"] == 25 / size


@row("run_pipeline", "detector")
def _(bench: Bench) -> None:
    """Without published weights small works, and s3fd is named as missing."""
    small = read(_prepared(bench, *FACE, "--detector", "small").record)
    assert small["detector"]["file"] == "s3fd_small.safetensors"
    assert small["settings"]["detector"] == "small"
    output = _refused(bench, "--detector", "s3fd").err
    assert published.table()["s3fd"].file in output and "--detector small" in output


@row("run_pipeline", "detect_every")
def _(bench: Bench) -> None:
    assert read(_usual(bench).record)["counts"]["detected_frames"] == 4  # 0, 5, 10, 15
    for every, detected in ((1, 16), (15, 2)):
        record = read(_prepared(bench, *FACE, "--detect_every", str(every), name=str(every)).record)
        assert record["counts"]["detected_frames"] == detected
        assert record["counts"]["detections"] == 16


@row("run_pipeline", "audio_stream")
def _(bench: Bench) -> None:
    """Tones of 400 and 800 Hz: the loudest frequency of audio.wav says which was taken."""
    for flags, hz in (((), 400), (("--audio_stream", "0"), 400), (("--audio_stream", "1"), 800)):
        work = _prepared(
            bench, *flags, video=bench.clips / "tones.mkv", name=f"tone{len(flags)}{hz}"
        )
        with wave.open(str(work.audio)) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        loudest = np.abs(np.fft.rfft(samples)).argmax() * 16_000 / len(samples)
        assert abs(loudest - hz) < 10
        assert read(work.record)["sound"]["audio_stream"] == (hz == 800)


@row("run_pipeline", "precision")
def _(bench: Bench) -> None:
    """bf16 moves boxes a little."""
    boxes = []
    for precision in ("fp32", "bf16"):
        work = _prepared(bench, *FACE, "--precision", precision, name=precision)
        assert read(work.record)["precision"] == precision
        boxes.append(
            np.array(
                [face["bbox"] for (face,) in read_pickle(work.folder("pywork") / "faces.pckl")]
            )
        )
    assert 0.01 < np.abs(boxes[0] - boxes[1]).max() < 8


@row("run_pipeline", "keep_frames")
def _(bench: Bench) -> None:
    """All but the pictures is the same."""
    with_frames = _prepared(bench, *FACE, "--keep_frames", "yes", name="yes")
    bare = _prepared(bench, *FACE, "--keep_frames", "no", name="no")
    names = [f"{number:06d}.jpg" for number in range(1, 17)]
    assert sorted(path.name for path in with_frames.folder("pyframes").iterdir()) == names
    assert not list(bare.folder("pyframes").iterdir())
    others = [
        {
            name: content
            for name, (_, content) in snapshot(work.data_dir).items()
            if "pyframes" not in name and "pipeline.json" not in name
        }
        for work in (with_frames, bare)
    ]
    assert others[0] == others[1] and len(others[0]) == 7


@row("run_pipeline", "keep_video")
def _(bench: Bench) -> None:
    """All but video.avi is the same, and an older record, which knows no such flag, kept it."""
    full = _prepared(bench, *FACE, "--keep_frames", "no", "--keep_video", "yes", name="yes")
    bare = _prepared(bench, *FACE, "--keep_frames", "no", "--keep_video", "no", name="no")
    assert full.video.is_file() and not bare.video.exists()
    for name in (full.audio, full.crop(0), full.tracks):
        other = bare.data_dir / name.relative_to(full.data_dir)
        assert other.read_bytes() == name.read_bytes()
    record = read(full.record)
    del record["settings"]["keep_video"]
    full.record.write_text(json.dumps(record))
    command = ("--videofile", bench.face, *where(full), *FACE, "--keep_frames", "no")
    assert "Kept the complete results" in bench.ran("run_pipeline", *command).out
    assert "add --overwrite" in bench.run("run_pipeline", *command, "--keep_video", "no").err


@row("run_pipeline", "device")
def _(bench: Bench) -> None:
    work = _prepared(bench, "--device", "cpu", video=bench.clips / "tones.mkv")
    assert read(work.record)["device"] == "cpu"
    assert (
        f"--device {NO_SUCH_DEVICE} is not available"
        in _refused(bench, "--device", NO_SUCH_DEVICE).err
    )


@row("run_pipeline", "overwrite")
def _(bench: Bench) -> None:
    video = bench.clips / "tones.mkv"
    work = _prepared(bench, video=video)
    command = ("--videofile", video, *where(work))
    before = snapshot(work.data_dir)
    assert "Kept the complete results" in bench.ran("run_pipeline", *command).out
    assert snapshot(work.data_dir) == before
    other = (*command, "--min_track", "7")
    assert "add --overwrite" in bench.run("run_pipeline", *other).err
    assert snapshot(work.data_dir) == before
    bench.ran("run_pipeline", *other, "--overwrite")
    assert read(work.record)["settings"]["min_track"] == 7
    before = snapshot(work.data_dir)
    assert "Kept" not in bench.ran("run_pipeline", *other, "--overwrite").out
    after = snapshot(work.data_dir)
    assert after.keys() == before.keys() and after != before
