"""Every flag of every script has its effect; the parsers say which flags there are.

A flag without a row in the table fails, as does a row whose flag is gone.
"""

import argparse
from pathlib import Path
from typing import Any

import pytest

from pipeline.batch.videos import Shard

for _kit in ("pipeline", "syncnet", "wav2lip", "evaluate", "batch", "select"):
    pytest.register_assert_rewrite(f"tests.flags_of_{_kit}")

from tests import (  # noqa: E402 - after assertions are made to speak
    flags_of_batch,
    flags_of_evaluate,
    flags_of_pipeline,
    flags_of_select,
    flags_of_syncnet,
    flags_of_wav2lip,
)
from tests.flag_kit import FACE, ROWS, SCRIPTS, Bench, make_clips  # noqa: E402
from tests.synthetic import ffmpeg  # noqa: E402

TABLES = (
    *(flags_of_pipeline, flags_of_syncnet, flags_of_wav2lip, flags_of_evaluate),
    *(flags_of_batch, flags_of_select),
)


def _flags(script: str) -> list[argparse.Action]:
    actions = SCRIPTS[script].build_parser()._actions
    return [action for action in actions if not isinstance(action, argparse._HelpAction)]


ALL = [(script, action.dest) for script in SCRIPTS for action in _flags(script)]


@pytest.fixture(scope="module")
def clips(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small media, and results of the face clip that were scored; no row changes them."""
    folder = tmp_path_factory.mktemp("flags")
    make_clips(folder, example)
    tones = [f"sine=f={hz}:r=16000:d=0.4" for hz in (400, 800)]
    sources = [word for tone in tones for word in ("-f", "lavfi", "-i", tone)]
    ffmpeg(
        *("-f", "lavfi", "-i", "color=gray:s=64x48:r=25:d=0.4", *sources),
        *("-map", "0", "-map", "1", "-map", "2", "-c:v", "ffv1", "-c:a", "pcm_s16le"),
        folder / "tones.mkv",
    )
    where = ["--data_dir", str(folder / "work"), "--reference", "face"]
    face = ["--videofile", str(folder / "face.mp4"), *FACE]
    assert SCRIPTS["run_pipeline"].main([*where, *face]) == 0
    assert SCRIPTS["run_syncnet"].main(where) == 0
    return folder


@pytest.mark.parametrize(("script", "flag"), ALL)
def test_flag_has_its_effect(
    script: str,
    flag: str,
    clips: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two values through the script's main give two results, each of them right."""
    assert (script, flag) in ROWS, f"nothing proves what --{flag} of {script} does"
    ROWS[script, flag](Bench(tmp_path, clips, capsys, monkeypatch))


def test_every_row_has_its_flag() -> None:
    assert sorted(ROWS) == sorted(ALL) and len(TABLES) == 6


# What contracts.md lists of the demo's scripts.
DEMO: dict[str, dict[str, Any]] = {
    "run_pipeline": {
        "data_dir": "data/work",
        "facedet_scale": 0.25,
        "crop_scale": 0.40,
        "min_track": 100,
        "frame_rate": 25,
        "num_failed_det": 25,
        "min_face_size": 100,
        "reference": "",
    },
    "run_syncnet": {"data_dir": "data/work", "batch_size": 20, "vshift": 15, "reference": ""},
    "run_visualise": {"data_dir": "data/work", "frame_rate": 25, "reference": ""},
    # Wav2Lip's; a batch of 128 is that of a large GPU.
    "run_wav2lip": {"pads": (0, 10, 0, 0), "checkpoint": "auto", "batch_size": 16},
    "evaluate": {"batch_size": 20, "vshift": 15, "min_track": 100, "min_face_size": 100},
    "run_batch": {
        "facedet_scale": None,
        "crop_scale": 0.40,
        "min_track": 100,
        "num_failed_det": 25,
        "min_face_size": 100,
        "batch_size": 20,
        "vshift": 15,
    },
    "select": {},
}
# What else a flag is where nobody types it.
OURS: dict[str, dict[str, Any]] = {
    "run_pipeline": {
        "detector": "auto",
        "detect_every": 5,
        "audio_stream": None,
        "precision": "auto",
        "keep_frames": True,
        "keep_video": True,
        "device": "auto",
        "overwrite": False,
    },
    "run_syncnet": {
        "initial_model": "auto",
        "videofile": None,
        "save_features": None,
        "correct": None,
        "per_shot": False,
        "standard": None,
        "verbose": False,
        "precision": "auto",
        "device": "auto",
    },
    "run_visualise": {"videofile": None},
    "run_wav2lip": {
        "data_dir": "data/work",
        "reference": "",
        "audio": [],
        "tracks": "all",
        "fit": "video",
        "blend": "mouth",
        "texture": "own",
        "texture_video": None,
        "silence_gate": True,
        "keep_background": None,
        "score": False,
        "videofile": None,
        "device": "auto",
    },
    "evaluate": {
        "route": "both",
        "json": None,
        "all_scores": None,
        "initial_model": "auto",
        "precision": "auto",
        "tmp_dir": None,
        "device": "auto",
    },
    "run_batch": {
        "data_dir": "data/batch",
        "keep": "crops",
        "workers": 0,
        "time_limit_s": 3600.0,
        "memory_gb": None,
        "shard": Shard(),
        "address": None,
        "retry_failed": False,
        "overwrite": False,
        "detector": "auto",
        "detect_every": 5,
        "initial_model": "auto",
        "precision": "auto",
        "device": "auto",
    },
    "select": {
        "min_confidence": None,
        "min_probability": None,
        "max_offset": 3.0,
        "min_seconds": 2.0,
        "duplicates": False,
        "in_sync": False,
        "shard_mb": None,
    },
}
NEEDED = {
    "run_pipeline": ["--videofile", "v.mp4"],
    "evaluate": ["--data_root", "videos"],
    "run_batch": ["--videos", "videos"],
    "select": ["--data_dir", "batch", "--out", "selected"],
}
# Unset where the record or another flag decides, which comes to the demo's number.
DECIDED_LATER = {("run_pipeline", "facedet_scale"), ("run_visualise", "frame_rate")}


@pytest.mark.parametrize("script", SCRIPTS)
def test_defaults_are_those_of_the_demo(script: str) -> None:
    """Every flag's, literally; `frame_rate` of run_visualise.py is its row's."""
    defaults = vars(SCRIPTS[script].build_parser().parse_args(NEEDED.get(script, [])))
    expected = DEMO[script] | OURS[script]
    required = {flag.lstrip("-") for flag in NEEDED.get(script, [])[::2]}
    assert defaults.keys() == expected.keys() | required
    for name, value in expected.items():
        shown_value = (
            defaults[name] if not isinstance(defaults[name], Path) else str(defaults[name])
        )
        if (script, name) in DECIDED_LATER:
            assert shown_value is None
        else:
            assert (shown_value, type(shown_value)) == (value, type(value)), name


def test_unset_facedet_scale_comes_to_the_demos() -> None:
    """25 pixels of the smallest face: a quarter of 100."""
    from pipeline.faces.stage import FaceOptions

    assert FaceOptions().detection_scale == DEMO["run_pipeline"]["facedet_scale"]
    assert FaceOptions(min_face_size=50).detection_scale == 0.5
    assert FaceOptions(min_face_size=50, facedet_scale=0.3).detection_scale == 0.3
