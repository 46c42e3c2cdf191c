"""How well run_syncnet.py --correct puts videos right whose sound was moved by a known time.

    python -m tests.benchmarks.correct --data_dir TRACKS --shifts 2

TRACKS are results of run_pipeline.py whose inputs are still there. The sound of each video is moved
by times drawn from -400 to 400 ms, above 0 where it then comes earlier. The copy that is corrected
should have it moved back by that, and by the offset that the untouched video has: the difference is
the error. The residual is what scoring the corrected copy says.
"""

import re
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from pipeline import cli
from pipeline.correction.again import tracks_with_sound
from pipeline.correction.stage import Corrected, correct
from pipeline.correction.streams import read_header
from pipeline.errors import InputError, PipelineError
from pipeline.store.files import write_json
from pipeline.store.provenance import identity
from pipeline.store.workspace import Workspace
from pipeline.sync.scorer import SyncScorer
from pipeline.sync.stage import score_tracks
from pipeline.verdict.video import read_verdict
from tests.benchmarks import report
from tests.synthetic import ffmpeg

LARGEST_SHIFT_MS = 400
GOOD_MS = 20.0  # an error so small is none
LEAST_GOOD = 95.0  # per cent of the corrected videos
SEED = 15


@dataclass(frozen=True)
class Row:
    """One video with its sound moved.

    Attributes:
        reference: of the video.
        shift_ms: by how much the sound was moved, above 0 where it leads by that.
        error_ms: by how much more the sound was moved back than it should; None where nothing
            was corrected.
        residual_ms: offset of the corrected copy; None where it cannot be told.
        same_picture: the copy's video packets are the original's, bit for bit.
        all_streams: the copy has as many streams, of the same kinds.
        seconds: that correcting and scoring again took.
    """

    reference: str
    shift_ms: int
    error_ms: float | None
    residual_ms: float | None
    same_picture: bool
    all_streams: bool
    seconds: float


def shifted(video: Path, target: Path, shift_ms: int) -> None:
    """Writes a copy whose sound comes earlier by so much, by ffmpeg's own filters."""
    cut = f"atrim=start={shift_ms / 1000},asetpts=PTS-STARTPTS"
    delay = f"adelay=delays={-shift_ms}:all=1"
    moved = ("-af", cut if shift_ms > 0 else delay, "-c:a", "aac", "-b:a", "192k")
    ffmpeg("-i", video, "-map", "0:v", "-map", "0:a", "-c:v", "copy", *moved, target)


def packets(video: Path) -> str:
    """A digest of the packets of a file's picture."""
    report = video.with_name(f"{video.name}.hash")
    ffmpeg("-i", video, "-map", "0:v", "-c", "copy", "-f", "streamhash", report)
    digest = report.read_text()
    report.unlink()
    return digest


def measured(
    workspace: Workspace, scorer: SyncScorer, shift_ms: int, *, folder: Path, true_ms: float
) -> Row:
    """Moves the sound of a video, has it corrected, and compares."""
    video = workspace.input_paths()[0]
    moved, out = folder / f"moved{video.suffix}", folder / f"out{video.suffix}"
    shifted(video, moved, shift_ms)
    work = tracks_with_sound(workspace, moved, folder / "work", audio_stream=0, missing_s=[])
    write_json(
        work.record, (work.read_record() or {}) | {"file": str(moved), "input": identity(moved)}
    )
    score_tracks(work, scorer, notice=lambda _: None)
    started = time.perf_counter()
    result: Corrected | None = None
    try:
        result = correct(work, out, scorer=scorer)
    except InputError:
        raise
    except PipelineError as error:
        print(f"{workspace.reference} {shift_ms:+d} ms: {error}", file=sys.stderr)
    seconds = time.perf_counter() - started
    if result is None:
        return Row(workspace.reference, shift_ms, None, None, True, True, seconds)
    kinds = [[stream.kind for stream in read_header(file).streams] for file in (moved, out)]
    return Row(
        workspace.reference,
        shift_ms,
        _moved_back_ms(result) - shift_ms - true_ms,
        result.residual_ms,
        packets(moved) == packets(out),
        kinds[0] == kinds[1],
        seconds,
    )


