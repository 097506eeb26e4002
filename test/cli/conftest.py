"""Commands that start processes: each is noted, and the pose node among them needs no weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clipose_ros.cli import live_system
from clipose_ros.cli.subprocesses import Subprocess

BOX_NODE = Path(__file__).resolve().parents[1] / "ros" / "box_pose_node.py"


class Started(list[Subprocess]):
    """The processes that a command started, in order."""

    @property
    def alive(self) -> list[int]:
        """Ids of those that still run; one that has ended and is not yet waited for does not."""
        return [child.pid for child in self if _runs(child.pid)]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """Every process that the test's command starts."""
    noted, original = Started(), Subprocess.__init__

    def note(self: Subprocess, *arguments) -> None:
        original(self, *arguments)
        noted.append(self)

    monkeypatch.setattr(Subprocess, "__init__", note)
    monkeypatch.setattr(live_system, "POSE_NODE", (str(BOX_NODE),))
    return noted


@pytest.fixture
def runs() -> Callable[[int], bool]:
    """Whether a process still runs, by its id."""
    return _runs


def _runs(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
