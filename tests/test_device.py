"""Arrays on their way to a device."""

import pytest
import torch

from models.device import to_device


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_moved_to_the_cpu_has_the_requested_type(dtype: torch.dtype | None) -> None:
    """Type and values of the copy."""
    values = torch.arange(6, dtype=torch.float32)
    there = to_device(values, torch.device("cpu"), dtype)
    assert there.dtype == (dtype or torch.float32)
    assert torch.equal(there.float(), values)


def test_moved_to_a_gpu_is_narrowed_first_and_fetched_from_pinned_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The order of the calls, without a GPU: cast, pin, send without waiting."""
    calls: list[tuple[str, torch.dtype]] = []
    send = torch.Tensor.to

    def pin(tensor: torch.Tensor) -> torch.Tensor:
        calls.append(("pinned", tensor.dtype))
        return tensor

    def to(tensor: torch.Tensor, *args: object, **options: object) -> torch.Tensor:
        if args == (torch.device("cuda"),):
            assert options == {"non_blocking": True}
            calls.append(("sent", tensor.dtype))
            return tensor
        return send(tensor, *args, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(torch.Tensor, "to", to)
    to_device(torch.zeros(2), torch.device("cuda"), torch.bfloat16)
    assert calls == [("pinned", torch.bfloat16), ("sent", torch.bfloat16)]
