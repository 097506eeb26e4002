"""Files that are complete or absent, also after an interruption, on a full disk or after a power failure."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from clipose_ros.errors import DataError

REMEDY = "free disk space or choose another folder"
"""Default remedy of files that cannot be written."""
PART = ".part"
"""Default suffix of temporary files."""


@contextmanager
def replace_file(path: Path, suffix: str = PART) -> Iterator[Path]:
    """Yield the path of a temporary file beside ``path``, which it replaces if the block raises nothing.

    The block writes the temporary file. Its contents are synced to disk before it is renamed: otherwise the new name
    may survive a power failure while the contents do not. After an error the temporary file is removed and a previous
    file is unchanged.

    Args:
        path: The file.
        suffix: Suffix of the temporary file. Processes that may write the same file at once need different ones.

    Raises:
        OSError: The file cannot be synced or renamed.
    """
    partial = path.with_name(path.name + suffix)
    try:
        yield partial
        _sync(partial)
        partial.replace(path)
        _sync(path.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_writer(path: Path, remedy: str = REMEDY, suffix: str = PART) -> Iterator[IO[bytes]]:
    """Yield the stream of a temporary file that replaces ``path``; see ``replace_file``.

    Args:
        path: The file; an earlier one is replaced.
        remedy: What to do if the file cannot be written, for the end of the error message.
        suffix: Suffix of the temporary file.

    Raises:
        DataError: The file cannot be written, for example on a full disk. No temporary file is left.
    """
    try:
        with replace_file(path, suffix) as partial, partial.open("wb") as stream:
            yield stream
    except (OSError, ValueError) as error:
        # The zip archive of np.savez hides the error of the disk behind its own while it is closed.
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        raise DataError(f"{path} could not be written ({cause.strerror or cause}): {remedy}") from error


def write_atomically(path: Path, chunks: Iterable[bytes], remedy: str = REMEDY, suffix: str = PART) -> None:
    """Write chunks of bytes to a file; see ``atomic_writer``.

    Raises:
        DataError: The file cannot be written.
    """
    with atomic_writer(path, remedy, suffix) as stream:
        for chunk in chunks:
            stream.write(chunk)


def write_arrays(path: Path, arrays: Mapping[str, NDArray[np.generic]], *, is_compressed: bool = False) -> None:
    """Write arrays to a ``.npz`` file; see ``atomic_writer``.

    Raises:
        DataError: The file cannot be written.
    """
    save = np.savez_compressed if is_compressed else np.savez
    with atomic_writer(path) as stream:
        save(stream, allow_pickle=False, **arrays)


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
