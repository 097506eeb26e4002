"""The services ~/enable, ~/reset and ~/detect_once, and a guard around ~/change_state of the lifecycle."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.task import Future
from std_srvs.srv import SetBool, Trigger

from clipose_ros.errors import quoted
from clipose_ros.ros.diagnostics import NodeDiagnostics
from clipose_ros.ros.rclpy_compat import available_transitions, wrap_change_state

_MAX_WAITING = 1000  # requests for a frame
DETECT_ONCE_TIMEOUT_S = 10.0
"""Seconds without a processed frame after which ``~/detect_once`` replies with a failure."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a requested frame."""

    success: bool
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """Request for a frame that arrives after frame number ``after_frame``."""

    after_frame: int
    outcome: Future[Outcome] = field(default_factory=Future)


class EnableService:
    """Service ``~/enable``, which sets the parameter ``enabled``."""

    def __init__(self, node: Node) -> None:
        self._node = node
        node.create_service(SetBool, "~/enable", self._on_request)

    def _on_request(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        (result,) = self._node.set_parameters([Parameter("enabled", value=bool(request.data))])
        response.success = result.successful
        response.message = result.reason or (
            "poses are estimated in every frame" if request.data else "poses are estimated on ~/detect_once only"
        )
        return response


class ResetService:
    """Service ``~/reset``, which forgets all tracks before the next frame.

    Args:
        node: Node that offers the service.
        reset: Requests the reset; returns False if the node is not configured.
    """

    def __init__(self, node: Node, reset: Callable[[], bool]) -> None:
        self._reset = reset
        node.create_service(Trigger, "~/reset", self._on_request)

    def _on_request(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._reset()
        response.message = "all tracks are forgotten" if response.success else "the node is not configured"
        return response


def refuse_invalid_transitions(node: LifecycleNode, diagnostics: NodeDiagnostics) -> None:
    """Make ``~/change_state`` refuse transitions that the node's state does not allow, such as to configure it twice.

    Up to Jazzy, rclpy raises its error from the callback of the service, and so from ``spin``. Later releases and rcl
    log each request, so a caller could flood the log.
    """

    def refuse(transition: Transition, reason: str, response: ChangeState.Response) -> ChangeState.Response:
        name = quoted(transition.label) if transition.label else str(transition.id)
        diagnostics.warning(
            "transition", f"transition {name} is refused ({reason}): with a lifecycle manager, set autostart:=false"
        )
        response.success = False
        return response

    def wrap(change_state: Callable[..., Any]) -> Callable[..., Any]:
        def on_request(request: ChangeState.Request, response: ChangeState.Response) -> ChangeState.Response:
            asked, allowed = request.transition, available_transitions(node)
            if allowed is not None and (asked.label or asked.id) not in (*allowed, *allowed.values()):
                return refuse(asked, f"possible now: {', '.join(allowed.values())}", response)
            try:
                return change_state(request, response)
            except RuntimeError as error:  # RCLError has no public name; bugs in transitions reach the ExceptionRelay
                return refuse(asked, str(error), response)

        return on_request

    wrap_change_state(node, wrap)


class DetectOnceService:
    """Service ``~/detect_once``, which replies when the next frame is processed.

    The callback awaits the result and blocks no thread of the executor. The callback group is reentrant: several
    requests wait at the same time, and one frame answers all of them.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._lock = threading.Lock()
        self._waiting: list[Request] = []
        self._in_progress: list[Request] = []
        self._last_frame = 0
        self._refusal = "the node is not active"
        # The executor resumes callbacks that await a future, but a future set by another thread does not wake it.
        self._wake_executor = node.create_guard_condition(lambda: None)
        node.create_service(Trigger, "~/detect_once", self._on_request, callback_group=ReentrantCallbackGroup())

    def open(self) -> None:
        """Accept requests."""
        with self._lock:
            self._refusal = ""

    def close(self) -> None:
        """Refuse requests, also those that wait or whose frame is being processed."""
        with self._lock:
            self._refusal = "the node is not active"
            refused = self._in_progress + self._waiting
        self.answer(refused, Outcome(False, self._refusal))

    @property
    def waiting_requests(self) -> int:
        """Return the number of requests that wait for a frame."""
        with self._lock:
            return len(self._waiting)

    def number_frame(self) -> tuple[int, bool]:
        """Assign a number to a frame that has just arrived; return it and whether a request waits."""
        with self._lock:
            self._last_frame += 1
            return self._last_frame, bool(self._waiting)

    def claim(self, frame: int) -> list[Request]:
        """Remove and return the waiting requests that this frame answers: those made before it arrived."""
        with self._lock:
            claimed = [request for request in self._waiting if request.after_frame < frame]
            self._waiting = [request for request in self._waiting if request.after_frame >= frame]
            self._in_progress += claimed
        return claimed

    def answer(self, requests: Sequence[Request], outcome: Outcome) -> None:
        """Set the outcome of requests that have none yet, so that their service callbacks reply."""
        if not requests:
            return
        with self._lock:
            self._waiting = [request for request in self._waiting if request not in requests]
            self._in_progress = [request for request in self._in_progress if request not in requests]
            for request in requests:
                if not request.outcome.done():
                    request.outcome.set_result(outcome)
        self._wake_executor.trigger()

    async def _on_request(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        with self._lock:
            refusal, request = self._refusal, Request(self._last_frame)
            if len(self._waiting) >= _MAX_WAITING:
                refusal = f"{_MAX_WAITING} requests wait already"
            if not refusal:
                self._waiting.append(request)
        outcome = Outcome(False, refusal) if refusal else await self._wait_for_outcome(request)
        response.success, response.message = outcome.success, outcome.message
        return response

    async def _wait_for_outcome(self, request: Request) -> Outcome:
        """Await the outcome of a request; a timeout is a failure."""
        late = Outcome(False, f"no frame was processed within {DETECT_ONCE_TIMEOUT_S:.0f} s: see /diagnostics")
        clock = Clock(clock_type=ClockType.STEADY_TIME)  # runs while simulated time is paused
        timer = self._node.create_timer(DETECT_ONCE_TIMEOUT_S, lambda: self.answer([request], late), clock=clock)
        outcome = await request.outcome
        self._node.destroy_timer(timer)
        assert outcome is not None  # Future.result() may be None by its type
        return outcome
