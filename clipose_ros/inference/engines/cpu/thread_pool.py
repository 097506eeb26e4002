"""Pool of threads that share one computation, each with a single thread of torch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch


class ThreadPool:
    """Fixed number of threads that sleep while there is nothing to do, and end with the pool.

    Inside them torch uses one thread each, so that only the threads of the pool compute. The pools of torch, OpenMP and
    OpenCV in the rest of the process keep their numbers of threads.

    Args:
        threads: Number of threads; 0 uses torch's number.

    Attributes:
        size: Number of threads.
    """

    def __init__(self, threads: int = 0) -> None:
        process_threads = torch.get_num_threads()
        self.size = threads or process_threads
        self._pool = ThreadPoolExecutor(self.size, "clipose-network", _use_one_thread)
        self.run([lambda _: None])
        torch.set_num_threads(process_threads)  # the number set inside the pool's threads is also the process's default

    def run(self, steps: Sequence[Callable[[int], None]], threads: int = 0) -> None:
        """Run each step in several threads at once; a step begins when all threads have finished the one before.

        Args:
            steps: Functions of the thread's number, from 0 on.
            threads: Number of threads that take part; 0 for all.

        Raises:
            BaseException: A step raised it; the remaining steps are not run.
        """
        count = threads or self.size
        barrier = threading.Barrier(count)

        def work(number: int) -> None:
            try:
                for step in steps:
                    step(number)
                    barrier.wait()
            except BaseException:
                barrier.abort()  # the other threads would wait for this one for ever
                raise

        futures = [self._pool.submit(work, number) for number in range(count)]
        # The error of the step goes first, those of the aborted barrier are its consequences.
        errors = [error for future in futures if (error := future.exception()) is not None]
        for error in sorted(errors, key=lambda error: isinstance(error, threading.BrokenBarrierError)):
            raise error


def _use_one_thread() -> None:
    torch.get_num_threads()  # a thread takes over the process's number at its first call, and only then
    torch.set_num_threads(1)
