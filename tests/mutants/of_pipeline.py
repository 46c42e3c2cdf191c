"""Faults of pipeline/ and of the scripts that the suite must notice."""

from tests.mutants import of_fields, of_flags, of_thresholds
from tests.mutants.mutant import Mutant

NUMBERS = "tests/test_sync_numbers.py"
INPUT = "tests/test_network_input.py"

SYNC = (
    Mutant(
        "the margin is not asked for where an offset is called reliable",
        "pipeline/sync/offset.py",
        "confidence >= reliable_confidence and margin >= least",
        "confidence >= reliable_confidence",
        (f"{NUMBERS}::test_two_equal_valleys_are_not_reliable",),
    ),
    Mutant(
        "an offset exactly at the thresholds is not reliable",
        "pipeline/sync/offset.py",
        "confidence >= reliable_confidence and margin >= least",
        "confidence > reliable_confidence and margin > least",
        (f"{NUMBERS}::test_reliable_from_the_thresholds_on",),
    ),
    Mutant(
        "a shift two frames away counts as another offset",
        "pipeline/sync/offset.py",
        "- best) > NEIGHBOUR_SHIFTS",
        "- best) >= NEIGHBOUR_SHIFTS",
        (f"{NUMBERS}::test_margin_is_to_shifts_more_than_two_away",),
    ),
    Mutant(
        "drift is given for offsets that are not reliable",
        "pipeline/sync/offset.py",
        "_drift(dists, has_sound) if reliable else None",
        "_drift(dists, has_sound)",
        (f"{NUMBERS}::test_drift_of_unrelated_sound_is_none",),
    ),
    Mutant(
        "drift is the mean of slopes, not their median",
        "pipeline/sync/offset.py",
        "np.median(slopes)",
        "np.mean(slopes)",
        (f"{NUMBERS}::test_drift_is_not_moved_by_one_noisy_piece",),
    ),
    Mutant(
        "drift has the other sign",
        "pipeline/sync/offset.py",
        "/ (later - earlier)",
        "/ (earlier - later)",
        (f"{NUMBERS}::test_drift_grows_where_sound_leads_more_and_more",),
    ),
    Mutant(
        "three pieces make a drift",
        "pipeline/sync/offset.py",
        "DRIFT_PIECES = 4",
        "DRIFT_PIECES = 3",
        (f"{NUMBERS}::test_drift_grows_where_sound_leads_more_and_more",),
    ),
    Mutant(
        "the offset in ms is looked for beside the answer that padding moved",
        "pipeline/sync/offset.py",
        "near = around.start + int(np.nanargmin(mean[around]))",
        "pass",
        (f"{NUMBERS}::test_offset_in_ms_undoes_what_padding_moved",),
    ),
    Mutant(
        "confidence is the mean less the smallest",
        "pipeline/sync/offset.py",
        "confidence = float(np.median(mean) - mean[best])",
        "confidence = float(np.mean(mean) - mean[best])",
        (f"{NUMBERS}::test_numbers_of_a_matrix_are_those_counted_by_hand",),
    ),
    Mutant(
        "framewise confidence is a median of eleven",
        "pipeline/sync/offset.py",
        "CONFIDENCE_FRAMES = 9",
        "CONFIDENCE_FRAMES = 11",
        (f"{NUMBERS}::test_framewise_confidence_is_a_median_of_nine_over_zeros",),
    ),
    Mutant(
        "framewise confidence repeats its ends",
        "pipeline/sync/offset.py",
        'edges="constant"',
        'edges="edge"',
        (f"{NUMBERS}::test_framewise_confidence_is_a_median_of_nine_over_zeros",),
    ),
    Mutant(
        "the parabola is bent the other way",
        "pipeline/sync/offset.py",
        "vshift - near - np.clip(0.5 * (left - right)",
        "vshift - near + np.clip(0.5 * (left - right)",
        (f"{NUMBERS}::test_numbers_of_a_matrix_are_those_counted_by_hand",),
    ),
    Mutant(
        "distances lack the published epsilon",
        "pipeline/sync/embeddings.py",
        "PAIRWISE_EPS = 1e-6",
        "PAIRWISE_EPS = 0.0",
        (f"{NUMBERS}::test_distance_adds_the_published_epsilon_to_differences",),
    ),
    Mutant(
        "the epsilon of distances has the other sign",
        "pipeline/sync/embeddings.py",
        "+ PAIRWISE_EPS",
        "- PAIRWISE_EPS",
        (f"{NUMBERS}::test_distance_adds_the_published_epsilon_to_differences",),
    ),
    Mutant(
        "speech takes four fifths of the reliable confidence",
        "pipeline/speakers/one_face.py",
        "SPEAKING_SHARE = 0.5",
        "SPEAKING_SHARE = 0.8",
        (f"{NUMBERS}::test_half_of_the_reliable_confidence_is_speech",),
    ),
    Mutant(
        "speech takes two fifths of the reliable confidence",
        "pipeline/speakers/one_face.py",
        "SPEAKING_SHARE = 0.5",
        "SPEAKING_SHARE = 0.4",
        (f"{NUMBERS}::test_half_of_the_reliable_confidence_is_speech",),
    ),
)

