"""Quiet handling of the shutdown of ROS."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rclpy.context import Context
from rclpy.executors import ExternalShutdownException

_SHUTDOWN_S = 0.5
"""Time within which rclpy shuts down its contexts after a signal, seconds."""


@contextmanager
def until_shutdown(context: Context) -> Iterator[None]:
    """Suppress exceptions in the body that are caused by a shutdown of ROS, by Ctrl-C or otherwise.

    A signal between two internal steps of rclpy raises an error of its C library, a ``RuntimeError``. A signal during
    the conversion of a message raises one too, and the ``KeyboardInterrupt`` is lost. A ``RuntimeError`` is suppressed
    if the context is shut down soon after it: rclpy does that in a thread of its own. Subclasses of other packages,
    such as ``RecursionError``, are raised at once.
    """
    try:
        yield
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except RuntimeError as error:
        kind = type(error)
        if not (kind is RuntimeError or kind.__module__.startswith("rclpy")) or not _is_shut_down_soon(context):
            raise


def _is_shut_down_soon(context: Context) -> bool:
    """Wait for the shutdown of a context, and return whether it came."""
    end_s = time.monotonic() + _SHUTDOWN_S
    try:
        while context.ok() and time.monotonic() < end_s:
            time.sleep(0.001)
    except KeyboardInterrupt:  # a second signal
        return True
    return not context.ok()
