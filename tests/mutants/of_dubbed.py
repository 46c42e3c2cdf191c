"""Faults of the evaluation of dubbed videos."""

from tests.mutants.mutant import Mutant

MEASURED = "training/evaluate/dubbed_mouths.py"

DUBBED = "tests/test_dubbed_mouths.py"
FIGURES = "tests/test_mouth_figures.py"

LONG = f"{DUBBED}::test_long_tracks_with_sound_are_taken"
EACH = f"{DUBBED}::test_each_face_gets_the_speech_of_the_other"
JUDGED = f"{DUBBED}::test_lips_are_judged_with_the_sound_that_is_theirs"
BY_REAL = f"{DUBBED}::test_new_pictures_are_measured_by_the_real_ones"
SHEET = f"{DUBBED}::test_the_sheet_holds_both_and_the_key_tells_them_apart"
COPIES = f"{DUBBED}::test_data_folders_stay_as_they_are"
REFERENCE = f"{DUBBED}::test_the_reference_is_from_half_of_the_time_away"
BEGINNING = f"{DUBBED}::test_the_beginning_is_counted_in_frames_of_the_track"
REDRAWN = f"{DUBBED}::test_own_mouths_are_compared_with_the_real_ones_and_so_are_the_generators"

MUTANTS: tuple[Mutant, ...] = (
    # Dubbed faces, measured.
    Mutant(
        "a track of exactly ten seconds is too short",
        MEASURED,
        "len(track.frames) >= SPEECH_S * rate",
        "len(track.frames) > SPEECH_S * rate",
        (LONG,),
    ),
    Mutant(
        "tracks are as long as at 25 frames per second",
        MEASURED,
        "len(track.frames) >= SPEECH_S * rate",
        "len(track.frames) >= SPEECH_S * 25",
        (LONG,),
    ),
    Mutant(
        "videos without sound lend their speech",
        MEASURED,
        "        if source.audio_stream is None:\n            continue\n",
        "",
        (LONG,),
    ),
    Mutant(
        "an unfinished run stops the evaluation",
        MEASURED,
        "        if not workspace.has_results():\n            continue\n",
        "",
        (LONG,),
    ),
    Mutant(
        "one face is enough to exchange sounds",
        MEASURED,
        "if len(long_enough) < 2:",
        "if not long_enough:",
        (f"{FIGURES}::test_one_long_face_is_not_enough_to_exchange_sounds",),
    ),
    Mutant(
        "each face says its own words again",
        MEASURED,
        "everybody[(number + len(everybody) // 2) % len(everybody)]",
        "everybody[number]",
        (EACH,),
    ),
    Mutant(
        "the first track is dubbed, whichever is measured",
        MEASURED,
        "tracks=(speaker.number,), checkpoint",
        "tracks=(0,), checkpoint",
        (EACH,),
    ),
    Mutant(
        "new speech begins before the face is there",
        MEASURED,
        "np.concatenate([np.zeros(first, np.int16), speech])",
        "speech",
        (EACH,),
    ),
    Mutant(
        "new speech is as long as the other face is there",
        MEASURED,
        "stranger.samples()[: round(SPEECH_S * SAMPLE_RATE)]",
        "stranger.samples()",
        (EACH,),
    ),
    Mutant(
        "the whole film is dubbed for ten seconds",
        MEASURED,
        'audio={None: wav}, fit="audio"',
        'audio={None: wav}, fit="video"',
        (EACH,),
    ),
    Mutant(
        "a face's own sound is that of the film's beginning",
        MEASURED,
        "start = round(self.path.start_s * SAMPLE_RATE)",
        "start = 0",
        (EACH,),
    ),
    Mutant(
        "a face's own sound goes on when it is gone",
        MEASURED,
        "whole[start : round(self.path.end_s * SAMPLE_RATE)]",
        "whole[start:]",
        (f"{DUBBED}::test_own_sound_lasts_as_long_as_the_face_is_there",),
    ),
    Mutant(
        "the first sound of a film is a face's own",
        MEASURED,
        "decode.probe(self.source.path, audio_stream=self.source.audio_stream)",
        "decode.probe(self.source.path)",
        (JUDGED,),
    ),
    Mutant(
        "real lips are judged with the new speech",
        MEASURED,
        'speaker.samples() if kind == "real" else speech',
        'speaker.samples() if kind == "new" else speech',
        (JUDGED,),
    ),
    Mutant(
        "crops end when a face at the beginning would",
        MEASURED,
        "        time_s = index / FRAME_RATE\n        if time_s >= path.start_s + SPEECH_S:",
        "        time_s = index / FRAME_RATE\n        if time_s >= SPEECH_S:",
        (JUDGED,),
    ),
    Mutant(
        "crops of fast films are of half of their time",
        MEASURED,
        "enumerate(decode.read_frames(video))",
        "enumerate(decode.read_frames(video, frame_rate=None))",
        (BY_REAL,),
    ),
    Mutant(
        "crops are taken where the face was as many frames after its beginning",
        MEASURED,
        "speaker.crop.at(path.position(time_s))",
        "speaker.crop.at(index)",
        (JUDGED,),
    ),
    Mutant(
        "the real video is measured twice",
        MEASURED,
        '"new": made.video}',
        '"new": speaker.source.path}',
        (BY_REAL,),
    ),
    Mutant(
        "real mouths are measured by the new ones' sharpness",
        MEASURED,
        'looks["new"].sharpness / looks["real"].sharpness',
        'looks["real"].sharpness / looks["new"].sharpness',
        (BY_REAL,),
    ),
    Mutant(
        "real mouths are measured by the new ones' flicker",
        MEASURED,
        'looks["new"].flicker / looks["real"].flicker',
        'looks["real"].flicker / looks["new"].flicker',
        (BY_REAL,),
    ),
    Mutant(
        "real faces are measured by the halves of the new clip",
        MEASURED,
        'identity_distance(features["real"], features["new"])',
        'identity_distance(features["new"], features["real"])',
        (BY_REAL,),
    ),
    Mutant(
        "a face is as large as it is wide",
        MEASURED,
        ".size_px[1],  # type",
        ".size_px[0],  # type",
        (BY_REAL,),
    ),
    Mutant(
        "frames end when those of a face at the beginning would",
        MEASURED,
        "        time_s = index / rate\n        if time_s >= path.start_s + SPEECH_S:",
        "        time_s = index / rate\n        if time_s >= SPEECH_S:",
        (BY_REAL,),
    ),
    Mutant(
        "of fast films every other frame is measured",
        MEASURED,
        "frames = decode.read_frames(video, frame_rate=rate)",
        "frames = decode.read_frames(video)",
        (BY_REAL,),
    ),
    Mutant(
        "the sheet of choices is not written",
        MEASURED,
        "    if pictures:\n",
        "    if False:\n",
        (SHEET,),
    ),
    Mutant(
        "the key takes new faces for real ones",
        MEASURED,
        'sheet.add(speaker.name, faces["real"], faces["new"])',
        'sheet.add(speaker.name, faces["new"], faces["real"])',
        (SHEET,),
    ),
    Mutant(
        "a copy to dub has no offsets",
        MEASURED,
        "(workspace.tracks, workspace.offsets_json)",
        "(workspace.tracks,)",
        (COPIES,),
    ),
    Mutant(
        "a copy to dub has no record",
        MEASURED,
        "    write_json(copy.record, workspace.read_record() or {})\n",
        "",
        (COPIES,),
    ),
    Mutant(
        "a generator's reference is the moment itself",
        MEASURED,
        "len(faces) // 2, axis=0)",
        "0, axis=0)",
        (REFERENCE,),
    ),
    Mutant(
        "every batch gets the references of the first",
        MEASURED,
        "        self._done += len(faces)\n",
        "",
        (REFERENCE,),
    ),
    Mutant(
        "after ten seconds there is no reference",
        MEASURED,
        "np.arange(self._done, self._done + len(faces)) % len(self._references)",
        "np.arange(self._done, self._done + len(faces))",
        (REFERENCE,),
    ),
    Mutant(
        "references of fast films are from their first half",
        MEASURED,
        "count = round(SPEECH_S * source.frame_rate)",
        "count = round(SPEECH_S * FRAME_RATE)",
        (REFERENCE,),
    ),
    Mutant(
        "the beginning of a face is left as it is",
        MEASURED,
        "spoken[round(seconds * speaker.workspace.read_frame_rate()) :] = False",
        "spoken[: round(seconds * speaker.workspace.read_frame_rate())] = False",
        (BEGINNING,),
    ),
    Mutant(
        "the beginning is counted in frames of the film",
        MEASURED,
        "round(seconds * speaker.workspace.read_frame_rate())",
        "round(seconds * speaker.source.frame_rate)",
        (BEGINNING,),
    ),
    Mutant(
        "own figures are the generator's",
        MEASURED,
        '("own", replace(part, texture=texture[part.track]))',
        '("own", replace(part, texture=texture[part.track].without_own()))',
        (REDRAWN,),
    ),
    Mutant(
        "real mouths are to be open when the new ones are",
        MEASURED,
        "(_opening(source, real, region), _opening(source, new, region))",
        "(_opening(source, new, region), _opening(source, real, region))",
        (REDRAWN,),
    ),
    Mutant(
        "a late face is not redrawn",
        MEASURED,
        "end_s = speaker.path.start_s + SPEECH_S",
        "end_s = SPEECH_S",
        (REDRAWN,),
    ),
    Mutant(
        "mouths are compared beside their place",
        MEASURED,
        "mouth_figures.mouth(bgr, region.seen_from(part))",
        "mouth_figures.mouth(bgr, region)",
        (REDRAWN,),
    ),
    Mutant(
        "no two mouths are compared",
        MEASURED,
        "index % LIKENESS_STEP_FRAMES == 0",
        "index % LIKENESS_STEP_FRAMES == 9",
        (REDRAWN,),
    ),
    Mutant(
        "decibels are given for likeness",
        MEASURED,
        '("psnr_db", "ssim"), pair',
        '("ssim", "psnr_db"), pair',
        (REDRAWN,),
    ),
    Mutant(
        "figures are means of two kinds",
        MEASURED,
        "np.mean(np.array(pairs), axis=0)",
        "np.mean(np.array(pairs), axis=1)",
        (REDRAWN,),
    ),
    Mutant(
        "new mouths are painted on frames that may not be written to",
        MEASURED,
        "(i, b.copy()) for i, b",
        "(i, b) for i, b",
        (REDRAWN,),
    ),
)
