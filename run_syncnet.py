"""Says for every face clip by how much sound and lips are apart, and how sure that is.

    python run_syncnet.py --reference talk --data_dir data/work

Reads what run_pipeline.py wrote; writes activesd.pckl, offsets.txt and offsets.json to pywork/.
A positive offset means that the sound leads the picture, in frames of 40 ms.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from models.weights import WeightsUsed
from pipeline import cli
from pipeline.scores import ClipScore, score_tracks


def build_parser() -> argparse.ArgumentParser:
    """Flags of the script; names and defaults are those of the SyncNet demo."""
    parser = cli.parser(__doc__)
    add = parser.add_argument
    add("--initial_model", default="auto", help="weights file; auto: published one, else bundled")
    add("--batch_size", type=int, default=20, help="windows in one pass")
    add("--vshift", type=int, default=15, help="largest shift searched, frames")
    add("--videofile", type=Path, help="only names the reference here, as for run_pipeline.py")
    add("--device", default="auto", help="auto, cpu, cuda, mps")
    return parser


def show(score: ClipScore, used: WeightsUsed) -> None:
    """Prints one clip's result in the demo's words."""
    print(f"{score.file} ({used.file})")
    if score.warning:
        print(score.warning)
    if score.sync:
        with np.printoptions(formatter={"float": "{: 0.3f}".format}):
            print(f"Framewise conf: \n{score.sync.framewise}")
        print(f"AV offset: \t{score.sync.offset_frames} \nMin dist: \t{score.sync.min_dist:.3f}")
        print(f"Confidence: \t{score.sync.confidence:.3f}", flush=True)


def main(argv: list[str] | None = None) -> int:
    """Runs the stage and says where the results are."""
    args = build_parser().parse_args(argv)
    place = cli.workspace(args)
    options = {name: getattr(args, name) for name in ("initial_model", "batch_size", "vshift")}
    started = time.perf_counter()
    scores = score_tracks(place, **options, device=cli.torch_device(args.device), report=show)
    print(f"Compute time {time.perf_counter() - started:.3f} sec.")
    if not scores:
        print("There is no face clip to score: see what run_pipeline.py said about this video.")
    print(f"{len(scores)} tracks in {place.offsets_text}")
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
