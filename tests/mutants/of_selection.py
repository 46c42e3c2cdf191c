"""Faults of the choice among own mouths: what each costs, and each step between two."""

from tests.mutants.mutant import Mutant

SELECTION = "pipeline/texture/selection.py"

COSTS = "tests/test_own_mouth_costs.py"
TEXTURE = "tests/test_texture.py"
FIT = "tests/test_texture_fit.py"

MEDIANS = f"{COSTS}::test_pose_and_surroundings_cost_their_weight_in_their_own_medians"
UNITS = f"{COSTS}::test_sound_and_lips_cost_the_same_in_any_unit"
PAUSES = f"{COSTS}::test_a_closed_mouth_is_known_from_enough_pauses"
OPENING = f"{COSTS}::test_a_wrong_opening_costs_its_weight_as_far_as_hearing_is_trusted"
HEARD = f"{COSTS}::test_what_is_heard_does_not_depend_on_the_unit_of_the_sound"
STEPS = f"{COSTS}::test_a_step_to_another_mouth_costs_by_shape_and_always"
GOES_ON = f"{COSTS}::test_a_path_goes_on_from_the_mouth_before_it"

MUTANTS: tuple[Mutant, ...] = (
    # Which own mouth is chosen.
    Mutant(
        "pose weighs as much as surroundings",
        SELECTION,
        "weights.pose * squared(frames.pose",
        "weights.surroundings * squared(frames.pose",
        (MEDIANS,),
    ),
    Mutant(
        "another pose costs nothing",
        SELECTION,
        "    cost += weights.pose * squared(frames.pose, own.pose) / unit.pose\n",
        "",
        (MEDIANS,),
    ),
    Mutant(
        "other surroundings cost nothing",
        SELECTION,
        "    cost += weights.surroundings * around\n",
        "",
        (MEDIANS,),
    ),
    Mutant(
        "the contrast of a video decides how much its pose weighs",
        SELECTION,
        "squared(frames.pose, own.pose) / unit.pose",
        "squared(frames.pose, own.pose)",
        (MEDIANS,),
    ),
    Mutant(
        "pose is measured by the surroundings' median",
        SELECTION,
        "(own.shape, own.pose, own.surroundings, own.sound)",
        "(own.shape, own.surroundings, own.pose, own.sound)",
        (MEDIANS,),
    ),
    Mutant(
        "the size of an embedding decides how much lips weigh",
        SELECTION,
        "heard / np.median(heard)",
        "heard",
        (UNITS,),
    ),
    Mutant(
        "the size of an embedding decides how much sound weighs",
        SELECTION,
        "squared(frames.sound, own.sound) / unit.sound",
        "squared(frames.sound, own.sound)",
        (UNITS,),
    ),
    Mutant(
        "medians are those of a track's beginning",
        SELECTION,
        "values[:: max(1, len(values) // 200)]",
        "values[:200]",
        (f"{COSTS}::test_medians_are_of_own_mouths_from_all_of_a_track",),
    ),
    Mutant(
        "mouths that are all alike divide by nought",
        SELECTION,
        "float(np.median(squared(some, some))) or 1.0",
        "float(np.median(squared(some, some)))",
        (UNITS,),
    ),
    Mutant(
        "one noise says how a closed mouth looks",
        SELECTION,
        "own.pause.sum() >= LEAST_PAUSES",
        "own.pause.any()",
        (PAUSES,),
    ),
    Mutant(
        "in pauses the weight of shapes is left out",
        SELECTION,
        "cost[frames.pause] = weights.shape * squared",
        "cost[frames.pause] = squared",
        (PAUSES,),
    ),
    Mutant(
        "a wrong opening costs twice",
        SELECTION,
        "(2 * own.opening.var())",
        "own.opening.var()",
        (OPENING,),
    ),
    Mutant(
        "hearing that tells little weighs as much as one that tells all",
        SELECTION,
        "np.float32(weights.opening * hearing.trust)",
        "np.float32(weights.opening)",
        (OPENING,),
    ),
    Mutant(
        "sound alone says how far a mouth opens",
        SELECTION,
        "return (drawn + _ranked(hearing.openings(frames.sound), hearing.told, own.opening)) / 2",
        "return _ranked(hearing.openings(frames.sound), hearing.told, own.opening)",
        (f"{COSTS}::test_sound_and_generator_say_together_how_far_a_mouth_opens",),
    ),
    Mutant(
        "a generator's openings are ranked in the order of its frames",
        SELECTION,
        "np.sort(openings))",
        "openings)",
        (f"{COSTS}::test_openings_are_ranked_among_all_of_the_generators_in_any_order",),
    ),
    Mutant(
        "what is told of own frames is ranked in their order",
        SELECTION,
        "told=np.sort(told)",
        "told=told",
        (HEARD,),
    ),
    Mutant(
        "a quiet sound tells less of the mouth than a loud one",
        SELECTION,
        "RIDGE * np.trace(gram) / len(gram) * np.eye",
        "RIDGE * np.eye",
        (HEARD,),
    ),
    Mutant(
        "what is heard is told of frames beside those it was learned from",
        SELECTION,
        "(every < part[0] - APART_FRAMES) | (every > part[-1] + APART_FRAMES)",
        "(every < part[0]) | (every > part[-1])",
        (f"{COSTS}::test_frames_beside_a_part_do_not_teach_what_is_heard_there",),
    ),
    Mutant(
        "the usual own mouth is far from the generator's",
        SELECTION,
        "real = own.shape - own.shape.mean(axis=0)",
        "real = own.shape",
        (f"{TEXTURE}::test_lips_are_closed_in_pauses",),
    ),
    Mutant(
        "a generator that hardly varies asks for even less",
        SELECTION,
        "real / max(made, 1e-3)",
        "made / max(real, 1e-3)",
        (f"{TEXTURE}::test_shapes_are_compared_as_deviations_from_their_own_means",),
    ),
    Mutant(
        "a generator that draws one mouth is an internal error",
        SELECTION,
        "real / max(made, 1e-3)",
        "real / made",
        (f"{FIT}::test_own_pauses_say_how_far_a_mouth_is_open_in_pauses",),
    ),
    Mutant(
        "own mouths of half a second ago bring the old words back",
        SELECTION,
        "LEAST_APART_S = 1.0",
        "LEAST_APART_S = 0.5",
        (f"{TEXTURE}::test_the_moment_itself_is_never_chosen",),
    ),
    Mutant(
        "a step between like mouths costs nothing",
        SELECTION,
        " + np.float32(weights.join)\n",
        "\n",
        (STEPS,),
    ),
    Mutant(
        "a step between unlike mouths costs no more than one between like ones",
        SELECTION,
        "np.float32(weights.join_shape) * apart",
        "np.float32(0) * apart",
        (STEPS,),
    ),
    Mutant(
        "the contrast of a video decides how often mouths are changed",
        SELECTION,
        "squared(own.shape, own.shape) / unit.shape",
        "squared(own.shape, own.shape)",
        (STEPS,),
    ),
    Mutant(
        "a path never goes on from the first mouth",
        SELECTION,
        "if first is not None:",
        "if first:",
        (GOES_ON,),
    ),
    Mutant(
        "between two blocks the following mouth costs a step",
        SELECTION,
        "steps[following[first]] = 0",
        "pass",
        (GOES_ON,),
    ),
    Mutant(
        "after minutes small costs are rounded away",
        SELECTION,
        "        total -= total.min()  # keeps float32 exact along hours\n",
        "",
        (f"{COSTS}::test_a_long_path_is_as_exact_as_a_short_one",),
    ),
)
