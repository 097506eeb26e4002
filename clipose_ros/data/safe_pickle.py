"""Pickles of others read without running what they may hold: plain values and NumPy arrays, nothing else."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from clipose_ros.errors import DataError

_ALLOWED = {
    ("__builtin__", "bytes"),
    ("_codecs", "encode"),
    ("collections", "OrderedDict"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
}
"""What bytes, NumPy arrays and scalars are made with in pickles of any protocol, of Python 2 and 3, NumPy 1 and 2."""


class _PlainUnpickler(pickle.Unpickler):
    """Finds nothing but what arrays are made with."""

    def find_class(self, module: str, name: str) -> Any:
        """The named object, if it is allowed."""
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, and only plain values and arrays are allowed")
        try:
            return super().find_class(module, name)
        except ModuleNotFoundError:  # NumPy 2 moved numpy.core to numpy._core
            return super().find_class(module.replace("numpy._core", "numpy.core"), name)


def read_pickle(path: str | Path) -> Any:
    """Read a pickle that holds plain values and NumPy arrays.

    Args:
        path: The file; written by Python 2 or 3.

    Returns:
        What was pickled; strings of Python 2 are read as Latin-1, as its arrays need.

    Raises:
        DataError: There is no such file, it is no whole pickle, or it asks for more than plain values and arrays.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            return _PlainUnpickler(stream, encoding="latin1").load()
    except FileNotFoundError as error:
        raise DataError(f"there is no {path}") from error
    except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, pickle.PickleError) as error:
        raise DataError(f"expected a pickle of plain values and NumPy arrays in {path}: {error}") from error