FACES = (
    Mutant(
        "our own detector gets bilinear pixels",
        "pipeline/faces/detector.py",
        'elif self._detector.resize == "bilinear" or self._scale > 1:',
        "elif True:",
        (f"{INPUT}::test_own_detector_gets_averaged_pixels",),
    ),
    Mutant(
        "the published detector gets averages",
        "pipeline/faces/detector.py",
        'elif self._detector.resize == "bilinear" or self._scale > 1:',
        "elif self._scale > 1:",
        (f"{INPUT}::test_published_detector_gets_bilinear_pixels",),
    ),
    Mutant(
        "faces from a confidence of 0.6 count",
        "pipeline/faces/detector.py",
        "CONFIDENCE = 0.9",
        "CONFIDENCE = 0.6",
        (f"{INPUT}::test_faces_above_nine_tenths_are_in_pixels_of_the_frame",),
    ),
    Mutant(
        "boxes stay in pixels of the detector",
        "pipeline/faces/detector.py",
        "_on_frame(face, scale=self._scale)",
        "_on_frame(face, scale=1)",
        (f"{INPUT}::test_faces_above_nine_tenths_are_in_pixels_of_the_frame",),
    ),
)

DUB = (
    Mutant(
        "H.264 is written at crf 45",
        "pipeline/media/mp4.py",
        "VIDEO_QUALITY = 18",
        "VIDEO_QUALITY = 45",
        ("tests/test_mp4.py::test_fine_detail_survives_the_encoder",),
    ),
    Mutant(
        "H.264 is written at crf 23",
        "pipeline/media/mp4.py",
        "VIDEO_QUALITY = 18",
        "VIDEO_QUALITY = 23",
        ("tests/test_mp4.py::test_fine_detail_survives_the_encoder",),
    ),
    Mutant(
        "faces are placed as if tracks were at 25 frames per second",
        "pipeline/dubbing/stage.py",
        "rate = workspace.read_frame_rate()\n    return [",
        "rate = 25\n    return [",
        ("tests/test_dub.py::test_tracks_are_placed_on_the_clock_of_the_workspace",),
    ),
    Mutant(
        "speech is kept for 0.09 s around it",
        "pipeline/dubbing/driving_audio.py",
        "HANGOVER_S = 0.12",
        "HANGOVER_S = 0.09",
        ("tests/test_mouths.py::test_speech_keeps_ten_columns_before_and_after",),
    ),
    Mutant(
        "the level of sound is that of 0.06 s",
        "pipeline/dubbing/driving_audio.py",
        "LEVEL_S = 0.04",
        "LEVEL_S = 0.06",
        ("tests/test_mouths.py::test_speech_keeps_ten_columns_before_and_after",),
    ),
    Mutant(
        "the mouth's colour is matched to brow and eyes, too",
        "pipeline/dubbing/blend.py",
        "around[: FACE_PX // 2] = 0  # the",
        "pass  # the",
        ("tests/test_mouths.py::test_light_of_the_upper_half_does_not_change_the_mouth",),
    ),
    Mutant(
        "the mouth's colour is matched to the upper half only",
        "pipeline/dubbing/blend.py",
        "around[: FACE_PX // 2] = 0  # the",
        "around[FACE_PX // 2 :] = 0  # the",
        ("tests/test_mouths.py::test_light_of_the_upper_half_does_not_change_the_mouth",),
    ),
)

