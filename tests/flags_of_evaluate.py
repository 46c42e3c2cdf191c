"""Flags of `python -m pipeline.evaluate`: two values each, and their effect."""

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.sync import offset as sync_offset
from pipeline.sync.scorer import ClipScore, SyncScorer
from tests.flag_kit import FACE, NO_SUCH_DEVICE, Bench, read, row
from tests.flags_of_syncnet import largest_batches, tiny_model
from tests.synthetic import ffmpeg


def _root(bench: Bench) -> Path:
    """A folder with one face clip."""
    root = bench.folder / "root"
    root.mkdir(exist_ok=True)
    shutil.copy(bench.face, root / "face.mp4")
    return root


def _reported(bench: Bench, *flags: str | Path) -> dict[str, Any]:
    """What --json holds of the folder with one face clip; whole frames by default."""
    route = () if "--route" in flags else ("--route", "whole")
    report = bench.folder / "o.json"
    bench.ran("evaluate", "--data_root", _root(bench), "--json", report, *route, *flags)
    table: dict[str, Any] = read(report)
    return table


def _watched(bench: Bench) -> list[tuple[Path, dict[str, Any]]]:
    """Records every clip that is scored, and pipeline.json of the run that cut it."""
    calls: list[tuple[Path, dict[str, Any]]] = []
    score = SyncScorer.score

    def noting(scorer: SyncScorer, clip: Path) -> ClipScore:
        record = clip.parents[2] / "pywork" / "video" / "pipeline.json"
        calls.append((clip, read(record) if record.is_file() else {}))
        return score(scorer, clip)

    bench.patch.setattr(SyncScorer, "score", noting)
    return calls


@row("evaluate", "data_root")
def _(bench: Bench) -> None:
    for name in ("a.mp4", "b.mp4"):
        root = bench.folder / name.partition(".")[0]
        root.mkdir()
        shutil.copy(bench.face, root / name)
        output = bench.ran("evaluate", "--data_root", root, "--route", "whole").out
        assert re.findall(r"\w\.mp4", output) == [name]


@row("evaluate", "route")
def _(bench: Bench) -> None:
    """Whole frames have no track; each route alone has the rows of `both`."""
    values = {
        route: _reported(bench, "--route", route, *FACE) for route in ("whole", "crops", "both")
    }
    for route, tracks in (("whole", [None]), ("crops", [0]), ("both", [None, 0])):
        assert [each["track"] for each in values[route]["scores"]] == tracks
        assert list(values[route]["mean"]) == (["whole", "crops"] if route == "both" else [route])
    for alone, together in zip(("whole", "crops"), values["both"]["scores"], strict=True):
        assert values[alone]["scores"] == [together]
    assert values["whole"]["scores"][0]["lse_d"] != values["crops"]["scores"][0]["lse_d"]
    assert values["whole"]["detector"] is None and values["crops"]["detector"]["file"]


@row("evaluate", "json")
def _(bench: Bench) -> None:
    root, report = _root(bench), bench.folder / "a b.json"
    bench.ran("evaluate", "--data_root", root, "--route", "whole")
    assert {path.name for path in bench.folder.iterdir()} == {"root"}
    bench.ran("evaluate", "--data_root", root, "--route", "whole", "--json", report)
    assert {path.name for path in bench.folder.iterdir()} == {"root", "a b.json"}
    assert len(read(report)["scores"]) == 1


@row("evaluate", "all_scores")
def _(bench: Bench) -> None:
    """A line 'LSE-D LSE-C' for each track, none for whole frames."""
    lines = bench.folder / "all.txt"
    [whole_row, crop] = _reported(bench, "--route", "both", *FACE, "--all_scores", lines)["scores"]
    assert lines.read_text() == f"{crop['lse_d']:.6f} {crop['lse_c']:.6f}\n"
    assert abs(whole_row["lse_d"] - crop["lse_d"]) > 1e-3


@row("evaluate", "initial_model")
def _(bench: Bench) -> None:
    usual = _reported(bench)
    other = _reported(bench, "--initial_model", tiny_model(bench))
    assert usual["weights"]["file"] == "syncnet_small.safetensors"
    assert other["weights"]["file"] == "tiny.safetensors"
    assert abs(usual["scores"][0]["lse_d"] - other["scores"][0]["lse_d"]) > 1


