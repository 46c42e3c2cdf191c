"""Options: Python and the command line refuse the same values and have the same defaults."""

import argparse
import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import astuple, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import run_pipeline
import run_syncnet
import run_wav2lip
import train_syncnet
import train_wav2lip
from models import errors, s3fd, weights
from models.device import resolve_precision, torch_device
from models.errors import InputError, PipelineError, ToolkitError, WeightsError
from models.options import check_choice, check_device, check_number, check_switch
from pipeline import cli
from pipeline.batch.options import BatchOptions
from pipeline.dubbing import choose as dub_choose
from pipeline.dubbing import source_frames
from pipeline.dubbing.face_path import Pads
from pipeline.dubbing.stage import DubOptions
from pipeline.evaluate import folder as evaluate_folder
from pipeline.faces.crops import CROP_SCALE
from pipeline.faces.detector import load_detector
from pipeline.faces.options import FaceOptions
from pipeline.faces.tracks import Track
from pipeline.select.choose import SelectOptions
from pipeline.store.workspace import Workspace
from pipeline.sync import scorer as sync_scorer
from pipeline.sync import single_clip
from pipeline.sync import stage as sync_stage
from pipeline.sync.scorer import SyncOptions
from tests.conftest import REPO
from tests.score_kit import stream_of
from training.objectives.contrastive import MultiWay
from training.tasks import syncnet_options, wav2lip_options

CPU = torch.device("cpu")
TRACKS = [Track(np.arange(3), np.ones((3, 4)))] * 2


def _train_syncnet(**changed: object) -> object:
    args = train_syncnet.build_parser().parse_args(["--data", "d", "--run", "r"])
    return syncnet_options.TrainOptions(**(vars(args) | changed))


def _train_wav2lip(**changed: object) -> object:
    flags = ["--data", "d", "--run", "r", "--stage", "gan"]
    args = train_wav2lip.build_parser().parse_args(flags)
    return wav2lip_options.TrainOptions(**(vars(args) | changed))


# Words.

