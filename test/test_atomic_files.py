"""Replacement of files: synced before they are renamed, and no trace of a failure."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from clipose_ros.atomic_files import replace_file


def test_contents_are_synced_before_and_names_after_renaming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, synced = tmp_path / "file", []
    path.write_text("old")

    def record(descriptor: int) -> None:
        inode = os.fstat(descriptor).st_ino
        synced.append(("folder" if inode == tmp_path.stat().st_ino else "file", path.read_text()))

    monkeypatch.setattr(os, "fsync", record)
    with replace_file(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert synced == [("file", "old"), ("folder", "new")]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_failed_write_keeps_previous_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def write() -> None:
        with replace_file(path) as partial:
            partial.write_text("ne")
            raise error

    with pytest.raises(type(error)):
        write()
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_failed_sync_is_reported_unless_the_file_system_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = errno.EIO

    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"), replace_file(tmp_path / "file") as partial:
        partial.touch()
    assert not list(tmp_path.iterdir())
    number = errno.EINVAL
    with replace_file(tmp_path / "file") as partial:
        partial.touch()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
