"""CPU and memory usage of a running process, read from ``/proc``."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """CPU and memory usage of a process during a measurement.

    Attributes:
        cpu_percent: Mean CPU usage, per cent of one core; two busy cores are 200.
        rss_first_mib: Resident memory (RSS) at the beginning, MiB.
        rss_last_mib: Resident memory at the end, MiB.
        rss_most_mib: Largest sampled resident memory, MiB.
        growth_mib_per_min: Slope of a line fitted to the resident memory of the second half, MiB per minute. The first
            half is left out because caches and allocators fill during it.
        rss_mib: Resident memory at up to 120 evenly spaced samples, MiB.
    """

    cpu_percent: float
    rss_first_mib: float
    rss_last_mib: float
    rss_most_mib: float
    growth_mib_per_min: float
    rss_mib: tuple[float, ...]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ProcessUsage:
        """Build from plain values, as ``dataclasses.asdict`` returns them."""
        return cls(**{**values, "rss_mib": tuple(values["rss_mib"])})

    @classmethod
    def from_samples(cls, samples: Sequence[tuple[float, float, float]]) -> ProcessUsage:
        """Compute the usage from samples in order of time.

        Args:
            samples: Time, CPU time (both seconds) and resident memory (MiB) of each sample. At least two samples at
                different times are needed.
        """
        time_s, cpu_s, rss_mib = np.array(samples).T
        elapsed_s = time_s[-1] - time_s[0]
        second_half = time_s >= min(time_s[0] + 0.5 * elapsed_s, time_s[-2])
        slope = np.polyfit(time_s[second_half] - time_s[-1], rss_mib[second_half], 1)[0] * 60.0
        kept = rss_mib[np.linspace(0, len(rss_mib) - 1, min(len(rss_mib), 120)).round().astype(int)]
        return cls(
            cpu_percent=round(float(100.0 * (cpu_s[-1] - cpu_s[0]) / elapsed_s), 1),
            rss_first_mib=round(float(rss_mib[0]), 2),
            rss_last_mib=round(float(rss_mib[-1]), 2),
            rss_most_mib=round(float(rss_mib.max()), 2),
            growth_mib_per_min=round(float(slope), 3),
            rss_mib=tuple(round(float(value), 2) for value in kept),
        )


class ProcessUsageMeter:
    """Samples CPU time and resident memory of a process.

    Args:
        pid: Id of a running process.
    """

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")
        self._samples: list[tuple[float, float, float]] = []
        self.sample()

    def sample(self) -> None:
        """Record time, CPU time and resident memory.

        Raises:
            FileNotFoundError: The process has ended.
        """
        # fields are counted from the closing bracket, since the process name may contain spaces and brackets
        fields = (self._folder / "stat").read_text().rpartition(")")[2].split()
        cpu_s = (int(fields[11]) + int(fields[12])) * _TICK_S
        rss_mib = int((self._folder / "statm").read_text().split()[1]) * _PAGE_MIB
        self._samples.append((time.monotonic(), cpu_s, rss_mib))

    def usage(self) -> ProcessUsage:
        """Return the usage from the first sample to the last. At least two samples at different times are needed."""
        return ProcessUsage.from_samples(self._samples)
