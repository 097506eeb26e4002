"""Folder of compiled code for installations that cannot be written by their user."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from clipose_ros.user_folders import user_cache


def ensure_writable_cache(package: Path) -> None:
    """Keep numba's compiled code in a temporary folder if neither the package nor the user's cache can be written.

    Numba raises an error where it has no folder. Code in the temporary folder is removed at the end of the process, so
    each start compiles again.

    Args:
        package: Folder of the modules with compiled functions.
    """
    if (
        os.environ.get("NUMBA_CACHE_DIR")
        or _is_writable(package / "__pycache__")
        or _is_writable(user_cache() / "numba")
    ):
        return
    import numba

    # The folder is private: cached code is executed, and names in a shared folder could be taken by another user.
    folder = tempfile.mkdtemp(prefix="clipose_ros_numba_")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    numba.config.CACHE_DIR = folder


def _is_writable(folder: Path) -> bool:
    """Return True if a file can be written into a folder, which is created if it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
