"""A node of the launch tests that waits for messages, services and conditions."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor

LIMIT_S = 120.0
"""A cold start compiles the network's loops and renders the frames."""


class Observer:
    """A node with a context of its own; every wait ends with an AssertionError after ``LIMIT_S``."""

    def __enter__(self) -> Observer:
        self._context = rclpy.Context()
        self._context.init()
        self.node = rclpy.create_node("launch_test_observer", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        return self

    def __exit__(self, *exception: object) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.shutdown()

    def wait_until(self, condition: Callable[[], bool], awaited: str) -> None:
        """Spin until ``condition`` holds."""
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < deadline, f"expected {awaited} within {LIMIT_S:.0f} s"
            self._executor.spin_once(timeout_sec=0.1)

    def wait_for_message(self, kind: type, topic: str, accept: Callable[[Any], Any]) -> Any:
        """Return the first message that ``accept`` holds true."""
        accepted: list[Any] = []
        subscription = self.node.create_subscription(
            kind, topic, lambda message: accepted.append(message) if accept(message) else None, 10
        )
        self.wait_until(lambda: bool(accepted), f"an accepted message of {topic}")
        self.node.destroy_subscription(subscription)
        return accepted[0]

    def call(self, kind: type, name: str) -> Any:
        """Return a service's response to an empty request."""
        client = self.node.create_client(kind, name)
        self.wait_until(client.service_is_ready, f"service {name}")
        future = client.call_async(kind.Request())
        self.wait_until(future.done, f"a response of {name}")
        self.node.destroy_client(client)
        return future.result()
