"""Faults of the page about a video that the suite must notice."""

from tests.mutants.mutant import Mutant

PAGE, PLAIN = "tests/test_page.py", "tests/test_plain.py"

MUTANTS = (
    Mutant(
        "names of strangers are written as HTML",
        "pipeline/page/write.py",
        "autoescape=True",
        "autoescape=False",
        (f"{PAGE}::test_names_and_texts_of_strangers_stay_text",),
    ),
    Mutant(
        "the offset curve has the opposite sign",
        "pipeline/page/charts.py",
        "(track.vshift - best - _vertex(means, best)) * FRAME_MS",
        "(best - track.vshift + _vertex(means, best)) * FRAME_MS",
        (f"{PAGE}::test_the_curve_is_where_the_offset_is",),
    ),
    Mutant(
        "chance counts as sure where it stands out",
        "pipeline/page/charts.py",
        "inside & counted & (confidence",
        "inside & (confidence",
        (f"{PAGE}::test_chance_is_not_sure",),
    ),
    Mutant(
        "the heat map is upside down",
        "pipeline/page/charts.py",
        "levels.astype(np.uint8).T)",
        "levels.astype(np.uint8).T[::-1])",
        (f"{PAGE}::test_the_heat_map_is_brightest_at_the_offset",),
    ),
    Mutant(
        "a short track counts as much as a long one for the verdict",
        "pipeline/page/verdict.py",
        "np.cumsum([track.end_s - track.start_s for track in ordered])",
        "np.cumsum([1.0 for track in ordered])",
        (f"{PAGE}::test_reliable_tracks_give_the_verdict",),
    ),
    Mutant(
        "late sound is called early",
        "pipeline/page/words.py",
        "'early' if offset_ms > 0 else 'late'",
        "'early' if offset_ms < 0 else 'late'",
        (f"{PAGE}::test_what_run_syncnet_says_of_the_video_comes_first",),
    ),
    Mutant(
        "a reference that begins with a dash is taken for a flag",
        "pipeline/page/commands.py",
        'words.append(f"--{name}={value}")',
        'words += [f"--{name}", value]',
        (f"{PAGE}::test_the_commands_are_those_of_the_scripts",),
    ),
    Mutant(
        "odd letters stay as they are in the address of the video",
        "pipeline/page/write.py",
        'PurePosixPath(f"/{workspace.reference}").as_uri().removeprefix("file:///")',
        "str(PurePosixPath(workspace.reference))",
        (f"{PAGE}::test_the_video_is_found_whatever_it_is_called",),
    ),
    Mutant(
        "key frames of the copy for browsers are ten seconds apart",
        "pipeline/labelling.py",
        "KEY_FRAME_S = 1.0",
        "KEY_FRAME_S = 10.0",
        (f"{PAGE}::test_every_second_can_be_jumped_to",),
    ),
    Mutant(
        "spans of no length are shown",
        "pipeline/plain.py",
        "ends[0] < ends[1]:",
        "ends[0] <= ends[1]:",
        (f"{PLAIN}::test_spans_have_a_start_before_their_end",),
    ),
    Mutant(
        "true is the number 1",
        "pipeline/plain.py",
        "if isinstance(value, bool) or not isinstance(value, int | float):",
        "if not isinstance(value, int | float):",
        (f"{PLAIN}::test_what_is_no_number_is_nothing",),
    ),
    Mutant(
        "a huge integer stops the page",
        "pipeline/plain.py",
        "except OverflowError:",
        "except ZeroDivisionError:",
        (f"{PLAIN}::test_what_is_no_number_is_nothing",),
    ),
    Mutant(
        "late shots are green",
        "pipeline/page/timeline.py",
        "if abs(same.offset_ms) <= IN_SYNC_MS",
        "if same.offset_ms <= IN_SYNC_MS",
        (f"{PAGE}::test_what_run_syncnet_says_of_the_video_comes_first",),
    ),
)
