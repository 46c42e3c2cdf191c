"""Sound against picture, in milliseconds: a table of containers and rates, and of a real clip.

    python -m tests.benchmarks.clock                        # made clips, the ffmpeg in use
    python -m tests.benchmarks.clock --made outputs         # one of its four tables
    python -m tests.benchmarks.clock --clip talk.mp4        # a real clip copied into containers
    python -m tests.benchmarks.clock --clip talk.mp4 --cuts 50
    python -m tests.benchmarks.clock --clip talk.mp4 --rates_only
    python -m tests.benchmarks.clock --tracks data/work     # the median offset of all tracks there
    python -m tests.benchmarks.clock --tracks data/work --only 'studio.*'

Run it once for each ffmpeg (FFMPEG_BINARY). The error of a made clip is how much further apart
sound and picture are in video.avi's clock, or in another output, than the file itself presents
them; of a real clip, the offset that run_syncnet.py measures is shown for each container.
"""

import argparse
import random
import re
import shutil
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.errors import ToolkitError
from pipeline.faces.options import FaceOptions
from pipeline.faces.stage import find_faces
from pipeline.media.process import encoders, ffmpeg_version
from pipeline.store.workspace import Workspace
from pipeline.sync.scorer import SyncScorer
from pipeline.sync.stage import score_tracks
from tests import clock_kit, output_clock_kit
from tests.clock_kit import (
    AAC,
    FIELDS,
    FORMATS,
    H264,
    INTERLACED,
    MUXED,
    MUXERS,
    PCM,
    RATES,
    Clip,
    Format,
)
from tests.synthetic import ffmpeg, varying_rate

# MPEG-2 knows no other rates, AVI and ASF no times but multiples of one frame.
COPIES = (".mp4", ".mov", ".mkv", ".ts", ".m2ts", ".flv", ".avi", ".nut", ".3gp", ".mpg", ".vob")
ENCODED_RATES = ("23.976", "24", "25", "29.97", "30", "50", "59.94")


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--made", choices=MADE, nargs="+", default=list(MADE), help="which tables")
    parser.add_argument("--clip", type=Path, help="a real clip of a face that speaks")
    parser.add_argument("--cuts", type=int, default=0, help="so many cuts of it at random bytes")
    parser.add_argument("--rates_only", action="store_true", help="of --clip, no containers")
    parser.add_argument("--tracks", type=Path, help="results of run_pipeline.py, scored here")
    parser.add_argument("--only", default=".*", help="pattern of the references among --tracks")
    args = parser.parse_args()
    print(ffmpeg_version())
    if args.tracks is not None:
        median_offset(args.tracks, only=args.only)
        return
    with tempfile.TemporaryDirectory() as folder:
        if args.clip is None:
            for name in args.made:
                MADE[name](Path(folder))
        else:
            print(f"{args.clip.name}: {_offset(args.clip, Path(folder))}")
            if not args.rates_only:
                in_containers(args.clip, Path(folder), cuts=args.cuts)
            at_rates(args.clip, Path(folder))


def containers(folder: Path) -> None:
    """Prints the error of every container at every rate it takes."""
    _print_head("container", *RATES)
    for kind in FORMATS:
        if {kind.video[1], kind.audio[1]} - encoders():
            continue
        print(
            f"| {kind} | "
            + " | ".join(_error(kind, rate, folder) for rate in RATES.values())
            + " |"
        )


def _print_head(*names: str) -> None:
    print(f"| {' | '.join(names)} |")
    print("|" + "---|" * len(names))


def _error(kind: Format, rate: Fraction, folder: Path) -> str:
    try:
        clip = clock_kit.make(folder, kind, rate)
    except AssertionError:
        return "-"
    return _error_of(clip, folder)


def _error_of(clip: Clip, folder: Path) -> str:
    error_s = clock_kit.skew_of_result_s(clip, folder) - clock_kit.skew_of_file_s(clip)
    return f"{1000 * error_s:+.2f}"


def muxers(folder: Path) -> None:
    """Prints the error of files that programs other than ffmpeg put together."""
    _print_head("muxer", *RATES)
    for muxer, suffix in MUXERS.items():
        if shutil.which(muxer) is None:
            print(f"| {muxer}: not installed |")
            continue
        for kind in MUXED:
            cells = []
            for rate in RATES.values():
                clip = clock_kit.make(folder, kind, rate)
                clip = clock_kit.muxed(clip, kind, muxer, folder)
                try:
                    cells.append(_error_of(clip, folder))
                except AssertionError:  # it gave some pictures the times of others
                    cells.append("-")
            print(f"| {muxer} {suffix[1:]} {kind.audio[1]} | " + " | ".join(cells) + " |")


def interlaced(folder: Path) -> None:
    """Prints the error of interlaced sources, by the first field of each picture."""
    rates = ("25", "29.97")
    heads = [f"{rate}i, {first} first" for rate in rates for first in FIELDS]
    _print_head("interlaced", *heads)
    for kind in INTERLACED:
        clips = (
            clock_kit.make(folder, kind, RATES[rate], first_field=first)
            for rate in rates
            for first in FIELDS
        )
        print(f"| {kind} | " + " | ".join(_error_of(clip, folder) for clip in clips) + " |")


