"""Messages of tracked objects. All messages of a frame share one header: image stamp and frame of the poses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import Point, Pose, PoseArray, Quaternion, TransformStamped, Vector3
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import BoundingBox3D, Detection3D, Detection3DArray, ObjectHypothesisWithPose

from clipose_ros.categories import CategorySet
from clipose_ros.geometry.se3 import quat_xyzw_from_rotation, transform_points
from clipose_ros.ros.conversions import byte_array
from clipose_ros.types import FloatArray, TrackedObject

_CLOUD_POINT = np.dtype([("xyz", "<f4", 3), ("ids", "<u2", 2)])  # category id and track id
_CLOUD_FIELDS = [
    PointField(name="x", offset=0, datatype=PointField.FLOAT32, count=1),
    PointField(name="y", offset=4, datatype=PointField.FLOAT32, count=1),
    PointField(name="z", offset=8, datatype=PointField.FLOAT32, count=1),
    PointField(name="category", offset=12, datatype=PointField.UINT16, count=1),
    PointField(name="track", offset=14, datatype=PointField.UINT16, count=1),
]


def pose(T_frame_object: FloatArray) -> Pose:
    """Convert a transform ``(4, 4)`` to a pose message."""
    message = Pose()
    (position,), (quat_xyzw,) = _positions_and_quaternions([T_frame_object])
    _set_pose(message, position, quat_xyzw)
    return message


class ObjectMessages:
    """Messages about the tracks of a frame.

    Creating these messages takes several times as long as filling them in. They are reused: each call of ``fill``
    overwrites the values of the previous call.

    Attributes:
        detections: One detection per track; ``id`` is the track's name, ``bbox.size`` the full extent in the object's
            own axes.
        poses: The poses alone, in the order of the detections.
        transforms: One TF frame per track, a child of the header's frame.
    """

    def __init__(self) -> None:
        self.detections = Detection3DArray()
        self.poses = PoseArray()
        self.transforms = TFMessage()
        self._detections: list[Detection3D] = []
        self._transforms: list[TransformStamped] = []

    def fill(self, header: Header, tracks: Sequence[TrackedObject], tf_prefix: str) -> None:
        """Write the tracks of a frame into the messages.

        Args:
            header: Header of all messages.
            tracks: Tracks in the frame of the header.
            tf_prefix: Prefix of the names of TF frames.
        """
        number = len(tracks)
        while len(self._detections) < number:
            self._detections.append(_empty_detection())
            self._transforms.append(TransformStamped())
        self.detections.header = self.poses.header = header
        self.detections.detections = self._detections[:number]
        self.transforms.transforms = self._transforms[:number]
        self.poses.poses = [detection.bbox.center for detection in self.detections.detections]
        positions, quaternions = _positions_and_quaternions([track.T_frame_object for track in tracks])
        for k, track in enumerate(tracks):
            _set_detection(self._detections[k], header, track, positions[k], quaternions[k])
            stamped = self._transforms[k]
            stamped.header, stamped.child_frame_id = header, tf_prefix + track.name
            _set_xyz(stamped.transform.translation, positions[k])
            _set_quaternion(stamped.transform.rotation, quaternions[k])


def object_cloud(
    header: Header, tracks: Sequence[TrackedObject], T_frame_camera: FloatArray, categories: CategorySet
) -> PointCloud2:
    """Make the cloud of the observed points of all tracks: x, y, z in metres, category id and track id."""
    # A coasting track has no cloud of this frame.
    seen = [(track, track.cloud.points_camera) for track in tracks if track.cloud is not None]
    points_camera = np.concatenate([np.empty((0, 3), np.float32), *(points for _, points in seen)])
    points = np.empty(len(points_camera), _CLOUD_POINT)
    points["xyz"] = transform_points(T_frame_camera, points_camera)
    ids = [(categories[track.category].id, track.track_id & 0xFFFF) for track, _ in seen]
    points["ids"] = np.repeat(np.array(ids, np.uint16).reshape(-1, 2), [len(part) for _, part in seen], axis=0)
    return PointCloud2(
        header=header,
        height=1,
        width=points.size,
        fields=_CLOUD_FIELDS,
        is_bigendian=False,
        point_step=_CLOUD_POINT.itemsize,
        row_step=_CLOUD_POINT.itemsize * points.size,
        data=byte_array(points),
        is_dense=True,
    )


def _empty_detection() -> Detection3D:
    """Make a detection with one result, whose pose is the centre of the box."""
    result, box = ObjectHypothesisWithPose(), BoundingBox3D()
    result.pose.pose = box.center
    return Detection3D(results=[result], bbox=box)


def _set_detection(
    message: Detection3D, header: Header, track: TrackedObject, position: list[float], quat_xyzw: list[float]
) -> None:
    """Write a track with its pose into a detection."""
    (result,), box = message.results, message.bbox
    message.header, message.id = header, track.name
    result.hypothesis.class_id, result.hypothesis.score = track.category, float(track.score)
    result.pose.covariance = np.ascontiguousarray(track.covariance, dtype=np.float64).reshape(36)
    _set_pose(box.center, position, quat_xyzw)
    _set_xyz(box.size, track.size.tolist())


def _positions_and_quaternions(transforms: Sequence[FloatArray]) -> tuple[list[list[float]], list[list[float]]]:
    """Return positions (x, y, z) and quaternions (x, y, z, w) of transforms."""
    T = np.array(transforms).reshape(-1, 4, 4)
    return T[:, :3, 3].tolist(), quat_xyzw_from_rotation(T[:, :3, :3]).tolist()


def _set_pose(message: Pose, position: list[float], quat_xyzw: list[float]) -> None:
    _set_xyz(message.position, position)
    _set_quaternion(message.orientation, quat_xyzw)


def _set_xyz(message: Point | Vector3, xyz: list[float]) -> None:
    message.x, message.y, message.z = xyz


def _set_quaternion(message: Quaternion, quat_xyzw: list[float]) -> None:
    message.x, message.y, message.z, message.w = quat_xyzw
