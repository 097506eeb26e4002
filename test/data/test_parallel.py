"""Work dealt out to processes: in order, and over when one of them is killed."""

from __future__ import annotations

import multiprocessing
import time

import pytest

from clipose_ros.data.parallel import parallel_map
from clipose_ros.errors import ConfigError, DataError


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order(workers: int) -> None:
    assert list(parallel_map(abs, range(-9, 9), workers)) == [abs(i) for i in range(-9, 9)]


def test_nobody_is_no_worker() -> None:
    with pytest.raises(ConfigError, match="workers must be at least 1"):
        next(parallel_map(abs, [1], 0))


def test_a_killed_worker_ends_the_work_and_the_others() -> None:
    before = set(multiprocessing.active_children())
    work = parallel_map(time.sleep, [0.05] * 3000, 2)
    next(work)
    workers = set(multiprocessing.active_children()) - before
    workers.pop().kill()
    with pytest.raises(DataError, match="a worker was killed"):
        list(work)
    end = time.monotonic() + 30.0
    while alive := workers.intersection(multiprocessing.active_children()):
        assert time.monotonic() < end, f"a process that nobody ends keeps this one from ending: {alive}"
        time.sleep(0.02)
