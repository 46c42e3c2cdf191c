"""Faults of a dub: how it is scored, and what its stage hands on; with those of its parts."""

from tests.mutants import of_blending, of_choices
from tests.mutants.mutant import Mutant

CHOICES = "tests/test_dub_choices.py"
SCORES = "tests/test_dub_scores.py"
STAGE = "tests/test_dub_stage.py"
DUB = "tests/test_dub.py"
SCORE = "pipeline/dubbing/score.py"
DUB_STAGE = "pipeline/dubbing/stage.py"
EACH_SOUND = f"{SCORES}::test_each_face_is_compared_with_its_own_sound_where_that_is_heard"
MOVING = f"{SCORES}::test_a_moving_face_is_followed_on_the_clock_of_its_track"
BEFORE_AND_AFTER = f"{SCORES}::test_a_mouth_says_nothing_before_its_sound_and_after_it"
REPORT = f"{SCORES}::test_the_report_gives_every_score_its_name"
COLOUR = f"{STAGE}::test_a_mouth_has_the_colour_that_was_drawn"
PLANNED = f"{STAGE}::test_planned_mouths_are_those_of_their_face_where_a_film_goes_back"
GATHERED = f"{STAGE}::test_own_mouths_are_gathered_with_the_sound_that_was_theirs"
PROGRESS = f"{STAGE}::test_each_pass_says_how_many_frames_it_has"

