"""Calibrates a trained SyncNet on people it was not trained on, before it is exported."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from models.calibration import Calibration
from models.features import FRAME_RATE
from models.syncnet import SyncNet, SyncNetConfig
from pipeline.sync import reliability
from training.data import people
from training.data.samples import Clip
from training.evaluate import reliability_fit
from training.evaluate.agreement import REFERENCE_LENGTH_S
from training.evaluate.reliability_fit import Piece

FEWEST_PEOPLE = 5  # in each half of those a network is calibrated on


class _Options(Protocol):
    """What is read of a run's options."""

    @property
    def val(self) -> list[Path]: ...
    @property
    def seed(self) -> int: ...


def calibrate(
    model: SyncNet, clips: list[Clip], options: _Options, *, device: torch.device
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
    if model.pair_sigmoid is not None:
        model.pair_sigmoid.rescale(factor)
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
