"""Faults of the calibration that the suite must notice."""

from tests.mutants.mutant import Mutant

TESTS = "tests/test_reliability.py"
STEP = "tests/test_training_step.py"

MUTANTS: tuple[Mutant, ...] = (
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
        "polyval(self.octaves(windows), self.threshold)",
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
)
