"""A bug in the worker's thread is raised out of ``spin``, and the worker always takes the newest item."""

from __future__ import annotations

import threading
import time

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor

from clipose_ros.ros.worker import ExceptionRelay, Worker

LONGEST_S = 30.0


@pytest.fixture
def node(ros):
    made = rclpy.create_node("worker_test")
    yield made
    made.destroy_node()


def spin_until_raised(node):
    """Spin a node until something is raised out of its executor."""
    executor, end = SingleThreadedExecutor(), time.monotonic() + LONGEST_S
    executor.add_node(node)
    try:
        while time.monotonic() < end:
            executor.spin_once(timeout_sec=0.05)
    finally:
        executor.remove_node(node)
        executor.shutdown()


def test_exception_of_a_thread_is_raised_out_of_spin(node):
    relay = ExceptionRelay(node)

    def work(item):
        raise LookupError(f"no such item: {item}")

    worker = Worker(work, relay)
    worker.offer("mug")
    with pytest.raises(LookupError, match="no such item: mug"):
        spin_until_raised(node)
    worker.stop()


def test_first_of_several_exceptions_is_the_one_raised(node):
    relay = ExceptionRelay(node)
    for number in (1, 2):
        with pytest.raises(ValueError, match=str(number)), relay:
            raise ValueError(number)
    with pytest.raises(ValueError, match="1"):
        relay.check()


def test_nothing_is_raised_where_nothing_failed(node):
    relay = ExceptionRelay(node)
    with relay:
        pass
    relay.check()


def test_waiting_item_is_replaced_by_a_newer_one(node):
    done, begun, go_on = [], threading.Event(), threading.Event()

    def work(item):
        begun.set()
        assert go_on.wait(LONGEST_S)
        done.append(item)

    worker = Worker(work, ExceptionRelay(node))
    dropped = [worker.offer(1)]
    assert begun.wait(LONGEST_S)
    dropped += [worker.offer(2), worker.offer(3)]
    assert dropped == [False, False, True]
    end = time.monotonic() + LONGEST_S
    go_on.set()
    while len(done) < 2 and time.monotonic() < end:
        time.sleep(0.001)
    worker.stop()
    assert done == [1, 3]


def test_stop_ends_the_thread_after_the_item_in_work(node):
    done, begun = [], threading.Event()
    go_on = threading.Event()

    def work(item):
        begun.set()
        assert go_on.wait(LONGEST_S)
        done.append(item)

    before = threading.active_count()
    worker = Worker(work, ExceptionRelay(node))
    worker.offer(1)
    assert begun.wait(LONGEST_S)
    worker.offer(2)
    stopper = threading.Thread(target=worker.stop)
    stopper.start()
    go_on.set()
    stopper.join(LONGEST_S)
    assert not stopper.is_alive() and threading.active_count() == before
    assert done[0] == 1
