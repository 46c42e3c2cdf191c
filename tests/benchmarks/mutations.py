"""Runs damaged copies of real clips through the four scripts.

    python -m tests.benchmarks.mutations --count 1000 [--corpus ../shared/corpus/val]

Each copy must give consistent results or one error sentence: no traceback, nothing that hangs,
nothing half-written, no process left, no more memory than any video needs. Needs fork and /proc.
"""

import argparse
import contextlib
import functools
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import torch
from tqdm import tqdm

import run_pipeline
import run_syncnet
import run_visualise
import run_wav2lip
from pipeline import cli
from pipeline.media import process
from pipeline.store.files import write_json
from pipeline.store.folders import FOLDERS
from pipeline.store.workspace import Workspace
from tests.benchmarks import report
from tests.benchmarks.peak_memory import MIB, PROC, tree_rss
from tests.mutation_kit import MUTATIONS, mutated
from tests.synthetic import ffmpeg, frame_count

HANG_S = 60.0
POLL_S = 0.1
MEMORY_BAR_MIB = 1536
LEFT_BEHIND_S = 5.0
SECONDS = 0.8  # of each clip
FLAGS = ("--min_track", "10", "--min_face_size", "40", "--keep_frames", "no")
EXAMPLE = report.ROOT / "data" / "example.mp4"
STAGES = (run_pipeline.main, run_syncnet.main, run_visualise.main, run_wav2lip.main)
PICTURE = ("-vf", "scale=320:180", "-c:v", "libx264", "-preset", "veryfast", "-g", "10")
CUTS = {
    "cut.mp4": (*PICTURE, "-c:a", "aac"),
    "cut.mkv": (*PICTURE, "-c:a", "libmp3lame"),
    "cut.ts": (*PICTURE, "-c:a", "aac"),
    "cut.avi": ("-vf", "scale=320:180", "-c:v", "mpeg4", "-q:v", "4", "-c:a", "pcm_s16le"),
}


@dataclass(frozen=True)
class Case:
    """Outcome of one damaged copy.

    Attributes:
        seed: of the damage.
        clip, mutation: what was damaged, and how.
        codes: exit codes of the scripts that ran.
        sentences: their stderr, and the notices of run_pipeline.py.
        offset_ms: of the first track where it is reliable, else None.
        faults: what must not be; empty when all is well.
        seconds: from start to end.
        peak_mib: largest resident memory of the process tree.
    """

    seed: int
    clip: str
    mutation: str
    codes: list[int]
    sentences: str
    offset_ms: float | None
    faults: list[str]
    seconds: float
    peak_mib: float


def build_parser() -> argparse.ArgumentParser:
    """Flags of the script."""
    parser = report.parser(__doc__)
    # fmt: off
    add = parser.add_argument
    add("--count", type=int, default=1000, help="damaged copies")
    add("--first", type=int, default=0, help="seed of the first")
    add("--corpus", type=Path, help="folder of more clips; the first ten are used")
    add("--every", type=int, default=1, help="pictures are drawn, mouths made for every Nth only")
    add("--keep", type=Path, help="existing folder for the copies that failed")
    # fmt: on
    return parser


def make_clips(folder: Path, corpus: Path | None) -> list[Path]:
    """Short cuts of the bundled sample in four containers, and of other clips as they are."""
    clips = []
    for name, options in CUTS.items():
        ffmpeg("-i", EXAMPLE, "-t", str(SECONDS), *options, folder / name)
        clips.append(folder / name)
    for source in sorted(corpus.glob("*.mp4"))[:10] if corpus else ():
        clips.append(folder / f"corpus_{source.name}")
        ffmpeg("-i", source, "-t", str(SECONDS), "-c", "copy", clips[-1])
    return clips


