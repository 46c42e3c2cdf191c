"""Faults that were drawn by chance and that no test noticed at first."""

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "the constant one of the embeddings is compared in training",
        "training/tasks/syncnet_module.py",
        "last = v.shape[2] - bool(",
        "last = v.shape[2] + bool(",
        (
            "tests/test_training_step.py"
            "::test_what_is_compared_is_the_learned_part_of_the_embeddings",
        ),
    ),
    Mutant(
        "a file that was not finished stays",
        "pipeline/media/encode.py",
        "            self._tidy()\n\n    def _finish",
        "            pass\n\n    def _finish",
        ("tests/test_media.py::test_video_writer_leaves_nothing_after_an_error",),
    ),
    Mutant(
        "a track that ends after the video's counted frames is cut",
        "pipeline/speakers/video.py",
        "*(face.start + face.frames for face in faces)])",
        "*(face.start - face.frames for face in faces)])",
        ("tests/test_speakers.py::test_a_track_that_ends_after_the_video_keeps_its_frames",),
    ),
    Mutant(
        "what a clip's embeddings are can be changed afterwards",
        "pipeline/sync/embedded.py",
        "@dataclass(frozen=True)\nclass Embedded:",
        "@dataclass(frozen=False)\nclass Embedded:",
        ("tests/test_architecture.py::test_dataclasses_are_frozen",),
    ),
    Mutant(
        "what is 52 dB below the loudest moment is known again",
        "pipeline/select/sound_print.py",
        "total.max() * 10 **",
        "total.max() * 11 **",
        ("tests/test_select.py::test_what_is_50_db_below_the_loudest_moment_is_hardly_heard",),
    ),
)
