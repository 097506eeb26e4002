"""Training by several processes, started by ``torchrun``; in a single process every function here has no effect.

All ranks hold the same weights and the same random state. Each rank processes its slice of the joint batch. The average
of the means over slices is the mean over the joint batch. Losses that compare entries with each other gather the
entries of all ranks first.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psutil
import torch
from torch import Tensor
from torch import distributed as dist

from clipose_ros.errors import CliposeError, ConfigError, quoted
from clipose_ros.inference.predictor import resolve_device

PATIENCE = timedelta(hours=2)
"""Longest time that ranks wait for each other; rank 0 also validates and writes in this time."""
_MAX_RANKS = 1_000_000
_REMEDY = "start with torchrun, or unset its variables (WORLD_SIZE, RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT)"


class LostRankError(CliposeError):
    """Another process of the run ended or cannot be reached."""


@dataclass(frozen=True)
class Ranks:
    """Place of this process among the processes of a run, as ``torchrun`` sets it in the environment.

    Attributes:
        rank: Number of this process.
        size: Number of processes.
        local_rank: Number of this process on its machine.
        max_restarts: How often ``torchrun`` starts all processes again after one was lost.
    """

    rank: int
    size: int
    local_rank: int
    max_restarts: int = 0

    @classmethod
    def from_environment(cls) -> Ranks:
        """Read the environment; without ``torchrun`` there is one process.

        Raises:
            ConfigError: A variable is missing beside others, or is no number in its range.
        """
        size = _read_number("WORLD_SIZE", 1, 1, _MAX_RANKS)
        rank = _read_number("RANK", 0, 0, size - 1 if "WORLD_SIZE" in os.environ else _MAX_RANKS)
        local_rank = _read_number("LOCAL_RANK", 0, 0, _MAX_RANKS)
        needed = ("RANK", "MASTER_ADDR", "MASTER_PORT") if size > 1 else ("WORLD_SIZE",) if rank else ()
        if missing := [name for name in needed if not os.environ.get(name)]:
            present = f"WORLD_SIZE is {size}" if size > 1 else f"RANK is {rank}"
            raise ConfigError(f"{present}, but {' and '.join(missing)} missing: {_REMEDY}")
        if size > 1:
            _read_number("MASTER_PORT", 0, 0, 65535)
        max_restarts = _read_number("TORCHELASTIC_MAX_RESTARTS", 0, 0, _MAX_RANKS)
        if max_restarts and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
            # Processes that are started again would find the addresses of the lost ones in it.
            raise ConfigError(
                f"torchrun restarts the processes up to {max_restarts} times and keeps its store: set "
                "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 for torchrun on every machine"
            )
        return cls(rank, size, local_rank, max_restarts)


def _read_number(name: str, default: int, low: int, high: int) -> int:
    """Return the number in a variable of the environment."""
    text = os.environ.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and low <= int(text) <= high):
        raise ConfigError(f"{name} is {quoted(text)}, expected a number from {low} to {high}: {_REMEDY}")
    return int(text)


@contextmanager
def ranks_joined(device: str) -> Iterator[str]:
    """Join the ranks by NCCL on CUDA, else by Gloo, and yield the device of this rank.

    Without ``torchrun`` there is one process, and ``device`` is yielded.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:N``; on CUDA each rank of a machine uses a GPU of its own.

    Raises:
        ConfigError: The environment is incomplete, or the ranks cannot be joined.
        DeviceError: There is no GPU for this rank.
        LostRankError: Another rank was lost while the block ran.
    """
    ranks = Ranks.from_environment()
    if ranks.size == 1:
        yield device
        return
    if device.startswith("cuda"):
        device = resolve_device(f"cuda:{ranks.local_rank}")
        torch.cuda.set_device(device)
    with nullcontext() if device.startswith("cuda") else _gloo_interface(), _process_group(ranks, device):
        yield device


@contextmanager
def _gloo_interface() -> Iterator[None]:
    """Let Gloo use the network interface that leads to rank 0, unless the environment names one."""
    if os.environ.get("GLOO_SOCKET_IFNAME"):
        yield
        return
    os.environ["GLOO_SOCKET_IFNAME"] = find_interface(os.environ["MASTER_ADDR"])
    try:
        yield
    finally:
        del os.environ["GLOO_SOCKET_IFNAME"]


@contextmanager
def _process_group(ranks: Ranks, device: str) -> Iterator[None]:
    """Join the ranks in a context."""
    try:
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        place = quoted(f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}")
        reason = quoted(" ".join(str(error).split()))
        raise ConfigError(f"{ranks.size} processes cannot be joined at {place} ({reason}): {_REMEDY}") from error
    try:
        yield
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        # Gloo raises plain errors.
        if not isinstance(error, dist.DistError) and "gloo" not in reason:
            raise
        raise LostRankError(
            f"another process of the run was lost ({quoted(reason)}): run the same commands with --resume on all "
            "machines, or let torchrun do so (--max-restarts)"
        ) from error
    finally:
        dist.destroy_process_group()


def find_interface(host: str) -> str:
    """Return the name of the network interface that leads to a host, such as ``eth0``.

    By itself, Gloo takes the one of this machine's name, which is the loopback interface on many machines.

    Raises:
        ConfigError: The host has no address, or no interface leads to it.
    """
    try:
        # Connecting a datagram socket chooses a route and sends nothing.
        family, kind, _, _, address = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(address)
            own = probe.getsockname()[0]
    except OSError as error:
        raise ConfigError(
            f"MASTER_ADDR is {quoted(host)}, which no route leads to ({error.strerror}): {_REMEDY}"
        ) from error
    for name, held in psutil.net_if_addrs().items():
        if any(each.address.partition("%")[0] == own for each in held):
            return name
    raise ConfigError(f"no network interface has the address {own} that leads to MASTER_ADDR {quoted(host)}: {_REMEDY}")


def rank_and_size() -> tuple[int, int]:
    """Return the rank of this process and the number of ranks."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


