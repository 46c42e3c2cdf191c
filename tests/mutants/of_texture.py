"""Faults of own mouths: which is chosen, where it is refused, how it is measured."""

from tests.mutants.mutant import Mutant

FIT, FIGURES = "tests/test_texture_fit.py", "tests/test_mouth_figures.py"
TOOLS = "tests/test_training_flags_tools.py"
SELECTION, SENTENCE = "pipeline/texture/selection.py", "pipeline/texture/sentence.py"
MOUTH_FIGURES = "training/evaluate/mouth_figures.py"
TRUSTED = f"{FIT}::test_hearing_is_trusted_as_far_as_it_tells_what_it_has_not_learned_from"
REFUSED = f"{FIT}::test_frames_where_own_pixels_do_not_fit_are_refused"
OPENINGS = f"{FIGURES}::test_openings_are_compared_frame_by_frame"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "how far a mouth opens at a sound is told of frames it was learned from",
        SELECTION,
        "_line(own.sound[far], own.opening[far])",
        "_line(own.sound, own.opening)",
        (TRUSTED,),
    ),
    Mutant(
        "hearing that contradicts itself is trusted",
        SELECTION,
        "trust=max(agreed, 0.0) ** 2",
        "trust=agreed**2",
        (TRUSTED,),
    ),
    Mutant(
        "own mouths may be open as they like",
        SELECTION,
        "    if hearing.trust:\n",
        "    if False:\n",
        (f"{FIT}::test_lips_close_where_the_sound_says_so",),
    ),
    Mutant(
        "what is heard does not say how far the mouth opens",
        SELECTION,
        "if frames.sound is None or not hearing.trust:",
        "if True:",
        (f"{FIT}::test_own_pauses_say_how_far_a_mouth_is_open_in_pauses",),
    ),
    Mutant(
        "in pauses the mouth is as open as its noise says",
        SELECTION,
        "opening[frames.pause] = np.median(own.opening[own.pause])",
        "pass",
        (f"{FIT}::test_own_pauses_say_how_far_a_mouth_is_open_in_pauses",),
    ),
    Mutant(
        "a prediction is taken as it is, and no mouth closes",
        SELECTION,
        "return np.quantile(own, rank / max(len(among), 1)).astype(np.float32)",
        "return np.asarray(values, np.float32)",
        (f"{FIT}::test_ranks_stand_for_the_own_values_of_the_same_rank",),
    ),
    Mutant(
        "own mouths are laid on faces that are turned away",
        SENTENCE,
        "alike < LEAST_POSE_FIT",
        "alike < -1",
        (f"{REFUSED}[turned]",),
    ),
    Mutant(
        "sharp mouths are laid on blurred faces",
        SENTENCE,
        "sharp < LEAST_DETAIL",
        "sharp < 0",
        (f"{REFUSED}[blurred]",),
    ),
    Mutant(
        "mouths are laid on hands",
        SENTENCE,
        "self._strange() > MOST_STRANGE",
        "self._strange() > np.inf",
        (f"{REFUSED}[covered]",),
    ),
    Mutant(
        "blur along one axis is not seen",
        SENTENCE,
        "float(sharp.min())",
        "float(sharp.max())",
        (f"{REFUSED}[blurred]",),
    ),
    Mutant(
        "the generator's mouth comes at once",
        SENTENCE,
        ".clip(0, FADED_FRAMES + 1) / (FADED_FRAMES + 1)",
        ".clip(0, 1)",
        (f"{FIT}::test_mouths_fade_before_and_after_what_is_refused",),
    ),
    Mutant(
        "own mouths come back for three frames",
        SENTENCE,
        "since + until <= BRIDGED_FRAMES",
        "since + until < 0",
        (f"{FIT}::test_own_mouths_do_not_come_back_for_a_moment",),
    ),
    Mutant(
        "a mouth that fades is not mixed with the generator's",
        "pipeline/texture/compose.py",
        "np.float32(own.shown)\n",
        "np.float32(1)\n",
        (f"{FIT}::test_the_generators_mouth_comes_and_goes_smoothly[blurred]",),
    ),
    Mutant(
        "nobody is told why frames are refused",
        "pipeline/dubbing/stage.py",
        'texture["refused"].items():',
        "{}.items():",
        (f"{REFUSED}[covered]",),
    ),
    Mutant(
        "a mouth is closed only on the very frame",
        MOUTH_FIGURES,
        "np.ones(3, bool)",
        "np.ones(1, bool)",
        (OPENINGS,),
    ),
    Mutant(
        "open mouths are measured where they should be closed",
        MOUTH_FIGURES,
        'figures["open_missed"] = float(shut[opened].mean())',
        'figures["open_missed"] = float(shut[closed].mean())',
        (OPENINGS,),
    ),
    Mutant(
        "every judge is an independent one",
        "training/evaluate_mouths.py",
        "judge.sha256 == chooser.sha256",
        "False",
        (f"{TOOLS}::test_tool_flag_gives_each_value_its_own_result[evaluate_mouths-texture]",),
    ),
)
