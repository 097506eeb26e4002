"""Conversions of images, calibrations, stamps and transforms between ROS messages and the package's types.

Messages of cameras are decoded by ``clipose_ros.decoding``.
"""

from __future__ import annotations

import array
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from cv_bridge import CvBridge
from geometry_msgs.msg import Point, Quaternion, Vector3
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf_transformations import concatenate_matrices, quaternion_matrix, translation_matrix

from clipose_ros.decoding.images import ENCODINGS
from clipose_ros.errors import DegenerateInputError
from clipose_ros.types import CameraIntrinsics, FloatArray

_LAST_STAMP_NS = 2**31 * 1_000_000_000 - 1


def read_transform(translation: Vector3 | Point, rotation: Quaternion) -> FloatArray:
    """Convert a translation and a quaternion to a transform ``(4, 4)``.

    Raises:
        DegenerateInputError: The quaternion is zero, or a value is not finite.
    """
    position = [translation.x, translation.y, translation.z]
    quat_xyzw = [rotation.x, rotation.y, rotation.z, rotation.w]
    if not any(quat_xyzw) or not np.isfinite(position + quat_xyzw).all():
        raise DegenerateInputError(f"expected a finite translation and quaternion, got {position} and {quat_xyzw}")
    return np.asarray(concatenate_matrices(translation_matrix(position), quaternion_matrix(quat_xyzw)))


def image_message(image: NDArray[Any], encoding: str, header: Header) -> Image:
    """Make an image message from pixels ``(H, W)`` or ``(H, W, C)`` of the type that the encoding requires."""
    dtype, _ = ENCODINGS[encoding]
    return CvBridge().cv2_to_imgmsg(np.ascontiguousarray(image, dtype=dtype), encoding, header)


def camera_info_message(intrinsics: CameraIntrinsics, header: Header) -> CameraInfo:
    """Make the camera_info message of a rectified image."""
    message = CameraInfo(header=header, height=intrinsics.height, width=intrinsics.width, distortion_model="plumb_bob")
    fx, fy, cx, cy = intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy
    message.d = [0.0] * 5
    message.k = [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]
    message.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    message.p = [fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return message


def byte_array(values: NDArray[Any]) -> array.array[int]:
    """Copy a contiguous array to ``array.array``: rclpy converts other types element by element."""
    data = array.array("B")
    data.frombytes(values.reshape(-1).view(np.uint8).data)
    return data


def ros_stamp(nanoseconds: int) -> Time:
    """Convert nanoseconds to a ROS stamp, at most the last time that a message can hold."""
    nanoseconds = min(nanoseconds, _LAST_STAMP_NS)
    return Time(sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)
