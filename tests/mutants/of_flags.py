"""Faults of what is done with flags, in the scripts and behind them."""

from tests.mutants.mutant import Mutant

FLAGS = "tests/test_flags.py::test_flag_has_its_effect"


def _ignored(script: str, flag: str, before: str, after: str) -> Mutant:
    """A flag that a script's main or its stage does not pass on."""
    name = script if script.startswith("run_") else "evaluate"
    file = f"{script}.py" if script.startswith("run_") else "pipeline/evaluate/folder.py"
    return Mutant(
        f"--{flag} of {name} is ignored", file, before, after, (f"{FLAGS}[{name}-{flag}]",)
    )


_FACE_OPTIONS = "{f.name: getattr(args, f.name) for f in fields(FaceOptions)})"


def _pipeline_flag(flag: str, value: object) -> Mutant:
    changed = f"{_FACE_OPTIONS[:-1]} | {{{flag!r}: {value!r}}})"
    return _ignored("run_pipeline", flag, _FACE_OPTIONS, changed)


_SYNC_OPTIONS = "{f.name: getattr(args, f.name) for f in fields(SyncOptions)})"


def _syncnet_flag(flag: str, value: object) -> Mutant:
    changed = f"{_SYNC_OPTIONS[:-1]} | {{{flag!r}: {value!r}}})"
    return _ignored("run_syncnet", flag, _SYNC_OPTIONS, changed)


_DUB_OPTIONS = "**{name: getattr(args, name) for name in names},"


def _dub_flag(flag: str, value: object) -> Mutant:
    changed = f"**{{name: getattr(args, name) for name in names}} | {{{flag!r}: {value!r}}},"
    return _ignored("run_wav2lip", flag, _DUB_OPTIONS, changed)


