"""Bounded reading of ``.npz`` files with errors that name the file."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clipose_ros.bounded_files import load_npy, open_regular
from clipose_ros.errors import CliposeError, DataError, UnreadableFileError, quoted

_SUFFIX = ".npy"
_UNPACKED_RATIO, _UNPACKED_MARGIN = 20, 1 << 26
_READ_ERRORS = (
    OSError, EOFError, ValueError, TypeError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error, CliposeError,
)  # fmt: skip
"""Exceptions raised for files that are missing, empty, truncated, damaged, no archive or without an array."""


class ArrayArchive(Mapping[str, NDArray[np.generic]]):
    """Arrays of an open ``.npz`` file, read on access.

    Args:
        archive: The open file.
        max_bytes: Size limit of all arrays together; None for none.

    Raises:
        UnreadableFileError: The arrays are larger, or compressed far beyond what arrays of measurements are.
    """

    def __init__(self, archive: zipfile.ZipFile, max_bytes: int | None = None) -> None:
        self._archive = archive
        self._members = {info.filename.removesuffix(_SUFFIX): info for info in archive.infolist()}
        packed = sum(info.compress_size for info in self._members.values())
        unpacked = sum(info.file_size for info in self._members.values())
        # A small file may otherwise unpack to more than the memory.
        if unpacked > _UNPACKED_RATIO * packed + _UNPACKED_MARGIN:
            raise UnreadableFileError(f"its {packed} bytes would unpack to {unpacked} bytes")
        if max_bytes is not None and unpacked > max_bytes:
            raise UnreadableFileError(f"its arrays have {unpacked} bytes, more than {max_bytes}")

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        if name not in self._members:
            raise UnreadableFileError(f"it lacks the array '{name}'")
        member = self._members[name]
        with self._archive.open(member) as stream:
            try:
                return load_npy(stream, member.file_size)
            except UnreadableFileError as error:
                raise UnreadableFileError(f"'{name}': {error}") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, name: object) -> bool:
        return name in self._members


@contextmanager
def open_arrays(path: str | Path, content: str, remedy: str, max_bytes: int | None = None) -> Iterator[ArrayArchive]:
    """Open a ``.npz`` file in a context. Errors while the context is active are reported as errors of the file.

    Args:
        path: The file. Pickled objects are not read.
        content: Expected content, such as ``a recorded sequence``, for the error message.
        remedy: What to do if the file cannot be read, for the end of the error message.
        max_bytes: Size limit of all arrays together; None for none.

    Yields:
        The open archive.

    Raises:
        DataError: The file cannot be read; the message names it.
    """
    try:
        # Arrays are read on access, so damaged data raises inside the context and not on opening.
        with open_regular(path) as stream, zipfile.ZipFile(stream) as archive:
            yield ArrayArchive(archive, max_bytes)
    except _READ_ERRORS as error:
        # Other messages may hold bytes of the file.
        reason = error if isinstance(error, CliposeError) else quoted(error)
        raise DataError(f"{path} is not {content} ({reason}): {remedy}") from error
