"""Number of CPU cores of this process."""

from __future__ import annotations

import os


def count_cores() -> int:
    """Return the number of cores that this process may use: a container or taskset may allow fewer than there are."""
    return len(os.sched_getaffinity(0))
