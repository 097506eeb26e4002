"""Process-wide settings of a training run, made by one explicit call of the command line."""

from __future__ import annotations

import numba
import torch

from clipose_ros.training.runtime.cpu_tuning import tune_process


def configure_process(seed: int, threads: int, device: str) -> None:
    """Configure this process for training; call once, before the trainer is created.

    The call seeds torch, whose random numbers initialise weights and draw dropout. It sets the number of CPU threads.
    It tunes the allocator and matrix products. All of it holds for the whole process. ``Trainer`` changes none of it.

    Args:
        seed: Seed of the run.
        threads: CPU threads of torch and of compiled kernels; 0 keeps torch's present number.
        device: ``cpu`` or ``cuda:N``.
    """
    torch.manual_seed(seed)
    set_threads(threads or torch.get_num_threads())
    tune_process(device)


def set_threads(threads: int) -> None:
    """Set the number of threads of compiled kernels and of torch.

    The kernels come first: their first call would otherwise reset the number of OpenMP threads, torch's among them, to
    that of the cores. Two runs on two cores, of one thread each, then wait for each other at every barrier.
    """
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    torch.set_num_threads(threads)
