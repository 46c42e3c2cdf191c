"""Filters batches to a training set: which tracks stay, and why the others do not.

    python -m pipeline.select --data_dir data/batch --out SELECTED
    python -m pipeline.select --data_dir data/batch --out SELECTED --min_confidence 3 --max_offset 3

clips.txt is a list that train_syncnet.py and train_wav2lip.py take as --data. selection.jsonl has
every track with what was decided and why, selection.png the same as histograms, videos.txt the
videos with a track that stays. Of videos with the same sound only the first stays.
"""

import argparse
import sys
from pathlib import Path

from pipeline import cli
from pipeline.errors import InputError
from pipeline.select.choose import SelectOptions
from pipeline.select.selection import CLIPS, VIDEOS, Selection, select


def build_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = cli.plain_parser(__doc__, program="python -m pipeline.select")
    # fmt: off
    add, default = parser.add_argument, SelectOptions()
    add("--data_dir", type=Path, nargs="+", required=True, help="Folders of run_batch.py.")
    add("--out", type=Path, required=True, help="Folder for everything that is written.")
    add("--min_confidence", type=float, help="Least confidence, in units of the weights. Without "
        "it, the offset must be reliable.")
    add("--min_probability", type=float,
        help="Least probability that the offset is right. Without it, any.")
    add("--max_offset", type=float, default=default.max_offset,
        help="Largest offset either way, in frames of 40 ms.")
    add("--min_seconds", type=float, default=default.min_seconds, help="Least length of a track.")
    add("--duplicates", action="store_true", help="Keep all videos that have the same sound.")
    add("--in_sync", action="store_true",
        help="Write the clips anew with their offsets taken out, to pycrop/ in --out.")
    add("--shard_mb", type=float, metavar="MB",
        help="Write the clips as webdataset shards, each of at most so many megabytes.")
    # fmt: on
    return parser


def main(argv: list[str] | None = None) -> int:
    """Selects, and says what stays and why the rest does not."""
    args = build_parser().parse_args(argv)
    options = SelectOptions(
        min_confidence=args.min_confidence,
        min_probability=args.min_probability,
        max_offset=args.max_offset,
        min_seconds=args.min_seconds,
        duplicates=args.duplicates,
    )
    if args.shard_mb is not None and not args.shard_mb > 0:
        raise InputError(f"--shard_mb {args.shard_mb:g} must be above 0.")
    with cli.progress_bars() as progress:
        selection = select(
            *(args.data_dir, args.out, options),
            in_sync=args.in_sync,
            shard_mb=args.shard_mb,
            progress=progress,
        )
    print(*words(selection), sep="\n")
    if args.out / CLIPS in selection.files:
        print(f"next: python train_syncnet.py --data {args.out / CLIPS} --run RUN")
    else:
        print(
            "There are no clips to train on; next: python run_batch.py --videos "
            f"{args.out / VIDEOS} --keep crops --data_dir CLIPS"
        )
    return 0


def words(selection: Selection) -> list[str]:
    """Lines that say what stays, and why the rest does not."""
    tracks, every = selection.tracks, selection.candidates
    hours = sum(one.seconds for one in tracks) / 3600
    lines = [f"{len(tracks)} of {len(every)} tracks stay, {hours:.2f} hours; dropped:"]
    lines += [f"{count:7d}  {reason}" for reason, count in selection.reasons.most_common()]
    if selection.without_track:
        lines.append(f"{selection.without_track} videos without a track; batch.jsonl says why.")
    return [*lines, f"written: {', '.join(map(str, selection.files))}"]


if __name__ == "__main__":
    sys.exit(cli.run(main))
