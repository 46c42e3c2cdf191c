"""Tests whether a network that was taught 40 ms late returns to zero.

    python -m tests.benchmarks.late_zero --data TRACKS --val OTHER_TRACKS --work FOLDER

Through the real command: a run whose offsets.json say of every clip that its sound leads by 40 ms
more than it does, which teaches the network that late sound is right; then a run from those weights
on the clips as they are, which judges them twice. Printed are the median offsets of OTHER_TRACKS
before, after the late run and at the end: the last must be within 10 ms of the first.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

import train_syncnet
from models import weights
from models.syncnet import SyncNet
from pipeline import cli
from pipeline.store.files import write_json
from tests.benchmarks import report
from training.data import samples, selection
from training.data.samples import Clip
from training.data.selection import FRAME_MS
from training.evaluate.judging import own_offset, population_lag

LATE_MS = FRAME_MS
BAR_MS = 10.0
SMALL_WEIGHTS = Path("models") / "weights" / "syncnet_small.safetensors"
CPU = torch.device("cpu")


def median_ms(model: SyncNet, clips: list[Clip]) -> float:
    """The median person's offset in ms, of the clips that the network is sure of."""
    sure = [
        replace(clip, offset_ms=lag.offset_ms)
        for clip in clips
        if (lag := own_offset(model, clip, device=CPU)) is not None
    ]
    return population_lag(sure) if sure else float("nan")


def late_copy(data_dir: Path, target: Path) -> Path:
    """A data folder of links whose offsets.json say that all sound leads by 40 ms more."""
    for crops in sorted((data_dir / "pycrop").iterdir()):
        (target / "pycrop").mkdir(parents=True, exist_ok=True)
        link = target / "pycrop" / crops.name
        if not link.exists():
            link.symlink_to(crops.resolve())
        rows = [
            {"file": clip.name, "offset_ms": LATE_MS, "confidence": 9.0, "at_search_edge": False}
            for clip in sorted(crops.glob("*.avi"))
        ]
        (target / "pywork" / crops.name).mkdir(parents=True, exist_ok=True)
        (target / "pywork" / crops.name / "offsets.json").write_text(json.dumps(rows))
    return target


def main(argv: list[str] | None = None) -> int:
    """Trains twice, measures three times; fails where the zero does not return."""
    parser = report.parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a data folder to train on")
    parser.add_argument("--val", type=Path, required=True, help="a data folder of other people")
    parser.add_argument("--work", type=Path, required=True, help="folder for runs; goes on there")
    parser.add_argument("--weights", type=Path, default=report.ROOT / SMALL_WEIGHTS)
    parser.add_argument("--late_steps", type=int, default=150)
    parser.add_argument("--steps", type=int, default=300, help="refines at a third and two thirds")
    args = parser.parse_args(argv)
    work: Path = args.work
    late, end = work / "late.safetensors", work / "end.safetensors"
    common = ["--cache", str(work / "cache"), "--drawn", "0", "--lr", "5e-4"]
    runs: tuple[tuple[Path, Path, Path, int, list[str]], ...] = (
        (late_copy(args.data, work / args.data.name), args.weights, late, args.late_steps, []),
        (args.data, late, end, args.steps, [str(args.steps // 3), str(args.steps * 2 // 3)]),
    )
    for data, start, file, steps, refine_at in runs:
        flags = ["--data", str(data), "--run", str(work / file.stem), "--init", str(start)]
        flags += ["--export", str(file), "--steps", str(steps), "--refine_at", *refine_at, *common]
        if not file.exists() and (code := train_syncnet.main(flags)):
            return code
    files = {"before": args.weights, "taught 40 ms late": late, "after two refines": end}
    models = {name: weights.load_syncnet(file, device=CPU)[0] for name, file in files.items()}
    clips = samples.load_clips(
        samples.clip_files([args.val]),
        models["before"].config,
        cache=work / "cache",
        margin=False,
    ).clips
    clips = selection.with_people(clips, [args.val])
    medians_ms = {name: median_ms(model, clips) for name, model in models.items()}
    report.print_table(("network", "median, ms"), list(medians_ms.items()))
    before_ms, late_ms, end_ms = medians_ms.values()
    if args.json:
        write_json(args.json, medians_ms)
    shifted = report.verdict(
        "moved by the late run, ms", abs(late_ms - before_ms), LATE_MS / 2, at_most=False
    )
    back = report.verdict("apart from before, ms", abs(end_ms - before_ms), BAR_MS, at_most=True)
    return 0 if shifted and back else 1


if __name__ == "__main__":
    sys.exit(cli.run(main))
