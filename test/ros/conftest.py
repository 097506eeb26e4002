"""Fixtures for tests over real DDS: waiting on conditions, a camera, a pose node without weights.

``ros`` is a helper node that waits by spinning itself; ``camera`` publishes a scene with one mug and one bowl;
``start_node`` runs a ``PoseNode`` with an executor of its own in another thread. The node is the real one down to
segmentation by labels, clouds, checks and tracking; only the network is replaced, by one that poses a cloud by its
bounding box.
"""

from __future__ import annotations

import os

# Before rclpy reads them. test/conftest.py has reserved a ROS_DOMAIN_ID.
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TransformStamped
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection3DArray

from clipose_ros.config import PoseNodeConfig
from clipose_ros.inference.pipeline import PosePipeline
from clipose_ros.ros.conversions import camera_info_message, image_message, ros_stamp
from clipose_ros.ros.guarded_node import GuardedNode
from clipose_ros.ros.pose_node import PoseNode
from clipose_ros.types import CameraIntrinsics

sys.path.insert(0, str(Path(__file__).parent))
from box_pose_node import BoxPredictor, box_pipeline

GENEROUS_S = 60.0
"""Longest wait for anything; a condition ends it long before."""

INTRINSICS = CameraIntrinsics(120.0, 120.0, 79.5, 59.5, 160, 120)
MUG, BOWL = 6001, 2001
START_NS = 1_000 * 1_000_000_000
FRAME_NS = 33_000_000


class Ros:
    """A helper node that subscribes, publishes and calls, and spins only while it waits."""

    def __init__(self) -> None:
        self.node = rclpy.create_node("test_helper")
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)

    def wait_for(
        self, condition: Callable[[], Any], what: str, each: Callable[[], Any] | None = None, every_s: float = 0.05
    ) -> Any:
        """Spin until the condition gives something true, and give that; ``each`` is called time and again."""
        end, due = time.monotonic() + GENEROUS_S, 0.0
        while not (result := condition()):
            now = time.monotonic()
            assert now < end, f"waited {GENEROUS_S} s in vain for {what}"
            if each is not None and now >= due:
                each()
                due = now + every_s
            self.executor.spin_once(timeout_sec=0.01)
        return result

    def listen(self, kind: type, topic: str, qos: QoSProfile | int = 100) -> list[Any]:
        """Subscribe; messages are appended to the list."""
        received: list[Any] = []
        self.node.create_subscription(kind, topic, received.append, qos)
        return received

    def call(self, kind: type, name: str, request: Any, each: Callable[[], Any] | None = None) -> Any:
        """Call a service and give its response."""
        client = self.node.create_client(kind, name)
        self.wait_for(client.service_is_ready, f"service {name}")
        future = client.call_async(request)
        self.wait_for(future.done, f"the reply of {name}", each)
        self.node.destroy_client(client)
        return future.result()

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()


class Camera:
    """Publishes matched sets of a scene: a mug and a bowl, each a block of depth in front of a wall."""

    def __init__(self, ros: Ros) -> None:
        qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
        publisher = ros.node.create_publisher
        self.ros = ros
        self.color = publisher(Image, "rgb/image_rect_color", qos)
        self.depth = publisher(Image, "depth_registered/image_rect", qos)
        self.info = publisher(CameraInfo, "rgb/camera_info", qos)
        self.labels = publisher(Image, "segmentation/labels", qos)
        self.stamp_ns = START_NS
        self.sent: list[int] = []

    def scene(self) -> dict[str, Any]:
        """One set of messages, to be changed before it is sent."""

        def header() -> Header:  # one of its own for each message, that changing one changes no other
            return Header(stamp=ros_stamp(self.stamp_ns), frame_id="camera_optical")

        depth = np.full((120, 160), 2000, np.uint16)
        labels = np.zeros((120, 160), np.uint16)
        rgb = np.full((120, 160, 3), 90, np.uint8)
        for value, box, depth_mm in ((MUG, (20, 50), 500), (BOWL, (90, 130), 800)):
            place = np.s_[30:80, box[0] : box[1]]
            depth[place] = depth_mm + np.arange(50)[:, None]
            labels[place] = value
            rgb[place] = (value % 200, 200, 50)
        return {
            "color": image_message(rgb, "rgb8", header()),
            "depth": image_message(depth, "16UC1", header()),
            "info": camera_info_message(INTRINSICS, header()),
            "labels": image_message(labels, "16UC1", header()),
        }

    def send(self, change: Callable[[dict[str, Any]], None] | None = None, leave_out: Sequence[str] = ()) -> int:
        """Publish the next frame, perhaps changed; its stamp."""
        self.stamp_ns += FRAME_NS
        messages = self.scene()
        if change is not None:
            change(messages)
        for name, message in messages.items():
            if name not in leave_out:
                getattr(self, name).publish(message)
        self.sent.append(self.stamp_ns)
        return self.stamp_ns

    @cached_property
    def tf(self) -> Publisher:
        """Made where it is used: tests of the graph count publishers."""
        return self.ros.node.create_publisher(TFMessage, "/tf", 10)

    def send_with_tf(self) -> int:
        """Publish the next frame, and before it where the camera is then: at the frame ``base``."""
        stamped = TransformStamped(child_frame_id="camera_optical")
        stamped.header.frame_id, stamped.header.stamp = "base", ros_stamp(self.stamp_ns + FRAME_NS)
        stamped.transform.rotation.w = 1.0
        self.tf.publish(TFMessage(transforms=[stamped]))
        return self.send()

    def wait_until_heard(self, number: int = 1) -> None:
        """Wait until so many subscribers listen to every topic."""
        topics = (self.color, self.depth, self.info, self.labels)
        self.ros.wait_for(lambda: all(t.get_subscription_count() >= number for t in topics), "the node's subscriptions")


