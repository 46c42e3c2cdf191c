"""The arithmetic networks compute in: exact, or half as wide and up to twice as fast."""

from typing import Literal, get_args

import torch

from models.options import check_choice

Precision = Literal["auto", "fp32", "bf16"]
CHOICES: tuple[str, ...] = get_args(Precision)  # of --precision
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def precision_on(device: torch.device) -> str:
    """The fastest of `PRECISIONS` that a device computes in itself rather than emulates."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        can = torch.cpu.get_capabilities()
        native = bool(can.get("avx512_bf16") or can.get("amx_bf16"))
    else:
        native = False
    return "bf16" if native else "fp32"


def precision_name(dtype: torch.dtype) -> str:
    """The name of `PRECISIONS` for what a network computes in."""
    return next(name for name, known in PRECISIONS.items() if known == dtype)


def check_precision(precision: object) -> None:
    """Raises InputError where there is no such precision."""
    check_choice("precision", precision, CHOICES)


def chosen(precision: str, *, published: bool, device: torch.device) -> str:
    """What "auto" comes to: published weights give the published numbers unless asked not to.

    Args:
        precision: one of `CHOICES`.
        published: the weights are not our own.
        device: where they compute.

    Raises:
        InputError: there is no such precision.
    """
    check_precision(precision)
    if precision != "auto":
        return precision
    return "fp32" if published else precision_on(device)
