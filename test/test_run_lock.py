"""Lock of a run's folder: a second process is refused, a dead one holds nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clipose_ros.run_lock import LOCK, LockedError, locked
from clipose_ros.training.run_dir import RunDir, TrainingError

HOLDER = """
import sys
from pathlib import Path
from clipose_ros.run_lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock until its input ends."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_second_process_is_refused_with_the_name_of_the_first(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    for _ in range(2):
        with pytest.raises(LockedError, match=f"process {holder.pid} on '{socket.gethostname()}'") as error:
            locked(tmp_path).__enter__()
        assert str(tmp_path) in str(error.value) and str(error.value).isprintable()
    holder.communicate("\n")
    with locked(tmp_path):
        assert (tmp_path / LOCK).read_text() == f"{os.getpid()} {socket.gethostname()}\n"
    assert not list(tmp_path.iterdir())


def test_killed_process_holds_no_lock(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.wait()
    assert (tmp_path / LOCK).read_text().startswith(str(holder.pid))
    with locked(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"\xff\n[FATAL]", b"1" * 500])
def test_foreign_text_of_the_lock_file_is_not_shown(tmp_path: Path, content: bytes) -> None:
    with locked(tmp_path):
        (tmp_path / LOCK).write_bytes(content)
        with pytest.raises(LockedError, match="another process"):
            locked(tmp_path).__enter__()


def test_folder_is_removed_if_it_stays_empty_and_kept_otherwise(tmp_path: Path) -> None:
    with RunDir(tmp_path / "a" / "empty").locked():
        assert (tmp_path / "a" / "empty" / LOCK).is_file()
    assert not (tmp_path / "a" / "empty").exists()
    with RunDir(tmp_path / "full").locked():
        (tmp_path / "full" / "state.pt").touch()
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["state.pt"]
    with RunDir(tmp_path).locked():
        pass
    assert tmp_path.is_dir()


@pytest.mark.parametrize("place", ["file/run", "/proc/run"])
def test_folder_that_cannot_be_written_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match=r"run/train\.lock' cannot be written \(N.*make the folder writable"):
        RunDir(tmp_path / place).locked().__enter__()
