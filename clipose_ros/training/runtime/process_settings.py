"""Process-wide settings of a training run, made by one explicit call of the command line."""

from __future__ import annotations

import torch

from clipose_ros.training.runtime.cpu_tuning import tune_process


def configure_process(seed: int, threads: int, device: str) -> None:
    """Configure this process for training; call once, before the trainer is created.

    The call seeds torch, whose random numbers initialise weights and draw dropout. It sets the number of CPU threads.
    It tunes the allocator and matrix products. All of it holds for the whole process. ``Trainer`` changes none of it.

    Args:
        seed: Seed of the run.
        threads: CPU threads of torch; 0 keeps the present number.
        device: ``cpu`` or ``cuda:N``.
    """
    torch.manual_seed(seed)
    if threads:
        torch.set_num_threads(threads)
    tune_process(device)