LOOPS: dict[str, Any] = {"fit": "loops", "frame_store": Path("k")}
WORDS: dict[str, tuple[Callable[[], object], str]] = {
    "load_s3fd": (
        lambda: weights.load_s3fd("S3FD", device=CPU),
        "Invalid detector ('S3FD'); supported: auto, s3fd, small.",
    ),
    "detector": (
        lambda: FaceOptions(detector="S3FD"),
        "Invalid detector ('S3FD'); supported: auto, s3fd, small.",
    ),
    "precision of faces": (
        lambda: FaceOptions(precision="fp16"),  # type: ignore[arg-type]
        "Invalid precision ('fp16'); supported: auto, fp32, bf16.",
    ),
    "precision of scores": (
        lambda: SyncOptions(precision="BF16"),  # type: ignore[arg-type]
        "Invalid precision ('BF16'); supported: auto, fp32, bf16.",
    ),
    "load_detector": (
        lambda: load_detector("S3FD", device=CPU),
        "Invalid detector ('S3FD'); supported: auto, s3fd, small.",
    ),
    "load_model": (
        lambda: sync_scorer.load_model(device=CPU, precision="half"),  # type: ignore[arg-type]
        "Invalid precision ('half'); supported: auto, fp32, bf16.",
    ),
    "resolve_precision": (
        lambda: resolve_precision("Auto", full=True, device=CPU),
        "Invalid precision ('Auto'); supported: auto, fp32, bf16.",
    ),
    "S3FDDetector": (
        lambda: stream_of(SimpleNamespace(config=s3fd.SMALL), facedet_scale=1, precision="auto"),
        "Invalid precision ('auto'); supported: fp32, bf16.",
    ),
    "tracks": (
        lambda: DubOptions(tracks="0"),  # type: ignore[arg-type]
        "Invalid tracks ('0'); supported: all, speaking, track numbers.",
    ),
    "choose": (
        lambda: dub_choose.choose(Workspace(Path("d"), "r"), TRACKS, "0"),  # type: ignore[arg-type]
        "Invalid tracks ('0'); supported: all, speaking, track numbers.",
    ),
    "no tracks": (
        lambda: DubOptions(tracks=()),
        "Invalid tracks (()); supported: all, speaking, track numbers.",
    ),
    "a track twice": (
        lambda: DubOptions(tracks=(0, 1, 0)),
        "Invalid tracks ((0, 1, 0)); supported: every number once.",
    ),
    "fit": (
        lambda: DubOptions(fit="loops"),  # type: ignore[arg-type]
        "Invalid fit ('loops'); supported: video, audio, loop.",
    ),
    "playback": (
        lambda: next(source_frames.playback(Path("v"), frame_rate=25, frames=3, **LOOPS)),
        "Invalid fit ('loops'); supported: video, audio, loop.",
    ),
    "blend": (
        lambda: DubOptions(blend="none"),  # type: ignore[arg-type]
        "Invalid blend ('none'); supported: True, False.",
    ),
    "audio": (
        lambda: DubOptions(audio="new.wav"),  # type: ignore[arg-type]
        "Invalid audio ('new.wav'); supported: files by track number.",
    ),
    "route": (
        lambda: evaluate_folder.evaluate(
            {},
            ("Whole",),
            None,  # type: ignore[arg-type]
            FaceOptions(),
            report=print,
        ),
        "Invalid route ('Whole'); supported: whole, crops.",
    ),
    "device": (
        lambda: torch_device("gpu"),
        "Invalid device ('gpu'); supported: auto, cpu, cuda, mps, cuda:NUMBER.",
    ),
    "a device that computes nothing": (
        lambda: torch_device("meta"),
        "Invalid device ('meta'); supported: auto, cpu, cuda, mps, cuda:NUMBER.",
    ),
    "stage": (
        lambda: _train_wav2lip(stage="GAN"),
        "Invalid stage ('GAN'); supported: expert, generator, gan, speech2vid.",
    ),
    "device of training": (
        lambda: _train_wav2lip(device="gpu"),
        "Invalid device ('gpu'); supported: auto, cpu, cuda, mps, cuda:NUMBER.",
    ),
    "objective": (
        lambda: _train_syncnet(objective="bse"),
        "Invalid objective ('bse'); supported: multiway, margin, bce, cosine.",
    ),
    "negatives": (
        lambda: _train_syncnet(negatives="other"),
        "Invalid negatives ('other'); supported: same, cross, both.",
    ),
    "negatives of an objective": (
        lambda: MultiWay(negatives="other"),  # type: ignore[arg-type]
        "Invalid negatives ('other'); supported: same, cross, both.",
    ),
}


@pytest.mark.parametrize("name", WORDS)
def test_an_unknown_word_is_refused(name: str) -> None:
    """The error lists the choices, and names the parameter without dashes."""
    call, sentence = WORDS[name]
    with pytest.raises(InputError) as refusal:
        call()
    assert str(refusal.value) == sentence


# Numbers and switches.

