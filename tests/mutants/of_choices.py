"""Faults of what is dubbed: source, tracks and sounds."""

from tests.mutants.mutant import Mutant

CHOICES = "tests/test_dub_choices.py"
DUB = "tests/test_dub.py"
CHOOSE = "pipeline/dubbing/choose.py"
NAMED = f"{CHOICES}::test_the_file_that_is_named_goes_before_the_recorded_one"
STREAM_BEFORE = f"{CHOICES}::test_the_sound_is_that_of_the_run_before"
DECIDED = f"{CHOICES}::test_who_speaks_is_what_was_decided_of_all_faces_together"
OWN_FILE = f"{CHOICES}::test_a_tracks_own_file_goes_before_the_one_for_all"
STREAM_SAID = f"{CHOICES}::test_the_sound_that_was_chosen_before_is_said_and_heard"

MUTANTS: tuple[Mutant, ...] = (
    # What is chosen.
    Mutant(
        "a folder is taken for a sound",
        CHOOSE,
        "if not file.is_file():",
        "if not file.exists():",
        (f"{CHOICES}::test_a_folder_is_no_sound",),
    ),
    Mutant(
        "--videofile is looked at last",
        CHOOSE,
        "(video_file, *recorded) if file",
        "(*recorded, video_file) if file",
        (NAMED,),
    ),
    Mutant(
        "a file that is not there is called another video",
        CHOOSE,
        "video_file.is_file() and not is_file_of",
        "not is_file_of",
        (NAMED,),
    ),
    Mutant(
        "the record of a silent film is an internal error",
        CHOOSE,
        '(record.get("sound") or {}).get(',
        'record.get("sound", {}).get(',
        (NAMED,),
    ),
    Mutant(
        "video.avi is asked for the number of the source's sound",
        CHOOSE,
        "if path != workspace.video else None",
        "if path else None",
        (STREAM_BEFORE,),
    ),
    Mutant(
        "--audio_stream of the run before is forgotten",
        CHOOSE,
        '(record.get("sound") or {}).get("audio_stream") if',
        "None if",
        (STREAM_BEFORE,),
    ),
    Mutant(
        "a dubbed video has square pixels",
        CHOOSE,
        "sar=info.sar",
        "sar=Fraction(1)",
        (f"{CHOICES}::test_wide_pixels_stay_wide",),
    ),
    Mutant(
        "what speaking.json says does not count",
        CHOOSE,
        "        if decided:\n",
        "        if False:\n",
        (DECIDED,),
    ),
    Mutant(
        "speaking.json of other tracks is taken where it has as many",
        CHOOSE,
        "if decided and [len(track.scores) for track in decided.tracks] != [\n"
        "        len(track.frames) for track in tracks\n    ]:",
        "if decided and len(decided.tracks) != len(tracks):",
        (DECIDED,),
    ),
    Mutant(
        "older results have whoever is there speak",
        CHOOSE,
        "or PUBLISHED_SYNCNET.reliable_confidence",
        "or 0",
        (f"{CHOICES}::test_results_that_do_not_say_what_is_reliable_are_the_published_networks",),
    ),
    Mutant(
        "speech is placed as if tracks were at 25 frames per second",
        CHOOSE,
        "frame_rate=workspace.read_frame_rate(),\n            )",
        "frame_rate=25,\n            )",
        (f"{CHOICES}::test_speech_is_placed_on_the_clock_of_the_tracks",),
    ),
    Mutant(
        "a face that looks alike at two offsets speaks",
        CHOOSE,
        'float(row.get("reliable_margin") or 0)',
        "0.0",
        (f"{DUB}::test_tracks_speaking_changes_only_the_speaker",),
    ),
    Mutant(
        "only a face that never pauses speaks",
        CHOOSE,
        "if spoken.any():",
        "if spoken.all():",
        (f"{DUB}::test_tracks_speaking_changes_only_the_speaker",),
    ),
    Mutant(
        "the file for all tracks goes before a track's own",
        CHOOSE,
        "options.audio.get(number, options.audio.get(None))",
        "options.audio.get(None, options.audio.get(number))",
        (OWN_FILE,),
    ),
    Mutant(
        "the own sound is in the output twice where one face keeps it",
        CHOOSE,
        "is not None and not own:",
        "is not None and len(own) < len(files):",
        (OWN_FILE,),
    ),
    Mutant(
        "a dub of the second sound is heard with the first",
        CHOOSE,
        "own_delay_s, audio_stream=source.audio_stream)",
        "own_delay_s)",
        (STREAM_SAID,),
    ),
    Mutant(
        "mouths follow the first sound where the second is heard",
        CHOOSE,
        "audio_stream=sound.audio_stream,\n            with",
        "with",
        (STREAM_SAID,),
    ),
    Mutant(
        "the background is the first sound, whichever was chosen",
        CHOOSE,
        "options.keep_background, source.audio_stream))",
        "options.keep_background))",
        (STREAM_SAID,),
    ),
    Mutant(
        "a background of 0 dB is left out",
        CHOOSE,
        "if options.keep_background is not None and",
        "if options.keep_background and",
        (STREAM_SAID,),
    ),
    Mutant(
        "a silent film's background is looked for",
        CHOOSE,
        "is not None and source.audio_stream is not None and not own",
        "is not None and not own",
        (f"{CHOICES}::test_a_silent_film_has_no_background",),
    ),
)
