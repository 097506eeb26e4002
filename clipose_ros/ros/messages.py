"""Tracked objects as messages; all of one frame share one header: the image's stamp and the frame of the poses."""

from __future__ import annotations

import array
from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import (
    Point,
    Pose,
    PoseArray,
    PoseWithCovariance,
    Quaternion,
    Transform,
    TransformStamped,
    Vector3,
)
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from tf_transformations import quaternion_from_matrix
from vision_msgs.msg import BoundingBox3D, Detection3D, Detection3DArray, ObjectHypothesis, ObjectHypothesisWithPose

from clipose_ros.categories import CategorySet
from clipose_ros.geometry.se3 import transform_points
from clipose_ros.types import FloatArray, TrackedObject

_CLOUD_POINT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("category", "<u2"), ("track", "<u2")])
_CLOUD_FIELDS = [
    PointField(name="x", offset=0, datatype=PointField.FLOAT32, count=1),
    PointField(name="y", offset=4, datatype=PointField.FLOAT32, count=1),
    PointField(name="z", offset=8, datatype=PointField.FLOAT32, count=1),
    PointField(name="category", offset=12, datatype=PointField.UINT16, count=1),
    PointField(name="track", offset=14, datatype=PointField.UINT16, count=1),
]


def pose(T_frame_object: FloatArray) -> Pose:
    """A transform as a pose."""
    x, y, z = (float(v) for v in T_frame_object[:3, 3])
    return Pose(position=Point(x=x, y=y, z=z), orientation=_quaternion(T_frame_object))


def detections(header: Header, tracks: Sequence[TrackedObject]) -> Detection3DArray:
    """One detection per track; ``id`` is the track's name, ``bbox.size`` the full extent in the object's own axes."""
    return Detection3DArray(header=header, detections=[_detection(header, track) for track in tracks])


def poses(header: Header, tracks: Sequence[TrackedObject]) -> PoseArray:
    """The poses alone, in the order of the detections."""
    return PoseArray(header=header, poses=[pose(track.T_frame_object) for track in tracks])


def transforms(header: Header, tracks: Sequence[TrackedObject], prefix: str) -> TFMessage:
    """One TF frame per track, a child of the header's frame."""
    return TFMessage(
        transforms=[
            TransformStamped(
                header=header, child_frame_id=prefix + track.name, transform=_transform(track.T_frame_object)
            )
            for track in tracks
        ]
    )


def object_cloud(
    header: Header, tracks: Sequence[TrackedObject], T_frame_camera: FloatArray, categories: CategorySet
) -> PointCloud2:
    """The observed points of all tracks: x, y, z in metres, category id and track id."""
    parts = [
        _cloud_points(track, T_frame_camera, categories[track.category].id)
        for track in tracks
        if track.cloud is not None
    ]
    points = np.concatenate([np.empty(0, _CLOUD_POINT), *parts])
    return PointCloud2(
        header=header,
        height=1,
        width=points.size,
        fields=_CLOUD_FIELDS,
        is_bigendian=False,
        point_step=_CLOUD_POINT.itemsize,
        row_step=_CLOUD_POINT.itemsize * points.size,
        data=array.array("B", points.tobytes()),
        is_dense=True,
    )


def _detection(header: Header, track: TrackedObject) -> Detection3D:
    centre = pose(track.T_frame_object)
    x, y, z = (float(v) for v in track.size)
    result = ObjectHypothesisWithPose(
        hypothesis=ObjectHypothesis(class_id=track.category, score=float(track.score)),
        pose=PoseWithCovariance(
            pose=centre, covariance=np.ascontiguousarray(track.covariance, dtype=np.float64).reshape(36)
        ),
    )
    return Detection3D(
        header=header, results=[result], bbox=BoundingBox3D(center=centre, size=Vector3(x=x, y=y, z=z)), id=track.name
    )


def _transform(T_frame_object: FloatArray) -> Transform:
    x, y, z = (float(v) for v in T_frame_object[:3, 3])
    return Transform(translation=Vector3(x=x, y=y, z=z), rotation=_quaternion(T_frame_object))


def _quaternion(T_frame_object: FloatArray) -> Quaternion:
    x, y, z, w = (float(v) for v in quaternion_from_matrix(T_frame_object))
    return Quaternion(x=x, y=y, z=z, w=w)


def _cloud_points(track: TrackedObject, T_frame_camera: FloatArray, category_id: int) -> NDArray[np.void]:
    assert track.cloud is not None
    xyz = transform_points(T_frame_camera, track.cloud.points_camera)
    points = np.empty(len(xyz), _CLOUD_POINT)
    points["x"], points["y"], points["z"] = xyz[:, 0], xyz[:, 1], xyz[:, 2]
    points["category"], points["track"] = category_id, track.track_id & 0xFFFF
    return points
