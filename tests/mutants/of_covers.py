"""Faults of the detector's views and its --init, and of the pairs an expert is asked about."""

from tests.mutants.mutant import Mutant

COVERS = "training/batches/covers.py"
VIEWS = "training/batches/face_samples.py"
DETECTOR = "training/detector.py"
OF_COVERS = "tests/test_covers.py"
OF_VIEWS = "tests/test_face_samples.py"
ROWS = "tests/test_training_flags_tools.py"
TURNED = f"{OF_VIEWS}::test_turned_views_keep_boxes_on_the_middles_of_what_they_mark"
DIM = f"{OF_VIEWS}::test_a_tenth_of_the_views_is_in_dim_light"

PAIRS = (
    "tests/test_training_evaluations.py"
    "::test_pairs_are_all_windows_five_frames_away_and_ties_count_half"
)
EVALUATION = "training/evaluate_expert.py"

MUTANTS = (
    Mutant(
        "pairs of windows that overlap count",
        EVALUATION,
        "far = np.abs(starts[:, None] - starts) >= EXPERT_FRAMES\n    cosine",
        "far = np.abs(starts[:, None] - starts) > 0\n    cosine",
        (PAIRS,),
    ),
    Mutant(
        "pairs that score the same count as won",
        EVALUATION,
        "(cosine == own) / 2",
        "(cosine == own)",
        (PAIRS,),
    ),
    Mutant(
        "mouths are compared, not sounds",
        EVALUATION,
        "cosine = mouths @ sound.T",
        "cosine = sound @ mouths.T",
        (PAIRS,),
    ),
    Mutant(
        "masks hide the eyes",
        COVERS,
        "top, sides, chin = rng.uniform(0.42, 0.58)",
        "top, sides, chin = rng.uniform(0.12, 0.28)",
        (f"{OF_COVERS}::test_masks_lie_on_nose_and_chin_and_leave_the_eyes",),
    ),
    Mutant(
        "all masks are white",
        COVERS,
        "MASK_COLOURS[rng.integers(len(MASK_COLOURS))]",
        "MASK_COLOURS[0]",
        (f"{OF_COVERS}::test_masks_lean_to_either_side_and_differ_in_colour",),
    ),
    Mutant(
        "dark glasses have one lens",
        COVERS,
        "for centre in (0.27, 0.73):",
        "for centre in (0.27,):",
        (f"{OF_COVERS}::test_dark_glasses_lie_on_the_eyes_and_leave_the_mouth",),
    ),
    Mutant(
        "hands come from above only",
        COVERS,
        "towards = rng.uniform(0, 2 * np.pi)\n    way",
        "towards = np.pi / 2\n    way",
        (f"{OF_COVERS}::test_hands_and_held_things_hide_a_part_of_the_face",),
    ),
    Mutant(
        "tiny faces are covered whole",
        COVERS,
        ">= LEAST_FACE_PX and rng.random()",
        ">= 0 and rng.random()",
        (f"{OF_COVERS}::test_each_chance_draws_its_own_kind",),
    ),
    Mutant(
        "what is drawn beside faces lies on them",
        COVERS,
        "        if apart.all():\n",
        "        if apart.size:\n",
        (f"{OF_COVERS}::test_a_place_without_a_face_is_found_or_none_is_taken",),
    ),
    Mutant(
        "pictures are lettered by the chance of a cover elsewhere",
        COVERS,
        "    if rng.random() < LETTERED:",
        "    if rng.random() < ELSEWHERE:",
        (f"{OF_COVERS}::test_each_chance_draws_its_own_kind",),
    ),
    Mutant(
        "boxes of a turned view stay where they were",
        VIEWS,
        "middles = middles @ turn[:, :2].T + turn[:, 2]",
        "middles = middles @ np.eye(2)",
        (TURNED,),
    ),
    Mutant(
        "boxes of a turned view turn the other way",
        VIEWS,
        "middles = middles @ turn[:, :2].T + turn[:, 2]",
        "middles = middles @ turn[:, :2] + turn[:, 2]",
        (TURNED,),
    ),
    Mutant(
        "dim light has no noise",
        VIEWS,
        "dark = (image * gain + noise)",
        "dark = (image * gain)",
        (DIM,),
    ),
    Mutant(
        "dim light is never lifted",
        VIEWS,
        "if rng.random() < 0.5 else dark",
        "if rng.random() < 0 else dark",
        (DIM,),
    ),
    Mutant(
        "every view is dim",
        VIEWS,
        "    if rng.random() < DIM:",
        "    if rng.random() < 1:",
        (DIM,),
    ),
    Mutant(
        "light always comes from the left",
        VIEWS,
        "towards = rng.uniform(0, 2 * np.pi)",
        "towards = 0.0",
        (f"{OF_VIEWS}::test_light_from_one_side_falls_off_across_the_picture",),
    ),
    Mutant(
        "a detector's --init is read and not used",
        DETECTOR,
        "            weights.fill(task.network, options.init)",
        "            weights.fill(s3fd.S3FD(s3fd.SMALL), options.init)",
        (f"{ROWS}::test_tool_flag_gives_each_value_its_own_result[detector-init]",),
    ),
    Mutant(
        "a detector that goes on from weights normalises anew",
        DETECTOR,
        "batch_norm=options.init is None)",
        "batch_norm=True)",
        (f"{ROWS}::test_tool_flag_gives_each_value_its_own_result[detector-init]",),
    ),
)
