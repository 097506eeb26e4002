"""Processes that simulate."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

import cv2

from clipose_ros.errors import ConfigError, DataError

Item = TypeVar("Item")
Result = TypeVar("Result")


def parallel_map(work: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    """What ``work`` makes of each item, in order, done by so many processes.

    Args:
        work: Sent to the processes, with the items and back with the results.
        items: Its arguments.
        workers: Processes; with 1 it is done by the process that asks.

    Raises:
        ConfigError: There are no workers.
        DataError: One was killed while it worked. One that is killed while it tells a result leaves the caller waiting
            for the rest of it, for ever: a limit of Python's pools.
    """
    if workers < 1:
        raise ConfigError(f"workers must be at least 1, got {workers}")
    if workers == 1:
        yield from map(work, items)
        return
    with process_pool(workers) as pool:
        calls = deque(pool.submit(work, item) for item in items)
        while calls:
            yield calls.popleft().result()


@contextmanager
def process_pool(
    workers: int, begin: Callable[..., None] | None = None, told: tuple[Any, ...] = ()
) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes; what is still to do when it is left is not done.

    Args:
        workers: Processes.
        begin: Called in each when it starts; ``begin_worker`` if left out, which it calls itself otherwise.
        told: Its arguments.

    Raises:
        DataError: One was killed while it worked.
    """
    # not forked: the caller may run threads (ROS does), which a fork would cut off in mid-step
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=begin or begin_worker, initargs=told) as pool:
        try:
            yield pool
        except BrokenProcessPool as error:
            # waits: a call cancelled while the pool fails it breaks off the thread that ends the other workers
            pool.shutdown()
            raise DataError(f"a worker was killed, perhaps for memory: run again with fewer than {workers}") from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def begin_worker() -> None:
    """Set up a worker of a process pool: one thread, and no life beyond that of the process that started it."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is None:
        raise DataError("workers are started by a process pool alone")

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)  # the queue would be waited on for ever

    threading.Thread(target=end_with_parent, daemon=True).start()
