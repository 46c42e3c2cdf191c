"""Compares adaptive detection with detection in every frame: crops and offsets.

    python -m tests.benchmarks.adaptive_detection --corpus ../shared/corpus [--seconds 20]

Every clip is prepared and scored twice, with a face detection in each frame in float32 and as
asked, by the code behind run_pipeline.py and run_syncnet.py.
"""

import argparse
import dataclasses
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from models.boxes import box_iou
from models.device import torch_device
from pipeline.faces import stage as faces_stage
from pipeline.faces.options import FaceOptions
from pipeline.store.files import write_json
from pipeline.store.workspace import Workspace
from pipeline.sync import stage as sync_stage
from pipeline.sync.scorer import SyncScorer
from tests.benchmarks import report
from tests.benchmarks.cost import cut
from tests.benchmarks.face_coverage import MIN_FACE_PX, MIN_TRACK

PERCENTILES = (1, 5, 10, 50)
IOU_BAR = 95.0  # percent, at the 5th percentile of all frames of all tracks
SAME_OFFSET_FRAMES = 1
OFFSETS_BAR = 99.0  # percent of tracks


@dataclass(frozen=True)
class Boxes:
    """One track.

    Attributes:
        frames: (n,) int64.
        squares: (n, 4) float64, what its crops are cut around.
        boxes: (n, 4) float64, before they were smoothed.
    """

    frames: np.ndarray
    squares: np.ndarray
    boxes: np.ndarray

    def overlaps(self, other: "Boxes", rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Per frame of this track the overlap of its box with the other's; 0 where that is not."""
        ious = np.zeros(len(self.frames))
        _, own_rows, there = np.intersect1d(self.frames, other.frames, return_indices=True)
        for i, j in zip(own_rows.tolist(), there.tolist(), strict=True):
            ious[i] = box_iou(rows[i : i + 1], others[j : j + 1])[0, 0]
        return ious


@dataclass(frozen=True)
class Made:
    """Results of both stages for one clip: counts of pipeline.json, tracks, offsets.json."""

    counts: dict[str, int]
    tracks: list[Boxes]
    offsets: list[dict[str, Any]]


@dataclass(frozen=True)
class Compared:
    """One track of the reference and its counterpart.

    Attributes:
        ious: per frame of the reference track, of the squares that crops are cut around; 0 where
            the counterpart has no such frame.
        box_ious: the same of the boxes before they are smoothed.
        offset_frames: what run_syncnet.py says of both; None without a counterpart or sound.
        reliable: it calls the reference's offset reliable.
    """

    ious: np.ndarray
    box_ious: np.ndarray
    offset_frames: tuple[int | None, int | None]
    reliable: bool

    @property
    def same_offset(self) -> bool:
        """Both offsets are known and a frame apart at most."""
        one, other = self.offset_frames
        if one is None or other is None:
            return one == other and bool(self.ious.any())
        return abs(one - other) <= SAME_OFFSET_FRAMES


@dataclass(frozen=True)
class Clip:
    """One clip both ways.

    Attributes:
        file: its name.
        frames, detected: how many there are; how many the detector saw.
        tracks: how many came out as asked.
        compared: tracks of the reference.
    """

    file: str
    frames: int
    detected: int
    tracks: int
    compared: list[Compared]


def build_parser() -> argparse.ArgumentParser:
    """Flags of the script."""
    parser = report.parser(__doc__)
    default = FaceOptions()
    # fmt: off
    add = parser.add_argument
    add("--corpus", type=Path, default=report.SHARED / "corpus", help="folder of splits")
    add("--split", default="val", help="folder of the corpus")
    add("--clips", nargs="*", default=[], help="only these, e.g. v001; none: all")
    add("--seconds", type=float, help="only so much of each clip; unset: all of it")
    add("--detect_every", type=int, default=default.detect_every, help="as for run_pipeline.py")
    add("--precision", default=default.precision, help="as for run_pipeline.py")
    add("--detector", default=default.detector, help="as for run_pipeline.py")
    add("--min_track", type=int, default=MIN_TRACK, help="as for run_pipeline.py")
    add("--min_face_size", type=int, default=MIN_FACE_PX, help="as for run_pipeline.py")
    add("--device", default="auto", help="auto, cpu, cuda, mps")
    # fmt: on
    return parser


def make(video: Path, work: Workspace, options: FaceOptions, *, device: torch.device) -> Made:
    """Runs both stages and reads their results."""
    faces_stage.find_faces(video, work, options, device=device)
    sync_stage.score_tracks(work, SyncScorer(device=device))
    record = work.read_record()
    assert record is not None, f"{work.record} is missing after a successful run"
    tracks = []
    for track, path in work.read_tracks():
        squares = [path.x - path.s, path.y - path.s, path.x + path.s, path.y + path.s]
        tracks.append(Boxes(track.frames, np.stack(squares, axis=1), track.boxes))
    return Made(record["counts"], tracks, work.read_offsets())


def compare(video: Path, folder: Path, options: FaceOptions, *, device: torch.device) -> Clip:
    """Makes one clip both ways and finds for every track of the reference its best counterpart."""
    all_frames = dataclasses.replace(options, detect_every=1, precision="fp32")
    every_frame = make(video, Workspace(folder, "all"), all_frames, device=device)
    adaptive = make(video, Workspace(folder, "asked"), options, device=device)
    compared = []
    for track, row in zip(every_frame.tracks, every_frame.offsets, strict=True):
        ious = box_ious = np.zeros(len(track.frames))
        offset = None
        for other, other_row in zip(adaptive.tracks, adaptive.offsets, strict=True):
            overlaps = track.overlaps(other, track.squares, other.squares)
            if overlaps.sum() > ious.sum():
                ious, offset = overlaps, other_row["offset_frames"]
                box_ious = track.overlaps(other, track.boxes, other.boxes)
        compared.append(Compared(ious, box_ious, (row["offset_frames"], offset), row["reliable"]))
    counts = adaptive.counts
    return Clip(
        video.stem, counts["frames"], counts["detected_frames"], len(adaptive.tracks), compared
    )


def measure(args: argparse.Namespace) -> list[Clip]:
    """Every clip of the split, in a folder of its own that is removed at once."""
    videos = sorted((args.corpus / args.split).glob("*.mp4"))
    videos = [video for video in videos if not args.clips or video.stem in args.clips]
    if not videos:
        raise SystemExit(f"{args.corpus / args.split} has no such clips.")
    names = ("detect_every", "precision", "detector", "min_track", "min_face_size")
    options = FaceOptions(**{name: getattr(args, name) for name in names})
    device = torch_device(args.device)
    clips = []
    with tqdm(desc="clips", total=len(videos), unit=" clips", disable=None, leave=False) as bar:
        for video in videos:
            with tempfile.TemporaryDirectory() as folder:
                source = video
                if args.seconds:
                    source = Path(folder) / video.name
                    cut(video, source, seconds=args.seconds)
                clips.append(compare(source, Path(folder), options, device=device))
            bar.update(1)
    return clips


def figures(name: str, clips: list[Clip]) -> dict[str, object]:
    """One row of the table."""
    compared = [track for clip in clips for track in clip.compared]
    ious = np.concatenate([track.ious for track in compared] or [np.ones(1)])
    boxes = np.concatenate([track.box_ious for track in compared] or [np.ones(1)])
    frames = sum(clip.frames for clip in clips)
    row: dict[str, object] = {
        "clip": name,
        "frames": frames,
        "detected %": 100 * sum(clip.detected for clip in clips) / frames,
        "tracks": len(compared),
        "as asked": sum(clip.tracks for clip in clips),
    }
    row |= {f"iou p{p}": f"{np.percentile(ious, p):.3f}" for p in PERCENTILES}
    row |= {"box p5": f"{np.percentile(boxes, 5):.3f}"}
    offsets = sum(track.same_offset for track in compared)
    reliable = [track for track in compared if track.reliable]
    return row | {
        "same offset": f"{offsets}/{len(compared)}",
        "of reliable": f"{sum(track.same_offset for track in reliable)}/{len(reliable)}",
    }


def main(argv: list[str] | None = None) -> int:
    """Measures, prints, and fails when a bar is missed."""
    args = build_parser().parse_args(argv)
    clips = measure(args)
    rows = [figures(clip.file, [clip]) for clip in clips] + [figures("all", clips)]
    report.print_table(list(rows[0]), [list(row.values()) for row in rows])
    compared = [track for clip in clips for track in clip.compared]
    if not compared:
        raise SystemExit("No clip has a track: nothing was compared.")
    iou = 100 * float(np.percentile(np.concatenate([track.ious for track in compared]), 5))
    same = 100 * sum(track.same_offset for track in compared) / len(compared)
    met = [
        report.verdict("\ncrop IoU, percent, at the 5th percentile", iou, IOU_BAR, at_most=False),
        report.verdict("same offset, percent of tracks", same, OFFSETS_BAR, at_most=False),
    ]
    if args.json:
        offsets = {clip.file: [track.offset_frames for track in clip.compared] for clip in clips}
        write_json(
            args.json,
            {
                "overall": rows[-1],
                "clips": rows[:-1],
                "offsets": offsets,
                "iou_p5_percent": iou,
                "same_offset_percent": same,
                "met": all(met),
            },
        )
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