NUMBERS: list[tuple[Callable[..., object], str, list[object]]] = [
    (FaceOptions, "facedet_scale", [0, -1.0, float("nan"), True, "1"]),
    (FaceOptions, "crop_scale", [-0.1, float("inf"), float("nan"), None, True]),
    (FaceOptions, "min_track", [-1, 1.5, True, None, "100"]),
    (FaceOptions, "frame_rate", [0, 121, 25.5, True]),
    (FaceOptions, "num_failed_det", [-1, 2.5, False]),
    (FaceOptions, "min_face_size", [0, 10.5, float("nan")]),
    (FaceOptions, "detect_every", [0, 101, True]),
    (FaceOptions, "keep_frames", ["no", 0, None]),
    (FaceOptions, "keep_video", ["no", 0, None]),
    (BatchOptions, "workers", [-1, 1.5, True]),
    (BatchOptions, "time_limit_s", [0, -1.0, float("inf"), None]),
    (BatchOptions, "memory_gb", [0, float("nan"), "4"]),
    (BatchOptions, "keep", ["some", None]),
    (SelectOptions, "min_confidence", [float("nan"), "3"]),
    (SelectOptions, "min_probability", [-0.1, 1.1]),
    (SelectOptions, "max_offset", [-1, None]),
    (SelectOptions, "min_seconds", [-1, None]),
    (SelectOptions, "duplicates", ["no", None]),
    (SyncOptions, "batch_size", [0, -1, 2.5, True, "20", 10**400]),
    (SyncOptions, "vshift", [0, 251, 15.0, float("nan"), True]),
    (DubOptions, "batch_size", [0, 1.5, True]),
    (DubOptions, "keep_background", [float("nan"), float("inf"), True, "-12"]),
    (DubOptions, "silence_gate", ["off", 1]),
    (DubOptions, "tracks", [(-1,), (0.5,), (True,), ("0",)]),
    (DubOptions, "audio", [{"0": Path("a.wav")}, {-1: Path("a.wav")}]),
    (Pads, "left", [-1, 0.5, True]),
    (_train_syncnet, "steps", ["100", 2.5, True]),
    (_train_syncnet, "lr", [float("nan"), "1e-3", True]),
    (_train_wav2lip, "precision", ["half", None, True]),
    (_train_wav2lip, "width", [float("inf"), None]),
]


@pytest.mark.parametrize(
    ("make", "field", "wrong"),
    [(make, field, wrong) for make, field, values in NUMBERS for wrong in values],
)
def test_a_number_out_of_range_is_refused(
    make: Callable[..., object], field: str, wrong: object
) -> None:
    """Out of range, not finite, True, text: the option and what it may be are named."""
    name = "pads" if make is Pads else field
    with pytest.raises(InputError, match=rf"^Invalid {name} \(.*\); supported: .+\.$"):
        make(**{field: wrong})


def test_numbers_of_numpy_are_numbers() -> None:
    """Options computed with NumPy are accepted."""
    assert FaceOptions(min_track=np.int64(5), crop_scale=np.float32(0.5)).min_track == 5
    assert FaceOptions(crop_scale=1, facedet_scale=None).crop_scale == 1
    with pytest.raises(InputError):
        FaceOptions(min_track=np.bool_(True))  # type: ignore[arg-type]


def test_the_sentence_says_the_range() -> None:
    """Both ends, whole numbers, None; a flag's name has its dashes on the command line only."""
    sentences = {}
    for name, kinds in {
        "a": {"whole": True, "least": 1, "most": 250},
        "b": {"above": 0, "below": 0.5, "optional": True},
    }.items():
        with pytest.raises(errors.InvalidOption) as refusal:
            check_number(name, 1000, **kinds)  # type: ignore[arg-type]
        sentences[name] = refusal.value
    assert str(sentences["a"]) == (
        "Invalid a (1000); supported: whole numbers at least 1 and at most 250."
    )
    assert sentences["b"].on_command_line == (
        "Invalid --b (1000); supported: numbers above 0 and below 0.5, None."
    )
    check_number("c", None, optional=True)
    check_switch("d", False)
    check_choice("e", "x", ("x", "y"))


def test_open_limits_are_out_of_range() -> None:
    """Neither end is inside; a device has a number and nothing behind it."""
    check_number("a", 0.25, above=0, below=0.5)
    for value in (0, 0.5):
        with pytest.raises(InputError, match=r"above 0 and below 0\.5"):
            check_number("a", value, above=0, below=0.5)
    check_device("cuda:12")
    for name in ("cuda:1x", "cuda:"):
        with pytest.raises(InputError, match="cuda:NUMBER"):
            check_device(name)


