"""Faults of the calibration that the suite must notice."""

from tests.mutants.mutant import Mutant

TESTS = "tests/test_reliability.py"
STEP = "tests/test_training_step.py"
ZERO = "tests/test_zero.py"
CALIBRATE = "tests/test_calibrate.py"
FLAGS = "tests/test_training_flags.py::test_training_flag_gives_each_value_its_own_result"
JUDGE = (
    "tests/test_lip_judge.py"
    "::test_real_lips_and_sound_are_those_that_the_judge_has_of_the_whole_clip"
)

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "silence may be relied on",
        "pipeline/sync/reliability.py",
        "    if not audible_share:",
        "    if audible_share < 0:",
        (f"{TESTS}::test_silence_is_never_relied_on",),
    ),
    Mutant(
        "a short clip without a calibration needs no more margin than a long one",
        "pipeline/sync/offset.py",
        "max(1.0, REFERENCE_WINDOWS / np.count_nonzero(has_sound)) ** 0.5",
        "1.0",
        (f"{TESTS}::test_without_calibration_shorter_clips_need_more_margin",),
    ),
    Mutant(
        "an offset at the edge of the search is reliable where the calibration says so",
        "pipeline/sync/offset.py",
        "reliable = bool(sure and not at_edge)",
        "reliable = bool(sure)",
        (f"{TESTS}::test_offset_at_search_edge_is_not_reliable_whatever_its_probability",),
    ),
    Mutant(
        "a narrower search than was fitted is trusted",
        "pipeline/sync/reliability.py",
        "shifts // 2 >= calibration.vshift and windows",
        "windows",
        (f"{TESTS}::test_a_narrower_search_or_shorter_clip_than_fitted_is_not_reliable",),
    ),
    Mutant(
        "the threshold is not that of the length",
        "models/calibration.py",
        "polyval(octaves, self.threshold)",
        "polyval(0.0, self.threshold)",
        (f"{TESTS}::test_foreign_sound_passes_as_rarely_as_promised_on_other_people",),
    ),
    Mutant(
        "a tenth of foreign sound may be called reliable",
        "training/evaluate/reliability_fit.py",
        "FOREIGN_SHARE = 0.01",
        "FOREIGN_SHARE = 0.1",
        (f"{TESTS}::test_foreign_sound_passes_as_rarely_as_promised_on_other_people",),
    ),
    Mutant(
        "intervals are over pieces, not people",
        "training/evaluate/reliability_fit.py",
        "        by_person[person].append(value)",
        "        by_person[f'{person}{len(by_person)}'].append(value)",
        (f"{TESTS}::test_intervals_are_over_people_not_pieces",),
    ),
    Mutant(
        "the weights of the lengths are left out of the probability",
        "models/calibration.py",
        "scaled * octaves, [octaves, octaves**2]",
        "0 * scaled * octaves, [octaves, octaves**2]",
        (f"{TESTS}::test_probability_is_the_logistic_of_the_weighted_numbers",),
    ),
    Mutant(
        "an export without calibration calls offsets reliable",
        "models/syncnet_config.py",
        "least = self.reliable_confidence if self.is_calibrated else math.inf",
        "least = self.reliable_confidence",
        (f"{STEP}::test_export_with_few_people_calls_nothing_reliable_and_says_so",),
    ),
    Mutant(
        "the calibration is reported on the people it was fitted on",
        "training/tasks/calibration.py",
        "reliability_fit.table(measured[1]",
        "reliability_fit.table(measured[0]",
        (f"{STEP}::test_export_makes_confidence_3_mean_reliable",),
    ),
    Mutant(
        "the calibration does not grow with the embeddings",
        "training/tasks/calibration.py",
        "calibration=calibration.rescaled(factor, scaled)",
        "calibration=calibration",
        (f"{STEP}::test_export_makes_confidence_3_mean_reliable",),
    ),
    Mutant(
        "a person may be on both sides",
        "training/data/people.py",
        "    if both:",
        "    if len(both) > 1:",
        (f"{TESTS}::test_one_person_on_both_sides_is_refused",),
    ),
    Mutant(
        "sound is moved against the zero",
        "models/features.py",
        "_mirrored(at - delay_samples, len(samples))",
        "_mirrored(at + delay_samples, len(samples))",
        (f"{ZERO}::test_delayed_sound_is_heard_so_much_later_in_as_many_columns",),
    ),
    Mutant(
        "a network does not hear its zero",
        "pipeline/sync/embeddings.py",
        "delay_samples=config.zero_samples",
        "delay_samples=0",
        (f"{ZERO}::test_network_hears_its_sound_delayed_by_its_zero",),
    ),
    Mutant(
        "the zero is counted at 8 kHz",
        "models/syncnet_config.py",
        "round(self.zero_ms * SAMPLE_RATE / 1000)",
        "round(self.zero_ms * SAMPLE_RATE / 2000)",
        (f"{ZERO}::test_zero_is_of_the_weights_and_not_of_the_network",),
    ),
    Mutant(
        "another zero makes another network",
        "models/syncnet_config.py",
        ', "zero_ms": 0.0}',
        "}",
        (f"{ZERO}::test_zero_is_of_the_weights_and_not_of_the_network",),
    ),
    Mutant(
        "a new zero is set by what is heard with the earlier one",
        "training/evaluate/judging.py",
        "    model.config = replace(model.config, zero_ms=0.0)\n",
        "",
        (f"{ZERO}::test_zero_is_the_median_person_in_sync",),
    ),
    Mutant(
        "every clip counts the same for the zero",
        "training/evaluate/judging.py",
        "zero_ms = round(population_lag(clear), 1)",
        "zero_ms = round(float(np.median([clip.offset_ms for clip in clear])), 1)",
        (f"{ZERO}::test_zero_is_the_median_person_in_sync",),
    ),
    Mutant(
        "clips without a clear lag count for the zero",
        "training/evaluate/judging.py",
        "if len(clear) < FEWEST_IN_SYNC:",
        "if len(clips) < FEWEST_IN_SYNC:",
        (f"{ZERO}::test_zero_takes_clips_that_are_clear_and_in_sync",),
    ),
    Mutant(
        "a zero far below is taken",
        "training/evaluate/judging.py",
        "if abs(zero_ms) > LARGEST_ZERO_MS:",
        "if zero_ms > LARGEST_ZERO_MS:",
        (f"{ZERO}::test_zero_takes_clips_that_are_clear_and_in_sync",),
    ),
    Mutant(
        "training goes on with the zero of its weights",
        "training/tasks/syncnet.py",
        "    model.config = replace(model.config, zero_ms=0.0)\n",
        "",
        (f"{FLAGS}[train_syncnet-init]",),
    ),
    Mutant(
        "a judge of drawn lips does not hear its zero",
        "training/objectives/lip_judge.py",
        " + round(config.zero_ms * MFCC_RATE / 1000)",
        "",
        (JUDGE,),
    ),
    Mutant(
        "recordings in sync set no zero",
        "training/calibrate.py",
        "        zero = _zero(model, in_sync, args.in_sync, device=device)\n",
        "        zero = {}\n",
        (f"{CALIBRATE}::test_recordings_in_sync_set_the_zero_before_anything_is_measured",),
    ),
    Mutant(
        "nobody says who is on recordings in sync",
        "training/calibrate.py",
        "selection.with_people(clips, folders)",
        "clips",
        (f"{CALIBRATE}::test_recordings_in_sync_set_the_zero_before_anything_is_measured",),
    ),
    Mutant(
        "a calibration of before the smallest distance is read as one of today",
        "models/calibration.py",
        "numbers[: len(self.means)]",
        "numbers",
        (f"{TESTS}::test_a_calibration_of_before_the_smallest_distance_still_holds",),
    ),
    Mutant(
        "the smallest distance does not grow with the embeddings",
        "pipeline/sync/reliability.py",
        '"curvature", "min_dist")',
        '"curvature")',
        (f"{TESTS}::test_a_calibration_of_before_the_smallest_distance_still_holds",),
    ),
    Mutant(
        "an own piece placed wrongly weighs as one of others",
        "training/evaluate/reliability_fit.py",
        "WRONG_WEIGHT = 12.0",
        "WRONG_WEIGHT = 1.0",
        (f"{TESTS}::test_an_own_piece_placed_wrongly_weighs_as_twelve_of_others",),
    ),
    Mutant(
        "the smallest distance is that of a single window",
        "pipeline/sync/reliability.py",
        "            mean[best],\n",
        "            dists.min(),\n",
        (f"{TESTS}::test_numbers_are_those_of_the_matrix",),
    ),
    Mutant(
        "an offset that is likelier wrong than right is reliable",
        "models/calibration.py",
        "return max(0.0, float(",
        "return max(-99.0, float(",
        (f"{TESTS}::test_an_offset_likelier_wrong_than_right_is_not_reliable",),
    ),
)
