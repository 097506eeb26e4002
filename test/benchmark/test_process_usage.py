"""CPU and memory usage of a process."""

import mmap
import os
import subprocess
import sys

import pytest

from clipose_ros.benchmark.process_usage import ProcessUsage, ProcessUsageMeter


def test_meter_measures_memory_and_cpu_time_of_this_process() -> None:
    meter = ProcessUsageMeter(os.getpid())
    with mmap.mmap(-1, 64 * 2**20) as held:  # memory that the C library has not kept from earlier
        for page in range(0, len(held), mmap.PAGESIZE):
            held[page] = 1
        sum(range(2_000_000))
        meter.sample()
    usage = meter.usage()
    assert usage.rss_last_mib - usage.rss_first_mib > 55.0
    assert usage.rss_most_mib >= usage.rss_last_mib > 0.0
    assert usage.growth_mib_per_min > 0.0
    assert usage.cpu_percent > 0.0


def test_usage_fits_the_growth_to_the_second_half() -> None:
    memory = [100.0 + 0.5 * s for s in range(140)] + [200.0 + 0.25 * s for s in range(160)]  # caches fill at first
    usage = ProcessUsage.from_samples([(10.0 + s, 0.5 * s, mib) for s, mib in enumerate(memory)])
    assert usage.growth_mib_per_min == pytest.approx(15.0)
    assert usage.cpu_percent == pytest.approx(50.0)
    assert (usage.rss_first_mib, usage.rss_last_mib, len(usage.rss_mib)) == (100.0, 239.75, 120)


def test_meter_raises_after_the_end_of_the_process() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    meter = ProcessUsageMeter(process.pid)
    process.communicate(b"\n")
    with pytest.raises(FileNotFoundError):
        meter.sample()
