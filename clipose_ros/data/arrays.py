"""Reading of ``.npz`` files with errors that name the file."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile

from clipose_ros.errors import ConfigError, DataError

_READ_ERRORS = (
    OSError, EOFError, ValueError, TypeError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error, ConfigError,
)  # fmt: skip
"""Exceptions of NumPy for files that are missing, empty, truncated, damaged, no archive or without an array."""


@contextmanager
def open_arrays(path: str | Path, what: str, remedy: str) -> Iterator[NpzFile]:
    """Open a ``.npz`` file in a context. Errors while the context is active are reported as errors of the file.

    Args:
        path: The file. Pickled objects are not read.
        what: Expected content for the error message, such as ``a recorded sequence``.
        remedy: Advice at the end of the error message.

    Yields:
        The open archive.

    Raises:
        DataError: The file cannot be read; the message names it.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            yield archive
    except _READ_ERRORS as error:
        raise DataError(f"{path} is not {what} ({error}): {remedy}") from error
