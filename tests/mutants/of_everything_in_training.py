"""Faults from everywhere in training: what is drawn, kept, measured and told apart."""

from tests.mutants.mutant import Mutant

CACHE, ORDER = "tests/test_training_cache.py", "tests/test_cache_order.py"
DETECTOR, GENERATOR = "tests/test_detection_targets.py", "tests/test_wav2lip_objectives.py"
FITTED = "tests/test_reliability.py"
AGREED, DRAWN, TABLE = "tests/test_evaluate_sync.py", "tests/test_drawn.py", "tests/test_table.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "networks are never wider than asked for",
        "models/wav2lip.py",
        "8 * round(published * self.width / 8)",
        "8 * int(published * self.width / 8)",
        (
            "tests/test_paper_presets.py"
            "::test_narrow_networks_have_the_next_multiple_of_eight_channels",
        ),
    ),
    Mutant(
        "light makes white skin black",
        "training/batches/face_batches.py",
        ".clip(0, 255).astype(np.uint8)",
        ".astype(np.uint8)",
        ("tests/test_augment.py::test_other_light_leaves_white_white",),
    ),
    Mutant(
        "a short clip's reference is its beginning",
        "training/batches/face_batches.py",
        "int(starts[apart.argmax()])",
        "int(starts[0])",
        ("tests/test_faces_data.py::test_a_reference_is_a_second_away_where_it_can_be",),
    ),
    Mutant(
        "what another run is writing is removed",
        "training/data/cache.py",
        "> LONGEST_WRITE_S:",
        "> 0:",
        (f"{CACHE}::test_unfinished_files_are_removed_after_a_day",),
    ),
    Mutant(
        "an entry is as old as its oldest file",
        "training/data/cache.py",
        "max(one.st_mtime_ns for one in files)",
        "min(one.st_mtime_ns for one in files)",
        (f"{ORDER}::test_an_entry_is_as_new_as_the_newest_of_its_files",),
    ),
    Mutant(
        "a run removes what it has used",
        "training/data/cache.py",
        "        self._oldest_first.pop(key, None)\n",
        "",
        (f"{ORDER}::test_what_this_run_has_used_is_never_removed_by_it",),
    ),
    Mutant(
        "a clip that was cut again at the same size is the old one",
        "training/data/samples.py",
        "{status.st_size} {status.st_mtime_ns} {view_key}",
        "{status.st_size} {view_key}",
        (f"{CACHE}::test_a_clip_of_another_time_is_decoded_again_though_it_is_as_large",),
    ),
    Mutant(
        "a detector sees as many drawn scenes as it should see clips",
        "training/detector.py",
        "[1 - CORPUS_SHARE - DRAWN_SHARE, CORPUS_SHARE, DRAWN_SHARE]",
        "[1 - CORPUS_SHARE - DRAWN_SHARE, DRAWN_SHARE, CORPUS_SHARE]",
        (f"{DETECTOR}::test_of_a_hundred_views_57_are_photographs_35_clips_and_8_drawn",),
    ),
    Mutant(
        "a finished detector keeps its own scale of scores",
        "training/detector.py",
        '        calibrate(plain, recall["confidence"])\n',
        "",
        (f"{DETECTOR}::test_a_finished_detector_calls_nine_tenths_what_makes_few_mistakes",),
    ),
    Mutant(
        "pictures that are held out tell a detector's run from another",
        "training/detector.py",
        'if name.startswith("train/"):',
        "if True:",
        (f"{DETECTOR}::test_a_run_is_told_by_what_it_is_trained_on",),
    ),
    Mutant(
        "judging a generator changes its norms",
        "training/tasks/wav2lip_module.py",
        "discriminator=None).eval()",
        "discriminator=None)",
        (f"{GENERATOR}::test_judging_a_network_teaches_it_nothing",),
    ),
    Mutant(
        "samples show the last frame of each window",
        "training/tasks/wav2lip_module.py",
        "[to_uint8(faces[:, 0]) for faces in kinds]",
        "[to_uint8(faces[:, -1]) for faces in kinds]",
        (f"{GENERATOR}::test_samples_are_the_first_frames_of_their_windows",),
    ),
    Mutant(
        "the jaw of a drawn head does not drop",
        "training/drawn/face.py",
        "w, drop = head.face_width / 2, 0.045 * mouth_open",
        "w, drop = head.face_width / 2, 0.0",
        (f"{DRAWN}::test_the_box_of_a_face_is_from_hairline_to_chin_and_cheek_to_cheek",),
    ),
    Mutant(
        "drawn eyes look back where a head turns",
        "training/drawn/face.py",
        "gaze = 0.012 * pose.turn",
        "gaze = -0.012 * pose.turn",
        (f"{DRAWN}::test_eyes_look_where_the_head_turns",),
    ),
    Mutant(
        "a batch without faces has the background of one view",
        "training/objectives/detection.py",
        "+ NEGATIVES_AT_LEAST * len(samples)",
        "+ NEGATIVES_AT_LEAST",
        (f"{DETECTOR}::test_every_view_without_a_face_teaches_with_24_anchors",),
    ),
    Mutant(
        "strange sound belongs at the largest shift",
        "training/objectives/contrastive.py",
        "refused = torch.full_like(answers, 2 * most + 1)",
        "refused = torch.full_like(answers, 2 * most)",
        ("tests/test_objectives.py",),
    ),
    Mutant(
        "a negative cosine of a wrong pair is rewarded",
        "training/objectives/contrastive.py",
        "dim=2).clamp(min=0)",
        "dim=2)",
        ("tests/test_objectives.py",),
    ),
    Mutant(
        "rows of the picture of a table stand upside down",
        "training/table.py",
        "    axes[0].invert_yaxis()\n",
        "",
        (f"{TABLE}::test_picture_shows_every_figure_of_every_row",),
    ),
    Mutant(
        "in the picture of a table networks look like real videos",
        "training/table.py",
        '["tab:blue"] * len(rows) + ["tab:green"]',
        '["tab:green"] * len(rows) + ["tab:blue"]',
        (f"{TABLE}::test_picture_shows_every_figure_of_every_row",),
    ),
    Mutant(
        "pieces overlap by as many frames as they have seconds",
        "training/evaluate/agreement.py",
        "self.first < other.first + other.length_s * FRAME_RATE",
        "self.first < other.first + other.length_s",
        ("tests/test_pieces.py",),
    ),
    Mutant(
        "strange sound is of another clip of the same video",
        "training/evaluate_sync.py",
        "c.reference != clip.reference and",
        "c is not clip and",
        (f"{AGREED}::test_pairs_never_take_sound_of_the_same_video",),
    ),
    Mutant(
        "ties count for whom they are against",
        "training/evaluate_sync.py",
        "rankdata(np.concatenate([positive, negative]))",
        'rankdata(np.concatenate([positive, negative]), "min")',
        (f"{AGREED}::test_area_under_roc",),
    ),
    Mutant(
        "intervals of 95 % are those of 90 %",
        "training/evaluate/reliability_fit.py",
        "(0.025, 0.975)",
        "(0.05, 0.95)",
        (f"{FITTED}::test_an_interval_holds_95_of_a_hundred_draws",),
    ),
    Mutant(
        "the bias of a calibration is held at nought",
        "training/evaluate/reliability_fit.py",
        "penalty[0] = 0",
        "penalty[-1] = 0",
        (f"{FITTED}::test_the_bias_of_a_regression_is_free",),
    ),
    Mutant(
        "offsets at the edge of the search are a clip's own",
        "training/evaluate/reliability_fit.py",
        " and abs(middle) < vshift - TOLERANCE",
        "",
        (f"{FITTED}::test_clips_whose_pieces_disagree_are_not_measured",),
    ),
    Mutant(
        "TensorBoard loses the numbers of a checkpoint's own step",
        "training/loop/journal.py",
        "purge_step=step + 1",
        "purge_step=step",
        (
            "tests/test_training_words.py"
            "::test_tensorboard_drops_what_a_killed_run_wrote_after_its_checkpoint",
        ),
    ),
)