MUTANTS: tuple[Mutant, ...] = (
    _pipeline_flag("facedet_scale", None),
    _pipeline_flag("crop_scale", 0.4),
    _pipeline_flag("min_track", 10),
    _pipeline_flag("frame_rate", 25),
    _pipeline_flag("num_failed_det", 25),
    _pipeline_flag("min_face_size", 50),
    _pipeline_flag("detector", "auto"),
    _pipeline_flag("detect_every", 5),
    _pipeline_flag("audio_stream", None),
    _pipeline_flag("precision", "auto"),
    _pipeline_flag("keep_frames", True),
    _ignored("run_pipeline", "overwrite", "overwrite=args.overwrite", "overwrite=False"),
    _ignored("run_pipeline", "device", "device=args.device", 'device="cpu"'),
    _syncnet_flag("initial_model", "auto"),
    _syncnet_flag("batch_size", 20),
    _syncnet_flag("vshift", 15),
    _syncnet_flag("precision", "auto"),
    _ignored("run_syncnet", "device", "device=args.device", 'device="cpu"'),
    _ignored("run_visualise", "frame_rate", "frame_rate=args.frame_rate", "frame_rate=None"),
    _dub_flag("tracks", "all"),
    _dub_flag("fit", "video"),
    _dub_flag("silence_gate", True),
    _dub_flag("keep_background", None),
    _dub_flag("checkpoint", "auto"),
    _dub_flag("batch_size", 16),
    _ignored("run_wav2lip", "pads", "pads=Pads(*args.pads)", "pads=Pads(0, 10, 0, 0)"),
    _ignored("run_wav2lip", "blend", "blend=args.blend == BLENDS[0]", "blend=True"),
    _ignored("run_wav2lip", "score", "score=args.score", "score=False"),
    _ignored("run_wav2lip", "videofile", "video=args.videofile", "video=None"),
    _ignored(
        "run_wav2lip",
        "audio",
        "audio=cli.audio_by_track(args.audio)",
        "audio=cli.audio_by_track([])",
    ),
    _ignored("run_wav2lip", "device", "device=args.device", 'device="cpu"'),
    _ignored(
        "evaluate", "route", 'if args.route == "both" else (args.route,)', "if args.route else ()"
    ),
    _ignored("evaluate", "min_track", "min_track=args.min_track", "min_track=10"),
    _ignored("evaluate", "min_face_size", "min_face_size=args.min_face_size", "min_face_size=20"),
    _ignored(
        "evaluate",
        "vshift",
        "SyncOptions(args.initial_model, args.batch_size, args.vshift, args.precision)",
        "SyncOptions(args.initial_model, args.batch_size, 15, args.precision)",
    ),
    _ignored(
        "evaluate",
        "initial_model",
        "SyncOptions(args.initial_model, args.batch_size, args.vshift, args.precision)",
        'SyncOptions("auto", args.batch_size, args.vshift, args.precision)',
    ),
    _ignored("evaluate", "batch_size", "args.batch_size, args.vshift", "20, args.vshift"),
    _ignored("evaluate", "tmp_dir", "tmp_dir=args.tmp_dir", "tmp_dir=None"),
    _ignored("evaluate", "device", "device=args.device", 'device="cpu"'),
    _ignored("evaluate", "precision", "precision=args.precision,\n    )", ")"),
    Mutant(
        "num_failed_det does not reach the tracks",
        "pipeline/faces/stage.py",
        "num_failed_det=options.num_failed_det",
        "num_failed_det=25",
        (f"{FLAGS}[run_pipeline-num_failed_det]",),
    ),
    Mutant(
        "crop_scale does not reach the crops",
        "pipeline/faces/stage.py",
        "crop_scale=options.crop_scale",
        "crop_scale=0.4",
        (f"{FLAGS}[run_pipeline-crop_scale]",),
    ),
    Mutant(
        "facedet_scale does not reach the detector",
        "pipeline/faces/stage.py",
        "facedet_scale=options.detection_scale,",
        "facedet_scale=FACE_AT_DETECTOR_PX / options.min_face_size,",
        (f"{FLAGS}[run_pipeline-facedet_scale]",),
    ),
    Mutant(
        "min_face_size does not reach the detector",
        "pipeline/faces/options.py",
        "return self.facedet_scale or FACE_AT_DETECTOR_PX / self.min_face_size",
        "return self.facedet_scale or FACE_AT_DETECTOR_PX / 100",
        (f"{FLAGS}[run_pipeline-min_face_size]",),
    ),
    Mutant(
        "min_face_size does not reach the tracks",
        "pipeline/faces/stage.py",
        "min_face_size=options.min_face_size,",
        "min_face_size=0,",
        (f"{FLAGS}[run_pipeline-min_face_size]",),
    ),
    Mutant(
        "frames are kept where none are wanted",
        "pipeline/faces/stage.py",
        'staging.folder("pyframes") if options.keep_frames else None',
        'staging.folder("pyframes")',
        (f"{FLAGS}[run_pipeline-keep_frames]",),
    ),
    Mutant(
        "precision does not reach the detector",
        "pipeline/faces/stage.py",
        "precision=options.precision\n",
        'precision="auto"\n',
        (f"{FLAGS}[run_pipeline-precision]",),
    ),
    Mutant(
        "precision does not reach the scorer",
        "pipeline/sync/embeddings.py",
        ".narrowed(PRECISIONS[resolved])",
        "",
        (f"{FLAGS}[run_syncnet-precision]",),
    ),
    Mutant(
        "the frame rate of the record is not taken for the labelled video",
        "pipeline/labelling.py",
        "rate = frame_rate or workspace.read_frame_rate()",
        "rate = frame_rate or FRAME_RATE",
        (f"{FLAGS}[run_visualise-frame_rate]",),
    ),
    Mutant(
        "pads left and right are exchanged",
        "pipeline/dubbing/face_path.py",
        "    left: int = 0\n    right: int = 0\n\n    def __post",
        "    right: int = 0\n    left: int = 0\n\n    def __post",
        (f"{FLAGS}[run_wav2lip-pads]",),
    ),
    Mutant(
        "LSE-D and LSE-C are exchanged in all_scores",
        "pipeline/evaluate/folder.py",
        "{row.lse_d:.6f} {row.lse_c:.6f}",
        "{row.lse_c:.6f} {row.lse_d:.6f}",
        (f"{FLAGS}[evaluate-all_scores]",),
    ),
)