@row("evaluate", "batch_size")
def _(bench: Bench) -> None:
    values = []
    for size, largest in ((5, 5), (20, 10)):
        sizes = largest_batches(bench)
        values.append(_reported(bench, "--batch_size", str(size))["scores"][0]["lse_d"])
        assert max(sizes) == largest and sum(sizes) == 12
        bench.patch.undo()
    assert abs(values[0] - values[1]) < 2e-3


@row("evaluate", "vshift")
def _(bench: Bench) -> None:
    """A narrower search gives the offset of the middle columns of the matrix."""
    calls: list[ClipScore] = []
    score = SyncScorer.score

    def recording(scorer: SyncScorer, clip: Path) -> ClipScore:
        calls.append(score(scorer, clip))
        return calls[-1]

    bench.patch.setattr(SyncScorer, "score", recording)
    [wide], [narrow] = (_reported(bench, "--vshift", number)["scores"] for number in ("15", "2"))
    assert [recorded_score.dists.shape for recorded_score in calls] == [(11, 31), (11, 5)]
    mean = calls[0].dists[:, 13:18].mean(axis=0)
    assert abs(narrow["lse_d"] - mean.min()) < 1e-3
    assert abs(narrow["lse_c"] - (np.median(mean) - mean.min())) < 1e-3
    assert narrow["offset_frames"] == 2 - mean.argmin()
    whole_sync = sync_offset.judge(calls[0].dists, reliable_confidence=3)
    assert abs(wide["lse_d"] - whole_sync.min_dist) < 1e-3


@row("evaluate", "precision")
def _(bench: Bench) -> None:
    """Of the scorer, and of the detector that finds the crops."""
    calls = _watched(bench)
    values = {}
    for precision in ("fp32", "bf16"):
        report = _reported(bench, "--precision", precision, "--route", "crops", *FACE)
        assert report["settings"]["scorer_precision"] == precision
        assert calls.pop()[1]["precision"] == precision
        values[precision] = report["scores"][0]["lse_d"]
    assert 1e-4 < abs(values["fp32"] - values["bf16"]) < 3


@row("evaluate", "min_track")
def _(bench: Bench) -> None:
    size = ("--min_face_size", "50", "--route", "both")
    for number, tracks in ((15, [None, 0]), (16, [None, None])):
        rows = _reported(bench, *size, "--min_track", str(number))["scores"]
        assert [each["track"] for each in rows] == tracks
    assert rows[1]["lse_d"] is None and "--min_track wants more than 16" in rows[1]["note"]


@row("evaluate", "min_face_size")
def _(bench: Bench) -> None:
    """A face of 30 pixels is looked for, and followed, only with a small --min_face_size."""
    root = bench.folder / "small"
    root.mkdir()
    video = root / "small.mkv"
    ffmpeg("-i", bench.face, "-vf", "scale=120:68", "-c:v", "ffv1", "-c:a", "copy", video)
    flags = ("--data_root", root, "--min_track", "10", "--route", "crops")
    for size, words in (("100", "no face was found"), ("35", "the largest face is")):
        refused = bench.run("evaluate", *flags, "--min_face_size", size)
        assert refused.code == 1 and words in refused.out
    assert "1 tracks in 1 of 1 files" in bench.ran("evaluate", *flags, "--min_face_size", "20").out


@row("evaluate", "tmp_dir")
def _(bench: Bench) -> None:
    calls = _watched(bench)
    for name in ("one", "other"):
        passing = bench.folder / name
        passing.mkdir()
        _reported(bench, "--route", "crops", *FACE, "--tmp_dir", passing)
        assert passing in calls.pop()[0].parents and not list(passing.iterdir())
    _reported(bench, "--route", "crops", *FACE)
    clip = calls.pop()[0]
    assert Path(tempfile.gettempdir()) in clip.parents and bench.folder not in clip.parents


@row("evaluate", "device")
def _(bench: Bench) -> None:
    assert _reported(bench, "--device", "cpu")["settings"]["device"] == "cpu"
    refused = bench.run("evaluate", "--data_root", _root(bench), "--device", NO_SUCH_DEVICE)
    assert refused.code == 2 and f"--device {NO_SUCH_DEVICE} is not available" in refused.err
