"""Measures how many faces of talking-head clips end up in a track, and how many boxes are no face.

    python -m tests.benchmarks.face_coverage --corpus ../shared/corpus [--data_dir TMP]

Runs the real run_pipeline.py on every clip and compares with a teacher detector's boxes on every
fifth frame. A face counts when the teacher is sure of it, it is large, and it lasts long enough
to become a track.
"""

import argparse
import collections
import dataclasses
import functools
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from models.boxes import box_iou
from pipeline.store.files import write_json
from pipeline.store.safe_pickle import read_pickle
from pipeline.store.workspace import Workspace
from tests.benchmarks import report

MIN_TRACK, MIN_FACE_PX = 50, 60  # what run_pipeline.py is asked for
FACE_SCORE = 0.8  # teacher score from which a face must be covered
LASTING_FRAMES = 60  # 2.4 s: what lasts less need not become a track
LINK_IOU, LINK_GAP_ROWS = 0.5, 2  # labelled frames a teacher's face may be missing inside a chain
COVER_IOU = 0.5
FALSE_IOU, FALSE_IOU_STRICT = 0.1, 0.3  # a box that overlaps no teacher box by more is false
COVERAGE_BAR, FALSE_BAR = 95.0, 2.0  # percent


@dataclass(frozen=True)
class TeacherClip:
    """A clip and the teacher's boxes.

    Attributes:
        file: path inside the corpus.
        every: frames from one labelled frame to the next.
        faces: per labelled frame (n, 5) float64 x1 y1 x2 y2 score, score >= 0.3.
    """

    file: str
    every: int
    faces: list[np.ndarray]

    @property
    def reference(self) -> str:
        """Name of the clip's results."""
        return str(Path(self.file).with_suffix("")).replace("/", "_")


@dataclass(frozen=True)
class Miss:
    """Successive labelled frames on which a lasting face is in no track, for one reason."""

    file: str
    frame: int
    labelled_frames: int
    why: str
    teacher: list[float]
    detection_iou: float


@dataclass
class ClipResult:
    """Counts of one clip, or of all: boxes on labelled frames.

    Attributes:
        faces, covered: lasting faces of the teacher; those inside a track.
        boxes, false, false_strict: boxes of tracks; those that overlap no teacher box.
        detections, detections_false, detections_false_strict: the same before tracking.
        ious: overlap of every covered face with its track box.
    """

    file: str
    faces: int = 0
    covered: int = 0
    boxes: int = 0
    false: int = 0
    false_strict: int = 0
    detections: int = 0
    detections_false: int = 0
    detections_false_strict: int = 0
    tracks: int = 0
    ious: list[float] = dataclasses.field(default_factory=list)
    misses: list[Miss] = dataclasses.field(default_factory=list)
    false_frames: list[int] = dataclasses.field(default_factory=list)

    @property
    def coverage(self) -> float:
        """Percent of the faces that are covered; 100 where there is none."""
        return 100.0 * self.covered / self.faces if self.faces else 100.0

    def percent_false(self, false: int, boxes: int) -> float:
        """Percent; 0 where there is no box."""
        return 100.0 * false / boxes if boxes else 0.0


def build_parser() -> argparse.ArgumentParser:
    """Flags of the script."""
    parser = report.parser(__doc__)
    # fmt: off
    add = parser.add_argument
    add("--corpus", type=Path, default=report.SHARED / "corpus", help="folder with faces.jsonl")
    add("--split", default="val", help="folder of the corpus")
    add("--clips", nargs="*", default=[], help="only these, e.g. v001; none: all")
    add("--data_dir", type=Path, help="keeps the results here; unset: a temporary folder")
    add("--detector", default="auto", help="as for run_pipeline.py")
    add("--jobs", type=int, default=2, help="clips at the same time")
    add("--listed", type=int, default=20, help="worst misses printed")
    add("--worst", type=Path, help="folder for pictures of misses and false boxes")
    # fmt: on
    return parser


def read_teacher(corpus: Path, split: str, only: list[str]) -> list[TeacherClip]:
    """The clips of a split with their labels."""
    clips = []
    with (corpus / "faces.jsonl").open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            path = Path(row["file"])
            if path.parts[0] == split and (not only or path.stem in only):
                faces = [np.array(faces, np.float64).reshape(-1, 5) for faces in row["faces"]]
                clips.append(TeacherClip(row["file"], row["every"], faces))
    if not clips:
        raise SystemExit(f"{corpus / 'faces.jsonl'} has no such clips of split {split}.")
    return clips


