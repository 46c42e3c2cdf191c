"""LSE-D and LSE-C of a folder of videos: how well lips and sound agree, in the literature's terms.

    python -m pipeline.evaluate --data_root VIDEOS

From "A Lip Sync Expert Is All You Need for Speech to Lip Generation In the Wild" (Prajwal et al.,
2020). LSE-D is the mean of min dist, LSE-C that of confidence. There are two routes to them:
`whole` shrinks every frame to 224x224, which is meant for datasets of cut-out faces such as LRS2;
`crops` finds and follows the faces first and scores every track, which is meant for real videos.

With --json FILE.json, FILE.rows.jsonl beside it keeps the rows as they come; the same command goes
on from there after it was killed.
"""

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from models.device import PRECISION_CHOICES
from models.options import check_choice
from models.weights import WeightsFile
from pipeline import cli
from pipeline.errors import InputError, PipelineError, ToolkitError
from pipeline.evaluate.journal import Journal, video_key
from pipeline.evaluate.report import (
    ROUTES,
    Mean,
    Row,
    caveats,
    closing_words,
    mean,
    table_line,
)
from pipeline.faces.detector import Detector, load_detector
from pipeline.faces.options import FaceOptions
from pipeline.faces.stage import find_faces
from pipeline.media import decode
from pipeline.media.probe import VIDEO_SUFFIXES
from pipeline.progress import Progress, silent
from pipeline.store import provenance
from pipeline.store.files import check_output, write_json, write_text
from pipeline.store.workspace import Workspace
from pipeline.sync.scorer import DEFAULT_SYNC, ClipScore, SyncOptions, SyncScorer


def find_videos(folder: Path) -> dict[str, Path]:
    """The videos in a folder and the folders in it, by their suffix, without hidden ones.

    Returns:
        Paths by their name relative to the folder, sorted.

    Raises:
        InputError: there is no such folder, or no video in it.
    """
    if not folder.is_dir():
        raise InputError(f"--data_root {folder} is not a folder; give one that holds videos.")
    videos = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts)
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file() and not hidden:
            videos[name.as_posix()] = path
    if not videos:
        raise InputError(
            f"--data_root {folder} holds no video ({' '.join(VIDEO_SUFFIXES)}); "
            "give a folder that does."
        )
    return videos


def evaluate(
    videos: dict[str, Path],
    routes: tuple[str, ...],
    scorer: SyncScorer,
    options: FaceOptions,
    *,
    detector: Detector | None = None,
    tmp_dir: Path | None = None,
    journal: Journal | None = None,
    report: Callable[[Row], object],
    progress: Progress = silent,
) -> list[Row]:
    """Scores every video by every route; one that cannot be scored is a row that says why.

    Whatever happens to one video, the others are scored; SYNCNET_DEBUG=1 lets what is not expected
    end the run, with its traceback.

    Args:
        videos: by the name they get in the rows.
        routes: of `ROUTES`.
        scorer: compares lips and sound.
        options: of run_pipeline.py, for route "crops".
        detector: finds faces, on the scorer's device; None loads it.
        tmp_dir: where passing files go, one video's at a time; None for the system's folder.
        journal: of an earlier run with the same settings; videos finished there are not scored
            again, those finished now are added.
        report: called with each row.
        progress: called after each video, and after each frame of its stages.

    Raises:
        InputError: there is no such route.
        WeightsError: there is no detector: before the first video.
        PipelineError: the journal cannot be written.
    """
    for route in routes:
        check_choice("route", route, ROUTES)
    options = replace(options, keep_frames=False)  # they are deleted at once
    if detector is None and "crops" in routes:
        detector = load_detector(
            options.detector, device=scorer.device, precision=options.precision
        )
    rows: list[Row] = []
    for done, (name, video) in enumerate(videos.items(), start=1):
        for route in routes:
            score_in = partial(
                _score_video, video, name, scorer, options, detector=detector, progress=progress
            )
            new = _rows(video, name, route, score_in, tmp_dir=tmp_dir, journal=journal)
            rows += new
            for row in new:
                report(row)
        progress("videos scored", done, len(videos))
    return rows


