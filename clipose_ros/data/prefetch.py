"""Work on the next items in another thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
_POLL_S = 0.1


@contextmanager
def prefetched(items: Iterator[Item], ahead: int = 2) -> Iterator[Iterator[Item]]:
    """Run an iterator in another thread, a few items ahead of the consumer.

    Exceptions of the iterator are raised where its next item would be. The thread ends with the context.

    Args:
        items: The iterator, which only this thread may use.
        ahead: Number of items that wait for the consumer.
    """
    waiting: queue.Queue[tuple[bool, Item | BaseException | None]] = queue.Queue(max(ahead, 1))
    stopped = threading.Event()

    def put(is_item: bool, value: Item | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                waiting.put((is_item, value), timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(True, item):
                    return
            put(False, None)
        except BaseException as error:  # noqa: BLE001  # raised by the consumer
            put(False, error)

    def consume() -> Iterator[Item]:
        while True:
            is_item, value = waiting.get()
            if is_item:
                yield value  # type: ignore[misc]  # an item by the flag
            elif isinstance(value, BaseException):
                raise value
            else:
                return

    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        yield consume()
    finally:
        stopped.set()
        thread.join()
