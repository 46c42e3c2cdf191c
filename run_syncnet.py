"""Says for every face clip by how much sound and lips are apart, and how sure that is.

    python run_syncnet.py --reference talk --data_dir data/work
    python run_syncnet.py --videofile face_clip.avi

Scores what run_pipeline.py left and writes activesd.pckl, offsets.txt, offsets.json and the verdict
on the whole video, video.json, to pywork/.
Without --reference, a file that run_pipeline.py has not worked on is scored as one face clip.
A positive offset means that the sound leads the picture, in frames of 40 ms.
"""

import argparse
import sys
import time
from dataclasses import fields
from pathlib import Path

from models.device import PRECISION_CHOICES
from pipeline import cli
from pipeline.store.workspace import Workspace
from pipeline.sync.report import TrackScore, demo_words, table
from pipeline.sync.scorer import DEFAULT_SYNC, SyncOptions, SyncScorer
from pipeline.sync.single_clip import is_single_clip, score_clip
from pipeline.sync.stage import score_tracks
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
    scorer = SyncScorer(options, device=args.device)
    if single:
        score_one(args, scorer)
    else:
        score_all(workspace, scorer, verbose=args.verbose)
    print(f"Compute time {time.perf_counter() - started:.3f} sec.")
    return 0


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
    least = scorer.model.reliable_from["reliable_confidence"]
    print("", *table(scores), read_verdict(workspace.verdict).sentence, sep="\n")
    name = scorer.model.weights_file.file
    print(f"Offsets by {name} begin to be reliable at a confidence of {least:g}.")
    print(f"{len(scores)} tracks in {workspace.offsets_text}")
    print(cli.next_command("run_visualise.py", workspace))


if __name__ == "__main__":
    sys.exit(cli.run(main))
