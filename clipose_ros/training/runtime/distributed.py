"""Training by several processes at once, as ``torchrun`` starts them; alone, every function here does nothing.

All ranks hold the same weights and the same random state, and each has its slice of the joint batch. Means over a slice
average to means over the joint batch; what compares entries with each other gathers them first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

PATIENCE = timedelta(hours=2)
"""How long ranks wait for each other: the first one also validates and writes."""


@contextmanager
def ranks_joined(device: str) -> Iterator[str]:
    """Join the ranks, by NCCL on CUDA and else by Gloo; gives this rank's device. Without ``torchrun`` nothing happens.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:N``; on CUDA each rank of a machine takes its own.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device
        return
    if device.startswith("cuda"):
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=PATIENCE)
    try:
        yield device
    finally:
        dist.destroy_process_group()


def rank_and_size() -> tuple[int, int]:
    """Which rank this is, and of how many."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


@contextmanager
def rank_zero_first() -> Iterator[None]:
    """Rank 0 goes first, and the others find what it wrote."""
    rank, size = rank_and_size()
    if size > 1 and rank:
        dist.barrier()
    yield
    if size > 1 and not rank:
        dist.barrier()


def joint_mean(value: Tensor) -> Tensor:
    """Mean over ranks, without gradient."""
    _, size = rank_and_size()
    if size == 1:
        return value
    value = value.detach().clone()
    dist.all_reduce(value)
    return value / size


def any_rank(flag: bool, device: str) -> bool:
    """Whether it holds on any rank; all ranks learn the same."""
    if rank_and_size()[1] == 1:
        return flag
    return joint_mean(torch.tensor(float(flag), device=device)).item() > 0.0


def gathered(rows: Tensor) -> Tensor:
    """Gather the rows ``(B, ...)`` of all ranks in their order ``(W B, ...)``, with gradient."""
    return rows if rank_and_size()[1] == 1 else _Gather.apply(rows)


class _Gather(torch.autograd.Function):
    """All ranks' rows; each rank's own get the gradients of all."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        ctx.count = len(rows)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        joint = gradients[0].contiguous().clone()
        dist.all_reduce(joint)
        start = dist.get_rank() * ctx.count
        return joint[start : start + ctx.count]
