"""Client of the pose node for other nodes: detections as values, on request or as soon as an object is seen."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType

from rclpy.executors import Executor, MultiThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future

from clipose_ros.client.connection import Connection
from clipose_ros.client.deadline import Deadline
from clipose_ros.client.errors import WouldDeadlockError
from clipose_ros.client.objects import DetectedObjects


class PoseClient:
    """Client of a pose node.

    The client receives its messages in a thread of its own. It works in any node and with any executor, also if nobody
    spins the node. All methods may be called from any thread.

    A blocking call in a callback waits there: with a ``SingleThreadedExecutor`` no other callback of that executor runs
    meanwhile. ``await`` the asynchronous form of the method to let them run.

    Args:
        node: Node that uses the client; its namespace and remappings hold.
        pose_node: Name of the pose node, relative to the namespace of ``node`` or absolute.
    """

    def __init__(self, node: Node, pose_node: str = "pose_node") -> None:
        self._node, self._frame = node, ""
        self._connection = Connection(node, pose_node)

    def __enter__(self) -> PoseClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def in_frame(self, frame: str) -> PoseClient:
        """Return a client over the same connection that gives all poses in a frame of TF.

        The transform is that at the stamp of the image. A result waits for it at most until its own timeout.
        """
        client = object.__new__(type(self))
        client._node, client._connection, client._frame = self._node, self._connection, frame
        with self._connection.in_use():
            self._connection.frames()  # transforms are known by the time that they are looked up
        return client

    def detect_once(self, timeout_s: float = 10.0) -> DetectedObjects:
        """Let the node process the next frame, also if it is disabled, and return the objects of that frame.

        The result is the message on ``~/detections`` with the stamp that the reply of the node names.

        Args:
            timeout_s: Longest wait for node, frame, detections and transform together, seconds.

        Raises:
            NodeNotFoundError: There is no pose node of that name.
            NodeNotActiveError: The node is not active.
            PoseTimeoutError: Nothing has arrived in time.
            WouldDeadlockError: The call would block the executor that runs the pose node.
            PoseClientError: The node could not process the frame, TF has no transform, or ROS was shut down.
        """
        self._refuse_deadlock("detect_once")
        deadline = Deadline(timeout_s)
        with self._connection.in_use():
            return self._in_frame(self._connection.detect_once(deadline), deadline)

    def wait_for(self, category: str = "", min_score: float = 0.0, timeout_s: float = 10.0) -> DetectedObjects:
        """Wait until the node, which must be enabled, publishes an object of a category with at least a score.

        Args:
            category: Name of the category; empty for any.
            min_score: Least score.
            timeout_s: Longest wait, seconds.

        Returns:
            The objects that fit, at least one, the best first. Only messages that arrive after the call count.

        Raises:
            PoseClientError: As for ``detect_once``.
        """
        self._refuse_deadlock("wait_for")
        deadline = Deadline(timeout_s)
        what = f"'{category}'" if category else "object"
        what += f" with a score of {min_score:g}"
        with self._connection.in_use():
            found = self._connection.wait_for(lambda item: len(item.select(category, min_score)) > 0, deadline, what)
            return self._in_frame(found.select(category, min_score), deadline)

    def detect_once_async(self, timeout_s: float = 10.0) -> Future[DetectedObjects]:
        """Return at once a future of ``detect_once``: await it in a callback, or ask it whether it is done."""
        return self._in_thread(lambda: self.detect_once(timeout_s))

    def wait_for_async(
        self, category: str = "", min_score: float = 0.0, timeout_s: float = 10.0
    ) -> Future[DetectedObjects]:
        """Return at once a future of ``wait_for``."""
        return self._in_thread(lambda: self.wait_for(category, min_score, timeout_s))

    def close(self) -> None:
        """Close the connection, also of the clients of ``in_frame``; waiting calls raise ``PoseClientError``."""
        self._connection.close()

    def _in_frame(self, detected: DetectedObjects, deadline: Deadline) -> DetectedObjects:
        return self._connection.frames().transform(detected, self._frame, deadline) if self._frame else detected

    def _in_thread(self, call: Callable[[], DetectedObjects]) -> Future[DetectedObjects]:
        """Run a blocking call in a thread of its own and return its future, which belongs to the node's executor."""
        future: Future[DetectedObjects] = Future(executor=self._node.executor)

        def run() -> None:
            try:
                result = call()
            except Exception as error:  # noqa: BLE001 - raised from the future, where it is awaited
                if not future.cancelled():
                    future.set_exception(error)
            else:
                if not future.cancelled():
                    future.set_result(result)
            executor = self._node.executor
            if executor is not None:
                executor.wake()  # a future that another thread sets does not wake it, and so what awaits is not resumed

        threading.Thread(target=run, name="pose_client_call", daemon=True).start()
        return future

    def _refuse_deadlock(self, method: str) -> None:
        executor, name = self._node.executor, self._connection.name
        if executor is None or isinstance(executor, MultiThreadedExecutor) or not _is_running(executor):
            return
        if any(node.get_fully_qualified_name() == name for node in executor.get_nodes()):
            raise WouldDeadlockError(
                f"{method} would wait for ever: it blocks the single thread that also runs '{name}': await "
                f"{method}_async, or run one of the nodes in another executor"
            )


def _is_running(executor: Executor) -> bool:
    """Return True if the present call comes from a callback of an executor, which does not tell this itself."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_locals.get("self") is not executor:
        frame = frame.f_back
    return frame is not None
