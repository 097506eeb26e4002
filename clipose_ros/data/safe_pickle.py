"""Safe reading of pickles from other sources: only plain values and NumPy arrays, and no code.

Size, nesting and number of values are bounded by the size of the file. A pickle has no checksum: changed bytes of a
number, a text or the description of an array can go unnoticed as long as their lengths agree.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clipose_ros.bounded_files import read_bytes
from clipose_ros.data.pickle_opcodes import PickleMachine
from clipose_ros.errors import DataError, UnreadableFileError

MAX_PICKLE_BYTES = 1 << 30
"""Largest size of a pickle, bytes."""
MAX_DEPTH = 32
"""Deepest nesting of lists, tuples and dictionaries."""
_REPETITIONS = 32
"""Bytes of all values where they occur, relative to the size of the file: a value can occur many times."""
_REPETITION_MARGIN = 1 << 16


def read_pickle(path: str | Path) -> object:
    """Read a pickle of plain values and NumPy arrays.

    Arrays hold booleans, integers, floating-point numbers or text. An OrderedDict is read as a dictionary.

    Args:
        path: The file, written by Python 2 or 3 and NumPy 1 or 2, in any protocol.

    Returns:
        The pickled value. Python 2 strings are decoded as Latin-1, which its arrays require.

    Raises:
        DataError: The file is missing, is not one complete pickle, or requests anything but plain values and arrays.
    """
    try:
        data = read_bytes(path, MAX_PICKLE_BYTES)
    except UnreadableFileError as error:
        raise DataError(f"'{path}' cannot be read: {error}") from error
    try:
        return parse_pickle(data)
    except UnreadableFileError as error:
        raise DataError(f"expected a pickle of plain values and NumPy arrays in '{path}': {error}") from error


def parse_pickle(data: bytes) -> object:
    """Return the value of a pickle; see ``read_pickle``.

    Raises:
        UnreadableFileError: The data is not accepted; the message states the reason.
    """
    try:
        value = PickleMachine(data).run()
    except (ValueError, OverflowError) as error:
        raise UnreadableFileError(f"it is malformed: {error}") from error
    limit = _REPETITIONS * len(data) + _REPETITION_MARGIN
    _measure(value, limit, {}, MAX_DEPTH)
    return value


def as_numbers(value: object) -> NDArray[np.generic]:
    """Convert a value of a pickle to an array of numbers or booleans.

    Args:
        value: An array, a number, or nested lists of numbers and arrays of one shape.

    Raises:
        UnreadableFileError: The value holds anything but numbers, or its rows differ in length.
    """
    # Text among the values would be converted without a word, or would take memory for its longest each.
    if not _holds_numbers(value):
        raise UnreadableFileError("it must hold numbers")
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError) as error:
        raise UnreadableFileError("its rows differ in length") from error
    if array.dtype.kind not in "biuf":
        raise UnreadableFileError("it must hold numbers")
    return array


def _holds_numbers(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_holds_numbers, value))
    return getattr(value, "dtype", np.dtype(type(value) if isinstance(value, int | float) else object)).kind in "biuf"


def _measure(value: object, limit: int, known: dict[int, tuple[int, int]], levels: int) -> tuple[int, int]:
    """Return the size of a value, counted where it occurs, and its depth; raise if a limit is exceeded.

    Args:
        value: A value of the pickle.
        limit: Largest size, bytes.
        known: Sizes and depths by identity of the containers that were measured.
        levels: Number of levels that may follow. A container that contains itself exceeds it.
    """
    if isinstance(value, np.ndarray | np.generic):
        return 1 + value.nbytes, 0
    if not isinstance(value, list | tuple | dict):
        return 1 + len(value) if isinstance(value, str | bytes | bytearray) else 1, 0
    if id(value) in known:
        return known[id(value)]
    if levels <= 0:
        raise UnreadableFileError(f"its values are nested deeper than {MAX_DEPTH} levels")
    size, depth = 1, 0
    for child in value.values() if isinstance(value, dict) else value:
        child_size, child_depth = _measure(child, limit, known, levels - 1)
        size, depth = size + child_size, max(depth, child_depth)
        if size > limit or depth >= levels:
            raise UnreadableFileError("its values repeat each other too often or are nested too deep")
    known[id(value)] = size, depth + 1
    return known[id(value)]
