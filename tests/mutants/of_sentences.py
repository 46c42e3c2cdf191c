"""Faults of one face along the output: what is heard when, and where mouths go."""

from tests.mutants.mutant import Mutant

SENTENCE = "pipeline/texture/sentence.py"

ALONG = "tests/test_own_mouth_sentence.py"
TEXTURE = "tests/test_texture.py"

DELAYED = f"{ALONG}::test_a_delayed_voice_is_heard_as_late_as_it_is"
PLACES = f"{ALONG}::test_mouths_of_different_runs_go_each_to_its_place"
HEAD = f"{ALONG}::test_mouths_follow_the_head_on_the_face_and_do_not_tremble"
ELSEWHERE = f"{ALONG}::test_a_face_from_elsewhere_and_of_another_size_fits"
LIT = f"{ALONG}::test_another_light_alone_covers_no_mouth"
COVERED = f"{ALONG}::test_what_covers_a_mouth_is_strange_beside_the_rest_of_the_track"
EASED = f"{ALONG}::test_between_two_joins_the_nearer_one_is_eased"

MUTANTS: tuple[Mutant, ...] = (
    # One face along the output.
    Mutant(
        "own mouths come back for five frames",
        SENTENCE,
        "since + until <= BRIDGED_FRAMES",
        "since + until < BRIDGED_FRAMES",
        (f"{ALONG}::test_own_mouths_come_back_for_no_less_than_six_frames",),
    ),
    Mutant(
        "in a loop the generator hears the film's time",
        SENTENCE,
        "self.voice.windows(self.positions[part] / self.frame_rate)",
        "self.voice.windows(self.sources[part] / self.frame_rate)",
        (f"{ALONG}::test_the_generator_hears_the_output_and_sees_the_source",),
    ),
    Mutant(
        "each block of a sentence begins anew",
        SENTENCE,
        "first=chosen[-1] if chosen else None",
        "first=None",
        (f"{ALONG}::test_a_block_goes_on_where_the_one_before_it_ended",),
    ),
    Mutant(
        "a block does not know what comes after it",
        SENTENCE,
        "path[: None if last else BLOCK_FRAMES - AHEAD_FRAMES]",
        "path",
        (f"{ALONG}::test_a_block_knows_what_comes_after_it",),
    ),
    Mutant(
        "a generator's mouths are known from the beginning of a sentence",
        SENTENCE,
        "self._proposed(range(0, len(self.positions), step))",
        "self._proposed(range(len(self.positions) // step))",
        (f"{ALONG}::test_a_generators_mean_is_that_of_all_of_a_sentence",),
    ),
    Mutant(
        "in a loop the moment itself is looked for at the output's time",
        SENTENCE,
        "times_s=self.sources[part] / self.frame_rate",
        "times_s=self.positions[part] / self.frame_rate",
        (f"{ALONG}::test_the_moment_itself_is_that_of_the_source",),
    ),
    Mutant(
        "own mouths are chosen for a voice without its delay",
        SENTENCE,
        "times_s - self.voice.delay_s)",
        "times_s)",
        (DELAYED,),
    ),
    Mutant(
        "own mouths are chosen for a voice that comes too early",
        SENTENCE,
        "times_s - self.voice.delay_s)",
        "times_s + self.voice.delay_s)",
        (DELAYED,),
    ),
    Mutant(
        "pauses are looked for in cepstra",
        SENTENCE,
        "self.voice.mel_windows(times_s)",
        "self.voice.windows(times_s)",
        (f"{ALONG}::test_pauses_are_those_of_the_voice_whatever_the_generator_hears",),
    ),
    Mutant(
        "real openings are the generator's",
        SENTENCE,
        "every = self._faces(slice(0, len(self.positions)))",
        "every = [self.drawn.read(at) for at in range(len(self.positions))]",
        (f"{ALONG}::test_real_openings_are_those_of_the_film",),
    ),
    Mutant(
        "all mouths go where the face is on the first frame",
        SENTENCE,
        "library.face_regions[own[at]], self.regions[at])",
        "library.face_regions[own[at]], self.regions[0])",
        (PLACES,),
    ),
    Mutant(
        "mouths are taken from where the face was as many frames after the beginning",
        SENTENCE,
        "maps[at] = align.on_frames(moved, library.face_regions[own[at]]",
        "maps[at] = align.on_frames(moved, library.face_regions[at]",
        (PLACES,),
    ),
    Mutant(
        "places are smoothed across joins",
        SENTENCE,
        "np.split(np.arange(len(own)), self.joins(library, own))",
        "[np.arange(len(own))]",
        (PLACES,),
    ),
    Mutant(
        "places are smoothed over a time without the face",
        SENTENCE,
        "~(follows & (np.diff(self.positions) == 1))",
        "~follows",
        (f"{ALONG}::test_nothing_is_smoothed_over_a_time_without_the_face",),
    ),
    Mutant(
        "a mouth at the end of its run is drawn back to where it was filmed",
        SENTENCE,
        "(own >= 0)[:-1] & (own >= 0)[1:] & ",
        "(own >= 0)[:-1] & ",
        (f"{ALONG}::test_a_mouth_before_a_frame_without_one_stays_in_its_place",),
    ),
    Mutant(
        "mouths tremble with the regions of a face",
        SENTENCE,
        "                maps[run] = align.steadied(maps[run], sources)\n",
        "                pass\n",
        (HEAD,),
    ),
    Mutant(
        "mouths are turned as the head was, not as it is",
        SENTENCE,
        "library.grey[own[at]], cv2.cvtColor(target, cv2.COLOR_BGR2GRAY)",
        "cv2.cvtColor(target, cv2.COLOR_BGR2GRAY), library.grey[own[at]]",
        (HEAD,),
    ),
    Mutant(
        "mouths are turned to another frame's head",
        SENTENCE,
        "target = self.originals.read(int(self.numbers[at]))\n            moved",
        "target = self.originals.read(at)\n            moved",
        (HEAD,),
    ),
    Mutant(
        "an own face is compared from where the new one is",
        SENTENCE,
        "source = library.face_regions[mouth]",
        "source = self.regions[at]",
        (ELSEWHERE,),
    ),
    Mutant(
        "an own face is compared with another frame's",
        SENTENCE,
        "self.originals.read(int(self.numbers[at])), cv2.COLOR_BGR2GRAY)\n        source",
        "self.originals.read(at), cv2.COLOR_BGR2GRAY)\n        source",
        (ELSEWHERE,),
    ),
    Mutant(
        "another light refuses own mouths",
        SENTENCE,
        "(self._strange() > MOST_STRANGE) & (edge",
        "(self._strange() > MOST_STRANGE) | (edge",
        (LIT,),
    ),
    Mutant(
        "a mouth is strange by its most unlike frames",
        SENTENCE,
        "np.percentile(apart, STRANGE_PERCENTILE)",
        "np.percentile(apart, 100 - STRANGE_PERCENTILE)",
        (LIT,),
    ),
    Mutant(
        "in a loop a mouth is compared with its own moment",
        SENTENCE,
        "times_s = self.sources / self.frame_rate\n        unit",
        "times_s = self.positions / self.frame_rate\n        unit",
        (COVERED,),
    ),
    Mutant(
        "five other frames say what is strange",
        SENTENCE,
        "if far.sum() >= LEAST_COMPARED:",
        "if far.any():",
        (COVERED,),
    ),
    Mutant(
        "a mouth that stays covered is compared with itself",
        SENTENCE,
        "np.abs(times_s[some] - times_s[at]) >= selection.LEAST_APART_S",
        "np.abs(times_s[some] - times_s[at]) >= 0",
        (COVERED,),
    ),
    Mutant(
        "of two joins the later one is eased, however far it is",
        SENTENCE,
        "                    and mixed > share[at]\n",
        "",
        (EASED,),
    ),
    Mutant(
        "mouths are eased after a join alone",
        SENTENCE,
        "range(max(0, join - EASED_FRAMES), min",
        "range(join, min",
        (EASED,),
    ),
    Mutant(
        "mouths are eased towards a join beyond a time without the face",
        SENTENCE,
        "if self.positions[at] - self.positions[join] != at - join:",
        "if False:",
        (f"{ALONG}::test_a_join_eases_nothing_beyond_a_gap",),
    ),
    Mutant(
        "the last mouth of a run belongs to the next one",
        SENTENCE,
        "np.cumsum(library.following < 0) - (library.following < 0)",
        "np.cumsum(library.following < 0)",
        (f"{TEXTURE}::test_joins_are_eased_on_both_sides",),
    ),
)
