"""Limit of the time that several waits take together."""

from __future__ import annotations

import time


class Deadline:
    """Point in time, which does not depend on the clock of ROS.

    Args:
        timeout_s: Time from now, seconds.
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._end_s = time.monotonic() + timeout_s

    @property
    def left_s(self) -> float:
        """Return the time that is left, seconds; 0 afterwards."""
        return max(self._end_s - time.monotonic(), 0.0)
