"""Files that are complete or absent, also after an interruption, on a full disk or after a power failure."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file beside ``path``, which it replaces if the block raises nothing.

    The block writes the temporary file. Its contents are synced to disk before it is renamed: otherwise the new name
    may survive a power failure while the contents do not. After an error the temporary file is removed and a previous
    file is unchanged.

    Raises:
        OSError: The file cannot be synced or renamed.
    """
    partial = path.with_name(path.name + ".part")
    try:
        yield partial
        _sync(partial)
        partial.replace(path)
        _sync(path.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _sync(path: Path) -> None:
    """Write a file, or the names in a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot sync folders.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
