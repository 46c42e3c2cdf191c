"""Faults of the page as a whole, and of the calibration of a sync network."""

from tests.mutants.mutant import Mutant

WRITE = "pipeline/page/write.py"
CALIBRATE = "training/calibrate.py"

SHOWN = "tests/test_page_shown.py"
CALIBRATED = "tests/test_calibrate.py"
PAGE = "tests/test_page.py"
RESULTS = "tests/test_page_results.py"

FOLDED = f"{PAGE}::test_forty_tracks_are_folded_and_can_be_chosen_from"
LANES = f"{SHOWN}::test_lanes_show_when_a_face_is_there_and_when_it_speaks"
CLIPS = f"{RESULTS}::test_each_track_shows_the_middle_of_its_own_clip"
RATE = f"{SHOWN}::test_a_page_at_another_frame_rate"
SCALES = f"{SHOWN}::test_charts_of_all_tracks_have_one_scale"
PEOPLE = f"{CALIBRATED}::test_who_is_on_which_clip_is_read_of_both_sides"
FIRST = f"{CALIBRATED}::test_the_folder_to_export_to_is_looked_at_first"
CHECKED = f"{CALIBRATED}::test_other_people_check_what_was_fitted_without_them"
SEED = f"{CALIBRATED}::test_other_people_are_measured_with_another_seed"
CARD = f"{CALIBRATED}::test_card_of_calibrated_weights_holds_figures_and_the_earlier_card"

