"""Publishers of the results of a frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import PoseArray
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection2DArray, Detection3DArray
from visualization_msgs.msg import MarkerArray

from clipose_ros.categories import CategorySet
from clipose_ros.config import PublishConfig
from clipose_ros.ros.boxes import detection_array
from clipose_ros.ros.conversions import image_message, ros_stamp
from clipose_ros.ros.markers import Markers
from clipose_ros.ros.messages import ObjectMessages, object_cloud
from clipose_ros.ros.rejections import LocatedRejection, locate_rejections
from clipose_ros.tracking.published_frame import PublishedFrame, draw_published
from clipose_ros.visualization.labels import LabelOffsets


class Publishers:
    """Lifecycle publishers of the results: created at configuration, active with the node, destroyed at clean-up."""

    def __init__(self, node: LifecycleNode, categories: CategorySet) -> None:
        self._node = node
        self._categories = categories
        self._objects, self._markers = ObjectMessages(), Markers()
        reliable = QoSProfile(depth=10)
        self._detections = node.create_lifecycle_publisher(Detection3DArray, "~/detections", reliable)
        self._detections_2d = node.create_lifecycle_publisher(Detection2DArray, "~/detections_2d", reliable)
        self._poses = node.create_lifecycle_publisher(PoseArray, "~/poses", reliable)
        self._marker_array = node.create_lifecycle_publisher(MarkerArray, "~/markers", reliable)
        self._object_cloud = node.create_lifecycle_publisher(PointCloud2, "~/object_cloud", reliable)
        self._debug_image = node.create_lifecycle_publisher(Image, "~/debug_image", QoSProfile(depth=2))
        self._label_offsets: LabelOffsets = {}
        self._tf = node.create_lifecycle_publisher(TFMessage, "/tf", QoSProfile(depth=100))

    def publish(self, published: PublishedFrame, config: PublishConfig) -> None:
        """Publish the results of a frame on the topics that have subscribers."""
        header = Header(stamp=ros_stamp(published.frame.stamp_ns), frame_id=published.frame_id)
        objects, tracks = self._objects, published.tracks
        objects.fill(header, tracks, config.tf_prefix)
        if config.tf and tracks:
            _publish_if_subscribed(self._tf, lambda: objects.transforms)
        _publish_if_subscribed(self._detections, lambda: objects.detections)
        _publish_if_subscribed(self._detections_2d, lambda: _detections_2d(published))
        _publish_if_subscribed(self._poses, lambda: objects.poses)
        lifetime_s = config.marker_lifetime_s
        _publish_if_subscribed(
            self._marker_array,
            lambda: self._markers.update(header, tracks, objects.poses.poses, _locate(published), lifetime_s),
        )
        _publish_if_subscribed(
            self._object_cloud, lambda: object_cloud(header, tracks, published.T_frame_camera, self._categories)
        )
        _publish_if_subscribed(self._debug_image, lambda: _debug_image(published, self._label_offsets))

    def delete_markers(self) -> None:
        """Delete all markers in RViz; has no effect while the node is inactive."""
        _publish_if_subscribed(self._marker_array, self._markers.delete_all)

    def close(self) -> None:
        """Destroy the publishers."""
        for publisher in (
            self._detections,
            self._detections_2d,
            self._poses,
            self._marker_array,
            self._object_cloud,
            self._debug_image,
            self._tf,
        ):
            self._node.destroy_lifecycle_publisher(publisher)


def _publish_if_subscribed(publisher: Any, make: Callable[[], Any]) -> None:
    """Make and publish a message if the topic has subscribers."""
    if publisher.get_subscription_count():
        publisher.publish(make())


def _locate(published: PublishedFrame) -> list[LocatedRejection]:
    """Compute the positions of rejected instances in the frame of the published poses."""
    return locate_rejections(published.frame, published.result.rejections, published.T_frame_camera)


def _detections_2d(published: PublishedFrame) -> Detection2DArray:
    """Make the boxes of all detected instances in the image."""
    frame = published.frame
    header = Header(stamp=ros_stamp(frame.stamp_ns), frame_id=frame.frame_id)
    return detection_array(header, published.result, published.tracks_camera)


def _debug_image(published: PublishedFrame, label_offsets: LabelOffsets) -> Image:
    """Make the message of the annotated colour image."""
    frame = published.frame
    header = Header(stamp=ros_stamp(frame.stamp_ns), frame_id=frame.frame_id)
    return image_message(draw_published(published, label_offsets), "rgb8", header)
