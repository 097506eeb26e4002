"""Fixtures for commands that start processes, with a pose node that needs no weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clipose_ros.cli import live_system
from clipose_ros.cli.subprocesses import Subprocess

BOX_NODE = Path(__file__).resolve().parents[1] / "ros" / "box_pose_node.py"


class Started(list[Subprocess]):
    """Processes that a command started, in order."""

    @property
    def alive(self) -> list[int]:
        """Return the ids of the processes that run; zombies are left out."""
        return [child.pid for child in self if _runs(child.pid)]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """Record every process that the tested command starts."""
    recorded, original = Started(), Subprocess.__init__

    def record(self: Subprocess, *arguments) -> None:
        original(self, *arguments)
        recorded.append(self)

    monkeypatch.setattr(Subprocess, "__init__", record)
    monkeypatch.setattr(live_system, "POSE_NODE", (str(BOX_NODE),))
    return recorded


@pytest.fixture
def runs() -> Callable[[int], bool]:
    """Return a function that checks whether a process runs, by its id."""
    return _runs


def _runs(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
