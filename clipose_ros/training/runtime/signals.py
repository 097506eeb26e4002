"""Interruption of a run between two steps by SIGINT or SIGTERM."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from clipose_ros.errors import CliposeError


class StoppedError(CliposeError):
    """A signal ended a run before its last step; its state is written.

    Attributes:
        signal: Number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number


@contextmanager
def stop_requested() -> Iterator[Callable[[], int | None]]:
    """Yield a function that returns the first SIGINT or SIGTERM received, or None; restore the handlers afterwards."""
    stop: list[int] = []

    def request(number: int, frame: FrameType | None) -> None:
        stop.append(number)

    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: stop[0] if stop else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