def run_pipeline(clip: TeacherClip, *, args: argparse.Namespace, data_dir: Path) -> Workspace:
    """Runs the script; ends the measurement when it fails."""
    command = [sys.executable, str(report.ROOT / "run_pipeline.py")]
    command += ["--videofile", str((args.corpus / clip.file).resolve())]
    command += ["--data_dir", str(data_dir.resolve()), "--reference", clip.reference]
    command += ["--min_track", str(MIN_TRACK), "--min_face_size", str(MIN_FACE_PX)]
    command += ["--detector", args.detector, "--overwrite"]
    threads = max(1, (os.cpu_count() or 1) // args.jobs)
    done = subprocess.run(
        command,
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        cwd=report.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(
            f"run_pipeline.py on {clip.file} ended with {done.returncode}:\n{done.stderr}"
        )
    return Workspace(data_dir, clip.reference)


def lasting_faces(clip: TeacherClip, scenes: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Chains of (row, face) of what a pipeline ought to track.

    Sure and large faces are linked from row to row within a shot, best overlap first; chains
    shorter than `LASTING_FRAMES` are dropped.
    """
    starts = [start for start, _ in scenes]
    shots = np.searchsorted(starts, np.arange(len(clip.faces)) * clip.every, side="right")
    chains: list[list[tuple[int, int]]] = []
    for row, faces in enumerate(clip.faces):
        sides = (faces[:, 2:4] - faces[:, :2]).max(axis=1, initial=0)
        waiting = set(np.flatnonzero((faces[:, 4] >= FACE_SCORE) & (sides >= MIN_FACE_PX)).tolist())
        alive = [
            chain
            for chain in chains
            if row - chain[-1][0] <= LINK_GAP_ROWS + 1 and shots[chain[-1][0]] == shots[row]
        ]
        last = np.array([clip.faces[chain[-1][0]][chain[-1][1]] for chain in alive]).reshape(-1, 5)
        overlaps = box_iou(last, faces)
        for pair in np.argsort(-overlaps, axis=None):
            one, face = divmod(int(pair), max(1, len(faces)))
            if overlaps[one, face] <= LINK_IOU:
                break
            if face in waiting and alive[one][-1][0] < row:
                alive[one].append((row, face))
                waiting.remove(face)
        chains += [[(row, face)] for face in sorted(waiting)]
    return [
        chain for chain in chains if (chain[-1][0] - chain[0][0]) * clip.every >= LASTING_FRAMES
    ]


def boxes_by_frame(work: Workspace) -> tuple[list[np.ndarray], list[np.ndarray], int]:
    """Per frame the detections (n, 5) and the track boxes (m, 4); the number of tracks."""
    rows = read_pickle(work.folder("pywork") / "faces.pckl")
    detections = [
        np.array([[*face["bbox"], face["conf"]] for face in row], np.float64).reshape(-1, 5)
        for row in rows
    ]
    tracked: list[list[np.ndarray]] = [[] for _ in rows]
    tracks = work.read_tracks()
    for track, _ in tracks:
        for frame, box in zip(track.frames.tolist(), track.boxes, strict=True):
            tracked[frame].append(box)
    return detections, [np.array(boxes).reshape(-1, 4) for boxes in tracked], len(tracks)


def best_overlap(box: np.ndarray, others: np.ndarray) -> float:
    """Largest intersection over union with any of `others`; 0 without any."""
    return float(box_iou(box[None], others).max(initial=0))


def compare(clip: TeacherClip, work: Workspace) -> ClipResult:
    """Counts what is covered, missed and false in one clip."""
    record = work.read_record()
    assert record is not None, f"{work.record} is missing after a successful run"
    detections, tracked, tracks = boxes_by_frame(work)
    result = ClipResult(clip.file, tracks=tracks)
    rows = range(min(len(clip.faces), -(-len(tracked) // clip.every)))
    for chain in lasting_faces(clip, record["scenes"]):
        misses = []
        for row, face in chain:
            if row not in rows:
                continue
            box = clip.faces[row][face]
            overlap = best_overlap(box, tracked[row * clip.every])
            result.faces += 1
            if overlap > COVER_IOU:
                result.covered += 1
                result.ious.append(overlap)
            else:
                misses.append((row, box, best_overlap(box, detections[row * clip.every])))
        result.misses += runs_of_misses(clip, misses)
    for row in rows:
        count_false(result, row * clip.every, clip.faces[row], tracked, detections)
    return result


def why_missed(detection_iou: float) -> str:
    """The reason why a face is in no track, from the best detection."""
    if detection_iou > COVER_IOU:
        return "detected, no track"
    return "box differs" if detection_iou > FALSE_IOU else "not detected"


def runs_of_misses(clip: TeacherClip, misses: list[tuple[int, np.ndarray, float]]) -> list[Miss]:
    """Joins misses of one chain: (row, teacher box, best overlap of a detection)."""
    runs: list[Miss] = []
    last_row = -1
    for row, box, iou in misses:
        why = why_missed(iou)
        if runs and row == last_row + 1 and runs[-1].why == why:
            runs[-1] = dataclasses.replace(runs[-1], labelled_frames=runs[-1].labelled_frames + 1)
        else:
            runs.append(Miss(clip.file, row * clip.every, 1, why, box.tolist(), round(iou, 2)))
        last_row = row
    return runs


def count_false(
    result: ClipResult,
    frame: int,
    teacher: np.ndarray,
    tracked: list[np.ndarray],
    detections: list[np.ndarray],
) -> None:
    """Adds one frame's boxes, and those without any box of the teacher."""
    in_tracks = box_iou(tracked[frame], teacher).max(axis=1, initial=0)
    overlap = box_iou(detections[frame], teacher).max(axis=1, initial=0)
    result.boxes += len(in_tracks)
    result.false += int((in_tracks <= FALSE_IOU).sum())
    result.false_strict += int((in_tracks <= FALSE_IOU_STRICT).sum())
    result.detections += len(overlap)
    result.detections_false += int((overlap <= FALSE_IOU).sum())
    result.detections_false_strict += int((overlap <= FALSE_IOU_STRICT).sum())
    if (in_tracks <= FALSE_IOU).any():
        result.false_frames.append(frame)


def overall(results: list[ClipResult]) -> ClipResult:
    """The sum of all clips."""
    total = ClipResult("all")
    for result in results:
        for field in dataclasses.fields(ClipResult)[1:]:
            setattr(total, field.name, getattr(total, field.name) + getattr(result, field.name))
    total.misses.sort(key=lambda miss: -miss.labelled_frames)
    return total


def figures(result: ClipResult) -> dict[str, object]:
    """One row of the table."""
    r = result
    return {
        "clip": r.file,
        "faces": r.faces,
        "coverage %": r.coverage,
        "iou": float(np.median(r.ious)) if r.ious else 0.0,
        "tracks": r.tracks,
        "boxes": r.boxes,
        "false %": r.percent_false(r.false, r.boxes),
        "false.3 %": r.percent_false(r.false_strict, r.boxes),
        "detections": r.detections,
        "false det %": r.percent_false(r.detections_false, r.detections),
        "false.3 det %": r.percent_false(r.detections_false_strict, r.detections),
    }


def show_misses(total: ClipResult, most: int) -> None:
    """Prints the reasons and the longest misses."""
    reasons: collections.Counter[str] = collections.Counter()
    for miss in total.misses:
        reasons[miss.why] += miss.labelled_frames
    print("\nmissed faces: " + (", ".join(f"{n} {why}" for why, n in reasons.items()) or "none"))
    rows = [
        [m.file, m.frame, m.labelled_frames, m.why, m.detection_iou] for m in total.misses[:most]
    ]
    if rows:
        report.print_table(["worst misses", "frame", "rows", "why", "best iou"], rows)


def draw_worst(
    folder: Path, clips: list[TeacherClip], workspaces: list[Workspace], results: list[ClipResult]
) -> None:
    """Writes frames with misses and false boxes: teacher green, tracks red, detections magenta."""
    folder.mkdir(parents=True, exist_ok=True)
    for clip, work, result in zip(clips, workspaces, results, strict=True):
        detections, tracked, _ = boxes_by_frame(work)
        worst = sorted(result.misses, key=lambda miss: -miss.labelled_frames)[:6]
        frames = {miss.frame: f"miss_{miss.why.replace(' ', '_')}" for miss in worst}
        step = max(1, len(result.false_frames) // 4)
        frames |= dict.fromkeys(result.false_frames[::step], "false")
        for frame, kind in frames.items():
            image = cv2.imread(str(work.frame(frame)))
            assert image is not None, work.frame(frame)
            report.draw_boxes(image, clip.faces[frame // clip.every], report.GREEN)
            report.draw_boxes(image, detections[frame], report.MAGENTA)
            report.draw_boxes(image, tracked[frame], report.RED)
            cv2.imwrite(str(folder / f"{kind}_{work.reference}_{frame:06d}.png"), image)


def measure(args: argparse.Namespace, data_dir: Path) -> list[ClipResult]:
    """Runs and compares every clip."""
    clips = read_teacher(args.corpus, args.split, args.clips)
    run = functools.partial(run_pipeline, args=args, data_dir=data_dir)
    with ThreadPoolExecutor(args.jobs) as pool:
        done = tqdm(pool.map(run, clips), desc="clips", total=len(clips), disable=None, leave=False)
        workspaces = list(done)
    results = [compare(clip, work) for clip, work in zip(clips, workspaces, strict=True)]
    if args.worst:
        draw_worst(args.worst, clips, workspaces, results)
    return results


def main(argv: list[str] | None = None) -> int:
    """Measures, prints, and fails when a bar is missed."""
    args = build_parser().parse_args(argv)
    if args.data_dir:
        results = measure(args, args.data_dir)
    else:
        with tempfile.TemporaryDirectory() as folder:
            results = measure(args, Path(folder))
    total = overall(results)
    rows = [figures(result) for result in [*results, total]]
    report.print_table(list(rows[0]), [list(row.values()) for row in rows])
    show_misses(total, args.listed)
    print()
    false = total.percent_false(total.false, total.boxes)
    met = [
        report.verdict("coverage, percent", total.coverage, COVERAGE_BAR, at_most=False),
        report.verdict("false boxes, percent", false, FALSE_BAR, at_most=True),
    ]
    if args.json:
        misses = [dataclasses.asdict(miss) for miss in total.misses]
        write_json(
            args.json, {"overall": rows[-1], "clips": rows[:-1], "misses": misses, "met": all(met)}
        )
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
