"""Faults of constants, windows and defaults: a number or a boundary that is another."""

from tests.mutants.mutant import Mutant

NUMBERS = "tests/test_sync_numbers.py"
INPUT = "tests/test_network_input.py"
MOUTHS = "tests/test_mouths.py"
MP4 = "tests/test_mp4.py"
VISUALISE = "tests/test_visualise.py"
RUNS = "tests/test_dub_runs.py"
DEFAULTS = "tests/test_flags.py::test_defaults_are_those_of_the_demo"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "windows without sound have framewise confidence",
        "pipeline/sync.py",
        "np.where(heard, np.median(mean) - dists[:, best], 0)",
        "(np.median(mean) - dists[:, best])",
        (f"{NUMBERS}::test_unheard_windows_have_no_say_and_no_confidence",),
    ),
    Mutant(
        "sound that is missing counts in the mean per shift",
        "pipeline/sync.py",
        "inside &= heard[source.clip(0, windows - 1)]",
        "pass",
        (f"{NUMBERS}::test_valid_mean_leaves_out_windows_compared_with_missing_sound",),
    ),
    Mutant(
        "pieces with a gap have a say in the drift",
        "pipeline/sync.py",
        "if heard[start : start + size].all()",
        "if True",
        (f"{NUMBERS}::test_drift_takes_pieces_without_a_gap_only",),
    ),
    Mutant(
        "a window is unheard where its sound begins to be missing",
        "pipeline/sync.py",
        "starts_s + WINDOW_FRAMES / FRAME_RATE <= end_s",
        "starts_s <= end_s",
        (f"{NUMBERS}::test_window_is_unheard_where_all_of_its_sound_is_missing",),
    ),
    Mutant(
        "confidence of frames falls to zero at a track's ends",
        "pipeline/sync.py",
        'running_median(windowed, CONFIDENCE_FRAMES, edges="edge")',
        'running_median(windowed, CONFIDENCE_FRAMES, edges="constant")',
        (f"{NUMBERS}::test_confidence_of_frames_is_a_median_that_repeats_its_ends",),
    ),
    Mutant(
        "confidence of frames is not steadied",
        "pipeline/sync.py",
        'steady = running_median(windowed, CONFIDENCE_FRAMES, edges="edge")',
        "steady = windowed",
        (f"{NUMBERS}::test_confidence_of_frames_is_a_median_that_repeats_its_ends",),
    ),
    Mutant(
        "confidence of frames is at 25 per second always",
        "pipeline/sync.py",
        "at_25 = np.rint(np.arange(frames) * (FRAME_RATE / frame_rate)).astype(int)",
        "at_25 = np.arange(frames)",
        (f"{NUMBERS}::test_confidence_of_frames_follows_their_clock",),
    ),
    Mutant(
        "speech is steadied over 0.4 s",
        "pipeline/speaking.py",
        "STEADY_S = 1.0",
        "STEADY_S = 0.4",
        (f"{NUMBERS}::test_pauses_of_four_tenths_of_a_second_part_speech",),
    ),
    Mutant(
        "pauses of less than a second are closed",
        "pipeline/speaking.py",
        "SHORTEST_S = 0.4",
        "SHORTEST_S = 1.0",
        (f"{NUMBERS}::test_pauses_of_four_tenths_of_a_second_part_speech",),
    ),
    Mutant(
        "pauses are counted at 25 frames per second always",
        "pipeline/speaking.py",
        "round(SHORTEST_S * frame_rate)",
        "round(SHORTEST_S * FRAME_RATE)",
        (f"{NUMBERS}::test_pauses_of_four_tenths_of_a_second_part_speech",),
    ),
    Mutant(
        "it takes ten seconds to be a speaker",
        "pipeline/speaking.py",
        "STRETCH_S, STRETCH_STEP_S = 5.0, 1.0",
        "STRETCH_S, STRETCH_STEP_S = 10.0, 1.0",
        (f"{NUMBERS}::test_five_seconds_say_whether_a_face_is_the_speakers",),
    ),
    Mutant(
        "two seconds make a speaker",
        "pipeline/speaking.py",
        "STRETCH_S, STRETCH_STEP_S = 5.0, 1.0",
        "STRETCH_S, STRETCH_STEP_S = 2.0, 1.0",
        (f"{NUMBERS}::test_five_seconds_say_whether_a_face_is_the_speakers",),
    ),
    Mutant(
        "the margin of a track has no say in who speaks",
        "pipeline/speaking.py",
        "TRACK_WEIGHT = 2.0",
        "TRACK_WEIGHT = 0.0",
        (f"{NUMBERS}::test_speaking_score_is_confidence_and_twice_the_margin",),
    ),
    Mutant(
        "the mask's edge is sharp",
        "pipeline/blend.py",
        "FEATHER = 0.35",
        "FEATHER = 0.1",
        (f"{MOUTHS}::test_the_mask_falls_off_over_a_third_of_an_ellipse",),
    ),
    Mutant(
        "the mask lies higher",
        "pipeline/blend.py",
        "CENTRE_X, CENTRE_Y = 0.5, 0.74",
        "CENTRE_X, CENTRE_Y = 0.5, 0.72",
        (f"{MOUTHS}::test_the_mask_falls_off_over_a_third_of_an_ellipse",),
    ),
    Mutant(
        "what is 55 dB below speech is speech",
        "pipeline/voices.py",
        "SILENCE_BELOW_SPEECH_DB = (35.0, 20.0)",
        "SILENCE_BELOW_SPEECH_DB = (55.0, 20.0)",
        (f"{MOUTHS}::test_speech_stands_out_of_pauses_within_bounds",),
    ),
    Mutant(
        "in a street only what is 10 dB below speech is speech",
        "pipeline/voices.py",
        "SILENCE_BELOW_SPEECH_DB = (35.0, 20.0)",
        "SILENCE_BELOW_SPEECH_DB = (35.0, 10.0)",
        (f"{MOUTHS}::test_speech_stands_out_of_pauses_within_bounds",),
    ),
    Mutant(
        "the noise of pauses is speech",
        "pipeline/voices.py",
        "ABOVE_PAUSES_DB = 6.0",
        "ABOVE_PAUSES_DB = 0.0",
        (f"{MOUTHS}::test_speech_stands_out_of_pauses_within_bounds",),
    ),
    Mutant(
        "whispers below -40 dB are silence",
        "pipeline/voices.py",
        "QUIETEST_SPEECH_DB = -60.0",
        "QUIETEST_SPEECH_DB = -40.0",
        (f"{MOUTHS}::test_speech_stands_out_of_pauses_within_bounds",),
    ),
    Mutant(
        "sound is written at 64 kbit a second",
        "pipeline/mp4.py",
        'AUDIO_BITRATE = "192k"',
        'AUDIO_BITRATE = "64k"',
        (f"{MP4}::test_noise_is_given_the_bits_it_needs",),
    ),
    Mutant(
        "labels count tracks from 1",
        "pipeline/visualise.py",
        'f"Track {mark.track}, Conf',
        'f"Track {mark.track + 1}, Conf',
        (f"{VISUALISE}::test_label_and_line_are_the_demos",),
    ),
    Mutant(
        "labels round confidence to tenths",
        "pipeline/visualise.py",
        "Conf {mark.confidence:.3f}",
        "Conf {mark.confidence:.1f}",
        (f"{VISUALISE}::test_label_and_line_are_the_demos",),
    ),
    Mutant(
        "boxes are drawn one pixel wide",
        "pipeline/visualise.py",
        "BOX_THICKNESS_PX = 3",
        "BOX_THICKNESS_PX = 1",
        (f"{VISUALISE}::test_label_and_line_are_the_demos",),
    ),
    Mutant(
        "green grows faster with confidence than the demo's",
        "pipeline/visualise.py",
        "GREEN_PER_CONFIDENCE = 25",
        "GREEN_PER_CONFIDENCE = 30",
        (f"{VISUALISE}::test_label_and_line_are_the_demos",),
    ),
    Mutant(
        "dubbed faces are scored with the usual margin always",
        "pipeline/dub_score.py",
        'crop_scale = float(settings.get("crop_scale", CROP_SCALE))',
        "crop_scale = CROP_SCALE",
        (f"{RUNS}::test_scored_crops_have_the_margin_of_the_workspace",),
    ),
    Mutant(
        "the scorer is narrowed with published weights, too",
        "pipeline/clip_scores.py",
        "chosen(precision, published=model.config == PUBLISHED, device=device)",
        "chosen(precision, published=False, device=device)",
        (f"{INPUT}::test_scorer_is_narrowed_unless_its_weights_are_published",),
    ),
    Mutant(
        "the detector is narrowed with published weights, too",
        "pipeline/prepare.py",
        "published = model.config == s3fd.PUBLISHED",
        "published = False",
        (f"{INPUT}::test_detector_is_narrowed_unless_its_weights_are_published",),
    ),
    Mutant(
        "a track needs 50 detections by default",
        "pipeline/prepare.py",
        "min_track: int = 100",
        "min_track: int = 50",
        (DEFAULTS,),
    ),
    Mutant(
        "the search for the offset is 10 frames wide by default",
        "pipeline/clip_scores.py",
        "vshift: int = 15",
        "vshift: int = 10",
        (DEFAULTS,),
    ),
    Mutant(
        "pads are 0 by default",
        "pipeline/regions.py",
        "bottom: int = 10",
        "bottom: int = 0",
        (DEFAULTS,),
    ),
)
