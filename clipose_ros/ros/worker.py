"""The thread that works on frames, and how a bug in it ends the process instead of passing unseen."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

from rclpy.node import Node

from clipose_ros.ros.mailbox import Mailbox

T = TypeVar("T")


class ExceptionRelay:
    """Carries an unforeseen exception to the executor, which raises it out of ``spin``.

    rclpy swallows what a lifecycle callback raises, and Python what a thread raises. Code inside ``with alarm:`` has
    neither fate.
    """

    def __init__(self, node: Node) -> None:
        self.error: BaseException | None = None
        self._context = node.context
        self._guard = node.create_guard_condition(self.check)

    def __enter__(self) -> ExceptionRelay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self._context.ok():  # once ROS is down, publishing raises: that is no bug
            self.error = self.error or error
            self._guard.trigger()

    def check(self) -> None:
        """Raise what was carried here, if anything."""
        if self.error is not None:
            raise self.error


class Worker(Generic[T]):
    """One thread that takes the newest item from a mailbox, again and again."""

    def __init__(self, work: Callable[[T], None], alarm: ExceptionRelay) -> None:
        self._work = work
        self._alarm = alarm
        self._mailbox: Mailbox[T] = Mailbox()
        self._thread = threading.Thread(target=self._run, name="pose_worker", daemon=True)
        self._thread.start()

    def offer(self, item: T) -> bool:
        """Hand over an item.

        Returns:
            Whether an older one, not yet begun, was dropped for it.
        """
        return self._mailbox.put(item)

    def stop(self) -> None:
        """Let the item in work end, throw away the one that waits, end the thread."""
        self._mailbox.close()
        self._thread.join()

    def _run(self) -> None:
        with contextlib.suppress(BaseException), self._alarm:  # told once, where the alarm raises it
            while (item := self._mailbox.take()) is not None:
                self._work(item)
