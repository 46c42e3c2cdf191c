"""Faults of drawn heads and of the sound that they follow."""

from tests.mutants.mutant import Mutant

DRAWN = "tests/test_drawn.py"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "all drawn clips show the same person",
        "training/drawn_tracks.py",
        "np.random.default_rng((seed, number))",
        "np.random.default_rng((seed, 0))",
        (f"{DRAWN}::test_every_clip_shows_and_hears_somebody_else",),
    ),
    Mutant(
        "drawn syllables end with a click",
        "training/drawn_tracks.py",
        "sound[len(sound) - ramp :] *= rise[::-1]",
        "sound[len(sound) - ramp :] *= rise",
        (f"{DRAWN}::test_babble_has_its_peak_and_no_clicks",),
    ),
    Mutant(
        "drawn speech is cut off at full scale",
        "training/drawn_tracks.py",
        "PEAK = 12_000",
        "PEAK = 120_000",
        (f"{DRAWN}::test_babble_has_its_peak_and_no_clicks",),
    ),
    Mutant(
        "samples of 16 bits are as loud as floats of thousands",
        "training/drawn/heads.py",
        "sound = sound / 32768.0",
        "sound = sound / 1.0",
        (f"{DRAWN}::test_what_is_hardly_heard_opens_no_mouth",),
    ),
    Mutant(
        "hissing rounds drawn lips",
        "training/drawn/heads.py",
        "10 * np.log10(front / back)",
        "10 * np.log10(back / front)",
        (f"{DRAWN}::test_hissing_spreads_lips_and_dark_vowels_round_them",),
    ),
    Mutant(
        "drawn heads blink all the time",
        "training/drawn/heads.py",
        "start += int(rng.integers(40, 140))",
        "start += int(rng.integers(4, 14))",
        (f"{DRAWN}::test_heads_blink_now_and_then_and_turn_no_further_than_drawn",),
    ),
    Mutant(
        "a drawn clip is cut with the face in its middle",
        "training/drawn/heads.py",
        "size_px / 2.8 - 0.5",
        "size_px / 2 - 0.5",
        (f"{DRAWN}::test_a_clip_is_cut_as_face_tracks_are",),
    ),
    Mutant(
        "drawn heads lie over each other's faces",
        "training/drawn/heads.py",
        "all(_overlap(extent, other) < 0.12 for other in extents)",
        "all(_overlap(extent, other) < 12 for other in extents)",
        (f"{DRAWN}::test_heads_of_a_scene_leave_each_other_free",),
    ),
    Mutant(
        "the box of a tilted drawn face is tilted the other way",
        "training/drawn/face.py",
        "[[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]",
        "[[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]",
        (f"{DRAWN}::test_the_box_of_a_face_is_from_hairline_to_chin_and_cheek_to_cheek",),
    ),
    Mutant(
        "a drawn chin stays while the mouth opens",
        "training/drawn/face.py",
        "(head.chin * w, 0.5 + drop)",
        "(head.chin * w, 0.5)",
        (f"{DRAWN}::test_the_box_of_a_face_is_from_hairline_to_chin_and_cheek_to_cheek",),
    ),
    Mutant(
        "drawn light comes from the other side",
        "training/drawn/face.py",
        "0.30 * head.light * np.clip(x, -0.7, 0.7)",
        "-0.30 * head.light * np.clip(x, -0.7, 0.7)",
        (f"{DRAWN}::test_light_comes_from_the_side_that_is_said",),
    ),
    Mutant(
        "drawn lids never close",
        "training/drawn/face.py",
        "(1 - t * t) ** 0.8, float(np.clip(pose.blink, 0, 1))",
        "(1 - t * t) ** 0.8, 0.0",
        (f"{DRAWN}::test_lids_close_over_the_eyes_alone",),
    ),
    Mutant(
        "a head drawn at the left edge is moved",
        "training/drawn/face.py",
        "centre_x=(pose.centre_x - x1 + 0.5) * k - 0.5",
        "centre_x=(pose.centre_x - max(x1, 40) + 0.5) * k - 0.5",
        (f"{DRAWN}::test_a_head_at_the_edge_is_the_same_head_cut_off",),
    ),
    Mutant(
        "a drawn head tilts the other way than its box",
        "training/drawn/pen.py",
        "[[cos, -sin, pose.centre_x], [sin, cos, pose.centre_y]]",
        "[[cos, sin, pose.centre_x], [-sin, cos, pose.centre_y]]",
        (f"{DRAWN}::test_a_mouth_opens_where_mouths_are",),
    ),
    Mutant(
        "features of a turning drawn head stay in its middle",
        "training/drawn/pen.py",
        "if feature:  #",
        "if not feature:  #",
        (f"{DRAWN}::test_features_of_a_turning_head_move_to_its_side",),
    ),
)