def _rows(
    video: Path,
    name: str,
    route: str,
    score_in: Callable[[Path | None], list[Row]],
    *,
    tmp_dir: Path | None,
    journal: Journal | None,
) -> list[Row]:
    """The rows of a video by one route, from the journal where it has them; raises nothing."""
    try:
        key = video_key(video, name, route)
        if journal is not None and (finished := journal.finished(key)) is not None:
            return [Row(**row) for row in finished]
        with _passing(route, tmp_dir) as data_dir:
            rows = score_in(data_dir)
    except InputError as error:  # the same the next time
        rows = [Row(name, route, note=str(error))]
    except ToolkitError as error:
        return [Row(name, route, note=str(error))]
    except Exception as error:  # anything: there may be a thousand more videos
        if os.environ.get("SYNCNET_DEBUG"):
            raise
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()  # the next video may need less than this one
        words = " ".join(str(error).split())
        return [Row(name, route, note=f"{video}: {type(error).__name__}{words and ': '}{words}")]
    if journal is not None:
        journal.add(key, [asdict(row) for row in rows])
    return rows


@contextlib.contextmanager
def _passing(route: str, tmp_dir: Path | None) -> Iterator[Path | None]:
    if route == "whole":
        yield None
        return
    with tempfile.TemporaryDirectory(dir=tmp_dir, prefix="evaluate_") as folder:
        yield Path(folder)


def _score_video(
    video: Path,
    name: str,
    scorer: SyncScorer,
    options: FaceOptions,
    data_dir: Path | None,
    *,
    detector: Detector | None,
    progress: Progress,
) -> list[Row]:
    info = decode.probe(video)
    if not info.width_px or not info.has_audio:
        lacking = "sound" if info.width_px else "picture"
        raise InputError(f"{video} has no {lacking}: there is nothing to compare.")
    if data_dir is None:
        return [_row(name, "whole", None, scorer.score(video))]
    workspace = Workspace(data_dir, "video")
    faces = find_faces(
        video, workspace, options, device=scorer.device, detector=detector, progress=progress
    )
    if not faces.tracks:
        raise InputError(" ".join(faces.notices))
    return [_row(name, "crops", int(clip.stem), scorer.score(clip)) for clip in workspace.crops()]


def _row(name: str, route: str, track: int | None, score: ClipScore) -> Row:
    sync = score.sync
    if not sync:
        return Row(name, route, track, note=score.warning)
    return Row(
        name, route, track, sync.min_dist, sync.confidence, sync.offset_frames, score.warning
    )


def build_parser() -> argparse.ArgumentParser:
    """Flags of the command; names and defaults are those of run_pipeline.py and run_syncnet.py."""
    parser = cli.plain_parser(__doc__, program="python -m pipeline.evaluate")
    # fmt: off
    add, default, sync = parser.add_argument, FaceOptions(), DEFAULT_SYNC
    add("--data_root", type=Path, required=True, help="Folder of videos; folders in it count, too.")
    add("--route", choices=[*ROUTES, "both"], default="both",
        help="whole shrinks every frame to 224x224; crops finds the faces and scores every track.")
    add("--json", type=Path, metavar="FILE", help="File for all figures, with notes per video.")
    add("--all_scores", type=Path, metavar="FILE", help="File for a line 'LSE-D LSE-C' per track.")
    cli.add_scorer_flags(parser, sync)
    add("--precision", choices=PRECISION_CHOICES, default=sync.precision,
        help="Arithmetic of detector and scorer; auto is fp32 for published weights.")
    cli.add_track_flags(parser, default)
    add("--tmp_dir", type=Path,
        help="Folder for temporary files. Without it, the system's folder for them.")
    cli.add_device(parser)
    # fmt: on
    return parser


