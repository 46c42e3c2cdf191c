"""Gives chosen faces of a video new mouths for new audio.

    python run_wav2lip.py --reference talk --data_dir data/work --audio new.wav --tracks 0,2

Reads what run_pipeline.py wrote; writes video_wav2lip.mp4 to pyavi/ and wav2lip.json to pywork/.
"""

import argparse
import sys
from dataclasses import astuple
from pathlib import Path

from pipeline import cli
from pipeline.dubbing.choose import TEXTURES, DubOptions
from pipeline.dubbing.face_path import Pads
from pipeline.dubbing.source_frames import FITS
from pipeline.dubbing.stage import dub

BLENDS = ("mouth", "none")  # of --blend: only mouth and jaw, or the whole face


def build_parser() -> argparse.ArgumentParser:
    """Flags of the script."""
    parser = cli.parser(__doc__)
    # fmt: off
    add, default = parser.add_argument, DubOptions()
    add("--audio", action="append", default=[], metavar="[TRACK=]FILE",
        help="New sound for all tracks, or for one of them. Without it, the video's own sound is "
        "used and its measured offset is taken out.")
    add("--tracks", type=cli.track_numbers, default=default.tracks,
        help="Which tracks get new mouths: all, speaking, or numbers like 0,2.")
    add("--fit", choices=FITS, default=default.fit,
        help="Whether the video or the audio says how long the output is; with loop, a video that "
        "is too short is played back and forth.")
    add("--pads", type=int, nargs=4, default=astuple(default.pads), metavar="PX",
        help="Pixels added to each face box at the top, bottom, left and right.")
    add("--blend", choices=BLENDS, default=BLENDS[not default.blend],
        help="mouth replaces mouth and jaw without an edge; none pastes the whole face.")
    add("--silence_gate", action=argparse.BooleanOptionalAction, default=default.silence_gate,
        help="Close mouths where nobody speaks.")
    add("--keep_background", type=float, metavar="DB",
        help="Keep the video's own sound underneath, at this level.")
    add("--checkpoint", default=default.checkpoint,
        help="Generator weights; auto takes the published ones where present, else the bundled.")
    add("--batch_size", type=int, default=default.batch_size, help="Faces in one pass.")
    add("--texture", choices=TEXTURES, default=default.texture,
        help="own shows the person's own mouths, taken from other frames and chosen by the "
        "generator's shape and by the sound; none shows what the generator draws.")
    add("--texture_video", type=Path,
        help="Take the own mouths from this video of the same person; for tracks that are short "
        "or silent.")
    add("--score", action="store_true", help="Compare lips and sound before and after.")
    add("--videofile", type=Path,
        help="The video where it was moved since run_pipeline.py; also names the reference.")
    cli.add_device(parser)
    # fmt: on
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs the stage and says what came out."""
    args = build_parser().parse_args(argv)
    workspace = cli.workspace(args)
    names = (
        *("tracks", "fit", "silence_gate", "keep_background", "checkpoint", "batch_size"),
        *("texture", "texture_video"),
    )
    options = DubOptions(
        audio=cli.audio_by_track(args.audio),
        pads=Pads(*args.pads),
        blend=args.blend == BLENDS[0],
        **{name: getattr(args, name) for name in names},
    )
    with cli.progress_bars() as progress:
        result = dub(
            workspace,
            options,
            device=args.device,
            video=args.videofile,
            score=args.score,
            progress=progress,
        )
    for line in result.report():
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
