"""Seconds of one training step of each network, in fp32 and as --precision auto chooses.

    python -m tests.benchmarks.training_steps [--threads 1] [--steps 5] [--device cpu]

SyncNet, expert, generator and gan at the sizes that train_syncnet.py and train_wav2lip.py have
without flags, on made-up batches: what they show makes no step longer. The steps of both precisions
take turns; on a CPU its own seconds are counted, of all threads.
"""

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

import train_syncnet
import train_wav2lip
from models.device import native_precision, torch_device
from models.syncnet import SMALL, SyncNet
from models.wav2lip import (
    EXPERT_FRAMES,
    FACE_PX,
    SyncNetColor,
    Wav2Lip,
    Wav2LipConfig,
    Wav2LipDiscriminator,
)
from pipeline import cli
from pipeline.errors import InputError
from pipeline.store.files import write_json
from tests.benchmarks import report
from training.batches.expert_excerpts import EXCERPT_WINDOWS, ExpertBatch
from training.batches.face_batches import FaceBatch
from training.data.samples import Clip, margin_config
from training.loop import fit
from training.loop.distributed import Processes
from training.loop.task import Run, Task
from training.objectives.contrastive import MultiWay
from training.tasks import syncnet as syncnet_task
from training.tasks import syncnet_options, wav2lip_options
from training.tasks import wav2lip as wav2lip_task
from training.tasks.wav2lip_module import AnyBatch, TrainingModule

Step = Callable[[bool], object]  # bf16 or not

BAR = 1.05  # of auto's seconds by fp32's, where auto is fp32; less where it is bf16
WIDTH = 0.25  # of train_wav2lip.py
TEACHER_SIZE = 128  # of the bundled SyncNet's vectors
CLIP_FRAMES = 250


def syncnet_step(count: int, device: torch.device) -> Step:
    """A step of train_syncnet.py on so many excerpts."""
    rng = np.random.default_rng(1)
    side = margin_config(SMALL).lip_size_px
    clips = [
        Clip(
            f"made/up/{number}",
            rng.integers(0, 255, (CLIP_FRAMES, 1, side, side), dtype=np.uint8),
            rng.integers(-9000, 9000, CLIP_FRAMES * 640, dtype=np.int16),
        )
        for number in range(4)
    ]
    flags = ["--data", ".", "--run", ".", "--excerpts", str(count), "--device", device.type]
    options = syncnet_options.TrainOptions(**vars(train_syncnet.build_parser().parse_args(flags)))
    networks = SyncNet(SMALL).to(device), MultiWay().to(device)
    data = syncnet_task.Data(clips, [], [], {})
    task = syncnet_task.SyncNetTask(*networks, options, data, Processes(0, 1, device))
    return _step(task, task.batch(0), Processes(0, 1, device))