MUTANTS: tuple[Mutant, ...] = (
    # The page.
    Mutant(
        "script and style are allowed by each other's sums",
        WRITE,
        "script_hash=_hash(script),\n            style_hash=_hash(style)",
        "script_hash=_hash(style),\n            style_hash=_hash(script)",
        (f"{SHOWN}::test_the_policy_allows_the_script_and_the_style_that_are_there",),
    ),
    Mutant(
        "three tracks are folded",
        WRITE,
        "len(results.tracks) <= MOST_OPEN",
        "len(results.tracks) < MOST_OPEN",
        (FOLDED,),
    ),
    Mutant(
        "faces that are out of sync are none with an answer",
        WRITE,
        'track["summary"].kind != "unknown"',
        'track["summary"].kind == "good"',
        (FOLDED,),
    ),
    Mutant(
        "who speaks off screen is drawn as a face that speaks",
        WRITE,
        'kind="nobody", what=NOBODY',
        'kind="speech", what=NOBODY',
        (LANES,),
    ),
    Mutant(
        "who speaks off screen is said to be a face",
        WRITE,
        'NOBODY = "somebody speaks who is not shown"',
        'NOBODY = "speaks"',
        (LANES,),
    ),
    Mutant(
        "every face is there from the beginning",
        WRITE,
        "[(track.start_s, track.end_s)]",
        "[(0, track.end_s)]",
        (LANES,),
    ),
    Mutant(
        "a face that is there speaks",
        WRITE,
        'kind="shown", what="on screen"',
        'kind="speech", what="on screen"',
        (LANES,),
    ),
    Mutant(
        "lanes are drawn as high as they are long",
        WRITE,
        "(timeline.LANE_WIDTH, timeline.LANE_HEIGHT)",
        "(timeline.LANE_HEIGHT, timeline.LANE_WIDTH)",
        (LANES,),
    ),
    Mutant(
        "times are shown in seconds alone",
        WRITE,
        'environment.filters["clock"] = clock_time',
        'environment.filters["clock"] = str',
        (LANES,),
    ),
    Mutant(
        "a late face is shown from beyond the middle of its clip",
        WRITE,
        "round((track.end_s - track.start_s) * results.frame_rate)",
        "round(track.end_s * results.frame_rate)",
        (CLIPS,),
    ),
    Mutant(
        "all tracks show the first one's face",
        WRITE,
        "results.workspace.crop(track.track),",
        "results.workspace.crop(0),",
        (CLIPS,),
    ),
    Mutant(
        "a step of the player is a frame of 25 per second",
        WRITE,
        '"frame_rate": results.frame_rate,',
        '"frame_rate": 25,',
        (RATE,),
    ),
    Mutant(
        "a page at another frame rate has the recorded one",
        WRITE,
        "read_results(workspace, frame_rate=frame_rate)",
        "read_results(workspace)",
        (RATE,),
    ),
    Mutant(
        "a page is made of results that change meanwhile",
        WRITE,
        "    with workspace.opened():\n        write_page",
        "    if True:\n        write_page",
        (f"{SHOWN}::test_results_that_another_run_works_on_get_no_page",),
    ),
    Mutant(
        "means are drawn on the axis of the first track",
        WRITE,
        "charts.mean_range_of(results.tracks)",
        "charts.mean_range_of(results.tracks[:1])",
        (SCALES,),
    ),
    Mutant(
        "heat maps are as bright as the last track's",
        WRITE,
        "charts.brightest_of(results.tracks), BT",
        "charts.brightest_of(results.tracks[-1:]), BT",
        (SCALES,),
    ),
    Mutant(
        "the sound is drawn over half of its lane",
        WRITE,
        "loudness_outline(results.workspace.audio, duration_s=duration_s)",
        "loudness_outline(results.workspace.audio, duration_s=duration_s / 2)",
        (f"{SHOWN}::test_the_sound_is_drawn_over_the_whole_lane",),
    ),
    Mutant(
        "the page plays the video that browsers cannot",
        WRITE,
        "{workspace.labelled_copy.name}",
        "{workspace.labelled_video.name}",
        (f"{PAGE}::test_the_page_loads_nothing_but_its_video",),
    ),
    Mutant(
        "all tracks have the first one's command",
        WRITE,
        "dub_command(results, track.track)",
        "dub_command(results, 0)",
        (f"{PAGE}::test_the_commands_are_those_of_the_scripts",),
    ),
    Mutant(
        "late and early are exchanged in what nobody notices",
        WRITE,
        "[-unnoticed.late_ms, unnoticed.early_ms]",
        "[-unnoticed.early_ms, unnoticed.late_ms]",
        (f"{PAGE}::test_the_chart_shades_what_viewers_do_not_notice",),
    ),
    Mutant(
        "speech ends after its length",
        WRITE,
        "[[track.track, *span] for track",
        "[[track.track, span[0], span[1] - span[0]] for track",
        (f"{PAGE}::test_offsets_over_time_and_speech_are_shown",),
    ),
    # Calibration.
    Mutant(
        "who is on the clips of --val is not read",
        CALIBRATE,
        "people.read(args.data + args.val)",
        "people.read(args.data)",
        (PEOPLE,),
    ),
    Mutant(
        "who is on the clips of --data is not read",
        CALIBRATE,
        "people.read(args.data + args.val)",
        "people.read(args.val)",
        (PEOPLE,),
    ),
    Mutant(
        "pieces are of videos, not of people",
        CALIBRATE,
        "model, persons=persons, device=device",
        "model, persons={}, device=device",
        (PEOPLE,),
    ),
    Mutant(
        "the same people are fitted and checked",
        CALIBRATE,
        "        people.check_apart(data, val, persons)\n",
        "",
        (FIRST,),
    ),
    Mutant(
        "weights are exported under any name",
        CALIBRATE,
        'args.export.suffix != ".safetensors"',
        'args.export.suffix == ".pt"',
        (FIRST,),
    ),
    Mutant(
        "other people's figures are those of the fitted ones",
        CALIBRATE,
        "reliability_fit.table(others, calibration",
        "reliability_fit.table(pieces, calibration",
        (CHECKED,),
    ),
    Mutant(
        "the fitted people are measured twice",
        CALIBRATE,
        "others = measure(val, ",
        "others = measure(data, ",
        (CHECKED,),
    ),
    Mutant(
        "other people are fitted before they are checked",
        CALIBRATE,
        "reliability_fit.table(others, calibration",
        "reliability_fit.table(others, reliability_fit.fit(others, vshift=15)",
        (CHECKED,),
    ),
    Mutant(
        "the check draws the same pieces again",
        CALIBRATE,
        "seed=options.seed + 1",
        "seed=options.seed",
        (SEED,),
    ),
    Mutant(
        "only references that should be left out are checked",
        CALIBRATE,
        "not in args.val_without",
        "in args.val_without",
        (SEED,),
    ),
    Mutant(
        "references to leave out need their folder's name",
        CALIBRATE,
        "Path(clip.reference).name not in",
        "clip.reference not in",
        (SEED,),
    ),
    Mutant(
        "clips are decoded anew each time",
        CALIBRATE,
        "tables.tracks(folders, model.config, cache=cache",
        "tables.tracks(folders, model.config, cache=Path(passing)",
        (SEED,),
    ),
    Mutant(
        "the card of bundled weights is lost",
        CALIBRATE,
        "weights.syncnet_file(args.weights)",
        "Path(args.weights)",
        (f"{CALIBRATED}::test_the_card_of_bundled_weights_goes_with_what_is_made_of_them",),
    ),
    Mutant(
        "a card counts pieces for tracks",
        CALIBRATE,
        "tracks=len(data))",
        "tracks=len(pieces))",
        (CARD,),
    ),
    Mutant(
        "a card tells where the data was",
        CALIBRATE,
        "[folder.name for folder in args.data]",
        "[str(folder) for folder in args.data]",
        (CARD,),
    ),
    Mutant(
        "a card does not say what is reliable",
        CALIBRATE,
        '"reliable_from": model.config.reliable_from',
        '"reliable_from": {}',
        (CARD,),
    ),
    Mutant(
        "weights are calibrated for as many shifts as there are foreign sounds",
        CALIBRATE,
        "reliability_fit.fit(pieces, vshift=options.vshift)",
        "reliability_fit.fit(pieces, vshift=options.foreign)",
        (f"{CALIBRATED}::test_exported_weights_are_the_same_network_calibrated",),
    ),
)
