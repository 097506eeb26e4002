"""How a node learns that ROS goes down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rclpy.context import Context
from rclpy.executors import ExternalShutdownException


@contextmanager
def until_shutdown(context: Context) -> Iterator[None]:
    """Leave quietly what is inside when ROS goes down, by Ctrl-C or otherwise; any other exception passes.

    Where the signal comes between two of its own steps, rclpy raises a bare error of its C library, a ``RuntimeError``.
    """
    try:
        yield
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except RuntimeError:
        if context.ok():
            raise
