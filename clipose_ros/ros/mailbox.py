"""A mailbox for the newest item only: latency stays bounded however slow its reader, and what is skipped is known."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """One place for one item, between one thread that puts and one that takes."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: T | None = None
        self._closed = False

    def put(self, item: T) -> bool:
        """Leave an item, in place of one that nobody took.

        Returns:
            Whether an older item was thrown away for it.
        """
        with self._changed:
            replaced = self._item is not None
            self._item = None if self._closed else item
            self._changed.notify()
            return replaced

    def take(self, timeout_s: float | None = None) -> T | None:
        """Wait for the newest item and take it out.

        Returns:
            The item, or None where the mailbox was closed or the time ran out.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._item is not None, timeout_s)
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        """Throw away what is inside and let the reader go; later items are refused."""
        with self._changed:
            self._closed = True
            self._item = None
            self._changed.notify_all()
