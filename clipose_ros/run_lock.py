"""Lock of the folder of a run, so that two trainers do not replace each other's files."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from clipose_ros.errors import CliposeError

LOCK = "train.lock"
"""Name of the lock file; it holds process id and host while a trainer runs."""
_UNSUPPORTED = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}


class LockedError(CliposeError):
    """Another process trains into the folder. The message names the folder, and the process if it is known."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of an existing folder in a context.

    The lock ends with the process that holds it, also if it is killed. On file systems without locks nothing is locked.

    Raises:
        LockedError: Another process holds the lock.
        OSError: The lock file cannot be written.
    """
    path = folder / LOCK
    descriptor = _acquire(path)
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode())
        yield
    finally:
        # Removed before it is unlocked: another process that opened it checks that it is still in place.
        with suppress(OSError):
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(path: Path) -> int:
    """Return a descriptor of the locked file."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(descriptor, path.parent)
            if _is_in_place(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder has just removed it


def _lock(descriptor: int, folder: Path) -> None:
    """Lock an open file; raise ``LockedError`` if another process holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = re.fullmatch(rb"(\d+) ([\w.-]+)\n", os.pread(descriptor, 300, 0))
        who = f"process {holder[1].decode()} on {holder[2].decode()!r:.80}" if holder else "another process"
        raise LockedError(
            f"'{folder}' is in use by another training run ({who}): wait until it ends, or choose another folder"
        ) from error
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise


def _is_in_place(descriptor: int, path: Path) -> bool:
    """Return True if the path still names the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
