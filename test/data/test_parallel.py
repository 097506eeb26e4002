"""Process pools: order of the results and killed workers."""

from __future__ import annotations

import multiprocessing
import time

import pytest

from clipose_ros.data.parallel import parallel_map
from clipose_ros.errors import ConfigError, DataError


@pytest.mark.parametrize("workers", [1, 2])
def test_parallel_map_keeps_the_order(workers: int) -> None:
    assert list(parallel_map(abs, range(-9, 9), workers)) == [abs(i) for i in range(-9, 9)]


def test_parallel_map_without_workers_raises() -> None:
    with pytest.raises(ConfigError, match="workers must be at least 1"):
        next(parallel_map(abs, [1], 0))


def test_killed_worker_raises_and_ends_the_other_workers() -> None:
    before = set(multiprocessing.active_children())
    work = parallel_map(time.sleep, [0.05] * 3000, 2)
    next(work)
    workers = set(multiprocessing.active_children()) - before
    workers.pop().kill()
    with pytest.raises(DataError, match="a worker was killed"):
        list(work)
    end = time.monotonic() + 30.0
    while alive := workers.intersection(multiprocessing.active_children()):
        assert time.monotonic() < end, f"workers are still alive: {alive}"
        time.sleep(0.02)