def outputs(folder: Path) -> None:
    """Prints the error of every file that is made of a clip: AVI by its frame clock."""
    mkv, mp4 = Format(".mkv", H264, PCM), Format(".mp4", H264, AAC)
    sources = [(mkv, name, False) for name in RATES] + [(mkv, "30", True), (mp4, "29.97", True)]
    sources += [(kind, "25", False) for kind in FORMATS if kind != mkv]
    _print_head("source", "video.avi", "crop", "video_out.avi", "video_wav2lip.mp4")
    for kind, rate, irregular in sources:
        if {kind.video[1], kind.audio[1]} - encoders():
            continue
        work = folder / f"{kind}{rate}{irregular}"
        work.mkdir()
        clip = clock_kit.make(work, kind, RATES[rate], irregular=irregular)
        truth_s = clock_kit.skew_of_file_s(clip)
        errors_s = [skew - truth_s for _, skew in output_clock_kit.skews_s(clip, work)]
        errors_text = " | ".join(f"{1000 * error_s:+.2f}" for error_s in errors_s)
        print(f"| {kind} {rate}{' varying' * irregular} | {errors_text} |", flush=True)
        shutil.rmtree(work)


MADE = {one.__name__: one for one in (containers, muxers, interlaced, outputs)}


def in_containers(clip: Path, folder: Path, *, cuts: int) -> None:
    """Prints the offset of a clip in every container, and cut anywhere."""
    for suffix in COPIES:
        copy = folder / f"copy{suffix}"
        try:
            ffmpeg("-i", clip, "-map", "0:v:0", "-map", "0:a:0", "-c", "copy", copy)
        except AssertionError:
            print(f"copied into {suffix}: the streams do not go into it")
            continue
        print(f"copied into {suffix}: {_offset(copy, folder)}")
    stream = folder / "copy.ts"
    whole = stream.read_bytes() if stream.is_file() else b""
    for seed in range(cuts):
        cut = folder / "cut.ts"
        cut.write_bytes(whole[random.Random(seed).randrange(len(whole) // 3) :])
        print(f"cut {seed}: {_offset(cut, folder)}", flush=True)


def at_rates(clip: Path, folder: Path) -> None:
    """Prints the offset of a clip at other rates, and with three of seven pictures left out."""
    for rate in ENCODED_RATES:
        # Not -r, which shows each picture of 29.97 fps up to two frames late at 24.
        _print_encoded(clip, folder, f"{rate} fps", f"fps={RATES[rate]}:round=near")
    _print_encoded(clip, folder, "a varying rate", "select='lt(mod(n*n,7),4)'")
    # Fields need pictures in between; interlaced 4:2:0 needs a height that four divides.
    between = "minterpolate=fps=50,crop=iw:floor(ih/4)*4"
    _print_encoded(clip, folder, "50 fps, interpolated", between)
    fields = f"{between},tinterlace=interleave_top"
    _print_encoded(clip, folder, "25i of those", fields, "-flags", "+ilme+ildct")


def _print_encoded(clip: Path, folder: Path, what: str, filters: str, *coding: str) -> None:
    encoded = folder / "encoded.mkv"
    codecs = ("-c:v", "libx264", "-crf", "16", "-c:a", "pcm_s16le", *coding)
    ffmpeg("-i", clip, "-vf", filters, *varying_rate(), *codecs, encoded)
    print(f"at {what}: {_offset(encoded, folder)}", flush=True)


def median_offset(data_dir: Path, *, only: str) -> None:
    """Prints the median offset of all tracks of some videos, and of the reliable ones.

    Tracks without a score are scored, as run_syncnet.py does it, and keep it.
    """
    rows: list[dict[str, Any]] = []
    for folder in sorted((data_dir / "pycrop").iterdir()):
        if re.fullmatch(only, folder.name):
            rows += _rows(Workspace(data_dir, folder.name))
    for name, chosen in (
        ("all", rows),
        ("reliable", [row for row in rows if row["reliable"]]),
    ):
        offsets_ms = [row["offset_ms"] for row in chosen if row["offset_ms"] is not None]
        if offsets_ms:
            low, middle, high = np.percentile(offsets_ms, [25, 50, 75])
            print(
                f"{name}: {len(offsets_ms)} tracks, median {middle:+.1f} ms, "
                f"half of them {low:+.1f} to {high:+.1f}"
            )


def _rows(work: Workspace) -> list[dict[str, Any]]:
    """Offset and reliability of every track."""
    cpu = torch.device("cpu")
    if work.tracks.is_file():
        if not work.offsets_json.is_file():
            score_tracks(work, SyncScorer(device=cpu))
        return work.read_offsets()
    scorer = SyncScorer(device=cpu)  # drawn heads have clips only
    scores = (scorer.score(clip) for clip in work.clips().values())
    return [
        {"offset_ms": score.sync.offset_ms, "reliable": score.sync.reliable}
        for score in scores
        if score.sync
    ]


def _offset(video: Path, folder: Path) -> str:
    """Offsets of a video's tracks, or the sentence that says why there is none."""
    work = Workspace(folder / "work", video.stem + video.suffix[1:])
    cpu = torch.device("cpu")
    options = FaceOptions(min_face_size=50, min_track=50, keep_frames=False)
    try:
        find_faces(video, work, options, device=cpu, overwrite=True)
        scores = score_tracks(work, SyncScorer(device=cpu))
    except ToolkitError as error:
        return str(error)
    return ", ".join(
        f"{score.sync.offset_ms:+.1f} ms" + ("" if score.sync.reliable else " (not reliable)")
        for score in scores
        if score.sync
    )


if __name__ == "__main__":
    main()
