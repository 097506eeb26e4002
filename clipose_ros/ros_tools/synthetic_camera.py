"""Simulated RGB-D camera that moves around a rendered table and publishes images and true poses."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

from geometry_msgs.msg import PoseWithCovariance, Transform, TransformStamped, Vector3
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from std_msgs.msg import Header
from tf2_ros import TransformBroadcaster
from vision_msgs.msg import BoundingBox3D, Detection3D, Detection3DArray, ObjectHypothesis, ObjectHypothesisWithPose

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import option
from clipose_ros.data.synthetic.renderer import ObjectTruth
from clipose_ros.data.synthetic.sequence import SequenceConfig, SequenceFrame, ping_pong_indices, render_sequence
from clipose_ros.ros import messages
from clipose_ros.ros.node_process import declare_parameters, run_node
from clipose_ros.ros_tools.camera_publisher import (
    CameraMessages,
    CameraPublisher,
    camera_messages,
)
from clipose_ros.types import HANDLE_VISIBLE, LABEL_BASE, FloatArray, RgbdFrame


@dataclass(frozen=True)
class SyntheticCameraConfig(SequenceConfig):
    """Parameters of the synthetic camera."""

    rate_hz: float = option(30.0, "Frames published per second.", low=0.1, high=120.0)
    frame_id: str = option("camera_color_optical_frame", "TF frame of the images: x right, y down, z forward.")
    world_frame: str = option("world", "TF frame of the table: z up. The camera's pose in it is broadcast on /tf.")


@dataclass(frozen=True, slots=True, eq=False)
class _FrameMessages:
    """Messages of one frame without the stamp. True poses and images share one header."""

    camera: CameraMessages
    truth: Detection3DArray
    transform: TransformStamped


class SyntheticCamera(Node):
    """Camera that renders a sweep, then publishes it forwards and backwards at a steady rate until it is stopped.

    Publishes ``rgb/image_rect_color``, ``rgb/camera_info``, ``depth_registered/image_rect``, ``segmentation/labels``,
    ``truth/detections`` and, on ``/tf``, the camera's pose in the world.
    """

    def __init__(self) -> None:
        super().__init__("synthetic_camera")
        self._config = declare_parameters(self, SyntheticCameraConfig)
        self._frames = self._render_frames()
        self._order = ping_pong_indices(len(self._frames))
        self._camera = CameraPublisher(self, with_labels=True)
        self._truth = self.create_publisher(Detection3DArray, "truth/detections", qos_profile_sensor_data)
        self._transforms = TransformBroadcaster(self)
        self.create_timer(1.0 / self._config.rate_hz, self._publish_next)
        self.get_logger().info(f"publishing at {self._config.rate_hz:g} Hz")

    def _render_frames(self) -> list[_FrameMessages]:
        """Render all frames of the sweep and log the progress."""
        config, frames, start_s = self._config, [], time.monotonic()
        self.get_logger().info(f"rendering {config.frames} frames of {config.width}x{config.height}")
        for rendered in render_sequence(config):
            frames.append(_make_messages(rendered, config))
            if len(frames) % max(config.frames // 10, 1) == 0:
                self.get_logger().info(
                    f"rendered {len(frames)} of {config.frames} frames in {time.monotonic() - start_s:.0f} s"
                )
        return frames

    def _publish_next(self) -> None:
        """Publish the next frame, stamped with the present time."""
        frame = self._frames[next(self._order)]
        stamp = self.get_clock().now().to_msg()
        frame.camera.header.stamp = frame.transform.header.stamp = stamp
        # TF first: a subscriber that has the images can look up their transform.
        self._transforms.sendTransform(frame.transform)
        self._truth.publish(frame.truth)
        self._camera.publish(frame.camera)


def _make_messages(rendered: SequenceFrame, config: SyntheticCameraConfig) -> _FrameMessages:
    """Make the messages of a rendered frame."""
    frame = rendered.frame
    named = RgbdFrame(frame.rgb, frame.depth, frame.intrinsics, frame_id=config.frame_id, labels=frame.labels)
    camera = camera_messages(named)
    truth = Detection3DArray(
        header=camera.header, detections=[_truth_message(camera.header, t) for t in rendered.truths]
    )
    return _FrameMessages(camera, truth, _transform_message(rendered.T_world_camera, config))


def _truth_message(header: Header, truth: ObjectTruth) -> Detection3D:
    """Convert a true pose to a detection; its id is the label value, the score of the category the visible fraction."""
    centre = messages.pose(truth.T_camera_object)
    hypotheses = [
        ObjectHypothesis(class_id=truth.category, score=float(truth.visible_fraction)),
        ObjectHypothesis(class_id=HANDLE_VISIBLE, score=float(truth.handle_visible)),
    ]
    x, y, z = (float(v) for v in truth.size)
    return Detection3D(
        header=header,
        results=[ObjectHypothesisWithPose(hypothesis=h, pose=PoseWithCovariance(pose=centre)) for h in hypotheses],
        bbox=BoundingBox3D(center=centre, size=Vector3(x=x, y=y, z=z)),
        id=str(NOCS_CATEGORIES[truth.category].id * LABEL_BASE + truth.instance),
    )


def _transform_message(T_world_camera: FloatArray, config: SyntheticCameraConfig) -> TransformStamped:
    """Convert the camera's pose to a transform for /tf."""
    pose = messages.pose(T_world_camera)
    translation = Vector3(x=pose.position.x, y=pose.position.y, z=pose.position.z)
    return TransformStamped(
        header=Header(frame_id=config.world_frame),
        child_frame_id=config.frame_id,
        transform=Transform(translation=translation, rotation=pose.orientation),
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the node."""
    return run_node(SyntheticCamera, arguments)


if __name__ == "__main__":
    sys.exit(main())
