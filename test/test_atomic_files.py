"""Replacement of files: synced before they are renamed, and no trace of a failure."""

from __future__ import annotations

import errno
import os
import resource
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from clipose_ros.atomic_files import atomic_writer, replace_file, write_arrays, write_atomically
from clipose_ros.errors import ConfigError, DataError

MEGABYTE = np.random.default_rng(0).integers(0, 255, 1 << 20, dtype=np.uint8)


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


@contextmanager
def file_size_limit(size):
    """Limit the size of the files that this process writes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_complete_file_replaces_an_earlier_one(tmp_path):
    path = tmp_path / "x"
    for content in (b"first", b"second"):
        write_atomically(path, [content[:2], content[2:]])
        assert path.read_bytes() == content
    write_arrays(path, {"a": MEGABYTE})
    with np.load(path) as archive:
        np.testing.assert_array_equal(archive["a"], MEGABYTE)
    assert [each.name for each in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("is_compressed", [False, True])
@pytest.mark.parametrize("limit", [0, 10_000, 1 << 20])
def test_full_disk_is_reported_and_leaves_the_earlier_file(tmp_path, limit, is_compressed):
    (tmp_path / "x.npz").write_bytes(b"before")
    wanted = pytest.raises(DataError, match=r"x\.npz could not be written \(File too large\): free disk space")
    with wanted, file_size_limit(limit):
        write_arrays(tmp_path / "x.npz", {"a": MEGABYTE, "b": MEGABYTE}, is_compressed=is_compressed)
    assert (tmp_path / "x.npz").read_bytes() == b"before"
    assert [each.name for each in tmp_path.iterdir()] == ["x.npz"]


def test_disk_that_fills_up_at_the_end_is_reported(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"x could not be written \(No space left on device\): buy a disk"):
        write_atomically(tmp_path / "x", [b"1"], "buy a disk")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_device_without_space_is_reported(tmp_path):
    with pytest.raises(DataError, match="No space left on device"), atomic_writer(tmp_path / "x"):
        Path("/dev/full").write_bytes(b"1")
    assert not list(tmp_path.iterdir())


def test_missing_folder_and_file_as_folder_are_reported(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for folder in ("nowhere", "file"):
        with pytest.raises(DataError, match="could not be written"):
            write_atomically(tmp_path / folder / "x", [b"1"])


@pytest.mark.parametrize("error", [ConfigError("wrong"), ValueError("wrong"), KeyboardInterrupt()])
def test_errors_of_the_writer_leave_no_file(tmp_path, error):
    def chunks():
        yield b"half"
        raise error

    with pytest.raises(type(error)):
        write_atomically(tmp_path / "x", chunks())
    assert not list(tmp_path.iterdir())
