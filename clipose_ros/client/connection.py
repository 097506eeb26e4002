"""Connection to a pose node: a helper node that is spun in a thread of its own.

With an own executor the connection receives detections and replies whatever the executor of the user's node does, so a
callback may block on it.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from lifecycle_msgs.srv import GetState
from rclpy.client import Client
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection3DArray

from clipose_ros.client.deadline import Deadline
from clipose_ros.client.errors import NodeNotActiveError, NodeNotFoundError, PoseClientError, PoseTimeoutError
from clipose_ros.client.frames import FrameLookup
from clipose_ros.client.objects import DetectedObjects, read_detections
from clipose_ros.errors import one_line, quoted

_T = TypeVar("_T")
_KEPT = 100
"""Number of detections that are kept."""
_POLL_S = 0.1
"""Time between two checks whether ROS was shut down, seconds."""
_RESEND_S = 1.0
"""Time after a reply without its detections from which the request is sent again, seconds.

The node publishes for subscribers that it has discovered, and answers requests of others, too.
"""
_STATE_S = 2.0
"""Longest wait for the state of the node, seconds."""
_numbers = itertools.count(1)


class Connection:
    """Subscription to ``~/detections`` and calls of ``~/detect_once``; all methods may be called from any thread.

    Args:
        node: Node of the user, which gives context, namespace and remappings.
        pose_node: Name of the pose node, relative to the namespace of ``node`` or absolute.
    """

    def __init__(self, node: Node, pose_node: str) -> None:
        self.name = node.resolve_service_name(f"{pose_node}/detect_once").rpartition("/")[0]
        self._context = node.context
        self._node = Node(
            f"{node.get_name()}_pose_client_{next(_numbers)}",
            namespace=node.get_namespace(),
            context=node.context,
            use_global_arguments=False,
            enable_rosout=False,
            start_parameter_services=False,
        )
        self._changed = threading.Condition()
        self._received: deque[tuple[int, DetectedObjects]] = deque(maxlen=_KEPT)
        self._count = 0
        self._frames: FrameLookup | None = None
        topic = node.resolve_topic_name(f"{pose_node}/detections")
        self._node.create_subscription(Detection3DArray, topic, self._on_detections, 10)
        self._detect_once = self._client(Trigger, node.resolve_service_name(f"{pose_node}/detect_once"))
        self._get_state = self._client(GetState, node.resolve_service_name(f"{pose_node}/get_state"))
        executor = SingleThreadedExecutor(context=node.context)
        executor.add_node(self._node)
        thread = threading.Thread(target=_spin, args=(executor,), name="pose_client", daemon=True)
        thread.start()
        # Also at the end of the interpreter, before which the thread must have left rclpy.
        self.close = weakref.finalize(self, _close, executor, thread, self._node)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Raise ``PoseClientError`` for what rclpy raises within the context if the connection is closed meanwhile."""
        try:
            self._refuse_closed()
            yield
        except PoseClientError:
            raise
        except Exception:
            self._refuse_closed()
            raise

    def detect_once(self, deadline: Deadline) -> DetectedObjects:
        """Request a frame and return its detections.

        Raises:
            PoseClientError: The node does not exist, is not active, refuses the frame, or is late.
        """
        self._wait_for_service(deadline)
        while True:
            with self._changed:
                before = self._count
            reply = self._call(self._detect_once, Trigger.Request(), deadline)
            if not reply.success:
                self._check_state()
                raise PoseClientError(f"'{self.name}' could not process a frame: {one_line(str(reply.message))}")
            find = partial(self._find, before, _stamp_ns(reply.message))
            answer = self._wait(find, Deadline(min(deadline.left_s, _RESEND_S)))
            if answer is not None:
                return answer
            if not deadline.left_s:
                raise PoseTimeoutError(
                    f"'{self.name}' has processed a frame, but its detections did not arrive within "
                    f"{deadline.timeout_s:g} s: check '{self.name}/detections' (ros2 topic info -v)"
                )

    def wait_for(self, is_wanted: Callable[[DetectedObjects], bool], deadline: Deadline, what: str) -> DetectedObjects:
        """Return the next detections that are wanted.

        Args:
            is_wanted: Condition.
            deadline: Longest wait.
            what: The condition in words, for the error message.

        Raises:
            PoseClientError: The node does not exist, is not active, or no such detections came in time.
        """
        with self._changed:
            before = self._count

        def find() -> DetectedObjects | None:
            return next((item for number, item in self._received if number > before and is_wanted(item)), None)

        found = self._wait(find, deadline)
        if found is not None:
            return found
        if not self._detect_once.service_is_ready():
            raise self._not_found(deadline)
        self._check_state()
        with self._changed:
            frames = [item for number, item in self._received if number > before]
        seen = sorted({quoted(item.category) for frame in frames for item in frame})
        raise PoseTimeoutError(
            f"'{self.name}' has published no {what} within {deadline.timeout_s:g} s, but {len(frames)} frames with "
            f"{', '.join(seen[:10]) or 'no objects'}: "
            + (
                "lower the score, or check ~/debug_image"
                if frames
                else "check that it is enabled (~/enable), and /diagnostics"
            )
        )

    def frames(self) -> FrameLookup:
        """Return the lookup of frames, which subscribes to TF at the first call."""
        with self._changed:
            if self._frames is None:
                self._frames = FrameLookup(self._node)
            return self._frames

    def _client(self, kind: type[Any], name: str) -> Client:
        return self._node.create_client(kind, name)

    def _on_detections(self, message: Detection3DArray) -> None:
        detected = read_detections(message)
        with self._changed:
            self._count += 1
            self._received.append((self._count, detected))
            self._changed.notify_all()

    def _find(self, before: int, stamp_ns: int | None) -> DetectedObjects | None:
        """Return the newest detections after a number that have the stamp of a reply."""
        fitting = (item for number, item in reversed(self._received) if number > before and item.stamp_ns == stamp_ns)
        return next(fitting, None)

    def _wait(self, find: Callable[[], _T | None], deadline: Deadline) -> _T | None:
        """Return what ``find``, called with the lock, gives first; None at the deadline."""
        with self._changed:
            while (found := find()) is None and deadline.left_s:
                self._refuse_closed()
                self._changed.wait(min(deadline.left_s, _POLL_S))
            return found

    def _refuse_closed(self) -> None:
        if not self.close.alive or not self._context.ok():
            raise PoseClientError(f"the client of '{self.name}' was closed, or ROS was shut down: make another client")

    def _call(self, client: Client, request: Any, deadline: Deadline) -> Any:
        future = client.call_async(request)

        def notify(_: object) -> None:
            with self._changed:
                self._changed.notify_all()

        future.add_done_callback(notify)
        reply = self._wait(lambda: future.result() if future.done() else None, deadline)
        if reply is None:
            client.remove_pending_request(future)
            raise PoseTimeoutError(
                f"'{self.name}' has not replied within {deadline.timeout_s:g} s: check that the camera publishes, and "
                "/diagnostics"
            )
        return reply

    def _wait_for_service(self, deadline: Deadline) -> None:
        """Wait until the service is discovered; a graph has no event for that in all releases."""
        client = self._detect_once
        if not self._wait(lambda: client.service_is_ready() or None, deadline):
            raise self._not_found(deadline)

    def _not_found(self, deadline: Deadline) -> NodeNotFoundError:
        return NodeNotFoundError(
            f"no node offers '{self.name}/detect_once' within {deadline.timeout_s:g} s: start pose_node, and compare "
            "its name and namespace (ros2 node list) and ROS_DOMAIN_ID"
        )

    def _check_state(self) -> None:
        """Raise an error if the node says that it is not active."""
        if not self._get_state.service_is_ready():
            return
        label = self._call(self._get_state, GetState.Request(), Deadline(_STATE_S)).current_state.label
        if label != "active":
            raise NodeNotActiveError(
                f"'{self.name}' is {quoted(label)}, expected 'active': ros2 lifecycle set {self.name} "
                f"{'activate' if label == 'inactive' else 'configure'}"
            )


def _stamp_ns(reply: str) -> int | None:
    """Return the stamp in a reply of ``~/detect_once``, such as ``2 objects at 12.340000000: bowl_1, mug_1``."""
    match = re.match(r"\d+ objects at (-?\d+)\.(\d{9})(?!\d)", reply)
    return int(match[1]) * 1_000_000_000 + int(match[2]) if match else None


def _spin(executor: SingleThreadedExecutor) -> None:
    try:
        executor.spin()
    except ExternalShutdownException:
        pass
    except RuntimeError:  # of rclpy's C library, where ROS shuts down between two of its internal steps
        if executor.context.ok():
            raise


def _close(executor: SingleThreadedExecutor, thread: threading.Thread, node: Node) -> None:
    executor.shutdown(timeout_sec=_STATE_S)
    if thread is not threading.current_thread():
        thread.join(_STATE_S)
    node.destroy_node()
