"""Faults of pipeline/ and of the scripts that the suite must notice."""

from tests.mutants.mutant import Mutant

NUMBERS = "tests/test_sync_numbers.py"
INPUT = "tests/test_network_input.py"
FLAGS = "tests/test_flags.py::test_flag_has_its_effect"
FIELDS = "tests/test_fields.py"

SYNC = (
    Mutant(
        "the margin is not asked for where an offset is called reliable",
        "pipeline/sync.py",
        "confidence >= reliable_confidence and margin >= reliable_margin",
        "confidence >= reliable_confidence",
        (f"{NUMBERS}::test_two_equal_valleys_are_not_reliable",),
    ),
    Mutant(
        "an offset exactly at the thresholds is not reliable",
        "pipeline/sync.py",
        "confidence >= reliable_confidence and margin >= reliable_margin",
        "confidence > reliable_confidence and margin > reliable_margin",
        (f"{NUMBERS}::test_reliable_from_the_thresholds_on",),
    ),
    Mutant(
        "a shift two frames away counts as another offset",
        "pipeline/sync.py",
        "- best) > NEIGHBOUR_SHIFTS",
        "- best) >= NEIGHBOUR_SHIFTS",
        (f"{NUMBERS}::test_margin_is_to_shifts_more_than_two_away",),
    ),
    Mutant(
        "drift is given for offsets that are not reliable",
        "pipeline/sync.py",
        "_drift(dists, heard) if reliable else None",
        "_drift(dists, heard)",
        (f"{NUMBERS}::test_drift_of_unrelated_sound_is_none",),
    ),
    Mutant(
        "drift is the mean of slopes, not their median",
        "pipeline/sync.py",
        "np.median(slopes)",
        "np.mean(slopes)",
        (f"{NUMBERS}::test_drift_is_not_moved_by_one_noisy_piece",),
    ),
    Mutant(
        "drift has the other sign",
        "pipeline/sync.py",
        "/ (later - earlier)",
        "/ (earlier - later)",
        (f"{NUMBERS}::test_drift_grows_where_sound_leads_more_and_more",),
    ),
    Mutant(
        "three pieces make a drift",
        "pipeline/sync.py",
        "DRIFT_PIECES = 4",
        "DRIFT_PIECES = 3",
        (f"{NUMBERS}::test_drift_grows_where_sound_leads_more_and_more",),
    ),
    Mutant(
        "the offset in ms is looked for beside the answer that padding moved",
        "pipeline/sync.py",
        "near = around.start + int(np.nanargmin(mean[around]))",
        "pass",
        (f"{NUMBERS}::test_offset_in_ms_undoes_what_padding_moved",),
    ),
    Mutant(
        "confidence is the mean less the smallest",
        "pipeline/sync.py",
        "confidence = float(np.median(mean) - mean[best])",
        "confidence = float(np.mean(mean) - mean[best])",
        (f"{NUMBERS}::test_numbers_of_a_matrix_are_those_counted_by_hand",),
    ),
    Mutant(
        "framewise confidence is a median of eleven",
        "pipeline/sync.py",
        "CONFIDENCE_FRAMES = 9",
        "CONFIDENCE_FRAMES = 11",
        (f"{NUMBERS}::test_framewise_confidence_is_a_median_of_nine_over_zeros",),
    ),
    Mutant(
        "framewise confidence repeats its ends",
        "pipeline/sync.py",
        'edges="constant"',
        'edges="edge"',
        (f"{NUMBERS}::test_framewise_confidence_is_a_median_of_nine_over_zeros",),
    ),
    Mutant(
        "the parabola is bent the other way",
        "pipeline/sync.py",
        "vshift - near - np.clip(0.5 * (left - right)",
        "vshift - near + np.clip(0.5 * (left - right)",
        (f"{NUMBERS}::test_numbers_of_a_matrix_are_those_counted_by_hand",),
    ),
    Mutant(
        "distances lack the published epsilon",
        "pipeline/embeddings.py",
        "PAIRWISE_EPS = 1e-6",
        "PAIRWISE_EPS = 0.0",
        (f"{NUMBERS}::test_distance_adds_the_published_epsilon_to_differences",),
    ),
    Mutant(
        "the epsilon of distances has the other sign",
        "pipeline/embeddings.py",
        "+ PAIRWISE_EPS",
        "- PAIRWISE_EPS",
        (f"{NUMBERS}::test_distance_adds_the_published_epsilon_to_differences",),
    ),
    Mutant(
        "speech takes four fifths of the reliable confidence",
        "pipeline/speaking.py",
        "SPEAKING_SHARE = 0.5",
        "SPEAKING_SHARE = 0.8",
        (f"{NUMBERS}::test_half_of_the_reliable_confidence_is_speech",),
    ),
    Mutant(
        "speech takes two fifths of the reliable confidence",
        "pipeline/speaking.py",
        "SPEAKING_SHARE = 0.5",
        "SPEAKING_SHARE = 0.4",
        (f"{NUMBERS}::test_half_of_the_reliable_confidence_is_speech",),
    ),
)

