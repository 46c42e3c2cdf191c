"""Faults of new mouths: what is played back, drawn, gathered and laid in place."""

from tests.mutants.mutant import Mutant

GENERATED, PLAYED = "tests/test_generated_mouths.py", "tests/test_playback.py"
LIBRARY, TRAITS = "tests/test_own_mouth_library.py", "tests/test_own_mouth_traits.py"
OTHER, WAV2LIP = "tests/test_other_video.py", "tests/test_wav2lip.py"

SHOWN = f"{LIBRARY}::test_what_is_shown_of_each_frame"
LATE_LIPS = f"{LIBRARY}::test_late_lips_are_heard_with_the_sound_that_was_theirs"
RUNS_APART = f"{LIBRARY}::test_runs_are_apart_and_too_short_ones_are_left_out"
RATES = f"{LIBRARY}::test_lips_of_other_frame_rates_are_seen_at_their_time"

MUTANTS: tuple[Mutant, ...] = (
    # What is drawn and played back.
    Mutant(
        "in a loop the face is looked for where the output is, not the film",
        "pipeline/dubbing/generate.py",
        "part.region(index / frame_rate)",
        "part.region(position / frame_rate)",
        (GENERATED,),
    ),
    Mutant(
        "a film that plays backwards makes the mouth speak backwards",
        "pipeline/dubbing/generate.py",
        "np.array([position / frame_rate])",
        "np.array([index / frame_rate])",
        (GENERATED,),
    ),
    Mutant(
        "faces of later batches get the reference of the first",
        "pipeline/dubbing/generate.py",
        "else reference[part]",
        "else reference[: len(faces[part])]",
        (GENERATED,),
    ),
    Mutant(
        "the reference is the face itself, whatever is given",
        "pipeline/dubbing/generate.py",
        "other = None if reference is None else reference[part]",
        "other = None",
        (GENERATED,),
    ),
    Mutant(
        "frames for a loop fill the whole disk",
        "pipeline/dubbing/source_frames.py",
        "min(KEPT_BYTES, free // 2) // frame_bytes",
        "KEPT_BYTES // frame_bytes",
        (f"{PLAYED}::test_half_of_what_is_free_is_left_to_others",),
    ),
    Mutant(
        "half of what a loop needs is enough to begin",
        "pipeline/dubbing/source_frames.py",
        "if free // 2 < least_bytes:",
        "if free < least_bytes:",
        (f"{PLAYED}::test_half_of_what_is_free_is_left_to_others",),
    ),
    Mutant(
        "a mouth that was painted on the standing frame stays on it",
        "pipeline/dubbing/source_frames.py",
        "yield count - 1, last.copy()",
        "yield count - 1, last",
        (f"{PLAYED}::test_a_standing_frame_is_the_same_however_it_is_painted_on",),
    ),
    Mutant(
        "a film without a frame is an internal error",
        "pipeline/dubbing/source_frames.py",
        "    if last is None:\n        raise",
        "    if False:\n        raise",
        (f"{PLAYED}::test_a_film_without_a_frame_is_an_error",),
    ),
    Mutant(
        "59.94 frames per second are taken for 60",
        "pipeline/dubbing/source_frames.py",
        "59.94: 60_000 / 1001",
        "59.94: 60_000 / 1000",
        (f"{PLAYED}::test_what_ffmpeg_rounds_is_a_thousandth_less_than_a_whole_rate",),
    ),
    Mutant(
        "30 frames per second that tremble become 29.97",
        "pipeline/dubbing/source_frames.py",
        "(dropped[rate], _moved_s(times_s, rate))",
        "dropped[rate]",
        (f"{PLAYED}::test_of_rates_that_lose_no_frame_the_nearest_is_taken",),
    ),
    # Own mouths.
    Mutant(
        "somebody else's sound says which own mouth is heard",
        "pipeline/texture/plan.py",
        "None if face.late_s is None else samples,",
        "samples,",
        (f"{LIBRARY}::test_another_persons_sound_says_nothing_of_own_mouths",),
    ),
    Mutant(
        "the planner takes all lips to be in time",
        "pipeline/texture/plan.py",
        "late_s=face.late_s or 0.0",
        "late_s=0.0",
        (f"{LIBRARY}::test_another_persons_sound_says_nothing_of_own_mouths",),
    ),
    Mutant(
        "mouths are planned for a film that stands, while it is looped",
        "pipeline/texture/plan.py",
        'if fit == "loop"',
        'if fit == "never"',
        (f"{LIBRARY}::test_what_is_proposed_is_for_the_frame_that_is_shown",),
    ),
    Mutant(
        "the first own mouth is never mixed in near a join",
        "pipeline/texture/plan.py",
        "self.eased.own[at] < 0",
        "self.eased.own[at] <= 0",
        (SHOWN,),
    ),
    Mutant(
        "the generator's mouth is not sharpened where own ones are refused",
        "pipeline/texture/plan.py",
        "return face if self._shown(self._at(position)) or not self.sharpen",
        "return face if self.own is not None or not self.sharpen",
        (SHOWN,),
    ),
    Mutant(
        "late lips are heard with sound that comes later still",
        "pipeline/texture/library.py",
        "traits.heard(model, samples, times_s - late_s)",
        "traits.heard(model, samples, times_s + late_s)",
        (LATE_LIPS,),
    ),
    Mutant(
        "pauses of late lips are those of the sound as it is",
        "pipeline/texture/library.py",
        "traits.own_pauses(samples, times_s - late_s)",
        "traits.own_pauses(samples, times_s)",
        (LATE_LIPS,),
    ),
    Mutant(
        "a mouth before a gap is followed by the one after it",
        "pipeline/texture/library.py",
        "        following[np.cumsum([len(run.grey) for run in runs], dtype=int) - 1] = -1\n",
        "",
        (RUNS_APART,),
    ),
    Mutant(
        "own mouths are read by their place among those that were kept",
        "pipeline/texture/library.py",
        "self.pixels.read(int(self.numbers[own]))",
        "self.pixels.read(own)",
        (RUNS_APART,),
    ),
    Mutant(
        "lips of slow films are seen too early",
        "pipeline/texture/library.py",
        "while run.ticks <= due:",
        "if run.ticks <= due:",
        (RATES,),
    ),
    Mutant(
        "lips of later runs are taken from beyond their end",
        "pipeline/texture/library.py",
        "times_s - times_s[0])",
        "times_s)",
        (RATES,),
    ),
    Mutant(
        "the network looks above the face",
        "pipeline/texture/library.py",
        "y=y - part.top",
        "y=y",
        (f"{LIBRARY}::test_the_network_sees_the_face_where_it_is",),
    ),
    Mutant(
        "slow lips at 50 frames per second do not move",
        "pipeline/texture/library.py",
        "np.array(grey[::step])",
        "np.array(grey)",
        (f"{LIBRARY}::test_time_is_counted_at_the_frame_rate_of_the_faces",),
    ),
    Mutant(
        "moments of another video are near those of the source",
        "pipeline/texture/library.py",
        "return replace(self, traits=replace(self.traits, times_s=nowhere))",
        "return self",
        (f"{LIBRARY}::test_mouths_of_another_video_are_never_near_a_moment",),
    ),
    Mutant(
        "a brighter frame has another shape of mouth",
        "pipeline/texture/traits.py",
        "    cells[..., 0] -= cells[..., 0].mean()\n",
        "",
        (f"{TRAITS}::test_a_mouths_shape_does_not_depend_on_the_light",),
    ),
    Mutant(
        "a flash moves the lips",
        "pipeline/texture/traits.py",
        "np.asarray(lips - upper)",
        "np.asarray(lips)",
        (f"{TRAITS}::test_lips_move_beyond_the_head",),
    ),
    Mutant(
        "a sound at the edge of a window ends a pause",
        "pipeline/texture/traits.py",
        "PAUSE_COLUMNS = slice(4, 12)",
        "PAUSE_COLUMNS = slice(0, 16)",
        (f"{TRAITS}::test_only_the_middle_of_a_window_makes_a_pause",),
    ),
    Mutant(
        "own mouths are laid half a pixel beside their place",
        "pipeline/texture/align.py",
        "(0.5 - region.left) * across - 0.5",
        "-region.left * across",
        (f"{TRAITS}::test_pixel_centres_of_a_frame_are_found_on_the_face",),
    ),
    Mutant(
        "mouths are bent away from what they should become",
        "pipeline/texture/align.py",
        "_found(grey[0], grey[1])",
        "_found(grey[1], grey[0])",
        (f"{TRAITS}::test_flow_says_where_each_pixel_of_the_target_is_on_the_source",),
    ),
    Mutant(
        "a blink moves the whole head",
        "pipeline/texture/align.py",
        "trust = weight[used] / (1 + (missed / TOLERANCE_PX) ** 2)",
        "trust = weight[used]",
        (f"{TRAITS}::test_neither_mouth_nor_a_blink_moves_a_head",),
    ),
    Mutant(
        "nods are smoothed away",
        "pipeline/texture/align.py",
        "STEADY_FRAMES = 1.5",
        "STEADY_FRAMES = 6.0",
        (f"{TRAITS}::test_a_nod_stays_and_a_tremble_goes",),
    ),
    Mutant(
        "own mouths are of the face that is shortest on the other video",
        "pipeline/texture/other_video.py",
        "max(tracks, key=",
        "min(tracks, key=",
        (OTHER,),
    ),
    Mutant(
        "mouths of another video come at its own frame rate",
        "pipeline/texture/other_video.py",
        "size_px=source.size_px, frame_rate=frame_rate)",
        "size_px=source.size_px, frame_rate=source.frame_rate)",
        (OTHER,),
    ),
    Mutant(
        "the sound of the other video is not heard",
        "pipeline/texture/other_video.py",
        "gatherer.finish(samples)",
        "gatherer.finish(None)",
        (OTHER,),
    ),
    Mutant(
        "mouths of another video count as moments of the source",
        "pipeline/texture/other_video.py",
        ".finish(samples).elsewhere()",
        ".finish(samples)",
        (OTHER,),
    ),
    # The networks.
    Mutant(
        "a fifth of what is below nought passes the discriminator",
        "models/wav2lip.py",
        "F.leaky_relu(self.conv_block(x), inplace=True)",
        "F.leaky_relu(self.conv_block(x), 0.2, inplace=True)",
        (f"{WAV2LIP}::test_the_discriminator_lets_a_hundredth_of_what_is_below_nought_pass",),
    ),
    Mutant(
        "a weights file forgets that its generator hears voices alone",
        "models/wav2lip.py",
        "json.dumps(asdict(self))",
        'json.dumps({"width": self.width})',
        (f"{WAV2LIP}::test_a_configuration_comes_back_whole",),
    ),
    Mutant(
        "a generator may have a width below nought",
        "models/wav2lip.py",
        "if not self.width > 0:",
        "if self.width == 0:",
        (f"{WAV2LIP}::test_a_wrong_configuration_is_refused",),
    ),
)
