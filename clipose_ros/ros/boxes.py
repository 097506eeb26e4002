"""Messages of detected instances in the image."""

from __future__ import annotations

from collections.abc import Sequence

from std_msgs.msg import Header
from vision_msgs.msg import BoundingBox2D, Detection2D, Detection2DArray, ObjectHypothesis, ObjectHypothesisWithPose

from clipose_ros.types import FrameResult, InstanceMask, TrackedObject


def detection_array(header: Header, result: FrameResult, tracks: Sequence[TrackedObject]) -> Detection2DArray:
    """Make the message of all detected instances of a frame, with and without a pose.

    Args:
        header: Stamp and frame of the image.
        result: Result of the pipeline.
        tracks: Published tracks; their names become the ids of the detections they were measured by.
    """
    names = {id(track.cloud.instance): track.name for track in tracks if track.cloud is not None}
    posed = [cloud.instance for cloud in result.clouds]
    rejected = [rejection.instance for rejection in result.rejections if rejection.instance is not None]
    return Detection2DArray(
        header=header, detections=[_detection(header, item, names.get(id(item), "")) for item in posed + rejected]
    )


def _detection(header: Header, instance: InstanceMask, name: str) -> Detection2D:
    """Convert one instance."""
    x0, y0, x1, y1 = instance.box
    box = BoundingBox2D(size_x=float(x1 - x0), size_y=float(y1 - y0))
    box.center.position.x, box.center.position.y = (x0 + x1) / 2.0, (y0 + y1) / 2.0
    hypothesis = ObjectHypothesis(class_id=instance.category, score=float(instance.score))
    return Detection2D(header=header, results=[ObjectHypothesisWithPose(hypothesis=hypothesis)], bbox=box, id=name)
