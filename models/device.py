"""Devices and precision of networks.

Torch is imported here; names that flags and options need without it are in models/options.py.
"""

from typing import Literal, get_args

import torch

from models.errors import InputError
from models.options import check_choice, check_device

Precision = Literal["auto", "fp32", "bf16"]
PRECISION_CHOICES: tuple[str, ...] = get_args(Precision)
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def torch_device(device: str | torch.device) -> torch.device:
    """The device of a name: auto, cpu, cuda, mps, or one of several GPUs, like cuda:1.

    Raises:
        InputError: there is no such device, or not on this machine.
    """
    if isinstance(device, torch.device):
        return device
    check_device(device)
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"--device {device} is not available here; use --device cpu or auto."
        ) from error
    return torch.device(device)


def to_device(
    tensor: torch.Tensor, device: torch.device, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """Copies a CPU tensor to a device, optionally casting first.

    A GPU fetches it from pinned memory, while the CPU prepares the next one.
    """
    narrow = tensor if dtype is None else tensor.to(dtype)
    if device.type == "cuda":
        return narrow.pin_memory().to(device, non_blocking=True)
    return narrow.to(device)


def native_precision(device: torch.device) -> str:
    """The narrowest of `PRECISIONS` that a device computes in itself rather than emulates."""
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
    return next(name for name, known_dtype in PRECISIONS.items() if known_dtype == dtype)


def check_precision(precision: object) -> None:
    """Checks an option.

    Raises:
        InputError: it is none of `PRECISION_CHOICES`.
    """
    check_choice("precision", precision, PRECISION_CHOICES)


def resolve_precision(precision: str, *, full: bool, device: torch.device) -> str:
    """Resolves "auto" to a precision; others stay.

    Args:
        precision: one of `PRECISION_CHOICES`.
        full: "auto" is fp32 on every device: the network gives its published numbers only there.
        device: where the network computes.

    Returns:
        One of `PRECISIONS`.

    Raises:
        InputError: there is no such precision.
    """
    check_precision(precision)
    if precision != "auto":
        return precision
    return "fp32" if full else native_precision(device)