FACES = (
    Mutant(
        "our own detector gets bilinear pixels",
        "pipeline/faces.py",
        "bilinear = published or self._scale > 1",
        "bilinear = True",
        (f"{INPUT}::test_our_detector_sees_averages",),
    ),
    Mutant(
        "the published detector gets averages",
        "pipeline/faces.py",
        "bilinear = published or self._scale > 1",
        "bilinear = self._scale > 1",
        (f"{INPUT}::test_published_detector_sees_bilinear_pixels",),
    ),
    Mutant(
        "faces from a confidence of 0.6 count",
        "pipeline/faces.py",
        "CONFIDENCE = 0.9",
        "CONFIDENCE = 0.6",
        (f"{INPUT}::test_faces_above_nine_tenths_are_in_pixels_of_the_frame",),
    ),
    Mutant(
        "boxes stay in pixels of the detector",
        "pipeline/faces.py",
        "found[:, :4] /= self._scale",
        "found[:, :4] /= 1",
        (f"{INPUT}::test_faces_above_nine_tenths_are_in_pixels_of_the_frame",),
    ),
)

DUB = (
    Mutant(
        "H.264 is written at crf 45",
        "pipeline/mp4.py",
        "VIDEO_QUALITY = 18",
        "VIDEO_QUALITY = 45",
        ("tests/test_mp4.py::test_fine_detail_survives_the_encoder",),
    ),
    Mutant(
        "H.264 is written at crf 23",
        "pipeline/mp4.py",
        "VIDEO_QUALITY = 18",
        "VIDEO_QUALITY = 23",
        ("tests/test_mp4.py::test_fine_detail_survives_the_encoder",),
    ),
    Mutant(
        "faces are placed as if tracks were at 25 frames per second",
        "pipeline/dub.py",
        "rate = place.read_frame_rate()\n    return [",
        "rate = 25\n    return [",
        ("tests/test_dub.py::test_tracks_are_placed_on_the_clock_of_the_workspace",),
    ),
    Mutant(
        "speech is kept for 0.09 s around it",
        "pipeline/voices.py",
        "HANGOVER_S = 0.12",
        "HANGOVER_S = 0.09",
        ("tests/test_mouths.py::test_speech_keeps_ten_columns_before_and_after",),
    ),
    Mutant(
        "the level of sound is that of 0.06 s",
        "pipeline/voices.py",
        "LEVEL_S = 0.04",
        "LEVEL_S = 0.06",
        ("tests/test_mouths.py::test_speech_keeps_ten_columns_before_and_after",),
    ),
    Mutant(
        "the mouth's colour is matched to brow and eyes, too",
        "pipeline/blend.py",
        "around[: FACE_PX // 2] = 0  # the",
        "pass  # the",
        ("tests/test_mouths.py::test_light_of_the_upper_half_has_no_say_in_the_mouths",),
    ),
    Mutant(
        "the mouth's colour is matched to the upper half only",
        "pipeline/blend.py",
        "around[: FACE_PX // 2] = 0  # the",
        "around[FACE_PX // 2 :] = 0  # the",
        ("tests/test_mouths.py::test_light_of_the_upper_half_has_no_say_in_the_mouths",),
    ),
)

