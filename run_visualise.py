"""Draws every tracked face on the video: red boxes for silent lips, green for the speaker.

    python run_visualise.py --reference talk --data_dir data/work

Reads what run_pipeline.py and run_syncnet.py wrote. Writes pyavi/REFERENCE/video_out.avi, the same
as video_out.mp4 for browsers, and pywork/REFERENCE/report.html, a page about the whole video.
"""

import argparse
import sys
from pathlib import Path

from pipeline import cli
from pipeline.labelling import label


def build_parser() -> argparse.ArgumentParser:
    """Flags of the script; names and defaults are those of the SyncNet demo."""
    parser = cli.parser(__doc__)
    add = parser.add_argument
    add("--videofile", type=Path, help="Names the reference, as in run_pipeline.py.")
    add(
        "--frame_rate",
        type=int,
        help="Frames per second of the results. Without it, the rate run_pipeline.py worked at.",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs the stage and says where video and page are."""
    args = build_parser().parse_args(argv)
    workspace = cli.workspace(args)
    with cli.progress_bars() as progress:
        label(workspace, frame_rate=args.frame_rate, progress=progress)
    print(workspace.labelled_video)
    print(workspace.report_page)
    print(cli.next_command("run_wav2lip.py", workspace, "--tracks", "speaking"))
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
