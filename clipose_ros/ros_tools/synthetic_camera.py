"""Simulated RGB-D camera that moves around a rendered table and publishes the true poses."""

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
from clipose_ros.ros_tools.camera_publisher import CameraMessages, CameraPublisher, camera_messages, declared, run
from clipose_ros.types import LABEL_BASE, FloatArray, RgbdFrame

HANDLE_VISIBLE = "handle_visible"
"""Class id of a truth's second hypothesis, whose score is 1 where a mug's handle can be seen and 0 where it cannot."""


@dataclass(frozen=True)
class SyntheticCameraConfig(SequenceConfig):
    """The synthetic camera's parameters."""

    rate_hz: float = option(30.0, "Frames published per second.", low=0.1, high=120.0)
    frame_id: str = option("camera_color_optical_frame", "TF frame of the images: x right, y down, z forward.")
    world_frame: str = option("world", "TF frame of the table: z up. The camera's pose in it is broadcast on /tf.")


@dataclass(frozen=True, slots=True, eq=False)
class _Shot:
    """Everything published of one frame, ready but for the stamp. Truth and images share one header."""

    camera: CameraMessages
    truth: Detection3DArray
    transform: TransformStamped


class SyntheticCamera(Node):
    """Renders a sweep, then shows it forwards and backwards at a steady rate until it is stopped.

    Publishes ``rgb/image_rect_color``, ``rgb/camera_info``, ``depth_registered/image_rect``, ``segmentation/labels``,
    ``truth/detections`` and, on ``/tf``, the camera's pose in the world.
    """

    def __init__(self) -> None:
        super().__init__("synthetic_camera")
        self._config = declared(self, SyntheticCameraConfig)
        self._shots = self._rendered()
        self._order = ping_pong_indices(len(self._shots))
        self._camera = CameraPublisher(self, with_labels=True)
        self._truth = self.create_publisher(Detection3DArray, "truth/detections", qos_profile_sensor_data)
        self._transforms = TransformBroadcaster(self)
        self.create_timer(1.0 / self._config.rate_hz, self._show)
        self.get_logger().info(f"publishing at {self._config.rate_hz:g} Hz")

    def _rendered(self) -> list[_Shot]:
        """Render all frames of the sweep and log the progress."""
        config, shots, begun_s = self._config, [], time.monotonic()
        self.get_logger().info(f"rendering {config.frames} frames of {config.width}x{config.height}")
        for shown in render_sequence(config):
            shots.append(_shot(shown, config))
            if len(shots) % max(config.frames // 10, 1) == 0:
                self.get_logger().info(
                    f"rendered {len(shots)} of {config.frames} frames in {time.monotonic() - begun_s:.0f} s"
                )
        return shots

    def _show(self) -> None:
        """Publish the next frame with the present time. TF goes first: who gets the image finds the transform."""
        shot = self._shots[next(self._order)]
        stamp = self.get_clock().now().to_msg()
        shot.camera.header.stamp = shot.transform.header.stamp = stamp
        self._transforms.sendTransform(shot.transform)
        self._truth.publish(shot.truth)
        self._camera.publish(shot.camera)


def _shot(shown: SequenceFrame, config: SyntheticCameraConfig) -> _Shot:
    """Make the messages of a rendered frame."""
    frame = shown.frame
    named = RgbdFrame(frame.rgb, frame.depth, frame.intrinsics, frame_id=config.frame_id, labels=frame.labels)
    camera = camera_messages(named)
    truth = Detection3DArray(header=camera.header, detections=[_truth(camera.header, truth) for truth in shown.truths])
    return _Shot(camera, truth, _transform(shown.T_world_camera, config))


def _truth(header: Header, truth: ObjectTruth) -> Detection3D:
    """Convert a true pose to a detection: id is the label value, the category's score the visible share."""
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


def _transform(T_world_camera: FloatArray, config: SyntheticCameraConfig) -> TransformStamped:
    """Make the transform of the camera's pose for /tf."""
    pose = messages.pose(T_world_camera)
    translation = Vector3(x=pose.position.x, y=pose.position.y, z=pose.position.z)
    return TransformStamped(
        header=Header(frame_id=config.world_frame),
        child_frame_id=config.frame_id,
        transform=Transform(translation=translation, rotation=pose.orientation),
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the node."""
    return run(SyntheticCamera, arguments)


if __name__ == "__main__":
    sys.exit(main())
