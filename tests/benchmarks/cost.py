"""Measures what the scripts cost on given clips: CPU, wall time, memory and bytes per stage.

    python -m tests.benchmarks.cost talk.mp4 --seconds 10 --json cost.json
    python -m tests.benchmarks.cost talk.mp4 --seconds 10 --batch none -- --min_face_size 60
    python -m tests.benchmarks.cost talk.mp4 --published_size --boxes faces.pckl -- --min_track 50

Runs the real scripts. The unit is the CPU-second with one thread: user and system time of a
script's whole process tree, ffmpeg included; wall time means little on a shared machine. What
follows `--` goes to run_pipeline.py. Linux; elsewhere threads are limited by variables only.
"""

import argparse
import contextlib
import os
import platform
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ffmpeg
import torch

from models import weights
from pipeline import cli
from pipeline.batch.options import KEEP
from pipeline.errors import InputError, PipelineError
from pipeline.media import decode, process
from pipeline.store.files import write_json
from pipeline.store.workspace import Workspace
from tests.benchmarks import report, with_boxes
from tests.benchmarks.peak_memory import MIB, PROC
from tests.benchmarks.usage import measured

STAGES = ("pipeline", "syncnet", "visualise")  # run_*.py, in the order they need each other
REFERENCE = "cost"
BATCH_VIDEOS = 4
MB = 1_000_000
CUT_CRF = 16  # x264 quality of a shortened clip: faces are found as in the original
HEADER = ("CPU s", "share %", "wall s", "peak MiB", "written MB", "left MB", "pyframes MB")


@dataclass(frozen=True)
class Cost:
    """What one stage cost in one run.

    Attributes:
        cpu_s, wall_s, peak_mib: see `usage.Usage`.
        written_mb: what went to files, those that were removed again included, where the system
            counts it (Linux, on a disk); elsewhere as `left_mb`.
        left_mb: by how much the results grew.
        pyframes_mb: the part of it that is frames.
    """

    cpu_s: float
    wall_s: float
    peak_mib: float
    written_mb: float
    left_mb: float
    pyframes_mb: float


SUMMED = ("cpu_s", "wall_s", "written_mb", "left_mb", "pyframes_mb")


def build_parser() -> argparse.ArgumentParser:
    """Flags of the script."""
    parser = report.parser(__doc__)
    # fmt: off
    add = parser.add_argument
    add("videos", type=Path, nargs="+", metavar="VIDEO")
    add("--seconds", type=float, help="only the start of each video; unset: all of it")
    add("--detector", default="auto", help="as for run_pipeline.py")
    add("--initial_model", default="auto", help="as for run_syncnet.py")
    add("--syncnet_precision", default="auto", help="as --precision of run_syncnet.py")
    add("--published_size", action="store_true",
        help="networks of the published size with made-up weights; needs --boxes")
    add("--boxes", type=Path, help="faces.pckl of the one video: the detector runs at its full "
        "cost, and these faces are taken for what it found")
    add("--stages", type=_stages, default=STAGES, help="the first one, two or three of: "
        + ",".join(STAGES))
    add("--batch", choices=KEEP, help="also what a video costs inside a batch that keeps this")
    add("--threads", type=int, default=1, help="of each process, and cores the scripts may use")
    add("--runs", type=int, default=3, help="of which medians are taken")
    add("--work", type=Path, help="existing folder for passing files; unset: the system's")
    # fmt: on
    return parser


