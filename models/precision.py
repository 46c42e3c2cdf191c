"""The arithmetic networks compute in: exact, or half as wide and up to twice as fast."""

import torch

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
CHOICES = ("auto", *PRECISIONS)  # of --precision


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


def chosen(precision: str, *, published: bool, device: torch.device) -> str:
    """What "auto" comes to: published weights give the published numbers unless asked not to.

    Args:
        precision: one of `CHOICES`.
        published: the weights are not our own.
        device: where they compute.
    """
    if precision != "auto":
        return precision
    return "fp32" if published else precision_on(device)
