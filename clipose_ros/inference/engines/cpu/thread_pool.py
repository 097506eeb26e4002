"""Threads that work on one thing together, each with torch to itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch


class ThreadPool:
    """A fixed number of threads. They sleep while there is nothing to do and end with the team.

    Inside them torch uses one thread each: the team's threads are all that compute, whatever pools torch, OpenMP or
    OpenCV keep for others in the process. Those keep their own numbers of threads.

    Args:
        threads: How many; 0 takes torch's number.
    """

    def __init__(self, threads: int = 0) -> None:
        others = torch.get_num_threads()
        self.size = threads or others
        self._pool = ThreadPoolExecutor(self.size, "clipose-network", _use_one_thread)
        self.run([lambda _: None])
        torch.set_num_threads(others)  # a thread of the team also told the process

    def run(self, steps: Sequence[Callable[[int], None]], threads: int = 0) -> None:
        """Do each step in several threads at once; a step begins when the one before is done in all.

        Args:
            steps: Called with the thread's number, from 0 on.
            threads: How many of the team take part; 0 for all.
        """
        count = threads or self.size
        barrier = threading.Barrier(count)

        def work(number: int) -> None:
            try:
                for step in steps:
                    step(number)
                    barrier.wait()
            except BaseException:
                barrier.abort()
                raise

        futures = [self._pool.submit(work, number) for number in range(count)]
        errors = [error for future in futures if (error := future.exception()) is not None]
        for error in sorted(errors, key=lambda error: isinstance(error, threading.BrokenBarrierError)):
            raise error


def _use_one_thread() -> None:
    torch.get_num_threads()  # a thread takes the process's number when it first asks, and only once
    torch.set_num_threads(1)
