"""Measures many videos: finds the faces, scores every track, and keeps a row of each.

    python run_batch.py --videos VIDEOS --data_dir data/batch
    python run_batch.py --videos list.txt --data_dir data/batch --keep none --shard 3/16
    python run_batch.py --videos 'talks/*.mp4' --data_dir data/batch --address auto

Run again it goes on where it was stopped. batch.jsonl has a line per video while it runs, and
batch.parquet a row per track at the end. A video that fails is a row that says why.
"""

import argparse
import sys
import time
from dataclasses import fields
from pathlib import Path

from tqdm import tqdm

from models.device import PRECISION_CHOICES
from pipeline import cli
from pipeline.batch.manifest import Line
from pipeline.batch.options import KEEP, BatchOptions
from pipeline.batch.run import is_failed, run_batch
from pipeline.batch.videos import Shard
from pipeline.errors import PipelineError
from pipeline.faces.detector import DETECTORS
from pipeline.faces.options import FaceOptions
from pipeline.sync.scorer import DEFAULT_SYNC, SyncOptions

LOG_EVERY_S = 60.0  # where stderr is no terminal


def build_parser() -> argparse.ArgumentParser:
    """Flags of the script; those of the stages are run_pipeline.py's and run_syncnet.py's."""
    parser = cli.plain_parser(__doc__)
    # fmt: off
    add, default, faces = parser.add_argument, BatchOptions(), FaceOptions()
    add("--videos", nargs="+", required=True, metavar="LIST|DIR|PATTERN", help="Text files with a "
        "path per line, folders, patterns in quotes, videos, or addresses that fsspec reads.")
    add("--data_dir", type=Path, default=Path("data/batch"),
        help="Folder of the manifest and all results.")
    add("--keep", choices=KEEP, default=default.keep, help="all leaves everything that "
        "run_pipeline.py and run_syncnet.py leave, crops the same without pictures and video.avi, "
        "none the manifest only.")
    add("--workers", type=int, default=default.workers,
        help="Processes, each with its models; 0 takes one per core, as far as memory goes.")
    add("--time_limit_s", type=float, default=default.time_limit_s,
        help="A video that takes longer is stopped, and fails.")
    add("--memory_gb", type=float, help="A video that needs more is stopped, and fails. Without "
        "it, an equal share of the free memory.")
    add("--shard", type=shard, default=Shard(), metavar="I/N",
        help="Only every N-th video, from the I-th on, counted from 0: for arrays of jobs.")
    add("--address", help="A Ray cluster to work on; auto is the one of this machine.")
    add("--retry_failed", action="store_true", help="Do videos again that have failed before.")
    add("--overwrite", action="store_true",
        help="Begin a new manifest, and replace results of other videos or settings.")
    cli.add_track_flags(parser, faces)
    cli.add_detection_flags(parser, faces, detectors=[*DETECTORS])
    cli.add_scorer_flags(parser, DEFAULT_SYNC)
    add("--precision", choices=PRECISION_CHOICES, default=DEFAULT_SYNC.precision,
        help="Arithmetic of detector and scorer; auto is fp32 for published weights.")
    cli.add_device(parser)
    # fmt: on
    return parser


def shard(text: str) -> Shard:
    """The value of --shard."""
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not like 3/16")
    return Shard(int(index), int(count))


def main(argv: list[str] | None = None) -> int:
    """Runs the batch and says what came out."""
    args = build_parser().parse_args(argv)
    options = batch_options(args)
    with Report() as report:
        batch = run_batch(
            *(args.videos, args.data_dir, options),
            shard=args.shard,
            each=report.each,
            progress=report.progress,
        )
    if batch.done_before:
        print(f"{batch.done_before} of {batch.videos} videos were done before.")
    print(f"{batch.videos} videos, {batch.failed} failed; {' and '.join(map(str, batch.files))}")
    if len(batch.files) == 1:
        print("pip install pyarrow, and run it again, for the same as batch.parquet.")
    if batch.failed == batch.videos:
        raise PipelineError(f"No video could be done; {batch.files[0]} says why of each.")
    print(f"next: python -m pipeline.select --data_dir {args.data_dir} --out SELECTED")
    return 0


def batch_options(args: argparse.Namespace) -> BatchOptions:
    """The options that the flags say."""
    flags = vars(args)
    stages = {
        kind: {field.name: flags[field.name] for field in fields(kind) if field.name in flags}
        for kind in (FaceOptions, SyncOptions)
    }
    own = [field.name for field in fields(BatchOptions) if field.name in flags]
    return BatchOptions(
        faces=FaceOptions(**stages[FaceOptions]),
        sync=SyncOptions(**stages[SyncOptions]),
        **{name: flags[name] for name in own},
    )


class Report:
    """What the batch says while it runs: failures, and how far it is; a context manager."""

    def __init__(self) -> None:
        self._bar: tqdm[object] | None = None
        self._failed = 0
        self._begun = self._logged = time.monotonic()
        self._first = -1

    def __enter__(self) -> "Report":
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def each(self, line: Line) -> None:
        """Names a video that failed."""
        if is_failed(line):
            self._failed += 1
            tqdm.write(f"failed: {line['reason']}", file=sys.stdout)
            sys.stdout.flush()

    def progress(self, step: str, done: int, total: int | None) -> None:
        """Draws the bar; where there is no terminal, writes a line every minute."""
        if self._bar is None:
            self._bar = tqdm(desc=step, total=total, initial=done, unit="", disable=None)
            self._first = done
        self._bar.update(done - self._bar.n)
        self._bar.set_postfix(failed=self._failed)
        now = time.monotonic()
        if self._bar.disable and now - self._logged >= LOG_EVERY_S and total:
            self._logged = now
            per_s = (done - self._first) / (now - self._begun)
            left = f"{(total - done) / per_s / 60:.0f} minutes left" if per_s else "no end in sight"
            words = f"{done} of {total} {step}, {self._failed} failed, {left}"
            print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(cli.run(main))