def main(argv: list[str] | None = None) -> int:
    """Prints the table and the means, and writes the files that were asked for."""
    args = build_parser().parse_args(argv)
    routes = ROUTES if args.route == "both" else (args.route,)
    _check(args, routes)
    videos = find_videos(args.data_root)
    options = FaceOptions(
        min_track=args.min_track,
        min_face_size=args.min_face_size,
        keep_frames=False,
        precision=args.precision,
    )
    sync = SyncOptions(args.initial_model, args.batch_size, args.vshift, args.precision)
    # Weights that are at fault stop everything here, before the first video.
    scorer = SyncScorer(sync, device=args.device)
    detector = None
    if "crops" in routes:
        detector = load_detector(
            options.detector, device=scorer.device, precision=options.precision
        )
    settings = asdict(sync) | asdict(options)
    made_by = {
        "device": str(scorer.device),
        "scorer_precision": scorer.model.precision,
        "versions": provenance.versions(),
    }
    weights_file, detector_weights = (
        scorer.model.weights_file,
        detector.weights_file if detector else None,
    )
    with contextlib.ExitStack() as stack:
        journal = None
        if args.json:
            about = settings | made_by | _weights(weights_file, detector_weights)
            journal = stack.enter_context(Journal(args.json.with_suffix(".rows.jsonl"), about))
        rows = evaluate(
            videos,
            routes,
            scorer,
            options,
            detector=detector,
            tmp_dir=args.tmp_dir,
            journal=journal,
            report=_begin_table(videos, journal),
            progress=stack.enter_context(cli.progress_bars()),
        )
    means = {route: mean(rows, route) for route in routes}
    print(closing_words(means, weights_file, detector_weights))
    everything = _weights(weights_file, detector_weights) | {"settings": settings | made_by}
    _write(args, rows, means, weights_file, everything)
    if journal is not None:
        journal.remove()
    if not any(figures.scored for figures in means.values()):
        raise PipelineError(f"No video in {args.data_root} could be scored; the table says why.")
    return 0


def _begin_table(videos: dict[str, Path], journal: Journal | None) -> Callable[[Row], None]:
    """Prints the head of the table; gives what prints a row of it."""
    width = max(map(len, videos))
    if journal:
        print(f"Goes on after {len(journal)} results of a run that was stopped.")
    print(f"{'file':<{width}}  route  track    LSE-D    LSE-C  offset", flush=True)

    def tell(row: Row) -> None:
        tqdm.write(table_line(row, width=width))  # print would tear the progress bar
        sys.stdout.flush()

    return tell


def _check(args: argparse.Namespace, routes: tuple[str, ...]) -> None:
    if args.all_scores and "crops" not in routes:
        raise InputError("--all_scores is of face tracks; leave out --route whole.")
    if args.tmp_dir and not args.tmp_dir.is_dir():
        raise InputError(f"--tmp_dir {args.tmp_dir} is not a folder; make it or give another.")
    for flag in ("json", "all_scores"):
        if getattr(args, flag):
            check_output(getattr(args, flag), f"--{flag}")


def _weights(weights_file: WeightsFile, detector: WeightsFile | None) -> dict[str, Any]:
    return {"weights": asdict(weights_file), "detector": asdict(detector) if detector else None}


def _write(
    args: argparse.Namespace,
    rows: list[Row],
    means: dict[str, Mean],
    weights_file: WeightsFile,
    made_by: dict[str, Any],
) -> None:
    if args.json:
        everything = {
            "data_root": str(args.data_root),
            **made_by,
            "caveats": caveats(tuple(means), weights_file),
            "mean": {route: asdict(figures) for route, figures in means.items()},
            "scores": [asdict(row) for row in rows],
        }
        write_json(args.json, everything)
    if args.all_scores:
        scored = [row for row in rows if row.route == "crops" and row.lse_d is not None]
        lines = [f"{row.lse_d:.6f} {row.lse_c:.6f}\n" for row in scored]
        write_text(args.all_scores, "".join(lines))