def test_flags_are_named_as_they_are_typed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same refusal on the command line speaks of the flag; exit code 2."""
    flags = [f"--data_dir={tmp_path}", "--reference=r", "--vshift=0"]
    assert cli.run(lambda: run_syncnet.main(flags)) == 2
    assert capsys.readouterr().err.startswith("error: Invalid --vshift (0); supported: ")


# One set of defaults.

REQUIRED = {
    run_pipeline: ["--videofile", "v"],
    run_syncnet: [],
    run_wav2lip: [],
    evaluate_folder: ["--data_root", "d"],
}
OPTIONS: list[tuple[Any, Any, set[str]]] = [
    (run_pipeline, FaceOptions(), {field.name for field in fields(FaceOptions)}),
    (run_syncnet, SyncOptions(), {field.name for field in fields(SyncOptions)}),
    (run_wav2lip, DubOptions(), {field.name for field in fields(DubOptions)} - {"audio"}),
    (evaluate_folder, SyncOptions(), {field.name for field in fields(SyncOptions)}),
    (evaluate_folder, FaceOptions(), {"min_track", "min_face_size", "precision"}),
]


@pytest.mark.parametrize(("script", "options", "names"), OPTIONS)
def test_scripts_and_functions_have_the_same_defaults(
    script: Any, options: Any, names: set[str]
) -> None:
    """Whatever a parser and the options of its stage both know, they know alike."""
    parsed = vars(script.build_parser().parse_args(REQUIRED[script]))
    field_names = {field.name for field in fields(options)}
    assert parsed.keys() & field_names == names | (field_names & {"audio"})
    if script is run_wav2lip:
        parsed["blend"] = parsed["blend"] == "mouth"
        parsed["pads"] = Pads(*parsed["pads"])
        assert parsed["pads"] == options.pads and astuple(options.pads) == (0, 10, 0, 0)
    assert {name: parsed[name] for name in names} == {n: getattr(options, n) for n in names}


@pytest.mark.parametrize("script", REQUIRED)
def test_choices_of_flags_are_those_of_the_options(script: Any) -> None:
    """Every choice a parser offers is taken by the options."""
    stage = {run_pipeline: FaceOptions, run_syncnet: SyncOptions, evaluate_folder: SyncOptions}
    for action in script.build_parser()._actions:
        if not action.choices or isinstance(action, argparse._HelpAction):
            continue
        for choice in action.choices:
            if script is run_wav2lip and action.dest in ("fit", "texture"):
                DubOptions(**{action.dest: choice})
            elif script in stage and action.dest in {f.name for f in fields(stage[script])}:
                stage[script](**{action.dest: choice})
            else:
                assert action.dest in ("blend", "route", "standard")


def test_functions_have_no_defaults_of_their_own() -> None:
    """What scores takes its settings from `SyncOptions`; crops have one margin."""
    assert inspect.signature(sync_scorer.SyncScorer).parameters["options"].default == SyncOptions()
    for function in (sync_stage.score_tracks, single_clip.score_clip, sync_scorer.SyncScorer):
        parameters = inspect.signature(function).parameters
        assert not parameters.keys() & {field.name for field in fields(SyncOptions)}
    loading = inspect.signature(sync_scorer.load_model).parameters
    assert loading["precision"].default == SyncOptions().precision
    assert loading["initial_model"].default == SyncOptions().initial_model
    detector = inspect.signature(weights.load_s3fd).parameters["detector"]
    assert detector.default == FaceOptions().detector
    assert FaceOptions().crop_scale == CROP_SCALE == 0.4


# One base for errors.


def test_every_failure_has_one_base_and_an_exit_code() -> None:
    """Catching `ToolkitError` is enough; who is at fault is in the exit code."""
    codes = {PipelineError: 1, InputError: 2, WeightsError: 2, errors.InvalidOption: 2}
    for kind, code in codes.items():
        assert issubclass(kind, ToolkitError) and kind.exit_code == code
    with pytest.raises(ToolkitError, match="is not a file"):
        weights.load_syncnet("/nowhere.model", device=CPU)


def test_errors_and_options_do_not_load_torch() -> None:
    """Errors and options are checked without the second that loading torch takes."""
    code = "import sys, models.errors, models.options; sys.exit('torch' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    assert (
        subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
    )
