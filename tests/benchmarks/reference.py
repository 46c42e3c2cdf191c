"""Measures what the reference program's networks cost on this machine, as it runs them.

    python -m tests.benchmarks.reference [--json PATH]

Its 106 CPU-seconds were taken on one machine; processors differ by more than two in how fast they
multiply, and hardly in how fast they decode. Here the networks have the published size and
made-up weights, and run as in the reference: eagerly, in float32, S3FD on every frame alone,
SyncNet in three dimensions on 20 windows that share nothing. What is not networks is taken over.
"""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from models import s3fd
from models.features import MFCC_SIZE, WINDOW_COLUMNS, WINDOW_FRAMES
from models.syncnet import CROP_PX, StackedConv, SyncNet
from pipeline import cli
from pipeline.store.files import write_json
from tests.benchmarks import report

# Of 10 s of 720p, measured elsewhere: CPU-seconds of the whole, and what of it the networks had.
WHOLE_S = {"four faces": 106.5, "one face": 78.0}
FRAMES = 251  # S3FD saw each
WINDOWS = {"four faces": 940, "one face": 235}
S3FD_FRAME_S = 0.254
SYNCNET_WINDOW_S = 0.028 + 0.0030
DETECTOR_PX = 320, 180  # width and height: a quarter of 720p
BATCH_WINDOWS = 20


def lip_tower() -> nn.Sequential:
    """SyncNet's lip tower in three dimensions, as it was published."""

    def solid(layer: nn.Module) -> nn.Module:
        size: Any
        if isinstance(layer, StackedConv):
            size = layer.kernel_size, layer.stride, layer.padding
            return nn.Conv3d(layer.in_channels, layer.out_channels, *size)
        if isinstance(layer, nn.BatchNorm2d):
            return nn.BatchNorm3d(layer.num_features)
        if isinstance(layer, nn.MaxPool2d):
            size, step, edge = (
                (value, value) if isinstance(value, int) else value
                for value in (layer.kernel_size, layer.stride, layer.padding)
            )
            return nn.MaxPool3d((1, *size), stride=(1, *step), padding=(0, *edge))
        return layer

    return nn.Sequential(*map(solid, SyncNet().netcnnlip))


def cpu_s(run: Callable[[], object], *, runs: int) -> float:
    """Median CPU-seconds of one call, after one that warms up."""
    times_s = []
    for _ in range(runs + 1):
        started = time.process_time()
        run()
        times_s.append(time.process_time() - started)
    return statistics.median(times_s[1:])


@torch.inference_mode()
def kernels(*, runs: int) -> dict[str, float]:
    """CPU-seconds of S3FD per frame, and of both of SyncNet's towers per window."""
    torch.manual_seed(0)
    detector, lips = s3fd.S3FD().eval(), lip_tower().eval()
    sound = SyncNet().eval().netcnnaud
    picture = torch.randn(1, 3, *DETECTOR_PX[::-1])
    windows = torch.randn(BATCH_WINDOWS, 3, WINDOW_FRAMES, CROP_PX, CROP_PX)
    columns = torch.randn(BATCH_WINDOWS, 1, MFCC_SIZE, WINDOW_COLUMNS)
    of_batch = cpu_s(lambda: lips(windows), runs=runs) + cpu_s(lambda: sound(columns), runs=runs)
    return {
        "s3fd_frame_s": cpu_s(lambda: detector(picture), runs=runs),
        "syncnet_window_s": of_batch / BATCH_WINDOWS,
    }


def whole_s(kernel_s: dict[str, float], faces: str) -> float:
    """What the reference's 10 s would take here: its networks as found, its rest as it was."""
    rest = WHOLE_S[faces] - FRAMES * S3FD_FRAME_S - WINDOWS[faces] * SYNCNET_WINDOW_S
    return FRAMES * kernel_s["s3fd_frame_s"] + WINDOWS[faces] * kernel_s["syncnet_window_s"] + rest


def main(argv: list[str] | None = None) -> int:
    """Measures, prints, writes."""
    parser = report.parser(__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of which medians are taken")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    kernel_s = kernels(runs=args.runs)
    print(
        f"S3FD, {DETECTOR_PX[0]}x{DETECTOR_PX[1]}: {kernel_s['s3fd_frame_s']:.3f} s per frame "
        f"(there {S3FD_FRAME_S})"
    )
    print(f"SyncNet: {kernel_s['syncnet_window_s']:.4f} s per window (there {SYNCNET_WINDOW_S})")
    totals_s = {faces: whole_s(kernel_s, faces) for faces in WHOLE_S}
    for faces, seconds in totals_s.items():
        print(f"10 s of 720p, {faces}: {seconds:.0f} CPU s (there {WHOLE_S[faces]})")
    if args.json:
        write_json(args.json, {"kernels": kernel_s, "whole_s": totals_s})
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
