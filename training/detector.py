"""Trains the small face detector on photographs, talking-head frames and drawn heads.

    python -m training.detector --stills STILLS --corpus CORPUS --run RUN_DIR \
        --export models/weights/s3fd_small.safetensors

Photographs come with boxes and regions to ignore, clips with a teacher's boxes. Hard negative
mining (3 : 1) and the matching of small faces follow the S3FD paper. Faces are covered, dimmed and
turned by chance. --init goes on from weights that are there. Resumes from RUN_DIR.
"""

import argparse
import dataclasses
import json
import sys
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models import s3fd, weights
from models.device import torch_device
from models.files import sha256
from pipeline import cli
from pipeline.errors import InputError
from training import card
from training.batches.face_samples import (
    FaceSample,
    augment,
    corpus_samples,
    drawn_samples,
    still_samples,
)
from training.loop import resume
from training.loop.distributed import Processes, processes
from training.loop.fit import fit
from training.loop.options import RunOptions, add_run_flags, check_flags
from training.loop.task import Report, Task
from training.objectives.detection import calibrate, detection_loss, fold_batch_norm, recall_at

VIEW_PX = 256  # side of a training view
CORPUS_SHARE, DRAWN_SHARE = 0.35, 0.08  # of the views; the rest are photographs
TARGET_FALSE_PER_IMAGE = 0.03  # at the pipeline's confidence of 0.9
NEEDED = ("model", "optimizer", "average", "step", "seconds")


@dataclass(frozen=True)
class TrainOptions(RunOptions):
    """Flags of the script, by name; its --help says what each is."""

    stills: Path = resume.clip_folders()
    corpus: Path = resume.clip_folders()
    per_clip: int = resume.fixed()
    drawn: int = resume.fixed()
    batch_size: int = resume.fixed()
    init: Path | None = resume.fixed()


@dataclass(frozen=True)
class Data:
    """Data of a run: for training and for evaluation.

    Attributes:
        pools: photographs, clip frames and drawn scenes.
        aside: photographs of other sources.
    """

    pools: list[list[FaceSample]]
    aside: list[FaceSample]


def build_parser() -> argparse.ArgumentParser:
    """Flags of the script."""
    parser = cli.plain_parser(__doc__, program="python -m training.detector")
    # fmt: off
    data = parser.add_argument_group("data").add_argument
    data("--stills", type=Path, required=True, help="Folder of photographs with labels.jsonl.")
    data("--corpus", type=Path, required=True, help="Folder of videos with faces.jsonl.")
    data("--per_clip", type=int, default=16, help="Frames taken from each video.")
    data("--drawn", type=int, default=600, help="Drawn scenes that are added.")
    run, step = add_run_flags(
        parser, steps=5000, lr=2e-3, warmup=100, average=0.998, weight_decay=1e-4,
        log_every=50, device="cpu", precision="fp32",
        eval_help="Steps from one report to the next; -1 reports at the end only."
    )
    run("--init", type=Path, help="Weights of the small detector to start from; without them a run "
        "starts from nothing.")
    step("--batch_size", type=int, default=16, help="Pictures of a step.")
    # fmt: on
    return parser


def split_by_source(
    samples: list[FaceSample], *, share: float, seed: int
) -> tuple[list[FaceSample], list[FaceSample]]:
    """Splits samples by source: (rest, about `share` of the samples)."""
    sources = sorted({sample.source for sample in samples})
    np.random.default_rng(seed).shuffle(sources)
    aside: set[str] = set()
    count = 0
    for source in sources:
        size = sum(sample.source == source for sample in samples)
        if count + size <= share * len(samples):
            aside.add(source)
            count += size
    return (
        [sample for sample in samples if sample.source not in aside],
        [sample for sample in samples if sample.source in aside],
    )


def load_data(options: TrainOptions) -> Data:
    """Photographs, clip frames and drawn scenes to train on; photographs set aside.

    Raises:
        InputError: there is nothing of one kind.
    """
    stills, aside = split_by_source(
        still_samples(options.stills, split="train"), share=0.1, seed=options.seed
    )
    clips = corpus_samples(options.corpus, split="train", per_clip=options.per_clip)
    scenes = drawn_samples(np.random.default_rng(options.seed), options.drawn)
    print(
        f"{len(stills)} photographs, {len(clips)} clip frames, {len(scenes)} drawn scenes; "
        f"{len(aside)} photographs set aside"
    )
    if not (stills and clips):
        raise InputError("--stills and --corpus need pictures of train/; give such folders.")
    return Data([stills, clips, scenes], aside)


def random_views(
    pools: list[list[FaceSample]], options: TrainOptions, *, step: int
) -> list[FaceSample]:
    """The views of one step; a resumed run sees the same."""
    rng = np.random.default_rng((options.seed, step))
    shares = [1 - CORPUS_SHARE - DRAWN_SHARE, CORPUS_SHARE, DRAWN_SHARE]
    views = []
    for pool in rng.choice(len(pools), options.batch_size, p=shares):
        sample = pools[pool][rng.integers(len(pools[pool]))]
        views.append(augment(sample, rng, size_px=VIEW_PX))
    return views


