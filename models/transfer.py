"""Arrays to the device that computes with them."""

import torch


def moved(
    tensor: torch.Tensor, device: torch.device, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """A tensor of the CPU on a device, in another type where one is given.

    It is narrowed before it travels, and a GPU fetches it by itself from pinned memory, while the
    CPU prepares the next one.
    """
    narrow = tensor if dtype is None else tensor.to(dtype)
    if device.type == "cuda":
        return narrow.pin_memory().to(device, non_blocking=True)
    return narrow.to(device)
