"""Process pools for simulation and rendering."""

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
from typing import TypeVar

import cv2

from clipose_ros.errors import ConfigError, DataError

Item = TypeVar("Item")
Result = TypeVar("Result")


def parallel_map(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    """Apply a function to every item in a pool of processes and yield the results in order.

    If a worker is killed while it sends a result, the caller waits forever for the remaining bytes. This is a
    limitation of Python's process pools.

    Args:
        function: A picklable function.
        items: Arguments of the calls; picklable, as are the results.
        workers: Number of processes. With 1, the calls run in the calling process.

    Raises:
        ConfigError: ``workers`` is less than 1.
        DataError: A worker was killed during a call.
    """
    if workers < 1:
        raise ConfigError(f"workers must be at least 1, got {workers}")
    if workers == 1:
        yield from map(function, items)
        return
    with _process_pool(workers) as pool:
        # Results are released as soon as they are yielded: frames of a long sequence would fill the memory.
        calls = deque(pool.submit(function, item) for item in items)
        while calls:
            yield calls.popleft().result()


@contextmanager
def _process_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Open a pool of processes. Pending calls are cancelled on exit.

    Raises:
        DataError: A worker was killed during a call.
    """
    # spawn, not fork: the caller may run threads (ROS does), and a fork would copy their locks in any state
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_initialize_worker) as pool:
        try:
            yield pool
        except BrokenProcessPool as error:
            # Waits: if a call is cancelled while the pool handles the failure, the pool's manager thread fails and
            # does not terminate the remaining workers.
            pool.shutdown()
            raise DataError(f"a worker was killed, perhaps for lack of memory: use fewer than {workers}") from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _initialize_worker() -> None:
    """Limit a pool worker to one OpenCV thread and end it when its parent process ends.

    Raises:
        DataError: The calling process is no worker of a process pool.
    """
    # The processes use all cores already; more threads in each would only compete.
    cv2.setNumThreads(1)
    # Ctrl-C reaches the whole process group. The default action ends a worker without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is None:
        raise DataError("_initialize_worker must run in a worker of a process pool, not in the main process")

    def exit_with_parent() -> None:
        parent.join()
        os._exit(1)  # a normal exit would wait forever for the queue to be read

    threading.Thread(target=exit_with_parent, daemon=True).start()
