"""Are copies of a video's sound recognised, and other sounds not taken for copies?

    python -m tests.benchmarks.duplicates CORPUS/train --videos 60 --copied 20

Copies are made of the first videos that are long enough, in several ways, and looked for among all.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.batch.videos import find_videos
from pipeline.select.duplicates import Name, Sound, originals
from pipeline.select.sound_print import Words, sound_words
from pipeline.store.files import write_json
from tests.benchmarks import report
from tests.synthetic import ffmpeg

SHORTEST_MOMENTS = 110  # of a video that is copied: about nine seconds
KINDS: dict[str, tuple[str, ...]] = {
    "MP3, 48 kbit/s": ("-c:a", "libmp3lame", "-b:a", "48k"),
    "AAC, 32 kbit/s, 12 dB quieter": ("-af", "volume=-12dB", "-c:a", "aac", "-b:a", "32k"),
    "begins 3.33 s later": ("-ss", "3.33", "-c:a", "aac"),
    "Opus, begins 0.04 s later": ("-ss", "0.04", "-c:a", "libopus", "-b:a", "32k"),
    "four seconds of it": ("-ss", "5", "-t", "4", "-c:a", "aac"),
    "played 2 % faster": ("-af", "atempo=1.02", "-c:a", "aac"),
}
RECOGNISED_BAR = 0.95  # of each kind but the last two, which are hard


def build_parser() -> argparse.ArgumentParser:
    """Flags of the script."""
    parser = report.parser(__doc__)
    # fmt: off
    add = parser.add_argument
    add("folder", help="of videos")
    add("--videos", type=int, default=60, help="how many are searched")
    add("--copied", type=int, default=20, help="how many are copied")
    # fmt: on
    return parser


def words_of(video: Path, folder: Path) -> Words:
    """The print of a file's sound."""
    raw = folder / "sound.s16"
    ffmpeg("-i", video, "-vn", "-ac", "1", "-ar", "16000", "-f", "s16le", raw)
    return sound_words(np.fromfile(raw, np.int16))


def main(argv: list[str] | None = None) -> int:
    """Copies, searches, counts."""
    args = build_parser().parse_args(argv)
    here = Path(args.folder)
    videos = [Path(video.video) for video in find_videos([args.folder])][: args.videos]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sounds: dict[Name, Sound] = {
            (here, video.name): Sound("", words_of(video, folder)) for video in videos
        }
        long = [v for v in videos if len(sounds[here, v.name].words) >= SHORTEST_MOMENTS]
        rows: list[list[Any]] = []
        for kind, arguments in KINDS.items():
            recognised = mistaken = 0
            for video in long[: args.copied]:
                copy = folder / "copy.mka"
                ffmpeg("-i", video, "-vn", "-ac", "1", *arguments, copy)
                searched = sounds | {(here, "copy"): Sound("", words_of(copy, folder))}
                original = originals(searched).get((here, "copy"))
                recognised += original == (here, video.name)
                mistaken += original not in (None, (here, video.name))
            rows.append([kind, recognised, mistaken, len(long[: args.copied])])
    report.print_table(["copies", "recognised", "taken for another", "of"], rows)
    among = originals(sounds)
    easy = rows[:-2]
    met = [
        report.verdict("other talks taken for copies", float(len(among)), 0, at_most=True),
        report.verdict(
            "least recognised",
            min(int(row[1]) / int(row[3]) for row in easy),
            RECOGNISED_BAR,
            at_most=False,
        ),
    ]
    if args.json:
        write_json(args.json, {"rows": rows, "among": len(among)})
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
