"""Fits how probable it is that an offset is right, for weights that are trained already.

    python -m training.calibrate --data TRACKS --weights FILE --export FILE [--val OTHER_TRACKS]
        [--in_sync STUDIO_TRACKS]

TRACKS are of people the network was NOT trained on. Pieces of every length, with their own sound
and with somebody else's, give numbers (pipeline/sync/reliability.py); a logistic regression over
them becomes `probability`, and the level that one in a hundred pieces with somebody else's sound
passes becomes `reliable`. With --val the promise is checked on other people, with intervals.

A network learns its zero from its clips, and the sound of most people's videos lags a little. With
--in_sync, recordings whose sound is in sync, what the network reads of them in the median is taken
off everything it says from then on: `zero_ms` in its configuration.

An optional people.csv in a data folder (columns reference, person) says which videos show the same
person; else each video is a person of its own.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from models import weights
from models.device import torch_device
from models.syncnet import SyncNet
from models.weights import WeightsFile
from pipeline import cli
from pipeline.errors import InputError
from pipeline.store.files import write_json
from training import card
from training.data import people, selection
from training.data.samples import Clip
from training.evaluate import reliability_fit, tables
from training.evaluate.judging import set_zero
from training.evaluate.reliability_fit import Options


def build_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = tables.parser(
        __doc__, data="Results folders of people the network was not trained on."
    )
    default = Options()
    # fmt: off
    add = parser.add_argument
    add("--val", type=Path, nargs="*", default=[],
        help="Results folders of yet other people, to check on.")
    add("--val_without", nargs="*", default=[], help="References of --val to leave out.")
    add("--in_sync", type=Path, nargs="*", default=[],
        help="Results folders of recordings whose sound is in sync, such as a studio's: they set "
        "the zero. Without them it stays as the weights have it.")
    add("--weights", default="auto", help="SyncNet weights file.")
    add("--export", type=Path, help="Weights file (.safetensors) to write: the same network, "
        "calibrated, with a model card beside it.")
    add("--pieces", type=int, default=default.pieces,
        help="Pieces of each length, spread over all people.")
    add("--foreign", type=int, default=default.foreign,
        help="Sounds of other people for each piece.")
    add("--seed", type=int, default=default.seed, help="Seed of everything random.")
    # fmt: on
    return parser


def main(argv: list[str] | None = None) -> int:
    """Fits, checks, writes."""
    args = build_parser().parse_args(argv)
    options = Options(pieces=args.pieces, foreign=args.foreign, seed=args.seed)
    if args.export and not args.export.parent.is_dir():
        raise InputError(f"{args.export.parent} is not a folder; give --export in one that exists.")
    if args.export and args.export.suffix != ".safetensors":
        raise InputError(f"--export {args.export} must end in .safetensors; give such a name.")
    device = torch_device(args.device)
    model, weights_file = weights.load_syncnet(args.weights, device=device)
    with tempfile.TemporaryDirectory() as passing, cli.progress_bars() as progress:
        cache = args.cache or Path(passing)
        data, val, in_sync = (
            tables.tracks(folders, model.config, cache=cache, progress=progress) if folders else []
            for folders in (args.data, args.val, args.in_sync)
        )
        val = [clip for clip in val if Path(clip.reference).name not in args.val_without]
        persons = people.read(args.data + args.val)
        people.check_apart(data, val, persons)
        zero = _zero(model, in_sync, args.in_sync, device=device)
        measure = partial(
            reliability_fit.measure, model, persons=persons, device=device, progress=progress
        )
        pieces = measure(data, options=options)
        calibration = reliability_fit.fit(pieces, vshift=options.vshift)
        figures = {"fitted_on": reliability_fit.table(pieces, calibration, seed=options.seed)}
        if val:
            # Independent draws for the check.
            others = measure(val, options=replace(options, seed=options.seed + 1))
            figures["other_people"] = reliability_fit.table(others, calibration, seed=options.seed)
    for name, rows in figures.items():
        print(name.replace("_", " "))
        for row in rows:
            print(" ", json.dumps(row))
    if args.json:
        write_json(args.json, {"weights": asdict(weights_file)} | zero | figures)
    if args.export:
        model.config = replace(model.config, calibration=calibration)
        _export(model, weights_file, args, zero, figures, tracks=len(data))
        print(f"{args.export} written; the model card is {args.export.stem}.json beside it")
    return 0


def _zero(
    model: SyncNet, clips: list[Clip], folders: list[Path], *, device: torch.device
) -> dict[str, Any]:
    """Sets the zero by recordings in sync, and says what it is; nothing without them."""
    if not folders:
        return {}
    zero = set_zero(model, selection.with_people(clips, folders), device=device)
    print("in sync", json.dumps(zero))
    return {"zero": zero}


def _export(
    model: SyncNet,
    weights_file: WeightsFile,
    args: argparse.Namespace,
    zero: dict[str, Any],
    figures: dict[str, Any],
    *,
    tracks: int,
) -> None:
    """Writes the calibrated network, and its card with that of the network it was before."""
    earlier = card.read(weights.syncnet_file(args.weights))
    weights.write_own(model, args.export, config=model.config)
    facts = {
        "network": model.config.description,
        "data": {"tracks": tracks, "data_dirs": [folder.name for folder in args.data]},
        "starts_from": asdict(weights_file) | {"card": earlier},
        "reliable_from": model.config.reliable_from,
        **zero,
        "calibration": figures,
    }
    card.write(args.export, model, facts, script="-m training.calibrate", options=args)


if __name__ == "__main__":
    sys.exit(cli.run(main))
