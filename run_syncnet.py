"""Says for every face clip by how much sound and lips are apart, and how sure that is.

    python run_syncnet.py --reference talk --data_dir data/work
    python run_syncnet.py --videofile face_clip.avi
    python run_syncnet.py --reference talk --data_dir data/work --correct in_sync.mp4

Scores what run_pipeline.py left and writes activesd.pckl, offsets.txt, offsets.json and the verdict
on the whole video, video.json, to pywork/.
Without --reference, a file that run_pipeline.py has not worked on is scored as one face clip.
A positive offset means that the sound leads the picture, in frames of 40 ms.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from models.device import PRECISION_CHOICES
from models.errors import InputError
from pipeline import cli
from pipeline.correction import qc
from pipeline.correction.stage import check, correct
from pipeline.store.workspace import Workspace
from pipeline.sync.report import TrackScore, demo_words, table, threshold
from pipeline.sync.scorer import DEFAULT_SYNC, SyncOptions, SyncScorer
from pipeline.sync.single_clip import is_single_clip, score_clip
from pipeline.sync.stage import score_tracks
from pipeline.verdict.standards import STANDARDS
from pipeline.verdict.video import read_verdict


def build_parser() -> argparse.ArgumentParser:
    """Flags of the script; names and defaults are those of the SyncNet demo."""
    parser = cli.parser(__doc__)
    # fmt: off
    add, default = parser.add_argument, DEFAULT_SYNC
    cli.add_scorer_flags(parser, default)
    add("--videofile", type=Path,
        help="The video run_pipeline.py has worked on, or one 224x224 face clip.")
    add("--save_features", type=Path, metavar="OUT.npy",
        help="Write the lip features of one face clip, (frames - 4, 512) of the published network "
        "and (frames - 4, 256) of the bundled one; OUT.lip.npy and OUT.audio.npy beside it get "
        "the embeddings.")
    add("--precision", choices=PRECISION_CHOICES, default=default.precision,
        help="Arithmetic of the network; auto is fp32 for published weights.")
    add("--correct", type=Path, metavar="OUT.mp4", help="Also write a copy of the video with its "
        "sound in sync, and score that again; the picture is copied bit for bit.")
    add("--per_shot", action="store_true",
        help="With --correct: move the sound of every shot by the shot's own offset.")
    add("--standard", choices=STANDARDS, help="Say whether the video, or its corrected copy, keeps "
        "this standard; the exit code is 0 where it does, 3 where not, 4 where it cannot be told.")
    add("--verbose", action="store_true", help="Print the confidence of every frame, too.")
    cli.add_device(parser)
    # fmt: on
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs the stage and says what came out, and where it is."""
    args = build_parser().parse_args(argv)
    workspace = cli.workspace(args)
    started = time.perf_counter()
    options = SyncOptions(**{f.name: getattr(args, f.name) for f in fields(SyncOptions)})
    named = None if args.reference else args.videofile
    single = is_single_clip(named, workspace, save_features=args.save_features, notice=print)
    check_correction(args, workspace, single=single)
    scorer = SyncScorer(options, device=args.device)
    code = 0
    if single:
        score_one(args, scorer)
    else:
        score_all(workspace, scorer, verbose=args.verbose)
        if not args.correct:
            print(*hint(workspace), sep="", end="")
        code = act(args, workspace, scorer)
    print(f"Compute time {time.perf_counter() - started:.3f} sec.")
    return code


def check_correction(args: argparse.Namespace, workspace: Workspace, *, single: bool) -> None:
    """Checks the flags of the copy before anything is scored.

    Raises:
        InputError: one needs another, or no such copy can be written.
    """
    if single and (args.correct or args.standard):
        raise InputError(
            f"{args.videofile} is one face clip; --correct and --standard are for a video that "
            "run_pipeline.py has worked on."
        )
    if args.per_shot and not args.correct:
        raise InputError("--per_shot says how a copy is corrected; give --correct, too.")
    if args.correct:
        check(workspace, args.correct, video=args.videofile)


def act(args: argparse.Namespace, workspace: Workspace, scorer: SyncScorer) -> int:
    """Writes the corrected copy and holds the verdict against a standard: an exit code."""
    if args.correct:
        with cli.progress_bars() as progress:
            corrected = correct(
                workspace,
                args.correct,
                scorer=scorer,
                per_shot=args.per_shot,
                video=args.videofile,
                progress=progress,
            )
        print("", *corrected.report(), sep="\n")
    if not args.standard:
        return 0
    verdict = corrected.after if args.correct else read_verdict(workspace.verdict)
    print(qc.sentence(verdict, args.standard))
    return qc.exit_code(verdict, args.standard)


def hint(workspace: Workspace) -> Iterator[str]:
    """A line with the command that mends a reliable offset, where there is one to mend."""
    if not workspace.verdict.is_file():
        return
    verdict = read_verdict(workspace.verdict)
    if not verdict.reliable or verdict.verdict == "in_sync":
        return
    flags = ["--correct", f"{workspace.reference}_corrected.mp4"]
    flags += ["--per_shot"] if verdict.verdict == "steps" else []
    yield f"A copy in sync: {cli.command('run_syncnet.py', workspace, *flags)}\n"


def score_one(args: argparse.Namespace, scorer: SyncScorer) -> None:
    """Scores one face clip and prints its result."""
    with cli.progress_bars() as progress:
        score = score_clip(
            args.videofile,
            scorer,
            save_features=args.save_features,
            notice=print,
            progress=progress,
        )
    print(demo_words(score, scorer.model.weights_file, framewise=args.verbose), flush=True)


def score_all(workspace: Workspace, scorer: SyncScorer, *, verbose: bool) -> None:
    """Scores the tracks of a workspace and prints each and a table of all."""

    def report(score: TrackScore) -> None:
        print(demo_words(score.clip, score.weights, framewise=verbose), flush=True)

    with cli.progress_bars() as progress:
        scores = score_tracks(workspace, scorer, each=report, notice=print, progress=progress)
    if not scores:
        print("There is no face clip to score: see the output of run_pipeline.py.")
        return
    words = [*table(scores), read_verdict(workspace.verdict).sentence, *threshold(scorer.model)]
    print("", *words, sep="\n")
    print(f"{len(scores)} tracks in {workspace.offsets_text}")
    print(cli.next_command("run_visualise.py", workspace))


if __name__ == "__main__":
    sys.exit(cli.run(main))
