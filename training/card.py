"""Exports a trained SyncNet with the model card that makes it reproducible."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from models import weights
from models.calibration import Calibration
from models.features import FRAME_RATE
from models.syncnet import SyncNet, SyncNetConfig
from pipeline import reliability
from training import loop, people, reliability_fit, samples
from training.agreement import REFERENCE_LENGTH_S
from training.distributed import Processes
from training.evaluate_sync import figures
from training.reliability_fit import Piece
from training.samples import Clip
from training.syncnet import Run

if TYPE_CHECKING:
    from training.syncnet_run import Data, TrainOptions

FEWEST_PEOPLE = 5  # in each half of those a network is calibrated on


def export(run: Run, options: "TrainOptions", *, data: "Data", group: Processes) -> None:
    """Writes the averaged weights (the best on other people, if there were reports) and their card.

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
    calibrated: dict[str, Any] | None = None
    if data.unseen:
        without = frozenset(
            clip.reference
            for clip in data.unseen
            if Path(clip.reference).name in options.val_without
        )
        on_screen = [clip for clip in data.unseen if clip.reference not in without]
        calibrated = _calibrate(model, on_screen, options, device=group.device)
        unseen = figures(
            model, data.unseen, without=without, seed=options.seed, device=group.device
        )
    else:
        # Of the network it started from; these are other weights.
        model.config = replace(model.config, calibration=None, reliable_margin=0.0)
        print(
            "WARNING: without --val nothing is known of other people: no offset of these weights "
            "is called reliable until python -m training.calibrate has looked at some."
        )
    options.export.parent.mkdir(parents=True, exist_ok=True)
    weights.write_own(model, options.export, config=model.config)
    card = _card(
        run,
        options,
        data=data,
        unseen=unseen,
        calibrated=calibrated,
        model=model,
        device=group.device,
    )
    loop.write_model_card(options.export.with_suffix(".json"), card)


def _calibrate(
    model: SyncNet, clips: list[Clip], options: "TrainOptions", *, device: torch.device
) -> dict[str, Any] | None:
    """Finds out from where on the model's offsets are reliable, and sets its scale.

    Half of the people decide, the other half say how it turned out: figures on those who decided
    would be too good.

    Args:
        model: in eval mode; its configuration is changed.
        clips: of people it was not trained on.
        options: of the run.
        device: where the model is.

    Returns:
        What became of the promise on the other half; None where there are too few people.
    """
    model.config = replace(model.config, calibration=None, reliable_margin=0.0)
    persons = people.read(options.val)
    names = sorted({people.person_of(clip, persons) for clip in clips})
    measured = [
        reliability_fit.measure(
            model,
            [clip for clip in clips if people.person_of(clip, persons) in half],
            options=reliability_fit.Options(seed=options.seed + number),
            persons=persons,
            device=device,
        )
        for number, half in enumerate((names[::2], names[1::2]))
    ]
    if min(len({piece.person for piece in half}) for half in measured) < FEWEST_PEOPLE:
        print(
            f"WARNING: --val has fewer than {2 * FEWEST_PEOPLE} people whose offset is clear, too "
            "few to calibrate on: no offset of these weights is called reliable. python -m "
            "training.calibrate does it on more."
        )
        return None
    calibration = reliability_fit.fit(measured[0], vshift=reliability_fit.Options.vshift)
    factor = _scale_factor(measured[0], calibration, model.config)
    scaled = tuple(map(reliability.NUMBERS.index, reliability.SCALED))
    model.config = replace(
        model.config,
        embedding_scale=model.config.embedding_scale * factor,
        calibration=calibration.rescaled(factor, scaled),
    )
    return {"table": reliability_fit.table(measured[1], calibration, seed=options.seed)}


def _scale_factor(pieces: list[Piece], calibration: Calibration, config: SyncNetConfig) -> float:
    """By how much embeddings grow so that reliable offsets of 5 s begin at a confidence of 3.

    Confidence grows with the scale of the embeddings, and nothing else changes. 3 is what users of
    the published network take for an offset to rely on; a hundredth may lie below.
    """
    confidence = reliability.NUMBERS.index("confidence")
    trusted = [
        piece.numbers[confidence] / piece.windows**0.5
        for piece in pieces
        if piece.frames == REFERENCE_LENGTH_S * FRAME_RATE and not piece.foreign
        if calibration.trusts(piece.numbers, piece.windows)
    ]
    if not trusted or not config.embedding_scale:
        return 1.0
    return float(config.reliable_confidence / max(np.quantile(trusted, 0.01), 1e-3))


def _card(
    run: Run,
    options: "TrainOptions",
    *,
    data: "Data",
    unseen: dict[str, Any] | None,
    calibrated: dict[str, Any] | None,
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
        "calibrated_on": "half of the unseen people" if calibrated else None,
        "reliable_on_the_other_half": calibrated and calibrated["table"],
        "unseen_people": unseen,
        "licence": "MIT, as the repository; no training picture or sound is part of it",
        "sha256": weights.sha256(options.export) if options.export else None,
    }
