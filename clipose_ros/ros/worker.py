"""Worker thread for frames, and a relay that brings unexpected exceptions to the executor."""

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
    """Relays an unexpected exception to the executor, which raises it from ``spin``.

    rclpy catches exceptions of lifecycle callbacks, and Python prints those of threads without ending the process.
    Exceptions of code inside ``with relay:`` are raised by the executor instead.

    Attributes:
        error: First exception, or None.
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
        if error is not None and self._context.ok():  # publishing raises after shutdown, which is no bug
            self.error = self.error or error
            self._guard.trigger()

    def check(self) -> None:
        """Raise the relayed exception, if there is one."""
        if self.error is not None:
            raise self.error


class Worker(Generic[T]):
    """Thread that processes the newest item of a mailbox, one after the other.

    Args:
        work: Processes an item.
        relay: Receives an exception of ``work``, which ends the thread.
        name: Name of the thread.
    """

    def __init__(self, work: Callable[[T], None], relay: ExceptionRelay, name: str = "worker") -> None:
        self._work = work
        self._relay = relay
        self._mailbox: Mailbox[T] = Mailbox()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def offer(self, item: T) -> bool:
        """Pass an item to the thread.

        Returns:
            True if an older item, not yet begun, was dropped for it.
        """
        return self._mailbox.put(item)

    def hand_over(self, item: T) -> bool:
        """Wait until the thread begins with an item; it must come from one thread only, and not through ``offer``.

        Returns:
            False if the worker was closed before.
        """
        return self._mailbox.hand_over(item)

    def close(self) -> None:
        """Drop the waiting item and accept no other; whoever waits in ``hand_over`` goes on."""
        self._mailbox.close()

    def stop(self) -> None:
        """Finish the current item, drop the waiting one, and end the thread."""
        self.close()
        self._thread.join()

    def _run(self) -> None:
        with contextlib.suppress(BaseException), self._relay:  # reported once, where the relay raises it
            try:
                while (item := self._mailbox.take()) is not None:
                    self._work(item)
            finally:
                self.close()  # nobody must wait for a thread that an exception has ended
