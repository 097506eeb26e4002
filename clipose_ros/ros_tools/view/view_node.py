"""Node of the live view: a client of the pose node, and of the camera, that draws what it receives on the page."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import viser
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.subscription import Subscription
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection3DArray
from visualization_msgs.msg import Marker, MarkerArray

from clipose_ros.client.objects import DetectedObjects, read_detections
from clipose_ros.config import SyncConfig
from clipose_ros.decoding.calibration import CalibrationReader
from clipose_ros.decoding.frames import read_frame
from clipose_ros.decoding.images import read_color
from clipose_ros.decoding.messages import FrameMessages
from clipose_ros.errors import FrameError
from clipose_ros.ros.guarded_node import GuardedNode
from clipose_ros.ros.inputs import input_topics
from clipose_ros.ros.markers import REJECTED_NAMESPACE
from clipose_ros.ros.transforms import Transforms
from clipose_ros.ros_tools.view.canvas import DISTANCE_M, Canvas
from clipose_ros.ros_tools.view.controls import live_controls
from clipose_ros.ros_tools.view.panel import IMAGE, Panel
from clipose_ros.ros_tools.view.remote_node import RemoteNode
from clipose_ros.ros_tools.view.sampling import CameraSampler, TopicSampler
from clipose_ros.ros_tools.view.scene import Label, build_scene, colored_points, is_drawable, moved, plain_text
from clipose_ros.ros_tools.view.status import LEVELS, NodeStatus, rejections_html, silent_html, status_html
from clipose_ros.ros_tools.view.trails import Trails
from clipose_ros.types import FloatArray, RgbdFrame

_TICK_S = 0.1
"""Time between two drawings of the objects, seconds."""
_TRANSFORM_S = 1.0
"""Longest wait for the transform of a camera image, seconds."""
_SILENT_S = 3.0
"""Time without an image after which the page says so, seconds."""
_LOST_S = 5.0
"""Time without diagnostics after which the node counts as ended, seconds."""
_MAX_REJECTED = 50


@dataclass(frozen=True, slots=True)
class ViewConfig:
    """Settings of the live view.

    Attributes:
        pose_node: Name of the pose node.
        compressed: Subscribe to compressed colour images.
        max_points: Largest number of points of the cloud.
        max_depth_m: Farther points are left out, metres.
    """

    pose_node: str = "pose_node"
    compressed: bool = False
    max_points: int = 40_000
    max_depth_m: float = 4.0


class ViewNode(GuardedNode):
    """Client of a pose node that draws on a page.

    Without a visitor it subscribes to the diagnostics alone.

    Args:
        server: Server of the page.
        config: Settings.

    Attributes:
        panel: Panel of the page.
    """

    def __init__(self, server: viser.ViserServer, config: ViewConfig) -> None:
        super().__init__("view")
        self._server, self._config = server, config
        self._canvas = Canvas(server)
        controls = live_controls()
        self.panel = Panel(server, controls, self._canvas.show_layer)
        self._trails = Trails()
        self._status: NodeStatus | None = None
        self._status_s = self._sampled_s = -1e9
        self._detected: DetectedObjects | None = None
        self._is_new = False
        self._frame: RgbdFrame | None = None
        self._frame_s = 0.0
        self._transforms: Transforms | None = None
        self._detections: Subscription | None = None
        self._calibrations = CalibrationReader()
        name = self.resolve_service_name(f"{config.pose_node}/get_state").rpartition("/")[0]
        self._name = name
        self._topics = input_topics(self, config.compressed)
        self._remote = RemoteNode(
            self, name, [control.path for control in controls], self.panel.show_settings, self.panel.show_reply
        )
        sync = SyncConfig(compressed=config.compressed)
        self._camera = CameraSampler(self, sync, self.diagnostics, self._on_frame)
        self._image = TopicSampler(self, Image, f"{name}/debug_image", self._on_image)
        self._markers = TopicSampler(self, MarkerArray, f"{name}/markers", self._on_markers)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        # Steady: simulated time may be paused.
        self.create_timer(_TICK_S, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _tick(self) -> None:
        """Run commands, draw what is new, and subscribe to what visitors look at."""
        while not self.panel.commands.empty():
            self._remote.send(self.panel.commands.get_nowait())
        if not self._server.get_clients():
            self._set_subscribed(False)
            return
        self._set_subscribed(True)
        self._remote.advance()
        self._camera.advance()
        self._show_status()
        if self._is_new and self._detected is not None:
            self._is_new = False
            self._show_objects(self._detected)
        self._show_frame()
        if time.monotonic() - self._sampled_s >= self.panel.interval_s:
            self._sampled_s = time.monotonic()
            self._sample()

    def _set_subscribed(self, is_visited: bool) -> None:
        if is_visited and self._detections is None:
            topic = f"{self._name}/detections"
            self._detections = self.create_subscription(Detection3DArray, topic, self._on_detections, 2)
        elif not is_visited and self._detections is not None:
            self.destroy_subscription(self._detections)
            self._detections = None
            for sampler in (self._camera, self._image, self._markers):
                sampler.stop()

    def _sample(self) -> None:
        """Subscribe to the next message of the heavy topics that are shown."""
        shown = self.panel.is_shown
        for sampler, is_shown in (
            (self._camera, shown("point cloud") or shown("camera")),
            (self._image, shown(IMAGE)),
            (self._markers, shown("rejected")),
        ):
            if is_shown:
                sampler.start()
            else:
                sampler.stop()

    def _on_detections(self, message: Detection3DArray) -> None:
        self._detected, self._is_new = read_detections(message), True
        self._trails.add(self._detected.stamp_ns, self._detected.frame_id, self._detected)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == f"{self._name}: poses":
                level = status.level[0] if isinstance(status.level, bytes) else int(status.level)
                values = {str(item.key): str(item.value) for item in status.values}
                self._status = NodeStatus(LEVELS[min(level, len(LEVELS) - 1)], str(status.message), values)
                self._status_s = time.monotonic()

    def _on_image(self, message: Image) -> None:
        self.panel.show_image(read_color(message, f"{self._name}/debug_image"))

    def _on_markers(self, message: MarkerArray) -> None:
        rejected = [m for m in message.markers if m.ns == REJECTED_NAMESPACE and m.action == Marker.ADD]
        labels = []
        for marker in rejected[:_MAX_REJECTED]:
            point = marker.pose.position
            position = np.array([point.x, point.y, point.z])
            if np.isfinite(position).all():
                labels.append(Label(plain_text(str(marker.text)), position))
        self._canvas.show_rejected(labels)
        self.panel.show_rejected(rejections_html([label.text for label in labels]))

    def _on_frame(self, messages: FrameMessages) -> None:
        try:
            self._frame, self._frame_s = read_frame(messages, self._topics, self._calibrations), time.monotonic()
        except FrameError as error:
            self.diagnostics.warning("frame", str(error))

    def _show_status(self) -> None:
        html = status_html(self._status, self._name, time.monotonic() - self._status_s)
        silent = self._camera.waiting_s > _SILENT_S
        self.panel.show_status(html + (silent_html([self._topics.color, self._topics.depth]) if silent else ""))
        if self._detected is not None and time.monotonic() - self._status_s > _LOST_S:
            self._clear()  # objects of a node that has ended say nothing about the present

    def _show_objects(self, detected: DetectedObjects) -> None:
        self._canvas.show_scene(build_scene(detected), self._trails.lines(self.panel.history_s))

    def _clear(self) -> None:
        self._detected = None
        self._trails.clear()
        self._canvas.show_scene(build_scene(()), self._trails.lines(0.0))
        self._canvas.show_rejected(())
        self.panel.show_rejected("")

    def _look(self, is_optical: bool, T_frame_camera: FloatArray) -> None:
        """Let visitors look at the objects when the frame is known first, or changes."""
        objects = () if self._detected is None else [item for item in self._detected if is_drawable(item)]
        ahead = T_frame_camera @ np.array([0.0, 0.0, DISTANCE_M, 1.0])
        target = np.median([item.position for item in objects], axis=0) if objects else ahead[:3]
        self._canvas.look(is_optical, T_frame_camera[:3, 3], target)

    def _show_frame(self) -> None:
        """Draw the point cloud of the newest image, once its transform is known."""
        frame = self._frame
        if frame is None or self._frame_s == 0.0:
            return
        frame_id = self._detected.frame_id if self._detected is not None else frame.frame_id
        try:
            T = self._lookup(frame_id, frame)
        except FrameError as error:
            if time.monotonic() - self._frame_s > _TRANSFORM_S:
                self._frame_s = 0.0
                self.diagnostics.warning("tf", str(error))
            return
        self._frame_s = 0.0
        self._canvas.show_points(moved(colored_points(frame, self._config.max_points, self._config.max_depth_m), T))
        self._canvas.show_camera(frame.intrinsics, T, frame.rgb)
        self._look(frame_id == frame.frame_id, T)

    def _lookup(self, frame_id: str, frame: RgbdFrame) -> FloatArray:
        """Return ``T_frame_camera``; TF is subscribed to when it is needed first."""
        if frame_id == frame.frame_id:
            return np.eye(4)
        if self._transforms is None:
            self._transforms = Transforms(self, frame_id)
        return self._transforms.lookup(frame_id, frame.frame_id, frame.stamp_ns, 0.0, "frame of the detections")