def run_case(seed: int, clip: Path, folder: Path, *, audio: Path, stages: int = 4) -> Case:
    """Damages a clip and runs the scripts on it in a process of its own.

    Args:
        seed: of the damage.
        clip: whole; is left alone.
        folder: empty; is used for everything.
        audio: what new mouths are to say.
        stages: how many of the scripts run.
    """
    mutation, data = mutated(clip.read_bytes(), seed)
    damaged = folder / f"damaged{clip.suffix}"
    damaged.write_bytes(data)
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        _child(damaged, folder, audio, stages)
    hung, peak = _watched(child, started)
    seconds = time.monotonic() - started
    faults = [f"hung for {HANG_S:.0f} s"] if hung else []
    if peak > MEMORY_BAR_MIB * MIB:
        faults.append(f"took {peak / MIB:.0f} MiB")
    if _has_survivors(child):
        faults.append("left a process behind")
    codes: list[int] = []
    offset_ms = None
    if not hung:
        with contextlib.suppress(OSError):
            codes = json.loads((folder / "codes.json").read_text())
        output = (folder / "stderr").read_text(errors="replace")
        faults += _faults(folder, codes, output)
        if not faults and len(codes) > 1 and codes[1] == 0:
            rows = json.loads((folder / "work/pywork/x/offsets.json").read_text())
            offset_ms = rows[0]["offset_ms"] if rows and rows[0]["reliable"] else None
    return Case(
        seed=seed,
        clip=clip.name,
        mutation=mutation,
        codes=codes,
        sentences=_stderr_of(folder),
        offset_ms=offset_ms,
        faults=faults,
        seconds=seconds,
        peak_mib=peak / MIB,
    )


def _child(damaged: Path, folder: Path, audio: Path, stages: int) -> None:
    """Runs the scripts; never returns."""
    os.setsid()
    for stream, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    codes: list[int] = []
    try:
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        where = ["--data_dir", str(folder / "work"), "--reference", "x"]
        more = [["--videofile", str(damaged), *FLAGS], [], [], ["--audio", str(audio)]]
        for main, flags in zip(STAGES[:stages], more[:stages], strict=True):
            codes.append(cli.run(functools.partial(main, [*where, *flags])))
            if codes[-1] or (len(codes) == 1 and not Workspace(folder / "work", "x").crops()):
                break
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        (folder / "codes.json").write_text(json.dumps(codes))
        os._exit(0)


def _watched(child: int, started: float) -> tuple[bool, int]:
    """Waits for a process; whether it had to be killed, and the most its tree ever held, bytes."""
    peak = 0
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        peak = max(peak, tree_rss(child))
        if time.monotonic() - started > HANG_S:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return True, peak
        time.sleep(POLL_S)
    return False, peak


def _has_survivors(session: int) -> bool:
    """Whether a process of a session is alive five seconds after its leader; kills it."""
    deadline = time.monotonic() + LEFT_BEHIND_S
    while members := _members(session):
        if time.monotonic() > deadline:
            for member in members:
                os.kill(member, signal.SIGKILL)
            return True
        time.sleep(POLL_S)
    return False


def _members(session: int) -> list[int]:
    members = []
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
                if int(fields[3]) == session and fields[0] != "Z":
                    members.append(int(folder.name))
    return members


def _stderr_of(folder: Path) -> str:
    parts = []
    with contextlib.suppress(OSError):
        parts.append((folder / "stderr").read_text(errors="replace").strip())
    with contextlib.suppress(OSError, ValueError):
        record = json.loads((folder / "work/pywork/x/pipeline.json").read_text())
        parts += record["notices"]
    return " | ".join(part for part in parts if part)[-600:]


def _faults(folder: Path, codes: list[int], output: str) -> list[str]:
    """Faults in the output and the files of the scripts."""
    if "Traceback" in output:
        return ["traceback: " + output.strip().splitlines()[-1]]
    if not codes:
        return ["ended without an exit code"]
    faults = []
    if any(code not in (0, 1, 2) for code in codes):
        faults.append(f"exit codes {codes}")
    lines = [line for line in output.splitlines() if line.strip()]
    if codes[-1] and (len(lines) != 1 or not lines[0].startswith("error: ")):
        faults.append(f"{len(lines)} lines instead of one sentence")
    if not codes[-1] and lines:
        faults.append(f"succeeded with a message: {lines[0]}")
    work = Workspace(folder / "work", "x")
    leftovers = [path for path in work.data_dir.rglob("*") if ".partial" in path.name]
    leftovers += list(work.scratch.rglob("*")) if work.scratch.exists() else []
    if leftovers:
        faults.append(f"left {leftovers[0]}")
    if codes[0]:
        folders = [work.folder(name) for name in FOLDERS]
        return faults + [f"failed and left {name}" for name in folders if name.exists()]
    return faults + _inconsistencies(work, codes)


