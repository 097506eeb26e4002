"""Ending a run between two steps when it is asked to."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from clipose_ros.errors import CliposeError


class StoppedError(CliposeError):
    """A run was asked to end before its last step, and its state is written.

    Attributes:
        signal: Number of what asked it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number


@contextmanager
def stop_requested() -> Iterator[Callable[[], int | None]]:
    """Which of SIGINT and SIGTERM came, None where neither did; the handlers before are put back."""
    stop: list[int] = []

    def request(number: int, frame: FrameType | None) -> None:
        stop.append(number)

    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: stop[0] if stop else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
