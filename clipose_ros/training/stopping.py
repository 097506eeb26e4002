"""Ending a run between two steps when it is asked to."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
    """Whether SIGINT or SIGTERM came; the handlers before are put back."""
    stop: list[int] = []

    def request(number: int, frame: FrameType | None) -> None:
        stop.append(number)

    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(stop)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