def expert_step(windows: int, device: torch.device) -> Step:
    """A step of an expert that learns from a teacher, on at least one excerpt."""
    count, generator = max(1, windows // EXCERPT_WINDOWS), torch.Generator().manual_seed(1)

    def random(*shape: int) -> torch.Tensor:
        return torch.rand(count, EXCERPT_WINDOWS, *shape, generator=generator)

    faces = random(3 * EXPERT_FRAMES, FACE_PX // 2, FACE_PX)
    batch = ExpertBatch(faces, random(1, 80, 16), random(2, TEACHER_SIZE))
    module = TrainingModule(
        SyncNetColor(Wav2LipConfig(WIDTH)),
        expert=None,
        discriminator=None,
        taught_size=TEACHER_SIZE,
    )
    return _wav2lip_step(module, batch, "expert", device)


def generator_step(windows: int, device: torch.device, *, gan: bool) -> Step:
    """A step of a generator whose expert counts, with a discriminator or without."""
    config, generator = Wav2LipConfig(WIDTH), torch.Generator().manual_seed(1)

    def random(*shape: int) -> torch.Tensor:
        return torch.rand(windows, EXPERT_FRAMES, *shape, generator=generator)

    pictures = (3, FACE_PX, FACE_PX)
    batch = FaceBatch(random(*pictures), random(*pictures), random(1, 80, 16), random(TEACHER_SIZE))
    module = TrainingModule(
        Wav2Lip(config),
        expert=SyncNetColor(config),
        discriminator=Wav2LipDiscriminator(config) if gan else None,
        taught_size=TEACHER_SIZE,
    )
    return _wav2lip_step(module, batch, "gan" if gan else "generator", device)


def _wav2lip_step(
    module: TrainingModule, batch: AnyBatch, stage: str, device: torch.device
) -> Step:
    placed = module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    flags = ["--data", ".", "--run", ".", "--stage", stage, "--device", device.type]
    flags += ["--taught_steps", "0", "--sync_at", "0"]
    options = wav2lip_options.TrainOptions(**vars(train_wav2lip.build_parser().parse_args(flags)))
    if module.expert is not None:
        module.expert.to(device)
    group = Processes(0, 1, device)
    task = wav2lip_task.Wav2LipTask(placed, options, wav2lip_task.Data([], []), group)
    return _step(task, batch, group)


def _step(task: Task, batch: object, group: Processes) -> Step:
    run = Run(task, decay=0.998)

    def random_batch(bf16: bool) -> object:
        task.precision = "bf16" if bf16 else "fp32"
        return fit.train_step(run, batch, lr=1e-4, group=group)

    return random_batch


def seconds_of(
    step: Step, kinds: tuple[bool, bool], *, steps: int, device: torch.device
) -> tuple[float, float]:
    """Medians of two kinds of steps that take turns, after one of each that does not count.

    On a CPU its own seconds: other work of the machine is not in them.
    """
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    times_s: tuple[list[float], list[float]] = ([], [])
    for turn in range(steps + 1):
        for bf16, times in zip(kinds, times_s, strict=True):
            started = clock()
            step(bf16)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if turn:
                times.append(clock() - started)
    return statistics.median(times_s[0]), statistics.median(times_s[1])


def main(argv: list[str] | None = None) -> int:
    """Measures, prints, writes."""
    parser = report.parser(__doc__)
    parser.add_argument("--threads", type=int, default=1, help="of torch, on a CPU")
    parser.add_argument("--steps", type=int, default=5, help="of each kind that are measured")
    parser.add_argument("--excerpts", type=int, default=16, help="of a step of SyncNet")
    parser.add_argument("--batch_size", type=int, default=16, help="windows of the others' steps")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps")
    args = parser.parse_args(argv)
    if min(args.threads, args.steps, args.excerpts, args.batch_size) < 1:
        raise InputError("--threads, --steps, --excerpts and --batch_size are at least 1.")
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    device = torch_device(args.device)
    chosen = native_precision(device)
    stages = {
        "syncnet": lambda: syncnet_step(args.excerpts, device),
        "expert": lambda: expert_step(args.batch_size, device),
        "generator": lambda: generator_step(args.batch_size, device, gan=False),
        "gan": lambda: generator_step(args.batch_size, device, gan=True),
    }
    ratios = {}
    for name, make in stages.items():
        pair = seconds_of(make(), (False, chosen == "bf16"), steps=args.steps, device=device)
        ratios[name] = {"fp32_s": pair[0], "auto_s": pair[1]}
    print(f"--precision auto is {chosen} on {device}")
    rows = [(name, row["fp32_s"], row["auto_s"]) for name, row in ratios.items()]
    report.print_table(("seconds a step", "fp32", "auto"), rows)
    met = [
        report.verdict(f"{name}: auto by fp32", auto_s / fp32_s, BAR, at_most=True)
        for name, fp32_s, auto_s in rows
    ]
    if args.json:
        write_json(args.json, {"precision": chosen, "device": str(device)} | ratios)
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(cli.run(main))
