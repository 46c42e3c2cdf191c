"""Faults of batches and selections."""

from tests.mutants.mutant import Mutant

BATCH, SELECT = "tests/test_batch.py", "tests/test_select.py"
SUPERVISOR, MANIFEST = "pipeline/batch/supervisor.py", "pipeline/batch/manifest.py"
MISFORTUNE = f"{BATCH}::test_every_misfortune_is_a_row_and_the_rest_is_done"

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "a video that crashes its worker is not tried again",
        SUPERVISOR,
        "ATTEMPTS = 2 ",
        "ATTEMPTS = 1 ",
        (MISFORTUNE,),
    ),
    Mutant(
        "memory of a worker's children does not count",
        SUPERVISOR,
        "yield from _tree(int(child))",
        "pass",
        (f"{BATCH}::test_memory_of_the_whole_tree_counts",),
    ),
    Mutant(
        "a line counts before it is on the disk",
        MANIFEST,
        "            os.fsync(self._file)\n",
        "",
        (f"{BATCH}::test_a_line_is_on_the_disk_when_it_counts",),
    ),
    Mutant(
        "the next line is glued to one that was cut off",
        MANIFEST,
        "os.ftruncate(self._file, end)",
        "pass",
        (f"{BATCH}::test_a_torn_last_line_is_cut_off",),
    ),
    Mutant(
        "a file that has changed is not done again",
        MANIFEST,
        "is_current = self._keys.get(video.video) == tuple(video.key[name] for name in KEY)",
        "is_current = video.video in self._keys",
        (f"{BATCH}::test_what_was_recorded_is_not_done_again",),
    ),
    Mutant(
        "frames of a large video stay in memory",
        "pipeline/media/normalise.py",
        "            self._held.clear()",
        "            pass",
        ("tests/test_batch_videos.py::test_frames_in_memory_are_those_of_the_file",),
    ),
    Mutant(
        "of videos with the same sound all stay",
        "pipeline/select/duplicates.py",
        "            copies[name] = original\n",
        "",
        (f"{SELECT}::test_a_selection_says_what_it_did",),
    ),
    Mutant(
        "in-sync copies are moved the wrong way",
        "pipeline/select/copies.py",
        "    late = round((candidate",
        "    late = -round((candidate",
        ("tests/test_flags.py::test_flag_has_its_effect[select-in_sync]",),
    ),
)