@contextmanager
def rank_zero_first() -> Iterator[None]:
    """Run the block on rank 0, then on the first rank of each other machine, then on the rest.

    Ranks that come later can read the files of earlier ones, on machines with a folder in common and without.
    """
    rank, size = rank_and_size()
    turn = min(rank, 1) + min(rank, Ranks.from_environment().local_rank, 1)
    for _ in range(turn if size > 1 else 0):
        dist.barrier()
    yield
    for _ in range(2 - turn if size > 1 else 0):
        dist.barrier()


def from_rank_zero(data: bytes, device: str) -> bytes:
    """Return the bytes of rank 0 on all ranks; those of the other ranks are not used."""
    rank, size = rank_and_size()
    if size == 1:
        return data
    # Tensors: the collectives for Python objects would unpickle what comes over the network.
    length = torch.tensor([len(data)], device=device)
    dist.broadcast(length, 0)
    content = torch.empty(int(length.item()), dtype=torch.uint8, device=device)
    if not rank:
        content.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else content)
    dist.broadcast(content, 0)
    return content.cpu().numpy().tobytes()


def joint_mean(value: Tensor) -> Tensor:
    """Compute the mean over ranks, without gradient."""
    _, size = rank_and_size()
    if size == 1:
        return value
    value = value.detach().clone()
    dist.all_reduce(value)
    return value / size


def any_rank(flag: bool, device: str) -> bool:
    """Return True on all ranks if the flag is set on any rank."""
    if rank_and_size()[1] == 1:
        return flag
    return joint_mean(torch.tensor(float(flag), device=device)).item() > 0.0


@contextmanager
def failing_together(device: str) -> Iterator[None]:
    """Run a block without collectives on all ranks; if it raises on one, no other rank waits for that one.

    Raises:
        LostRankError: The block raised on another rank.
    """
    try:
        yield
    except Exception:
        with suppress(RuntimeError):  # another rank is lost besides
            any_rank(True, device)
        raise
    if any_rank(False, device):
        raise LostRankError("another process of the run could not start or resume it: its message says why")


def gathered(rows: Tensor) -> Tensor:
    """Gather the rows ``(B, ...)`` of all ranks in their order ``(W B, ...)``, with gradient."""
    return rows if rank_and_size()[1] == 1 else _Gather.apply(rows)


class _Gather(torch.autograd.Function):
    """Rows of all ranks; the gradient of a rank's rows is summed over all ranks."""

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
