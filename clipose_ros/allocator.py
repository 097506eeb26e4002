"""Tuning of the memory allocator of the process."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Parameters of glibc's ``mallopt``, from ``malloc.h``."""


def keep_freed_memory() -> bool:
    """Keep freed memory for the next allocation instead of giving it back to the system.

    Steps of training allocate and free the same arrays, of up to 100 MB, and simulated images those of a window. If
    they are given back, the system maps and clears them again at the next write, which takes 5 to 20 % of the time on a
    CPU. The memory of the process therefore stays at its peak.

    Returns:
        True if the C library has the setting; only glibc does.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, -1))