class SpunNode:
    """A node that an executor spins in a thread of its own."""

    def __init__(self, node: Node) -> None:
        self.error: BaseException | None = None
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(node)
        self.thread = threading.Thread(target=self._spin)
        self._spun = node

    def stop(self) -> None:
        self.executor.shutdown(timeout_sec=0.0)  # Humble would wait for callers of ~/detect_once for ever
        self.thread.join(GENEROUS_S)
        self._spun.destroy_node()

    def _spin(self) -> None:
        try:
            self.executor.spin()
        except ExternalShutdownException:
            pass
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.error = error


class NodeUnderTest(SpunNode):
    """A pose node in a thread of its own, with what it publishes."""

    def __init__(
        self,
        ros: Ros,
        overrides: dict[str, Any],
        predictor: BoxPredictor,
        started: bool,
        remappings: Mapping[str, str],
    ) -> None:
        self.ros, self.predictor = ros, predictor
        self.make_pipeline: Callable[[PoseNodeConfig], PosePipeline] = lambda config: box_pipeline(config, predictor)
        parameters = [Parameter(name, value=value) for name, value in overrides.items()]
        self.node = PoseNode(
            pipeline_factory=lambda config: self.make_pipeline(config),
            parameter_overrides=parameters,
            cli_args=["--ros-args", *(part for old, new in remappings.items() for part in ("-r", f"{old}:={new}"))],
        )
        self.detections = ros.listen(Detection3DArray, "pose_node/detections")
        self.diagnostics = ros.listen(DiagnosticArray, "/diagnostics")
        super().__init__(self.node)
        if started:
            assert self.node.start()
        self.thread.start()

    def value(self, key: str) -> str:
        """A value of the newest diagnostics, '' before there are any."""
        if not self.diagnostics:
            return ""
        return next((v.value for v in self.diagnostics[-1].status[0].values if v.key == key), "")


@pytest.fixture(scope="module")
def ros_context() -> Iterator[None]:
    """rclpy, initialised once per module."""
    rclpy.init()
    yield
    rclpy.try_shutdown()


@pytest.fixture
def ros(ros_context: None) -> Iterator[Ros]:
    """The helper node."""
    helper = Ros()
    yield helper
    helper.close()


@pytest.fixture
def camera(ros: Ros) -> Camera:
    """The camera of the scene."""
    return Camera(ros)


@pytest.fixture
def start_node(ros: Ros) -> Iterator[Callable[..., NodeUnderTest]]:
    """Makes pose nodes that segment by labels; parameters are given by name, with ``__`` for a dot."""
    nodes: list[NodeUnderTest] = []

    def start(
        predictor: BoxPredictor | None = None,
        started: bool = True,
        remappings: Mapping[str, str] = MappingProxyType({}),
        **settings: Any,
    ) -> NodeUnderTest:
        overrides = {"segmentation.backend": "labels", "tracking.min_hits": 1}
        overrides |= {name.replace("__", "."): value for name, value in settings.items()}
        nodes.append(NodeUnderTest(ros, overrides, predictor or BoxPredictor(), started, remappings))
        return nodes[-1]

    yield start
    for node in nodes:
        node.stop()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a narrow, untrained network that answers with the cloud's mean and the category's mean size."""
    import torch

    from clipose_ros.categories import NOCS_CATEGORIES
    from clipose_ros.model.checkpoint import save_checkpoint
    from clipose_ros.model.network import Architecture, CLIPoseNet

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    network = CLIPoseNet(Architecture(widths=(16, 16, 16, 16, 16), head_widths=(16, 16)), NOCS_CATEGORIES)
    for parameter in network.head_ts.parameters():
        parameter.data.zero_()
    save_checkpoint(path, network)
    return path


class RunningNode(SpunNode):
    """A node without a lifecycle in a thread of its own."""

    def __init__(self, node: GuardedNode) -> None:
        self.node = node
        super().__init__(node)
        self.thread.start()


@pytest.fixture
def run_guarded(ros: Ros) -> Iterator[Callable[..., RunningNode]]:
    """Runs nodes without a lifecycle; parameters are given by name, with ``__`` for a dot."""
    nodes: list[RunningNode] = []

    def run(make: Callable[..., GuardedNode], **settings: Any) -> RunningNode:
        overrides = [Parameter(name.replace("__", "."), value=value) for name, value in settings.items()]
        nodes.append(RunningNode(make(parameter_overrides=overrides)))
        return nodes[-1]

    yield run
    for running in nodes:
        running.stop()
        assert running.error is None
