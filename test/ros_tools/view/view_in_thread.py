"""Live view of which the node is spun in a thread of its own."""

from __future__ import annotations

import contextlib
import threading

from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

from clipose_ros.ros_tools.view.server import ViewServer
from clipose_ros.ros_tools.view.view_node import ViewConfig, ViewNode


class ViewInThread:
    """Server and node of a view."""

    def __init__(self) -> None:
        self.server = ViewServer(port=0)
        self.node = ViewNode(self.server, ViewConfig())
        self.panel = self.node.panel
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.thread = threading.Thread(target=self._spin, daemon=True)
        self.thread.start()

    def has(self, name: str) -> bool:
        """Return True if the scene has an element that is visible."""
        handle = self.server.scene.get_handle_by_name(name)
        return handle is not None and bool(handle.visible)

    def close(self) -> None:
        """Stop both."""
        self.executor.shutdown(timeout_sec=5.0)
        self.thread.join(30.0)
        self.node.destroy_node()
        self.server.stop()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self.executor.spin()
