"""The services ~/enable and ~/detect_once, and the lifecycle's ~/change_state where it would end the node."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lifecycle_msgs.srv import ChangeState
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.task import Future
from std_srvs.srv import SetBool, Trigger

from clipose_ros.ros.diagnostics import NodeDiagnostics
from clipose_ros.ros.rclpy_compat import wrap_change_state

DETECT_ONCE_TIMEOUT_S = 10.0
"""``~/detect_once`` replies that it failed when no frame was posed within this time."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of the frame that was asked for."""

    success: bool
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One who waits for a frame that comes after the last one before it."""

    after_frame: int
    outcome: Future[Outcome] = field(default_factory=Future)


class EnableService:
    """``~/enable`` sets the parameter ``enabled``, so that both always agree."""

    def __init__(self, node: Node) -> None:
        self._node = node
        node.create_service(SetBool, "~/enable", self._on_request)

    def _on_request(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        (result,) = self._node.set_parameters([Parameter("enabled", value=bool(request.data))])
        response.success = result.successful
        response.message = result.reason or ("posing every frame" if request.data else "posing on ~/detect_once only")
        return response


def refuse_invalid_transitions(node: LifecycleNode, diagnostics: NodeDiagnostics) -> None:
    """Make ``~/change_state`` refuse transitions that the node's state does not allow, such as to configure it twice.

    Up to Jazzy, rclpy raises its error from the callback of the service, and so from ``spin``.
    """

    def wrap(change_state: Callable[..., Any]) -> Callable[..., Any]:
        def on_request(request: ChangeState.Request, response: ChangeState.Response) -> ChangeState.Response:
            try:
                return change_state(request, response)
            except RuntimeError as error:  # RCLError has no public name; bugs in transitions reach the ExceptionRelay
                diagnostics.warning(
                    "transition",
                    f"transition {request.transition.id} is refused ({error}): a node that a lifecycle manager brings "
                    "up needs autostart:=false",
                )
                response.success = False
                return response

        return on_request

    wrap_change_state(node, wrap)


class DetectOnceService:
    """``~/detect_once`` replies when the next frame is posed.

    Its callback awaits that and holds no thread of the executor meanwhile. Its callback group is reentrant: callers
    wait side by side, so that one frame answers them all and everybody's time begins with the request.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._lock = threading.Lock()
        self._waiting: list[Request] = []
        self._claimed: list[Request] = []
        self._last_frame = 0
        self._refusal = "the node is not active"
        # what awaits is resumed when the executor wakes: a future that another thread sets does not wake it
        self._answered = node.create_guard_condition(lambda: None)
        node.create_service(Trigger, "~/detect_once", self._on_request, callback_group=ReentrantCallbackGroup())

    def open(self) -> None:
        """Take requests from now on."""
        with self._lock:
            self._refusal = ""

    def close(self) -> None:
        """Refuse requests from now on, also those that wait or whose frame is in work."""
        with self._lock:
            self._refusal = "the node is not active"
            refused = self._claimed + self._waiting
        self.answer(refused, Outcome(False, self._refusal))

    def number_frame(self) -> tuple[int, bool]:
        """Number of a frame that has just arrived, and whether anybody waits for one."""
        with self._lock:
            self._last_frame += 1
            return self._last_frame, bool(self._waiting)

    def claim(self, frame: int) -> list[Request]:
        """Take over the requests that this frame answers: those made before it arrived."""
        with self._lock:
            claimed = [request for request in self._waiting if request.after_frame < frame]
            self._waiting = [request for request in self._waiting if request.after_frame >= frame]
            self._claimed += claimed
        return claimed

    def answer(self, requests: Sequence[Request], outcome: Outcome) -> None:
        """Let the service callbacks that wait for these reply, unless they have been answered."""
        if not requests:
            return
        with self._lock:
            self._waiting = [request for request in self._waiting if request not in requests]
            self._claimed = [request for request in self._claimed if request not in requests]
            for request in requests:
                if not request.outcome.done():
                    request.outcome.set_result(outcome)
        self._answered.trigger()

    async def _on_request(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        with self._lock:
            refusal, request = self._refusal, Request(self._last_frame)
            if not refusal:
                self._waiting.append(request)
        outcome = Outcome(False, refusal) if refusal else await self._outcome(request)
        response.success, response.message = outcome.success, outcome.message
        return response

    async def _outcome(self, request: Request) -> Outcome:
        """What comes of a request, within the time that it has."""
        late = Outcome(False, f"no frame was posed within {DETECT_ONCE_TIMEOUT_S:.0f} s: see /diagnostics")
        clock = Clock(clock_type=ClockType.STEADY_TIME)  # also while sim time rests
        timer = self._node.create_timer(DETECT_ONCE_TIMEOUT_S, lambda: self.answer([request], late), clock=clock)
        outcome = await request.outcome
        self._node.destroy_timer(timer)
        assert outcome is not None  # as a future's might be
        return outcome
