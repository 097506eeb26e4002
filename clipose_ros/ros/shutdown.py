"""Quiet handling of the shutdown of ROS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rclpy.context import Context
from rclpy.executors import ExternalShutdownException


@contextmanager
def until_shutdown(context: Context) -> Iterator[None]:
    """Suppress exceptions in the body that are caused by a shutdown of ROS, by Ctrl-C or otherwise.

    A signal between two internal steps of rclpy raises an error of its C library, a ``RuntimeError``. It is suppressed
    if the context is shut down.
    """
    try:
        yield
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except RuntimeError:
        if context.ok():
            raise
