"""What a running process costs: processor, memory, and whether it grows."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """A process over some time.

    Attributes:
        cpu_percent: Of one core, so that two cores are 200.
        rss_first_mib: Resident memory at the beginning.
        rss_last_mib: At the end.
        rss_most_mib: The most seen.
        growth_mib_per_min: Slope of a line through resident memory in the second half of the time: in the first, caches
            and allocators fill.
        rss_mib: Resident memory at up to 120 evenly spread moments.
    """

    cpu_percent: float
    rss_first_mib: float
    rss_last_mib: float
    rss_most_mib: float
    growth_mib_per_min: float
    rss_mib: tuple[float, ...]


class ProcessUsageMeter:
    """Looks at a process now and then; its own memory grows by a few numbers at each look.

    Args:
        pid: Whose; it must be running.
    """

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")
        self._looks: list[tuple[float, float, float]] = []
        self.look()

    def look(self) -> None:
        """Note time, processor seconds and resident memory.

        Raises:
            FileNotFoundError: The process is gone.
        """
        # the name, in brackets, may hold anything
        fields = (self._folder / "stat").read_text().rpartition(")")[2].split()
        cpu_s = (int(fields[11]) + int(fields[12])) * _TICK_S
        rss_mib = int((self._folder / "statm").read_text().split()[1]) * _PAGE_MIB
        self._looks.append((time.monotonic(), cpu_s, rss_mib))

    def usage(self) -> ProcessUsage:
        """What was seen from the first look to the last; at least two are needed, some time apart."""
        at_s, cpu_s, rss_mib = np.array(self._looks).T
        elapsed_s = at_s[-1] - at_s[0]
        settled = at_s >= min(at_s[0] + 0.5 * elapsed_s, at_s[-2])
        slope = np.polyfit(at_s[settled] - at_s[-1], rss_mib[settled], 1)[0] * 60.0
        shown = rss_mib[np.linspace(0, len(rss_mib) - 1, min(len(rss_mib), 120)).round().astype(int)]
        return ProcessUsage(
            cpu_percent=round(float(100.0 * (cpu_s[-1] - cpu_s[0]) / elapsed_s), 1),
            rss_first_mib=round(float(rss_mib[0]), 2),
            rss_last_mib=round(float(rss_mib[-1]), 2),
            rss_most_mib=round(float(rss_mib.max()), 2),
            growth_mib_per_min=round(float(slope), 3),
            rss_mib=tuple(round(float(value), 2) for value in shown),
        )
