"""Says for every face clip by how much sound and lips are apart, and how sure that is.

    python run_syncnet.py --reference talk --data_dir data/work
    python run_syncnet.py --videofile face_clip.avi

Scores what run_pipeline.py left and writes activesd.pckl, offsets.txt and offsets.json to pywork/.
Without --reference, a file that run_pipeline.py has not worked on is scored as one face clip.
A positive offset means that the sound leads the picture, in frames of 40 ms.
"""

import argparse
import sys
import time
from dataclasses import fields
from pathlib import Path

from models.precision import CHOICES
from models.weights import WeightsUsed
from pipeline import cli
from pipeline.sync.scorer import DEFAULT_SYNC, ClipScore, SyncOptions, demo_words
from pipeline.sync.single_clip import face_clip, score_crop
from pipeline.sync.stage import score_tracks


def build_parser() -> argparse.ArgumentParser:
    """Flags of the script; names and defaults are those of the SyncNet demo."""
    parser = cli.parser(__doc__)
    # fmt: off
    add, default = parser.add_argument, DEFAULT_SYNC
    add("--initial_model", default=default.initial_model,
        help="weights file; auto: published one, else bundled")
    add("--batch_size", type=int, default=default.batch_size, help="windows in one pass")
    add("--vshift", type=int, default=default.vshift, help="largest shift searched, frames")
    add("--videofile", type=Path, help="what run_pipeline.py has worked on, or one 224x224 clip")
    add("--save_features", type=Path, metavar="OUT.npy", help="of a face clip: (frames - 4, 512) "
        "lip features before the head; beside it OUT.lip.npy, OUT.audio.npy: what is compared")
    add("--precision", choices=CHOICES, default=default.precision,
        help="auto: fp32 for published weights")
    add("--device", default="auto", help=", ".join(cli.DEVICES))
    # fmt: on
    return parser


def tell(score: ClipScore, used: WeightsUsed) -> None:
    """Prints one clip's result in the demo's words."""
    print(demo_words(score, used), flush=True)


def main(argv: list[str] | None = None) -> int:
    """Runs the stage and says what came out, and where it is."""
    args = build_parser().parse_args(argv)
    place = cli.workspace(args)
    options = SyncOptions(**{f.name: getattr(args, f.name) for f in fields(SyncOptions)})
    device = cli.torch_device(args.device)
    started = time.perf_counter()
    named = None if args.reference else args.videofile
    clip = face_clip(named, place, save_features=args.save_features, notice=print)
    if clip:
        score_crop(
            clip,
            options,
            device=device,
            save_features=args.save_features,
            notice=print,
            report=tell,
        )
    else:
        scores = score_tracks(place, options, device=device, notice=print, report=tell)
        if not scores:
            print("There is no face clip to score: see what run_pipeline.py said of this video.")
        print(f"{len(scores)} tracks in {place.offsets_text}")
    print(f"Compute time {time.perf_counter() - started:.3f} sec.")
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