STORE = (
    Mutant(
        "text is written over the old file",
        "pipeline/workspace.py",
        "partial = partial_path(path)\n    with partial.open(",
        "partial = path\n    with partial.open(",
        ("tests/test_workspace.py::test_files_are_replaced_not_written_over",),
    ),
    Mutant(
        "the times of frames are written over the old file",
        "pipeline/workspace.py",
        'with partial_path(path).open("wb") as file:\n            np.save(file, times_s)\n'
        "        partial_path(path).replace(path)",
        'with path.open("wb") as file:\n            np.save(file, times_s)',
        ("tests/test_workspace.py::test_files_are_replaced_not_written_over",),
    ),
    Mutant(
        "later stages do not finish a commit that was killed",
        "pipeline/workspace.py",
        "            self.finish_commit()\n            yield",
        "            yield",
        ("tests/test_workspace.py::test_later_stages_finish_a_killed_commit",),
    ),
    Mutant(
        "the mark goes before the rooms are in place",
        "pipeline/rooms.py",
        "        (self.scratch / ROOMS_COMPLETE).touch()\n        self.finish_commit()",
        "        swap.finish(self._room_moves())\n        self._empty_scratch()",
        ("tests/test_workspace.py::test_a_commit_that_breaks_midway_is_finished_by_the_next_run",),
    ),
    Mutant(
        "results of another detector count as the same",
        "pipeline/prepare.py",
        "all(record.get(key) == identity[key] for key in identity)",
        'all(record.get(key) == identity[key] for key in ("input", "settings"))',
        ("tests/test_complete.py::test_results_of_other_weights_are_not_kept",),
    ),
    Mutant(
        "results of another input count as the same",
        "pipeline/prepare.py",
        "all(record.get(key) == identity[key] for key in identity)",
        'all(record.get(key) == identity[key] for key in ("settings", "detector"))',
        ("tests/test_prepare.py::test_another_input_under_the_same_name_is_refused",),
    ),
)


def _ignored(script: str, flag: str, before: str, after: str) -> Mutant:
    """A flag that a script's main or its stage does not pass on."""
    name = script if script.startswith("run_") else "evaluate"
    file = f"{script}.py" if script.startswith("run_") else f"pipeline/{script}.py"
    return Mutant(
        f"--{flag} of {name} is ignored", file, before, after, (f"{FLAGS}[{name}-{flag}]",)
    )


_SETTINGS = "options = PipelineOptions(**settings)"


def _pipeline_flag(flag: str, value: object) -> Mutant:
    changed = f"options = PipelineOptions(**settings | {{{flag!r}: {value!r}}})"
    return _ignored("run_pipeline", flag, _SETTINGS, changed)


_SYNC_OPTIONS = "{f.name: getattr(args, f.name) for f in fields(SyncOptions)})"


def _syncnet_flag(flag: str, value: object) -> Mutant:
    changed = f"{_SYNC_OPTIONS[:-1]} | {{{flag!r}: {value!r}}})"
    return _ignored("run_syncnet", flag, _SYNC_OPTIONS, changed)


_DUB_OPTIONS = "**{name: getattr(args, name) for name in names},"


def _dub_flag(flag: str, value: object) -> Mutant:
    changed = f"**{{name: getattr(args, name) for name in names}} | {{{flag!r}: {value!r}}},"
    return _ignored("run_wav2lip", flag, _DUB_OPTIONS, changed)


