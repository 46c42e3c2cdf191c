"""Sound against picture, in milliseconds: a table of containers and rates, and of a real clip.

    python -m tests.benchmarks.clock                        # made clips, the ffmpeg in use
    python -m tests.benchmarks.clock --clip talk.mp4        # a real clip copied into containers
    python -m tests.benchmarks.clock --clip talk.mp4 --cuts 50

Run it once for each ffmpeg (FFMPEG_BINARY). The error of a made clip is how much further apart
sound and picture are in video.avi's clock than the file itself presents them; of a real clip, the
offset that run_syncnet.py measures is shown for each container.
"""

import argparse
import random
import tempfile
from fractions import Fraction
from pathlib import Path

import torch

from pipeline.errors import ToolkitError
from pipeline.prepare import PipelineOptions, prepare
from pipeline.process import encoders, ffmpeg_version
from pipeline.scores import score_tracks
from pipeline.workspace import Workspace
from tests import clock_kit
from tests.clock_kit import FORMATS, RATES, Format
from tests.synthetic import ffmpeg

# MPEG-2 knows no other rates, AVI and ASF no times but multiples of one frame.
COPIES = (".mp4", ".mov", ".mkv", ".ts", ".m2ts", ".flv", ".avi", ".nut", ".3gp", ".mpg", ".vob")
ENCODED_RATES = ("23.976", "24", "29.97", "30", "50", "59.94")


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--clip", type=Path, help="a real clip of a face that speaks")
    parser.add_argument("--cuts", type=int, default=0, help="so many cuts of it at random bytes")
    args = parser.parse_args()
    print(ffmpeg_version())
    with tempfile.TemporaryDirectory() as folder:
        if args.clip is None:
            made_clips(Path(folder))
        else:
            real_clip(args.clip, Path(folder), cuts=args.cuts)


def made_clips(folder: Path) -> None:
    """Prints the error of every container at every rate it takes."""
    print("| container | " + " | ".join(RATES) + " |")
    print("|---|" + "---|" * len(RATES))
    for kind in FORMATS:
        if {kind.video[1], kind.audio[1]} - encoders():
            continue
        print(
            f"| {kind} | "
            + " | ".join(_error(kind, rate, folder) for rate in RATES.values())
            + " |"
        )


def _error(kind: Format, rate: Fraction, folder: Path) -> str:
    try:
        clip = clock_kit.make(folder, kind, rate)
    except AssertionError:
        return "-"
    error_s = clock_kit.skew_of_result_s(clip, folder) - clock_kit.skew_of_file_s(clip)
    return f"{1000 * error_s:+.2f}"


def real_clip(clip: Path, folder: Path, *, cuts: int) -> None:
    """Prints the offset of a clip in every container, at other rates, and cut anywhere."""
    print(f"{clip.name}: {_offset(clip, folder)}")
    for suffix in COPIES:
        copy = folder / f"copy{suffix}"
        try:
            ffmpeg("-i", clip, "-map", "0:v:0", "-map", "0:a:0", "-c", "copy", copy)
        except AssertionError:
            print(f"copied into {suffix}: the streams do not go into it")
            continue
        print(f"copied into {suffix}: {_offset(copy, folder)}")
    for rate in ENCODED_RATES:
        encoded = folder / f"rate{rate}.mkv"
        # Not -r, which shows each picture of 29.97 fps up to two frames late at 24.
        nearest = ("-vf", f"fps={RATES[rate]}:round=near", "-c:v", "libx264")
        ffmpeg("-i", clip, *nearest, "-c:a", "pcm_s16le", encoded)
        print(f"at {rate} fps: {_offset(encoded, folder)}")
    stream = folder / "copy.ts"
    whole = stream.read_bytes() if stream.is_file() else b""
    for seed in range(cuts):
        cut = folder / "cut.ts"
        cut.write_bytes(whole[random.Random(seed).randrange(len(whole) // 3) :])
        print(f"cut {seed}: {_offset(cut, folder)}", flush=True)


def _offset(video: Path, folder: Path) -> str:
    """Offsets of a video's tracks, or the sentence that says why there is none."""
    place = Workspace(folder / "work", video.stem + video.suffix[1:])
    cpu = torch.device("cpu")
    options = PipelineOptions(min_face_size=50, min_track=50, keep_frames=False)
    try:
        prepare(video, place, options, device=cpu, overwrite=True)
        scores = score_tracks(place, device=cpu, report=lambda score, used: None)
    except ToolkitError as error:
        return str(error)
    return ", ".join(
        f"{score.sync.offset_ms:+.1f} ms" + ("" if score.sync.reliable else " (not reliable)")
        for score in scores
        if score.sync
    )


if __name__ == "__main__":
    main()
