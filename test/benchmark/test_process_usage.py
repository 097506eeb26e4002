"""What a process costs, read from the kernel's own books."""

import mmap
import os
import subprocess
import sys

import pytest

from clipose_ros.benchmark.process_usage import ProcessUsageMeter


def test_own_memory_and_work_are_seen() -> None:
    meter = ProcessUsageMeter(os.getpid())
    with mmap.mmap(-1, 64 * 2**20) as held:  # not from what the C library may have kept of freed memory
        for page in range(0, len(held), mmap.PAGESIZE):
            held[page] = 1
        sum(range(2_000_000))
        meter.sample()
    usage = meter.usage()
    assert usage.rss_last_mib - usage.rss_first_mib > 55.0
    assert usage.rss_most_mib >= usage.rss_last_mib > 0.0
    assert usage.growth_mib_per_min > 0.0
    assert usage.cpu_percent > 0.0


def test_growth_is_the_slope_in_mebibytes_per_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = ProcessUsageMeter(os.getpid())
    memory = [100.0 + 0.5 * s for s in range(140)] + [200.0 + 0.25 * s for s in range(160)]  # caches fill at first
    monkeypatch.setattr(meter, "_samples", [(10.0 + s, 0.5 * s, mib) for s, mib in enumerate(memory)])
    usage = meter.usage()
    assert usage.growth_mib_per_min == pytest.approx(15.0)
    assert usage.cpu_percent == pytest.approx(50.0)
    assert (usage.rss_first_mib, usage.rss_last_mib, len(usage.rss_mib)) == (100.0, 239.75, 120)


def test_a_process_that_is_gone_is_told() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    meter = ProcessUsageMeter(process.pid)
    process.communicate(b"\n")
    with pytest.raises(FileNotFoundError):
        meter.sample()
