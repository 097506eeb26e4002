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
def open_arrays(path: str | Path, content: str, remedy: str) -> Iterator[NpzFile]:
    """Open a ``.npz`` file in a context. Errors while the context is active are reported as errors of the file.

    Args:
        path: The file. Pickled objects are not read.
        content: Expected content, such as ``a recorded sequence``, for the error message.
        remedy: What to do if the file cannot be read, for the end of the error message.

    Yields:
        The open archive.

    Raises:
        DataError: The file cannot be read; the message names it.
    """
    try:
        # NumPy reads arrays on access, so damaged data raises inside the context and not on opening.
        with np.load(path, allow_pickle=False) as archive:
            yield archive
    except _READ_ERRORS as error:
        raise DataError(f"{path} is not {content} ({error}): {remedy}") from error
