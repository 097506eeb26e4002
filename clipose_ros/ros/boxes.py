"""Conversion of two-dimensional detections: boxes of another detector in, detected instances out."""

from __future__ import annotations

import math
from collections.abc import Sequence

from std_msgs.msg import Header
from vision_msgs.msg import BoundingBox2D, Detection2D, Detection2DArray, ObjectHypothesis, ObjectHypothesisWithPose

from clipose_ros.errors import FrameError, quoted
from clipose_ros.types import DetectedBox, FrameResult, InstanceMask, TrackedObject

MAX_BOXES = 1000
"""Largest number of detections that a message may hold."""


def read_boxes(message: Detection2DArray, topic: str) -> tuple[DetectedBox, ...]:
    """Convert a message to boxes. Each detection counts with its most probable class; one without a class is left out.

    A rotated box becomes the upright box around it.

    Raises:
        FrameError: The message holds too many detections, or a value is not finite; the error names the topic.
    """
    if len(message.detections) > MAX_BOXES:
        raise FrameError(
            f"'{topic}' holds {len(message.detections)} detections, at most {MAX_BOXES} are accepted: raise the score "
            "threshold of the detector"
        )
    return tuple(_read_box(detection, topic) for detection in message.detections if detection.results)


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


def _read_box(detection: Detection2D, topic: str) -> DetectedBox:
    """Convert a detection with at least one result."""
    box, best = detection.bbox, max(detection.results, key=lambda result: result.hypothesis.score).hypothesis
    x, y, theta = box.center.position.x, box.center.position.y, box.center.theta
    values = (x, y, theta, box.size_x, box.size_y, best.score)
    if not all(map(math.isfinite, values)) or max(map(abs, values)) > 1e6:
        raise FrameError(
            f"'{topic}' has a box of class {quoted(best.class_id)} with impossible values {values} (x, y, theta, "
            "size_x, size_y, score): check the detector"
        )
    cos, sin = abs(math.cos(theta)), abs(math.sin(theta))
    width, height = box.size_x * cos + box.size_y * sin, box.size_x * sin + box.size_y * cos
    corners = x - width / 2.0, y - height / 2.0, x + width / 2.0, y + height / 2.0
    x0, y0, x1, y1 = (round(corner) for corner in corners)
    return DetectedBox(best.class_id, best.score, (x0, y0, x1, y1))


def _detection(header: Header, instance: InstanceMask, name: str) -> Detection2D:
    """Convert one instance."""
    x0, y0, x1, y1 = instance.box
    box = BoundingBox2D(size_x=float(x1 - x0), size_y=float(y1 - y0))
    box.center.position.x, box.center.position.y = (x0 + x1) / 2.0, (y0 + y1) / 2.0
    hypothesis = ObjectHypothesis(class_id=instance.category, score=float(instance.score))
    return Detection2D(header=header, results=[ObjectHypothesisWithPose(hypothesis=hypothesis)], bbox=box, id=name)
