"""Live view over DDS: it draws what a real node publishes, changes its settings, and outlives it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("viser")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from node_fixtures import camera, ros, ros_context, start_node
from sensor_msgs.msg import Image
from view_in_thread import ViewInThread
from vision_msgs.msg import Detection3D, Detection3DArray, ObjectHypothesisWithPose
from visualization_msgs.msg import Marker, MarkerArray

from clipose_ros.ros_tools.view.commands import Button, SetParameter

__all__ = ["camera", "ros", "ros_context", "start_node"]
STATUS = "/pose_node: poses"


class View(ViewInThread):
    """A view whose visitors are counted, not connected."""

    def __init__(self) -> None:
        super().__init__()
        self.visitors: dict[int, Any] = {}
        self.server.get_clients = lambda: self.visitors

    def visit(self) -> None:
        self.visitors[0] = SimpleNamespace(camera=SimpleNamespace())


@pytest.fixture
def view(ros_context: None) -> Iterator[View]:
    shown = View()
    yield shown
    shown.close()


def test_objects_points_and_image_are_drawn_for_visitors_alone(ros, camera, start_node, view: View) -> None:
    start_node()
    ros.wait_for(lambda: ros.node.count_publishers("/pose_node/markers") == 1, "the node")
    for topic in ("markers", "debug_image"):
        assert not ros.node.count_subscribers(f"/pose_node/{topic}"), "there is no visitor yet"
    view.visit()
    for name in (
        "/boxes/lines",
        "/axes/lines",
        "/labels/1",
        "/uncertainty/1",
        "/point cloud/points",
        "/camera/frustum",
    ):
        ros.wait_for(lambda name=name: view.has(name), name, camera.send)
    ros.wait_for(lambda: "active" in view.panel.status, "the state of the node", camera.send)
    view.visitors.clear()
    for topic in ("markers", "debug_image"):
        ros.wait_for(lambda t=topic: ros.node.count_subscribers(f"/pose_node/{t}") == 0, f"no reader of {topic}")


def test_heavy_topics_are_subscribed_to_only_while_a_message_is_taken(ros, camera, start_node, view: View) -> None:
    start_node()
    view.panel.set_interval(10.0)
    view.visit()
    ros.wait_for(lambda: view.has("/point cloud/points") and view.panel.has_image, "the first sample", camera.send)
    topics = ("/pose_node/debug_image", "/pose_node/markers")
    ros.wait_for(lambda: not any(map(ros.node.count_subscribers, topics)), "no readers", camera.send)
    assert ros.node.count_subscribers("/rgb/image_rect_color") == 1, "the pose node's own"


def test_settings_are_shown_and_changed(ros, camera, start_node, view: View) -> None:
    node = start_node().node
    view.visit()
    ros.wait_for(lambda: "cloud.depth_max_m" in view.panel.settings, "the settings of the node")
    view.panel.commands.put(SetParameter("cloud.depth_max_m", 2.5))
    ros.wait_for(lambda: node.parameters.config.cloud.depth_max_m == 2.5, "the new value in the node")
    ros.wait_for(lambda: view.panel.settings["cloud.depth_max_m"] == 2.5, "the new value on the page")
    view.panel.commands.put(SetParameter("categories", ("nothing",)))
    ros.wait_for(lambda: "nothing" in view.panel.reply, "the refusal")
    view.panel.commands.put(SetParameter("enabled", False))
    ros.wait_for(lambda: not node.parameters.config.enabled, "the node to be disabled")
    ros.wait_for(lambda: view.panel.settings["enabled"] is False, "the switch")
    view.panel.commands.put(Button.DETECT_ONCE)
    ros.wait_for(lambda: "2 objects at" in view.panel.reply, "the reply of detect_once", camera.send)
    view.panel.commands.put(Button.RESET)
    ros.wait_for(lambda: "forgotten" in view.panel.reply, "the reply of reset")


def test_a_node_that_ends_and_restarts_is_shown_again(ros, camera, start_node, view: View) -> None:
    first = start_node()
    view.visit()
    ros.wait_for(lambda: view.has("/boxes/lines"), "objects", camera.send)
    first.stop()
    first.stop = lambda: None
    ros.wait_for(lambda: "is lost" in view.panel.status and not view.has("/boxes/lines"), "the loss", camera.send)
    view.panel.commands.put(Button.RESET)
    ros.wait_for(lambda: "no node offers" in view.panel.reply, "the reply without a node")
    second = start_node()
    ros.wait_for(lambda: view.has("/boxes/lines") and "active" in view.panel.status, "objects again", camera.send)
    view.panel.commands.put(SetParameter("check.score_threshold", 0.25))
    ros.wait_for(lambda: second.node.parameters.config.check.score_threshold == 0.25, "the setting", camera.send)


def test_without_camera_and_node_the_page_says_so(ros, view: View) -> None:
    view.visit()
    ros.wait_for(lambda: "no diagnostics" in view.panel.status and "no matching images" in view.panel.status, "both")


def garbage() -> list[tuple[type, str, Any]]:
    """Return messages with values that nothing good publishes."""
    nan = Detection3D(id="<b>" * 100, results=[ObjectHypothesisWithPose()])
    nan.bbox.center.position.x = float("nan")
    empty, huge = Detection3D(), Detection3D(id="x", results=[ObjectHypothesisWithPose()])
    huge.bbox.size.x, huge.bbox.center.orientation.w = 1e300, 1.0
    marker = Marker(ns="rejected", action=Marker.ADD, text="<script>\n" * 50)
    marker.pose.position.y = float("inf")
    status = DiagnosticStatus(name=STATUS, level=b"\xff", message="\x01<i>", values=[KeyValue(key="<u>", value="\n")])
    return [
        (Detection3DArray, "/pose_node/detections", Detection3DArray(detections=[nan, empty, huge])),
        (MarkerArray, "/pose_node/markers", MarkerArray(markers=[marker] * 300)),
        (Image, "/pose_node/debug_image", Image(width=9, height=9, encoding="rgb8", step=1, data=[1])),
        (Image, "/pose_node/debug_image", Image(width=2, height=2, encoding="\x07nonsense", step=2, data=[0] * 4)),
        (DiagnosticArray, "/diagnostics", DiagnosticArray(status=[status])),
        (Image, "/rgb/image_rect_color", Image(width=1, height=1, encoding="no", step=1, data=[1])),
    ]


def test_garbage_leaves_the_view_running(ros, camera, start_node, view: View) -> None:
    view.panel.set_interval(0.2)
    view.visit()
    senders: list[Callable[[], None]] = []
    for kind, topic, message in garbage():
        publisher = ros.node.create_publisher(kind, topic, 10)
        senders.append(lambda publisher=publisher, message=message: publisher.publish(message))
    ros.wait_for(
        lambda: "&lt;i&gt;" in view.panel.status, "the garbage to arrive", lambda: [send() for send in senders]
    )
    for _ in range(20):
        for send in senders:
            send()
    start_node()
    ros.wait_for(lambda: view.has("/boxes/lines"), "objects after the garbage", camera.send)
    lines = view.server.scene.get_handle_by_name("/boxes/lines")
    assert np.isfinite(lines.points).all()
