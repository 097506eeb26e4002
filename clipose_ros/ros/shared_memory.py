"""Files of Fast DDS in shared memory, for a process that ends without destroying its DDS participant."""

from __future__ import annotations

import contextlib
from pathlib import Path

_SHARED_MEMORY = Path("/dev/shm")
_OPEN_FILES = Path("/proc/self/fd")
_LOCK_SUFFIX = "_el"
"""End of the name of the lock that Fast DDS holds open for each segment and port of its own, and only for those."""


def remove_own_files() -> None:
    """Remove the segments and ports of this process in shared memory, as ``fastdds shm clean`` would later."""
    for name in {link.name for link in _list_open_files() if link.name.endswith(_LOCK_SUFFIX)}:
        owned = name.removesuffix(_LOCK_SUFFIX)
        for path in (owned, f"sem.{owned}_mutex", name):
            with contextlib.suppress(OSError):
                (_SHARED_MEMORY / path).unlink()


def _list_open_files() -> list[Path]:
    """Return the files of Fast DDS in shared memory that this process holds open."""
    links = []
    with contextlib.suppress(OSError):  # no /proc
        for number in _OPEN_FILES.iterdir():
            with contextlib.suppress(OSError):  # closed in the meantime
                links.append(number.readlink())
    return [link for link in links if link.parent == _SHARED_MEMORY and link.name.startswith("fastdds_")]
