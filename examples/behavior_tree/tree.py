"""A behaviour tree in a few lines: leaves that return at once, a sequence and a fallback."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol


class Status(Enum):
    """Result of a tick."""

    SUCCESS = "success"
    FAILURE = "failure"
    RUNNING = "running"


class Behavior(Protocol):
    """Node of the tree."""

    def tick(self) -> Status:
        """Go on a little and return at once."""
        ...


class Sequence:
    """Ticks its children in order until one fails or runs; begins anew after success or failure."""

    def __init__(self, *children: Behavior) -> None:
        self._children, self._current = children, 0

    def tick(self) -> Status:
        """Tick the child that runs, and those after it."""
        while self._current < len(self._children):
            status = self._children[self._current].tick()
            if status is not Status.SUCCESS:
                self._current = self._current if status is Status.RUNNING else 0
                return status
            self._current += 1
        self._current = 0
        return Status.SUCCESS


class Fallback:
    """Ticks its children in order until one succeeds or runs."""

    def __init__(self, *children: Behavior) -> None:
        self._children = children

    def tick(self) -> Status:
        """Tick the children from the first one."""
        for child in self._children:
            status = child.tick()
            if status is not Status.FAILURE:
                return status
        return Status.FAILURE


class Action:
    """Leaf that calls a function, which fails by returning False."""

    def __init__(self, call: Callable[[], bool]) -> None:
        self._call = call

    def tick(self) -> Status:
        """Call the function."""
        return Status.SUCCESS if self._call() else Status.FAILURE
