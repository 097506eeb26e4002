"""Entry point of the pose node: signals, limits and imports, which take seconds. Faults of the machine are one line."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

from clipose_ros.errors import one_line
from clipose_ros.ros.signals import receive_termination_signals

_ADDRESS_SPACE_GB = 4.0
"""Address space of the node: the code of torch and its threads; most of it is never used."""
_SHARED_MEMORY = "/dev/shm"
_SHARED_MEMORY_MB = 4.0
"""Least free shared memory, in which Fast DDS creates its participant."""


def main(args: list[str] | None = None) -> int:
    """Run the pose node; return the exit status."""
    signals = receive_termination_signals()
    fault = find_memory_fault()
    if fault is not None:
        return _fail(fault)
    try:
        from clipose_ros.ros import pose_node
    except (ImportError, OSError, MemoryError) as error:
        return _fail(f"a library cannot be loaded: {error}: check the installation, free memory and /dev/shm")
    return signals.end_process(pose_node.main(args))


def find_memory_fault() -> str | None:
    """Return the reason why the process would get too little memory; None if there is enough.

    Libraries that get no memory end with a trace or wait for ever, and Fast DDS ends with a bus error.
    """
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < _ADDRESS_SPACE_GB * 1e9:
        return (
            f"the address space is limited to {limit * 1e-9:.1f} GB, expected {_ADDRESS_SPACE_GB:g} GB or more: raise "
            "the limit (ulimit -v), or limit the resident memory instead (MemoryMax of systemd, --memory of docker)"
        )
    if Path(_SHARED_MEMORY).is_dir():
        stats = os.statvfs(_SHARED_MEMORY)
        free_mb = stats.f_bavail * stats.f_frsize * 1e-6
        if free_mb < _SHARED_MEMORY_MB:
            return (
                f"'{_SHARED_MEMORY}' has {free_mb:.1f} MB left, expected {_SHARED_MEMORY_MB:g} MB or more: remove what "
                "ended processes left (fastdds shm clean), or enlarge it (--shm-size of docker)"
            )
    return None


def _fail(reason: str) -> int:
    """Print why the node cannot start; the log of ROS is not available yet."""
    print(f"[ERROR] [pose_node]: {one_line(reason)}", file=sys.stderr)
    return 1
