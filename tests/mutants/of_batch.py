"""Faults of batches and selections."""

from tests.mutants.mutant import Mutant

BATCH, SELECT = "tests/test_batch.py", "tests/test_select.py"
ON_RAY, WORKER = "tests/test_batch_ray.py", "tests/test_batch_worker.py"
RAY = "pipeline/batch/ray_workers.py"
SELECTION, PRINT = "pipeline/select/selection.py", "pipeline/select/sound_print.py"
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
    Mutant(
        "the video of a machine that went is lost",
        RAY,
        "waiting.append((video, attempt + 1))",
        "pass",
        (f"{ON_RAY}::test_the_video_of_a_machine_that_goes_is_given_to_another",),
    ),
    Mutant(
        "nobody takes the place of a machine that went",
        RAY,
        "            self._ray.kill(actor)\n            self._start()\n",
        "            self._ray.kill(actor)\n",
        (f"{ON_RAY}::test_a_video_whose_machines_keep_going_fails_and_the_others_do_not",),
    ),
    Mutant(
        "machines that are gone count for the memory of an actor",
        RAY,
        '[n for n in ray.nodes() if n["Alive"]]',
        "ray.nodes()",
        (f"{ON_RAY}::test_a_machine_shares_its_memory_among_its_own_actors",),
    ),
    Mutant(
        "actors on the CPU keep GPUs from others",
        RAY,
        ' if options.device != "cpu" else 0',
        "",
        (f"{ON_RAY}::test_actors_share_what_the_cluster_has",),
    ),
    Mutant(
        "an error nobody expected ends the worker",
        "pipeline/batch/worker.py",
        'if os.environ.get("SYNCNET_DEBUG"):',
        "if True:",
        (f"{WORKER}::test_worker_goes_on_after_an_error_nobody_expected",),
    ),
    Mutant(
        "a worker finishes its video for nobody",
        "pipeline/batch/worker.py",
        "    os._exit(0)\n",
        "",
        (f"{WORKER}::test_worker_ends_with_its_input_whatever_it_works_on",),
    ),
    Mutant(
        "a copy of a dropped video is dropped",
        SELECTION,
        "if any(not one.reason for one in tracks) and not options.duplicates:",
        "if not options.duplicates:",
        (f"{SELECT}::test_a_copy_of_a_dropped_video_stays",),
    ),
    Mutant(
        "quiet moments count in a print",
        PRINT,
        "words[total <= total.max() * 10 ** (QUIET_DB / 10)] = 0",
        "pass",
        (f"{SELECT}::test_what_is_hardly_heard_is_not_known_again",),
    ),
    Mutant(
        "the print of a long sound is as long",
        PRINT,
        "samples = samples[: int(LONGEST_S * SAMPLE_RATE)]",
        "pass",
        (f"{SELECT}::test_print_of_a_long_sound_is_of_its_first_minute",),
    ),
    Mutant(
        "two prints differ less than they do",
        PRINT,
        ".mean() / (BANDS - 1)",
        ".mean() / (2 * BANDS)",
        (f"{SELECT}::test_prints_survive_as_text",),
    ),
)