STORE = (
    Mutant(
        "text is written over the old file",
        "pipeline/store/files.py",
        "partial = partial_path(path)\n    with partial.open(",
        "partial = path\n    with partial.open(",
        ("tests/test_workspace.py::test_files_are_replaced_not_written_over",),
    ),
    Mutant(
        "the times of frames are written over the old file",
        "pipeline/store/workspace.py",
        'with partial_path(path).open("wb") as file:\n            np.save(file, times_s)\n'
        "        partial_path(path).replace(path)",
        'with path.open("wb") as file:\n            np.save(file, times_s)',
        ("tests/test_workspace.py::test_files_are_replaced_not_written_over",),
    ),
    Mutant(
        "later stages do not finish a commit that was killed",
        "pipeline/store/workspace.py",
        "            self.finish_commit()\n            yield",
        "            yield",
        ("tests/test_workspace.py::test_later_stages_finish_a_killed_commit",),
    ),
    Mutant(
        "the mark is removed before the folders are in place",
        "pipeline/store/folders.py",
        "        (self.scratch / FOLDERS_COMPLETE).touch()\n        self.finish_commit()",
        "        swap.finish(self._room_moves())\n        self._empty_scratch()",
        ("tests/test_workspace.py::test_a_commit_that_breaks_midway_is_finished_by_the_next_run",),
    ),
    Mutant(
        "results of another detector count as the same",
        "pipeline/faces/stage.py",
        "all(recorded.get(key) == source[key] for key in source)",
        'all(recorded.get(key) == source[key] for key in ("input", "settings"))',
        ("tests/test_complete.py::test_results_of_other_weights_are_not_kept",),
    ),
    Mutant(
        "results of another input count as the same",
        "pipeline/faces/stage.py",
        "all(recorded.get(key) == source[key] for key in source)",
        'all(recorded.get(key) == source[key] for key in ("settings", "detector"))',
        ("tests/test_prepare.py::test_another_input_under_the_same_name_is_refused",),
    ),
)

WHICH = "tests/test_which_ffmpeg.py"

PROGRAMS = (
    Mutant(
        "an ffmpeg on PATH goes before the one that is named",
        "pipeline/media/process.py",
        "    if named:\n",
        '    if named and not shutil.which("ffmpeg"):\n',
        (f"{WHICH}::test_named_ffmpeg_goes_before_path_and_path_before_the_wheels",),
    ),
    Mutant(
        "the wheel's ffmpeg goes before the one on PATH",
        "pipeline/media/process.py",
        "    if program:\n        return program\n",
        "",
        (f"{WHICH}::test_named_ffmpeg_goes_before_path_and_path_before_the_wheels",),
    ),
    Mutant(
        "releases of ffmpeg are compared as text",
        "pipeline/media/process.py",
        "(int(number[1]), int(number[2])) < (major, minor)",
        "(number[1], number[2]) < (str(major), str(minor))",
        (f"{WHICH}::test_releases_are_compared_as_numbers",),
    ),
    Mutant(
        "builds of ffmpeg without a number are old",
        "pipeline/media/process.py",
        "return number is not None and",
        "return number is None or",
        (f"{WHICH}::test_releases_are_compared_as_numbers",),
    ),
)

CLOCK = (
    Mutant(
        "pictures are deinterlaced",
        "pipeline/media/clock.py",
        'stream = source["V:0"].filter("settb"',
        'stream = source["V:0"].filter("yadif").filter("settb"',
        ("tests/test_clock.py::test_an_interlaced_picture_counts_at_its_first_field",),
    ),
    Mutant(
        "the dubbed copy does not say that its first 21 ms are no sound",
        "pipeline/media/mp4.py",
        "audio_bitrate=AUDIO_BITRATE,",
        "audio_bitrate=AUDIO_BITRATE,\n            use_editlist=0,",
        ("tests/test_clock.py::test_every_file_that_is_written_keeps_the_clock",),
    ),
    Mutant(
        "marked copies carry their sound a frame late",
        "pipeline/labelling.py",
        "stored = decode.read_planes(workspace.video, info=info)",
        "stored = [*decode.read_planes(workspace.video, info=info)][1:]",
        ("tests/test_clock.py::test_every_file_that_is_written_keeps_the_clock",),
    ),
)

MUTANTS: tuple[Mutant, ...] = (
    *CLOCK,
    *SYNC,
    *FACES,
    *DUB,
    *STORE,
    *PROGRAMS,
    *of_flags.MUTANTS,
    *of_fields.MUTANTS,
    *of_thresholds.MUTANTS,
)
