"""Decoding of two-dimensional detections of another program."""

from __future__ import annotations

import math
from typing import Any

from clipose_ros.decoding.messages import Detections2DMessage
from clipose_ros.errors import FrameError, quoted
from clipose_ros.types import DetectedBox

MAX_BOXES = 1000
"""Largest number of detections that a message may hold."""


def read_boxes(message: Detections2DMessage, topic: str) -> tuple[DetectedBox, ...]:
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


def _read_box(detection: Any, topic: str) -> DetectedBox:
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
