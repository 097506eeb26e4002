"""Work on the next items in another thread."""

from __future__ import annotations

import threading

import pytest

from clipose_ros.data.prefetch import prefetched


def test_items_arrive_in_order_from_another_thread():
    threads = set()

    def work():
        for number in range(100):
            threads.add(threading.current_thread())
            yield number

    with prefetched(work()) as items:
        assert list(items) == list(range(100))
    assert threading.current_thread() not in threads


def test_an_exception_is_raised_in_its_place():
    def work():
        yield 1
        raise KeyError("two")

    with prefetched(work()) as items:
        assert next(items) == 1
        with pytest.raises(KeyError, match="two"):
            next(items)


def test_a_consumer_that_leaves_ends_the_thread():
    made = []

    def work():
        while True:
            made.append(len(made))
            yield len(made)

    with prefetched(work(), ahead=3) as items:
        assert next(items) == 1
    count = len(made)
    assert count <= 6
    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]
