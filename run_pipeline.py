"""Finds the shots and faces of a video and cuts a clip of every face.

    python run_pipeline.py --videofile talk.mp4 --reference talk --data_dir data/work

Writes pyavi/, pyframes/, pycrop/ and pywork/ under --data_dir; run_syncnet.py reads them.
"""

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from models.device import PRECISION_CHOICES
from pipeline import cli
from pipeline.faces.detector import DETECTORS
from pipeline.faces.options import FaceOptions
from pipeline.faces.stage import find_faces


def build_parser() -> argparse.ArgumentParser:
    """Flags of the script; names and defaults are those of the SyncNet demo."""
    parser = cli.parser(__doc__)
    # fmt: off
    add, default = parser.add_argument, FaceOptions()
    add("--videofile", type=Path, required=True, help="The video: anything that ffmpeg reads.")
    cli.add_track_flags(parser, default)
    cli.add_detection_flags(parser, default, detectors=[*DETECTORS])
    add("--frame_rate", type=int, default=default.frame_rate,
        help="Frames per second that everything is converted to; the networks expect 25.")
    add("--audio_stream", type=int, metavar="N", help="The audio stream to use, counted from 0. "
        "Without it, the one that is marked default.")
    add("--precision", choices=PRECISION_CHOICES, default=default.precision,
        help="Arithmetic of the detector; auto is fp32 for published weights.")
    add("--keep_frames", type=cli.yes_or_no, default="yes" if default.keep_frames else "no",
        metavar="yes|no", help="Whether every frame is left as a picture in pyframes/.")
    add("--keep_video", type=cli.yes_or_no, default="yes" if default.keep_video else "no",
        metavar="yes|no", help="Whether video.avi is left in pyavi/; run_visualise.py needs it.")
    cli.add_device(parser)
    add("--overwrite", action="store_true",
        help="Make everything again, and replace results of another video or other settings.")
    # fmt: on
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs the stage and says what came out."""
    args = build_parser().parse_args(argv)
    workspace = cli.workspace(args)
    options = FaceOptions(**{f.name: getattr(args, f.name) for f in fields(FaceOptions)})
    if options.frame_rate != FaceOptions().frame_rate:
        print("warning: the networks expect --frame_rate 25", file=sys.stderr)
    with cli.progress_bars() as progress:
        faces = find_faces(
            args.videofile,
            workspace,
            options,
            device=args.device,
            overwrite=args.overwrite,
            progress=progress,
        )
    for notice in faces.notices:
        print(notice)
    if faces.was_complete:
        print(f"Kept the complete results of the same input and settings: {faces.tracks} tracks.")
    else:
        print(f"{faces.tracks} tracks in {workspace.folder('pycrop')}")
    if faces.tracks:
        print(cli.next_command("run_syncnet.py", workspace))
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
