"""Guard around callbacks: an exception leaves out one message, request or tick, and never ends the node."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.context import Context
from rclpy.executors import Executor, ExternalShutdownException

from clipose_ros.errors import one_line
from clipose_ros.ros.diagnostics import NodeDiagnostics
from clipose_ros.ros.worker import ExceptionRelay

_MAX_FAILURES = 10_000
"""Exceptions in a row after which the executor counts as broken; otherwise timers run in between."""


class CallbackGuard:
    """Wraps callbacks so that an exception is counted and reported in the diagnostics instead of raised.

    Messages and requests come from outside, and rclpy and tf2 convert some of them before this package sees them. An
    exception of a callback ends ``spin``, so every callback of the node is wrapped, also those of rclpy and tf2.

    Args:
        context: Context of the node. After its shutdown, exceptions are raised: publishing fails then.
        diagnostics: Returns the collector of problems, which exists once the node is constructed.
    """

    def __init__(self, context: Context, diagnostics: Callable[[], NodeDiagnostics]) -> None:
        self._context = context
        self._diagnostics = diagnostics
        self._failures = 0

    def spin_once(self, executor: Executor, relay: ExceptionRelay) -> None:
        """Execute one callback, and report an exception of rclpy outside of it: in a message taken, or a reply sent.

        Args:
            executor: Executor of the node.
            relay: Exceptions that it has kept are raised.
        """
        try:
            executor.spin_once()
            self._failures = 0
        except ExternalShutdownException:
            raise
        except Exception as error:  # some middlewares fail to take what others sent
            relay.check()
            self._failures += 1
            if self._failures > _MAX_FAILURES or not self._context.ok():
                raise
            self._diagnostics().exception("callback.executor", "a message, request or reply", error)

    def wrap(self, callback: Callable[..., Any], name: str) -> Callable[..., Any]:
        """Wrap the callback of a subscription or timer, named in reports."""

        # rclpy reads the number of arguments from the signature, which functools.wraps keeps.
        @functools.wraps(callback)
        def guarded(*args: Any) -> Any:
            try:
                return callback(*args)
            except Exception as error:  # noqa: BLE001 - reported; see the class
                self._report(name, error)
                return None

        return guarded

    def wrap_service(self, callback: Callable[..., Any], name: str) -> Callable[..., Any]:
        """Wrap the callback of a service, so that an exception becomes a reply."""
        if inspect.iscoroutinefunction(callback):

            async def answer_later(request: Any, response: Any) -> Any:
                try:
                    return await callback(request, response)
                except Exception as error:  # noqa: BLE001 - reported; see the class
                    return _refuse(request, response, self._report(name, error))

            return answer_later

        def answer(request: Any, response: Any) -> Any:
            try:
                return callback(request, response)
            except Exception as error:  # noqa: BLE001 - reported; see the class
                return _refuse(request, response, self._report(name, error))

        return answer

    def _report(self, name: str, error: Exception) -> str:
        """Report an exception and return its description; raise it after a shutdown."""
        if not self._context.ok():
            raise error
        return self._diagnostics().exception(f"callback.{name}", f"'{name}'", error)


def _refuse(request: Any, response: Any, reason: str) -> Any:
    """Write a refusal into the reply of any service that the node offers."""
    reason = one_line(reason)
    if hasattr(response, "success"):
        response.success = False
    if hasattr(response, "message"):
        response.message = reason
    refusal = SetParametersResult(successful=False, reason=reason)
    if hasattr(response, "result") and isinstance(response.result, SetParametersResult):
        response.result = refusal
    elif hasattr(response, "results"):  # one result per parameter; those before the exception are set
        response.results = [*response.results, *[refusal] * (len(request.parameters) - len(response.results))]
    return response
