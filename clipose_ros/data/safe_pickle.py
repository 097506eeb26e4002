"""Safe reading of pickles from other sources: only plain values and NumPy arrays, and no code."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from clipose_ros.errors import DataError

_ALLOWED_GLOBALS = {
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
"""Globals that construct bytes, NumPy arrays and scalars, for all pickle protocols, Python 2 and 3, NumPy 1 and 2."""


class _PlainUnpickler(pickle.Unpickler):
    """Unpickler restricted to ``_ALLOWED_GLOBALS``."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the named global, or raise UnpicklingError if it is not allowed."""
        # A pickle runs code by requesting a callable, so an allow list of constructors is sufficient.
        if (module, name) not in _ALLOWED_GLOBALS:
            raise pickle.UnpicklingError(f"it requests {module}.{name}; only plain values and arrays are allowed")
        try:
            return super().find_class(module, name)
        except ModuleNotFoundError:  # NumPy 2 moved numpy.core to numpy._core
            return super().find_class(module.replace("numpy._core", "numpy.core"), name)


def read_pickle(path: str | Path) -> Any:
    """Read a pickle of plain values and NumPy arrays.

    Args:
        path: The file, written by Python 2 or 3.

    Returns:
        The pickled value. Python 2 strings are decoded as Latin-1, which its arrays require.

    Raises:
        DataError: The file is missing, is not a complete pickle, or requests anything but plain values and arrays.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            return _PlainUnpickler(stream, encoding="latin1").load()
    except FileNotFoundError as error:
        raise DataError(f"there is no {path}") from error
    except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, pickle.PickleError) as error:
        raise DataError(f"expected a pickle of plain values and NumPy arrays in {path}: {error}") from error