FLAG_MUTANTS = (
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
    _ignored("run_pipeline", "device", "cli.torch_device(args.device)", 'cli.torch_device("cpu")'),
    _syncnet_flag("initial_model", "auto"),
    _syncnet_flag("batch_size", 20),
    _syncnet_flag("vshift", 15),
    _syncnet_flag("precision", "auto"),
    _ignored("run_syncnet", "device", "cli.torch_device(args.device)", 'cli.torch_device("cpu")'),
    _ignored("run_visualise", "frame_rate", "frame_rate=args.frame_rate", "frame_rate=None"),
    _dub_flag("tracks", "all"),
    _dub_flag("fit", "video"),
    _dub_flag("silence_gate", True),
    _dub_flag("keep_background", None),
    _dub_flag("checkpoint", "auto"),
    _dub_flag("batch_size", 16),
    _ignored("run_wav2lip", "pads", "pads=pads(args.pads)", "pads=pads([0, 10, 0, 0])"),
    _ignored("run_wav2lip", "blend", "blend=args.blend == BLENDS[0]", "blend=True"),
    _ignored("run_wav2lip", "score", "score=args.score", "score=False"),
    _ignored("run_wav2lip", "videofile", "video=args.videofile", "video=None"),
    _ignored(
        "run_wav2lip", "audio", "audio=audio_by_track(args.audio)", "audio=audio_by_track([])"
    ),
    _ignored("run_wav2lip", "device", "cli.torch_device(args.device)", 'cli.torch_device("cpu")'),
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
    _ignored("evaluate", "batch_size", "batch_size=sync.batch_size", "batch_size=20"),
    _ignored("evaluate", "tmp_dir", "tmp_dir=args.tmp_dir", "tmp_dir=None"),
    _ignored("evaluate", "device", "cli.torch_device(args.device)", 'cli.torch_device("cpu")'),
    _ignored("evaluate", "precision", "precision=args.precision,\n    )", ")"),
    Mutant(
        "num_failed_det does not reach the tracks",
        "pipeline/prepare.py",
        "num_failed_det=options.num_failed_det",
        "num_failed_det=25",
        (f"{FLAGS}[run_pipeline-num_failed_det]",),
    ),
    Mutant(
        "crop_scale does not reach the crops",
        "pipeline/prepare.py",
        "crop_scale=options.crop_scale",
        "crop_scale=0.4",
        (f"{FLAGS}[run_pipeline-crop_scale]",),
    ),
    Mutant(
        "facedet_scale does not reach the detector",
        "pipeline/prepare.py",
        "facedet_scale=options.detection_scale,",
        "facedet_scale=FACE_AT_DETECTOR_PX / options.min_face_size,",
        (f"{FLAGS}[run_pipeline-facedet_scale]",),
    ),
    Mutant(
        "min_face_size does not reach the detector",
        "pipeline/prepare.py",
        "return self.facedet_scale or FACE_AT_DETECTOR_PX / self.min_face_size",
        "return self.facedet_scale or FACE_AT_DETECTOR_PX / 100",
        (f"{FLAGS}[run_pipeline-min_face_size]",),
    ),
    Mutant(
        "min_face_size does not reach the tracks",
        "pipeline/prepare.py",
        "min_face_size=options.min_face_size,",
        "min_face_size=0,",
        (f"{FLAGS}[run_pipeline-min_face_size]",),
    ),
    Mutant(
        "frames are kept where none are wanted",
        "pipeline/prepare.py",
        'staging.room("pyframes") if options.keep_frames else None',
        'staging.room("pyframes")',
        (f"{FLAGS}[run_pipeline-keep_frames]",),
    ),
    Mutant(
        "precision does not reach the detector",
        "pipeline/prepare.py",
        "        precision=precision,\n    )\n    result",
        "    )\n    result",
        (f"{FLAGS}[run_pipeline-precision]",),
    ),
    Mutant(
        "precision does not reach the scorer",
        "pipeline/clip_scores.py",
        ".narrowed(PRECISIONS[resolved])",
        "",
        (f"{FLAGS}[run_syncnet-precision]",),
    ),
    Mutant(
        "the frame rate of the record is not taken for the labelled video",
        "pipeline/visualise.py",
        "frame_rate=frame_rate or place.read_frame_rate()",
        "frame_rate=frame_rate or FRAME_RATE",
        (f"{FLAGS}[run_visualise-frame_rate]",),
    ),
    Mutant(
        "pads left and right are exchanged",
        "pipeline/regions.py",
        "    left: int = 0\n    right: int = 0\n\n    def __post",
        "    right: int = 0\n    left: int = 0\n\n    def __post",
        (f"{FLAGS}[run_wav2lip-pads]",),
    ),
    Mutant(
        "LSE-D and LSE-C are exchanged in all_scores",
        "pipeline/evaluate.py",
        "{row.lse_d:.6f} {row.lse_c:.6f}",
        "{row.lse_c:.6f} {row.lse_d:.6f}",
        (f"{FLAGS}[evaluate-all_scores]",),
    ),
)

MUTANTS: tuple[Mutant, ...] = (*SYNC, *FACES, *DUB, *STORE, *FLAG_MUTANTS)
