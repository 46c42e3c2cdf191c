"""Several processes training one network, as torchrun starts them.

    torchrun --nproc_per_node 2 -- train_syncnet.py ...

gloo between CPU processes, nccl between GPUs. Every process takes its share of each step's
excerpts, gradients are averaged, and batch statistics are those of the whole batch, so the run is
the one a single process would have made. Only wrong sound that is drawn at random, or taken from
other excerpts, is that of the process's own share.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

LONGEST_WAIT = timedelta(hours=12)  # for a process that decodes a large data set


@dataclass(frozen=True)
class Processes:
    """This process among those of the run.

    Attributes:
        rank: 0 writes checkpoints, logs and exports.
        world: how many there are.
        device: where this one computes.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """This is the process that writes."""
        return self.rank == 0


@contextmanager
def processes(device: torch.device) -> Iterator[Processes]:
    """Joins the run torchrun started; alone where there is none.

    Args:
        device: of a process that is alone, or the kind of all.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Processes(0, 1, device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=LONGEST_WAIT)
    try:
        yield Processes(distributed.get_rank(), world, device)
    finally:
        distributed.destroy_process_group()


@contextmanager
def leader_first(group: Processes) -> Iterator[None]:
    """The leader runs the block first; the others then read its files."""
    if group.world > 1 and not group.leads:
        distributed.barrier()
    try:
        yield
    finally:  # where the leader fails, the others fail the same way instead of waiting
        if group.world > 1 and group.leads:
            distributed.barrier()


def averaged(row: dict[str, float], group: Processes) -> dict[str, float]:
    """The mean of every number over all processes, which have the same names."""
    if group.world == 1:
        return row
    values = torch.tensor(list(row.values()), device=group.device)
    distributed.all_reduce(values)
    return dict(zip(row, (values / group.world).tolist(), strict=True))


def average_gradients(parameters: Iterable[nn.Parameter], group: Processes) -> None:
    """Averages gradients over all processes, in one message."""
    if group.world == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    together = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(together)
    together /= group.world
    for gradient, mean in zip(
        gradients, together.split([gradient.numel() for gradient in gradients]), strict=True
    ):
        gradient.copy_(mean.view_as(gradient))


def largest(value: int, group: Processes) -> int:
    """The largest of all processes' numbers, in every process."""
    if group.world == 1:
        return value
    maximum = torch.tensor([value], device=group.device)
    distributed.all_reduce(maximum, op=distributed.ReduceOp.MAX)
    return int(maximum)


def gathered(value: Any, group: Processes) -> list[Any]:
    """The plain values of all processes, in their order, in every process."""
    if group.world == 1:
        return [value]
    values: list[Any] = [None] * group.world
    distributed.all_gather_object(values, value)
    return values


def share_batch_statistics(model: nn.Module, group: Processes) -> None:
    """Makes every batch normalisation see the whole batch; names and values stay as they are."""
    if group.world == 1:
        return
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, _BatchNorm):
                setattr(module, name, _SharedBatchNorm.like(child))


class _SumOverProcesses(torch.autograd.Function):
    """The sum over all processes, differentiable."""

    @staticmethod
    def forward(_context: Any, values: torch.Tensor) -> torch.Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, gradient: torch.Tensor) -> torch.Tensor:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total


class _SharedBatchNorm(_BatchNorm):
    """torch's own SyncBatchNorm wants GPUs; this one averages over gloo as well."""

    @staticmethod
    def like(original: _BatchNorm) -> "_SharedBatchNorm":
        shared = _SharedBatchNorm(
            original.num_features, eps=original.eps, momentum=original.momentum
        )
        shared.weight, shared.bias = original.weight, original.bias  # an optimizer may hold them
        shared.to(original.weight.device)
        shared.load_state_dict(original.state_dict())
        return shared.train(original.training)

    def _check_input_dim(self, x: torch.Tensor) -> None:
        pass  # any of (N, C) and (N, C, H, W)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(x)
        rest = [dim for dim in range(x.dim()) if dim != 1]
        shape = [1, -1] + [1] * (x.dim() - 2)
        values = x.float()
        own_count = torch.full((1,), float(x.numel() // x.shape[1]), device=x.device)
        sums = _SumOverProcesses.apply(torch.cat([values.sum(rest), own_count]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        # The mean of squares less the squared mean would lose its digits where the mean is large.
        centred = values - mean.view(shape)
        variance = _SumOverProcesses.apply(centred.square().sum(rest)) / count
        self._remember(mean, variance, count)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale.view(shape) + self.bias.view(shape)).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: torch.Tensor, variance: torch.Tensor, count: torch.Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
