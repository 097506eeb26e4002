"""Table for ``grasp_node``: plane and obstacles of the depth image, or the xy plane of a TF frame."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image

from clipose_ros.client.objects import DetectedObjects
from clipose_ros.decoding.calibration import CalibrationReader
from clipose_ros.decoding.images import read_depth
from clipose_ros.decoding.messages import INPUT_TOPICS, stamp_ns
from clipose_ros.errors import FrameError, quoted
from clipose_ros.geometry.camera import backproject
from clipose_ros.geometry.se3 import invert_transform, make_transform, transform_points
from clipose_ros.manipulation.plane import Plane, find_obstacles, fit_table
from clipose_ros.ros.grasp_config import GraspNodeConfig
from clipose_ros.ros.transforms import Transforms
from clipose_ros.types import FloatArray

_KEPT = 20
"""Number of depth images that are kept until the detections of one of them arrive."""
_STEP = 4
"""Every fourth row and column of the depth image is used."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Surroundings of the objects, in the frame of the detections.

    Attributes:
        plane: Plane of the table; None without one.
        obstacles: ``(N, 3)`` points of things that are no object and stand on the table, metres.
    """

    plane: Plane | None = None
    obstacles: FloatArray = field(default_factory=lambda: np.empty((0, 3)))

    def transformed(self, T: FloatArray) -> Table:
        """Return the surroundings in another frame, given ``T_other_frame`` ``(4, 4)``."""
        plane = None if self.plane is None else self.plane.transformed(T)
        return Table(plane, transform_points(T, self.obstacles))


class TableSource:
    """Source of the plane of the table.

    Args:
        node: Node that subscribes to the depth image, if it is the source.
        config: Settings.
        transforms: Source of transforms.
    """

    def __init__(self, node: Node, config: GraspNodeConfig, transforms: Transforms) -> None:
        self._config, self._transforms = config, transforms
        self._depth: deque[Image] = deque(maxlen=_KEPT)
        self._info: CameraInfo | None = None
        self._calibrations = CalibrationReader()
        self._topics = tuple(node.resolve_topic_name(name) for name in (INPUT_TOPICS.depth, INPUT_TOPICS.info))
        if config.table.source == "depth":
            node.create_subscription(Image, INPUT_TOPICS.depth, self._on_depth, qos_profile_sensor_data)
            node.create_subscription(CameraInfo, INPUT_TOPICS.info, self._on_info, qos_profile_sensor_data)

    def clear(self) -> None:
        """Forget the depth images, as after a time jump."""
        self._depth.clear()

    def find(self, detected: DetectedObjects) -> Table:
        """Return the plane that is wanted, and the obstacles if it is fitted to the depth image.

        Raises:
            FrameError: There is no plane; the message says why.
        """
        if self._config.table.source == "none":
            return Table()
        if self._config.table.source == "frame":
            T = self._lookup(detected.frame_id, self._config.table.frame, detected.stamp_ns, "table.frame")
            T = T @ make_transform(np.eye(3), [0.0, 0.0, self._config.table.height_m])
            return Table(Plane.from_frame(T))
        return self._fit(detected)

    def _fit(self, detected: DetectedObjects) -> Table:
        depth_topic, info_topic = self._topics
        image = min(self._depth, key=lambda each: abs(stamp_ns(each.header.stamp) - detected.stamp_ns), default=None)
        if image is None or self._info is None:
            missing = depth_topic if image is None else info_topic
            raise FrameError(f"no table: no message on '{missing}': remap it, or set table.source")
        age_s = abs(stamp_ns(image.header.stamp) - detected.stamp_ns) * 1e-9
        if age_s > self._config.max_depth_age_s:
            raise FrameError(
                f"no table: the nearest image of '{depth_topic}' differs by {age_s:.2f} s from the detections, at most "
                f"{self._config.max_depth_age_s:g} s are allowed (max_depth_age_s)"
            )
        calibration = self._calibrations.read(self._info, info_topic, (depth_topic, depth_topic))
        depth = read_depth(image, depth_topic)
        if calibration.depth is not None:
            depth = calibration.depth.undistort_depth(depth)
        intrinsics = calibration.intrinsics
        if depth.shape != (intrinsics.height, intrinsics.width):
            raise FrameError(
                f"no table: '{depth_topic}' is {depth.shape[1]}x{depth.shape[0]} but '{info_topic}' describes "
                f"{intrinsics.width}x{intrinsics.height}: use depth registered to the colour image"
            )
        points = backproject(depth, intrinsics)[::_STEP, ::_STEP].reshape(-1, 3)
        frame = image.header.frame_id
        T = self._lookup(detected.frame_id, frame, detected.stamp_ns, "the frame of the detections")
        objects = list(detected.transformed(frame, invert_transform(T)))
        plane = fit_table(points, objects)
        if plane is None:
            raise FrameError(
                f"no table: '{depth_topic}' shows no plane near the {len(detected)} objects: set table.source to "
                "'frame' or 'none'"
            )
        return Table(plane, find_obstacles(points, plane, objects)).transformed(T)

    def _lookup(self, target: str, source: str, stamp: int, parameter: str) -> FloatArray:
        """Return ``T_target_source`` ``(4, 4)``."""
        if not source:
            raise FrameError(f"no table: its frame_id is {quoted(source)}: set it in the driver of the camera")
        return self._transforms.lookup(target, source, stamp, 0.0, parameter)

    def _on_depth(self, message: Image) -> None:
        self._depth.append(message)

    def _on_info(self, message: CameraInfo) -> None:
        self._info = message
