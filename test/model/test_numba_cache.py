"""Cache of compiled code: a private temporary folder where nothing else can be written."""

from __future__ import annotations

import os
from pathlib import Path

import numba
import pytest

from clipose_ros.model.numba_cache import ensure_writable_cache


@pytest.fixture
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in place of the package's folder and of the home."""
    (tmp_path / "file").touch()
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_temporary_cache_is_private_and_used_last(no_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_writable_cache(no_cache)
    assert numba.config.CACHE_DIR == ""
    ensure_writable_cache(no_cache / "file")
    folder = Path(numba.config.CACHE_DIR)
    assert folder.parent == no_cache and folder.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setenv("HOME", str(no_cache))
    ensure_writable_cache(no_cache / "file")
    assert numba.config.CACHE_DIR == ""
    monkeypatch.setenv("HOME", os.devnull)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(no_cache))
    ensure_writable_cache(no_cache / "file")
    assert numba.config.CACHE_DIR == ""
