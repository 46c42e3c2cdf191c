"""Tests whether a network matches the ends of clips instead of mouths.

    python -m tests.benchmarks.corners             (trains one for 200 steps on drawn heads)
    python -m tests.benchmarks.corners --data TRACKS --weights FILE

Pieces of 40 frames with somebody else's sound: no window of lips belongs to any of sound. Where
both streams are cut at the same time, a network that has learnt to see the cut finds the corners
of the distance matrix nearer than the rest. Printed is by how much, in deviations of a row, column
means removed, with its standard error: |z| above 3 is a clue that is no mouth.
"""

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import train_syncnet
from models import weights
from models.features import FRAME_RATE, SAMPLES_PER_FRAME
from models.syncnet import SMALL, SyncNet, SyncNetConfig
from training.data import samples
from training.data.samples import Clip
from training.drawn_tracks import babble
from training.evaluate.judging import embed_piece
from training.loop.distributed import Processes
from training.loop.fit import train_step
from training.loop.task import Run
from training.objectives.contrastive import MultiWay
from training.tasks.syncnet import Data, SyncNetTask
from training.tasks.syncnet_options import TrainOptions

PIECE_FRAMES = 40
CORNERS = {
    "first, first": (0, 0),
    "last, last": (-1, -1),
    "first, last": (0, -1),
    "last, first": (-1, 0),
}
CPU = torch.device("cpu")
NARROW = replace(  # a SyncNet of the small one's shape that 200 steps teach in a minute
    SMALL,
    lip_widths=(8, 8, 16, 16, 16, 32),
    audio_widths=(8, 8, 16, 16, 16, 32),
    embedding_size=32,
    dropout=0.0,
)


def drawn_heads(config: SyncNetConfig, *, count: int, seed: int) -> list[Clip]:
    """Drawn heads with babble, 8 s each."""
    frames = 200
    pictures = np.zeros((frames, 1, 1, 1), np.uint8)
    sources = [
        Clip(f"babble/{n}/0", pictures, babble(np.random.default_rng((seed, n)), seconds=8.0))
        for n in range(count)
    ]
    return list(samples.drawn_clips(sources, config, count=count, frames=frames, seed=seed))


def trained(clips: list[Clip], config: SyncNetConfig, *, steps: int, seed: int) -> SyncNet:
    """A network after so many steps on some clips."""
    torch.manual_seed(seed)
    flags = f"--data . --run . --device cpu --precision fp32 --excerpts 4 --seed {seed}"
    options = TrainOptions(**vars(train_syncnet.build_parser().parse_args(flags.split())))
    group = Processes(0, 1, CPU)
    task = SyncNetTask(SyncNet(config), MultiWay(), options, Data(clips, [], [], {}), group)
    run = Run(task, decay=0.9)
    for step in range(steps):
        row = train_step(run, task.batch(step), lr=2e-3, group=group)
        if step % 20 == 0:
            print(
                f"step {step}  loss {row['loss']:.2f}  accuracy {row['accuracy']:.2f}", flush=True
            )
    return task.network.eval()


def matrices(model: SyncNet, clips: list[Clip], *, pieces: int, seed: int) -> Iterator[np.ndarray]:
    """Distances (35, 35) of all lips to all sound of pieces whose sound is another clip's."""
    rng = np.random.default_rng(seed)
    size = model.config.lip_size_px
    for _ in range(pieces):
        one, other = (clips[n] for n in rng.choice(len(clips), 2, replace=False))
        first, foreign = (int(rng.integers(c.frames - PIECE_FRAMES + 1)) for c in (one, other))
        margin = (one.pictures.shape[2] - size) // 2
        inner = slice(margin, margin + size)
        sound = other.samples[foreign * SAMPLES_PER_FRAME :][: PIECE_FRAMES * SAMPLES_PER_FRAME]
        pictures = one.pictures[first : first + PIECE_FRAMES, :, inner, inner]
        piece = Clip("piece", pictures, sound)
        lips, sound_embeddings = embed_piece(model, piece, first=0, frames=PIECE_FRAMES, device=CPU)
        yield torch.cdist(lips.float(), sound_embeddings.float()).numpy()


def corner_table(dists: list[np.ndarray]) -> dict[str, tuple[float, float]]:
    """Mean and standard error at each corner, in deviations of a row."""
    rows = np.stack(dists)
    rows = (rows - rows.mean(axis=2, keepdims=True)) / (rows.std(axis=2, keepdims=True) + 1e-6)
    rows = rows - rows.mean(axis=1, keepdims=True)
    figures = {}
    for name, (lips, sound) in CORNERS.items():
        values = rows[:, lips, sound]
        figures[name] = float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
    return figures


def measured(*, steps: int, heads: int, pieces: int, seed: int) -> dict[str, tuple[float, float]]:
    """The table of a network trained on drawn heads, on other ones."""
    clips = drawn_heads(NARROW, count=heads, seed=seed)
    model = trained(clips, NARROW, steps=steps, seed=seed)
    others = drawn_heads(NARROW, count=max(2, heads // 2), seed=seed + 1)
    return corner_table(list(matrices(model, others, pieces=pieces, seed=seed)))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="data_dirs to measure on")
    parser.add_argument("--weights", default="auto", help="of a SyncNet, with --data")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--pieces", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.data:
        model, _ = weights.load_syncnet(args.weights, device=CPU)
        with tempfile.TemporaryDirectory() as cache:
            files = samples.clip_files(args.data)
            loaded = samples.load_clips(files, model.config, cache=Path(cache), margin=False)
            clips = [clip for clip in loaded.clips if clip.frames >= 2 * FRAME_RATE]
            table = corner_table(list(matrices(model, clips, pieces=args.pieces, seed=args.seed)))
    else:
        table = measured(steps=args.steps, heads=args.heads, pieces=args.pieces, seed=args.seed)
    for name, (mean, error) in table.items():
        print(f"{name:14} {mean:+.3f} +- {error:.3f}  z {mean / error:+.1f}")


if __name__ == "__main__":
    main()