MUTANTS: tuple[Mutant, ...] = (
    *of_blending.MUTANTS,
    *of_choices.MUTANTS,
    # How it is scored.
    Mutant(
        "every track is compared with the first voice's sound",
        SCORE,
        "samples_of[voice.path, voice.audio_stream]",
        "next(iter(samples_of.values()))",
        (EACH_SOUND,),
    ),
    Mutant(
        "sound is scored as if it were not delayed",
        SCORE,
        "_sound(own, voice.delay_s, track",
        "_sound(own, 0.0, track",
        (EACH_SOUND,),
    ),
    Mutant(
        "the first tracks are scored, whichever are dubbed",
        SCORE,
        "{number: tracks[number] for number in voices}",
        "{number: tracks[at] for at, number in enumerate(voices)}",
        (EACH_SOUND,),
    ),
    Mutant(
        "two sounds of one file are one",
        SCORE,
        "by_sound = {(voice.path, voice.audio_stream): voice for voice in voices.values()}\n"
        "    samples_of = {sound: voice.samples() for sound, voice in by_sound.items()}",
        "by_sound = {(voice.path, voice.audio_stream): voice for voice in voices.values()}\n"
        "    samples_of = {sound: decode.read_audio(sound[0]) for sound in by_sound}",
        (f"{SCORES}::test_lips_are_compared_with_the_sound_stream_they_follow",),
    ),
    Mutant(
        "own mouths are chosen by the first sound of a file",
        "pipeline/texture/plan.py",
        "sentence.voice.samples()",
        "replace(sentence.voice, audio_stream=None).samples()",
        (
            "tests/test_own_mouth_library.py"
            "::test_mouths_are_chosen_by_the_sound_stream_they_are_to_say",
        ),
    ),
    Mutant(
        "the dubbed face is looked for at 25 frames per second",
        SCORE,
        "workspace.read_tracks(), workspace.read_frame_rate()",
        "workspace.read_tracks(), 25",
        (MOVING,),
    ),
    Mutant(
        "scored crops lag behind a face whose track is at 50 frames per second",
        SCORE,
        "round(seconds * frame_rate)",
        "round(seconds * FRAME_RATE)",
        (MOVING,),
    ),
    Mutant(
        "a crop after the last box of a track is an internal error",
        SCORE,
        "min(round(seconds * frame_rate), len(path.x) - 1)",
        "round(seconds * frame_rate)",
        (MOVING,),
    ),
    Mutant(
        "a crop before the first box of a track is cut at its last",
        SCORE,
        "path.at(max(position, 0))",
        "path.at(position)",
        (MOVING,),
    ),
    Mutant(
        "the last crop of the last track is not scored",
        SCORE,
        "default=-1) + 1",
        "default=-1)",
        (EACH_SOUND,),
    ),
    Mutant(
        "a track at 50 frames per second is scored with twice its sound",
        SCORE,
        "round(len(track.frames) / frame_rate * FRAME_RATE)",
        "len(track.frames)",
        (MOVING,),
    ),
    Mutant(
        "sound that comes late is scored as if it began with the face",
        SCORE,
        "before = min(max(0, -start), end - start)",
        "before = 0",
        (BEFORE_AND_AFTER,),
    ),
    Mutant(
        "a sound that comes after the face is an internal error",
        SCORE,
        "before = min(max(0, -start), end - start)",
        "before = max(0, -start)",
        (BEFORE_AND_AFTER,),
    ),
    Mutant(
        "before a sound its end is heard",
        SCORE,
        "samples[max(0, start) : max(0, end)]",
        "samples[start:end]",
        (BEFORE_AND_AFTER,),
    ),
    # What the stage hands on.
    Mutant(
        "the source is scored for the dubbed video",
        DUB_STAGE,
        "score_dubbed(workspace, workspace.dubbed_video, voices",
        "score_dubbed(workspace, source.path, voices",
        (f"{SCORES}::test_what_is_scored_is_the_dubbed_video",),
    ),
    Mutant(
        "LSE-D and LSE-C of a dubbed track are exchanged in the report",
        DUB_STAGE,
        "LSE-D {score['lse_d']:.3f}, LSE-C {score['lse_c']:.3f}",
        "LSE-D {score['lse_c']:.3f}, LSE-C {score['lse_d']:.3f}",
        (REPORT,),
    ),
    Mutant(
        "tracks are reported in the order in which they appear",
        DUB_STAGE,
        "in sorted(self.regenerated.items())",
        "in self.regenerated.items()",
        (REPORT,),
    ),
    Mutant(
        "nobody is told that no mouth was changed",
        DUB_STAGE,
        "if not self.regenerated:",
        "if not self.frames:",
        (f"{SCORES}::test_the_report_says_that_nothing_was_changed",),
    ),
    Mutant(
        "own mouths are planned for faces that are pasted whole",
        DUB_STAGE,
        'if options.texture == "own" and options.blend:',
        'if options.texture == "own":',
        (f"{STAGE}::test_a_whole_face_that_is_pasted_is_the_generators",),
    ),
    Mutant(
        "somebody else's offset says how late lips are",
        DUB_STAGE,
        'float(row["offset_ms"]) / 1000 if row.get("reliable") else None',
        'float(row["offset_ms"]) / 1000',
        (GATHERED,),
    ),
    Mutant(
        "late lips are taken for early ones",
        DUB_STAGE,
        'float(row["offset_ms"]) / 1000 if',
        'float(row["offset_ms"]) / -1000 if',
        (GATHERED,),
    ),
    Mutant(
        "how late lips are is taken by the place of a row",
        DUB_STAGE,
        'row["track"]: float(row["offset_ms"]) / 1000 if row.get("reliable") else None\n'
        "        for row in workspace.read_offsets()\n",
        'at: float(row["offset_ms"]) / 1000 if row.get("reliable") else None\n'
        "        for at, row in enumerate(workspace.read_offsets())\n",
        (GATHERED,),
    ),
    Mutant(
        "faces that were not measured are deaf",
        DUB_STAGE,
        "late_s.get(part.track, 0.0)",
        "late_s.get(part.track)",
        (GATHERED,),
    ),
    Mutant(
        "own mouths are heard with the first sound",
        DUB_STAGE,
        "info = decode.probe(source.path, audio_stream=source.audio_stream)",
        "info = decode.probe(source.path)",
        (GATHERED,),
    ),
    Mutant(
        "lips of every face are seen where the first is",
        DUB_STAGE,
        "crops[part.track], crop_scale",
        "crops[0], crop_scale",
        (GATHERED,),
    ),
    Mutant(
        "every face gets the new mouths of the first",
        DUB_STAGE,
        "texture=textures[part.track]",
        "texture=textures[min(textures)]",
        (PLANNED,),
    ),
    Mutant(
        "the stage plans for a film that stands, while it is looped",
        DUB_STAGE,
        "frames=frames, fit=options.fit)\n    return",
        'frames=frames, fit="audio")\n    return',
        (PLANNED,),
    ),
    Mutant(
        "the stage plans mouths for the frames of the source only",
        DUB_STAGE,
        "generator.draw, frames=frames, fit",
        "generator.draw, frames=None, fit",
        (PLANNED,),
    ),
    Mutant(
        "own mouths are counted in stored frames where the rate varies",
        DUB_STAGE,
        "size_px=source.size_px, frame_rate=source.frame_rate)\n    samples",
        "size_px=source.size_px)\n    samples",
        (f"{STAGE}::test_mouths_are_planned_for_every_frame_of_a_film_whose_rate_varies",),
    ),
    Mutant(
        "mouths are painted in the colours of BT.601",
        DUB_STAGE,
        "matrix=source.colour.matrix,\n        blended",
        'matrix="bt601",\n        blended',
        (f"{COLOUR}[200x720-bt709-none]",),
    ),
    Mutant(
        "planned faces are seen in the colours of BT.601",
        DUB_STAGE,
        "matrix=source.colour.matrix,\n    )\n    buffers",
        'matrix="bt601",\n    )\n    buffers',
        (f"{COLOUR}[200x720-bt709-own]",),
    ),
    Mutant(
        "a part of the last frame of sound is cut off",
        DUB_STAGE,
        "max(1, round(max(",
        "max(1, int(max(",
        (f"{STAGE}::test_the_output_has_the_number_of_frames_that_is_nearest_to_its_sound",),
    ),
    Mutant(
        "pads may be no longer than a picture is high",
        DUB_STAGE,
        "> max(width, height):",
        "> min(width, height):",
        (f"{STAGE}::test_pads_may_be_as_long_as_a_picture_and_no_longer",),
    ),
    Mutant(
        "the writer takes all pixels for square",
        DUB_STAGE,
        "        sar=source.sar,\n",
        "",
        (f"{CHOICES}::test_wide_pixels_stay_wide",),
    ),
    Mutant(
        "progress of a longer output ends with its source",
        DUB_STAGE,
        "known = total or source.claimed_frames",
        "known = source.claimed_frames",
        (PROGRESS,),
    ),
    Mutant(
        "the pass for own mouths is as long as the output",
        DUB_STAGE,
        '"own mouths", progress=progress, total=lambda: source.claimed_frames)',
        '"own mouths", progress=progress, total=lambda: frames)',
        (PROGRESS,),
    ),
    Mutant(
        "a face that is silent for a while speaks all the time",
        DUB_STAGE,
        "            spoken,\n",
        "            np.ones_like(spoken),\n",
        (f"{DUB}::test_tracks_speaking_changes_only_the_speaker",),
    ),
)