def _moved_back_ms(result: Corrected) -> float:
    """By how much later the sound comes, at the middle of the video."""
    middle_s = max((part.end_s for part in result.before.parts), default=0.0) / 2
    move = [move for move in result.plan.moves if move.start_s <= middle_s][-1]
    return 1000 * (move.delay_s + middle_s * (1 - result.plan.speed))


def bars_met(rows: list[Row]) -> bool:
    """Prints the figures of all videos that were corrected beside their bars."""
    corrected = [row for row in rows if row.error_ms is not None]
    print(f"{len(rows)} videos with moved sound, {len(corrected)} corrected")
    if not corrected:
        return False
    met = []
    for name in ("error_ms", "residual_ms"):
        values = [getattr(row, name) for row in corrected]
        sizes_ms = np.abs([value for value in values if value is not None])
        median_ms, most_ms, largest_ms = np.percentile(sizes_ms, [50, 95, 100])
        print(f"{name}: median {median_ms:.1f}, 95 % {most_ms:.1f}, largest {largest_ms:.1f}")
        share = 100 * np.count_nonzero(sizes_ms <= GOOD_MS) / len(corrected)
        met.append(report.verdict(f"{name} within 20, %", share, LEAST_GOOD, at_most=False))
    for name in ("same_picture", "all_streams"):
        share = 100 * np.mean([getattr(row, name) for row in corrected])
        met.append(report.verdict(f"{name}, %", float(share), 100, at_most=False))
    print(f"{np.mean([row.seconds for row in corrected]):.1f} seconds each")
    return all(met)


def main(argv: list[str] | None = None) -> int:
    """Measures all videos of a folder and prints a line for each; fails where a bar is missed."""
    parser = report.parser(__doc__)
    parser.add_argument("--data_dir", type=Path, required=True, help="results of run_pipeline.py")
    parser.add_argument("--shifts", type=int, default=2, help="how many times each is moved")
    parser.add_argument("--match", default="", help="only references that this pattern matches")
    args = parser.parse_args(argv)
    scorer, rng = SyncScorer(), np.random.default_rng(SEED)
    rows: list[Row] = []
    for folder in sorted((args.data_dir / "pywork").iterdir()):
        shifts = rng.integers(-LARGEST_SHIFT_MS, LARGEST_SHIFT_MS, args.shifts, endpoint=True)
        if not re.search(args.match, folder.name):
            continue
        with tempfile.TemporaryDirectory() as passing:
            rows += _rows_of(Workspace(args.data_dir, folder.name), scorer, shifts, Path(passing))
    if args.json:
        write_json(args.json, [asdict(row) for row in rows])
    return 0 if bars_met(rows) else 1


def _rows_of(
    workspace: Workspace, scorer: SyncScorer, shifts: np.ndarray, folder: Path
) -> list[Row]:
    """Of one video; none where its own offset cannot be told."""
    untouched = tracks_with_sound(
        workspace, workspace.input_paths()[0], folder / "own", audio_stream=0, missing_s=[]
    )
    score_tracks(untouched, scorer, notice=lambda _: None)
    verdict = read_verdict(untouched.verdict)
    if verdict.offset_ms is None or not verdict.reliable:
        print(f"{workspace.reference}: {verdict.sentence}", flush=True)
        return []
    rows = []
    for shift_ms in map(int, shifts):
        passing = folder / str(shift_ms)
        passing.mkdir()
        row = measured(workspace, scorer, shift_ms, folder=passing, true_ms=verdict.offset_ms)
        shutil.rmtree(passing)
        said = "not corrected"
        if row.error_ms is not None:
            said = f"error {row.error_ms:+.1f} ms, residual {row.residual_ms or np.nan:+.1f} ms"
        print(f"{row.reference} moved {shift_ms:+d} ms: {said}", flush=True)
        rows.append(row)
    return rows


if __name__ == "__main__":
    sys.exit(cli.run(main))