def _stages(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if names != STAGES[: len(names)]:
        raise argparse.ArgumentTypeError(f"{text!r} is not the start of {','.join(STAGES)}")
    return names


def cut(video: Path, path: Path, *, seconds: float) -> None:
    """Writes the start of a video, to the frame; copied streams could not end between key frames.

    Raises:
        PipelineError: ffmpeg failed.
    """
    source = process.open_input(video)
    streams = [source["V:0"]] + ([source["a:0"]] if decode.probe(video).has_audio else [])
    stream = ffmpeg.output(
        *streams, f"file:{path}", t=seconds, vcodec="libx264", crf=CUT_CRF, acodec="aac"
    )
    with process.Process(process.arguments(stream)) as running:
        running.check(f"Cutting {video}")


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder; 0 where there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def run_once(
    commands: dict[str, list[str]], workspace: Workspace, *, threads: int, clip: str
) -> dict[str, Cost]:
    """Runs every stage once into an empty folder."""
    costs = {}
    bytes_kept = pyframes = 0
    for stage, command in commands.items():
        task = f"run_{stage}.py on {clip}"
        usage = measured(command, threads=threads, task=task)
        left_before, pyframes_before = bytes_kept, pyframes
        bytes_kept, pyframes = (
            folder_bytes(workspace.data_dir),
            folder_bytes(workspace.folder("pyframes")),
        )
        grown = bytes_kept - left_before
        costs[stage] = Cost(
            usage.cpu_s,
            usage.wall_s,
            usage.peak_bytes / MIB,
            max(usage.written_bytes, grown) / MB,
            grown / MB,
            (pyframes - pyframes_before) / MB,
        )
    return costs


def stage_commands(
    video: Path,
    data_dir: Path,
    args: argparse.Namespace,
    *,
    boxes_file: Path | None,
    rule: Path | None,
) -> dict[str, list[str]]:
    """The command line of every stage.

    Args:
        video: input.
        data_dir: results folder.
        args: of this script.
        boxes_file: of `with_boxes.write_boxes`, None where the detector's own faces count.
        rule: folder of `with_boxes.write_rule_weights`, None for the toolkit's weights.
    """
    results = ["--data_dir", str(data_dir), "--reference", REFERENCE]
    detector = "s3fd" if rule else args.detector
    initial_model = (
        str(with_boxes.rule_weights(rule, with_boxes.SYNCNET)) if rule else args.initial_model
    )
    flags = {
        "pipeline": ["--videofile", str(video), "--detector", detector, *args.pipeline_flags],
        "syncnet": ["--initial_model", initial_model, "--precision", args.syncnet_precision],
        "visualise": [],
    }
    commands = {
        stage: [sys.executable, str(report.ROOT / f"run_{stage}.py"), *results, *flags[stage]]
        for stage in args.stages
    }
    if boxes_file:
        wrapper = ["-m", with_boxes.__name__, str(boxes_file), str(rule or weights.PUBLISHED_DIR)]
        commands["pipeline"][1:2] = wrapper
    return commands


def startup_cpu_s(stages: tuple[str, ...], *, threads: int, runs: int) -> dict[str, float]:
    """CPU seconds of each script before it does anything; the same for every length of video."""
    return {
        stage: statistics.median(
            measured(
                [sys.executable, str(report.ROOT / f"run_{stage}.py"), "--help"],
                threads=threads,
                task=f"run_{stage}.py --help",
            ).cpu_s
            for _ in range(runs)
        )
        for stage in stages
    }


def measure_clip(video: Path, args: argparse.Namespace, *, work: Path) -> dict[str, Any]:
    """Everything about one clip, as it goes to JSON.

    Raises:
        PipelineError: a stage failed.
    """
    source = video
    if args.seconds:
        source = work / f"{video.stem}.mp4"
        cut(video, source, seconds=args.seconds)
    boxes_file = rule = None
    if args.boxes:
        boxes_file = work / "given.npz"
        with_boxes.write_boxes(boxes_file, source, args.boxes)
    if args.published_size:
        rule = work
        with_boxes.write_rule_weights(rule)
    runs = []
    for _ in range(args.runs):
        with tempfile.TemporaryDirectory(dir=work) as name:
            workspace = Workspace(Path(name), REFERENCE)
            commands = stage_commands(
                source, workspace.data_dir, args, boxes_file=boxes_file, rule=rule
            )
            runs.append(run_once(commands, workspace, threads=args.threads, clip=video.name))
            record = workspace.read_record()
    if record is None:
        raise PipelineError(f"run_pipeline.py left no record of {video.name}.")
    video_s = record["counts"]["frames"] / record["settings"]["frame_rate"]
    in_batch = batch_cost(source, args, work=work) if args.batch else None
    return summary(video.name, runs, video_s=video_s) | {
        "batch": in_batch,
        "tracks": record["counts"]["tracks"],
        "detector": record["detector"]["file"],
    }


def summary(file: str, runs: list[dict[str, Cost]], *, video_s: float) -> dict[str, Any]:
    """Medians of the runs per stage and in total, and both per second of video.

    The total is the sum of the stages' medians; of peaks it is the largest.
    """
    stages = {
        stage: {
            key: statistics.median(asdict(run[stage])[key] for run in runs)
            for key in asdict(runs[0][stage])
        }
        for stage in runs[0]
    }
    total = {key: sum(stage[key] for stage in stages.values()) for key in SUMMED}
    total["peak_mib"] = max(stage["peak_mib"] for stage in stages.values())
    stages["total"] = total
    return {
        "file": file,
        "video_s": video_s,
        "stages": stages,
        "per_video_s": {
            name: {key: stage[key] / video_s for key in SUMMED} for name, stage in stages.items()
        },
        "runs": [{name: asdict(cost) for name, cost in run.items()} for run in runs],
    }


def table(clip: dict[str, Any]) -> list[list[object]]:
    """Rows of `summary`, with a last one per second of video."""
    whole_s = clip["stages"]["total"]["cpu_s"]
    rows = [
        [name, *_cells(stage, share=100 * stage["cpu_s"] / whole_s, peak=stage["peak_mib"])]
        for name, stage in clip["stages"].items()
    ]
    return [*rows, ["per video-second", *_cells(clip["per_video_s"]["total"], share="", peak="")]]


def _cells(stage: dict[str, float], *, share: object, peak: object) -> list[object]:
    return [
        *(stage["cpu_s"], share, stage["wall_s"], peak),
        *(stage["written_mb"], stage["left_mb"], stage["pyframes_mb"]),
    ]


def batch_cost(video: Path, args: argparse.Namespace, *, work: Path) -> dict[str, float]:
    """What one more of the same video costs run_batch.py with one worker.

    The difference of a batch of `BATCH_VIDEOS` and one of a single video: start-up is in both.

    Returns:
        `cpu_s` of a video, `startup_cpu_s` of the batch, and `peak_mib` of driver and worker.
    """
    used = []
    for count in (1, BATCH_VIDEOS):
        with tempfile.TemporaryDirectory(dir=work) as name:
            videos = Path(name) / "videos"
            videos.mkdir()
            for number in range(count):
                (videos / f"{number}{video.suffix}").symlink_to(video)
            command = [sys.executable, str(report.ROOT / "run_batch.py"), "--workers", "1"]
            command += ["--videos", str(videos), "--data_dir", str(Path(name) / "work")]
            command += ["--keep", args.batch, "--detector", args.detector, *args.pipeline_flags]
            command += ["--initial_model", args.initial_model]
            task = f"run_batch.py on {video.name}"
            used.append(measured(command, threads=args.threads, task=task))
    one, many = used
    cpu_s = (many.cpu_s - one.cpu_s) / (BATCH_VIDEOS - 1)
    peak_mib = max(one.peak_bytes, many.peak_bytes) / MIB
    return {"cpu_s": cpu_s, "startup_cpu_s": one.cpu_s - cpu_s, "peak_mib": peak_mib}


def machine() -> dict[str, Any]:
    """What the figures hold for."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = (PROC / "cpuinfo").read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = next(iter(names), model)
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "ffmpeg": process.ffmpeg_version(),
        "load_average": list(os.getloadavg()),  # CPU-seconds read up to a third high under load
    }


def check(args: argparse.Namespace) -> None:
    """Refuses, with InputError, what could only fail after minutes."""
    if args.runs < 1 or args.threads < 1 or (args.seconds is not None and args.seconds <= 0):
        raise InputError("--runs, --threads and --seconds must be more than 0.")
    if args.boxes and len(args.videos) > 1:
        raise InputError("--boxes is of one video; give one video.")
    if args.published_size and not args.boxes:
        raise InputError("--published_size networks see no faces; give --boxes as well.")
    if args.work and not args.work.is_dir():
        raise InputError(f"--work {args.work} is not a folder; make it first.")
    if args.batch and args.published_size:
        raise InputError("--batch measures the toolkit's own weights; leave out --published_size.")
    if args.json and not args.json.parent.is_dir():
        raise InputError(f"{args.json.parent} is not a folder; make it first.")
    for video in args.videos:
        if not decode.probe(video).width_px:
            raise InputError(f"{video} has no video stream; give a file with a picture.")


def main(argv: list[str] | None = None) -> int:
    """Measures, prints, writes."""
    own = sys.argv[1:] if argv is None else argv
    at = own.index("--") if "--" in own else len(own)
    args = build_parser().parse_args(own[:at])
    args.pipeline_flags = own[at + 1 :]
    check(args)
    args.videos = [video.resolve() for video in args.videos]
    settings = {
        key: getattr(args, key)
        for key in ("detector", "published_size", "seconds", "stages", "threads", "runs")
    } | {
        "initial_model": Path(args.initial_model).name,
        "syncnet_precision": args.syncnet_precision,
        "boxes": bool(args.boxes),
        "pipeline_flags": args.pipeline_flags,
    }
    startup = startup_cpu_s(args.stages, threads=args.threads, runs=args.runs)
    clips = []
    for video in args.videos:
        with tempfile.TemporaryDirectory(dir=args.work) as name:
            clip = measure_clip(video, args, work=Path(name).resolve())
        clips.append(clip)
        print(
            f"{clip['file']}: {clip['video_s']:.2f} s, {clip['tracks']} tracks, "
            f"detector {clip['detector']}, {args.threads} threads, medians of {args.runs}"
        )
        report.print_table(["stage", *HEADER], table(clip))
        if batch := clip["batch"]:
            print(
                f"inside a batch with --keep {args.batch}: {batch['cpu_s']:.2f} CPU s, "
                f"{batch['cpu_s'] / clip['video_s']:.3f} per video-second; once "
                f"{batch['startup_cpu_s']:.2f}; peak {batch['peak_mib']:.0f} MiB"
            )
        print(flush=True)
    each = ", ".join(f"{stage} {cpu_s:.2f}" for stage, cpu_s in startup.items())
    print(f"of it start-up, CPU s: {each}; together {sum(startup.values()):.2f} per video")
    if args.json:
        measurements = {"startup_cpu_s": startup, "clips": clips}
        write_json(args.json, {"settings": settings, "machine": machine()} | measurements)
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
