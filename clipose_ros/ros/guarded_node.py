"""Node without a lifecycle whose callbacks cannot end it, with diagnostics once a second."""

from __future__ import annotations

from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.executors import Executor
from rclpy.node import Node
from std_msgs.msg import Header

from clipose_ros.ros.callback_guard import CallbackGuard
from clipose_ros.ros.conversions import ros_stamp
from clipose_ros.ros.diagnostics import NodeDiagnostics
from clipose_ros.ros.worker import ExceptionRelay


class GuardedNode(Node):
    """Node that reports what its callbacks raise in ``/diagnostics`` and goes on.

    Attributes:
        diagnostics: Counters and problems.
    """

    def __init__(self, name: str, **kwargs: Any) -> None:
        """Create the node.

        Args:
            name: Name of the node.
            kwargs: Keyword arguments of ``rclpy.node.Node``.
        """
        # Before rclpy creates its own subscriptions and services through the methods below.
        context = kwargs.get("context") or rclpy.get_default_context()
        self._callback_guard = CallbackGuard(context, lambda: self.diagnostics)
        super().__init__(name, **kwargs)
        self.diagnostics = NodeDiagnostics(self.get_logger())
        self._relay = ExceptionRelay(self)
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # A steady clock runs while simulated time is paused.
        self.create_timer(1.0, self._publish_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def create_subscription(self, msg_type: Any, topic: str, callback: Any, *args: Any, **kwargs: Any) -> Any:
        """Create a subscription whose callback cannot end the node; rclpy and tf2 subscribe through it, too."""
        guarded = self._callback_guard.wrap(callback, topic)
        return super().create_subscription(msg_type, topic, guarded, *args, **kwargs)

    def create_service(self, srv_type: Any, srv_name: str, callback: Any, **kwargs: Any) -> Any:
        """Create a service whose callback cannot end the node."""
        guarded = self._callback_guard.wrap_service(callback, srv_name)
        return super().create_service(srv_type, srv_name, guarded, **kwargs)

    def create_timer(self, timer_period_sec: float, callback: Any, *args: Any, **kwargs: Any) -> Any:
        """Create a timer whose callback cannot end the node."""
        guarded = self._callback_guard.wrap(callback, "timer")
        return super().create_timer(timer_period_sec, guarded, *args, **kwargs)

    def spin(self, executor: Executor) -> None:
        """Execute callbacks until ROS shuts down; messages that rclpy cannot convert are reported."""
        executor.add_node(self)
        while self.context.ok():
            self._callback_guard.spin_once(executor, self._relay)

    def _publish_diagnostics(self) -> None:
        if not self.context.ok():  # the timer may fire once more during shutdown
            return
        status = self.diagnostics.status(self.get_fully_qualified_name(), "", {"state": "active"})
        header = Header(stamp=ros_stamp(self.get_clock().now().nanoseconds))
        self._diagnostics_publisher.publish(DiagnosticArray(header=header, status=[status]))