def _inconsistencies(work: Workspace, codes: list[int]) -> list[str]:
    """Results that do not belong together."""
    record: dict[str, Any] = json.loads(work.record.read_text())
    frames, tracks = record["counts"]["frames"], record["counts"]["tracks"]
    expected: list[tuple[str, object, object]] = [
        ("frames of video.avi", frame_count(work.video), frames),
        ("clips", len(work.crops()), tracks),
    ]
    for clip, (track, _) in zip(work.crops(), work.read_tracks(), strict=False):
        expected.append((f"frames of {clip.name}", frame_count(clip), len(track.frames)))
    if len(codes) > 1 and codes[1] == 0:
        expected.append(
            ("rows of offsets.txt", len(work.offsets_text.read_text().split("\n")) - 2, tracks)
        )
        expected.append(("rows of activesd.pckl", len(work.read_distances()), tracks))
    if len(codes) > 2 and codes[2] == 0:
        expected.append(("frames of video_out.avi", frame_count(work.labelled_video), frames))
    if len(codes) > 3:
        expected.append(("video_wav2lip.mp4", work.dubbed_video.is_file(), codes[3] == 0))
    return [f"{what}: {value}, not {truth}" for what, value, truth in expected if value != truth]


def measure(
    clips: list[Path], *, count: int, first: int, every: int, keep: Path | None
) -> list[Case]:
    """Runs damaged copies of the clips in turn."""
    # Asked once here, not by each child.
    process.encoders(), process.decodable_codecs()
    cases = []
    with tqdm(desc="damaged copies", total=count, unit=" copies", disable=None, leave=False) as bar:
        for seed in range(first, first + count):
            clip = clips[(seed + seed // len(MUTATIONS)) % len(clips)]  # so that all pairs come
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                stages = 2 if seed % every else len(STAGES)
                case = run_case(seed, clip, folder, audio=clips[0], stages=stages)
                if case.faults and keep is not None:
                    shutil.copytree(folder, keep / str(seed), dirs_exist_ok=True)
            cases.append(case)
            if case.faults:
                print(
                    f"seed {seed} {case.clip} {case.mutation}: {'; '.join(case.faults)}", flush=True
                )
            bar.update(1)
    return cases


def main(argv: list[str] | None = None) -> int:
    """Measures, prints, and fails when a copy broke a rule."""
    args = build_parser().parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        clips = make_clips(Path(name), args.corpus)
        cases = measure(clips, count=args.count, first=args.first, every=args.every, keep=args.keep)
    kinds = sorted({case.mutation for case in cases})
    rows = []
    for kind in kinds:
        of_kind = [case for case in cases if case.mutation == kind]
        outcomes = Counter("used" if not any(case.codes) else "refused" for case in of_kind)
        failed = sum(bool(case.faults) for case in of_kind)
        rows.append([kind, len(of_kind), outcomes["used"], outcomes["refused"], failed])
    report.print_table(["damage", "copies", "used", "refused", "failed"], rows)
    longest, largest = max(c.seconds for c in cases), max(c.peak_mib for c in cases)
    met = [
        report.verdict("copies that failed", sum(bool(c.faults) for c in cases), 0, at_most=True),
        report.verdict("longest, seconds", longest, HANG_S, at_most=True),
        report.verdict("largest, MiB", largest, MEMORY_BAR_MIB, at_most=True),
    ]
    if args.json:
        write_json(args.json, {"cases": [asdict(case) for case in cases], "met": all(met)})
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
