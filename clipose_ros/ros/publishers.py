"""Everything the node publishes about a frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from geometry_msgs.msg import PoseArray
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection3DArray
from visualization_msgs.msg import MarkerArray

from clipose_ros.categories import CategorySet
from clipose_ros.config import PublishConfig
from clipose_ros.ros import messages
from clipose_ros.ros.conversions import image_message, ros_stamp
from clipose_ros.ros.markers import Markers
from clipose_ros.types import FloatArray, FrameResult, RgbdFrame, TrackedObject
from clipose_ros.visualization.draw import draw_tracks


@dataclass(frozen=True, slots=True, eq=False)
class PosedFrame:
    """A frame with all that is to be told about it.

    Attributes:
        frame: Where it comes from.
        result: What the pipeline made of it.
        tracks_camera: The tracks to publish, in the camera's frame.
        tracks: The same in ``frame_id``.
        frame_id: The frame of everything published.
        T_frame_camera: ``(4, 4)``, camera into ``frame_id``.
    """

    frame: RgbdFrame
    result: FrameResult
    tracks_camera: Sequence[TrackedObject]
    tracks: Sequence[TrackedObject]
    frame_id: str
    T_frame_camera: FloatArray


class Publishers:
    """Lifecycle publishers: they exist from configuration to clean-up and speak only while the node is active."""

    def __init__(self, node: LifecycleNode, categories: CategorySet) -> None:
        self._node = node
        self._categories = categories
        self._markers = Markers()
        reliable = QoSProfile(depth=10)
        self._detections = node.create_lifecycle_publisher(Detection3DArray, "~/detections", reliable)
        self._poses = node.create_lifecycle_publisher(PoseArray, "~/poses", reliable)
        self._marker_array = node.create_lifecycle_publisher(MarkerArray, "~/markers", reliable)
        self._object_cloud = node.create_lifecycle_publisher(PointCloud2, "~/object_cloud", reliable)
        self._debug_image = node.create_lifecycle_publisher(Image, "~/debug_image", QoSProfile(depth=2))
        self._tf = node.create_lifecycle_publisher(TFMessage, "/tf", QoSProfile(depth=100))

    def publish(self, posed: PosedFrame, config: PublishConfig) -> None:
        """Tell everything about a frame; the cloud and the picture only where somebody listens."""
        header = Header(stamp=ros_stamp(posed.frame.stamp_ns), frame_id=posed.frame_id)
        self._detections.publish(messages.detections(header, posed.tracks))
        self._poses.publish(messages.poses(header, posed.tracks))
        if config.tf and posed.tracks:
            self._tf.publish(messages.transforms(header, posed.tracks, config.tf_prefix))
        self._marker_array.publish(self._markers.of_frame(header, posed.tracks, config.marker_lifetime_s))
        if _is_heard(self._object_cloud):
            self._object_cloud.publish(
                messages.object_cloud(header, posed.tracks, posed.T_frame_camera, self._categories)
            )
        if _is_heard(self._debug_image):
            self._debug_image.publish(_debug_image(posed))

    def close(self) -> None:
        """Give the publishers back."""
        for publisher in (
            self._detections,
            self._poses,
            self._marker_array,
            self._object_cloud,
            self._debug_image,
            self._tf,
        ):
            self._node.destroy_lifecycle_publisher(publisher)


def _is_heard(publisher: Any) -> bool:
    return bool(publisher.get_subscription_count())


def _debug_image(posed: PosedFrame) -> Image:
    """The colour image with masks, boxes, axes and labels, in the camera's frame."""
    frame = posed.frame
    masks = [cloud.instance for cloud in posed.result.clouds]
    picture = draw_tracks(frame.rgb, posed.tracks_camera, frame.intrinsics, masks)
    return image_message(picture, "rgb8", Header(stamp=ros_stamp(frame.stamp_ns), frame_id=frame.frame_id))
