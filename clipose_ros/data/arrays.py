"""Files of named arrays (``.npz``), of which any may have been cut short."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile

from clipose_ros.errors import ConfigError, DataError

_BROKEN = (
    OSError, EOFError, ValueError, TypeError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error, ConfigError,
)  # fmt: skip
"""What NumPy and its readers raise for files that are missing, empty, cut, damaged, no archive or lack an array."""


@contextmanager
def open_arrays(path: str | Path, what: str, remedy: str) -> Iterator[NpzFile]:
    """Open a file to take arrays from; what goes wrong while it is open is told as the file's fault.

    Args:
        path: A ``.npz`` file. Nothing pickled is read.
        what: What it should be, after "is", such as ``a film``.
        remedy: What to do where it is not.

    Raises:
        DataError: It cannot be read; the message names it.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            yield archive
    except _BROKEN as error:
        raise DataError(f"{path} is not {what} ({error}): {remedy}") from error
