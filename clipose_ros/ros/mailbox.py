"""Mailbox for the newest item only, which bounds the latency of a slow reader."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Holds at most one item, between one thread that puts and one that takes."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: T | None = None
        self._closed = False

    def put(self, item: T) -> bool:
        """Store an item, replacing one that was not taken.

        Returns:
            True if an older item was dropped.
        """
        with self._changed:
            replaced = self._item is not None
            self._item = None if self._closed else item
            self._changed.notify_all()
            return replaced

    def hand_over(self, item: T) -> bool:
        """Store an item and wait until it is taken.

        Returns:
            False if the mailbox was closed before.
        """
        with self._changed:
            if self._closed:
                return False
            self._item = item
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closed or self._item is not item)
            return not self._closed

    def take(self, timeout_s: float | None = None) -> T | None:
        """Wait for the newest item and remove it.

        Returns:
            The item, or None if the mailbox was closed or the time ran out.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._item is not None, timeout_s)
            item, self._item = self._item, None
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Drop the item and wake the reader; later items are ignored."""
        with self._changed:
            self._closed = True
            self._item = None
            self._changed.notify_all()
