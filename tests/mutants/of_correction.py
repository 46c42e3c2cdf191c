"""Faults of corrected copies that the suite must notice."""

from tests.mutants.mutant import Mutant

PLAN = "tests/test_correct_plan.py"
MEDIA = "tests/test_correct.py"
STAGE = "tests/test_correct_stage.py"

MUTANTS = (
    Mutant(
        "drift is played the wrong way",
        "pipeline/correction/plan.py",
        "speed=1 - verdict",
        "speed=1 + verdict",
        (f"{PLAN}::test_drift_is_played_at_another_speed",),
    ),
    Mutant(
        "shots without a reliable offset are not moved",
        "pipeline/correction/plan.py",
        "            return part.offset_ms\n    return nearest",
        "            return 0.0\n    return nearest",
        (f"{PLAN}::test_each_shot_by_its_own",),
    ),
    Mutant(
        "near steps are moved by the first one's offset",
        "pipeline/correction/plan.py",
        "mean_ms += (offset_ms - mean_ms)",
        "mean_ms += 0 * (offset_ms - mean_ms)",
        (f"{PLAN}::test_steps_are_moved_piece_by_piece_and_near_ones_together",),
    ),
    Mutant(
        "moved sound is a sample late",
        "pipeline/correction/sound.py",
        "yield sound.read(first - delay,",
        "yield sound.read(first - delay - 1,",
        (f"{MEDIA}::test_what_was_without_loss_stays_so",),
    ),
    Mutant(
        "a faster sound ends early",
        "pipeline/correction/sound.py",
        "round(sound.samples * plan.speed) + FILTER_TAPS",
        "sound.samples",
        (f"{MEDIA}::test_drift_is_resampled_exactly",),
    ),
    Mutant(
        "what an encoder adds is heard in AVI",
        "pipeline/correction/mux.py",
        "0 if job.container.marks_lead else encoding",
        "0 if True else encoding",
        (f"{MEDIA}::test_sound_is_moved_by_the_sample",),
    ),
    Mutant(
        "a copy may lie on its side",
        "pipeline/correction/mux.py",
        "if read_header(job.target).turned != job.header.turned:",
        "if False:",
        (f"{MEDIA}::test_what_a_container_cannot_hold_is_said",),
    ),
    Mutant(
        "further sounds are not moved",
        "pipeline/correction/mux.py",
        'f"{files}:a:0"',
        '"1:a:0"',
        (f"{MEDIA}::test_every_sound_is_moved_and_as_loud_as_before",),
    ),
    Mutant(
        "the video itself is overwritten",
        "pipeline/correction/stage.py",
        "if out.exists() and out.samefile(source):",
        "if False:",
        (f"{STAGE}::test_the_video_itself_is_not_overwritten",),
    ),
    Mutant(
        "another video is taken for the one that was scored",
        "pipeline/correction/stage.py",
        "if not is_file_of(path, identity):",
        "if False:",
        (f"{STAGE}::test_a_video_that_was_moved_is_taken_from_where_it_is",),
    ),
    Mutant(
        "the first sound is scored again, whichever it was",
        "pipeline/correction/stage.py",
        "    return copy.sounds[number]",
        "    return 0",
        (f"{STAGE}::test_the_sound_that_was_scored_is_scored_again",),
    ),
    Mutant(
        "what cannot be told keeps every standard",
        "pipeline/correction/qc.py",
        "WITHIN, OUTSIDE, UNKNOWN = 0, 3, 4",
        "WITHIN, OUTSIDE, UNKNOWN = 0, 3, 0",
        (f"{PLAN}::test_standards_in_words",),
    ),
    Mutant(
        "missing stretches keep their time when the sound is stretched",
        "pipeline/correction/again.py",
        "start_s / plan.speed + move.delay_s",
        "start_s + move.delay_s",
        (f"{PLAN}::test_where_moved_sound_is_missing",),
    ),
    Mutant(
        "a missing stretch reaches over the next move",
        "pipeline/correction/again.py",
        "min(until_s, stop_s / plan.speed + move.delay_s)",
        "stop_s / plan.speed + move.delay_s",
        (f"{PLAN}::test_where_moved_sound_is_missing",),
    ),
    Mutant(
        "a poor sound is encoded as poorly once more",
        "pipeline/correction/container.py",
        "max(own_kbps or 0, encoder.least_kbps * sound.channels)",
        "own_kbps or encoder.least_kbps * sound.channels",
        (f"{MEDIA}::test_sound_is_encoded_well_enough_to_be_encoded_twice",),
    ),
    Mutant(
        "six channels share the bit rate of one",
        "pipeline/correction/container.py",
        "encoder.least_kbps * sound.channels",
        "encoder.least_kbps",
        (f"{MEDIA}::test_sound_is_encoded_well_enough_to_be_encoded_twice",),
    ),
)
