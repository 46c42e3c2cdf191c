"""Exports a trained SyncNet with the model card that makes it reproducible."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from models import weights
from models.syncnet import SyncNet
from training import loop, samples
from training.agreement import agreement, reliable_threshold
from training.distributed import Processes
from training.evaluate_sync import figures, strange_margins
from training.syncnet import Run

if TYPE_CHECKING:
    from training.syncnet_run import Data, TrainOptions


def export(run: Run, options: "TrainOptions", *, data: "Data", group: Processes) -> None:
    """Writes the averaged weights (the best on other people, if there were reports) and their card.

    Confidence grows with the scale of the embeddings, and nothing else changes: it is set so that
    3 means what users of the published network take it to mean, an offset to rely on.

    Args:
        run: that has ended.
        options: it was made with; `export` is the file.
        data: it was made on.
        group: of the run; alone by now.
    """
    assert options.export is not None
    model = run.average.model
    if run.best:
        model.load_state_dict(run.best["average"])
    unseen: dict[str, Any] | None = None
    if data.unseen:
        without = frozenset(
            clip.reference
            for clip in data.unseen
            if Path(clip.reference).name in options.val_without
        )
        _calibrate(model, data, options, without=without, group=group)
        unseen = figures(
            model, data.unseen, without=without, seed=options.seed, device=group.device
        )
    options.export.parent.mkdir(parents=True, exist_ok=True)
    weights.write_own(model, options.export, config=model.config)
    card = _card(run, options, data=data, unseen=unseen, model=model, device=group.device)
    loop.write_model_card(options.export.with_suffix(".json"), card)


def _calibrate(
    model: SyncNet,
    data: "Data",
    options: "TrainOptions",
    *,
    without: frozenset[str],
    group: Processes,
) -> None:
    """Sets from where on the model's offsets are called reliable, and its scale."""
    config = model.config
    clips = [clip for clip in data.unseen if clip.reference not in without]
    judged = agreement(model, clips, Processes(0, 1, group.device), seed=options.seed)
    strangers = strange_margins(model, clips, seed=options.seed, device=group.device)
    least = reliable_threshold(judged, strangers)
    if least is None or not config.embedding_scale or least.confidence <= 0:
        return
    # A little more, so that rounding turns none of the pieces away that decided the threshold.
    factor = 1.001 * config.reliable_confidence / least.confidence
    model.config = replace(
        config,
        embedding_scale=config.embedding_scale * factor,
        reliable_margin=least.margin * factor * 0.999,
    )


def _card(
    run: Run,
    options: "TrainOptions",
    *,
    data: "Data",
    unseen: dict[str, Any] | None,
    model: SyncNet,
    device: torch.device,
) -> dict[str, Any]:
    return {
        "network": f"SyncNet (models/syncnet.py), {model.config.lip_size_px} px lips, "
        f"windows of {model.config.window_frames} frames",
        "parameters": sum(p.numel() for p in model.parameters()),
        "data": {
            "tracks": len(data.real),
            "data_dirs": [folder.name for folder in options.data],
            "minutes": round(samples.minutes(data.real), 1),
            "kept": len(run.clips),
            "left_out_by_own_judgement": run.dropped,
            "drawn": f"{options.drawn} drawn heads with sound of the clips (training/drawn.py)",
        },
        "command": loop.command("train_syncnet.py", options),
        "precision": loop.precision(options, device),
        "starts_from": options.init and Path(options.init).name,
        "weights_used": run.origin.weights() if run.origin else {},
        "steps": run.best["step"] if run.best else run.step,
        "minutes": round(run.seconds / 60, 1),
        "reliable_from": model.config.reliable_from,
        "calibrated_on": "the unseen people below, without those left out" if unseen else None,
        "unseen_people": unseen,
        "licence": "MIT, as the repository; no training picture or sound is part of it",
        "sha256": weights.sha256(options.export) if options.export else None,
    }