class DetectorTask(Task):
    """The small detector as `fit` trains it."""

    script = "-m training.detector"

    def __init__(self, options: TrainOptions, data: Data, group: Processes) -> None:
        """Before the first step."""
        self.data, self._options, self._group = data, options, group
        # A file has its batch normalisation folded into the convolutions and goes on without.
        config = dataclasses.replace(s3fd.SMALL, batch_norm=options.init is None)
        self.network = s3fd.S3FD(config).to(group.device)
        optimizer = torch.optim.AdamW(self.network.parameters(), weight_decay=options.weight_decay)
        self.networks = {"model": self.network}
        self.optimizers = {"optimizer": optimizer}
        self.pace = "views_per_s", options.batch_size
        self.precision = options.arithmetic(group.device)

    def beginning(self, step: int) -> list[str]:
        """Network, processor and arithmetic."""
        count = sum(p.numel() for p in self.network.parameters())
        setting = f"on {self._group.device}, precision {self.precision}"
        return [f"small face detector, {count:,} parameters, {setting}"]

    def batch(self, step: int) -> list[FaceSample]:
        """The views of a step."""
        return random_views(self.data.pools, self._options, step=step)

    def losses(
        self, batch: list[FaceSample], step: int
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Score and box loss together."""
        images = s3fd.to_input(np.stack([view.image for view in batch]), self.network.config)
        images = images.to(self._group.device).contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            regressions, logits, anchors = self.network(images)
        score_loss, box_loss = detection_loss(regressions.float(), logits.float(), anchors, batch)
        parts = {"score_loss": score_loss, "box_loss": box_loss}
        return {"optimizer": score_loss + box_loss}, parts

    def report_due(self, step: int) -> bool:
        """At the end in any case."""
        every = self._options.eval_every
        return step == self._options.steps or (every > 0 and step % every == 0)

    def report(self, average: s3fd.S3FD, step: int) -> Report:
        """Faces found on the photographs set aside."""
        recall = recall_at(average, self.data.aside, false_per_image=TARGET_FALSE_PER_IMAGE)
        return Report(dict(recall))

    def ending(self, step: int) -> list[str]:
        """Where the weights are."""
        if self._options.export:
            return [f"{self._options.export} written; the model card is beside it"]
        return ["the same command with --export FILE.safetensors writes the weights"]

    def finished(self, average: s3fd.S3FD) -> s3fd.S3FD:
        """Without batch normalisation; its 0.9 gives the false boxes that are allowed."""
        plain = fold_batch_norm(average) if average.config.batch_norm else deepcopy(average)
        recall = recall_at(plain, self.data.aside, false_per_image=TARGET_FALSE_PER_IMAGE)
        calibrate(plain, recall["confidence"])
        return plain

    def facts(self, network: s3fd.S3FD) -> dict[str, Any]:
        """Data and figures, for the model card."""
        options = self._options
        held_out = still_samples(options.stills, split="heldout")
        init = options.init
        return {
            "network": "S3FD, small configuration (models/s3fd.py SMALL)",
            "data": {
                "photographs": "stills, train split, a tenth of it (by source) set aside",
                "clips": f"{options.corpus.name}/train, {options.per_clip} frames a clip, "
                "boxes of a teacher detector",
                "drawn": f"{options.drawn} drawn scenes (training/drawn/heads.py)",
            },
            "set_aside_recall_32px_at_0.03_false_per_image": recall_at(
                network, self.data.aside, false_per_image=TARGET_FALSE_PER_IMAGE
            ),
            "heldout_recall_32px_at_0.05_false_per_image": recall_at(
                network, held_out, false_per_image=0.05
            ),
            "starts_from": {"file": init.name, "card": card.read(init)} if init else None,
        }


def picture_sizes(options: TrainOptions) -> dict[str, int]:
    """Bytes of every photograph and clip to train on, by name: enough to notice another one.

    Raises:
        InputError: a folder has no list of them.
    """
    lists = (options.stills / "labels.jsonl", "images"), (options.corpus / "faces.jsonl", "")
    sizes = {}
    for file, inner in lists:
        if not file.is_file():
            raise InputError(f"{file} is not a file; give a folder with such a list.")
        for line in file.read_text(encoding="utf-8").splitlines():
            name = json.loads(line)["file"]
            path = file.parent / inner / name
            if name.startswith("train/"):
                sizes[f"{file.parent.name}/{name}"] = path.stat().st_size if path.exists() else 0
    return sizes


def described_start(init: Path | None) -> dict[str, str]:
    """Name and digest of the weights a run starts from, by its flag.

    Raises:
        InputError: the file is not there.
        WeightsError: it is no weights file, or another network's.
    """
    if init is None:
        return {}
    if not init.is_file():
        raise InputError(f"--init {init} is not a file; give weights of the small detector.")
    weights.fill(s3fd.S3FD(s3fd.SMALL), init)
    weights_file = weights.WeightsFile(init.name, sha256(init))
    return {"init": resume.described_weights(weights_file)}


def train(options: TrainOptions) -> int:
    """Trains as the flags say; returns the exit code."""
    check_flags(options, at_least_one=("batch_size", "per_clip", "drawn"))
    if not 0 <= options.average < 1:
        raise InputError("--average is 0 to below 1; see --help.")
    with processes(torch_device(options.device)) as group:
        if group.world > 1:
            raise InputError("The detector is trained by one process; start it without torchrun.")
        origin = resume.origin(options, picture_sizes(options), described_start(options.init))
        state = resume.earlier_checkpoint(options, origin, needed=NEEDED, say=True)
        torch.manual_seed(options.seed)
        task = DetectorTask(options, load_data(options), group)
        if options.init and not state:
            weights.fill(task.network, options.init)
        return fit(task, options, group, origin=origin, state=state)


def main(argv: list[str] | None = None) -> int:
    """Trains, reports on pictures set aside, exports."""
    return train(TrainOptions(**vars(build_parser().parse_args(argv))))


if __name__ == "__main__":
    sys.exit(cli.run(main))
