"""Faults of what users are told: offsets near and far, steps, who speaks seconds late."""

from tests.mutants.mutant import Mutant

VERDICT = "tests/test_verdict.py"
EVIDENCE = "tests/test_evidence.py"
SPEAKERS = "tests/test_speakers.py"
HINT = "tests/test_correct_stage.py::test_a_lag_is_told_with_the_command_that_mends_it"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "what is reliable near needs no lead within five seconds",
        "pipeline/verdict/answer.py",
        "near = sureness(here, surplus(sync.offset_frames)) >= SURE_NEAR",
        "near = True",
        (f"{VERDICT}::test_both_searches_are_asked",),
    ),
    Mutant(
        "the near search has no say in what leads within five seconds",
        "pipeline/verdict/answer.py",
        "far = sureness(best, surplus(best.offset_frames)) >= SURE_FAR",
        "far = sureness(best, 0.0) >= SURE_FAR",
        (f"{VERDICT}::test_what_leads_too_little_needs_the_near_search_around_it",),
    ),
    Mutant(
        "clips too short for the search of five seconds are never reliable",
        "pipeline/verdict/answer.py",
        "if near and here is not None:",
        "near = near and here is not None\n    if near and here:",
        (f"{VERDICT}::test_too_short_a_clip_has_the_near_searchs_word_only",),
    ),
    Mutant(
        "the near search looks to the wrong side of an offset",
        "pipeline/sync/embedded.py",
        "source = np.arange(count) - offset_frames",
        "source = np.arange(count) + offset_frames",
        (f"{VERDICT}::test_surplus_is_of_the_distances_around_an_offset",),
    ),
    Mutant(
        "windows whose sound was moved away count",
        "pipeline/sync/embedded.py",
        "has_sound=inside & self.has_sound[source]",
        "has_sound=self.has_sound[source]",
        (f"{VERDICT}::test_surplus_is_of_the_distances_around_an_offset",),
    ),
    Mutant(
        "the lead of an offset is over its own neighbours, too",
        "pipeline/evidence/peak.py",
        "others = score[np.abs(np.arange(len(score)) - column) > NEIGHBOURS]",
        "others = np.delete(score, column)",
        (f"{EVIDENCE}::test_offsets_up_to_three_frames_away_are_the_same_answer",),
    ),
    Mutant(
        "few windows are as good as many",
        "pipeline/evidence/peak.py",
        "self.lead - LEAD_PER_WINDOW * max(0, MANY_WINDOWS - self.windows)",
        "self.lead",
        (f"{EVIDENCE}::test_an_offset_leads_by_as_much_as_others_stand_below_it",),
    ),
    Mutant(
        "a step is where a breath in a pause says",
        "pipeline/evidence/steps.py",
        "return float(np.average(between_s[around], weights=probable[around]))",
        "return float(between_s[gains.argmax()])",
        (f"{EVIDENCE}::test_a_step_somewhere_in_a_long_pause_is_in_its_middle",),
    ),
    Mutant(
        "who speaks is said as if every sound were near",
        "pipeline/speakers/evidence.py",
        "column - shifts // 2 - offset_frames",
        "column - shifts // 2",
        (f"{SPEAKERS}::test_a_face_whose_sound_is_seconds_late_speaks_when_it_is_heard",),
    ),
    Mutant(
        "any shift is as good as the expected one for who speaks",
        "pipeline/speakers/decide.py",
        "LEAST_NEAR_STANDING if _expected(candidate, faces[number]) else LEAST_STANDING",
        "LEAST_NEAR_STANDING",
        (f"{SPEAKERS}::test_a_face_stands_out_sooner_where_its_sound_is_expected",),
    ),
    Mutant(
        "a face shorter than the search is expected where there alone is sound",
        "pipeline/speakers/decide.py",
        "return windows >= shifts and abs",
        "return abs",
        (f"{SPEAKERS}::test_a_face_stands_out_sooner_where_its_sound_is_expected",),
    ),
    Mutant(
        "lips that cannot tell speak against their face",
        "pipeline/speakers/evidence.py",
        "np.where(own == 0, 0.0, steepness",
        "np.where(own == 9, 0.0, steepness",
        (f"{SPEAKERS}::test_clear_lips_are_believed_and_refused_sooner",),
    ),
    Mutant(
        "all faces' lips are taken to be as clear",
        "pipeline/speakers/evidence.py",
        "    speech = OWN_WEIGHT * mean + (1 - OWN_WEIGHT) * OWN_MEAN\n",
        "    speech = OWN_MEAN\n",
        (f"{SPEAKERS}::test_clear_lips_are_believed_and_refused_sooner",),
    ),
    Mutant(
        "faces a second apart help each other",
        "pipeline/speakers/decide.py",
        "every[number].column - faces[number].offset_frames",
        "every[number].column",
        (f"{SPEAKERS}::test_faces_agree_by_their_whole_offset",),
    ),
    Mutant(
        "a face with a wide offset is compared near for who speaks",
        "pipeline/sync/stage.py",
        'if judged.answer and judged.answer.search == "wide":',
        "if False:",
        (f"{VERDICT}::test_who_speaks_is_asked_around_the_wide_offset",),
    ),
    Mutant(
        "nobody is told how to mend what is late",
        "run_syncnet.py",
        'if not verdict.reliable or verdict.verdict == "in_sync":',
        "if True:",
        (HINT,),
    ),
    Mutant(
        "a video in sync is to be mended",
        "run_syncnet.py",
        'if not verdict.reliable or verdict.verdict == "in_sync":',
        "if not verdict.reliable:",
        (HINT,),
    ),
)
